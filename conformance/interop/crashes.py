"""Upgrades that fail before and after the commit, and kill -9, while traffic passes: nothing in the clear, no nonce twice, up again soon, and no trace left."""
import os
import random
import re
import signal
import socket
import statistics
import time

from interop.upgrade import Installed, PROGRAM, ends, replace, spis
from lab import sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix
from rfc import nonces

ROW = "failed upgrades and crashes"
IKE, ESP = "aes256gcm16-prfsha384-x25519", "aes256gcm16"
NAMES = ("left.example", "right.example")
FAULTY = sandhog.binary("faulty")
UNIT = os.path.join(sandhog.ROOT, "systemd", "sandhog.service")
# Seconds until a connection that has to be up carries packets again
BACK = 3.0
# Seconds that packets wait at most for a new executable that hangs when it has been given everything
HANGS = 0.8
# What a new executable says that hangs as it was told to
HANGING = "faulty: hangs"
# Seconds after which a daemon that was stopped goes on; its successor waits for less
STILL = 5
KILLS = ("the front", "the daemon", "both")


class Watch:
    """What leaves some hosts by their outer devices, from beginning to end."""

    def __init__(self, lab, *outside):
        self.folder = os.path.join(lab.dir, "watched")
        os.makedirs(self.folder)
        self.processes = []
        for host, dev in outside:
            host.ip("link", "set", dev, "gso_max_segs", 1)
            path = os.path.join(self.folder, f"{dev}.pcap")
            self.processes.append(host.start(f"watch-{dev}", ["tcpdump", "-i", dev, "-Q", "out", "-s", "160", "-B", "16384", "-U", "-w", path]))
            wait.until(f"tcpdump on {dev}", lambda p=path: os.path.exists(p))

    def end(self):
        """(what the script for nonces counts, what is wrong)."""
        for process in self.processes:
            process.stop()
        total, wrong = nonces.examine(self.folder)
        total["inside"] = sum(clear(os.path.join(self.folder, name)) for name in os.listdir(self.folder))
        if total["inside"]:
            wrong.append(f"{total['inside']} frames with inner addresses in the clear")
        unseen = sum(int(n) for process in self.processes for n in re.findall(r"(\d+) packets dropped by kernel", process.text()))
        if unseen or not total["packets"]:
            wrong.append(f"{unseen} packets were not captured, {total['packets']} were")
        return total, wrong


def clear(path):
    """Frames that show an inner address, wherever in them: also quoted in an ICMP error. What is sealed and what is IKE is left out."""
    inner = [socket.inet_aton(address) for address in INNER[4]]
    with open(path, "rb") as f:
        data = f.read()
    at, found = 24, 0
    while at + 16 <= len(data):
        size = int.from_bytes(data[at + 8:at + 12], "little")
        frame, at = data[at + 16:at + 16 + size], at + 16 + size
        ports = frame[34:38] if frame[12:14] == b"\x08\x00" and frame[23] == 17 else b""
        sealed = any(port in (b"\x01\xf4", b"\x11\x94") for port in (ports[:2], ports[2:])) or frame[12:14] == b"\x08\x00" and frame[23] == 50
        found += any(address in (frame[:34] if sealed else frame) for address in inner)
    return found


def ground(host):
    """What of the kernel is ours or could be: routes, rules, guard and devices. Addresses of a device that the kernel makes up are left out."""
    said = [host.ip(f"-{version}", *what) for version in (4, 6) for what in (("route", "show", "table", "all"), ("rule",))]
    devices = [line.split(":")[1] for line in host.ip("-o", "link").splitlines()]
    lines = [line.strip() for text in (*said, host.run("nft", "-s", "list", "ruleset")) for line in text.splitlines()]
    return sorted(line for line in lines if not any(word in line for word in ("fe80", "ff00::/8"))) + sorted(devices)


def difference(before, after):
    """What has come and gone, or nothing."""
    come, gone = list(after), []
    for line in before:
        if line in come:
            come.remove(line)
        else:
            gone.append(line)
    return [f"+ {line}" for line in come] + [f"- {line}" for line in gone]


def open_country(lab):
    """Default routes over the wire: what is not kept in leaves, and is seen."""
    for i, (host, dev) in enumerate(((lab.left, lab.left_dev), (lab.right, lab.right_dev))):
        host.ip("route", "add", "default", "via", OUTER[4][1 - i], "dev", dev)


def text(i, start, gateway=""):
    """The configuration of the left one (0) or the right one."""
    return sandhog.config(OUTER[4][i], OUTER[4][1 - i], IKE, ESP, prefix(INNER[4][i]), prefix(INNER[4][1 - i]), PSK, NAMES[i], NAMES[1 - i], start=start, gateway=gateway,
                          extra='rehearse = "never"')


