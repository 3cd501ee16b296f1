"""The Linux kernel's own ESP, in both roles: raw ESP, ESN on and off, GCM and CBC, large and fragmented packets, ECN."""
import json
import os
import re
import subprocess
import sys

from lab import kernel, sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.net import Lab
from lab.pair import INNER, OUTER, PSK, prefix

ROW = "the kernel's ESP, both roles"
IKE = {"aes256gcm16": "aes256gcm16-prfsha384-ecp384", "aes256-sha256": "aes256-sha256-modp2048"}


class KernelLab(Lab):
    """Our host, and a kernel machine on its tap."""

    def __init__(self):
        super().__init__("kern")
        self.left = self.host("l")
        self.kernel = kernel.Kernel(self.left)
        self.left.address(self.kernel.tap, f"{OUTER[4][0]}/24", f"{OUTER[6][0]}/64")
        self.left.address("lo", prefix(INNER[4][0]), prefix(INNER[6][0]))
        self.kernel.run("ip link set eth0 up; "
                        f"ip addr add {OUTER[4][1]}/24 dev eth0; ip addr add {OUTER[6][1]}/64 dev eth0 nodad; "
                        f"ip addr add {INNER[4][1]}/32 dev lo; ip addr add {INNER[6][1]}/128 dev lo nodad")
        self.kernel.charon()

    def bring_up(self, esp, esn, role, inner, outer, gateway=sandhog.Sandhog):
        """One child with these properties; our daemon."""
        ours, theirs = OUTER[outer]
        inside = [prefix(a) for a in INNER[inner]]
        ike, esp_full = IKE[esp], f"{esp}-{'esn' if esn else 'noesn'}"
        self.kernel.load(strongswan.connection("lab", theirs, ours, ike, esp_full, inside[1], inside[0], PSK, encap="no"))
        us = gateway(self.left, sandhog.config(ours, theirs, ike, esp_full, inside[0], inside[1], PSK), name=f"d{len(self.processes)}")
        up, why = us.up("peer") if role == "initiator" else self.kernel.initiate("net")
        if not up:
            log = self.kernel.run("tail -c 1500 /tmp/charon.log", check=False)
            raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {log}")
        return us


def cells(quick):
    """All cells in one machine: it takes ten seconds to start."""
    wrong, count = [], 0
    with KernelLab() as lab:
        for esp in IKE:
            for esn in (False, True):
                for role in ("initiator", "responder"):
                    for inner, outer in ((4, 4), (6, 6)) if quick else ((4, 4), (4, 6), (6, 4), (6, 6)):
                        us = lab.bring_up(esp, esn, role, inner, outer)
                        ours, theirs = INNER[inner]
                        small = traffic.ping(lab.left, ours, theirs)
                        large = traffic.ping(lab.left, ours, theirs, count=20, size=3000)
                        child = us.status("peer")["children"][0]
                        ok = small == 100 and large == 20 and not child["encap"]
                        count += 1
                        if not ok:
                            wrong.append(f"{esp} esn={esn} {role} {inner}in{outer}: {small}/100, {large}/20, encap={child['encap']}")
                        us.stop()
        errors = lab.kernel.xfrm_errors()
        if errors:
            wrong.append(f"xfrm_stat {errors}")
    return check(not wrong, "; ".join(wrong) or f"{count} cells, 100/100 pings, 20/20 of 3,000 octets, xfrm_stat clean")


case(ROW, "raw ESP: GCM and CBC, ESN on and off, one family inside and out", quick=True)(lambda: cells(True))
case(ROW, "raw ESP: GCM and CBC, ESN on and off, all families")(lambda: cells(False))


@case(ROW, "4 packets with a right ICV and a wrong inner source")
def forged_source():
    """The kernel seals on the negotiated SA what the selectors do not allow."""
    with KernelLab() as lab:
        us = lab.bring_up("aes256gcm16", False, "initiator", 4, 4)
        before = us.status("peer")["children"][0]
        reqid = lab.kernel.run("ip xfrm state | grep -o 'reqid [0-9]*' | head -1").split()[1]
        lab.kernel.run("ip addr add 10.66.0.1/32 dev lo; ip route add 10.1.0.1/32 via 192.0.2.1 dev eth0 src 10.66.0.1; "
                       f"ip xfrm policy add src 10.66.0.1/32 dst {INNER[4][0]}/32 dir out tmpl src {OUTER[4][1]} dst {OUTER[4][0]} proto esp reqid {reqid} mode tunnel")
        lab.kernel.run(f"ping -n -c 4 -i 0.2 -W 1 -I 10.66.0.1 {INNER[4][0]}", check=False)
        drops = lambda: us.status("peer")["children"][0]["drops"].get("selector_mismatch", 0)
        try:
            wait.until("the drops", lambda: drops() == 4, 5)
        except TimeoutError:
            pass
        good = traffic.ping(lab.left, *INNER[4], count=10)
        return check(drops() == 4 and not before["drops"].get("selector_mismatch") and good == 10, f"selector_mismatch {drops()}, then {good}/10 pings")


