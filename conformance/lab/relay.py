"""A bridge between two wires that loses, delays, reorders, duplicates and holds frames; there is no netem here.

Runs inside the namespace of the host between: `python3 relay.py DEV_A DEV_B --loss 0.2 --delay 200 --jitter 50 --duplicate 0.1 --hold 35r:3000 --seed 1`.
`--hold X[r]:MS` holds each first request (or response, `r`) of IKE exchange X for MS milliseconds. Only IPv4 and IPv6 UDP is hurt, so that ARP and neighbour discovery work.
"""
import argparse
import heapq
import random
import select
import socket
import struct
import sys
import time

IKE_PORTS = (500, 4500)


def ike(frame):
    """(exchange, is response) of an IKE message in an Ethernet frame, (0, False) for other UDP, None if it is no UDP."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == 0x0800 and len(frame) > 34 and frame[23] == 17:
        udp = 14 + (frame[14] & 15) * 4
    elif kind == 0x86DD and len(frame) > 54 and frame[20] == 17:
        udp = 54
    else:
        return None
    if len(frame) < udp + 8 + 28:
        return 0, False
    source, target = struct.unpack_from("!HH", frame, udp)
    at = udp + 8
    if 4500 in (source, target):
        if frame[at:at + 4] != b"\0\0\0\0":
            return 0, False
        at += 4
    elif 500 not in (source, target):
        return 0, False
    if len(frame) < at + 28:
        return 0, False
    return frame[at + 18], bool(frame[at + 19] & 0x20)


def main():
    """Relays until it is ended."""
    p = argparse.ArgumentParser()
    p.add_argument("a")
    p.add_argument("b")
    for name in ("loss", "duplicate", "delay", "jitter"):
        p.add_argument(f"--{name}", type=float, default=0.0)
    p.add_argument("--hold", action="append", default=[])
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    rng = random.Random(args.seed)
    holds = {}
    for hold in args.hold:
        what, ms = hold.split(":")
        holds[(int(what.rstrip("r")), what.endswith("r"))] = int(ms) / 1000
    sockets = {}
    for dev in (args.a, args.b):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        s.bind((dev, 0))
        s.setblocking(False)
        sockets[dev] = s
    other = {args.a: args.b, args.b: args.a}
    queue, count = [], 0
    print("relaying", flush=True)
    while True:
        now = time.monotonic()
        wait = max(queue[0][0] - now, 0) if queue else None
        ready, _, _ = select.select(list(sockets.values()), [], [], wait)
        for dev, s in sockets.items():
            while s in ready:
                try:
                    frame, address = s.recvfrom(65536)
                except BlockingIOError:
                    break
                if address[2] == socket.PACKET_OUTGOING:
                    continue
                what = ike(frame)
                copies = [0.0]
                if frame[12:14] == b"\x08\x00" and frame[23] == 17 and not frame[20] & 0x1F and not frame[21]:
                    # the sender left its UDP checksum to a device that is not there: none is allowed over IPv4 (RFC 768)
                    at = 14 + (frame[14] & 15) * 4 + 6
                    frame = frame[:at] + b"\0\0" + frame[at + 2:]
                if what is not None:
                    if rng.random() < args.loss:
                        continue
                    copies = [(args.delay + rng.random() * args.jitter) / 1000]
                    if rng.random() < args.duplicate:
                        copies.append((args.delay + rng.random() * (args.jitter + 20)) / 1000)
                    copies[0] += holds.pop(what, 0.0)
                for delay in copies:
                    count += 1
                    heapq.heappush(queue, (time.monotonic() + delay, count, other[dev], frame))
        while queue and queue[0][0] <= time.monotonic():
            _, _, dev, frame = heapq.heappop(queue)
            try:
                sockets[dev].send(frame)
            except OSError as e:
                print(f"send: {e}", file=sys.stderr)


if __name__ == "__main__":
    main()
