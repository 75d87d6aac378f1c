#!/usr/bin/env python3
"""The conformance behaviours of the network that need pods and packets, with pods on two nodes; tests/fields/network.tsv names
for each behaviour the test that shows it. What the API and its controllers settle alone is in test_network_api.py."""
import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time

from lib import BIN, DevCluster, Failed, Skip, contains, equal, main, need_node, wait_for
from netlab import Pods, by_http, by_udp, within

SERVICES = "/api/v1/namespaces/default/services"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
MERGE = {"Content-Type": "application/merge-patch+json"}
WEBS = ("web-1", "web-2", "web-3")  # on dev-1, dev-2, dev-2
CLIENTS = ("client-1", "client-2")  # on dev-1, dev-2
REFUSED = ("ConnectionRefusedError",)
DOMAIN = "cluster.local"

c = lab = None


def must(method, path, body=None, headers=None):
    status, answer, _ = c.request(method, path, body, headers)
    if status >= 300:
        raise Failed(f"{method} {path}: {status} {answer}")
    return answer


def service(name, app="web", ports=((80, "TCP", 80),), **spec):
    """Made; ports are (port, protocol, targetPort)."""
    return must("POST", SERVICES, {"metadata": {"name": name}, "spec": {
        "selector": {"app": app} if app else None, **spec,
        "ports": [{"name": f"{p.lower()}-{n}", "port": n, "protocol": p, "targetPort": t} for n, p, t in ports]}})["spec"]


def change(name, **spec):
    return must("PATCH", f"{SERVICES}/{name}", {"spec": spec}, MERGE)["spec"]


@contextlib.contextmanager
def made(name, *args, **spec):
    try:
        yield service(name, *args, **spec)
    finally:
        must("DELETE", f"{SERVICES}/{name}")


def node_ip(node):
    return next(a["address"] for a in c.get("node", f"dev-{node}")["status"]["addresses"] if a["type"] == "InternalIP")


def dig(who, *args):
    """As a program in that pod would ask, with its search list: the answers, sorted."""
    if not shutil.which("dig"):
        raise Skip("needs dig")
    resolv = os.path.join(c.dir, f"resolv-{who}")
    if not os.path.exists(resolv):
        with open(resolv, "w", encoding="utf-8") as f:
            f.write(c.kubectl("exec", who, "--", "cat", "/etc/resolv.conf"))
    r = subprocess.run(["nsenter", f"--net={lab.at(who)}", "unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolv,
                        "dig", "+short", "+search", "+tries=1", "+time=3", *args], check=False, stdout=subprocess.PIPE, text=True)
    return sorted(r.stdout.split("\n")[:-1])


def resolves(wanted, who, *args):
    """By UDP and by TCP, now or in a moment."""
    for how in ("+notcp", "+tcp"):
        wait_for(f"{' '.join(args)} for {who} by {how}: {wanted}", lambda how=how: same(dig(who, how, *args), sorted(wanted)), 15)


def same(got, wanted):
    if got != wanted:
        raise Failed(f"got {got}")
    return True


# --- pods and nodes ---

def each_pod_reaches_each(_):
    """Granular checks: intra-pod communication, http and udp: from a pod of each node to those of its own and of the other."""
    for client in (*CLIENTS, *WEBS):
        for web in WEBS:
            for port, how in ((80, by_http), (8081, by_udp)):
                lab.until([web], client, lab.ips[web], port, how, 1)
                if client != web:  # nobody translates what pods say to each other
                    equal(lab.ask(client, lab.ips[web], port, how), [f"{web} {lab.ips[client]}"])


def each_node_reaches_each_pod(_):
    """Granular checks: node-pod communication, http and udp: from a pod of the node's own network, on each node."""
    for host in ("host-1", "host-2"):
        for web in WEBS:
            for port, how in ((80, by_http), (8081, by_udp)):
                lab.until([web], host, lab.ips[web], port, how, 1)
            contains(c.kubectl("exec", host, "--", "wget", "-qO-", f"http://{lab.ips[web]}/who"), web)


