#!/usr/bin/env python3
"""The pods' network between nodes, with real packets: both families, sizes, losses, flushes, changes of address, nodes that
go; by VXLAN, by host routes, and left to somebody else."""
import json
import os
import re
import subprocess
import sys
import time

from lib import Cluster, DevCluster, Failed, contains, equal, main, need_node, wait_for
from machine import nothing_is_left, snapshot

POD = """
apiVersion: v1
kind: Pod
metadata: {name: on-N}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: dev-N
  containers:
  - name: c
    image: docker.io/caravel/demo:1
    command: ["sh", "-c", "mkdir -p /w/cgi-bin; printf '#!/bin/sh\\\\necho; echo $REMOTE_ADDR\\\\n' > /w/cgi-bin/who; chmod +x /w/cgi-bin/who;
      head -c 3000000 /dev/zero > /w/big; exec httpd -f -h /w -p 80"]
"""
BOTH = "10.42.0.0/16,fd00:42::/56"


def pod_range(c, node, v4=True):
    """Which of them has the cluster's first, chance says."""
    return [cidr for cidr in c.get("node", f"dev-{node}")["spec"]["podCIDRs"] if ("." in cidr) == v4][0]


def range_address(c, node, v4=True):
    """The first address of its range: whose its connections to pods of others come from, and by which others reach it."""
    return pod_range(c, node, v4).split("/")[0]


def ips(c, node):
    return [x["ip"] for x in c.get("pod", f"on-{node}")["status"]["podIPs"]]


def url(ip, path):
    return f"http://[{ip}]{path}" if ":" in ip else f"http://{ip}{path}"


def fetch(c, node, ip, path, seconds=5):
    return c.run("exec", f"on-{node}", "--", "timeout", str(seconds), "wget", "-q", "-O", "-", url(ip, path), check=False).text


def who(c, node, ip):
    """Whom the other pod takes this one for; "" when it does not answer."""
    return fetch(c, node, ip, "/cgi-bin/who").strip().strip("[]").replace("::ffff:", "")


def reach(c, a, b):
    """Both ways, all families, and nobody's address is changed."""
    return all(who(c, x, to) == own for x, y in ((a, b), (b, a)) for own, to in zip(ips(c, x), ips(c, y)))


def device(c, node):
    links = json.loads(c.inside(node, "ip", "-j", "-d", "link", "show", "type", "vxlan"))
    return links[0] if links else None


def routes(c, node, family="-4"):
    return {r["dst"]: r for r in json.loads(c.inside(node, "ip", "-j", family, "route", "show", "proto", "202"))}


def fdb(c, node):
    dev = device(c, node)
    said = c.inside(node, "bridge", "-j", "fdb", "show", "dev", dev["ifname"], check=False) if dev else "[]"
    return {e["mac"]: e["dst"] for e in json.loads(said if said.startswith("[") else "[]") if "dst" in e}


def neighbours(c, node):
    """Whose link address it knows for good, of both families."""
    dev = device(c, node)
    said = c.inside(node, "ip", "-j", "neighbour", "show", "dev", dev["ifname"], "nud", "permanent", check=False) if dev else "[]"
    return {e["dst"] for e in json.loads(said if said.startswith("[") else "[]")}


def whole(c, node):
    """It has its device, and all that leads to two other nodes."""
    ways = [*routes(c, node).values(), *routes(c, node, "-6").values()]
    return (device(c, node) or {}).get("mtu") == 1450 and len(ways) == 4 and len(fdb(c, node)) == 2 and \
        {way["gateway"] for way in ways} <= neighbours(c, node)


def local(c, node):
    """The address that its VXLAN sends from."""
    dev = device(c, node)
    return dev["linkinfo"]["info_data"].get("local") if dev else None


def pods(c, nodes):
    for node in nodes:
        c.apply(POD.replace("on-N", f"on-{node}").replace("dev-N", f"dev-{node}"))
    for node in nodes:
        c.kubectl("wait", "--for=condition=Ready", f"pod/on-{node}", "--timeout=90s")


