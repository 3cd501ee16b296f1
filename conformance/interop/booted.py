"""The unit in a running systemd: a Debian machine that boots with the package in it, a gateway of its own beside ours."""
import glob
import json
import os
import re
import shutil
import time

from lab import sandhog, wait
from lab.cases import case, check
from lab.kernel import CACHE, ROOTS, Kernel
from lab.net import Lab, run

from .package import PSK, SUITE, Root, build

ROW = "package"
SERVICE = """[Unit]
After=multi-user.target
[Service]
ExecStart=/usr/local/sbin/loop
[Install]
WantedBy=multi-user.target
"""


class Machine(Kernel):
    """A machine with systemd and our package; a second revision of it lies in /root."""

    def __init__(self, host, config):
        first, second = build("deb", 1), build("deb", 2)
        root = Root(host, "booted")
        try:
            for package in (first, second):
                shutil.copy(package, os.path.join(root.dir, "root"))
            # as in any image that is made: nothing is started, as no systemd runs
            root.run("dpkg", "-i", f"/root/{os.path.basename(first)}", timeout=180)
            root.write("etc/sandhog/sandhog.toml", config, 0o640)
            shutil.copy(os.path.join(sandhog.ROOT, "conformance/lab/serial.sh"), os.path.join(root.dir, "usr/local/sbin/loop"))
            root.file("usr/local/sbin/told", "#!/bin/sh\necho told of $SANDHOG_EVENT as $(id -un)\n", 0o755)
            root.file("etc/systemd/system/loop.service", SERVICE, 0o644)
            root.run("systemctl", "enable", "-q", "loop.service")
            root.run("systemctl", "mask", "-q", "getty@.service", "serial-getty@.service", "apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_reap.service")
            image = os.path.join(host.lab.dir, "image")
            boot = os.path.join(root.dir, "boot")
            kernel, initrd = (glob.glob(f"{boot}/{name}-*")[0] for name in ("vmlinuz", "initrd.img"))
            for path, name in ((kernel, "vmlinuz"), (initrd, "initrd")):
                shutil.copy(path, os.path.join(host.lab.dir, name))
            root.release()
            run("mke2fs", "-q", "-t", "ext4", "-d", root.dir, image, "1500M", timeout=300)
        finally:
            root.close()
        super().__init__(host, "machine", 1024, [
            "-smp", "2", "-kernel", f"{host.lab.dir}/vmlinuz", "-initrd", f"{host.lab.dir}/initrd", "-append", "console=ttyS0 root=/dev/vda rw quiet panic=-1 net.ifnames=0 systemd.log_target=console",
            "-drive", f"file={image},format=raw,if=virtio,cache=unsafe"], patience=400)
        self.second = f"/root/{os.path.basename(second)}"

    def unit(self, *keys):
        """Properties of the unit."""
        said = self.run("systemctl show sandhog.service " + " ".join(f"-p {key}" for key in keys))
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def running(machine):
    """It is active and knows its tunnel to be up."""
    said = machine.run("systemctl is-active -q sandhog && sandhog --json status", check=False)
    return said.startswith("{") and json.loads(said)["connections"][0]["children"][0]["state"] == "up"


@case(ROW, "the unit in a running systemd: start, watchdog, reload, upgrade, restart, stop, purge")
def booted():
    """What the sandbox of the unit forbids does not lack anywhere: no warning is in the journal, and each step does what it says."""
    with Lab("booted") as lab:
        us = lab.host("u")
        peer = lab.host("p")
        mine, its = lab.wire(us, peer)
        us.ip("link", "add", "br0", "type", "bridge")
        us.ip("link", "set", mine, "master", "br0"), us.ip("link", "set", "br0", "up")
        peer.address(its, "192.0.2.2/24"), peer.address("lo", "10.2.0.1/24")
        other = sandhog.Sandhog(peer, sandhog.config("192.0.2.2", "192.0.2.1", SUITE, "aes256gcm16", "10.2.0.0/24", "10.1.0.0/24", PSK, extra='dpd_delay = "60s"'))
        machine = Machine(us, sandhog.config("192.0.2.1", "192.0.2.2", SUITE, "aes256gcm16", "10.1.0.0/24", "10.2.0.0/24", PSK, start="start"))
        us.ip("link", "set", machine.tap, "master", "br0")
        machine.run("/usr/lib/systemd/systemd-sysctl /usr/share/doc/sandhog/examples/60-sandhog.conf; ip link set eth0 up; ip addr add 192.0.2.1/24 dev eth0; ip addr add 10.1.0.1/24 dev lo")
        return _life(machine, other)


