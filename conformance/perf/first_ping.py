"""Asks one address for an echo every millisecond until it answers; prints when it did, by CLOCK_MONOTONIC. `first_ping.py SOURCE TARGET`"""
import select
import socket
import struct
import sys
import time


def request(v6, number):
    """An ICMP echo request; the kernel fills in the checksum of ICMPv6."""
    head = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 0x5a4d, number)
    total = sum(struct.unpack("!4H", head))
    return head if v6 else head[:2] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + head[4:]


def main(source, target, patience=30.0):
    """Until there is an answer."""
    v6 = ":" in target
    s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
    s.bind((source, 0))
    print("asking", flush=True)
    end, number = time.monotonic() + patience, 0
    while time.monotonic() < end:
        number = (number + 1) & 0xFFFF
        try:
            s.sendto(request(v6, number), (target, 0))
        except OSError:
            pass  # no route yet, or one that refuses
        until = time.monotonic() + 0.001
        while (left := until - time.monotonic()) > 0 and select.select([s], [], [], left)[0]:
            data, sender = s.recvfrom(2048)
            if sender[0] == target and data[0 if v6 else 20] == (129 if v6 else 0):
                print(time.monotonic(), flush=True)
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
