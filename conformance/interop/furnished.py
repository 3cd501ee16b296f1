"""An upgrade of a host that has more than tunnels: tenants in namespaces of their own, a hook, and monitors. All of it goes on."""
import os
import shutil
import tempfile
import time

from interop.routes import GATEWAY
from interop.tenants import FAR, NEAR, Tenants, link
from interop.upgrade import Installed, ROW, replace
from lab import flows, wait
from lab.cases import case, check

MONITOR = 'monitor = { target = "169.254.10.2", interval = "2s" }\n'


class Furnished(Tenants):
    """Somebody is told of changes, and asks whether traffic passes."""

    def __init__(self, name, folder):
        super().__init__(name)
        self.program, self.said = os.path.join(folder, "notify"), os.path.join(folder, "said")
        with open(self.program, "w") as f:
            f.write(f'#!/bin/sh\necho "$SANDHOG_EVENT $SANDHOG_CONNECTION/$SANDHOG_CHILD" >> {self.said}\n')
        os.chmod(self.program, 0o755)
        with open(self.said, "w"):
            os.chmod(self.said, 0o666)
        for tenant in self.tenants:
            self.far(tenant)
        self.us = Installed(self.g, self.config())
        for tenant in self.tenants:
            self.carries(tenant)

    def connection(self, tenant, at):
        """Ours are monitored."""
        text = super().connection(tenant, at)
        if at == 0:
            text = text.replace('dpd_action = "restart"\n', f'dpd_action = "restart"\n{MONITOR}')
        return text

    def config(self, tenants=None):
        """With a hook."""
        hook = f'hook = {{ command = ["{self.program}"], user = "nobody" }}\n'
        return super().config(tenants).replace(GATEWAY, GATEWAY + hook, 1)

    def told(self):
        """What the hook was told of."""
        with open(self.said) as f:
            return sorted(f.read().split("\n")[:-1])

    def monitor(self, tenant):
        """As the status shows it."""
        return self.us.status(tenant)["children"][0]["monitor"]

    def picture(self, tenant):
        """What no upgrade changes: SAs, the device, what the monitor thinks and since when."""
        peer, monitor = self.us.status(tenant), self.monitor(tenant)
        return (peer["ike"]["spi_i"], [child["spi_in"] for child in peer["children"]], link(self.hosts[f"t{tenant}"])["ifindex"],
                monitor["state"], monitor["since"])


def furnished():
    """Once."""
    folder = tempfile.mkdtemp(prefix="sandhog-hook-")
    os.chmod(folder, 0o755)
    try:
        with Furnished("fur", folder) as lab:
            wait.until("probes that are answered", lambda: all(lab.monitor(t)["state"] == "passing" for t in lab.tenants), 20)
            wait.until("the hook", lambda: len(lab.told()) == 2, 10)
            loads = [flows.Load(lab.hosts[f"t{t}"], lab.hosts[f"f{t}"], NEAR[4], FAR[4], rate=200, megabits=1) for t in lab.tenants]
            time.sleep(1)
            before, told, sent = [lab.picture(t) for t in lab.tenants], lab.told(), [lab.monitor(t)["sent"] for t in lab.tenants]
            replace(lab.us.path, lab.us.program)
            pause = lab.us.replaced()
            at_once = [lab.monitor(t)["sent"] for t in lab.tenants]
            wait.until("further probes", lambda: all(lab.monitor(t)["received"] > s for t, s in zip(lab.tenants, at_once)), 20)
            after, seen = [lab.picture(t) for t in lab.tenants], [load.end() for load in loads]
            kept = after == before and all(now >= then for now, then in zip(at_once, sent))
            quiet = lab.told() == told == ["up a/net", "up b/net"]
            return check(kept and quiet and all(s.lost_nothing() for s in seen),
                         f"{'; '.join(map(str, seen))}; packets waited {pause} ms; the hook was told of {', '.join(lab.told())}; "
                         f"SAs, devices and monitors {'kept' if kept else f'CHANGED: {before} {at_once} {after}'}")
    finally:
        shutil.rmtree(folder)


case(ROW, "ourselves, with tenants, a hook and monitors")(furnished)
