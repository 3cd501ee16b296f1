"""Cases, how they are chosen, run and shown."""
import fnmatch
import json
import os
import sys
import time
import traceback

from .net import close_all

CASES = []


class Case:
    """One case of one row of the table."""

    def __init__(self, row, name, quick, run):
        self.row, self.name, self.quick, self.run = row, name, quick, run


def case(row, name, quick=False):
    """Registers a function that returns (holds, figure)."""
    def register(function):
        CASES.append(Case(row, name, quick, function))
        return function
    return register


def check(condition, figure):
    """The result of a case, in one line."""
    return bool(condition), str(figure)


def run(full, patterns, out):
    """Runs what is chosen, prints progress and a table; True if all hold. Results go to `out`/results.json."""
    chosen = [c for c in CASES if (full or c.quick or patterns)
              and (not patterns or any(fnmatch.fnmatch(f"{c.row}/{c.name}", p) or fnmatch.fnmatch(c.row, p) for p in patterns))]
    results = []
    for i, c in enumerate(chosen, 1):
        begin = time.monotonic()
        print(f"[{i}/{len(chosen)}] {c.row}: {c.name} ...", end=" ", flush=True)
        try:
            holds, figure = c.run()
        except Exception as e:  # a case that breaks is a failed case, whatever broke it
            holds, figure = False, f"{type(e).__name__}: {e}"
            traceback.print_exc(file=sys.stdout)
            close_all()
        seconds = round(time.monotonic() - begin, 1)
        print("ok" if holds else "FAILED", f"({figure}; {seconds} s)", flush=True)
        results.append({"row": c.row, "case": c.name, "holds": holds, "figure": figure, "seconds": seconds})
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "results.json"), "w") as f:
        json.dump(results, f, indent=1)
    table(results)
    return bool(results) and all(r["holds"] for r in results)


def table(results):
    """One line a row: how many cases hold, and those that do not."""
    rows = {}
    for r in results:
        rows.setdefault(r["row"], []).append(r)
    print(f"\n{'row':<28} {'cases':>7} {'held':>7} {'seconds':>8}")
    for row, of in rows.items():
        print(f"{row:<28} {len(of):>7} {sum(r['holds'] for r in of):>7} {sum(r['seconds'] for r in of):>8.0f}")
        for r in of:
            if not r["holds"]:
                print(f"    FAILED {r['case']}: {r['figure'][:300]}")
    held = sum(r["holds"] for r in results)
    print(f"\nconformance: {held} passed, {len(results) - held} failed")
