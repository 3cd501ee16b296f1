"""A secret is looked for everywhere: in what all commands and resources say, in logs at trace, in files, ETags, events, reports and core dumps."""
import base64
import glob
import hashlib
import http.client
import json
import os
import re
import resource
import secrets
import signal
import subprocess
import tarfile
import time

from lab import pki, sandhog, wait
from lab.cases import case, check
from lab.pair import OUTER, Pair

ROW = "secrets"
# what needs no daemon, or ends by itself
COMMANDS = [
    ["status"], ["status", "-v"], ["status", "peer"], ["status", "nobody"], ["sas"], ["match", "10.1.0.1", "10.2.0.1"], ["plan"], ["plan", "{config}"], ["apply", "{config}"],
    ["reload"], ["rollback"], ["confirm"], ["rekey", "peer"], ["rekey", "peer/net"], ["down", "peer"], ["up", "peer"], ["up", "lost", "--timeout", "1"], ["up", "cert", "--timeout", "1"],
    ["why", "peer"], ["why", "lost"], ["profiles"], ["peer-config", "peer", "--format", "strongswan"], ["check", "{config}"], ["check", "{broken}"], ["completion", "bash"], ["man"],
]
RESOURCES = ["info", "config", "config/revisions", "connections", "connections/peer", "connections/lost", "sas", "stats", "diagnoses", "profiles", "captures", "openapi.json",
             "secrets/inline", "secrets/file", "secrets/env", "secrets/ppk", "secrets/nothing", "connections/nobody"]


class Needles:
    """Secrets that occur nowhere else, and the forms in which they could be written."""

    def __init__(self):
        self.inline, self.file, self.env, self.ppk, self.strange, self.sent = (f"needle-{secrets.token_hex(16)}" for _ in range(6))
        with open(f"{pki.folder()}/ecdsa256-left.key") as f:
            self.key = f.read()

    def forms(self):
        """Octets to look for, by what they are."""
        found = {}
        for name in ("inline", "file", "env", "ppk", "strange", "sent"):
            value = getattr(self, name).encode()
            found[name] = value
            found[f"{name} in hex"] = value.hex().encode()
            found[f"{name} in base64"] = base64.b64encode(value)[:-4]
            digest = hashlib.sha256(value)
            found[f"digest of {name}"] = digest.hexdigest().encode()
            found[f"digest of {name} in base64"] = base64.b64encode(digest.digest())[:40]
            found[f"digest of {name}, raw"] = digest.digest()
        lines = [line for line in self.key.splitlines() if "-----" not in line]
        der = base64.b64decode("".join(lines))
        at = der.index(b"\x04\x20") + 2  # the private value of P-256 in PKCS#8
        found["private key, PEM"] = lines[1].encode()
        found["private key"] = der[at:at + 32]
        found["private key in hex"] = der[at:at + 32].hex().encode()
        return found


