#!/usr/bin/env python3
"""Ingress on several nodes: each serves, what is lost is no address any more, and nobody else notices. Backends are servers
of this program beside the nodes, behind EndpointSlices written by hand; the roll-out is one of pods."""
import base64
import concurrent.futures
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import lib
from lib import DevCluster, Skip, contains, equal, wait_for
from test_ingress import NGINX, Backend, WebSocket, certificate, tls_connect

NODES = 3
INGRESSES = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
LABEL = "node-restriction.kubernetes.io/ingress"


class World:
    def __init__(self, c):
        self.c = c
        net = c.host.rsplit(".", 1)[0]
        self.bridge = net + ".1"
        self.addresses = [a["address"] for n in range(1, NODES + 1) for a in c.get("node", f"dev-{n}")["status"]["addresses"]
                          if a["type"] == "InternalIP" and "." in a["address"]]
        self.backends = {}

    def make(self, *docs):
        self.c.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": docs}))

    def backend(self, name):
        if name not in self.backends:
            b = self.backends[name] = Backend(name, self.bridge)
            self.service(name, b.port)
        return self.backends[name]

    def service(self, name, port):
        self.make({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": [{"name": "web", "port": 80}]}},
                  {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                   "metadata": {"name": name + "-1", "labels": {"kubernetes.io/service-name": name}},
                   "ports": [{"name": "web", "port": port, "protocol": "TCP"}],
                   "endpoints": [{"addresses": [self.bridge], "conditions": {"ready": True}}]})

    @staticmethod
    def ingress_doc(name, host, service, annotations=None, **spec):
        return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "annotations": annotations or {}},
                "spec": {"rules": [{"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {
                    "service": {"name": service, "port": {"number": 80}}}}]}}], **spec}}

    def ingress(self, name, host, service, **kw):
        self.make(self.ingress_doc(name, host, service, **kw))

    def secret(self, name, subject):
        self.make({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name},
                   "data": {k: base64.b64encode(v).decode() for k, v in certificate(subject).items()}})

    def ask(self, node, host, headers=None):
        """(status, answer of a backend or text)"""
        h = http.client.HTTPConnection(self.addresses[node - 1], 80, timeout=20)
        try:
            h.request("GET", "/", headers={"Host": host, **(headers or {})})
            r = h.getresponse()
            text = r.read().decode(errors="replace")
            with contextlib.suppress(ValueError):
                text = json.loads(text)
            return r.status, text
        finally:
            h.close()

    def name(self, node, host):
        status, answer = self.ask(node, host)
        return answer["name"] if status == 200 and isinstance(answer, dict) else status

    def everywhere(self, host, wanted, nodes=range(1, NODES + 1)):
        for n in nodes:
            wait_for(f"{host} to answer {wanted} at dev-{n}", lambda n=n: self.name(n, host) == wanted)

    def told(self, name):
        return sorted(i["ip"] for i in self.c.get("ingress", name)["status"].get("loadBalancer", {}).get("ingress", []))

    def addresses_are(self, name, *nodes, timeout=30):
        wanted = sorted(self.addresses[n - 1] for n in nodes)
        wait_for(f"{name} to have the addresses of {nodes}", lambda: self.told(name) == wanted, timeout)

    def haproxies(self, node):
        config = f"{self.c.node_dir(node)}/ingress/haproxy.cfg"
        found = []
        for p in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{p}/cmdline", encoding="utf-8", errors="replace") as f:
                if config in f.read().split("\0"):
                    found.append(int(p))
        return sorted(found)

    def reads(self, node):
        """How often its HAProxy was started, to serve or to read anew."""
        log = self.c.node_log(node)
        return log.count('"haproxy read its configuration anew"') + log.count('"haproxy serves"')


def every_node_serves(w):
    w.backend("a")
    w.ingress("web", "web.example", "a")
    w.everywhere("web.example", "a")
    w.addresses_are("web", 1, 2, 3)
    w.ingress("bad", "bad.example", "nosuch")
    w.everywhere("bad.example", 503)

    def events():
        return [e for e in w.c.get("events")["items"] if e["involvedObject"]["name"] == "bad"]
    wait_for("an Event", events)
    equal([(e["source"]["host"], e.get("count") or 1) for e in events()], [("dev-1", 1)], "one for all nodes")


def as_node(w, *words):
    r = w.c.run(*words, "--as=system:node:dev-2", "--as-group=system:nodes", check=False)
    return r.returncode, r.text + r.errors


