"""Is traffic passing? Filters drop ESP while IKE lives, and the monitor of a child has to notice it."""
import json
import signal
import threading
import time

from interop.ourselves import ESP
from lab import sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Routed, prefix

ROW = "monitor"
IKE = "aes256gcm16-prfsha384-x25519"
INTERVAL = 2.0
THERE = "172.31.2.1"  # what the other side's network is called here, where it is translated
NAMES = ("left.example", "right.example")
WAYS = {"both ways": ("l", "r"), "there": ("l",), "back": ("r",)}


class Events:
    """What our daemon tells from now on: (seconds of the monotonic clock, event)."""

    def __init__(self, us):
        self.list = []
        self.connection = sandhog.UnixHttp(us.socket)
        self.connection.request("GET", "/v1/events")
        self.answer = self.connection.getresponse()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        """Until the daemon ends, or has nothing to tell for a while."""
        try:
            for line in self.answer:
                if line.startswith(b"data:"):
                    self.list.append((time.monotonic(), json.loads(line[5:])))
        except OSError:
            pass

    def first(self, name, why=None, after=0.0):
        """When an event was told first after a moment, or None."""
        times = [at for at, e in self.list if at > after and e["event"] == name and (why is None or e["why"] == why)]
        return times[0] if times else None


def monitored(lab, peer, action="restart", family=4, encap="always", target=None, connection="", child="", **more):
    """Our end on the left with a monitor, and the other one; up. The peer's addresses are the target. `connection`, `child`: further settings of ours."""
    inside = [prefix(a) for a in INNER[family]]
    monitor = f'monitor = {{ target = "{target or INNER[family][1]}", interval = "{INTERVAL:g}s", action = "{action}" }}\n{child}'
    us = sandhog.Sandhog(lab.left, sandhog.config(*OUTER[4], IKE, ESP, *inside, PSK, *NAMES, encap=encap, extra=f'rehearse = "never"\n{connection}',
                                                  child_extra=monitor, **more))
    if peer == "strongSwan":
        other = strongswan.StrongSwan(lab.right)
        other.load(strongswan.connection("lab", *reversed(OUTER[4]), IKE, ESP, *reversed(inside), PSK, *reversed(NAMES)))
    else:
        other = sandhog.Sandhog(lab.right, sandhog.config(*reversed(OUTER[4]), IKE, ESP, *reversed(inside), PSK, *reversed(NAMES), encap=encap))
    up, why = us.up("peer")
    if not up:
        raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-2000:]}\ntheirs: {other.process.text()[-2000:]}")
    return us, other


def drop_esp(lab, ways):
    """The router drops ESP, raw or in UDP, and lets IKE pass. `ways`: whose packets."""
    devices = {"l": lab.router_left, "r": lab.router_right}
    rules = "\n".join(f'iifname "{devices[w]}" meta l4proto esp drop; iifname "{devices[w]}" udp dport 4500 @th,64,32 != 0 drop;' for w in ways)
    lab.router.run("nft", "-f", "-", input=f"table inet lossy {{ chain forward {{ type filter hook forward priority 0; {rules} }}; }}")


def let_pass(lab):
    """Everything."""
    lab.router.run("nft", "delete", "table", "inet", "lossy")


def monitor_of(us):
    """As the status shows it."""
    return us.status("peer")["children"][0]["monitor"]


