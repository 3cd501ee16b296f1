"""Who must win when both ends rekey at once, by the four nonces (RFC 7296 section 2.8.1), and who did."""
CREATE_CHILD_SA, INFORMATIONAL, IKE_AUTH = 36, 37, 35
REKEY_SA = 16393
IKE, ESP = "1", "3"  # protocols, as JSON keys


class Exchange:
    """A request and its response."""

    def __init__(self, request):
        self.request, self.response = request, None
        self.by = request["source"]

    def spis(self, protocol):
        """(of the initiator, of the responder) of what it made, or None."""
        if not self.response or protocol not in self.response["spis"]:
            return None
        return self.request["spis"].get(protocol), self.response["spis"][protocol]

    def old(self):
        """Inbound SPI of the child that it rekeys, as its sender has it."""
        return next((spi for kind, _, spi in self.request["notifies"] if kind == REKEY_SA), None)

    def nonces(self):
        """Of both ends."""
        return self.request["nonce"], self.response["nonce"]

    def during(self, other):
        """Each began before it could know of the other's end."""
        return self.request["t"] < other.response["t"] and other.request["t"] < self.response["t"]


def exchanges(messages):
    """All exchanges that were answered, in order."""
    open_, done = {}, []
    for m in messages:
        key = (m["spi_i"], m["spi_r"], m["exchange"], m["id"])
        if not m["response"]:
            open_.setdefault((*key, m["source"]), Exchange(m))
            continue
        for name, exchange in list(open_.items()):
            if name[:4] == key and name[4] != m["source"]:
                exchange.response = m
                done.append(open_.pop(name))
    return sorted(done, key=lambda e: e.request["t"])


def loser(a, b):
    """Of two exchanges, the one whose SA holds the lowest of the four nonces: octet-wise, and a prefix is lower."""
    return min((a, b), key=lambda e: min(bytes.fromhex(n) for n in e.nonces()))


def examine(messages):
    """(complete collisions of children, of IKE SAs, what is wrong)."""
    all_ = exchanges(messages)
    made = [e for e in all_ if e.spis(ESP) or e.spis(IKE)]
    pair = {}  # a child's SPI at one end -> at the other end
    for e in made:
        if e.spis(ESP):
            i, r = e.spis(ESP)
            pair[i], pair[r] = r, i
    deleted = {}  # inbound SPI of a child, or (SPIi, SPIr) of an IKE SA -> who said so first
    for e in all_:
        if e.request["exchange"] != INFORMATIONAL:
            continue
        for protocol, spis in e.request["deletes"]:
            for what in spis if protocol == 3 else [(e.request["spi_i"], e.request["spi_r"])]:
                deleted.setdefault(what, e.by)

    def used(spis):
        """Children are made on this IKE SA, or it is rekeyed."""
        return any((e.request["spi_i"], e.request["spi_r"]) == spis and e.request["exchange"] == CREATE_CHILD_SA for e in all_)

    wrong, children, ikes = [], 0, 0
    last = messages[-1]["t"] - 10 if messages else 0  # what began at the end may not be finished, and what it made not used
    for n, a in enumerate(made):
        for b in made[n + 1:]:
            if a.by == b.by or a.request["t"] > last or not a.during(b) or a.request["exchange"] != CREATE_CHILD_SA or b.request["exchange"] != CREATE_CHILD_SA:
                continue
            lost = loser(a, b)
            won = b if lost is a else a
            if a.spis(ESP) and b.spis(ESP) and a.old() and b.old() and pair.get(a.old()) == b.old():
                children += 1
                if deleted.get(lost.spis(ESP)[0]) != lost.by:
                    wrong.append(f"child {lost.spis(ESP)}: its maker {lost.by} did not delete it ({deleted.get(lost.spis(ESP)[0])}, {deleted.get(lost.spis(ESP)[1])})")
                if deleted.get(won.old()) != won.by:
                    wrong.append(f"old child {won.old()}: the winner {won.by} did not delete it")
            elif a.spis(IKE) and b.spis(IKE) and a.request["spi_i"] == b.request["spi_i"]:
                # The maker of the redundant one deletes it, or has forgotten its rekey when the old IKE SA was deleted before the answer (RFC 7296 section 2.8.2: then
                # the other end lets it time out). Either way children go on with the winner alone.
                ikes += 1
                if deleted.get(lost.spis(IKE), lost.by) != lost.by or used(lost.spis(IKE)) or not used(won.spis(IKE)):
                    wrong.append(f"IKE SA {lost.spis(IKE)} of {lost.by} lost: {'used' if used(lost.spis(IKE)) else 'not used'}, deleted by {deleted.get(lost.spis(IKE))}; the winner is {'used' if used(won.spis(IKE)) else 'NOT used'}")
                if deleted.get((a.request["spi_i"], a.request["spi_r"]), won.by) != won.by:
                    wrong.append(f"old IKE SA {a.request['spi_i']}: the winner {won.by} did not delete it ({deleted.get((a.request['spi_i'], a.request['spi_r']))})")
    return children, ikes, wrong