def secrets(w):
    """A node has those that Ingresses of ours name, and no others."""
    for name in ("unnamed", "theirs", "ours"):
        w.secret(name, name)
    w.make({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "foreign"}, "spec": {"controller": "x.org/y"}})
    w.ingress("theirs", "theirs.example", "a", ingressClassName="foreign", tls=[{"hosts": ["theirs.example"], "secretName": "theirs"}])
    for words in (["unnamed"], ["theirs"], [], ["-A"], ["ours"]):
        status, text = as_node(w, "get", "secret", *words)
        equal(status, 1, f"{words}: {text}")
        contains(text, "(Forbidden)")
    w.ingress("ours", "ours.example", "a", tls=[{"hosts": ["ours.example"], "secretName": "ours"}])
    for n in range(NODES):
        wait_for("the certificate", lambda n=n: tls_connect(443, "ours.example", address=w.addresses[n])[1] == "ours")
        equal(tls_connect(443, "theirs.example", address=w.addresses[n])[1], "caravel-ingress-default")
    equal(as_node(w, "get", "secret", "ours")[0], 0)
    equal(as_node(w, "get", "secret", "unnamed")[0], 1)


def gateways(w):
    """On every node, beside Ingresses and at a port of their own; its certificate is for nodes because a Gateway names it, and the
    grant of another namespace counts."""
    kind = "gateway.networking.k8s.io/v1"
    wait_for("the class", lambda: w.c.request("GET", f"/apis/{kind}/gatewayclasses/caravel")[0] == 200)
    w.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "certs"}},
           {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "far", "namespace": "certs"},
            "data": {k: base64.b64encode(v).decode() for k, v in certificate("far").items()}},
           {"apiVersion": kind, "kind": "Gateway", "metadata": {"name": "g"}, "spec": {"gatewayClassName": "caravel", "listeners": [
               {"name": "http", "port": 80, "protocol": "HTTP", "hostname": "gate.example"},
               {"name": "own", "port": 8088, "protocol": "HTTP"},
               {"name": "tls", "port": 443, "protocol": "HTTPS", "hostname": "gate.example",
                "tls": {"certificateRefs": [{"name": "far", "namespace": "certs"}]}}]}},
           {"apiVersion": kind, "kind": "HTTPRoute", "metadata": {"name": "r"}, "spec": {"parentRefs": [{"name": "g"}], "rules": [
               {"matches": [{"headers": [{"name": "x-gate", "value": "yes"}]}], "backendRefs": [{"name": "a", "port": 80}]}]}})

    def gate(n, **headers):
        return w.ask(n, "gate.example", headers)[0]
    for n in range(1, NODES + 1):
        wait_for(f"the Gateway at dev-{n}", lambda n=n: gate(n, **{"X-Gate": "yes"}) == 200)
        equal((gate(n), w.name(n, "web.example")), (404, "a"), f"dev-{n}")
        with socket.create_connection((w.addresses[n - 1], 8088), 20):
            pass
    equal(as_node(w, "get", "secret", "far", "-n", "certs")[0], 1, "without a grant")
    equal(tls_connect(443, "gate.example", address=w.addresses[1])[1], "caravel-ingress-default")
    w.make({"apiVersion": kind, "kind": "ReferenceGrant", "metadata": {"name": "x", "namespace": "certs"}, "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "default"}],
        "to": [{"group": "", "kind": "Secret", "name": "far"}]}})
    for n in range(NODES):
        wait_for("the certificate", lambda n=n: tls_connect(443, "gate.example", address=w.addresses[n])[1] == "far")
    equal(as_node(w, "get", "secret", "far", "-n", "certs")[0], 0)
    equal(as_node(w, "get", "secret", "-n", "certs")[0], 1)
    wait_for("its addresses", lambda: sorted(a["value"] for a in w.c.get("gateway", "g")["status"]["addresses"]) == sorted(w.addresses))
    w.c.kubectl("delete", "gateway/g", "httproute/r", "ns/certs")
    w.everywhere("gate.example", 404)
    equal(as_node(w, "get", "secret", "far", "-n", "certs")[0], 1)


