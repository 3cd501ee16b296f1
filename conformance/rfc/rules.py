#!/usr/bin/env python3
"""The rule table (`rules.md`): is it complete, and does every test that it names exist?

`python3 conformance/rfc/rules.py` prints what is missing.
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab.cases import case, check  # noqa: E402
from rfc import mutants  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
RULES = [f"R{n}" for n in range(1, 42)] + ["R26b"]
MUTATED = [f"R{n}" for n in range(1, 28)] + ["R26b"]
# The scenarios of protocol.md section 2.2, how many variants each has, and the number of cases of section 2.3.
SCENARIOS = {
    "child_rekey": "regular:2 regular_multi_ke:2 regular_ke_invalid:2 regular_ke_invalid_multi_ke:2 regular_responder_ignore_soft_expire:1 regular_responder_handle_hard_expire:1 "
                   "regular_responder_delete:1 regular_responder_lost_sa:1 regular_responder_incorrect_delete:1 regular_delete_timeout:1 collision:4 collision_multi_ke:4 "
                   "collision_mixed:4 collision_delayed_response:4 collision_delayed_response_delete:4 collision_delayed_response_multi_ke:4 collision_delayed_request:6 "
                   "collision_delayed_request_more:3 collision_delayed_request_more_delete:3 collision_delayed_request_multi_ke:6 collision_ke_invalid:4 "
                   "collision_ke_invalid_delayed_retry:3 collision_responder_incorrect_delete:1 collision_delete:2 collision_delete_multi_ke:2 collision_delete_drop_delete:2 "
                   "collision_delete_drop_rekey:2 collision_delete_delayed_response:2 collision_ike_rekey:2 collision_ike_delete:2",
    "ike_rekey": "regular:2 regular_multi_ke:2 regular_ke_invalid:2 regular_ke_invalid_multi_ke:2 collision:4 collision_multi_ke:4 collision_mixed:4 collision_ke_invalid:4 "
                 "collision_ke_invalid_delayed_retry:3 collision_delayed_response:4 collision_delayed_response_multi_ke:4 collision_dropped_request:3 collision_delayed_request:3 "
                 "collision_delayed_request_and_delete:3 collision_delayed_request_multi_ke:6 collision_delete:2 collision_delete_multi_ke:2 collision_delete_drop_delete:2",
    "child_delete": "regular:2 collision:1 collision_drop:1 collision_ike_rekey:2 collision_ike_delete:2",
    "ike_delete": "regular:2 collision:1",
    "child_create": "duplicate:1 collision_ike_rekey:1 multi_ke:1",
    "childless": "regular:2 manual:1 responder_without:1 initiator_without:1",
}
FIELD = ("1896", "1458", "2945", "2477", "3042", "3024", "libreswan-67", "libreswan-1574", "mikrotik-cp", "windows-offer", "libreswan-2184", "pfs-info")


def expected():
    """Every row that there must be, with its number of variants."""
    rows = {rule: 1 for rule in RULES}
    for file, names in SCENARIOS.items():
        rows.update({f"{file}/{name}": int(count) for name, count in (n.split(":") for n in names.split())})
    rows.update({f"field/{name}": 1 for name in FIELD})
    return rows


def table():
    """{row: (variants, tests)}"""
    rows = {}
    with open(os.path.join(HERE, "rules.md")) as f:
        for line in f:
            cells = [c.strip() for c in line.strip().strip("|").split("|")]
            if line.startswith("|") and len(cells) == 4 and cells[0] not in ("row", "---"):
                rows[cells[0]] = int(cells[1]), re.findall(r"`([a-z0-9_:]+)`", cells[3])
    return rows


def tests():
    """Names of all unit tests."""
    out = subprocess.run([mutants.CARGO, "test", "--lib", "--locked", "--", "--list"], cwd=mutants.ROOT, capture_output=True, text=True, check=True).stdout
    return {line[:-6] for line in out.splitlines() if line.endswith(": test")}


def missing():
    """What is wrong with the table."""
    want, have, known = expected(), table(), tests()
    wrong = [f"no row {row}" for row in want if row not in have] + [f"row {row}: nobody asked for it" for row in have if row not in want]
    for row, (variants, named) in have.items():
        if row in want and variants != want[row]:
            wrong.append(f"{row}: {want[row]} variants, not {variants}")
        if not named:
            wrong.append(f"{row}: no test")
        wrong += [f"{row}: there is no test {name}" for name in named if name not in known]
    mutated = {m["rule"] for m in mutants.load()}
    return wrong + [f"{rule}: no mutant" for rule in MUTATED if rule not in mutated]


@case("the rule table", "every rule and variant has a test, every rule up to R27 a mutant", quick=True)
def complete():
    """And every test exists, and every mutant's text."""
    wrong = missing() + mutants.stale(mutants.load())
    rows = table()
    return check(not wrong, f"{len(rows)} rows, {sum(v for v, _ in rows.values())} variants, {len(mutants.load())} mutants{'; ' + '; '.join(wrong[:5]) if wrong else ''}{f' and {len(wrong) - 5} more' if len(wrong) > 5 else ''}")


@case("the rule table", "each one-line mutant turns its test red")
def red():
    """Builds once for each."""
    count, wrong = mutants.examine()
    return check(count and not wrong, f"{count} red{'; ' + '; '.join(wrong)[:400] if wrong else ''}")


if __name__ == "__main__":
    problems = missing()
    print("\n".join(problems) or "complete")
    sys.exit(1 if problems else 0)
