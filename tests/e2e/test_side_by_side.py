#!/usr/bin/env python3
"""Two clusters with nodes on one machine that were given nothing but a directory and a port each."""
import sys

from lib import Cluster, Failed, contains, equal, main, need_node, wait_for
from machine import fetch

WEB = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", command: ["sh", "-c", "echo NAME > /index.html; httpd -f -h / -p 80"]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


def both_serve(pair):
    for c, name in zip(pair, ("first", "second")):
        wait_for("the node", lambda c=c: " Ready " in c.kubectl("get", "nodes"), 60)
        c.apply(WEB.replace("NAME", name))
    for c, name in zip(pair, ("first", "second")):
        c.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
        ip = c.get("svc", "web")["spec"]["clusterIP"]
        wait_for("its service", lambda ip=ip, name=name: fetch(f"http://{ip}/").strip() == name)
        # through the node's kubelet, whose port is another one on the second node
        contains(c.kubectl("exec", "web", "--", "cat", "/index.html"), name)
    if ranges(pair[0]) & ranges(pair[1]):
        raise Failed(f"shared: {ranges(pair[0])} and {ranges(pair[1])}")


def ranges(c):
    ip = c.get("svc", "kubernetes")["spec"]["clusterIP"]
    return {c.get("nodes")["items"][0]["spec"]["podCIDR"], ".".join(ip.split(".")[:2])}


def the_choice_is_kept(pair):
    before = [ranges(c) for c in pair]
    for c in pair:
        equal(c.stop(), 0)
    for c in reversed(pair):
        c.start()
    equal([ranges(c) for c in pair], before)
    for c in pair:
        pod = c.get("pod", "web")
        equal(pod["status"]["containerStatuses"][0]["restartCount"], 0)


if __name__ == "__main__":
    need_node()
    with Cluster(agent=True, bare=True) as one, Cluster(agent=True, bare=True) as two:
        sys.exit(main([both_serve, the_choice_is_kept], (one, two)))
