"""Where a worker's time goes: reads `perf script` and puts each sample of a daemon's threads into one stage, by the innermost frame that names one.

    perf record -a -e cpu-clock -F 1999 -g -o FILE -- sleep 5      # while traffic runs
    perf script -i FILE -F comm,pid,ip,sym | python3 stages.py PID...
"""
import re
import sys

# innermost frame first: the first stage whose pattern one of its frames matches, tried frame by frame
STAGES = (
    ("AEAD", r"^ring|aes_gcm|gcm_ghash|aes_hw|chacha|poly1305|CRYPTO_memcmp|crypto::(aead|cipher)|sha256|vaes|cbc::"),
    ("segment, checksum, copy", r"dataplane::segment|Pieces|dataplane::train"),
    ("merge, checksum", r"dataplane::merge"),
    ("lookup, window, counters", r"ipsec::|esp::|wire::|dataplane::(in|out)bound|dataplane::stats|arc_swap|ip::parse"),
    ("softirq: what came meanwhile", r"__do_softirq|handle_softirqs|net_rx_action"),
    ("interrupts, scheduler", r"^(asm_)?sysvec_|^schedule$|__schedule|finish_task_switch|irqentry"),
    ("TUN read", r"tun_chr_read_iter|Queue as .*Tun>::read"),
    ("TUN write, stack of the host behind it", r"tun_chr_write_iter|tun_get_user|Queue as .*Tun>::write"),
    ("send", r"sys_sendmsg|sys_sendmmsg|mmsg::send|udp::UdpSocket.*send"),
    ("receive", r"sys_recvmmsg|recvmmsg|mmsg::Receiver"),
    ("wait", r"epoll_wait|Poll::wait|fds::Poll"),
)


def samples(lines):
    """(pid, frames from the innermost) of each."""
    pid, frames = None, []
    for line in lines:
        if not line.strip():
            if pid is not None:
                yield pid, frames
            pid, frames = None, []
        elif line[0] != "\t":
            pid = int(line.split()[-1])
        else:
            frames.append(line.split(None, 1)[-1].strip())
    if pid is not None:
        yield pid, frames


def stage(frames, compiled=tuple((name, re.compile(pattern)) for name, pattern in STAGES)):
    """Its name."""
    for frame in frames:
        for name, pattern in compiled:
            if pattern.search(frame):
                return name
    return "other"


def main(pids):
    """Prints shares for each process."""
    counts = {pid: {} for pid in pids}
    for pid, frames in samples(sys.stdin):
        if pid in counts:
            name = stage(frames)
            counts[pid][name] = counts[pid].get(name, 0) + 1
    for pid, of in counts.items():
        total = sum(of.values()) or 1
        print(f"{pid}: {total} samples")
        for name, n in sorted(of.items(), key=lambda x: -x[1]):
            print(f"  {100 * n / total:5.1f} %  {name}")


if __name__ == "__main__":
    main([int(a) for a in sys.argv[1:]])
