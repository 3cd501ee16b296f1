"""scapy, tshark and Python's cryptography open packets that our ESP sealed with known keys: independent witnesses of the format."""
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
                             auth_key=bytes.fromhex(row["integ"]) or None, crypt_icv_size=None if row["integ"] else row["icv"], tunnel_header=IP(src="192.0.2.1", dst="192.0.2.2"), esn_en=row["esn"], esn=row["seq"] >> 32)
    try:
        opened = bytes(sa.decrypt(packet, verify=verify, esn_en=row["esn"], esn=row["seq"] >> 32))
    except Exception as e:
        print("refused", row["crypt"], row["auth"], row["esn"], row["seq"], repr(e), file=sys.stderr)
        continue
    good += opened == bytes.fromhex(row["inner"])
print(good, len(rows))
"""
# the layouts of RFC 4303, 4106, 4309 and 4543 once more, on OpenSSL's modes
PYTHON = """
import json, sys
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.cmac import CMAC

def aes(key, block):
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)

def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))

def xcbc(key, message):
    chain, whole, padded = (aes(key, bytes([n] * 16)) for n in (1, 2, 3))
    blocks = [message[at:at + 16] for at in range(0, len(message), 16)] or [b""]
    full = len(blocks[-1]) == 16
    blocks[-1] = xor(blocks[-1] if full else (blocks[-1] + b"\\x80").ljust(16, b"\\0"), whole if full else padded)
    state = bytes(16)
    for block in blocks:
        state = aes(chain, xor(state, block))
    return state

def cmac(key, message):
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()

def gcm(key, nonce, aad, text, icv):
    mode = modes.GCM(nonce, icv, min_tag_length=len(icv))
    opener = Cipher(algorithms.AES(key), mode).decryptor()
    opener.authenticate_additional_data(aad)
    return opener.update(text) + opener.finalize()

def opened(row):
    key, packet, icv = bytes.fromhex(row["encr"]), bytes.fromhex(row["packet"]), row["icv"]
    high = (row["seq"] >> 32).to_bytes(4, "big") if row["esn"] else b""
    front, sealed, icv = packet[:8], packet[8:-icv], packet[-icv:]
    aad = front[:4] + high + front[4:]
    if row["crypt"] == "AES-CBC":
        mac = {"AES-CMAC-96": cmac, "AES-XCBC-96": xcbc}[row["auth"]]
        assert mac(bytes.fromhex(row["integ"]), front + sealed + high)[:12] == icv, "ICV"
        return Cipher(algorithms.AES(key), modes.CBC(sealed[:16])).decryptor().update(sealed[16:])
    iv, text = sealed[:8], sealed[8:]
    if row["crypt"] == "AES-CCM":
        return AESCCM(key[:-3], tag_length=len(icv)).decrypt(key[-3:] + iv, text + icv, aad)
    if row["crypt"] == "AES-GMAC":
        gcm(key[:-4], key[-4:] + iv, aad + sealed, b"", icv)
        return text
    return gcm(key[:-4], key[-4:] + iv, aad, text, icv)

rows = [json.loads(line) for line in sys.stdin]
good = 0
for row in rows:
    try:
        text = opened(row)
    except Exception as e:
        print("refused", row["crypt"], row["auth"], row["icv"], row["esn"], row["seq"], repr(e), file=sys.stderr)
        continue
    inner, pad = bytes.fromhex(row["inner"]), text[-2]
    good += text == inner + bytes(range(1, pad + 1)) + bytes([pad, 4])
print(good, len(rows))
"""
TSHARK = {("AES-GCM", 8): "AES-GCM with 8 octet ICV [RFC4106]", ("AES-GCM", 12): "AES-GCM with 12 octet ICV [RFC4106]",
          ("AES-GCM", 16): "AES-GCM with 16 octet ICV [RFC4106]", "AES-CBC": "AES-CBC [RFC3602]", "NULL": "NULL",
          "HMAC-SHA1-96": "HMAC-SHA-1-96 [RFC2404]", "SHA2-256-128": "HMAC-SHA-256-128 [RFC4868]", "SHA2-384-192": "HMAC-SHA-384-192 [RFC4868]",
          "SHA2-512-256": "HMAC-SHA-512-256 [RFC4868]"}


def crypt_name(row):
    """tshark's name of the cipher, if it has it."""
    return TSHARK.get(row["crypt"]) or TSHARK.get((row["crypt"], row["icv"]))


def sealed():
    """What the example prints."""
    out = subprocess.run(["cargo", "run", "--quiet", "--locked", "--example", "seal"], cwd=sandhog.ROOT, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


@case("witnesses", "scapy opens all suites, ESN on and off", quick=True)
def scapy():
    """Every packet of a suite that this scapy has, with the ICV checked; the others are OpenSSL's, below."""
    def has(r):
        return r["crypt"] != "AES-GMAC" and (r["crypt"] != "AES-GCM" or r["icv"] == 16) and r["auth"] != "AES-XCBC-96" \
            and (r["auth"] != "AES-CMAC-96" or not r["esn"])
    rows = list(filter(has, sealed()))
    done = subprocess.run(["/usr/bin/python3", "-c", SCAPY], input="\n".join(map(json.dumps, rows)), capture_output=True, text=True, timeout=120)
    good, total = map(int, done.stdout.split())
    return check(good == total == len(rows) > 0, f"{good}/{total} {done.stderr[-300:]}")


@case("witnesses", "OpenSSL's modes open what AES alone makes, ESN on and off", quick=True)
def python():
    """GCM with every ICV, CCM, GMAC, and CBC under CMAC and XCBC."""
    rows = [r for r in sealed() if r["crypt"] != "CHACHA20-POLY1305" and r["auth"] in ("NULL", "AES-CMAC-96", "AES-XCBC-96")]
    done = subprocess.run(["/usr/bin/python3", "-c", PYTHON], input="\n".join(map(json.dumps, rows)), capture_output=True, text=True, timeout=120)
    good, total = map(int, done.stdout.split())
    return check(good == total == len(rows) > 0, f"{good}/{total} {done.stderr[-300:]}")


@case("witnesses", "tshark opens the AES suites", quick=True)
def tshark():
    """Without ESN, whose high bits tshark cannot know, and without what this tshark does not have: ChaCha20, CCM, GMAC, CMAC, XCBC."""
    rows = [r for r in sealed() if not r["esn"] and crypt_name(r) and r["auth"] in TSHARK]
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
            fields = ("IPv4", "*", "*", f"0x{r['spi']:08x}", crypt_name(r), "0x" + r["encr"], TSHARK[r["auth"]], "0x" + r["integ"] if r["integ"] else "")
            argv += ["-o", "uat:esp_sa:" + ",".join(f'"{v}"' for v in fields)]
        argv += ["-T", "fields", "-E", "separator=;", "-e", "udp.payload", "-e", "udp.dstport", "-e", "esp.icv_good"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    lines = [line.split(";") for line in done.stdout.splitlines()]
    good = sum(port == "7001" and payload.replace(":", "") == r["inner"][56:] for (payload, port, _), r in zip(lines, rows))
    icvs = sum(icv in ("1", "True") for _, _, icv in lines)
    macs = sum(bool(r["integ"]) for r in rows)
    return check(good == len(rows) == len(lines) and icvs >= macs, f"{good}/{len(rows)} opened, {icvs} ICVs verified {done.stderr[-200:] if good != len(rows) else ''}")
