"""A profile for each vendor, and the vendor played by strongSwan as its maker describes it: sixteen tunnels of one gateway at once, in both roles. All carry traffic while each
is rekeyed; then one value of each peer is another one, and what has failed must be told by its name."""
import functools
import json
import re
import subprocess
import time
from concurrent import futures

from lab import sandhog, strongswan, wait
from lab.cases import case, check
from lab.steady import Steady
from lab.vendor import VENDORS, Field
from lab.vici import ViciError

ROW = "vendors"
NAMES = [vendor.name for vendor in VENDORS]
ROLES = ("initiator", "responder")
# Seconds for anything that takes an exchange or two, on a busy machine.
PATIENCE = 30
# What goes any to any must not take the tunnel itself: strongSwan marks its own packets.
MARKED = "plugins { kernel-netlink { fwmark = !0x42 }\n socket-default { fwmark = 0x42 } }"
# The longest that a probe takes is 125 s.
PROBE = 140
# What is changed at the peer, and what that is called: where we called and asked it what it takes, and where we answered. An initiator who is refused as the one that it
# says it is cannot know more than the second column as one of the candidates.
CHANGED = {
    "aliyun": ({"ike": "aes128-sha256-modp2048"}, ("proposal.encr",), ("proposal.encr",)),
    "h3c": ({"psk": "another secret altogether 9"}, ("auth.psk",), ("auth.psk",)),
    # a CBC suite: IKEv1 has no GCM, and a peer that wants it there refuses all that IKEv1 can say
    "h3c-er": ({"version": 1}, ("version.ikev1_peer",), ("version.ikev1_peer",)),
    # where it has no address: narrowing a wider question to it fails, so that all is TS_UNACCEPTABLE to it, as to who takes exact selectors only
    "huawei": ({"local_ts": ["10.99.0.0/24"]}, ("ts.mismatch",), ("ts.mismatch",)),
    "tencent": ({"esp": "aes128-sha256-modp2048"}, ("proposal.encr",), ("proposal.encr",)),
    "aws": ({"esp": "aes256gcm16-ecp256"}, ("pfs.mismatch",), ("pfs.mismatch",)),
    "azure": ({"ike": "aes256-sha256-prfsha384-ecp384"}, ("proposal.integ",), ("proposal.integ",)),
    # its address behind the cloud's NAT instead of its public one
    "gcp": ({"local_id": "10.0.0.2"}, ("auth.id",), ("auth.id", "peer.unknown")),
    "cisco-ios-xe": ({"ike": "aes256gcm16-prfsha256-ecp384"}, ("proposal.prf",), ("proposal.prf",)),
    "cisco-asa": ({"remote_ts": ["10.98.0.0/24"]}, ("ts.mismatch",), ("ts.mismatch",)),
    # it believes that we are somebody else
    "fortigate": ({"remote_id": "10.0.0.1"}, ("auth.id",), ("auth.id", "peer.unknown")),
    "juniper-srx": ({"esp": "aes256-sha512-modp2048"}, ("proposal.integ",), ("proposal.integ",)),
    "mikrotik": ({"esp": "aes256-sha256"}, ("pfs.mismatch",), ("pfs.mismatch",)),
    "pfsense": ({"psk": "Sandhog.2026_lab.7Q "}, ("auth.psk",), ("auth.psk",)),
    "strongswan": ({"ike": "aes256gcm16-prfsha384-ecp256"}, ("proposal.ke",), ("proposal.ke",)),
    "sandhog": ({"esp": "aes256gcm16-x25519-noesn"}, ("proposal.esn",), ("proposal.esn",)),
}


class Swan(strongswan.StrongSwan):
    """strongSwan as one of them."""

    def rekey(self, child):
        """One child, or the IKE SA."""
        self.vici().call("rekey", **({"child": child} if child else {"ike": "gw"}))


class Hog:
    """One of ours in that place, with what of strongSwan the cases need."""

    def __init__(self, host, text):
        self.hog = sandhog.Sandhog(host, text)

    def load(self, text):
        """Another configuration."""
        self.hog.write(text)
        self.hog.must("reload")

    def initiate(self, child, timeout):
        """Brings it up."""
        return self.hog.up(f"gw/{child}", timeout)

    def established(self):
        """How many children."""
        return sum(c["state"] == "up" for c in self.hog.status("gw")["children"])

    def rekey(self, child):
        """One child, or the IKE SA."""
        self.hog.must("rekey", "gw" + (f"/{child}" if child else ""))


