"""Certificates with strongSwan 5.9.8, in both roles: every kind of key, one side with a secret, a long chain over a path that drops IP fragments, and those that must be refused."""
import signal
import time

from interop.ourselves import ESP
from lab import pki, sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, Routed, prefix

ROW = "certificates, strongSwan"
IKE = "aes256gcm16-prfsha384-ecp384"
ROLES = ("initiator", "responder")


def own(name, *chain):
    """What our configuration says of the one who has this certificate: us."""
    at = pki.folder()
    certs = ", ".join(f'"{at}/{c}.pem"' for c in (name, *chain))
    return f'auth = "pubkey", certs = [{certs}], key = "{at}/{name}.key"'


def trusted(ca, crl=None, revocation="relaxed"):
    """What our configuration says of the one whom it must trust: the peer."""
    crls = f', crls = ["{pki.folder()}/{crl}"]' if crl else ""
    return f'auth = "pubkey", cacerts = ["{pki.folder()}/{ca}.pem"]{crls}, revocation = "{revocation}"'


class Ends:
    """Left is ours, right is strongSwan. `ours` and `theirs` name certificates or are None for the secret; `trust` is what we trust them for."""

    def __init__(self, lab, ours, theirs, our_ca=None, trust=None, our_chain=(), their_chain=(), sign="pubkey", verify="pubkey", theirs_id="right.example", fragmentation="yes", options=""):
        at, inside = pki.folder(), [prefix(a) for a in INNER[4]]
        self.peer = strongswan.StrongSwan(lab.right, options=options)
        if theirs:
            self.peer.credentials(x509=[f"{at}/{theirs}.pem"], private=[f"{at}/{theirs}.key"], x509ca=[f"{at}/{c}.pem" for c in their_chain])
        if ours:
            self.peer.credentials(x509ca=[f"{at}/{our_ca}.pem"])
        self.peer.load(strongswan.connection(
            "lab", *reversed(OUTER[4]), IKE, ESP, *reversed(inside), PSK, theirs_id, "left.example", extra=f"fragmentation = {fragmentation}",
            local_auth=f"auth = {sign}\n certs = {theirs}.pem" if theirs else "auth = psk",
            remote_auth=f"auth = {verify}\n cacerts = {our_ca}.pem" if ours else "auth = psk"))
        self.us = sandhog.Sandhog(lab.left, sandhog.config(
            *OUTER[4], IKE, ESP, *inside, PSK, "left.example", "right.example", encap="always",
            local_auth=own(ours, *our_chain) if ours else 'auth = "psk"', remote_auth=trust if theirs else 'auth = "psk"'))

    def up(self, role, timeout=20):
        """Brings it up from our side (`initiator`) or theirs."""
        return self.us.up("peer", timeout) if role == "initiator" else self.peer.initiate("net", timeout)

    def must(self, role):
        """Or the logs of both."""
        up, why = self.up(role)
        if not up:
            raise RuntimeError(f"not up: {why}\nours: {self.us.process.text()[-1500:]}\ntheirs: {self.peer.process.text()[-2500:]}")


def good(role, ours, theirs, **more):
    """Up, and what is said about it."""
    with Pair("crt") as lab:
        ends = Ends(lab, ours and f"{ours}-left", theirs and f"{theirs}-right", f"{ours}-ca", trusted(f"{theirs}-ca"), **more)
        ends.must(role)
        pings = traffic.ping(lab.left, *INNER[4], count=20)
        said = "RSA_EMSA_PSS" if more.get("sign", "").startswith("ike:rsa/pss") else ""
        signed = said in ends.peer.process.text()
        return check(pings == 20 and signed, f"{pings}/20 pings{f', signed with {said}' if said and signed else ''}")


for _role in ROLES:
    for _kind in pki.KINDS:
        case(ROW, f"{_kind}, {_role}", quick=(_kind, _role) in {("rsa2048", "initiator"), ("ecdsa256", "responder"), ("ecdsa384", "initiator"), ("ed25519", "responder")})(
            lambda r=_role, k=_kind: good(r, k, k))
    for _kind in ("rsa2048", "rsa4096"):
        case(ROW, f"{_kind}, their signature is PSS, {_role}", quick=(_kind, _role) == ("rsa2048", "responder"))(
            lambda r=_role, k=_kind: good(r, k, k, sign="ike:rsa/pss-sha256"))
        case(ROW, f"{_kind}, they demand PSS of us, {_role}", quick=(_kind, _role) == ("rsa2048", "initiator"))(
            lambda r=_role, k=_kind: good(r, k, k, verify="ike:rsa/pss-sha256-sha384-sha512"))
    case(ROW, f"we have a secret, they a certificate, {_role}", quick=_role == "initiator")(lambda r=_role: good(r, None, "ecdsa256"))
    case(ROW, f"we have a certificate, they a secret, {_role}", quick=_role == "responder")(lambda r=_role: good(r, "ecdsa256", None))


