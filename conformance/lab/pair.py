"""Two gateways on one wire, each with protected addresses on `lo`."""
from .net import Lab
from .relay import Relay

OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.0.1", "10.2.0.1"), 6: ("fd00:1::1", "fd00:2::1")}
PSK = "correct horse battery staple 7Q"


def prefix(address):
    """The address as a host selector."""
    return f"{address}/128" if ":" in address else f"{address}/32"


class Pair(Lab):
    """Hosts `left` and `right`, joined by one wire of `mtu`."""

    def __init__(self, name, mtu=1500):
        super().__init__(name)
        self.left, self.right = self.host("l"), self.host("r")
        self.join(mtu)
        for i, (host, dev) in enumerate(((self.left, self.left_dev), (self.right, self.right_dev))):
            host.address(dev, f"{OUTER[4][i]}/24", f"{OUTER[6][i]}/64")
            host.address("lo", prefix(INNER[4][i]), prefix(INNER[6][i]))

    def join(self, mtu):
        """What lies between the two."""
        self.left_dev, self.right_dev = self.wire(self.left, self.right, mtu)


class Relayed(Pair):
    """The same with a relay on the wire; its side `a` is the left one."""

    def __init__(self, name, *options):
        self.options = options
        super().__init__(name)

    def join(self, mtu):
        between = self.host("m")
        self.left_dev, a = self.wire(self.left, between, mtu)
        b, self.right_dev = self.wire(between, self.right, mtu)
        for host, dev in ((self.left, self.left_dev), (self.right, self.right_dev)):
            host.ip("link", "set", dev, "gso_max_segs", 1)  # a train would come to the relay as one frame, and leave it as one
        self.relay = Relay(between, a, b, *self.options)


class Routed(Pair):
    """The same with a router between: what it does with packets is the case's affair."""

    def join(self, mtu):
        self.router = self.host("m")
        self.left_dev, self.router_left = self.wire(self.left, self.router, mtu)
        self.router_right, self.right_dev = self.wire(self.router, self.right, mtu)
        self.router.sysctl("net.ipv4.ip_forward", 1)
        # both gateways think that they share a network: the router answers ARP for whoever is behind it
        for i, dev in enumerate((self.router_left, self.router_right)):
            self.router.ip("route", "add", prefix(OUTER[4][i]), "dev", dev)
            self.router.sysctl(f"net.ipv4.conf.{dev}.proxy_arp", 1)
