"""What a gateway costs that has nothing to do: memory with nothing configured, processor time with tunnels that only live."""
import os
import time

from interop.ourselves import ESP, IKE, NatLab
from lab import sandhog, wait
from lab.cases import case, check
from lab.net import Lab
from lab.pair import PSK

ROW = "idle"
MOST_KIB = 16 * 1024
# Of a core, for 1,000 tunnels.
MOST_SHARE = 0.005


@case(ROW, "nothing configured", quick=True)
def nothing():
    """Resident memory, some seconds after the start."""
    with Lab("idle") as lab:
        daemon = sandhog.Sandhog(lab.host("l"), "[gateway]\n")
        time.sleep(3)
        before = processor(daemon)
        time.sleep(5)
        share = (processor(daemon) - before) / 5
        kib, own = memory(daemon, "Pss"), memory(daemon, "Pss_Anon")
        # A debug build's program is five times as large as the one that is installed.
        counts = own if sandhog.PROFILE == "debug" else kib
        return check(counts <= MOST_KIB, f"{kib / 1024:.1f} MiB of 16, {own / 1024:.1f} of them not from files, {share:.3%} of a core")


def processes(daemon):
    """The daemon is the process that was started, and those that it has started itself."""
    found, new = [], [daemon.process.popen.pid]
    while new:
        pid = new.pop()
        found.append(pid)
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f:
                new += [int(child) for child in f.read().split()]
    return found


def memory(daemon, what):
    """KiB of all its processes; what they share counts once."""
    total = 0
    for pid in processes(daemon):
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += next(int(line.split()[1]) for line in f if line.startswith(f"{what}:"))
    return total


def processor(daemon):
    """Seconds that all of its threads have run, exactly."""
    total = 0
    for pid in processes(daemon):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
    return total / 1e9


def connection(n, local, remote, ours, theirs, start):
    """One of many, with hosts of its own on both sides."""
    at = f"{n // 250}.{n % 250 + 1}"
    mine, other = ("1", "2") if ours == "l" else ("2", "1")
    return f"""
[connections.c{n}]
local_addrs = ["{local}"]
remote_addrs = ["{remote}"]
proposals = ["{IKE}"]
local = {{ auth = "psk", id = "{ours}{n}.example" }}
remote = {{ auth = "psk", id = "{theirs}{n}.example" }}
dpd_delay = "30s"
keepalive = "20s"
rekey_time = "4h"
[connections.c{n}.children.net]
local_ts = ["10.{mine}.{at}/32"]
remote_ts = ["10.{other}.{at}/32"]
esp_proposals = ["{ESP}"]
rekey_time = "2h"
start_action = "{start}"
"""


def tunnels(count, seconds, patience):
    """One daemon behind a NAT, so that it keeps mappings alive, and one that is called; `count` tunnels between the two."""
    with NatLab(False) as lab:
        secret = f'[secrets.all]\nid = ["%any"]\nsecret = "{PSK}"\n'
        write = lambda *of: "[gateway]\n" + "".join(connection(n, *of) for n in range(count)) + secret
        right = sandhog.Sandhog(lab.hosts["r"], write(lab.right_addr, "%any", "r", "l", "none"))
        left = sandhog.Sandhog(lab.hosts["l"], write(lab.left_addr, lab.right_addr, "l", "r", "start"))
        states = lambda: [child["state"] for c in left.status()["connections"] for child in c["children"]]
        wait.until(f"{count} tunnels", lambda: states().count("up") == count, patience, every=1)
        nat = left.status("c0")["ike"]["nat"]
        # What a start leaves to do is done.
        time.sleep(4 if count <= 100 else 10)
        before, sent = [processor(d) for d in (left, right)], keepalives(lab)
        time.sleep(seconds)
        shares = [(processor(d) - b) / seconds for d, b in zip((left, right), before)]
        rate = (keepalives(lab) - sent) / seconds
        most = MOST_SHARE * count / 1000
        up = states().count("up")
        kib = [memory(d, "Pss") for d in (left, right)]
        holds = up == count and nat == "local" and rate >= 0.8 * count / 20 and (max(shares) <= most or sandhog.PROFILE == "debug")
        figure = (f"{up} up, nat {nat}, {rate:.1f} datagrams/s from behind the NAT, {shares[0]:.2%} and {shares[1]:.2%} of a core (at most {most:.2%}), "
                  f"{kib[0] // 1024} and {kib[1] // 1024} MiB")
        return check(holds, figure + (", a debug build: no bar" if sandhog.PROFILE == "debug" else ""))


def keepalives(lab):
    """Datagrams that have left by the NAT."""
    with_stats = lab.nl.run("cat", f"/sys/class/net/{lab.outside}/statistics/tx_packets")
    return int(with_stats)


# Full ones: keepalives and liveness checks come again after 30 s together, and a shorter time has more or less than its share of them.
case(ROW, "100 tunnels")(lambda: tunnels(100, 30, 60))
case(ROW, "1,000 tunnels")(lambda: tunnels(1000, 60, 600))
