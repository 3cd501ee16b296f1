"""What is measured of one tunnel. Rates are of what the far end has received."""
import json
import os
import re
import subprocess
import sys
import time

from lab import wait
from lab.net import LabError

HERE = os.path.dirname(os.path.abspath(__file__))
TICKS = os.sysconf("SC_CLK_TCK")
PORT = 5201


def start_to_ping(system):
    """Milliseconds from the start of the left end to the first answer through the tunnel; the right end is there already."""
    system.right()
    argv = ["ip", "netns", "exec", system.lab.left.ns, sys.executable, os.path.join(HERE, "first_ping.py"), *system.inner]
    asking = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    try:
        asking.stdout.readline()
        begin = time.monotonic()
        system.left()
        answered = asking.communicate(timeout=60)[0].strip()
    finally:
        if asking.poll() is None:
            asking.kill()
            asking.wait()
    if not answered:
        raise LabError(f"no ping through the tunnel\n{system.processes[0].text()[-1500:]}")
    return 1000 * (float(answered) - begin)


def ping(system, count=50, interval=0.01):
    """Mean round trip in milliseconds, and how many of the pings were lost."""
    return answers(start_ping(system, count, interval))


def start_ping(system, count, interval):
    """A ping in the background."""
    source, target = system.inner
    argv = ["ip", "netns", "exec", system.lab.left.ns, "ping", "-n", "-q", "-c", str(count), "-i", str(interval), "-W", "2", "-I", source, target]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def answers(process):
    """What it says when it is done: {mean, lost}. The mean of those that came says nothing if others did not: None if more than 1 % were lost."""
    text = process.communicate(timeout=60)[0]
    sent, came = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", text).groups())
    found = re.search(r"= [\d.]+/([\d.]+)/", text)
    return {"mean": float(found.group(1)) if found and sent - came <= sent / 100 else None, "lost": sent - came}


def tcp(system, flows, seconds):
    """One run: rate, CPU seconds per GB at either end, ping meanwhile."""
    before, pings = cpu(system), start_ping(system, int(seconds * 20), 0.05)
    got = iperf(system, seconds, "-P", flows)
    spent = [now - then for now, then in zip(cpu(system), before)]
    octets = got["end"]["sum_received"]["bytes"]
    return {"mbit": got["end"]["sum_received"]["bits_per_second"] / 1e6, "cpu": [s / (octets / 1e9) for s in spent], "ping": answers(pings)}


def udp(system, size, seconds, mbit=0):
    """Datagrams of so many octets, flat out or at a rate: what came of them, in Mbit/s and in thousands a second; Mbit/s that were offered;
    and how many iperf3 knows to be lost."""
    got = iperf(system, seconds, "-u", "-l", size, "-b", f"{mbit}M" if mbit else 0)
    streams = got["server_output_json"]["intervals"]
    octets, took = sum(i["sum"]["bytes"] for i in streams), sum(i["sum"]["seconds"] for i in streams)
    sent = got["end"]["sum_sent"]
    return {"mbit": 8e-6 * octets / took, "kpps": octets / size / took / 1000, "offered": 8e-6 * sent["bytes"] / sent["seconds"], "lost": got["end"]["sum"]["lost_packets"]}


def udp_overflows(host):
    """Datagrams that sockets of this host have lost because their receive buffers were full."""
    names, values = [line.split() for line in host.run("cat", "/proc/net/snmp").splitlines() if line.startswith("Udp:")]
    return int(values[names.index("RcvbufErrors")])


def resident(system):
    """MiB of each end."""
    return [p.rss_kib() / 1024 for p in system.processes]


def cpu(system):
    """Seconds that each end has used, all of its threads together."""
    def of(pid):
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS
    return [of(p.worker()) for p in system.processes]


def iperf(system, seconds, *options):
    """One run from left to right; iperf3's document, the server's included."""
    left, right = system.lab.left, system.lab.right
    server = right.start("iperf3", ["iperf3", "-s", "-1", "-J", "-B", system.inner[1]])
    wait.until("iperf3", lambda: listens(server.popen.pid), 10, 0.01)
    argv = ["ip", "netns", "exec", left.ns, "iperf3", "-c", system.inner[1], "-B", system.inner[0], "-t", str(seconds), "-J", "--get-server-output", *map(str, options)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 60)
    server.stop()
    try:
        got = json.loads(done.stdout)
    except ValueError:
        got = {"error": done.stdout + done.stderr}
    if "error" in got:
        raise LabError(f"iperf3: {got['error']}")
    return got


def listens(pid):
    """Whether the network of this process has somebody on iperf3's port."""
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}") as f:
            if any(line.split()[1].endswith(f":{PORT:04X}") and line.split()[3] == "0A" for line in list(f)[1:]):
                return True
    return False