def dropped(peer, way, family=4, encap="always", target=None, routed_by=None, **more):
    """From the first dropped packet to the event, to the status, and to the new IKE SA: within 3 intervals; and back when ESP passes again.
    `routed_by`: the device of a connection that has one, which gets the route here."""
    target = target or INNER[family][1]
    with Routed("mon") as lab:
        us, _ = monitored(lab, peer, family=family, encap=encap, target=target, **more)
        if routed_by:
            lab.left.ip("route", "add", prefix(target), "dev", routed_by, "src", INNER[family][0])
        wait.until("probes that are answered", lambda: monitor_of(us)["state"] == "passing", 15)
        events = Events(us)
        old = us.status("peer")["ike"]["spi_i"]
        # at the worst moment: right after an answer
        seen = monitor_of(us)["received"]
        wait.until("an answer", lambda: monitor_of(us)["received"] > seen, 10, every=0.02)
        drop_esp(lab, WAYS[way])
        begin = time.monotonic()
        wait.until("the event", lambda: events.first("monitor", "failing", begin), 15)
        failing = events.first("monitor", "failing", begin) - begin
        wait.until("a new IKE SA", lambda: events.first("ike.up", None, begin), 15)
        acted = events.first("ike.up", None, begin) - begin
        shown, failure = monitor_of(us), us.failure()
        renewed = us.status("peer")["ike"]["spi_i"] != old
        let_pass(lab)
        wait.until("traffic that passes", lambda: monitor_of(us)["state"] == "passing", 15)
        after = monitor_of(us)
        pings = traffic.ping(lab.left, INNER[family][0], target, count=20)
        told = events.first("monitor", "passing", begin) is not None and us.failure() is None
        held = max(failing, acted) <= 3 * INTERVAL and shown["state"] == "failing" and failure == "traffic.not_passing" and renewed and told and pings == 20
        return check(held, f"told after {failing:.1f} s, another IKE SA after {acted:.1f} s (3 intervals: {3 * INTERVAL:g} s), status {shown['state']}, {failure}; "
                           f"then {after['state']}, {after['rtt_ms']} ms, {after['loss_percent']} % lost, {pings}/20 pings")


for _peer in ("strongSwan", "ourselves"):
    for _way in WAYS:
        case(ROW, f"ESP dropped {_way}, {_peer}", quick=(_way, _peer) == ("both ways", "strongSwan"))(lambda p=_peer, w=_way: dropped(p, w))
case(ROW, "raw ESP dropped, ourselves")(lambda: dropped("ourselves", "both ways", encap="auto"))
case(ROW, "through a device of its own, strongSwan")(lambda: dropped("strongSwan", "both ways", routed_by="mon0", connection='interface = { name = "mon0" }'))
case(ROW, "by the names of this side, strongSwan")(lambda: dropped("strongSwan", "both ways", target=THERE, child=f'translate = {{ remote = "{THERE}/32" }}'))
case(ROW, "IPv6 inside, ourselves")(lambda: dropped("ourselves", "both ways", family=6))


@case(ROW, "fail-over: another connection takes the packets, and gives them back")
def failover():
    """Two ways to the same network; the one with the higher priority is watched. The other end answers whoever comes, and sends back on what is up."""
    with Routed("fov") as lab:
        second = "192.0.2.22"
        lab.right.address("lo", f"{second}/32")
        lab.router.ip("route", "add", f"{second}/32", "dev", lab.router_right)
        inside = [prefix(a) for a in INNER[4]]
        monitor = f'monitor = {{ target = "{INNER[4][1]}", interval = "500ms", action = "failover" }}\npriority = 10'
        ends = {"first": (OUTER[4][1], monitor), "second": (second, "")}
        parts = [sandhog.config(OUTER[4][0], there, IKE, ESP, *inside, PSK, f"{name}.example", "right.example", name=name,
                                extra='rehearse = "never"', child_extra=extra) for name, (there, extra) in ends.items()]
        sandhog.Sandhog(lab.right, sandhog.config(f'{OUTER[4][1]}", "{second}', "%any", IKE, ESP, *reversed(inside), PSK, "right.example", "%any"))
        us = sandhog.Sandhog(lab.left, parts[0] + parts[1].replace("[gateway]\n", "", 1).split("[secrets")[0])
        for name in ends:
            up, why = us.up(name)
            if not up:
                raise RuntimeError(f"{name}: {why}")
        first = lambda: us.status("first")
        events = Events(us)
        wait.until("probes that are answered", lambda: first()["children"][0]["monitor"]["state"] == "passing", 15)
        # only what goes to and comes from the first address
        rules = "\n".join(f"ip {side} {OUTER[4][1]} meta l4proto esp drop;" for side in ("saddr", "daddr"))
        lab.router.run("nft", "-f", "-", input=f"table inet lossy {{ chain forward {{ type filter hook forward priority 0; {rules} }}; }}")
        begin = time.monotonic()
        wait.until("the event", lambda: events.first("monitor", "failing", begin), 10)
        wait.until("the first one is down", lambda: first()["state"] == "down", 10)
        took = time.monotonic() - begin
        over = traffic.ping(lab.left, *INNER[4], count=20)
        let_pass(lab)
        wait.until("the first one comes back", lambda: first()["children"][0]["monitor"]["state"] == "passing", 90, every=0.5)
        back = time.monotonic() - begin
        before = first()["children"][0]["packets_out"]
        pings = traffic.ping(lab.left, *INNER[4], count=20)
        carried = first()["children"][0]["packets_out"] - before
        return check(over == 20 and pings == 20 and carried >= 20 and took < 3, f"{over}/20 pings over the second one, {took:.1f} s after the drop; back after {back:.0f} s, {pings}/20 pings over the first one")


