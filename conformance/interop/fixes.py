"""Each fix that a diagnosis proposes, applied: does the tunnel come up?

Every mismatch is played, by strongSwan asking (`responder`) and by us asking and probing (`initiator`), and its diagnosis is taken at its word: for each proposed
fix that a machine can apply (a value, or a secret, which the lab knows), both ends begin anew with the mismatch, this one fix is applied, and whoever asked
asks again. It helps if the child is up at both ends and carries the networks that both are configured for, after a rekey where the mismatch shows only there.

Of a proven diagnosis every such fix has to help, of one that is only likely one of them: the others mend what is not broken.
"""
import collections
import time

from lab import mismatch, wait
from lab.cases import case, check

from . import asked, mismatches

# what no value of a configuration mends, and who has to do what
ISSUE, CARRY = "a certificate has to be issued", "the key has to be carried from one end to the other"
TRUST = "whom to trust is for the administrator to say"
BY_HAND = {
    "their certificate has expired": ISSUE,
    "their certificate is not valid yet": "time has to pass, or a certificate to be issued",
    "their certificate is of another CA": TRUST,
    "their ID is not in their certificate": ISSUE,
    "their certificate is revoked": ISSUE,
    "they do not send their certificate": "no name of a setting that all peers have says that they shall send it",
    "they do not trust our CA": TRUST,
    "PPK there, none here": CARRY,
    "PPK of another secret": CARRY,
}
# who asks is only refused, and does not learn which one was meant
BY_HAND_OF = {"responder": BY_HAND, "initiator": dict(BY_HAND, **{"PPK of another ID": CARRY})}
# fixes that are right and not enough: what has to come with the value
NOT_ALONE = {("their certificate's name is not the one we expect", "local_id"): ISSUE}


class Mended:
    """What became of the fixes of one mismatch."""

    def __init__(self, name):
        self.name, self.applied, self.useless, self.not_alone, self.wrong = name, 0, [], 0, []


def applicable(fix):
    """Whether a machine can do it."""
    path = fix["path"] or ""
    return bool(path) and (fix["set"] is not None or path.rsplit("/", 1)[-1] == "secret")


def shown(fix):
    """In a figure."""
    also = "".join(f", {more['path']} = {more['set']}" for more in fix["also"])
    path = fix["path"].split("/", 3)[-1] if fix["side"] == "us" else fix["path"]
    return f"{fix['side']} {path} = {'(the other secret)' if fix['set'] is None else fix['set']}{also}"


def networks(ends):
    """Each end's, as configured: ours and the peer's as we have them, and as the peer has them."""
    child = ends.ours["connections"][ends.mismatch.connection]["children"]["net"]
    return [[set(child["local_ts"]), set(child["remote_ts"])], [set(ends.theirs["remote_ts"]), set(ends.theirs["local_ts"])]]


def whole(ends):
    """The SPI of the child, if both ends have it with all that they are configured for."""
    if not ends.installed():
        return None
    children = [c for _, sa in ends.vici.sas() for c in sa.get("child-sas", {}).values() if c["state"] == "INSTALLED"]
    carried = [[set(c["remote-ts"]), set(c["local-ts"])] for c in children]
    return children[0]["spi-in"] if len(children) == 1 and networks(ends) == carried * 2 else None


def comes_up(ends, m, role):
    """Brought up by whoever asks, and rekeyed by it where that matters."""
    if role == "initiator":
        if not ends.up(8):
            return False
    else:
        before = ends.failure()
        ends.begin()
        wait.until(f"{m.name}: a child, or a failure", lambda: ends.installed() or ends.failure() != before, 8)
    spi = settled(lambda: whole(ends))
    if m.at != "rekey" or not spi:
        return bool(spi)
    if role == "initiator":
        ends.us.client("rekey", f"{m.connection}/net")
    else:
        ends.rekey()
    return bool(settled(lambda: whole(ends) not in (None, spi)))


def settled(condition):
    """What it gives within a moment, or None."""
    try:
        return wait.until("it", condition, 2)
    except TimeoutError:
        return None


def helps(ends, m, role, fix):
    """Whether the tunnel comes up with this fix, and if it broke on the way, how."""
    asked.begin(ends, m)
    try:
        ends.apply(fix)
        return comes_up(ends, m, role), ""
    except asked.BROKEN as e:
        return False, f" ({type(e).__name__}: {str(e)[:160]})"


def diagnosis(ends, m, role):
    """What is told of the mismatch at our end."""
    asked.begin(ends, m)
    if role == "responder":
        return mismatches.ask(ends, m)
    asked.bring_about(ends, m)
    return asked.probe(ends, m)[0]


def mend(ends, m, role, result):
    """Applies each, and says which were useless and what is wrong with that."""
    failure = diagnosis(ends, m, role)
    if not failure:
        result.wrong.append("no diagnosis")
        return
    if m.at != "rekey" and whole(ends):
        result.wrong.append("it is up without any fix")
    for fix in filter(applicable, failure["fix"]):
        helped, broke = helps(ends, m, role, fix)
        result.applied += 1
        if not helped:
            result.useless.append(shown(fix) + broke)
            result.not_alone += (m.name, fix["path"]) in NOT_ALONE
    helped = result.applied - len(result.useless)
    told = f"{failure['code']}, {failure['certainty']}"
    if failure["certainty"] == "proven" and len(result.useless) > result.not_alone:
        result.wrong.append(f"a fix of what is proven is useless ({told})")
    if not helped and m.name not in BY_HAND_OF[role]:
        result.wrong.append(f"no fix helps ({told})" if result.applied else f"no fix that a machine could apply ({told})")
    if helped and m.name in BY_HAND_OF[role]:
        result.wrong.append(f"a fix helps, though it is by hand ({told})")


def tried(ends, m, role):
    """The same, whatever breaks."""
    result = Mended(m.name)
    try:
        mend(ends, m, role, result)
    except asked.BROKEN as e:
        result.wrong.append(f"{type(e).__name__}: {e}")
    return result


def row(role):
    """All that this end is told of."""
    start, table = time.monotonic(), [m for m in mismatch.MISMATCHES + mismatch.SECRETS if getattr(m, role)]
    cells = asked.spread(f"mend{role[0]}", table, lambda ends, m: tried(ends, m, role))
    applied, useless = sum(c.applied for c in cells), sum(len(c.useless) for c in cells)
    by_hand = collections.Counter(BY_HAND_OF[role][c.name] for c in cells if c.name in BY_HAND_OF[role])
    wrong = [c for c in cells if c.wrong]
    figure = f"{applied} fixes of {len(cells)} diagnoses applied, {applied - useless} helped, {time.monotonic() - start:.0f} s"
    figure += "".join(f"; {count} by hand: {reason}" for reason, count in by_hand.items())
    said = "".join(f"; {c.name}: {', '.join(c.wrong)}" for c in wrong)
    of_no_use = "".join(f"; useless with {c.name}: {' | '.join(c.useless)}" for c in cells if c.useless)
    return check(not wrong and applied > useless, figure + said + of_no_use)


case("fixes", "responder")(lambda: row("responder"))
case("fixes", "initiator")(lambda: row("initiator"))
