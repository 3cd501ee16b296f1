"""The comparison; `run` beside this installs and builds what it needs."""
import argparse
import json
import os
import platform
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True

from lab import net  # noqa: E402
from perf import compare, plot, table  # noqa: E402
from perf.systems import SYSTEMS  # noqa: E402


def main():
    """Parses arguments, runs, prints."""
    parser = argparse.ArgumentParser(prog="conformance/perf/run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of each measurement")
    parser.add_argument("--steady", type=int, default=60, metavar="SECONDS", help="of the run that must lose nothing; 0: none")
    parser.add_argument("--only", action="append", choices=list(SYSTEMS), metavar="SYSTEM", help=f"repeatable: {', '.join(SYSTEMS)}")
    parser.add_argument("--json", metavar="FILE", help="everything; - is stdout, and then nothing else is")
    parser.add_argument("--svg", metavar="FILE", help="a plot")
    args = parser.parse_args()
    net.need_root()
    names = args.only or list(SYSTEMS)
    rounds, missing = compare.compare(names, args.rounds, args.seconds, compare.aloud)
    medians = compare.medians(rounds)
    judged = table.judge(rounds, names)
    if args.steady and "sandhog" in names:
        judged.append(steady(medians["sandhog"].get("udp1300"), args.steady))
    document = {"machine": machine(), "seconds": args.seconds, "rounds": rounds, "medians": medians, "missing": missing, "bars": judged}
    if args.json == "-":
        print(json.dumps(document))
    else:
        print("\n".join(["", *table.figures(medians, missing, compare.broken(rounds)), "", *table.ratios(medians), "", *table.bars(judged)]))
    if args.json and args.json != "-":
        write(args.json, json.dumps(document, indent=1))
    if args.svg:
        write(args.svg, plot.svg(medians, f"Userspace tunnels on one machine: {machine()['cpu']}, {machine()['cores']} cores; medians of {args.rounds} rounds"))
    return 0 if all(j["held"] for j in judged) else 1


def steady(most, seconds):
    """The run that must lose nothing, as a bar: at 60 % of `most`, None if that is not known."""
    found = None
    if most is not None:
        compare.aloud(f"UDP 1300 B at {0.6 * most:.0f} Mbit/s for {seconds} s:")
        try:
            found = compare.loss_free(0.6 * most, seconds)
            compare.aloud(f" {found}\n")
        except Exception as e:  # hours of rounds are not thrown away for it: the bar is not held
            compare.aloud(f" {type(e).__name__}: {e}\n")
    lost = sum(found["lost"].values()) if found and found["offered"] >= 0.59 * most and compare.arrived(found) else None
    judged = table.verdict(f"lost at 60 % of the maximum, {seconds} s", lost, 0, None, "", most=True)
    return {**judged, "found": found}


def machine():
    """What the figures were measured on."""
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":", 1)[1].strip() for line in f if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "kernel": platform.release()}


def write(path, text):
    """A file."""
    with open(path, "w") as f:
        f.write(text)


if __name__ == "__main__":
    sys.exit(main())
