#!/usr/bin/env python3
"""NetworkPolicies with real pods and real packets: every feature, both families, from the first packet on, through label
flips, flushes, restarts and deletions of namespaces."""
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import time

from lib import GUARD, ROOT, Cluster, Failed, Skip, equal, main, need_node, read_text, wait_for

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
PODS = ("x/a", "x/b", "y/a", "y/b", "z/a")
PATIENCE = 0.6  # for an answer that should not come
libc = ctypes.CDLL(None, use_errno=True)

NAMESPACES = "".join(f"""
apiVersion: v1
kind: Namespace
metadata: {{name: "{n}", labels: {{ns: "{n}"}}}}
---""" for n in "xyz")


def pod_text(pod, more="", command='["sleep", "3600"]'):
    ns, name = pod.split("/")
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: "{name}", namespace: "{ns}", labels: {{pod: "{name}"}}}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: docker.io/caravel/demo:1
    command: {command}
    ports:
    - {{name: serve-80, containerPort: 80}}
    - {{name: serve-81, containerPort: 81}}
    - {{name: udp-80, containerPort: 80, protocol: UDP}}
{more}
---"""


def policy(ns, name, spec):
    return json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": name, "namespace": ns},
                       "spec": spec})


def pods(name):
    return {"podSelector": {"matchLabels": {"pod": name}}}


def spaces(name):
    return {"namespaceSelector": {"matchLabels": {"ns": name}}}


def enter(netns):
    fd = os.open(netns, os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


def listening(kind, proto, family, port):
    s = socket.socket(family, kind, proto)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
    if kind == socket.SOCK_STREAM:
        s.listen(16)
    return s


def serve(netns, ports=(80, 81)):
    """A process in the pod's namespace that says hello to whoever asks, by TCP, UDP and SCTP; it ends with this program."""
    pid = os.fork()
    if pid:
        return pid
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        enter(netns)
        socks = []
        for family in (socket.AF_INET, socket.AF_INET6):
            for port in ports:
                socks.append(listening(socket.SOCK_STREAM, 0, family, port))
                socks.append(listening(socket.SOCK_DGRAM, 0, family, port))
                try:
                    socks.append(listening(socket.SOCK_STREAM, socket.IPPROTO_SCTP, family, port))
                except OSError:
                    pass
        while True:
            for s in select.select(socks, [], [])[0]:
                if s.type == socket.SOCK_DGRAM:
                    s.sendto(b"hello", s.recvfrom(100)[1])
                else:
                    with s.accept()[0] as conn:
                        conn.settimeout(1)
                        try:
                            conn.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
                            conn.recv(1000)
                        except OSError:
                            pass
    finally:
        os._exit(1)


