#!/usr/bin/env python3
"""Claims on a real node: a StatefulSet with a volume for each pod, data that outlive pods and the server, volumes that exist."""
import json
import os
import subprocess
import sys

from lib import Cluster, Failed, contains, equal, main, need_node, wait_for

IMAGE = "docker.io/caravel/demo:1"
SET = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      securityContext: {runAsUser: 1001, runAsNonRoot: true}
      terminationGracePeriodSeconds: 1
      containers:
      - name: c
        image: %s
        command: [sh, -c, "hostname >> /data/who; exec sleep 100000"]
        volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
"""


def claim(c, name):
    return c.get("pvc", name)


def directories(c):
    top = os.path.join(c.dir, "data", "storage")
    return sorted(name for name in os.listdir(top) if name.startswith("pvc-"))


def images_mounted(c):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return [line.split()[4] for line in f if os.path.join(c.dir, "data", "storage") in line.split()[4]]


def may_grow_mounted():
    """Does the kernel let us grow a file system that is in use (CAP_SYS_RESOURCE)? In some containers it does not."""
    with open("/proc/self/status", encoding="utf-8") as f:
        return next(int(line.split()[1], 16) for line in f if line.startswith("CapEff:")) >> 24 & 1


def each_pod_has_a_volume(c):
    c.apply(SET % IMAGE)
    c.kubectl("rollout", "status", "sts/db", "--timeout=90s")
    for i in range(2):
        equal(claim(c, f"data-db-{i}")["status"]["phase"], "Bound")
        equal(c.kubectl("exec", f"db-{i}", "--", "cat", "/data/who").split(), [f"db-{i}"])
    equal(len(directories(c)), 2)
    contains(c.kubectl("get", "sc"), "local-path (default)", "WaitForFirstConsumer")
    contains(c.kubectl("get", "pvc"), "Bound", "local-path")


def data_outlive_pods_and_the_server(c):
    c.kubectl("delete", "pod", "db-0", "--wait=true", "--timeout=60s")
    c.kill()
    c.start()
    c.kubectl("rollout", "status", "sts/db", "--timeout=90s")
    wait_for("the second life", lambda: c.kubectl("exec", "db-0", "--", "cat", "/data/who").split() == ["db-0"] * 2)


def claims_in_use_stay(c):
    c.kubectl("delete", "pvc", "data-db-1", "--wait=false")
    contains(c.kubectl("get", "pvc", "data-db-1"), "Terminating")
    c.kubectl("delete", "sts", "db", "--timeout=60s")
    wait_for("the claim to go", lambda: "data-db-1" not in c.kubectl("get", "pvc"), 60)
    c.kubectl("delete", "pvc", "--all", "--timeout=60s")
    wait_for("the directories to go", lambda: not directories(c), 60)
    wait_for("the volumes to go", lambda: c.get("pv")["items"] == [], 60)


def a_volume_that_exists(c):
    path = os.path.join(c.dir, "disk")
    os.mkdir(path)
    with open(os.path.join(path, "old"), "w", encoding="utf-8") as f:
        f.write("kept\n")
    c.apply(f"""
