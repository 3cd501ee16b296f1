"""The fast path, against others in the same run: the comparison in short for every landing, and all of it with its bars."""
from lab.cases import case, check

from . import compare, measure, table
from .systems import SYSTEMS

QUICK = ("sandhog", "null", "libipsec")


@case("the comparison", "us, the null gateway and libipsec, 1 round of 2 s", quick=True)
def short():
    """That all of it can be measured, and that we are not slow; two seconds on a busy machine say no more."""
    rounds, missing = compare.compare(QUICK, 1, 2, compare.quiet)
    complete = not missing and all("error" not in found and None not in found.values() for found in rounds[0].values())
    judged = [bar.judge(rounds) for bar in table.BARS[:2]] if complete else []
    figure = "; ".join(f"{j['what']} {j['value']:.1f}x" for j in judged) or f"{missing} {rounds}"
    return check(complete and all(j["value"] >= 8 for j in judged), figure)


@case("the comparison", "all systems, every bar, 5 rounds of 5 s")
def full():
    """Those of systems that cannot be had here are left out, and named."""
    rounds, missing = compare.compare(list(SYSTEMS), 5, 5, compare.quiet)
    judged = [bar.judge(rounds) for bar in table.BARS]
    figure = "; ".join(f"{j['what']} {j['value']:.3g}{j['unit']}" for j in judged if j["value"] is not None)
    return check(all(j["held"] or j["value"] is None for j in judged), figure + (f"; missing {missing}" if missing else ""))


def loss(seconds):
    """At 60 % of what comes of a flood."""
    with compare.no_capture(), compare.tunnel(SYSTEMS["sandhog"]) as system:
        measure.start_to_ping(system)
        most = max(measure.udp(system, 1300, 3)["mbit"] for _ in range(2))
    lost, came = compare.loss_free(0.6 * most, seconds)
    return check(sum(lost.values()) == 0 and came > 0.5 * most, f"{came:.0f} of at most {most:.0f} Mbit/s, lost {sum(lost.values())} {lost if any(lost.values()) else ''}")


case("loss-free", "UDP 1300 B at 60 % of the maximum for 3 s", quick=True)(lambda: loss(3))
case("loss-free", "UDP 1300 B at 60 % of the maximum for 60 s")(lambda: loss(60))