def begin_probe(netns, proto, addr, port):
    """A process that ends with 0 when it got an answer, 1 when nothing came, 2 when it was refused."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if netns:
            enter(netns)
        family = socket.AF_INET6 if ":" in addr else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM if proto == "UDP" else socket.SOCK_STREAM,
                           socket.IPPROTO_SCTP if proto == "SCTP" else 0) as s:
            s.settimeout(PATIENCE)
            s.connect((addr, port))
            s.sendall(b"hi")
            code = 0 if s.recv(100) else 1
    except ConnectionRefusedError:
        code = 2
    except OSError:
        code = 1
    finally:
        os._exit(code)


def reached(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class Lab:
    def __init__(self, c):
        self.c = c
        self.ips, self.netns, self.servers = {}, {}, {}

    def begin(self):
        self.c.apply(NAMESPACES + "".join(pod_text(p) for p in PODS))
        for p in PODS:
            self.learn(p)

    def learn(self, pod):
        """Where it is, once it runs; and its server."""
        ns, name = pod.split("/")

        def running():
            status = self.c.get("pod", name, "-n", ns)["status"]
            return status["phase"] == "Running" and [x["ip"] for x in status.get("podIPs", [])]
        self.ips[pod] = wait_for(f"{pod} to run", running, 60)
        self.netns[pod] = netns_of(self.ips[pod][0])
        self.servers[pod] = serve(self.netns[pod])
        wait_for("its server", lambda: self.reach(pod, pod))

    def end(self):
        for pid in self.servers.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.servers.clear()

    def address(self, pod, v6):
        return next((a for a in self.ips[pod] if (":" in a) == v6), None)

    def reach(self, source, target, proto="TCP", port=80, v6=False):
        return reached(begin_probe(self.netns[source], proto, self.address(target, v6), port))

    def table(self, proto="TCP", port=80, v6=False):
        asked = {(f, t): begin_probe(self.netns[f], proto, self.address(t, v6), port) for f in PODS for t in PODS}
        return {pair: reached(pid) for pair, pid in asked.items()}

    def expect(self, rules, proto="TCP", port=80, v6=False):
        """As the unit tests write tables: everybody reaches everybody, but for "-FROM>TO", unless "+FROM>TO" follows."""
        def like(pod, pattern):
            return all(b in ("*", a) for a, b in zip(pod.split("/"), pattern.split("/")))
        want = {}
        for f in PODS:
            for t in PODS:
                want[f, t] = True
                for rule in rules.split():
                    source, target = rule[1:].split(">")
                    if like(f, source) and like(t, target):
                        want[f, t] = rule[0] == "+"
                want[f, t] |= f == t
        end = time.monotonic() + GUARD
        while True:
            got = self.table(proto, port, v6)
            wrong = [f"{f}>{t}" for (f, t), ok in got.items() if ok != want[f, t]]
            if not wrong:
                return
            if time.monotonic() > end:
                raise Failed(f"{rules!r}, {proto} {port}{' by IPv6' if v6 else ''}: otherwise is {' '.join(wrong)}\n"
                             + ruleset())

    def policies(self, *texts):
        """These and no others."""
        for ns in "xyz":
            self.c.kubectl("delete", "networkpolicy", "--all", "-n", ns)
        for text in texts:
            self.c.apply(text)


def netns_of(addr, uid=""):
    """Of whichever process is in one that has the address; uid: a process of that pod, as other clusters have the same addresses."""
    seen = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        path = f"/proc/{pid}/ns/net"
        try:
            ns = os.readlink(path)
            mine = uid in read_text(f"/proc/{pid}/cgroup").replace("_", "-")
        except OSError:
            continue
        if ns in seen or not mine:
            continue
        seen.add(ns)
        r = subprocess.run(["nsenter", f"--net={path}", "ip", "-o", "addr"], check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           text=True)
        if f" {addr}/" in r.stdout:
            return path
    raise Failed(f"no network namespace has {addr}")


def tables():
    r = subprocess.run(["nft", "list", "tables"], check=True, stdout=subprocess.PIPE, text=True)
    return [line.split()[-1] for line in r.stdout.splitlines() if line.endswith("-policy")]


def ruleset():
    name = LAB.table_name or next(iter(set(tables()) - LAB.before), None)
    r = subprocess.run(["nft", "list", "table", "inet", name or "none"], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return r.stdout[:6000]


LAB = None


def open_without_policies(_):
    LAB.expect("")
    equal(set(tables()) - LAB.before, set(), "tables of policies")


def default_deny(_):
    LAB.policies(policy("x", "deny", {"podSelector": {}, "policyTypes": ["Ingress"]}))
    LAB.expect("-*/*>x/*")
    LAB.table_name = next(iter(set(tables()) - LAB.before))
    LAB.expect("-*/*>x/*", v6=True)
    LAB.expect("-*/*>x/*", "UDP")
    LAB.policies(policy("x", "deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))
    LAB.expect("-*/*>x/* -x/*>*/*")
    LAB.policies(policy("x", "allow", {"podSelector": {}, "ingress": [{}]}), policy("x", "deny", {"podSelector": {}}))
    LAB.expect("")


def selectors(_):
    def allow(*peers):
        LAB.policies(policy("x", "p", {**pods("a"), "ingress": [{"from": list(peers)}]}))
    allow(pods("b"))
    LAB.expect("-*/*>x/a +x/b>x/a")
    LAB.expect("-*/*>x/a +x/b>x/a", v6=True)
    allow(spaces("y"))
    LAB.expect("-*/*>x/a +y/*>x/a")
    allow({**spaces("y"), **pods("b")})
    LAB.expect("-*/*>x/a +y/b>x/a")
    allow(spaces("y"), pods("b"))
    LAB.expect("-*/*>x/a +y/*>x/a +x/b>x/a")
    allow({"namespaceSelector": {"matchExpressions": [{"key": "ns", "operator": "NotIn", "values": ["x", "y"]}]}})
    LAB.expect("-*/*>x/a +z/*>x/a")


def egress(_):
    LAB.policies(policy("x", "p", {**pods("a"), "policyTypes": ["Egress"], "egress": [{"to": [{**spaces("y"), **pods("b")}]}]}))
    LAB.expect("-x/a>*/* +x/a>y/b")
    LAB.expect("-x/a>*/* +x/a>y/b", "UDP", v6=True)
    # the client's side forbids what the server's allows
    LAB.c.apply(policy("z", "open", {"podSelector": {}, "ingress": [{}]}))
    LAB.expect("-x/a>*/* +x/a>y/b")


def blocks(_):
    a, b = LAB.ips["y/a"], LAB.ips["y/b"]
    four = [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [a[0] + "/32"]}}, {"ipBlock": {"cidr": "::/0", "except": [x + "/128" for x in b[1:]]}}]
    LAB.policies(policy("x", "p", {**pods("a"), "ingress": [{"from": four}]}))
    LAB.expect("-y/a>x/a")
    if len(a) > 1:
        LAB.expect("-y/b>x/a", v6=True)
    LAB.policies(policy("x", "p", {**pods("a"), "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": b[0] + "/32"}}]}]}))
    LAB.expect("-x/a>*/* +x/a>y/b")
    LAB.expect("-x/a>*/*", v6=True)


def ports(_):
    def allow(*ports):
        LAB.policies(policy("x", "p", {**pods("a"), "ingress": [{"ports": list(ports)}]}))
    allow({"port": 80})
    LAB.expect("", port=80)
    LAB.expect("-*/*>x/a", port=81)
    LAB.expect("-*/*>x/a", "UDP")
    allow({"port": "serve-81"}, {"port": "udp-80", "protocol": "UDP"})
    LAB.expect("", port=81)
    LAB.expect("", port=81, v6=True)
    LAB.expect("-*/*>x/a", port=80)
    LAB.expect("", "UDP")
    LAB.expect("-*/*>x/a", "UDP", 81)
    allow({"port": 81, "endPort": 100})
    LAB.expect("-*/*>x/a")
    LAB.expect("", port=81)
    # with peers, and named ports of whom is spoken to
    LAB.policies(policy("x", "p", {**pods("a"), "policyTypes": ["Egress"], "egress": [
        {"to": [spaces("y"), pods("b")], "ports": [{"port": "serve-80"}, {"port": 80, "protocol": "UDP"}]}]}))
    LAB.expect("-x/a>*/* +x/a>y/* +x/a>x/b")
    LAB.expect("-x/a>*/* +x/a>y/* +x/a>x/b", "UDP")
    LAB.expect("-x/a>*/*", port=81)


def sctp(_):
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
    except OSError as why:
        raise Skip(f"no SCTP here: {why}") from None
    LAB.policies(policy("x", "p", {**pods("a"), "ingress": [{"ports": [{"port": 80, "protocol": "SCTP"}]}]}))
    LAB.expect("", "SCTP")
    LAB.expect("-*/*>x/a", "SCTP", 81)
    LAB.expect("-*/*>x/a")


def label_flips(c):
    LAB.policies(policy("x", "p", {**pods("a"), "ingress": [{"from": [{**spaces("y"), **pods("b")}]}]}))
    LAB.expect("-*/*>x/a +y/b>x/a")
    c.kubectl("label", "pod", "a", "-n", "y", "pod=b", "--overwrite")
    LAB.expect("-*/*>x/a +y/*>x/a")
    c.kubectl("label", "namespace", "y", "ns=q", "--overwrite")
    LAB.expect("-*/*>x/a")
    c.kubectl("label", "namespace", "y", "ns=y", "--overwrite")
    c.kubectl("label", "pod", "a", "-n", "y", "pod=a", "--overwrite")
    LAB.expect("-*/*>x/a +y/b>x/a")
    c.kubectl("label", "pod", "a", "-n", "x", "pod=q", "--overwrite")
    LAB.expect("")
    c.kubectl("label", "pod", "a", "-n", "x", "pod=a", "--overwrite")
    LAB.expect("-*/*>x/a +y/b>x/a")


def services_and_the_node(c):
    """What is decided about is the real ends; a pod reaches itself through its Service, and the node its pods."""
    c.apply("""
