"""Steady echo requests over many pairs of addresses at once. Runs inside a namespace: `python3 steady.py INTERVAL SOURCE TARGET [SOURCE TARGET ...]`.

Prints "ready" when it begins. When its input ends it waits for late answers and prints one JSON list: for each pair how many requests were sent, and
how many of them were answered.
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
    """Asks until the input ends."""
    interval = float(sys.argv[1])
    pairs = list(zip(sys.argv[2::2], sys.argv[3::2]))
    sockets, sent, answered = [], [0] * len(pairs), [set() for _ in pairs]
    poll = select.epoll()
    by_fd = {}
    for i, (source, target) in enumerate(pairs):
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        s.setblocking(False)
        s.bind((source, 0))
        s.connect((target, 0))
        sockets.append(s)
        by_fd[s.fileno()] = i
        poll.register(s, select.EPOLLIN)
    poll.register(0, select.EPOLLIN | select.EPOLLHUP)
    print("ready", flush=True)
    ident, sequence, end = os.getpid() & 0xFFFF, 0, None
    while end is None or time.monotonic() < end:
        if end is None:
            sequence += 1
            body = struct.pack("!BBHHH", 8, 0, 0, ident, sequence) + bytes(32)
            body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
            for i, s in enumerate(sockets):
                sent[i] += 1
                try:
                    s.send(body)
                except OSError:
                    pass
        again = time.monotonic() + interval
        while (left := again - time.monotonic()) > 0:
            for fd, _ in poll.poll(left):
                if fd == 0:
                    poll.unregister(0)
                    end = time.monotonic() + 2
                    continue
                i = by_fd[fd]
                try:
                    packet = sockets[i].recv(65536)
                except OSError:
                    continue
                if packet[20:21] == b"\0" and packet[24:26] == struct.pack("!H", ident):
                    answered[i].add(packet[26:28])
    print(json.dumps([sent, [len(a) for a in answered]]), flush=True)


main()
