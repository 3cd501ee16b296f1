"""Echo requests over many pairs of addresses at once. Runs inside a namespace: `python3 echoes.py SECONDS SOURCE TARGET [SOURCE TARGET ...]`.

Each pair is asked every 0.2 s until it has answered. Prints "ready" when it begins, then one JSON list: for each pair when it answered first, in
seconds of the monotonic clock, or null.
"""
import json
import os
import select
import socket
import struct
import sys
import time


def checksum(data):
    """RFC 1071, of an even number of octets."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def main():
    """Asks until all have answered, or it is too late."""
    end = time.monotonic() + float(sys.argv[1])
    pairs = list(zip(sys.argv[2::2], sys.argv[3::2]))
    waiting, answers = {}, [None] * len(pairs)
    poll = select.epoll()
    for i, (source, target) in enumerate(pairs):
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        s.setblocking(False)
        s.bind((source, 0))
        s.connect((target, 0))
        waiting[s.fileno()] = (i, s)
        poll.register(s, select.EPOLLIN)
    print("ready", flush=True)
    ident, sequence = os.getpid() & 0xFFFF, 0
    while waiting and time.monotonic() < end:
        sequence += 1
        body = struct.pack("!BBHHH", 8, 0, 0, ident, sequence & 0xFFFF) + bytes(32)
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        for _, s in waiting.values():
            try:
                s.send(body)
            except OSError:
                pass
        again = time.monotonic() + 0.2
        while waiting and (left := again - time.monotonic()) > 0:
            for fd, _ in poll.poll(left):
                i, s = waiting[fd]
                try:
                    packet = s.recv(65536)
                except OSError:
                    continue
                if packet[20:21] == b"\0" and packet[24:26] == struct.pack("!H", ident):
                    answers[i] = time.monotonic()
                    poll.unregister(s)
                    del waiting[fd]
    print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main()
