"""Our key log in tshark: every suite that this tshark knows, decrypted, with every check "correct"."""
import os
import re
import subprocess
import time

from interop.ourselves import both, must_come_up
from lab import agree, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, Pair, prefix

ROW = "key log in Wireshark"
# IKE proposal, ESP proposal, and whether tshark checks the ICV of each: it opens CMAC and XCBC without
SUITES = [
    ("aes128-sha1-modp2048", "aes128-sha1", True, True),
    ("aes192-sha384-ecp256", "aes192-sha384", True, True),
    ("aes256-sha256-x25519", "aes256-sha256", True, True),
    ("aes256-sha512-x25519", "aes256-sha512", True, True),
    ("aes256gcm16-prfsha384-x25519", "aes256gcm16", True, True),
    ("aes192gcm12-prfsha256-x25519", "aes192gcm12", True, True),
    ("aes128gcm8-prfsha256-x25519", "aes128gcm8", True, True),
    ("aes128ccm16-prfaescmac-x25519", "aes128gcm16", True, True),
    ("aes192ccm12-prfsha256-x25519", "aes192gcm16", True, True),
    ("aes256ccm8-prfsha256-x25519", "aes256gcm12", True, True),
    ("aes256-aesxcbc-x25519", "aes128-aescmac", False, False),
    ("aes128-aescmac-x25519", "aes256-aesxcbc", False, False),
]
PINGS = 10


def pings(lab, *_):
    """Some each way."""
    traffic.ping(lab.left, *INNER[4], PINGS)


def capture(lab, ike, esp, encap, talk):
    """A tunnel with a key log comes up, `talk`s and goes; the capture, and the folder of the tables."""
    path = os.path.join(lab.dir, "wire.pcap")
    tcpdump = lab.left.start("tcpdump", ["tcpdump", "-i", lab.left_dev, "-U", "--immediate-mode", "-Z", "root", "-s", "0", "-w", path, "udp port 500 or udp port 4500 or ip proto 50"])
    keys = os.path.join(lab.dir, "keys")
    extra = f'keylog = {{ path = "{keys}", until = "2999-01-01T00:00:00Z" }}'
    a, b = both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]), ike=ike, esp=esp, encap=encap, extra=extra)
    must_come_up(a, b)
    talk(lab, a, b)
    loud = any(keys in warning for warning in a.status("peer")["warnings"]) and "keys were written" in a.process.text()
    a.client("down", "peer")
    time.sleep(0.5)
    tcpdump.stop()
    return path, keys, loud


def tshark(path, keys):
    """What tshark says of each packet with our tables as its own."""
    argv = ["tshark", "-r", path, "-V", "-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=dict(os.environ, WIRESHARK_CONFIG_DIR=keys))
    if "ikev2_decryption_table" in done.stderr or "esp_sa" in done.stderr:
        raise RuntimeError(done.stderr)
    return re.split(r"(?m)^(?=Frame \d+:)", done.stdout)[1:]


def opened(frames):
    """(sealed IKE messages, those of them that make sense inside, those with a right check) and the same of ESP."""
    sealed = [f for f in frames if re.search(r"Exchange type: (IKE_AUTH|CREATE_CHILD_SA|INFORMATIONAL)", f)]
    # a notification: a probe of the path; nothing inside: the empty answer to that, or to a Delete
    clear = [f for f in sealed if re.search(r"Payload: Encrypted.*Decrypted Data.*Payload: (Authentication|Delete|Nonce|Notify) |Next payload: NONE.*Decrypted Data \(1", f, re.S)]
    correct = [f for f in sealed if re.search(r"Integrity Checksum Data: .*\[correct\]", f)]
    esps = [f for f in frames if "Encapsulating Security Payload" in f]
    # a dummy, whose next header is 59, says that a rekeyed child is in use
    inside = [f for f in esps if "Internet Control Message Protocol" in f or re.search(r"ESP Decrypted Data: \w+3b \(", f)]
    good = [f for f in esps if re.search(r"ESP ICV: .*\[correct\]", f)]
    return (sealed, clear, correct), (esps, inside, good)


def cell(ike, esp, ike_checked, esp_checked, encap):
    """One suite."""
    with Pair("key") as lab:
        path, keys, loud = capture(lab, ike, esp, encap, pings)
        (sealed, clear, correct), (esps, inside, good) = opened(tshark(path, keys))
    figure = f"IKE {len(clear)}/{len(sealed)} opened, {len(correct)} correct; ESP {len(inside)}/{len(esps)} opened, {len(good)} correct; loud {loud}"
    return check(loud and len(sealed) >= 4 and len(clear) == len(sealed) and (not ike_checked or len(correct) == len(sealed))
                 and len(inside) == len(esps) >= 2 * PINGS and (not esp_checked or len(good) == len(esps)), figure)


def rekeys(lab, a, b):
    """Of both kinds by both sides, the child's also under an IKE SA that was rekeyed; pings before, and after each."""
    pings(lab)
    for rekey in (lambda: a.must("rekey", "peer/net"), lambda: b.must("rekey", "peer"), lambda: b.must("rekey", "peer/net"), lambda: a.must("rekey", "peer"), lambda: a.must("rekey", "peer/net")):
        before = agree.ours(a)
        rekey()
        wait.until("another SA", lambda: (agree.ours(a).ike, agree.ours(a).children) != (before.ike, before.children), 10)
        agree.settled(a, b)
        pings(lab)


@case(ROW, "after rekeys of the child and of the IKE SA")
def after_rekeys():
    """What comes after a rekey is opened by the keys that were written then."""
    with Pair("kre") as lab:
        path, keys, loud = capture(lab, *SUITES[2][:2], "auto", rekeys)
        (sealed, clear, correct), (esps, inside, good) = opened(tshark(path, keys))
    ikes = {re.search(r"Initiator SPI: (\w+)", f).group(1) for f in correct if f in clear}
    spis = {re.search(r"ESP SPI: (\w+)", f).group(1) for f in good if f in inside}
    figure = (f"IKE {len(clear)}/{len(sealed)} opened, {len(correct)} correct, of {len(ikes)} IKE SAs; "
              f"ESP {len(inside)}/{len(esps)} opened, {len(good)} correct, with {len(spis)} SPIs")
    return check(loud and len(clear) == len(correct) == len(sealed) and len(ikes) == 3 and len(inside) == len(good) == len(esps) >= 12 * PINGS and len(spis) == 8, figure)


for _i, (_ike, _esp, *_checked) in enumerate(SUITES):
    _encap = "always" if _i % 2 else "auto"
    case(ROW, f"{_ike} and {_esp}, {'UDP' if _i % 2 else 'raw'}", quick=_i in (2, 4, 7))(
        lambda i=_ike, e=_esp, c=tuple(_checked), n=_encap: cell(i, e, *c, n))
