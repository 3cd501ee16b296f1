"""A name server for one host of the lab, whose answers a case changes while it runs."""
import json
import os
import shutil
import socket
import struct
import sys

A, AAAA, SOA = 1, 28, 6
TTL = 1


class Names:
    """Serves names to the host that it runs on; `None` as an address list: it does not answer at all."""

    def __init__(self, host, **records):
        self.host = host
        # `ip netns exec` puts this in the place of /etc/resolv.conf
        self.etc = f"/etc/netns/{host.ns}"
        os.makedirs(self.etc)
        with open(f"{self.etc}/resolv.conf", "w") as f:
            f.write("nameserver 127.0.0.1\n")
        self.file = os.path.join(host.lab.dir, f"{host.name}-names.json")
        self.set(**records)
        host.lab.processes.append(self)
        self.process = host.start("names", [sys.executable, os.path.abspath(__file__), self.file])

    def set(self, **records):
        """`peer=["192.0.2.2"]` is the name `peer.lab`; what is not named does not exist."""
        with open(f"{self.file}.new", "w") as f:
            json.dump({f"{name}.lab": addresses for name, addresses in records.items()}, f)
        os.rename(f"{self.file}.new", self.file)

    def stop(self):
        """The process is the lab's; the folder is ours."""
        shutil.rmtree(self.etc, ignore_errors=True)


def _question(data):
    """(name, type, where the question ends) of the first question."""
    labels, at = [], 12
    while data[at]:
        labels.append(data[at + 1:at + 1 + data[at]].decode("ascii", "replace").lower())
        at += 1 + data[at]
    return ".".join(labels), struct.unpack("!H", data[at + 1:at + 3])[0], at + 5


def _answer(data, records):
    name, kind, end = _question(data)
    if name in records and records[name] is None:
        return None
    family = {A: socket.AF_INET, AAAA: socket.AF_INET6}.get(kind)
    found = [a for a in records.get(name, []) if family == (socket.AF_INET6 if ":" in a else socket.AF_INET)]
    answers = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, TTL, 4 if kind == A else 16) + socket.inet_pton(family, a) for a in found)
    # without an SOA nobody remembers that there is none
    return data[:2] + struct.pack("!HHHHH", 0x8580 | (0 if name in records else 3), 1, len(found), 0, 0) + data[12:end] + answers


def _serve(file):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    while True:
        data, sender = server.recvfrom(4096)
        with open(file) as f:
            records = json.load(f)
        try:
            answer = _answer(data, records)
        except (IndexError, struct.error):
            continue
        if answer:
            server.sendto(answer, sender)


if __name__ == "__main__":
    _serve(sys.argv[1])
