"""The Linux kernel's own ESP as a peer: Debian's cloud kernel with strongSwan, under qemu without acceleration, on a tap in a namespace."""
import base64
import os
import socket
import subprocess
import time

from . import wait
from .net import LabError

CACHE = os.environ.get("SANDHOG_LAB", "/var/cache/sandhog-lab")
ROOTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "roots.sh")


class Kernel:
    """A machine of its own, bridged to `dev` by a tap; commands go over its second serial port."""

    def __init__(self, host, name="kernel", memory=768, boot=None, patience=120):
        """`boot`: what qemu is to boot instead of strongSwan's kernel."""
        self.host = host
        if boot is None:
            subprocess.run(["bash", ROOTS, "kernel"], check=True)
            boot = ["-kernel", f"{CACHE}/vmlinuz", "-initrd", f"{CACHE}/initramfs", "-append", "console=ttyS0 quiet panic=-1 rdinit=/init"]
        self.dir = os.path.join(host.lab.dir, f"{host.name}-{name}")
        os.makedirs(self.dir)
        self.tap = "tap0"
        host.ip("tuntap", "add", self.tap, "mode", "tap")
        host.ip("link", "set", self.tap, "up")
        console = os.path.join(self.dir, "command")
        self.process = host.start(name, [
            "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", memory, "-nographic", "-no-reboot", "-nodefaults", *boot,
            "-serial", f"file:{self.dir}/console", "-serial", f"unix:{console},server=on,wait=off",
            "-netdev", f"tap,id=n0,ifname={self.tap},script=no,downscript=no", "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56"])
        wait.until("the serial port", lambda: os.path.exists(console), 20)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(console)
        self.buffer = b""
        self._line(patience)  # READY

    def _line(self, timeout):
        end = time.monotonic() + timeout
        while b"\n" not in self.buffer:
            self.socket.settimeout(max(end - time.monotonic(), 0.01))
            try:
                more = self.socket.recv(65536)
            except socket.timeout:
                with open(f"{self.dir}/console", errors="replace") as f:
                    raise LabError(f"the kernel does not answer; its console:\n{f.read()[-2000:]}") from None
            if not more:
                raise LabError("qemu ended")
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode().strip()

    def run(self, command, timeout=60, check=True):
        """Runs one shell command inside; returns its output."""
        self.socket.sendall(command.encode() + b"\n")
        encoded, _, code = self._line(timeout).rpartition("END")
        out = base64.b64decode(encoded.strip()).decode(errors="replace")
        if check and int(code) != 0:
            raise LabError(f"in the kernel machine: {command} -> {code}: {out}")
        return out

    def write(self, path, text):
        """Writes a file inside, in pieces that a serial line takes."""
        self.run(f"mkdir -p $(dirname {path}); : > {path}.b64")
        data = base64.b64encode(text.encode()).decode()
        for i in range(0, len(data), 1000):
            self.run(f"printf %s {data[i:i + 1000]} >> {path}.b64")
        self.run(f"base64 -d {path}.b64 > {path}")

    def xfrm_errors(self):
        """Counters of /proc/net/xfrm_stat that are not zero."""
        rows = (line.split() for line in self.run("cat /proc/net/xfrm_stat").splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and int(row[1])}

    def charon(self, options=""):
        """Starts strongSwan with the kernel's IPsec."""
        self.write("/etc/strongswan.conf", f"""charon {{
  load = random nonce openssl aes sha1 sha2 hmac gcm chapoly curve25519 kdf gmp pem pkcs1 pkcs8 x509 pubkey kernel-netlink socket-default vici updown
  filelog {{ main {{ path = /tmp/charon.log
    default = 1
    ike = 2 }} }}
  {options}
}}
""")
        self.run("/usr/lib/ipsec/charon >/tmp/charon.err 2>&1 &")
        self.run("for i in $(seq 100); do [ -S /run/charon.vici ] && exit 0; sleep 0.1; done; cat /tmp/charon.*; exit 1", timeout=30)

    def load(self, text):
        """Loads a swanctl.conf."""
        self.write("/etc/swanctl/conf.d/lab.conf", text)
        return self.run("swanctl --load-all --noprompt", timeout=30)

    def initiate(self, child, timeout=30):
        """Brings a child up."""
        out = self.run(f"swanctl --initiate --child {child} --timeout {timeout} && echo SUCCESS", timeout=timeout + 15, check=False)
        return out.rstrip().endswith("SUCCESS"), out
