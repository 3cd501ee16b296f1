#!/usr/bin/env python3
"""Mutants of the rules R1-R27, an expression each: every one must turn red the test that the table names for it.

`python3 conformance/rfc/mutants.py [RULE...]` works on a copy of the sources with a target folder of its own (SANDHOG_LAB/mutants), so that the tree is never
touched and the next run builds little. `mutants.toml` has for each rule the file, a text that is there once (or the mutant is out of date, which is an error)
with the expression between « and », the expression that takes its place, and the test. All mutants are built into one program, asleep; an environment variable
wakes one of them, and its test is run alone.
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
TREE = os.path.join(PLACE, "tree")
CARGO = os.environ.get("CARGO", "cargo")
# A test takes a second or two, its own bounds included. A mutant that makes it run on is not noticed by the test.
SECONDS = 120
AWAKE = """
#[doc(hidden)]
pub fn mutant(number: usize) -> bool {
    static AWAKE: std::sync::OnceLock<Option<usize>> = std::sync::OnceLock::new();
    *AWAKE.get_or_init(|| std::env::var("SANDHOG_MUTANT").ok()?.parse().ok()) == Some(number)
}
"""


def load():
    """All mutants; `before`, `old` and `after` are the parts of the text, `number` is which one it is."""
    with open(os.path.join(HERE, "mutants.toml"), "rb") as f:
        mutants = tomllib.load(f)["mutant"]
    for number, m in enumerate(mutants, 1):
        before, old, after = re.fullmatch("(.*)«(.*)»(.*)", m["old"], re.DOTALL).groups()
        m.update(number=number, before=before, old=old, after=after)
    return mutants


def stale(mutants):
    """Those whose text is not there exactly once, and those that change more than one line."""
    wrong = []
    for m in mutants:
        with open(os.path.join(ROOT, m["file"])) as f:
            count = f.read().count(m["before"] + m["old"] + m["after"])
        if count != 1:
            wrong.append(f"{m['rule']}: {m['file']} has {count} times: {(m['before'] + m['old']).strip()[:80]}")
        if "\n" in m["old"] + m["new"]:
            wrong.append(f"{m['rule']}: not a change of one line: {m['old'][:80]}")
    return wrong


def copy(mutants):
    """The sources with all mutants in them. Files that did not change keep their time, so that cargo does not build them again."""
    os.makedirs(TREE, exist_ok=True)
    for name in ("Cargo.toml", "Cargo.lock", "rustfmt.toml", ".clippy.toml"):
        if os.path.exists(os.path.join(ROOT, name)):
            shutil.copy2(os.path.join(ROOT, name), TREE)
    for name in ("src", "benches", "conformance"):
        shutil.rmtree(os.path.join(TREE, name), ignore_errors=True)
        shutil.copytree(os.path.join(ROOT, name), os.path.join(TREE, name), ignore=shutil.ignore_patterns("out", "__pycache__"))
    with open(os.path.join(TREE, "src/lib.rs"), "a") as f:
        f.write(AWAKE)
    for file in {m["file"] for m in mutants}:
        with open(os.path.join(ROOT, file)) as f:
            text = f.read()
        with open(os.path.join(TREE, file), "w") as f:
            f.write(infected(text, [m for m in mutants if m["file"] == file]))


def infected(text, mutants):
    """This file with its mutants. Several may have the same place."""
    places = {}
    for m in mutants:
        at = text.index(m["before"] + m["old"] + m["after"]) + len(m["before"])
        places.setdefault((at, at + len(m["old"])), []).append(m)
    for (begin, end), here in sorted(places.items(), reverse=True):
        others = "".join(f"if crate::mutant({m['number']}) {{ {m['new']} }} else " for m in here)
        text = f"{text[:begin]}({others}{{ {text[begin:end]} }}){text[end:]}"
    return text


def build():
    """(path of the test program or None, what the compiler says)."""
    env = dict(os.environ, CARGO_TARGET_DIR=os.path.join(PLACE, "target"))
    done = subprocess.run([CARGO, "test", "--lib", "--locked", "--no-run"], cwd=TREE, env=env, capture_output=True, text=True, timeout=1800)
    found = re.search(r"Executable .*\((.+)\)", done.stderr)
    return (os.path.join(TREE, found.group(1)) if found and not done.returncode else None), done.stderr


def test(program, names, mutant=None):
    """(passed, failed, output) of these tests alone; nothing has passed or failed if they do not come to an end."""
    env = dict(os.environ, SANDHOG_MUTANT=str(mutant or 0))
    try:
        done = subprocess.run([program, "--exact", *names], cwd=TREE, env=env, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return 0, 0, f"not done after {SECONDS} s"
    found = re.search(r"(\d+) passed; (\d+) failed", done.stdout)
    return int(found.group(1)) if found else 0, int(found.group(2)) if found else 0, done.stdout + done.stderr


def examine(rules=()):
    """(how many turned red, what is wrong); prints one line for each."""
    mutants = [m for m in load() if not rules or m["rule"] in rules]
    wrong = stale(mutants)
    if wrong:
        return 0, wrong
    copy(mutants)
    program, out = build()
    if not program:
        return 0, [f"the mutants do not build: {out[-3000:]}"]
    names = sorted({m["test"] for m in mutants})
    passed, failed, out = test(program, names)
    if (passed, failed) != (len(names), 0):
        return 0, [f"without any mutant {passed} of {len(names)} tests pass: {out[-1500:]}"]
    for m in mutants:
        passed, failed, out = test(program, [m["test"]], m["number"])
        verdict = "red" if failed == 1 else "GREEN" if passed == 1 else "NO END"
        print(f"{m['rule']:<5} {verdict:<6} {m['test']}", flush=True)
        if failed != 1:
            wrong.append(f"{m['rule']}: {verdict} ({m['test']}): {out[-300:]}")
    return len(mutants) - len(wrong), wrong


if __name__ == "__main__":
    count, errors = examine(sys.argv[1:])
    for error in errors:
        print(error, file=sys.stderr)
    print(f"{count} red, {len(errors)} wrong")
    sys.exit(1 if errors or not count else 0)
