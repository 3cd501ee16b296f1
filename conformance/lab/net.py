"""Hosts as network namespaces, wires as veth pairs, NAT boxes with nftables. Everything made here is removed at exit."""
import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile

PREFIX = f"shl{os.getpid()}"
LABS = []


@atexit.register
def close_all():
    """What is left after a case that broke while it was being built."""
    while LABS:
        LABS[-1].close()


class LabError(Exception):
    """Something of the lab itself failed: not a result."""


def run(*argv, check=True, input=None, timeout=60, env=None):
    """Runs a command and returns what it printed."""
    argv = [str(a) for a in argv]
    done = subprocess.run(argv, input=input, capture_output=True, text=True, timeout=timeout, env=env)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)} -> {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class Lab:
    """A set of hosts, wires and processes that vanish together. `ours`: the first host of each wire is ours, and what it sends is captured."""

    def __init__(self, name="lab", ours=True):
        self.name, self.ours = name, ours
        self.hosts = {}
        self.processes = []
        LABS.append(self)
        self.dir = tempfile.mkdtemp(prefix="sandhog-lab-")
        os.chmod(self.dir, 0o700)
        self._links = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def host(self, name):
        """A new host."""
        host = Host(self, name)
        self.hosts[name] = host
        return host

    def wire(self, a, b, mtu=1500, ours=None):
        """A veth pair between two hosts; returns the two interface names. `ours`: whether the first host is ours, if that differs from the lab's."""
        self._links += 1
        x, y = f"w{self._links}{a.name}"[:15], f"w{self._links}{b.name}"[:15]
        run("ip", "link", "add", x, "netns", a.ns, "type", "veth", "peer", "name", y, "netns", b.ns)
        for host, dev in ((a, x), (b, y)):
            host.ip("link", "set", dev, "mtu", mtu, "up")
        if self.ours if ours is None else ours:
            self._capture(a, x)
        return x, y

    def _capture(self, host, dev):
        """With SANDHOG_CAPTURE = folder, keeps the beginning of each frame for the script that looks for nonces used twice. Trains are cut before the tap."""
        folder = os.environ.get("SANDHOG_CAPTURE")
        if folder:
            os.makedirs(folder, exist_ok=True)
            host.ip("link", "set", dev, "gso_max_segs", 1)
            name = f"{self.name}-{os.getpid()}-{os.path.basename(self.dir)}-{dev}"
            self.processes.append(Process(host, f"capture-{dev}", ["tcpdump", "-i", dev, "-Q", "out", "-s", "160", "-B", "16384", "-w", f"{folder}/{name}.pcap",
                                                                    "udp port 4500 or ip proto 50 or ip6 proto 50"], None, None))

    def close(self):
        """Ends what was started, by pid, and removes the namespaces."""
        for process in reversed(self.processes):
            process.stop()
        self.processes = []
        for host in self.hosts.values():
            run("ip", "netns", "del", host.ns, check=False)
        self.hosts = {}
        if self in LABS:
            LABS.remove(self)
        shutil.rmtree(self.dir, ignore_errors=True)


class Host:
    """One namespace."""

    def __init__(self, lab, name):
        self.lab, self.name, self.ns = lab, name, f"{PREFIX}{lab.name}{name}"
        run("ip", "netns", "add", self.ns)
        self.ip("link", "set", "lo", "up")
        # no address of the host's own IPv6 machinery on the wires: DAD and router solicitations only disturb
        self.sysctl("net.ipv6.conf.all.accept_dad", 0)
        self.sysctl("net.ipv6.conf.default.accept_dad", 0)
        self.sysctl("net.ipv4.conf.all.rp_filter", 0)
        self.sysctl("net.ipv4.conf.default.rp_filter", 0)

    def ip(self, *argv, check=True):
        """`ip -n NS ...`"""
        return run("ip", "-n", self.ns, *argv, check=check)

    def address(self, dev, *addresses):
        """Gives addresses to a device."""
        for address in addresses:
            extra = ["nodad"] if ":" in address else []
            self.ip("addr", "add", address, "dev", dev, *extra)

    def sysctl(self, key, value):
        """Writes a sysctl inside."""
        run("ip", "netns", "exec", self.ns, "sysctl", "-qw", f"{key}={value}")

    def run(self, *argv, **kw):
        """Runs a command inside."""
        return run("ip", "netns", "exec", self.ns, *argv, **kw)

    def start(self, name, argv, env=None, mounts=None):
        """Starts a program inside, its output in a log file. `mounts`: shell commands run in a mount namespace of its own before it."""
        process = Process(self, name, argv, env, mounts)
        self.lab.processes.append(process)
        return process

    def nat(self, inside, outside):
        """Masquerades what leaves by `outside`."""
        self.sysctl("net.ipv4.ip_forward", 1)
        self.run("nft", "-f", "-", input=f"""
table ip nat {{
  chain post {{
    type nat hook postrouting priority srcnat;
    oifname "{outside}" masquerade;
  }}
}}
""")


class Process:
    """A program that was started, known by its pid."""

    def __init__(self, host, name, argv, env, mounts):
        self.name = name
        self.log = os.path.join(host.lab.dir, f"{host.name}-{name}.log")
        argv = [str(a) for a in argv]
        if mounts:
            argv = ["unshare", "-m", "sh", "-c", f"{mounts}; exec \"$@\"", "sh", *argv]
        full = dict(os.environ, **(env or {}))
        with open(self.log, "ab") as out:
            self.popen = subprocess.Popen(["ip", "netns", "exec", host.ns, *argv], stdout=out, stderr=out,
                                          stdin=subprocess.DEVNULL, env=full, start_new_session=True)

    def alive(self):
        """True while it runs."""
        return self.popen.poll() is None

    def children(self):
        """The processes that it has started."""
        try:
            with open(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children") as f:
                return [int(pid) for pid in f.read().split()]
        except OSError:
            return []

    def worker(self):
        """The process that does the work: the daemon of a front, or the program itself."""
        return (self.children() or [self.popen.pid])[-1]

    def rss_kib(self):
        """Resident memory."""
        with open(f"/proc/{self.worker()}/status") as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    def stop(self, sig=signal.SIGTERM, timeout=10):
        """Ends it politely, then by force; its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
        return self.popen.returncode

    def text(self):
        """Its log so far."""
        with open(self.log, errors="replace") as f:
            return f.read()


def need_root():
    """The lab makes namespaces and devices."""
    if os.geteuid() != 0:
        sys.exit("conformance needs root: it makes network namespaces and TUN devices. Run it with sudo, or in a virtual machine.")