class Ends:
    """Our daemon and all peers."""

    def __init__(self, lab, role):
        self.lab, self.role = lab, role
        with futures.ThreadPoolExecutor(4) as pool:
            self.peers = dict(pool.map(lambda v: (v.name, self.peer(v)), lab.vendors))
        self.us = sandhog.Sandhog(lab.left, "".join(lab.our_side(vendor) for vendor in lab.vendors))
        for vendor in lab.vendors:
            if vendor.nets is None:
                for _, theirs in lab.networks(vendor):
                    self.us.host.ip("route", "replace", theirs, "dev", f"vti{lab.number(vendor)}", "src", lab.pings(vendor)[0][0])

    def peer(self, vendor):
        """What plays it."""
        host = self.lab.peers[vendor.name]
        if vendor.name == "sandhog":
            return Hog(host, self.lab.mirror(vendor))
        swan = Swan(host, options=MARKED if vendor.nets is None else "")
        swan.load(self.lab.their_side(vendor))
        return swan

    def change(self, vendor, change):
        """Its configuration is another one."""
        write = self.lab.mirror if vendor.name == "sandhog" else self.lab.their_side
        self.peers[vendor.name].load(write(vendor, **change))

    def children(self, vendor):
        """{name: (state, SPI)} of ours."""
        return {c["name"]: (c["state"], c.get("spi_in")) for c in self.us.api("GET", f"connections/{vendor.name}")[1]["children"]}

    def ike(self, vendor):
        """Its SPIs."""
        return self.us.api("GET", f"connections/{vendor.name}")[1]["ike"]

    def up(self, vendor, patience=PATIENCE):
        """Brings it up from the side that shall; what went wrong, or None."""
        if self.role == "initiator":
            good, why = self.us.up(vendor.name, patience)
            return None if good else why
        for child in self.lab.children_of(vendor):
            good, why = self.peers[vendor.name].initiate(child, patience)
            if not good:
                return why
        return None

    def settled(self, vendor):
        """All children are up at both ends, each once."""
        ours = self.children(vendor)
        theirs = self.peers[vendor.name].established()
        return all(state == "up" for state, _ in ours.values()) and theirs == len(self.lab.children_of(vendor)) == len(ours)

    def early(self, vendor):
        """Our rekeys come before the peer's, or, where it wants none, what we do at last comes before its SA ends; what is too late, or None."""
        now = self.us.api("GET", f"connections/{vendor.name}")[1]
        key = "life_time" if vendor.rekey == "peer" else "rekey_time"
        theirs = [re.search(rf"\b{k} = (\d+)s", text) for k, text in (("rekey_time", vendor.connection), (key, vendor.child))]
        ours = [now["ike"]["rekey_in_s"], max(c["rekey_in_s"] for c in now["children"])]
        late = [f"ours after {mine} s, theirs after {its[1]} s" for mine, its in zip(ours, theirs) if its and mine >= int(its[1])]
        return "; ".join(late) or None

    def rekey(self, vendor, by_us, ike=False):
        """Rekeys each child, or the IKE SA, and waits until all are others."""
        before = self.ike(vendor)["spi_i"] if ike else self.children(vendor)
        names = [None] if ike else (before if by_us else self.lab.children_of(vendor))
        for name in names:
            if by_us:
                self.us.must("rekey", vendor.name + (f"/{name}" if name else ""))
            else:
                self.peers[vendor.name].rekey(name)

        def other():
            now = self.ike(vendor) if ike else self.children(vendor)
            return now["spi_i"] != before if ike else all(now[name][1] not in (None, was[1]) for name, was in before.items())
        wait.until(f"{vendor.name}: the rekey", lambda: other() and self.settled(vendor), PATIENCE)


def each(vendors, what, at_once=4):
    """{name: what it gives, or the exception}, a few at a time."""
    def one(vendor):
        try:
            return vendor.name, what(vendor)
        except Exception as e:  # the others go on
            return vendor.name, f"{type(e).__name__}: {e}"
    with futures.ThreadPoolExecutor(at_once) as pool:
        return dict(pool.map(one, vendors))


def rekeys(ends, vendor):
    """Two of the children and one of the IKE SA, by whom the vendor lets, that of the IKE SA by who called; None, or what went wrong."""
    by = {"both": (True, False, ends.role == "initiator"), "us": (True, True, True), "peer": (False, False, False)}[vendor.rekey]
    for n, by_us in enumerate(by):
        ends.rekey(vendor, by_us, ike=n == 2)
    return None


