#!/usr/bin/env python3
"""What containers leave behind for the node, and a containerd that hangs: nothing of it stops the node."""
import glob
import json
import os
import signal
import shutil
import socket
import subprocess
import sys

from lib import Cluster, contains, equal, main, need_node, read_text, wait_for
from machine import shims

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 0
  restartPolicy: {restart}
  volumes: [{{name: v, emptyDir: {{sizeLimit: {limit}}}}}]
  containers:
  - name: c
    image: docker.io/caravel/demo:1
    command: ["sh", "-c", {script!r}]
    volumeMounts: [{{name: v, mountPath: /v}}]
"""


def pod(c, name, script, restart="Always", limit="1Gi", phase="Running"):
    c.apply(POD.format(name=name, script=script, restart=restart, limit=limit))
    wait_for(f"{name} to be {phase}", lambda: c.get("pod", name)["status"].get("phase") == phase, 60)
    return c.get("pod", name)


def log_file(c, name):
    found = glob.glob(os.path.join(c.dir, "data", "**", f"default_{name}_*", "c", "0.log"), recursive=True) + \
        glob.glob(f"/var/log/pods/default_{name}_*/c/0.log")
    equal(len(found), 1, f"log files of {name}")
    return found[0]


def containerd_pid(c):
    with open(os.path.join(c.dir, "data", "containerd", "pid"), encoding="ascii") as f:
        return int(f.read())


def ready(c):
    return next(x for x in c.get("node", "node-1")["status"]["conditions"] if x["type"] == "Ready")


def fifo_in_place_of_a_log(c):
    uid = pod(c, "fifo", "echo hello; sleep 100000")["metadata"]["uid"]
    pod(c, "other", "echo fine; sleep 100000")
    wait_for("its log", lambda: "hello" in c.kubectl("logs", "fifo"))
    path = log_file(c, "fifo")
    os.rename(path, path + ".kept")
    os.mkfifo(path)
    r = c.run("logs", "fifo", check=False, timeout=20)
    equal(r.returncode != 0, True, "refused")
    contains(r.errors, "no regular file")
    for make in (lambda: os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5)), lambda: os.symlink("/etc/passwd", path)):
        os.unlink(path)
        make()
        equal(c.run("logs", "fifo", check=False, timeout=20).returncode != 0, True, "refused")
    contains(c.kubectl("logs", "other", timeout=20), "fine")
    contains(c.kubectl("exec", "other", "--", "echo", "through", timeout=20), "through")
    os.unlink(path)
    os.mkfifo(path)
    c.kill()
    c.start()
    wait_for("the node", lambda: "fine" in c.kubectl("logs", "other", timeout=20), 30)
    equal(c.get("pod", "fifo")["metadata"]["uid"], uid)
    c.kubectl("delete", "pod", "fifo", "other", timeout=60)


def containerd_that_hangs(c):
    p = pod(c, "lives", "sleep 100000")
    before = p["status"]["containerStatuses"][0]["containerID"]
    pid = containerd_pid(c)
    os.kill(pid, signal.SIGSTOP)
    wait_for("the Node to say so", lambda: ready(c)["status"] == "False", 20)
    equal(ready(c)["reason"], "KubeletNotReady")
    contains(ready(c)["message"], "container runtime is down")
    wait_for("an event", lambda: "ContainerRuntimeDown" in c.kubectl("get", "events", "-A"), 20)
    c.apply(POD.format(name="waits", script="sleep 100000", restart="Always", limit="1Gi"))
    wait_for("another containerd", lambda: containerd_pid(c) != pid and ready(c)["status"] == "True", 60)
    wait_for("the pod that waited", lambda: c.get("pod", "waits")["status"]["phase"] == "Running", 60)
    status = c.get("pod", "lives")["status"]["containerStatuses"][0]
    equal((status["containerID"], status["restartCount"]), (before, 0), "the container that ran")
    c.kubectl("delete", "pod", "lives", "waits", timeout=60)


def deep_and_wide_trees(c):
    script = "cd /v; i=0; while [ $i -lt {n} ]; do mkdir d && cd d; i=$((i+1)); done; {more} touch /v/done; sleep 100000"
    uid = pod(c, "deep", script.format(n=2000, more=""), restart="Never")["metadata"]["uid"]
    wait_for("the tree", lambda: c.run("exec", "deep", "--", "ls", "/v/done", check=False).returncode == 0, 60)
    c.kubectl("delete", "pod", "deep", timeout=60)
    wait_for("its files to go", lambda: not os.path.exists(os.path.join(c.dir, "data", "kubelet", "pods", uid)), 30)
    # what is hidden deep down counts as well
    c.apply(POD.format(name="hides", script=script.format(n=300, more="dd if=/dev/zero of=f bs=1M count=20;"),
                       restart="Never", limit="10Mi"))
    wait_for("its eviction", lambda: c.get("pod", "hides")["status"].get("reason") == "Evicted", 60)
    c.kubectl("delete", "pod", "hides", timeout=60)


def processes_are_limited(c):
    pod(c, "forks", "i=0; while [ $i -lt 5000 ]; do sleep 1000 & i=$((i+1)); done; sleep 100000")
    uid = c.get("pod", "forks")["metadata"]["uid"]
    files = glob.glob(f"/sys/fs/cgroup/**/pod{uid}/pids.max", recursive=True)
    equal(len(files), 1, "cgroups of the pod")
    with open(files[0], encoding="ascii") as f:
        limit = int(f.read())
    equal(0 < limit <= 4096, True, f"limit {limit}")
    with open(os.path.join(os.path.dirname(files[0]), "pids.current"), encoding="ascii") as f:
        equal(int(f.read()) <= limit, True, "processes")
    contains(c.kubectl("get", "nodes"), "Ready")
    c.kubectl("delete", "pod", "forks", timeout=60)


def bridge_and_veths_are_deleted(c):
    script = "nc -ll -p 9000 -e cat & sleep 100000"
    before = [pod(c, n, script)["status"] for n in ("net1", "net2")]
    with open(glob.glob(os.path.join(c.dir, "data", "cni", "net.d", "*.conflist"))[0], encoding="utf-8") as f:
        bridge = json.load(f)["plugins"][0]["bridge"]

    def reached():
        for s in before:
            with socket.create_connection((s["podIP"], 9000), timeout=3) as t:
                t.sendall(b"through\n")
                equal(t.recv(100), b"through\n")
        return True
    wait_for("the pods", reached, 30)
    subprocess.run(["ip", "link", "delete", bridge], check=True)
    wait_for("the network to come back", reached, 60)
    accept = f"/proc/sys/net/ipv6/conf/{bridge}/accept_ra"
    if os.path.exists(accept):
        equal(read_text(accept), "0\n", "a pod is no router of the machine")
    contains(c.kubectl("exec", "net1", "--", "sh", "-c", f"echo among-pods | nc -w 3 {before[1]['podIP']} 9000"), "among-pods")
    contains(c.kubectl("get", "events", "-A"), "PodNetworkRepaired")
    # a pod's own end goes with its veth
    veths = [i["ifname"] for i in json.loads(subprocess.run(["ip", "-j", "link", "show", "master", bridge], check=True,
                                                            stdout=subprocess.PIPE).stdout)]
    for veth in veths:
        subprocess.run(["ip", "link", "delete", veth], check=True)
    wait_for("the veths to come back", reached, 60)
    for there in (before[1]["podIP"] + " 9000", c.service_ip + " 443"):
        contains(c.kubectl("exec", "net1", "--", "sh", "-c", f"echo x | nc -w 3 {there} > /dev/null && echo connected"), "connected")
    # of those whose pods are there: one that ended before may still have had its own
    said = c.kubectl("get", "events", "-A")
    equal(any(f"restored {v}" in said for v in veths), True, said)
    # and what is taken from it, piece by piece
    ours = before[0]["podIP"].rpartition(".")[0] + ".0/24"
    links = subprocess.run(["ip", "-o", "link", "show", "master", bridge], check=True, capture_output=True, text=True).stdout
    veth = links.splitlines()[0].split(":")[1].split("@")[0].strip()
    for taken in (["ip", "route", "del", ours, "dev", bridge], ["ip", "link", "set", veth, "down"],
                  ["ip", "link", "set", veth, "nomaster"], ["ip", "address", "flush", "dev", bridge]):
        subprocess.run(taken, check=True)
        wait_for("the network after " + " ".join(taken), reached, 60)
    for n, s in zip(("net1", "net2"), before):
        equal(c.get("pod", n)["status"]["containerStatuses"][0]["containerID"], s["containerStatuses"][0]["containerID"])
    c.kubectl("delete", "pod", "net1", "net2", timeout=60)


def containerd_that_does_not_come_up(c):
    c.stop()
    fake = os.path.join(c.dir, "fake")
    os.makedirs(fake)
    with open(os.path.join(fake, "containerd"), "w", encoding="ascii") as f:
        f.write("#!/bin/sh\nexec sleep 1000\n")
    os.chmod(os.path.join(fake, "containerd"), 0o755)
    path = os.environ["PATH"]
    os.environ["PATH"] = fake + ":" + path
    try:
        c.start()
        wait_for("the Node to say so", lambda: ready(c)["status"] == "False", 20)
        contains(ready(c)["message"], "container runtime is down")
        wait_for("an event", lambda: "ContainerRuntimeDown" in c.kubectl("get", "events", "-A"), 20)
        contains(c.tail(), "does not answer yet")
    finally:
        os.environ["PATH"] = path
        c.stop()
    c.start()
    wait_for("the node", lambda: ready(c)["status"] == "True", 60)


def the_end_of_a_long_message(c):
    script = "head -c 200000 /dev/zero | tr '\\0' x > /dev/termination-log; printf %s the-end >> /dev/termination-log"
    p = pod(c, "says", script, restart="Never", phase="Succeeded")
    message = p["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
    equal((len(message), message[-7:]), (4096, "the-end"))
    c.kubectl("delete", "pod", "says", timeout=60)


def processes_of(uid):
    """How many cgroups of the pod, its sandbox's among them, have processes."""
    pod_dir = os.path.dirname(glob.glob(f"/sys/fs/cgroup/**/pod{uid}/pids.max", recursive=True)[0])
    n = 0
    for path in glob.glob(os.path.join(pod_dir, "*", "cgroup.procs")):
        with open(path, encoding="ascii") as f:
            n += bool(f.read().strip())
    return n


