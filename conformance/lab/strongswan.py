"""strongSwan as a peer: Debian 12's 5.9.8 on the host, or a 6.x in a debootstrap root, with kernel-libipsec (ESP in userspace)."""
import os
import re
import shutil
import signal
import subprocess

from . import wait
from .net import run
from .vici import Vici

CHARON = "/usr/lib/ipsec/charon"
PLUGINS = ("random nonce openssl aes sha1 sha2 hmac gcm chapoly curve25519 ctr ccm cmac xcbc kdf gmp mgf1 pem pkcs1 pkcs8 x509 pubkey constraints revocation "
           "kernel-libipsec kernel-netlink socket-default vici updown")


class StrongSwan:
    """One charon in one host."""

    def __init__(self, host, name="charon", root=None, options="", raw_esp=False):
        self.host, self.root, self.name = host, root, name
        self.dir = os.path.join(host.lab.dir, f"{host.name}-{name}")
        os.makedirs(self.dir, exist_ok=True)
        self.uri = f"unix://{self.dir}/vici"
        self.conf = os.path.join(self.dir, "strongswan.conf")
        if "retransmit_tries" not in options:
            options += "\n  retransmit_tries = 4"
        with open(self.conf, "w") as f:
            f.write(f"""charon {{
  load = {PLUGINS}
  install_routes = yes
  half_open_timeout = 60
  filelog {{ stderr {{ default = 1
    ike = 2
    knl = 1
    net = 1
    enc = 1 }} }}
  plugins {{
    vici {{ socket = {self.uri} }}
    kernel-libipsec {{ allow_peer_ts = yes
      raw_esp = {'yes' if raw_esp else 'no'} }}
  }}
  {options}
}}
""")
        self.start()

    def start(self):
        """Starts charon, and waits for its socket."""
        mounts = "mount -t tmpfs tmpfs /run"
        argv = [CHARON]
        if root := self.root:
            mounts = (f"mount --bind /dev {root}/dev; mount -t proc proc {root}/proc; mkdir -p {root}{self.dir}; "
                      f"mount --bind {self.dir} {root}{self.dir}; mount -t tmpfs tmpfs {root}/run")
            argv = ["chroot", root, CHARON]
        self.process = self.host.start(self.name, argv, env={"STRONGSWAN_CONF": self.conf}, mounts=mounts)
        wait.until(f"vici of {self.host.name}", self._answers, 15)

    def kill(self):
        """kill -9; nobody is told."""
        os.kill(self.process.popen.pid, signal.SIGKILL)
        self.process.popen.wait()
        os.unlink(f"{self.dir}/vici")

    def _answers(self):
        if not self.process.alive():
            raise RuntimeError(f"charon ended:\n{self.process.text()[-2000:]}")
        return os.path.exists(f"{self.dir}/vici") and self._swanctl("--stats", check=False) != ""

    def _swanctl(self, *argv, check=True, timeout=60):
        env = dict(os.environ, STRONGSWAN_CONF=self.conf)
        return run("swanctl", *argv, "--uri", self.uri, check=check, timeout=timeout, env=env)

    def load(self, text):
        """Loads a swanctl.conf."""
        path = os.path.join(self.dir, "swanctl.conf")
        with open(path, "w") as f:
            f.write(text)
        return self._swanctl("--load-all", "--file", path, "--noprompt")

    def credentials(self, **files):
        """Files for swanctl's folders (`x509`, `x509ca`, `private`), which are beside its file, for the next `load`."""
        for folder, paths in files.items():
            os.makedirs(os.path.join(self.dir, folder), exist_ok=True)
            for path in paths:
                shutil.copy(path, os.path.join(self.dir, folder))

    def vici(self):
        """A connection of its own to the control socket."""
        return Vici(f"{self.dir}/vici")

    def initiate(self, child, timeout=30):
        """Brings a child up; the output, `subprocess` errors are results of the caller."""
        env = dict(os.environ, STRONGSWAN_CONF=self.conf)
        done = subprocess.run(["swanctl", "--initiate", "--child", child, "--timeout", str(timeout), "--uri", self.uri],
                              capture_output=True, text=True, timeout=timeout + 10, env=env)
        return done.returncode == 0, done.stdout + done.stderr

    def terminate(self, ike):
        """Deletes an IKE SA."""
        return self._swanctl("--terminate", "--ike", ike, check=False)

    def sas(self):
        """`swanctl --list-sas`."""
        return self._swanctl("--list-sas", check=False)

    def established(self):
        """Number of installed children."""
        return len(re.findall(r"INSTALLED", self.sas()))


def connection(name, local, remote, ike, esp, local_ts, remote_ts, psk, local_id=None, remote_id=None, start="none",
               encap="yes", extra="", child_extra="", children=None, local_auth="auth = psk", remote_auth="auth = psk", mobike="no", more="",
               version=2, owners=True):
    """A swanctl.conf with one connection; `more` are further sections of `secrets`, and its own secret is anybody's without `owners`."""
    local_id, remote_id = local_id or local, remote_id or remote
    children = children or {"net": (local_ts, remote_ts)}
    whose = f"id-a = {local_id}\n    id-b = {remote_id}" if owners else ""
    kids = "".join(f"""
      {kid} {{
        local_ts = {lts}
        remote_ts = {rts}
        esp_proposals = {esp}
        start_action = {start}
        {child_extra}
      }}""" for kid, (lts, rts) in children.items())
    return f"""
connections {{
  {name} {{
    version = {version}
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = {ike}
    encap = {encap}
    mobike = {mobike}
    {extra}
    local {{ {local_auth}
      id = {local_id} }}
    remote {{ {remote_auth}
      id = {remote_id} }}
    children {{{kids}
    }}
  }}
}}
secrets {{
  ike-{name} {{
    {whose}
    secret = "{psk}"
  }}
  {more}
}}
"""
