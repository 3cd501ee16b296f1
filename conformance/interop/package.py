"""The Debian package in a clean root: installed, configured, a tunnel up, upgraded, removed, purged, and nothing left. systemd does not run in the
lab: the daemon is started as the unit says, and ended as systemd would end it."""
import json
import os
import shutil
import subprocess

from lab import sandhog, wait
from lab.cases import case, check
from lab.net import Lab, run

ROW = "package"
CACHE = os.environ.get("SANDHOG_LAB", "/var/cache/sandhog-lab")
TOOLS = os.path.join(CACHE, "tools")
SUITE, PSK = "aes256gcm16-prfsha384-x25519", "a secret of the package's case"
# What dpkg, the linker and the accounts' tools write down of any package.
KEPT = ("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/etc/.pwd.lock", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid",
        "/var/lib/systemd/", "/run/", "/tmp/", "/proc", "/sys", "/dev")


def tool(name):
    """A cargo subcommand, built once."""
    path = os.path.join(TOOLS, "bin", name)
    if not os.path.exists(path):
        run("cargo", "install", "--locked", "--root", TOOLS, name, timeout=1200)
    return path


def deb(folder, revision):
    """A package of the release build; its path."""
    env = dict(os.environ, PATH=f"{os.path.dirname(tool('cargo-deb'))}:{os.environ['PATH']}")
    run(os.path.join(sandhog.ROOT, "deploy/package/build"), "deb", timeout=900, env=env)
    out = os.path.join(folder, f"sandhog-{revision}.deb")
    subprocess.run(["cargo", "deb", "--no-build", "--locked", "--deb-revision", str(revision), "--output", out], cwd=sandhog.ROOT, env=env, check=True, capture_output=True)
    return out


