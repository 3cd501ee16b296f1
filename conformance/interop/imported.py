"""`sandhog import`: a strongSwan 5.9.8's configuration becomes ours, and its counterpart notices nothing."""
import json
import os
import shutil
import subprocess

from lab import pki, sandhog, strongswan, traffic
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

ROW = "import of swanctl.conf"
IKE, ESP = "aes256gcm16-prfsha384-ecp384", "aes256gcm16"
IDS = ("left.example", "right.example")


def ends(inner=4, **more):
    """The texts of both ends, left first."""
    outer, inside = OUTER[4], [prefix(a) for a in INNER[inner]]
    mirror = {k: more.pop(k) for k in ("local_auth", "remote_auth") if k in more}
    auth = {"local_auth": mirror.get("local_auth", "auth = psk"), "remote_auth": mirror.get("remote_auth", "auth = psk")}
    left = strongswan.connection("office", *outer, IKE, ESP, *inside, PSK, *IDS, **auth, **more)
    back = {k: v.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right") for k, v in auth.items()}
    right = strongswan.connection("office", *reversed(outer), IKE, ESP, *reversed(inside), PSK, *reversed(IDS), **back, **more)
    return left, right


def imported(lab, folder, file):
    """Our daemon with what the import of `file` has written; the report."""
    out = os.path.join(lab.dir, "imported")
    done = subprocess.run([sandhog.binary("sandhog"), "--json", "import", file, "--out", out], capture_output=True, text=True, timeout=60)
    report = json.loads(done.stdout or "{}")
    if done.returncode:
        raise RuntimeError(f"import: exit {done.returncode}\n{json.dumps([k for k in report.get('keys', []) if k['fate'] == 'refused'])}\n"
                           f"{report.get('findings')}\n{done.stderr}")
    code = subprocess.run([sandhog.binary("sandhog"), "check", f"{out}/sandhog.toml"], capture_output=True, text=True, timeout=60).returncode
    if code:
        raise RuntimeError(f"what was imported is refused: exit {code}")
    with open(f"{out}/sandhog.toml") as f:
        us = sandhog.Sandhog(lab.left, f.read(), start=False)
    shutil.copytree(f"{out}/secrets", os.path.join(us.dir, "secrets"))
    us.start()
    return us, report


def tunnel(role, shape, credentials=None, **more):
    """Up from one side, and pings. `shape` writes swanctl's folder for the left end and names the file to import."""
    with Pair("imp") as lab:
        left, right = ends(**more)
        folder = os.path.join(lab.dir, "swanctl")
        os.makedirs(folder)
        for name, files in (credentials or {}).get("left", {}).items():
            os.makedirs(os.path.join(folder, name))
            for file in files:
                shutil.copy(file, os.path.join(folder, name))
        peer = strongswan.StrongSwan(lab.right)
        peer.credentials(**(credentials or {}).get("right", {}))
        peer.load(right)
        us, report = imported(lab, folder, shape(folder, left))
        up, why = us.up("office") if role == "initiator" else peer.initiate("net")
        if not up:
            raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-1500:]}")
        pings = traffic.ping(lab.left, *INNER[4], count=20)
        fates = [key["fate"] for key in report["keys"]]
        return check(pings == 20, f"{pings}/20 pings, {fates.count('translated')} keys translated, {fates.count('dropped')} left out")


def plain(folder, text):
    """One file."""
    file = os.path.join(folder, "swanctl.conf")
    with open(file, "w") as f:
        f.write(text)
    return file


def scattered(folder, text):
    """Included files, and a reference to a section with what all connections have."""
    os.makedirs(os.path.join(folder, "conf.d"))
    head, tail = text.split("secrets {", 1)
    with open(os.path.join(folder, "conf.d", "office.conf"), "w") as f:
        f.write(head.replace("office {", "office : usual {").replace("    version = 2\n", ""))
    return plain(folder, f"usual {{\n  version = 2 # the only one\n  dpd_delay = 30s\n  send_cert = always\n}}\ninclude conf.d/*.conf\nsecrets {{{tail}")


def certificates():
    """Both ends' folders."""
    at = pki.folder()
    side = lambda name: {"x509": [f"{at}/ecdsa256-{name}.pem"], "private": [f"{at}/ecdsa256-{name}.key"], "x509ca": [f"{at}/ecdsa256-ca.pem"]}
    return {"left": side("left"), "right": side("right")}


for _role in ("initiator", "responder"):
    case(ROW, f"with a secret, {_role}", quick=_role == "initiator")(lambda r=_role: tunnel(r, plain, child_extra="updown = /usr/lib/ipsec/_updown iptables"))
    case(ROW, f"in several files, {_role}")(lambda r=_role: tunnel(r, scattered))
    case(ROW, f"with certificates, {_role}", quick=_role == "responder")(lambda r=_role: tunnel(
        r, plain, certificates(), local_auth="auth = pubkey\n certs = ecdsa256-left.pem", remote_auth="auth = pubkey\n cacerts = ecdsa256-ca.pem"))
