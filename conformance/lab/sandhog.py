"""Our own daemon as a host's gateway."""
import http.client
import json
import os
import signal
import socket
import subprocess

from . import wait

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
PROFILE = os.environ.get("SANDHOG_PROFILE", "release")


def binary(name):
    """Path of a built program."""
    return os.path.join(TARGET, PROFILE, name)


class UnixHttp(http.client.HTTPConnection):
    """HTTP over the control socket, so that no process is started for each request."""

    def __init__(self, path, timeout=90):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Sandhog:
    """One sandhogd in one host."""

    def __init__(self, host, config, name="sandhogd", env=None, start=True):
        self.host, self.name, self.env = host, name, env
        self.dir = os.path.join(host.lab.dir, f"{host.name}-{name}")
        os.makedirs(self.dir, exist_ok=True)
        self.socket = os.path.join(self.dir, "control.sock")
        self.config = os.path.join(self.dir, "sandhog.toml")
        self.write(config)
        self.process = None
        if start:
            self.start()

    def write(self, config):
        """Writes the configuration; `{dir}` stands for a private folder."""
        head = (f'[gateway]\ncontrol_socket = "{self.socket}"\nobserve_socket = "{self.dir}/observe.sock"\n'
                f'state_dir = "{self.dir}/state"\n')
        if "[gateway]" in config:
            config = config.replace("[gateway]\n", head, 1)
        else:
            config = head + config
        with open(self.config, "w") as f:
            f.write(config)
        os.chmod(self.config, 0o600)

    def start(self, timeout=15):
        """Starts the daemon and waits for its socket."""
        self.spawn()

        def answers():
            if not self.process.alive():
                raise RuntimeError(f"sandhogd ended:\n{self.process.text()[-3000:]}")
            return self.client("status")[0] == 0

        wait.until(f"control socket of {self.host.name}", answers, timeout)

    def spawn(self):
        """Starts the daemon; its process."""
        self.process = self.host.start(self.name, [binary("sandhogd"), "--config", self.config], env=self.env)
        return self.process

    def client(self, *argv, timeout=90):
        """`sandhog --json ...`: exit code and document (or text)."""
        done = subprocess.run(["ip", "netns", "exec", self.host.ns, binary("sandhog"), "--socket", self.socket, "--json", *argv],
                              capture_output=True, text=True, timeout=timeout)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode, done.stdout + done.stderr

    def begin(self, *argv):
        """The same, but it is not waited for: the process."""
        return subprocess.Popen(["ip", "netns", "exec", self.host.ns, binary("sandhog"), "--socket", self.socket, "--json", *argv],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def must(self, *argv):
        """A command that has to work."""
        code, out = self.client(*argv)
        if code:
            raise RuntimeError(f"sandhog {' '.join(argv)}: exit {code}, {out}")

    def api(self, verb, path, timeout=90):
        """One request of the API: status and document."""
        connection = UnixHttp(self.socket, timeout)
        try:
            connection.request(verb, f"/v1/{path}")
            answer = connection.getresponse()
            body = answer.read()
            return answer.status, json.loads(body) if body else None
        finally:
            connection.close()

    def send(self, verb, path, body=None, headers=None):
        """One request with a body, JSON or as it is: status and octets."""
        connection = UnixHttp(self.socket)
        try:
            if body is not None and not isinstance(body, bytes):
                body = json.dumps(body).encode()
            connection.request(verb, f"/v1/{path}", body, dict({"Content-Type": "application/json"} if body is not None else {}, **(headers or {})))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def send_json(self, *argv):
        """The document that a request gives."""
        return json.loads(self.send(*argv)[1])

    def etag(self):
        """Of the configuration in force."""
        connection = UnixHttp(self.socket)
        try:
            connection.request("GET", "/v1/config")
            return connection.getresponse().headers["ETag"]
        finally:
            connection.close()

    def up(self, name, timeout=30):
        """Brings up; True, or the output."""
        code, out = self.client("up", name, "--timeout", str(timeout), timeout=timeout + 15)
        return code == 0, out

    def failure(self, name="peer"):
        """The code of the last failure, or None."""
        return (self.status(name)["last_failure"] or {}).get("code")

    def status(self, name=None):
        """The status document, or one connection of it."""
        code, doc = self.client("status")
        if code != 0:
            raise RuntimeError(f"status: {code} {doc}")
        if name is None:
            return doc
        return next(c for c in doc["connections"] if c["name"] == name)

    def kill(self):
        """kill -9 of the daemon; its front ends as it did."""
        os.kill(self.process.worker(), signal.SIGKILL)
        self.process.popen.wait()

    def reload(self):
        """The files are read again."""
        self.process.popen.send_signal(signal.SIGHUP)

    def stop(self):
        """SIGTERM; the exit code."""
        return self.process.stop()


def config(local, remote, ike, esp, local_ts, remote_ts, psk, local_id=None, remote_id=None, start="none", encap="auto",
           name="peer", extra="", child_extra="", children=None, gateway="", local_auth='auth = "psk"', remote_auth='auth = "psk"'):
    """A configuration with one connection; the secret is left out if neither side uses it."""
    children = children or {"net": (local_ts, remote_ts)}
    lists = lambda ts: "[" + ", ".join(f'"{t}"' for t in ([ts] if isinstance(ts, str) else ts)) + "]"
    kids = "".join(f"""
[connections.{name}.children.{kid}]
local_ts = {lists(lts)}
remote_ts = {lists(rts)}
esp_proposals = ["{esp}"]
start_action = "{start}"
{child_extra}""" for kid, (lts, rts) in children.items())
    remotes = lists(remote)
    return f"""[gateway]
{gateway}

[connections.{name}]
local_addrs = ["{local}"]
remote_addrs = {remotes}
proposals = ["{ike}"]
encap = "{encap}"
local = {{ {local_auth}, id = "{local_id or local}" }}
remote = {{ {remote_auth}, id = "{remote_id or remote}" }}
{extra}
{kids}
""" + (f"""
[secrets.ike-{name}]
id = ["{remote_id or remote}"]
secret = "{psk}"
""" if '"psk"' in local_auth + remote_auth else "")
