"""What may differ between two gateways, one thing at a time: ours on the left, strongSwan 5.9.8 on the right.

`MISMATCHES` is the table. A mismatch starts from a base that works (`PSK`, `CERTS` or `PPK`) and says how each end's configuration departs from it, when that
shows (`at`), what diagnosis is right when strongSwan asks and we answer (`responder`) and when we ask (`initiator`), and the code of the true cause.

Both configurations are documents here, not texts, so that a fix can be applied as a machine would: `Ends.apply` sets the value at the fix's path and has that
end read it again. Ours is the document of sandhog.toml; the peer's is flat, with the names that fixes use for it: `proposals esp_proposals local_id remote_id
local_ts remote_ts secret version auth`, and what only the lab knows beside them.
"""
import copy
import time

from . import pki, sandhog, strongswan, wait
from .edits import toml
from .pair import OUTER

IKE, ESP = "aes256-sha256-modp2048", "aes256-sha256"
LEFT, RIGHT = "left.example", "right.example"
LEFT_NET, RIGHT_NET, OTHER_RIGHT_NET = "10.1.0.0/24", "10.2.0.0/24", "10.8.0.0/24"
SECRET, OTHER_SECRET = "correct horse battery staple 7Q", "another horse another staple 8R"
PPK_ID, PPK_SECRET, OTHER_PPK = "quantum@example", "0x" + "5a" * 32, "0x" + "a5" * 32
CA = "ecdsa256-ca"


def ours(name, local='psk', remote='psk'):
    """Our document with one connection that works; `name` stands for the connection, and its secret is `ike`."""
    at = pki.folder() if "pubkey" in (local, remote) else ""
    side = {
        ("local", "psk"): {"auth": "psk", "id": LEFT},
        ("remote", "psk"): {"auth": "psk", "id": RIGHT},
        ("local", "pubkey"): {"auth": "pubkey", "id": LEFT, "certs": [f"{at}/ecdsa256-left.pem"], "key": f"{at}/ecdsa256-left.key"},
        ("remote", "pubkey"): {"auth": "pubkey", "id": RIGHT, "cacerts": [f"{at}/{CA}.pem"]},
    }
    return {
        # many failures in one minute are what this is about
        "gateway": {"limits": {"auth_failures_per_minute": 10000, "half_open_per_source": 1000, "cookie_per_source": 1000, "cookie_threshold": 1000}},
        "connections": {name: {
            "local_addrs": [OUTER[4][0]], "remote_addrs": [OUTER[4][1]], "proposals": [IKE], "encap": "always",
            "local": side["local", local], "remote": side["remote", remote],
            "children": {"net": {"local_ts": [LEFT_NET], "remote_ts": [RIGHT_NET], "esp_proposals": [ESP], "start_action": "none"}},
        }},
        "secrets": {"ike": {"id": [RIGHT], "secret": SECRET}},
    }


def theirs(auth="psk", remote_auth="psk"):
    """The peer's document that fits it. `auth` is how it proves itself, `remote_auth` how we shall."""
    return {
        "version": 2, "proposals": [IKE], "esp_proposals": [ESP], "local_id": RIGHT, "remote_id": LEFT, "local_ts": [RIGHT_NET], "remote_ts": [LEFT_NET],
        "secret": SECRET, "auth": auth, "remote_auth": remote_auth, "certificate": "ecdsa256-right", "send_cert": "always", "trusts": CA,
        "ppk_id": None, "ppk_required": False, "ppk_secret": PPK_SECRET, "extra": "",
    }


def swanctl(document):
    """The peer's document as swanctl.conf; the connection is `lab`, its child `net`."""
    d = document
    ppk = f'ppk_id = {d["ppk_id"]}\n ppk_required = {"yes" if d["ppk_required"] else "no"}' if d["ppk_id"] else ""
    proof = {"psk": "auth = psk", "pubkey": f"auth = pubkey\n certs = {d['certificate']}.pem"}
    demand = {"psk": "auth = psk", "pubkey": f"auth = pubkey\n cacerts = {d['trusts']}.pem"}
    return strongswan.connection(
        "lab", *reversed(OUTER[4]), ",".join(d["proposals"]), ",".join(d["esp_proposals"]), ",".join(d["local_ts"]), ",".join(d["remote_ts"]), quoted(d["secret"]),
        d["local_id"], d["remote_id"], extra=f'send_cert = {d["send_cert"]}\n {ppk}\n {d["extra"]}', local_auth=proof[d["auth"]], remote_auth=demand[d["remote_auth"]],
        more=f'ppk-lab {{\n id = {d["ppk_id"]}\n secret = {d["ppk_secret"]}\n }}' if d["ppk_id"] else "", version=d["version"], owners=False)