def killed_while_pods_start(c):
    """Wherever the kills fall: what never ran is no restart, and nothing runs beside what does."""
    containers = os.path.join(c.dir, "data/containerd/root/io.containerd.grpc.v1.cri/containers/*")
    for i, share in enumerate((0, 0.3, 0.6, 0.9)):
        names = [f"s{i}-{k}" for k in range(8)]
        had = set(glob.glob(containers))
        c.apply("---".join(POD.format(name=n, script="sleep 100000", restart="Always", limit="1Gi") for n in names))
        wait_for("some to be made", lambda: len(set(glob.glob(containers)) - had) > share * len(names), 60, every=0.002)
        c.kill()
        os.kill(containerd_pid(c), signal.SIGKILL)
        c.start()
        wait_for("all", lambda: all(c.get("pod", n)["status"].get("phase") == "Running" for n in names), 90)
        for n in names:
            p = c.get("pod", n)
            s = p["status"]["containerStatuses"][0]
            equal((s["restartCount"], s["lastState"]), (0, {}), f"{n}, {s}")
            equal(processes_of(p["metadata"]["uid"]), 2, f"cgroups with processes of {n}")
        c.kubectl("delete", "pod", *names, timeout=60)


def deleted_while_the_node_is_away(c):
    """Nothing of them stays, and one that ends slowly keeps nobody waiting."""
    names = [f"o{i}" for i in range(6)]
    c.apply("---".join(POD.format(name=n, script="echo here; trap : TERM; while :; do sleep 1; done", restart="Always", limit="1Gi")
                       for n in names))
    wait_for("all", lambda: all(c.get("pod", n)["status"].get("phase") == "Running" for n in names), 90)
    uids = [c.get("pod", n)["metadata"]["uid"] for n in names]

    def left(uid):
        return [p for where in ("/sys/fs/cgroup/**/pod", c.dir + "/data/kubelet/pods/", "/var/lib/kubelet/pods/", c.dir + "/data/**/*_",
                                "/var/log/pods/*_") for p in glob.glob(f"{where}{uid}", recursive=True)]
    equal([len(left(u)) > 2 for u in uids], [True] * len(uids), "what is theirs")
    c.stop()
    c.agent = False
    try:
        c.start()
        c.kubectl("delete", "pod", "--all", "--force", timeout=60)
    finally:
        c.stop()
        c.agent = True
        c.start()
    c.apply(POD.format(name="next", script="sleep 100000", restart="Always", limit="1Gi"))
    wait_for("another", lambda: c.get("pod", "next")["status"].get("phase") == "Running", 60)
    wait_for("them to go", lambda: not any(map(left, uids)), 60, 0.5)
    equal(shims(c), 1)
    c.kubectl("delete", "pod", "next", timeout=60)


