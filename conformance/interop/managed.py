"""sandhogd under systemd, which is played: started as the unit says, upgraded under traffic, killed, given descriptors that nobody has announced, and
restarted."""
import os
import time

from interop import upgrade
from lab import flows, manager, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, Pair

SECRET = b"what a daemon that has died might have left"


class Managed(upgrade.Installed):
    """A service whose daemon's user is nobody's."""

    def __init__(self, host, config, **options):
        self.manager = manager.Manager(host.lab)
        super().__init__(host, config, start=False, **options)
        self.descriptors = ()
        os.chown(self.dir, manager.UID, manager.UID)
        os.chown(self.config, 0, manager.UID)
        os.chmod(self.config, 0o640)
        self.start()

    def spawn(self):
        self.process = self.manager.start(self.host, self.name, [self.path, "--config", self.config], self.descriptors)
        return self.process

    @property
    def main(self):
        """The process that systemd has started."""
        return self.process.popen.pid


def open_files(*pids):
    """What these processes have open."""
    return [os.readlink(f"/proc/{pid}/fd/{fd}") for pid in pids for fd in os.listdir(f"/proc/{pid}/fd")]


@case("upgrade", "ourselves, aes256gcm16, played as systemd")
def systemd():
    """Its main process stays the same and says what systemd waits for; what systemd hands over after a crash is closed unread; a restart begins anew."""
    with Pair("upg") as lab:
        left, right = upgrade.ends(lab, upgrade.GCM, gateway=Managed)
        systemd, main, wrong = left.manager, left.main, []
        if [by for _, by, _ in systemd.said("READY", "1")] != [main]:
            wrong.append(f"READY: {systemd.said('READY')}")
        since = time.monotonic()
        held, figure = upgrade.crossed(left, flows.Load(lab.left, lab.right, *INNER[4]), upgrade.TIMES)
        told, silent = systemd.wrong(main, since, time.monotonic(), upgrade.TIMES)
        if not held or not left.process.alive() or left.main != main:
            wrong.append("the upgrades")
        wrong += told + crash(lab, left) + restart(lab, left, right)
        return check(not wrong, f"{'; '.join(wrong) or 'as it should be'}: {figure}, never silent for more than {silent:.1f} s of {manager.WATCHDOG:.0f} s")


def crash(lab, left):
    """The daemon is killed, and systemd starts another with what it has kept of whom it does not know."""
    wrong, before = [], upgrade.spis(left)
    manager.kill(left.process.worker())
    left.process.popen.wait(10)
    kept = os.memfd_create("left-behind")
    os.write(kept, SECRET)
    left.descriptors = (kept, kept)
    left.start()
    left.descriptors = ()
    if "2 descriptors that the service manager has kept were closed unread" not in left.process.text():
        wrong.append("descriptors that nobody has announced are not spoken of")
    if [name for name in open_files(left.main, left.process.worker()) if "left-behind" in name]:
        wrong.append("descriptors that nobody has announced are open")
    os.close(kept)
    return wrong + comes_back(lab, left, before, "a crash")


def restart(lab, left, right):
    """`systemctl restart`: the peer hears of the end, and everything begins anew."""
    wrong, before, said = [], upgrade.spis(left), len(left.manager.said("STOPPING", "1"))
    code = left.stop()
    if code or len(left.manager.said("STOPPING", "1")) != said + 1:
        wrong.append(f"stopped with {code}, {left.manager.said('STOPPING')[said:]}")
    try:
        wait.until("the peer to hear of it", lambda: right.status("peer")["state"] == "down", 5)
    except TimeoutError:
        wrong.append(f"the peer has not heard of the end: {right.status('peer')['state']}")
    left.start()
    return wrong + comes_back(lab, left, before, "a restart")


def comes_back(lab, left, before, what):
    """With other SAs."""
    if left.manager.said("READY", "1")[-1][1] != left.main:
        return [f"not ready after {what}"]
    up, why = left.up("peer")
    if not up:
        return [f"not up after {what}: {why}"]
    pings = traffic.ping(lab.left, *INNER[4])
    return [] if pings == 100 and not set(upgrade.spis(left)) & set(before) else [f"after {what}: {pings}/100 pings, {upgrade.spis(left)} after {before}"]