def quoted(secret):
    """What stands between the quotes of a swanctl.conf."""
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        secret = secret.replace(plain, escaped)
    return secret


class Base:
    """A pair of configurations that work together."""

    def __init__(self, local="psk", remote="psk", ppk=False):
        self.local, self.remote, self.ppk = local, remote, ppk

    def documents(self, name):
        """Ours, with a connection of this name, and the peer's."""
        us, them = ours(name, self.local, self.remote), theirs(self.remote, self.local)
        if self.ppk:
            us["connections"][name]["ppk"] = {"id": PPK_ID, "required": True}
            us["secrets"]["ppk"] = {"id": [f"keyid:{PPK_ID}"], "secret": PPK_SECRET}
            them.update(ppk_id=PPK_ID, ppk_required=True)
        return us, them


PSK, CERTS, WITH_PPK = Base(), Base("pubkey", "pubkey"), Base(ppk=True)


class Mismatch:
    """One thing that differs.

    `ours` and `theirs`: what is set, by path (`/connections/c/...`, where `c` stands for whatever the connection is called; `None` takes the key away) and by name.
    `at`: `connect` (nothing comes up, or no child), `up` (it comes up, and a diagnosis is told beside it), `rekey` (it comes up, and the child's rekey shows it).
    `responder`, `initiator`: the codes of which the diagnosis has one; empty if there is nothing to be told at that end.
    `cause`: the true cause. Another code among the right ones is what can be known at best, and right only as likely, with the cause among the candidates.
    """

    def __init__(self, name, base, theirs=None, ours=None, responder=(), initiator=(), cause=None, at="connect", differing=None):
        listed = lambda codes: (codes,) if isinstance(codes, str) else tuple(codes)
        self.name, self.base, self.theirs, self.ours, self.at = name, base, theirs or {}, ours or {}, at
        self.responder, self.initiator = listed(responder), listed(initiator)
        self.cause = cause or next(iter(self.responder + self.initiator), None)
        self.differing = differing

    @property
    def connection(self):
        """What our connection is called: one name for each, so that no diagnosis is taken for another's."""
        return "".join(c if c.isalnum() else "-" for c in self.name)

    def documents(self):
        """Ours and the peer's, with what differs."""
        us, them = self.base.documents(self.connection)
        for path, value in self.ours.items():
            point(us, path.replace("/connections/c/", f"/connections/{self.connection}/"), value)
        them.update(copy.deepcopy(self.theirs))
        return us, them

    def right(self, role, failure):
        """Whether a failure (its JSON, or None) names it by its code; where that cannot be known, by the code for that, which claims no more."""
        wanted = getattr(self, role)
        if not wanted or failure is None:
            return not wanted and failure is None
        open_minded = failure["certainty"] == "likely" and self.cause in failure["candidates"]
        return failure["code"] in wanted and (failure["code"] == self.cause or open_minded)

    def lies(self, role, failure):
        """Whether it claims to be sure of what is not so."""
        cause = self.cause if getattr(self, role) else None
        return failure is not None and failure["certainty"] == "proven" and failure["code"] != cause


def point(document, path, value):
    """Sets what a JSON pointer points at; `None` takes it away. `{pki}` in a list stands for the folder of the lab's certificates."""
    *parents, last = (p.replace("~1", "/").replace("~0", "~") for p in path.strip("/").split("/"))
    for key in parents:
        document = document[int(key)] if isinstance(document, list) else document.setdefault(key, {})
    if isinstance(document, list):
        document[int(last)] = value
    elif value is None:
        document.pop(last, None)
    else:
        document[last] = [str(v).replace("{pki}", pki.folder()) for v in value] if "{pki}" in str(value) else copy.deepcopy(value)


def ike(proposal):
    """The peer's IKE proposal is another one."""
    return {"proposals": [proposal]}


def esp(proposal):
    """The peer's ESP proposal is another one."""
    return {"esp_proposals": [proposal]}


def group(ours):
    """Our ESP proposal has a group."""
    return {"/connections/c/children/net/esp_proposals": [f"{ESP}-{ours}"]}


