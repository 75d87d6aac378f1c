#!/usr/bin/env python3
"""Services of both address families, with real packets: two nodes with kube-proxy (this program under that name), Pods, and
a client outside, each a network namespace. In a namespace of its own: the machine's rules are never touched.

    outside, API server   192.0.2.254  2001:db8::fe      (this program's namespace)
       |  bridge
    n1  192.0.2.1  2001:db8::1   zone a   pods a1, a2   10.42.1.2, .3   fd42:0:0:1::2, ::3
    n2  192.0.2.2  2001:db8::2   zone b   pod b1        10.42.2.2       fd42:0:0:2::2
"""
import contextlib
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

from lib import CARAVEL, Cluster, Failed, Skip, contains, equal, free_port, main, need_tools, wait_for

NODES = {"n1": ("192.0.2.1", "2001:db8::1"), "n2": ("192.0.2.2", "2001:db8::2")}
PODS = {"a1": ("n1", "10.42.1.2", "fd42:0:0:1::2"), "a2": ("n1", "10.42.1.3", "fd42:0:0:1::3"),
        "b1": ("n2", "10.42.2.2", "fd42:0:0:2::2")}
OUTSIDE = ("192.0.2.254", "2001:db8::fe")
PORT = 8080
SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
FAMILY = ("IPv4", "IPv6")


# --- what runs in the namespaces ---

def serve(name):
    """Answers who it is and whom it sees, by TCP and UDP."""
    tcp = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.bind(("::", PORT))
    print("serving", flush=True)
    while True:
        for s in select.select([tcp, udp], [], [])[0]:
            if s is tcp:
                c, peer = tcp.accept()
                with contextlib.suppress(OSError):
                    c.sendall(f"{name} {peer[0].removeprefix('::ffff:')}".encode())
                c.close()
            else:
                _, peer = udp.recvfrom(100)
                udp.sendto(f"{name} {peer[0].removeprefix('::ffff:')}".encode(), peer)


def ask(addr, port, count, source=None):
    """Prints an answer a line, or why there is none."""
    for _ in range(count):
        try:
            with socket.create_connection((addr, port), timeout=1.5, source_address=(source, 0) if source else None) as s:
                print(s.makefile().read(), flush=True)
        except TimeoutError:
            print("silence", flush=True)
        except OSError as e:
            print(type(e).__name__, flush=True)


def talk(addr, port):
    """One UDP flow, a question for each line of the input."""
    s = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect((addr, port))
    for _ in sys.stdin:
        try:
            s.send(b"?")
            print(s.recv(100).decode(), flush=True)
        except TimeoutError:
            print("silence", flush=True)
        except OSError as e:
            print(type(e).__name__, flush=True)


def sctp_end(vip):
    """One association at a time: the server's end, or with an address the client's."""
    s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
    if vip:
        s = socket.socket(socket.AF_INET6 if ":" in vip else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)
        s.settimeout(2)
        s.connect((vip, 80))
        print(s.recv(100).decode())
        return
    s.bind(("::", PORT))
    s.listen(5)
    print("serving", flush=True)
    while True:
        c, _ = s.accept()
        c.sendall(b"a1")
        c.close()


# --- the machines ---

def sh(*args, check=True):
    r = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if check and r.returncode:
        raise Failed(f"{' '.join(args)}: {r.stdout}")
    return r.stdout


def ip(*args, ns=None):
    sh("ip", *(["-n", ns] if ns else []), *args)


def inside(ns):
    return ["ip", "netns", "exec", ns] if ns else []


def address(ns, dev, v4, v6):
    ip("addr", "add", v4, "dev", dev, ns=ns)
    ip("addr", "add", v6, "dev", dev, "nodad", ns=ns)


def attach(bridge_ns, bridge, ns, v4, v6, gateways=None):
    """A namespace with eth0 on a bridge."""
    ip("netns", "add", ns)
    ip("link", "set", "lo", "up", ns=ns)
    ip("link", "add", f"v-{ns}", "type", "veth", "peer", "name", "eth0", "netns", ns, ns=bridge_ns)
    ip("link", "set", f"v-{ns}", "master", bridge, "up", ns=bridge_ns)
    ip("link", "set", "dev", f"v-{ns}", "type", "bridge_slave", "hairpin", "on", ns=bridge_ns)
    address(ns, "eth0", v4, v6)
    ip("link", "set", "eth0", "up", ns=ns)
    for gateway in gateways or ():
        ip("-6" if ":" in gateway else "-4", "route", "add", "default", "via", gateway, ns=ns)


