#!/usr/bin/env python3
"""Several nodes: `caravel dev`, nodes that join, die, come back, move, are cut off; and nothing of them is left."""
import calendar
import glob
import os
import re
import signal
import subprocess
import sys
import time

from lib import CARAVEL, DevCluster, Failed, contains, equal, main, need_node, wait_for
from machine import nothing_is_left, snapshot

POD = """
apiVersion: v1
kind: Pod
metadata: {name: NAME, labels: {app: NAME}}
spec:
  terminationGracePeriodSeconds: 0
  nodeName: NODE
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", command: ["sh", "-c", "echo says NAME; echo NAME > /index.html; exec httpd -f -h / -p 80"]}
"""


def pod(c, node):
    return c.get("pod", f"on-{node}")


def reach(c, node):
    """Logs and a command, which the server asks the node's kubelet for."""
    contains(c.kubectl("exec", f"on-{node}", "--", "cat", "/index.html"), f"on-{node}")
    contains(c.kubectl("logs", f"on-{node}"), f"says on-{node}")


def all_nodes_are_there(c):
    equal(sorted(n["metadata"]["name"] for n in c.get("nodes")["items"]), ["dev-1", "dev-2"])
    wait_for("requests to be signed", lambda: [r for r in c.get("csr")["items"]
                                               if r["spec"]["signerName"] == "kubernetes.io/kubelet-serving" and r["status"].get("certificate")])
    for node in (1, 2):  # ps and pgrep know them
        with open(f"/proc/{c.node_pid(node)}/comm", encoding="utf-8") as f:
            equal(f.read(), "caravel\n")
    for f in glob.glob(c.node_dir(2) + "/agent/*"):
        equal(os.stat(f).st_mode & 0o077, 0, f)
    took = re.search(r"all nodes are Ready.* in ([0-9.]+) s", c.tail())
    print(f"# {took.group(0)}")


def pods_on_each(c):
    for node in (1, 2):
        c.apply(POD.replace("NAME", f"on-{node}").replace("NODE", f"dev-{node}"))
    for node in (1, 2):
        c.kubectl("wait", "--for=condition=Ready", f"pod/on-{node}", "--timeout=60s")
        wait_for(f"logs and exec on dev-{node}", lambda node=node: reach(c, node) or True)
        equal(pod(c, node)["status"]["hostIP"][-3:], f".1{node}")


def pods_reach_each_other(c):
    """From each node, and from each pod, to the pod on the other one; Services and names lead there, too."""
    c.apply("apiVersion: v1\nkind: Service\nmetadata: {name: far}\nspec: {selector: {app: on-2}, ports: [{port: 80}]}")
    ip = {node: pod(c, node)["status"]["podIP"] for node in (1, 2)}
    service = c.get("svc", "far")["spec"]["clusterIP"]
    for here, there in ((1, 2), (2, 1)):
        wait_for(f"the pod on dev-{there} from dev-{here}",
                 lambda here=here, there=there: c.inside(here, "curl", "-sm", "2", f"http://{ip[there]}/").strip() == f"on-{there}")
        direct = ip[there].replace(".", "-") + ".default.pod"
        equal(c.kubectl("exec", f"on-{here}", "--", "wget", "-qO-", f"http://{direct}.cluster.local/").strip(), f"on-{there}")
        wait_for("the Service's address", lambda here=here: c.inside(here, "curl", "-sm", "2", f"http://{service}/").strip() == "on-2")
        for name in ("far", "far.default.svc.cluster.local"):
            wait_for(f"the Service as {name}", lambda here=here, name=name: c.kubectl(
                "exec", f"on-{here}", "--", "wget", "-qO-", f"http://{name}/").strip() == "on-2")


