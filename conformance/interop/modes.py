"""What a child may be besides a tunnel between networks: virtual addresses with strongSwan, transport mode and MOBIKE with the kernel's own ESP, plain and behind a NAT."""
import time

from interop import moves
from interop.kernel import KernelLab
from interop.ourselves import ESP
from lab import kernel, sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.net import Lab
from lab.pair import INNER, OUTER, PSK, Pair, prefix

ROW = "virtual addresses, strongSwan"
KERNEL = "transport mode and moves, the kernel's ESP"
IKE = "aes256gcm16-prfsha384-ecp384"
POOL = "10.9.0.0/24"
PUBLIC, PRIVATE = "192.0.2.254", "10.99.1.2"


@case(ROW, "we ask, strongSwan gives", quick=True)
def asks():
    """The address is ours while the tunnel is up, and traffic leaves with it."""
    with Pair("vip") as lab:
        us = sandhog.Sandhog(lab.left, sandhog.config(*OUTER[4], IKE, ESP, "0.0.0.0/0", prefix(INNER[4][1]), PSK, *moves.NAMES, encap="always", extra='vips = ["0.0.0.0"]\nrehearse = "never"'))
        peer = strongswan.StrongSwan(lab.right)
        peer.load(strongswan.connection("lab", *reversed(OUTER[4]), IKE, ESP, prefix(INNER[4][1]), "dynamic", PSK, *reversed(moves.NAMES), extra="pools = office") + f"pools {{ office {{ addrs = {POOL}\n }} }}\n")
        moves.bring_up(us, peer, "initiator")
        pings = traffic.ping(lab.left, "10.9.0.1", INNER[4][1], count=20)
        has = "10.9.0.1" in lab.left.ip("-br", "addr")
        us.client("down", "peer")
        wait.until("the address to go", lambda: "10.9.0.1" not in lab.left.ip("-br", "addr"), 10)
        return check(pings == 20 and has, f"{pings}/20 pings from 10.9.0.1, {us.status('peer')['children'][0]['local_ts']}")


@case(ROW, "strongSwan asks, we give", quick=True)
def gives():
    """Twice: the address comes back to the pool."""
    with Pair("vig") as lab:
        us = sandhog.Sandhog(lab.left, sandhog.config(OUTER[4][0], "%any", IKE, ESP, prefix(INNER[4][0]), POOL, PSK, *moves.NAMES, encap="always", extra='pools = ["office"]') + f'[pools.office]\naddrs = "{POOL}"\n')
        peer = strongswan.StrongSwan(lab.right)
        peer.load(strongswan.connection("lab", *reversed(OUTER[4]), IKE, ESP, "dynamic", prefix(INNER[4][0]), PSK, *reversed(moves.NAMES), extra="vips = 0.0.0.0"))
        got = []
        for _ in range(2):
            moves.bring_up(us, peer, "responder")
            (_, sa), = peer.vici().sas()
            got.append(sa["local-vips"][0])
            pings = traffic.ping(lab.right, got[-1], INNER[4][0], count=20)
            peer.terminate("lab")
        return check(pings == 20 and got[0] == got[1], f"{got}, {pings}/20 pings")


def bring_up(lab, us, role):
    """From our side (`initiator`) or the kernel machine's, or the logs of both."""
    up, why = us.up("peer") if role == "initiator" else lab.kernel.initiate("net")
    if not up:
        raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {lab.kernel.run('tail -c 1500 /tmp/charon.log', check=False)}")


def transport(lab, role, esp, family):
    """Host to host, no inner header; large packets, too. What is wrong."""
    ours, theirs = OUTER[family]
    lab.kernel.load(strongswan.connection("lab", theirs, ours, IKE, esp, "dynamic", "dynamic", PSK, encap="no", child_extra="mode = transport"))
    us = sandhog.Sandhog(lab.left, sandhog.config(ours, theirs, IKE, esp, prefix(ours), prefix(theirs), PSK, child_extra='mode = "transport"'), name=f"d{len(lab.processes)}")
    bring_up(lab, us, role)
    mode = "transport" in lab.kernel.run("ip xfrm state")
    small, large = traffic.ping(lab.left, ours, theirs), traffic.ping(lab.left, ours, theirs, count=20, size=3000)
    back = "20 received" in lab.kernel.run(f"ping -n -q -c 20 -i 0.05 -W 1 {ours}", check=False)
    through = us.status("peer")["children"][0]["packets_in"]
    us.stop()
    right = (small, large, back, mode) == (100, 20, True, True) and through >= 140
    return [] if right else [f"{esp} {role} IPv{family}: {small}/100, {large}/20 of 3,000 octets, {'20' if back else 'not 20'}/20 from there, {through} through the child, xfrm {'transport' if mode else 'NOT transport'}"]


