"""One end is strongSwan, and the wire holds, drops, doubles and reorders IKE messages by a schedule while both ends rekey, delete and create: do their SAs agree at the end?

Two strongSwans (6.0.1, 6.1.0) under such schedules agree in 97 of the first 100. What goes wrong between them, and what we do so that it does not with us:
- A Delete that overtakes the answer which makes its child is answered without a Delete and forgotten; the late answer then installs the child for good (seed 4).
  Our Delete is sent again until the peer is known to have our answer.
- The answer to a rekey is lost, and the responder rekeys the new child at once: the initiator does not know it yet and answers CHILD_SA_NOT_FOUND, the responder
  makes another one, and on the Delete of the old child its charon spins for ever; every question to it times out (seeds 44 and 59). We take such an answer for a
  TEMPORARY_FAILURE, so that charon is not brought there. If it is nevertheless, that schedule counts as one that failed.
"""
import collections
import os
import random
import subprocess
import time
from concurrent import futures

from interop.ourselves import ESP
from lab import agree, kernel, sandhog, strongswan, traffic
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Relayed, prefix
from lab.vici import ViciError

ROW = "schedules, one end strongSwan"
IKE = "aes256gcm16-prfsha384-x25519"
CREATE_CHILD_SA, INFORMATIONAL = 36, 37
KIDS = {"one": (prefix(INNER[4][0]), prefix(INNER[4][1])), "two": ("10.1.2.1/32", "10.2.2.1/32")}
# What strongSwan needs at most until it notices by itself that an IKE SA is redundant (its half-open time-out, 30 s), and then some.
PATIENCE = 45


class Ends:
    """A pair in a lab of its own; `first` initiates what must be up before each schedule."""

    def __init__(self, number, release, first):
        self.lab, self.first = Relayed(f"sc{number}-"), first
        root = None
        if release:
            subprocess.run(["bash", kernel.ROOTS, release], check=True)
            root = os.path.join(kernel.CACHE, release)
        mirrored = {k: (r, l) for k, (l, r) in KIDS.items()}
        self.peer = strongswan.StrongSwan(self.lab.right, root=root, options="retransmit_timeout = 0.1\n retransmit_base = 1.6\n retransmit_tries = 8")
        self.peer.load(strongswan.connection("peer", *reversed(OUTER[4]), IKE, f"{ESP}-x25519", None, None, PSK, children=mirrored))
        self.us = sandhog.Sandhog(self.lab.left, sandhog.config(*OUTER[4], IKE, f"{ESP}-x25519", None, None, PSK, encap="always", children=KIDS, extra='rehearse = "never"',
                                                               gateway='retransmit = { first = "100ms", factor = 1.6, max = "1s", tries = 8 }'))
        self.vici = self.peer.vici()

    def ours(self, verb, child=None):
        """An operation on our side; it does not wait."""
        self.us.api("POST", f"connections/peer/{f'children/{child}/' if child else ''}{verb}" + "?timeout=0")

    def theirs(self, verb, child=None):
        """The same on theirs."""
        what = {"child": child} if child else {"ike": "peer"}
        try:
            if verb == "rekey":
                self.vici.call("rekey", **what)
            else:
                self.vici.call({"up": "initiate", "down": "terminate"}[verb], timeout=-1, **what)
        except ViciError:
            pass  # what is not there cannot be rekeyed or deleted

    def settle(self, fine=lambda view: True):
        """Whether they agree, and about what."""
        return agree.settled(self.us, self.vici, PATIENCE, fine)

    def prepare(self):
        """Both agree, one IKE SA, `one` up."""
        agreed, view = self.settle()
        if agreed and (len(view.ike) > 1 or len(view.children.get("one", ())) > 1):
            self.ours("down")
            agreed, view = self.settle()
        if agreed and len(view.ike) == len(view.children.get("one", ())) == 1:
            return
        up, why = self.us.up("peer/one", 20) if self.first == "a" else self.peer.initiate("one", 20)
        agreed, view = self.settle()
        if not up or not agreed:
            raise RuntimeError(f"not up before a schedule: {why} {view}\nours: {self.us.process.text()[-1500:]}\ntheirs: {self.peer.process.text()[-1500:]}")

    def operate(self, operations):
        """Does them at their times, in milliseconds from now."""
        begin = time.monotonic()
        for at, side, verb, child in sorted(operations, key=lambda o: o[0]):
            time.sleep(max(begin + at / 1000 - time.monotonic(), 0))
            (self.ours if side == "a" else self.theirs)(verb, child)


