"""scapy and tshark open packets that our ESP sealed with known keys: two independent witnesses of the format."""
import json
import os
import struct
import subprocess
import tempfile

from lab import sandhog
from lab.cases import case, check

# Debian's scapy belongs to Debian's Python, whatever `python3` is here
SCAPY = """
import hmac, json, sys
from scapy.config import conf
conf.verb = 0
from scapy.layers.inet import IP
from scapy.layers.ipsec import ESP, SecurityAssociation
ICV = {"HMAC-SHA1-96": ("sha1", 12), "SHA2-256-128": ("sha256", 16), "SHA2-384-192": ("sha384", 24), "SHA2-512-256": ("sha512", 32)}
good = 0
rows = [json.loads(line) for line in sys.stdin]
for row in rows:
    packet = IP(src="192.0.2.1", dst="192.0.2.2", proto=50) / ESP(bytes.fromhex(row["packet"]))
    packet = IP(bytes(packet))
    verify = True
    if row["esn"] and row["integ"]:
        # this scapy leaves the high 32 bits out of ESP's HMAC (RFC 4303 section 2.2.1): Python's own hmac checks the ICV instead
        digest, size = ICV[row["auth"]]
        octets = bytes.fromhex(row["packet"])
        covered = octets[:-size] + (row["seq"] >> 32).to_bytes(4, "big")
        if hmac.new(bytes.fromhex(row["integ"]), covered, digest).digest()[:size] != octets[-size:]:
            continue
        verify = False
    sa = SecurityAssociation(ESP, spi=row["spi"], crypt_algo=row["crypt"], crypt_key=bytes.fromhex(row["encr"]), auth_algo=row["auth"],
                             auth_key=bytes.fromhex(row["integ"]) or None, tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"), esn_en=row["esn"], esn=row["seq"] >> 32)
    try:
        opened = bytes(sa.decrypt(packet, verify=verify, esn_en=row["esn"], esn=row["seq"] >> 32))
    except Exception as e:
        print("refused", row["crypt"], row["auth"], row["esn"], row["seq"], repr(e), file=sys.stderr)
        continue
    good += opened == bytes.fromhex(row["inner"])
print(good, len(rows))
"""
TSHARK = {"AES-GCM": "AES-GCM with 16 octet ICV [RFC4106]", "AES-CBC": "AES-CBC [RFC3602]", "NULL": "NULL",
          "HMAC-SHA1-96": "HMAC-SHA-1-96 [RFC2404]", "SHA2-256-128": "HMAC-SHA-256-128 [RFC4868]", "SHA2-384-192": "HMAC-SHA-384-192 [RFC4868]",
          "SHA2-512-256": "HMAC-SHA-512-256 [RFC4868]"}


def sealed():
    """What the example prints."""
    out = subprocess.run([sandhog.binary("examples/seal")], capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


@case("witnesses", "scapy opens all suites, ESN on and off", quick=True)
def scapy():
    """Every packet, with the ICV checked."""
    rows = sealed()
    done = subprocess.run(["/usr/bin/python3", "-c", SCAPY], input="\n".join(map(json.dumps, rows)), capture_output=True, text=True, timeout=120)
    good, total = map(int, done.stdout.split())
    return check(good == total == len(rows) > 0, f"{good}/{total} {done.stderr[-300:]}")


@case("witnesses", "tshark opens the AES suites", quick=True)
def tshark():
    """Without ESN, whose high bits tshark cannot know, and without ChaCha20, which this tshark does not have."""
    rows = [r for r in sealed() if not r["esn"] and r["crypt"] in TSHARK]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sealed.pcap")
        with open(path, "wb") as f:
            f.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))  # LINKTYPE_RAW
            for r in rows:
                esp = bytes.fromhex(r["packet"])
                ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(esp), 1, 0, 64, 50, 0, bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
                f.write(struct.pack("<IIII", 0, 0, len(ip + esp), len(ip + esp)) + ip + esp)
        argv = ["tshark", "-r", path, "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
        for r in {r["spi"]: r for r in rows}.values():
            fields = ("IPv4", "*", "*", f"0x{r['spi']:08x}", TSHARK[r["crypt"]], "0x" + r["encr"], TSHARK[r["auth"]], "0x" + r["integ"] if r["integ"] else "")
            argv += ["-o", "uat:esp_sa:" + ",".join(f'"{v}"' for v in fields)]
        argv += ["-T", "fields", "-E", "separator=;", "-e", "udp.payload", "-e", "udp.dstport", "-e", "esp.icv_good"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    lines = [line.split(";") for line in done.stdout.splitlines()]
    good = sum(port == "7001" and payload.replace(":", "") == r["inner"][56:] for (payload, port, _), r in zip(lines, rows))
    icvs = sum(icv in ("1", "True") for _, _, icv in lines)
    macs = sum(bool(r["integ"]) for r in rows)
    return check(good == len(rows) == len(lines) and icvs >= macs, f"{good}/{len(rows)} opened, {icvs} ICVs verified {done.stderr[-200:] if good != len(rows) else ''}")