def changed(ends, vendor):
    """One value of the peer is another one: None, or what is told that is not so. Where we call it, what it takes is asked for."""
    name, (change, as_initiator, as_responder) = vendor.name, CHANGED[vendor.name]
    ends.us.client("down", name)
    wait.until(f"{name}: down", lambda: not ends.peers[name].established(), PATIENCE)
    ends.change(vendor, change)
    refused = ends.up(vendor, 3)
    later = "pfs.mismatch" in as_initiator
    if not refused and not later:
        return "it comes up nevertheless"
    if later:
        # it shows at the first rekey: the rehearsal, or one that somebody asks for
        if ends.role == "initiator":
            ends.us.client("rekey", f"{name}/{next(iter(ends.children(vendor)))}")
        else:
            try:
                ends.peers[name].rekey("c0")
            except ViciError:
                pass
    failure = wait.until(f"{name}: a failure", lambda: ends.us.status(name)["last_failure"], PATIENCE)
    wanted, asked = as_responder, []
    if ends.role == "initiator":
        status, document = ends.us.api("POST", f"connections/{name}/probe", PROBE)
        if status != 200:
            return f"probe: {status} {document}"
        wanted, asked = as_initiator, [(p["asked"], p["answer"]) for p in document["probes"]]
        if not document["diagnoses"]:
            return f"nothing is found after {asked}"
        failure = document["diagnoses"][0].get("failure", document["diagnoses"][0])
    unknown = ends.role == "initiator" and failure["code"] == "auth.failed" and failure["certainty"] == "likely" and wanted[0] in failure["candidates"]
    if failure["code"] in wanted or unknown:
        return None
    said = f"{failure['code']} ({failure['certainty']}, {failure['candidates']}) and not {' or '.join(wanted)}"
    return said + (f" after {asked}, of {[(d['code'], d['child']) for d in (d.get('failure', d) for d in document['diagnoses'])]}" if asked else "")


@functools.cache
def played(role, names=tuple(NAMES)):
    """{name: ([what went wrong], figure)} of one session with all of them."""
    vendors = [vendor for vendor in VENDORS if vendor.name in names]
    with Field(f"v{role[0]}", vendors) as lab:
        ends = Ends(lab, role)
        begin = time.monotonic()
        wrong = {vendor.name: [] for vendor in vendors}

        def stage(title, what, of, at_once=4):
            for name, said in each([v for v in of if not wrong[v.name]], what, at_once).items():
                wrong[name] += [f"{title}: {said}"] if said else []
        stage("up", ends.up, vendors)
        stage("up", lambda v: wait.until("all children", lambda: ends.settled(v), PATIENCE) and None, vendors)
        stage("lifetimes", ends.early, vendors)
        steady = Steady(lab.left, [pair for v in vendors if not wrong[v.name] for pair in lab.pings(v)], 0.05)
        time.sleep(1)
        stage("rekeys", lambda v: rekeys(ends, v), vendors)
        time.sleep(1)
        seen = steady.seen()
        steady.stop()
        lab.processes.remove(steady)
        figures = {}
        for vendor in vendors:
            pairs = {pair: seen.get(pair, (0, 0, 0)) for pair in lab.pings(vendor)}
            bad = [f"{source} to {target}: {lost} of {sent} pings lost" for (source, target), (sent, lost, _) in pairs.items() if lost or not sent]
            if not wrong[vendor.name]:
                wrong[vendor.name] += bad
            figures[vendor.name] = f"{len(lab.children_of(vendor))} children, {sum(p[0] for p in pairs.values())} pings over {len(pairs)} pairs, 0 lost over 3 rekeys"
        # a probe does little but wait: one message in five seconds
        stage("changed", lambda v: changed(ends, v), vendors, len(vendors) if role == "initiator" else 4)
        seconds = time.monotonic() - begin
        return {name: (said, f"{figures[name]}; then {sorted(CHANGED[name][0])[0]}: {CHANGED[name][1][0]} ({seconds:.0f} s for all)") for name, said in wrong.items()}


def cell(name, role):
    """One profile in one role; all of a role are played at once."""
    said, figure = played(role)[name]
    return check(not said, "; ".join(said) or figure)


for _role in ROLES:
    for _name in NAMES:
        case(ROW, f"{_name} {'we call' if _role == 'initiator' else 'it calls'}")(lambda n=_name, r=_role: cell(n, r))


@case(ROW, "no profile is left out", quick=True)
def complete():
    """Each that the client knows is played above."""
    said = subprocess.run([sandhog.binary("sandhog"), "--json", "profiles"], capture_output=True, text=True, timeout=20, check=True).stdout
    known = [profile["name"] for profile in json.loads(said)["profiles"]]
    return check(sorted(known) == sorted(NAMES), f"{len(known)} profiles, {len(NAMES)} played")
