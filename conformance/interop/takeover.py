"""A standby: two gateways with one pair of shared addresses, which keepalived moves as in deploy/standby. The active one dies."""
import os
import signal
import time

from interop.ourselves import ESP
from lab import sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.net import Lab
from lab.pair import PSK

ROW = "take-over"
BAR = 5.0
IKE = "aes256gcm16-prfsha384-x25519"
DEPLOY = os.path.join(sandhog.ROOT, "deploy", "standby")
WAN, LAN, PEER = "192.0.2.10", "10.1.0.1", "192.0.2.2"
INSIDE, BEHIND = "10.1.0.100", "10.2.0.1"
NAMES = ("left.example", "right.example")


class Site(Lab):
    """Gateways `a` and `b` and a host on a LAN, a peer on the other side; both networks are switches."""

    def __init__(self, name):
        super().__init__(name)
        self.wan, self.lan = self.switch("w"), self.switch("n")
        self.gateways = {}
        for i, name in enumerate(("a", "b")):
            host = self.host(name)
            host.sysctl("net.ipv4.ip_forward", 1)
            self.gateways[name] = (host, self.plug(host, self.wan, ours=True), self.plug(host, self.lan, ours=True))
            self.give_addresses(name)
        self.inside = self.host("h")
        self.inside.address(self.plug(self.inside, self.lan), f"{INSIDE}/24")
        self.inside.ip("route", "add", "default", "via", LAN)
        self.peer = self.host("p")
        self.peer.address(self.plug(self.peer, self.wan), f"{PEER}/24")
        self.peer.address("lo", f"{BEHIND}/32")

    def switch(self, name):
        """A host that is nothing but a bridge."""
        host = self.host(name)
        host.ip("link", "add", "br0", "type", "bridge")
        host.ip("link", "set", "br0", "up")
        return host

    def plug(self, host, switch, ours=False):
        """A device of the host on the switch."""
        here, there = self.wire(host, switch, ours=ours)
        switch.ip("link", "set", there, "master", "br0")
        return here

    def give_addresses(self, name):
        """Its own, and no others."""
        host, wan, lan = self.gateways[name]
        last = 11 if name == "a" else 12
        for dev, address in ((wan, f"192.0.2.{last}/24"), (lan, f"10.1.0.{last}/24")):
            host.ip("addr", "flush", "dev", dev)
            host.address(dev, address)
        # a default route, so that what is not protected would leave in the clear
        host.ip("route", "replace", "default", "via", PEER)

    def links(self, name, state):
        """Both wires of a gateway."""
        host, wan, lan = self.gateways[name]
        for dev in (wan, lan):
            host.ip("link", "set", dev, state)


