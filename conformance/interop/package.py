"""The packages in a clean Debian root: installed, configured, a tunnel up, upgraded under traffic, removed, purged, and nothing left. systemd does not
run in it: the daemon is started as the unit says, and ended as systemd would end it (`booted` has the same in a running systemd)."""
import glob
import json
import os
import re
import shutil

from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.net import Lab, run

ROW = "package"
CACHE = os.environ.get("SANDHOG_LAB", "/var/cache/sandhog-lab")
TOOLS = os.path.join(CACHE, "tools")
SUITE, PSK = "aes256gcm16-prfsha384-x25519", "a secret of the package's case"
# What dpkg, the linker and the accounts' tools write down of any package.
KEPT = ("/var/lib/dpkg/", "/var/log/", "/var/cache/", "/etc/.pwd.lock", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid",
        "/var/lib/systemd/", "/run/", "/tmp/", "/proc", "/sys", "/dev")

# What rpm keeps of itself, and leaves of a package on purpose: configuration and state. Folders of other packages are none of ours (there are no fish and zsh in the root).
RPMS_OWN = ("/root/.rpmdb", "/var/lib/rpm", "/etc/sandhog", "/var/lib/sandhog", "/usr/share/fish", "/usr/share/zsh")


def tool(name):
    """A cargo subcommand, built once."""
    path = os.path.join(TOOLS, "bin", name)
    if not os.path.exists(path):
        run("cargo", "install", "--locked", "--root", TOOLS, name, timeout=1200)
    return path


def build(kind, revision=1):
    """A package of the release build, made by its own script; its path."""
    env = dict(os.environ, PATH=f"{os.path.dirname(tool('cargo-deb'))}:{os.path.dirname(tool('cargo-generate-rpm'))}:{os.environ['PATH']}")
    built = ["--no-build"] if os.path.exists(sandhog.binary("sandhogd")) else []
    run(os.path.join(sandhog.ROOT, "deploy/package/build"), *built, "--revision", revision, kind, timeout=900, env=env)
    if kind == "image":
        return os.path.join(sandhog.TARGET, "packages/image")
    made = glob.glob(os.path.join(sandhog.TARGET, f"packages/sandhog[-_]*-{revision}[._]*{kind}"))
    return max(made, key=os.path.getmtime)


class Root:
    """A writable copy of a clean root, in a host's network."""

    def __init__(self, host, name="clean"):
        run("bash", os.path.join(sandhog.ROOT, "conformance/lab/roots.sh"), name, timeout=900)
        self.host, self.dir = host, os.path.join(host.lab.dir, "root")
        upper = self.dir + ".upper"
        for folder in (self.dir, upper):
            os.makedirs(folder)
        # the temporary folder may be on a file system that cannot be an upper layer
        run("mount", "-t", "tmpfs", "tmpfs", upper)
        for folder in ("upper", "work"):
            os.makedirs(os.path.join(upper, folder))
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={CACHE}/{name},upperdir={upper}/upper,workdir={upper}/work", self.dir)
        run("mount", "-t", "tmpfs", "tmpfs", os.path.join(self.dir, "run"))
        run("mount", "--bind", "/dev", os.path.join(self.dir, "dev"))
        run("mount", "-t", "proc", "proc", os.path.join(self.dir, "proc"))

    def close(self):
        """Takes the mounts away."""
        self.release()
        run("umount", self.dir, check=False)
        run("umount", self.dir + ".upper", check=False)

    def release(self):
        """Nothing is mounted in it any more."""
        for folder in ("proc", "dev", "run"):
            run("umount", os.path.join(self.dir, folder), check=False)

    def file(self, path, text, mode):
        """A file of root's own."""
        path = os.path.join(self.dir, path)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

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
        path = self.file(path, text, mode)
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
        doc = json.loads(self.run("sandhog", "--json", "status"))
        return [(child["state"], child["spi_in"], child["spi_out"]) for c in doc["connections"] for child in c["children"]]


def left_in_kernel(host):
    """Routes, rules and tables of ours."""
    found = [line for flag in ((), ("-6",)) for what in ("rule", "route") for line in
             run("ip", "-n", host.ns, *flag, what, "show", *(("table", "all") if what == "route" else ()), check=False).splitlines()
             if "proto 83" in line or "sandhog" in line]
    return found + [line for line in host.run("nft", "list", "tables").splitlines() if "sandhog" in line]


def clean(us):
    """What is there before a package comes."""
    root = Root(us)
    return root, root.files(), root.accounts(), left_in_kernel(us)


def beside_a_peer(lab):
    """A host for what is packaged, and a gateway as it always is, which it is to call."""
    us, peer = lab.host("u"), lab.host("p")
    mine, its = lab.wire(us, peer)
    us.address(mine, "192.0.2.1/24"), peer.address(its, "192.0.2.2/24")
    us.address("lo", "10.1.0.1/24"), peer.address("lo", "10.2.0.1/24")
    sandhog.Sandhog(peer, sandhog.config("192.0.2.2", "192.0.2.1", SUITE, "aes256gcm16", "10.2.0.0/24", "10.1.0.0/24", PSK))
    return us, peer


@case(ROW, "dpkg: installed, configured, a tunnel up, upgraded, removed, purged")
def debian():
    """The row."""
    with Lab("package") as lab:
        us, peer = beside_a_peer(lab)
        root, *before = clean(us)
        try:
            return _life(us, peer, root, before)
        finally:
            root.close()


