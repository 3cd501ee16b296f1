"""What `cargo bench` prints, held against performance.md; and what a daemon and its peers take of memory."""
import json
import re
import subprocess

from lab import sandhog
from lab.cases import case, check
from lab.pair import Pair

from . import table

PEERS = 100_000
FAMILIES, CHILDREN = ("IPv4", "IPv6"), (10_000, 100_000)
UNITS = {"ns": 1e-6, "µs": 1e-3, "ms": 1.0}


class Line:
    """One line of a bench, as a bar: the group of `pattern` is the figure, and a second one its unit of time, to be told in milliseconds."""

    def __init__(self, bench, pattern, what, must, aim=None, unit="", most=False):
        self.bench, self.pattern, self.what, self.must, self.aim, self.unit, self.most = bench, re.compile(pattern, re.M), what, must, aim, unit, most

    def judge(self, printed):
        """As a bar of the comparison; what was not printed was not measured."""
        found = self.pattern.search(printed[self.bench])
        value = found and float(found[1]) * (UNITS[found[2]] if found.lastindex == 2 else 1)
        return table.verdict(self.what, value, self.must, self.aim, self.unit, self.most)


def share(bench, name, must, aim):
    """Of the bare cipher."""
    return Line(bench, rf"^{name} +bare .* ([\d.]+) %$", f"{bench}: {name}, of the bare AEAD", must, aim, " %")


def cores(name):
    """What two workers do more than one: the median of rounds in which both had their turn."""
    return Line("datapath", rf"^{name}: .* ([\d.]+)x \(median of pairs\)", f"two workers, {name}", 1.8, 1.95, "x")


def lookup(family, children, must, aim):
    """Without a cache of flows."""
    return Line("policy", rf"^{family}, {children} children: (\d+) ns", f"lookup, {family}, {children} children", must, aim, " ns", most=True)


def change(name, family, children, bar):
    """What it costs to change the tables, in milliseconds."""
    what = f"{name}, {family}, {children} children"
    return Line("policy", rf"^{what}: (\d+) (ns)", what, bar, None, " ms", most=True)


LINES = (
    *(share("esp", f"aes256gcm16 {way}", 85, 95) for way in ("seal", "open")),
    *(share("datapath", name, 65, 75) for name in ("segment, checksum, seal", "open, commit, merge")),
    *(cores(name) for name in ("one SA outbound", "8 SAs inbound")),
    *(lookup(family, children, *bars) for family in FAMILIES for children, bars in zip(CHILDREN, ((100, 50), (150, 80)))),
    *(change(name, family, children, bar) for name, bar in (("rekey", 0.02), ("child comes", 5), ("child goes", 5)) for family in FAMILIES for children in CHILDREN),
    Line("handshake", r"psk x25519 aes256gcm16\s+time: +\[\S+ \S+ ([\d.]+) (\S+)", "handshake as responder, x25519, PSK", 0.15, 0.08, " ms", most=True),
)


def cargo(*arguments):
    """What it prints."""
    done = subprocess.run(["cargo", *arguments], capture_output=True, text=True, timeout=1800, cwd=sandhog.ROOT)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


def bare_daemon():
    """MiB of a daemon without connections, as a bar."""
    with Pair("pm") as lab:
        us = sandhog.Sandhog(lab.left, "[gateway]\n")
        return table.verdict("memory, nothing configured", us.process.rss_kib() / 1024, 16, 8, " MiB", most=True)


@case("memory", "a daemon with nothing configured", quick=True)
def nothing():
    """Resident."""
    judged = bare_daemon()
    return check(judged["held"], f"{judged['value']:.1f} MiB")


@case("benches", f"every must of `cargo bench`, and memory with {PEERS} peers")
def benches():
    """Some fifteen minutes with the builds; nothing else should run meanwhile."""
    printed = {name: cargo("bench", "--locked", "--bench", name) for name in dict.fromkeys(line.bench for line in LINES)}
    state = json.loads(cargo("run", "--release", "--locked", "--example", "state", str(PEERS)))
    judged = [line.judge(printed) for line in LINES]
    judged.append(table.verdict(f"memory of each of {PEERS} peers", state["octets_each"] / 1000, 8, 4, " KB", most=True))
    judged.append(bare_daemon())
    print("", *table.bars(judged), sep="\n    ", flush=True)
    return check(all(j["held"] for j in judged), f"{sum(j['held'] for j in judged)} of {len(judged)} held")
