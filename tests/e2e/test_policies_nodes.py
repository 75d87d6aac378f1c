#!/usr/bin/env python3
"""NetworkPolicies between nodes: peers elsewhere are pods by their own addresses, and each node enforces what is its pods'."""
import json
import os
import re
import signal
import subprocess
import sys
import time

from lib import DevCluster, contains, equal, main, need_node, wait_for
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
        end = time.monotonic() + 15
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
            return main([open_without_policies, forged_packets, peers_on_other_nodes, egress_of_the_other_node, an_agent_is_killed], c)
        finally:
            LAB.end()


if __name__ == "__main__":
    raise SystemExit(run())