def carries(us):
    """Packets have come and gone over the SAs that it has now."""
    try:
        code, found = us.api("GET", "connections/peer")
    except OSError:
        return False
    if code != 200:
        return False
    child = found["children"][0]
    return found["state"] == "up" and child["packets_in"] > 0 and child["packets_out"] > 0


def both_ways(lab, rate):
    """Datagrams in both directions."""
    return traffic.Pulse(lab.left, lab.right, *INNER[4], rate=rate), traffic.Pulse(lab.right, lab.left, *reversed(INNER[4]), rate=200)


# Upgrades

def fault(us, how, point):
    """The next executable fails like this."""
    with open(os.path.join(os.path.dirname(us.path), "fault"), "w") as f:
        f.write(f"{how} {point} {sandhog.binary(PROGRAM)} {us.process.worker()}\n")
    replace(us.path, FAULTY)


def attempt(us, how, point, state):
    """An upgrade to such an executable: what is wrong with what is said of it, if anything."""
    fault(us, how, point)
    code, said = us.client("upgrade")
    if code == 1 and isinstance(said, dict) and said["state"] == state and said["error"]:
        return []
    return [f"{how} {point}: exit {code}, {said}"]


def before_the_commit(lab, us, faults):
    """Nothing has happened: what is wrong, and the figures."""
    known, wrong, pulses = spis(us), [], both_ways(lab, 1000)
    for how, point in faults:
        wrong += attempt(us, how, point, "failed")
        time.sleep(0.2)
    seen = [pulse.end() for pulse in pulses]
    lost, gap = sum(s["lost"] for s in seen), max(s["gap"] for s in seen)
    same = spis(us) == known
    if lost or not same or gap > HANGS:
        wrong.append(f"before the commit: {lost} of {sum(s['sent'] for s in seen)} lost, longest gap {gap} s, SAs {'kept' if same else 'CHANGED'}")
    return wrong, f"{len(faults)} before the commit: {lost} of {sum(s['sent'] for s in seen)} lost, longest gap {gap} s"


def after_the_commit(lab, us, faults):
    """The keys are forgotten and all is negotiated anew: what is wrong, and the figures."""
    wrong, pulses, begun = [], both_ways(lab, 1000), []
    for how, point in faults:
        known = spis(us)
        begun.append(time.monotonic())
        if point == "ready":
            # who asks while it is at work still hears from it that it is
            fault(us, how, point)
            us.client("upgrade")
        else:
            wrong += attempt(us, how, point, "lost")
        wait.until(f"the daemon after {how} {point}", lambda: is_afresh(us), 15)
        wait.until(f"packets after {how} {point}", lambda: carries(us), 15)
        now = spis(us)
        if set(now) & set(known):
            wrong.append(f"{how} {point}: SPIs {known} before, {now} after")
        time.sleep(0.5)
    gaps = outages([pulse.end() for pulse in pulses], begun)
    if max(gaps) > BACK:
        wrong.append(f"after the commit: not back within {BACK} s")
    return wrong, f"{len(faults)} after it: back after {statistics.median(gaps):.2f} s, at most {max(gaps):.2f} s"


def is_afresh(us):
    """The daemon at work was started because one that had taken over is gone."""
    try:
        code, said = us.api("GET", "upgrade")
    except OSError:
        return False
    return code == 200 and said["state"] == "lost" and said["daemon"]["pid"] == us.process.worker()


def longest(pauses, at, until):
    """The longest of the pauses that began within this time."""
    return max((end - begin for begin, end in pauses if at <= begin < until), default=0.0)


def outages(seen, begun):
    """For each of the times the longest pause in either direction that begins before the next."""
    return [max(longest(s["pauses"], at - 0.1, until - 0.1) for s in seen) for at, until in zip(begun, [*begun[1:], float("inf")])]


def installed(lab):
    """A tunnel from a daemon that is installed, who watches its wires, and the ground before it and with it."""
    open_country(lab)
    sandhog.Sandhog(lab.right, text(1, "none"))
    untouched = ground(lab.left)
    us = Installed(lab.left, text(0, "start", 'on_exit = "open"'))
    watch = Watch(lab, (lab.left, lab.left_dev), (lab.right, lab.right_dev))
    wait.until("the tunnel", lambda: us.status("peer")["state"] == "up", 15)
    return us, watch, untouched, ground(lab.left)