def chain(roles, control):
    """Root, intermediate and end of RSA-4096 on both sides; IKE_AUTH has some 5,000 octets, and a router drops every IP fragment."""
    notes, ok = [], True
    for role in roles:
        with Routed("cha") as lab:
            lab.router.run("nft", "-f", "-", input="""table ip drops {
  chain pre {
    type filter hook prerouting priority -450;
    ip frag-off & 0x3fff != 0 counter drop;
  }
}
""")
            ends = Ends(lab, "chain-left", "chain-right", "chain-ca", trusted("chain-ca"), ("chain-sub",), ("chain-sub",))
            ends.must(role)
            pings = traffic.ping(lab.left, *INNER[4], count=20)
            ok &= pings == 20
            notes.append(f"{role} {pings}/20 pings")
    if control:
        with Routed("chc") as lab:
            lab.router.run("nft", "-f", "-", input="table ip drops { chain pre { type filter hook prerouting priority -450; ip frag-off & 0x3fff != 0 counter drop; }; }")
            up, _ = Ends(lab, "chain-left", "chain-right", "chain-ca", trusted("chain-ca"), ("chain-sub",), ("chain-sub",), fragmentation="no").up("responder", 6)
            ok &= not up
            notes.append(f"{'UP' if up else 'not up'} without IKE fragments")
    return check(ok, "; ".join(notes))


case(ROW, "three-level chain of RSA-4096, IP fragments dropped, initiator", quick=True)(lambda: chain(ROLES[:1], False))
case(ROW, "three-level chain of RSA-4096, IP fragments dropped, both roles, and not without IKE fragments")(lambda: chain(ROLES, True))

CA = "ecdsa256-ca"
REFUSED = {
    "expired": ("expired-right", dict(trust=lambda: trusted(CA)), "auth.cert.expired"),
    "not yet valid": ("future-right", dict(trust=lambda: trusted(CA)), "auth.cert.not_yet_valid"),
    "wrong CA": ("stranger-right", dict(trust=lambda: trusted(CA)), "auth.cert.unknown_ca"),
    "wrong ID": ("other-right", dict(trust=lambda: trusted(CA), theirs_id="other.example"), "auth.id"),
    "ID that the certificate does not have": ("other-right", dict(trust=lambda: trusted(CA)), "auth.cert.name"),
    "revoked": ("revoked-right", dict(trust=lambda: trusted(CA, "ecdsa256.crl", "strict")), "auth.cert.revoked"),
    "no CRL, and it is demanded": ("ecdsa256-right", dict(trust=lambda: trusted(CA, None, "strict")), "auth.cert.crl_missing"),
}


def refused(role, theirs, more, want):
    """Not up, the cause by name, and no SA at either end a little later."""
    with Pair("crf") as lab:
        ends = Ends(lab, "ecdsa256-left", theirs, CA, **{k: v() if callable(v) else v for k, v in more.items()})
        up, _ = ends.up(role, 10)
        try:
            wait.until("the failure", ends.us.failure, 5)
        except TimeoutError:
            pass
        status = ends.us.status("peer")
        said = status["last_failure"] or {"code": None, "candidates": []}
        failure = said["code"]
        # a responder that does not want to be who we ask for says no more than that it is refused
        named = failure == want or failure == "auth.failed" and want in said["candidates"]
        return check(not up and named and not status["sas"] and not ends.peer.established(), f"{failure}{', UP' if up else ''}, {len(status['sas'])} IKE SAs of ours, {ends.peer.established()} children of theirs")


for _name, (_theirs, _more, _want) in REFUSED.items():
    for _role in ROLES:
        case(f"{ROW}, refused", f"{_name}, {_role}", quick=_role == "initiator")(lambda r=_role, t=_theirs, m=_more, w=_want: refused(r, t, m, w))


@case(f"{ROW}, refused", "a good one beside the CRL that names another, strict", quick=True)
def not_revoked():
    """The list is read, and this one is not on it."""
    with Pair("crl") as lab:
        ends = Ends(lab, "ecdsa256-left", "ecdsa256-right", CA, trusted(CA, "ecdsa256.crl", "strict"))
        ends.must("initiator")
        return check(traffic.ping(lab.left, *INNER[4], count=10) == 10, "up")


@case(f"{ROW}, refused", "revoked while it is up: the next one is refused after a reload", quick=True)
def reloaded():
    """CRLs reload without touching SAs; who was there stays until it authenticates again."""
    with Pair("cre") as lab:
        ends = Ends(lab, "ecdsa256-left", "revoked-right", CA, trusted(CA))
        ends.must("initiator")
        with open(ends.us.config) as f:
            text = f.read()
        ends.us.write(text[text.index("[connections"):].replace(trusted(CA), trusted(CA, "ecdsa256.crl", "strict")))
        ends.us.process.popen.send_signal(signal.SIGHUP)
        time.sleep(1)
        pings = traffic.ping(lab.left, *INNER[4], count=20)
        ends.us.client("down", "peer")
        up, _ = ends.us.up("peer", 10)
        return check(pings == 20 and not up and ends.us.failure() == "auth.cert.revoked", f"{pings}/20 pings after it, then {ends.us.failure()}")
