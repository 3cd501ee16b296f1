"""Runs the systems in turn, some rounds, and keeps what was measured: {system: {figure: value}} for each round."""
import contextlib
import os
import statistics
import sys

from lab.net import close_all
from lab.pair import Pair

from . import measure
from .systems import SYSTEMS, Sandhog


def compare(names, rounds, seconds, say):
    """The rounds, and why systems are missing. A system that breaks in a round has an `error` there, and the others go on."""
    missing = {name: why for name in names if (why := SYSTEMS[name].missing())}
    done = []
    with no_capture():
        for i in range(rounds):
            done.append({})
            for name in names:
                if name not in missing:
                    say(f"round {i + 1}/{rounds}, {name}:")
                    done[-1][name] = attempt(SYSTEMS[name], seconds, say)
                    say("\n")
    return done, missing


def attempt(kind, seconds, say):
    """One system once."""
    try:
        return figures(kind, seconds, say)
    except Exception as e:  # whatever broke it is told in its place in the table
        say(f" {type(e).__name__}: {e}")
        close_all()
        return {"error": f"{type(e).__name__}: {e}"}


def figures(kind, seconds, say):
    """All that is measured of one system."""
    got = {}

    def note(**values):
        got.update(values)
        say("".join(f" {name} {value:.4g}" for name, value in values.items() if value is not None))

    with tunnel(kind) as system:
        note(start_ms=measure.start_to_ping(system))
        note(ping_ms=measure.ping(system)["mean"])
        one = measure.tcp(system, 1, seconds)
        note(tcp1=one["mbit"], cpu_sender=one["cpu"][0], cpu_receiver=one["cpu"][1], ping_load_ms=one["ping"]["mean"], ping_load_lost=one["ping"]["lost"])
        note(tcp4=measure.tcp(system, 4, seconds)["mbit"])
        note(udp1300=measure.udp(system, 1300, seconds)["mbit"])
        note(udp64=measure.udp(system, 64, seconds)["kpps"])
        note(**dict(zip(("rss_sender", "rss_receiver"), measure.resident(system))))
    return got


def loss_free(mbit, seconds):
    """What is lost at a steady rate of 1300-octet datagrams: {where: packets} by all counters that are ours, `elsewhere` being what iperf3 missed
    and its own socket has not lost; what that has lost, which is no gateway's; and the rates, in Mbit/s."""
    with no_capture(), tunnel(Sandhog) as system:
        measure.start_to_ping(system)
        for host in system.hosts:
            # A new device's router solicitations have no policy, and would count as lost.
            host.run("sysctl", "-qw", "net.ipv6.conf.sandhog0.disable_ipv6=1")
        counters = lambda: {**system.loss(), "program": measure.udp_overflows(system.lab.right)}
        before = counters()
        found = measure.udp(system, 1300, seconds, mbit)
        lost = {where: count - before[where] for where, count in counters().items()}
        program = lost.pop("program") - lost["r RcvbufErrors"]
        lost["elsewhere"] = max(0, found["lost"] - program - lost["r RcvbufErrors"])
        return {"offered": found["offered"], "came": found["mbit"], "program": program, "lost": {where: count for where, count in lost.items() if count}}


def arrived(found):
    """Whether the run says anything: a program's socket that is full loses some datagrams on two cores, but not many."""
    return found["came"] >= 0.95 * found["offered"]


def broken(rounds):
    """(round, system, why) of all that broke."""
    return [(i, name, found["error"]) for i, r in enumerate(rounds, 1) for name, found in r.items() if "error" in found]


def medians(rounds):
    """{system: {figure: median}} of those rounds in which it did not break: `broken` tells of the others."""
    out = {}
    for name in {name: None for r in rounds for name in r}:
        whole = [r[name] for r in rounds if name in r and "error" not in r[name]]
        figures = {figure: [w[figure] for w in whole if w[figure] is not None] for figure in (whole[0] if whole else ())}
        out[name] = {figure: statistics.median(values) for figure, values in figures.items() if values}
    return out


@contextlib.contextmanager
def tunnel(kind):
    """A system in a lab of its own."""
    with Pair("pc") as lab:
        system = kind(lab)
        try:
            yield system
        finally:
            system.close()


@contextlib.contextmanager
def no_capture():
    """The lab's captures would cost more than what is measured."""
    folder = os.environ.pop("SANDHOG_CAPTURE", None)
    try:
        yield
    finally:
        if folder:
            os.environ["SANDHOG_CAPTURE"] = folder


def quiet(_text):
    """Says nothing."""


def aloud(text):
    """As it goes, to stderr: stdout is for the result."""
    sys.stderr.write(text)
    sys.stderr.flush()