apiVersion: v1
kind: Service
metadata: {name: a, namespace: x}
spec: {selector: {pod: a}, ports: [{port: 8000, targetPort: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: x}
spec: {ports: [{port: 8000, targetPort: 80}]}
""")
    vip = c.get("service", "a", "-n", "x")["spec"]["clusterIP"]
    LAB.policies(policy("x", "p", {**pods("a"), "policyTypes": ["Ingress", "Egress"], "ingress": [{"from": [pods("b")]}]}))
    LAB.expect("-*/*>x/a +x/b>x/a -x/a>*/*")

    def through(source):
        return reached(begin_probe(LAB.netns[source], "TCP", vip, 8000))
    wait_for("the Service", lambda: through("x/b"))
    equal([through(p) for p in PODS], [True, True, False, False, False])
    equal(reached(begin_probe(None, "TCP", LAB.ips["x/a"][0], 80)), True, "from the node")
    equal(reached(begin_probe(None, "TCP", vip, 8000)), True, "from the node through the Service")


def probes_pass(c):
    LAB.policies(policy("z", "deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))
    def ready():
        return any(x["type"] == "Ready" and x["status"] == "True" for x in c.get("pod", "probed", "-n", "z")["status"].get("conditions", []))
    c.apply(pod_text("z/probed", """
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}""", '["httpd", "-f", "-p", "8080", "-h", "/"]'))
    wait_for("it to be ready", ready, 30)
    c.kubectl("delete", "pod", "probed", "-n", "z")


def before_the_first_packet(c):
    """Pods whose first deed is a connection that is forbidden: none comes through. And an allowed one: each does."""
    LAB.policies(policy("z", "deny", {**{"podSelector": {"matchLabels": {"kind": "hasty"}}}, "policyTypes": ["Egress"],
                                      "egress": [{"to": [{**spaces("y"), **pods("b")}]}]}))
    out = os.path.join(c.dir, "hasty")
    os.makedirs(out)
    bad, good = LAB.ips["y/a"][0], LAB.ips["y/b"][0]
    script = "\n".join(f'for i in 1 2 3; do nc -w 1 {addr} 80 < /dev/null | grep -q hello && echo {word} >> /out/$HOSTNAME; done'
                       for addr, word in ((bad, "bad"), (good, "good"))) + "\necho end >> /out/$HOSTNAME; sleep 3600"
    names = [f"hasty-{i}" for i in range(6)]
    c.apply("".join(f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: z, labels: {{kind: hasty}}}}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{{name: out, hostPath: {{path: {out}}}}}]
  initContainers:
  - name: first
    image: docker.io/caravel/demo:1
    command: ["sh", "-c", "nc -w 1 {bad} 80 < /dev/null | grep -q hello && echo bad >> /out/$HOSTNAME; true"]
    volumeMounts: [{{name: out, mountPath: /out}}]
  containers:
  - name: c
    image: docker.io/caravel/demo:1
    command: ["sh", "-c", {json.dumps(script)}]
    volumeMounts: [{{name: out, mountPath: /out}}]
---""" for name in names))

    def said(name):
        path = os.path.join(out, name)
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            return f.read().split()
    for name in names:
        wait_for(f"{name} to have tried", lambda n=name: "end" in said(n), 60)
        equal(said(name), ["good"] * 3 + ["end"], name)
    c.kubectl("delete", "pod", "-n", "z", *names)


