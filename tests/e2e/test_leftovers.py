#!/usr/bin/env python3
"""However a node ends, nothing of it stays on the machine, nothing of others goes, and it can start again."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from lib import BIN, CARAVEL, ROOT, Cluster, Failed, contains, equal, free_port, main, need_node, wait_for
from machine import cleanup, hello_yaml, host_pod, nothing_is_left, remove_data, shims, snapshot

NS = ("-n", "hello")


def start_with_everything(c):
    """Pods with Services, volumes, logs and a host port."""
    c.start()
    c.apply(hello_yaml())
    c.apply(host_pod("door", free_port()))
    c.kubectl("rollout", "status", *NS, "deploy/hello", "--timeout=60s")
    c.kubectl("wait", "pod/door", *NS, "--for=condition=Ready", "--timeout=60s")


def none_restarted(c):
    """Of a pod of which something did it is said what became of each container, and what its events tell."""
    events, said = c.get("events", *NS)["items"], []
    for p in c.get("pods", *NS)["items"]:
        name, status = p["metadata"]["name"], p["status"]["containerStatuses"]
        if not any(s["restartCount"] for s in status):
            continue
        said += [f"{name}: {json.dumps(s)}" for s in status]
        said += [f"  {e['lastTimestamp'] or e['eventTime']} {e['type']} {e['reason']} x{e.get('count', 1)}: {e['message']}"
                 for e in events if e["involvedObject"]["name"] == name]
    if said:
        with open(os.path.join(c.dir, "data", "containerd", "log"), encoding="utf-8", errors="replace") as f:
            said += ["containerd:", *f.read().splitlines()[-60:]]
        raise Failed("\n".join(["restarted:", *said, "server:", c.tail()]))


def cleanup_spares_what_runs(c):
    start_with_everything(c)
    refused = subprocess.run([CARAVEL, "cleanup", "--data-dir", os.path.join(c.dir, "data")], check=False, timeout=60,
                             stderr=subprocess.PIPE, text=True)
    equal(refused.returncode, 1)
    contains(refused.stderr, f"process {c.proc.pid} is running the node", "--stop")
    equal(shims(c), 4)
    c.kill()


def cleanup_needs_no_data(c):
    # containerd and every pod is still there
    remove_data(c)
    contains(cleanup(c), "ended containerd", "in cgroup /caravel-", "removed nftables table", "removed bridge cvl")
    remove_data(c)
    nothing_is_left(BEFORE)
    # and the server
    start_with_everything(c)
    remove_data(c)
    contains(cleanup(c, "--stop"), "ended the server", "removed nftables table", "removed bridge cvl")
    c.wait_end()
    remove_data(c)
    nothing_is_left(BEFORE)


def a_new_cluster_replaces_one_without_data(c):
    start_with_everything(c)
    c.kill()
    remove_data(c)
    c.start()
    wait_for("the node", lambda: " Ready " in c.kubectl("get", "nodes"), 60)
    equal(shims(c), 0)
    c.kill()
    start_with_everything(c)
    equal(shims(c), 4)
    equal(c.stop(), 0)
    contains(cleanup(c), "ended 4 pods")
    nothing_is_left(BEFORE)
    remove_data(c)


def ended_at_any_moment_of_its_start(c):
    """Again and again over the same directory, then without it: each start finds what the one before it left."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup(1) the server rightly ignores it
    for sig in (signal.SIGTERM, signal.SIGKILL, signal.SIGHUP):
        for ms in range(20, 500, 60):
            c.start(wait=False)
            time.sleep(ms / 1000)
            c.proc.send_signal(sig)
            # it may die of the signal only when nothing has begun yet
            status, fine = c.wait_end(), {-9} if sig == signal.SIGKILL else {0} if ms > 250 else {0, -sig}
            assert status in fine, f"exit status {status}, signal {sig} after {ms} ms"
    cleanup(c)
    nothing_is_left(BEFORE)
    start_with_everything(c)
    for ms in range(10, 500, 80):
        c.kill()
        c.start(wait=False)
        time.sleep(ms / 1000)
    c.kill()
    c.start()
    wait_for("the node", lambda: " Ready " in c.kubectl("get", "nodes"), 60)
    none_restarted(c)
    equal(shims(c), 4)


