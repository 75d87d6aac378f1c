#!/usr/bin/env python3
"""NetworkPolicies between nodes: peers elsewhere are pods by their own addresses, and each node enforces what is its pods'."""
import os
import signal
import time

from lib import DevCluster, equal, main, need_node, wait_for
from test_policies import NAMESPACES, begin_probe, netns_of, pod_text, pods, policy, reached, serve, spaces

WHERE = {"x/a": 1, "x/b": 2, "y/a": 1, "y/b": 2}


class Lab:
    def __init__(self, c):
        self.c, self.ips, self.netns, self.servers = c, {}, {}, []
        c.apply(NAMESPACES + "".join(pod_text(p).replace("spec:\n", f"spec:\n  nodeName: dev-{n}\n", 1) for p, n in WHERE.items()))
        for p in WHERE:
            ns, name = p.split("/")
            self.ips[p] = wait_for(f"{p} to run", lambda: c.get("pod", name, "-n", ns)["status"].get("podIP"), 60)
            self.netns[p] = wait_for("its namespace", lambda: netns_of(self.ips[p]))
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
            return main([open_without_policies, peers_on_other_nodes, egress_of_the_other_node, an_agent_is_killed], c)
        finally:
            LAB.end()


if __name__ == "__main__":
    raise SystemExit(run())
