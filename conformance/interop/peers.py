"""`sandhog peer-config`: what it writes for strongSwan is loaded by strongSwan as it is, and the tunnel comes up at the first try."""
import os
import shutil
import subprocess

from lab import pki, sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

ROW = "generated peers"
PLAIN = "correctHorse.battery_staple7Q"  # every vendor takes it
# Not `sandhog`: ML-KEM and extended sequence numbers, which this strongSwan and its libipsec have not.
PROFILES = ("aliyun", "h3c", "h3c-er", "huawei", "tencent", "aws", "azure", "gcp", "cisco-ios-xe", "cisco-asa", "fortigate", "juniper-srx", "mikrotik", "pfsense", "strongswan")
GCM, CBC = ("aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384"), ("aes256-sha256-modp2048", "aes256-sha256-modp2048")


def ours(suites, inside=None, **more):
    """Our side's text."""
    return sandhog.config(*OUTER[4], *suites, *(inside or [prefix(a) for a in INNER[4]]), PSK, **more)


def defaults():
    """Nothing but where, who and what."""
    inside = [prefix(a) for a in INNER[4]]
    return f"""[gateway]
[connections.peer]
local_addrs = ["{OUTER[4][0]}"]
remote_addrs = ["{OUTER[4][1]}"]
[connections.peer.children.net]
local_ts = ["{inside[0]}"]
remote_ts = ["{inside[1]}"]
start_action = "none"
[secrets.ike-peer]
id = ["{OUTER[4][1]}"]
secret = "{PSK}"
"""


def certificates():
    """Both ends prove themselves with certificates."""
    at = pki.folder()
    return ours(GCM, local_id="left.example", remote_id="right.example",
                local_auth=f'auth = "pubkey", certs = ["{at}/ecdsa256-left.pem"], key = "{at}/ecdsa256-left.key"',
                remote_auth=f'auth = "pubkey", cacerts = ["{at}/ecdsa256-ca.pem"]')


def credentials(peer):
    """The other end's own, by the names that its configuration says."""
    at = pki.folder()
    for folder, file, name in (("x509", "ecdsa256-right.pem", "peer.pem"), ("private", "ecdsa256-right.key", "peer.key"), ("x509ca", "ecdsa256-ca.pem", "peer-ca.pem")):
        os.makedirs(os.path.join(peer.dir, folder), exist_ok=True)
        shutil.copy(f"{at}/{file}", os.path.join(peer.dir, folder, name))


def written(us, *argv, name="peer", kind="strongswan"):
    """What `peer-config` says."""
    done = subprocess.run(["ip", "netns", "exec", us.host.ns, sandhog.binary("sandhog"), "--socket", us.socket, "peer-config", name, "--format", kind, *argv],
                          capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise RuntimeError(f"peer-config: exit {done.returncode}, {done.stderr}")
    return done.stdout


def tunnel(text, children=("net",), certs=False, source="secret"):
    """Both roles, one after the other; each child carries pings. `source`: of the files with the secret, or of the daemon, where the secret is put in its place."""
    with Pair("gen") as lab:
        us = sandhog.Sandhog(lab.left, text)
        theirs = written(us, "--with-secret", "--config", us.config) if source == "secret" else written(us)
        if source == "daemon":
            if PSK in theirs:
                raise RuntimeError("the daemon has shown its secret")
            theirs = theirs.replace("REPLACE WITH THE PRE-SHARED KEY", PSK)
        elif not certs and f'"{PSK}"' not in theirs:
            raise RuntimeError(f"no secret in\n{theirs}")
        peer = strongswan.StrongSwan(lab.right)
        if certs:
            credentials(peer)
        peer.load(theirs)
        for i, more in enumerate(("10.1.9.1/32", "10.2.9.1/32")):
            (lab.left, lab.right)[i].address("lo", more)  # strongSwan's libipsec needs an address of its own in each selector
        passed = []
        for role in ("initiator", "responder"):
            for child in children:
                up, why = us.up(f"peer/{child}") if role == "initiator" else peer.initiate(child)
                if not up:
                    raise RuntimeError(f"{child} not up as {role}: {why}\nwritten:\n{theirs}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-2500:]}")
            wait.until("a ping passes", lambda: traffic.ping(lab.left, *INNER[4], count=1) == 1, 5)
            passed.append(traffic.ping(lab.left, *INNER[4], count=10))
            us.must("down", "peer")
        return check(passed == [10, 10], f"{passed[0]} and {passed[1]} of 10 pings, as initiator and responder")


def profiled(name):
    """Nothing but where, who and what, and whom it is."""
    inside = [prefix(a) for a in INNER[4]]
    return f"""[gateway]
[connections.peer]
profile = "{name}"
local_addrs = ["{OUTER[4][0]}"]
remote_addrs = ["{OUTER[4][1]}"]
local = {{ auth = "psk", id = "{OUTER[4][0]}" }}
remote = {{ auth = "psk", id = "{OUTER[4][1]}" }}
[connections.peer.children.net]
local_ts = ["{inside[0]}"]
remote_ts = ["{inside[1]}"]
[secrets.ike-peer]
id = ["{OUTER[4][1]}"]
secret = "{PLAIN}"
"""


def of_profile(name, kind="strongswan"):
    """The other end is written and there before ours starts, which calls it by itself; then it calls us."""
    with Pair("gen") as lab:
        us = sandhog.Sandhog(lab.left, profiled(name), start=False)
        theirs = written(us, "--with-secret", "--config", us.config, kind=kind)
        if kind == "sandhog":
            peer = sandhog.Sandhog(lab.right, theirs)
            call = lambda: peer.up("peer/net")
        else:
            peer = strongswan.StrongSwan(lab.right)
            peer.load(theirs)
            call = lambda: peer.initiate("net")
        us.start()
        passed = []
        for begin in (lambda: us.up("peer"), call):
            up, why = begin()
            if not up:
                raise RuntimeError(f"not up: {why}\nwritten:\n{theirs}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-2500:]}")
            wait.until("a ping passes", lambda: traffic.ping(lab.left, *INNER[4], count=1) == 1, 5)
            passed.append(traffic.ping(lab.left, *INNER[4], count=10))
            us.must("down", "peer")
        return check(passed == [10, 10], f"{passed[0]} and {passed[1]} of 10 pings, as initiator and responder")


def pairs():
    """One child for each of four pairs."""
    return ours(CBC, children={"net": ([prefix(INNER[4][0]), "10.1.9.0/24"], [prefix(INNER[4][1]), "10.2.9.0/24"])}, child_extra='ts_mode = "per_pair"')


case(ROW, "strongswan, defaults", quick=True)(lambda: tunnel(defaults()))
case(ROW, "strongswan, GCM, of what the daemon has in force")(lambda: tunnel(ours(GCM, encap="always"), source="daemon"))
case(ROW, "strongswan, CBC, names as identities")(lambda: tunnel(ours(CBC, local_id="left.example", remote_id="user@right.example")))
case(ROW, "strongswan, one child per pair")(lambda: tunnel(pairs(), children=("net-1", "net-2", "net-3", "net-4")))
case(ROW, "strongswan, key identities, the peer rekeys")(lambda: tunnel(ours(CBC, local_id="keyid:left one", remote_id="keyid:0x0001ff", extra='rekey = "peer"')))
case(ROW, "strongswan, certificates")(lambda: tunnel(certificates(), certs=True))
case(ROW, "sandhog, profile sandhog")(lambda: of_profile("sandhog", "sandhog"))
for _profile in PROFILES:
    case(ROW, f"strongswan, profile {_profile}")(lambda p=_profile: of_profile(p))
