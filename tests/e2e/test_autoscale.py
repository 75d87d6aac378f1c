#!/usr/bin/env python3
"""What pods use, and what follows from it: kubectl top, the kubelet's pages, HorizontalPodAutoscalers, on one real node."""
import json
import sys

import lib
from lib import Failed, contains, equal, wait_for

DEMO = "docker.io/caravel/demo:1"
METRICS = "/apis/metrics.k8s.io/v1beta1"
# As busy as it may be while /tmp/busy is there.
SCRIPT = "touch /tmp/busy; while :; do if [ -e /tmp/busy ]; then :; else sleep 0.1; fi; done"


def deployment(name, replicas):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
                "name": "c", "image": DEMO, "imagePullPolicy": "Never", "command": ["sh", "-c", SCRIPT],
                "resources": {"requests": {"cpu": "50m"}, "limits": {"cpu": "100m", "memory": "64Mi"}}}]}}}}


def raw(c, path):
    return c.run("get", "--raw", path).text


def milli(quantity):
    scale = {"n": 1e-6, "u": 1e-3, "m": 1}.get(quantity[-1])
    return float(quantity[:-1]) * scale if scale else float(quantity) * 1000


def pods_are_measured(c):
    c.apply(json.dumps(deployment("busy", 1)))
    wait_for("it to be ready", lambda: c.get("deployment", "busy").get("status", {}).get("readyReplicas") == 1, 60)

    def used():
        items = json.loads(raw(c, METRICS + "/namespaces/default/pods?labelSelector=app%3Dbusy"))["items"]
        return items and milli(items[0]["containers"][0]["usage"]["cpu"])
    # Its limit is a tenth of a processor, and it takes all it gets.
    wait_for("as much as it may", lambda: 60 < (used() or 0) < 140, 90)
    contains(c.run("top", "pods").text, "busy-")
    contains(c.run("top", "nodes").text, "CPU(cores)")
    contains(c.run("top", "pods", "--containers", "-l", "app=busy").text, " c ")


def pages_of_the_kubelet(c):
    node = json.loads(c.run("get", "nodes", "-o", "json").text)["items"][0]["metadata"]["name"]
    proxy = f"/api/v1/nodes/{node}/proxy"
    summary = json.loads(raw(c, proxy + "/stats/summary"))
    equal(summary["node"]["nodeName"], node)
    for part in ("cpu", "memory", "network", "fs", "rlimit"):
        if part not in summary["node"]:
            raise Failed(f"the node says nothing of {part}: {summary['node']}")
    pod = next(p for p in summary["pods"] if p["podRef"]["name"].startswith("busy-"))
    equal(pod["containers"][0]["name"], "c")
    contains(json.dumps(pod["network"]), "rxBytes")
    contains(raw(c, proxy + "/metrics/resource"), 'pod_cpu_usage_seconds_total{namespace="default",pod="busy-')
    contains(raw(c, proxy + "/metrics/cadvisor"), 'container_memory_working_set_bytes{container="c",id="/')
    contains(raw(c, proxy + "/metrics/probes"), "# TYPE prober_probe_total counter")


def a_busy_deployment_grows_and_shrinks(c):
    c.apply(json.dumps({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "busy"}, "spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "busy"}, "minReplicas": 1, "maxReplicas": 2,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}}))
    wait_for("two of them", lambda: c.get("deployment", "busy")["spec"]["replicas"] == 2, 120)
    text = c.run("describe", "hpa", "busy").text
    contains(text, "SuccessfulRescale")
    contains(text, "cpu resource utilization (percentage of request) above target")
    wait_for("both to be ready", lambda: c.get("deployment", "busy").get("status", {}).get("readyReplicas") == 2, 60)
    for pod in json.loads(c.run("get", "pods", "-l", "app=busy", "-o", "json").text)["items"]:
        c.run("exec", pod["metadata"]["name"], "--", "rm", "-f", "/tmp/busy")
    wait_for("one of them", lambda: c.get("deployment", "busy")["spec"]["replicas"] == 1, 180)
    c.run("delete", "hpa", "busy")
    c.run("delete", "deployment", "busy")


if __name__ == "__main__":
    lib.need_node()
    with lib.Cluster(agent=True) as cluster:
        STATUS = lib.main([pods_are_measured, pages_of_the_kubelet, a_busy_deployment_grows_and_shrinks], cluster)
    sys.exit(STATUS)
