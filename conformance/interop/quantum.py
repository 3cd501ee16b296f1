"""Keys beyond the classical with strongSwan 6.1, in both roles: ML-KEM, several key exchanges in a row, rekeys of both kinds by both sides, post-quantum pre-shared keys."""
import os
import subprocess

from lab import agree, kernel, sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Relayed, prefix

ROW = "strongSwan 6.1, beyond classical"
CLASSICAL = "aes256gcm16-prfsha384-x25519"
SUITES = {
    "ML-KEM-768": ("ke1_mlkem768", "x25519"),
    "ML-KEM-1024": ("ke1_mlkem1024", "x25519"),
    "ML-KEM-512 after ecp256": ("ke1_mlkem512", "ecp256"),
    "three classical ones more": ("ke1_ecp256-ke2_ecp384-ke3_modp2048", "x25519"),
    "ML-KEM-768 and two more": ("ke1_mlkem768-ke2_ecp384-ke3_mlkem1024", "x25519"),
}
PPK_ID, PPK = "quantum@example", "0x" + "5a" * 32
IKE_INTERMEDIATE, IKE_FOLLOWUP_KE = 43, 44


def swan(lab):
    """sid's charon on the right, with ESP in UDP from its own userspace."""
    subprocess.run(["bash", kernel.ROOTS, "sid"], check=True)
    return strongswan.StrongSwan(lab.right, root=os.path.join(kernel.CACHE, "sid"))


def ends(lab, ike, esp, ours="", theirs="", our_secret="", their_secret=""):
    """Our daemon and theirs; nothing is up yet. `ours` and `theirs` are lines of each one's connection."""
    inside = [prefix(a) for a in INNER[4]]
    peer = swan(lab)
    peer.load(strongswan.connection("lab", *reversed(OUTER[4]), ike, esp, *reversed(inside), PSK, extra=theirs, more=their_secret))
    us = sandhog.Sandhog(lab.left, sandhog.config(*OUTER[4], ike, esp, *inside, PSK, encap="always", extra=f"rehearse = \"never\"\n{ours}") + our_secret)
    return us, peer


def bring_up(us, peer, role):
    """From our side (`initiator`) or theirs, or the logs of both."""
    up, why = us.up("peer") if role == "initiator" else peer.initiate("net")
    if not up:
        raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-2500:]}")


def rekeyed(us, vici, rekey):
    """Does it, and waits until both ends agree about something else than before."""
    before = agree.ours(us)
    rekey()

    def other():
        now = agree.ours(us)
        return (now.ike, now.children) != (before.ike, before.children)
    wait.until("the rekey", other, 15)
    agreed, now = agree.settled(us, vici, 20)
    if not agreed:
        raise RuntimeError(f"no agreement after a rekey: {now}")
    return before.ike != now.ike, before.children != now.children


def four_rekeys(us, vici):
    """The child and the IKE SA, by us and by them; what was not replaced as it should be."""
    wrong = []
    for name, rekey, want in (
        ("child by us", lambda: us.must("rekey", "peer/net"), (False, True)),
        ("child by them", lambda: vici.call("rekey", child="net"), (False, True)),
        ("IKE SA by us", lambda: us.must("rekey", "peer"), (True, False)),
        ("IKE SA by them", lambda: vici.call("rekey", ike="lab"), (True, False)),
        ("child by us again", lambda: us.must("rekey", "peer/net"), (False, True)),
        ("child by them again", lambda: vici.call("rekey", child="net"), (False, True)),
    ):
        got = rekeyed(us, vici, rekey)
        if got != want:
            wrong.append(f"{name}: (IKE, child) replaced {got}")
    return wrong


