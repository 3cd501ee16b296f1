"""The figures as one SVG: a panel for each, a bar for each system."""
from xml.sax.saxutils import escape

PANELS = (("TCP, 1 flow", "Mbit/s", "tcp1"), ("TCP, 4 flows", "Mbit/s", "tcp4"), ("UDP 1300 B received", "Mbit/s", "udp1300"), ("UDP 64 B received", "thousands/s", "udp64"),
          ("CPU per GB, sender (less is better)", "s", "cpu_sender"), ("ping under TCP load (less is better)", "ms", "ping_load_ms"))
WIDTH, LABEL, BAR, GAP, HEAD = 520, 100, 16, 6, 34
OURS, OTHERS = "#b5651d", "#8a8f98"


def svg(medians, title):
    """The document."""
    panels = [panel(medians, *p) for p in PANELS]
    height = max(h for _, h in panels)
    columns, rows = 2, (len(panels) + 1) // 2
    body = "".join(f'<g transform="translate({20 + i % columns * (WIDTH + 30)},{50 + i // columns * height})">{inner}</g>' for i, (inner, _) in enumerate(panels))
    total = (columns * (WIDTH + 30) + 10, 60 + rows * height)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1]}" width="{total[0]}" height="{total[1]}" font-family="sans-serif" font-size="12">'
            f'<rect width="100%" height="100%" fill="white"/><text x="20" y="28" font-size="16" font-weight="bold">{escape(title)}</text>{body}</svg>\n')


def panel(medians, title, unit, figure):
    """One, and how high it is."""
    having = {name: found[figure] for name, found in medians.items() if figure in found}
    most = max(having.values(), default=0) or 1
    parts = [f'<text y="14" font-weight="bold">{escape(title)}, {escape(unit)}</text>']
    for i, (name, value) in enumerate(having.items()):
        y = HEAD - 8 + i * (BAR + GAP)
        length = (WIDTH - LABEL - 70) * value / most
        colour = OURS if name.startswith("sandhog") else OTHERS
        parts.append(f'<text x="{LABEL - 6}" y="{y + 12}" text-anchor="end">{escape(name)}</text><rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
                     f'<text x="{LABEL + length + 5:.1f}" y="{y + 12}">{value:.4g}</text>')
    return "".join(parts), HEAD + len(medians) * (BAR + GAP) + 14
