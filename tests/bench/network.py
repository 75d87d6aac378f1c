"""What a node's network does: Services, ways between Pods, names, Ingresses. As the groups of `run`."""
import concurrent.futures
import contextlib
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

from sides import Caravel, How, Load, Unavailable, built, lib
from nghttpd import NET_THREADS, Nghttpd
from lib import DevCluster, Failed, free_port, node_possible, own_address, read_text, wait_for


def services(kind):
    """tests/bench/proxy_bench.c: 10,000 Services of five endpoints."""
    r = subprocess.run([built(kind, "proxy_bench")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if r.returncode:
        raise Unavailable(r.stderr.strip())

    def figure(pattern):
        return float(re.search(pattern, r.stdout).group(1))
    ways = {"direct": "directly", "one": "through one Service", "many": "through one of them"}
    out = {f"{key} {what}": figure(rf"{way} .*?([\d.]+) {unit}") for key, way in ways.items()
           for what, unit in (("us", "us"), ("conns", "connections/s"), ("gbit", "Gbit/s"))}
    return {"first sync": figure(r"first sync .*? (\d+) ms"), "proxy memory": figure(r"(\d+) MB more afterwards"),
            "one more": figure(r"one more +([\d.]+) ms"), "packet one": out["one us"] - out["direct us"],
            "packet many": out["many us"] - out["direct us"], "conns ratio": out["many conns"] / out["direct conns"],
            "gbit ratio": out["many gbit"] / out["direct gbit"]}


def apart(fn):
    """What fn() gives, called in a process that has a network namespace of its own."""
    if os.geteuid() != 0:
        raise Unavailable("needs root")
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
                raise Unavailable("may not make network namespaces")
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            said = {"is": fn()}
        except (Unavailable, subprocess.SubprocessError, OSError, TypeError) as e:
            said = {"why": str(e)}
        os.write(w, json.dumps(said).encode())
        os._exit(0)
    os.close(w)
    with os.fdopen(r, "rb") as f:
        said = json.loads(f.read() or b'{"why": "it ended"}')
    os.waitpid(pid, 0)
    if "why" in said:
        raise Unavailable(said["why"])
    return said["is"]


def fill(s, n, each):
    """n Services of so many endpoints, which nobody looks after."""
    def service(i):
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"s-{i:05}", "labels": {"app": f"s-{i:05}"}},
                "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}

    def slice_of(i, owner):
        addresses = [f"10.42.{(i * each + k) // 250 % 256}.{(i * each + k) % 250 + 2}" for k in range(each)]
        return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": f"s-{i:05}-abcde", "labels": {"kubernetes.io/service-name": f"s-{i:05}", "app": f"s-{i:05}"},
                             "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": f"s-{i:05}", "controller": True,
                                                  "uid": owner}]},
                "endpoints": [{"addresses": [a], "conditions": {"ready": True, "serving": True, "terminating": False},
                               "nodeName": f"node-{(i + k) % 50:03}", "zone": "one",
                               "targetRef": {"kind": "Pod", "namespace": "default", "name": f"s-{i:05}-7d4b9c6f5d-{k:05}",
                                             "uid": f"0b5d2c4e-8d1e-4c6a-9b1f-{i:07}{k:05}"}} for k, a in enumerate(addresses)],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}

    def some(first):
        conn = s.connect()
        for i in range(first, n, 4):
            owner = ""
            for path, body in (("/api/v1/namespaces/default/services", service),
                               ("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", slice_of)):
                conn.request("POST", path, json.dumps(body(i, owner) if owner else body(i)), s.HEADERS)
                r = conn.getresponse()
                made = json.loads(r.read())
                if r.status != 201:
                    raise Unavailable(f"POST {path}: {made}")
                owner = made["metadata"]["uid"]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(some, range(4)))


