#!/usr/bin/env python3
"""NFS volumes, as far as a machine without NFS shows them: mount.nfs is a stand-in that binds a directory of the test, or hangs.

What it is asked, when, what its failures become, and that nobody waits for it, is what is shown. That Linux mounts NFS is not.
"""
import os
import sys
import tempfile

from lib import Cluster, contains, equal, main, need_node, wait_for

IMAGE = "docker.io/caravel/demo:1"
TOOLS = tempfile.mkdtemp(prefix="caravel-nfs-")
ASKED = os.path.join(TOOLS, "asked")
HELPER = os.path.join(TOOLS, "mount.nfs")
GO = os.path.join(TOOLS, "go")


def stand_in():
    """What comes from the server gone.example never comes, from slow.example when it is let."""
    with open(HELPER, "w", encoding="utf-8") as f:
        f.write(f"""#!/bin/sh
echo "$@" >> {ASKED}
case "$1" in gone.example:*) exec sleep 100000;; slow.example:*) while [ ! -e {GO} ]; do sleep 0.1; done;; esac
mkdir -p "{TOOLS}/export${{1##*:}}"
exec mount --bind "{TOOLS}/export${{1##*:}}" "$2"
""")
    os.chmod(HELPER, 0o755)


def asked():
    with open(ASKED, encoding="utf-8") as f:
        return f.read()


def pod(name, volume, command="exec sleep 100000"):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: {IMAGE}, command: [sh, -c, "{command}"], volumeMounts: [{{name: d, mountPath: /d}}]}}]
  volumes: [{{name: d, {volume}}}]
"""


def running(c, name):
    wait_for(f"pod {name}", lambda: c.get("pod", name)["status"]["phase"] == "Running", 60)


def events(c, name):
    return c.kubectl("get", "events", "--field-selector", f"involvedObject.name={name}")


def without_the_program(c):
    c.apply(pod("early", "nfs: {server: files.example, path: /a}"))
    wait_for("the reason", lambda: "install the package nfs-common" in events(c, "early"), 30)
    stand_in()
    running(c, "early")
    c.kubectl("delete", "pod", "early", "--timeout=60s")


def a_volume_of_the_pod(c):
    os.makedirs(f"{TOOLS}/export/b", exist_ok=True)
    with open(f"{TOOLS}/export/b/file", "w", encoding="utf-8") as f:
        f.write("text")
    c.apply(pod("own", 'nfs: {server: "fd00::1", path: /b, readOnly: true}'))
    running(c, "own")
    equal(c.kubectl("exec", "own", "--", "cat", "/d/file"), "text")
    contains(asked(), "[fd00::1]:/b ", "/volumes/kubernetes.io~nfs/d -o ro\n")
    c.kubectl("delete", "pod", "own", "--timeout=60s")
    equal(os.listdir(f"{TOOLS}/export/b"), ["file"])


def a_volume_of_a_claim(c):
    c.apply("""
apiVersion: v1
kind: PersistentVolume
metadata: {name: share}
spec:
  storageClassName: ""
  capacity: {storage: 1Gi}
  accessModes: [ReadWriteMany]
  mountOptions: [hard, nfsvers=4.1]
  nfs: {server: files.example, path: /c}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: share}
spec: {storageClassName: "", accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
""" + "---" + pod("one", "persistentVolumeClaim: {claimName: share}") + "---" + pod("two", "persistentVolumeClaim: {claimName: share, readOnly: true}"))
    for name in ("one", "two"):
        running(c, name)
    c.kubectl("exec", "one", "--", "sh", "-c", "echo shared > /d/x")
    equal(c.kubectl("exec", "two", "--", "sh", "-c", "cat /d/x; echo no > /d/x || true").strip(), "shared")
    contains(asked(), "files.example:/c ", "/volumes/kubernetes.io~nfs/share -o hard,nfsvers=4.1\n")
    wait_for("how full it is", lambda: 'kubelet_volume_stats_capacity_bytes{namespace="default",persistentvolumeclaim="share"}' in
             c.kubectl("get", "--raw", "/api/v1/nodes/node-1/proxy/metrics"), 30)
    c.kubectl("delete", "pod", "one", "two", "--timeout=60s")
    c.kubectl("delete", "pvc", "share", "--timeout=60s")
    equal(os.listdir(f"{TOOLS}/export/c"), ["x"])


def a_server_that_hangs(c):
    """Its pods wait; others start, it goes when it is deleted, and the agent ends."""
    c.apply(pod("hung", "nfs: {server: gone.example, path: /x}"))
    wait_for("the mount to begin", lambda: "gone.example" in asked(), 30)
    c.apply(pod("other", "nfs: {server: files.example, path: /a}"))
    running(c, "other")
    wait_for("the event", lambda: "timed out waiting for the server of gone.example:/x" in events(c, "hung"), 60)
    c.stop()
    c.start()
    c.kubectl("delete", "pod", "hung", "other", "--timeout=60s")


def mounts():
    with open("/proc/self/mounts", encoding="utf-8") as f:
        return [at for at in (line.split()[1] for line in f) if at.startswith(cluster.dir) and "kubernetes.io~nfs" in at]


def killed_anywhere(c):
    """The program that the agent before has left behind mounts, too: once or twice, it is used, and all of it goes."""
    c.apply(pod("slow", "nfs: {server: slow.example, path: /s}"))
    wait_for("the mount to begin", lambda: "slow.example" in asked(), 30)
    c.kill()
    c.start()
    wait_for("the next agent's", lambda: asked().count("slow.example") == 2, 60)
    with open(GO, "w", encoding="utf-8"):
        pass
    running(c, "slow")
    c.kubectl("exec", "slow", "--", "sh", "-c", "echo kept > /d/x")
    c.kill()
    c.start()
    equal(c.kubectl("exec", "slow", "--", "cat", "/d/x").strip(), "kept")
    running(c, "slow")
    c.kubectl("delete", "pod", "slow", "--wait=false")
    c.kill()  # somewhere between its end and the unmount
    c.start()
    wait_for("the pod to go", lambda: "slow" not in c.kubectl("get", "pods", "-o", "name"), 60)
    wait_for("its mounts to go", lambda: not mounts(), 30)
    equal(os.listdir(f"{TOOLS}/export/s"), ["x"])


if __name__ == "__main__":
    need_node()
    os.environ["PATH"] = TOOLS + os.pathsep + os.environ["PATH"]
    with Cluster(agent=True) as cluster:
        sys.exit(main([without_the_program, a_volume_of_the_pod, a_volume_of_a_claim, killed_anywhere, a_server_that_hangs], cluster))
