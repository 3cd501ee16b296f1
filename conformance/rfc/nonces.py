#!/usr/bin/env python3
"""No (SPI, sequence number) twice with different bytes, and CBC's IVs unrelated to their neighbours: over captures of what we sent.

`python3 conformance/rfc/nonces.py FOLDER` reads all .pcap files that a run with SANDHOG_CAPTURE=FOLDER left.
AEAD: the eight octets behind the ESP header equal the sequence number. Otherwise they are taken for a CBC IV.
"""
import glob
import hashlib
import json
import os
import struct
import sys

NAT_T = struct.pack("!H", 4500)


def packets(path):
    """(outer addresses, ESP bytes as captured, length on the wire) of each ESP packet."""
    with open(path, "rb") as f:
        data = f.read()
    if len(data) < 24:
        return
    end = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    at = 24
    while at + 16 <= len(data):
        _, _, got, length = struct.unpack_from(end + "IIII", data, at)
        frame = data[at + 16:at + 16 + got]
        at += 16 + got
        kind = frame[12:14]
        if kind == b"\x08\x00":
            ip, proto, hosts = 14 + (frame[14] & 15) * 4, frame[23], frame[26:34]
            if struct.unpack("!H", frame[20:22])[0] & 0x1FFF:
                continue  # a later fragment has no header
        elif kind == b"\x86\xdd":
            ip, proto, hosts = 54, frame[20], frame[22:54]
        else:
            continue
        if proto == 17:
            if frame[ip:ip + 2] != NAT_T:
                continue  # IKE from port 500 to a peer whose NAT chose 4500: no marker, and no ESP
            ip += 8
        elif proto != 50:
            continue
        esp = frame[ip:]
        if len(esp) >= 24 and esp[:4] != b"\0\0\0\0":
            yield hosts, esp, length


def examine(folder):
    """The figures, and what is wrong."""
    total = {"files": 0, "packets": 0, "sas": 0, "aead": 0, "cbc": 0, "repeated": 0, "related": 0}
    wrong = []
    for path in sorted(glob.glob(os.path.join(folder, "*.pcap"))):
        total["files"] += 1
        seen, last = {}, {}
        for hosts, esp, length in packets(path):
            total["packets"] += 1
            spi, seq = esp[:4], struct.unpack("!I", esp[4:8])[0]
            digest = hashlib.blake2b(esp + struct.pack("!I", length), digest_size=12).digest()
            before = seen.setdefault((hosts, spi, seq), digest)
            if before != digest:
                total["repeated"] += 1
                wrong.append(f"{os.path.basename(path)}: SPI {spi.hex()} sequence {seq} twice with different bytes")
            if struct.unpack("!I", esp[12:16])[0] == seq and struct.unpack("!I", esp[8:12])[0] < 16:
                total["aead"] += 1
                continue
            total["cbc"] += 1
            iv = int.from_bytes(esp[8:24], "big")
            old = last.get((hosts, spi))
            last[(hosts, spi)] = iv
            # two unrelated IVs differ in 64 of 128 bits, give or take 5.7; less than 24 is one chance in 10^13
            if old is not None and (bin(old ^ iv).count("1") < 24 or abs(old - iv) < 1 << 64):
                total["related"] += 1
                wrong.append(f"{os.path.basename(path)}: SPI {spi.hex()} sequence {seq}: IV close to its neighbour's")
        total["sas"] += len({k[:2] for k in seen})
    return total, wrong


def main():
    """Prints the figures; 1 if anything is wrong or nothing was captured."""
    total, wrong = examine(sys.argv[1])
    print(json.dumps(total))
    for line in wrong[:20]:
        print(line)
    return 1 if wrong or not total["packets"] else 0


if __name__ == "__main__":
    sys.exit(main())
