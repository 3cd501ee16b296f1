"""The API under load and under a fuzzer: slow readers, events that are not lost, and every operation held against its own description."""
import json
import os
import re
import socket
import socketserver
import subprocess
import threading
import time

from interop.ourselves import both, must_come_up
from lab import sandhog
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

CACHE = os.environ.get("SANDHOG_LAB_CACHE", "/var/cache/sandhog-lab")


# --- API: schemathesis through a proxy that sets Host ---

class Proxy(socketserver.ThreadingTCPServer):
    """TCP on 127.0.0.1 -> the control socket, with `Host: localhost`, one request at a time."""
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, path):
        self.path = path
        super().__init__(("127.0.0.1", 0), Forward)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Forward(socketserver.StreamRequestHandler):
    """One client."""

    def handle(self):
        line = self.rfile.readline(65536)
        head, length = [], 0
        while True:
            header = self.rfile.readline(65536)
            if header in (b"\r\n", b"\n", b""):
                break
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            if name.lower() not in (b"host", b"connection"):
                head.append(header)
        body = self.rfile.read(length)
        with socket.socket(socket.AF_UNIX) as upstream:
            upstream.settimeout(20)
            upstream.connect(self.server.path)
            upstream.sendall(line + b"Host: localhost\r\nConnection: close\r\n" + b"".join(head) + b"\r\n" + body)
            try:
                while data := upstream.recv(65536):
                    self.wfile.write(data)
            except (TimeoutError, BrokenPipeError, ConnectionResetError):
                pass  # a stream of events has no end, and the client may have had enough


def tool():
    """schemathesis, installed if it is missing."""
    venv = os.path.join(CACHE, "schemathesis")
    program = os.path.join(venv, "bin", "schemathesis")
    if not os.path.exists(program):
        subprocess.run(["python3", "-m", "venv", venv], check=True)
        subprocess.run([os.path.join(venv, "bin", "pip"), "-q", "install", "schemathesis"], check=True)
    return program


def described(examples, seconds):
    """Every operation but the endless one is called with what its description allows and forbids."""
    program = tool()
    with Pair("api") as lab:
        a, _peer = named(lab)
        proxy = Proxy(a.socket)
        url = f"http://127.0.0.1:{proxy.server_address[1]}"
        over = threading.Event()
        keeper = threading.Thread(target=keep_up, args=(a, over))
        keeper.start()
        reached, bad = set(), ""
        # What is up can be rekeyed, so that comes first.
        for n, part in enumerate(("--include-path-regex", "--exclude-path-regex")):
            report = os.path.join(lab.dir, f"report{n}.har")
            done = subprocess.run(
                [program, "run", f"{url}/v1/openapi.json", "--url", url, "--max-examples", str(examples), "--seed", "6", "--phases", "examples,fuzzing",
                 "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance",
                 "--exclude-path", "/v1/events", "--exclude-path", "/v1/upgrade", "--exclude-operation-id", "post_captures", part, "rekey$", "--workers", "1", "--request-timeout", "40", "--no-color",
                 "--report", "har", "--report-har-path", report],
                capture_output=True, text=True, timeout=seconds, cwd=lab.dir)
            bad += done.stdout[-1500:] if done.returncode else ""
            some, all_of = successes(report, a)
            reached |= some
        over.set()
        keeper.join()
        proxy.shutdown()
        proxy.server_close()
        share = 100 * len(reached & all_of) // max(1, len(all_of))
        alive = a.status("hangzhou")["name"] == "hangzhou"
        return check(not bad and share >= 80 and alive,
                     f"{share} % of {len(all_of)} operations reached 2xx (not: {sorted(all_of - reached)}){bad}")


def keep_up(one, over):
    """What is taken down comes up again, so that there is something to rekey."""
    while not over.wait(0.3):
        one.api("POST", "connections/hangzhou/up?timeout=5")


def named(lab):
    """Two of ours with the names of the README."""
    inner = [prefix(x) for x in INNER[4]]
    ike, esp = "aes256gcm16-prfsha384-x25519", "aes256gcm16"
    b = sandhog.Sandhog(lab.right, sandhog.config(*reversed(OUTER[4]), ike, esp, inner[1], inner[0], PSK, name="hangzhou", children={"lan": (inner[1], inner[0])}))
    a = sandhog.Sandhog(lab.left, sandhog.config(*OUTER[4], ike, esp, *inner, PSK, name="hangzhou", children={"lan": tuple(inner)}))
    up, why = a.up("hangzhou")
    if not up:
        raise RuntimeError(f"not up: {why}")
    return a, b


