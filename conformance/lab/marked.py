"""Datagrams that carry a name, and those who look at each of them. Runs inside a namespace; prints one line when it is ready, and JSON at its end.

send NAME PORT RATE SOURCE TARGET [SOURCE TARGET ...]   until SIGTERM
receive NAME PORT COUNT ADDRESS [ADDRESS ...]           until so many of that name have come, or SIGTERM
watch [NAME]                                            every frame of every device of the namespace, until SIGTERM; no NAME: none may be seen
forge NAME DEVICE COUNT SEED                            spoofed and broken IP packets, straight into a device
"""
import json
import os
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import time

# Begins each payload; the name follows, and ends with a NUL.
MARK = b"sandhog conformance "
SIZE = 100
SO_RCVBUFFORCE, SOL_PACKET, PACKET_STATISTICS, ETH_P_ALL = 33, 263, 6, 3


class Marked:
    """One of them in a host; it is ready when this returns."""

    def __init__(self, host, *argv):
        self.popen = subprocess.Popen(["ip", "netns", "exec", host.ns, sys.executable, os.path.abspath(__file__), *map(str, argv)], stdout=subprocess.PIPE, text=True)
        host.lab.processes.append(self)
        if not self.popen.stdout.readline():
            raise RuntimeError(f"marked.py {' '.join(map(str, argv))} at {host.name} ended")

    def done(self):
        """It has ended by itself."""
        return self.popen.poll() is not None

    def end(self):
        """Ends it; what it has to say."""
        if not self.done():
            self.popen.send_signal(signal.SIGTERM)
        said = json.loads(self.popen.stdout.read())
        self.popen.wait()
        return said

    def stop(self):
        """Whatever still runs, when the lab is closed."""
        if not self.done():
            self.popen.kill()
            self.popen.wait()


def marked(name, number):
    """A payload."""
    return (MARK + name.encode() + b"\0" + struct.pack("!Q", number)).ljust(SIZE, b"\0")


def _told_to_end():
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    return ended


def _bound(address, port):
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)
    s.bind((address, port))
    return s


def _send(name, port, rate, *ends):
    ended, sockets = _told_to_end(), []
    for source, target in zip(ends[::2], ends[1::2]):
        s = _bound(source, 0)
        s.connect((target, int(port)))
        sockets.append(s)
    print("sending", flush=True)
    begin, sent, refused = time.monotonic(), 0, 0
    while not ended:
        due = min(int((time.monotonic() - begin) * float(rate)) - sent - refused, 64)
        if due <= 0:
            time.sleep(0.001)
        for _ in range(max(due, 0)):
            try:
                sockets[sent % len(sockets)].send(marked(name, sent))
                sent += 1
            except OSError:
                refused += 1
    print(json.dumps({"sent": sent, "refused": refused, "seconds": time.monotonic() - begin}), flush=True)


def _receive(name, port, count, *addresses):
    ended, poll = _told_to_end(), select.poll()
    sockets = {}
    for address in addresses:
        s = _bound(address, int(port))
        s.setblocking(False)
        sockets[s.fileno()] = s
        poll.register(s, select.POLLIN)
    own = MARK + name.encode() + b"\0"
    print("receiving", flush=True)
    seen, foreign, doubled, example = set(), 0, 0, ""
    while not ended and len(seen) < int(count):
        for fd, _ in poll.poll(200):
            for _ in range(256):
                try:
                    data = sockets[fd].recv(2048)
                except OSError:
                    break
                if not data.startswith(own):
                    foreign, example = foreign + 1, repr(data[:40])
                    continue
                number = data[len(own):len(own) + 8]
                doubled += number in seen
                seen.add(number)
    print(json.dumps({"received": len(seen), "foreign": foreign, "doubled": doubled, "example": example}), flush=True)


def _watch(name=""):
    ended = _told_to_end()
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 26)
    s.settimeout(0.2)
    own = MARK + name.encode() + b"\0"
    os.nice(-10)  # who looks on must not miss what others are quick to send
    print("watching", flush=True)
    seen, foreign, example = 0, 0, ""
    while True:
        try:
            frame = s.recv(1 << 17)
        except TimeoutError:
            if ended:
                break
            continue
        # one frame may be a train of datagrams, and what an ICMP error quotes of one may end within a name
        ours = frame.count(own)
        seen += ours
        if frame.count(MARK) > ours:
            others = [found for found in re.findall(MARK + rb"[^\0]+\0", frame) if found != own]
            foreign, example = foreign + len(others), repr(others[0]) if others else example
    missed = struct.unpack("II", s.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
    print(json.dumps({"seen": seen, "foreign": foreign, "missed": missed, "example": example}), flush=True)


def _forge(name, device, count, seed):
    """Sources and destinations of everybody, true and false lengths, headers cut short, no IP at all. What is whole carries the name."""
    rng = random.Random(int(seed))
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((device, 0x0800))
    addresses = ["10.0.0.1", "10.0.0.77", "10.2.0.1", "169.254.10.1", "169.254.10.2", "192.0.2.1", "192.0.2.2", "192.0.2.6", "127.0.0.1", "255.255.255.255", "224.0.0.1", "0.0.0.0"]
    print("forging", flush=True)
    sent = 0
    for number in range(int(count)):
        data = struct.pack("!HHHH", rng.randrange(65536), 5003, 8 + SIZE, 0) + marked(name, number)
        source, target = (socket.inet_aton(rng.choice(addresses)) for _ in range(2))
        kind = number % 8
        if kind < 4:
            packet = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(data), number & 0xFFFF, 0, 64, 17, 0, source, target)
            packet = packet[:10] + struct.pack("!H", _checksum(packet)) + packet[12:] + data
        elif kind == 4:
            six = [b"\xfd" + bytes(14) + bytes([rng.randrange(3)]) for _ in range(2)]
            packet = struct.pack("!IHBB", 6 << 28, len(data), 17, 64) + b"".join(six) + data
        elif kind == 5:
            packet = struct.pack("!BBHHHBBH4s4s", 0x40 | rng.randrange(16), 0, rng.randrange(65536), 0, rng.getrandbits(16), rng.randrange(256), rng.randrange(256), 0, source, target) + data
        else:
            packet = rng.randbytes(rng.choice((1, 4, 19, 20, 39, 40, 200)))
        try:
            s.send(packet)
            sent += 1
        except OSError:
            pass
        if number % 16 == 0:
            time.sleep(0.001)
    print(json.dumps({"sent": sent}), flush=True)


def _checksum(header):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


if __name__ == "__main__":
    {"send": _send, "receive": _receive, "watch": _watch, "forge": _forge}[sys.argv[1]](*sys.argv[2:])
