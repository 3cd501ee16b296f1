#!/usr/bin/env python3
"""Chooses and runs cases; `conformance/run` is the entry that also builds and installs."""
import argparse
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import interop.addresses  # noqa: E402,F401  (importing registers the cases)
import interop.alerts  # noqa: E402,F401
import interop.booted  # noqa: E402,F401
import interop.certs  # noqa: E402,F401
import interop.changes  # noqa: E402,F401
import interop.confirm  # noqa: E402,F401
import interop.crashes  # noqa: E402,F401
import interop.demo  # noqa: E402,F401
import interop.exposure  # noqa: E402,F401
import interop.fixes  # noqa: E402,F401
import interop.forged  # noqa: E402,F401
import interop.furnished  # noqa: E402,F401
import interop.hijack  # noqa: E402,F401
import interop.hostile  # noqa: E402,F401
import interop.image  # noqa: E402,F401
import interop.imported  # noqa: E402,F401
import interop.kernel  # noqa: E402,F401
import interop.languages  # noqa: E402,F401
import interop.managed  # noqa: E402,F401
import interop.mismatches  # noqa: E402,F401
import interop.modes  # noqa: E402,F401
import interop.monitor  # noqa: E402,F401
import interop.moves  # noqa: E402,F401
import interop.mtu  # noqa: E402,F401
import interop.ourselves  # noqa: E402,F401
import interop.package  # noqa: E402,F401
import interop.padded  # noqa: E402,F401
import interop.peers  # noqa: E402,F401
import interop.plans  # noqa: E402,F401
import interop.quantum  # noqa: E402,F401
import interop.resources  # noqa: E402,F401
import interop.routes  # noqa: E402,F401
import interop.schedules  # noqa: E402,F401
import interop.secrets  # noqa: E402,F401
import interop.seeing  # noqa: E402,F401
import interop.served  # noqa: E402,F401
import interop.asked  # noqa: E402,F401
import interop.silent  # noqa: E402,F401
import interop.storm  # noqa: E402,F401
import interop.strongswan  # noqa: E402,F401
import interop.strongswan6  # noqa: E402,F401
import interop.takeover  # noqa: E402,F401
import interop.taps  # noqa: E402,F401
import interop.tenants  # noqa: E402,F401
import interop.top  # noqa: E402,F401
import interop.translation  # noqa: E402,F401
import interop.traps  # noqa: E402,F401
import interop.tunnels  # noqa: E402,F401
import interop.upgrade  # noqa: E402,F401
import interop.vendors  # noqa: E402,F401
import interop.zeros  # noqa: E402,F401
import perf.benches  # noqa: E402,F401
import perf.fast  # noqa: E402,F401
import perf.first  # noqa: E402,F401
import perf.idle  # noqa: E402,F401
import perf.order  # noqa: E402,F401
import rfc.keylog  # noqa: E402,F401
import rfc.rules  # noqa: E402,F401
import rfc.witness  # noqa: E402,F401
import interop.captured  # noqa: E402,F401  (last: it reads what the others captured)
from lab import cases, net  # noqa: E402


def main():
    """Parses arguments and runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "out"))
    args = parser.parse_args()
    if args.list:
        for c in cases.CASES:
            print(f"{'quick' if c.quick else 'full ':<6} {c.row}/{c.name}")
        return 0
    net.need_root()
    captures = os.path.join(args.out, "captures")
    shutil.rmtree(captures, ignore_errors=True)
    os.environ.setdefault("SANDHOG_CAPTURE", captures)
    return 0 if cases.run(args.full, args.only, args.out) else 1


if __name__ == "__main__":
    sys.exit(main())