def kube_proxy(kind):
    """`caravel kube-proxy` beside a server with 10,000 Services of five endpoints: started, and started again."""
    if kind is not Caravel:
        raise Unavailable("only our own proxy is measured")

    def measured():
        with Caravel() as s:
            s.default_account()
            fill(s, 10000, 5)
            for again in (False, True):
                log = os.path.join(s.dir, f"proxy-{again}.log")
                with open(log, "wb") as f:
                    p = subprocess.Popen([How.binary, "kube-proxy", "--kubeconfig", os.path.join(s.dir, "kubeconfig"), "--cluster-cidr",
                                          "10.42.0.0/16", "--hostname-override", "node-001"], stdout=f, stderr=f)
                began = time.monotonic()
                while "rules are in place" not in read_text(log):
                    if p.poll() is not None or time.monotonic() - began > 60:
                        raise Unavailable("no rules from kube-proxy: " + read_text(log)[-300:])
                    time.sleep(0.01)
                took = time.monotonic() - began
                time.sleep(12)  # two looks at its heap
                kb = {key: int(value) for key, value in re.findall(r"(\w+):\s+(\d+) kB", read_text(f"/proc/{p.pid}/status"))}
                p.terminate()
                p.wait()
            return {"kube-proxy rss": kb["VmRSS"] / 1024, "kube-proxy height": kb["VmHWM"] / 1024, "kube-proxy again": took * 1000}
    return apart(measured)


# Not exec'ed by the kubelet, but entered: the programs are the host's, the network is the Pod's.
PATH_POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME}}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: dev-NODE
  containers: [{name: c, image: docker.io/caravel/demo:1, command: [sleep, "31415926MARK"]}]
---
apiVersion: v1
kind: Service
metadata: {name: NAME}
spec: {selector: {app: NAME}, ports: [{port: 80, targetPort: 8080}]}
"""


def pod_net(mark):
    """The network namespace of the process that sleeps so long."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if read_text(f"/proc/{pid}/cmdline").split("\0")[:2] == ["sleep", mark]:
                return f"--net=/proc/{pid}/ns/net"
    raise Unavailable("the process of a Pod was not found")


def path_of(program, backend):
    out, mark = {}, f"{os.getpid()}000"
    with DevCluster(2, ["--server-arg", f"--flannel-backend={backend}"]) as c:
        for i, (name, where) in enumerate((("client", 1), ("near", 1), ("far", 2))):
            c.apply(PATH_POD.replace("NAME", name).replace("NODE", str(where)).replace("31415926MARK", f"{mark}{i}"))
        c.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=90s")
        client, served = pod_net(f"{mark}0"), []
        try:
            for i, name in ((1, "near"), (2, "far")):
                said = subprocess.run(["nsenter", pod_net(f"{mark}{i}"), program, "serve", "8080"], check=True, stdout=subprocess.PIPE,
                                      text=True)
                served.append(int(said.stdout))
                direct = c.get("pod", name)["status"]["podIP"]
                service = c.get("service", name)["spec"]["clusterIP"]
                wait_for("the way through the Service", lambda to=service: subprocess.run(
                    ["nsenter", client, sys.executable, "-c", f"import socket; socket.create_connection(('{to}', 80), 1)"],
                    check=False, stderr=subprocess.DEVNULL).returncode == 0)
                for way, (address, port) in (("direct", (direct, 8080)), ("service", (service, 80))):
                    said = subprocess.run(["nsenter", client, program, "to", address, str(port)], check=True, stdout=subprocess.PIPE,
                                          text=True, timeout=300)
                    for what, value in zip(("us", "conns", "gbit"), said.stdout.split()):
                        out[f"{backend} {name} {way} {what}"] = float(value)
        finally:
            for pid in served:
                os.kill(pid, signal.SIGKILL)
    return out


def path(kind):
    """Between Pods, to their addresses and through a Service: on one node, and between two by each way of the Pods' network."""
    why = node_possible()
    if why:
        raise Unavailable(why)
    program = built(kind, "path_bench")
    lib.CARAVEL = How.binary
    lib.need_tools()
    try:
        return {**path_of(program, "vxlan"), **{k: v for k, v in path_of(program, "host-gw").items() if " far " in k}}
    except (Failed, SystemExit) as e:
        raise Unavailable(str(e)) from e


