#!/usr/bin/env python3
"""A driver of volumes that is somebody else's (tests/csi-driver, on @grpc/grpc-js) on a real node: claims made, attached, staged,
published and taken away, also when the server is killed in between, a driver hangs, or a second node wants what one may have."""
import json
import os
import shutil
import subprocess
import sys

import test_js
from lib import CARAVEL, ROOT, Cluster, contains, equal, main, need_node, wait_for

IMAGE = "docker.io/caravel/demo:1"
NAME = "test.csi.example.com"
SOURCES = os.path.join(ROOT, "tests", "csi-driver")


CLASS = f"""
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {{name: {NAME}}}
spec: {{podInfoOnMount: true, volumeLifecycleModes: [Persistent, Ephemeral]}}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {{name: test}}
provisioner: {NAME}
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
"""


class Driver:
    def __init__(self, c, name=NAME, sidecars=True, data=None, node="the-node"):
        self.c, self.name, self.sidecars, self.node = c, name, sidecars, node
        self.root = os.path.join(data or os.path.join(c.dir, "data"), "kubelet")
        self.state = os.path.join(c.dir, name)
        self.proc = None

    def start(self):
        os.makedirs(self.state, exist_ok=True)
        words = ["node", os.path.join(test_js.INSTALLED, "driver.mjs"), self.name, self.root, self.state, self.node]
        words += [self.c.kubeconfig] if self.sidecars else []
        with open(os.path.join(self.state, "log"), "a", encoding="utf-8") as log:
            self.proc = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                         env=dict(os.environ, NODE_NO_WARNINGS="1"))
        equal(self.proc.stdout.readline(), "ok\n", "the driver's first word")
        return self

    def say(self, **what):
        self.proc.stdin.write(json.dumps(what) + "\n")
        self.proc.stdin.flush()
        equal(self.proc.stdout.readline(), "ok\n")

    def stop(self):
        if self.proc:
            self.proc.stdin.close()
            self.proc.wait(10)
        self.proc = None

    def end(self):
        self.stop()
        for at in reversed(self.mounts()):
            subprocess.run(["umount", "-l", at], check=False)

    def calls(self):
        path = os.path.join(self.state, "calls")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            return [line.split()[0] for line in f]

    def volumes(self):
        return sorted(os.listdir(os.path.join(self.state, "volumes")))

    def mounts(self):
        """Of this cluster, by drivers."""
        with open("/proc/self/mountinfo", encoding="utf-8") as f:
            return [at for at in (line.split()[4] for line in f) if at.startswith(self.root) and "csi" in at]


def skip_or_install():
    """Where npm has nothing for us the program ends here, and says so."""
    why = test_js.install()
    if why:
        print(f"ok 1 - a driver of volumes # SKIP {why}\n1..1")
        sys.exit(0)
    for f in os.listdir(SOURCES):
        if f.endswith((".mjs", ".proto")):
            shutil.copy(os.path.join(SOURCES, f), test_js.INSTALLED)


def pod(name, claim, command="exec sleep 100000", **more):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  {"nodeName: " + more["node"] if "node" in more else ""}
  containers: [{{name: c, image: {IMAGE}, command: [sh, -c, "{command}"], volumeMounts: [{{name: d, mountPath: /d}}]}}]
  volumes: [{{name: d, {more.get("volume") or "persistentVolumeClaim: {claimName: " + claim + "}"}}}]
"""


def claim(name, size="10Mi"):
    return f"""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}}}
