#!/usr/bin/env python3
"""NetworkPolicies between nodes: peers elsewhere are pods by their own addresses, and each node enforces what is its pods'."""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time

from lib import GUARD, DevCluster, Failed, contains, equal, main, need_node, wait_for
from netlab import within
from test_policies import NAMESPACES, begin_probe, netns_of, pod_text, pods, policy, reached, serve, spaces

WHERE = {"x/a": 1, "x/b": 2, "y/a": 1, "y/b": 2}


class Lab:
    def __init__(self, c):
        self.c, self.ips, self.netns, self.servers = c, {}, {}, []
        c.apply(NAMESPACES + "".join(pod_text(p).replace("spec:\n", f"spec:\n  nodeName: dev-{n}\n", 1) for p, n in WHERE.items()))
        for p in WHERE:
            ns, name = p.split("/")
            self.ips[p] = wait_for(f"{p} to run", lambda: c.get("pod", name, "-n", ns)["status"].get("podIP"), 60)
            uid = c.get("pod", name, "-n", ns)["metadata"]["uid"]
            self.netns[p] = wait_for("its namespace", lambda: netns_of(self.ips[p], uid))
            self.servers.append(serve(self.netns[p]))
        for p in WHERE:
            wait_for("its server", lambda: self.reach(p, p))

    def reach(self, source, target):
        return reached(begin_probe(self.netns[source], "TCP", self.ips[target], 80))

    def expect(self, *denied):
        """These pairs, and no others."""
        def wrong():
            return [(f, t) for f in WHERE for t in WHERE if self.reach(f, t) == ((f, t) in denied)]
        end = time.monotonic() + GUARD
        while wrong():
            equal(time.monotonic() < end, True, f"{denied} and nothing else are to be denied, otherwise is {wrong()}")

    def end(self):
        for pid in self.servers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


LAB = None


def open_without_policies(_):
    LAB.expect()


def peers_on_other_nodes(c):
    c.apply(policy("x", "p", {**pods("a"), "ingress": [{"from": [{**spaces("y"), **pods("b")}]}]}))
    LAB.expect(("x/b", "x/a"), ("y/a", "x/a"))


def egress_of_the_other_node(c):
    c.apply(policy("y", "p", {**pods("b"), "policyTypes": ["Egress"], "egress": [{"to": [{**spaces("x"), **pods("b")}]}]}))
    LAB.expect(("x/b", "x/a"), ("y/a", "x/a"), ("y/b", "x/a"), ("y/b", "y/a"))
    c.kubectl("label", "namespace", "y", "ns=q", "--overwrite")
    c.kubectl("label", "pod", "b", "-n", "x", "pod=q", "--overwrite")
    LAB.expect(("x/b", "x/a"), ("y/a", "x/a"), ("y/b", "x/a"), ("y/b", "y/a"), ("y/b", "x/b"))


# In a pod: argv is JSON, either {"udp": [address, port], "inner": [mac, from, to]} for a wrapped packet, or {"raw": [from, to]}.
FORGE = """
import json, socket, struct, sys
def packet(source, target):
    data = b"forged"
    udp = struct.pack("!HHHH", 999, 777, 8 + len(data), 0) + data
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(target))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xffff) + (total >> 16)
    total = ~((total & 0xffff) + (total >> 16)) & 0xffff
    return head[:10] + struct.pack("!H", total) + head[12:] + udp
for one in json.loads(sys.argv[1]):
    for _ in range(3):
        if "udp" in one:
            mac, source, target = one["inner"]
            frame = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("eeca0a2a6300") + b"\\x08\\x00" + packet(source, target)
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.sendto(b"\\x08\\x00\\x00\\x00\\x00\\x00\\x01\\x00" + frame, tuple(one["udp"]))
        else:
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            s.sendto(packet(*one["raw"]), (one["raw"][1], 0))
"""
LISTEN = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 777))
s.settimeout(float(sys.argv[1]))
print("listens", flush=True)
try:
    print(s.recvfrom(100))
except TimeoutError:
    print("nothing")
"""


def forged(source, target, *what):
    """What arrives at target's port 777 of these, sent by source."""
    with subprocess.Popen(["nsenter", f"--net={LAB.netns[target]}", sys.executable, "-c", LISTEN, "3"], stdout=subprocess.PIPE, text=True) as there:
        there.stdout.readline()
        subprocess.run(["nsenter", f"--net={LAB.netns[source]}", sys.executable, "-c", FORGE, json.dumps(what)], check=True)
        return there.stdout.read().strip()