def volumes_of_a_joined_node(c):
    """The class local-path makes them where the pod was placed, also on a node that may write no other volume."""
    c.apply("""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: kept}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: keeps}
spec:
  terminationGracePeriodSeconds: 0
  nodeSelector: {kubernetes.io/hostname: dev-2}
  volumes: [{name: v, persistentVolumeClaim: {claimName: kept}}]
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", command: ["sh", "-c", "echo here > /v/file; sleep 100000"], volumeMounts: [{name: v, mountPath: /v}]}
""")
    c.kubectl("wait", "--for=condition=Ready", "pod/keeps", "--timeout=60s")
    found = wait_for("its file", lambda: glob.glob(c.node_dir(2) + "/storage/*/file"))
    equal(len(found), 1)
    c.kubectl("delete", "pod/keeps", "pvc/kept", "--timeout=60s")
    wait_for("the directory to go", lambda: not os.path.exists(found[0]))
    wait_for("the volume to go", lambda: not c.get("pv")["items"])


def a_device_of_a_joined_node_grows(c):
    """While its container has it: the node says so of its own volume and of its pod's claim, and may say no more."""
    c.apply("""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: raw}
spec: {volumeMode: Block, accessModes: [ReadWriteOnce], resources: {requests: {storage: 8Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: raw}
spec:
  terminationGracePeriodSeconds: 1
  nodeSelector: {kubernetes.io/hostname: dev-2}
  volumes: [{name: d, persistentVolumeClaim: {claimName: raw}}]
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", command: ["sh", "-c", "sleep 100000"], volumeDevices: [{name: d, devicePath: /dev/xvda}]}
""")
    c.kubectl("wait", "--for=condition=Ready", "pod/raw", "--timeout=60s")
    c.kubectl("patch", "pvc", "raw", "-p", '{"spec":{"resources":{"requests":{"storage":"16Mi"}}}}')
    wait_for("the capacity", lambda: c.get("pvc", "raw")["status"]["capacity"]["storage"] == "16Mi")
    contains(c.kubectl("exec", "raw", "--", "sh", "-c", "dd if=/dev/zero of=/dev/xvda bs=1M count=20 2>&1 || true"), "16+0 records out")
    c.kubectl("delete", "pod/raw", "pvc/raw", "--timeout=60s")
    wait_for("the volume to go", lambda: not c.get("pv")["items"])


def images_for_all(c):
    """One command, all nodes."""
    said = subprocess.run([CARAVEL, "image", "demo", "--data-dir", c.data], check=True, stdout=subprocess.PIPE, text=True).stdout
    contains(said, "made docker.io/caravel/demo:1")


def a_name_that_is_there_is_nobody_elses(c):
    token = os.path.join(c.node_dir(1), "server", "node-token")
    for name in ("dev-1", "dev-2"):
        said = c.inside(2, CARAVEL, "agent", "--no-supervise", "--config", "/dev/null", "--server", f"https://{c.host}:{c.port}",
                        "--token-file", token, "--node-name", name, "--data-dir", os.path.join(c.dir, "other"), check=False)
        contains(said, f'node "{name}" is in the cluster already', f"kubectl delete node {name}")


def a_node_may_not_be_another(c):
    """With a node's own certificate: no other node's tunnel, no request for another name."""
    pem = os.path.join(c.dir, "dev-2.pem")
    with open(pem, "w", encoding="utf-8") as out:
        for part in ("crt", "key"):
            with open(os.path.join(c.node_dir(2), "agent", f"client-kubelet.{part}"), encoding="utf-8") as f:
                out.write(f.read())
    tls = c.anonymous_context()
    tls.load_cert_chain(pem)
    equal(c.request("GET", "/api/v1/nodes/dev-2", context=tls)[0], 200)
    upgrade = {"Connection": "Upgrade", "Upgrade": "caravel-reverse"}
    equal(c.request("GET", "/v1-caravel/nodes/dev-1/connect", headers=upgrade, context=tls)[0], 403)
    equal(c.request("GET", "/v1-caravel/nodes/dev-2/connect", context=tls)[0], 400)
    equal(c.request("GET", "/v1-caravel/nodes/dev-2/connect", headers=upgrade)[0], 403, "an admin is no node")
    equal(c.request("GET", "/v1-caravel/nodes/dev-2/connect", headers=upgrade, context=c.anonymous_context())[0], 403)


