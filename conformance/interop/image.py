"""The OCI image, unpacked and run as its configuration says: a user that is not root, file capabilities, and what the container's bounding set lets them
have. Configuration and state lie there as a kubelet lays them: behind links, and open to the group of the pod; a second start finds its state again."""
import json
import os

from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.net import Lab, run

from .package import PSK, SUITE, beside_a_peer, build

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
        self.start()

    def start(self):
        """Mounts the state's volume as a kubelet does for a pod's group where nothing tells it not to: all that is in it is opened to the group."""
        folder, group = os.path.join(self.root, "var/lib/sandhog"), self.process["user"]["gid"]
        os.chown(folder, 0, group)
        for path, _, files in os.walk(folder):
            os.chmod(path, os.stat(path).st_mode | 0o2770)
            for file in (os.path.join(path, name) for name in files):
                os.chown(file, -1, group)
                os.chmod(file, os.stat(file).st_mode | 0o660)
        self.daemon = self.host.start("sandhogd", [*self.inside, *self.process["args"]])

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

    def up(self):
        """Waits for the tunnel; its child."""
        socket = os.path.join(self.root, "run/sandhog/control.sock")
        child = lambda: os.path.exists(socket) and json.loads(self.client("--json", "status"))["connections"][0]["children"][0]
        try:
            return wait.until("the tunnel", lambda: (found := child()) and found["state"] == "up" and found, 20, every=0.3)
        except TimeoutError as error:
            raise RuntimeError(f"{error}\n{self.daemon.text()[-2000:]}") from None

    def close(self):
        """Ends it, and takes the mounts away."""
        self.daemon.stop()
        for where in ("dev", "proc"):
            run("umount", os.path.join(self.root, where), check=False)


def tunnel(layout, capabilities):
    """Brings a tunnel up to a gateway that is as it always is: (user, raw ESP, encapsulation, pings of 20, warnings, health)."""
    with Lab("image") as lab:
        us, _ = beside_a_peer(lab)
        config = sandhog.config("192.0.2.1", "192.0.2.2", SUITE, "aes256gcm16", "10.1.0.0/24", "10.2.0.0/24", PSK, start="start",
                                gateway='listen = ["192.0.2.1"]\nstate_dir = "/var/lib/sandhog/state"')
        config = config.replace(f'secret = "{PSK}"', 'secret_file = "..data/office.psk"')
        container = Container(us, layout, config, PSK, capabilities)
        try:
            child = container.up()
            info = json.loads(container.client("--json", "status", "-v"))["info"]
            user = _user(info["pid"])
            health = container.client("health")
            pings = traffic.ping(us, "10.1.0.1", "10.2.0.1", 20)
            said = user, info["raw_esp"], child["encap"], pings, [warning for warning in info["warnings"] if "CAP_" in warning], health.splitlines()
            # a node that starts the pod again
            container.daemon.stop()
            revisions = lambda: sorted(os.listdir(os.path.join(container.root, "var/lib/sandhog/state/revisions")))
            before = revisions()
            container.start()
            container.up()
            if not before or revisions() != before:
                raise RuntimeError(f"another start, and the state is {revisions()} instead of {before}: {container.daemon.text()[-2000:]}")
            return said
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