def bridge(ns, name, v4, v6):
    ip("link", "add", name, "type", "bridge", ns=ns)
    address(ns, name, v4, v6)
    ip("link", "set", name, "up", ns=ns)


def net(n):
    return f"10.42.{n}.0/24", f"fd42:0:0:{n}::/64"


class Lab:
    def __init__(self):
        sh("mount", "-t", "tmpfs", "none", "/run")  # what is left there goes with us
        os.makedirs("/run/netns")
        ip("link", "set", "lo", "up")
        bridge(None, "lab", OUTSIDE[0] + "/24", OUTSIDE[1] + "/64")
        for n, node in enumerate(NODES, 1):
            attach(None, "lab", node, NODES[node][0] + "/24", NODES[node][1] + "/64", OUTSIDE)
            bridge(node, "cni0", f"10.42.{n}.1/24", f"fd42:0:0:{n}::1/64")
        for n, node in enumerate(NODES, 1):
            for other in NODES:
                if other != node:
                    for family, dest in enumerate(net(n)):
                        ip("-6" if family else "-4", "route", "add", dest, "via", NODES[node][family], ns=other)
            for family, vip in enumerate(("198.51.100.0/24", "2001:db8:100::/64")):
                if n == 1:
                    ip("-6" if family else "-4", "route", "add", vip, "via", NODES[node][family])
        self.procs = []
        for pod, (node, v4, v6) in PODS.items():
            n = list(NODES).index(node) + 1
            attach(node, "cni0", pod, v4 + "/24", v6 + "/64", (f"10.42.{n}.1", f"fd42:0:0:{n}::1"))
            p = subprocess.Popen([*inside(pod), sys.executable, __file__, "--serve", pod], stdout=subprocess.PIPE, text=True)
            self.procs.append(p)
            equal(p.stdout.readline().strip(), "serving")
        self.proxies = {}

    def proxy(self, node, *args, log=None, before=""):
        """kube-proxy on a node, in place of the one that may be there; its settings' file is the node's own."""
        self.halt(node)
        words = ["--kubeconfig", self.kubeconfig, "--hostname-override", node, "--cluster-cidr", "10.42.0.0/16,fd42::/48"]
        script = (before + "mkdir -p /run/caravel-kube-proxy; mount -t tmpfs none /run/caravel-kube-proxy; "
                  'program=$1; shift; exec -a kube-proxy "$program" "$@"')
        out = open(log or os.path.join(self.c.dir, f"{node}.log"), "a", encoding="utf-8")
        self.proxies[node] = subprocess.Popen([*inside(node), "bash", "-c", script, "-", CARAVEL, *(args or words)],
                                              stdout=out, stderr=out)
        out.close()
        wait_for(f"the proxy on {node}", lambda: self.health(node)[0] == 200)

    def halt(self, node):
        p = self.proxies.pop(node, None)
        if p:
            p.terminate()
            equal(p.wait(30), 0, "kube-proxy's end")

    def health(self, node, port=10256, path="/healthz"):
        c = http.client.HTTPConnection(NODES[node][0], port, timeout=5)
        try:
            c.request("GET", path)
            r = c.getresponse()
            return r.status, r.read().decode(), r.headers
        finally:
            c.close()

    # --- objects ---

    def must(self, method, path, body=None, **headers):
        status, answer, _ = self.c.request(method, path, body, headers)
        if status >= 300:
            raise Failed(f"{method} {path}: {status} {answer}")
        return answer

    def patch(self, name, body, sub=""):
        return self.must("PATCH", f"{SERVICES}/{name}{sub}", body, **{"Content-Type": "application/merge-patch+json"})

    def service(self, name, pods=(), port=80, proto="TCP", **spec):
        """Made, with slices of these Pods. Returns its addresses, IPv4's first."""
        spec = {"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": port, "protocol": proto}], **spec}
        if spec.get("type") == "LoadBalancer":
            spec["loadBalancerClass"] = "e2e.example/nobody"  # the cluster's own balancer leaves its addresses to us
        made = self.must("POST", SERVICES, {"metadata": {"name": name}, "spec": spec})
        for family in range(2):
            self.must("POST", SLICES, self.slice(name, family, proto, pods))
        ips = made["spec"]["clusterIPs"]
        self.made = made
        return sorted(ips, key=lambda x: ":" in x)

    def slice(self, name, family, proto, pods):
        return {"metadata": {"name": f"{name}-{family}", "labels": {"kubernetes.io/service-name": name}},
                "addressType": FAMILY[family], "ports": [{"port": PORT, "protocol": proto}],
                "endpoints": [self.endpoint(p, family) for p in pods]}

    def endpoint(self, pod, family):
        more = {}
        if isinstance(pod, tuple):
            pod, more = pod
        return {"addresses": [PODS[pod][1 + family]], "nodeName": PODS[pod][0], "conditions": {"ready": True}, **more}

    def endpoints(self, name, pods, proto="TCP"):
        for family in range(2):
            self.must("PUT", f"{SLICES}/{name}-{family}", self.slice(name, family, proto, pods))

    # --- clients ---

    def ask(self, ns, addr, port, count=1, source=None):
        return sh(*inside(ns), sys.executable, __file__, "--ask", addr, str(port), str(count), source or "").splitlines()

    def await_answer(self, wanted, ns, addr, port=80, source=None):
        """wanted: the whole answer, or what fits it."""
        def right():
            got = self.ask(ns, addr, port, source=source)[0]
            if not re.fullmatch(wanted, got):
                raise Failed(f"{ns or 'outside'} to {addr} port {port}: {got!r}, wanted {wanted!r}")
            return True
        wait_for("an answer", right, 10)

    def pods_reached(self, ns, addr, port=80, count=40):
        return {line.split()[0] for line in self.ask(ns, addr, port, count)}


