"""Floods beside honest traffic, and clear text that must not exist."""
import json
import os
import re
import subprocess
import sys
import time

from interop.ourselves import ESP, IKE, both, must_come_up
from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

LAB = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab")


def flood(host, kind, dev, mac, target, *more):
    """Starts it; ready to send when this returns."""
    p = subprocess.Popen(["ip", "netns", "exec", host.ns, sys.executable, f"{LAB}/flood.py", kind, dev, "--mac", mac, "--target", target, *map(str, more)],
                         stdout=subprocess.PIPE, text=True)
    p.stdout.readline()
    return p


def finished(process):
    """What it sent. Not `communicate`: the line may already stand in the buffer that `readline` filled."""
    sent = json.loads(process.stdout.read())
    process.wait()
    return sent


def mac_of(host, dev):
    """Ethernet address."""
    return re.search(r"link/ether (\S+)", host.ip("link", "show", dev)).group(1)


def octets(host, dev):
    """(received, sent) of an interface."""
    link = json.loads(host.ip("-j", "-s", "link", "show", dev))[0]["stats64"]
    return link["rx"]["bytes"], link["tx"]["bytes"]


def newcomers_during(lab, count, pause):
    """Honest newcomers, spread over the flood: (slowest, how many)."""
    slowest, came = 0.0, 0
    b = lab.newcomer
    for i in range(count):
        begin = time.monotonic()
        up, _ = b.up(f"n{i}", timeout=10)
        slowest = max(slowest, time.monotonic() - begin)
        came += up
        time.sleep(max(pause - (time.monotonic() - begin), 0))
    return slowest, came


def garbage(seconds, flat, init_seconds, newcomers):
    """Left answers everybody who knows the secret; right keeps one tunnel and holds the newcomers' connections ready."""
    with Pair("gar") as lab:
        left, right = lab.left, lab.right
        left.ip("-6", "route", "add", "2001:db8::/32", "via", OUTER[6][1])
        for i in range(newcomers):
            right.address("lo", f"10.3.{i}.1/32")
        anybody = sandhog.config(OUTER[4][0], "%any", IKE, ESP, prefix(INNER[4][0]), "10.0.0.0/8", PSK, "left.example", "%any", encap="always", name="all",
                                 extra="unique = \"never\"", gateway="limits = { per_identity = 64 }")
        a = sandhog.Sandhog(left, anybody.replace('local_addrs = ["192.0.2.1"]', ""))
        text = sandhog.config(OUTER[4][1], OUTER[4][0], IKE, ESP, prefix(INNER[4][1]), prefix(INNER[4][0]), PSK, "right.example", "left.example", encap="always")
        for i in range(newcomers):
            text += f"""
[connections.n{i}]
local_addrs = ["{OUTER[4][1]}"]
remote_addrs = ["{OUTER[4][0]}"]
proposals = ["{IKE}"]
local = {{ auth = "psk", id = "n{i}.example" }}
remote = {{ auth = "psk", id = "left.example" }}
encap = "always"
[connections.n{i}.children.net]
local_ts = ["10.3.{i}.1/32"]
remote_ts = ["{prefix(INNER[4][0])}"]
esp_proposals = ["{ESP}"]
start_action = "none"
"""
        b = sandhog.Sandhog(right, text)
        must_come_up(b, a)
        lab.newcomer = b
        mac = mac_of(left, lab.left_dev)
        c = b.status("peer")
        spis = ["--spi", c["ike"]["spi_i"] + c["ike"]["spi_r"], "--spi", c["children"][0]["spi_out"]]
        rss = a.process.rss_kib()
        notes, ok = [], True

        count = seconds * 200
        f = flood(right, "garbage", lab.right_dev, mac, OUTER[4][0], "--rate", 20_000, "--seconds", seconds, *spis)
        got = traffic.ping(right, INNER[4][1], INNER[4][0], count=count, interval=0.005)
        sent = finished(f)
        notes.append(f"{sent['sent'] / sent['seconds']:.0f}/s for {seconds} s: {count - got} of {count} pings lost")
        ok &= got == count and sent["sent"] / sent["seconds"] > 19_000

        f = flood(right, "garbage", lab.right_dev, mac, OUTER[4][0], "--seconds", flat, *spis)
        sent = finished(f)
        begin = time.monotonic()
        try:
            wait.until("the tunnel after the flood", lambda: traffic.ping(right, INNER[4][1], INNER[4][0], count=1) == 1, 10, 0.01)
        except TimeoutError:
            ok = False
        back = time.monotonic() - begin
        notes.append(f"flat out {sent['sent'] / sent['seconds']:.0f}/s, back after {back:.2f} s")
        ok &= back < 1

        before = octets(left, lab.left_dev)
        f = flood(right, "init", lab.right_dev, mac, OUTER[6][0], "--rate", 50_000, "--seconds", init_seconds)
        slowest, came = newcomers_during(lab, newcomers, 0.8 * init_seconds / newcomers)
        sent = finished(f)
        after = octets(left, lab.left_dev)
        rx, tx = after[0] - before[0], after[1] - before[1]
        grown = a.process.rss_kib() - rss
        notes.append(f"IKE_SA_INIT {sent['sent'] / sent['seconds']:.0f}/s for {init_seconds} s: {came}/{newcomers} newcomers, slowest {slowest:.1f} s, out/in {tx / max(rx, 1):.2f}, RSS +{grown} KiB")
        ok &= came == newcomers and slowest <= 10 and tx <= rx and grown < 64 * 1024 and a.process.alive()
        return check(ok, "; ".join(notes))