def a_service_of_both_protocols_from_everywhere(_):
    """Services should be able to create a functioning NodePort service: by name, cluster IP and each node's address, TCP and UDP."""
    with made("np", ports=((80, "TCP", 80), (80, "UDP", 8081)), type="NodePort") as s:
        ports = {p["protocol"]: p["nodePort"] for p in s["ports"]}
        for proto, how in (("TCP", by_http), ("UDP", by_udp)):
            for who in (*CLIENTS, *WEBS[:2], 1, 2):
                lab.until(WEBS, who, s["clusterIP"], 80, how)
            for who in (*CLIENTS, WEBS[1], 1, 2, None):
                for node in (1, 2):
                    lab.until(WEBS, who, node_ip(node), ports[proto], how)
        for client in CLIENTS:
            resolves([s["clusterIP"]], client, "np")
            contains(c.kubectl("exec", client, "--", "wget", "-qO-", "http://np/who"), "web-")
    for node in (1, 2):
        lab.until(REFUSED, CLIENTS[0], node_ip(node), ports["TCP"], count=1)


def a_pods_address_is_kept(_):
    """Services should preserve source pod IP for traffic through service cluster IP; a pod reaches itself through its Service."""
    with made("kept") as s:
        for client in CLIENTS:
            lab.until(WEBS, client, s["clusterIP"], 80)
            equal({said.split()[1] for said in lab.ask(client, s["clusterIP"], 80, count=20)}, {lab.ips[client]})
        for web in WEBS:
            lab.until(WEBS, web, s["clusterIP"], 80)


def a_client_keeps_its_endpoint(_):
    """Session affinity for ClusterIP and NodePort, and its switch to None and back: endpoints are on both nodes, and so are clients."""
    for kind in ("ClusterIP", "NodePort"):
        with made("sticky", ports=((80, "TCP", 80), (80, "UDP", 8081)), type=kind, sessionAffinity="ClientIP") as s:
            tcp, udp = ([(s["clusterIP"], 80)] * 2 if kind == "ClusterIP" else [(node_ip(2), p["nodePort"]) for p in s["ports"]])

            def one(tcp=tcp, udp=udp):
                for client in CLIENTS:
                    for at, how in ((tcp, by_http), (udp, by_udp)):
                        got = lab.names(client, *at, how, 16)
                        if len(got) != 1 or not got <= set(WEBS):
                            raise Failed(f"{client} reached {got}")
                return True
            wait_for("one endpoint a client", one, 20)
            change("sticky", sessionAffinity="None")
            for client in CLIENTS:
                lab.until(WEBS, client, *tcp)
            change("sticky", sessionAffinity="ClientIP")
            wait_for("one endpoint a client", one, 20)


def a_client_is_forgotten_in_time(_):
    """Session affinity timeout: while a client comes back in time it stays; when it was away for longer it may land elsewhere."""
    with made("timed", sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 2}}) as s:
        wait_for("an endpoint", lambda: lab.names(CLIENTS[1], s["clusterIP"], 80, count=5) <= set(WEBS), 20)
        seen = set()
        for _ in range(25):
            seen |= lab.names(CLIENTS[1], s["clusterIP"], 80, count=2)
            if len(seen) > 1:
                return
            time.sleep(2.2)
        raise Failed(f"{seen} alone in all that time")


