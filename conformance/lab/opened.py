"""What was said inside sealed IKE messages, from a capture and the keys that charon logs at `ike = 4`: a witness that neither daemon wrote.

`messages(capture, keys)` runs this file under Debian's Python, to which `cryptography` belongs. Only AES-GCM with an ICV of 16 octets; every key is tried
on every message, so nobody needs to say whose it is.
"""
import json
import os
import re
import struct
import subprocess
import sys

SA, NONCE, NOTIFY, DELETE, SEALED = 33, 40, 41, 42, 46
LINE = re.compile(r"^(\d+)\[IKE\]\s+(?:(Sk_e[ir] secret) => (\d+) bytes|\d+: ((?:[0-9A-F]{2} )+))", re.M)


def charon_keys(log):
    """The encryption keys in its log, as hex with their salts. Threads write between each other's lines."""
    keys, open_ = [], {}
    for thread, name, size, octets in LINE.findall(log):
        if name:
            open_[thread] = [int(size), ""]
        elif thread in open_:
            open_[thread][1] += octets.replace(" ", "").lower()
            if len(open_[thread][1]) >= 2 * open_[thread][0]:
                keys.append(open_.pop(thread)[1])
    return keys


def messages(capture, keys):
    """[{"t", "source", "spi_i", "spi_r", "exchange", "response", "id", "nonce", "spis": {protocol: spi}, "notifies": [[type, protocol, spi]], "deletes": [[protocol, spis]]}]"""
    done = subprocess.run(["/usr/bin/python3", os.path.abspath(__file__), capture], input=json.dumps(keys), capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise RuntimeError(done.stderr[-1000:])
    return json.loads(done.stdout)


def packets(path):
    """(time, source address, IKE message) of an Ethernet capture, IPv4 only."""
    with open(path, "rb") as f:
        data = f.read()
    at = 24
    while at + 16 <= len(data):
        seconds, micros, got, _ = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16:at + 16 + got]
        at += 16 + got
        if frame[12:14] != b"\x08\x00" or frame[23] != 17:
            continue
        udp = 14 + (frame[14] & 15) * 4
        body = frame[udp + 8:]
        if body[:4] == bytes(4):
            body = body[4:]
        elif 500 not in struct.unpack_from("!HH", frame, udp):
            continue
        if len(body) >= 32:
            yield seconds + micros / 1e6, ".".join(map(str, frame[26:30])), body


def unseal(body, keys, known):
    """First payload type and plaintext, or None. `known` remembers which key opened for these SPIs and this direction."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    if body[16] != SEALED:
        return None
    name = (body[:16], bool(body[19] & 8))
    for key in [known[name]] if name in known else keys:
        raw = bytes.fromhex(key)
        try:
            plain = AESGCM(raw[:-4]).decrypt(raw[-4:] + body[32:40], body[40:], body[:32])
        except InvalidTag:
            continue
        known[name] = key
        return body[28], plain[:len(plain) - 1 - plain[-1]]
    return None


def payloads(kind, plain):
    """(type, body) of each."""
    while kind and len(plain) >= 4:
        following, _, size = struct.unpack_from("!BBH", plain)
        yield kind, plain[4:size]
        kind, plain = following, plain[size:]


def told(kind, plain):
    """What the payloads say."""
    out = {"nonce": None, "spis": {}, "notifies": [], "deletes": []}
    for kind, body in payloads(kind, plain):
        if kind == NONCE:
            out["nonce"] = body.hex()
        elif kind == SA:
            out["spis"][body[5]] = body[8:8 + body[6]].hex()
        elif kind == NOTIFY:
            out["notifies"].append([struct.unpack_from("!H", body, 2)[0], body[0], body[4:4 + body[1]].hex()])
        elif kind == DELETE:
            size, count = struct.unpack_from("!BH", body, 1)
            out["deletes"].append([body[0], [body[4 + i * size:4 + (i + 1) * size].hex() for i in range(count)]])
    return out


def main():
    """Keys come in, messages go out, both as JSON."""
    keys, known, out, opened = json.load(sys.stdin), {}, [], set()
    for t, source, body in packets(sys.argv[1]):
        if body in opened:
            continue  # sent again
        plain = unseal(body, keys, known)
        if plain:
            opened.add(body)
            out.append({"t": t, "source": source, "spi_i": body[:8].hex(), "spi_r": body[8:16].hex(), "exchange": body[18], "response": bool(body[19] & 0x20),
                        "id": struct.unpack_from("!I", body, 20)[0], **told(*plain)})
    json.dump(out, sys.stdout)


if __name__ == "__main__":
    main()