CONNECTION, CHILD = "/connections/c", "/connections/c/children/net"
REFUSED = "auth.failed"
MISMATCHES = [
    Mismatch("IKE encryption", PSK, ike("aes128-sha256-modp2048"), responder="proposal.encr", initiator="proposal.encr", differing="encr"),
    Mismatch("IKE integrity", PSK, ike("aes256-sha512-prfsha256-modp2048"), responder="proposal.integ", initiator="proposal.integ", differing="integ"),
    Mismatch("IKE PRF", PSK, ike("aes256-sha256-prfsha384-modp2048"), responder="proposal.prf", initiator="proposal.prf", differing="prf"),
    Mismatch("IKE group", PSK, ike("aes256-sha256-modp3072"), responder="proposal.ke", initiator="proposal.ke", differing="ke"),
    Mismatch("IKE group of another kind", PSK, ike("aes256-sha256-ecp256"), responder="proposal.ke", initiator="proposal.ke", differing="ke"),
    Mismatch("ESP encryption", PSK, esp("aes128-sha256"), responder="proposal.encr", initiator="proposal.encr", differing="encr"),
    Mismatch("ESP integrity", PSK, esp("aes256-sha512"), responder="proposal.integ", initiator="proposal.integ", differing="integ"),
    Mismatch("PFS group", PSK, esp(f"{ESP}-ecp256"), group("modp2048"), responder="pfs.mismatch", initiator="pfs.mismatch", at="rekey", differing="ke"),
    Mismatch("PFS there, none here", PSK, esp(f"{ESP}-modp2048"), responder="pfs.mismatch", initiator="pfs.mismatch", at="rekey", differing="ke"),
    Mismatch("PFS here, none there", PSK, None, group("modp2048"), responder="pfs.mismatch", initiator="pfs.mismatch", at="rekey", differing="ke"),
    Mismatch("secret", PSK, {"secret": OTHER_SECRET}, responder="auth.psk", initiator=("auth.psk", REFUSED), cause="auth.psk"),
    Mismatch("our ID, as the peer expects it", PSK, {"remote_id": "other.example"}, responder="auth.id", initiator=("auth.id", REFUSED), cause="auth.id", differing="local.id"),
    Mismatch("the peer's ID, as we expect it", PSK, {"local_id": "stranger.example"}, responder="auth.id", initiator=("auth.id", REFUSED), cause="auth.id", differing="remote.id"),
    Mismatch("our networks, disjoint", PSK, {"remote_ts": ["10.9.0.0/24"]}, responder="ts.mismatch", initiator="ts.mismatch", differing="local_ts"),
    Mismatch("the peer's networks, disjoint", PSK, {"local_ts": [OTHER_RIGHT_NET]}, responder="ts.mismatch", initiator="ts.mismatch", differing="remote_ts"),
    Mismatch("our networks, narrower there", PSK, {"remote_ts": ["10.1.0.0/25"]}, responder="ts.narrowed", initiator="ts.narrowed", at="up", differing="local_ts"),
    Mismatch("the peer's networks, narrower there", PSK, {"local_ts": ["10.2.0.0/25"]}, responder="ts.narrowed", initiator="ts.narrowed", at="up", differing="remote_ts"),
    # who is asked for less than it would allow just allows it
    Mismatch("our networks, narrower here", PSK, None, {f"{CHILD}/local_ts": ["10.1.0.0/25"]}, responder="ts.narrowed", at="up", differing="local_ts"),
    Mismatch("the peer's networks, narrower here", PSK, None, {f"{CHILD}/remote_ts": ["10.2.0.0/25"]}, responder="ts.narrowed", at="up", differing="remote_ts"),
    Mismatch("version", PSK, {"version": 1}, responder="version.ikev1_peer", initiator="version.ikev1_peer"),
    Mismatch("version, aggressive", PSK, {"version": 1, "extra": "aggressive = yes"}, responder="version.ikev1_peer", initiator="version.ikev1_peer"),
    Mismatch("their certificate has expired", CERTS, {"certificate": "expired-right"}, responder="auth.cert.expired", initiator="auth.cert.expired"),
    Mismatch("their certificate is not valid yet", CERTS, {"certificate": "future-right"}, responder="auth.cert.not_yet_valid", initiator="auth.cert.not_yet_valid"),
    Mismatch("their certificate is of another CA", CERTS, {"certificate": "stranger-right"}, responder="auth.cert.unknown_ca", initiator="auth.cert.unknown_ca"),
    Mismatch("their ID is not in their certificate", CERTS, {"certificate": "other-right"}, responder=("auth.cert.name", "auth.id"), initiator=("auth.cert.name", "auth.id"), cause="auth.cert.name"),
    Mismatch("their certificate's name is not the one we expect", CERTS, {"certificate": "other-right", "local_id": "other.example"}, responder="auth.id", initiator=("auth.id", REFUSED), cause="auth.id"),
    Mismatch("their certificate is revoked", CERTS, {"certificate": "revoked-right"}, {f"{CONNECTION}/remote/crls": ["{pki}/ecdsa256.crl"], f"{CONNECTION}/remote/revocation": "strict"},
             responder="auth.cert.revoked", initiator="auth.cert.revoked"),
    Mismatch("no revocation list, and we demand one", CERTS, None, {f"{CONNECTION}/remote/revocation": "strict"}, responder="auth.cert.crl_missing", initiator="auth.cert.crl_missing"),
    Mismatch("they do not send their certificate", CERTS, {"send_cert": "never"}, responder="auth.cert.missing", initiator="auth.cert.missing"),
    Mismatch("they do not trust our CA", CERTS, {"trusts": "stranger-ca"}, responder=REFUSED, initiator=REFUSED, cause="auth.cert.unknown_ca"),
    Mismatch("a secret there, a certificate expected here", Base("psk", "pubkey"), {"auth": "psk"}, responder="auth.method", initiator="auth.method"),
    Mismatch("a certificate there, a secret expected here", Base("psk", "psk"), {"auth": "pubkey"}, responder="auth.method", initiator="auth.method"),
    Mismatch("PPK here, none there", WITH_PPK, {"ppk_id": None, "ppk_required": False}, responder="auth.ppk", initiator=("auth.ppk", REFUSED), cause="auth.ppk"),
    Mismatch("PPK there, none here", WITH_PPK, None, {f"{CONNECTION}/ppk": None, "/secrets/ppk": None}, responder="auth.ppk", initiator=("auth.ppk", REFUSED), cause="auth.ppk"),
    Mismatch("PPK of another ID", WITH_PPK, {"ppk_id": "other@example"}, responder="auth.ppk", initiator=("auth.ppk", REFUSED), cause="auth.ppk"),
    # who insists on the PPK proves himself only with it: that the other secret differs would look the same
    Mismatch("PPK of another secret", WITH_PPK, {"ppk_secret": OTHER_PPK}, responder=("auth.ppk", "auth.psk"), initiator=("auth.ppk", REFUSED), cause="auth.ppk"),
    # who does not proves himself without it, too (NO_PPK_AUTH): then it is known
    Mismatch("PPK of another secret, not demanded there", WITH_PPK, {"ppk_secret": OTHER_PPK, "ppk_required": False}, responder="auth.ppk", initiator=("auth.ppk", REFUSED), cause="auth.ppk"),
]