def types_change(_):
    """ClusterIP to ExternalName, ExternalName to ClusterIP and to NodePort, NodePort to ExternalName: names, and packets by them."""
    client = CLIENTS[1]
    with made("target") as target, made("typed") as s:
        there = f"target.default.svc.{DOMAIN}"

        def is_external():
            was = must("GET", f"{SERVICES}/typed")["spec"]
            was.update(type="ExternalName", externalName=there)
            o = must("PUT", f"{SERVICES}/typed", {**must("GET", f"{SERVICES}/typed"), "spec": was})["spec"]
            equal(o.get("clusterIP"), None)
            resolves([there + ".", target["clusterIP"]], client, f"typed.default.svc.{DOMAIN}")
            wait_for("packets by that name", lambda: "web-" in c.kubectl("exec", client, "--", "wget", "-qO-", "http://typed/who"), 10)

        def is_ours(kind):
            o = must("GET", f"{SERVICES}/typed")
            o["spec"].update(type=kind, ports=[{"port": 80}])
            del o["spec"]["externalName"]
            o = must("PUT", f"{SERVICES}/typed", o)["spec"]
            for who in (*CLIENTS, 1, 2):
                lab.until(WEBS, who, o["clusterIP"], 80)
            resolves([o["clusterIP"]], client, "typed")
            contains(c.kubectl("exec", client, "--", "wget", "-qO-", "http://typed/who"), "web-")
            return o
        is_external()
        for who in (client, 1):
            equal(lab.names(who, s["clusterIP"], 80, count=3) & set(WEBS), set(), "the address it had")
        is_ours("ClusterIP")
        is_external()
        o = is_ours("NodePort")
        for node in (1, 2):
            for who in (client, None):
                lab.until(WEBS, who, node_ip(node), o["ports"][0]["nodePort"])
        is_external()
        for node in (1, 2):
            lab.until(REFUSED, client, node_ip(node), o["ports"][0]["nodePort"], count=1)


def endpoints_come_and_go(_):
    """Services should serve a basic endpoint from pods; multiport endpoints; the same port with different protocols; refused without."""
    def all_see(wanted, port=80, how=by_http):
        for who in (*CLIENTS, 1, 2):
            lab.until(wanted, who, s["clusterIP"], port, how, 12)
    with made("basic", "b", ((80, "TCP", 80), (80, "UDP", 8081))) as s:
        all_see(REFUSED)
        for client in CLIENTS:
            lab.until(REFUSED, client, s["clusterIP"], 80, by_udp, 1)
        lab.make(b1=(1, {"app": "b"}))
        all_see(["b1"])
        lab.make(b2=(2, {"app": "b"}))
        all_see(["b1", "b2"])
        all_see(["b1", "b2"], how=by_udp)
        change("basic", ports=[p for p in s["ports"] if p["protocol"] == "UDP"])
        all_see(["b1", "b2"], how=by_udp)
        all_see(REFUSED)  # the port is open for the other protocol alone
        change("basic", ports=s["ports"])
        all_see(["b1", "b2"])
        lab.gone("b1")
        all_see(["b2"])
        lab.gone("b2")
        all_see(REFUSED)
    with made("multi", "m", ((80, "TCP", "portname1"), (81, "TCP", "portname2"))) as s:
        lab.make(m1=(1, {"app": "m"}, {"ports": [{"name": "portname1", "containerPort": 100}]}),
                 m2=(2, {"app": "m"}, {"ports": [{"name": "portname2", "containerPort": 101}]}))
        all_see(["m1"])
        all_see(["m2"], 81)
        lab.gone("m1")
        all_see(REFUSED)
        all_see(["m2"], 81)
        lab.gone("m2")


def slices_with_several_ports(_):
    """EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices: from pods of both nodes."""
    with made("sliced", None, ((80, "TCP", 80), (81, "TCP", 81))) as s:
        for web, port, name in (("web-1", 80, "tcp-80"), ("web-2", 100, "tcp-81")):
            must("POST", SLICES, {"metadata": {"name": f"sliced-{port}", "labels": {"kubernetes.io/service-name": "sliced"}}, "addressType": "IPv4",
                                  "endpoints": [{"addresses": [lab.ips[web]]}], "ports": [{"name": name, "port": port, "protocol": "TCP"}]})
        for who in (*CLIENTS, 1, 2):
            lab.until(["web-1"], who, s["clusterIP"], 80, count=5)
            lab.until(["web-2"], who, s["clusterIP"], 81, count=5)
        for port in (80, 100):
            must("DELETE", f"{SLICES}/sliced-{port}")