def certificates_change(w):
    w.secret("ours", "another")
    for n in range(NODES):
        wait_for("the new certificate", lambda n=n: tls_connect(443, "ours.example", address=w.addresses[n])[1] == "another")
    before = [w.haproxies(n + 1) for n in range(NODES)]
    w.c.kubectl("delete", "secret", "ours")
    for n in range(NODES):
        wait_for("no certificate", lambda n=n: tls_connect(443, "ours.example", address=w.addresses[n])[1] == "caravel-ingress-default")
    equal([w.haproxies(n + 1) for n in range(NODES)], before, "told as they run")
    for n in range(NODES):
        files = os.listdir(f"{w.c.node_dir(n + 1)}/ingress")
        equal([f for f in files if f.endswith(".pem")], ["default.pem"], "keys on the disk")


def websockets(w):
    w.backend("ws")
    w.ingress("ws", "ws.example", "ws")
    w.everywhere("ws.example", "ws")
    for address in w.addresses:
        WebSocket(80, "ws.example", address=address).echo(b"hello")


def http2_and_grpc(w):
    if not shutil.which("nghttpd") or not shutil.which("nghttp"):
        raise Skip("needs nghttpd and nghttp (nghttp2-server, nghttp2-client)")
    port = lib.free_port()
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/x", "w", encoding="utf-8") as f:
            f.write("hello")
        server = subprocess.Popen(["nghttpd", "--no-tls", "-a", w.bridge, "--trailer", "grpc-status: 0", "-d", d, str(port)],
                                  stdout=subprocess.DEVNULL)
        try:
            w.service("grpc", port)
            w.ingress("grpc", "grpc.example", "grpc", annotations={NGINX + "backend-protocol": "GRPC"})
            for address in w.addresses:
                for url in (f"http://{address}/x", f"https://{address}/x"):
                    def answer(url=url):
                        return subprocess.run(["nghttp", "-v", "-H", ":authority: grpc.example", "-H", "te: trailers", url], check=False,
                                              stdout=subprocess.PIPE).stdout.decode()
                    wait_for("an answer", lambda: ":status: 200" in answer())
                    contains(answer(), "hello", "grpc-status: 0")
        finally:
            server.terminate()
            server.wait(20)


def trusted_proxies(w):
    """Requests from the bridge come from one that is trusted, those from the node itself do not."""
    def seen(**headers):
        answer = w.ask(2, "web.example", {k.replace("_", "-"): v for k, v in headers.items()})[1]["headers"]
        return answer["x-forwarded-for"], answer["x-real-ip"], answer["x-forwarded-proto"], answer["x-forwarded-host"]
    inside = w.c.inside(2, "curl", "-s", "-H", "Host: web.example", "-H", "X-Forwarded-For: 6.6.6.6", "-H", "X-Forwarded-Proto: https",
                        "-H", "X-Forwarded-Host: evil", "http://127.0.0.1/")
    h = json.loads(inside)["headers"]
    equal((h["x-forwarded-for"], h["x-forwarded-proto"], h["x-forwarded-host"]), ("127.0.0.1", "http", "web.example"))
    equal(seen(), (w.bridge, w.bridge, "http", "web.example"))
    equal(seen(X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="https", X_Forwarded_Host="shop.example"),
          ("6.6.6.6", "6.6.6.6", "https", "shop.example"))
    equal(seen(X_Forwarded_For="1.1.1.1, 6.6.6.6")[0], "6.6.6.6", "what a client says before a proxy counts for nothing")
    equal(seen(X_Forwarded_For=f"1.1.1.1, 6.6.6.6, {w.addresses[0]}, {w.addresses[1]}")[0], "6.6.6.6", "behind two more")
    equal(seen(X_Forwarded_For=f"6.6.6.6, nonsense, {w.addresses[0]}")[0], w.addresses[0], "no further than what is an address")
    equal(seen(X_Forwarded_For="nonsense", X_Forwarded_Proto="ftp"), (w.bridge, w.bridge, "http", "web.example"))
    w.ingress("far", "far.example", "a", annotations={NGINX + "whitelist-source-range": "6.6.6.0/24", NGINX + "force-ssl-redirect": "true"})
    wait_for("a refusal", lambda: w.ask(1, "far.example")[0] == 403)
    equal(w.ask(1, "far.example", {"X-Forwarded-For": "6.6.6.6"})[0], 308)
    equal(w.ask(1, "far.example", {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"})[0], 200)
    equal(w.ask(1, "far.example", {"X-Forwarded-For": "6.6.6.6, 7.7.7.7", "X-Forwarded-Proto": "https"})[0], 403)


def chosen_nodes(w):
    w.c.kubectl("label", "node", "dev-2", LABEL + "=true")
    w.addresses_are("web", 2)
    for n in (1, 3):
        wait_for("no HAProxy", lambda n=n: not w.haproxies(n))
        equal("caravel.io/ingress-ports" in w.c.get("node", f"dev-{n}")["metadata"]["annotations"], False)
    equal(w.name(2, "web.example"), "a")
    w.c.kubectl("label", "node", "dev-2", LABEL + "-")
    w.c.kubectl("label", "node", "dev-1", LABEL + "=false")
    w.addresses_are("web", 2, 3)
    w.c.kubectl("label", "node", "dev-1", LABEL + "-")
    w.addresses_are("web", 1, 2, 3)
    w.everywhere("web.example", "a")


def a_port_of_a_load_balancer(w):
    """Who came first has it; the other one waits, and says so."""
    balancer = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "balancer"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]}}

    def ports():
        return [w.c.get("node", f"dev-{n}")["metadata"]["annotations"].get("caravel.io/ingress-ports") for n in range(1, NODES + 1)]

    def balancers():
        return len(w.c.get("service", "balancer")["status"].get("loadBalancer", {}).get("ingress", []))
    wait_for("both ports", lambda: ports() == ["80,443"] * NODES)
    w.make(balancer)
    wait_for("its Event", lambda: "is taken by a server of the node" in w.c.kubectl("get", "events"))
    equal((balancers(), w.name(3, "web.example")), (0, "a"))
    kept = [{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": i["metadata"]["name"], "annotations": i["metadata"].get("annotations")},
             "spec": i["spec"]} for i in w.c.get("ingress")["items"]]
    w.c.kubectl("delete", "ingress", "--all")
    wait_for("the balancer's addresses", lambda: balancers() == NODES)
    w.make(*kept)
    wait_for("the other port", lambda: ports() == ["443"] * NODES)
    wait_for("an Event on an Ingress", lambda: "port 80 of node dev-3 is the load balancer's of Service default/balancer" in
             w.c.kubectl("get", "events", "--field-selector", "involvedObject.name=web"))
    w.c.kubectl("delete", "service", "balancer")
    wait_for("both ports", lambda: ports() == ["80,443"] * NODES)
    w.everywhere("web.example", "a")


