#!/usr/bin/env python3
"""One-line mutants of the rules R1-R27: each must turn red the test that the table names for it.

`python3 conformance/rfc/mutants.py [RULE...]` works on a copy of the sources with a target folder of its own (SANDHOG_LAB/mutants), so that the tree is never
touched and the next run builds little. `mutants.toml` has for each rule the file, the exact old text (found once, or the mutant is out of date, which is an
error), the new text, and the test, which is run alone.
"""
import os
import re
import shutil
import subprocess
import sys
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PLACE = os.path.join(os.environ.get("SANDHOG_LAB", "/var/cache/sandhog-lab"), "mutants")
CARGO = os.environ.get("CARGO", "cargo")


def load():
    """All mutants."""
    with open(os.path.join(HERE, "mutants.toml"), "rb") as f:
        return tomllib.load(f)["mutant"]


def stale(mutants):
    """Those whose old text is not there exactly once, and those that change more than one line."""
    wrong = []
    for m in mutants:
        with open(os.path.join(ROOT, m["file"])) as f:
            count = f.read().count(m["old"])
        if count != 1:
            wrong.append(f"{m['rule']}: {m['file']} has {count} times: {m['old'].strip()[:80]}")
        if changed(m["old"], m["new"]) != 1:
            wrong.append(f"{m['rule']}: not a change of one line: {m['old'].strip()[:80]}")
    return wrong


def changed(old, new):
    """How many lines differ; the others are there to find the place."""
    a, b = old.split("\n"), new.split("\n")
    while a and b and a[0] == b[0]:
        a, b = a[1:], b[1:]
    while a and b and a[-1] == b[-1]:
        a, b = a[:-1], b[:-1]
    return max(len(a), len(b))


def copy():
    """The sources, beside an old target folder. Files that did not change keep their time, so that cargo does not build them again."""
    tree = os.path.join(PLACE, "tree")
    os.makedirs(tree, exist_ok=True)
    for name in ("Cargo.toml", "Cargo.lock", "rustfmt.toml", ".clippy.toml"):
        if os.path.exists(os.path.join(ROOT, name)):
            shutil.copy2(os.path.join(ROOT, name), tree)
    for name in ("src", "benches", "conformance"):
        shutil.rmtree(os.path.join(tree, name), ignore_errors=True)
        shutil.copytree(os.path.join(ROOT, name), os.path.join(tree, name), ignore=shutil.ignore_patterns("out", "__pycache__"))
    return tree


def test(tree, *names):
    """(exit code, passed, failed, output) of these tests alone."""
    env = dict(os.environ, CARGO_TARGET_DIR=os.path.join(PLACE, "target"), CARGO_INCREMENTAL="1", RUSTFLAGS="-Awarnings")
    done = subprocess.run([CARGO, "test", "--lib", "--locked", "--", "--exact", *names], cwd=tree, env=env, capture_output=True, text=True, timeout=1800)
    found = re.search(r"(\d+) passed; (\d+) failed", done.stdout)
    return done.returncode, int(found.group(1)) if found else 0, int(found.group(2)) if found else 0, done.stdout + done.stderr


def examine(rules=()):
    """(how many turned red, what is wrong); prints one line for each."""
    mutants = [m for m in load() if not rules or m["rule"] in rules]
    wrong = stale(mutants)
    if wrong:
        return 0, wrong
    tree = copy()
    names = sorted({m["test"] for m in mutants})
    _, passed, failed, out = test(tree, *names)
    if (passed, failed) != (len(names), 0):
        return 0, [f"without any mutant {passed} of {len(names)} tests pass: {out[-1500:]}"]
    red = 0
    for m in mutants:
        path = os.path.join(tree, m["file"])
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace(m["old"], m["new"]))
        _, passed, failed, out = test(tree, m["test"])
        with open(path, "w") as f:
            f.write(text)
        verdict = "red" if failed == 1 else "GREEN" if passed else "DOES NOT BUILD"
        print(f"{m['rule']:<5} {verdict:<5} {m['test']}", flush=True)
        red += failed == 1
        if failed != 1:
            wrong.append(f"{m['rule']}: {verdict} ({m['test']}){'' if passed else ': ' + out[-600:]}")
    return red, wrong


if __name__ == "__main__":
    count, errors = examine(sys.argv[1:])
    for error in errors:
        print(error, file=sys.stderr)
    print(f"{count} red, {len(errors)} wrong")
    sys.exit(1 if errors or not count else 0)