def slices_taken_away_come_back(_):
    """EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service: also after both were deleted by hand."""
    with made("again") as s:
        lab.until(WEBS, CLIENTS[0], s["clusterIP"], 80)
        of = "?labelSelector=kubernetes.io/service-name%3Dagain"
        had = {o["metadata"]["uid"] for o in must("GET", SLICES + of)["items"]}
        must("DELETE", SLICES + of)
        must("DELETE", "/api/v1/namespaces/default/endpoints/again")

        def back():
            now = must("GET", SLICES + of)["items"]
            addresses = sorted(a for o in now for e in o["endpoints"] for a in e["addresses"])
            subsets = must("GET", "/api/v1/namespaces/default/endpoints/again")["subsets"]
            return not had & {o["metadata"]["uid"] for o in now} and addresses == sorted(lab.ips[w] for w in WEBS) == \
                sorted(a["ip"] for x in subsets for a in x["addresses"])
        wait_for("both to be made again", back, 20)
        for who in CLIENTS:
            lab.until(WEBS, who, s["clusterIP"], 80)


def host_ports_side_by_side(_):
    """HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol."""
    here = node_ip(2)

    def port(proto, ip, to):
        return {"ports": [{"containerPort": to, "hostPort": 24323, "protocol": proto, "hostIP": ip}]}
    lab.make(h1=(2, {"app": "h"}, port("TCP", "127.0.0.1", 80)), h2=(2, {"app": "h"}, port("TCP", here, 80)),
             h3=(2, {"app": "h"}, port("UDP", here, 8081)))
    lab.until(["h1"], "host-2", "127.0.0.1", 24323, count=2)
    for who in ("host-2", "host-1", *CLIENTS):
        lab.until(["h2"], who, here, 24323, count=2)
        lab.until(["h3"], who, here, 24323, by_udp, 2)
    lab.gone("h1", "h2", "h3")


def many_services_at_once(_):
    """Service endpoints latency should not be very high: of 100 Services made one by one, each has its endpoint within the limit."""
    started = time.monotonic()
    names = [f"soon-{i}" for i in range(100)]
    for name in names:
        service(name)

    def ready():
        found = must("GET", SLICES)["items"]
        return {o["metadata"]["labels"].get("kubernetes.io/service-name") for o in found if len(o.get("endpoints") or []) == len(WEBS)} >= set(names)
    wait_for("all endpoints", ready, 50)  # upstream's limit for the slowest one
    print(f"# 100 Services have endpoints after {time.monotonic() - started:.2f} s")
    ip = must("GET", f"{SERVICES}/soon-99")["spec"]["clusterIP"]
    lab.until(WEBS, CLIENTS[1], ip, 80)
    must("DELETE", SERVICES + "?fieldSelector=metadata.name!=kubernetes")


# --- proxies ---

def proxied(method, path, code=200):
    status, answer, headers = c.request(method, "/api/v1/namespaces/default" + path)
    equal(status, code, f"{method} {path}: {answer}")
    return headers.get("Location") if code == 301 else answer


def proxies_with_every_method(_):
    """Proxy version v1: a set of valid responses for both pod and service Proxy, and ProxyWithPath; through a Service and a pod, of
    either node, by names and numbers of ports, by TLS, with links that lead back."""
    verbs = ("DELETE", "OPTIONS", "PATCH", "POST", "PUT")
    with made("prox", ports=((80, "TCP", 80), (1080, "TCP", 8080), (443, "TCP", 443)), selector={"name": "web-2"}):
        wait_for("an endpoint", lambda: c.request("GET", "/api/v1/namespaces/default/services/prox:tcp-80/proxy/who")[0] == 200, 20)
        for at in ("/pods/web-1", "/pods/web-2", "/services/prox:tcp-80"):
            for verb in verbs:
                equal(proxied(verb, f"{at}/proxy?method={verb}"), {"method": verb, "path": f"/?method={verb}", "body": "foo"}, at)
            for verb in ("GET", "HEAD"):
                equal(proxied(verb, f"{at}/proxy?method={verb}", 301).endswith(f"{at}/proxy/?method={verb}"), True)
            for verb in (*verbs, "GET"):
                equal(proxied(verb, f"{at}/proxy/some/path/with/{verb}"), {"method": verb, "path": f"/some/path/with/{verb}", "body": "foo"}, at)
            proxied("HEAD", f"{at}/proxy/some/path/with/HEAD")
            contains(proxied("GET", f"{at}/proxy/rewriteme"), f'<a href="/api/v1/namespaces/default{at}/proxy/rewriteme">test</a>')
        for at, body in (("/services/http:prox:tcp-80", "foo"), ("/services/prox:80", "foo"), ("/services/prox:tcp-1080", "foo"),
                         ("/services/https:prox:tcp-443", "tls"), ("/services/https:prox:443", "tls"), ("/pods/web-2:100", "foo"),
                         ("/pods/http:web-2:8080", "foo"), ("/pods/https:web-2:443", "tls"), ("/pods/https:web-1:443", "tls")):
            equal(proxied("GET", at + "/proxy/")["body"], body, at)
    equal(c.request("GET", "/api/v1/namespaces/default/services/prox/proxy/")[0], 404)