def asked_for(port, name):
    """The last address of the answer to an A question; None: there is none."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.sendto(b"\7\7\1\0\0\1\0\0\0\0\0\0" + question, ("127.0.0.1", port))
        with contextlib.suppress(OSError):
            said = s.recv(512)
            return socket.inet_ntoa(said[-4:]) if said[7] else None
    return None


def who_answers(address, port):
    with contextlib.suppress(OSError), socket.create_connection((address, port), 1) as s:
        return s.recv(1)
    return None


def follow(kind):
    """From a write of a slice's endpoints, sent, until the name has the address and the Service leads to the other server."""
    why, own = node_possible(), own_address()
    if why or not own or kind is not Caravel:
        raise Unavailable(why or ("only our own node is measured" if own else "this machine has loopback alone"))
    with Caravel(agent=True) as s, contextlib.ExitStack() as open_ones:
        def dns_port():
            nodes = (s.get("/api/v1/nodes") or {}).get("items", [])
            return int(nodes[0]["metadata"].get("annotations", {}).get("caravel.io/dns-port", 0)) if nodes else 0

        def serve(server, said):
            with contextlib.suppress(OSError):
                while True:
                    with server.accept()[0] as c:
                        c.sendall(said)

        def slice_of(name, address, port):
            return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                    "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
                    "endpoints": [{"addresses": [address], "conditions": {"ready": True}}], "ports": [{"name": "", "port": port}]}
        s.until("the node's name server", dns_port, 60, 0.05)
        s.default_account()
        servers = [open_ones.enter_context(socket.create_server((own, 0), backlog=256)) for _ in range(2)]
        for server, said in zip(servers, (b"a", b"b")):
            threading.Thread(target=serve, args=(server, said), daemon=True).start()
        slices, address, dns = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {}, dns_port()
        for name, more in (("led", {}), ("named", {"clusterIP": "None"})):
            made = s.create("/api/v1/namespaces/default/services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                                                                    "spec": {**more, "ports": [{"port": 80}]}})
            s.create(slices, slice_of(name, own, servers[0].getsockname()[1]))
            address[name] = made["spec"]["clusterIP"]

        def changed(name, to, port, there):
            """Milliseconds."""
            began = time.monotonic()
            r = s.request("PUT", f"{slices}/{name}", slice_of(name, to, port))
            if not r or r[0] != 200:
                raise Unavailable(f"PUT of a slice: {r}")
            while not there():
                if time.monotonic() - began > 20:
                    raise Unavailable(f"{name} did not follow")
            return (time.monotonic() - began) * 1000
        took = {"names": [], "rules": []}
        for i in range(1, 20 * How.scale + 1):
            time.sleep(0.15)  # each by itself
            new = f"10.42.{i // 200}.{i % 200 + 1}"
            took["names"].append(changed("named", new, 80, lambda to=new: asked_for(dns, "named.default.svc.cluster.local") == to))
            took["rules"].append(changed("led", own, servers[i % 2].getsockname()[1],
                                         lambda to=(b"a", b"b")[i % 2]: who_answers(address["led"], 80) == to))
        return {f"follow {what} {key}": value for what, all_of in took.items()
                for key, value in (("median", statistics.median(all_of)), ("p99", statistics.quantiles(all_of, n=100)[98]))}


def names(kind):
    """The name server by itself, on its own thread: tests/bench/dns_bench.c."""
    said = subprocess.run([built(kind, "dns_bench"), "10000", str(How.scale)], check=True, stdout=subprocess.PIPE, text=True)
    value = dict(line.split() for line in said.stdout.splitlines())
    return {"names": float(value["queries"]), "names memory": float(value["bytes"]) / 1e6}


class PlainNghttpd(Nghttpd):
    """One behind an Ingress: HTTP/2 without TLS, on an address that endpoints may have."""

    def __init__(self, text):
        super().__init__()
        self.text, self.url = text, f"http://{own_address()}:{self.port}"

    def start(self):
        self.files = os.path.join(self.dir, "files")
        os.mkdir(self.files)
        self.file("x", self.text)
        self.spawn(self.program, "--address=" + own_address(), "--no-tls", f"--workers={NET_THREADS}", f"--htdocs={self.files}", str(self.port))
        self.until("nghttpd", self.listens, 20, 0.01)

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection((own_address(), self.port), 1):
            return True
        return False


class AtIngress:
    def __init__(self, side, port):
        self.dir, self.url = side.dir, f"http://127.0.0.1:{port}"


def slice_of(backend):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "web", "labels": {
        "kubernetes.io/service-name": "web"}}, "addressType": "IPv4", "ports": [{"name": "web", "port": backend.port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [own_address()], "conditions": {"ready": True}}]}


def answers(port):
    """What /x is through the Ingress; None: nobody answers, or not with it."""
    h = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.suppress(OSError, http.client.HTTPException):
        h.request("GET", "/x")
        r = h.getresponse()
        text = r.read()
        return text if r.status == 200 else None
    return None