def bad_upgrades(exits_before, hangs_before, after):
    """Executables that exit and hang before and after the commit, and at last a good one."""
    with Pair("bad") as lab:
        us, watch, untouched, first = installed(lab)
        wrong, before = before_the_commit(lab, us, [*(("exit", point) for point in exits_before), *(("hang", point) for point in hangs_before)])
        worse, later = after_the_commit(lab, us, after)
        wrong += worse
        replace(us.path, sandhog.binary(PROGRAM))
        known = spis(us)
        code, said = us.client("upgrade")
        if code or spis(us) != known:
            wrong.append(f"a good one: exit {code}, {said}, SPIs {known} before, {spis(us)} after")
        return verdict(lab, us, watch, wrong, f"{before}; {later}", first, untouched)


def verdict(lab, us, watch, wrong, figures, first, untouched):
    """What was seen outside, and what is left of us."""
    if other := difference(first, ground(lab.left)):
        wrong.append(f"routes, rules, guard or devices are others than at first: {other}")
    us.stop()
    if left := difference(untouched, ground(lab.left)):
        wrong.append(f"left after a stop: {left}")
    if left := lab.left.run("ip", "netns", "pids", lab.left.ns).split():
        names = [name for pid in left if (name := program(pid)) == PROGRAM]
        if names:
            wrong.append(f"{len(names)} processes are left")
    total, outside = watch.end()
    wrong += outside
    return check(not wrong, f"{figures}; {total['packets']} packets of {total['sas']} SAs outside, {total['repeated']} numbers twice, {total['inside']} in the clear"
                 + (f"; wrong: {'; '.join(wrong[:6])}" if wrong else "; nothing left"))


