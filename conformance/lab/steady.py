"""Steady echo requests over many pairs of addresses at once, whose answers are counted between two questions.

The program runs inside a namespace: `python3 steady.py INTERVAL`. Each line that it reads is a command. A JSON list of pairs, [source, target], is what is asked from
now on; it prints "ready". Any other line asks for what became of the requests since the last such line: it prints a JSON list with [source, target, sent, lost, longest] for
each pair, where `longest` is the longest time in seconds without a request that was answered.
"""
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from lab.echoes import checksum  # noqa: E402

# An answer may take so long, seconds.
LATE = 1.0


class Steady:
    """The program in a host; `pairs` are asked from the beginning."""

    def __init__(self, host, pairs=(), interval=0.2):
        argv = ["ip", "netns", "exec", host.ns, sys.executable, os.path.abspath(__file__), str(interval)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        host.lab.processes.append(self)
        self.ask(pairs)

    def _command(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def ask(self, pairs):
        """These and no others from now on."""
        self._command(json.dumps(list(pairs)))

    def seen(self):
        """{(source, target): (sent, lost, longest)} since this was called last."""
        return {(source, target): tuple(rest) for source, target, *rest in json.loads(self._command("?"))}

    def stop(self):
        """When the lab is closed, or before."""
        self.process.stdin.close()
        self.process.wait()


class One:
    """One pair."""

    def __init__(self, source, target):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)
        self.socket.bind((source, 0))
        self.socket.connect((target, 0))
        # Requests that were sent when, and those of them that were answered.
        self.sent, self.answered = {}, set()

    def send(self, number, ident):
        """One request."""
        body = struct.pack("!BBHHHQ", 8, 0, 0, ident, number & 0xFFFF, number) + bytes(32)
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        self.sent[number] = time.monotonic()
        try:
            self.socket.send(body)
        except OSError:
            pass  # refused by a route: lost like any other

    def receive(self, ident):
        """What has come."""
        try:
            packet = self.socket.recv(65536)
        except OSError:
            return
        if packet[20:21] == b"\0" and packet[24:26] == struct.pack("!H", ident) and len(packet) >= 36:
            self.answered.add(struct.unpack("!Q", packet[28:36])[0])

    def report(self, until):
        """What became of those up to a number."""
        times = [(n, at) for n, at in self.sent.items() if n <= until]
        lost = [n for n, _ in times if n not in self.answered]
        longest, good = 0.0, times[0][1] if times else 0
        for n, at in times:
            longest = max(longest, at - good)
            good = at if n in self.answered else good
        self.sent = {n: at for n, at in self.sent.items() if n > until}
        self.answered = {n for n in self.answered if n > until}
        return len(times), len(lost), round(longest, 3) if lost else 0.0


def main():
    """Asks until the input ends."""
    interval, ident = float(sys.argv[1]), os.getpid() & 0xFFFF
    pairs, by_fd, number, command, wanted = {}, {}, 0, b"", None
    poll = select.epoll()
    poll.register(0, select.EPOLLIN | select.EPOLLHUP)
    again = time.monotonic()
    while True:
        now = time.monotonic()
        if now >= again:
            number += 1
            again = max(again + interval, now)
            for one in pairs.values():
                one.send(number, ident)
        for fd, _ in poll.poll(max(0, again - time.monotonic())):
            if fd:
                by_fd[fd].receive(ident)
                continue
            data = os.read(0, 1 << 20)
            if not data:
                return
            command += data
        if wanted and (now > wanted[1] or all(set(n for n in one.sent if n <= wanted[0]) <= one.answered for one in pairs.values())):
            print(json.dumps([[*pair, *one.report(wanted[0])] for pair, one in pairs.items()]), flush=True)
            wanted = None
        line, end, rest = command.partition(b"\n")
        if not end or wanted:
            continue
        command = rest
        if not line.startswith(b"["):
            wanted = (number, now + LATE)
            continue
        asked = [tuple(pair) for pair in json.loads(line)]
        for pair in [pair for pair in pairs if pair not in asked]:
            one = pairs.pop(pair)
            poll.unregister(one.socket)
            del by_fd[one.socket.fileno()]
            one.socket.close()
        for pair in [pair for pair in asked if pair not in pairs]:
            one = pairs[pair] = One(*pair)
            by_fd[one.socket.fileno()] = one
            poll.register(one.socket, select.EPOLLIN)
        print("ready", flush=True)


if __name__ == "__main__":
    main()
