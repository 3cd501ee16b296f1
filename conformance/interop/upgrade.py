"""A daemon is replaced by the installed executable, or killed, while traffic passes."""
import os
import shutil
import signal
import subprocess
import time

from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.net import Lab
from lab.pair import INNER, OUTER, PSK, Pair, prefix

from .ourselves import both, must_come_up

PROGRAM = "sandhogd"


def install(lab):
    """A folder of root's own with the daemon's executable in it: nothing else may be started by an upgrade."""
    folder = os.path.join(lab.dir, "installed")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, PROGRAM)
    replace(path, sandhog.binary(PROGRAM))
    return path


def replace(path, source, mode=0o755):
    """As a package does it: a new file under the same name."""
    shutil.copyfile(source, path + ".new")
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)


class Installed(sandhog.Sandhog):
    """A daemon whose executable can be replaced."""

    def __init__(self, host, config, **options):
        self.path = install(host.lab)
        super().__init__(host, config, **options)

    def spawn(self):
        self.process = self.host.start(self.name, [self.path, "--config", self.config], env=self.env)
        return self.process

    def upgrade(self):
        """`sandhog --json upgrade`: exit code and document."""
        return self.client("upgrade")
