"""Changing the configuration of a running gateway: with a time limit, through a power cut, and with everything that can be wrong."""
import json
import os
import random
import socket
import subprocess
import threading
import time

from interop import upgrade
from interop.ourselves import both, must_come_up
from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.net import Lab
from lab.pair import INNER, OUTER, Pair, prefix

ROW = "confirm"
LIMIT = 10


def document(*names):
    """Connections that drop what they match: they need no peer."""
    child = lambda i: {"lan": {"local_ts": ["10.1.0.0/16"], "remote_ts": [f"10.{i}.0.0/16"], "mode": "drop"}}
    return {"connections": {name: {"children": child(100 + i)} for i, name in enumerate(names)}}


def names(daemon):
    """Connections in force."""
    return sorted(json.loads(daemon.send("GET", "config")[1]).get("connections", {}))


def cut_off(then):
    """The operator's way in is the tunnel, and the change takes it away. `then` is what happens before the limit is over."""
    with Pair("cut") as lab:
        a, b = both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]), start="start")
        must_come_up(a, b)
        operator = lambda count: traffic.ping(lab.right, INNER[4][1], INNER[4][0], count=count)
        before = operator(10)
        with open(a.config) as f:
            good = f.read()
        with open(a.config, "w") as f:
            f.write(good.replace(prefix(INNER[4][1]), "10.77.0.0/16"))
        code, applied = a.client("apply", "--confirm", str(LIMIT))
        begin = time.monotonic()
        during = operator(3)
        then(a, begin)
        wait.until("the operator to come in again", lambda: operator(1) == 1, LIMIT + 20)
        back = time.monotonic() - begin
        after = operator(10)
        warned = any("not what the files say" in w for w in a.send_json("GET", "info")["warnings"])
        events = [r for r in a.client("revisions")[1]["revisions"] if r["undone"]]
        return check(code == 0 and applied["confirm_until"] and before == after == 10 and during == 0 and warned and len(events) == 1,
                     f"{before}/10 before, {during}/3 during, {after}/10 after; in again {back:.1f} s after the change with a limit of {LIMIT} s")


def restart(daemon, wait_until):
    """kill -9, and a start at a moment."""
    daemon.kill()
    time.sleep(max(0, wait_until - time.monotonic()))
    daemon.start()


case(ROW, "the operator is cut off", quick=True)(lambda: cut_off(lambda daemon, begin: None))
case(ROW, "the operator is cut off, kill -9 and a start before the limit")(lambda: cut_off(lambda daemon, begin: restart(daemon, begin + 4)))
case(ROW, "the operator is cut off, kill -9 and a start after the limit")(lambda: cut_off(lambda daemon, begin: restart(daemon, begin + LIMIT + 1)))


class Alone(Lab):
    """One gateway."""

    def __init__(self, name):
        super().__init__(name)
        self.left = self.host("l")
        self.daemon = sandhog.Sandhog(self.left, "[gateway]\n", start=False)


def power_cut(times):
    """kill -9 somewhere in an apply: what is in force after the start is the old document or the new one."""
    with Alone("pow") as lab:
        daemon, dice = lab.daemon, random.Random(6)
        daemon.start()
        old, found, wrong = [], {"old": 0, "new": 0}, []
        for turn in range(times):
            new = [f"c{turn}", f"d{turn}"]
            delay = dice.uniform(0, 0.04)
            sender = threading.Thread(target=lambda: quietly(daemon, document(*new)))
            sender.start()
            time.sleep(delay)
            daemon.kill()
            sender.join()
            daemon.start()
            now = names(daemon)
            if now not in (old, new):
                wrong.append((turn, now))
            found["new" if now == new else "old"] += 1
            old = now
        return check(not wrong and sum(found.values()) == times, f"{times} starts, {found['old']} with the old and {found['new']} with the new, wrong: {wrong}")


def quietly(daemon, doc):
    """A client whose daemon dies under it."""
    try:
        daemon.send("PUT", "config", doc)
    except OSError:
        pass
    except Exception as e:  # http.client has errors of its own for a connection that ends
        if "Remote" not in repr(e) and "Incomplete" not in repr(e) and "BadStatus" not in repr(e):
            raise


