"""What somebody who has taken over the daemon could do: the unit's sandbox, and the daemon's own."""
import os
import re
import signal

from lab import intruder, sandhog
from lab.cases import case, check
from lab.net import Lab, run

ROW = "exposure"
UNIT = os.path.join(sandhog.ROOT, "systemd/sandhog.service")
BAR = 1.8
# x86-64
EXECVE, PTRACE, MOUNT = 59, 101, 165


@case(ROW, "the unit, as systemd-analyze judges it", quick=True)
def unit():
    """The figure, and that each line that stays open is explained in the unit."""
    said = run("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    level = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)[1])
    opened = [re.split(r"[=~]", line.split()[1])[0] for line in said.splitlines() if line.startswith("✗")]
    with open(UNIT) as f:
        explained = "\n".join(line for line in f if line.startswith("#"))
    missing = [name for name in opened if name not in explained and not (name == "CapabilityBoundingSet" and "CAP_NET_*" in explained)]
    return check(level <= BAR and not missing, f"{level} (bar {BAR}), {len(opened)} lines open, without a word: {missing or 'none'}")


def threads(pid):
    """Name and seccomp mode of each thread."""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status") as f:
            values = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        found[tid] = (values["Name"], values["Seccomp"], values["NoNewPrivs"], values["CapPrm"])
    return found


@case(ROW, "a forbidden system call", quick=True)
def forbidden():
    """In the engine's thread: the process dies of it. The thread that writes the log was there before the sandbox (and the one that runs a hook, where there is one)."""
    figures, holds = [], True
    for name, number in (("execve", EXECVE), ("ptrace", PTRACE), ("mount", MOUNT)):
        with Lab("exposure") as lab:
            host = lab.host("g")
            dut = sandhog.Sandhog(host, "")
            pid = dut.api("GET", "info")[1]["pid"]
            of = threads(pid)
            free = sorted(thread[0] for thread in of.values() if thread[1] != "2")
            rights = {thread[2:] for thread in of.values()}
            died = intruder.ask(pid, number)
            holds &= died == -signal.SIGSYS and free == ["log"] and rights == {("1", f"{1 << 10 | 1 << 12 | 1 << 13:016x}")}
            figures.append(f"{name}: the process ended by signal {-died if died else None}")
    return check(holds, f"{'; '.join(figures)}; {len(of)} threads, not confined: {free}; capabilities of each: {sorted(r[1] for r in rights)}")
