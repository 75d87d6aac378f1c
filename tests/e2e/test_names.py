#!/usr/bin/env python3
"""Names: a real node, its name server behind the Service kube-dns, and the resolvers that people have.

Which name has which records is in unit/dns/zone, what counts as an answer of an upstream server in unit/dns/forward. Here
dig, glibc, musl and c-ares ask, Pods find each other, and upstream servers are dead, slow or lying.
"""
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import lib

DEMO = "docker.io/caravel/demo:1"
HERE = "cluster.local"

ASK_C = r"""
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct addrinfo h = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *l = 0;
		int r = getaddrinfo(argv[i], 0, &h, &l);
		char t[64];
		printf("%s", argv[i]);
		if (r)
			printf(" %s", r == EAI_NONAME ? "no such name" : "failed");
		for (; l; l = l->ai_next)
			printf(" %s", inet_ntop(AF_INET, &((struct sockaddr_in *)l->ai_addr)->sin_addr, t, sizeof(t)));
		puts("");
		fflush(stdout);
	}
}
"""
ASK_ARES = r"""
#include <ares.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/select.h>
static void got(void *arg, int status, int timeouts, struct hostent *h)
{
	char t[64];
	(void)timeouts;
	printf("%s", (char *)arg);
	if (status != ARES_SUCCESS)
		printf(" %s", status == ARES_ENOTFOUND ? "no such name" : "failed");
	for (char **a = h ? h->h_addr_list : 0; a && *a; a++)
		printf(" %s", inet_ntop(AF_INET, *a, t, sizeof(t)));
	puts("");
}
int main(int argc, char **argv)
{
	ares_channel c;
	ares_library_init(ARES_LIB_INIT_ALL);
	if (ares_init(&c) != ARES_SUCCESS)
		return 1;
	for (int i = 1; i < argc; i++) {
		ares_gethostbyname(c, argv[i], AF_INET, got, argv[i]);
		for (;;) {
			fd_set r, w;
			struct timeval tv, *t;
			int n;
			FD_ZERO(&r);
			FD_ZERO(&w);
			if (!(n = ares_fds(c, &r, &w)))
				break;
			t = ares_timeout(c, 0, &tv);
			select(n, &r, &w, 0, t);
			ares_process(c, &r, &w);
		}
	}
	ares_destroy(c);
}
"""


# --- an upstream server that does as it is told ---

def name_end(m, at=12):
    while m[at]:
        at += 1 + m[at]
    return at + 1