lab = None


def both(addresses):
    return list(enumerate(addresses))


# --- tests ---

def cluster_ips(_):
    for family, vip in both(lab.service("web", ("a1", "b1"))):
        a2, n1, out = PODS["a2"][1 + family], NODES["n1"][family], OUTSIDE[family]
        lab.await_answer(f"(a1|b1) {a2}", "a2", vip)  # a Pod's address is kept
        lab.await_answer(r"(a1|b1) [\da-f.:]+", "n1", vip)
        equal(lab.pods_reached("a2", vip), {"a1", "b1"})
        equal(lab.pods_reached("n2", vip), {"a1", "b1"})
        # who is not of the cluster looks like the node
        ip("-6" if family else "-4", "route", "add", vip, "via", n1)
        lab.await_answer(rf"b1 {n1}|a1 (10.42.1.1|fd42:0:0:1::1)", None, vip)
        equal(out in " ".join(lab.ask(None, vip, 80, 10)), False, "the outside address")
        ip("-6" if family else "-4", "route", "del", vip)
        # another port of a ClusterIP is nobody's
        equal(lab.ask("a2", vip, 81), ["ConnectionRefusedError"])


def a_pod_reaches_itself(_):
    for family, vip in both(lab.service("self", ("a1",))):
        lab.await_answer(r"a1 (10.42.1.1|fd42:0:0:1::1)", "a1", vip)


def without_endpoints_refused(_):
    for _, vip in both(lab.service("none")):
        for ns in ("a1", "n1", "n2"):
            lab.await_answer("ConnectionRefusedError", ns, vip)
    lab.endpoints("none", ("a2",))
    for _, vip in both(lab.must("GET", f"{SERVICES}/none")["spec"]["clusterIPs"]):
        lab.await_answer("a2 .*", "b1", vip)


