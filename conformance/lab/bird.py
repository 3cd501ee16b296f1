"""BIRD 2 as the router of a host: BGP with BFD over whatever devices there are."""
import os
import signal

from . import wait
from .net import run

BIRD = "/usr/sbin/bird"
# BFD sees a dead neighbour after three of these; BGP alone would wait for its hold time, 240 s.
INTERVAL_MS = 250


class Neighbour:
    """One session: `own` and `peer` are addresses of one link, `asn` is the peer's; `prefer` is the local preference of what it says.

    `tell`: "net" for our own network, "heard" for what others told us, "none".
    """

    def __init__(self, name, own, peer, asn, prefer=100, tell="net", bfd=True):
        self.name, self.own, self.peer, self.asn, self.prefer, self.tell, self.bfd = name, own, peer, asn, prefer, tell, bfd

    def text(self, asn):
        """As BIRD wants it. A session that broke is tried again at once, not after minutes."""
        family = "ipv6" if ":" in self.peer else "ipv4"
        export = {"net": "where source = RTS_DEVICE", "heard": "where source = RTS_BGP", "none": "none"}[self.tell]
        return f"""
protocol bgp {self.name} {{
  local {self.own} as {asn};
  neighbor {self.peer} as {self.asn};
  error wait time 1, 1;
  connect delay time 1;
  connect retry time 2;
  {"bfd;" if self.bfd else ""}
  {family} {{
    import filter {{ bgp_local_pref = {self.prefer}; accept; }};
    export {export};
    next hop self;
  }};
}}
"""


class Bird:
    """One BIRD in one host. `net`: the device whose network it tells its neighbours; `ecmp`: equal paths share a route."""

    def __init__(self, host, router_id, asn, neighbours, net=None, ecmp=False):
        self.host = host
        self.socket, self.pid, self.conf = (os.path.join(host.lab.dir, f"{host.name}-bird.{end}") for end in ("ctl", "pid", "conf"))
        kernel = "".join(f"""
protocol kernel {{
  {"merge paths on;" if ecmp else ""}
  {family} {{ import none; export where source = RTS_BGP; }};
}}
""" for family in ("ipv4", "ipv6"))
        direct = f'protocol direct {{ ipv4; ipv6; interface "{net}"; }}' if net else ""
        with open(self.conf, "w") as f:
            f.write(f"""log stderr all;
router id {router_id};
protocol device {{ scan time 2; }}
{direct}
{kernel}
protocol bfd {{ interface "*" {{ interval {INTERVAL_MS} ms; multiplier 3; }}; }}
""" + "".join(n.text(asn) for n in neighbours))
        self.neighbours = neighbours
        self.start()

    def start(self):
        """Starts it; its socket answers when this returns."""
        self.process = self.host.start("bird", [BIRD, "-f", "-c", self.conf, "-s", self.socket, "-P", self.pid])

        def answers():
            if not self.process.alive():
                raise RuntimeError(f"bird ended:\n{self.process.text()[-2000:]}")
            return "up" in self.show("status")

        wait.until(f"bird of {self.host.name}", answers, 10)

    def show(self, *what):
        """`birdc show ...`; nothing if it does not answer."""
        return run("birdc", "-r", "-s", self.socket, "show", *what, check=False)

    def established(self, *names):
        """All sessions of these names are up, or simply all; with BFD it sees its neighbour, too."""
        wanted = {n.name: n for n in self.neighbours if not names or n.name in names}
        up = {line.split()[0] for line in self.show("protocols").splitlines() if line.split()[-1:] == ["Established"]}
        seen = {line.split()[0] for line in self.show("bfd", "sessions").splitlines() if " Up " in line}
        return all(name in up and (not n.bfd or n.peer in seen) for name, n in wanted.items())

    def kill(self):
        """kill -9: its routes stay in the kernel."""
        os.kill(self.process.popen.pid, signal.SIGKILL)
        self.process.popen.wait()
        os.unlink(self.socket)