def kubectl_proxies(_):
    """Kubectl client Proxy server should support proxy with --port 0, and --unix-socket=/path."""
    env = dict(os.environ, KUBECONFIG=c.kubeconfig, HOME=c.dir)
    words = [os.path.join(BIN, "kubectl"), "proxy", "--disable-filter"]
    with subprocess.Popen([*words, "--port=0"], env=env, stdout=subprocess.PIPE, text=True) as p:
        try:
            port = int(re.search(r":(\d+)\n", p.stdout.readline()).group(1))
            h = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            h.request("GET", "/api/")
            contains(h.getresponse().read().decode(), "APIVersions")
            h.close()
        finally:
            p.terminate()
    path = os.path.join(c.dir, "proxy.sock")
    with subprocess.Popen([*words, "--unix-socket=" + path], env=env, stdout=subprocess.PIPE, text=True) as p:
        try:
            contains(p.stdout.readline(), path)
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(10)
                s.connect(path)
                s.sendall(b"GET /api/ HTTP/1.0\r\n\r\n")
                contains(b"".join(iter(lambda: s.recv(65536), b"")).decode(), "200 OK", "APIVersions")
        finally:
            p.terminate()


# --- names ---

def names_of_the_cluster(_):
    """DNS should provide DNS for the cluster; the API server's Service is reached by it, and told by variables of each pod."""
    ip = must("GET", f"{SERVICES}/kubernetes")["spec"]["clusterIP"]
    for client in CLIENTS:
        for name in ("kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{DOMAIN}"):
            resolves([ip], client, name)
        contains(c.kubectl("exec", client, "--", "env"), f"KUBERNETES_SERVICE_HOST={ip}", "KUBERNETES_SERVICE_PORT=443")
        equal(within(lab.at(client), reached, ip, 443), True)


def reached(addr, port):
    with socket.create_connection((addr, port), timeout=5):
        return True


def names_of_services(_):
    """DNS should provide DNS for services; and resolve DNS of partial qualified names for services: A, SRV and PTR, of Services with
    and without an address."""
    ips = [lab.ips[w] for w in WEBS]
    with made("headless", clusterIP="None", ports=((80, "TCP", 80),)), made("normal") as s:
        for client in CLIENTS:
            for more in ("", ".default", ".default.svc", f".default.svc.{DOMAIN}"):
                resolves(ips, client, "headless" + more)
                resolves([s["clusterIP"]], client, "normal" + more)
                for name, n in (("headless", len(ips)), ("normal", 1)):
                    resolves_to(n, f" 80 .*{name}.default.svc.{DOMAIN}.", client, f"_tcp-80._tcp.{name}{more}", "SRV")
            resolves([f"normal.default.svc.{DOMAIN}."], client, "-x", s["clusterIP"])
            resolves([f"{ips[0].replace('.', '-')}.headless.default.svc.{DOMAIN}."], client, "-x", ips[0])