def node_ports(_):
    lab.service("np", ("a1",), type="NodePort")
    port = lab.made["spec"]["ports"][0]["nodePort"]
    for family in range(2):
        for node in NODES:
            seen = NODES["n2"][family] if node == "n2" else "(10.42.1.1|fd42:0:0:1::1)"
            lab.await_answer(f"a1 {seen}", None, NODES[node][family], port)
        lab.await_answer("a1 .*", "n1", NODES["n1"][family], port)
        if family:
            equal(lab.ask("n1", "::1", port), ["ConnectionRefusedError"])  # the kernel lets nothing of ::1 out
        else:
            lab.await_answer("a1 .*", "n1", "127.0.0.1", port)
        lab.await_answer("a1 .*", "n2", NODES["n2"][family], port)
        # a Pod by its own node's address, to itself and to another node's
        for pod in PODS:
            lab.await_answer("a1 .*", pod, NODES[PODS[pod][0]][family], port)
        equal(lab.ask(None, NODES["n1"][family], 29999), ["ConnectionRefusedError"])


def external_traffic_policy_local(_):
    check = free_port()
    lab.service("local", ("a1",), type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=check)
    port = lab.made["spec"]["ports"][0]["nodePort"]
    for family in range(2):
        lab.await_answer(f"a1 {OUTSIDE[family]}", None, NODES["n1"][family], port)  # the client's own address
        lab.await_answer("silence", None, NODES["n2"][family], port)
        lab.await_answer("a1 .*", "b1", NODES["n2"][family], port)  # the cluster's own use all endpoints
    status, text, headers = lab.health("n1", check, "/")
    equal((status, headers["X-Load-Balancing-Endpoint-Weight"]), (200, "2"))  # an address of each family
    equal(json.loads(text), {"service": {"namespace": "default", "name": "local"}, "localEndpoints": 2,
                             "serviceProxyHealthy": True})
    status, text, headers = lab.health("n2", check, "/")
    equal((status, headers["X-Load-Balancing-Endpoint-Weight"]), (503, "0"))
    lab.endpoints("local", ("b1", ("a1", {"conditions": {"ready": False}})))
    wait_for("the change of sides", lambda: lab.health("n1", check)[0] == 503 and lab.health("n2", check)[0] == 200, 10)
    lab.patch("local", {"spec": {"externalTrafficPolicy": "Cluster"}})

    def closed():
        with contextlib.suppress(ConnectionRefusedError):
            lab.health("n1", check)
            return False
        return True
    wait_for("the health check port to close", closed, 10)


def internal_traffic_policy_local(_):
    for _, vip in both(lab.service("itp", ("a1", "b1"), internalTrafficPolicy="Local")):
        lab.await_answer("a1 .*", "a2", vip)
        equal(lab.pods_reached("a2", vip, count=10), {"a1"})
        equal(lab.pods_reached("b1", vip, count=10), {"b1"})


def load_balancers_and_source_ranges(_):
    lab.service("lb", ("a1", "b1"), type="LoadBalancer", allocateLoadBalancerNodePorts=False,
                loadBalancerSourceRanges=["192.0.2.254/32", "2001:db8::fe/128"])
    equal("nodePort" in lab.made["spec"]["ports"][0], False, "a node port nobody asked for")
    vips = ("198.51.100.7", "2001:db8:100::7")
    lab.patch("lb", {"status": {"loadBalancer": {"ingress": [
        *({"ip": v, "ipMode": "VIP"} for v in vips), {"ip": "198.51.100.8", "ipMode": "Proxy"}]}}}, "/status")
    for family, vip in both(vips):
        lab.await_answer("(a1|b1) .*", None, vip)
        equal(lab.pods_reached(None, vip), {"a1", "b1"})
    equal(lab.ask(None, "198.51.100.8", 80)[0] in ("a1", "b1"), False, "what the balancer keeps to itself")
    # others are not let in
    lab.patch("lb", {"spec": {"loadBalancerSourceRanges": ["203.0.113.0/24", "2001:db8:9::/48"]}})
    for _, vip in both(vips):
        for ns in (None, "a1", "n2"):
            lab.await_answer("silence", ns, vip)
    lab.patch("lb", {"spec": {"loadBalancerSourceRanges": ["192.0.2.0/24"]}})
    lab.await_answer("(a1|b1) .*", None, vips[0])
    equal(lab.ask(None, vips[1], 80), ["silence"])  # a list without a range of that family


