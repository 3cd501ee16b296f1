"""`sandhog capture`: both planes against tcpdump and scapy, its bounds, who may, and what becomes of a capture when its client or the daemon goes."""
import collections
import json
import os
import signal
import time

from interop.ourselves import both, must_come_up
from interop.upgrade import ends
from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.net import run
from lab.pair import INNER, OUTER, Pair, prefix

ROW = "capture"
PINGS = 50
FIELDS = ("frame.interface_name", "frame.packet_flags_direction", "ip.src", "ip.dst", "udp.payload", "icmp.type")
# Debian's scapy belongs to Debian's Python
SCAPY = """
import sys
from scapy.utils import PcapNgReader
from scapy.layers.inet import IP
print(sum(IP in packet for packet in PcapNgReader(sys.argv[1])))
"""


class Capture:
    """A client that captures into a file."""

    def __init__(self, daemon, name, *argv):
        self.daemon, self.file = daemon, os.path.join(daemon.host.lab.dir, f"{name}.pcapng")
        self.process = daemon.host.start(f"capture-{name}", [sandhog.binary("sandhog"), "--socket", daemon.socket, "--json", "capture", *argv, "--out", self.file])
        wait.until(f"capture {name}", lambda: running(daemon) or not self.process.alive(), 10)

    def end(self, timeout=10):
        """Ctrl-C, unless it has ended; its exit code and document."""
        if self.process.alive():
            self.process.popen.send_signal(signal.SIGINT)
        return self.ended(timeout)

    def ended(self, timeout):
        """Its exit code and document, when it has ended by itself."""
        code = self.process.popen.wait(timeout)
        text = self.process.text()
        return code, json.loads(text[text.index("{"):]) if "{" in text else text


def running(daemon):
    """The captures that the daemon lists."""
    return daemon.api("GET", "captures")[1]["captures"]


def packets(path):
    """What tshark makes of a file; one that is cut is an error."""
    argv = ["tshark", "-r", path, "-n", "-T", "fields"] + [part for field in FIELDS for part in ("-e", field)]
    return [dict(zip(FIELDS, line.split("\t"))) for line in run(*argv).splitlines()]


def datagrams(rows):
    """UDP datagrams but keepalives, with how often each was seen."""
    return collections.Counter((row["ip.src"], row["ip.dst"], row["udp.payload"]) for row in rows if len(row["udp.payload"]) > 2)


def pings(rows, interface, kind, direction):
    """Those of a kind on an interface."""
    return sum(row["frame.interface_name"] == interface and row["icmp.type"] == kind and int(row["frame.packet_flags_direction"], 16) == direction for row in rows)


@case(ROW, "both planes, against tcpdump, tshark and scapy")
def planes():
    """What is captured outside is octet by octet what tcpdump sees on the wire, IKE included; what is inside is the pings, each with its direction."""
    with Pair("tap") as lab:
        a, b = both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]), encap="always")
        must_come_up(a, b)
        wire = os.path.join(lab.dir, "wire.pcap")
        lab.left.ip("link", "set", lab.left_dev, "gso_max_segs", 1)
        tcpdump = lab.left.start("tcpdump", ["tcpdump", "-U", "--immediate-mode", "-Z", "root", "-i", lab.left_dev, "-w", wire, "udp port 4500 or udp port 500"])
        wait.until("tcpdump", lambda: "listening" in tcpdump.text(), 10)
        capture = Capture(a, "both", "peer", "--inner", "--outer", "--seconds", "60")
        answered = traffic.ping(lab.left, *INNER[4], count=PINGS)
        a.must("rekey", "peer/net")
        code, told = capture.end()
        tcpdump.stop(signal.SIGINT)
        seen = packets(capture.file)
        outside, on_the_wire = datagrams(row for row in seen if row["frame.interface_name"] == "outer"), datagrams(packets(wire))
        # each of the two was begun and ended a little before or after the other one
        only = [(outside - on_the_wire).total(), (on_the_wire - outside).total()]
        inner = [pings(seen, "inner:peer/net", kind, direction) for kind, direction in (("8", 2), ("0", 1))]
        stray = sum(row["frame.interface_name"] not in ("outer", "inner:peer/net") for row in seen)
        scapy = int(run("/usr/bin/python3", "-c", SCAPY, capture.file))
        private = os.stat(capture.file).st_mode & 0o777 == 0o600
        info = run("capinfos", "-c", "-M", capture.file)
        holds = (code == 0 and answered == PINGS and inner == [PINGS, PINGS] and only[0] == 0 and only[1] <= 4 and outside.total() >= 2 * PINGS + 2 and not stray
                 and told["missed"] == 0 and told["whole"] and told["packets"] == len(seen) == scapy and private and f"packets:{len(seen)}" in info.replace(" ", ""))
        return check(holds, f"{len(seen)} packets (scapy {scapy}): {outside.total()} outside, {only[0]} not on the wire, {only[1]} there alone; pings inside {inner} of {PINGS}; "
                            f"{told['missed']} missed, exit {code}")