class Upstream:
    """mode: good, dead, slow, lying, servfail, truncated, gone (nothing listens)."""

    def __init__(self):
        self.mode, self.asked, self.last, self.ttl = "good", 0, [], 1
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.port = self.udp.getsockname()[1]
        self.tcp = socket.socket()
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.tcp.bind(("127.0.0.1", self.port))
        self.tcp.listen(16)
        for run in (self.datagrams, self.connections):
            threading.Thread(target=run, daemon=True).start()

    def answer(self, m, tcp):
        end = name_end(m)
        qtype = struct.unpack(">H", m[end:end + 2])[0]
        question = m[12:end + 4]
        name = question[:-4].lower()
        self.asked += 1
        self.last.append(name)
        flags, records = 0x8180, []
        if self.mode == "servfail":
            flags |= 2
        elif (self.mode == "truncated" or b"\x04huge" in name) and not tcp:
            flags |= 0x200
        elif b"\x04huge" in name:
            rr = b"\xc0\x0c" + struct.pack(">HHIH", 16, 1, self.ttl, 251) + bytes([250]) + b"x" * 250
            return m[:2] + struct.pack(">HHHHH", flags, 1, 240, 0, 0) + question + rr * 240
        elif b"\x07missing" in name:
            soa = b"\xc0\x0c" + struct.pack(">HHIH", 6, 1, 60, 26) + b"\1a\xc0\x0c\xc0\x0c" + struct.pack(">5I", 1, 2, 3, 4, 60)
            return m[:2] + struct.pack(">HHHHH", flags | 3, 1, 0, 1, 0) + question + soa
        elif qtype == 1:
            records = [bytes([198, 51, 100, i]) for i in range(1, 61 if b"\x04many" in name else 2)]
        body = b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, self.ttl, 4) + r for r in records)
        return m[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + body

    def datagrams(self):
        while True:
            m, who = self.udp.recvfrom(4096)
            if self.mode == "dead":
                self.asked += 1
                continue
            answer = self.answer(m, False)
            if self.mode == "slow":
                threading.Timer(0.3, self.udp.sendto, (answer, who)).start()
            elif self.mode == "lying":
                wrong = answer[12:].replace(b"\x07example", b"\x07exampla")
                for lie in (bytes([answer[0] ^ 1]) + answer[1:], answer[:12] + wrong, answer[:5] + b"\xff" * 30, b""):
                    self.udp.sendto(lie, who)
                other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                other.sendto(answer[:-4] + b"\6\6\6\6", who)  # right, from where nobody was asked
                other.close()
            else:
                self.udp.sendto(answer, who)

    def connections(self):
        while True:
            s, _ = self.tcp.accept()
            with contextlib.suppress(OSError), s:
                s.settimeout(5)
                n = struct.unpack(">H", s.recv(2))[0]
                answer = self.answer(s.recv(n), True)
                s.sendall(struct.pack(">H", len(answer)) + answer)


class Cluster(lib.Cluster):
    up = None

    def dns(self):
        return f"10.{self.net + 64}.0.10"

    def dig(self, *args, at=None, port=53):
        """The lines of the answer, without what they begin with: name, time to live, class."""
        r = subprocess.run(["dig", "+tries=1", "+time=4", "+noall", "+answer", "-p", str(port), f"@{at or self.dns()}", *args],
                           check=False, stdout=subprocess.PIPE, text=True)
        if r.returncode:
            raise lib.Failed(f"dig {args}: {r.stdout}")
        return sorted(" ".join(line.split()[3:]) for line in r.stdout.splitlines() if line and line[0] != ";")

    def status(self, *args):
        r = subprocess.run(["dig", "+tries=1", "+time=7", "+noall", "+comments", f"@{self.dns()}", *args], check=False,
                           stdout=subprocess.PIPE, text=True)
        return next((w.strip(",") for line in r.stdout.splitlines() if "status:" in line
                     for w in [line.split("status: ")[1].split()[0]]), "no answer")

    def port_of_names(self):
        return int(self.get("node", "node-1")["metadata"]["annotations"]["caravel.io/dns-port"])

    def as_pod(self, program, *names, ns="default", ndots=5):
        """As a program in a Pod would: with its resolv.conf."""
        path = os.path.join(self.dir, "resolv.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f"nameserver {self.dns()}\nsearch {ns}.svc.{HERE} svc.{HERE} {HERE}\noptions ndots:{ndots}\n")
        r = subprocess.run(["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', path, program, *names],
                           check=True, stdout=subprocess.PIPE, text=True, timeout=60)
        return dict(line.split(" ", 1) for line in r.stdout.splitlines() if " " in line)


SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: nobody}
  ports: [{name: http, port: 80}, {name: talk, port: 53, protocol: UDP}]
---
apiVersion: v1
kind: Service
metadata: {name: peers}
spec: {clusterIP: None, ports: [{name: raft, port: 2380}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: peers-1, labels: {kubernetes.io/service-name: peers}}
addressType: IPv4
ports: [{name: raft, port: 2380, protocol: TCP}]
endpoints:
- {addresses: [192.0.2.1], hostname: peer-0, conditions: {ready: true}}
- {addresses: [192.0.2.2], conditions: {ready: true}}
- {addresses: [192.0.2.3], hostname: peer-2, conditions: {ready: false}}
"""


def services_have_names(c):
    c.apply(SERVICES)
    ip = c.get("service", "web")["spec"]["clusterIP"]
    lib.wait_for("names", lambda: c.dig(f"web.default.svc.{HERE}") and len(c.dig(f"peers.default.svc.{HERE}")) == 2)
    for how in ("+notcp", "+tcp", "+noedns", "+bufsize=512", "+nocookie"):
        lib.equal(c.dig(how, f"web.default.svc.{HERE}"), [f"A {ip}"], how)
    lib.equal(c.dig(f"_http._tcp.web.default.svc.{HERE}", "SRV"), [f"SRV 0 100 80 web.default.svc.{HERE}."])
    lib.equal(c.dig(f"_talk._udp.web.default.svc.{HERE}", "SRV"), [f"SRV 0 100 53 web.default.svc.{HERE}."])
    lib.equal(c.dig("-x", ip), [f"PTR web.default.svc.{HERE}."])
    lib.equal(c.dig(f"peers.default.svc.{HERE}"), ["A 192.0.2.1", "A 192.0.2.2"])
    lib.equal(c.dig(f"peer-0.peers.default.svc.{HERE}"), ["A 192.0.2.1"])
    lib.equal(c.dig(f"192-0-2-2.peers.default.svc.{HERE}"), ["A 192.0.2.2"])
    lib.equal(c.dig("-x", "192.0.2.1"), [f"PTR peer-0.peers.default.svc.{HERE}."])
    lib.equal(c.dig(f"dns-version.{HERE}", "TXT"), ['TXT "1.1.0"'])
    lib.equal(c.dig(f"kubernetes.default.svc.{HERE}"), [f"A {c.service_ip}"])
    lib.equal(c.status(f"nope.default.svc.{HERE}"), "NXDOMAIN")
    lib.equal(c.status(f"web.default.svc.{HERE}", "AAAA"), "NOERROR")
    lib.equal(c.status(HERE, "AXFR", "+tcp"), "REFUSED")
    # The name goes with the Service.
    c.kubectl("delete", "service", "web")
    lib.wait_for("the end of a name", lambda: c.status(f"web.default.svc.{HERE}") == "NXDOMAIN")


def changes_of_type(c):
    """[sig-network] Services should be able to change the type from ExternalName to ClusterIP, and back."""
    c.apply("apiVersion: v1\nkind: Service\nmetadata: {name: kind}\nspec: {type: ExternalName, externalName: www.example.org}\n")
    lib.wait_for("a name", lambda: c.dig(f"kind.default.svc.{HERE}", "CNAME") == ["CNAME www.example.org."])
    # A stub resolver follows nothing: the address comes along.
    lib.equal(c.dig(f"kind.default.svc.{HERE}"), ["A 198.51.100.1", "CNAME www.example.org."])
    c.kubectl("patch", "service", "kind", "--type=merge", "-p",
              '{"spec":{"type":"ClusterIP","externalName":null,"ports":[{"port":80}]}}')
    ip = c.get("service", "kind")["spec"]["clusterIP"]
    lib.wait_for("an address", lambda: c.dig(f"kind.default.svc.{HERE}") == [f"A {ip}"])
    c.kubectl("delete", "service", "kind")


def resolvers_of_all_kinds(c):
    c.apply(SERVICES)
    ip = c.get("service", "web")["spec"]["clusterIP"]
    lib.wait_for("names", lambda: c.dig(f"web.default.svc.{HERE}"))
    asked = ["web", "web.default", "web.default.svc", f"web.default.svc.{HERE}", "kubernetes", "nope", "www.example.org",
             "missing.example.org"]
    wanted = {a: ip for a in asked[:4]} | {"kubernetes": c.service_ip, "nope": "198.51.100.1", "www.example.org": "198.51.100.1",
                                           "missing.example.org": "no such name"}
    builds = [("glibc", ["gcc"], ASK_C, [])]
    if shutil.which("musl-gcc"):
        builds.append(("musl", ["musl-gcc", "-static"], ASK_C, []))
    if os.path.exists("/usr/include/ares.h"):
        builds.append(("c-ares", ["gcc"], ASK_ARES, ["-lcares"]))
    for what, cc, source, libs in builds:
        program = os.path.join(c.dir, "ask-" + what)
        subprocess.run([*cc, "-x", "c", "-", "-o", program, *libs], input=source.encode(), check=True)
        lib.equal(c.as_pod(program, *asked), wanted, what)
        # Many addresses are more than a datagram has room for. Of musl that asks by UDP alone it is what fits.
        lib.equal(len(c.as_pod(program, "many.example.org")["many.example.org"].split()) in ((29, 60) if what == "musl" else (60,)),
                  True, what)


PODS = """
apiVersion: v1
kind: Service
metadata: {name: sub}
spec: {clusterIP: None, selector: {app: named}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: named, labels: {app: named}}
spec:
  hostname: querier
  subdomain: sub
  terminationGracePeriodSeconds: 1
  containers: [{name: c, image: IMAGE, command: [sleep, "3600"], volumeMounts: [{name: t, mountPath: /t}]}]
  volumes: [{name: t, hostPath: {path: DIR}}]
"""


def pods_find_names(c):
    """[sig-network] DNS should provide DNS for the cluster, for services, for pods for Hostname and for Subdomain; should
    resolve DNS of partial qualified names for services; should provide /etc/hosts entries for the cluster."""
    program = os.path.join(c.dir, "tools", "ask")
    os.makedirs(os.path.dirname(program), exist_ok=True)
    if not shutil.which("musl-gcc"):
        raise lib.Skip("needs musl-gcc")
    subprocess.run(["musl-gcc", "-static", "-x", "c", "-", "-o", program], input=ASK_C.encode(), check=True)
    c.apply(SERVICES)
    c.apply(PODS.replace("IMAGE", DEMO).replace("DIR", os.path.dirname(program)))
    c.kubectl("wait", "pod/named", "--for=condition=Ready", "--timeout=60s")
    pod, web = c.get("pod", "named")["status"]["podIP"], c.get("service", "web")["spec"]["clusterIP"]
    lib.wait_for("the Pod's name", lambda: c.dig(f"querier.sub.default.svc.{HERE}") == [f"A {pod}"])
    dashed = pod.replace(".", "-") + f".default.pod.{HERE}"
    wanted = {"web": web, "web.default": web, "web.default.svc": web, "kubernetes.default": c.service_ip, "sub": pod,
              f"querier.sub.default.svc.{HERE}": pod, "querier.sub": pod, "querier": pod, dashed: pod,
              "peer-0.peers": "192.0.2.1", "www.example.org": "198.51.100.1"}
    got = c.kubectl("exec", "named", "--", "/t/ask", *wanted)
    lib.equal(dict(line.split(" ", 1) for line in got.splitlines()), wanted)
    lib.contains(c.kubectl("exec", "named", "--", "cat", "/etc/hosts"), f"querier.sub.default.svc.{HERE}")
    lib.equal(c.dig("-x", pod), [f"PTR querier.sub.default.svc.{HERE}."])
    c.kubectl("delete", "pod", "named", "--wait=false")


def upstream_servers_that_fail(c):
    """Row D7: whatever they do, cluster names are answered, and other names when somebody knows them."""
    inside = f"kubernetes.default.svc.{HERE}"
    for mode, status in (("dead", "SERVFAIL"), ("lying", "SERVFAIL"), ("servfail", "SERVFAIL"), ("slow", "NOERROR"),
                         ("truncated", "NOERROR"), ("good", "NOERROR")):
        c.up.mode, said = mode, []
        asking = threading.Thread(target=lambda m=mode, s=said: s.append(c.status(f"{m}.example.org")))
        asking.start()
        for _ in range(5):
            lib.equal(c.dig("+time=1", inside), [f"A {c.service_ip}"], mode)
        asking.join()
        lib.equal(said, [status], mode)
    # As large as a message can be: by TCP, from the server and to the client.
    lib.equal(len(c.dig("huge.example.org", "TXT")), 240)
    # What was known once is told again while nobody answers.
    c.up.ttl = 1
    lib.equal(c.dig("stale.example.org"), ["A 198.51.100.1"])
    time.sleep(1.2)
    c.up.mode = "dead"
    lib.equal(c.dig("stale.example.org"), ["A 198.51.100.1"])
    c.up.mode = "good"
    # A name that is not there is not asked for again and again.
    lib.wait_for("the server's return", lambda: c.status("missing.example.org") == "NXDOMAIN")

    def asked():  # for this name: what was known and is old may be asked for anew meanwhile
        return sum(b"\x07missing" in name for name in c.up.last)
    before = asked()
    for _ in range(5):
        lib.equal(c.status("missing.example.org"), "NXDOMAIN")
    lib.equal(asked(), before)
    # None of the cluster's names ever went out.
    for name in c.up.last:
        if name.endswith((b"\7cluster\5local\0", b"\x0210\7in-addr\4arpa\0")):
            raise lib.Failed(f"an upstream server was asked for {name}")


def a_corefile_is_followed(c):
    def configure(*lines):
        text = "".join("    " + line + "\n" for line in (".:53 {", *lines, f"forward . 127.0.0.1:{c.up.port}", "}"))
        c.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: coredns, namespace: kube-system}\ndata:\n  Corefile: |\n" + text)
    configure("hosts {", "203.0.113.9 own.example.org", "fallthrough", "}",
              f"rewrite name exact api.example.org kubernetes.default.svc.{HERE}", "erratic {", "drop 3", "}")
    lib.wait_for("an entry of hosts", lambda: c.dig("own.example.org") == ["A 203.0.113.9"])
    lib.equal(c.dig("api.example.org"), [f"A {c.service_ip}", f"CNAME kubernetes.default.svc.{HERE}."])
    lib.wait_for("an event", lambda: "erratic" in c.kubectl("get", "events", "-n", "kube-system"))
    configure()
    lib.wait_for("its end", lambda: c.dig("own.example.org") == ["A 198.51.100.1"])


def strangers_get_nothing(c):
    """A name server that answers everybody is a weapon in others' hands."""
    if not shutil.which("ip"):
        raise lib.Skip("needs ip")
    ns, here, there = f"stranger-{os.getpid()}", "198.18.77.1", "198.18.77.2"
    port = str(c.port_of_names())

    def ask(*how):
        return subprocess.run(["ip", "netns", "exec", ns, "dig", "+tries=1", "+time=1", "+short", "-p", port, *how, f"@{here}",
                               f"kubernetes.default.svc.{HERE}"], check=False, stdout=subprocess.PIPE, text=True).stdout
    try:
        for line in (f"netns add {ns}", f"link add st{os.getpid()} type veth peer name eth0 netns {ns}",
                     f"addr add {here}/24 dev st{os.getpid()}", f"link set st{os.getpid()} up",
                     f"-n {ns} addr add {there}/24 dev eth0", f"-n {ns} link set eth0 up"):
            subprocess.run(["ip", *line.split()], check=True)
        lib.contains(subprocess.run(["dig", "+short", "-p", port, f"@{here}", f"kubernetes.default.svc.{HERE}"], check=True,
                                    stdout=subprocess.PIPE, text=True).stdout, c.service_ip)
        for how in ("+notcp", "+tcp"):
            if c.service_ip in ask(how):
                raise lib.Failed("a stranger was answered")
    finally:
        subprocess.run(["ip", "netns", "del", ns], check=False)
        subprocess.run(["ip", "link", "del", f"st{os.getpid()}"], check=False, stderr=subprocess.DEVNULL)


def odd_messages(c):
    """Row F17, on a real socket: whatever comes, the next question is answered."""
    port, rng = c.port_of_names(), os.urandom
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", port))
        for i in range(2000):
            head = struct.pack(">HHHHHH", i, 0x100, 1, 0, 0, i % 3)
            s.send((head + b"\xc0\x0c\0\1\0\1", head + rng(40), rng(i % 600), head + b"\x3f" * 300, b"", head)[i % 6])
    for hang in range(20):  # connections that say little, or much too much at once
        t = socket.create_connection(("127.0.0.1", port))
        t.sendall((b"\0", b"\xff\xff" + b"x" * 5000, b"\0\0" * 100, b"")[hang % 4])
        if hang % 2:
            t.close()
    query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"".join(
        bytes([len(x)]) + x.encode() for x in f"kubernetes.default.svc.{HERE}".split(".")) + b"\0\0\1\0\1"

    def many_in_one_piece():
        with socket.create_connection(("127.0.0.1", port)) as t:
            t.settimeout(10)
            t.sendall((struct.pack(">H", len(query)) + query) * 200)
            t.shutdown(socket.SHUT_WR)
            got = b"".join(iter(lambda: t.recv(65536), b""))
            return (len(got) % 200, got.count(query[12:]))
    # One address has some connections at a time: those above may have to be seen to end first.
    lib.equal(lib.wait_for("a place among connections", many_in_one_piece), (0, 200))
    lib.equal(c.dig(f"kubernetes.default.svc.{HERE}"), [f"A {c.service_ip}"])


def a_death_is_not_noticed(c):
    """The same address, the same slices, and names, after a crash and after another start."""
    before = c.get("service", "-n", "kube-system", "kube-dns")["metadata"]["uid"]
    os.kill(c.server_pid, signal.SIGKILL)
    lib.wait_for("names", lambda: c.dig("+time=1", f"kubernetes.default.svc.{HERE}") == [f"A {c.service_ip}"])
    c.stop()
    c.start()
    lib.wait_for("names", lambda: c.dig("+time=1", f"kubernetes.default.svc.{HERE}") == [f"A {c.service_ip}"])
    now = c.get("service", "-n", "kube-system", "kube-dns")
    lib.equal((now["metadata"]["uid"], now["spec"]["clusterIP"]), (before, c.dns()))


def another_address(c):
    """--cluster-dns has another value than at the last start."""
    c.stop()
    wanted = f"10.{c.net + 64}.0.20"
    c.args += ["--cluster-dns", wanted]
    c.start()
    lib.wait_for("names at the new address",
                 lambda: c.dig("+time=1", f"kubernetes.default.svc.{HERE}", at=wanted) == [f"A {c.service_ip}"])


def nodes_that_join_serve_names(_):
    """Each node by its own server, with what the control plane tells it, and its Pods ask that one."""
    with lib.DevCluster(2) as d:
        dns = lib.wait_for("kube-dns", lambda: d.get("service", "-n", "kube-system", "kube-dns"))["spec"]["clusterIP"]
        ip = d.get("service", "kubernetes")["spec"]["clusterIP"]

        def endpoints():
            slices = d.get("endpointslices", "-n", "kube-system", "-l", "kubernetes.io/service-name=kube-dns")["items"]
            return {e["nodeName"]: (e["conditions"]["ready"], [n["name"] for n in e["hints"]["forNodes"]])
                    for s in slices for e in s["endpoints"]}
        wanted = {n: (True, [n]) for n in ("dev-1", "dev-2")}
        lib.wait_for("both name servers", lambda: endpoints() == wanted)
        d.apply("apiVersion: v1\nkind: Service\nmetadata: {name: there}\nspec: {ports: [{port: 80}]}\n")
        there = d.get("service", "there")["spec"]["clusterIP"]
        for node in (1, 2):
            for name, address in (("kubernetes", ip), ("there", there)):
                for how in ("+notcp", "+tcp"):
                    lib.wait_for(f"{name} on dev-{node}", lambda n=node, h=how, m=name, a=address: d.inside(
                        n, "dig", "+short", "+tries=1", "+time=2", h, f"@{dns}", f"{m}.default.svc.{HERE}", check=False) == a + "\n")
        # The other node's may be asked as well, whoever comes from a node.
        port = d.get("node", "dev-1")["metadata"]["annotations"]["caravel.io/dns-port"]
        address = d.get("node", "dev-1")["status"]["addresses"][0]["address"]
        lib.equal(d.inside(2, "dig", "+short", "-p", port, f"@{address}", f"there.default.svc.{HERE}"), there + "\n")


def left_out(c):
    """--disable coredns: what was made goes, so that another one can be installed under the name."""
    c.stop()
    c.args += ["--disable", "coredns"]
    c.start()
    lib.wait_for("the end of kube-dns", lambda: not c.get("services", "-n", "kube-system")["items"] and
                 not c.get("endpointslices", "-n", "kube-system")["items"])


if __name__ == "__main__":
    lib.need_node()
    if not shutil.which("dig"):
        sys.exit(lib.main([lambda: (_ for _ in ()).throw(lib.Skip("needs dig"))]))
    with Cluster(agent=True) as cluster:
        cluster.up = Upstream()
        cluster.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: coredns, namespace: kube-system}\ndata:\n  Corefile: |\n"
                      f"    .:53 {{\n      forward . 127.0.0.1:{cluster.up.port}\n    }}\n")
        lib.wait_for("the node", lambda: [x for x in cluster.get("node", "node-1")["status"].get("conditions", [])
                                          if x["type"] == "Ready" and x["status"] == "True"], 120)
        lib.wait_for("the name server", lambda: cluster.dig(f"kubernetes.default.svc.{HERE}"), 30)
        sys.exit(lib.main([services_have_names, changes_of_type, resolvers_of_all_kinds, pods_find_names,
                           upstream_servers_that_fail, a_corefile_is_followed, strangers_get_nothing, odd_messages,
                           a_death_is_not_noticed, another_address, nodes_that_join_serve_names, left_out], cluster))
