"""The fast path, against others in the same run: the comparison in short, and all of it with its bars."""
from lab.cases import case, check

from . import compare, measure, table
from .systems import SYSTEMS

QUICK = ("sandhog", "null", "libipsec")


@case("the comparison", "us, the null gateway and libipsec, 1 round of 2 s")
def short():
    """That all of it can be measured, and that we are not slow; two seconds on a busy machine say no more."""
    rounds, missing = compare.compare(QUICK, 1, 2, compare.quiet)
    judged = table.judge(rounds, QUICK)
    complete = not missing and all(j["measured"] for j in judged)
    against = [j for j in judged if j["what"].startswith("TCP") and "libipsec" in j["what"]]
    figure = "; ".join(f"{j['what']} {j['value']:.1f}x" for j in against) if complete else f"{missing} {compare.broken(rounds)} {rounds}"
    return check(complete and len(against) == 2 and all(j["value"] >= 8 for j in against), figure)


@case("the comparison", "all systems, every bar, 5 rounds of 5 s")
def full():
    """What could not be measured is not held."""
    rounds, missing = compare.compare(list(SYSTEMS), 5, 5, compare.quiet)
    judged = table.judge(rounds, SYSTEMS)
    shown = lambda j: "-" if j["value"] is None else f"{j['value']:.3g}{j['unit']}"
    figure = "; ".join(f"{j['what']} {shown(j)} {table.word(j)}" for j in judged)
    return check(all(j["held"] for j in judged), figure + f"; missing {missing}; broken {compare.broken(rounds)}")


def loss(seconds):
    """At 60 % of what comes of a flood. What iperf3's own socket loses is said."""
    with compare.no_capture(), compare.tunnel(SYSTEMS["sandhog"]) as system:
        measure.start_to_ping(system)
        most = max(measure.udp(system, 1300, 3)["mbit"] for _ in range(2))
    found = compare.loss_free(0.6 * most, seconds)
    held = not found["lost"] and found["offered"] >= 0.59 * most and compare.arrived(found)
    return check(held, f"{found['came']:.0f} of {found['offered']:.0f} Mbit/s came, of at most {most:.0f}; lost {found['lost'] or 0}, by iperf3's own socket {found['program']}")


case("loss-free", "UDP 1300 B at 60 % of the maximum for 3 s", quick=True)(lambda: loss(3))
case("loss-free", "UDP 1300 B at 60 % of the maximum for 60 s")(lambda: loss(60))
