"""A bridge between two wires that loses, delays, reorders, duplicates, holds and replays frames; there is no netem here.

Runs inside the namespace of the host between: `python3 relay.py DEV_A DEV_B --loss 0.2 --delay 200 --jitter 50 --duplicate 0.1 --hold 35r:3000 --seed 1`.
`--hold X[r]:MS` holds each first request (or response, `r`) of IKE exchange X for MS milliseconds. Only IPv4 and IPv6 UDP is hurt, so that ARP and neighbour discovery work.
`--control PATH` is a datagram socket for JSON: {"rules": [...]} replaces the rules (see `Rule`), {"replay": ADDRESS} sends everything remembered again from there;
{"esp": {"from": "a"|"b", "cut": octets, "flip": 1, "drop": true}} takes octets from the end of its ESP in UDP, changes the last one, or drops it.
`--log PATH` gets one JSON line for each IKE message, with its fate. `Relay` starts all that from a case.
"""
import argparse
import collections
import heapq
import json
import os
import random
import select
import socket
import struct
import sys
import time

IKE_PORTS = (500, 4500)
REMEMBERED = 4000


class Relay:
    """The bridge in host `between`; `a` and `b` are its devices."""

    def __init__(self, between, a, b, *options):
        self.control = os.path.join(between.lab.dir, f"{between.name}-relay.sock")
        self.log = os.path.join(between.lab.dir, f"{between.name}-relay.jsonl")
        argv = [sys.executable, os.path.abspath(__file__), a, b, "--control", self.control, "--log", self.log, *options]
        self.process = between.start("relay", argv)
        end = time.monotonic() + 10
        while "relaying" not in self.process.text():
            if time.monotonic() > end or not self.process.alive():
                raise RuntimeError(f"the relay did not start: {self.process.text()}")
            time.sleep(0.05)

    def tell(self, **command):
        """Rules or a replay; done when this returns."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(f"{self.control}.{time.monotonic_ns()}")
            s.settimeout(20)
            s.sendto(json.dumps(command).encode(), self.control)
            answer = json.loads(s.recv(65536))
            os.unlink(s.getsockname())
        return answer

    def messages(self):
        """What the log says."""
        with open(self.log) as f:
            return [json.loads(line) for line in f if line.endswith("\n")]


class Rule:
    """{"from": "a"|"b", "exchange": 36, "response": false, "nth": 0, "drop": true | "hold": ms | "double": ms, "queue": true}: what happens to the nth such message. What is absent matches all.

    `queue`: what its sender sends after a held message does not overtake it.
    """

    def __init__(self, rule):
        self.rule, self.seen = rule, 0

    def hits(self, side, message):
        """True for the message that this rule waits for."""
        want = self.rule
        if any(want.get(key) not in (None, value) for key, value in (("from", side), ("exchange", message["exchange"]), ("response", message["response"]))):
            return False
        self.seen += 1
        return want.get("nth") in (None, self.seen - 1)


def udp_offset(frame):
    """Where the UDP header starts in an Ethernet frame, or None."""
    kind = struct.unpack_from("!H", frame, 12)[0]
    if kind == 0x0800 and len(frame) > 34 and frame[23] == 17 and not struct.unpack_from("!H", frame, 20)[0] & 0x1FFF:
        return 14 + (frame[14] & 15) * 4
    if kind == 0x86DD and len(frame) > 54 and frame[20] == 17:
        return 54
    return None


def ike(frame):
    """The clear header of an IKE message in an Ethernet frame, {} for other UDP, None if it is no UDP."""
    udp = udp_offset(frame)
    if udp is None:
        return None
    if len(frame) < udp + 8 + 28:
        return {}
    ports = struct.unpack_from("!HH", frame, udp)
    at = udp + 8
    if 4500 in ports:
        if frame[at:at + 4] != b"\0\0\0\0":
            return {}
        at += 4
    elif 500 not in ports:
        return {}
    if len(frame) < at + 28:
        return {}
    spi_i, spi_r, following, _, exchange, flags, number, _ = struct.unpack_from("!8s8sBBBBII", frame, at)
    return {"spi_i": spi_i.hex(), "spi_r": spi_r.hex(), "exchange": exchange, "response": bool(flags & 0x20), "initiator": bool(flags & 8), "id": number,
            "fragment": struct.unpack_from("!H", frame, at + 32)[0] if following == 53 and len(frame) >= at + 36 else 0, "length": len(frame) - at}


def is_ipsec(frame):
    """ESP of both kinds, and IKE."""
    udp = udp_offset(frame)
    if udp is None:
        return frame[12:14] == b"\x08\x00" and frame[23] == 50
    return any(port in IKE_PORTS for port in struct.unpack_from("!HH", frame, udp)) and len(frame) > udp + 9


def without_checksum(frame):
    """The sender left its UDP checksum to a device that is not there: none is allowed over IPv4 (RFC 768)."""
    if frame[12:14] == b"\x08\x00" and frame[23] == 17 and not frame[20] & 0x3F and not frame[21]:
        at = 14 + (frame[14] & 15) * 4 + 6
        return frame[:at] + b"\0\0" + frame[at + 2:]
    return frame


def is_esp_in_udp(frame):
    """Of IPv4, without a marker of IKE."""
    udp = udp_offset(frame)
    return udp is not None and frame[12:14] == b"\x08\x00" and 4500 in struct.unpack_from("!HH", frame, udp) and len(frame) > udp + 16 and frame[udp + 8:udp + 12] != b"\0\0\0\0"


def damaged(frame, cut=0, flip=0):
    """The same without its last `cut` octets, and the last bit of what is left another one if `flip`."""
    udp = udp_offset(frame)
    end = udp + struct.unpack_from("!H", frame, udp + 4)[0] - cut
    inside = frame[:end - 1] + bytes([frame[end - 1] ^ flip])
    inside = inside[:udp + 4] + struct.pack("!HH", end - udp, 0) + inside[udp + 8:]
    inside = inside[:16] + struct.pack("!H", end - 14) + inside[18:]
    return from_elsewhere(inside, socket.inet_ntoa(frame[26:30]))


def from_elsewhere(frame, source):
    """The same IPv4 packet with another source address."""
    size = (frame[14] & 15) * 4
    head = frame[14:24] + b"\0\0" + socket.inet_aton(source) + frame[30:14 + size]
    total = sum(struct.unpack(f"!{size // 2}H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return frame[:14] + head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:] + frame[14 + size:]


class Bridge:
    """Two sockets, a queue ordered by time, and what is to be done to whom."""

    def __init__(self, args):
        self.args, self.rng = args, random.Random(args.seed)
        self.rules = []
        for hold in args.hold:
            what, ms = hold.split(":")
            self.rules.append(Rule({"exchange": int(what.rstrip("r")), "response": what.endswith("r"), "nth": 0, "hold": int(ms)}))
        self.log = open(args.log, "w", buffering=1) if args.log else None
        self.queue, self.count = [], 0
        self.not_before = {"a": 0.0, "b": 0.0}
        self.remembered = collections.deque(maxlen=REMEMBERED)
        self.esp = None
        self.sides = {}
        for side, dev in (("a", args.a), ("b", args.b)):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
            s.bind((dev, 0))
            s.setblocking(False)
            self.sides[side] = s
        self.control = None
        if args.control:
            self.control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.control.bind(args.control)

    def run(self):
        """Relays until it is ended."""
        while True:
            wait = max(self.queue[0][0] - time.monotonic(), 0) if self.queue else None
            ready, _, _ = select.select([*self.sides.values(), *([self.control] if self.control else [])], [], [], wait)
            for side, s in self.sides.items():
                if s in ready:
                    self.receive(side, s)
            if self.control in ready:
                data, sender = self.control.recvfrom(65536)
                self.control.sendto(json.dumps(self.obey(json.loads(data))).encode(), sender)
            while self.queue and self.queue[0][0] <= time.monotonic():
                _, _, side, frame = heapq.heappop(self.queue)
                self.send(side, frame)

    def receive(self, side, s):
        """Takes what waits on one side, and plans when it leaves on the other."""
        while True:
            try:
                frame, address = s.recvfrom(65536)
            except BlockingIOError:
                return
            if address[2] == socket.PACKET_OUTGOING:
                continue
            frame = without_checksum(frame)
            if self.control and is_ipsec(frame):
                self.remembered.append((side, frame))
            if self.esp and side == self.esp["from"] and is_esp_in_udp(frame):
                if self.esp.get("drop"):
                    continue
                frame = damaged(frame, self.esp.get("cut", 0), self.esp.get("flip", 0))
            now = time.monotonic()
            for delay in self.fate(side, frame, now):
                self.count += 1
                heapq.heappush(self.queue, (max(now + delay, self.not_before[side]), self.count, side, frame))

    def fate(self, side, frame, now):
        """Delays in seconds of its copies."""
        message = ike(frame)
        if message is None:
            return [0.0]
        if self.rng.random() < self.args.loss:
            return []
        copies = [(self.args.delay + self.rng.random() * self.args.jitter) / 1000]
        if self.rng.random() < self.args.duplicate:
            copies.append((self.args.delay + self.rng.random() * (self.args.jitter + 20)) / 1000)
        if not message:
            return copies
        fate = ""
        for rule in self.rules:
            if not rule.hits(side, message):
                continue
            if "hold" in rule.rule:
                copies, fate = [c + rule.rule["hold"] / 1000 for c in copies], f"held {rule.rule['hold']} ms"
                if rule.rule.get("queue"):
                    self.not_before[side] = max(self.not_before[side], now + max(copies, default=0.0))
            elif "double" in rule.rule:
                copies, fate = copies + [copies[0] + rule.rule["double"] / 1000], f"doubled after {rule.rule['double']} ms"
            elif rule.rule.get("drop"):
                copies, fate = [], "dropped"
            break
        if self.log:
            print(json.dumps({"t": round(time.monotonic(), 6), "from": side, **message, "fate": fate}), file=self.log)
        return copies

    def obey(self, command):
        """Rules or a replay."""
        if "rules" in command:
            self.rules = [Rule(rule) for rule in command["rules"]]
        if "esp" in command:
            self.esp = command["esp"]
        if "replay" in command:
            # oldest first, so that nothing in it is new to anybody by the time it comes
            old = [(side, frame) for side, frame in self.remembered if frame[12:14] == b"\x08\x00"]
            for side, frame in old:
                self.send(side, from_elsewhere(frame, command["replay"]))
            return {"replayed": len(old)}
        return {}

    def send(self, side, frame):
        """On the other side."""
        try:
            self.sides["b" if side == "a" else "a"].send(frame)
        except OSError as e:
            print(f"send: {e}", file=sys.stderr)


def main():
    """Parses arguments and relays."""
    p = argparse.ArgumentParser()
    p.add_argument("a")
    p.add_argument("b")
    for name in ("loss", "duplicate", "delay", "jitter"):
        p.add_argument(f"--{name}", type=float, default=0.0)
    p.add_argument("--hold", action="append", default=[])
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--control")
    p.add_argument("--log")
    bridge = Bridge(p.parse_args())
    print("relaying", flush=True)
    bridge.run()


if __name__ == "__main__":
    main()
