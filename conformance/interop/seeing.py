"""What is seen of a gateway: metrics before, during and after a tunnel and over rekeys; logs as real readers get them."""
import json
import os
import re
import socket
import sys
import time

from interop.ourselves import ESP, IKE
from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

METRICS = "127.0.0.1:9464"
# What no line of a log may take from a peer: a line of its own, a terminal's commands, text that runs backwards. An ID is written with \\xHH in the configuration.
HOSTILE = r"fqdn:evil\x0a2026-01-01T00:00:00Z ERROR forged connection=peer\x0d\x1b[2J\xe2\x80\xaetxt\x00\xff\\\x22]"
FETCH = """
import sys, urllib.request, urllib.error
request = urllib.request.Request(sys.argv[1], method=sys.argv[2], headers={"Accept": sys.argv[3]})
try:
    with urllib.request.urlopen(request, timeout=10) as answer: print(answer.status, answer.headers["content-type"]); print(answer.read().decode(), end="")
except urllib.error.HTTPError as e: print(e.code, e.headers["content-type"])
"""


def daemons(lab, left_gateway="", right_gateway="", left_id="left.example", extra=""):
    """Both; the left one dials."""
    (a, b), (x, y) = OUTER[4], (prefix(i) for i in INNER[4])
    right = sandhog.Sandhog(lab.right, sandhog.config(b, a, IKE, ESP, y, x, PSK, "right.example", "left.example", gateway=right_gateway))
    left = sandhog.Sandhog(lab.left, sandhog.config(a, b, IKE, ESP, x, y, PSK, left_id, "right.example", gateway=left_gateway, extra=extra))
    return left, right


def fetch(host, path="/metrics", verb="GET", accept="text/plain"):
    """Status, media type and text of one request by TCP."""
    out = host.run(sys.executable, "-c", FETCH, f"http://{METRICS}{path}", verb, accept)
    head, _, text = out.partition("\n")
    return *head.split(" ", 1), text


def series(text):
    """All samples by their series."""
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name not in found, f"twice: {name}"
            found[name] = float(value)
    return found


@case("metrics", "of a tunnel, and over rekeys", quick=True)
def scraped():
    """Configured means shown, up or not; nothing that counts ever goes back."""
    with Pair("metrics") as lab:
        left, _ = daemons(lab, left_gateway=f'metrics = "{METRICS}"')
        status, media, text = fetch(lab.left)
        before, wrong = series(text), []
        up, child = 'sandhog_connection_up{connection="peer"}', '{connection="peer",child="net"'
        if (status, before[up], before[f'sandhog_child_state{child},state="down"}}']) != ("200", 0, 1):
            wrong.append(f"before: {status} {before[up]}")
        was = before
        for step in ("up", "rekey peer/net", "rekey peer", "rekey peer/net"):
            left.must(*(step.split() if step != "up" else ("up", "peer")))
            traffic.ping(lab.left, *INNER[4], count=20)
            now = series(fetch(lab.left)[2])
            back = [name for name, value in was.items() if re.match(r"\w+(_total|_bucket|_count|_sum)(\{|$)", name) and now.get(name, -1) < value]
            if back or now[up] != 1:
                wrong.append(f"{step}: {now[up]} {back[:3]}")
            was = now
        packets, took = was[f'sandhog_child_packets_total{child},direction="out"}}'], was["sandhog_handshake_duration_seconds_count"]
        rekeys = tuple(was[f'sandhog_rekeys_total{{connection="peer",kind="{kind}"}}'] for kind in ("ike", "child"))
        if packets < 80 or took != 1 or rekeys != (1, 2):
            wrong.append(f"{packets} packets, {took} handshakes, rekeys {rekeys}")
        left.must("down", "peer")
        after = series(fetch(lab.left)[2])
        if after[up] != 0 or after[f'sandhog_child_packets_total{child},direction="out"}}'] < packets:
            wrong.append("after")
        _, open_media, open_text = fetch(lab.left, accept="application/openmetrics-text; version=1.0.0")
        if not (open_text.endswith("# EOF\n") and open_media.startswith("application/openmetrics-text") and media.startswith("text/plain; version=0.0.4")):
            wrong.append(f"media {media} {open_media}")
        if (fetch(lab.left, "/v1/info")[0], fetch(lab.left, verb="POST")[0]) != ("404", "405"):
            wrong.append("more than /metrics by TCP")
        for name in ("control.sock", "observe.sock"):
            connection = sandhog.UnixHttp(os.path.join(left.dir, name))
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            if answer.status != 200 or up not in series(answer.read().decode()):
                wrong.append(name)
            connection.close()
        return check(not wrong, f"{len(was)} series, {int(packets)} packets, rekeys {rekeys}" + "".join(f"; {w}" for w in wrong))


def is_clean(text):
    """No control character, nothing that turns text around."""
    return not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]", text)


def journal_fields(datagram):
    """The journal's own form, strictly."""
    fields, rest = {}, datagram
    while rest:
        line, end, after = rest.partition(b"\n")
        assert end, "a line without an end"
        if b"=" in line:
            name, value = line.split(b"=", 1)
        else:
            length = int.from_bytes(after[:8], "little")
            name, value, after = line, after[8:8 + length], after[8 + length:]
            assert after[:1] == b"\n"
            after = after[1:]
        assert re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name), name
        fields[name.decode()] = value.decode()
        rest = after
    return fields