def successes(report, one):
    """The operations that answered 2xx, and all of them."""
    _, document = one.api("GET", "openapi.json")
    paths = [(path, re.compile("^" + re.sub(r"\{[^}]*\}", "[^/]+", path) + "$"), operations) for path, operations in document["paths"].items()]
    every = {f"{method.upper()} {path}" for path, _, operations in paths for method in operations if path not in ("/v1/events", "/v1/upgrade") and (method, path) != ("post", "/v1/captures")}
    reached = set()

    def note(method, uri, status):
        path = uri.split("?")[0]
        path = path[path.index("/", 8):] if path.startswith("http") else path
        for template, pattern, operations in paths:
            if method.lower() in operations and pattern.match(path) and 200 <= status < 300:
                reached.add(f"{method.upper()} {template}")

    with open(report) as f:
        for entry in json.load(f)["log"]["entries"]:
            note(entry["request"]["method"], entry["request"]["url"], entry["response"]["status"])
    return reached, every


case("API", "schemathesis, a few of each", quick=True)(lambda: described(3, 120))
case("API", "schemathesis")(lambda: described(60, 1800))


def spoken():
    """Every line of the README that calls `curl` on a socket of ours, in a block or within a sentence."""
    with open(os.path.join(sandhog.ROOT, "README.md")) as f:
        text = f.read().replace("\\\n", "")
    return [line.strip("`").strip() for line in re.findall(r"^curl --unix-socket .*$|`curl --unix-socket [^`]*`", text, re.M)]


@case("API", "the README's curl lines, as they are written", quick=True)
def curled():
    """Only where the sockets lie is another place, and a stream that has no end is left after a second."""
    lines = spoken()
    with Pair("curl") as lab:
        a, _peer = named(lab)
        wrong = []
        for line in lines:
            here = line.replace("/run/sandhog/control.sock", a.socket).replace("/run/sandhog/observe.sock", os.path.join(a.dir, "observe.sock"))
            stream = " -N " in line
            more = ' -s -o /dev/null -w "%{http_code}"' + (" --max-time 1" if stream else "")
            done = subprocess.run(["bash", "-c", here + more], capture_output=True, text=True, timeout=30)
            if done.returncode != (28 if stream else 0) or not done.stdout.startswith("2"):
                wrong.append(f"{line}: exit {done.returncode}, {done.stdout} {done.stderr}")
        return check(len(lines) >= 9 and not wrong, f"{len(lines)} lines{', wrong: ' if wrong else ''}{'; '.join(wrong)}")


# --- slow readers ---

def crowd(count):
    """Connections that nobody starts."""
    return "".join(f"""
[connections.c{n:05}]
local_addrs = ["192.0.2.1"]
remote_addrs = ["198.18.{n >> 8}.{n & 255}"]
local = {{ auth = "psk", id = "left.example" }}
remote = {{ auth = "psk", id = "c{n}.example" }}
[connections.c{n:05}.children.net]
local_ts = ["10.1.0.1/32"]
remote_ts = ["10.{64 + (n >> 14)}.{n >> 6 & 255}.{(n & 63) << 2}/30"]
start_action = "none"
[secrets.ike-c{n:05}]
id = ["c{n}.example"]
secret = "{PSK} {n}"
""" for n in range(count))


def read_all(path, answers):
    """The list, from one client; its length and how many connections it names."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(300)
        client.connect(path)
        client.sendall(b"GET /v1/connections HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        octets, names, tail = 0, 0, b""
        while data := client.recv(1 << 18):
            octets += len(data)
            both_ = tail + data
            names += both_.count(b'"certificate_until"') - tail.count(b'"certificate_until"')
            tail = both_[-32:]
    answers.append((octets, names))


def ask_ike(host, remote, seconds, enough):
    """IKE_SA_INIT requests of an unknown version, answered at once by INVALID_MAJOR_VERSION, of which we send 100 a second: the time of each answer, in
    milliseconds."""
    code = f"""
import json, os, socket, struct, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("{OUTER[4][1]}", 0)); s.settimeout(2)
took, lost, end = [], 0, time.monotonic() + {seconds}
while time.monotonic() < end and not os.path.exists("{enough}"):
    spi = os.urandom(8)
    begin = time.monotonic()
    s.sendto(spi + bytes(8) + struct.pack("!BBBBII", 33, 0x30, 34, 8, 0, 64) + bytes(36), ("{remote}", 500))
    try:
        while s.recv(2048)[:8] != spi: pass
        took.append((time.monotonic() - begin) * 1000)
    except TimeoutError:
        lost += 1
    time.sleep(0.012)
