"""The newcomer's command."""
import json
import subprocess

from lab import sandhog
from lab.cases import case, check
from lab.net import run


def footprint():
    """Namespaces, rules, routes and links of this machine."""
    return [run("ip", *what) for what in (("netns",), ("rule",), ("-6", "rule"), ("route", "show", "table", "all"), ("-6", "route", "show", "table", "all"), ("-br", "link"))]


@case("a newcomer's first minute", "sandhog demo", quick=True)
def demo():
    """Exit code 0, no loss, a figure, nothing left."""
    before = footprint()
    done = subprocess.run([sandhog.binary("sandhog"), "--json", "demo"], capture_output=True, text=True, timeout=120)
    report = json.loads(done.stdout)
    same = footprint() == before
    ping = report["ping"]
    return check(done.returncode == 0 and ping["sent"] == ping["received"] > 0 and report["tcp"]["mbit_per_s"] > 0 and same,
                 f"exit {done.returncode}, {ping['received']}/{ping['sent']} pings, {report['tcp']['mbit_per_s']:.0f} Mbit/s, {'nothing' if same else 'SOMETHING'} left")