def haproxy_is_killed(w):
    """It is back; nobody else notices, and no address goes."""
    ws = WebSocket(80, "ws.example", address=w.addresses[0])
    ws.echo(b"one")
    version = w.c.get("ingress", "web")["metadata"]["resourceVersion"]
    for _ in range(3):
        before = w.haproxies(2)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        wait_for("another HAProxy", lambda before=before: w.haproxies(2) not in (before, []))
        w.everywhere("web.example", "a", [2])
    ws.echo(b"two")
    equal(w.c.get("ingress", "web")["metadata"]["resourceVersion"], version, "its status was not written")


ROLLOUT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: roll}
spec:
  replicas: 3
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  selector: {matchLabels: {app: roll}}
  template:
    metadata: {labels: {app: roll}}
    spec:
      terminationGracePeriodSeconds: 20
      containers:
      - name: web
        image: docker.io/caravel/demo:1
        env: [{name: VERSION, value: "VERSION-IS"}]
        command: [sh, -c, "mkdir -p /tmp/www; echo $VERSION > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"]
        ports: [{containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        lifecycle: {preStop: {exec: {command: [sleep, "3"]}}}
---
apiVersion: v1
kind: Service
metadata: {name: roll}
spec: {selector: {app: roll}, ports: [{port: 80, targetPort: 8080}]}
"""


class Ledger:
    """Clients that keep asking through every node, and what each answer was."""
    def __init__(self, w, host):
        self.w, self.host, self.stop, self.rows = w, host, threading.Event(), []
        self.pool = concurrent.futures.ThreadPoolExecutor(2 * NODES)
        self.clients = [self.pool.submit(self.client, n % NODES) for n in range(2 * NODES)]

    def client(self, node):
        h = http.client.HTTPConnection(self.w.addresses[node], 80, timeout=20)
        while not self.stop.is_set():
            try:
                h.request("GET", "/", headers={"Host": self.host})
                r = h.getresponse()
                self.rows.append((node + 1, r.status, r.read().decode(errors="replace").strip()))
            except (OSError, http.client.HTTPException) as e:
                self.rows.append((node + 1, repr(e), ""))
                h.close()

    def end(self):
        self.stop.set()
        for f in self.clients:
            f.result()
        return self.rows


def a_rollout(w):
    """No request fails while every pod is replaced: keep-alive clients through all nodes, a ledger of all answers."""
    w.c.apply(ROLLOUT.replace("VERSION-IS", "one"))
    w.c.kubectl("rollout", "status", "deployment/roll", "--timeout=90s")
    w.ingress("roll", "roll.example", "roll")
    for n in range(1, NODES + 1):
        wait_for("an answer", lambda n=n: w.ask(n, "roll.example") == (200, "one\n"))
    ledger = Ledger(w, "roll.example")
    w.c.apply(ROLLOUT.replace("VERSION-IS", "two"))
    w.c.kubectl("rollout", "status", "deployment/roll", "--timeout=120s", timeout=130)
    for n in range(1, NODES + 1):
        wait_for("the new ones alone", lambda n=n: {w.ask(n, "roll.example") for _ in range(6)} == {(200, "two\n")}, 60)
    rows = ledger.end()
    equal([r for r in rows if r[1] != 200 or r[2] not in ("one", "two")], [], f"of {len(rows)} requests")
    equal({(r[0], r[2]) for r in rows}, {(n, v) for n in range(1, NODES + 1) for v in ("one", "two")}, "each version by each node")


def a_flood(w):
    """A thousand at once: all are served, by few readings of the configuration, and nobody else waits for it."""
    before = [w.reads(n) for n in range(1, NODES + 1)]
    ledger = Ledger(w, "web.example")
    for i in range(1000):
        status, body, _ = w.c.request("POST", INGRESSES, w.ingress_doc(f"flood-{i}", f"h{i}.flood.example", "a", annotations={
            NGINX + "app-root": f"/r{i}"} if i % 10 == 0 else None))
        equal(status, 201, body)
    for n in range(1, NODES + 1):
        for i in (0, 499, 999):
            wait_for("the last", lambda n=n, i=i: w.ask(n, f"h{i}.flood.example")[0] == (302 if i % 10 == 0 else 200), 120)
    rows = ledger.end()
    equal([r for r in rows if r[1] != 200], [], f"of {len(rows)} requests")
    read = [w.reads(n) - before[n - 1] for n in range(1, NODES + 1)]
    equal(max(read) <= 50, True, f"read anew {read} times for 100 sections")
    wait_for("all addresses", lambda: sum(len(i["status"].get("loadBalancer", {}).get("ingress", [])) for i in
                                          w.c.get("ingress")["items"] if i["metadata"]["name"].startswith("flood")) == 3000, 120)
    print(f"# read anew {read} times; {len(rows)} requests of others meanwhile")
    for i in range(1000):
        w.c.request("DELETE", f"{INGRESSES}/flood-{i}")
    w.everywhere("h999.flood.example", 404)
    equal(w.name(1, "web.example"), "a")


def a_node_is_lost(w):
    """Not told by anybody: its address goes when the node is NotReady, and the others serve all the while."""
    words = w.c.kill_node(3)
    for pid in w.haproxies(3):
        os.kill(pid, signal.SIGKILL)
    ledger = Ledger(w, "web.example")
    w.addresses_are("web", 1, 2, timeout=120)
    equal([r for r in ledger.end() if r[0] != 3 and r[1] != 200], [], "of the others")
    w.c.start_node(3, words)
    w.addresses_are("web", 1, 2, 3, timeout=60)
    w.everywhere("web.example", "a")
    w.c.kill_node(3)
    w.c.kubectl("delete", "node", "dev-3")
    w.addresses_are("web", 1, 2)
    w.c.start_node(3, words)
    w.addresses_are("web", 1, 2, 3, timeout=60)


TESTS = [every_node_serves, secrets, gateways, certificates_change, websockets, http2_and_grpc, trusted_proxies, chosen_nodes,
         a_port_of_a_load_balancer, haproxy_is_killed, a_rollout, a_flood, a_node_is_lost]

if __name__ == "__main__":
    lib.need_node()
    if not shutil.which("haproxy") and not os.path.exists("/usr/sbin/haproxy"):
        def no_haproxy():
            raise Skip("needs haproxy")
        sys.exit(lib.main([no_haproxy]))
    with DevCluster(NODES, args=["--server-arg", "--ingress-trusted-proxies=198.18.0.0/15"]) as cluster:
        sys.exit(lib.main(TESTS, World(cluster)))
