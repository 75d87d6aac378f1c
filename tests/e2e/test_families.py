#!/usr/bin/env python3
"""Nodes of both families, and nodes that have IPv6 alone: pods, Services, names, policies and the outside, by VXLAN and by
host routes, with real packets."""
import contextlib
import json
import subprocess
import sys
import time

from lib import DevCluster, complaints, contains, equal, main, need_node, wait_for
from machine import nothing_is_left, snapshot

POD = """
apiVersion: v1
kind: Pod
metadata: {name: on-N, labels: {app: on-N}}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: dev-N
  containers:
  - name: c
    image: docker.io/caravel/demo:1
    command: ["sh", "-c", "mkdir -p /w/cgi-bin; printf '#!/bin/sh\\\\necho; echo on-N $REMOTE_ADDR\\\\n' > /w/cgi-bin/who; chmod +x /w/cgi-bin/who;
      head -c 3000000 /dev/zero > /w/big; echo says on-N; exec httpd -f -h /w -p 80"]
"""
SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: far}
spec: {ipFamilyPolicy: PreferDualStack, selector: {app: on-2}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: port}
spec: {type: NodePort, ipFamilyPolicy: PreferDualStack, selector: {app: on-2}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: bare}
spec: {clusterIP: None, ipFamilyPolicy: PreferDualStack, selector: {app: on-2}, ports: [{port: 80}]}
"""
DUAL = ["--cluster-cidr", "10.42.0.0/16,fd00:42::/56"]
SIX_FIRST = ["--cluster-cidr", "fd00:42::/56,10.42.0.0/16", "--service-cidr", "fd00:43::/112,10.43.0.0/16"]
SIX = ["--cluster-cidr", "fd00:42::/56"]
HOST_GW = ["--server-arg", "--flannel-backend=host-gw"]
# What runs without a word; "whole" is all. Each way to another node and IPv6 alone are among them.
DEFAULT = ["dual", "six", "dual_host_gw"]


def bracket(ip):
    return f"[{ip}]" if ":" in ip else ip


def pod_ips(c, node):
    return [x["ip"] for x in c.get("pod", f"on-{node}")["status"]["podIPs"]]


def node_ips(c, node):
    return [x["address"] for x in c.get("node", f"dev-{node}")["status"]["addresses"] if x["type"] == "InternalIP"]


def families(ips):
    return [6 if ":" in ip else 4 for ip in ips]


def fetch(c, node, host, path="/cgi-bin/who", seconds=5):
    return c.run("exec", f"on-{node}", "--", "timeout", str(seconds), "wget", "-q", "-O", "-", f"http://{bracket(host)}{path}", check=False).text


def who(c, node, host):
    """[who answered, as whom it saw this pod]"""
    return fetch(c, node, host).replace("::ffff:", "").replace("[", "").replace("]", "").split()


def reach(c, a, b):
    """Both ways, all families, and nobody's address is changed."""
    return all(who(c, x, to) == [f"on-{y}", own] for x, y in ((a, b), (b, a)) for own, to in zip(pod_ips(c, x), pod_ips(c, y)))


def nodes_and_pods(c):
    for node in (1, 2):
        c.apply(POD.replace("on-N", f"on-{node}").replace("dev-N", f"dev-{node}"))
    for node in (1, 2):
        c.kubectl("wait", "--for=condition=Ready", f"pod/on-{node}", "--timeout=90s")
    for node in (1, 2):
        equal(families(pod_ips(c, node)), families(node_ips(c, node)), f"families of on-{node} and its node")
    wait_for("on-1 and on-2 to reach each other", lambda: reach(c, 1, 2))
    for node in (1, 2):
        wait_for(f"logs of on-{node}", lambda node=node: f"says on-{node}" in c.run("logs", f"on-{node}", check=False).text)
    # nothing was missing meanwhile, and nobody warned of it
    for node in (1, 2):
        equal(complaints(c.node_log(node)), [], f"warnings of dev-{node}")


def the_certificate_names_all(c):
    """The kubelet's, each address of its node."""
    pem = wait_for("a certificate", lambda: open(c.node_dir(2) + "/agent/serving-kubelet.crt", encoding="utf-8").read())
    said = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=pem, check=True, stdout=subprocess.PIPE, text=True).stdout
    equal(said.count("IP Address:"), len(node_ips(c, 2)), said)


def sizes(c):
    mtu = {True: 1430, False: 1450}[families(node_ips(c, 1)) == [6]] if c.vxlan else 1500
    contains(c.kubectl("exec", "on-1", "--", "cat", "/sys/class/net/eth0/mtu"), str(mtu))
    for ip in pod_ips(c, 2):
        room = mtu - (48 if ":" in ip else 28)
        contains(c.kubectl("exec", "on-1", "--", "ping", "-c", "1", "-W", "5", "-s", str(room), ip), "1 packets received")
        equal(len(fetch(c, 1, ip, "/big", 20)), 3000000, f"of /big from {ip}")


