#!/usr/bin/env python3
"""A restore while nodes run what was made after the snapshot: kept for the grace and told of, then ended; data on disks stays."""
import glob
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import CARAVEL, DevCluster, contains, equal, main, need_node, wait_for  # noqa: E402

GRACE = 40
POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: NODE
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", command: [sh, -c, "exec sleep SLEEP"]}
"""
DATA = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: late}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: late-data}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {kubernetes.io/hostname: dev-2}
  volumes: [{name: v, persistentVolumeClaim: {claimName: late}}]
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", command: [sh, -c, "echo here > /v/file; exec sleep SLEEP"], volumeMounts: [{name: v, mountPath: /v}]}
"""
NAMES = ["early-1", "early-2", "late-1", "late-2", "late-data"]
SLEEPS = {name: str(900000000 + os.getpid() * 10 + i) for i, name in enumerate(NAMES)}  # by which the machine's processes are told apart


def runs(name):
    """Whatever the API says."""
    return subprocess.run(["pgrep", "-f", f"^sleep {SLEEPS[name]}$"], check=False, stdout=subprocess.DEVNULL).returncode == 0


def make(c, name, node):
    c.apply(POD.replace("NAME", name).replace("NODE", node).replace("SLEEP", SLEEPS[name]))


def caravel(*args):
    r = subprocess.run([CARAVEL, *args], check=False, capture_output=True, text=True, timeout=120)
    equal(r.returncode, 0, r.stdout + r.stderr)


def events(c, reason):
    return [e for e in c.get("events")["items"] if e["reason"] == reason and e["involvedObject"]["kind"] == "Node"]


def named(c, reason, pod):
    return [e for e in events(c, reason) if f"default/{pod} " in e["message"]]


def what_is_newer_runs_on_for_a_while(c):
    for node in (1, 2):
        make(c, f"early-{node}", f"dev-{node}")
        c.kubectl("wait", "--for=condition=Ready", f"pod/early-{node}", "--timeout=60s")
    early = {n: c.get("pod", f"early-{n}")["status"]["containerStatuses"][0]["containerID"] for n in (1, 2)}
    file = os.path.join(c.dir, "s.snapshot")
    caravel("snapshot", "save", "--data-dir", c.node_dir(1), "--kubeconfig", c.kubeconfig, file)
    late = ["late-1", "late-2", "late-data"]
    for node in (1, 2):
        make(c, f"late-{node}", f"dev-{node}")
    c.apply(DATA.replace("SLEEP", SLEEPS["late-data"]))
    for name in late:
        c.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")
    kept = glob.glob(c.node_dir(2) + "/storage/*/file")
    equal(len(kept), 1)
    words = c.kill_node(1)
    caravel("snapshot", "restore", file, "--data-dir", c.node_dir(1))
    c.start_node(1, words)
    wait_for("the API", lambda: c.request("GET", "/readyz")[0] == 200, 60)
    equal([c.request("GET", f"/api/v1/namespaces/default/pods/{name}")[0] for name in late], [404] * 3)
    for name in late:
        wait_for(f"an event about {name}", lambda name=name: named(c, "KeptAfterRestore", name), 60)
        equal(runs(name), True, name)
    contains(named(c, "KeptAfterRestore", "late-2")[0]["message"], f"kept for {GRACE} s (--restore-grace)", "Make a Pod of that name")
    equal({e["involvedObject"]["name"] for e in events(c, "KeptAfterRestore")}, {"dev-1", "dev-2"})
    # What the restored cluster knows goes on as it was, and goes when it is told to.
    for node in (1, 2):
        wait_for(f"dev-{node} to be Ready", lambda node=node: c.node_ready(node), 60)
        equal(c.get("pod", f"early-{node}")["status"]["containerStatuses"][0]["containerID"], early[node])
    c.kubectl("delete", "pod", "early-2", "--now", "--timeout=60s")
    wait_for("its end", lambda: not runs("early-2"), 30)
    for name in late:
        wait_for(f"the end of {name}", lambda name=name: not runs(name), 4 * GRACE)
        wait_for(f"an event about the end of {name}", lambda name=name: named(c, "EndedAfterRestore", name), 60)
    equal(runs("early-1"), True)
    with open(kept[0], encoding="utf-8") as f:
        equal(f.read(), "here\n")


if __name__ == "__main__":
    need_node()
    with DevCluster(nodes=2, args=[f"--server-arg=--restore-grace={GRACE}s", f"--agent-arg=--restore-grace={GRACE}s"]) as cluster:
        sys.exit(main([what_is_newer_runs_on_for_a_while], cluster))
