#!/usr/bin/env python3
"""Claims on a real node: a StatefulSet with a volume for each pod, data that outlive pods and the server, volumes that exist."""
import os
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
    return sorted(os.listdir(top))


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


if __name__ == "__main__":
    need_node()
    with Cluster(agent=True) as cluster:
        sys.exit(main([each_pod_has_a_volume, data_outlive_pods_and_the_server, claims_in_use_stay, a_volume_that_exists], cluster))
