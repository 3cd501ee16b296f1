"""The OCI image, unpacked and run as its configuration says: a user that is not root, file capabilities, and what the container's bounding set lets them
have. The files of the configuration lie there as a kubelet lays them: behind links, for the group of the pod."""
import json
import os

from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.net import Lab, run

from .package import PSK, SUITE, build

ROW = "package"
CONTAINER = ["net_admin", "net_raw", "net_bind_service"]
# What it takes to enter the root and become the user; a user that is not root has nothing of them.
ENTER = ["sys_chroot", "setuid", "setgid"]


class Container:
    """The image's program, in a host's network."""

    def __init__(self, host, layout, config, secret, capabilities):
        self.host, self.bundle = host, os.path.join(host.lab.dir, f"{host.name}-bundle")
        run("umoci", "unpack", "--image", f"{layout}:latest", self.bundle)
        self.root = os.path.join(self.bundle, "rootfs")
        with open(os.path.join(self.bundle, "config.json")) as f:
            self.process = json.load(f)["process"]
        self.volumes(config, secret)
        for kind, what, where in (("proc", "proc", "proc"), (None, "/dev", "dev")):
            os.makedirs(os.path.join(self.root, where), exist_ok=True)
            run("mount", *(["-t", kind, what] if kind else ["--bind", what]), os.path.join(self.root, where))
        self.inside = ["setpriv", "--bounding-set", "-all," + ",".join(f"+{name}" for name in ENTER + capabilities), "unshare", f"--root={self.root}", "--wd=/",
                       f"--setgid={self.process['user']['gid']}", f"--setuid={self.process['user']['uid']}", "--"]
        self.daemon = host.start("sandhogd", [*self.inside, *self.process["args"]])

    def volumes(self, config, secret):
        """A projected volume: files of root's, for the group, behind two links."""
        folder = os.path.join(self.root, "etc/sandhog")
        data = os.path.join(folder, "..2026")
        os.makedirs(data)
        os.symlink("..2026", os.path.join(folder, "..data"))
        for name, text in (("sandhog.toml", config), ("office.psk", secret)):
            with open(os.path.join(data, name), "w") as f:
                f.write(text)
            os.chmod(f.name, 0o440)
            os.chown(f.name, 0, self.process["user"]["gid"])
            os.symlink(f"..data/{name}", os.path.join(folder, name))
        os.chmod(data, 0o755)

    def client(self, *argv):
        """`sandhog ...` in the container."""
        return self.host.run(*self.inside, "/usr/bin/sandhog", *argv)

    def close(self):
        """Ends it, and takes the mounts away."""
        self.daemon.stop()
        for where in ("dev", "proc"):
            run("umount", os.path.join(self.root, where), check=False)


def tunnel(layout, capabilities):
    """Brings a tunnel up to a gateway that is as it always is: (user, raw ESP, encapsulation, pings of 20, warnings, health)."""
    with Lab("image") as lab:
        us, peer = lab.host("u"), lab.host("p")
        mine, its = lab.wire(us, peer)
        us.address(mine, "192.0.2.1/24"), peer.address(its, "192.0.2.2/24")
        us.address("lo", "10.1.0.1/32"), peer.address("lo", "10.2.0.1/32")
        sandhog.Sandhog(peer, sandhog.config("192.0.2.2", "192.0.2.1", SUITE, "aes256gcm16", "10.2.0.0/24", "10.1.0.0/24", PSK))
        config = sandhog.config("192.0.2.1", "192.0.2.2", SUITE, "aes256gcm16", "10.1.0.0/24", "10.2.0.0/24", PSK, start="start",
                                gateway='listen = ["192.0.2.1"]\nstate_dir = "/var/lib/sandhog/state"')
        config = config.replace(f'secret = "{PSK}"', 'secret_file = "..data/office.psk"')
        container = Container(us, layout, config, PSK, capabilities)
        try:
            socket = os.path.join(container.root, "run/sandhog/control.sock")
            up = lambda: os.path.exists(socket) and json.loads(container.client("--json", "status"))["connections"][0]["children"][0]
            try:
                child = wait.until("the tunnel", lambda: (up() or {}).get("state") == "up" and up(), 20, every=0.3)
            except TimeoutError as error:
                raise RuntimeError(f"{error}\n{container.daemon.text()[-2000:]}") from None
            info = json.loads(container.client("--json", "status", "-v"))["info"]
            user = _user(info["pid"])
            health = container.client("health")
            pings = traffic.ping(us, "10.1.0.1", "10.2.0.1", 20)
            return user, info["raw_esp"], child["encap"], pings, [warning for warning in info["warnings"] if "CAP_" in warning], health.splitlines()
        finally:
            container.close()


def _user(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("Uid:"))


@case(ROW, "the OCI image: a user that is not root, with NET_RAW and without")
def image():
    """With it ESP is protocol 50 where there is no NAT; without, it goes in UDP, which is told, and works."""
    layout = build("image")
    whole, poor = tunnel(layout, CONTAINER), tunnel(layout, [name for name in CONTAINER if name != "net_raw"])
    holds = (whole[:4] == (2500, True, False, 20) and not whole[4] and poor[:4] == (2500, False, True, 20) and len(poor[4]) == 1
             and all(len(health) == 2 for *_, health in (whole, poor)))
    said = lambda of: f"user {of[0]}, raw ESP {of[1]}, in UDP {of[2]}, {of[3]} of 20 pings, warnings {of[4]}, health {' / '.join(of[5])}"
    return check(holds, f"with NET_RAW: {said(whole)}; without: {said(poor)}")
