#!/usr/bin/env python3
"""A node of three real servers, each with an etcd of its own in a namespace of its own: it joins by one, learns of the others, and goes on
when the one it joined by is killed. It stays Ready all the time, and what is scheduled then runs there."""
import json
import os
import shutil
import subprocess
import sys

from lib import CARAVEL, Cluster, contains, equal, main, need_node, read_text, wait_for
from test_ha import Members, Net, OwnMember, ip, kills, read

NAME = "ha-node"


class Node(Cluster):
    """An agent in a namespace beside those of the servers."""

    def __init__(self, net, members):
        super().__init__(agent=True, bare=True, port=6443)
        self.net_of, self.members, self.space = net, members, f"{net.id}-4"
        self.data = os.path.join(self.dir, "data")

    def start(self, wait=True):
        first = self.members.all[0]
        words = ["nsenter", f"--net=/run/netns/{self.space}", CARAVEL, "agent", "--config", "/dev/null", "--data-dir", self.data, "--node-name", NAME,
                 "--node-ip", self.net_of.prefix + "4", "--server", f"https://{first.host}:{first.port}", "--token",
                 read(first, "server", "node-token").strip()]
        with open(self.log, "a", encoding="utf-8") as log:
            self.proc = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True, env=dict(os.environ, CARAVEL_SYSFS=self.data + "/sys"))
        return self

    def servers(self):
        path = self.data + "/agent/servers"
        return sorted(read_text(path).split()) if os.path.exists(path) else []


def fourth_place(net):
    """One more namespace on the bridge."""
    ip("netns", "add", f"{net.id}-4")
    ip("link", "add", f"{net.id}v4", "type", "veth", "peer", "name", "eth0", "netns", f"{net.id}-4")
    ip("link", "set", f"{net.id}v4", "master", f"{net.id}b", "up")
    for words in (["link", "set", "lo", "up"], ["addr", "add", f"{net.prefix}4/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                  ["route", "add", "default", "via", net.prefix + "254"]):
        ip("-n", f"{net.id}-4", *words)


def ready_since(members):
    """When it last became Ready; None: it is not."""
    status, said, _ = members.request("GET", f"/api/v1/nodes/{NAME}")
    for c in said.get("status", {}).get("conditions", ()) if status == 200 else ():
        if c["type"] == "Ready" and c["status"] == "True":
            return c["lastTransitionTime"]
    return None


def runs(members, name):
    """A Pod that the scheduler has to place."""
    body = {"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "c", "image": "docker.io/caravel/demo:1", "command": ["sleep", "3600"]}]}}
    status, said, _ = members.request("POST", "/api/v1/namespaces/default/pods", body)
    equal(status, 201, json.dumps(said))

    def phase():
        said = members.request("GET", f"/api/v1/namespaces/default/pods/{name}")[1]
        return said["status"].get("phase") == "Running" and said["spec"]["nodeName"] == NAME
    wait_for(f"the pod {name}", phase, 120)


def it_joins_by_one_and_learns_of_all(members, node):
    wait_for("the node to be Ready", lambda: ready_since(members), 120)
    wait_for("all servers", lambda: node.servers() == sorted(f"{m.host}:{m.port}" for m in members.all), 60)
    subprocess.run([CARAVEL, "image", "demo", "--data-dir", node.data], check=True, timeout=120, stdout=subprocess.DEVNULL)
    runs(members, "before")


def it_goes_on_without_that_one(members, node):
    since = ready_since(members)
    kills(members.all[0], members)
    runs(members, "after")
    # One more renewal of its Lease than a Node may miss is due before it could be found not Ready.
    path = f"/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/{NAME}"
    seen = {members.request("GET", path)[1]["spec"]["renewTime"]}

    def renewed():
        seen.add(members.request("GET", path)[1]["spec"]["renewTime"])
        return len(seen) > 4
    wait_for("its Lease to be renewed", renewed, 120)
    equal(ready_since(members), since, "it was not Ready in between")
    contains(json.dumps(members.request("GET", "/api/v1/namespaces/default/pods/before")[1]["status"]), '"phase": "Running"')


def and_with_it_back(members, node):
    members.all[0].start()
    runs(members, "again")
    equal(node.proc.poll(), None)


if __name__ == "__main__":
    need_node()
    if not shutil.which("etcd"):
        print("1..0 # SKIP there is no etcd: install etcd-server")
        sys.exit(77)
    with Net() as net_of_all:
        try:
            fourth_place(net_of_all)
            with Members([OwnMember(net_of_all, n) for n in range(1, 4)]) as servers:
                with Node(net_of_all, servers) as its_node:
                    status = main([it_joins_by_one_and_learns_of_all, it_goes_on_without_that_one, and_with_it_back], servers, its_node)
        finally:
            for command in (["netns", "del", f"{net_of_all.id}-4"], ["link", "del", f"{net_of_all.id}v4"]):
                subprocess.run(["ip", *command], check=False, stderr=subprocess.DEVNULL, timeout=60)
    sys.exit(status)
