"""What shows whether a path's MTU is known: datagrams that may or may not be cut, and an even TCP stream that must not stand still.

Runs inside a host: `python3 large.py answer ADDRESS PORT`, `ask SOURCE TARGET PORT whole|cut SIZE ...`, `take ADDRESS PORT`, `give SOURCE TARGET PORT RATE`.
"""
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.abspath(__file__)
# linux/in.h and linux/in6.h; Python's socket module does not have them all
IP_MTU_DISCOVER, IP_MTU, IPV6_MTU_DISCOVER, IPV6_MTU = 10, 14, 23, 24
DONT, DO = 0, 2
SO_MAX_PACING_RATE = 47
PATIENCE, TRIES = 0.4, 12


def _start(host, *argv):
    return subprocess.Popen(["ip", "netns", "exec", host.ns, sys.executable, HERE, *map(str, argv)], stdout=subprocess.PIPE, text=True)


def datagrams(sender, receiver, source, target, sizes, whole, port=5003):
    """What became of one datagram of each size: [{"size", "arrived", "mtu", "tries", "seconds"}].

    `whole`: with DF; then the size goes down to what the socket's MTU allows each time the sender hears that it is too large, and `mtu` is the MTU at
    the end. `arrived` is the size that came to the other end unchanged, None if none did.
    """
    server = _start(receiver, "answer", target, port)
    try:
        server.stdout.readline()
        done = subprocess.run(["ip", "netns", "exec", sender.ns, sys.executable, HERE, "ask", source, target, str(port), "whole" if whole else "cut", *map(str, sizes)],
                              capture_output=True, text=True, timeout=len(sizes) * TRIES * PATIENCE + 10)
        return json.loads(done.stdout)
    finally:
        server.kill()
        server.wait()


class Stream:
    """A TCP connection that carries `rate` octets a second from one host to another until it is ended."""

    def __init__(self, sender, receiver, source, target, rate=1_000_000, port=5004):
        self.receiver = _start(receiver, "take", target, port)
        self.receiver.stdout.readline()
        self.sender = _start(sender, "give", source, target, port, rate)
        self.sender.stdout.readline()
        sender.lab.processes.append(self)

    def end(self, timeout=30):
        """{"equal", "bytes", "gap"}: whether all of it arrived unchanged, how much, and the longest time in seconds without any."""
        self.sender.send_signal(signal.SIGTERM)
        try:
            sent, got = (json.loads(p.communicate(timeout=timeout)[0] or "{}") for p in (self.sender, self.receiver))
        except subprocess.TimeoutExpired:
            sent, got = {}, {}
        self.stop()
        return {"equal": bool(sent) and sent.get("sha256") == got.get("sha256"), "bytes": got.get("bytes", 0), "gap": got.get("gap", float("inf"))}

    def stop(self):
        """Whatever still runs, when the lab is closed."""
        for process in (self.sender, self.receiver):
            if process.poll() is None:
                process.kill()
                process.wait()


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _answer(address, port):
    s = socket.socket(_family(address), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    s.bind((address, int(port)))
    print("listening", flush=True)
    while True:
        data, peer = s.recvfrom(65535)
        s.sendto(hashlib.sha256(data).digest(), peer)


def _ask(source, target, port, how, *sizes):
    print(json.dumps([_ask_one(source, target, int(port), how == "whole", int(size)) for size in sizes]), flush=True)


def _ask_one(source, target, port, whole, size):
    family = _family(target)
    level, discover, mtu, headers = {socket.AF_INET: (socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_MTU, 28),
                                     socket.AF_INET6: (socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_MTU, 48)}[family]
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.setsockopt(level, discover, DO if whole else DONT)
    s.bind((source, 0))
    s.connect((target, port))
    s.settimeout(PATIENCE)
    begin, arrived, now, tries = time.monotonic(), None, size, 0
    while arrived is None and tries < TRIES:
        tries += 1
        data = bytes((i * 7 + tries) % 251 for i in range(now))
        try:
            s.send(data)
            # an answer to an earlier try may be under way
            while arrived is None:
                arrived = now if s.recv(64) == hashlib.sha256(data).digest() else None
        except TimeoutError:
            continue
        except OSError:
            if whole:
                now = min(size, s.getsockopt(level, mtu) - headers)
    return {"size": size, "arrived": arrived, "mtu": s.getsockopt(level, mtu), "tries": tries, "seconds": round(time.monotonic() - begin, 2)}


def _take(address, port):
    listener = socket.create_server((address, int(port)), family=_family(address))
    print("listening", flush=True)
    peer, _ = listener.accept()
    digest, total, gap, last = hashlib.sha256(), 0, 0.0, None
    while data := peer.recv(1 << 16):
        now = time.monotonic()
        gap, last = max(gap, now - (last or now)), now
        digest.update(data)
        total += len(data)
    print(json.dumps({"bytes": total, "sha256": digest.hexdigest(), "gap": round(gap, 2)}), flush=True)


def _give(source, target, port, rate):
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    s = socket.socket(_family(target), socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, int(rate))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    s.settimeout(180)
    s.bind((source, 0))
    s.connect((target, int(port)))
    print("sending", flush=True)
    digest, total = hashlib.sha256(), 0
    while not ended:
        block = hashlib.shake_256(total.to_bytes(8, "big")).digest(16384)
        digest.update(block)
        s.sendall(block)
        total += len(block)
    s.shutdown(socket.SHUT_WR)
    while s.recv(1):
        pass
    print(json.dumps({"bytes": total, "sha256": digest.hexdigest()}), flush=True)


if __name__ == "__main__":
    {"answer": _answer, "ask": _ask, "take": _take, "give": _give}[sys.argv[1]](*sys.argv[2:])