def program(pid):
    """The name of a process; nothing if it is a zombie or gone."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            said = f.read()
    except OSError:
        return ""
    return "" if said.rpartition(")")[2].split()[0] == "Z" else said[said.index("(") + 1:said.rindex(")")]


@case(ROW, "executables that exit, are no program, or are open to others; one that exits after the commit", quick=True)
def refused():
    """Each of the first is refused with a sentence, and nothing was changed; after the commit all is negotiated anew."""
    with Pair("fail") as lab:
        left, _ = ends(lab, ESP)
        before, wrong = spis(left), []
        pulse = traffic.Pulse(lab.left, lab.right, *INNER[4])
        no_program = os.path.join(lab.dir, "text")
        with open(no_program, "w") as f:
            f.write("no program\n")
        for what, source, mode in (("exits", "/bin/false", 0o755), ("no program", no_program, 0o755), ("open", sandhog.binary(PROGRAM), 0o775), ("not executable", sandhog.binary(PROGRAM), 0o644)):
            replace(left.path, source, mode)
            code, out = left.client("upgrade")
            if code != 1:
                wrong.append((what, code, out))
        seen, same = pulse.end(), spis(left) == before
        wrong += attempt(left, "exit", "commit", "lost")
        back, why = left.up("peer", 10)
        if not back or set(spis(left)) & set(before):
            wrong.append(f"after the commit: {why}, {spis(left)}")
        return check(not wrong and same and seen["lost"] == 0, f"wrong: {wrong}, {seen['lost']} of {seen['sent']} lost, SAs {'kept' if same else 'CHANGED'}")


case(ROW, "20 executables that exit or hang before or after the commit")(
    lambda: bad_upgrades(("begin", "hello", "list", "prepared", "state", "read"), ("begin", "prepared", "state", "read"),
                         [(how, point) for how in ("exit", "hang") for point in ("commit", "ready", "commit", "ready", "ready")]))


@case(ROW, "the daemon at work stands still before the commit")
def stands_still():
    """Its successor loses its patience and goes: nobody is committed to, the keys stay where they are, and another upgrade comes through."""
    with Pair("still") as lab:
        left, _ = ends(lab, ESP)
        known, at_work = spis(left), left.process.worker()
        lab.left.start("continue", ["sh", "-c", f"sleep {STILL}; kill -CONT {at_work}"])
        begun = time.monotonic()
        wrong = attempt(left, "stop", "read", "failed")
        took = time.monotonic() - begun
        same = spis(left) == known and left.process.worker() == at_work
        replace(left.path, sandhog.binary(PROGRAM))
        code, said = left.client("upgrade")
        good = code == 0 and spis(left) == known
        return check(not wrong and same and good and took > STILL / 2,
                     f"{took:.1f} s; wrong: {wrong}, SAs {'kept' if same else 'CHANGED'}; a good one: exit {code}, {'SAs kept' if good else said}")


# kill -9

def pause_before_restart():
    """RestartSec of the unit."""
    with open(UNIT) as f:
        return float(re.search(r"^RestartSec=(\d+)$", f.read(), re.M).group(1))


def kill(us, which):
    """kill -9; the time."""
    front, daemon = us.process.popen.pid, us.process.worker()
    at = time.monotonic()
    for pid in {"the front": (front,), "the daemon": (daemon,), "both": (front, daemon)}[which]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it had no time to begin, or has ended with the other
    us.process.popen.wait()
    return at


def restart(us):
    """As systemd does it by the unit: a pause, the start."""
    time.sleep(pause_before_restart())
    us.spawn()


def killed(peer, times):
    """Kills under traffic in both directions: front, daemon and both by turns, each fifth time once more while it starts."""
    with Pair("kil") as lab:
        open_country(lab)
        untouched = ground(lab.left)
        watched = [(lab.left, lab.left_dev)]
        if peer == "strongSwan":
            them = strongswan.StrongSwan(lab.right)
            them.load(strongswan.connection("lab", OUTER[4][1], OUTER[4][0], IKE, ESP, prefix(INNER[4][1]), prefix(INNER[4][0]), PSK, NAMES[1], NAMES[0]))
        else:
            sandhog.Sandhog(lab.right, text(1, "none"))
            watched.append((lab.right, lab.right_dev))
        us = sandhog.Sandhog(lab.left, text(0, "start", 'on_exit = "open"'))
        watch = Watch(lab, *watched)
        wait.until("the tunnel", lambda: us.status("peer")["state"] == "up", 15)
        first, chance, begun, done = ground(lab.left), random.Random(6), [], 0
        pulses = both_ways(lab, 200)
        wait.until("packets", lambda: carries(us), 10)
        while done < times:
            at = kill(us, KILLS[done % len(KILLS)])
            restart(us)
            done += 1
            if done % 5 == 4 and done < times:
                time.sleep(chance.uniform(0, 0.4))
                at = kill(us, KILLS[chance.randrange(len(KILLS))])
                restart(us)
                done += 1
            begun.append(at)
            wait.until(f"packets after kill {done}", lambda: carries(us), 15)
            time.sleep(chance.uniform(0.2, 0.6))
        back = returns([pulse.end() for pulse in pulses], begun)
        wrong = [] if max(back) <= BACK else [f"not back within {BACK} s {sum(b > BACK for b in back)} times"]
        return verdict(lab, us, watch, wrong, f"{done} kills, back after {statistics.median(back):.2f} s, at most {max(back):.2f} s", first, untouched)


def amid(lab, us, point, which):
    """Kills the daemon at work or the front while an upgrade stands still at this point; the time. What is installed is good again by then."""
    fault(us, "hang", point)
    # copied before, so that the kill comes at once
    good = us.path + ".good"
    replace(good, sandhog.binary(PROGRAM))
    at_work, before = us.process.worker(), us.process.text().count(HANGING)
    lab.left.start("client", [sandhog.binary("sandhog"), "--socket", us.socket, "upgrade"])
    wait.until(f"a new executable that hangs at {point}", lambda: us.process.text().count(HANGING) > before, 10, every=0.01)
    os.rename(good, us.path)
    at = time.monotonic()
    os.kill(at_work if which == "the daemon" else us.process.popen.pid, signal.SIGKILL)
    us.process.popen.wait()
    return at


def killed_amid_upgrades(points):
    """Whoever is killed in the middle of an upgrade, all of it ends, and the next start begins anew."""
    with Pair("mid") as lab:
        us, watch, untouched, first = installed(lab)
        begun, pulses = [], both_ways(lab, 1000)
        for point, which in points:
            wait.until("packets", lambda: carries(us), 15)
            time.sleep(0.5)
            begun.append(amid(lab, us, point, which))
            restart(us)
        wait.until("packets at last", lambda: carries(us), 15)
        time.sleep(0.5)
        back = returns([pulse.end() for pulse in pulses], begun)
        wrong = [] if max(back) <= BACK else [f"not back within {BACK} s"]
        return verdict(lab, us, watch, wrong, f"{len(points)} kills in the middle of an upgrade, back after {statistics.median(back):.2f} s, at most {max(back):.2f} s", first, untouched)


def returns(seen, killed_at):
    """For each kill the time until packets went in both directions again."""
    ends = [max((next((end for begin, end in s["pauses"] if begin - 0.1 <= at < end), float("inf")) for s in seen)) for at in killed_at]
    return [end - at for at, end in zip(killed_at, ends)]


case(ROW, "kill -9, ourselves")(lambda: killed("ourselves", 85))
case(ROW, "kill -9 in the middle of upgrades")(
    lambda: killed_amid_upgrades([("hello", "the daemon"), ("state", "the daemon"), *((point, "the front") for point in ("hello", "state", "commit", "ready"))]))
case(ROW, "kill -9, strongSwan")(lambda: killed("strongSwan", 15))