@case(KERNEL, "transport: GCM and CBC, both roles, IPv4 and IPv6")
def transports():
    """All in one machine: it takes half a minute to start."""
    cells = [(role, esp, 4) for role in ("initiator", "responder") for esp in ("aes256gcm16", "aes256-sha256")] + [("initiator", "aes256gcm16", 6), ("responder", "aes256-sha256", 6)]
    with KernelLab() as lab:
        wrong = [said for cell in cells for said in transport(lab, *cell)]
        errors = lab.kernel.xfrm_errors()
    return check(not wrong and not errors, "; ".join(wrong) or f"{len(cells)} cells, 100/100 pings, 20/20 of 3,000 octets, 20/20 from there, xfrm {errors or 'clean'}")


class BehindNat(Lab):
    """The kernel machine sits behind a NAT; our host has a public address."""

    def __init__(self):
        super().__init__("ktn")
        self.left, self.nat = self.host("l"), self.host("n")
        ours, outside = self.wire(self.left, self.nat)
        self.left.address(ours, f"{OUTER[4][0]}/24")
        self.nat.address(outside, f"{PUBLIC}/24")
        self.kernel = kernel.Kernel(self.nat)
        self.nat.address(self.kernel.tap, "10.99.1.1/24")
        self.nat.nat(self.kernel.tap, outside)
        self.kernel.run(f"ip link set eth0 up; ip addr add {PRIVATE}/24 dev eth0; ip route add default via 10.99.1.1")
        self.kernel.charon()


@case(KERNEL, "transport behind a NAT")
def behind_nat():
    """Addresses behind the NAT mean nothing to us: we see its public one (RFC 7296 section 2.23.1), and checksums are right all the same."""
    with BehindNat() as lab:
        lab.kernel.load(strongswan.connection("lab", PRIVATE, OUTER[4][0], IKE, ESP, "dynamic", "dynamic", PSK, *reversed(moves.NAMES), encap="no", child_extra="mode = transport"))
        us = sandhog.Sandhog(lab.left, sandhog.config(OUTER[4][0], "%any", IKE, ESP, prefix(OUTER[4][0]), prefix(PUBLIC), PSK, *moves.NAMES, child_extra='mode = "transport"'))
        bring_up(lab, us, "responder")
        there = "20 received" in lab.kernel.run(f"ping -n -q -c 20 -i 0.05 -W 1 {OUTER[4][0]}", check=False)
        back = traffic.ping(lab.left, OUTER[4][0], PUBLIC, count=20)
        # UDP has a checksum over addresses that the NAT changed: bash speaks it where there is no Python
        server = lab.left.start("echo", ["python3", "-c", f"import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('{OUTER[4][0]}', 7))\nprint('ready', flush=True)\nd, p = s.recvfrom(99)\nprint(d, p, flush=True)"])
        wait.until("the echo", lambda: "ready" in server.text())
        lab.kernel.run(f"bash -c 'echo -n hello > /dev/udp/{OUTER[4][0]}/7'", check=False)
        try:
            wait.until("the datagram", lambda: "hello" in server.text(), 3)
        except TimeoutError:
            pass
        udp = "hello" in server.text()
        errors = lab.kernel.xfrm_errors()
        return check(there and back == 20 and udp and not errors, f"{'20' if there else 'not 20'}/20 pings there, {back}/20 back, UDP {'arrived' if udp else 'LOST'}, xfrm {errors or 'clean'}")


@case(KERNEL, "MOBIKE: the kernel machine gets another address")
def kernel_moves():
    """A peer that can move an SA in place; it initiated."""
    with KernelLab() as lab:
        inside = [prefix(a) for a in INNER[4]]
        lab.kernel.load(strongswan.connection("lab", "%any", OUTER[4][0], IKE, ESP, inside[1], inside[0], PSK, *reversed(moves.NAMES), encap="no", mobike="yes"))
        us = sandhog.Sandhog(lab.left, sandhog.config(OUTER[4][0], "%any", IKE, ESP, *inside, PSK, *moves.NAMES, extra="mobike = true"))
        bring_up(lab, us, "responder")
        before = us.status("peer")["children"] or us.status("peer")["peers"][0]["children"]
        ping = lab.left.start("ping", ["ping", "-n", "-i", "0.02", "-D", "-O", "-I", INNER[4][0], INNER[4][1]])
        time.sleep(1)
        lab.kernel.run(r"echo 1 > /proc/sys/net/ipv4/conf/eth0/promote_secondaries && printf 'addr add 192.0.2.12/24 dev eth0\naddr del 192.0.2.2/24 dev eth0\n' | ip -batch -")
        time.sleep(5)
        ping.stop()
        times = [float(line[1:line.index("]")]) for line in ping.text().splitlines() if line.startswith("[") and "bytes from" in line]
        gap = max((b - a for a, b in zip(times, times[1:])), default=99.0)
        after = us.status("peer")["children"] or us.status("peer")["peers"][0]["children"]
        same = before[0]["spi_in"] == after[0]["spi_in"]
        remote = moves.remote_of(us.status("peer"))
        return check(gap < 2 and same and "192.0.2.12" in remote and times[-1] - times[0] > 5, f"{remote}, gap {gap:.2f} s, the child is {'the same' if same else 'ANOTHER'}")