def put_back_after_a_flush(c):
    LAB.policies(policy("x", "p", {**pods("a"), "ingress": [{"from": [pods("b")]}]}))
    LAB.expect("-*/*>x/a +x/b>x/a")
    time.sleep(1)
    for deed in (["delete", "table", "inet", LAB.table_name], ["flush", "table", "inet", LAB.table_name],
                 ["flush", "ruleset"] if os.environ.get("ALONE") else ["flush", "chain", "inet", LAB.table_name, "ingress"]):
        subprocess.run(["nft", *deed], check=True)
        wait_for(f"rules after {deed[0]}", lambda: not LAB.reach("z/a", "x/a"), 12, 0.3)
        LAB.expect("-*/*>x/a +x/b>x/a")


def settings_turned_back(_):
    """Without them, packets between pods of the node pass no rule."""
    LAB.policies(policy("x", "p", {**pods("a"), "ingress": [{"from": [pods("b")]}]}))
    LAB.expect("-*/*>x/a +x/b>x/a")
    for name in ("iptables", "ip6tables"):
        with open(f"/proc/sys/net/bridge/bridge-nf-call-{name}", "w", encoding="utf-8") as f:
            f.write("0")
    wait_for("the settings", lambda: not LAB.reach("z/a", "x/a"), 12, 0.3)
    LAB.expect("-*/*>x/a +x/b>x/a", v6=True)