def configuration(needles, folder, role):
    """Left has everything; right is the counterpart of its first connection."""
    for name, value in (("file.psk", needles.file), ("ppk", needles.ppk)):
        with open(f"{folder}/{name}", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as f:
            f.write(f"{value}\n")
    ids = ("left.example", "right.example")
    (local, remote), (local_id, remote_id), n = (OUTER[4], ids, (1, 2)) if role == "left" else (OUTER[4][::-1], ids[::-1], (2, 1))
    text = f"""[gateway]
log = {{ level = "trace" }}

[connections.peer]
local_addrs = ["{local}"]
remote_addrs = ["{remote}"]
local = {{ id = "{local_id}" }}
remote = {{ id = "{remote_id}" }}
ppk = {{ id = "quantum@example", required = true }}
[connections.peer.children.net]
local_ts = ["10.{n[0]}.0.0/16"]
remote_ts = ["10.{n[1]}.0.0/16"]
start_action = "none"

[secrets.inline]
id = ["{remote_id}"]
secret = "{needles.inline}"
[secrets.ppk]
id = ["quantum@example"]
secret_file = "ppk"
"""
    if role == "right":
        return text
    more = ""
    for i, (name, secret) in enumerate({"file": 'secret_file = "file.psk"', "env": 'secret_env = "SANDHOG_LAB_SECRET"'}.items()):
        more += f"""
[connections.{'lost' if name == 'file' else name}]
local_addrs = ["{local}"]
remote_addrs = ["192.0.2.{90 + i}"]
[connections.{'lost' if name == 'file' else name}.children.net]
local_ts = ["10.1.0.0/16"]
remote_ts = ["10.{9 + i}.0.0/16"]
start_action = "none"
[secrets.{name}]
id = ["192.0.2.{90 + i}"]
{secret}
"""
    at = pki.folder()
    return text + more + f"""
[connections.cert]
local_addrs = ["{local}"]
remote_addrs = ["{remote}"]
local = {{ auth = "pubkey", certs = ["{at}/ecdsa256-left.pem"], key = "{at}/ecdsa256-left.key" }}
remote = {{ auth = "pubkey", id = "third.example", cacerts = ["{at}/ecdsa256-ca.pem"] }}
[connections.cert.children.net]
local_ts = ["10.1.0.0/16"]
remote_ts = ["10.99.0.0/16"]
start_action = "none"
"""


class Hay:
    """Everything that was said or written, by where."""

    def __init__(self, needles):
        self.forms, self.found, self.places, self.octets = needles.forms(), [], 0, 0

    def look(self, where, octets):
        """Notes what should not be there."""
        octets = octets if isinstance(octets, bytes) else octets.encode()
        self.places, self.octets = self.places + 1, self.octets + len(octets)
        self.found += [f"{name} in {where}" for name, form in self.forms.items() if form in octets]

    def files(self, folder, leave=()):
        """All files below a folder."""
        for path in glob.glob(f"{folder}/**", recursive=True, include_hidden=True):
            if os.path.isfile(path) and os.path.realpath(path) not in leave:
                with open(path, "rb") as f:
                    self.look(path, f.read())


def everything(us, hay, config, broken):
    """All commands in both forms, all resources with their heads, writes with secrets in them, and a report's files."""
    for argv in COMMANDS:
        argv = [arg.format(config=config, broken=broken) for arg in argv]
        for json_too in ([], ["--json"]):
            done = subprocess.run([sandhog.binary("sandhog"), "--socket", us.socket, *json_too, *argv], capture_output=True, timeout=90)
            hay.look(f"sandhog {' '.join([*json_too, *argv])}", done.stdout + done.stderr)
    watch = subprocess.run(["timeout", "3", sandhog.binary("sandhog"), "--socket", us.socket, "--json", "watch", "--since", "0"], capture_output=True, timeout=30)
    hay.look("sandhog watch", watch.stdout + watch.stderr)
    report = f"{us.dir}/report.tar"
    for more in ([], ["--anonymous"]):
        done = subprocess.run([sandhog.binary("sandhog"), "--socket", us.socket, "bugreport", "--out", report, *more], capture_output=True, timeout=120)
        hay.look("sandhog bugreport", done.stdout + done.stderr)
        with tarfile.open(report) as tar:
            names = tar.getnames()
            for name in names:
                hay.look(f"the report's {name}", tar.extractfile(name).read())
        os.unlink(report)
    for path in [f"/v1/{path}" for path in RESOURCES] + ["/metrics"]:
        hay.look(f"GET {path}", request(us, "GET", path))
    return len(names)


def request(us, verb, path, body=None, head=None):
    """Status, head and body of an answer as octets."""
    connection = sandhog.UnixHttp(us.socket)
    try:
        connection.request(verb, path, json.dumps(body) if body is not None else None, {"content-type": "application/json", **(head or {})} if body is not None else {})
        answer = connection.getresponse()
        return f"{answer.status}\n{answer.headers}\n".encode() + answer.read()
    except (http.client.HTTPException, OSError) as e:
        return str(e).encode()
    finally:
        connection.close()


def writes(us, hay, needles):
    """Secrets on their way in, where they belong and where they do not."""
    for verb, path, body in (
            ("PUT", "/v1/secrets/sent", {"id": ["192.0.2.77"], "secret": needles.sent}),
            ("PUT", "/v1/secrets/sent", {"id": ["192.0.2.77"], "secrets": needles.sent}),
            ("PUT", "/v1/secrets/sent", {"id": 7, "secret": needles.sent}),
            ("PUT", "/v1/connections/odd", {"secret": needles.sent}),
            ("POST", "/v1/config/plan", {"secrets": {"sent": {"id": ["192.0.2.77"], "secret": needles.sent}}}),
            ("POST", "/v1/config/plan", {"secrets": {"sent": needles.sent}}),
            ("PUT", "/v1/config", needles.sent)):
        hay.look(f"{verb} {path}", request(us, verb, path, body))


def memory(pid, needle):
    """Whether the process has it: where it belongs."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
        for line in maps:
            if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) r.*(?:\[heap\]|\[anon.*\]|0)\s*$|([0-9a-f]+)-([0-9a-f]+) rw", line):
                begin, end = (int(x, 16) for x in (match.group(1) or match.group(3), match.group(2) or match.group(4)))
                try:
                    mem.seek(begin)
                    if needle in mem.read(end - begin):
                        return True
                except (OSError, ValueError):
                    pass
    return False


def daemon_pid(us):
    """The process that serves the socket."""
    return us.api("GET", "info")[1]["pid"]


class Cores:
    """While this is open, cores go into files of a folder of its own, or to a program that writes them there, which is nothing that a limit on their size
    stops. `made`: this machine makes them, as a process of no account has shown."""
    PATTERN = "/proc/sys/kernel/core_pattern"

    def __init__(self, folder, program):
        self.folder, self.program, self.made, self.before = folder, program, False, None

    def __enter__(self):
        os.makedirs(self.folder)
        with open(self.PATTERN) as f:
            self.before = f.read(), resource.getrlimit(resource.RLIMIT_CORE)
        # whoever is started from here on may leave as large a core as this machine allows
        most = self.before[1][1]
        resource.setrlimit(resource.RLIMIT_CORE, (most, most))
        self._say(f"|/usr/bin/dd status=none of={self.folder}/core.%p" if self.program else f"{self.folder}/core.%p")
        victim = subprocess.Popen(["sleep", "60"])
        wait.until("a program that is started", lambda: os.readlink(f"/proc/{victim.pid}/exe").endswith("sleep"), 5, 0.01)
        victim.send_signal(signal.SIGSEGV)
        victim.wait()
        self.made = bool(self.take())
        return self

    def __exit__(self, *exc):
        self._say(self.before[0])
        resource.setrlimit(resource.RLIMIT_CORE, self.before[1])

    def _say(self, pattern):
        try:
            with open(self.PATTERN, "w") as f:
                f.write(pattern)
        except OSError:
            pass  # then none is made where we look, and `made` says so

    def take(self):
        """What there is, by path; it is gone then."""
        time.sleep(0.3)  # the program may be at its last octets
        found = {}
        for path in glob.glob(f"{self.folder}/*"):
            with open(path, "rb") as f:
                found[path] = f.read()
            os.unlink(path)
        return found


def crash(us, number, cores, hay):
    """A deadly signal, with cores of any size allowed as far as this machine lets us. How many cores there are."""
    pid = daemon_pid(us)
    subprocess.run(["prlimit", f"--pid={pid}", "--core=unlimited:unlimited"], capture_output=True, check=False)

    def dead():
        # the first SIGSEGV only takes away Rust's handler, which is for real faults; a core is written before its process is gone
        if us.process.popen.poll() is None and os.path.exists(f"/proc/{pid}"):
            os.kill(pid, number)
            return False
        return True
    wait.until("its end", dead, 15)
    left = cores.take()
    for path, octets in left.items():
        hay.look(f"the core {os.path.basename(path)}", octets)
    return len(left)


@case(ROW, "a secret of each kind, in all that comes out", quick=True)
def nowhere():
    """Nothing of it but where it belongs: its own file, and the memory of the process."""
    needles = Needles()
    hay = Hay(needles)
    with Pair("sec") as lab:
        us = sandhog.Sandhog(lab.left, "", env={"SANDHOG_LAB_SECRET": needles.env}, start=False)
        them = sandhog.Sandhog(lab.right, "", start=False)
        for daemon, role in ((them, "right"), (us, "left")):
            daemon.write(configuration(needles, daemon.dir, role))
            daemon.start()
        up, why = us.up("peer")
        if not up:
            raise RuntimeError(f"not up: {why}\n{us.process.text()[-2000:]}\n{them.process.text()[-2000:]}")
        # a secret under a wrong key, in a file that does not parse, and behind a wrong form
        broken = f"{lab.dir}/broken.toml"
        with open(broken, "w") as f:
            f.write(f'[secrets.a]\nid = ["a"]\nsecrets = "{needles.strange}"\n[secrets.b]\nid = ["b"]\nsecret = "0x{needles.strange}"\nsecret_file = "{needles.strange}\n')
        os.chmod(broken, 0o600)
        writes(us, hay, needles)
        files = everything(us, hay, us.config, broken)
        us.reload()
        held = [memory(daemon_pid(us), getattr(needles, name).encode()) for name in ("inline", "file", "env", "ppk")]
        with Cores(f"{lab.dir}/cores", True) as cores:
            left = crash(us, signal.SIGSEGV, cores, hay) + crash(them, signal.SIGABRT, cores, hay)
        us.process.stop(), them.process.stop()
        hay.look("the log", us.process.text())
        hay.look("the other end's log", them.process.text())
        own = {os.path.realpath(f"{d.dir}/{name}") for d in (us, them) for name in ("sandhog.toml", "file.psk", "ppk")} | {os.path.realpath(broken)}
        for daemon in (us, them):
            # what revisions refer to: closed to others, and nothing else in there
            own |= {os.path.realpath(path) for path in glob.glob(f"{daemon.dir}/state/secrets/*") if os.stat(path).st_mode & 0o777 == 0o600}
            hay.files(daemon.dir, own)
        control = Hay(needles)
        control.files(us.dir)
        there = {name for name in ("inline", "file", "ppk") if any(found.startswith(f"{name} in /") for found in control.found)}
        figure = (f"{len(hay.forms)} forms in {hay.places} places, {hay.octets // 1024} KiB, {files} files of the report: {len(hay.found)} found; "
                  f"{sum(held)} of 4 in memory, {len(there)} of 3 in their files; {left} cores after SIGSEGV and SIGABRT{'' if cores.made else ' (not checked: this machine makes none, or gives them to a program)'}")
        return check(not hay.found and len(there) == 3 and any(held) and not left, f"{figure} {hay.found[:4] if hay.found else ''}")


@case(ROW, "cores: a crash leaves none, and what root gets by force")
def cores():
    """SIGSEGV and SIGABRT leave no core, neither as a file nor for a program. Whoever is root may take one with gcore: what is in that is told, and no more."""
    needles = Needles()
    hay, forced = Hay(needles), Hay(needles)
    left, made, held, by_force = 0, [], [], "none"
    with Pair("cor") as lab:
        for number, program in ((signal.SIGSEGV, False), (signal.SIGABRT, True)):
            with Cores(f"{lab.dir}/cores{number}", program) as into:
                us = sandhog.Sandhog(lab.left, "", name=f"d{number}", env={"SANDHOG_LAB_SECRET": needles.env}, start=False)
                us.write(configuration(needles, us.dir, "left"))
                us.start()
                made.append(into.made)
                held.append(memory(daemon_pid(us), needles.inline.encode()))
                if program:
                    taken = subprocess.run(["gcore", "-o", f"{into.folder}/gcore", str(daemon_pid(us))], capture_output=True, text=True, timeout=240)
                    for path, octets in into.take().items():
                        forced.look(os.path.basename(path), octets)
                    by_force = f"{len(forced.found)} forms in {forced.octets >> 20} MiB" if forced.places else f"none ({taken.stderr.strip()[-100:]})"
                left += crash(us, number, into, hay)
                us.process.stop()
    return check(all(made) and all(held) and not left, f"{left} cores after SIGSEGV (as a file) and SIGABRT (to a program), {sum(made)} of 2 made for another process; by gcore as root: {by_force}")
