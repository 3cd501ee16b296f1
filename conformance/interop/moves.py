"""Peers that move, die and come back, with strongSwan: MOBIKE, another NAT mapping, reauthentication, our trap, our dead peer detection."""
import time

from interop.ourselves import ESP, NatLab
from lab import agree, sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, Relayed, prefix

ROW = "moves and dead peers, strongSwan"
IKE = "aes256gcm16-prfsha384-x25519"
ROLES = ("initiator", "responder")
INSIDE = [prefix(a) for a in INNER[4]]
NAMES = ("left.example", "right.example")


def ours(host, local=OUTER[4][0], remote=OUTER[4][1], extra="", start="none", gateway="", encap="always", **more):
    """Our end, left of the pair unless said otherwise; without `local` it is what the routes say."""
    text = sandhog.config(local, remote, IKE, ESP, *INSIDE, PSK, *NAMES, start=start, encap=encap, extra=f'rehearse = "never"\n{extra}', gateway=gateway, **more)
    return sandhog.Sandhog(host, text if local else text.replace('local_addrs = [""]\n', ""))


def theirs(host, local=OUTER[4][1], remote=OUTER[4][0], extra="", options="", **more):
    """strongSwan, right of the pair."""
    end = strongswan.StrongSwan(host, options=options)
    end.load(strongswan.connection("lab", local, remote, IKE, ESP, *reversed(INSIDE), PSK, *reversed(NAMES), extra=extra, **more))
    return end


def bring_up(us, peer, role):
    """From our side (`initiator`) or theirs, or the logs of both."""
    up, why = us.up("peer") if role == "initiator" else peer.initiate("net")
    if not up:
        raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-2500:]}")


def pulses(lab, rate=200):
    """Both directions."""
    l, r = lab.hosts["l"], lab.hosts["r"]
    return traffic.Pulse(l, r, *INNER[4], rate=rate), traffic.Pulse(r, l, *reversed(INNER[4]), rate=rate)


def ended(both):
    """(lost in both directions, longest gap, sent)."""
    got = [p.end() for p in both]
    return sum(g["lost"] for g in got), max(g["gap"] for g in got), sum(g["sent"] for g in got)


def mobike(role):
    """The initiator's address vanishes and another one is there. (kernel-libipsec cannot move an SA, so strongSwan rekeys the child after it has moved the IKE SA.)"""
    with Pair("mob") as lab:
        us = ours(lab.left, local="" if role == "initiator" else OUTER[4][0], extra="mobike = true", remote=OUTER[4][1] if role == "initiator" else "%any")
        peer = theirs(lab.right, local="%any", remote="%any" if role == "initiator" else OUTER[4][0], mobike="yes")
        bring_up(us, peer, role)
        host, dev, old, new = (lab.left, lab.left_dev, OUTER[4][0], "192.0.2.11") if role == "initiator" else (lab.right, lab.right_dev, OUTER[4][1], "192.0.2.12")
        host.sysctl(f"net.ipv4.conf.{dev}.promote_secondaries", 1)
        before = agree.ours(us)
        both = pulses(lab)
        time.sleep(1)
        host.address(dev, f"{new}/24")
        host.ip("addr", "del", f"{old}/24", "dev", dev)
        time.sleep(5)
        lost, gap, sent = ended(both)
        now = us.status("peer")
        moved = new in (now["local"] if role == "initiator" else now["remote"])
        kept = agree.ours(us).ike == before.ike
        pings = traffic.ping(lab.left, *INNER[4], count=20)
        return check(moved and kept and gap < 2 and pings == 20, f"{now['local']} - {now['remote']}, IKE SA {'kept' if kept else 'ANOTHER'}, gap {gap} s, {lost} of {sent} lost, then {pings}/20 pings")


for _role in ROLES:
    case(ROW, f"MOBIKE, {'we' if _role == 'initiator' else 'they'} get another address")(lambda r=_role: mobike(r))

DPD = 5
# So long after the traffic begins the mapping changes: now soon after a look at what has come, now just before
MOMENTS = (1.0, 1.7, 2.4, 3.1, 3.8, 4.5)


def remapped(role):
    """The NAT of the initiator forgets its mapping and gives another port, again and again; both ends speak all the time."""
    with NatLab(False, ours=role == "initiator") as lab:
        left, right = lab.hosts["l"], lab.hosts["r"]
        extra, delay = f'dpd_delay = "{DPD}s"', f"dpd_delay = {DPD}s"
        if role == "initiator":
            us, peer = ours(left, lab.left_addr, "192.0.2.2", extra, encap="auto"), theirs(right, "192.0.2.2", "%any", delay, encap="no")
        else:
            # we are the one with the public address, so the places are exchanged
            us = sandhog.Sandhog(right, sandhog.config("192.0.2.2", "%any", IKE, ESP, *reversed(INSIDE), PSK, *reversed(NAMES), extra=f'rehearse = "never"\n{extra}'))
            peer = strongswan.StrongSwan(left)
            peer.load(strongswan.connection("lab", lab.left_addr, "192.0.2.2", IKE, ESP, *INSIDE, PSK, *NAMES, extra=delay, encap="no"))
        bring_up(us, peer, role)
        backs, moved = [], 0
        for n, moment in enumerate(MOMENTS):
            both = pulses(lab)
            time.sleep(moment)
            first = 40000 + 1000 * n
            changed = other_mapping(lab, first)
            time.sleep(DPD + 1)
            backs.append([interruption(p.end(), changed) for p in both])
            port = port_at(peer) if role == "initiator" else int(remote_of(us.status("peer")).rsplit(":", 1)[1])
            moved += first <= port <= first + 100
        pings = traffic.ping(left, *INNER[4], count=20)
        there, back = zip(*backs)
        held = pings == 20 and moved == len(MOMENTS) and max(there + back) <= DPD
        return check(held, f"{moved}/{len(MOMENTS)} moved; from the change to the first packet: from behind the NAT {list(there)} s, to there {list(back)} s; then {pings}/20 pings")


