"""One of many tunnels is changed, added or removed, at both ends, under traffic: the others do not notice."""
import os
import threading
import time

from lab import agree, sandhog, wait
from lab.cases import case, check
from lab.edits import toml
from lab.many import address, document, inner
from lab.pair import OUTER, Pair
from lab.steady import Steady
from lab.watch import Watch

ROW = "one of 200"
# Seconds between echo requests of a tunnel, and how many each of the others makes at least while and after one is changed, in full mode.
INTERVAL, PINGS = 0.1, 20


def sas(end):
    """By connection: its state, and the SPIs of all of its SAs."""
    found = {}
    for c in end.api("GET", "connections")[1]["connections"]:
        ikes = sorted((sa["spi_i"], sa["spi_r"]) for sa in c["sas"])
        kids = sorted((k["state"], k.get("spi_in"), k.get("spi_out")) for k in c["children"])
        found[c["name"]] = (c["state"], ikes, kids)
    return found


def is_up(state):
    """The connection and its one child."""
    return state is not None and state[0] == "up" and len(state[1]) == 1 and [k[0] for k in state[2]] == ["up"]


class End(sandhog.Sandhog):
    """One gateway, whose connections are of two owners: its file and the API."""

    def __init__(self, lab, left, of_file, of_api):
        self.left = left
        super().__init__(lab.left if left else lab.right, toml(self.document(of_file)))
        if of_api:
            self.change("api", of_api)

    def document(self, which, strong=()):
        """These connections; of some the child has another suite than by default."""
        outer, names = (OUTER[4], "lr") if self.left else (OUTER[4][::-1], "rl")
        made = document(which, outer, names, self.left, "start" if self.left else "none")
        for i in strong:
            made["connections"][f"t{i}"]["children"]["net"]["esp_proposals"] = ["aes128gcm16"]
        return made

    def change(self, how, which, strong=()):
        """What one owner has becomes this: its file by a signal, or by plan and apply; what the API has always by these. What the plan is about."""
        made = self.document(which, strong)
        file = []
        if how == "api":
            del made["gateway"]
            file = [os.path.join(self.dir, "of-api.toml")]
            with open(file[0], "w") as f:
                f.write(toml(made))
            os.chmod(file[0], 0o600)
        else:
            self.write(toml(made))
        if how == "signal":
            before = self.etag()
            self.reload()
            # who calls before the other end knows it is refused there, in the name of another connection
            wait.until("the reload", lambda: self.etag() != before)
            return set()
        code, plan = self.client("plan", *file)
        assert code == 0, plan
        self.must("apply", *file)
        return {step["object"] for step in plan["changes"] if step["action"] != "change" or step["impact"] != "none"}


class Owned:
    """What one owner has, at both ends, and how it is changed: one connection is changed, one added, one removed."""

    def __init__(self, how, which, added):
        self.how, self.which, self.added = how, list(which), added
        self.changed, self.removed = self.which[1:3]

    def steps(self):
        """What each step leaves, and whom it is about."""
        strong = [self.changed]
        yield self.changed, (self.which, strong)
        yield self.added, (self.which + [self.added], strong)
        yield self.removed, ([i for i in self.which if i != self.removed] + [self.added], strong)


