#!/usr/bin/env python3
"""Services that are reached from outside at addresses of nodes, and addresses of Services: with packets from outside the nodes' namespaces."""
import json
import subprocess
import sys

from lib import DevCluster, contains, equal, main, need_node, wait_for

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME}}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: NODE
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", command: ["sh", "-c", "echo NAME > /index.html; httpd -h / -p 8080; exec httpd -f -h / -p 80"]}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec:
  type: LoadBalancer
  selector: {app: APP}
  ports: [{port: PORT, targetPort: 80}]
  externalTrafficPolicy: POLICY
"""


def service(c, name, app, port, policy="Local"):
    c.apply(SERVICE.replace("NAME", name).replace("APP", app).replace("PORT", str(port)).replace("POLICY", policy))


def ingress(c, name):
    return [i["ip"] for i in c.get("service", name)["status"].get("loadBalancer", {}).get("ingress", [])]


def node_ip(c, node):
    return next(a["address"] for a in c.get("node", node)["status"]["addresses"] if a["type"] == "InternalIP")


def fetch(ip, port):
    """What answers there, or None: from this machine, which is outside of both nodes."""
    r = subprocess.run(["curl", "-s", "--max-time", "2", f"http://{ip}:{port}/"], check=False, stdout=subprocess.PIPE, text=True)
    return r.stdout.strip() if r.returncode == 0 else None


def answers(ip, port, wanted):
    wait_for(f"{wanted} at {ip}:{port}", lambda: fetch(ip, port) == wanted, 20)


def silent(ip, port):
    wait_for(f"silence at {ip}:{port}", lambda: fetch(ip, port) is None, 20)


def a_service_is_reached_at_nodes(c):
    for node in ("dev-1", "dev-2"):
        c.apply(POD.replace("NAME", f"on-{node}").replace("NODE", node))
    for node in ("dev-1", "dev-2"):
        c.kubectl("wait", "--for=condition=Ready", f"pod/on-{node}", "--timeout=60s")
    service(c, "two", "on-dev-2", 8123)
    service(c, "one", "on-dev-1", 8123)  # the same port, where the other one has no endpoint
    wait_for("an address", lambda: ingress(c, "two") == [node_ip(c, "dev-2")])
    wait_for("an address", lambda: ingress(c, "one") == [node_ip(c, "dev-1")])
    answers(node_ip(c, "dev-2"), 8123, "on-dev-2")
    answers(node_ip(c, "dev-1"), 8123, "on-dev-1")
    contains(c.kubectl("get", "service", "two"), "LoadBalancer", node_ip(c, "dev-2"), "8123:")


def by_way_of_another_node(c):
    """Policy Cluster: each node's address leads to the pod, wherever it is."""
    service(c, "cross", "on-dev-2", 8127, "Cluster")
    wait_for("both", lambda: len(ingress(c, "cross")) == 2)
    for node in ("dev-2", "dev-1"):
        answers(node_ip(c, node), 8127, "on-dev-2")
    c.kubectl("delete", "service", "cross")


def only_those_who_may_come(c):
    ip = node_ip(c, "dev-2")
    c.kubectl("patch", "service", "two", "-p", json.dumps({"spec": {"loadBalancerSourceRanges": ["192.0.2.0/24"]}}))
    silent(ip, 8123)
    c.kubectl("patch", "service", "two", "-p", json.dumps({"spec": {"loadBalancerSourceRanges": [f"{ip.rsplit('.', 1)[0]}.0/24"]}}))
    answers(ip, 8123, "on-dev-2")


def the_first_one_has_a_port(c):
    ip = node_ip(c, "dev-2")
    service(c, "late", "on-dev-2", 8123)
    wait_for("an Event", lambda: "is taken by Service default/two" in c.kubectl("get", "events", "--field-selector=reason=UnAvailableLoadBalancer"))
    equal(ingress(c, "late"), [])
    contains(c.kubectl("get", "service", "late"), "<pending>")
    c.kubectl("delete", "service", "two")
    wait_for("its turn", lambda: ingress(c, "late") == [ip])
    answers(ip, 8123, "on-dev-2")
    service(c, "api", "on-dev-2", 6443, "Cluster")
    service(c, "kubelet", "on-dev-2", 8124, "Cluster")
    wait_for("not the API server's own", lambda: ingress(c, "api") == [ip])
    wait_for("both", lambda: len(ingress(c, "kubelet")) == 2)
    c.get("nodes")  # it still answers
    c.kubectl("delete", "service", "api", "kubelet")


def labels_choose_nodes(c):
    service(c, "chosen", "on-dev-1", 8125, "Cluster")
    wait_for("both", lambda: len(ingress(c, "chosen")) == 2)
    c.kubectl("label", "node", "dev-1", "svccontroller.k3s.cattle.io/enablelb=true")
    wait_for("one", lambda: ingress(c, "chosen") == [node_ip(c, "dev-1")])
    c.kubectl("label", "node", "dev-1", "svccontroller.k3s.cattle.io/enablelb-")
    c.kubectl("delete", "service", "chosen")