class Gateway:
    """sandhogd and keepalived on one of the two."""

    def __init__(self, site, name, remote=PEER):
        self.site, self.name = site, name
        self.host, self.wan, self.lan = site.gateways[name]
        self.us = sandhog.Sandhog(self.host, sandhog.config(WAN, remote, IKE, ESP, "10.1.0.0/24", "10.2.0.0/24", PSK, *NAMES, extra='rehearse = "never"',
                                                            child_extra='dpd_action = "clear"' if remote == "%any" else "", start="trap"))
        self.start_keepalived()

    def start_keepalived(self):
        """With the files of deploy/standby, its names and paths replaced."""
        folder = self.us.dir
        settings, conf = os.path.join(folder, "standby"), os.path.join(folder, "keepalived.conf")
        client = f"{sandhog.binary('sandhog')} --socket {self.us.socket}"
        with open(settings, "w") as f:
            f.write(f'CONNECTIONS=peer\nSANDHOG="{client}"\n')
        with open(os.path.join(DEPLOY, "keepalived.conf")) as f:
            text = f.read()
        changes = {"    enable_script_security\n": "", "/usr/bin/sandhog status": f"{client} status", "preempt_delay 10": "preempt_delay 1",
                   "interface lan": f"interface {self.lan}", "dev lan": f"dev {self.lan}", "dev wan": f"dev {self.wan}", "        wan\n": f"        {self.wan}\n",
                   "/etc/keepalived/sandhog-notify": f"/usr/bin/env SANDHOG_STANDBY={settings} {DEPLOY}/sandhog-notify"}
        if self.name == "b":
            changes |= {"priority 150": "priority 100", "10.1.0.11\n": "10.1.0.X\n", "10.1.0.12\n": "10.1.0.11\n", "10.1.0.X\n": "10.1.0.12\n"}
        for old, new in changes.items():
            if old not in text:
                raise RuntimeError(f"{old!r} is not in keepalived.conf")
            text = text.replace(old, new)
        with open(conf, "w") as f:
            f.write(text)
        pids = [x for flag in "pr" for x in (f"-{flag}", os.path.join(folder, f"keepalived-{flag}.pid"))]
        self.keepalived = self.host.start("keepalived", ["keepalived", "-n", "-l", "-D", "-P", "-f", conf, *pids])

    def holds(self):
        """It has the shared addresses."""
        return f"{WAN}/" in self.host.ip("-4", "addr", "show", "dev", self.wan)

    def is_up(self):
        """The tunnel."""
        return self.us.status("peer")["state"] == "up"

    def die(self):
        """Everything at once: kill -9, so that keepalived resigns nothing, and both links."""
        children = self.host.run("ps", "-o", "pid=", "--ppid", self.keepalived.popen.pid, check=False).split()
        for pid in (self.keepalived.popen.pid, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        self.us.kill()
        self.site.links(self.name, "down")
        self.keepalived.popen.wait()

    def come_back(self):
        """As after a boot."""
        for dev in (self.wan, self.lan):
            self.host.ip("addr", "flush", "dev", dev)
        self.site.links(self.name, "up")
        self.site.give_addresses(self.name)
        self.us.start()
        self.start_keepalived()


def strongswan_peer(site):
    """The other end; its own dead peer detection takes half a minute."""
    end = strongswan.StrongSwan(site.peer)
    end.load(strongswan.connection("lab", PEER, WAN, IKE, ESP, "10.2.0.0/24", "10.1.0.0/24", PSK, *reversed(NAMES), extra="dpd_delay = 30s", child_extra="dpd_action = restart", encap="no"))
    return end


def gap(site, change, seconds):
    """The longest silence around a change, of both directions."""
    pulses = [traffic.Pulse(site.inside, site.peer, INSIDE, BEHIND, rate=100), traffic.Pulse(site.peer, site.inside, BEHIND, INSIDE, rate=100)]
    time.sleep(1)
    change()
    time.sleep(seconds)
    ends = [pulse.end() for pulse in pulses]
    now = time.monotonic()
    return max(max(end["gap"], now - 2.5 - end["last"]) for end in ends)


def take_over(caller, peer="strongSwan"):
    """Down and back again. `caller`: who began the tunnel with the one that dies."""
    with Site("tko") as site:
        if peer == "strongSwan":
            end = strongswan_peer(site)
        else:
            child = 'dpd_action = "restart"'
            end = sandhog.Sandhog(site.peer, sandhog.config(PEER, WAN, IKE, ESP, "10.2.0.0/24", "10.1.0.0/24", PSK, *reversed(NAMES), start="start", child_extra=child))
        remote = "%any" if peer == "ourselves" else PEER
        a, b = Gateway(site, "a", remote), Gateway(site, "b", remote)
        wait.until("the shared addresses on one", lambda: a.holds() and not b.holds(), 20)
        wait.until("the tunnel", a.is_up, 15)
        if caller == "they":
            a.us.must("down", "peer")
            up, why = end.initiate("net")
            if not up:
                raise RuntimeError(f"not up: {why}")
        clear = site.wan.start("clear", ["tcpdump", "-n", "-i", "br0", "-l", f"host {BEHIND}"])
        pings = traffic.ping(site.inside, INSIDE, BEHIND, count=20)
        idle, own = b.us.status("peer")["state"], traffic.ping(b.host, "10.1.0.12", BEHIND, count=3)
        over = gap(site, a.die, 6.0)
        carried = b.is_up() and b.holds()
        back = gap(site, a.come_back, 8.0)
        again = a.is_up() and a.holds() and not b.holds() and not b.is_up()
        clear.stop()
        leaked = sum(BEHIND in line for line in clear.text().splitlines())
        return check(pings == 20 and own == 0 and leaked == 0 and over <= BAR and carried and back <= BAR and again,
                     f"{pings}/20 pings; the standby was {idle}, {own}/3 of its own pings went through, {leaked} packets in the clear; silence {over:.1f} s at the take-over{'' if carried else ', NOT CARRIED'}, "
                     f"{back:.1f} s when the first one came back{'' if again else ', NOT BACK'}")


case(ROW, "we called, strongSwan", quick=True)(lambda: take_over("we"))
case(ROW, "they called, strongSwan")(lambda: take_over("they"))
case(ROW, "only the peer calls, ourselves")(lambda: take_over("they alone", "ourselves"))
