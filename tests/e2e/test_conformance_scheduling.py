#!/usr/bin/env python3
"""The conformance behaviours of sig-scheduling: a server with its scheduler, and nodes that are objects alone. Pods are bound and
never run, and have no grace, so what is preempted is gone at once. tests/fields/apps.tsv names them."""
import sys

from lib import Cluster, equal, main, need_tools, wait_for
from operations import MERGE, ask

NS = "/api/v1/namespaces/default"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
FAKE = "example.com/fakecpu"


def node(c, name, amount):
    ask(c, 201, "POST", "/api/v1/nodes", {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}})
    ask(c, 200, "PATCH", f"/api/v1/nodes/{name}/status", {"status": {
        "capacity": {FAKE: amount, "pods": "110"}, "allocatable": {FAKE: amount, "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "E2E", "message": "", "lastHeartbeatTime": "2036-01-01T00:00:00Z"}]}}, MERGE)
    wait_for(f"{name} without taints", lambda: not [
        t for t in ask(c, 200, "GET", f"/api/v1/nodes/{name}")["spec"].get("taints", []) if t["key"] == "node.kubernetes.io/not-ready"])


def spec(priority=None, amount=None, at=None):
    o = {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "example.com/none:1"}]}
    if priority:
        o["priorityClassName"] = priority
    if amount:
        o["containers"][0]["resources"] = {"requests": {FAKE: amount}, "limits": {FAKE: amount}}
    if at:
        o["nodeSelector"] = at
    return o


def pod(c, name, *args, ns=NS):
    return ask(c, 201, "POST", ns + "/pods", {"metadata": {"name": name}, "spec": spec(*args)})["metadata"]["uid"]


def bound(c, name, ns=NS):
    return wait_for(f"{name} to be bound", lambda: ask(c, 200, "GET", f"{ns}/pods/{name}")["spec"].get("nodeName"))


def is_there(c, name, ns=NS):
    return c.request("GET", f"{ns}/pods/{name}")[0] == 200


def node_selectors_are_respected(c):
    """validates that NodeSelector is respected if matching"""
    ask(c, 200, "PATCH", "/api/v1/nodes/n2", {"metadata": {"labels": {"kubernetes.io/e2e-here": "42"}}}, MERGE)
    for i in range(3):
        pod(c, f"chosen-{i}", None, None, {"kubernetes.io/e2e-here": "42"})
        equal(bound(c, f"chosen-{i}"), "n2")
    pod(c, "elsewhere", None, None, {"kubernetes.io/e2e-here": "43"})
    wait_for("why it waits", lambda: [x for x in ask(c, 200, "GET", NS + "/pods/elsewhere").get("status", {}).get("conditions", [])
                                      if x["type"] == "PodScheduled" and x["reason"] == "Unschedulable"])
    ask(c, 200, "DELETE", NS + "/pods")


def preempted_for(c, priority, ns):
    """Two of five on each node twice over; the one of low priority gives way, and no other."""
    uids = {}
    for i, (name, at) in enumerate((("low", "n1"), ("mid-1", "n1"), ("mid-2", "n2"), ("mid-3", "n2"))):
        uids[name] = pod(c, name, "e2e-medium" if i else "e2e-low", "2", {"kubernetes.io/hostname": at})
        equal(bound(c, name), at)
    pod(c, "preemptor", priority, "2", ns=ns)
    equal(bound(c, "preemptor", ns), "n1")
    equal(is_there(c, "low"), False)
    for name in ("mid-1", "mid-2", "mid-3"):
        o = ask(c, 200, "GET", f"{NS}/pods/{name}")
        equal((o["metadata"]["uid"], o["metadata"].get("deletionTimestamp")), (uids[name], None))
    ask(c, 200, "DELETE", NS + "/pods")
    c.request("DELETE", ns + "/pods/preemptor")


def less_important_pods_give_way(c):
    """validates basic preemption works"""
    preempted_for(c, "e2e-high", NS)


def critical_pods_come_first(c):
    """validates lower priority pod preemption by critical pod"""
    preempted_for(c, "system-cluster-critical", "/api/v1/namespaces/kube-system")


def sets_of_four_priorities(c):
    """PreemptionExecutionPath runs ReplicaSets to verify preemption running path"""
    node(c, "n3", "1000")
    seen = {}
    here = {"kubernetes.io/hostname": "n3"}
    for n, amount in ((1, "200"), (2, "300"), (3, "450")):
        name = f"p{n}"
        ask(c, 201, "POST", CLASSES, {"metadata": {"name": name}, "value": n})
        ask(c, 201, "POST", "/apis/apps/v1/namespaces/default/replicasets", {"metadata": {"name": name}, "spec": {
            "replicas": 1, "selector": {"matchLabels": {"name": name}},
            "template": {"metadata": {"labels": {"name": name}}, "spec": spec(name, amount, here)}}})
        first = wait_for(f"a pod of {name}", lambda l=name: ask(c, 200, "GET", f"{NS}/pods?labelSelector=name%3D{l}")["items"])[0]
        equal(bound(c, first["metadata"]["name"]), "n3")
        seen[name] = first["metadata"]["uid"]
    ask(c, 201, "POST", CLASSES, {"metadata": {"name": "p4"}, "value": 4})
    pod(c, "p4", "p4", "500", here)
    equal(bound(c, "p4"), "n3")

    def of(name):
        return [p["metadata"]["uid"] for p in ask(c, 200, "GET", f"{NS}/pods?labelSelector=name%3D{name}")["items"]]
    for name in ("p1", "p2"):
        wait_for(f"another pod of {name}", lambda l=name: of(l) and seen[l] not in of(l))
    equal(of("p3"), [seen["p3"]])
    ask(c, 200, "DELETE", "/apis/apps/v1/namespaces/default/replicasets")
    ask(c, 200, "DELETE", NS + "/pods")


def classes_of_priority(c):
    """PriorityClass endpoints verify PriorityClass endpoints can be operated with different HTTP methods"""
    for name, value in (("e2e-p1", 1), ("e2e-p2", 2)):
        ask(c, 201, "POST", CLASSES, {"metadata": {"name": name}, "value": value})
    there = {o["metadata"]["name"]: o for o in ask(c, 200, "GET", CLASSES)["items"]}
    equal([there[n]["value"] for n in ("e2e-p1", "e2e-p2")], [1, 2])
    for name, o in there.items():
        if name.startswith("e2e-p"):
            for method, body, headers in (("PATCH", {"value": 9}, MERGE), ("PUT", {**o, "value": 9}, None)):
                refusal = ask(c, 422, method, f"{CLASSES}/{name}", body, headers)
                equal((refusal["reason"], refusal["details"]["causes"][0]["field"]), ("Invalid", "value"))
            o = ask(c, 200, "PATCH", f"{CLASSES}/{name}", {"description": "patched"}, MERGE)
            equal(ask(c, 200, "PUT", f"{CLASSES}/{name}", {**o, "description": "put"})["description"], "put")
            ask(c, 200, "DELETE", f"{CLASSES}/{name}")


def limited(c, name, resources):
    status, o, _ = c.request("POST", NS + "/pods", {"metadata": {"name": name}, "spec": {
        "containers": [{"name": "c", "image": "example.com/none:1", "resources": resources}]}})
    return o["spec"]["containers"][0]["resources"] if status == 201 else status


def limit_ranges_give_and_bound(c):
    """LimitRange should create a LimitRange with defaults and ensure pod has those defaults applied"""
    def amounts(cpu, memory, storage):
        return {"cpu": cpu, "memory": memory, "ephemeral-storage": storage}
    ask(c, 201, "POST", NS + "/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": [{
        "type": "Container", "min": amounts("50m", "100Mi", "100Gi"), "max": amounts("500m", "500Mi", "500Gi"),
        "default": amounts("500m", "500Mi", "500Gi"), "defaultRequest": amounts("100m", "200Mi", "200Gi")}]}})
    o = ask(c, 200, "GET", NS + "/limitranges/l")
    equal(o["spec"]["limits"][0]["defaultRequest"], amounts("100m", "200Mi", "200Gi"))
    given = {"limits": amounts("500m", "500Mi", "500Gi"), "requests": amounts("100m", "200Mi", "200Gi")}

    def seen():  # admission has a cache of them
        got = limited(c, "none", {})
        c.request("DELETE", NS + "/pods/none")
        return got == given
    wait_for("the defaults", seen)
    equal(limited(c, "some", {"limits": {"cpu": "300m", "ephemeral-storage": "300Gi"},
                              "requests": {"memory": "150Mi", "ephemeral-storage": "150Gi"}}),
          {"limits": amounts("300m", "500Mi", "300Gi"), "requests": amounts("300m", "150Mi", "150Gi")})
    equal(limited(c, "less", {"requests": amounts("10m", "50Mi", "50Gi")}), 403)
    equal(limited(c, "more", {"limits": amounts("600m", "600Mi", "600Gi")}), 403)
    o["spec"]["limits"][0]["min"] = amounts("9m", "49Mi", "49Gi")
    equal(ask(c, 200, "PUT", NS + "/limitranges/l", o)["spec"]["limits"][0]["min"], amounts("9m", "49Mi", "49Gi"))
    wait_for("the smaller least", lambda: limited(c, "less", {"requests": amounts("10m", "50Mi", "50Gi")}) != 403)
    equal(limited(c, "more", {"limits": amounts("600m", "600Mi", "600Gi")}), 403)
    ask(c, 200, "DELETE", NS + "/limitranges/l")
    wait_for("no most", lambda: limited(c, "more", {"limits": amounts("600m", "600Mi", "600Gi")}) != 403)
    ask(c, 200, "DELETE", NS + "/pods")


def run():
    with Cluster() as cluster:
        wait_for("accounts", lambda: all(cluster.request("GET", f"/api/v1/namespaces/{ns}/serviceaccounts/default")[0] == 200
                                         for ns in ("default", "kube-system")))
        for name, value in (("e2e-low", 1), ("e2e-medium", 100), ("e2e-high", 1000)):
            ask(cluster, 201, "POST", CLASSES, {"metadata": {"name": name}, "value": value})
        for name in ("n1", "n2"):
            node(cluster, name, "5")
        return main([node_selectors_are_respected, less_important_pods_give_way, critical_pods_come_first, sets_of_four_priorities,
                     classes_of_priority, limit_ranges_give_and_bound], cluster)


if __name__ == "__main__":
    need_tools()
    sys.exit(run())
