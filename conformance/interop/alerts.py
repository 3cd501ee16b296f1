"""What is made for Prometheus, read by its own tool: the alerts, tested by series of theirs, the dashboard's queries, and what a daemon serves."""
import json
import os
import subprocess

from interop.seeing import METRICS, daemons, fetch
from lab import sandhog
from lab.cases import case, check
from lab.kernel import CACHE, ROOTS
from lab.net import run
from lab.pair import Pair


def expressions(part):
    """All queries in a part of a dashboard, as Prometheus gets them."""
    if isinstance(part, list):
        return [expr for one in part for expr in expressions(one)]
    if not isinstance(part, dict):
        return []
    own = [part["expr"].replace("$__rate_interval", "5m")] if "expr" in part else []
    return own + expressions(list(part.values()))


@case("metrics", "alerts, dashboard and what is served, read by promtool")
def read_by_promtool():
    """All of it parses, the alerts of which alerts.yml has a story come when they should and say what they should, and what is served follows Prometheus' own rules for names."""
    run("bash", ROOTS, "promtool", timeout=300)
    promtool = os.path.join(CACHE, "promtool")
    deploy, here = os.path.join(sandhog.ROOT, "deploy"), os.path.dirname(os.path.abspath(__file__))
    with Pair("prom") as lab:
        rules = os.path.join(lab.dir, "rules.yml")
        os.symlink(os.path.join(deploy, "prometheus/rules.yml"), rules)
        os.symlink(os.path.join(here, "alerts.yml"), os.path.join(lab.dir, "alerts.yml"))
        with open(os.path.join(deploy, "grafana/sandhog.json")) as f:
            queries = expressions(json.load(f))
        # a rule for each query; JSON is YAML
        with open(os.path.join(lab.dir, "dashboard.yml"), "w") as f:
            json.dump({"groups": [{"name": "dashboard", "rules": [{"record": f"query:{i}", "expr": query} for i, query in enumerate(queries)]}]}, f)
        run(promtool, "check", "rules", rules, os.path.join(lab.dir, "dashboard.yml"))
        tested = run(promtool, "test", "rules", os.path.join(lab.dir, "alerts.yml"))
        daemons(lab, left_gateway=f'metrics = "{METRICS}"')
        _, _, text = fetch(lab.left)
        served = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
        wrong = [line for line in (served.stdout + served.stderr).splitlines() if line]
        return check(len(queries) > 50 and "SUCCESS" in tested and served.returncode == 0 and not wrong, f"{len(queries)} queries; {wrong or 'nothing to be said about what is served'}")
