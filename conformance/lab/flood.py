"""Sends Ethernet frames at a rate. Runs inside a namespace: `python3 flood.py garbage|init|spoof DEV ... `; prints one JSON line with what it sent.

garbage: UDP to ports 500 and 4500, half of it from the peer's own address and port, a third with live SPIs.
init: well-formed IKE_SA_INIT requests, each with another SPI and nonce, from many IPv6 sources.
spoof: plain packets with protected source and destination addresses.
"""
import argparse
import json
import random
import socket
import struct
import time


def ip_bytes(address):
    """Packed address."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp(macs, source, target, sport, dport, payload):
    """An Ethernet frame with an IPv4 or IPv6 UDP datagram."""
    head = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    if ":" in source:
        pseudo = ip_bytes(source) + ip_bytes(target) + struct.pack("!II", 8 + len(payload), 17)
        head = head[:6] + struct.pack("!H", checksum(pseudo + head + payload) or 0xFFFF)
        ip = struct.pack("!IHBB", 6 << 28, 8 + len(payload), 17, 64) + ip_bytes(source) + ip_bytes(target)
        return macs + b"\x86\xdd" + ip + head + payload
    return macs + b"\x08\x00" + ipv4(source, target, 17, 8 + len(payload)) + head + payload


def ipv4(source, target, proto, length):
    """An IPv4 header."""
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, random.getrandbits(16), 0, 64, proto, 0, ip_bytes(source), ip_bytes(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:]


def sa_init(rng):
    """An IKE_SA_INIT request as strongSwan would send: AES-GCM-256, PRF SHA-384, x25519 with a random public value."""
    transforms = [b"\x03\x00\x00\x0c\x01\x00\x00\x14\x80\x0e\x01\x00", b"\x03\x00\x00\x08\x02\x00\x00\x06", b"\x00\x00\x00\x08\x04\x00\x00\x1f"]
    proposal = b"\x00\x00" + struct.pack("!H", 8 + 28) + b"\x01\x01\x00\x03" + b"".join(transforms)
    nat = [struct.pack("!BBHBBH", n, 0, 28, 0, 0, t) + rng.randbytes(20) for n, t in ((41, 16388), (0, 16389))]
    body = (b"\x22\x00" + struct.pack("!H", 4 + len(proposal)) + proposal + b"\x28\x00\x00\x28\x00\x1f\x00\x00" + rng.randbytes(32)
            + b"\x29\x00\x00\x24" + rng.randbytes(32) + b"".join(nat))
    return rng.randbytes(8) + bytes(8) + b"\x21\x20\x22\x08" + struct.pack("!II", 0, 28 + len(body)) + body


def garbage(rng, args, macs):
    """Frames of random octets, of mutated IKE headers, of ESP with live SPIs."""
    frames = []
    for i in range(20_000):
        kind, size = i % 6, rng.choice((0, 1, 3, 4, 8, 27, 28, 32, 60, 200, 600, 1400))
        data = rng.randbytes(size)
        port = 4500 if i % 2 else 500
        if kind < 2 and args.spi:  # a third with live SPIs
            spi = bytes.fromhex(rng.choice(args.spi))
            if len(spi) == 4:
                port, data = 4500, spi + struct.pack("!I", rng.getrandbits(20)) + data
            else:
                header = spi + bytes([rng.choice((33, 46, 41, 0)), 0x20, rng.choice((34, 35, 36, 37)), rng.choice((0, 8, 0x20, 0x28))])
                data = header + struct.pack("!II", rng.randrange(8), 28 + len(data)) + data
                if port == 4500:
                    data = bytes(4) + data
        elif kind == 2:
            data = bytes(4) + data
        elif kind == 3:
            data = rng.randbytes(16) + bytes([rng.choice((33, 46)), rng.choice((0x20, 0x10, 0x30)), rng.choice((2, 34, 35)), 8]) + struct.pack("!II", 0, 28 + len(data)) + data
        if i % 4 < 2:
            source, sport = args.peer, port
        else:
            source, sport = f"198.51.100.{rng.randrange(1, 255)}", rng.randrange(1024, 65536)
        frames.append(udp(macs, source, args.target, sport, port, data))
    return frames


def init(rng, args, macs):
    """One frame for each source."""
    return [udp(macs, f"2001:db8:{rng.getrandbits(16):x}:{rng.getrandbits(16):x}::{i >> 16:x}:{i & 0xFFFF:x}", args.target, rng.randrange(1024, 65536), 500, sa_init(rng))
            for i in range(1, args.sources + 1)]


def spoof(rng, args, macs):
    """ICMP echo requests and UDP, in the clear."""
    frames = []
    for i in range(2_000):
        payload = b"spoofed" + rng.randbytes(20)
        if i % 2:
            frames.append(udp(macs, args.peer, args.target, 4000 + i, 7, payload))
        else:
            icmp = struct.pack("!BBHHH", 8, 0, 0, 99, i) + payload
            icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
            frames.append(macs + b"\x08\x00" + ipv4(args.peer, args.target, 1, len(icmp)) + icmp)
    return frames


def main():
    """Builds first, then sends."""
    p = argparse.ArgumentParser()
    p.add_argument("kind", choices=("garbage", "init", "spoof"))
    p.add_argument("dev")
    p.add_argument("--mac", required=True, help="of the target")
    p.add_argument("--target", required=True)
    p.add_argument("--peer", default="192.0.2.2")
    p.add_argument("--spi", action="append", default=[])
    p.add_argument("--rate", type=int, default=0, help="frames a second; 0 = flat out")
    p.add_argument("--seconds", type=float, default=10)
    p.add_argument("--count", type=int, default=0)
    p.add_argument("--sources", type=int, default=100_000)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    rng = random.Random(args.seed)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((args.dev, 0))
    macs = bytes.fromhex(args.mac.replace(":", "")) + s.getsockname()[4]
    frames = {"garbage": garbage, "init": init, "spoof": spoof}[args.kind](rng, args, macs)
    print("ready", flush=True)
    begin = time.monotonic()
    sent = octets = 0
    limit = args.count or 1 << 60
    while sent < limit and (now := time.monotonic() - begin) < args.seconds:
        due = min(int(now * args.rate) - sent, limit - sent) if args.rate else 64
        if due <= 0:
            time.sleep(0.001)
            continue
        for _ in range(due):
            frame = frames[sent % len(frames)]
            try:
                s.send(frame)
            except OSError:
                continue
            sent += 1
            octets += len(frame)
    print(json.dumps({"sent": sent, "octets": octets, "seconds": time.monotonic() - begin}), flush=True)


if __name__ == "__main__":
    main()