def _life(machine, other):
    wrong, figures = [], []

    def holds(what, condition, figure=""):
        figures.append(f"{what}{f' ({figure})' if figure else ''}")
        if not condition:
            wrong.append(f"{what}: {figure}")

    machine.run("systemd-analyze verify --man=no sandhog.service")
    machine.run("mv /etc/sandhog/sandhog.toml /root")
    machine.run("systemctl start sandhog.service", check=False, timeout=60)
    said = machine.run("systemctl is-failed sandhog; journalctl -u sandhog -o cat; mv /root/sandhog.toml /etc/sandhog; systemctl reset-failed sandhog", check=False)
    holds("without a configuration it says so", said.startswith("failed") and "cannot read /etc/sandhog/sandhog.toml" in said, said[-300:])
    begin = time.monotonic()
    machine.run("systemctl enable -q --now sandhog.service || { systemctl status sandhog; journalctl -u sandhog | tail -40; exit 1; }", timeout=120)
    wait.until("the tunnel", lambda: running(machine), 90, every=1)
    of = machine.unit("ActiveState", "NRestarts", "WatchdogUSec", "MainPID", "Type", "User")
    holds("start", of["ActiveState"] == "active" and of["User"] == "sandhogd", f"{time.monotonic() - begin:.0f} s, watchdog {of['WatchdogUSec']}")
    journal = machine.run("journalctl -u sandhog -o cat")
    warnings = [line for line in journal.splitlines() if re.search(r"WARN|ERROR|not permitted|denied", line)]
    holds("no warning in the journal", not warnings, "; ".join(warnings)[:600])
    groups = machine.run("stat -c '%G %a' /run/sandhog/control.sock /run/sandhog/observe.sock; id sandhogd").split("\n")
    holds("operators reach the socket", _reaches(machine, "sandhog", "control") and _reaches(machine, "sandhog-observe", "observe") and not _reaches(machine, None, "control"), ", ".join(groups))
    rights = machine.run("for pid in $(systemctl show -P ControlGroup sandhog | sed 's,^,/sys/fs/cgroup,;s,$,/cgroup.procs,' | xargs cat); do grep -hE '^(Name|Uid|CapEff|CapAmb|Seccomp|NoNewPrivs):' /proc/$pid/status | tr '\\n\\t' '  '; echo; done")
    holds("three capabilities, no more", set(re.findall(r"CapEff: *(\w+)", rights)) == {"0000000000003400"}, rights.replace("\n", " | "))

    machine.run("systemctl reload sandhog")
    holds("reload", machine.run("sleep 1; systemctl is-active sandhog; sandhog revisions >/dev/null && echo said").split() == ["active", "said"])

    before, pid = _spis(other), of["MainPID"]
    machine.run("ping -i 0.2 -I 10.1.0.1 10.2.0.1 >/tmp/pings & echo $! >/tmp/pinging")
    time.sleep(2)
    said = machine.run(f"dpkg -i {machine.second}", timeout=180)
    time.sleep(3)
    pings = machine.run("kill -INT $(cat /tmp/pinging); sleep 1; tail -3 /tmp/pings")
    after = machine.unit("MainPID", "ActiveState", "StatusText")
    same = _spis(other) == before and after["MainPID"] == pid and " 0% packet loss" in pings
    holds("upgrade", same and "handed over" in said and after["ActiveState"] == "active", f"{pings.strip().splitlines()[-2] if pings.strip() else ''}; {said.strip().splitlines()[-1]}; status {after['StatusText']!r}")

    _given_up(machine, holds)

    machine.run("mkdir -p /run/systemd/system/sandhog.service.d; printf '[Service]\\nWatchdogSec=3\\n' >/run/systemd/system/sandhog.service.d/w.conf; systemctl daemon-reload; systemctl restart sandhog", timeout=60)
    wait.until("the tunnel after a restart", lambda: running(machine), 90, every=1)
    pid = machine.unit("MainPID")["MainPID"]
    holds("restart", True)
    time.sleep(8)
    holds("a daemon that lives keeps the watchdog quiet", machine.unit("NRestarts", "MainPID") == {"NRestarts": "0", "MainPID": pid})
    # the engine alone is what the watchdog watches: the front passes on what it says
    daemon = machine.run(f"cat /proc/{pid}/task/{pid}/children").split()[-1]
    machine.run(f"kill -STOP {daemon}")
    wait.until("the watchdog", lambda: machine.unit("NRestarts")["NRestarts"] == "1", 60, every=1)
    wait.until("the tunnel after the watchdog", lambda: running(machine), 90, every=1)
    holds("one that hangs is started anew", True)

    _with_more(machine, holds)

    machine.run("systemctl stop sandhog", timeout=60)
    stopped = machine.unit("ActiveState", "Result")
    closed = machine.run("ip rule; ip route show table all; nft list tables")
    holds("stop", stopped == {"ActiveState": "inactive", "Result": "success"} and "prohibit 10.2.0.0/24" in closed, str(stopped))
    machine.run("systemctl start sandhog; dpkg -P sandhog", timeout=120)
    left = machine.run("ip rule; ip -6 rule; ip route show table all; ip -6 route show table all; nft list tables; ls -d /etc/sandhog /var/lib/sandhog /run/sandhog* /etc/systemd/system/*.wants/sandhog.service 2>&1; getent passwd sandhogd; systemctl is-active sandhog", check=False)
    remains = [line for line in left.splitlines() if "proto 83" in line or re.search("(table .*|^)sandhog", line) or "No such" not in line and line.startswith(("/etc", "/var", "/run"))]
    holds("purge", not remains and "inactive" in left, "; ".join(remains))
    return check(not wrong, f"{', '.join(figures)}" if not wrong else f"WRONG: {' | '.join(wrong)}")