def ingress(kind):
    """A small file of nghttpd's, directly and through HAProxy, HTTP/2 without TLS on both ways; endpoints that change."""
    why = node_possible() or Nghttpd.missing() or (None if shutil.which("haproxy", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
                                                   else "there is no haproxy")
    if why or kind is not Caravel or not own_address():
        raise Unavailable(why or "only our own Ingress is measured, on an address that is not loopback")
    port, slices = free_port(), "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    with PlainNghttpd(b"a" * 100) as a, PlainNghttpd(b"b" * 100) as b, \
            Caravel(agent=True, args=["--ingress-http-port", str(port), "--ingress-https-port", "0"]) as s:
        s.ready()
        s.create("/api/v1/namespaces/default/services", {"metadata": {"name": "web"}, "spec": {"ports": [{"name": "web", "port": 80}]}})
        s.create(slices, slice_of(a))
        s.create("/apis/networking.k8s.io/v1/namespaces/default/ingresses", {
            "metadata": {"name": "web", "annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"}},
            "spec": {"ingressClassName": "caravel", "defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}})
        s.until("the Ingress", lambda: answers(port) == a.text, 60, 0.02)
        direct, through = Load(a, "/x", How.scale * 10000), Load(AtIngress(s, port), "/x", How.scale * 10000)
        one = [Load(side, "/x", How.scale * 300, connections=1, streams=1) for side in (a, AtIngress(s, port))]
        took = []
        for i in range(10):
            to = (b, a)[i % 2]
            began = time.monotonic()
            r = s.request("PUT", slices + "/web", slice_of(to))
            if not r or r[0] != 200:
                raise Unavailable(f"PUT of the slice: {r}")
            while answers(port) != to.text and time.monotonic() - began < 30:
                pass
            took.append(time.monotonic() - began)
        return {"ingress": through.rate, "ingress ratio": through.rate / direct.rate,
                "ingress latency": (1 / one[1].rate - 1 / one[0].rate) * 1e6, "ingress endpoint": statistics.median(took) * 1000}


GROUPS = {"services": services, "kube-proxy": kube_proxy, "path": path, "follow": follow, "names": names, "ingress": ingress}

# as those of `run`
ROWS = {
    "first sync": ("services", "10,000 Services × 5 endpoints into an empty table", "ms", 0, 3000, False),
    "one more": ("services", "one more Service beside them", "ms", 2, 20, False),
    "proxy memory": ("services", "what the proxy remembers of them", "MB", 0, 40, False),
    "packet one": ("services", "first packet through a Service, more than directly; it is the only one", "us", 1, None, False),
    "packet many": ("services", "the same, one of 10,000", "us", 1, None, False),
    "conns ratio": ("services", "connections through a Service, of those directly", "x", 2, None, True),
    "gbit ratio": ("services", "bytes on a connection through a Service, of those directly", "x", 2, None, True),
    "kube-proxy rss": ("kube-proxy", "`caravel kube-proxy` with 10,000 Services × 5, resident", "MB", 1, 40, False),
    "kube-proxy height": ("kube-proxy", "the same, at its height", "MB", 1, None, False),
    "kube-proxy again": ("kube-proxy", "started beside such a table, until another is in its place", "ms", 0, 3000, False),
    **{f"{key} {way} {what}": ("path", f"Pod to Pod, {title}, {words}: {row}", unit, digits, None, what != "us")
       for key, title in (("vxlan near", "one node"), ("vxlan far", "two nodes by VXLAN"), ("host-gw far", "two nodes by host routes"))
       for what, row, unit, digits in (("us", "a connection is there", "us", 1), ("conns", "connections, one after the other", "/s", 0),
                                       ("gbit", "bytes on one connection", "Gbit/s", 2))
       for way, words in (("direct", "its address"), ("service", "its Service"))},
    **{f"follow {what} {key}": ("follow", f"an endpoint's change to {words}, {key}", "ms", 1, 100 if key == "p99" else None, False)
       for what, words in (("names", "its answer by name"), ("rules", "the Service that leads there")) for key in ("median", "p99")},
    "names": ("names", "cluster names answered, a core of the name server", "/s", 0, 100000, True),
    "names memory": ("names", "names of 10,000 Services, memory", "MB", 1, 10, False),
    "ingress": ("ingress", "requests through an Ingress, HTTP/2, 200 in flight", "/s", 0, None, True),
    "ingress ratio": ("ingress", "the same, of those to the backend directly", "x", 2, None, True),
    "ingress latency": ("ingress", "one request through an Ingress, more than directly", "us", 0, None, False),
    "ingress endpoint": ("ingress", "endpoint changed to its first request through the Ingress", "ms", 1, None, False),
}
