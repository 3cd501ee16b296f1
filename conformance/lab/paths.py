"""Two gateways with hosts behind them, and a path of two routers between them whose narrow link neither gateway can see."""
import ipaddress
import re

from . import wait
from .net import Lab

# Outer addresses of the gateways and of the routers' sides that face them.
GATEWAYS = {4: ("192.0.2.1", "203.0.113.2"), 6: ("2001:db8:1::1", "2001:db8:3::2")}
ROUTERS = {4: ("192.0.2.254", "203.0.113.254"), 6: ("2001:db8:1::fe", "2001:db8:3::fe")}
BETWEEN = {4: ("198.51.100.1", "198.51.100.2"), 6: ("2001:db8:2::1", "2001:db8:2::2")}
# The hosts, and the networks that the tunnel joins; the gateways have the first address.
HOSTS = {4: ("10.1.0.2", "10.2.0.2"), 6: ("fd00:1::2", "fd00:2::2")}
NETWORKS = {4: ("10.1.0.0/24", "10.2.0.0/24"), 6: ("fd00:1::/64", "fd00:2::/64")}
LENGTH = {4: 24, 6: 64}
CUT_ESP = {4: "ip[6:2] & 0x3fff = 0x2000 and (ip proto 50 or (udp src port 4500 and udp[8:4] != 0))",
           6: "ip6[6] = 44 and ip6[42:2] & 0xfff8 = 0 and (ip6[40] = 50 or (ip6[40] = 17 and ip6[48:2] = 4500 and ip6[56:4] != 0))"}
TOO_BIG = {4: "icmp type destination-unreachable icmp code frag-needed", 6: "icmpv6 type packet-too-big"}
ALL_ICMP = {4: "ip protocol icmp", 6: "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply }"}


class Path(Lab):
    """a - l - m - n - r - b. All links have 1500 octets but that between the routers m and n, which has `mtu`, and a's, which is a jumbo one."""

    def __init__(self, name, mtu=1500):
        super().__init__(name, ours=False)
        self.a, self.l, self.m, self.n, self.r, self.b = (self.host(c) for c in "almnrb")
        self.a_dev, self.l_inner = self.wire(self.a, self.l, 9000)
        self.l_dev, self.m_left = self.wire(self.l, self.m, ours=True)
        self.m_dev, self.n_dev = self.wire(self.m, self.n)
        self.r_dev, self.n_right = self.wire(self.r, self.n)
        self.b_dev, self.r_inner = self.wire(self.b, self.r)
        for host in (self.l, self.m, self.n, self.r):
            host.sysctl("net.ipv4.ip_forward", 1)
            host.sysctl("net.ipv6.conf.all.forwarding", 1)
        for family in (4, 6):
            self._addresses(family)
        self.narrow(mtu)

    def _addresses(self, family):
        """Addresses and routes of one family."""
        length = LENGTH[family]
        for i, (host, dev, gateway, inner, outer, router, facing) in enumerate(((self.a, self.a_dev, self.l, self.l_inner, self.l_dev, self.m, self.m_left),
                                                                               (self.b, self.b_dev, self.r, self.r_inner, self.r_dev, self.n, self.n_right))):
            first = next(ipaddress.ip_network(NETWORKS[family][i]).hosts())
            host.address(dev, f"{HOSTS[family][i]}/{length}")
            host.ip("route", "add", "default", "via", first)
            gateway.address(inner, f"{first}/{length}")
            gateway.address(outer, f"{GATEWAYS[family][i]}/{length}")
            gateway.ip("route", "add", "default", "via", ROUTERS[family][i])
            router.address(facing, f"{ROUTERS[family][i]}/{length}")
            router.address((self.m_dev, self.n_dev)[i], f"{BETWEEN[family][i]}/{length}")
            router.ip("route", "add", ipaddress.ip_interface(f"{GATEWAYS[family][1 - i]}/{length}").network, "via", BETWEEN[family][1 - i])

    def narrow(self, mtu):
        """Gives the link between the routers this MTU."""
        self.m.ip("link", "set", self.m_dev, "mtu", mtu)
        self.n.ip("link", "set", self.n_dev, "mtu", mtu)

    def silence(self):
        """Nobody hears that a packet was too big: the routers do not say so, and the gateways would not listen."""
        for host, hook in ((self.m, "output"), (self.n, "output"), (self.l, "input"), (self.r, "input")):
            drop(host, {hook: TOO_BIG})

    def silence_right(self):
        """The right side lets no ICMP of any kind pass, inside or outside, as some clouds do."""
        drop(self.r, {hook: ALL_ICMP for hook in ("input", "output", "forward")})

    def swallow(self):
        """The routers take no fragments of IPv4, whoever cut them: before anybody could put them together."""
        for host in (self.m, self.n):
            host.run("nft", "-f", "-", input="""table ip swallow {
  chain prerouting {
    type filter hook prerouting priority -450;
    ip frag-off & 0x3fff != 0 counter drop
  }
}
""")

    def swallowed(self):
        """How many fragments that were."""
        return sum(int(n) for host in (self.m, self.n) for n in re.findall(r"counter packets (\d+)", host.run("nft", "list", "table", "ip", "swallow")))

    def forget(self):
        """The hosts forget what they have learned about paths."""
        for host in (self.a, self.b):
            host.ip("-4", "route", "flush", "cache")
            host.ip("-6", "route", "flush", "cache")

    def fragments(self, family):
        """A watcher of the left gateway's ESP packets that cross the narrow link in fragments, whoever cut them: it counts the first ones. (IKE may
        be cut: that is how a probe that was too large comes to be answered.)"""
        return Watch(self.m, "fragments", self.m_dev, f"src {GATEWAYS[family][0]} and {CUT_ESP[family]}")


class Watch:
    """Counts what a capture filter matches on a device."""

    def __init__(self, host, name, dev, expression):
        self.process = host.start(name, ["tcpdump", "-n", "-l", "-t", "-i", dev, expression])
        wait.until(f"tcpdump of {name}", lambda: "listening" in self.process.text())

    def count(self):
        """How many so far."""
        return sum(line.startswith("IP") for line in self.process.text().splitlines())


def drop(host, hooks):
    """{hook: {family: expression}}: what this host drops where."""
    chains = "".join(f"""
  chain {hook} {{
    type filter hook {hook} priority 0;
    {what[4]} drop
    {what[6]} drop
  }}""" for hook, what in hooks.items())
    host.run("nft", "-f", "-", input=f"table inet silent {{{chains}\n}}\n")
