#!/usr/bin/env python3
"""VolumeSnapshots on a real node: of an image that is written to, of a device, of a directory; restored, kept, gone with a kill in between."""
import fcntl
import json
import os
import re
import sys

from lib import Cluster, contains, equal, main, need_node, wait_for

IMAGE = "docker.io/caravel/demo:1"
GROUP = "snapshot.storage.k8s.io"


def storage(c):
    return os.path.join(c.dir, "data", "storage")


def snapshots_on_disk(c):
    top = os.path.join(storage(c), ".snapshots")
    return sorted(os.listdir(top)) if os.path.isdir(top) else []


def claim(name, size="16Mi", source="", more=""):
    return f"""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}}}
spec: {{accessModes: [ReadWriteOnce], {source} {more} resources: {{requests: {{storage: {size}}}}}}}
"""


def pod(name, pvc, command="exec sleep 100000", device=False):
    at = "volumeDevices: [{name: d, devicePath: /dev/d}]" if device else "volumeMounts: [{name: d, mountPath: /d}]"
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: {IMAGE}, command: [sh, -c, "{command}"], {at}}}]
  volumes: [{{name: d, persistentVolumeClaim: {{claimName: {pvc}}}}}]
"""


def snapshot(name, pvc):
    return f"""
apiVersion: {GROUP}/v1
kind: VolumeSnapshot
metadata: {{name: {name}}}
spec: {{source: {{persistentVolumeClaimName: {pvc}}}}}
"""


def of_snapshot(name):
    return f"dataSource: {{apiGroup: {GROUP}, kind: VolumeSnapshot, name: {name}}},"


def running(c, name):
    wait_for(f"pod {name}", lambda: c.get("pod", name)["status"]["phase"] == "Running", 90)


def ready(c, name):
    wait_for(f"snapshot {name}", lambda: c.get("volumesnapshot", name).get("status", {}).get("readyToUse"), 60)
    return c.get("volumesnapshot", name)["status"]


def sh(c, name, command):
    return c.kubectl("exec", name, "--", "sh", "-c", command)


def clear(c, *kinds):
    for kind in kinds:
        c.kubectl("delete", kind, "--all", "--timeout=90s")


def one_manifest_holds_a_claim_and_its_snapshot(c):
    wait_for("the kinds", lambda: len([x for x in c.get("crd")["items"] if x["spec"]["group"] == GROUP]) == 3, 30)
    equal(c.kubectl("get", "volumesnapshotclass", "-o", "name"), "")  # nobody has anything to take a snapshot of
    c.apply(claim("first") + "---" + snapshot("first", "first"))
    wait_for("the class", lambda: "local-path" in c.kubectl("get", "volumesnapshotclass"), 30)
    contains(c.kubectl("get", "volumesnapshotclass"), "DRIVER", "DELETIONPOLICY", "caravel.io/local-path", "Delete")
    wait_for("what it waits for", lambda: "is not yet bound" in c.get("volumesnapshot", "first").get("status", {}).get("error", {}).get("message", ""), 30)
    c.kubectl("delete", "volumesnapshot", "first")
    c.kubectl("delete", "pvc", "first")


def upstreams_definitions_take_over(c):
    """Whoever brings them gets them, and nothing is lost."""
    crd = c.get("crd", f"volumesnapshotclasses.{GROUP}")
    crd["metadata"] = {"name": crd["metadata"]["name"], "annotations": crd["metadata"]["annotations"]}
    crd.pop("status")
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "theirs"
    c.apply(json.dumps(crd))
    contains(c.kubectl("get", "volumesnapshotclass"), "local-path")
    contains(c.kubectl("explain", "volumesnapshotclass"), "theirs")


def an_image_that_is_written_to(c):
    """A moment of it: what was synced before is there, what comes later is not; its writer goes on."""
    c.apply(claim("origin") + "---" + pod("origin", "origin"))
    running(c, "origin")
    sh(c, "origin", "seq 1000 > /d/old; sync; (while sleep 0.05; do date >> /d/log || exit; done) > /dev/null 2>&1 &")
    c.apply(snapshot("one", "origin"))
    status = ready(c, "one")
    equal(status["restoreSize"], "16Mi")
    content = c.get("volumesnapshotcontent", status["boundVolumeSnapshotContentName"])
    equal(content["metadata"]["labels"]["snapshot.storage.kubernetes.io/managed-by"], c.get("nodes")["items"][0]["metadata"]["name"])
    sh(c, "origin", "echo later > /d/later")
    def lines():
        return int(sh(c, "origin", "wc -l < /d/log"))
    before = lines()
    wait_for("the source to write on", lambda: lines() > before)
    c.apply(claim("small", "8Mi", of_snapshot("one")) + "---" + pod("small", "small"))
    wait_for("the refusal", lambda: "is less than the size" in c.kubectl("describe", "pvc", "small"), 60)
    c.kubectl("delete", "pod", "small")
    c.kubectl("delete", "pvc", "small")
    c.apply(claim("copy", "32Mi", of_snapshot("one")) + "---" + pod("copy", "copy"))
    running(c, "copy")
    equal(sh(c, "copy", "wc -l < /d/old").strip(), "1000")
    equal(sh(c, "copy", "ls /d/later 2> /dev/null | wc -l").strip(), "0")


def blocks_are_shared(c):
    with open(os.path.join(storage(c), ".new-a"), "wb+") as a, open(os.path.join(storage(c), ".new-b"), "wb+") as b:
        try:
            fcntl.ioctl(b.fileno(), 0x40049409, a.fileno())  # FICLONE
            return True
        except OSError:
            return False
        finally:
            os.unlink(a.name)
            os.unlink(b.name)


def a_large_image(c):
    """More than writers may wait for: only when no pod has it, where blocks are not shared; and its next pod goes on with it."""
    c.apply(claim("large", "1300Mi") + "---" + pod("large", "large"))
    running(c, "large")
    sh(c, "large", "echo text > /d/f; sync")
    volume = c.get("pvc", "large")["spec"]["volumeName"]
    images = os.path.join(storage(c), ".images")
    with open(os.path.join(images, next(x for x in os.listdir(images) if volume in x)), "r+b") as f:
        os.posix_fallocate(f.fileno(), 0, 1100 << 20)
    c.apply(snapshot("large", "large"))
    def said():
        return [x for x in c.get("volumesnapshotcontent")["items"] if "is in use" in json.dumps(x.get("status", {}))]
    if not blocks_are_shared(c):
        wait_for("the refusal", said, 60)
    c.kubectl("delete", "pod", "large", "--timeout=60s")
    ready(c, "large")
    c.apply(pod("large", "large"))
    running(c, "large")
    equal(sh(c, "large", "echo more >> /d/f; cat /d/f").split(), ["text", "more"])
    c.kubectl("delete", "volumesnapshot", "large", "--timeout=60s")
    c.kubectl("delete", "pod", "large", "--timeout=60s")
    c.kubectl("delete", "pvc", "large", "--timeout=60s")


def it_outlives_its_volume(c):
    c.kubectl("delete", "pod", "origin", "copy", "--timeout=60s")
    c.kubectl("delete", "pvc", "origin", "copy", "--timeout=60s")
    c.kill()
    c.start()
    c.apply(claim("again", "16Mi", of_snapshot("one")) + "---" + pod("again", "again"))
    running(c, "again")
    equal(sh(c, "again", "wc -l < /d/old").strip(), "1000")
    c.kubectl("delete", "volumesnapshot", "one", "--timeout=60s")
    wait_for("the files to go", lambda: snapshots_on_disk(c) == [], 30)
    equal(c.get("volumesnapshotcontent")["items"], [])
    clear(c, "pod", "pvc")


def a_device(c):
    c.apply(claim("dev", "8Mi", more="volumeMode: Block,") + "---" + pod("dev", "dev", device=True))
    running(c, "dev")
    sh(c, "dev", "printf hello | dd of=/dev/d bs=1 seek=4096 conv=notrunc && sync")
    c.apply(snapshot("d", "dev"))
    ready(c, "d")
    c.apply(claim("wrong", "8Mi", of_snapshot("d")) + "---" + pod("wrong", "wrong"))
    wait_for("the refusal", lambda: "modifies the mode of the source volume" in c.kubectl("describe", "pvc", "wrong"), 60)
    c.apply(claim("dev2", "8Mi", of_snapshot("d"), "volumeMode: Block,") + "---" + pod("dev2", "dev2", device=True))
    running(c, "dev2")
    equal(sh(c, "dev2", "dd if=/dev/d bs=1 skip=4096 count=5 2> /dev/null"), "hello")
    clear(c, "pod", "pvc", "volumesnapshot")


def a_directory(c):
    """Of the class without a limit: links stay links, and lead nowhere."""
    c.apply("""
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: plain}
provisioner: caravel.io/local-path
parameters: {enforcement: none}
volumeBindingMode: WaitForFirstConsumer
""")
    more = "storageClassName: plain,"
    c.apply(claim("plain", more=more) + "---" + pod("plain", "plain"))
    running(c, "plain")
    sh(c, "plain", "mkdir -p /d/a/b && echo x > /d/a/b/f && ln -s /etc/passwd /d/link && ln /d/a/b/f /d/hard && chmod 640 /d/hard")
    c.apply(snapshot("p", "plain"))
    ready(c, "p")
    sh(c, "plain", "echo y > /d/a/b/f")
    c.apply(claim("plain2", "16Mi", of_snapshot("p"), more) + "---" + pod("plain2", "plain2"))
    running(c, "plain2")
    equal(sh(c, "plain2", "cat /d/a/b/f /d/hard; readlink /d/link; stat -c %a%h /d/hard").split(), ["x", "x", "/etc/passwd", "6402"])


def kept_and_found(c):
    c.kubectl("patch", "volumesnapshotclass", "local-path", "--type=merge", "-p", '{"deletionPolicy":"Retain"}')
    c.apply(snapshot("kept", "plain"))
    status = ready(c, "kept")
    content = c.get("volumesnapshotcontent", status["boundVolumeSnapshotContentName"])
    handle = content["status"]["snapshotHandle"]
    c.kubectl("delete", "volumesnapshot", "kept", "--timeout=60s")
    c.kubectl("delete", "volumesnapshotcontent", content["metadata"]["name"], "--timeout=60s")
    equal(len([x for x in snapshots_on_disk(c) if re.sub(r".*/", "", handle) in x]), 1)
    c.apply(f"""