def tunnel(c, tls, name="dev-2"):
    """A connection for the kubelet of a node, as its agent opens them; (the answer's first line, the connection)."""
    conn = c.connect(tls)
    conn.connect()
    conn.sock.settimeout(100)
    conn.sock.sendall(f"GET /v1-caravel/nodes/{name}/connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: caravel-reverse\r\n\r\n".encode())
    return conn.sock.recv(4096).split(b"\r\n")[0].decode(), conn


def a_connection_is_of_one_machine(c):
    """Connections end when the Node that they are of does, and when another machine has its name; that one's certificate is good
    for nothing here, though the CA has signed it for that very name."""
    tls = c.anonymous_context()
    tls.load_cert_chain(os.path.join(c.dir, "dev-2.pem"))
    said, conn = tunnel(c, tls)
    contains(said, "101")
    words = c.kill_node(2)
    key = c.get("node", "dev-2")["metadata"]["annotations"]["caravel.io/node-key"]
    c.kubectl("delete", "node", "dev-2")
    c.apply('{"apiVersion":"v1","kind":"Node","metadata":{"name":"dev-2","annotations":{"caravel.io/node-key":"%s"}}}' % key[::-1])
    contains(tunnel(c, tls)[0], "401")
    begun = time.monotonic()
    equal(conn.sock.recv(1), b"", "what comes by a connection that is closed")
    print(f"# closed within {time.monotonic() - begun:.0f} s")
    c.kubectl("delete", "node", "dev-2")
    c.start_node(2, words)
    wait_for("dev-2 to be Ready", lambda: c.node_ready(2), 60)
    wait_for("logs and exec", lambda: reach(c, 2) or True)


def a_node_killed_and_back(c):
    before = pod(c, 2)["status"]["containerStatuses"][0]
    words = c.kill_node(2)
    contains(c.inside(2, "pgrep", "-f", "httpd -f -h / -p 80"), "\n")  # of a pod that runs on
    at = words.index("--token-file")
    c.start_node(2, words[:at] + words[at + 2:])  # nobody needs a token twice
    contains(wait_for("the agent's start", lambda: "node registered" in c.node_log(2).split("joined")[-1] and c.node_log(2)), "joined")
    wait_for("dev-2 to be Ready", lambda: c.node_ready(2), 60)
    equal(pod(c, 2)["status"]["containerStatuses"][0]["containerID"], before["containerID"])
    wait_for("logs and exec", lambda: reach(c, 2) or True)


def the_server_killed_and_back(c):
    server = [int(p) for p in subprocess.run(["pgrep", "-P", str(c.node_pid(1))], check=True, stdout=subprocess.PIPE,
                                             text=True).stdout.split()]
    os.kill(server[0], signal.SIGKILL)  # its supervisor starts another
    wait_for("the API", lambda: c.request("GET", "/readyz")[0] == 200)
    wait_for("logs and exec on both", lambda: (reach(c, 1), reach(c, 2)))
    c.apply(POD.replace("NAME", "later").replace("NODE", "dev-2"))
    c.kubectl("wait", "--for=condition=Ready", "pod/later", "--timeout=60s")
    c.kubectl("delete", "pod", "later", "--now")


def a_token_taken_back(c):
    """Who is in stays in; who comes later does not get in with it."""
    file = os.path.join(c.node_dir(1), "server", "node-token")
    with open(file, encoding="utf-8") as f:
        known = f.read().strip()
    c.kubectl("delete", "secret", "-n", "kube-system", "bootstrap-token-" + re.split(":+", known)[-1].split(".")[0])
    said = wait_for("a refusal", lambda: c.inside(
        2, CARAVEL, "agent", "--no-supervise", "--config", "/dev/null", "--server", f"https://{c.host}:{c.port}", "--token", known,
        "--node-name", "late", "--data-dir", os.path.join(c.dir, "late"), check=False))
    contains(said, "does not know the token")
    reach(c, 2)


