"""Order: what two workers seal for one SA stays within the narrow windows that peers have. TCP flows, whose acknowledgements bring them to one worker, and
one-way UDP flows, which the kernel spreads over both queues of the device."""
import os
import subprocess
import sys

from interop.kernel import KernelLab
from lab import sandhog, strongswan
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

FLOWS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "flows.py")
COUNTERS = ("TCPDSACKRecv", "TCPSACKReorder")
SUITE = ("aes256gcm16-prfsha384-ecp384", "aes256gcm16")
ROW = "order"
PEER_WINDOW = os.environ.get("SANDHOG_PEER_WINDOW", "64")  # 1024, with which nobody hands over, shows what the replay counters tell then


def counters(host):
    """The sender's counters of TCP that grow when packets change places."""
    lines = host.run("cat", "/proc/net/netstat").splitlines()
    pairs = (zip(names.split(), values.split()) for names, values in zip(lines[::2], lines[1::2]))
    values = {name: value for pair in pairs for name, value in pair}
    return {name: int(values[name]) for name in COUNTERS}


def ours(host):
    """Our daemon on two workers, the left end."""
    text = sandhog.config(*OUTER[4], *SUITE, prefix(INNER[4][0]), prefix(INNER[4][1]), PSK, gateway="workers = 2", child_extra=f"mtu = 1400\npeer_window = {PEER_WINDOW}")
    us = sandhog.Sandhog(host, text)
    up, why = us.up("peer")
    if not up:
        raise RuntimeError(f"not up: {why}")
    return us


def flows(us, seconds, pps, receive):
    """The TCP and UDP flows from our end; `receive` begins and ends the other. By how much the counters of TCP have grown, and those of the
    workers: batches read by each, and batches handed over."""
    host = us.host
    # A tail loss probe is sent because an acknowledgement is late, as those of an emulated machine now and then are, and the duplicate that it makes says nothing of order.
    host.sysctl("net.ipv4.tcp_early_retrans", 0)
    source = subprocess.Popen(["ip", "netns", "exec", host.ns, sys.executable, FLOWS, "source", INNER[4][0], INNER[4][1], str(seconds), str(pps)], stdout=subprocess.PIPE, text=True)
    source.stdout.readline()
    before, batches = counters(host), workers(us)
    stop = receive()
    source.wait(seconds + 60)
    stop()
    grown = {name: count - before[name] for name, count in counters(host).items()}
    return grown, [after - before for after, before in zip(workers(us), batches)]


def workers(us):
    """Batches that each worker has read from the device, and last those that were handed over."""
    of = us.api("GET", "stats")[1]["batches"]
    return [*(sum(worker["out"]) for worker in of), sum(sum(worker["handed"]) for worker in of)]


def verdict(replayed, grown, batches, us, least):
    """The row's bar: it counts only if both workers have read all the while, and one has handed over what it read."""
    child, (*read, handed) = us.status("peer")["children"][0], batches
    whole = child["packets_out"] >= least and len(read) == 2 and min(read) >= least / 100 and handed >= least / 100
    dropped = {reason: count for reason, count in child["drops"].items() if count}
    held = replayed == 0 and not any(grown.values()) and whole and not dropped.get("queue_full")
    return check(held, f"{replayed} replay drops of {child['packets_out']} packets, " + ", ".join(f"{k} +{v}" for k, v in grown.items()) + f", drops {dropped}; batches read by worker {read}, handed over {handed}")


def libipsec(seconds):
    """strongSwan's own ESP: a window of 128, and it logs what it drops."""
    with Pair("po") as lab:
        peer = strongswan.StrongSwan(lab.right)
        inner = [prefix(a) for a in INNER[4]]
        peer.load(strongswan.connection("lab", OUTER[4][1], OUTER[4][0], *SUITE, inner[1], inner[0], PSK))
        gateway = ours(lab.left)

        def receive():
            argv = ["ip", "netns", "exec", lab.right.ns, sys.executable, FLOWS, "sink", INNER[4][1], INNER[4][0]]
            sink = subprocess.Popen(argv)
            return lambda: sink.terminate() or sink.wait()

        grown, batches = flows(gateway, seconds, 250, receive)
        return verdict(peer.process.text().count("sequence number verification failed"), grown, batches, gateway, 4000 * seconds)


def kernel(seconds):
    """The kernel's ESP: a window of 32."""
    with KernelLab() as lab:
        inner = [prefix(a) for a in INNER[4]]
        lab.kernel.load(strongswan.connection("lab", OUTER[4][1], OUTER[4][0], *SUITE, inner[1], inner[0], PSK, encap="no"))
        gateway = ours(lab.left)

        def receive():
            lab.kernel.run("for i in 1 2 3 4; do setsid bash -c 'cat </dev/tcp/%s/5201 >/dev/null' >/dev/null 2>&1 & done" % INNER[4][0])
            return lambda: None

        grown, batches = flows(gateway, seconds, 25, receive)
        errors = lab.kernel.xfrm_errors()
        replayed = errors.pop("XfrmInStateSeqError", 0)
        if errors:
            return check(False, f"xfrm_stat {errors}")
        return verdict(replayed, grown, batches, gateway, 400 * seconds)


for name, run in (("strongSwan's libipsec, window 128", libipsec), ("the kernel, window 32", kernel)):
    case(ROW, f"4 TCP and 16 UDP flows on one SA and two workers to {name}, 5 s", quick=run is libipsec)(lambda run=run: run(5))
    case(ROW, f"4 TCP and 16 UDP flows on one SA and two workers to {name}, 60 s")(lambda run=run: run(60))
