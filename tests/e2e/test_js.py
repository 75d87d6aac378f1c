#!/usr/bin/env python3
"""The official JavaScript client, unmodified: an API server alone, then exec, logs and port-forward on a node;
and the WebSockets under these, one by one."""
import os
import shutil
import subprocess
import sys

from lib import ROOT, Cluster, Tap, node_possible

SOURCES = os.path.join(ROOT, "tests", "e2e", "js")
INSTALLED = os.path.join(ROOT, "build", "npm", "e2e-js")


def install():
    """Puts the client under build/npm, once a version. Returns why that is not possible here, or None."""
    if not shutil.which("npm") or not shutil.which("node"):
        return "needs node and npm"
    os.makedirs(INSTALLED, exist_ok=True)
    lock = os.path.join(SOURCES, "package-lock.json")
    done = os.path.join(INSTALLED, "node_modules", ".installed")
    if not os.path.exists(done) or os.path.getmtime(done) < os.path.getmtime(lock):
        for f in ("package.json", "package-lock.json"):
            shutil.copy(os.path.join(SOURCES, f), INSTALLED)
        r = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=INSTALLED, check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        if r.returncode:
            print("# " + r.stdout.strip().replace("\n", "\n# "))
            return "npm cannot install @kubernetes/client-node; its words are above"
        with open(done, "w", encoding="utf-8"):
            pass
    # beside their modules, where node looks for imports
    for f in os.listdir(SOURCES):
        if f.endswith(".mjs"):
            shutil.copy(os.path.join(SOURCES, f), INSTALLED)
    return None


def program(tap, name, cluster):
    """Runs a program and counts its lines as points of ours."""
    env = dict(os.environ, KUBECONFIG=cluster.kubeconfig, CARAVEL_PID=str(cluster.server_pid), NODE_NO_WARNINGS="1")
    before = tap.n
    r = subprocess.run(["node", name + ".mjs"], cwd=INSTALLED, env=env, check=False, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=300)
    for line in r.stdout.splitlines():
        verdict, dash, title = line.partition(" - ")
        if dash and verdict in ("ok", "not ok"):
            tap.point(verdict == "ok", f"{name}: {title}")
        else:
            print(line if line.startswith("#") else "# " + line, flush=True)
    if tap.n == before or (r.returncode and not tap.failed):
        tap.point(False, f"{name}: ended with {r.returncode}")


def both(tap):
    why = install()
    if why:
        tap.point(True, "the JavaScript client", f" # SKIP {why}")
        return
    with Cluster() as c:
        program(tap, "client", c)
    why = node_possible()
    if why:
        tap.point(True, "the JavaScript client on a node", f" # SKIP {why}")
        return
    with Cluster(agent=True) as c:
        program(tap, "node", c)
        program(tap, "streams", c)


if __name__ == "__main__":
    TAP = Tap()
    both(TAP)
    print(f"1..{TAP.n}")
    sys.exit(1 if TAP.failed else 0)