def only_the_node_dials_out(c):
    """The kubelet cannot be dialled: logs and exec come by the connections that the node keeps."""
    rules = "table ip wall { chain in { type filter hook input priority 0; tcp dport 10250 iifname eth0 drop; }; }"
    c.inside(2, "sh", "-c", f"echo '{rules}' | nft -f -")
    try:
        wait_for("logs and exec through the tunnel", lambda: reach(c, 2) or True, 60)
        begun = time.monotonic()
        for _ in range(10):  # more than are kept waiting
            reach(c, 2)
        print(f"# ten of each in {time.monotonic() - begun:.1f} s")
    finally:
        c.inside(2, "nft", "delete", "table", "ip", "wall")
    reach(c, 2)


def back_without_a_good_bye(c):
    """A node that lost its power and is back: the server still has the connections of its life before, and must not use them."""
    port = f"{c.host}:{c.port}"
    old = [line.split()[2].rsplit(":", 1)[1] for line in c.inside(2, "ss", "-Htn", "state", "established", "dst", port).splitlines()]
    rules = ("table ip wall {{ chain in {{ type filter hook input priority 0; tcp dport 10250 iifname eth0 drop; tcp dport {{ {0} }} drop; }}; "
             "chain out {{ type filter hook output priority 0; tcp sport {{ {0} }} drop; }}; }}").format(", ".join(old))
    c.inside(2, "sh", "-c", f"echo '{rules}' | nft -f -")
    try:
        c.start_node(2, c.kill_node(2))
        wait_for("dev-2 to be Ready", lambda: c.node_ready(2), 60)
        begun = time.monotonic()
        # Ready may still be what its life before said: whoever asks before the new connections are there has an old one, until
        # that is noticed to be dead (half a minute, src/net/stream.h).
        wait_for("logs and exec through the tunnel", lambda: reach(c, 2) or True, 60)
        print(f"# within {time.monotonic() - begun:.1f} s")
    finally:
        c.inside(2, "nft", "delete", "table", "ip", "wall")


def a_partition(c):
    """Cut off from the server its pods go on; it is said to be gone, and back when it is back."""
    c.inside(2, "sh", "-c", f"echo 'table ip wall {{ chain out {{ type filter hook output priority 0; ip daddr {c.host} drop; }}; }}' | nft -f -")
    try:
        wait_for("dev-2 to be taken for lost", lambda: not c.node_ready(2), 120, every=0.5)
        contains(c.inside(2, "pgrep", "-f", "httpd -f -h / -p 80"), "\n")
    finally:
        c.inside(2, "nft", "delete", "table", "ip", "wall")
    wait_for("dev-2 to be back", lambda: c.node_ready(2), 120, every=0.5)
    wait_for("logs and exec", lambda: reach(c, 2) or True, 60)


def another_address(c):
    """Found addresses are followed: the Node says the new one, and the kubelet serves with a certificate for it."""
    was = c.start_node_without_address(2)
    wait_for("logs and exec", lambda: reach(c, 2) or True, 60)
    now = was.rsplit(".", 1)[0] + ".77"
    c.inside(2, "ip", "address", "add", now + "/24", "dev", "eth0")
    c.inside(2, "ip", "address", "delete", was + "/24", "dev", "eth0")
    c.inside(2, "ip", "address", "add", now + "/24", "dev", "eth0", check=False)  # a secondary one went with the first
    c.inside(2, "ip", "route", "replace", "default", "via", was.rsplit(".", 1)[0] + ".1")

    def addresses():
        return [a["address"] for a in c.get("node", "dev-2")["status"]["addresses"] if a["type"] == "InternalIP"]
    wait_for("the new address", lambda: addresses() == [now], 60)
    wait_for("logs and exec", lambda: reach(c, 2) or True, 60)


def a_node_deleted_comes_back_as_itself(c):
    uid = c.get("node", "dev-2")["metadata"]["uid"]
    c.kubectl("delete", "node", "dev-2")
    wait_for("another Node", lambda: c.get("node", "dev-2")["metadata"]["uid"] != uid and c.node_ready(2), 60)
    equal(len(c.get("node", "dev-2")["metadata"]["annotations"]["caravel.io/node-key"]), 64)