SYSLOG = re.compile(r'<(\d+)>1 (\d{4}-\d\d-\d\dT\S+Z) (\S+) sandhogd (\d+) (\S+) (-|\[sandhog@32473(?: [a-z_]+="(?:[^"\\\]]|\\["\\\]])*")+\]) (.*)', re.S)


class Reader:
    """A Unix datagram socket that plays the journal or a syslog daemon."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(0.2)
        self.got = []

    def read(self):
        """All that came."""
        while True:
            try:
                self.got.append(self.socket.recv(1 << 18))
            except TimeoutError:
                return self.got


def logged(form):
    """A peer with a hostile ID dials; what the log of the right one says of it."""
    with Pair("log") as lab:
        path = os.path.join(lab.dir, "log.sock")
        target = {"journald": f', target = "{path}"', "syslog": f', target = "{path}"'}.get(form, "")
        reader = Reader(path) if target else None
        udp = None
        if form == "udp":
            code = "import socket,sys\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\ns.bind(('127.0.0.1',5514))\nprint('ready',flush=True)\nwhile True: print(s.recv(1<<16).hex(),flush=True)"
            udp = lab.right.start("syslog", [sys.executable, "-c", code])
            wait.until("the syslog server", lambda: "ready" in udp.text())
            target = ', target = "udp:127.0.0.1:5514"'
        kind = "syslog" if form == "udp" else form
        left, right = daemons(lab, right_gateway=f'log = {{ format = "{kind}"{target} }}', left_id=HOSTILE.replace("\\", "\\\\"))
        up, _ = left.up("peer", timeout=5)
        read = {
            "journald": lambda: [d.decode() for d in reader.read()] if reader else [],
            "syslog": lambda: [d.decode() for d in reader.read()] if reader else [],
            "udp": lambda: [bytes.fromhex(line).decode() for line in udp.text().split()[1:]],
        }.get(form, lambda: [line + "\n" for line in right.process.text().splitlines()])
        wait.until("the failure in the log", lambda: any("forged" in message for message in read()), 10)
        messages = read()
        dirty = [m for m in messages if not is_clean(m)]
        about = [m for m in messages if "forged" in m]
        parsed = []
        for message in messages:
            if form == "json":
                parsed.append({k.lower(): v for k, v in json.loads(message).items()})
            elif form == "journald":
                parsed.append({k.lower(): v for k, v in journal_fields(message.encode()).items()})
            elif form in ("syslog", "udp"):
                match = SYSLOG.fullmatch(message)
                assert match, message
                parsed.append({"message": match[7], **dict(re.findall(r' ([a-z_]+)="((?:[^"\\]|\\.)*)"', match[6]))})
            else:
                match = re.fullmatch(r"(\S+Z) +(INFO|WARN|ERROR) (.*?)((?: [a-z_]+=(?:\"(?:[^\"\\]|\\.)*\"|[^\s\"=]+))*)\n", message)
                assert match, message
                parsed.append({"message": match[3], **{k: v.strip('"') for k, v in re.findall(r' ([a-z_]+)=("(?:[^"\\]|\\.)*"|\S+)', match[4])}})
        failed = [p for p in parsed if p.get("message") == "failed"]
        codes = sorted({p.get("code") for p in failed if p.get("code")})
        forged = [p for p in parsed if p.get("message", "").startswith(("forged", "2026")) or p.get("connection") not in (None, "peer")]
        holds = not up and not dirty and about and failed and codes and not forged
        return check(holds, f"{len(messages)} messages, {codes}, {len(dirty)} dirty, {len(forged)} forged; {about[0][-200:].strip() if about else 'nothing'}")


for _form in ("text", "json", "journald", "syslog", "udp"):
    case("logs", f"a hostile peer, {_form}", quick=_form in ("json", "journald", "udp"))(lambda f=_form: logged(f))


@case("logs", "levels of a connection change, and a reader that does not read stalls nobody", quick=True)
def levels():
    """The journal's socket takes a few datagrams and then blocks whoever writes to it."""
    with Pair("levels") as lab:
        path = os.path.join(lab.dir, "log.sock")
        reader = Reader(path)
        left, right = daemons(lab, left_gateway=f'log = {{ format = "journald", target = "{path}" }}')
        left.must("up", "peer")
        heard = lambda: sum(b"MESSAGE=child is up" in d for d in reader.read())
        wait.until("the child in the log", lambda: heard() == 1)
        text = open(left.config).read()
        quiet = text.replace("[connections.peer]\n", '[connections.peer]\nlog = { level = "warn" }\n', 1)
        with open(left.config, "w") as f:
            f.write(quiet)
        left.reload()
        wait.until("the reload", lambda: any(b"was read again" in d or b"in force" in d for d in reader.read()))
        left.must("rekey", "peer/net")
        time.sleep(0.3)
        muted = heard()
        with open(left.config, "w") as f:
            f.write(text)
        left.reload()
        time.sleep(0.5)
        before = len(reader.read())
        # From here on nobody reads.
        slowest = 0
        for _ in range(40):
            begun = time.monotonic()
            left.must("rekey", "peer/net")
            slowest = max(slowest, time.monotonic() - begun)
        pings = traffic.ping(lab.left, *INNER[4], count=20)
        after = len(reader.read()) - before
        begun = time.monotonic()
        code = left.stop()
        stopped = time.monotonic() - begun
        holds = muted == 1 and slowest < 2 and pings == 20 and after >= 40 and code == 0 and stopped < 6
        return check(holds, f"{muted - 1} while muted, slowest rekey {slowest:.2f} s, {pings}/20 pings, {after} messages after the silence, stopped with {code} in {stopped:.1f} s")