@case(ROW, "no source: a warning that says what to do", quick=True)
def no_source():
    """The host has no address inside local_ts."""
    with Routed("nos") as lab:
        for address in INNER[4][:1]:
            lab.left.ip("addr", "del", prefix(address), "dev", "lo")
        us, _ = monitored(lab, "ourselves")
        warning = wait.until("the warning", lambda: next((w for w in us.status("peer")["warnings"] if w.startswith("monitor.no_source")), None), 10)
        state = monitor_of(us)["state"]
        lab.left.address("lo", prefix(INNER[4][0]))
        wait.until("probes that are answered", lambda: monitor_of(us)["state"] == "passing", 20)
        gone = not us.status("peer")["warnings"]
        return check(state == "unknown" and gone, f"{warning[:60]}..., {state}; with an address it passes")


@case(ROW, "a reload begins, changes and ends a monitor")
def reload():
    """The tunnel stays as it is."""
    with Routed("rel") as lab:
        us, _ = monitored(lab, "ourselves")
        old = us.status("peer")["ike"]["spi_i"]
        with open(us.config) as f:
            text = f.read()
        line = next(x for x in text.splitlines() if x.startswith("monitor"))
        seen = []
        for new in ("", line.replace('"2s"', '"100ms"'), line.replace('"restart"', '"none"'), ""):
            with open(us.config, "w") as f:
                f.write(text.replace(line, new))
            us.process.popen.send_signal(signal.SIGHUP)
            time.sleep(1.5)
            now = monitor_of(us)
            seen.append(now and now["sent"])
        kept = us.status("peer")["ike"]["spi_i"] == old
        return check(kept and seen[0] is None and seen[1] >= 8 and seen[2] in (1, 2) and seen[3] is None, f"probes {seen}, IKE SA {'kept' if kept else 'ANOTHER'}")


@case(ROW, "no false alarm in 60 s of loaded traffic")
def loaded():
    """TCP flat out, both ways, while the probes travel among it."""
    with Routed("loa") as lab:
        us, _ = monitored(lab, "ourselves")
        events = Events(us)
        old = us.status("peer")["ike"]["spi_i"]
        server = lab.right.start("iperf", ["iperf3", "-s", "--forceflush", "-B", INNER[4][1]])
        wait.until("iperf3", lambda: "listening" in server.text())
        client = lab.left.start("iperf-c", ["iperf3", "-c", INNER[4][1], "-B", INNER[4][0], "-t", "60", "--bidir"])
        client.popen.wait(timeout=90)
        monitor = monitor_of(us)
        alarms = [e for _, e in events.list if e["event"] in ("monitor", "failed")]
        kept = us.status("peer")["ike"]["spi_i"] == old
        return check(not alarms and kept and monitor["state"] == "passing" and monitor["sent"] >= 28,
                     f"{len(alarms)} alarms, {monitor['sent']} probes, {monitor['received']} answered, {monitor['rtt_ms']} ms, {monitor['loss_percent']} % lost, IKE SA {'kept' if kept else 'ANOTHER'}")
