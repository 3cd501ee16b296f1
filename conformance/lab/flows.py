"""What people have in a tunnel while it is worked on: echo requests at an even rate, and a TCP flow that is paced and comes back. Both tell what was
lost, and how long nothing came."""
import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time

HERE = os.path.abspath(__file__)
PORT = 5004
# Whoever answers the flow in a machine that has no Python: no module of Perl's is needed.
PERL = (f"perl -e 'socket(S,2,1,0); setsockopt(S,1,2,1); bind(S,pack(\"S n a4 x8\",2,{PORT},\"\\0\\0\\0\\0\")) or die; listen(S,1); "
        "while(accept(C,S)){while($n=sysread(C,$b,65536)){$o=0;while($o<$n){$o+=syswrite(C,$b,$n-$o,$o)}} close C}'")


def start(host, *argv):
    """One of the programs below in a host, once it has said that it is ready."""
    process = subprocess.Popen(["ip", "netns", "exec", host.ns, sys.executable, HERE, *map(str, argv)], stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def ended(process):
    """What it has to say in the end."""
    process.send_signal(signal.SIGTERM)
    said = json.loads(process.stdout.read())
    process.wait()
    return said


class Load:
    """`rate` echo requests a second from `source` to `target`, and a TCP flow of `megabits` a second there and back. Without a `receiver` somebody else
    listens at the target."""

    def __init__(self, sender, receiver, source, target, rate=1000, megabits=20):
        self.rate, self.megabits = rate, megabits
        self.processes = [start(receiver, "answer", target)] if receiver else []
        self.processes += [start(sender, "flow", source, target, megabits), start(sender, "echo", source, target, rate)]
        sender.lab.processes.append(self)

    def end(self):
        """Of the echoes: {sent, lost, doubled, gap, slowest}; of the flow {sent, same, gap, late}; `gap` is the longest time without anything, in
        seconds, `late` the longest that the sender itself was late, which is the machine's fault, and `there` the receiver's gap."""
        *answer, flow, echo = self.processes
        echoes = ended(echo)
        flow = ended(flow)
        flow["there"] = ended(answer[0])["gap"] if answer else None
        return Seen(self.rate, self.megabits, echoes, flow)

    def stop(self):
        """Whatever still runs, when the lab is closed."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


class Seen:
    """What became of a load."""

    def __init__(self, rate, megabits, echoes, flow):
        self.rate, self.megabits, self.echoes, self.flow = rate, megabits, echoes, flow

    def lost_nothing(self, stall=0.2):
        """No echo was lost or came twice, and the flow is what it was and never stalled."""
        return (self.echoes["lost"] == self.echoes["doubled"] == 0 and self.echoes["sent"] > 0 and self.flow["same"]
                and max(self.flow["gap"], self.flow["there"] or 0) <= stall)

    def __str__(self):
        e, f = self.echoes, self.flow
        there = f"{f['there'] * 1000:.0f} ms there, " if f["there"] is not None else ""
        return (f"{e['lost']} of {e['sent']} echoes lost ({self.rate}/s, {e['doubled']} doubled, slowest {e['slowest'] * 1000:.0f} ms); "
                f"flow of {self.megabits} Mbit/s {'equal' if f['same'] else 'DIFFERENT'}, {f['sent'] / 1e6:.0f} MB, longest gap {there}{f['gap'] * 1000:.0f} ms there and back "
                f"(sender late by {f['late'] * 1000:.0f} ms)")


class Gap:
    """The longest time between two of something."""

    def __init__(self):
        self.last, self.longest = None, 0.0

    def now(self):
        """Here is one."""
        now = time.monotonic()
        self.longest, self.last = max(self.longest, now - (self.last or now)), now
        return now

    def rounded(self):
        """In seconds."""
        return round(self.longest, 4)


def _told_to_end():
    """A flag that SIGTERM sets."""
    flag = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: flag.set())
    return flag


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _echo(source, target, rate):
    import socket
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
    s.bind((source, 0))
    s.connect((target, 0))
    s.settimeout(0.2)
    flag, ident, rate = _told_to_end(), os.getpid() & 0xFFFF, float(rate)
    at, seen, twice, gap, slowest, over = {}, set(), [0], Gap(), [0.0], threading.Event()

    def read():
        while not over.is_set():
            try:
                packet = s.recv(2048)
            except TimeoutError:
                continue
            if packet[20] != 0 or packet[24:26] != struct.pack("!H", ident):
                continue
            now, number = gap.now(), int.from_bytes(packet[28:36], "big")
            twice[0] += number in seen
            seen.add(number)
            slowest[0] = max(slowest[0], now - at[number])

    reader = threading.Thread(target=read)
    reader.start()
    print("ready", flush=True)
    begin, sent = time.monotonic(), 0
    while not flag.is_set():
        due = int((time.monotonic() - begin) * rate) - sent
        if due <= 0:
            time.sleep(0.5 / rate)
        for _ in range(max(due, 0)):
            body = struct.pack("!BBHHHQ", 8, 0, 0, ident, sent & 0xFFFF, sent) + bytes(48)
            at[sent] = time.monotonic()
            sent += 1
            try:
                s.send(body[:2] + struct.pack("!H", _checksum(body)) + body[4:])
            except OSError:
                pass  # refused by a route: lost like any other
    time.sleep(2)
    over.set()
    reader.join()
    print(json.dumps({"sent": sent, "lost": sent - len(seen), "doubled": twice[0], "gap": gap.rounded(), "slowest": round(slowest[0], 4)}), flush=True)


def _flow(source, target, megabits):
    import socket
    s = None
    for attempt in range(50):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # so much that the sender waits for nobody within a second
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        s.bind((source, 0))
        s.settimeout(60)
        try:
            s.connect((target, PORT))
            break
        except ConnectionRefusedError:
            time.sleep(0.1)  # whoever answers is being started
    flag, gap, came = _told_to_end(), Gap(), hashlib.sha256()

    def read():
        while data := s.recv(1 << 18):
            gap.now()
            came.update(data)

    reader = threading.Thread(target=read)
    reader.start()
    print("ready", flush=True)
    rate, went, sent, pace = float(megabits) * 125_000, hashlib.sha256(), 0, Gap()
    begin = time.monotonic()
    while not flag.is_set():
        time.sleep(0.005)
        due = int((pace.now() - begin) * rate) - sent
        block = struct.pack("!Q", sent) + os.urandom(max(due - 8, 0))
        went.update(block)
        s.sendall(block)
        sent += len(block)
    s.shutdown(socket.SHUT_WR)
    reader.join()
    print(json.dumps({"sent": sent, "same": went.digest() == came.digest(), "gap": gap.rounded(), "late": pace.rounded()}), flush=True)


def _answer(target):
    import socket
    flag = _told_to_end()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((target, PORT))
    listener.listen(1)
    print("ready", flush=True)
    peer, _ = listener.accept()
    gap = Gap()
    while data := peer.recv(1 << 18):
        gap.now()
        peer.sendall(data)
    peer.close()
    flag.wait(30)
    print(json.dumps({"gap": gap.rounded()}), flush=True)


if __name__ == "__main__":
    {"echo": _echo, "flow": _flow, "answer": _answer}[sys.argv[1]](*sys.argv[2:])