spec: {{storageClassName: test, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {size}}}}}}}
"""


def running(c, name, timeout=60):
    wait_for(f"{name} to run", lambda: c.get("pod", name)["status"].get("phase") == "Running", timeout)


def said(c, name, reason):
    return [e["message"] for e in c.get("events")["items"] if e["involvedObject"]["name"] == name and e["reason"] == reason]


def registers(c, d):
    c.apply(CLASS)
    d.start()
    wait_for("the CSINode", lambda: c.get("csinode", "node-1")["spec"]["drivers"])
    entry = c.get("csinode", "node-1")["spec"]["drivers"][0]
    equal((entry["name"], entry["nodeID"], entry["allocatable"]["count"]), (NAME, "the-node", 8))
    equal(c.get("node", "node-1")["metadata"]["labels"]["topology.test/node"], "the-node")


def there_and_back(c, d):
    c.apply(claim("one") + "---" + pod("p", "one"))
    running(c, "p")
    c.kubectl("exec", "p", "--", "sh", "-c", "echo kept > /d/f")
    node = c.get("node", "node-1")["status"]
    equal(len(node["volumesAttached"]), 1)
    equal(node["volumesInUse"], [node["volumesAttached"][0]["name"]])
    contains("".join(said(c, "p", "SuccessfulAttachVolume")), "AttachVolume.Attach succeeded for volume")
    equal(len(d.mounts()) >= 2, True, d.mounts())
    c.kubectl("delete", "pod", "p", "--timeout=60s")
    wait_for("all of it to be taken away", lambda: not d.mounts() and not c.get("volumeattachments")["items"])
    equal("volumesInUse" in c.get("node", "node-1")["status"], False)
    # another pod finds what the first one left
    c.apply(pod("q", "one"))
    running(c, "q")
    equal(c.kubectl("exec", "q", "--", "cat", "/d/f"), "kept\n")


def not_at_a_second_node(c, _):
    """A node of which there is but the object wants it, too."""
    c.apply("{apiVersion: v1, kind: Node, metadata: {name: other}}")
    c.apply(pod("second", "one", node="other"))
    wait_for("the refusal", lambda: said(c, "second", "FailedAttachVolume"))
    contains(said(c, "second", "FailedAttachVolume")[0], "Multi-Attach error for volume", "Volume is already used by pod(s) q")
    equal(len(c.get("volumeattachments")["items"]), 1)
    c.kubectl("delete", "pod", "second", "--force", "--grace-period=0")
    c.kubectl("delete", "node", "other")


def grows(c, _):
    c.kubectl("patch", "pvc", "one", "-p", '{"spec":{"resources":{"requests":{"storage":"20Mi"}}}}')
    wait_for("the claim to have grown", lambda: c.get("pvc", "one")["status"]["capacity"]["storage"] == "20Mi", 90)
    equal([x["type"] for x in c.get("pvc", "one")["status"].get("conditions", []) if "Resiz" in x["type"]], [])


def inline(c, d):
    c.apply(pod("own", None, volume=f"csi: {{driver: {NAME}}}"))
    running(c, "own")
    equal(c.kubectl("exec", "own", "--", "cat", "/d/pod"), "own")
    c.kubectl("delete", "pod", "own", "--timeout=60s")
    wait_for("its mount to go", lambda: len(d.mounts()) == 2)


def killed_between_stage_and_publish(c, d):
    c.apply(claim("two"))
    d.say(hang="NodePublishVolume")
    before = d.calls().count("NodePublishVolume")
    c.apply(pod("between", "two"))
    wait_for("the call that hangs", lambda: d.calls().count("NodePublishVolume") > before, 60)
    c.kill()
    d.say(hang=None)
    c.start()
    running(c, "between", 90)
    c.kubectl("exec", "between", "--", "sh", "-c", "echo x > /d/f")
    running(c, "q")  # which runs on


def a_driver_that_hangs_stops_nobody_else(c, d):
    other = Driver(c, "hangs.csi.example.com", sidecars=False).start()
    try:
        wait_for("the second driver", lambda: len(c.get("csinode", "node-1")["spec"]["drivers"]) == 2)
        c.apply("{apiVersion: storage.k8s.io/v1, kind: CSIDriver, metadata: {name: hangs.csi.example.com}, "
                "spec: {attachRequired: false, podInfoOnMount: true, volumeLifecycleModes: [Ephemeral]}}")
        other.say(hang="NodePublishVolume", **{"for": "default"})
        c.kubectl("create", "namespace", "quiet")
        for i in range(12):
            c.apply(pod(f"stuck-{i}", None, volume="csi: {driver: hangs.csi.example.com}"))
        wait_for("calls that hang", lambda: "NodePublishVolume" in other.calls(), 60)
        # Neither those of the same driver in another namespace.
        wait_for("the account", lambda: "default" in c.kubectl("get", "serviceaccount", "-n", "quiet"))
        c.apply(pod("calm", None, volume="csi: {driver: hangs.csi.example.com}"), "-n", "quiet")
        wait_for("pod calm", lambda: c.get("pod", "calm", "-n", "quiet")["status"]["phase"] == "Running", 60)
        c.kubectl("delete", "namespace", "quiet", "--timeout=60s")
        c.apply(pod("plain", None, volume="emptyDir: {}"))
        c.apply(claim("three") + "---" + pod("fine", "three"))
        running(c, "plain")
        running(c, "fine")
        c.stop()  # nor the server's end
        c.start()
        running(c, "fine")
        other.say(hang=None)
        c.kubectl("delete", "pod", "fine", "plain", *(f"stuck-{i}" for i in range(12)), "--timeout=80s")
        wait_for("its mounts to go", lambda: not [m for m in d.mounts() if "stuck" in m])
    finally:
        other.stop()
    wait_for("the second driver to be gone", lambda: len(c.get("csinode", "node-1")["spec"]["drivers"]) == 1)


def all_goes(c, d):
    c.kubectl("delete", "pod", "--all", "--timeout=80s")
    c.kubectl("delete", "pvc", "--all", "--timeout=60s")
    wait_for("the volumes to go", lambda: not c.get("pv")["items"] and not [v for v in d.volumes() if v.startswith("pvc-")], 60)
    wait_for("the mounts to go", lambda: not d.mounts())
    left = [os.path.join(at, f) for at, _, files in os.walk(d.root) for f in files if f == "vol_data.json"]
    equal(left, [])


def cleanup_leaves_nothing_mounted(c, d):
    c.apply(claim("last") + "---" + pod("l", "last"))
    running(c, "l")
    c.stop()
    subprocess.run([CARAVEL, "cleanup", "--stop", "--data-dir", os.path.join(c.dir, "data")], check=True, timeout=120,
                   stdout=subprocess.DEVNULL)
    equal(d.mounts(), [])
    equal([x for x in ("pods", "plugins", "plugins_registry") if os.path.exists(os.path.join(d.root, x))], [])
    equal(len([v for v in d.volumes() if v.startswith("pvc-")]), 1)  # which is the driver's


if __name__ == "__main__":
    need_node()
    skip_or_install()
    with Cluster(agent=True) as cluster:
        driver = Driver(cluster)
        try:
            sys.exit(main([registers, there_and_back, not_at_a_second_node, grows, inline, killed_between_stage_and_publish,
                           a_driver_that_hangs_stops_nobody_else, all_goes, cleanup_leaves_nothing_mounted], cluster, driver))
        finally:
            driver.end()
