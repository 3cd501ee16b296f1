"""Our probe of the path as others see it: an INFORMATIONAL with one large notification that nobody knows. It goes out whole, with DF; if that does not arrive, the same
request follows in fragments of IKE (RFC 7383 section 2.5.2), and whole without DF: this strongSwan takes a fragmented INFORMATIONAL for a connectivity check of its mediation extension."""
import os
import re
import time

from lab import sandhog, strongswan, traffic
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix
from rfc.keylog import tshark

ROW = "MTU"
# IKE proposal, ESP proposal, octets of a block
SUITES = [("aes256gcm16-prfsha384-ecp384", "aes256gcm16", 1), ("aes256-sha256-modp2048", "aes256-sha256", 16)]
DEVICE, NARROW, SMALLEST = 1500, 1400, 576
# status types for private use
PRIVATE = range(40960, 65536)
# Seconds in which a path is looked at.
LOOK = 6


def talk(ike, esp, narrow):
    """A tunnel to strongSwan comes up; True if it carries pings after a while, and what was said in INFORMATIONAL exchanges. `narrow`: nothing larger than that arrives whole."""
    with Pair("pad", DEVICE) as lab:
        if narrow:
            lab.right.run("nft", "-f", "-", input=f"table ip path {{ chain in {{ type filter hook prerouting priority -450; ip frag-off & 0x4000 != 0 ip length > {narrow} drop; }}; }}")
        path, keys = os.path.join(lab.dir, "wire.pcap"), os.path.join(lab.dir, "keys")
        tcpdump = lab.left.start("tcpdump", ["tcpdump", "-i", lab.left_dev, "-U", "--immediate-mode", "-Z", "root", "-s", "0", "-w", path, "udp port 4500"])
        ours, theirs = OUTER[4]
        inside = [prefix(a) for a in INNER[4]]
        peer = strongswan.StrongSwan(lab.right)
        peer.load(strongswan.connection("lab", theirs, ours, ike, esp, inside[1], inside[0], PSK))
        extra = f'keylog = {{ path = "{keys}", until = "2999-01-01T00:00:00Z" }}'
        us = sandhog.Sandhog(lab.left, sandhog.config(ours, theirs, ike, esp, *inside, PSK, encap="always", extra=extra))
        up, why = us.up("peer")
        if not up:
            raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-1500:]}")
        time.sleep(LOOK)
        alive = traffic.ping(lab.left, *INNER[4], 10) == 10
        tcpdump.stop()
        return alive, [seen(frame) for frame in tshark(path, keys) if "Exchange type: INFORMATIONAL" in frame]


def seen(frame):
    """What matters of an INFORMATIONAL message, or of one of its fragments."""
    number = lambda pattern: next((int(n, 0) for n in re.findall(pattern, frame)), None)
    return {
        "id": number(r"Message ID: (0x\w+)"),
        "ours": "Src: " + OUTER[4][0] in frame,
        "response": "Response: Response" in frame,
        "df": "Don't fragment: Set" in frame,
        "size": number(r"Total Length: (\d+)"),
        "fragment": "Next payload: Encrypted and Authenticated Fragment" in frame,
        "kind": number(r"Notify Message Type: .*\((\d+)\)"),
        "correct": bool(re.search(r"Integrity Checksum Data: .*\[correct\]", frame)),
    }


def wide(messages, block):
    """What is wrong where the whole device's MTU arrives."""
    requests = [m for m in messages if m["ours"] and not m["response"]]
    answered = {m["id"] for m in messages if m["response"] and not m["ours"]}
    largest = max((m["size"] for m in requests), default=0)
    wrong = [] if DEVICE - block < largest <= DEVICE else [f"the largest is {largest}"]
    wrong += [f"no probe: {m}" for m in requests if not m["df"] or m["fragment"] or m["kind"] not in PRIVATE or not m["correct"]]
    return wrong + [f"no answer: {m}" for m in requests if m["id"] not in answered]


def narrow(messages, block):
    """What is wrong where what is large may not arrive whole."""
    requests = [m for m in messages if m["ours"] and not m["response"]]
    answered = {m["id"] for m in messages if m["response"] and not m["ours"]}
    large = {m["id"] for m in requests if m["df"] and m["size"] > NARROW}
    wrong = [] if large else ["nothing large was tried"]
    for message in large:
        forms = [(m["fragment"], m["df"]) for m in requests if m["id"] == message]
        small = [m["size"] for m in requests if m["id"] == message and m["fragment"]]
        if forms[:2] != [(False, True)] * 2 or set(forms[2:]) != {(True, False), (False, False)} or max(small, default=0) > SMALLEST or message not in answered:
            wrong.append(f"message {message} went out as {forms}, fragments of {small}, answered {message in answered}")
    return wrong


@case(ROW, "strongSwan answers a padded INFORMATIONAL")
def padded():
    """An AEAD on a path that takes all, a block cipher on one that does not, so that both meet both forms."""
    figures, wrong = [], []
    for (ike, esp, block), path, judge in zip(SUITES, (None, NARROW), (wide, narrow)):
        alive, messages = talk(ike, esp, path)
        wrong += judge(messages, block) + ([] if alive else ["the tunnel is dead"])
        figures.append(f"path of {path or DEVICE}: {len({m['id'] for m in messages if m['ours'] and not m['response']})} probes of {[m['size'] for m in messages if m['ours'] and m['df']]}")
    return check(not wrong, "; ".join(wrong or figures))
