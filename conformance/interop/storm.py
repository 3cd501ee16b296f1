"""Rekey storms: the child every 4 s and the IKE SA every 11 s, from both sides, in phase and without jitter, under 1,000 packets a second each way."""
import os
import time
from concurrent import futures

from interop import collisions
from interop.ourselves import ESP
from lab import agree, opened, sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Relayed, prefix

ROW = "rekey storm"
IKE = "aes256gcm16-prfsha384-x25519"
CHILD, IKE_SA = 4, 11
# Requests take 30 ms and responses no time: both ends have the same age of an SA to a millisecond, so that their timers meet on the wire. Nothing overtakes
# them, as on a real line: what arrives out of order is the row of the schedules.
CROSSING = [{"exchange": collisions.CREATE_CHILD_SA, "response": False, "hold": 30, "queue": True}]


def swan(host, at):
    """A strongSwan that rekeys like that; its keys go to its log. `over_time` counts from the rekey on and must not be nothing: at its end the SA is closed.

    5.9.8 drops a response with the message ID of a request that it is busy with ("ignoring request with ID n, already processing") and takes only the
    retransmitted one: requests that cross have such IDs now and then, so it shall not wait its usual four seconds.
    """
    end = strongswan.StrongSwan(host, options="filelog { stderr { ike = 4 } }\n retransmit_timeout = 1.0\n retransmit_tries = 8")
    inside = [prefix(INNER[4][at]), prefix(INNER[4][1 - at])]
    names = ("left.example", "right.example")
    end.load(strongswan.connection("lab", OUTER[4][at], OUTER[4][1 - at], IKE, f"{ESP}-x25519", *inside, PSK, names[at], names[1 - at],
                                   extra=f"rekey_time = {IKE_SA}s\n over_time = 300s\n rand_time = 0s", child_extra=f"rekey_time = {CHILD}s\n life_time = 300s\n rand_time = 0s"))
    return end


def hog(host, at):
    """Ours, likewise."""
    inside = [prefix(INNER[4][at]), prefix(INNER[4][1 - at])]
    names = ("left.example", "right.example")
    return sandhog.Sandhog(host, sandhog.config(OUTER[4][at], OUTER[4][1 - at], IKE, f"{ESP}-x25519", *inside, PSK, names[at], names[1 - at], encap="always",
                                                extra=f'rehearse = "never"\nrekey_time = "{IKE_SA}s"\nover_time = "300s"\nrand_time = "0s"', child_extra=f'rekey_time = "{CHILD}s"'))


def children(end):
    """How many it has, if none is on its way. (A redundant IKE SA may stay with strongSwan for 90 s.)"""
    view = agree.view(end)
    return 0 if any(not what.startswith("IKE ") for what in view.unsettled) else sum(map(len, view.children.values()))


def storm(name, makers, seconds):
    """{sent, lost, crossed, children, survivors, wrong} of one run; the left one initiates."""
    with Relayed(f"st{name}") as lab:
        lab.relay.tell(rules=CROSSING)
        capture = f"{lab.dir}/ike.pcap"
        watch = lab.right.start("tcpdump", ["tcpdump", "-i", lab.right_dev, "-U", "-w", capture, "udp port 500 or (udp port 4500 and udp[8:4] = 0)"])
        wait.until("tcpdump", lambda: "listening" in watch.text())
        ends = [maker(host, at) for at, (maker, host) in enumerate(zip(makers, (lab.left, lab.right)))]
        up, why = ends[0].up("peer") if makers[0] is hog else ends[0].initiate("net")
        if not up:
            raise RuntimeError(f"{name} not up: {why}")
        asked = [end if maker is hog else end.vici() for maker, end in zip(makers, ends)]
        pulses = [traffic.Pulse(lab.left, lab.right, *INNER[4]), traffic.Pulse(lab.right, lab.left, *reversed(INNER[4]))]
        time.sleep(seconds)
        got = [p.end() for p in pulses]
        begin, counts = time.monotonic(), []
        while time.monotonic() - begin < 8 and counts != [1, 1]:  # between two rekeys
            counts = [children(end) for end in asked]
            time.sleep(0.1)
        watch.stop()
        keys = opened.charon_keys("".join(end.process.text() for maker, end in zip(makers, ends) if maker is swan))
        survivors = collisions.examine(opened.messages(capture, keys)) if keys else (0, 0, [])
        return {"name": name, "sent": sum(g["sent"] for g in got), "lost": sum(g["lost"] for g in got), "gap": max(g["gap"] for g in got), "crossed": crossed(lab.relay.messages()),
                "children": counts, "survivors": survivors, "failed": [end.failure() for maker, end in zip(makers, ends) if maker is hog and end.failure()]}


def crossed(messages):
    """Requests of both ends that were under way at once: within the 30 ms that each of them takes."""
    last, count = {}, 0
    seen = set()
    for m in messages:
        key = (m["from"], m["spi_i"], m["id"], m["exchange"])
        if m["exchange"] != collisions.CREATE_CHILD_SA or m["response"] or key in seen:
            continue
        seen.add(key)
        other = last.get("b" if m["from"] == "a" else "a")
        if other is not None and m["t"] - other < 0.03:
            count += 1
            last = {}
        else:
            last[m["from"]] = m["t"]
    return count


def told(r):
    """One run in words."""
    survivors = f", {r['survivors'][0]}+{r['survivors'][1]} decided by nonces" if any(r["survivors"][:2]) else ""
    return f"{r['name']}: {r['lost']} of {r['sent']} lost, gap {r['gap']} s, {r['crossed']} collisions{survivors}, children {r['children']}" + (f", {r['failed']}" if r["failed"] else "")


def held(r, needed):
    """What holds for each run with one of ours."""
    return r["crossed"] >= needed and r["children"] == [1, 1] and not r["survivors"][2]


def together(runs, seconds):
    """Several storms at once, each in a lab of its own. A long one is not captured for the nonces: gigabytes."""
    folder = os.environ.pop("SANDHOG_CAPTURE", None)
    try:
        with futures.ThreadPoolExecutor(len(runs)) as pool:
            return list(pool.map(lambda name: storm(name, runs[name], seconds), runs))
    finally:
        if folder:
            os.environ["SANDHOG_CAPTURE"] = folder


def ourselves(seconds, needed):
    """Nothing lost, and one child."""
    r, = together({"us": (hog, hog)}, seconds)
    return check(held(r, needed) and r["lost"] == 0, told(r))


def with_strongswan(seconds, needed):
    """Both roles, and strongSwan against itself in the same run: not worse than that, and at most 1 in 20,000."""
    of = {r["name"]: r for r in together({"ui": (hog, swan), "ur": (swan, hog), "ss": (swan, swan)}, seconds)}
    ours, base = [of["ui"], of["ur"]], of["ss"]
    ok = all(held(r, needed) and r["survivors"][0] and r["lost"] <= base["lost"] and r["lost"] <= r["sent"] / 20_000 for r in ours)
    return check(ok, "; ".join(map(told, (*ours, base))) + "".join(f"; {w}" for r in ours for w in r["survivors"][2][:2]))


case(ROW, "ourselves, 40 s")(lambda: ourselves(40, 4))
case(ROW, "ourselves, 5 minutes")(lambda: ourselves(300, 30))
case(ROW, "strongSwan 5.9.8, both roles, 40 s")(lambda: with_strongswan(40, 3))
case(ROW, "strongSwan 5.9.8, both roles, 5 minutes")(lambda: with_strongswan(300, 30))