# the same secret, written otherwise at the other end: who answers can tell which way
SECRETS = [Mismatch(f"secret, {what} there", PSK, {"secret": form}, responder="auth.psk", initiator=REFUSED, cause="auth.psk", differing=f"secret.{word}") for what, form, word in (
    ("a newline behind it", SECRET + "\n", "newline"), ("a space in front of it", " " + SECRET, "space"), ("in quotes", f'"{SECRET}"', "quotes"), ("hex as text", SECRET.encode().hex(), "hex"),
)]
# the bases as they are: what works without any of it, so that a cell shows what it says
CONTROLS = [Mismatch(f"nothing differs, {name}", base, at="up") for name, base in (("secrets", PSK), ("certificates", CERTS), ("PPK", WITH_PPK))]


def find(name):
    """One of them."""
    return next(m for m in MISMATCHES if m.name == name)


class Ends:
    """Our daemon on the left and strongSwan on the right of a `Pair`, which are given one mismatch after the other."""

    def __init__(self, lab):
        self.lab, self.mismatch = lab, None
        self.peer = strongswan.StrongSwan(lab.right, options="retransmit_timeout = 1\n  retransmit_tries = 2\n  install_virtual_ip = no\n  block_threshold = 0")
        self.us = sandhog.Sandhog(lab.left, toml({}))
        # strongSwan installs no policy for a network of its own in which it has no address
        for host, net in ((lab.left, LEFT_NET), (lab.right, RIGHT_NET), (lab.right, OTHER_RIGHT_NET)):
            host.address("lo", f"{net.split('.0/')[0]}.129/32")  # outside what is narrowed to the first half, as INNER is inside
        self.vici = self.peer.vici()

    def set(self, mismatch, more=lambda document: None):
        """Both have it, and nothing of what was before is up. `more` may add to our document."""
        self.clear()
        self.mismatch = mismatch
        self.ours, self.theirs = mismatch.documents()
        more(self.ours)
        self.write()

    def write(self):
        """Writes both documents and has them read."""
        at = pki.folder()
        self.us.write(toml(self.ours))
        self.us.must("reload")
        certificate = self.theirs["certificate"]
        used = "pubkey" in (self.theirs["auth"], self.theirs["remote_auth"])
        if used:
            self.peer.credentials(x509=[f"{at}/{certificate}.pem"], private=[f"{at}/{certificate}.key"], x509ca=[f"{at}/{self.theirs['trusts']}.pem"])
        self.peer.load(swanctl(self.theirs))

    def clear(self):
        """No IKE SA is left at either end."""
        if self.mismatch:
            self.us.client("down", self.mismatch.connection)
        self.peer._swanctl("--terminate", "--ike", "lab", "--force", check=False)
        wait.until("no IKE SA at the peer", lambda: not self.vici.sas(), 10)

    def base(self):
        """The same connection without what differs."""
        self.ours, self.theirs = self.mismatch.base.documents(self.mismatch.connection)
        self.write()

    def begin(self):
        """strongSwan starts to ask, and is not waited for."""
        self.vici.call("initiate", child="net", ike="lab", timeout=-1, init_limits="no")

    def rekey(self):
        """strongSwan rekeys its child."""
        self.vici.call("rekey", child="net")

    def up(self, timeout=10):
        """We bring the child up: whether it is."""
        return self.us.up(f"{self.mismatch.connection}/net", timeout)[0]

    def installed(self):
        """Both ends have the child."""
        status = self.us.status(self.mismatch.connection)
        return self.peer.established() > 0 and any(c["state"] == "up" for c in status["children"])

    def until_up(self):
        """Waits for it."""
        wait.until(f"{self.mismatch.name}: the child", self.installed, 10)

    def failure(self, name=None):
        """The last failure of our connection (or of another one), or None."""
        return self.us.status(name or self.mismatch.connection)["last_failure"]

    def diagnoses(self):
        """Those of `/v1/diagnoses` that are of our connection."""
        document = self.us.api("GET", "diagnoses")[1]
        listed = document.get("diagnoses", []) if isinstance(document, dict) else document or []
        return [dict(d, **d.get("failure", {})) for d in listed if d.get("connection") == self.mismatch.connection]

    def why(self, name=None):
        """What `sandhog why` finds with our connection (or another one) now, the worst first."""
        return self.us.api("GET", f"connections/{name or self.mismatch.connection}/why")[1]["diagnoses"]

    def told(self, timeout=10):
        """The failure, or what is told beside a tunnel that is up, as soon as there is one; None if there is none until then."""
        end = time.monotonic() + timeout
        while (failure := self.failure() or self._beside()) is None and time.monotonic() < end:
            time.sleep(0.05)
        return failure

    def _beside(self):
        return next(iter(self.why()), None) if self.mismatch.at == "up" else None

    def apply(self, fix):
        """Does what a fix says (`{ side, path, set, command }`) and has it read. A secret is in no fix: the one that it speaks of becomes the other end's."""
        if fix.get("command"):
            self.lab.left.run("sh", "-c", fix["command"])
        if not fix.get("path"):
            return
        path, value = fix["path"], fix.get("set")
        if path.rsplit("/", 1)[-1] == "secret":
            if fix["side"] == "us":
                self.ours["secrets"]["ike"]["secret"] = self.theirs["secret"]
            else:
                self.theirs["secret"] = self.ours["secrets"]["ike"]["secret"]
        elif fix["side"] == "us":
            point(self.ours, path, value)
            for more in fix.get("also") or []:
                point(self.ours, more["path"], more["set"])
        else:
            name = path.strip("/").replace("/", "_")
            self.theirs[name] = self._as(name, value)
        self.write()

    def _as(self, name, value):
        """A value in the form that the peer's document has it in."""
        before = theirs()[name] if name in theirs() else value
        if isinstance(before, list):
            return value if isinstance(value, list) else [value]
        value = value[0] if isinstance(value, list) and len(value) == 1 else value
        return int(value) if name == "version" else value