def external_ips(_):
    vips = ("198.51.100.20", "2001:db8:100::20")
    lab.service("ext", ("b1",), externalIPs=list(vips))
    for family, vip in both(vips):
        lab.await_answer(f"b1 {NODES['n1'][family]}", None, vip)


def affinity(_):
    """Also when the whole table is written anew."""
    vips = lab.service("sticky", ("a1", "a2", "b1"), sessionAffinity="ClientIP")
    chosen = []
    for _, vip in both(vips):
        lab.await_answer("(a1|a2|b1) .*", "b1", vip)
        chosen.append(lab.pods_reached("b1", vip, count=20))
        equal(len(chosen[-1]), 1, "endpoints that one client reached")
    for way in ("another proxy", "a foreign hand"):
        if way == "another proxy":
            lab.proxy("n2")
        else:
            sh(*inside("n2"), "nft", "flush", "chain", "inet", "kube-proxy", "services")
            wait_for("the rules to be put back", lambda: "vmap @service_ips" in sh(
                *inside("n2"), "nft", "list", "chain", "inet", "kube-proxy", "services"), 30)
        for family, vip in both(vips):
            equal(lab.pods_reached("b1", vip, count=20), chosen[family], f"{FAMILY[family]} after {way}")


def udp_flows_follow(_):
    """A client that never opens another flow: asked before there was an endpoint, and when its endpoint went."""
    for family, vip in both(lab.service("dns", (), port=53, proto="UDP")):
        lab.endpoints("dns", (), "UDP")
        p = subprocess.Popen([*inside("b1"), sys.executable, __file__, "--talk", vip, "53"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)

        def answer(p=p):
            p.stdin.write("\n")
            p.stdin.flush()
            return p.stdout.readline().strip()

        wait_for("a refusal", lambda: answer() == "ConnectionRefusedError", 10)
        for pod in ("a1", "a2", "b1", "a1"):
            lab.endpoints("dns", (pod,), "UDP")
            wait_for(f"the flow to go to {pod}", lambda pod=pod: answer().startswith(pod + " "), 10)
        # ready no more but serving while it terminates: the flow stays
        ending = ("a1", {"conditions": {"ready": False, "serving": True, "terminating": True}})
        lab.endpoints("dns", (ending, "a2"), "UDP")
        time.sleep(0.3)
        equal({answer().split()[0] for _ in range(5)}, {"a1"})
        p.stdin.close()
        p.wait(10)


def sctp(_):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError as e:
        # the rules are there all the same
        vips = lab.service("sctp", ("a1",), proto="SCTP")
        wait_for("the rule", lambda: all(f"{vip} . sctp . 80" in sh(*inside("n2"), "nft", "list", "map", "inet", "kube-proxy", m)
                                         for vip, m in zip(vips, ("service_ips", "service_ips6"))), 10)
        raise Skip(f"this kernel does not speak SCTP ({e}): no packet went that way") from e
    for _, vip in both(lab.service("sctp", ("a1",), proto="SCTP")):
        server = subprocess.Popen([*inside("a1"), sys.executable, __file__, "--sctp", ""], stdout=subprocess.PIPE, text=True)
        equal(server.stdout.readline().strip(), "serving")
        wait_for("an answer", lambda vip=vip: sh(*inside("b1"), sys.executable, __file__, "--sctp", vip).strip() == "a1", 10)
        server.kill()
        server.wait(10)


def terminating_endpoints(_):
    ending = ("a1", {"conditions": {"ready": False, "serving": True, "terminating": True}})
    for _, vip in both(lab.service("ending", (ending, ("b1", {"conditions": {"ready": False}})))):
        lab.await_answer("a1 .*", "a2", vip)
    lab.endpoints("ending", (ending, "b1"))
    for _, vip in both(lab.must("GET", f"{SERVICES}/ending")["spec"]["clusterIPs"]):
        lab.await_answer("b1 .*", "a2", vip)
        equal(lab.pods_reached("a2", vip, count=10), {"b1"})


def hints(_):
    def zone(pod, name):
        return (pod, {"hints": {"forZones": [{"name": name}]}})

    def node(pod, name, its_zone):
        return (pod, {"hints": {"forZones": [{"name": its_zone}], "forNodes": [{"name": name}]}})
    for _, vip in both(lab.service("near", (zone("a1", "a"), zone("b1", "b")))):
        lab.await_answer("a1 .*", "a2", vip)
        equal(lab.pods_reached("a2", vip, count=15), {"a1"})
        equal(lab.pods_reached("b1", vip, count=15), {"b1"})
    vips = lab.must("GET", f"{SERVICES}/near")["spec"]["clusterIPs"]
    lab.endpoints("near", (zone("a1", "a"), "b1"))  # half of it: not followed
    for vip in vips:
        wait_for("both", lambda vip=vip: lab.pods_reached("a2", vip) == {"a1", "b1"}, 10)
    lab.endpoints("near", (node("a1", "n1", "a"), node("b1", "n2", "a")))
    for vip in vips:
        wait_for("the node's own", lambda vip=vip: lab.pods_reached("b1", vip, count=15) == {"b1"}, 10)
    lab.endpoints("near", (node("a1", "n1", "b"), node("a2", "n3", "a")))  # none for n2: its zone's
    for vip in vips:
        wait_for("the zone's", lambda vip=vip: lab.pods_reached("b1", vip, count=15) == {"a1"}, 10)


def a_second_family(_):
    v4 = lab.service("grow", ("a1",), ipFamilyPolicy="SingleStack")
    equal(len(v4), 1)
    lab.await_answer("a1 .*", "b1", v4[0])
    v6 = lab.patch("grow", {"spec": {"ipFamilyPolicy": "PreferDualStack"}})["spec"]["clusterIPs"][1]
    lab.await_answer("a1 .*", "b1", v6)
    lab.patch("grow", {"spec": {"ipFamilyPolicy": "SingleStack"}})
    lab.await_answer("a1 .*", "b1", v4[0])
    wait_for("its end", lambda: not lab.ask("b1", v6, 80)[0].startswith("a1"), 10)


def ipv6_only(_):
    vip, = lab.service("six", ("a1", "b1"), ipFamilyPolicy="SingleStack", ipFamilies=["IPv6"], type="NodePort")
    equal(":" in vip, True)
    port = lab.made["spec"]["ports"][0]["nodePort"]
    lab.await_answer("(a1|b1) .*", "a2", vip)
    lab.await_answer("(a1|b1) .*", None, NODES["n2"][1], port)
    equal(lab.ask(None, NODES["n2"][0], port), ["ConnectionRefusedError"])  # no node port of the other family


def configuration_file(_):
    """KubeProxyConfiguration, as kubeadm writes it and a bit more."""
    file, log = os.path.join(lab.c.dir, "proxy.yaml"), os.path.join(lab.c.dir, "config.log")
    with open(file, "w", encoding="utf-8") as f:
        f.write(f"""apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: 0.0.0.0
clientConnection: {{kubeconfig: "{lab.kubeconfig}", qps: 0, burst: 0, contentType: "", acceptContentTypes: ""}}
clusterCIDR: 10.42.0.0/16,fd42::/48
conntrack: {{maxPerCore: null, min: null, tcpCloseWaitTimeout: null, tcpEstablishedTimeout: 2h0m0s}}
detectLocal: {{bridgeInterface: "", interfaceNamePrefix: ""}}
enableProfiling: false
mode: nftables
nftables: {{masqueradeAll: true, masqueradeBit: 20, syncPeriod: 30s, minSyncPeriod: 0s}}
nodePortAddresses: [primary]
healthzBindAddress: "0.0.0.0:10256"
metricsBindAddress: "192.0.2.1:10249"
winkernel: {{enableDSR: false}}
conntrak: {{}}
nftables2: 1
""")
    lab.proxy("n1", "--config", file, "--hostname-override", "n1", log=log)
    with open(log, encoding="utf-8") as f:
        contains(f.read(), 'unknown field \\"conntrak\\", unknown field \\"nftables2\\"')
    rules = sh(*inside("n1"), "nft", "list", "table", "inet", "kube-proxy")
    contains(rules, "0x00100000")
    equal(sh(*inside("n1"), "sysctl", "-n", "net.netfilter.nf_conntrack_tcp_timeout_established").strip(), "7200")
    equal(lab.health("n1", 10249, "/proxyMode")[1], "nftables")
    contains(lab.health("n1", 10249, "/metrics")[1], "kubeproxy_sync_proxy_rules_duration_seconds_count")
    status, text, _ = lab.health("n1")
    equal((status, json.loads(text)["nodeEligible"]), (200, True))
    # whoever calls is masqueraded; node ports are on the Node's InternalIPs alone
    lab.service("all", ("a1",), type="NodePort")
    port = lab.made["spec"]["ports"][0]["nodePort"]
    for family, vip in both(sorted(lab.made["spec"]["clusterIPs"], key=lambda x: ":" in x)):
        lab.await_answer(r"a1 (10.42.1.1|fd42:0:0:1::1)", "a2", vip)
        lab.await_answer("a1 .*", None, NODES["n1"][family], port)
        equal(lab.ask("n1", ("127.0.0.1", "fd42:0:0:1::1")[family], port), ["ConnectionRefusedError"])
    # about to be taken away by an autoscaler
    taint = [{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]
    lab.must("PATCH", "/api/v1/nodes/n1", {"spec": {"taints": taint}}, **{"Content-Type": "application/merge-patch+json"})
    wait_for("503", lambda: lab.health("n1")[0] == 503, 10)
    equal(lab.health("n1", path="/livez")[0], 200)
    lab.must("PATCH", "/api/v1/nodes/n1", {"spec": {"taints": None}}, **{"Content-Type": "application/merge-patch+json"})
    lab.proxy("n1")


def pods_told_by_their_device(_):
    """detectLocalMode, and in place of upstream's proxy, whose tables go."""
    for family in ("ip", "ip6"):
        sh(*inside("n1"), "nft", "add", "table", family, "kube-proxy")
    base = ["--kubeconfig", lab.kubeconfig, "--hostname-override", "n1", "--detect-local-mode"]
    vips = lab.service("devices", ("a1", "b1"))
    for mode in (["BridgeInterface", "--pod-bridge-interface", "cni0"],
                 ["InterfaceNamePrefix", "--pod-interface-name-prefix", "cn"], ["NodeCIDR"]):
        lab.proxy("n1", *base, *mode)
        for family, vip in both(vips):
            a2, n1 = PODS["a2"][1 + family], NODES["n1"][family]
            lab.await_answer(f"(a1|b1) {a2}", "a2", vip)
            lab.await_answer(rf"b1 {n1}", "n1", vip)
    equal([t for t in sh(*inside("n1"), "nft", "list", "tables").splitlines() if "inet" not in t], [])
    lab.proxy("n1")


def in_a_pod(_):
    """As a DaemonSet starts it: a service account's token, and the API server by its variables."""
    account = "system:serviceaccount:kube-system:kube-proxy"
    lab.must("POST", "/api/v1/namespaces/kube-system/serviceaccounts", {"metadata": {"name": "kube-proxy"}})
    lab.must("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "metadata": {"name": "kubeadm:node-proxier"}, "subjects": [{"kind": "User", "name": account}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:node-proxier"}})
    token = lab.must("POST", "/api/v1/namespaces/kube-system/serviceaccounts/kube-proxy/token",
                     {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    secrets = os.path.join(lab.c.dir, "account")
    os.mkdir(secrets)
    lab.c.context()
    for name, text in (("token", token), ("ca.crt", lab.c.ca.decode())):
        with open(os.path.join(secrets, name), "w", encoding="utf-8") as f:
            f.write(text)
    lab.proxy("n2", "--hostname-override", "n2", "--cluster-cidr", "10.42.0.0/16,fd42::/48", before=(
        f"mkdir -p /var/run/secrets/kubernetes.io; mount -t tmpfs none /var/run/secrets; "
        f"mkdir -p /var/run/secrets/kubernetes.io; ln -s {secrets} /var/run/secrets/kubernetes.io/serviceaccount; "
        f"export KUBERNETES_SERVICE_HOST={OUTSIDE[0]} KUBERNETES_SERVICE_PORT={lab.c.port}; "))
    for _, vip in both(lab.service("account", ("a1",))):
        lab.await_answer("a1 .*", "b1", vip)
    lab.proxy("n2")


def foreign_configurations_are_refused(_):
    file = os.path.join(lab.c.dir, "odd.yaml")

    def start(text, *args):
        with open(file, "w", encoding="utf-8") as f:
            f.write("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n" + text)
        r = subprocess.run([*inside("n2"), CARAVEL, "kube-proxy", "--config", file, *args], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, timeout=20, check=False)
        equal(r.returncode, 1)
        return r.stdout
    contains(start("mode: userspace"), "mode", "userspace")
    contains(start("iptables: {masqueradeBit: 40}"), "masqueradeBit")
    contains(start("clusterCIDR: [10.0.0.0/8]"), "clusterCIDR takes a text")
    contains(start("nodePortAddresses: [eth0]"), "nodePortAddresses", "eth0")
    contains(start("conntrack: {tcpCloseWaitTimeout: 1 hour}"), "conntrack.tcpCloseWaitTimeout takes a duration")
    contains(start("detectLocalMode: BridgeInterface"), "detectLocal.bridgeInterface")
    contains(start("mode: nftables"), "no API server")


def cleaned_up(_):
    """The rules outlive the proxy, until they are taken away."""
    vip = lab.service("last", ("a1",))[0]
    lab.await_answer("a1 .*", "b1", vip)
    lab.halt("n2")
    lab.await_answer("a1 .*", "b1", vip)
    contains(sh(*inside("n2"), CARAVEL, "kube-proxy", "--cleanup"), "inet kube-proxy")
    equal("kube-proxy" in sh(*inside("n2"), "nft", "list", "tables"), False)


TESTS = [cluster_ips, a_pod_reaches_itself, without_endpoints_refused, node_ports, external_traffic_policy_local,
         internal_traffic_policy_local, load_balancers_and_source_ranges, external_ips, affinity, udp_flows_follow, sctp,
         terminating_endpoints, hints, a_second_family, ipv6_only, configuration_file, pods_told_by_their_device, in_a_pod,
         foreign_configurations_are_refused, cleaned_up]


def run():
    global lab
    lab = Lab()
    try:
        args = ["--bind-address", "0.0.0.0", "--tls-san", OUTSIDE[0], "--service-cidr", "10.43.0.0/16,fd43::/112", "--cluster-cidr",
                "10.42.0.0/16,fd42::/56"]
        with Cluster(args=args) as c:
            lab.c = c
            lab.kubeconfig = os.path.join(c.dir, "proxy.kubeconfig")
            with open(c.kubeconfig, encoding="utf-8") as f, open(lab.kubeconfig, "w", encoding="utf-8") as to:
                to.write(re.sub(r"https://[^:]+:", f"https://{OUTSIDE[0]}:", f.read()))
            for n, node in enumerate(NODES, 1):
                lab.must("POST", "/api/v1/nodes", {
                    "metadata": {"name": node, "labels": {"topology.kubernetes.io/zone": "ab"[n - 1]}},
                    "spec": {"podCIDR": net(n)[0], "podCIDRs": list(net(n))}})
                lab.must("PATCH", f"/api/v1/nodes/{node}/status", {"status": {"addresses": [
                    {"type": "InternalIP", "address": a} for a in NODES[node]]}}, **{"Content-Type": "application/merge-patch+json"})
                lab.proxy(node)
            return main(TESTS, None)
    finally:
        for p in [*lab.procs, *lab.proxies.values()]:
            p.kill()
            p.wait(30)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    elif sys.argv[1:2] == ["--ask"]:
        ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] or None)
    elif sys.argv[1:2] == ["--sctp"]:
        sctp_end(sys.argv[2])
    elif sys.argv[1:2] == ["--talk"]:
        talk(sys.argv[2], int(sys.argv[3]))
    elif os.environ.get("LAB"):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        sys.exit(run())
    elif os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nft", "unshare", "bash"))) or \
            subprocess.run(["unshare", "--net", "--mount", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        print("1..0 # SKIP needs root, namespaces, ip, nft")
        sys.exit(77)
    else:
        sys.exit(subprocess.run(["unshare", "--net", "--mount", sys.executable, __file__, *sys.argv[1:]],
                                env=dict(os.environ, LAB="1"), check=False).returncode)
