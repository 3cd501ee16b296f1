"""Two gateways on one wire, each with protected addresses on `lo`."""
from .net import Lab

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
        self.left_dev, self.right_dev = self.wire(self.left, self.right, mtu)
        for i, (host, dev) in enumerate(((self.left, self.left_dev), (self.right, self.right_dev))):
            host.address(dev, f"{OUTER[4][i]}/24", f"{OUTER[6][i]}/64")
            host.address("lo", prefix(INNER[4][i]), prefix(INNER[6][i]))
