"""strongSwan 6.x in a debootstrap root, with raw ESP from its own userspace."""
import os
import subprocess

from interop.strongswan import SUITES
from lab import kernel, sandhog, strongswan, traffic
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

ROW = "strongSwan 6.x, raw ESP"


def cell(release, ike, esp, role, outer, encap):
    """As with 5.9.8, but protocol 50 unless `encap`."""
    subprocess.run(["bash", kernel.ROOTS, release], check=True)
    with Pair("s6") as lab:
        peer = strongswan.StrongSwan(lab.right, root=os.path.join(kernel.CACHE, release), raw_esp=True)
        ours, theirs = OUTER[outer]
        inside = [prefix(a) for a in INNER[4]]
        peer.load(strongswan.connection("lab", theirs, ours, ike, esp, inside[1], inside[0], PSK, encap="yes" if encap else "no"))
        us = sandhog.Sandhog(lab.left, sandhog.config(ours, theirs, ike, esp, *inside, PSK, encap="always" if encap else "auto"))
        up, why = us.up("peer") if role == "initiator" else peer.initiate("net")
        if not up:
            raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-1500:]}")
        pings = traffic.ping(lab.left, *INNER[4])
        same, rate = traffic.tcp(lab.left, lab.right, *INNER[4], 20)
        used = us.status("peer")["children"][0]["encap"]
        return check(pings == 100 and same and used == encap, f"{pings}/100 pings, 20 MB {'equal' if same else 'DIFFERENT'}, {rate} Mbit/s, encap {used}")


for _release in ("trixie", "sid"):
    for _i, (_ike, _esp) in enumerate(SUITES):
        for _role in ("initiator", "responder"):
            for _outer in (4, 6):
                case(ROW, f"{_release} {_ike} {_role} over IPv{_outer}", quick=(_release, _i, _role, _outer) in {("trixie", 0, "initiator", 4), ("trixie", 1, "responder", 6)})(
                    lambda r=_release, i=_ike, e=_esp, o=_role, f=_outer: cell(r, i, e, o, f, False))