def all_reach_all(c):
    pods(c, (1, 2, 3))
    for node in (1, 2, 3):
        equal(len(ips(c, node)), 2, f"families of on-{node}")
    for a, b in ((1, 2), (1, 3), (2, 3)):
        wait_for(f"on-{a} and on-{b} to reach each other", lambda a=a, b=b: reach(c, a, b))
    # The node's own programs, too: by the address of its end of the VXLAN.
    for ip in ips(c, 2):
        contains(c.inside(1, "curl", "-sg", "--max-time", "5", url(ip, "/cgi-bin/who")), range_address(c, 1, "." in ip))


def sizes(c):
    """A pod knows how much goes at once; so does the node, which fragments nothing that says not to."""
    equal(device(c, 1)["mtu"], 1450)
    contains(c.kubectl("exec", "on-1", "--", "cat", "/sys/class/net/eth0/mtu"), "1450")
    for ip in ips(c, 2):
        room = 1450 - (48 if ":" in ip else 28)
        contains(c.kubectl("exec", "on-1", "--", "ping", "-c", "1", "-W", "5", "-s", str(room), ip), "1 packets received")
        code = f"""
import socket
s = socket.socket({'socket.AF_INET6' if ':' in ip else 'socket.AF_INET'}, socket.SOCK_DGRAM)
s.setsockopt({'socket.IPPROTO_IPV6, 23' if ':' in ip else 'socket.IPPROTO_IP, 10'}, 2)
s.connect(("{ip}", 9))
s.send(b"x" * {room})
try:
    s.send(b"x" * {room + 1})
except OSError as e:
    print(e)
"""
        contains(c.inside(1, sys.executable, "-c", code), "Message too long")
        equal(len(fetch(c, 1, ip, "/big", 20)), 3000000, f"of /big from {ip}")


def losses(c):
    """Of what nodes send each other a fifth is lost: slow, but all of it comes."""
    rule = "table netdev lossy { chain in { type filter hook ingress device eth0 priority 0; udp dport 8472 numgen random mod 5 < 1 drop; }; }"
    c.inside(1, "sh", "-c", f"echo '{rule}' | nft -f -")
    try:
        for ip in ips(c, 2):
            equal(len(fetch(c, 1, ip, "/big", 60)), 3000000, f"of /big from {ip}")
    finally:
        c.inside(1, "nft", "delete", "table", "netdev", "lossy")


def a_partition(c):
    rule = "table netdev wall { chain in { type filter hook ingress device eth0 priority 0; udp dport 8472 drop; }; }"
    c.inside(2, "sh", "-c", f"echo '{rule}' | nft -f -")
    try:
        equal(who(c, 1, ips(c, 2)[0]), "")
    finally:
        c.inside(2, "nft", "delete", "table", "netdev", "wall")
    wait_for("the other side of the wall", lambda: reach(c, 1, 2), 10)


def what_others_take_away_comes_back(c):
    dev = device(c, 1)["ifname"]
    mac = [m for m, to in fdb(c, 1).items() if to.endswith(".12")][0]
    to = ips(c, 2)
    for words in (["ip", "link", "delete", dev], ["ip", "route", "flush", "proto", "202"], ["ip", "-6", "route", "flush", "proto", "202"],
                  ["ip", "link", "set", dev, "down"], ["ip", "link", "set", dev, "address", "ee:00:00:00:00:01"],
                  ["ip", "address", "flush", "dev", dev], ["ip", "neighbour", "delete", range_address(c, 2), "dev", dev],
                  ["bridge", "fdb", "delete", mac, "dev", dev], ["ip", "link", "set", dev, "mtu", "600"]):
        c.inside(1, *words)
        begun = time.monotonic()
        wait_for(f"it to come back after {' '.join(words)}", lambda: whole(c, 1) and
                 who(c, 1, to[0]) and who(c, 1, to[1]) and who(c, 2, ips(c, 1)[0]), 30)
        print(f"# {time.monotonic() - begun:.1f} s: {' '.join(words)}")
    contains(c.node_log(1), "somebody else removed the VXLAN device")