def interruption(got, changed):
    """Seconds from the change to the first datagram after the pause that it made, if there was one; what was on its way still arrives."""
    if got["last"] < changed + DPD:
        return float("inf")
    made = [end - changed for begin, end in got["pauses"] if begin < changed + 0.5 and end > changed]
    return round(max(made, default=0.0), 2)


def other_mapping(lab, first):
    """Gives another port, of the hundred that begin with `first`, to whatever goes through the NAT; returns when, by the monotonic clock."""
    nl, dev = lab.nl, lab.outside
    nl.run("nft", "-f", "-", input=f"""flush chain ip nat post
table ip nat {{ chain post {{ oifname "{dev}" meta l4proto udp masquerade to :{first}-{first + 100}; oifname "{dev}" masquerade; }}; }}
""")
    changed = time.monotonic()
    # masquerading forgets the mappings of an address that goes
    nl.ip("addr", "del", "192.0.2.1/24", "dev", dev)
    nl.address(dev, "192.0.2.1/24")
    return changed


def remote_of(connection):
    """Of a connection with one peer, `%any` or not."""
    return connection["remote"] or connection["peers"][0]["remote"]


def port_at(peer):
    """The port at which strongSwan sees its only peer."""
    (_, sa), = peer.vici().sas()
    return int(sa["remote-port"])


for _role in ROLES:
    case(ROW, f"another NAT mapping, {'we are' if _role == 'initiator' else 'they are'} behind it")(lambda r=_role: remapped(r))


def childless(role):
    """No child in IKE_AUTH; CREATE_CHILD_SA makes the first."""
    with Relayed("chl") as lab:
        us = ours(lab.left, extra='childless = "force"')
        peer = theirs(lab.right, extra="childless = force")
        bring_up(us, peer, role)
        pings = traffic.ping(lab.left, *INNER[4], count=20)
        created = any(m["exchange"] == 36 for m in lab.relay.messages())
        return check(pings == 20 and created, f"{pings}/20 pings, {'' if created else 'NO '}CREATE_CHILD_SA")


for _role in ROLES:
    case(ROW, f"childless, {_role}", quick=_role == "responder")(lambda r=_role: childless(r))


def reauthentication(role, seconds, every):
    """Make before break; nothing lost."""
    with Pair("rea") as lab:
        us = ours(lab.left, extra=f'reauth_time = "{every}s"\nrand_time = "0s"\nover_time = "60s"' if role == "initiator" else "")
        peer = theirs(lab.right, options="make_before_break = yes", extra=f"reauth_time = {every}s\n rand_time = 0s\n over_time = 60s" if role == "responder" else "")
        bring_up(us, peer, role)
        vici, seen = peer.vici(), set()
        both = pulses(lab, rate=500)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            seen |= agree.ours(us).ike
            time.sleep(0.5)
        lost, gap, sent = ended(both)
        agreed, view = agree.settled(us, vici)
        return check(agreed and lost == 0 and len(seen) >= seconds // (every + 1) + 1, f"{len(seen)} IKE SAs one after the other, {lost} of {sent} lost, gap {gap} s, {'agreed' if agreed else view}")


for _role in ROLES:
    case(ROW, f"reauthentication by {'us' if _role == 'initiator' else 'them'}")(lambda r=_role: reauthentication(r, 20, 8))
    case(ROW, f"reauthentication by {'us' if _role == 'initiator' else 'them'}, 30 times")(lambda r=_role: reauthentication(r, 150, 4))


@case(ROW, "our trap: the first packet starts the tunnel and arrives", quick=True)
def trap():
    """Sent once, answered once."""
    with Pair("trp") as lab:
        us = ours(lab.left, start="trap")
        theirs(lab.right)
        wait.until("the trap", lambda: us.status("peer")["children"][0]["state"] == "routed")
        first = traffic.ping(lab.left, *INNER[4], count=1)
        more = traffic.ping(lab.left, *INNER[4], count=20)
        return check(first == 1 and more == 20, f"{first}/1 first packet, {more}/20 after it")


@case(ROW, "strongSwan killed and started anew: our dead peer detection brings it back")
def dead():
    """`dpd_action = "restart"`: nobody commands anything."""
    with Pair("dpd") as lab:
        us = ours(lab.left, extra='dpd_delay = "2s"', gateway='retransmit = { first = "300ms", factor = 1.5, max = "1s", tries = 4 }', child_extra='dpd_action = "restart"')
        peer = theirs(lab.right)
        bring_up(us, peer, "initiator")
        old = agree.ours(us)
        peer.kill()
        peer.start()
        peer.load(strongswan.connection("lab", *reversed(OUTER[4]), IKE, ESP, *reversed(INSIDE), PSK, *reversed(NAMES)))
        begin = time.monotonic()
        wait.until("the tunnel", lambda: traffic.ping(lab.left, *INNER[4], count=1) == 1, 40)
        back = time.monotonic() - begin
        agreed, view = agree.settled(us, peer.vici())
        return check(agreed and view.ike != old.ike and back < 20, f"back after {back:.1f} s, {'agreed' if agreed else view}")
