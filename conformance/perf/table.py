"""The table of figures, and what they are worth: each bar held or missed."""
import statistics


class Bar:
    """What is asked of a figure of one round: at least `must`, or with `most` at most. `aim` is what we are after."""

    def __init__(self, what, value, must, aim=None, unit="x", most=False):
        self.what, self.value, self.must, self.aim, self.unit, self.most = what, value, must, aim, unit, most

    def judge(self, rounds):
        """{what, value, must, aim, held, reached}: the median over the rounds that have it; value None if none has."""
        values = [v for v in map(self._of, rounds) if v is not None]
        value = statistics.median(values) if values else None
        good = lambda bar: value is not None and bar is not None and (value <= bar if self.most else value >= bar)
        return {"what": self.what, "unit": self.unit, "value": value, "must": self.must, "aim": self.aim, "most": self.most, "held": good(self.must), "reached": good(self.aim)}

    def _of(self, found):
        try:
            return self.value(found)
        except (KeyError, TypeError, ZeroDivisionError):
            return None  # one of the two broke in this round, or did not run


def ratio(figure, peer, ours="sandhog"):
    """Of one figure of the same round."""
    return lambda found: found[ours][figure] / found[peer][figure]


def own(figure, ours="sandhog"):
    """The figure itself."""
    return lambda found: found[ours][figure]


BARS = (
    Bar("TCP 1 flow, against libipsec", ratio("tcp1", "libipsec"), 12, 18),
    Bar("TCP 4 flows, against libipsec", ratio("tcp4", "libipsec"), 12, 18),
    Bar("TCP 1 flow, against gotatun", ratio("tcp1", "gotatun"), 5, 7),
    Bar("TCP 4 flows, against gotatun", ratio("tcp4", "gotatun"), 5, 7),
    Bar("TCP 1 flow, against the null gateway", ratio("tcp1", "null"), 0.90, 1),
    Bar("TCP 4 flows, against the null gateway", ratio("tcp4", "null"), 0.90, 1),
    Bar("CPU per GB, sender", own("cpu_sender"), 1.0, 0.7, " s", most=True),
    Bar("CPU per GB, receiver", own("cpu_receiver"), 1.0, 0.7, " s", most=True),
    Bar("UDP 1300 B flood, against libipsec", ratio("udp1300", "libipsec"), 3, 5),
    Bar("UDP 64 B flood, against libipsec", ratio("udp64", "libipsec"), 3, 5),
    Bar("AES-CBC + HMAC, TCP 1 flow, against our AES-GCM", ratio("tcp1", "sandhog", "sandhog CBC"), 0.50, 0.70),
    Bar("ping under TCP load, mean", own("ping_load_ms"), 2.5, 1, " ms", most=True),
    Bar("IPv6, TCP 1 flow, against IPv4", ratio("tcp1", "sandhog", "sandhog IPv6"), 0.90),
    Bar("IPv6, TCP 4 flows, against IPv4", ratio("tcp4", "sandhog", "sandhog IPv6"), 0.90),
    Bar("start to first ping", own("start_ms"), 50, 20, " ms", most=True),
)

COLUMNS = (
    ("system", 14, lambda f: None),
    ("TCP 1, Mbit/s", 14, lambda f: f"{f['tcp1']:.0f}"),
    ("TCP 4", 7, lambda f: f"{f['tcp4']:.0f}"),
    ("CPU-s/GB s/r", 13, lambda f: f"{f['cpu_sender']:.2f}/{f['cpu_receiver']:.2f}"),
    ("ping idle/load, ms", 19, lambda f: f"{f['ping_ms']:.2f}/{f['ping_load_ms']:.1f}"),
    ("UDP 1300, Mbit/s", 17, lambda f: f"{f['udp1300']:.0f}"),
    ("UDP 64, kpps", 13, lambda f: f"{f['udp64']:.0f}"),
    ("RSS s/r, MiB", 13, lambda f: f"{f['rss_sender']:.0f}/{f['rss_receiver']:.0f}"),
    ("start, ms", 10, lambda f: f"{f['start_ms']:.0f}"),
)


def figures(medians, missing):
    """performance.md's first table."""
    lines = ["".join(f"{title:>{width}}" if i else f"{title:<{width}}" for i, (title, width, _) in enumerate(COLUMNS))]
    for name, found in medians.items():
        lines.append(f"{name:<{COLUMNS[0][1]}}" + "".join(f"{cell(of, found):>{width}}" for _, width, of in COLUMNS[1:]))
    return lines + [f"{name:<{COLUMNS[0][1]}}  {why}" for name, why in missing.items()]


def cell(of, found):
    """A dash for what could not be measured."""
    try:
        return of(found)
    except KeyError:
        return "-"


def ratios(medians):
    """TCP of one flow of each system against each other."""
    having = [name for name in medians if "tcp1" in medians[name]]
    lines = [f"{'TCP 1, row / column':<20}" + "".join(f"{name:>14}" for name in having)]
    for a in having:
        lines.append(f"{a:<20}" + "".join(f"{medians[a]['tcp1'] / medians[b]['tcp1']:>14.2f}" for b in having))
    return lines


def bars(judged):
    """What is asked, what came, and whether it is enough."""
    lines = [f"{'bar':<50}{'must':>12}{'aim':>12}{'measured':>12}"]
    for j in judged:
        shown = lambda v: "-" if v is None else f"{v:.3g}{j['unit']}"
        verdict = "not measured" if j["value"] is None else "MISSED" if not j["held"] else "held, aim reached" if j["reached"] else "held"
        lines.append(f"{j['what']:<50}{shown(j['must']):>12}{shown(j['aim']):>12}{shown(j['value']):>12}  {verdict}")
    return lines
