"""A daemon is replaced by the installed executable while traffic passes; what fails changes nothing."""
import os
import shutil
import time

from lab import sandhog, traffic
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

ROW = "upgrade"
PROGRAM = "sandhogd"
GCM, CBC = "aes256gcm16", "aes256-sha256"


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
        replace(self.path, sandhog.binary(PROGRAM))
        super().__init__(host, config, **options)

    def spawn(self):
        self.process = self.host.start(self.name, [self.path, "--config", self.config], env=self.env)
        return self.process


def ends(lab, esp):
    """Ours, that is upgraded, on the left; ours on the right."""
    text = lambda i, start: sandhog.config(OUTER[4][i], OUTER[4][1 - i], "aes256gcm16-prfsha384-x25519", esp, prefix(INNER[4][i]), prefix(INNER[4][1 - i]),
                                           PSK, ("left.example", "right.example")[i], ("left.example", "right.example")[1 - i], start=start)
    right = sandhog.Sandhog(lab.right, text(1, "none"))
    left = Installed(lab.left, text(0, "none"))
    up, why = left.up("peer")
    if not up:
        raise RuntimeError(f"not up: {why}\n{left.process.text()[-1500:]}")
    return left, right


def spis(end):
    """What no rekey has changed."""
    child = end.status("peer")["children"][0]
    return child["spi_in"], child["spi_out"]


def ourselves(esp, times):
    """Upgrades under a thousand datagrams a second: none lost, none twice, and the SAs are those of before."""
    with Pair("upg") as lab:
        left, _ = ends(lab, esp)
        before, pauses = spis(left), []
        pulse = traffic.Pulse(lab.left, lab.right, *INNER[4])
        for _ in range(times):
            replace(left.path, sandhog.binary(PROGRAM))
            code, done = left.client("upgrade")
            if code:
                raise RuntimeError(f"upgrade: exit {code}, {done}\n{left.process.text()[-3000:]}")
            pauses.append(done["pause_ms"])
            time.sleep(0.5)
        seen, same = pulse.end(), spis(left) == before
        holds = seen["lost"] == 0 and seen["doubled"] == 0 and same and seen["gap"] <= 0.2
        return check(holds, f"{times} upgrades, {seen['lost']} of {seen['sent']} lost, longest gap {seen['gap']} s, pauses {pauses} ms, SAs {'kept' if same else 'CHANGED'}")


for _esp in (GCM, CBC):
    case(ROW, f"ourselves, {_esp}", quick=_esp == GCM)(lambda e=_esp: ourselves(e, 3 if e == GCM else 20))
