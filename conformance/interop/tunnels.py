"""One branch with 200 connections to one hub, one pair of addresses; the hub is killed and started anew, and asks for cookies."""
import json
import os
import struct
import subprocess
import sys
import time

from lab import sandhog, wait
from lab.cases import case, check
from lab.edits import toml
from lab.many import address, document, inner
from lab.pair import OUTER, Pair

ROW = "200 tunnels"
COUNT = 200
BAR = 10.0
ECHOES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab", "echoes.py")


def text(outer, names, left, start, dpd):
    """A configuration of all connections."""
    child = {"dpd_action": dpd} if dpd else {}
    return toml(document(range(COUNT), outer, names, left, start, {"dpd_delay": "30s"}, child))


def cookies(path):
    """(IKE_SA_INIT responses that demand a cookie, requests that show one) of a capture of UDP port 500."""
    with open(path, "rb") as f:
        data = f.read()
    demanded = shown = 0
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        frame, at = data[at + 16:at + 16 + size], at + 16 + size
        if frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        ike = frame[14 + (frame[14] & 15) * 4 + 8:]
        if len(ike) < 36 or ike[18] != 34 or ike[16] != 41 or ike[34:36] != struct.pack("!H", 16390):
            continue
        if ike[19] & 0x20:
            demanded += 1
        else:
            shown += 1
    return demanded, shown


def up(end):
    """How many connections are up."""
    return sum(c["state"] == "up" and c["children"][0]["state"] == "up" for c in end.api("GET", "connections")[1]["connections"])


def restarted(how, hub_remote, hub_start):
    """The time from the hub's new start until a ping went through each tunnel."""
    with Pair("two") as lab:
        address(lab, COUNT)
        hub = sandhog.Sandhog(lab.right, text((OUTER[4][1], hub_remote), "hb", False, hub_start, None if hub_start == "start" else "clear"))
        branch = sandhog.Sandhog(lab.left, text(OUTER[4], "bh", True, "start", "restart"))
        began = time.monotonic()
        wait.until("all tunnels, for the first time", lambda: up(branch) == COUNT and up(hub) == COUNT, 60)
        first = time.monotonic() - began
        capture = os.path.join(lab.dir, "cookies.pcap")
        tcpdump = lab.left.start("cookies", ["tcpdump", "-i", lab.left_dev, "-U", "-s", "200", "-w", capture, "udp port 500"])
        wait.until("the capture", lambda: os.path.exists(capture))
        before = ids(branch)
        hub.kill()
        argv = ["ip", "netns", "exec", lab.left.ns, sys.executable, ECHOES, "40", *(a for i in range(COUNT) for a in inner(i))]
        echoes = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        echoes.stdout.readline()
        time.sleep(1)
        restart = time.monotonic()
        hub.spawn()
        answers = json.loads(echoes.communicate(timeout=60)[0])
        # what the hub had before is gone, and of two that crossed one is left
        settled = lambda: up(branch) == COUNT and ids(branch) == ids(hub) and len(ids(branch)) == COUNT and not ids(branch) & before
        wait.until("both ends agree", settled, 30)
        tcpdump.stop()
        demanded, shown = cookies(capture)
        back = sorted(a - restart for a in answers if a)
        slowest = back[-1] if len(back) == COUNT else float("inf")
        return check(len(back) == COUNT and slowest <= BAR and demanded > 0 and shown > 0,
                     f"{how}: {len(back)}/{COUNT} answered, half after {back[len(back) // 2] if back else 0:.1f} s, the last after {slowest:.1f} s; "
                     f"{demanded} cookies demanded, {shown} requests with one; the first time all were up after {first:.1f} s")


def ids(end):
    """SPIs of all IKE SAs."""
    return {sa["spi_i"] for c in end.api("GET", "connections")[1]["connections"] for sa in c["sas"]}


case(ROW, "hub killed and started anew, both ends call", quick=True)(lambda: restarted("both call", OUTER[4][0], "start"))
case(ROW, "hub killed and started anew, it only answers")(lambda: restarted("the hub answers", OUTER[4][0], "none"))
case(ROW, "hub killed and started anew, it knows no addresses")(lambda: restarted("the hub knows no addresses", "%any", "none"))