def _first_steps(root):
    """What the README says to do with a package, but for what takes a systemd, as it is written; then the daemon may read all of it."""
    with open(os.path.join(sandhog.ROOT, "README.md")) as f:
        steps = re.search(r"\n## Packages\n.*?```sh\n(.*?)```", f.read(), re.S).group(1)
    mine = [line for line in steps.splitlines() if not line.startswith(("dpkg ", "systemctl ", "sandhog status"))]
    root.run("sh", "-ec", "\n".join([*mine, "setpriv --reuid sandhogd --regid sandhogd --init-groups sandhogd --check", "rm sandhog.toml office.psk"]))


def _life(us, peer, root, before):
    first, second = (shutil.copy(build("deb", n), os.path.join(root.dir, "tmp")) for n in (1, 2))
    inside = lambda package: f"/tmp/{os.path.basename(package)}"
    root.run("dpkg", "-i", inside(first), timeout=120)
    listed = root.run("dpkg", "-L", "sandhog")
    wanted = ("sandhog.service", "sandhog.1", "sandhog-health.1", "sandhogd.8", "sandhog.toml.5", "sysusers.d/sandhog.conf", "examples/tenants.conf", "examples/grafana/sandhog.json", "/copyright")
    missing = [path for path in wanted if path not in listed]
    _first_steps(root)
    root.write("etc/sandhog/sandhog.toml", sandhog.config("192.0.2.1", "192.0.2.2", SUITE, "aes256gcm16", "10.1.0.0/24", "10.2.0.0/24", PSK, start="start"), 0o640)
    root.run("sandhog", "check", "/etc/sandhog/sandhog.toml")
    root.start()
    socket = os.path.join(root.dir, "run/sandhog/control.sock")
    wait.until("the tunnel", lambda: root.process.alive() and os.path.exists(socket) and root.children()[0][0] == "up", 20)
    group = root.run("stat", "-c", "%G %a", "/run/sandhog/control.sock").strip()
    healthy = root.run("sandhog", "health")
    spis = root.children()
    # the package's own script asks the running daemon to go on in the new version
    pulse = traffic.Pulse(us, peer, "10.1.0.1", "10.2.0.1")
    said = root.run("dpkg", "-i", inside(second), timeout=120)
    seen, upgraded = pulse.end(), root.children() == spis and "handed over" in said
    version = root.run("dpkg-query", "-W", "-f", "${Version}", "sandhog")
    # what `systemctl disable --now` in the package's script does where systemd runs
    root.process.stop()
    closed = bool(left_in_kernel(us))
    root.run("dpkg", "-r", "sandhog", timeout=120)
    configuration = os.path.exists(os.path.join(root.dir, "etc/sandhog/sandhog.toml"))
    root.run("dpkg", "-P", "sandhog", timeout=120)
    for package in (first, second):
        os.unlink(package)
    files, accounts, kernel = before
    left = sorted(root.files() - files)
    strangers = sorted(root.accounts() - accounts)
    in_kernel = [line for line in left_in_kernel(us) if line not in kernel]
    holds = (not missing and group == "sandhog 660" and "all 1" in healthy and upgraded and version.endswith("-2") and closed and configuration
             and seen["lost"] == seen["doubled"] == 0 and not left and not strangers and not in_kernel)
    return check(holds, f"missing in the package: {missing or 'nothing'}; socket {group}; health: {' / '.join(healthy.splitlines())}; upgraded to {version} with "
                        f"{'the same SPIs' if upgraded else f'other SPIs {spis}: {said[-300:]}'}, {seen['lost']} of {seen['sent']} lost, {seen['doubled']} twice, gap {seen['gap']} s; "
                        f"closed after a stop: {closed}; left after purge: files {left or 0}, accounts {strangers or 0}, routes, rules, tables {in_kernel or 0}")


@case(ROW, "rpm: installed, upgraded, erased")
def rpm():
    """The same scripts, called as rpm calls them. Its users expect that the configuration, the state and the accounts stay."""
    with Lab("rpm") as lab:
        root, files, accounts, _ = clean(lab.host("u"))
        try:
            first, second = build("rpm", 1), build("rpm", 2)
            base = ["rpm", "--root", root.dir, "--nodeps"]
            scripts = run("rpm", "-qp", "--scripts", first)
            content = run("rpm", "-qlp", first).split()
            run(*base, "-i", first, timeout=120)
            there = [path for path in content if not os.path.lexists(root.dir + path)]
            users = root.accounts() - accounts
            configuration = os.path.join(root.dir, "etc/sandhog/sandhog.toml")
            root.write("etc/sandhog/sandhog.toml", "", 0o640)
            run(*base, "-U", second, timeout=120)
            version = run("rpm", "--root", root.dir, "-q", "sandhog").strip()
            stays = root.accounts() - accounts == users and os.path.exists(configuration)
            run(*base, "-e", "sandhog", timeout=120)
            left = sorted(path for path in root.files() - files if not path.startswith(RPMS_OWN))
            holds = ("postinstall" in scripts and not there and users == {"sandhogd", "sandhog", "sandhog-observe"} and version.startswith("sandhog-") and "-2." in version and stays
                     and os.path.exists(configuration) and not left)
            return check(holds, f"{len(content)} paths, {len(there)} not there after installing; accounts {sorted(users)}; upgraded to {version}; configuration and accounts "
                                f"{'stay' if stays else 'GONE'}; left besides them after erasing: {left or 'nothing'}")
        finally:
            root.close()