def a_node_that_lies(c):
    """A range that is not its own, an address that is ours: it gets no traffic, and it is said."""
    before = routes(c, 1)
    for name, cidr, address in (("liar", "10.43.0.0/24", "198.18.0.99"), ("thief", pod_range(c, 2), "198.18.0.99")):
        c.apply(json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}}))
        c.kubectl("patch", "node", name, "--subresource=status", "--type=merge", "-p",
                  json.dumps({"status": {"addresses": [{"type": "InternalIP", "address": address}]}}))
        wait_for(f"an Event about {name}", lambda name=name: f"node/{name}" in c.kubectl(
            "get", "events", "-A", "--field-selector", "reason=PodNetworkUnreachable"))
    equal(routes(c, 1), before)
    equal(sorted(fdb(c, 1).values())[-1][-3:], ".13")
    c.kubectl("delete", "node", "liar", "thief")
    if not reach(c, 1, 2):
        raise Failed("on-1 and on-2 do not reach each other")


def another_address(c):
    """A node moves: its own VXLAN and everybody's entries for it follow, and nobody runs a command."""
    was = c.start_node_without_address(2)
    net = was.rsplit(".", 1)[0]
    wait_for("on-2", lambda: reach(c, 1, 2), 30)
    c.inside(2, "ip", "address", "flush", "dev", "eth0")
    c.inside(2, "ip", "address", "add", f"{net}.77/24", "dev", "eth0")
    c.inside(2, "ip", "route", "replace", "default", "via", f"{net}.1")
    begun = time.monotonic()
    wait_for("all to follow", lambda: local(c, 2) == f"{net}.77" and
             f"{net}.77" in fdb(c, 1).values() and was not in fdb(c, 1).values() and reach(c, 1, 2), 60)
    print(f"# followed within {time.monotonic() - begun:.1f} s")


def a_node_that_goes(c):
    c.kubectl("delete", "pod", "on-3", "--now")
    c.kill_node(3)
    c.kubectl("delete", "node", "dev-3")
    for node in (1, 2):
        wait_for(f"its entries to go from dev-{node}", lambda node=node: len(routes(c, node)) == 1 and len(fdb(c, node)) == 1)
    if not reach(c, 1, 2):
        raise Failed("on-1 and on-2 do not reach each other")


def the_server_killed(c):
    """Packets do not ask whether we run."""
    pid = c.node_pid(1)
    os.kill(int(subprocess.run(["pgrep", "-P", str(pid)], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]), 9)
    contains(c.inside(1, "curl", "-sg", "--max-time", "5", url(ips_kept(c)[0], "/cgi-bin/who")), range_address(c, 1))
    wait_for("on-2", lambda: reach(c, 1, 2), 60)


def ips_kept(c):
    dev = device(c, 1)["ifname"]
    return [r["dst"].replace(".0/24", ".2") for r in json.loads(c.inside(1, "ip", "-j", "route", "show", "dev", dev, "proto", "202"))]


def by_host_routes(c):
    pods(c, (1, 2))
    wait_for("on-1 and on-2 to reach each other", lambda: reach(c, 1, 2))
    equal(device(c, 1), None)
    contains(c.kubectl("exec", "on-1", "--", "cat", "/sys/class/net/eth0/mtu"), "1500")
    way = list(routes(c, 1).values())
    equal((len(way), way[0]["gateway"][-3:], way[0]["dev"]), (1, ".12", "eth0"))
    # Somewhere else there is a node: it is refused, the others go on.
    c.apply(json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "far"}, "spec": {"podCIDR": "10.42.9.0/24"}}))
    c.kubectl("patch", "node", "far", "--subresource=status", "--type=merge", "-p",
              json.dumps({"status": {"addresses": [{"type": "InternalIP", "address": "203.0.113.9"}]}}))
    wait_for("an Event about far", lambda: "nodes have to be on one link" in c.kubectl(
        "get", "events", "-A", "--field-selector", "reason=PodNetworkUnreachable,involvedObject.name=far"))
    equal(len(routes(c, 1)), 1)
    c.inside(1, "ip", "route", "flush", "proto", "202")
    wait_for("on-2", lambda: reach(c, 1, 2), 15)


def pods_of_ipv6_alone(c):
    """Over nodes that have IPv4."""
    pods(c, (1, 2))
    equal([":" in ip for ip in ips(c, 2)], [True])
    wait_for("on-1 and on-2 to reach each other", lambda: reach(c, 1, 2))
    equal((device(c, 1)["mtu"], list(fdb(c, 1).values())[0][-3:]), (1450, ".12"))