apiVersion: v1
kind: PersistentVolume
metadata: {{name: disk}}
spec: {{storageClassName: manual, capacity: {{storage: 1Gi}}, accessModes: [ReadWriteOnce], hostPath: {{path: {path}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec:
  restartPolicy: Never
  containers: [{{name: c, image: {IMAGE}, command: [cat, /d/old], volumeMounts: [{{name: d, mountPath: /d}}]}}]
  volumes: [{{name: d, persistentVolumeClaim: {{claimName: mine}}}}]
""")
    def why():
        return next((x["message"] for x in c.get("pod", "p")["status"].get("conditions", []) if x["type"] == "PodScheduled"), "")
    wait_for("the reason", lambda: 'persistentvolumeclaim "mine" not found' in why())
    c.apply("""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: mine}
spec: {storageClassName: manual, accessModes: [ReadWriteOnce], resources: {requests: {storage: 100Mi}}}
""")
    wait_for("the pod", lambda: c.get("pod", "p")["status"]["phase"] == "Succeeded", 60)
    equal(c.kubectl("logs", "p"), "kept\n")
    c.kubectl("delete", "pod", "p")
    c.kubectl("delete", "pvc", "mine", "--timeout=60s")
    wait_for("Released", lambda: c.get("pv", "disk")["status"]["phase"] == "Released")
    if not os.path.exists(os.path.join(path, "old")):
        raise Failed("the data of a kept volume are gone")


SIZED = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: sized}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 20Mi}}}
"""
USER = """
apiVersion: v1
kind: Pod
metadata: {name: user}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: %s, command: [sh, -c, "exec sleep 100000"], volumeMounts: [{name: d, mountPath: /d}]}]
  volumes: [{name: d, persistentVolumeClaim: {claimName: sized}}]
"""


def running(c, name):
    wait_for(f"{name} to run", lambda: c.get("pod", name)["status"].get("phase") == "Running", 60)


def said(c, name, reason):
    return [e["message"] for e in c.get("events")["items"] if e["involvedObject"]["name"] == name and e["reason"] == reason]


def size_is_held(c):
    """The agent is killed while the volume is being made, and what is there afterwards is whole."""
    c.apply(SIZED)
    c.apply(USER % IMAGE)
    wait_for("the node", lambda: "volume.kubernetes.io/selected-node" in claim(c, "sized")["metadata"].get("annotations", {}))
    c.kill()
    c.start()
    running(c, "user")
    contains(" ".join(said(c, "sized", "ProvisioningSucceeded") or ["enforcement of its size: image"]), "enforcement of its size: image")
    said_no = c.kubectl("exec", "user", "--", "sh", "-c", "dd if=/dev/zero of=/d/f bs=64k count=1000 2>&1 || true")
    contains(said_no, "No space left on device")
    size = int(c.kubectl("exec", "user", "--", "stat", "-c", "%s", "/d/f"))
    if not 20 << 20 <= size <= 26 << 20:
        raise Failed(f"of 20Mi {size} bytes could be written")


def fullness_is_told(c):
    node = c.get("nodes")["items"][0]["metadata"]["name"]
    labels = '{namespace="default",persistentvolumeclaim="sized"} '
    text = c.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics")
    free = next(line for line in text.splitlines() if line.startswith("kubelet_volume_stats_available_bytes" + labels))
    equal(int(free.split()[-1]) < 1 << 20, True, "what is free of a full volume")
    contains(text, 'volume_manager_total_volumes{plugin_name="kubernetes.io/host-path",state="actual_state_of_world"} ',
             'storage_operation_duration_seconds_count{migrated="false",operation_name="volume_mount",status="success",'
             'volume_plugin="kubernetes.io/projected"} ')
    summary = json.loads(c.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
    pod = next(p for p in summary["pods"] if p["podRef"]["name"] == "user")
    equal(pod["volume"][0]["pvcRef"], {"name": "sized", "namespace": "default"})
    equal(pod["volume"][0]["name"], "d")


def capacity(c):
    return claim(c, "sized")["status"]["capacity"]["storage"]


def grows_under_load(c):
    """A writer goes on through it. Where the kernel refuses to grow what is mounted, the next mount does it."""
    c.kubectl("exec", "user", "--", "sh", "-c", "rm /d/f; (while sleep 0.05; do date >> /d/log || exit; done) > /dev/null 2>&1 &")
    c.kubectl("patch", "pvc", "sized", "-p", '{"spec":{"resources":{"requests":{"storage":"60Mi"}}}}')
    if may_grow_mounted():
        wait_for("the capacity", lambda: capacity(c) == "60Mi", 30)
        c.kubectl("exec", "user", "--", "dd", "if=/dev/zero", "of=/d/f", "bs=1M", "count=50")
    else:
        wait_for("what it waits for", lambda: any(x["type"] == "FileSystemResizePending" for x in claim(c, "sized")["status"].get("conditions", [])))
        equal(capacity(c), "20Mi")
        equal(claim(c, "sized")["status"]["allocatedResourceStatuses"], {"storage": "NodeResizePending"})
        wait_for("what is to be done", lambda: any("end all pods of the claim" in m for m in said(c, "sized", "FileSystemResizeRequired")))
    lines = int(c.kubectl("exec", "user", "--", "sh", "-c", "wc -l < /d/log"))
    wait_for("more lines", lambda: int(c.kubectl("exec", "user", "--", "sh", "-c", "wc -l < /d/log")) > lines)
    c.kubectl("delete", "pod", "user", "--timeout=60s")


def grows_with_the_next_pod(c):
    """No reboot, no restart: the pod after the last one that used it has it as large as was asked for."""
    c.apply(USER % IMAGE)
    running(c, "user")
    c.kubectl("exec", "user", "--", "dd", "if=/dev/zero", "of=/d/f", "bs=1M", "count=50")
    c.kubectl("exec", "user", "--", "rm", "/d/f")
    wait_for("the capacity", lambda: capacity(c) == "60Mi", 60)
    equal(int(c.kubectl("exec", "user", "--", "sh", "-c", "wc -l < /d/log")) > 0, True)
    # Again, and nobody starts before the machine does.
    c.kubectl("patch", "pvc", "sized", "-p", '{"spec":{"resources":{"requests":{"storage":"80Mi"}}}}')
    wait_for("the files", lambda: any(x["type"] == "FileSystemResizePending" for x in claim(c, "sized")["status"].get("conditions", []))
             or capacity(c) == "80Mi")
    c.kubectl("delete", "pod", "user", "--timeout=60s")


def found_mounted_after_a_reboot(c):
    """Killed, and everything that was mounted is gone: the pod finds its data, in a volume as large as it was to be."""
    c.kill()
    for at in images_mounted(c):
        subprocess.run(["umount", at], check=True)
    c.start()
    c.apply(USER % IMAGE)
    running(c, "user")
    wait_for("the capacity", lambda: capacity(c) == "80Mi", 90)
    equal([x["type"] for x in claim(c, "sized")["status"].get("conditions", []) if x["type"] != "Unused"], [])
    equal(int(c.kubectl("exec", "user", "--", "sh", "-c", "wc -l < /d/log")) > 0, True)
    c.kubectl("exec", "user", "--", "dd", "if=/dev/zero", "of=/d/f", "bs=1M", "count=70")
    c.kubectl("delete", "pod", "user", "--timeout=60s")
    c.kubectl("delete", "pvc", "sized", "--timeout=60s")
    wait_for("the volumes to go", lambda: not directories(c) and not images_mounted(c), 60)


def block_device(c):
    c.apply(f"""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: raw}}
spec: {{volumeMode: Block, accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 8Mi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: raw}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: {IMAGE}, command: [sh, -c, "exec sleep 100000"], volumeDevices: [{{name: d, devicePath: /dev/xvda}}]}}]
  volumes: [{{name: d, persistentVolumeClaim: {{claimName: raw}}}}]
""")
    running(c, "raw")
    contains(c.kubectl("exec", "raw", "--", "sh", "-c", "dd if=/dev/zero of=/dev/xvda bs=1M count=20 2>&1 || true"), "No space left on device", "8+0 records out")
    c.kubectl("delete", "pod", "raw", "--timeout=60s")
    c.kubectl("delete", "pvc", "raw", "--timeout=60s")
    wait_for("the device to go", lambda: not directories(c), 60)
    equal(os.path.join(c.dir, "data") in subprocess.run(["losetup", "-a"], check=True, capture_output=True, text=True).stdout, False)


def device_of_an_admin(c):
    """A volume of local that is a device, and is nobody's of ours: used, and left as it is."""
    file = os.path.join(c.dir, "device")
    with open(file, "wb") as f:
        f.truncate(8 << 20)
    device = subprocess.run(["losetup", "--find", "--show", file], check=True, capture_output=True, text=True).stdout.strip()
    try:
        node = c.get("nodes")["items"][0]["metadata"]["name"]
        c.apply(f"""
apiVersion: v1
kind: PersistentVolume
metadata: {{name: raw-disk}}
spec:
  capacity: {{storage: 8Mi}}
  accessModes: [ReadWriteOnce]
  volumeMode: Block
  storageClassName: ""
  local: {{path: {device}}}
  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{node}]}}]}}]}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: raw-disk}}
spec: {{volumeMode: Block, storageClassName: "", accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 8Mi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: raw-disk}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: {IMAGE}, command: [sh, -c, "exec sleep 100000"], volumeDevices: [{{name: d, devicePath: /dev/xvda}}]}}]
  volumes: [{{name: d, persistentVolumeClaim: {{claimName: raw-disk}}}}]
""")
        running(c, "raw-disk")
        c.kubectl("exec", "raw-disk", "--", "sh", "-c", "echo of the pod | dd of=/dev/xvda 2>&1")
        c.kubectl("delete", "pod", "raw-disk", "--timeout=60s")
        c.kubectl("delete", "pvc", "raw-disk", "--timeout=60s")
        c.kubectl("delete", "pv", "raw-disk", "--timeout=60s")
        with open(device, "rb") as f:
            equal(f.read(10), b"of the pod")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def disk_pod(name, more="", read_only=False):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  {more}
  containers: [{{name: c, image: {IMAGE}, command: [sh, -c, "exec sleep 100000"], volumeMounts: [{{name: d, mountPath: /d}}]}}]
  volumes: [{{name: d, persistentVolumeClaim: {{claimName: blank{", readOnly: true" if read_only else ""}}}}}]
"""


def mounts_of(device):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return [line.split()[4] for line in f if f" {device} " in line.split(" - ")[1]]


def disk_as_a_directory(c):
    """A volume of local that is a device, and of mode Filesystem: a blank one gets a file system, is mounted once, and
    is nobody's when the last pod has gone, also where the agent was killed meanwhile."""
    file = os.path.join(c.dir, "disk.img")
    with open(file, "wb") as f:
        f.truncate(64 << 20)
    device = subprocess.run(["losetup", "--find", "--show", file], check=True, capture_output=True, text=True).stdout.strip()
    try:
        node = c.get("nodes")["items"][0]["metadata"]["name"]
        c.apply(f"""
apiVersion: v1
kind: PersistentVolume
metadata: {{name: blank}}
spec:
  capacity: {{storage: 64Mi}}
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  mountOptions: [noatime]
  local: {{path: {device}, fsType: ext4}}
  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{node}]}}]}}]}}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: blank}}
spec: {{storageClassName: "", accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 64Mi}}}}}}
---
{disk_pod("disk-a", "securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 4242}")}
""")
        running(c, "disk-a")
        c.kubectl("exec", "disk-a", "--", "sh", "-c", "echo of the pod > /d/x")
        equal(c.kubectl("exec", "disk-a", "--", "stat", "-c", "%g", "/d/x").strip(), "4242")
        contains(c.kubectl("exec", "disk-a", "--", "grep", " /d ", "/proc/mounts"), "noatime")
        c.apply(disk_pod("disk-b", read_only=True))
        running(c, "disk-b")
        equal(c.kubectl("exec", "disk-b", "--", "cat", "/d/x"), "of the pod\n")
        contains(c.kubectl("exec", "disk-b", "--", "sh", "-c", "echo y > /d/y || echo refused"), "refused")
        once = [m for m in mounts_of(device) if "/plugins/" in m]
        equal([m.split("/plugins/")[1] for m in once], ["kubernetes.io/local-volume/mounts/blank"])
        c.kubectl("delete", "pod", "disk-a", "--timeout=60s")
        equal([m for m in mounts_of(device) if "/plugins/" in m], once)
        c.kill()
        c.start()
        c.kubectl("delete", "pod", "disk-b", "--timeout=60s")
        wait_for("the disk to be nobody's", lambda: not mounts_of(device), 60)
        # It holds something now, and is not made anew.
        c.apply(disk_pod("disk-c"))
        running(c, "disk-c")
        equal(c.kubectl("exec", "disk-c", "--", "cat", "/d/x"), "of the pod\n")
        c.kubectl("delete", "pod", "disk-c", "--timeout=60s")
        wait_for("the disk to be nobody's", lambda: not mounts_of(device), 60)
        # Nor is one that holds what is no file system: a table of partitions.
        table = bytes([0, 0, 2, 0, 0x83, 0, 3, 0]) + (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little") + bytes(48) + b"\x55\xaa"
        with open(device, "r+b") as f:
            f.write(bytes(446) + table + bytes((1 << 20) - 512))
        c.apply(disk_pod("disk-d"))
        wait_for("the refusal", lambda: f"local: failed to mount device {device}" in c.kubectl("get", "events", "-o", "yaml"), 60)
        contains(subprocess.run(["blkid", "-p", device], check=True, capture_output=True, text=True).stdout, "PTTYPE=\"dos\"")
        c.kubectl("delete", "pod", "disk-d", "--timeout=60s")
        c.kubectl("delete", "pvc", "blank", "--timeout=60s")
        c.kubectl("delete", "pv", "blank", "--timeout=60s")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def ephemeral_volume(c):
    c.apply(f"""
apiVersion: v1
kind: Pod
metadata: {{name: scratch}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: {IMAGE}, command: [sh, -c, "echo x > /d/x; exec sleep 100000"], volumeMounts: [{{name: d, mountPath: /d}}]}}]
  volumes:
  - name: d
    ephemeral: {{volumeClaimTemplate: {{spec: {{accessModes: [ReadWriteOncePod], resources: {{requests: {{storage: 8Mi}}}}}}}}}}
""")
    running(c, "scratch")
    equal(claim(c, "scratch-d")["metadata"]["ownerReferences"][0]["name"], "scratch")
    c.kubectl("delete", "pod", "scratch", "--timeout=60s")
    wait_for("the claim to go", lambda: "scratch-d" not in c.kubectl("get", "pvc"), 60)
    wait_for("the volume to go", lambda: not directories(c), 60)


def clone_of_what_is_in_use(c):
    """Its source goes on writing; the clone is as large as it asks to be, and goes its own way."""
    pods = ("origin", "copy")
    for name, size, source in (("origin", "12Mi", ""), ("copy", "30Mi", "dataSource: {kind: PersistentVolumeClaim, name: origin},")):
        c.apply(f"""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {name}}}
spec: {{accessModes: [ReadWriteOnce], {source} resources: {{requests: {{storage: {size}}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: c, image: {IMAGE}, command: [sh, -c, "exec sleep 100000"], volumeMounts: [{{name: d, mountPath: /d}}]}}]
  volumes: [{{name: d, persistentVolumeClaim: {{claimName: {name}}}}}]
""")
        running(c, name)
        if name == "origin":
            c.kubectl("exec", name, "--", "sh", "-c", "seq 1000 > /d/old; (while sleep 0.05; do date >> /d/log || exit; done) > /dev/null 2>&1 &")
    equal(c.kubectl("exec", "copy", "--", "sh", "-c", "wc -l < /d/old").strip(), "1000")
    c.kubectl("exec", "copy", "--", "sh", "-c", "rm /d/log; dd if=/dev/zero of=/d/f bs=1M count=28")
    def lines():
        return int(c.kubectl("exec", "origin", "--", "sh", "-c", "wc -l < /d/log"))
    before = lines()
    wait_for("the source to write on", lambda: lines() > before)
    c.kubectl("delete", "pod", *pods, "--timeout=60s")
    c.kubectl("delete", "pvc", *pods, "--timeout=60s")
    wait_for("the volumes to go", lambda: not directories(c) and not images_mounted(c), 60)


if __name__ == "__main__":
    need_node()
    with Cluster(agent=True) as cluster:
        sys.exit(main([each_pod_has_a_volume, data_outlive_pods_and_the_server, claims_in_use_stay, a_volume_that_exists,
                       size_is_held, fullness_is_told, grows_under_load, grows_with_the_next_pod, found_mounted_after_a_reboot, block_device, device_of_an_admin,
                       disk_as_a_directory, ephemeral_volume,
                       clone_of_what_is_in_use],
                      cluster))