def resolves_to(n, like, who, *args):
    for how in ("+notcp", "+tcp"):
        wait_for(f"{n} like {like}", lambda how=how: [bool(re.search(like, x)) for x in dig(who, how, *args)] == [True] * n, 10)


def names_of_pods(_):
    """DNS should provide DNS for pods for Hostname and for Subdomain, and /etc/hosts entries for the cluster; each from both nodes."""
    with made("sub", "named", clusterIP="None"):
        lab.make(named_1=(1, {"app": "named"}, {"hostname": "querier-1", "subdomain": "sub"}),
                 named_2=(2, {"app": "named"}, {"hostname": "querier-2", "subdomain": "sub"}))
        for n in ("1", "2"):
            ip, full = lab.ips["named-" + n], f"querier-{n}.sub.default.svc.{DOMAIN}"
            for who in ("named-1", "named-2", *CLIENTS):
                for name in (full, f"querier-{n}.sub", f"querier-{n}.sub.default.svc", f"{ip.replace('.', '-')}.default.pod.{DOMAIN}"):
                    resolves([ip], who, name)
                resolves([full + "."], who, "-x", ip)
            hosts = c.kubectl("exec", "named-" + n, "--", "cat", "/etc/hosts").splitlines()
            equal([line.split()[1:] for line in hosts if line.split()[:1] == [ip]], [[full, f"querier-{n}"]])
            equal(c.kubectl("exec", "named-" + n, "--", "hostname", "-f").strip(), full)
        for who in CLIENTS:
            resolves([lab.ips["named-1"], lab.ips["named-2"]], who, "sub")
        lab.gone("named-1", "named-2")


def names_of_elsewhere(_):
    """DNS should provide DNS for ExternalName services: the name, another name, and an address when the type changes."""
    must("POST", SERVICES, {"metadata": {"name": "ext"}, "spec": {"type": "ExternalName", "externalName": f"foo.{DOMAIN}"}})
    for client in CLIENTS:
        resolves([f"foo.{DOMAIN}."], client, f"ext.default.svc.{DOMAIN}", "CNAME")
    change("ext", externalName=f"bar.{DOMAIN}")
    for client in CLIENTS:
        resolves([f"bar.{DOMAIN}."], client, f"ext.default.svc.{DOMAIN}", "CNAME")
    ip = change("ext", type="ClusterIP", externalName=None, ports=[{"port": 80}])["clusterIP"]
    for client in CLIENTS:
        resolves([ip], client, f"ext.default.svc.{DOMAIN}")
    must("DELETE", f"{SERVICES}/ext")


def names_as_a_pod_wishes(_):
    """DNS should support configurable pod DNS nameservers and resolver options: dnsPolicy None, and a server of one's own that answers."""
    server = must("GET", "/api/v1/namespaces/kube-system/services/kube-dns")["spec"]["clusterIP"]
    lab.make(wishes=(2, {"app": "wishes"}, {"dnsPolicy": "None", "dnsConfig": {
        "nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"]}}),
        finds=(1, {"app": "wishes"}, {"dnsPolicy": "None", "dnsConfig": {
            "nameservers": [server], "searches": [f"kube-system.svc.{DOMAIN}"], "options": [{"name": "ndots", "value": "2"}]}}))
    equal(c.kubectl("exec", "wishes", "--", "cat", "/etc/resolv.conf").split(), ["search", "resolv.conf.local", "nameserver", "1.1.1.1"])
    contains(c.kubectl("exec", "finds", "--", "cat", "/etc/resolv.conf"), f"nameserver {server}", "options ndots:2")
    resolves([server], "finds", "kube-dns")
    lab.gone("wishes", "finds")