def left_to_somebody_else(c):
    """Nothing of ours in /etc/cni/net.d; the node is Ready when somebody's configuration is there, which stays as it is."""
    def ready():
        found = [x for x in c.get("node", "node-1")["status"]["conditions"] if x["type"] == "Ready"][0]
        return found["status"], found["message"]
    wait_for("the node", lambda: c.request("GET", "/api/v1/nodes/node-1")[0] == 200)
    said = wait_for("a word on the network", lambda: "network" in ready()[1] and ready())
    equal(said, ("False", "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
                 "message:Network plugin returns error: cni plugin not initialized"))
    inside = ["nsenter", f"--mount=/proc/{c.server_pid}/ns/mnt"]
    equal(subprocess.run([*inside, "ls", "/etc/cni/net.d"], check=True, stdout=subprocess.PIPE, text=True).stdout, "")
    conf = '{"cniVersion":"0.4.0","name":"theirs","plugins":[{"type":"bridge","bridge":"theirs0","ipam":{"type":"host-local","subnet":"10.99.0.0/24"}}]}'
    subprocess.run([*inside, "sh", "-c", f"echo '{conf}' > /etc/cni/net.d/05-theirs.conflist"], check=True)
    wait_for("the node to be Ready", lambda: ready()[0] == "True", 30)
    equal(subprocess.run([*inside, "cat", "/etc/cni/net.d/05-theirs.conflist"], check=True, stdout=subprocess.PIPE, text=True).stdout,
          conf + "\n")
    equal(subprocess.run(["ip", "-j", "link", "show", "type", "vxlan"], check=True, stdout=subprocess.PIPE, text=True).stdout.count("cvl"), 0)


def refusals(c):
    for flag, said in (("wireguard-native", "wireguard-native is not built"), ("ipsec", "takes vxlan, host-gw or none")):
        r = subprocess.run([os.environ.get("CARAVEL") or "build/caravel", "server", "--config", "/dev/null", "--data-dir", c.dir + "/x",
                            f"--flannel-backend={flag}"], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        equal(r.returncode, 1)
        contains(r.stdout, f"--flannel-backend={flag}", said)


def server_args(**flags):
    """For the server alone: nodes keep IPv4, whatever pods have (e2e/families has nodes of other families)."""
    return [word for flag, value in flags.items() for word in ("--server-arg", f"--{flag.replace('_', '-')}={value}")]


if __name__ == "__main__":
    need_node()
    machine = snapshot()
    status = 0
    etc_cni = os.path.exists("/etc/cni")
    with DevCluster(nodes=3, args=server_args(cluster_cidr=BOTH)) as cluster:
        status |= main([refusals, all_reach_all, sizes, losses, a_partition, what_others_take_away_comes_back, a_node_that_lies,
                        the_server_killed, another_address, a_node_that_goes], cluster)
    if len(sys.argv) == 1 or "by_host_routes" in sys.argv:
        with DevCluster(nodes=2, args=server_args(flannel_backend="host-gw")) as cluster:
            status |= main([by_host_routes], cluster)
    if len(sys.argv) == 1 or "pods_of_ipv6_alone" in sys.argv:
        with DevCluster(nodes=2, args=server_args(cluster_cidr="fd00:42::/56", service_cidr="fd00:43::/112")) as cluster:
            status |= main([pods_of_ipv6_alone], cluster)
    if len(sys.argv) == 1 or "left_to_somebody_else" in sys.argv:
        other = Cluster(agent=True, args=["--flannel-backend=none"])
        other.prefix = ["unshare", "--mount", "sh", "-c", "mkdir -p /etc/cni; mount -t tmpfs none /etc/cni; mkdir /etc/cni/net.d; exec \"$@\"", "sh"]
        with other as cluster:
            status |= main([left_to_somebody_else], cluster)
        if not etc_cni:
            os.rmdir("/etc/cni")  # where another file system was mounted

    def nothing_of_it_is_left(_):
        nothing_is_left(machine)
    status |= main([nothing_of_it_is_left], None) if len(sys.argv) == 1 else 0
    sys.exit(status)