def _given_up(machine, holds):
    """What dpkg calls when it takes a step back leaves the daemon as it was."""
    script = lambda name, *argv: machine.run(f"/var/lib/dpkg/info/sandhog.{name} {' '.join(argv)}", timeout=60)
    now = lambda: (machine.unit("MainPID", "ActiveState"), machine.run("systemctl is-enabled sandhog"), machine.run("nft list tables"))
    before = now()
    script("prerm", "deconfigure", "in-favour", "other", "1", "removing", "third", "1")
    script("postinst", "abort-deconfigure", "in-favour", "other", "1", "removing", "third", "1")
    script("prerm", "failed-upgrade", "1", "2"), script("postinst", "abort-upgrade", "2"), script("postrm", "failed-upgrade", "1", "2"), script("postrm", "abort-upgrade", "1", "2")
    after = now()
    holds("nothing is touched by steps that dpkg takes back", before == after and "sandhog" in before[2], "" if before == after else f"{before} {after}")
    script("prerm", "remove", "in-favour", "other", "1")
    ended = machine.unit("ActiveState")["ActiveState"], "sandhog" in machine.run("nft list tables")
    script("postinst", "abort-remove", "in-favour", "other", "1")
    wait.until("the tunnel after a removal that was given up", lambda: running(machine), 90, every=1)
    again = now()
    holds("a removal that is given up starts it again", ended == ("inactive", False) and again[1:] == before[1:], f"{ended} {again}")


