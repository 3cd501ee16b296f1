#!/usr/bin/env python3
"""Where the workers' time goes: samples both daemons with `perf record` while traffic runs, puts each sample into the stage that its innermost telling
frame names, and prints a table for benches/README.md. Needs `perf` (linux-perf) and a release build: `profile.py [SECONDS]`"""
import os
import re
import signal
import subprocess
import sys
import tempfile

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    sys.dont_write_bytecode = True

from lab import net, wait  # noqa: E402
from perf import compare, measure  # noqa: E402
from perf.systems import Sandhog  # noqa: E402

# The frames of a sample are looked at from the innermost; the first that one of these knows decides.
STAGES = (
    ("AEAD", r"^ring|aes_gcm|gcm_ghash|aes_hw|CRYPTO_memcmp|crypto::"),
    ("segment: copy, headers, checksum", r"dataplane::segment|Pieces|dataplane::train"),
    ("merge: checksum, neighbours", r"dataplane::merge"),
    ("policy, SA, window, counters", r"ipsec::|esp::|wire::|dataplane::|arc_swap"),
    ("kernel: what came in meanwhile (the other end's packets, TCP)", r"do_softirq|handle_softirqs|net_rx_action"),
    ("kernel: interrupts, scheduler", r"sysvec_|^schedule$|^__schedule|finish_task_switch|irqentry"),
    ("kernel: read the TUN", r"tun_chr_read_iter|readv|read_vectored|Tun>::read"),
    ("kernel: write the TUN, and the host's stack behind it", r"tun_chr_write_iter|tun_get_user|writev|write_vectored|Tun>::write"),
    ("kernel: send trains", r"sys_sendm|mmsg::send|UdpSocket"),
    ("kernel: receive trains", r"recvmmsg|mmsg::Receiver"),
    ("kernel: wait", r"epoll_wait|fds::Poll"),
)
KNOWN = tuple((name, re.compile(pattern)) for name, pattern in STAGES)
TRAFFIC = (("TCP, 1 flow", lambda system, seconds: measure.tcp(system, 1, seconds)["mbit"]), ("UDP 1300 B flood", lambda system, seconds: measure.udp(system, 1300, seconds)["mbit"]))
HERTZ = 1999


def samples(lines):
    """(process, frames from the innermost) of each, from `perf script -F comm,pid,ip,sym`."""
    pid, frames = None, []
    for line in lines:
        if line[0] == "\t":
            frames.append(line.split(None, 1)[-1].strip())
        elif line.strip():
            pid, frames = int(line.split()[-1]), []
        elif pid is not None:
            yield pid, frames
            pid = None


def stage(frames):
    """Its name."""
    return next((name for frame in frames for name, pattern in KNOWN if pattern.search(frame)), "other")


def profile(traffic, seconds):
    """Mbit/s, and for each end {stage: nanoseconds per packet that it sent or received}."""
    with compare.no_capture(), compare.tunnel(Sandhog) as system, tempfile.TemporaryDirectory() as folder:
        measure.start_to_ping(system)
        data = os.path.join(folder, "perf.data")
        recorder = subprocess.Popen(["perf", "record", "-q", "-a", "-e", "cpu-clock", "-F", str(HERTZ), "-g", "-o", data])
        wait.until("perf", lambda: os.path.exists(data), 10)
        mbit = traffic(system, seconds)
        recorder.send_signal(signal.SIGINT)
        recorder.wait()
        text = net.run("perf", "script", "-i", data, "-F", "comm,pid,ip,sym", timeout=120)
        pids = [p.worker() for p in system.processes]
        children = [end.status("peer")["children"][0] for end in system.ends]
        packets = [children[0]["packets_out"], children[1]["packets_in"]]
    counts = {pid: {} for pid in pids}
    for pid, frames in samples(text.splitlines(keepends=True)):
        if pid in counts:
            name = stage(frames)
            counts[pid][name] = counts[pid].get(name, 0) + 1
    return mbit, [{name: 1e9 * n / HERTZ / count for name, n in of.items()} for of, count in zip(counts.values(), packets)]


def main(seconds=8):
    """A table: a row for each stage, two columns for each kind of traffic."""
    net.need_root()
    found = [(name, *profile(traffic, int(seconds))) for name, traffic in TRAFFIC]
    print("| stage | " + " | ".join(f"{name}, {mbit:.0f} Mbit/s: {end}" for name, mbit, _ in found for end in ("sender", "receiver")) + " |")
    print("| --- |" + " --- |" * 2 * len(found))
    for row in [name for name, _ in STAGES] + ["other"]:
        print(f"| {row} | " + " | ".join(f"{of.get(row, 0):.0f} ns, {100 * of.get(row, 0) / sum(of.values()):.1f} %" for _, _, ends in found for of in ends) + " |")
    print("| all | " + " | ".join(f"{sum(of.values()):.0f} ns" for _, _, ends in found for of in ends) + " |")


if __name__ == "__main__":
    main(*sys.argv[1:])
