"""systemd, as far as a service of ours sees it: it starts the program as the unit says, hears what it has to say, and hands over descriptors."""
import os
import signal
import socket
import threading
import time

from . import sandhog

UNIT = os.path.join(sandhog.ROOT, "systemd", "sandhog.service")
# Nobody's number: what the unit calls by a name.
UID = 9777
WATCHDOG = 2.0


def unit(key):
    """A value of the unit."""
    with open(UNIT) as f:
        return next(line.split("=", 1)[1].strip() for line in f if line.startswith(key + "="))


class Manager:
    """What a service says, as (when, by whom, {name: value}, number of descriptors)."""

    def __init__(self, lab):
        os.chmod(lab.dir, 0o711)
        self.path = os.path.join(lab.dir, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.socket.settimeout(0.2)
        self.heard, self.over = [], False
        self.thread = threading.Thread(target=self._hear, daemon=True)
        self.thread.start()
        lab.processes.append(self)

    def _hear(self):
        while not self.over:
            try:
                text, beside, _, _ = self.socket.recvmsg(8192, 8192)
            except TimeoutError:
                continue
            now, by, count = time.monotonic(), None, 0
            for _, kind, data in beside:
                if kind == socket.SCM_CREDENTIALS:
                    by = int.from_bytes(data[:4], "little")
                elif kind == socket.SCM_RIGHTS:
                    count = len(data) // 4
                    for i in range(count):
                        os.close(int.from_bytes(data[4 * i:4 * i + 4], "little"))
            self.heard.append((now, by, dict(line.split("=", 1) for line in text.decode().splitlines()), count))

    def said(self, name, value=None):
        """All that had this name, and this value if one is given: [(when, by whom, value)]."""
        return [(at, by, all[name]) for at, by, all, _ in list(self.heard) if name in all and value in (None, all[name])]

    def stop(self):
        """Hears no more."""
        self.over = True
        self.thread.join()
        self.socket.close()

    def start(self, host, name, program, descriptors=()):
        """The program as the unit's: its user, its capabilities, its variables, and these descriptors from 3 on; the process, which is the main one."""
        caps = ",".join(unit("AmbientCapabilities").lower().replace("cap_", "+").split())
        here = os.getpid()
        opened = "".join(f"exec {3 + i}<>/proc/{here}/fd/{fd}; " for i, fd in enumerate(descriptors))
        listen = f"export LISTEN_PID=$$ LISTEN_FDS={len(descriptors)} LISTEN_FDNAMES={':'.join(['state'] * len(descriptors))}; " if descriptors else ""
        script = f'{opened}{listen}export WATCHDOG_PID=$$; exec "$@"'
        as_user = ["setpriv", "--reuid", UID, "--regid", UID, "--clear-groups", "--inh-caps", f"-all,{caps}", "--ambient-caps", f"-all,{caps}", "--bounding-set", f"-all,{caps}",
                   "--no-new-privs"]
        env = {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}
        return host.start(name, ["sh", "-c", script, "sh", *as_user, *program], env=env)

    def wrong(self, main, since, until, times):
        """What systemd would not have put up with between two moments in which there were so many upgrades of the service with this main process."""
        wrong, all = [], [(at, by, said, count) for at, by, said, count in list(self.heard) if since <= at <= until]
        if strangers := {by for _, by, _, _ in all} - {main}:
            wrong.append(f"heard from {strangers}, which is not the main process {main} (NotifyAccess=main)")
        if kept := [said for _, _, said, count in all if count or "FDSTORE" in said]:
            wrong.append(f"to be kept: {kept}")
        if moved := [said["MAINPID"] for _, _, said, _ in all if said.get("MAINPID", str(main)) != str(main)]:
            wrong.append(f"another main process: {moved}")
        alive = [since] + [at for at, _, said, _ in all if said.get("WATCHDOG") == "1"] + [until]
        if (silent := max(b - a for a, b in zip(alive, alive[1:]))) > WATCHDOG:
            wrong.append(f"silent for {silent:.1f} s, and killed after {WATCHDOG:.0f} s")
        states = [name for _, _, said, _ in all for name in ("RELOADING", "READY", "STOPPING") if said.get(name) == "1"]
        if states != ["RELOADING", "READY"] * times:
            wrong.append(f"states {states}")
        for at, _, said, _ in all:
            if "RELOADING" in said and not abs(int(said.get("MONOTONIC_USEC", 0)) / 1e6 - at) < 1:
                wrong.append(f"RELOADING without its time: {said}")
        return wrong, silent


def kill(pid):
    """kill -9."""
    os.kill(pid, signal.SIGKILL)