def _with_more(machine, holds):
    """Hooks of other users and tenants' namespaces, with the drop-ins that are for them; an address of metrics that comes later; a socket where none can be."""
    machine.run("cd /usr/share/doc/sandhog/examples && cp hook.conf tenants.conf /run/systemd/system/sandhog.service.d/ && ip netns add tenant && systemctl daemon-reload")
    machine.run("sed -i 's|^\\[gateway\\]$|&\\nmetrics = \"198.51.100.9:9464\"\\nhook = { command = [\"/usr/local/sbin/told\"], user = \"root\" }|' /etc/sandhog/sandhog.toml")
    for user in ("root", "nobody"):
        machine.run(f"sed -i 's|user = \"root\"|user = \"{user}\"|' /etc/sandhog/sandhog.toml; systemctl restart sandhog", timeout=60)
        wait.until("the tunnel with a hook", lambda: running(machine), 90, every=1)
        time.sleep(2)
        journal = machine.run("journalctl -u sandhog -o cat -n 60")
        holds(f"a hook of {user}", f"told of up as {user}" in journal, "" if f"as {user}" in journal else journal[-600:])
    machine.run("ip addr add 198.51.100.9/32 dev lo")
    told = "198.51.100.9:9464" in machine.run("sandhog status -v")
    wait.until("metrics", lambda: "198.51.100.9:9464" in machine.run("ss -Hltn"), 40, every=1)
    holds("metrics at an address that comes later", told and "198.51.100.9:9464" not in machine.run("sandhog status -v"))

    # the daemon runs, and has been given the capability for tenants before there is one
    machine.write("/tmp/more.toml", _tenant("tenant", "tenant", 3))
    machine.run("cat /tmp/more.toml >>/etc/sandhog/sandhog.toml; systemctl reload sandhog", timeout=60)
    holds("a tenant's device", "vti-t" in machine.run("sleep 1; ip -n tenant -br link", check=False))
    pid = machine.run("unshare -n sleep 1000 >/dev/null 2>&1 & echo $!").strip()
    machine.write("/tmp/process.toml", _tenant("process", f"/proc/{pid}/ns/net", 4))
    machine.run("install -g sandhogd -m 640 /tmp/process.toml /etc/sandhog/conf.d; systemctl reload sandhog; sleep 1", timeout=60)
    said = " ".join(json.loads(machine.run("sandhog --json status process"))["connections"][0]["warnings"])
    holds("a tenant of a process is told how it gets a name", "ip netns attach" in said, "" if "attach" in said else said)
    machine.run(f"kill {pid}; rm /etc/sandhog/conf.d/process.toml; systemctl reload sandhog", timeout=60)

    # nothing passes in the clear while nothing can start
    machine.run("systemctl stop sandhog; sandhogd --clear; sed -i.bak 's|^\\[gateway\\]$|&\\ncontrol_socket = \"/srv/vpn/control.sock\"|' /etc/sandhog/sandhog.toml", timeout=60)
    before = machine.run("ip route show table all; nft list tables")
    machine.run("systemctl start sandhog; sleep 2; systemctl stop sandhog", check=False, timeout=60)
    closed = machine.run("ip route show table all; nft list tables")
    journal = machine.run("journalctl -u sandhog -o cat -n 30")
    holds("a start that fails closes", "10.2.0.0/24" not in before and "prohibit 10.2.0.0/24" in closed and "sandhog" in closed.split("table")[-1], closed.replace("\n", " | ")[-300:])
    holds("and says the way out", "ReadWritePaths=/srv/vpn" in journal, "" if "ReadWritePaths" in journal else journal[-600:])
    machine.run("mv /etc/sandhog/sandhog.toml.bak /etc/sandhog/sandhog.toml; systemctl restart sandhog", timeout=60)
    wait.until("the tunnel after a start that failed", lambda: running(machine), 90, every=1)


def _tenant(name, netns, last):
    """A connection whose device goes elsewhere, and its secret."""
    return f"""
[connections.{name}]
remote_addrs = ["192.0.2.{last}"]
interface = {{ name = "vti-{name[0]}", netns = "{netns}" }}
[connections.{name}.children.all]
local_ts = ["0.0.0.0/0"]
remote_ts = ["0.0.0.0/0"]
start_action = "none"
[secrets.{name}]
id = ["192.0.2.{last}"]
secret = "another secret of the package's case"
"""


def _reaches(machine, group, socket):
    """A user with (or without) the group can use the socket."""
    with_group = f"--groups {group}" if group else "--clear-groups"
    return "connections" in machine.run(f"setpriv --reuid 4242 --regid 4242 {with_group} sandhog --socket /run/sandhog/{socket}.sock --json status", check=False)


def _spis(other):
    child = other.status("peer")["children"][0]
    return child["spi_in"], child["spi_out"]