def a_host_port_is_no_balancers(c):
    """Whoever came first has a port: a pod that wants one which a load balancer has is not placed, and the other way round."""
    service(c, "front", "on-dev-1", 8130, "Cluster")
    wait_for("both", lambda: len(ingress(c, "front")) == 2)
    c.apply(POD.replace("NAME", "door").replace("  nodeName: NODE\n", "").replace(" -p 80", " -p 81").replace(
        "command:", "ports: [{containerPort: 81, hostPort: 8130}], command:"))
    wait_for("a word", lambda: "2 node(s) didn't have free ports for the requested pod ports" in c.kubectl("describe", "pod", "door"))
    equal(c.get("pod", "door")["status"]["phase"], "Pending")
    answers(node_ip(c, "dev-1"), 8130, "on-dev-1")
    c.kubectl("delete", "service", "front")
    c.kubectl("wait", "--for=condition=Ready", "pod/door", "--timeout=60s")
    placed = c.get("pod", "door")["spec"]["nodeName"]
    answers(node_ip(c, placed), 8130, "door")
    service(c, "front", "on-dev-1", 8130, "Cluster")
    other = node_ip(c, {"dev-1": "dev-2", "dev-2": "dev-1"}[placed])
    wait_for("the other node", lambda: ingress(c, "front") == [other])
    answers(node_ip(c, placed), 8130, "door")
    answers(other, 8130, "on-dev-1")
    c.kubectl("delete", "pod", "door")
    wait_for("both", lambda: len(ingress(c, "front")) == 2)
    c.kubectl("delete", "service", "front")


def another_type_gives_it_up(c):
    ip = node_ip(c, "dev-1")
    answers(ip, 8123, "on-dev-1")
    c.kubectl("patch", "service", "one", "-p", json.dumps({"spec": {"type": "ClusterIP", "externalTrafficPolicy": None}}))
    wait_for("no address", lambda: ingress(c, "one") == [])
    silent(ip, 8123)


def addresses_of_another_range(c):
    contains(c.kubectl("get", "servicecidr"), "kubernetes")
    wait_for("it to be ready", lambda: '"True"' in c.kubectl("get", "servicecidr", "kubernetes", "-o", "json"))
    c.apply("""
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: more}
spec: {cidrs: [10.199.7.0/24]}
---
apiVersion: v1
kind: Service
metadata: {name: far}
spec: {clusterIP: 10.199.7.9, selector: {app: on-dev-1}, ports: [{port: 80}]}
""")
    contains(c.kubectl("get", "ipaddress", "10.199.7.9"), "services/default/far")
    wait_for("an answer", lambda: c.inside(1, "curl", "-s", "--max-time", "2", "http://10.199.7.9/", check=False).strip() == "on-dev-1", 20)
    c.kubectl("delete", "servicecidr", "more", "--wait=false")
    wait_for("it to wait", lambda: "There are still IPAddresses" in c.kubectl("get", "servicecidr", "more", "-o", "json"), 20)
    c.kubectl("delete", "service", "far")
    wait_for("it to go", lambda: "more" not in c.kubectl("get", "servicecidr"), 30)


def slices_by_hand(c):
    """EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices: one address, two slices."""
    address = c.get("pod", "on-dev-1")["status"]["podIP"]
    c.apply("""
apiVersion: v1
kind: Service
metadata: {name: by-hand}
spec: {ports: [{name: a, port: 81}, {name: b, port: 82}]}
""" + "".join("""
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: by-hand-%s, labels: {kubernetes.io/service-name: by-hand}}
addressType: IPv4
endpoints: [{addresses: [%s]}]
ports: [{name: %s, port: %d}]
""" % (name, address, name, port) for name, port in (("a", 80), ("b", 8080))))
    ip = c.get("service", "by-hand")["spec"]["clusterIP"]
    for port in (81, 82):
        wait_for("an answer", lambda port=port: c.inside(1, "curl", "-s", "--max-time", "2", f"http://{ip}:{port}/", check=False).strip() == "on-dev-1", 20)
    equal(c.get("endpointslices", "-l", "kubernetes.io/service-name=by-hand")["items"][1]["metadata"]["name"], "by-hand-b")
    c.kubectl("delete", "service", "by-hand")
    c.kubectl("delete", "endpointslice", "by-hand-a", "by-hand-b")


def a_node_that_falls_silent_takes_its_address_along(c):
    service(c, "both", "on-dev-1", 8126, "Cluster")
    wait_for("both", lambda: len(ingress(c, "both")) == 2)
    c.kill_node(2)
    wait_for("one", lambda: ingress(c, "both") == [node_ip(c, "dev-1")], 90)


if __name__ == "__main__":
    need_node()
    with DevCluster(nodes=2) as cluster:
        sys.exit(main([a_service_is_reached_at_nodes, by_way_of_another_node, only_those_who_may_come, the_first_one_has_a_port, labels_choose_nodes, a_host_port_is_no_balancers,
                       another_type_gives_it_up, addresses_of_another_range, slices_by_hand, a_node_that_falls_silent_takes_its_address_along], cluster))