def services(c):
    c.apply(SERVICES)
    ips = c.get("svc", "far")["spec"]["clusterIPs"]
    equal(sorted(families(ips)), sorted(families(pod_ips(c, 1))))
    for ip in ips:
        for node in (1, 2):  # on-2 asks itself by it: a hairpin
            wait_for(f"{ip} from on-{node}", lambda node=node, ip=ip: who(c, node, ip)[:1] == ["on-2"])
        wait_for(f"{ip} from dev-1", lambda ip=ip: "on-2" in c.inside(1, "curl", "-sgm", "3", f"http://{bracket(ip)}/cgi-bin/who"))
    port = c.get("svc", "port")["spec"]["ports"][0]["nodePort"]
    for node in (1, 2):
        for ip in node_ips(c, node):
            wait_for(f"port {port} of {ip} from the machine", lambda ip=ip: "on-2" in subprocess.run(
                ["curl", "-sgm", "3", f"http://{bracket(ip)}:{port}/cgi-bin/who"], check=False, stdout=subprocess.PIPE, text=True).stdout)
    api = c.get("svc", "kubernetes")["spec"]["clusterIP"]
    for node in (1, 2):
        contains(c.inside(node, "curl", "-skgm", "5", f"https://{bracket(api)}/version"), "gitVersion")


def names(c):
    for node in (1, 2):
        for name in ("far", "bare.default.svc.cluster.local"):
            wait_for(f"{name} from on-{node}", lambda node=node, name=name: who(c, node, name)[:1] == ["on-2"])
    dns = c.get("svc", "-n", "kube-system", "kube-dns")["spec"]["clusterIPs"]
    for server in dns:
        for name, want in (("far", c.get("svc", "far")["spec"]["clusterIPs"]), ("bare", pod_ips(c, 2))):
            for node in (1, 2):
                got = sum((c.inside(node, "dig", "+short", "+tries=1", "+time=10", f"@{server}", f"{name}.default.svc.cluster.local",
                                    kind).split() for kind in ("A", "AAAA")), [])
                equal(sorted(got), sorted(want), f"{name} by {server}")