print(json.dumps([sorted(took), lost]))
"""
    return subprocess.Popen(["ip", "netns", "exec", host.ns, "python3", "-c", code], stdout=subprocess.PIPE, text=True)


def slow_readers(connections, clients, bound):
    """Clients read the list at once, one of them never goes on, while a stranger times our answers."""
    with Pair("sr") as lab:
        us = sandhog.Sandhog(lab.left, f"[gateway]\n{crowd(connections)}", start=False)
        us.start(180)
        stop = os.path.join(lab.dir, "enough")
        timer = ask_ike(lab.right, OUTER[4][0], 600, stop)
        stuck = socket.socket(socket.AF_UNIX)
        stuck.connect(us.socket)
        stuck.sendall(b"GET /v1/connections HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers, rounds = [], 0
        time.sleep(1)  # the stranger has begun
        begin = time.monotonic()
        while time.monotonic() - begin < 4:
            threads = [threading.Thread(target=read_all, args=(us.socket, answers)) for _ in range(clients)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            rounds += 1
        took = time.monotonic() - begin
        open(stop, "w").close()
        times, lost = json.loads(timer.communicate(timeout=30)[0])
        stuck.close()
        whole = sum(names == connections for _, names in answers)
        worst = times[-1] if times else float("inf")
        p99 = times[int(len(times) * 0.99)] if times else 0
        return check(whole == rounds * clients and len(times) > 100 and worst <= bound and lost == 0,
                     f"{whole}/{rounds * clients} lists of {connections} whole in {took:.1f} s; {len(times)} answers, p99 {p99:.1f} ms, worst {worst:.1f} ms, lost {lost}")


case("slow readers", "20 clients, 500 connections", quick=True)(lambda: slow_readers(500, 20, 20))
case("slow readers", "100 clients, 10,000 connections")(lambda: slow_readers(10000, 100, 20))


# --- events ---

class Events:
    """A reader of events that can stop and go on."""

    def __init__(self, path):
        self.path, self.last, self.seen, self.lost, self.nobody = path, "0", {}, 0, False

    def read(self, until, timeout):
        """Reads until `until(self)` holds, then hangs up."""
        connection = sandhog.UnixHttp(self.path)
        connection.request("GET", "/v1/events", headers={"Last-Event-ID": self.last})
        answer = connection.getresponse()
        end = time.monotonic() + timeout
        event = {}
        while not until(self):
            if time.monotonic() > end:
                raise TimeoutError(f"events: {len(self.seen)} seen, last {self.last}")
            line = answer.readline().decode().rstrip("\n")
            if line:
                field, _, value = line.partition(": ")
                event[field] = value
            elif "data" in event:
                self.note(event)
                event = {}
            else:
                event = {}
        connection.close()

    def note(self, event):
        self.last = event["id"]
        document = json.loads(event["data"])
        if event["event"] == "gap":
            self.lost += document["lost"] or 0
        else:
            self.seen[document["id"]] = event["event"]
            self.nobody = self.nobody or "/nobody/" in (document.get("audit") or {}).get("request", "")


def stops_and_resumes(changes, left_out):
    """Rekeys through the API, while one reader stops again and again; what it has seen and what it was told to be lost are all there was."""
    with Pair("ev") as lab:
        a, b = both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]))
        must_come_up(a, b)
        reader = Events(a.socket)
        stopped = threading.Event()

        def rekeys():
            connection = sandhog.UnixHttp(a.socket)
            for _ in range(changes):
                connection.request("POST", "/v1/connections/peer/children/net/rekey?timeout=10")
                connection.getresponse().read()
                time.sleep(0.03)  # old SAs stay for 5 s, and a child has 256 SPIs
                if stopped.is_set():
                    break
            connection.close()

        writer = threading.Thread(target=rekeys)
        writer.start()
        while writer.is_alive():
            target = len(reader.seen) + 20
            try:
                reader.read(lambda r: len(r.seen) >= target or not writer.is_alive(), 60)
            finally:
                if not writer.is_alive():
                    break
            time.sleep(left_out)
        writer.join()
        # The last word is our own: a write that is refused is an event, too.
        a.api("POST", "connections/nobody/up")
        reader.read(lambda r: r.nobody, 60)
        first, last = min(reader.seen), max(reader.seen)
        missing = last - first + 1 - len(reader.seen)
        rekeyed = sum(name == "child.up" for name in reader.seen.values())
        return check(missing == reader.lost and first == 1 and rekeyed + reader.lost >= changes,
                     f"{len(reader.seen)} events from {first} to {last}, {rekeyed} new children, {missing} missing, {reader.lost} told as lost")


case("events", "200 rekeys, a reader that stops and resumes", quick=True)(lambda: stops_and_resumes(200, 0.2))
case("events", "10,000 SA changes, a reader that stops and resumes")(lambda: stops_and_resumes(5000, 0.5))