def through_a_restart(c):
    LAB.policies(policy("x", "p", {**pods("a"), "ingress": [{"from": [pods("b")]}]}))
    LAB.expect("-*/*>x/a +x/b>x/a")
    c.kill()
    LAB.expect("-*/*>x/a +x/b>x/a")
    c.start(wait=False)
    end, leaks = time.monotonic() + 6, 0
    while time.monotonic() < end:
        leaks += LAB.reach("z/a", "x/a")
    equal(leaks, 0, "connections that came through while the server started")
    c.wait_ready()
    LAB.expect("-*/*>x/a +x/b>x/a")
    LAB.policies(policy("x", "p", {**pods("a"), "ingress": [{"from": [spaces("y")]}]}))
    LAB.expect("-*/*>x/a +y/*>x/a")


def slow_pod(c, ns):
    """A pod that takes its time to end."""
    c.apply(f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {ns}}}
---
""" + policy(ns, "deny", {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))
    c.apply(pod_text(f"{ns}/slow", command='["sh", "-c", "trap \'\' TERM; while true; do sleep 1; done"]')
            .replace("terminationGracePeriodSeconds: 0", "terminationGracePeriodSeconds: 25"))
    LAB.learn(f"{ns}/slow")
    equal(LAB.reach("z/a", f"{ns}/slow"), False)


def watched(c, ns, between=None):
    """Deletes the namespace and, as namespace controllers may, its policy first: while its pod still runs, nobody reaches
    it. (Ours leaves policies for the end.)"""
    pod = f"{ns}/slow"
    c.kubectl("delete", "namespace", ns, "--wait=false")
    c.kubectl("delete", "networkpolicy", "deny", "-n", ns)
    if between:
        between()
    end, tries = time.monotonic() + 6, 0
    while time.monotonic() < end:
        equal(LAB.reach("z/a", pod), False, "a pod of a namespace that is going was reached")
        equal(LAB.reach(pod, "z/a"), False, "a pod of a namespace that is going reached another")
        tries += 1
    equal(tries > 3, True)
    equal(c.get("pod", "slow", "-n", ns)["metadata"]["name"], "slow", "it should run still")
    c.kubectl("delete", "pod", "slow", "-n", ns, "--grace-period=0", "--force", "--wait=false")
    wait_for("the end of the namespace", lambda: c.run("get", "namespace", ns, check=False).returncode != 0, 60)
    os.kill(LAB.servers[pod], signal.SIGKILL)
    os.waitpid(LAB.servers.pop(pod), 0)


def a_namespace_goes(c):
    LAB.policies()
    slow_pod(c, "going")
    watched(c, "going")


def a_namespace_goes_and_the_server_too(c):
    slow_pod(c, "gone")

    def again():
        c.kill()
        c.start()
    watched(c, "gone", again)


def the_example(c):
    with open(os.path.join(ROOT, "examples", "policies.yaml"), encoding="utf-8") as f:
        c.apply(f.read())

    def answer(pod, service):
        r = c.run("exec", "-n", "shop", pod, "--", "timeout", "3", "wget", "-qO-", f"http://{service}:8080/", check=False)
        return r.text.strip() if r.returncode == 0 else None
    wait_for("it to run", lambda: answer("front", "front") == "front", 60)
    wait_for("its back end", lambda: answer("front", "back") == "back", 30)
    equal(answer("stranger", "front"), "front")
    equal([answer("stranger", "back"), answer("back", "front")], [None, None])
    c.kubectl("delete", "namespace", "shop", "--wait=false")


def removed_with_the_cluster(c):
    LAB.policies(policy("x", "p", {"podSelector": {}}))
    LAB.expect("-*/*>x/*")
    LAB.end()
    c.cleanup()
    equal(LAB.table_name in tables(), False, "the table is left")


def run():
    global LAB
    need_node()
    c = Cluster(agent=True)
    c.args += ["--cluster-cidr", f"10.{c.net}.0.0/16,fd00:{c.net}::/56", "--service-cidr", f"10.{c.net + 64}.0.0/16,fd00:{c.net + 64}::/112"]
    with c:
        LAB = Lab(c)
        LAB.before, LAB.table_name = set(tables()), None
        LAB.begin()
        try:
            return main([open_without_policies, default_deny, selectors, egress, blocks, ports, sctp, label_flips, services_and_the_node,
                         probes_pass, before_the_first_packet, put_back_after_a_flush, settings_turned_back, through_a_restart, a_namespace_goes,
                         a_namespace_goes_and_the_server_too, the_example, removed_with_the_cluster], c)
        finally:
            LAB.end()


if __name__ == "__main__":
    raise SystemExit(run())
