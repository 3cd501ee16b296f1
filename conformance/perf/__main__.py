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
    rounds, missing = compare.compare(args.only or list(SYSTEMS), args.rounds, args.seconds, compare.aloud)
    medians = compare.medians(rounds)
    judged = [bar.judge(rounds) for bar in table.BARS]
    if args.steady and "udp1300" in medians.get("sandhog", {}):
        judged.append(steady(0.6 * medians["sandhog"]["udp1300"], args.steady))
    document = {"machine": machine(), "seconds": args.seconds, "rounds": rounds, "medians": medians, "missing": missing, "bars": judged}
    if args.json == "-":
        print(json.dumps(document))
    else:
        print("\n".join(["", *table.figures(medians, missing), "", *table.ratios(medians), "", *table.bars(judged)]))
    if args.json and args.json != "-":
        write(args.json, json.dumps(document, indent=1))
    if args.svg:
        write(args.svg, plot.svg(medians, f"Userspace tunnels on one machine: {machine()['cpu']}, {machine()['cores']} cores; medians of {args.rounds} rounds"))
    return 0 if all(j["held"] or j["value"] is None for j in judged) else 1


def steady(mbit, seconds):
    """The run that must lose nothing, as a bar."""
    compare.aloud(f"UDP 1300 B at {mbit:.0f} Mbit/s for {seconds} s:")
    lost, came = compare.loss_free(mbit, seconds)
    compare.aloud(f" {came:.0f} Mbit/s came; lost {lost}\n")
    total = sum(lost.values())
    return {"what": f"lost at 60 % of the maximum, {seconds} s", "unit": "", "value": total, "must": 0, "aim": None, "most": True, "held": total == 0, "reached": False, "where": lost}


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
