"""The Linux kernel's own ESP, in both roles: raw ESP, ESN on and off, GCM and CBC, large and fragmented packets, ECN."""
from lab import kernel, sandhog, strongswan, traffic
from lab.cases import case, check
from lab.net import Lab
from lab.pair import INNER, OUTER, PSK, prefix

ROW = "the kernel's ESP, both roles"
IKE = {"aes256gcm16": "aes256gcm16-prfsha384-ecp384", "aes256-sha256": "aes256-sha256-modp2048"}


class KernelLab(Lab):
    """Our host, and a kernel machine on its tap."""

    def __init__(self):
        super().__init__("kern")
        self.left = self.host("l")
        self.kernel = kernel.Kernel(self.left)
        self.left.address(self.kernel.tap, f"{OUTER[4][0]}/24", f"{OUTER[6][0]}/64")
        self.left.address("lo", prefix(INNER[4][0]), prefix(INNER[6][0]))
        self.kernel.run("sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0; ip link set eth0 up; "
                        f"ip addr add {OUTER[4][1]}/24 dev eth0; ip addr add {OUTER[6][1]}/64 dev eth0 nodad; "
                        f"ip addr add {INNER[4][1]}/32 dev lo; ip addr add {INNER[6][1]}/128 dev lo nodad")
        self.kernel.charon()

    def bring_up(self, esp, esn, role, inner, outer):
        """One child with these properties; our daemon."""
        ours, theirs = OUTER[outer]
        inside = [prefix(a) for a in INNER[inner]]
        ike, esp_full = IKE[esp], f"{esp}-{'esn' if esn else 'noesn'}"
        self.kernel.load(strongswan.connection("lab", theirs, ours, ike, esp_full, inside[1], inside[0], PSK, encap="no"))
        us = sandhog.Sandhog(self.left, sandhog.config(ours, theirs, ike, esp_full, inside[0], inside[1], PSK), name=f"d{len(self.processes)}")
        up, why = us.up("peer") if role == "initiator" else self.kernel.initiate("net")
        if not up:
            log = self.kernel.run("tail -c 1500 /tmp/charon.log", check=False)
            raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {log}")
        return us


def cells(quick):
    """All cells in one machine: it takes ten seconds to start."""
    wrong, count = [], 0
    with KernelLab() as lab:
        for esp in IKE:
            for esn in (False, True):
                for role in ("initiator", "responder"):
                    for inner, outer in ((4, 4), (6, 6)) if quick else ((4, 4), (4, 6), (6, 4), (6, 6)):
                        us = lab.bring_up(esp, esn, role, inner, outer)
                        ours, theirs = INNER[inner]
                        small = traffic.ping(lab.left, ours, theirs)
                        large = traffic.ping(lab.left, ours, theirs, count=20, size=3000)
                        child = us.status("peer")["children"][0]
                        ok = small == 100 and large == 20 and not child["encap"]
                        count += 1
                        if not ok:
                            wrong.append(f"{esp} esn={esn} {role} {inner}in{outer}: {small}/100, {large}/20, encap={child['encap']}")
                        us.stop()
        errors = lab.kernel.xfrm_errors()
        if errors:
            wrong.append(f"xfrm_stat {errors}")
    return check(not wrong, "; ".join(wrong) or f"{count} cells, 100/100 pings, 20/20 of 3,000 octets, xfrm_stat clean")


case(ROW, "raw ESP: GCM and CBC, ESN on and off, one family inside and out", quick=True)(lambda: cells(True))
case(ROW, "raw ESP: GCM and CBC, ESN on and off, all families")(lambda: cells(False))