class Root:
    """A writable copy of the clean root, in a host's network."""

    def __init__(self, host):
        run("bash", os.path.join(sandhog.ROOT, "conformance/lab/roots.sh"), "clean", timeout=900)
        self.host, self.dir = host, os.path.join(host.lab.dir, "root")
        upper = self.dir + ".upper"
        for folder in (self.dir, upper):
            os.makedirs(folder)
        # the temporary folder may be on a file system that cannot be an upper layer
        run("mount", "-t", "tmpfs", "tmpfs", upper)
        for folder in ("upper", "work"):
            os.makedirs(os.path.join(upper, folder))
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={CACHE}/clean,upperdir={upper}/upper,workdir={upper}/work", self.dir)
        run("mount", "-t", "tmpfs", "tmpfs", os.path.join(self.dir, "run"))
        run("mount", "--bind", "/dev", os.path.join(self.dir, "dev"))
        run("mount", "-t", "proc", "proc", os.path.join(self.dir, "proc"))

    def close(self):
        """Takes the mounts away."""
        for folder in ("proc", "dev", "run", ""):
            run("umount", os.path.join(self.dir, folder), check=False)
        run("umount", self.dir + ".upper", check=False)

    def run(self, *argv, **kw):
        """A command in the root and the host's network."""
        env = dict(os.environ, PATH="/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
        return self.host.run("chroot", self.dir, *argv, env=env, **kw)

    def files(self):
        """All paths in it that a package might have left."""
        found = run("find", self.dir, "-xdev", "-printf", "/%P\n", timeout=120).splitlines()
        return {path for path in found if not path.startswith(KEPT)}

    def accounts(self):
        """Users and groups."""
        return {line.split(":")[0] for name in ("passwd", "group") for line in open(os.path.join(self.dir, "etc", name))}

    def write(self, path, text, mode):
        """A file of the configuration, as its administrator would write it."""
        path = os.path.join(self.dir, path)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        group = int(self.run("getent", "group", "sandhogd").split(":")[2])
        os.chown(path, 0, group)

    def unit(self, key):
        """A value of the unit."""
        with open(os.path.join(self.dir, "usr/lib/systemd/system/sandhog.service")) as f:
            return next((line.split("=", 1)[1].strip() for line in f if line.startswith(key + "=")), None)

    def start(self):
        """The daemon as the unit starts it: its user, its groups, its capabilities."""
        user, caps = self.unit("User"), self.unit("AmbientCapabilities").lower().replace("cap_", "+").split()
        argv = ["chroot", self.dir]
        os.makedirs(os.path.join(self.dir, "run/sandhog"), exist_ok=True)
        if user:
            self.run("chown", f"{user}:{user}", "/run/sandhog")
            argv += ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--inh-caps", "-all," + ",".join(caps), "--ambient-caps", "-all," + ",".join(caps),
                     "--bounding-set", "-all," + ",".join(caps), "--no-new-privs"]
        self.process = self.host.start("sandhogd", [*argv, *self.unit("ExecStart").split()], env={"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    def children(self):
        """State and SPIs of each child."""
        """SPIs of the child that is up."""
        doc = json.loads(self.run("sandhog", "--json", "status"))
        return [(child["state"], child["spi_in"], child["spi_out"]) for c in doc["connections"] for child in c["children"]]


def left_in_kernel(host):
    """Routes, rules and tables of ours."""
    found = [line for flag in ((), ("-6",)) for what in ("rule", "route") for line in
             run("ip", "-n", host.ns, *flag, what, "show", *(("table", "all") if what == "route" else ()), check=False).splitlines()
             if "proto 83" in line or "sandhog" in line]
    return found + [line for line in host.run("nft", "list", "tables").splitlines() if "sandhog" in line]


@case(ROW, "dpkg: installed, configured, a tunnel up, upgraded, removed, purged")
def debian():
    """The row."""
    with Lab("package") as lab:
        us, peer = lab.host("u"), lab.host("p")
        mine, its = lab.wire(us, peer)
        us.address(mine, "192.0.2.1/24"), peer.address(its, "192.0.2.2/24")
        us.address("lo", "10.1.0.1/24"), peer.address("lo", "10.2.0.1/24")
        first, second = deb(lab.dir, 1), deb(lab.dir, 2)
        sandhog.Sandhog(peer, sandhog.config("192.0.2.2", "192.0.2.1", SUITE, "aes256gcm16", "10.2.0.0/24", "10.1.0.0/24", PSK))
        root = Root(us)
        try:
            return _life(us, root, first, second)
        finally:
            root.close()


def _life(us, root, first, second):
    before, accounts, kernel = root.files(), root.accounts(), left_in_kernel(us)
    for package in (first, second):
        shutil.copy(package, os.path.join(root.dir, "tmp"))
    root.run("dpkg", "-i", f"/tmp/{os.path.basename(first)}", timeout=120)
    listed = root.run("dpkg", "-L", "sandhog")
    units = [path for path in ("sandhog.service", "sandhog.1", "sandhogd.8", "sandhog.toml.5", "sysusers.d/sandhog.conf") if path not in listed]
    root.write("etc/sandhog/sandhog.toml", sandhog.config("192.0.2.1", "192.0.2.2", SUITE, "aes256gcm16", "10.1.0.0/24", "10.2.0.0/24", PSK, start="start"), 0o640)
    root.run("sandhog", "check", "/etc/sandhog/sandhog.toml")
    root.start()
    wait.until("the tunnel", lambda: root.process.alive() and root.children()[0][0] == "up" if os.path.exists(os.path.join(root.dir, "run/sandhog/control.sock")) else False, 20)
    pings = us.run("ping", "-c", "3", "-i", "0.2", "-I", "10.1.0.1", "10.2.0.1")
    spis = root.children()
    # the package's own script asks the running daemon to go on in the new version
    said = root.run("dpkg", "-i", f"/tmp/{os.path.basename(second)}", timeout=120)
    wait.until("the daemon after the upgrade", lambda: root.children() is not None, 20)
    upgraded = root.children() == spis
    us.run("ping", "-c", "3", "-i", "0.2", "-I", "10.1.0.1", "10.2.0.1")
    # what `systemctl disable --now` in the package's script does where systemd runs
    root.process.stop()
    root.run("dpkg", "-r", "sandhog", timeout=120)
    configuration = os.path.exists(os.path.join(root.dir, "etc/sandhog/sandhog.toml"))
    root.run("dpkg", "-P", "sandhog", timeout=120)
    for package in (first, second):
        os.unlink(os.path.join(root.dir, "tmp", os.path.basename(package)))
    left = sorted(root.files() - before)
    strangers = sorted(root.accounts() - accounts)
    in_kernel = [line for line in left_in_kernel(us) if line not in kernel]
    holds = not units and "3 received" in pings and upgraded and configuration and not left and not strangers and not in_kernel
    return check(holds, f"missing in the package: {units or 'nothing'}; SPIs after the upgrade {'the same' if upgraded else f'{spis} -> other: {said[-200:]}'}; "
                        f"left after purge: files {left or 0}, accounts {strangers or 0}, routes, rules, tables {in_kernel or 0}")
