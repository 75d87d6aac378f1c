#!/usr/bin/env python3
"""Three nodes and what befalls them, with a ledger outside (ways.py): pods on each node and this machine ask a Service all the
time, by name, ClusterIP, NodePort, address of its load balancer and Ingress, and what was answered when is looked at afterwards.

`whole` as the first argument: also what takes minutes."""
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from lib import DevCluster, Failed, contains, equal, main, need_node, wait_for
from ways import Ways

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: APP}}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: dev-NODE
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", command: ["sh", "-c", "echo NAME > /index.html; httpd -f -h / -p 80; true MARK-NAME."]}
---
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web}
spec: {rules: [{host: web.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]}
"""
CLOSED = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "closed"},
          "spec": {"podSelector": {"matchLabels": {"app": "closed"}}, "policyTypes": ["Ingress"]}}
POLICIES = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"
NODES = (1, 2, 3)
INGRESS_PORT = 8080  # the load balancer has 80


def mark(c):
    return os.path.basename(c.dir)


def pod(c, name, node, app):
    c.apply(POD.replace("MARK", mark(c)).replace("NAME", name).replace("APP", app).replace("NODE", str(node)))
    c.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")


def netns(c, name):
    """Of a running pod: that of its first process, which has our mark. Other clusters have the same addresses."""
    def pid():
        for p in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{p}/cmdline", encoding="utf-8", errors="replace") as f:
                words = f.read().split("\0")
                if words[0] == "sh" and f"true {mark(c)}-{name}." in words[-2]:
                    return p
        return None
    return f"/proc/{wait_for(f'a process of {name}', pid)}/ns/net"


def within(c, name, *words, check=True):
    """Runs a program in the namespace of a pod."""
    r = subprocess.run(["nsenter", f"--net={netns(c, name)}", *words], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, errors="replace", timeout=60)
    if check and r.returncode:
        raise Failed(f"{' '.join(words)}: exit {r.returncode}\n{r.stdout}")
    return r.stdout


class Lab:
    def __init__(self, c):
        for n in NODES:
            pod(c, f"web-{n}", n, "web")
        c.apply(SERVICE)
        wait_for("an address for each node", lambda: len(c.get("svc", "web")["status"]["loadBalancer"].get("ingress", [])) == len(NODES))
        spec = c.get("svc", "web")["spec"]
        dns = c.get("svc", "-n", "kube-system", "kube-dns")["spec"]["clusterIP"]
        name = {"server": dns, "name": "web.default.svc.cluster.local"}
        places, outside = [], []
        self.node_ip = {n: [a["address"] for a in c.get("node", f"dev-{n}")["status"]["addresses"] if a["type"] == "InternalIP"][0] for n in NODES}
        for n in NODES:
            places.append((netns(c, f"web-{n}"), [
                {"way": f"{n} name", "kind": "name", **name},
                {"way": f"{n} by name", "kind": "service", "port": 80, **name},
                {"way": f"{n} cluster ip", "kind": "http", "address": spec["clusterIP"], "port": 80}]))
            outside += [{"way": f"node port of {n}", "kind": "http", "address": self.node_ip[n], "port": spec["ports"][0]["nodePort"]},
                        {"way": f"load balancer of {n}", "kind": "http", "address": self.node_ip[n], "port": 80}]
        outside.append({"way": "ingress", "kind": "http", "address": self.node_ip[1], "port": INGRESS_PORT, "host": "web.example"})
        self.ways = Ways(os.path.join(c.dir, "ways.jsonl"), [*places, (None, outside)])
        self.count = 3 * len(NODES) + len(outside)

    def asked(self, since):
        """Who asks needs some time to start where the machine has much to do."""
        wait_for("each way to be asked", lambda: len(self.ways.table(since)) == self.count)

    def expect(self, since, *but, until=None):
        """Every way was asked, and answered each time, but for those whose name ends or begins so."""
        if until is None:
            self.asked(since)
        table = self.ways.table(since, until)
        equal(len(table), self.count, f"ways that were asked, of {sorted(table)}")
        bad = {way: row[4] for way, row in table.items()
               if row[4] and not any(way.startswith(b) or way.endswith(b) for b in but)}
        if bad:
            self.ways.show("answers", since, until)
            raise Failed(f"not answered: {bad}")

    def all_well(self, within_s=30):
        """All ways are answered for two seconds in a row, within so many (CONV)."""
        begun = time.time()

        def well():
            table = self.ways.table(time.time() - 2)
            return len(table) == self.count and not any(row[4] for row in table.values())
        time.sleep(2)
        try:
            wait_for("all ways to be answered", well, within_s, every=0.5, strict=True)
        except Failed:
            self.ways.show("answers", begun)
            raise


LAB = None


def all_ways_lead_there(_):
    LAB.asked(0)
    since = time.time()
    wait_for("all ways to be asked", lambda: len(LAB.ways.table(since)) == LAB.count)
    time.sleep(3)
    LAB.expect(since)
    ways = [way for way in LAB.ways.table(since) if not way.endswith(" name") or way.endswith("by name")]

    def answered():  # by chance one of three is not met for a while
        return {way: sorted(row[3]) for way, row in LAB.ways.table(since).items() if way in ways}

    wait_for("each way to lead to all", lambda: all(by == ["web-1", "web-2", "web-3"] for by in answered().values()), 30, 0.5)


def an_agent_is_stopped(c):
    """In an orderly way, and started again: nobody misses anything, names included."""
    for node in (2, 1):
        pid = c.node_pid(node)
        with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
            words = f.read().split("\0")[1:-1]
        since = time.time()
        os.kill(pid, signal.SIGTERM)
        wait_for("its end", lambda node=node: not c.node_pid(node))
        time.sleep(2)
        c.start_node(node, words)
        wait_for("the API", lambda: c.request("GET", "/readyz")[0] == 200)
        wait_for("the node", lambda node=node: c.node_ready(node), 60)
        time.sleep(1)
        LAB.expect(since)


def child(c, node):
    """The server's or agent's process, which its supervisor starts again; None between two."""
    pid = c.node_pid(node)
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
        children = f.read().split()
    return int(children[0]) if children else None


def their_processes_die(c):
    """And are started again: nobody misses anything."""
    since = time.time()
    for node in (1, 2):
        was = child(c, node)
        os.kill(was, signal.SIGKILL)
        wait_for("the next one", lambda node=node, was=was: child(c, node) not in (None, was))
        time.sleep(2)
    wait_for("the API", lambda: c.request("GET", "/readyz")[0] == 200)
    LAB.expect(since)


def the_server_is_killed(c):
    """And its supervisor: no control plane. Pods run on, routes lead on; that node's own name server alone is gone."""
    containers = {n: c.get("pod", f"web-{n}")["status"]["containerStatuses"][0]["containerID"] for n in NODES}
    since = time.time()
    words = c.kill_node(1)
    time.sleep(60 if WHOLE else 6)
    LAB.expect(since, "1 name", "1 by name")
    since = time.time()
    c.start_node(1, words)
    wait_for("the API", lambda: c.request("GET", "/readyz")[0] == 200)
    for n in NODES:
        wait_for("the node", lambda n=n: c.node_ready(n), 60)
        equal(c.get("pod", f"web-{n}")["status"]["containerStatuses"][0]["containerID"], containers[n])
    LAB.all_well()
    LAB.expect(since, "1 name", "1 by name")


def foreign(c, node):
    """Tables as iptables-nft makes them."""
    return "".join(c.inside(node, "nft", "-s", "list", "table", "ip", table) for table in ("filter", "nat"))


def what_others_flush_is_back(c):
    """And what is theirs stays as it is."""
    if WHOLE:
        c.inside(2, "nft", "flush", "ruleset")
        LAB.all_well()
    c.inside(2, "nft", "; ".join(f"add table {t}; add chain {t} {hook} {{ type {kind} hook {where} priority {at}; }}; add chain {t} DOCKER; "
                                 f"add rule {t} {hook} counter jump DOCKER" for t, hook, kind, where, at in (
                                     ("ip filter", "FORWARD", "filter", "forward", 0), ("ip nat", "PREROUTING", "nat", "prerouting", -100),
                                     ("inet firewalld", "input", "filter", "input", 10))))
    before = foreign(c, 2)
    contains(before, "DOCKER")
    tables = [line.split()[-1] for line in c.inside(2, "nft", "list", "tables").splitlines() if " caravel" in line]
    for table in tables:
        c.inside(2, "nft", "flush", "table", "inet", table)
    LAB.all_well()
    equal(foreign(c, 2), before)
    contains(c.inside(2, "nft", "list", "tables"), "table inet firewalld", *tables)


def the_link_goes(c):
    """Another hardware address, no default route, no IPv6 for a while, the pods' device deleted: nothing that has to be told."""
    default = next(line for line in c.inside(3, "ip", "route").splitlines() if line.startswith("default")).split()
    since = time.time()
    c.inside(3, "ip", "route", "delete", "default")
    c.inside(3, "ip", "link", "set", "eth0", "address", "02:ca:11:22:33:44")
    c.inside(3, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    time.sleep(2)
    c.inside(3, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0")
    LAB.all_well()
    LAB.expect(since, " of 3")  # from outside it is another one until that is asked
    c.inside(3, "ip", "route", "replace", *default)
    device = next(line.split()[1].rstrip(":") for line in c.inside(3, "ip", "-o", "link").splitlines() if "-vx:" in line)
    c.inside(3, "ip", "link", "delete", device)
    LAB.all_well()
    c.inside(3, "ip", "link", "delete", device[:-len("-vx")])
    LAB.all_well()
    equal(c.node_ready(3), True)


# --- policies ---

ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9000))
while True:
    _, a = s.recvfrom(100)
    s.sendto(b"%s", a)
"""
ASK = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7777))
s.settimeout(1)
try:
    s.sendto(b"x", ("%s", 9000))
    print(s.recv(100).decode())
except OSError as e:
    print("nobody")
"""
FLOOD = """
import socket, struct, sys, time
source, target, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
def total(data):
    n = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while n >> 16:
        n = (n & 65535) + (n >> 16)
    return n
pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack(">HH", 6, 20)
def syn(sport):
    head = struct.pack(">HHIIBBHHH", sport, port, sport, 0, 80, 2, 1000, 0, 0)
    return head[:16] + struct.pack(">H", ~total(pseudo + head) & 65535) + head[18:]
packets = [syn(p) for p in range(1024, 65000)]
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
s.connect((target, 0))
while True:
    for p in packets:
        try:
            s.send(p)
        except OSError:
            pass
"""


def an_address_used_again(c):
    """At once, by a pod that is closed to him who spoke to the one before: he does not go on speaking to it. And it is reached."""
    c.request("POST", POLICIES, CLOSED)
    file = os.path.join(c.node_dir(3), "cni", "state", "caravel", "last_reserved_ip.0")
    with open(file, encoding="utf-8") as f:
        last = f.read()
    pod(c, "before", 3, "open")
    ip = c.get("pod", "before")["status"]["podIP"]

    def spoken_to(name):
        echo = subprocess.Popen(["nsenter", f"--net={netns(c, name)}", sys.executable, "-c", ECHO % name])
        try:
            return wait_for("its port", lambda: "9000" in within(c, name, "ss", "-lun")) and within(c, "web-2", sys.executable, "-c", ASK % ip).strip()
        finally:
            echo.kill()
            echo.wait()

    equal(spoken_to("before"), "before")
    equal(within(c, "web-2", "curl", "-sm", "5", f"http://{ip}/").strip(), "before")  # the node knows its hardware address
    for app, reached in (("closed", "nobody"), ("open", "then-open")):
        c.kubectl("delete", "pod", "before" if app == "closed" else "then-closed", "--now", "--wait")
        with open(file, "w", encoding="utf-8") as f:
            f.write(last)
        pod(c, f"then-{app}", 3, app)
        equal(c.get("pod", f"then-{app}")["status"]["podIP"], ip)
        if app == "closed":
            c.inside(3, "ip", "neigh", "flush", "all")  # it is the policy that refuses
        equal(spoken_to(f"then-{app}"), reached, "who answers at an address that was another's")
        if app == "open":
            equal(within(c, "web-2", "curl", "-sm", "5", f"http://{ip}/").strip(), "then-open")
    c.kubectl("delete", "pod", "then-open", "--now")


CONNECT = """
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 7778))
s.settimeout(1.5)
try:
    s.connect(("%s", 80))
    s.send(b"GET / HTTP/1.0\\r\\n\\r\\n")
    print(s.makefile().read().split()[-1])
except OSError:
    print("nobody")
"""


def a_connection_that_nobody_answered(c):
    """Its port is not led to the same endpoint when that is gone: the kernel would remember for two minutes."""
    pod(c, "mute", 3, "lone")
    within(c, "mute", "nft", "add table ip mute; add chain ip mute in { type filter hook input priority 0; policy drop; }")
    c.apply("apiVersion: v1\nkind: Service\nmetadata: {name: lone}\nspec: {selector: {app: lone}, ports: [{port: 80}]}")
    ip = c.get("svc", "lone")["spec"]["clusterIP"]

    def connect():
        return within(c, "web-2", sys.executable, "-c", CONNECT % ip).strip()
    equal(connect(), "nobody")
    pod(c, "speaks", 3, "lone")
    c.kubectl("label", "pod", "mute", "app=gone", "--overwrite")
    wait_for("an answer", lambda: connect() == "speaks", 15, every=1)
    c.kubectl("delete", "svc/lone", "pod/mute", "pod/speaks", "--now")


def no_packet_gets_through(c):
    """A flood of SYNs, counted where they would arrive, while the policy is edited, its pod's labels flip, the agent is killed."""
    c.request("POST", POLICIES, CLOSED)
    pod(c, "shut", 3, "closed")
    ip, source = (c.get("pod", p)["status"]["podIP"] for p in ("shut", "web-2"))
    within(c, "shut", "nft", "add table ip count; add chain ip count in { type filter hook input priority 0; }; "
           "add rule ip count in tcp flags syn counter")

    def counted():
        rules = json.loads(within(c, "shut", "nft", "-j", "list", "chain", "ip", "count", "in"))["nftables"]
        return next(e["counter"]["packets"] for r in rules if "rule" in r for e in r["rule"]["expr"] if "counter" in e)
    equal(within(c, "shut", "nft", "list", "tables").strip(), "table ip count")
    flood = subprocess.Popen(["nsenter", f"--net={netns(c, 'web-2')}", sys.executable, "-c", FLOOD, source, ip, "80"])
    edits = 0
    try:
        end = time.monotonic() + (60 if WHOLE else 6)
        while time.monotonic() < end:  # each selects the pod and lets in nobody who is there
            CLOSED["spec"]["ingress"] = [{"from": [{"podSelector": {"matchLabels": {"n": str(edits)}}}]}]
            equal(c.request("PUT", f"{POLICIES}/closed", CLOSED)[0], 200)
            edits += 1
            if edits % 10 == 0:
                c.request("PATCH", "/api/v1/namespaces/default/pods/shut", {"metadata": {"labels": {"flip": str(edits)}}},
                          {"Content-Type": "application/merge-patch+json"})
            time.sleep(0.02)
        for _ in range(2):
            os.kill(child(c, 3), signal.SIGKILL)
            time.sleep(2)
        wait_for("the agent", lambda: c.node_ready(3), 60)
        equal(counted(), 0, f"packets let through in {edits} edits and two starts of the agent")
        # and it would have been seen
        c.request("DELETE", f"{POLICIES}/closed")
        wait_for("the flood to arrive without a policy", lambda: counted() > 1000)
        print(f"# {edits} edits")
    finally:
        flood.kill()
        flood.wait()
    c.kubectl("delete", "pod", "shut", "--now")


# --- minutes ---

STATEFUL = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: &spec
      affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, preference: {matchExpressions: [
        {key: kubernetes.io/hostname, operator: In, values: [dev-3]}]}}]}}
      terminationGracePeriodSeconds: 1
      tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 2}]
      containers: [{name: c, image: "docker.io/caravel/demo:1", command: ["sleep", "100000"]}]