def drawn(seed):
    """(rules of the relay, operations) from a seed: one to three operations within 60 ms, and one to four messages that fare badly."""
    rng = random.Random(seed)
    verbs = [("rekey", "one")] * 4 + [("rekey", None)] * 4 + [("down", "one")] * 2 + [("up", "two")] * 2 + [("rekey", "two"), ("down", "two")]
    operations = [(rng.randrange(60), rng.choice("ab"), *rng.choice(verbs)) for _ in range(rng.randint(1, 3))]
    if rng.random() < 0.5:  # a true collision: both do the same, or one deletes what the other rekeys
        _, side, verb, child = operations[0]
        other = "ba"["ab".index(side)]
        operations.append((operations[0][0], other, verb if verb == "rekey" and rng.random() < 0.7 else "down" if child else "rekey", child))
    fates = ({"hold": rng.choice((40, 120, 350))}, {"drop": True}, {"double": rng.choice((1, 60))}, {"hold": 800})
    rules = [{"from": rng.choice("ab"), "exchange": rng.choice((CREATE_CHILD_SA, CREATE_CHILD_SA, INFORMATIONAL)), "response": rng.random() < 0.5, "nth": rng.choice((0, 0, 1, 2)),
              **rng.choice(fates)} for _ in range(rng.randint(1, 4))]
    return rules, operations


def play(ends, seed):
    """One schedule; None, or how they disagree."""
    rules, operations = drawn(seed)
    ends.prepare()
    ends.lab.relay.tell(rules=rules)
    ends.operate(operations)
    time.sleep(0.5)
    created = {side for _, side, verb, _ in operations if verb == "up"}

    def single(view):
        """Nothing is there twice: no child, but if both create it, and no IKE SA. (charon makes one from scratch for a child if the other is being rekeyed.)"""
        return len(view.ike) <= 1 and (len(created) == 2 or all(len(pairs) == 1 for pairs in view.children.values()))

    agreed, view = ends.settle(single)
    ends.lab.relay.tell(rules=[])
    if agreed and "one" in view.children and not traffic.ping(ends.lab.left, *INNER[4], count=3, interval=0.1):
        agreed, view = False, f"agreed, but nothing passes: {view}"
    return None if agreed else f"seed {seed}: {view}; {operations}; {rules}"


def several(number, release, first, seeds):
    """All seeds of one pair: what went wrong, and how many messages fared how. After a disagreement the pair is made anew."""
    wrong, fates, ends = [], collections.Counter(), None
    try:
        for n, seed in enumerate(seeds):
            if ends is None:
                ends = Ends(f"{number}{n:03}", release, first)
            try:
                failure = play(ends, seed)
            except TimeoutError:
                failure = f"seed {seed}: charon does not answer any more"
            except (RuntimeError, OSError, ViciError) as e:
                failure = f"seed {seed}: {type(e).__name__}: {e}"
            if failure:
                wrong.append(failure)
                keep(ends, seed)
            if failure or seed == seeds[-1]:
                fates.update(m["fate"].split()[0] for m in ends.lab.relay.messages() if m["fate"])
                ends.lab.close()
                ends = None
    finally:
        if ends:
            ends.lab.close()
    return wrong, fates


def keep(ends, seed):
    """The logs of a disagreement, for people."""
    folder = os.environ.get("SANDHOG_KEEP")
    if folder:
        os.makedirs(folder, exist_ok=True)
        for name, text in (("ours", ends.us.process.text()), ("theirs", ends.peer.process.text()), ("wire", "\n".join(map(str, ends.lab.relay.messages())))):
            with open(os.path.join(folder, f"schedule-{seed}-{name}.log"), "w") as f:
                f.write(text)


def schedules(count, release, pairs=8):
    """Seeds 0.. dealt to pairs that run at once; every second pair is begun by strongSwan."""
    begin = time.monotonic()
    with futures.ThreadPoolExecutor(pairs) as pool:
        jobs = [pool.submit(several, n, release, "ab"[n % 2], range(n, count, pairs)) for n in range(pairs)]
        done = [job.result() for job in jobs]
    seconds = time.monotonic() - begin
    wrong, fates = [failure for of, _ in done for failure in of], sum((of for _, of in done), collections.Counter())
    hurt = ", ".join(f"{n} {fate}" for fate, n in sorted(fates.items()))
    return check(not wrong, f"{count - len(wrong)} of {count} agree (messages: {hurt}), {seconds / count:.2f} s each" + "".join(f"; {w}" for w in wrong[:3]))


case(ROW, "10 schedules, 6.0")(lambda: schedules(10, "trixie", 2))
case(ROW, "500 schedules, 6.0")(lambda: schedules(500, "trixie"))