@case(ROW, "files that are refused: a start goes on with what was in force; an upgrade leaves edits to a reload", quick=True)
def refused_files():
    """Broken files neither keep a gateway down nor are edits taken by the way; `status` tells of both. Without anything that was in force there is no start."""
    with Pair("ref") as lab:
        left, _ = upgrade.ends(lab, upgrade.GCM)
        with open(left.config) as f:
            good = f.read()

        def edit(text):
            with open(left.config, "w") as f:
                f.write(text)

        warned = lambda word: any(word in warning for warning in left.send_json("GET", "info")["warnings"])
        selectors = lambda: left.send_json("GET", "config")["connections"]["peer"]["children"]["net"]["remote_ts"]
        passes, wrong = lambda: traffic.ping(lab.left, *INNER[4], count=5) == 5, []
        edit(good + "[connections.other\n")
        left.kill()
        left.start()
        shown = lab.left.run(sandhog.binary("sandhog"), "--socket", left.socket, "status")
        if not left.up("peer")[0] or not passes() or "toml.syntax" not in shown or not warned("revision 1 is in force"):
            wrong.append(f"started with broken files: {shown}")
        edit(good.replace(prefix(INNER[4][1]), "10.77.0.0/16"))
        before = upgrade.spis(left)
        left.replaced()
        if upgrade.spis(left) != before or selectors() != [prefix(INNER[4][1])] or not passes() or not warned("not what the files say"):
            wrong.append(f"upgraded with edited files: {selectors()}")
        left.must("reload")
        if selectors() != ["10.77.0.0/16"] or warned("files"):
            wrong.append(f"after the reload: {selectors()}")
        other = sandhog.Sandhog(lab.right, "[connections.peer\n", name="other", start=False)
        code = other.spawn().popen.wait(20)
        return check(not wrong and code == 2, f"wrong: {wrong}; without a revision: exit {code}")


case(ROW, "5 power cuts in the middle of apply", quick=True)(lambda: power_cut(5))
case(ROW, "50 power cuts in the middle of apply")(lambda: power_cut(50))


@case(ROW, "bad input: half a document, unknown fields, two writers, too much", quick=True)
def bad_input():
    """Each gets a problem document, and nothing changes."""
    with Alone("bad") as lab:
        daemon = lab.daemon
        daemon.start()
        status, body = daemon.send("PUT", "config", document("one"))
        assert status == 200, body
        problems = {}
        for what, raw in (("half", b'{"connections": {"x": '), ("unknown", b'{"connections": {"x": {"remote_adrs": []}}}'),
                          ("path", b'{"secrets": {"x": {"id": ["x"], "secret_file": "/etc/shadow"}}}'), ("twice", b'{"pools": {}, "pools": {}}'),
                          ("deep", b"[" * 5000), ("gateway", b'{"gateway": {"workers": 3}}')):
            status, body = daemon.send("PUT", "config", raw)
            problems[what] = (status, json.loads(body)["code"])
        # a client that says more than it sends
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(daemon.socket)
            s.sendall(b"PUT /v1/config HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(daemon.socket)
            s.sendall(b"PUT /v1/config HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n")
            large = s.recv(100)
        # ten that have seen the same
        etag = daemon.etag()
        statuses = []
        put = lambda i: statuses.append(daemon.send("PUT", "config", document(f"w{i}"), {"If-Match": etag})[0])
        writers = [threading.Thread(target=put, args=(i,)) for i in range(10)]
        [w.start() for w in writers]
        [w.join() for w in writers]
        good = (sorted(statuses) == [200] + [412] * 9 and b" 413 " in large
                and [problems[w][0] for w in ("half", "unknown", "path", "twice", "deep", "gateway")] == [400, 422, 422, 400, 400, 409])
        return check(good and len(names(daemon)) == 1, f"{problems}, large {large[9:12].decode()}, ten writers {sorted(statuses)}")


@case(ROW, "bad input: a full disk, a newer version", quick=True)
def full_disk():
    """The old configuration stays, also over a start; with room again it goes on. What a newer version has written is not touched."""
    with Alone("ful") as lab:
        daemon = lab.daemon
        state = os.path.join(daemon.dir, "state")
        os.makedirs(state, mode=0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "none", state], check=True)
        try:
            daemon.start()
            first = daemon.send("PUT", "config", document("one"))[0]
            with open(os.path.join(state, "junk"), "wb", buffering=0) as f:
                try:
                    while f.write(b"x" * 4096):
                        pass
                except OSError:
                    pass
            status, body = daemon.send("PUT", "config", document("two"))
            full = (status, json.loads(body)["code"])
            kept = names(daemon)
            daemon.kill()
            daemon.start()
            again = names(daemon)
            os.remove(os.path.join(state, "junk"))
            then = daemon.send("PUT", "config", document("two"))[0]
            daemon.stop()
            with open(os.path.join(state, "format"), "w") as f:
                f.write("2\n")
            listing = sorted(os.listdir(os.path.join(state, "revisions")))
            daemon.spawn()
            code = daemon.process.popen.wait(15)
            said = "newer Sandhog" in daemon.process.text() and sorted(os.listdir(os.path.join(state, "revisions"))) == listing
        finally:
            for process in lab.processes:
                process.stop()
            subprocess.run(["umount", "-l", state], check=False)
        return check(first == then == 200 and full == (507, "store.full") and kept == again == ["one"] and code == 1 and said,
                     f"full {full}, kept {kept} and over a start {again}, then {then}; newer: exit {code}, {'said' if said else 'not said'}")
