"""What SAs both ends have, in one form, and whether they agree."""
import time

from .sandhog import Sandhog


class View:
    """IKE SAs as pairs of SPIs, children as {name: {(inbound, outbound)}}; `unsettled` names what is still being made or deleted."""

    def __init__(self):
        self.ike, self.children, self.unsettled = set(), {}, []

    def child(self, name, spi_in, spi_out):
        """Adds a settled one."""
        self.children.setdefault(name, set()).add((spi_in, spi_out))

    def mirrored(self):
        """The children as the other end should have them."""
        return {name: {(o, i) for i, o in pairs} for name, pairs in self.children.items()}

    def __repr__(self):
        return f"IKE {sorted(self.ike)}, children {self.children}" + (f", unsettled {self.unsettled}" if self.unsettled else "")


def ours(us, name="peer"):
    """Of a Sandhog, over its API."""
    view = View()
    status, connection = us.api("GET", f"connections/{name}")
    if status != 200:
        raise RuntimeError(f"status: {status} {connection}")
    for sa in connection["sas"]:
        if sa["state"] == "up":
            view.ike.add((sa["spi_i"], sa["spi_r"]))
        else:
            view.unsettled.append(f"IKE {sa['state']}")
    for child in connection["children"]:
        for sa in child["sas"]:
            if sa["state"] == "up":
                view.child(child["name"], sa["spi_in"], sa["spi_out"])
            else:
                view.unsettled.append(f"{child['name']} {sa['state']}")
    return view


def theirs(vici):
    """Of a strongSwan; what it keeps inbound for some seconds after a Delete is not counted."""
    view = View()
    for _, sa in vici.sas():
        if sa["state"] == "ESTABLISHED":
            view.ike.add((sa["initiator-spi"], sa["responder-spi"]))
        else:
            view.unsettled.append(f"IKE {sa['state']}")
        for child in sa.get("child-sas", {}).values():
            if child["state"] == "INSTALLED":
                view.child(child["name"], child["spi-in"], child["spi-out"])
            elif child["state"] != "DELETED":
                view.unsettled.append(f"{child['name']} {child['state']}")
    return view


def view(end):
    """Of either."""
    return ours(end) if isinstance(end, Sandhog) else theirs(end)


def settled(a, b, timeout=15.0, fine=lambda view: True):
    """(True, view of a) as soon as both ends have the same, it is fine, and nothing is on its way, twice in a row; else (False, what they have)."""
    end, before = time.monotonic() + timeout, None
    while True:
        x, y = view(a), view(b)
        same = not x.unsettled and not y.unsettled and x.ike == y.ike and x.children == y.mirrored() and fine(x)
        now = (x.ike, x.children) if same else None
        if same and now == before:
            return True, x
        if time.monotonic() > end:
            return False, f"left {x}; right {y}"
        before = now
        time.sleep(0.2)