@case(ROW, "bounds: time, size, Ctrl-C, a client killed, a reader that goes, another role")
def bounds():
    """However it ends the file is whole, and the daemon copies nothing any more."""
    with Pair("tab") as lab:
        a, b = both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]))
        must_come_up(a, b)
        wrong = []

        def must(what, holds, why=""):
            if not holds:
                wrong.append(f"{what}: {why}")

        begun = time.monotonic()
        code, told = Capture(a, "time", "--seconds", "2").ended(10)
        took = time.monotonic() - begun
        must("time", code == 0 and told["whole"] and 2 <= took < 6, (code, told, took))
        full = Capture(a, "size", "--inner", "--size", "1", "--seconds", "60")
        traffic.tcp(lab.left, lab.right, *INNER[4], 20)
        code, told = full.ended(20)
        size = os.path.getsize(full.file)
        must("size", code == 0 and told["whole"] and 900_000 < size <= 1 << 20 and len(packets(full.file)) == told["packets"], (code, told, size))
        interrupted = Capture(a, "interrupted", "peer/net", "--inner", "--seconds", "60")
        traffic.ping(lab.left, *INNER[4], count=5)
        code, told = interrupted.end()
        must("Ctrl-C", code == 0 and told["whole"] and told["packets"] == 10 == len(packets(interrupted.file)), (code, told))
        killed = Capture(a, "killed", "--inner", "--seconds", "60")
        traffic.ping(lab.left, *INNER[4], count=5)
        killed.process.stop(signal.SIGKILL)
        wait.until("the end of a killed client's capture", lambda: not running(a), 5)
        must("killed", len(packets(killed.file)) <= 10)
        pipe = lab.left.start("pipe", ["sh", "-c", f"{sandhog.binary('sandhog')} --socket {a.socket} capture --inner --seconds 60 --out - | tshark -l -r - -c 4"])
        wait.until("a capture into a pipe", lambda: running(a), 10)
        # who writes hears of it with the next packet
        wait.until("the end of a capture whose reader has gone", lambda: traffic.ping(lab.left, *INNER[4], count=1) and pipe.popen.poll() is not None and not running(a), 20)
        must("pipe", pipe.text().count("ICMP") == 4, pipe.text())
        for verb in ("POST", "GET", "DELETE"):
            observe = sandhog.UnixHttp(f"{a.dir}/observe.sock")
            observe.request(verb, "/v1/captures", b"{}" if verb == "POST" else None, {"Content-Type": "application/json"})
            answer = observe.getresponse()
            body = answer.read()
            must(f"{verb} by who observes", answer.status == 403 and b"access.role" in body, (answer.status, body))
        code, out = a.client("capture", "nobody", "--out", f"{lab.dir}/none")
        must("unknown", code == 2 and out["code"] == "connection.unknown" and not os.path.exists(f"{lab.dir}/none"), (code, out))
        many = [Capture(a, f"many{n}", "--seconds", "60") for n in range(4)]
        wait.until("four captures", lambda: len(running(a)) == 4, 5)
        code, out = a.client("capture", "--out", f"{lab.dir}/none")
        must("a fifth", code == 1 and out["code"] == "capture.many", (code, out))
        status, _ = a.api("DELETE", "captures")
        codes = [one.ended(5)[0] for one in many]
        must("DELETE", status == 204 and codes == [0] * 4 and not running(a), (status, codes))
        return check(not wrong, f"by time after {took:.1f} s, by size at {size} octets, 5 other ways" + "".join(f"; {one}" for one in wrong))


@case(ROW, "a reload and an upgrade while a capture runs")
def replaced():
    """It goes on over a reload; the old daemon ends it whole when another one takes over."""
    with Pair("tau") as lab:
        left, _ = ends(lab, "aes256gcm16")
        capture = Capture(left, "upgraded", "peer", "--inner", "--seconds", "60")
        left.reload()
        left.must("reload")
        before = traffic.ping(lab.left, *INNER[4], count=20)
        code, _ = left.client("upgrade")
        ended, told = capture.ended(10)
        seen = packets(capture.file)
        again = Capture(left, "again", "peer", "--inner", "--seconds", "60")
        after = traffic.ping(lab.left, *INNER[4], count=20)
        code_again, told_again = again.end()
        holds = (code == 0 and ended == 0 and told["whole"] and told["error"] is None and before == after == 20 and len(seen) == told["packets"] == 40
                 and code_again == 0 and told_again["packets"] == 40)
        return check(holds, f"{len(seen)} of {2 * before} before the upgrade, exit {ended} {told['error'] or ''}; {told_again['packets']} of {2 * after} from the new daemon")

