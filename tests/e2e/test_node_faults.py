#!/usr/bin/env python3
"""A node whose server is killed or stopped in the middle of things: stopping pods, followed logs, open streams."""
import glob
import os
import subprocess
import sys

from lib import BIN, Cluster, contains, equal, main, need_node, wait_for

WAIT_FOR_GO = "while [ ! -e /out/go ]; do sleep 0.1; done"


def pod(c, name, script, more="", pod_more=""):
    """A pod with a directory of ours at /out; returns that directory."""
    out = os.path.join(c.dir, "out-" + name)
    os.makedirs(out)
    c.apply(f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  {pod_more}
  volumes: [{{name: out, hostPath: {{path: {out}}}}}]
  containers:
  - name: c
    image: docker.io/caravel/demo:1
    command: ["sh", "-c", {script!r}]
    volumeMounts: [{{name: out, mountPath: /out}}]
    {more}
""")
    wait_for("it to run", lambda: c.get("pod", name)["status"]["phase"] == "Running", 60)
    return out


def lines(out):
    path = os.path.join(out, "log")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as f:
        return f.read().split()


def touch(path):
    with open(path, "w", encoding="utf-8"):
        pass


def gone(c, name):
    wait_for("it to go", lambda: c.run("get", "pod", name, check=False).returncode != 0, 60)


def in_a_pre_stop_hook(c, name, end):
    """The server ends by end() while a pod's hook runs. The next one runs that again, and the first is not there any more: it
    ends with its call, or with the runtime."""
    out = pod(c, name, "trap 'echo term >> /out/log; exit 0' TERM; while true; do sleep 0.1; done", f"""
    lifecycle: {{preStop: {{exec: {{command: ["sh", "-c", "echo begin >> /out/log; {WAIT_FOR_GO}; echo end >> /out/log"]}}}}}}""",
              "terminationGracePeriodSeconds: 120")
    c.kubectl("delete", "pod", name, "--wait=false")
    try:
        wait_for("the hook", lambda: lines(out) == ["begin"])
        end()
        c.start()
        wait_for("the hook again", lambda: lines(out) == ["begin", "begin"], 60)
    finally:
        touch(out + "/go")
    gone(c, name)
    equal(lines(out), ["begin", "begin", "end", "term"])


def killed_during_a_pre_stop_hook(c):
    in_a_pre_stop_hook(c, "killed-in-hook", c.kill)


def stopped_during_a_pre_stop_hook(c):
    """It does not wait for the hook, which has two minutes."""
    in_a_pre_stop_hook(c, "stopped-in-hook", lambda: equal(c.stop(), 0, "its exit status"))


def killed_while_a_container_ends(c):
    out = pod(c, "ending", f"trap 'echo term >> /out/log; {WAIT_FOR_GO}; echo bye >> /out/log; exit 0' TERM; while true; do sleep 0.1; done", """
    lifecycle: {preStop: {exec: {command: ["sh", "-c", "echo hook >> /out/log"]}}}""", "terminationGracePeriodSeconds: 120")
    c.kubectl("delete", "pod", "ending", "--wait=false")
    wait_for("TERM", lambda: lines(out) == ["hook", "term"])
    c.kill()
    c.start()
    wait_for("the node", lambda: " Ready " in c.kubectl("get", "nodes"), 60)
    equal(c.get("pod", "ending")["status"]["containerStatuses"][0]["state"].keys(), {"running"})
    touch(out + "/go")
    gone(c, "ending")
    # TERM may come twice when the server died while it sent it
    equal([x for n, x in enumerate(lines(out)) if x not in lines(out)[:n]], ["hook", "term", "bye"])
    equal(lines(out).count("hook"), 1)


def background(c, *args, **kw):
    return subprocess.Popen([os.path.join(BIN, "kubectl"), "--kubeconfig", c.kubeconfig, *args], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, stdin=subprocess.PIPE, text=True, **kw)


def logs_follow_across_rotation(c):
    out = pod(c, "talker", f"seq 1 250000; {WAIT_FOR_GO}; seq 250001 250010; exit 0", pod_more="restartPolicy: Never")
    follower = background(c, "logs", "-f", "talker")
    wait_for("the rotation", lambda: glob.glob(f"{c.dir}/**/*_talker_*/c/0.log.*", recursive=True), 60)
    touch(out + "/go")
    text = follower.communicate(timeout=60)[0]
    equal(follower.returncode, 0)
    equal([int(n) for n in text.split()], list(range(1, 250011)))
    # who comes later gets what the current file holds
    contains(c.kubectl("logs", "talker", "--tail=5"), "250010")


def logs_end_with_the_container(c):
    pod(c, "crasher", "echo once; sleep 2; exit 3", pod_more="restartPolicy: Always")
    follower = background(c, "logs", "-f", "crasher")
    equal(follower.communicate(timeout=60)[0], "once\n")
    wait_for("the back-off", lambda: "CrashLoopBackOff" in c.kubectl("get", "pod", "crasher"), 60)
    # in a back-off nothing is to come
    equal(c.kubectl("logs", "-f", "crasher"), "once\n")
    c.kubectl("delete", "pod", "crasher", "--grace-period=0", "--force")


def streams_end_with_the_server(c):
    out = pod(c, "server", f"echo before; nc -ll -p 9000 -e cat & {WAIT_FOR_GO}; echo after; sleep 1000", "stdin: true",
              "terminationGracePeriodSeconds: 0")
    streams = [background(c, "exec", "-i", "server", "--", "cat"), background(c, "exec", "-i", "server", "--", "sleep", "1000"),
               background(c, "attach", "-i", "server"), background(c, "logs", "-f", "server"),
               background(c, "port-forward", "server", ":9000"), background(c, "get", "pods", "-w")]
    streams[0].stdin.write("through\n")
    streams[0].stdin.flush()
    equal(streams[0].stdout.readline(), "through\n")
    equal(streams[3].stdout.readline(), "before\n")
    contains(streams[4].stdout.readline(), "Forwarding from")
    equal(c.stop(), 0, "its exit status")
    for p in streams:
        if p is streams[4]:
            p.terminate()  # kubectl listens on by itself
        p.communicate(timeout=30)
    c.start()
    wait_for("its logs", lambda: c.run("logs", "server", check=False).returncode == 0, 60)
    follower = background(c, "logs", "-f", "server")
    equal(follower.stdout.readline(), "before\n")
    touch(out + "/go")
    equal(follower.stdout.readline(), "after\n")
    follower.terminate()
    follower.wait()


if __name__ == "__main__":
    need_node()
    with Cluster(agent=True) as cluster:
        STATUS = main([killed_during_a_pre_stop_hook, stopped_during_a_pre_stop_hook, killed_while_a_container_ends, logs_end_with_the_container,
                       logs_follow_across_rotation, streams_end_with_the_server], cluster)
    sys.exit(STATUS)