def services_as_variables(_):
    """Pods should contain environment variables for services, of what was there when they started."""
    with made("fooservice", ports=((8765, "TCP", 8080),)) as s:
        lab.make(envs=(2, {"app": "envs"}))
        contains(c.kubectl("exec", "envs", "--", "env"), f"FOOSERVICE_SERVICE_HOST={s['clusterIP']}\n", "FOOSERVICE_SERVICE_PORT=8765\n",
                 f"FOOSERVICE_PORT=tcp://{s['clusterIP']}:8765\n", "FOOSERVICE_PORT_8765_TCP_PORT=8765\n", "FOOSERVICE_PORT_8765_TCP_PROTO=tcp\n",
                 f"FOOSERVICE_PORT_8765_TCP=tcp://{s['clusterIP']}:8765\n", f"FOOSERVICE_PORT_8765_TCP_ADDR={s['clusterIP']}\n")
        lab.gone("envs")


def hosts_files_are_managed(_):
    """KubeletManagedEtcHosts: a pod's own file is, one that a container mounts itself is not, nor is that of the host's network."""
    mine = {"volumes": [{"name": "v", "hostPath": {"path": "/etc/hosts"}}], "containers": [
        {"name": name, "image": "docker.io/caravel/demo:1", "command": ["sleep", "3600"], **more}
        for name, more in (("a", {}), ("b", {}), ("c", {"volumeMounts": [{"name": "v", "mountPath": "/etc/hosts"}]}))]}
    lab.make(hosts=(2, {"app": "hosts"}, mine))
    managed = "# Kubernetes-managed hosts file."
    for pod, container, wanted in (("hosts", "a", True), ("hosts", "b", True), ("hosts", "c", False), ("host-2", "c", False)):
        equal(managed in c.kubectl("exec", pod, "-c", container, "--", "cat", "/etc/hosts"), wanted, f"{pod} {container}")
    lab.gone("hosts")