case("garbage", "short: 4 s, 1 s flat out, 10 s of IKE_SA_INIT", quick=True)(lambda: garbage(4, 1, 10, 5))
case("garbage", "100 s, 10 s flat out, 30 s of IKE_SA_INIT from 100,000 sources")(lambda: garbage(100, 10, 30, 20))


def clear_text(kills):
    """A LAN host sends all the time; the outer wire and the LAN are watched."""
    with Pair("clr") as lab:
        left, right = lab.left, lab.right
        lan = lab.host("lan")
        gate_dev, lan_dev = lab.wire(left, lan)
        left.address(gate_dev, "10.1.9.1/24")
        lan.address(lan_dev, "10.1.9.2/24")
        lan.ip("route", "add", "default", "via", "10.1.9.1")
        left.sysctl("net.ipv4.ip_forward", 1)
        left.ip("route", "add", "default", "via", OUTER[4][1])
        outside = f"{lab.dir}/outside.pcap"
        watch = right.start("tcpdump", ["tcpdump", "-i", lab.right_dev, "-Q", "in", "-U", "-w", outside, "net 10.0.0.0/8"])
        inside = f"{lab.dir}/inside.pcap"
        watch_lan = lan.start("tcpdump-lan", ["tcpdump", "-i", lan_dev, "-U", "-w", inside, "dst 10.1.9.2 and (udp port 7 or icmp[icmptype] == icmp-echo)"])
        wait.until("tcpdump", lambda: "listening" in watch.text() and "listening" in watch_lan.text())
        a, b = both(lab, *OUTER[4], "10.1.0.0/16", "10.2.0.0/16", start="start")
        talk = [lan.start("ping", ["ping", "-n", "-q", "-i", "0.01", "10.2.0.1"]), left.start("ping", ["ping", "-n", "-q", "-i", "0.01", "-I", "10.1.0.1", "10.2.0.1"])]
        works = lambda: traffic.ping(lan, "10.1.9.2", "10.2.0.1", count=1) == 1
        wait.until("the tunnel", works, 30)
        spoofed = 0
        mac = mac_of(left, lab.left_dev)

        def spoof(count):
            f = flood(right, "spoof", lab.right_dev, mac, "10.1.9.2", "--peer", "10.2.0.1", "--count", count, "--seconds", 30)
            return finished(f)["sent"]

        spoofed += spoof(5_000)
        for _ in range(kills):
            a.kill()
            spoofed += spoof(max(2_500 // kills, 1))
            a.start()
        wait.until("the tunnel after the kills", works, 60)
        a.stop()
        spoofed += spoof(2_500)
        time.sleep(1)
        good = open(a.config).read()
        with open(a.config, "w") as f:
            f.write(good.replace(PSK, "a secret that is wrong 5"))
        a.start()
        time.sleep(3)  # refused over and over
        a.stop()
        with open(a.config, "w") as f:
            f.write(good)
        a.start()
        wait.until("the tunnel at last", works, 60)
        alive = sum(p.alive() for p in talk)
        for p in (*talk, watch, watch_lan):
            p.stop()
        count = lambda path: len(left.run("tcpdump", "-n", "-r", path).splitlines())
        out, delivered = count(outside), count(inside)
        return check(out == 0 and delivered == 0 and alive == 2 and spoofed >= 7_500, f"{out} packets in the clear outside, {delivered} of {spoofed} spoofed ones delivered, {kills} kills")


case("clear text", "start, stop, 5 x kill -9, refusals, spoofed packets", quick=True)(lambda: clear_text(5))
case("clear text", "start, stop, 100 x kill -9, refusals, 10,000 spoofed packets")(lambda: clear_text(100))
