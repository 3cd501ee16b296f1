"""First speed: one TCP flow through our tunnel and through strongSwan's libipsec, alternating, in one run."""
import json
import os
import statistics
import subprocess
import sys

from interop.ourselves import both, must_come_up
from lab import strongswan
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

STREAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stream.py")


def stream(lab, seconds):
    """Mbit/s of one TCP flow from left to right."""
    server = subprocess.Popen(["ip", "netns", "exec", lab.right.ns, sys.executable, STREAM, "sink", INNER[4][1]], stdout=subprocess.PIPE, text=True)
    server.stdout.readline()
    subprocess.run(["ip", "netns", "exec", lab.left.ns, sys.executable, STREAM, "source", INNER[4][0], INNER[4][1], str(seconds)], check=True, timeout=seconds + 60)
    return json.loads(server.communicate(timeout=60)[0])["mbit"]


def ours(seconds):
    """Sandhog at both ends."""
    with Pair("ps") as lab:
        must_come_up(*both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]), encap="always"))
        return stream(lab, seconds)


def libipsec(seconds):
    """strongSwan with kernel-libipsec at both ends."""
    with Pair("pl") as lab:
        ends = [strongswan.StrongSwan(h) for h in (lab.left, lab.right)]
        for i, end in enumerate(ends):
            end.load(strongswan.connection("lab", OUTER[4][i], OUTER[4][1 - i], "aes256gcm16-prfsha384-ecp384", "aes256gcm16", prefix(INNER[4][i]), prefix(INNER[4][1 - i]), PSK))
        up, why = ends[0].initiate("net")
        if not up:
            raise RuntimeError(why)
        return stream(lab, seconds)


def compare(rounds, seconds):
    """Medians and their ratio."""
    capture = os.environ.pop("SANDHOG_CAPTURE", None)
    try:
        pairs = [(ours(seconds), libipsec(seconds)) for _ in range(rounds)]
    finally:
        if capture:
            os.environ["SANDHOG_CAPTURE"] = capture
    ratio = statistics.median(a / b for a, b in pairs)
    return check(ratio >= 8, f"{ratio:.1f}x (median of {rounds}): " + ", ".join(f"{a:.0f}/{b:.0f}" for a, b in pairs) + " Mbit/s")


case("first speed", "TCP one flow, AES-256-GCM, against libipsec, 1 round of 3 s", quick=True)(lambda: compare(1, 3))
case("first speed", "TCP one flow, AES-256-GCM, against libipsec, 5 rounds of 5 s")(lambda: compare(5, 5))
