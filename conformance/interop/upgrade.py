"""A daemon is replaced by the installed executable while traffic passes: SAs, echoes and a TCP flow go on. What fails changes nothing."""
import os
import shutil
import subprocess
import time

from interop import kernel
from interop import strongswan as swan
from lab import flows, sandhog, traffic
from lab.cases import case, check
from lab.kernel import CACHE, ROOTS
from lab.pair import INNER, OUTER, PSK, Pair, Relayed, prefix

ROW = "upgrade"
PROGRAM = "sandhogd"
GCM, CBC = "aes256gcm16", "aes256-sha256"
IKE = {GCM: "aes256gcm16-prfsha384-ecp384", CBC: "aes256-sha256-modp2048"}
TIMES = 20
# What a relay of ours bears, and how long it holds each message of a rekey, in ms.
MODEST, HOLD, CREATE_CHILD_SA = 2, 40, 36
# Echoes a second and Mbit/s. A machine without acceleration may bear less: what it bears without an upgrade is what it gets with one.
LOADS = ((1000, 20), (1000, 5), (1000, 2), (500, 2), (100, 1))


def replace(path, source, mode=0o755):
    """As a package does it: a new file under the same name."""
    shutil.copyfile(source, path + ".new")
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)


class Installed(sandhog.Sandhog):
    """A daemon whose executable lies in a folder of root's own, and can be replaced."""

    def __init__(self, host, config, **options):
        folder = os.path.join(host.lab.dir, f"{host.name}-installed")
        os.makedirs(folder, exist_ok=True)
        self.path = os.path.join(folder, PROGRAM)
        # as a package has it: copying and starting what debuggers want takes longer than the rest
        self.program = f"{self.path}.package"
        subprocess.run(["strip", "-o", self.program, sandhog.binary(PROGRAM)], check=True)
        replace(self.path, self.program)
        super().__init__(host, config, **options)

    def spawn(self):
        self.process = self.host.start(self.name, [self.path, "--config", self.config], env=self.env)
        return self.process

    def replaced(self):
        """What is installed takes over; how long packets waited."""
        code, done = self.client("upgrade")
        if code:
            raise RuntimeError(f"upgrade: exit {code}, {done}\n{self.process.text()[-3000:]}")
        return done["pause_ms"]


def ends(lab, esp, gateway=Installed):
    """Ours, that is upgraded, on the left; ours on the right."""
    text = lambda i, start: sandhog.config(OUTER[4][i], OUTER[4][1 - i], "aes256gcm16-prfsha384-x25519", esp, prefix(INNER[4][i]), prefix(INNER[4][1 - i]),
                                           PSK, ("left.example", "right.example")[i], ("left.example", "right.example")[1 - i], start=start)
    right = sandhog.Sandhog(lab.right, text(1, "none"))
    left = gateway(lab.left, text(0, "none"))
    up, why = left.up("peer")
    if not up:
        raise RuntimeError(f"not up: {why}\n{left.process.text()[-1500:]}")
    return left, right


def spis(end):
    """What no rekey has changed."""
    peer = end.status("peer")
    return [(ike["spi_i"], ike["spi_r"]) for ike in [peer["ike"]] + peer["sas"]] + [(child["spi_in"], child["spi_out"], len(child["sas"])) for child in peer["children"]]


def crossed(left, load, times):
    """Upgrades under a load: nothing lost, nothing twice, no stall, and the SAs are those of before."""
    before, pauses = spis(left), []
    for _ in range(times):
        replace(left.path, left.program)
        pauses.append(left.replaced())
        time.sleep(0.5)
    seen, same = load.end(), spis(left) == before
    return check(seen.lost_nothing() and same, f"{times} upgrades, {seen}; packets waited {min(pauses)} to {max(pauses)} ms, SAs {'kept' if same else 'CHANGED'}")


def ourselves(esp, times):
    """Towards another of ours."""
    with Pair("upg") as lab:
        left, _ = ends(lab, esp)
        return crossed(left, flows.Load(lab.left, lab.right, *INNER[4]), times)


def rekeying(what, by):
    """In the middle of rekeys, whose messages take their time: exchanges go on where they were. A request of the API at that very moment gets no answer."""
    with Relayed("upg") as lab:
        lab.relay.tell(rules=[{"exchange": CREATE_CHILD_SA, "hold": HOLD}])
        both = left, _ = ends(lab, GCM)
        load, rekeyed, refused = flows.Load(lab.left, lab.right, *INNER[4], megabits=MODEST), 0, 0
        for i in range(TIMES):
            before = spis(left)
            replace(left.path, left.program)
            ask = both[by].begin("rekey", what)
            time.sleep(0.004 * i)
            left.replaced()
            refused += ask.wait(30) != 0
            time.sleep(0.5)
            rekeyed += spis(left) != before
        seen, (child,) = load.end(), left.status("peer")["children"]
        one = child["state"] == "up" and len(child["sas"]) == len(left.status("peer")["sas"]) == 1
        return check(seen.lost_nothing() and one and rekeyed > TIMES / 2,
                     f"{TIMES} upgrades, {rekeyed} rekeys, {refused} requests without an answer, {seen}, {'one SA' if one else child}")


def strongswan(esp, release=None):
    """Towards strongSwan: 5.9.8 by UDP, 6.x by raw ESP. It has a window of 128, and keeps what it has."""
    if release:
        subprocess.run(["bash", ROOTS, release], check=True)
    with Pair("upg") as lab:
        root = release and os.path.join(CACHE, release)
        left, peer = swan.bring_up(lab, IKE[esp], esp, "initiator", 4, 4, root=root, raw_esp=bool(release), gateway=Installed)
        held, figure = crossed(left, flows.Load(lab.left, lab.right, *INNER[4]), TIMES)
        there = peer.established()
        return check(held and there == 1, f"{figure}, {there} children there")


def borne(lab):
    """The first load that is far from too much while nothing happens."""
    for rate, megabits in LOADS:
        load = flows.Load(lab.left, None, *INNER[4], rate, megabits)
        time.sleep(5)
        seen = load.end()
        if seen.lost_nothing(0.1) and seen.flow["late"] < 0.5:
            break
    return flows.Load(lab.left, None, *INNER[4], rate, megabits)


def machine(esp):
    """Towards the kernel's own ESP, raw, in a machine of its own without acceleration."""
    with kernel.KernelLab() as lab:
        left = lab.bring_up(esp, False, "initiator", 4, 4, gateway=Installed)
        lab.kernel.run(f"{flows.PERL} >/dev/null 2>&1 &")
        held, figure = crossed(left, borne(lab), TIMES)
        errors = {name: count for name, count in lab.kernel.xfrm_errors().items()}
        return check(held and not errors, f"{figure}, xfrm_stat {errors or 'clean'}")


for _esp in (GCM, CBC):
    case(ROW, f"ourselves, {_esp}")(lambda e=_esp: ourselves(e, TIMES))
    case(ROW, f"strongSwan 5.9.8, {_esp}")(lambda e=_esp: strongswan(e))
    case(ROW, f"strongSwan 6.x, raw ESP, {_esp}")(lambda e=_esp: strongswan(e, "trixie"))
    case(ROW, f"the kernel's ESP, {_esp}")(lambda e=_esp: machine(e))
for _what, _of in (("peer/net", "the child"), ("peer", "the IKE SA")):
    for _by in (0, 1):
        case(ROW, f"ourselves, while {'the peer rekeys' if _by else 'we rekey'} {_of}")(lambda w=_what, b=_by: rekeying(w, b))
case(ROW, "ourselves, three times", quick=True)(lambda: ourselves(GCM, 3))