def the_outside(c):
    """Pods come there as their node; beyond the machine's bridge as the machine."""
    code = "import http.server as h, socket, sys\n" \
           "class S(h.ThreadingHTTPServer): address_family = socket.AF_INET6\n" \
           "class H(h.BaseHTTPRequestHandler):\n" \
           "  def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(self.client_address[0].replace('::ffff:', '').encode())\n" \
           "s = S(('::', 0), H); print(s.server_port, flush=True); s.serve_forever()"
    net = c.net() + "-o"
    far = {4: "203.0.113.2", 6: "2001:db8:77::2"}
    near = {4: "203.0.113.1", 6: "2001:db8:77::1"}
    try:
        for words in (f"netns add {net}", f"link add {net} type veth peer name eth0 netns {net}", f"link set {net} up",
                      f"address add {near[4]}/24 dev {net}", f"address add {near[6]}/64 dev {net} nodad",
                      f"-n {net} link set lo up", f"-n {net} address add {far[4]}/24 dev eth0", f"-n {net} address add {far[6]}/64 dev eth0 nodad",
                      f"-n {net} link set eth0 up"):
            subprocess.run(["ip", *words.split()], check=True)
        with subprocess.Popen(["ip", "netns", "exec", net, sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as server:
            try:
                port = server.stdout.readline().strip()
                for ip in node_ips(c, 2):
                    f = 6 if ":" in ip else 4
                    wait_for(f"the outside over IPv{f}", lambda f=f: c.run(
                        "exec", "on-2", "--", "timeout", "5", "wget", "-qO-", f"http://{bracket(far[f])}:{port}/", check=False).text == near[f])
            finally:
                server.kill()
    finally:
        subprocess.run(["ip", "netns", "delete", net], check=False)
        subprocess.run(["ip", "link", "delete", net], check=False, stderr=subprocess.DEVNULL)


def policies(c):
    """Of all families alike: nobody, then those of the other node's pod by address, then all."""
    def policy(rules):
        c.apply(json.dumps({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"},
                            "spec": {"podSelector": {"matchLabels": {"app": "on-2"}}, "policyTypes": ["Ingress"], "ingress": rules}}))

    def open_to_1():
        return [bool(fetch(c, 1, ip, seconds=1)) for ip in pod_ips(c, 2)]
    policy([])
    wait_for("on-2 to be shut", lambda: not any(open_to_1()))
    blocks = [f"{ip}/{128 if ':' in ip else 32}" for ip in pod_ips(c, 1)]
    for i, block in enumerate(blocks):  # one family alone
        policy([{"from": [{"ipBlock": {"cidr": block}}]}])
        wait_for(f"on-2 to be open to {block}", lambda i=i: open_to_1() == [k == i for k in range(len(blocks))])
    policy([{"from": [{"podSelector": {"matchLabels": {"app": "on-1"}}}], "ports": [{"port": 80}]}])
    wait_for("on-2 to be open to on-1", lambda: all(open_to_1()))
    c.kubectl("delete", "networkpolicy", "p")


def by_what(c):
    """The way that was asked for, and addresses of the underlay's family."""
    links = json.loads(c.inside(1, "ip", "-j", "-d", "link", "show", "type", "vxlan"))
    if c.vxlan:
        mine = links[0]["linkinfo"]["info_data"]
        equal(mine.get("local") or mine.get("local6"), node_ips(c, 1)[0] if families(node_ips(c, 1)) == [6] else [
            ip for ip in node_ips(c, 1) if "." in ip][0])
        return
    equal(links, [])
    for f in families(pod_ips(c, 2)):
        way = json.loads(c.inside(1, "ip", "-j", f"-{f}", "route", "show", "proto", "202"))
        equal([w["gateway"] for w in way], [ip for ip in node_ips(c, 2) if families([ip]) == [f]])


def the_server_killed_and_back(c):
    pid = c.node_pid(1)
    subprocess.run(["pkill", "-9", "-P", str(pid)], check=True)
    wait_for("on-1 and on-2", lambda: reach(c, 1, 2), 60)


def another_address(c):
    """A node's IPv6 address is another one: all follow, also the certificate's names."""
    words = c.kill_node(2)
    at = words.index("--node-ip")
    c.start_node(2, words[:at] + words[at + 2:])
    wait_for("dev-2 to be Ready", lambda: c.node_ready(2), 60)
    before = wait_for("its addresses", lambda: node_ips(c, 2))
    equal(families(before), families(pod_ips(c, 1)))
    was = [ip for ip in before if ":" in ip][0]
    now = was.rsplit(":", 1)[0] + ":77"
    c.inside(2, "ip", "address", "add", now + "/64", "dev", "eth0", "nodad")
    c.inside(2, "ip", "address", "delete", was + "/64", "dev", "eth0")
    begun = time.monotonic()
    wait_for("the Node to say it", lambda: now in node_ips(c, 2), 60)
    wait_for("on-1 and on-2", lambda: reach(c, 1, 2), 60)
    print(f"# followed within {time.monotonic() - begun:.1f} s")
    wait_for("logs", lambda: "says on-2" in c.run("logs", "on-2", check=False).text, 60)
    with open(c.node_dir(2) + "/agent/serving-kubelet.names", encoding="utf-8") as f:
        equal(f.read().split()[1:], node_ips(c, 2))


def a_family_goes_and_comes(c):
    """A node that loses its IPv6 address serves IPv4 on; it has both again when the address is back."""
    six = [ip for ip in node_ips(c, 2) if ":" in ip][0]
    c.inside(2, "ip", "address", "delete", six + "/64", "dev", "eth0")
    wait_for("the Node to have IPv4 alone", lambda: families(node_ips(c, 2)) == [4], 60)
    four = [ip for ip in pod_ips(c, 2) if "." in ip][0]
    wait_for("IPv4 between on-1 and on-2", lambda: who(c, 1, four)[:1] == ["on-2"], 30)
    wait_for("dev-2 to be Ready", lambda: c.node_ready(2), 60)
    c.inside(2, "ip", "address", "add", six + "/64", "dev", "eth0", "nodad")
    wait_for("the Node to have both", lambda: families(node_ips(c, 2)) == [4, 6], 60)
    wait_for("on-1 and on-2", lambda: reach(c, 1, 2), 60)


def run(name, args, tests):
    asked = sys.argv[1:] or DEFAULT
    if asked != ["whole"] and name not in asked:
        return 0
    print(f"# {name}: caravel dev {' '.join(args)}")
    with DevCluster(nodes=2, args=args) as c:
        c.vxlan = "--flannel-backend=host-gw" not in args
        with contextlib.ExitStack() as stack:
            argv, sys.argv = sys.argv, sys.argv[:1]
            stack.callback(setattr, sys, "argv", argv)
            return main(tests, c)


if __name__ == "__main__":
    need_node()
    machine = snapshot()
    all_of_it = [nodes_and_pods, the_certificate_names_all, by_what, sizes, services, names, the_outside, policies]
    status = run("dual", DUAL, all_of_it + [the_server_killed_and_back, another_address, a_family_goes_and_comes])
    status |= run("six", SIX, all_of_it + [the_server_killed_and_back, another_address])
    status |= run("six_host_gw", SIX + HOST_GW, all_of_it)
    status |= run("dual_host_gw", DUAL + HOST_GW, [nodes_and_pods, by_what, sizes, services, names])
    status |= run("six_first", SIX_FIRST, [nodes_and_pods, the_certificate_names_all, by_what, sizes, services, names, the_outside, policies])

    def nothing_of_it_is_left(_):
        nothing_is_left(machine)
    sys.exit(status | main([nothing_of_it_is_left], None))
