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

    def shows(self, text):
        """Waits until a text was written, whose blanks do not count: moves stand for them, which are left away, as colours are."""
        def there():
            self.read(0.05)
            return text.replace(b" ", b"") in re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]| ", b"", self.said)
        wait.until(f"{text!r} on the screen", there, 10, every=0)

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


@case("the client", "top on terminals of three sizes, ended by q, Ctrl-C, SIGTERM and a terminal that goes away", quick=True)
def on_a_terminal():
    """It moves, sorts, filters, shows details, follows a change of size, and ends."""
    with Pair("top") as lab:
        (a, b), (x, y) = OUTER[4], (prefix(i) for i in INNER[4])
        sandhog.Sandhog(lab.right, sandhog.config(b, a, IKE, ESP, y, x, PSK))
        us = sandhog.Sandhog(lab.left, sandhog.config(a, b, IKE, ESP, x, y, PSK, start="start"))
        wait.until("the tunnel", lambda: us.status("peer")["state"] == "up", 15)
        argv = [sandhog.binary("sandhog"), "--socket", us.socket, "top"]
        ends = {"q": lambda top: top.type(b"q"), "Ctrl-C": lambda top: top.type(b"\x03"), "SIGTERM": lambda top: top.process.send_signal(signal.SIGTERM)}
        wrong = []
        for (columns, lines), (how, end) in zip(((80, 24), (40, 10), (5, 2)), ends.items()):
            with Terminal(argv, columns, lines) as top:
                top.shows(b"1 of 1 connections"[:columns])
                if columns >= 40:
                    top.shows(b"peer")
                top.type(b"\x1b[B\x1b[C\x1b[Dr/pe\r\r")
                if columns >= 40:
                    top.shows(b"IKE SA #")
                fcntl.ioctl(top.its, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
                top.process.send_signal(signal.SIGWINCH)
                top.shows(b"Esc back   arrows scroll   q quit")
                end(top)
                wrong += [f"{columns}x{lines}, {how}: {what}" for what in top.ended()]
        with Terminal(argv, 80, 24) as gone:
            gone.shows(b"peer")
            gone.hang_up()
            try:
                gone.process.wait(5)
            except subprocess.TimeoutExpired:
                wrong.append("it goes on without a terminal")
        return check(not wrong, "; ".join(wrong) or "the terminal is as it was each time, and none is needed to end")
