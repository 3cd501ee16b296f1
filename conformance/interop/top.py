"""`sandhog top` on a terminal, which it has to give back as it was, however it ends."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from interop.ourselves import ESP, IKE
from lab import sandhog, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

# Back from the screen of its own, and the cursor is shown.
BACK = (b"\x1b[?1049l", b"\x1b[?25h")
# A connection that is up and one that is not.
NAMES = ("peer", "zone")
# What a program says to a terminal, as far as `top` needs it: a sequence, or a character.
SAID = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|([^\x1b])", re.S)


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv, columns, lines):
        self.ours, self.its = self.ends = pty.openpty()
        fcntl.ioctl(self.its, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.modes, self.said = termios.tcgetattr(self.its), b""
        self.process = subprocess.Popen(argv, stdin=self.its, stdout=self.its, stderr=self.its, start_new_session=True, env=dict(os.environ, TERM="xterm-256color"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.hang_up()

    def hang_up(self):
        """The terminal goes away."""
        for fd in self.ends:
            os.close(fd)
        self.ends = ()

    def read(self, seconds):
        """Takes what it writes within this time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and select.select([self.ours], [], [], left)[0]:
            self.said += os.read(self.ours, 65536)

    def screen(self):
        """The lines that it shows now."""
        cells, row, column = {}, 1, 1
        for sequence, verb, character in SAID.findall(self.said.decode(errors="replace")):
            if verb == "H":
                row, column = (int(at) for at in (sequence or "1;1").split(";"))
            elif verb == "J" or verb in "hl" and sequence == "?1049":
                cells = {}
            elif character:
                cells[row, column] = character
                column += 1
        lines = [dict() for _ in range(max((row for row, _ in cells), default=0))]
        for (row, column), character in cells.items():
            lines[row - 1][column] = character
        return ["".join(line.get(column, " ") for column in range(1, max(line, default=0) + 1)).rstrip() for line in lines]

    def shows(self, what, there):
        """Waits until the screen is as it is to be."""
        def shown():
            self.read(0.02)
            return there(self.screen())
        try:
            wait.until(what, shown, 5, every=0)
        except TimeoutError as late:
            raise TimeoutError(f"{late}: " + " | ".join(self.screen())) from None

    def rows(self, *names):
        """Waits until these connections have rows, in this order."""
        found = lambda lines: tuple(word for line in lines[1:-1] for word in line.split()[:1] if word in NAMES)
        self.shows(f"the rows {names}", lambda lines: found(lines) == names)

    def has(self, text, line):
        """Waits until a text stands in a line, of which -1 is the last one."""
        self.shows(f"{text!r} in line {line}", lambda lines: -len(lines) <= line < len(lines) and text in lines[line])

    def type(self, keys):
        """Keys are pressed."""
        os.write(self.ours, keys)

    def ended(self):
        """What is wrong about its end."""
        def over():
            self.read(0.05)
            return self.process.poll() is not None
        wait.until("its end", over, 5, every=0)
        self.read(0.05)
        wrong = [] if self.process.returncode == 0 else [f"exit {self.process.returncode}"]
        wrong += [] if termios.tcgetattr(self.its) == self.modes else ["the terminal's modes are others"]
        wrong += [f"{what!r} is missing" for what in BACK if what not in self.said[self.said.rfind(b"\x1b[?1049h"):]]
        wrong += ["it panicked"] if b"panicked" in self.said else []
        return wrong


def moves_sorts_and_filters(top):
    """With keys, each of which changes what is shown; ends among the details."""
    top.rows("peer", "zone")
    top.type(b"r")
    top.rows("zone", "peer")
    top.type(b"r")
    top.rows("peer", "zone")
    top.type(b"\x1b[C")
    top.has("STATEv", 1)
    top.rows("zone", "peer")
    top.type(b"\x1b[D")
    top.rows("peer", "zone")
    top.type(b"/zz")
    top.rows()
    top.has('filter "zz"', 0)
    top.type(b"\x7fo")
    top.rows("zone")
    top.type(b"\x1b")
    top.rows("peer", "zone")
    for move, name in ((b"\x1b[B", "zone"), (b"\x1b[A", "peer")):
        top.type(move + b"\r")
        top.has("Esc back", -1)
        top.rows(name)
        if name == "zone":
            top.type(b"\r")
            top.rows("peer", "zone")
    top.shows("its SA", lambda lines: any("IKE SA #" in line for line in lines))


@case("the client", "top on terminals of three sizes, ended by q, Ctrl-C, SIGTERM and a terminal that goes away", quick=True)
def on_a_terminal():
    """It moves, sorts, filters, shows details, follows a change of size, and ends."""
    with Pair("top") as lab:
        (a, b), (x, y) = OUTER[4], (prefix(i) for i in INNER[4])
        sandhog.Sandhog(lab.right, sandhog.config(b, a, IKE, ESP, y, x, PSK))
        zone = sandhog.config(a, "192.0.2.99", IKE, ESP, x, "10.9.9.9/32", PSK, name="zone").replace("[gateway]", "", 1)
        us = sandhog.Sandhog(lab.left, sandhog.config(a, b, IKE, ESP, x, y, PSK, start="start") + zone)
        wait.until("the tunnel", lambda: us.status("peer")["state"] == "up", 15)
        argv = [sandhog.binary("sandhog"), "--socket", us.socket, "top"]
        ends = {"q": lambda top: top.type(b"q"), "Ctrl-C": lambda top: top.type(b"\x03"), "SIGTERM": lambda top: top.process.send_signal(signal.SIGTERM)}
        wrong = []
        for (columns, lines), (how, end) in zip(((80, 24), (40, 10), (5, 2)), ends.items()):
            with Terminal(argv, columns, lines) as top:
                top.has("1 of 2 connections"[:columns].rstrip(), 0)
                if columns >= 40:
                    moves_sorts_and_filters(top)
                else:
                    top.type(b"\x1b[B\x1b[C\x1b[Dr/pe\r\r")
                fcntl.ioctl(top.its, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
                top.process.send_signal(signal.SIGWINCH)
                top.has("Esc back   arrows scroll   q quit", 29)
                end(top)
                wrong += [f"{columns}x{lines}, {how}: {what}" for what in top.ended()]
        with Terminal(argv, 80, 24) as gone:
            gone.rows("peer", "zone")
            gone.hang_up()
            try:
                code = gone.process.wait(5)
                wrong += [f"exit {code} without a terminal"] if code else []
            except subprocess.TimeoutExpired:
                wrong.append("it goes on without a terminal")
        return check(not wrong, "; ".join(wrong) or "the terminal is as it was each time, and none is needed to end")
