"""Traffic through a tunnel: pings, and a TCP transfer whose hash is compared."""
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.abspath(__file__)


def ping(host, source, target, count=100, size=56, interval=0.01, df=None):
    """Number of answers."""
    argv = ["ping", "-n", "-q", "-c", str(count), "-i", str(interval), "-s", str(size), "-W", "1", "-I", source, target]
    if df is not None:
        argv[1:1] = ["-M", "do" if df else "dont"]
    out = subprocess.run(["ip", "netns", "exec", host.ns, *argv], capture_output=True, text=True, timeout=count * (interval + 1) + 20).stdout
    found = re.search(r"(\d+) received", out)
    return int(found.group(1)) if found else 0


def tcp(sender, receiver, source, target, megabytes=200, port=5001, timeout=240):
    """Sends pseudo-random bytes; returns (equal hashes, Mbit/s)."""
    def start(host, *argv):
        return subprocess.Popen(["ip", "netns", "exec", host.ns, sys.executable, HERE, *map(str, argv)], stdout=subprocess.PIPE, text=True)
    server = start(receiver, "receive", target, port)
    if server.stdout.readline().strip() != "listening":
        return False, 0.0
    client = start(sender, "send", source, target, port, megabytes)
    try:
        sent = json.loads(client.communicate(timeout=timeout)[0] or "{}")
        got = json.loads(server.communicate(timeout=30)[0] or "{}")
    except (subprocess.TimeoutExpired, ValueError):
        return False, 0.0
    finally:
        for process in (client, server):
            if process.poll() is None:
                process.kill()
            process.wait()
    same = bool(sent) and sent.get("sha256") == got.get("sha256") and sent.get("bytes") == got.get("bytes") == megabytes * 1_000_000
    return same, round(8e-6 * sent.get("bytes", 0) / max(sent.get("seconds", 1), 1e-9), 1)


class Pulse:
    """Numbered datagrams at an even rate from one host to another, while a tunnel between them is moved, rekeyed or broken."""

    def __init__(self, sender, receiver, source, target, rate=1000, port=5002, size=100):
        def start(host, *argv):
            return subprocess.Popen(["ip", "netns", "exec", host.ns, sys.executable, HERE, *map(str, argv)], stdout=subprocess.PIPE, text=True)
        self.receiver = start(receiver, "count", target, port)
        self.receiver.stdout.readline()
        self.sender = start(sender, "pulse", source, target, port, rate, size)
        self.sender.stdout.readline()
        sender.lab.processes.append(self)

    def end(self, linger=1.0):
        """{sent, received, lost, doubled, gap, pauses, last}: `gap` is the longest time in seconds without one; by the monotonic clock, `pauses` are
        the beginnings and ends of all over 0.1 s, and the last one came at `last`."""
        sent = self._end(self.sender)
        time.sleep(linger)
        got = self._end(self.receiver)
        return {"sent": sent["sent"], "lost": sent["sent"] - got["received"], **got}

    def stop(self):
        """Whatever still runs, when the lab is closed."""
        for process in (self.sender, self.receiver):
            if process.poll() is None:
                process.kill()
                process.wait()

    @staticmethod
    def _end(process):
        process.send_signal(signal.SIGTERM)
        said = json.loads(process.stdout.read())
        process.wait()
        return said


def _family(address):
    import socket
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _receive(target, port):
    import socket
    listener = socket.socket(_family(target), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((target, int(port)))
    listener.listen(1)
    listener.settimeout(60)
    print("listening", flush=True)
    peer, _ = listener.accept()
    peer.settimeout(60)
    digest, total, buffer = hashlib.sha256(), 0, memoryview(bytearray(1 << 18))
    while n := peer.recv_into(buffer):
        digest.update(buffer[:n])
        total += n
    peer.close()
    print(json.dumps({"bytes": total, "sha256": digest.hexdigest()}), flush=True)


def _send(source, target, port, megabytes):
    import random
    import socket
    block = random.Random(int(port)).randbytes(1_000_000)
    digest, total = hashlib.sha256(), 0
    connection = socket.socket(_family(target), socket.SOCK_STREAM)
    connection.settimeout(60)
    connection.bind((source, 0))
    connection.connect((target, int(port)))
    begin = time.monotonic()
    for i in range(int(megabytes)):
        shifted = block[i:] + block[:i]
        digest.update(shifted)
        connection.sendall(shifted)
        total += len(shifted)
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    print(json.dumps({"bytes": total, "seconds": time.monotonic() - begin, "sha256": digest.hexdigest()}), flush=True)


def _told_to_end():
    """A flag that SIGTERM sets."""
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    return ended


def _pulse(source, target, port, rate, size):
    import socket
    s = socket.socket(_family(target), socket.SOCK_DGRAM)
    s.bind((source, 0))
    ended = _told_to_end()
    print("sending", flush=True)
    begin, sent = time.monotonic(), 0
    while not ended:
        due = int((time.monotonic() - begin) * float(rate)) - sent
        if due <= 0:
            time.sleep(0.5 / float(rate))
        for _ in range(max(due, 0)):
            try:
                s.sendto(sent.to_bytes(8, "big") + bytes(int(size) - 8), (target, int(port)))
            except OSError:
                pass  # refused by a route: lost like any other
            sent += 1
    print(json.dumps({"sent": sent}), flush=True)


def _count(target, port):
    import socket
    s = socket.socket(_family(target), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    s.bind((target, int(port)))
    s.settimeout(0.2)
    ended = _told_to_end()
    print("counting", flush=True)
    seen, doubled, last, gap, pauses = set(), 0, None, 0.0, []
    while not ended:
        try:
            data = s.recv(2048)
        except TimeoutError:
            continue
        now, number = time.monotonic(), int.from_bytes(data[:8], "big")
        if last and now - last > 0.1:
            pauses.append((last, now))
        gap, last = max(gap, now - (last or now)), now
        doubled += number in seen
        seen.add(number)
    print(json.dumps({"received": len(seen), "doubled": doubled, "gap": round(gap, 3), "pauses": pauses, "last": last or 0}), flush=True)


if __name__ == "__main__":
    {"receive": _receive, "send": _send, "pulse": _pulse, "count": _count}[sys.argv[1]](*sys.argv[2:])