NAMES = ("not-ect", "ect1", "ect0", "ce")
# RFC 6040 figure 4: row inner, column outer, in the order of the code points; None = dropped
DECAPSULATED = ((0, 0, 0, None), (1, 1, 1, 3), (2, 1, 2, 3), (3, 3, 3, 3))


def icmp_tos(host, count, timeout=3):
    """The ECN fields of echo requests that arrive inside."""
    program = f"""
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
s.settimeout({timeout})
print("ready", flush=True)
got = []
try:
    while len(got) < {count}:
        p = s.recv(2048)
        if p[20] == 8: got.append(p[1])
except TimeoutError: pass
print(got)
"""
    p = subprocess.Popen(["ip", "netns", "exec", host.ns, sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    return p


@case(ROW, "ECN: 16 cells inbound, 4 outbound, DSCP")
def ecn():
    """The outer field of what the kernel sent is rewritten on its way in; what arrives inside must be RFC 6040's."""
    wrong = []
    with KernelLab() as lab:
        lab.bring_up("aes256gcm16", False, "initiator", 4, 4)
        for inner in range(4):
            for outer in range(4):
                lab.left.run("nft", "-f", "-", input=f"""table ip marks
delete table ip marks
table ip marks {{
  chain pre {{
    type filter hook prerouting priority -150;
    ip protocol esp ip ecn set {NAMES[outer]};
  }}
}}
""")
                want = DECAPSULATED[inner][outer]
                watcher = icmp_tos(lab.left, 2, 3 if want is not None else 1)
                lab.kernel.run(f"ping -n -q -c 2 -i 0.05 -W 1 -Q {0xB8 | inner} -I {INNER[4][1]} {INNER[4][0]}", check=False)
                got = json.loads(watcher.stdout.read())
                watcher.wait()
                expected = [] if want is None else [0xB8 | want] * 2
                if got != expected:
                    wrong.append(f"inner {NAMES[inner]} outer {NAMES[outer]}: {got} not {expected}")
        lab.left.run("nft", "delete", "table", "ip", "marks")
        for inner in range(4):
            dump = lab.left.start(f"tos{inner}", ["tcpdump", "-n", "-v", "-l", "-c", "2", "-i", lab.kernel.tap, f"src {OUTER[4][0]} and ip proto 50"])
            wait.until("tcpdump", lambda: "listening" in dump.text())
            traffic_tos = 0xB8 | inner
            lab.left.run("ping", "-n", "-q", "-c", "3", "-i", "0.05", "-Q", str(traffic_tos), "-I", INNER[4][0], INNER[4][1], check=False)
            dump.popen.wait(10)
            if dump.text().count(f"tos 0x{traffic_tos:x}") < 2:
                wrong.append(f"outbound inner {NAMES[inner]}: {dump.text()[-300:]}")
    return check(not wrong, "; ".join(wrong) or "16 of 16 inbound, 4 of 4 outbound, DSCP kept and copied")


@case("a newcomer's first minute", "the README's first real tunnel, as it is written", quick=True)
def readme():
    """Both configurations are taken out of the README."""
    with open(os.path.join(sandhog.ROOT, "README.md")) as f:
        text = f.read()
    ours = re.search(r"```toml\n(.*?)```", text, re.S).group(1)
    theirs = re.search(r"```\n(connections .*?)```", text, re.S).group(1)
    with KernelLab() as lab:
        lab.kernel.load(theirs)
        us = sandhog.Sandhog(lab.left, ours)
        wait.until("the tunnel", lambda: us.status("office")["state"] == "up", 30)
        pings = traffic.ping(lab.left, *INNER[4])
        code, _ = us.client("check", us.config)
        return check(pings == 100 and code == 0, f"up, {pings}/100 pings")