def exchanges(name, role):
    """Up, four kinds of rekey under traffic, each with all key exchanges, nothing lost; large values travelled in fragments."""
    more, group = SUITES[name]
    with Relayed("pq") as lab:
        ike, esp = f"aes256gcm16-prfsha384-{group}-{more}", f"aes256gcm16-{group}-{more}"
        us, peer = ends(lab, ike, esp)
        bring_up(us, peer, role)
        proposal = us.status("peer")["ike"]["proposal"]
        vici = peer.vici()
        pulses = [traffic.Pulse(lab.left, lab.right, *INNER[4], rate=200), traffic.Pulse(lab.right, lab.left, *reversed(INNER[4]), rate=200)]
        wrong = four_rekeys(us, vici)
        got = [p.end() for p in pulses]
        lost, sent = sum(g["lost"] for g in got), sum(g["sent"] for g in got)
        messages = lab.relay.messages()
        fragments = sum(m["fragment"] > 0 for m in messages)
        # each message once, however often it or its fragments were sent
        links, follow = ({(m["spi_i"], m["initiator"], m["id"]) for m in messages if m["exchange"] == kind and not m["response"]} for kind in (IKE_INTERMEDIATE, IKE_FOLLOWUP_KE))
        additional = len(more.split("-"))
        ok = not wrong and not lost and len(links) == additional and len(follow) == 6 * additional and proposal.endswith(more) and (fragments or "1024" not in more)
        return check(ok, f"{proposal}, {len(links)} IKE_INTERMEDIATE, {len(follow)} IKE_FOLLOWUP_KE in 6 rekeys, {fragments} fragments, {lost} of {sent} lost{'; ' + '; '.join(wrong) if wrong else ''}")


for _role in ("initiator", "responder"):
    for _name in SUITES:
        case(ROW, f"{_name}, {_role}")(lambda n=_name, r=_role: exchanges(n, r))


def secret(ident=PPK_ID):
    """The PPK, as each side writes it."""
    return f'[secrets.ppk]\nid = ["keyid:{ident}"]\nsecret = "{PPK}"\n', f'ppk-lab {{\n id = {ident}\n secret = {PPK}\n }}'


def ppk(role, ours, theirs, have, up_wanted, used):
    """`ours` and `theirs`: required or not, or None for no PPK at all; `have`: the secret is there at (our, their) end."""
    with Relayed("ppk") as lab:
        our_secret, their_secret = secret()
        us, peer = ends(lab, CLASSICAL, "aes256gcm16-x25519", ours="" if ours is None else f'ppk = {{ id = "{PPK_ID}", required = {str(ours).lower()} }}',
                        theirs="" if theirs is None else f"ppk_id = {PPK_ID}\n ppk_required = {'yes' if theirs else 'no'}",
                        our_secret=our_secret if have[0] else "", their_secret=their_secret if have[1] else "")
        up, why = us.up("peer", 10) if role == "initiator" else peer.initiate("net", 10)
        if not up_wanted:
            return check(not up and not agree.ours(us).ike, f"{'UP' if up else 'refused'}, {us.failure()}")
        if not up:
            raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-2500:]}")
        vici = peer.vici()
        said = any("ppk" in sa and sa["ppk"] == "yes" for _, sa in vici.sas())
        wrong = four_rekeys(us, vici)
        pings = traffic.ping(lab.left, *INNER[4])
        return check(pings == 100 and said == used and not wrong, f"{pings}/100 pings, they say PPK {'used' if said else 'not used'}{'; ' + '; '.join(wrong) if wrong else ''}")


BOTH = (True, True)
for _role in ("initiator", "responder"):
    for _name, _ours, _theirs, _have, _up, _used in (
        ("mandatory on both sides", True, True, BOTH, True, True),
        ("optional on both sides", False, False, BOTH, True, True),
        ("optional, they have none", False, None, (True, False), True, False),
        ("optional, we have none", None, False, (False, True), True, False),
        ("mandatory here, they have none", True, None, (True, False), False, False),
        ("mandatory there, we have none", None, True, (False, True), False, False),
    ):
        case(ROW, f"PPK {_name}, {_role}")(
            lambda r=_role, o=_ours, t=_theirs, h=_have, u=_up, s=_used: ppk(r, o, t, h, u, s))