apiVersion: {GROUP}/v1
kind: VolumeSnapshotContent
metadata: {{name: found}}
spec:
  driver: caravel.io/local-path
  deletionPolicy: Delete
  source: {{snapshotHandle: {handle}}}
  volumeSnapshotRef: {{name: found, namespace: default}}
---
apiVersion: {GROUP}/v1
kind: VolumeSnapshot
metadata: {{name: found}}
spec: {{source: {{volumeSnapshotContentName: found}}}}
""")
    ready(c, "found")
    c.apply(claim("found", "16Mi", of_snapshot("found"), "storageClassName: plain,") + "---" + pod("found", "found"))
    running(c, "found")
    equal(sh(c, "found", "cat /d/a/b/f").strip(), "y")
    clear(c, "pod", "pvc", "volumesnapshot")
    wait_for("the files to go", lambda: snapshots_on_disk(c) == [], 30)


def half_of_one_is_nothing(c):
    """Killed while it was taken, or while a volume was filled: the next start removes what is half there."""
    top = storage(c)
    c.kill()
    os.makedirs(os.path.join(top, ".snapshots", ".new-snapshot-x.tree", "d"), exist_ok=True)
    os.makedirs(os.path.join(top, "pvc-x_default_x", "d"))
    open(os.path.join(top, ".filling-pvc-x_default_x"), "w", encoding="utf-8").close()
    c.start()
    wait_for("the half ones to go", lambda: snapshots_on_disk(c) == [] and not [x for x in os.listdir(top) if "pvc-x" in x], 30)


if __name__ == "__main__":
    need_node()
    with Cluster(agent=True) as cluster:
        sys.exit(main([one_manifest_holds_a_claim_and_its_snapshot, upstreams_definitions_take_over, an_image_that_is_written_to, it_outlives_its_volume, a_large_image,
                       a_device, a_directory, kept_and_found, half_of_one_is_nothing], cluster))