"""


def a_node_is_cut_off(c):
    """From everybody. Its pods go on, it has names; the others lose what was there until it is taken for lost, and not longer. A
    StatefulSet's pod is not started a second time, a Deployment's is elsewhere. Afterwards everything is as before."""
    c.apply(STATEFUL)
    c.apply(STATEFUL.replace("StatefulSet", "Deployment").replace("db", "dep").replace("  serviceName: dep\n", ""))
    c.kubectl("rollout", "status", "sts/db", "--timeout=60s")
    c.kubectl("rollout", "status", "deploy/dep", "--timeout=60s")
    equal([p["spec"]["nodeName"] for p in c.get("pods", "-l", "app in (db, dep)")["items"]], ["dev-3"] * 2)
    uid = c.get("pod", "db-0")["metadata"]["uid"]
    since = time.time()
    c.inside(3, "nft", "add table netdev cut; add chain netdev cut in { type filter hook ingress device eth0 priority 0; policy drop; }; "
             "add chain netdev cut out { type filter hook egress device eth0 priority 0; policy drop; }")
    try:
        wait_for("dev-3 to be taken for lost", lambda: not c.node_ready(3), 90, every=0.5)
        wait_for("another pod of the Deployment", lambda: [p for p in c.get("pods", "-l", "app=dep")["items"]
                                                           if p["spec"]["nodeName"] != "dev-3" and p["status"]["phase"] == "Running"], 60)
        time.sleep(3)
        lost = time.time()
        time.sleep(10)
        LAB.expect(lost, " of 3", "3 cluster ip", "3 by name")
        LAB.expect(since, " of 3", "ip", "by name", "ingress", "node port of 1", "node port of 2", "load balancer of 1", "load balancer of 2")
        contains(str(LAB.ways.table(lost - 20)["3 cluster ip"][3]), "web-3")  # of those that it knows its own alone answers it
        db = c.get("pod", "db-0")
        equal((db["metadata"]["uid"], db["spec"]["nodeName"], "deletionTimestamp" in db["metadata"]), (uid, "dev-3", True))
    finally:
        c.inside(3, "nft", "delete", "table", "netdev", "cut")
    LAB.all_well()
    wait_for("the StatefulSet's next pod", lambda: c.get("pod", "db-0")["metadata"]["uid"] != uid and c.get("sts", "db")["status"].get("readyReplicas") == 1, 60)
    c.kubectl("delete", "sts/db", "deploy/dep")


def an_agent_hangs(c):
    """Stopped for a minute, and on it goes."""
    pid = child(c, 2)
    since = time.time()
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(60)
    finally:
        os.kill(pid, signal.SIGCONT)
    LAB.expect(since, "2 name", "2 by name", until=since + 60)
    wait_for("dev-2", lambda: c.node_ready(2), 60)
    LAB.all_well()


def losses(c):
    """A fifth of all packets, each way: slow, and over when it is over."""
    c.inside(3, "nft", "add table netdev loss; "
             "add chain netdev loss in { type filter hook ingress device eth0 priority 0; }; add rule netdev loss in numgen random mod 5 == 0 drop; "
             "add chain netdev loss out { type filter hook egress device eth0 priority 0; }; add rule netdev loss out numgen random mod 5 == 0 drop")
    time.sleep(30)
    c.inside(3, "nft", "delete", "table", "netdev", "loss")
    equal(c.node_ready(3), True)
    LAB.all_well()


if __name__ == "__main__":
    WHOLE = sys.argv[1:2] == ["whole"]
    if WHOLE:
        del sys.argv[1]
    need_node()
    with DevCluster(nodes=3, args=[word for who in ("server", "agent") for word in (
            f"--{who}-arg", "--ingress-http-port", f"--{who}-arg", str(INGRESS_PORT))]) as cluster:
        LAB = Lab(cluster)
        with LAB.ways:
            sys.exit(main([all_ways_lead_there, an_agent_is_stopped, their_processes_die, the_server_is_killed, what_others_flush_is_back, the_link_goes,
                           an_address_used_again, a_connection_that_nobody_answered, no_packet_gets_through, *([a_node_is_cut_off, an_agent_hangs, losses] if WHOLE else [])],
                          cluster))
