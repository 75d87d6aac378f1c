#!/usr/bin/env python3
"""A node with several ways to its cluster: it joins by one, learns the other, and survives the death of either, quick or silent.
There is one server behind both, as a store for several servers does not exist yet; what is shown is the node's side."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from lib import DevCluster, Failed, contains, equal, main, need_node, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
PORTS = {"a": 7001, "b": 7002}
WAYS = {}  # name -> process
POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME}}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: NODE
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", command: ["sh", "-c", "echo says NAME; echo NAME > /index.html; exec httpd -f -h / -p 80"]}
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: NAME}, ports: [{port: 80}]}
"""


def weight(host, port):
    """Which of two servers dev-2 prefers: the heavier one (client/servers.c)."""
    h = 14695981039346656037
    for byte in f"dev-2 {host} {port}".encode():
        h = (h ^ byte) * 1099511628211 % 2**64
    h = (h ^ h >> 33) * 0xff51afd7ed558ccd % 2**64
    return h ^ h >> 33


def way_up(c, name):
    words = ["nsenter", f"--net=/run/netns/{c.net()}-1", sys.executable, HERE + "/forwarder.py", str(PORTS[name]), c.host, str(c.port)]
    p = WAYS[name] = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    equal(p.stdout.readline().strip(), "forwards")


def way_down(name):
    p = WAYS.pop(name)
    p.kill()
    p.wait()
    p.stdout.close()


def connections(c, name):
    """That the node has by that way."""
    return len(c.inside(2, "ss", "-Htn", "state", "established", "dst", f"{c.host}:{PORTS[name]}").splitlines())


def tell_of_both(c):
    """The server says each minute that there is itself alone."""
    c.kubectl("patch", "endpoints", "kubernetes", "--type=merge", "-p", json.dumps({"subsets": [{
        "addresses": [{"ip": c.host}], "ports": [{"name": n, "port": p, "protocol": "TCP"} for n, p in PORTS.items()]}]}))


def joins_by_one_and_learns_the_other(c):
    """It joins by the one that it prefers, so that it stays there."""
    PORTS["a"], PORTS["b"] = sorted(PORTS.values(), key=lambda port: weight(c.host, port), reverse=True)
    for name in PORTS:
        way_up(c, name)
    tell_of_both(c)
    words = c.kill_node(2)
    words[words.index("--server") + 1] = f"https://{c.host}:{PORTS['a']}"
    c.words = words
    c.start_node(2, words)
    wait_for("dev-2 to be Ready", lambda: c.node_ready(2), 60)

    def learnt():
        with open(c.node_dir(2) + "/agent/servers", encoding="utf-8") as f:
            return sorted(f.read().split())
    wait_for("the list of servers", lambda: os.path.exists(c.node_dir(2) + "/agent/servers") and learnt() == [
        f"{c.host}:{p}" for p in sorted(PORTS.values())])
    # Calls and watches by the one, connections for the kubelet at both.
    wait_for("connections by both ways", lambda: connections(c, "a") > 3 and connections(c, "b") == 2)
    # What the server cannot dial, it reaches by those.
    rules = f"table ip wall {{ chain in {{ type filter hook input priority 0; ip saddr {c.host} tcp flags & (syn | ack) == syn drop; }}; }}"
    c.inside(2, "sh", "-c", f"echo '{rules}' | nft -f -")
    all_goes_on(c, "first")


def ready_since(c):
    return [x["lastTransitionTime"] for x in c.get("node", "dev-2")["status"]["conditions"] if x["type"] == "Ready"][0]


def all_goes_on(c, name, seconds=30):
    """Kubelet, proxy, names, routes and policies hear of what is new; logs and exec reach the node."""
    begun, took = time.monotonic(), []

    def step(what):
        took.append(f"{what} {time.monotonic() - begun:.1f}")
    for node in (1, 2):
        c.apply(POD.replace("NAME", f"{name}-{node}").replace("NODE", f"dev-{node}"))
    for node in (1, 2):
        c.kubectl("wait", "--for=condition=Ready", f"pod/{name}-{node}", f"--timeout={seconds + 30}s")
    step("pods")
    wait_for("the other node's Service by its name", lambda: c.run(
        "exec", f"{name}-2", "--", "timeout", "3", "wget", "-qO-", f"http://{name}-1/", check=False).text.strip() == f"{name}-1", seconds)
    step("names")
    wait_for("logs", lambda: f"says {name}-2" in c.run("logs", f"{name}-2", check=False).text, seconds)
    step("logs")
    c.apply(json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name},
                        "spec": {"podSelector": {"matchLabels": {"app": f"{name}-2"}}, "policyTypes": ["Ingress"]}}))
    wait_for("the policy", lambda: c.run("exec", f"{name}-1", "--", "timeout", "1", "wget", "-qO-", f"http://{name}-2/", check=False).text == "",
             seconds)
    c.kubectl("delete", "networkpolicy", name)
    step("policies")
    print(f"# after {', '.join(took)} s")