def a_refused_flag_is_said(c):
    """Not only in a log of a node that nobody has seen yet."""
    for flag in ("--server-arg", "--agent-arg"):
        r = subprocess.run([CARAVEL, "dev", "--nodes", "2", "--data-dir", c.dir + "/refused", flag, "--nosuch"], check=False,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, text=True)
        equal(r.returncode, 1, r.stdout)
        contains(r.stdout, "has ended: unknown flag '--nosuch'")


def all_gone(c, before):
    for node in (1, 2):
        if c.node_pid(node) is None:
            raise Failed(f"dev-{node} does not run")
    os.kill(c.proc.pid, signal.SIGINT)
    equal(c.wait_end(60), 0, c.tail())
    nothing_is_left(before)


def ready_once_more(c, before):
    """What nodes said before they were stopped does not count."""
    time.sleep(1.1)  # they say so in whole seconds
    began = int(time.time())
    c.start()
    for node in c.get("nodes")["items"]:
        ready = [x for x in node["status"]["conditions"] if x["type"] == "Ready"][0]
        equal(ready["status"], "True")
        if calendar.timegm(time.strptime(ready["lastHeartbeatTime"], "%Y-%m-%dT%H:%M:%SZ")) < began:
            raise Failed(f"{node['metadata']['name']} was Ready at {ready['lastHeartbeatTime']}, before the start")
    all_gone(c, before)


def with_fewer_nodes_than_before(c):
    """Nobody is behind dev-2 then: no pod is put there, no image is missed; asked for again it is itself."""
    c.nodes = 1
    c.start()
    equal([n["metadata"]["name"] for n in c.get("nodes")["items"]], ["dev-1"])
    subprocess.run([CARAVEL, "image", "demo", "--data-dir", c.data], check=True, stdout=subprocess.DEVNULL, timeout=120)
    c.stop()
    c.nodes = 2
    c.start()
    wait_for("dev-2", lambda: c.node_ready(2))
    c.stop()


def stop(c):
    return subprocess.run([CARAVEL, "dev", "stop", "--data-dir", c.data], check=True, stdout=subprocess.PIPE, timeout=120, text=True).stdout


def killed_and_taken_away(c, before):
    """At any moment: in the middle of making its network, of starting nodes, or later."""
    for moment in (0.02, 0.1, 0.4, None):
        c.start(wait=moment is None)
        time.sleep(moment or 0)
        c.kill()
        said = stop(c)
        if moment is None:
            contains(said, "removed the network cvd")
        wait_for("its processes", lambda: not c.node_pid(1) and not c.node_pid(2), 60)
        nothing_is_left(before)
    contains(stop(c), "nothing of it is left")


if __name__ == "__main__":
    need_node()
    machine = snapshot()
    with DevCluster(nodes=2) as cluster:
        status = main([all_nodes_are_there, pods_on_each, pods_reach_each_other, volumes_of_a_joined_node, a_device_of_a_joined_node_grows, images_for_all, a_name_that_is_there_is_nobody_elses, a_node_may_not_be_another,
                       a_connection_is_of_one_machine, a_node_killed_and_back, the_server_killed_and_back, a_token_taken_back,
                       only_the_node_dials_out, back_without_a_good_bye, a_partition, another_address, a_node_deleted_comes_back_as_itself, a_refused_flag_is_said], cluster)

        def its_end_leaves_nothing(c):
            all_gone(c, machine)

        def is_ready_when_its_nodes_say_so_again(c):
            ready_once_more(c, machine)

        def killed_it_leaves_nothing_either(c):
            killed_and_taken_away(c, machine)
        status |= main([its_end_leaves_nothing, is_ready_when_its_nodes_say_so_again, with_fewer_nodes_than_before,
                        killed_it_leaves_nothing_either], cluster) if len(sys.argv) == 1 else 0
        sys.exit(status)