def indexed_jobs_have_hostnames(_):
    """Job should create pods for an Indexed job with completion indexes and specified hostname: and the pods are called so."""
    must("POST", "/apis/batch/v1/namespaces/default/jobs", {"metadata": {"name": "ix"}, "spec": {
        "completions": 2, "parallelism": 2, "completionMode": "Indexed", "template": {"spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "c", "image": "docker.io/caravel/demo:1", "command": ["sh", "-c", "hostname"]}]}}}})
    wait_for("its end", lambda: must("GET", "/apis/batch/v1/namespaces/default/jobs/ix")["status"].get("succeeded") == 2, 60)
    pods = must("GET", "/api/v1/namespaces/default/pods?labelSelector=job-name%3Dix")["items"]
    equal(sorted((p["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"], p["spec"]["hostname"]) for p in pods),
          [("0", "ix-0"), ("1", "ix-1")])
    equal(sorted(c.kubectl("logs", p["metadata"]["name"]).strip() for p in pods), ["ix-0", "ix-1"])
    must("DELETE", "/apis/batch/v1/namespaces/default/jobs/ix?propagationPolicy=Background")


def a_pod_finds_its_issuer(_):
    """ServiceAccountIssuerDiscovery: a pod, with its own token and CA, reads who issued that and by which keys."""
    folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
    token, ca = (c.kubectl("exec", CLIENTS[1], "--", "cat", folder + name) for name in ("token", "ca.crt"))
    head, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    address = must("GET", f"{SERVICES}/kubernetes")["spec"]["clusterIP"]
    document = within(lab.at(CLIENTS[1]), read_json, address, "/.well-known/openid-configuration", token, ca)
    equal(document["issuer"], claims["iss"])
    equal(head["alg"] in document["id_token_signing_alg_values_supported"], True)
    keys = within(lab.at(CLIENTS[1]), read_json, address, "/openid/v1/jwks", token, ca)
    equal(document["jwks_uri"].endswith("/openid/v1/jwks"), True)
    equal(head["kid"] in [k["kid"] for k in keys["keys"]], True)


def read_json(address, path, token, ca):
    """By HTTPS as kubernetes.default.svc, which its certificate has to say."""
    tls = ssl.create_default_context(cadata=ca)
    with socket.create_connection((address, 443), timeout=5) as plain, tls.wrap_socket(plain, server_hostname="kubernetes.default.svc") as s:
        s.sendall(f"GET {path} HTTP/1.0\r\nHost: kubernetes.default.svc\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: s.recv(65536), b""))
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])


# --- pods that are not ready, or end ---

def unready_and_ending_pods(_):
    """Services: endpoints of unready pods when published; a terminating pod is reached by others, and reaches them, to its end; a
    Service whose only pod was evicted refuses."""
    never = {"containers": [{"name": "c", "image": "docker.io/caravel/demo:1", "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
                             "readinessProbe": {"exec": {"command": ["false"]}}}], "terminationGracePeriodSeconds": 60}
    with made("early", "u", publishNotReadyAddresses=True) as early, made("late", "u") as late:
        lab.make(ready=False, u1=(2, {"app": "u"}, never))
        for who in (*CLIENTS, 1, 2):
            lab.until(["u1"], who, early["clusterIP"], 80, count=3)
            lab.until(REFUSED, who, late["clusterIP"], 80, count=3)
        must("DELETE", "/api/v1/namespaces/default/pods/u1")
        for client in CLIENTS:
            lab.until(["u1"], client, lab.ips["u1"], 80, count=3)
        lab.until(["web-1"], "u1", lab.ips["web-1"], 80, count=3)
        equal(bool(must("GET", "/api/v1/namespaces/default/pods/u1")["metadata"].get("deletionTimestamp")), True)
        must("DELETE", "/api/v1/namespaces/default/pods/u1?gracePeriodSeconds=0")
        lab.gone("u1")
    with made("evicted", "e") as s:
        lab.make(e1=(1, {"app": "e"}))
        lab.until(["e1"], CLIENTS[1], s["clusterIP"], 80, count=3)
        must("POST", "/api/v1/namespaces/default/pods/e1/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "e1"}})
        for who in (*CLIENTS, 1, 2):
            lab.until(REFUSED, who, s["clusterIP"], 80, count=3)
        lab.gone("e1")


# --- restarts ---

def after_a_proxy_and_a_server_started_anew(_):
    """Services should work after restarting kube-proxy, and after restarting apiserver: those from before, and one made since."""
    with made("before") as before:
        lab.until(WEBS, CLIENTS[1], before["clusterIP"], 80)
        for node in (2, 1):
            words = c.kill_node(node)
            for who in CLIENTS:
                lab.until(WEBS, who, before["clusterIP"], 80)  # the kernel needs nobody for that
            c.start_node(node, words)
            wait_for("the API", lambda: c.request("GET", "/readyz")[0] == 200, 60)
            wait_for(f"dev-{node} to be Ready", lambda node=node: c.node_ready(node), 60)
            with made("since") as since:
                for who in (*CLIENTS, 1, 2):
                    lab.until(WEBS, who, since["clusterIP"], 80)
                    lab.until(WEBS, who, before["clusterIP"], 80)


TESTS = [each_pod_reaches_each, each_node_reaches_each_pod, a_service_of_both_protocols_from_everywhere, a_pods_address_is_kept,
         a_client_keeps_its_endpoint, a_client_is_forgotten_in_time, types_change, endpoints_come_and_go, slices_with_several_ports,
         slices_taken_away_come_back, host_ports_side_by_side, many_services_at_once, proxies_with_every_method, kubectl_proxies,
         names_of_the_cluster, names_of_services, names_of_pods, names_of_elsewhere, names_as_a_pod_wishes, services_as_variables,
         hosts_files_are_managed, indexed_jobs_have_hostnames, a_pod_finds_its_issuer, unready_and_ending_pods,
         after_a_proxy_and_a_server_started_anew]


if __name__ == "__main__":
    need_node()
    with DevCluster(nodes=2) as cluster:
        c, lab = cluster, Pods(cluster)
        try:
            lab.make(**{w.replace("-", "_"): (min(i, 2), {"app": "web", "name": w}) for i, w in enumerate(WEBS, 1)},
                     client_1=(1, {}), client_2=(2, {}), host_1=(1, {}, {"hostNetwork": True}), host_2=(2, {}, {"hostNetwork": True}))
            sys.exit(main(TESTS, None))
        finally:
            lab.end()
