"""The table of figures, and what they are worth: each bar held or missed."""
import statistics


class Bar:
    """What is asked of a figure of our own, or with `peer` of its ratio to the peer's in the same round: at least `must`, or with `most` at
    most. `aim` is what we are after."""

    def __init__(self, what, figure, must, aim=None, unit="x", most=False, ours="sandhog", peer=None):
        self.what, self.figure, self.must, self.aim, self.unit, self.most = what, figure, must, aim, unit, most
        self.ours, self.peer = ours, peer

    def concerns(self, names):
        """Whether it can be judged by these systems."""
        return self.ours in names and (self.peer is None or self.peer in names)

    def judge(self, rounds):
        """The median over the rounds that have it. It holds only if all have: one in which something broke is not left out in silence."""
        values = [v for v in map(self._of, rounds) if v is not None]
        value = statistics.median(values) if values else None
        return verdict(self.what, value, self.must, self.aim, self.unit, self.most, len(values), len(rounds))

    def _of(self, found):
        try:
            return found[self.ours][self.figure] / (found[self.peer][self.figure] if self.peer else 1)
        except (KeyError, TypeError, ZeroDivisionError):
            return None


def verdict(what, value, must, aim, unit, most, measured=1, rounds=1):
    """{what, unit, value, must, aim, most, measured, rounds, held, reached}"""
    whole = value is not None and measured == rounds
    good = lambda bar: whole and bar is not None and (value <= bar if most else value >= bar)
    return {"what": what, "unit": unit, "value": value, "must": must, "aim": aim, "most": most, "measured": measured, "rounds": rounds, "held": good(must), "reached": good(aim)}


BARS = (
    Bar("TCP 1 flow, against libipsec", "tcp1", 12, 18, peer="libipsec"),
    Bar("TCP 4 flows, against libipsec", "tcp4", 12, 18, peer="libipsec"),
    Bar("TCP 1 flow, against gotatun", "tcp1", 5, 7, peer="gotatun"),
    Bar("TCP 4 flows, against gotatun", "tcp4", 5, 7, peer="gotatun"),
    Bar("TCP 1 flow, against the null gateway", "tcp1", 0.90, 1, peer="null"),
    Bar("TCP 4 flows, against the null gateway", "tcp4", 0.90, 1, peer="null"),
    Bar("CPU per GB, sender", "cpu_sender", 1.0, 0.7, " s", most=True),
    Bar("CPU per GB, receiver", "cpu_receiver", 1.0, 0.7, " s", most=True),
    Bar("UDP 1300 B flood, against libipsec", "udp1300", 3, 5, peer="libipsec"),
    Bar("UDP 64 B flood, against libipsec", "udp64", 3, 5, peer="libipsec"),
    Bar("AES-CBC + HMAC, TCP 1 flow, against our AES-GCM", "tcp1", 0.50, 0.70, ours="sandhog CBC", peer="sandhog"),
    Bar("ping under TCP load, mean", "ping_load_ms", 2.5, 1, " ms", most=True),
    Bar("IPv6, TCP 1 flow, against IPv4", "tcp1", 0.90, ours="sandhog IPv6", peer="sandhog"),
    Bar("IPv6, TCP 4 flows, against IPv4", "tcp4", 0.90, ours="sandhog IPv6", peer="sandhog"),
    Bar("IPv6, UDP 1300 B flood, against IPv4", "udp1300", 0.90, ours="sandhog IPv6", peer="sandhog"),
    Bar("IPv6, UDP 64 B flood, against IPv4", "udp64", 0.90, ours="sandhog IPv6", peer="sandhog"),
    Bar("start to first ping", "start_ms", 50, 20, " ms", most=True),
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


def judge(rounds, names):
    """All bars that these systems concern, `names` being those that were asked for."""
    return [bar.judge(rounds) for bar in BARS if bar.concerns(names)]


def figures(medians, missing, broken):
    """What was measured of each system, why some are missing, and what broke."""
    lines = ["".join(f"{title:>{width}}" if i else f"{title:<{width}}" for i, (title, width, _) in enumerate(COLUMNS))]
    for name, found in medians.items():
        lines.append(f"{name:<{COLUMNS[0][1]}}" + "".join(f"{cell(of, found):>{width}}" for _, width, of in COLUMNS[1:]))
    return lines + [f"{name:<{COLUMNS[0][1]}}  {why}" for name, why in missing.items()] + [f"{name} broke in round {i}: {why}" for i, name, why in broken]


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
        lines.append(f"{j['what']:<50}{shown(j['must']):>12}{shown(j['aim']):>12}{shown(j['value']):>12}  {word(j)}")
    return lines


def word(j):
    """What a bar's judgement is called."""
    if j["value"] is None:
        return "NOT MEASURED"
    if j["measured"] < j["rounds"]:
        return f"MISSED: measured in {j['measured']} of {j['rounds']} rounds"
    return "MISSED" if not j["held"] else "held, aim reached" if j["reached"] else "held"