def one_of(count, *owners, pings=PINGS):
    """Changes one, adds one and removes one of each owner, each at both ends; what became of the others, each of which asks so many times meanwhile."""
    with Pair("chg") as lab:
        address(lab, count + len(owners))
        share = count // len(owners)
        owned = [Owned(how, range(n * share, (n + 1) * share), count + n) for n, how in enumerate(owners)]
        of_file, of_api = ([i for o in owned if (o.how == "api") == of_api for i in o.which] for of_api in (False, True))
        ends = [End(lab, left, of_file, of_api) for left in (False, True)]
        wait.until("all tunnels", lambda: all(is_up(s.get(f"t{i}")) for s in map(sas, ends) for i in range(count)), 180)
        theirs = {i for o in owned for i in (o.changed, o.added, o.removed)}
        others = [i for i in range(count) if i not in theirs]
        before, watches = [sas(end) for end in ends], [Watch(end) for end in ends]
        traffic = Steady(lab.left, [inner(i) for i in others], INTERVAL)
        touched, planned, same_ike, seen = [], set(), True, []
        for of, about, (which, strong) in ((o, *step) for o in owned for step in o.steps()):
            now = lambda: [sas(end).get(f"t{about}") for end in ends]
            old, until = now(), time.monotonic() + 1.2 * pings * INTERVAL
            for end in ends:
                planned |= {(about, name) for name in end.change(of.how, which, strong)}
            done = {of.changed: lambda: all(is_up(s) for s in now()) and now()[0][2] != old[0][2], of.added: lambda: all(is_up(s) for s in now()),
                    of.removed: lambda: now() == [None, None]}
            wait.until("the change", done[about], 60)
            same_ike &= about != of.changed or now()[0][1] == old[0][1]
            touched.append(sum(was[f"t{i}"] != is_[f"t{i}"] for was, is_ in zip(before, map(sas, ends)) for i in others))
            time.sleep(max(0, until - time.monotonic()))
            seen += traffic.seen().values()
        sent, lost, fewest = sum(pair[0] for pair in seen), sum(pair[1] for pair in seen), min(pair[0] for pair in seen)
        told = [(e["event"], e["connection"]) for watch in watches for e in watch.since(0) if e["connection"] in {f"t{i}" for i in others}]
        of_theirs = sum(e["connection"] in {f"t{i}" for i in theirs} for watch in watches for e in watch.since(0))
        beyond = [name for about, name in planned if not {f"connections.t{about}", f"secrets.t{about}"} & {name, ".".join(name.split(".")[:2])}]
        holds = sent > 0 and fewest >= pings and not lost and not any(touched) and same_ike and not told and of_theirs and not beyond
        return check(holds, f"{len(others)} others: {lost} of {sent} pings lost, at least {fewest} of each at each step, SAs touched by each change, addition and removal: {touched}, {len(told)} events told of them "
                            f"and {of_theirs} of those that are changed {told[:3] or ''}; beyond it planned: {beyond}; the changed ones {'kept' if same_ike else 'LOST'} their IKE SA")


def storm(count, seconds):
    """The files change and are read again as fast as that goes, while the peer rekeys one child or IKE SA after the other."""
    with Pair("stm") as lab:
        address(lab, count)
        right, left = (End(lab, side, range(count), ()) for side in (False, True))
        wait.until("all tunnels", lambda: all(is_up(s.get(f"t{i}")) for s in map(sas, (left, right)) for i in range(count)), 90)
        traffic, over, asked = Steady(lab.left, [inner(i) for i in range(count)], 0.05), threading.Event(), [0, 0]

        def rekey():
            while not over.wait(0.01):
                what = sum(asked) % (2 * count)
                status, _ = right.api("POST", f"connections/t{what // 2}{'/children/net' if what % 2 else ''}/rekey?timeout=5")
                asked[status != 200] += 1

        peer, end, reloads, refused = threading.Thread(target=rekey), time.monotonic() + seconds, 0, []
        peer.start()
        while time.monotonic() < end:
            made = left.document(range(count), [i for i in range(count) if (i + reloads) % 3 == 0])
            for i, connection in enumerate(made["connections"].values()):
                connection["dpd_delay"] = f"{30 + (i + reloads) % 5}s"
            left.write(toml(made))
            status, body = left.send("POST", "config/apply")
            refused += [body] * (status != 200)
            reloads += 1
        over.set()
        peer.join()
        views = lambda i: (agree.ours(left, f"t{i}"), agree.ours(right, f"t{i}"))
        same = lambda a, b: not a.unsettled and not b.unsettled and len(a.ike) == 1 and a.ike == b.ike and a.children == b.mirrored() and len(a.children.get("net", ())) == 1
        wait.until("both ends to agree", lambda: all(same(*views(i)) for i in range(count)), 30)
        sent, lost = (sum(pair[n] for pair in traffic.seen().values()) for n in (0, 1))
        return check(not refused and not lost and reloads > seconds and asked[0] > seconds,
                     f"{reloads} reloads, {asked[0]} rekeys by the peer and {asked[1]} not done: {lost} of {sent} pings lost, one of each SA at both ends; refused {refused[:1]}")


case(ROW, "20 tunnels, by reload", quick=True)(lambda: one_of(20, "signal", pings=3))
case(ROW, "200 tunnels, by reload")(lambda: one_of(200, "signal"))
case(ROW, "20 tunnels, by plan and apply, of files and of the API")(lambda: one_of(20, "file", "api"))
case(ROW, "200 tunnels, by plan and apply, of files and of the API")(lambda: one_of(200, "file", "api"))
case(ROW, "200 tunnels, of files by reload and of the API by plan and apply")(lambda: one_of(200, "signal", "api"))
case(ROW, "20 tunnels, a storm of reloads while the peer rekeys")(lambda: storm(20, 30))