def killed_while_it_ends(c):
    for ms in (0, 20, 50, 100):
        c.proc.send_signal(signal.SIGTERM)
        time.sleep(ms / 1000)
        c.kill()
        c.start()
    none_restarted(c)
    equal(c.stop(), 0)


def cleanup_killed_goes_on(c):
    for ms in (50, 250, 500, 800):
        p = subprocess.Popen([CARAVEL, "cleanup", "--data-dir", os.path.join(c.dir, "data")], stdout=subprocess.DEVNULL)
        time.sleep(ms / 1000)
        p.kill()
        p.wait()
    cleanup(c, "--stop")  # waits for what the killed one was just starting
    nothing_is_left(BEFORE)


def a_start_that_hangs_can_be_ended(c):
    """containerd starts, but never answers."""
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "containerd"), "w", encoding="utf-8") as f:
            f.write("#!/bin/sh\nexec sleep 1000\n")
        os.chmod(f.name, 0o755)
        path = os.environ["PATH"]
        os.environ["PATH"] = d + ":" + path
        try:
            c.start(wait=False)
        finally:
            os.environ["PATH"] = path
    wait_for("its containerd", lambda: os.path.exists(os.path.join(c.dir, "data", "containerd", "pid")))
    c.proc.send_signal(signal.SIGTERM)
    equal(c.proc.wait(20), 0, "exit status")
    cleanup(c)
    nothing_is_left(BEFORE)


def make_targets(c):
    """What `make run`, `make stop` and `make clean-data` do, in any order."""
    data, kubeconfig, port = os.path.join(c.dir, "make", "data"), os.path.join(c.dir, "make", "etc", "k.yaml"), str(free_port())

    def do(action):
        return subprocess.run(["tools/cluster.sh", action, CARAVEL, data, kubeconfig, port], cwd=ROOT, check=True, timeout=120,
                              stdout=subprocess.PIPE, env=dict(os.environ, PATH=BIN + ":" + os.environ["PATH"]), text=True).stdout
    contains(do("stop"), "nothing of a node", "stopped")
    contains(do("start"), "the node is Ready")
    contains(do("start"), "already running")
    contains(do("stop"), "stopping the server")
    contains(do("stop"), "nothing of a node")
    contains(do("start"), "the node is Ready")
    contains(do("clean-data"), "stopping the server", "forgot the cluster")
    equal((os.path.exists(data), os.path.exists(kubeconfig)), (False, False))
    contains(do("start"), "the node is Ready")
    subprocess.run(["rm", "-rf", data], check=False)
    contains(do("stop"), "ended the server", "stopped")
    do("clean-data")
    nothing_is_left(BEFORE)


# Things that look like a node's and are somebody else's: what makes, shows and removes them.
GROUP = ("/sys/fs/cgroup/pids" if os.path.isdir("/sys/fs/cgroup/pids") else "/sys/fs/cgroup") + "/caravel-e2e"
FOREIGN = {
    "nft add table inet caravel-e2e": ("nft list table inet caravel-e2e", "nft delete table inet caravel-e2e"),
    "ip link add cvle2e type bridge": ("ip link show cvle2e", "ip link delete cvle2e"),
    f"mkdir {GROUP}": (f"ls {GROUP}", f"rmdir {GROUP}"),
    "mkdir -p /run/caravel-e2e/state": ("ls /run/caravel-e2e/state", "rm -rf /run/caravel-e2e"),
}


def sh(command):
    subprocess.run(command.split(), check=True, stdout=subprocess.DEVNULL)


def others_lose_nothing(_):
    for look, _ in FOREIGN.values():
        sh(look)


if __name__ == "__main__":
    need_node()
    for make, (_, take) in FOREIGN.items():
        subprocess.run(take.split(), check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # of a run that was killed
        sh(make)
    BEFORE = snapshot()
    cluster = Cluster(agent=True)
    try:
        STATUS = main([cleanup_spares_what_runs, cleanup_needs_no_data, a_new_cluster_replaces_one_without_data,
                       ended_at_any_moment_of_its_start, killed_while_it_ends, cleanup_killed_goes_on,
                       a_start_that_hangs_can_be_ended, make_targets, others_lose_nothing], cluster)
    finally:
        cluster.cleanup()
        for _, take in FOREIGN.values():
            sh(take)
    sys.exit(STATUS)