def the_one_it_uses_dies(c):
    since = ready_since(c)
    way_down("a")
    all_goes_on(c, "second")
    contains(c.node_log(2), "another one is asked")
    wait_for("all of it to be on the other one", lambda: connections(c, "b") > 5 and not connections(c, "a"))
    equal(ready_since(c), since, "dev-2 was not Ready in between")


def the_other_one_is_back(c):
    """The connections for the kubelet are kept at each."""
    way_up(c, "a")
    wait_for("connections by the first way", lambda: connections(c, "a") == 2, 60)


def the_one_it_uses_loses_its_power(c):
    """Nobody says that it is gone: connections hang. Its node is Ready all the time, for it moves before anybody wonders."""
    since = ready_since(c)
    os.kill(WAYS["b"].pid, signal.SIGSTOP)
    c.inside(1, "sh", "-c", f"echo 'table ip dead {{ chain in {{ type filter hook input priority 0; tcp dport {PORTS['b']} drop; }}; }}' | nft -f -")
    begun = time.monotonic()
    try:
        wait_for("it to move", lambda: connections(c, "a") > 5, 60)
        print(f"# noticed within {time.monotonic() - begun:.1f} s")
        all_goes_on(c, "third", 60)
        wait_for("what hung to be gone", lambda: connections(c, "b") == 0, 60)
        equal(ready_since(c), since, "dev-2 was not Ready in between")
    finally:
        c.inside(1, "nft", "delete", "table", "ip", "dead")
        os.kill(WAYS["b"].pid, signal.SIGCONT)


def it_starts_while_the_one_it_was_given_is_gone(c):
    way_down("a")
    c.kill_node(2)
    at = c.words.index("--token-file")
    tell_of_both(c)
    c.start_node(2, c.words[:at] + c.words[at + 2:])
    wait_for("it to be there by the other one", lambda: connections(c, "b") > 5, 60)
    all_goes_on(c, "fourth")


def all_are_gone_for_a_while(c):
    """Pods, Services and names that were there go on; all is taken up again."""
    ip = c.get("pod", "fourth-2")["status"]["podIP"]
    cluster_ip = c.get("svc", "fourth-1")["spec"]["clusterIP"]
    way_down("b")
    time.sleep(3)
    contains(c.inside(2, "curl", "-sm", "30", f"http://{ip}/"), "fourth-2")
    contains(c.inside(2, "curl", "-sm", "30", f"http://{cluster_ip}/"), "fourth-1")
    dns = c.get("svc", "-n", "kube-system", "kube-dns")["spec"]["clusterIP"]
    equal(c.inside(2, "dig", "+short", "+tries=1", "+time=10", f"@{dns}", "fourth-1.default.svc.cluster.local").strip(), cluster_ip)
    said = c.run("exec", "fourth-2", "--", "true", check=False)
    if said.returncode == 0:
        raise Failed("a way to dev-2 that should not be there")
    print("# exec says: " + said.stderr.decode().strip())
    contains(said.stderr.decode(), "dev-2")
    for name in PORTS:
        way_up(c, name)
    wait_for("it to be back", lambda: connections(c, "a") + connections(c, "b") > 7, 60)
    all_goes_on(c, "fifth", 60)


if __name__ == "__main__":
    need_node()
    with DevCluster(nodes=2) as cluster, contextlib.ExitStack() as stack:
        stack.callback(lambda: [way_down(name) for name in list(WAYS)])
        status = main([joins_by_one_and_learns_the_other, the_one_it_uses_dies, the_other_one_is_back, the_one_it_uses_loses_its_power,
                       it_starts_while_the_one_it_was_given_is_gone, all_are_gone_for_a_while], cluster)
    sys.exit(status)
