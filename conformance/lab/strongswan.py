"""strongSwan as a peer: Debian 12's 5.9.8 on the host, or a 6.x in a debootstrap root, with kernel-libipsec (ESP in userspace)."""
import os
import re
import subprocess

from . import wait
from .net import run

CHARON = "/usr/lib/ipsec/charon"
PLUGINS = ("random nonce openssl aes sha1 sha2 hmac gcm chapoly curve25519 ctr ccm cmac kdf gmp pem pkcs1 pkcs8 x509 pubkey "
           "kernel-libipsec kernel-netlink socket-default vici updown resolve")


class StrongSwan:
    """One charon in one host."""

    def __init__(self, host, name="charon", root=None, options="", raw_esp=False):
        self.host, self.root = host, root
        self.dir = os.path.join(host.lab.dir, f"{host.name}-{name}")
        os.makedirs(self.dir, exist_ok=True)
        self.uri = f"unix://{self.dir}/vici"
        self.conf = os.path.join(self.dir, "strongswan.conf")
        with open(self.conf, "w") as f:
            f.write(f"""charon {{
  load = {PLUGINS}
  install_routes = yes
  retransmit_tries = 4
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
        mounts = "mount -t tmpfs tmpfs /run"
        argv = [CHARON]
        if root:
            mounts = (f"mount --bind /dev {root}/dev; mount -t proc proc {root}/proc; mkdir -p {root}{self.dir}; "
                      f"mount --bind {self.dir} {root}{self.dir}; mount -t tmpfs tmpfs {root}/run")
            argv = ["chroot", root, CHARON]
        self.process = host.start(name, argv, env={"STRONGSWAN_CONF": self.conf}, mounts=mounts)
        wait.until(f"vici of {host.name}", self._answers, 15)

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
               encap="yes", extra="", child_extra="", children=None):
    """A swanctl.conf with one connection."""
    local_id, remote_id = local_id or local, remote_id or remote
    children = children or {"net": (local_ts, remote_ts)}
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
    version = 2
    local_addrs = {local}
    remote_addrs = {remote}
    proposals = {ike}
    encap = {encap}
    mobike = no
    {extra}
    local {{ auth = psk
      id = {local_id} }}
    remote {{ auth = psk
      id = {remote_id} }}
    children {{{kids}
    }}
  }}
}}
secrets {{
  ike-{name} {{
    id-a = {local_id}
    id-b = {remote_id}
    secret = "{psk}"
  }}
}}
"""