def forged_packets(c):
    """A pod may neither wrap packets as nodes do, nor send from where it is not: both would be another pod to policies."""
    c.apply(policy("x", "p", {**pods("a"), "ingress": [{"from": [{**spaces("y"), **pods("b")}]}]})
            + "---\n" + policy("y", "q", {**pods("b"), "ingress": [{"from": [{**spaces("y"), **pods("a")}]}]}))
    LAB.expect(("x/b", "x/a"), ("y/a", "x/a"), ("x/a", "y/b"), ("x/b", "y/b"))
    mac = {n: re.search(r"cvl\S+-vx.*?link/ether (\S+)", c.inside(n, "ip", "-o", "link")).group(1) for n in (1, 2)}
    addresses = {n: [a["address"] for a in c.get("node", f"dev-{n}")["status"]["addresses"] if a["type"] == "InternalIP"][0] for n in (1, 2)}
    inner = [LAB.ips["y/b"], LAB.ips["x/a"]]
    contains(forged("y/b", "x/a", {"raw": inner}), "forged")  # its own address: the attempts below would be heard
    equal(forged("x/b", "x/a", {"udp": [addresses[1], 8472], "inner": [mac[1], *inner]}), "nothing", "wrapped, to the pod's node")
    inner = [LAB.ips["y/a"], LAB.ips["y/b"]]
    equal(forged("x/b", "y/b", {"udp": [addresses[2], 8472], "inner": [mac[2], *inner]}), "nothing", "wrapped, to its own node")
    equal(forged("x/b", "y/b", {"raw": inner}), "nothing", "from an address of another node's pod")
    c.kubectl("delete", "networkpolicy", "q", "-n", "y")


def alone(c, *policies):
    """These, and no others."""
    path = "/apis/networking.k8s.io/v1/namespaces/%s/networkpolicies"
    for ns in "xy":
        equal(c.request("DELETE", path % ns)[0], 200)
    for text in policies:
        equal(c.request("POST", path % json.loads(text)["metadata"]["namespace"], text)[0], 201)


def ask_names(server, name, tcp):
    """The addresses that a name server tells for a name; None: nothing came."""
    query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(x)]) + x.encode() for x in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        try:
            s.connect((server, 53))
            s.send((struct.pack(">H", len(query)) if tcp else b"") + query)
            answer = s.recv(600)[2 if tcp else 0:]
        except OSError:
            return None
    count = struct.unpack(">H", answer[6:8])[0]
    return [socket.inet_ntoa(answer[-4:])] if count == 1 else []


def names_by_the_usual_recipe(c):
    """Egress to kube-dns and nothing else, in each of the forms that are around: our names are served by no pods, and are
    answered all the same; on both nodes, by UDP and TCP."""
    space = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    dns = c.get("service", "-n", "kube-system", "kube-dns")["spec"]["clusterIP"]
    wanted = [c.get("service", "kubernetes")["spec"]["clusterIP"]]
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    for to in ([{**space, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], [space], [{"namespaceSelector": {}}],
               [{"ipBlock": {"cidr": dns + "/32"}}], None):
        alone(c, policy("x", "names", {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"ports": ports, **({"to": to} if to else {})}]}))
        all_true("the policy", lambda: not LAB.reach("x/a", "y/b") and not LAB.reach("x/b", "y/a"))
        for pod in ("x/a", "x/b"):
            for tcp in (False, True):
                equal(within(LAB.netns[pod], ask_names, dns, "kubernetes.default.svc.cluster.local", tcp), wanted, f"{pod} {to}")
    alone(c)


def node_ip(c, node):
    return next(a["address"] for a in c.get("node", f"dev-{node}")["status"]["addresses"] if a["type"] == "InternalIP")


def from_here(address, port):
    return reached(begin_probe(None, "TCP", address, port))


def all_true(what, check):
    wait_for(what, lambda: check() or None, 15, 0.2)


def allow(c, *cidrs):
    alone(c, policy("x", "p", {**pods("a"), "ingress": [{"from": [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]}]}))
    all_true("the policy", lambda: not LAB.reach("y/b", "x/a"))


