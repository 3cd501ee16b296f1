"""strongSwan 5.9.8 with kernel-libipsec, in both roles: every suite, inner and outer IPv4 and IPv6."""
from lab import sandhog, strongswan, traffic
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

ROW = "strongSwan 5.9.8, both roles"
# IKE proposal, ESP proposal
SUITES = [
    ("aes256gcm16-prfsha384-ecp384", "aes256gcm16"),
    ("aes256-sha256-modp2048", "aes256-sha256"),
    ("aes128-sha1-modp1024", "aes128-sha1"),
    ("chacha20poly1305-prfsha256-x25519", "chacha20poly1305"),
    ("aes192-sha384-modp3072", "aes192-sha384"),
    ("aes256-sha512-ecp256", "aes256-sha512"),
]
# asked for by few: CCM, CMAC and XCBC, in IKE and in ESP
RARE = [
    ("aes256ccm16-prfsha256-x25519", "aes256ccm16"),
    ("aes128ccm8-prfsha384-modp2048", "aes128ccm8"),
    ("aes128-aescmac-prfaescmac-ecp256", "aes128-aescmac"),
    ("aes256-aesxcbc-prfaesxcbc-modp2048", "aes256-aesxcbc"),
]
QUICK = {(0, "initiator", 4, 4), (1, "responder", 4, 6), (2, "initiator", 6, 4), (3, "responder", 6, 6), (4, "responder", 4, 4), (5, "initiator", 6, 6)}


def bring_up(lab, ike, esp, role, inner, outer, root=None, raw_esp=False, gateway=sandhog.Sandhog):
    """Left is ours, right is strongSwan; `role` is ours."""
    ours, theirs = OUTER[outer]
    inside = [prefix(a) for a in INNER[inner]]
    peer = strongswan.StrongSwan(lab.right, root=root, raw_esp=raw_esp)
    peer.load(strongswan.connection("lab", theirs, ours, ike, esp, inside[1], inside[0], PSK, encap="no" if raw_esp else "yes"))
    us = gateway(lab.left, sandhog.config(ours, theirs, ike, esp, inside[0], inside[1], PSK, encap="auto" if raw_esp else "always"))
    up, why = us.up("peer") if role == "initiator" else peer.initiate("net")
    if not up:
        raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-1500:]}")
    return us, peer


def cell(ike, esp, role, inner, outer, megabytes):
    """One cell: pings and a transfer in both directions of set-up."""
    with Pair("ss") as lab:
        bring_up(lab, ike, esp, role, inner, outer)
        ours, theirs = INNER[inner]
        pings = traffic.ping(lab.left, ours, theirs)
        same, rate = traffic.tcp(lab.left, lab.right, ours, theirs, megabytes)
        return check(pings == 100 and same, f"{pings}/100 pings, {megabytes} MB {'equal' if same else 'DIFFERENT'}, {rate} Mbit/s")


def _register():
    for i, (ike, esp) in enumerate(SUITES):
        for role in ("initiator", "responder"):
            for inner in (4, 6):
                for outer in (4, 6):
                    quick = (i, role, inner, outer) in QUICK
                    case(ROW, f"{ike} {role} {inner}in{outer}", quick)(
                        lambda ike=ike, esp=esp, role=role, inner=inner, outer=outer: cell(ike, esp, role, inner, outer, 200))
    for i, (ike, esp) in enumerate(RARE):
        for role in ("initiator", "responder"):
            case("strongSwan, rare suites", f"{ike} {role}", quick=(role == "initiator") == (i % 2 == 0))(lambda ike=ike, esp=esp, role=role: cell(ike, esp, role, 4, 4, 20))


_register()
