"""Sends forged "too big" messages. Runs inside a host: `python3 forge.py '{"target": ..., ...}'`; prints how many it sent, and when it began.

What is quoted is in turn our packet as it is on the wire with the right SPI, one of another SPI, only the beginning of one, one of the other
encapsulation, an IKE message, and one between other hosts; what is claimed goes through all of CLAIMS; what sends it through routers, the peer and strangers.
"""
import json
import random
import socket
import struct
import sys
import time

CLAIMS = (68, 0, 576, 1279, 1280, 1400, 65535)
ESP, UDP, ICMP, ICMPV6 = 50, 17, 1, 58


def checksum(data):
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(source, target, proto, payload, total=None):
    """An IP packet, with DF in IPv4; `total` is what its length says if that is not the truth."""
    if ":" in source:
        size = len(payload) if total is None else total - 40
        return struct.pack("!IHBB", 6 << 28, size, proto, 60) + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, total or 20 + len(payload), random.getrandbits(16), 0x4000, 60, proto, 0, socket.inet_aton(source), socket.inet_aton(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def too_big(source, target, claim, quoted):
    """The whole ICMP or ICMPv6 packet."""
    if ":" in target:
        body = struct.pack("!BBHI", 2, 0, 0, claim) + quoted
        pseudo = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target) + struct.pack("!II", len(body), ICMPV6)
        return packet(source, target, ICMPV6, body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:])
    body = struct.pack("!BBHHH", 3, 4, 0, 0, claim) + quoted
    return packet(source, target, ICMP, body[:2] + struct.pack("!H", checksum(body)) + body[4:])


def quotes(ours, peer, elsewhere, encap, spi, ike):
    """What the messages quote; each is of a packet of 1,500 octets."""
    def esp(spi):
        return spi + struct.pack("!I", random.randrange(1, 100_000)) + bytes(8) + random.randbytes(40)

    def outer(encap, payload, target=peer):
        if encap == "raw":
            return packet(ours, target, ESP, payload, 1500)
        return packet(ours, target, UDP, struct.pack("!HHHH", 4500, 4500, 1500 - (40 if ":" in ours else 20), 0) + payload, 1500)

    head = 40 if ":" in ours else 20
    return [lambda: outer(encap, esp(spi)), lambda: outer(encap, esp(random.randbytes(4))), lambda: outer(encap, esp(spi))[:head + 8],
            lambda: outer("udp" if encap == "raw" else "raw", esp(spi)), lambda: outer("udp", bytes(4) + ike + random.randbytes(40)),
            lambda: outer(encap, esp(spi), elsewhere)]


def main():
    """{"ours", "peer", "elsewhere", "encap", "spi", "ike" (both SPIs), "sources", "count", "seconds"}"""
    said = json.loads(sys.argv[1])
    ours, peer = said["ours"], said["peer"]
    raw = socket.socket(socket.AF_INET6 if ":" in ours else socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    of = quotes(ours, peer, said["elsewhere"], said["encap"], bytes.fromhex(said["spi"]), bytes.fromhex(said["ike"]))
    begin = time.monotonic()
    for i in range(said["count"]):
        # lengths without common divisors: everything meets everything
        source, claim, quoted = said["sources"][i // len(of) % len(said["sources"])], CLAIMS[i % len(CLAIMS)], of[i % len(of)]()
        raw.sendto(too_big(source, ours, claim, quoted), (ours, 0))
        ahead = begin + (i + 1) * said["seconds"] / said["count"] - time.monotonic()
        if ahead > 0.001:
            time.sleep(ahead)
    print(json.dumps({"sent": said["count"], "seconds": round(time.monotonic() - begin, 1)}), flush=True)


if __name__ == "__main__":
    main()