def containerd_that_does_not_start(_):
    """The API serves meanwhile; the node is tried again, and is there when containerd is."""
    with Cluster(agent=True) as unlucky:
        unlucky.stop()
        broken = os.path.join(unlucky.dir, "bin")
        os.mkdir(broken)
        program = os.path.join(broken, "containerd")
        with open(program, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexit 1\n")
        os.chmod(program, 0o755)
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{broken}:{path}"
        try:
            unlucky.start()
        finally:
            os.environ["PATH"] = path
        wait_for("the first try to fail", lambda: "does not start, and is tried again" in unlucky.tail(), 90)
        unlucky.kubectl("create", "configmap", "served-meanwhile")
        os.unlink(program)
        os.symlink(shutil.which("containerd"), program)
        pod(unlucky, "late", "sleep 100000")


if __name__ == "__main__":
    need_node()
    with Cluster(agent=True) as cluster:
        wait_for("the node", lambda: ready(cluster)["status"] == "True", 60)
        wait_for("the account", lambda: cluster.run("get", "serviceaccount", "default", check=False).returncode == 0)
        STATUS = main([fifo_in_place_of_a_log, containerd_that_hangs, deep_and_wide_trees, processes_are_limited, bridge_and_veths_are_deleted, containerd_that_does_not_come_up,
                       the_end_of_a_long_message, killed_while_pods_start, deleted_while_the_node_is_away,
                       containerd_that_does_not_start], cluster)
    sys.exit(STATUS)
