"""The tunnels that are compared. Each is built between the two hosts of a Pair: first the right end, then the left one, which begins."""
import json
import os
import subprocess

from lab import sandhog, strongswan, wait
from lab.net import LabError, run
from lab.pair import INNER, OUTER, PSK, prefix

PEERS = os.path.join(os.environ.get("SANDHOG_LAB", "/var/cache/sandhog-lab"), "peers", "bin")
# Of ours and of the null gateway: so the comparison is one of equal packets, whatever would fit.
MTU = 1400
# One that all gateways use: AES-256-GCM in UDP where they have it.
IKE, GCM, CBC = "aes256gcm16-prfsha384-x25519", "aes256gcm16", "aes256-sha256"


class System:
    """One tunnel. `right()` starts the end that waits, `left()` the other one; neither waits for the tunnel."""

    family = 4

    def __init__(self, lab):
        self.lab, self.hosts = lab, (lab.left, lab.right)
        self.outer, self.inner = OUTER[self.family], INNER[self.family]
        self.processes = [None, None]

    @classmethod
    def missing(cls):
        """Why it cannot run here, or nothing."""
        return None

    def loss(self):
        """Packets lost by the gateways, where they can tell: {where: count}."""
        return {}

    def close(self):
        """Removes what outlives the lab."""


class Sandhog(System):
    """Ours at both ends, always in UDP. A gateway has a machine of its own as a rule; two on one machine would pin their workers to the same cores, so
    the scheduler places them, as it does the others'."""

    esp = GCM

    def right(self):
        self.ends = [None, None]
        self._end(1, "none")
        self.ends[1].start()
        self.processes[1] = self.ends[1].process

    def left(self):
        self.processes[0] = self._end(0, "start").spawn()

    def _end(self, i, start):
        text = sandhog.config(self.outer[i], self.outer[1 - i], IKE, self.esp, prefix(self.inner[i]), prefix(self.inner[1 - i]), PSK, start=start, encap="always", child_extra=f"mtu = {MTU}", gateway="pin_workers = false")
        self.ends[i] = sandhog.Sandhog(self.hosts[i], text, start=False)
        return self.ends[i]

    def loss(self):
        found = {}
        for end, host in zip(self.ends, self.hosts):
            stats = end.api("GET", "stats")[1]
            # Dummies are not lost: they carry nothing.
            found.update({f"{host.name} {reason}": n for reason, n in stats["drops"].items() if reason != "dummy"})
            found[f"{host.name} RcvbufErrors"] = socket_drops(end.process.popen.pid, 4500)
            link = json.loads(host.ip("-j", "-s", "link", "show", "sandhog0"))[0]["stats64"]
            found[f"{host.name} tx_dropped"] = link["tx"]["dropped"]
        return found


class SandhogCbc(Sandhog):
    """The same with AES-CBC-256 and HMAC-SHA2-256."""

    esp = CBC


class Sandhog6(Sandhog):
    """The same with IPv6 inside and outside."""

    family = 6


class Null(System):
    """The yardstick: `null.rs`."""

    program = os.path.join(sandhog.TARGET, sandhog.PROFILE, "null")

    @classmethod
    def missing(cls):
        return None if os.path.exists(cls.program) else "not built: cargo build --release --bins --features null"

    def right(self):
        self._end(1)

    def left(self):
        self._end(0)

    def _end(self, i):
        self.processes[i] = self.hosts[i].start("null", [self.program, ("left", "right")[i], *(self.outer if i == 0 else self.outer[::-1])])
        device(self.hosts[i], "null0", MTU, self.inner[i], self.inner[1 - i])


class LibIpsec(System):
    """strongSwan with kernel-libipsec at both ends."""

    @classmethod
    def missing(cls):
        needed = (strongswan.CHARON, "/usr/sbin/swanctl", "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so")
        return None if all(map(os.path.exists, needed)) else "strongSwan with swanctl and kernel-libipsec is not installed"

    def right(self):
        self._end(1)

    def left(self):
        up, why = self._end(0).initiate("net")
        if not up:
            raise LabError(why)

    def _end(self, i):
        end = strongswan.StrongSwan(self.hosts[i])
        self.processes[i] = end.process
        end.load(strongswan.connection("lab", self.outer[i], self.outer[1 - i], "aes256gcm16-prfsha384-ecp384", GCM, prefix(self.inner[i]), prefix(self.inner[1 - i]), PSK))
        return end


class WireGuard(System):
    """A userspace WireGuard, configured with `wg`."""

    program, options = None, ()

    @classmethod
    def missing(cls):
        if not os.path.exists("/usr/bin/wg"):
            return "wireguard-tools is not installed"
        return None if os.path.exists(os.path.join(PEERS, cls.program)) else "could not be built"

    def right(self):
        self.keys = [run("wg", "genkey").strip() for _ in range(2)]
        self._end(1)

    def left(self):
        self._end(0)

    def _end(self, i):
        name, host = self._name(i), self.hosts[i]
        key = os.path.join(self.lab.dir, f"key{i}")
        with open(key, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
            f.write(self.keys[i])
        self.processes[i] = host.start(self.program, [os.path.join(PEERS, self.program), "--foreground", "--disable-drop-privileges", *self.options, name])
        wait.until(self.program, lambda: os.path.exists(self._socket(i)), 15, 0.002)
        peer = run("wg", "pubkey", input=self.keys[1 - i]).strip()
        host.run("wg", "set", name, "listen-port", 51820, "private-key", key, "peer", peer, "allowed-ips", prefix(self.inner[1 - i]), "endpoint", f"{self.outer[1 - i]}:51820")
        device(host, name, 1420, self.inner[i], self.inner[1 - i])

    def _name(self, i):
        return f"sw{os.getpid()}{'lr'[i]}"

    def _socket(self, i):
        return f"/var/run/wireguard/{self._name(i)}.sock"

    def close(self):
        # /run is common to all hosts, and who is killed leaves it
        for process, path in zip(self.processes, map(self._socket, range(2))):
            if process:
                process.stop()
            if os.path.exists(path):
                os.unlink(path)


class Gotatun(WireGuard):
    """Mullvad's."""

    program = "gotatun"


class Boringtun(WireGuard):
    """Cloudflare's."""

    program = "boringtun-cli"


SYSTEMS = {"sandhog": Sandhog, "sandhog CBC": SandhogCbc, "sandhog IPv6": Sandhog6, "null": Null, "libipsec": LibIpsec, "gotatun": Gotatun, "boringtun": Boringtun}


def device(host, name, mtu, own, other):
    """Brings a gateway's TUN up, with a route through it."""
    wait.until(name, lambda: subprocess.run(["ip", "-n", host.ns, "link", "show", name], capture_output=True).returncode == 0, 10, 0.002)
    host.ip("link", "set", name, "mtu", mtu, "up")
    host.ip("route", "add", prefix(other), "dev", name, "src", own)


def socket_drops(pid, port):
    """What the UDP sockets of this port have lost because their receive buffers were full."""
    total = 0
    for table in ("udp", "udp6"):
        with open(f"/proc/{pid}/net/{table}") as f:
            for line in list(f)[1:]:
                fields = line.split()
                if fields[1].rsplit(":", 1)[1] == f"{port:04X}":
                    total += int(fields[-1])
    return total