def clients_outside(c):
    """To x/a on dev-1 by NodePort and LoadBalancer. What its policy sees is the client itself, but for a way through another node with
    externalTrafficPolicy Cluster: that is the other node, which an ipBlock means by its address, or by its end of the pods' network."""
    here, there = node_ip(c, 1), node_ip(c, 2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((here, 9))
        me = s.getsockname()[0]
    other = c.get("node", "dev-2")["spec"]["podCIDR"].split("/")[0]
    spec = {"selector": {"pod": "a"}, "type": "LoadBalancer", "ports": [{"port": 8088, "targetPort": 80}]}
    for name, kind in (("near", "Local"), ("any", "Cluster")):
        spec["ports"][0]["port"] += 1
        c.apply(json.dumps({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "x"}, "spec": {**spec, "externalTrafficPolicy": kind}}))
    alone(c)
    node_port = {name: c.get("service", name, "-n", "x")["spec"]["ports"][0]["nodePort"] for name in ("near", "any")}
    ways = [(here, node_port["near"]), (here, 8089), (here, node_port["any"]), (here, 8090), (there, node_port["any"]), (there, 8090)]

    def seen(*wanted):
        got = [from_here(*way) for way in ways]
        if got != list(wanted):
            raise Failed(f"got {got}")
        return True
    wait_for("all ways", lambda: seen(True, True, True, True, True, True), 20)
    allow(c, "192.0.2.0/24")
    wait_for("none", lambda: seen(False, False, False, False, False, False), 15)
    allow(c, me + "/32")
    wait_for("those by its own node", lambda: seen(True, True, True, True, False, False), 15)
    for its in (there, other):
        allow(c, its + "/32")
        wait_for("those by the other node", lambda: seen(False, False, False, False, True, True), 15)
    c.kubectl("delete", "service", "-n", "x", "near", "any")
    alone(c)


def nodes_and_pods_of_their_network(c):
    """A pod's own node always reaches it. Another node, and so its pods of the host's network, is what its address is; no selector
    names it, whatever the pod's labels."""
    c.apply(pod_text("y/host").replace("spec:\n", "spec:\n  hostNetwork: true\n  nodeName: dev-2\n", 1).replace("ports:", "#").replace("- {name: serve-", "#")
            .replace("- {name: udp-", "#"))
    wait_for("it to run", lambda: c.get("pod", "host", "-n", "y")["status"]["phase"] == "Running", 60)
    other = c.get("node", "dev-2")["spec"]["podCIDR"].split("/")[0]

    def by_nodes():
        return [reached(begin_probe(f"/run/netns/{c.net()}-{n}", "TCP", LAB.ips["x/a"], 80)) for n in (1, 2)]
    equal(by_nodes(), [True, True])
    alone(c, policy("x", "p", {**pods("a"), "ingress": [{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"pod": "host"}}}]}]}))
    all_true("its own node alone", lambda: by_nodes() == [True, False])
    equal(LAB.reach("y/b", "x/a"), False)
    for its, reaches in ((other, True), (node_ip(c, 1), False), (node_ip(c, 2), True)):
        allow(c, its + "/32")
        all_true(f"both: {reaches}", lambda reaches=reaches: by_nodes() == [True, reaches])
    c.kubectl("delete", "pod", "host", "-n", "y", "--grace-period=0", "--force")
    alone(c)


def flows_that_were_there(c):
    """A connection, or a UDP flow that has been answered, goes on when a policy begins to forbid it; none begins any more."""
    def keep(addr, go, said):
        tcp = socket.create_connection((addr, 80), timeout=2)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.settimeout(2)
        udp.connect((addr, 80))

        def speak(s):
            s.send(b"hi")
            return s.recv(100) != b""
        first = [speak(udp), tcp.recv(100) != b""]
        os.write(said, b".")
        os.read(go, 1)
        later = [speak(udp), True]
        tcp.send(b"hi")  # its server ends then, which a RST or silence would not look like
        later[1] = tcp.recv(100) == b""
        return first, later, reached(begin_probe(None, "UDP", addr, 80)), reached(begin_probe(None, "TCP", addr, 80))
    from_child, to_parent = os.pipe()
    from_parent, to_child = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.read(from_child, 1)
        c.apply(policy("x", "p", {**pods("b"), "ingress": []}))
        all_true("the policy", lambda: not LAB.reach("y/b", "x/b"))
        os.write(to_child, b".")
        os._exit(0)
    equal(within(LAB.netns["y/a"], keep, LAB.ips["x/b"], from_parent, to_parent), [[True, True], [True, True], False, False])
    os.waitpid(pid, 0)
    alone(c)


def an_agent_is_killed(c):
    words = c.kill_node(2)
    equal(LAB.reach("y/b", "x/b"), False)
    c.start_node(2, words)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        equal(LAB.reach("y/b", "y/a"), False, "while it starts")
    c.kubectl("delete", "networkpolicy", "p", "-n", "y")
    LAB.expect(("x/b", "x/a"), ("y/a", "x/a"), ("y/b", "x/a"))


def run():
    global LAB
    need_node()
    with DevCluster(2) as c:
        LAB = Lab(c)
        try:
            return main([open_without_policies, names_by_the_usual_recipe, clients_outside, nodes_and_pods_of_their_network,
                         flows_that_were_there, forged_packets, peers_on_other_nodes, egress_of_the_other_node, an_agent_is_killed], c)
        finally:
            LAB.end()


if __name__ == "__main__":
    raise SystemExit(run())
