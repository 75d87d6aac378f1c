#!/usr/bin/env python3
"""A real node: containerd, CNI and nftables. The main job of examples/hello.yaml, self-healing, and a clean end."""
import base64
import contextlib
import hashlib
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

from lib import BIN, CARAVEL, Cluster, Failed, WebSocket, contains, equal, free_port, main, need_node, wait_for
from machine import NODE_PORT, cleanup, closed, fetch, hello_yaml, host_pod, nothing_is_left, shims, snapshot, tag_of

NS = ("-n", "hello")


def pods(c, *args):
    return c.get("pods", *NS, *args)["items"]


def ready_pods(c):
    def ready(p):
        return (not p["metadata"].get("deletionTimestamp") and
                any(x["type"] == "Ready" and x["status"] == "True" for x in p["status"].get("conditions", [])))
    return [p for p in pods(c, "-l", "app=hello") if ready(p)]


def node_ready(c):
    wait_for("the node", lambda: " Ready " in c.kubectl("get", "nodes"), 60)
    contains(c.kubectl("get", "nodes", "-o", "wide"), "containerd://", "v1.37.0+caravel", "control-plane")
    contains(c.kubectl("describe", "node", "node-1"), "Capacity:", "KubeletReady")


def hello_starts(c):
    contains(c.apply(hello_yaml()), "deployment.apps/hello created")
    c.kubectl("rollout", "status", *NS, "deploy/hello", "--timeout=60s")
    equal(len(ready_pods(c)), 3)
    contains(c.kubectl("get", "pods", *NS), "1/1", "Running")
    # Events are told behind what they are about.
    wait_for("the events", lambda: contains(c.kubectl("describe", "pods", *NS, "--show-events"), "Scheduled", "Pulled", "Created", "Started") or True)


def names_hit(url, want, limit=400):
    seen = set()
    for _ in range(limit):
        seen.add(re.search(r"I am (\S+)", fetch(url, 30)).group(1))
        if seen == want:
            return seen
    raise Failed(f"{url}: hit {seen} of {want}")


def every_replica_answers(c):
    want = {p["metadata"]["name"] for p in ready_pods(c)}
    ip = c.get("svc", "hello", *NS)["spec"]["clusterIP"]
    wait_for("the ClusterIP", lambda: "Hello from Caravel" in fetch(f"http://{ip}/"))
    names_hit(f"http://{ip}/", want)
    node = c.get("node", "node-1")
    address = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"][0]
    names_hit(f"http://{address}:{NODE_PORT}/", want)
    names_hit(f"http://127.0.0.1:{NODE_PORT}/", want)
    # and from another pod, through both
    pod = ready_pods(c)[0]["metadata"]["name"]
    out = c.kubectl("exec", *NS, pod, "--", "sh", "-c", f"for i in $(seq 60); do wget -qO- http://{ip}/; done")
    equal(set(re.findall(r"I am (\S+)", out)), want)
    contains(c.kubectl("exec", *NS, pod, "--", "wget", "-qO-", f"http://{address}:{NODE_PORT}/"), "Hello from Caravel")


def config_reaches_containers(c):
    pod = ready_pods(c)[0]["metadata"]["name"]
    contains(c.kubectl("exec", *NS, pod, "--", "env"), "COLOR=blue", "PASSWORD=correct-horse", f"POD_NAME={pod}",
             "KUBERNETES_SERVICE_HOST=" + c.service_ip, "HELLO_SERVICE_HOST=")
    equal(c.kubectl("exec", *NS, pod, "--", "cat", "/secret/password"), "correct-horse")
    equal(c.kubectl("exec", *NS, pod, "--", "cat", "/config/color"), "blue")
    token = c.kubectl("exec", *NS, pod, "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/token")
    equal(token.count("."), 2)
    equal(c.kubectl("exec", *NS, pod, "--", "cat", "/var/run/secrets/kubernetes.io/serviceaccount/namespace"), "hello")
    c.kubectl("patch", "cm", "hello-pages", *NS, "--type=merge", "-p", '{"data":{"color":"green"}}')


def logs(c):
    pod = ready_pods(c)[0]["metadata"]["name"]
    c.apply("""
apiVersion: v1
kind: Pod
metadata: {name: talker, namespace: hello}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: talk
    image: docker.io/caravel/demo:1
    command: ["sh", "-c", "for i in 1 2 3; do echo line $i; done; echo err >&2; sleep 2; echo line 4; sleep 1000"]
""")
    wait_for("it to run", lambda: c.get("pod", "talker", *NS)["status"]["phase"] == "Running")
    wait_for("lines", lambda: "line 3" in c.kubectl("logs", *NS, "talker"))
    contains(c.kubectl("logs", *NS, "talker", "--tail=1", "--timestamps"), "Z ")
    p = subprocess.Popen([os.path.join(BIN, "kubectl"), "--kubeconfig", c.kubeconfig, "logs", "-f", *NS, "talker"],
                         stdout=subprocess.PIPE, text=True)
    got = []
    threading.Thread(target=lambda: got.extend(iter(p.stdout.readline, "")), daemon=True).start()
    wait_for("the followed line", lambda: "line 4\n" in got, 20)
    p.terminate()
    p.wait()
    equal(c.run("logs", *NS, pod, "-c", "nothing", check=False).returncode, 1)


def logs_over_websocket(c):
    path = "/api/v1/namespaces/hello/pods/talker/log?"
    for protocol in ("binary.k8s.io", "base64.binary.k8s.io"):
        ws = WebSocket(c, path, protocol)
        equal(ws.status, 101)
        got, op = b"", 0
        while op != 8:
            op, piece = ws.message()
            if op != 8:
                equal(op, 1 if protocol.startswith("base64") else 2)
                got += base64.b64decode(piece) if op == 1 else piece
        contains(got.decode(), "line 1\n", "line 3\n")
        ws.close()
    ws = WebSocket(c, path + "follow=true", "binary.k8s.io")
    equal(ws.message(), (2, b""))
    contains(ws.message()[1].decode(), "line 1")
    ws.close()


def exec_attach_cp_forward(c):
    exec_attach_cp_forward_by(c)


def the_same_over_spdy(c):
    """As kubectl did it before WebSockets: SPDY/3.1 by HTTP upgrade."""
    names = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS")
    os.environ.update(dict.fromkeys(names, "false"))
    try:
        exec_attach_cp_forward_by(c)
    finally:
        for name in names:
            del os.environ[name]


def exec_attach_cp_forward_by(c):
    pod = ready_pods(c)[0]["metadata"]["name"]
    r = c.run("exec", *NS, pod, "--", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    equal((r.returncode, r.text), (7, "out\n"))
    contains(r.errors, "err")
    equal(c.kubectl("exec", "-i", *NS, pod, "--", "cat", stdin="through\n" * 1000), "through\n" * 1000)
    # a terminal
    script = subprocess.run(["script", "-qec", f"{BIN}/kubectl --kubeconfig {c.kubeconfig} exec -it -n hello {pod} -- sh -c 'tty; exit 3'",
                             "/dev/null"], check=False, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=60)
    contains(script.stdout.decode(), "/dev/")
    with tempfile.TemporaryDirectory() as d:
        with open(os.path.join(d, "big"), "wb") as f:
            f.write(os.urandom(3_000_000))
        c.kubectl("cp", os.path.join(d, "big"), f"hello/{pod}:/www/big")
        c.kubectl("cp", f"hello/{pod}:/www/big", os.path.join(d, "back"))
        with open(os.path.join(d, "big"), "rb") as a, open(os.path.join(d, "back"), "rb") as b:
            assert a.read() == b.read(), "the copy differs"
    port = free_port()
    p = subprocess.Popen([os.path.join(BIN, "kubectl"), "--kubeconfig", c.kubeconfig, "port-forward", *NS, pod, f"{port}:8080"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("the forwarded port", lambda: pod in fetch(f"http://127.0.0.1:{port}/"), 20)
        for _ in range(5):
            contains(fetch(f"http://127.0.0.1:{port}/", 30), pod)
    finally:
        p.terminate()
        p.wait()
    c.apply("""
apiVersion: v1
kind: Pod
metadata: {name: echo, namespace: hello}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: echo, image: "docker.io/caravel/demo:1", stdin: true, stdinOnce: true, command: ["cat"]}
""")
    wait_for("it to run", lambda: c.get("pod", "echo", *NS)["status"]["phase"] == "Running")
    contains(c.kubectl("attach", "-i", *NS, "echo", stdin="hi there\n"), "hi there")
    # a container with a terminal, spoken to by a client that has none
    r = c.run("run", "tty", "-it", *NS, "--image=docker.io/caravel/demo:1", "--restart=Never", "--rm", "--", "sh", "-c",
              "read x; echo got $x; exit 3", stdin="it\n", check=False, timeout=60)
    equal(r.returncode, 3, r.errors)  # it ends; what a terminal says in its last moment is not waited for by the runtime
    c.kubectl("delete", "pod", "echo", *NS)


def rolling_update(c):
    ip = c.get("svc", "hello", *NS)["spec"]["clusterIP"]
    errors, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            try:
                fetch(f"http://{ip}/", 30)
            except OSError as e:
                errors.append(str(e))
            time.sleep(0.01)
    t = threading.Thread(target=load)
    t.start()
    try:
        c.kubectl("set", "env", *NS, "deploy/hello", "ROUND=2")
        c.kubectl("rollout", "status", *NS, "deploy/hello", "--timeout=90s")
    finally:
        stop.set()
        t.join()
    assert len(errors) < 10, errors[:5]
    c.kubectl("rollout", "undo", *NS, "deploy/hello")
    c.kubectl("rollout", "status", *NS, "deploy/hello", "--timeout=90s")


def a_killed_container_restarts(c):
    pod = ready_pods(c)[0]["metadata"]["name"]
    c.run("exec", *NS, pod, "--", "kill", "-9", "1", check=False)
    # pid 1 ignores signals from inside its namespace: end it from the host
    cid = c.get("pod", pod, *NS)["status"]["containerStatuses"][0]["containerID"].split("//")[1]
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{p}/cgroup", encoding="utf-8") as f:
                if cid in f.read():
                    os.kill(int(p), signal.SIGKILL)
        except OSError:
            pass

    def restarted():
        s = c.get("pod", pod, *NS)["status"]["containerStatuses"][0]
        return s["restartCount"] == 1 and s["ready"]
    wait_for("one restart", restarted, 60)
    contains(c.kubectl("logs", *NS, pod, "--previous"), "")
    equal(c.get("pod", pod, *NS)["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137)


def a_crash_loop_backs_off(c):
    c.apply("""
apiVersion: v1
kind: Pod
metadata: {name: crash, namespace: hello}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: crash, image: "docker.io/caravel/demo:1", command: ["sh", "-c", "echo dying; exit 3"]}
""")
    wait_for("back-off", lambda: "CrashLoopBackOff" in c.kubectl("get", "pod", "crash", *NS), 60)
    contains(c.kubectl("logs", *NS, "crash", "--previous"), "dying")
    contains(c.kubectl("describe", "pod", "crash", *NS), "Back-off restarting failed container")
    c.kubectl("delete", "pod", "crash", *NS)


def a_deleted_pod_is_replaced(c):
    old = {p["metadata"]["name"] for p in ready_pods(c)}
    victim = sorted(old)[0]
    c.kubectl("delete", "pod", victim, *NS)
    wait_for("a replacement", lambda: len(ready_pods(c)) == 3 and {p["metadata"]["name"] for p in ready_pods(c)} != old, 60)


def address_of_node(c):
    return [a["address"] for a in c.get("node", "node-1")["status"]["addresses"] if a["type"] == "InternalIP"][0]


def host_ports(c):
    node, pod = address_of_node(c), ready_pods(c)[0]["metadata"]["name"]
    port, local = free_port(), free_port()
    c.apply(host_pod("door", port, f"- {{containerPort: 8080, hostPort: {local}, hostIP: 127.0.0.1, name: local}}"))
    for host in (node, "127.0.0.1"):
        wait_for("the host port", lambda h=host: "I am door" in fetch(f"http://{h}:{port}/"))
    contains(fetch(f"http://127.0.0.1:{local}/", 30), "I am door")
    assert closed(f"http://{node}:{local}/"), "a port of 127.0.0.1 answers elsewhere"
    for name in (pod, "door"):  # another pod, and itself
        contains(c.kubectl("exec", *NS, name, "--", "wget", "-qO-", f"http://{node}:{port}/"), "I am door")
    # A crash of the server changes nothing; a pod that goes meanwhile takes its port along.
    c.kill()
    contains(fetch(f"http://127.0.0.1:{port}/", 30), "I am door")
    c.start()
    contains(fetch(f"http://127.0.0.1:{port}/", 30), "I am door")
    c.kubectl("delete", "pod", "door", *NS, "--force", "--grace-period=0")
    wait_for("the port to close", lambda: closed(f"http://127.0.0.1:{port}/") and closed(f"http://{node}:{port}/"))
    # The same port by another pod.
    c.apply(host_pod("gate", port))
    wait_for("the next pod", lambda: "I am gate" in fetch(f"http://{node}:{port}/"))
    c.kubectl("delete", "pod", "gate", *NS)
    wait_for("the port to close", lambda: closed(f"http://127.0.0.1:{port}/"))
    equal([r for r in subprocess.run(["nft", "list", "ruleset"], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
           if "HOSTPORT" in r or f" {port} " in r], [], "rules")


def flushed_rules_come_back(c):
    """A firewall that reloads takes our table along, and brings its own."""
    def nft(*args):
        return subprocess.run(["nft", *args], check=True, stdout=subprocess.PIPE, text=True).stdout
    ip, pod = c.get("svc", "hello", *NS)["spec"]["clusterIP"], ready_pods(c)[0]["metadata"]["name"]
    tag = tag_of(c)
    nft("delete table inet " + tag + "; add table inet e2e-foreign; add chain inet e2e-foreign c { type filter hook input priority 0; }")
    try:
        assert closed(f"http://{ip}/"), "a Service without rules"
        wait_for("the rules", lambda: "Hello" in fetch(f"http://127.0.0.1:{NODE_PORT}/", 1) and "Hello" in fetch(f"http://{ip}/", 1), 30)
        contains(c.kubectl("exec", *NS, pod, "--", "wget", "-qO-", f"http://{ip}/"), "Hello")
        contains(nft("list", "table", "inet", "e2e-foreign"), "priority filter")
    finally:
        nft("delete table inet e2e-foreign")


def an_unready_pod_leaves_its_service(c):
    pod = ready_pods(c)[0]["metadata"]["name"]
    c.kubectl("exec", *NS, pod, "--", "mv", "/www/healthz", "/www/off")
    wait_for("NotReady", lambda: pod not in {p["metadata"]["name"] for p in ready_pods(c)}, 30)

    def gone():
        for s in c.get("endpointslices", *NS, "-l", "kubernetes.io/service-name=hello")["items"]:
            for e in s.get("endpoints", []):
                if e["targetRef"]["name"] == pod and e["conditions"]["ready"]:
                    return False
        return True
    wait_for("it to leave", gone, 10)
    ip = c.get("svc", "hello", *NS)["spec"]["clusterIP"]
    time.sleep(1)
    for _ in range(60):
        assert pod not in fetch(f"http://{ip}/", 30), "still hit"
    c.kubectl("exec", *NS, pod, "--", "mv", "/www/off", "/www/healthz")
    wait_for("Ready", lambda: len(ready_pods(c)) == 3, 30)


def debug_shows_another_container(c):
    pod = ready_pods(c)[0]["metadata"]["name"]
    c.kubectl("debug", *NS, pod, "--image=docker.io/caravel/demo:1", "--target=web", "--container=dbg", "--profile=general", "--",
              "sh", "-c", "tr '\\0' ' ' < /proc/1/cmdline; wget -qO- http://127.0.0.1:8080/")

    def state():
        return {s["name"]: s["state"] for s in c.get("pod", pod, *NS)["status"].get("ephemeralContainerStatuses", [])}.get("dbg", {})
    equal(wait_for("its end", lambda: state().get("terminated"))["exitCode"], 0)
    contains(c.kubectl("logs", *NS, pod, "-c", "dbg"), "httpd -f", f"I am {pod}")


def debug_containers_are_spoken_to(c):
    pod = ready_pods(c)[0]["metadata"]["name"]
    command = (f"{BIN}/kubectl --kubeconfig {c.kubeconfig} debug -it -n hello {pod} --image=docker.io/caravel/demo:1 "
               "--container=sh --profile=general -- sh")
    p = subprocess.Popen(["script", "-qec", command, "/dev/null"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    got = []
    threading.Thread(target=lambda: got.extend(iter(lambda: p.stdout.read(1), "")), daemon=True).start()

    def answers():
        with contextlib.suppress(OSError):
            p.stdin.write("echo $((6 * 7))\n")
        return "\n42" in "".join(got).replace("\r", "")
    wait_for("the shell to answer", answers, 60, 1)
    p.stdin.write("exit\n")
    equal(p.wait(30), 0)
    c.kubectl("debug", *NS, pod, "--image=docker.io/caravel/demo:1", "--container=stays", "--profile=general", "--", "sleep", "1000")

    def runs():
        return any(s["name"] == "stays" and s["state"].get("running")
                   for s in c.get("pod", pod, *NS)["status"].get("ephemeralContainerStatuses", []))
    wait_for("it to run", runs)
    equal(c.kubectl("exec", *NS, pod, "-c", "stays", "--", "echo", "here"), "here\n")


def proxies_reach_pods_and_nodes(c):
    pod, node = ready_pods(c)[0]["metadata"]["name"], c.get("nodes")["items"][0]["metadata"]["name"]
    contains(c.kubectl("get", "--raw", f"/api/v1/namespaces/hello/pods/{pod}:8080/proxy/"), f"I am {pod}")
    contains(c.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/metrics"), "kubelet_running_pods")
    equal(c.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/healthz"), "ok")
    r = c.run("get", "--raw", f"/api/v1/nodes/{node}:1/proxy/", check=False)
    contains(r.errors, "error trying to reach service")


def kubelets_ask_who_comes(c):
    """Straight to the kubelet: a certificate or a token, and what RBAC gives it."""
    node = c.get("nodes")["items"][0]
    address = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]

    def ask(path, headers=None, context=None):
        conn = http.client.HTTPSConnection(address, port, context=context, timeout=30)
        try:
            conn.request("GET", path, headers=headers or {})
            r = conn.getresponse()
            return r.status, r.read().decode()
        finally:
            conn.close()

    def token(name):
        c.kubectl("create", "sa", name, *NS)
        return {"Authorization": "Bearer " + c.kubectl("create", "token", name, *NS).strip()}
    nobody = c.anonymous_context()
    for path in ("/healthz", "/pods", "/metrics", "/nothing"):
        equal(ask(path, context=nobody), (401, "Unauthorized"), path)
    equal(ask("/healthz", context=c.context()), (200, "ok"))
    # A refusal is remembered for half a minute (unit/kubelet/server_auth): who is refused is not who is let in later.
    status, text = ask("/metrics", token("stranger"), nobody)
    equal(status, 403)
    contains(text, "Forbidden (user=system:serviceaccount:hello:stranger, verb=get, resource=nodes, subresource(s)=[metrics])")
    auth = token("meter")
    c.kubectl("create", "clusterrole", "meter", "--verb=get", "--resource=nodes/metrics")
    c.kubectl("create", "clusterrolebinding", "meter", "--clusterrole=meter", "--serviceaccount=hello:meter")
    wait_for("the right", lambda: c.run("auth", "can-i", "get", f"nodes/{node['metadata']['name']}", "--subresource=metrics",
                                        "--as=system:serviceaccount:hello:meter", check=False).text.strip() == "yes")
    equal(ask("/metrics", auth, nobody)[0], 200)
    equal(ask("/pods", auth, nobody)[0], 403)
    c.kubectl("delete", "clusterrole/meter", "clusterrolebinding/meter")


def a_killed_server_adopts(c):
    before = {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["containerID"] for p in ready_pods(c)}
    ip = c.get("svc", "hello", *NS)["spec"]["clusterIP"]
    c.kill()
    for _ in range(20):
        contains(fetch(f"http://{ip}/", 30), "Hello")
    c.start()
    wait_for("the node", lambda: " Ready " in c.kubectl("get", "nodes"), 60)
    time.sleep(3)
    after = {p["metadata"]["name"]: p["status"]["containerStatuses"] for p in pods(c, "-l", "app=hello")}
    equal({k: v[0]["containerID"] for k, v in after.items()}, before, "containers after the restart")
    equal({v[0]["restartCount"] for v in after.values()} <= {0, 1}, True)
    contains(fetch(f"http://{ip}/", 30), "Hello")


def a_server_killed_while_creating_leaks_nothing(c):
    for delay in (0.15, 0.3):
        c.kubectl("scale", *NS, "deploy/hello", "--replicas=8")
        time.sleep(delay)
        c.kill()
        c.start()
        c.kubectl("rollout", "status", *NS, "deploy/hello", "--timeout=90s")
        c.kubectl("scale", *NS, "deploy/hello", "--replicas=3")
        wait_for("the others to go", lambda: len(pods(c, "-l", "app=hello")) == 3, 60)
    c.kill()
    c.start()
    wait_for("the node", lambda: " Ready " in c.kubectl("get", "nodes"), 60)
    wait_for("a shim for each pod, and no more", lambda: shims(c) == len([p for p in pods(c) if p["status"]["phase"] == "Running"]), 20)


def a_server_ended_while_creating_ends_cleanly(c):
    for delay in (0.05, 0.15, 0.25, 0.35, 0.45, 0.6):
        c.kubectl("scale", *NS, "deploy/hello", "--replicas=8")
        time.sleep(delay)
        equal(c.stop(), 0, "exit status")
        c.start()
        c.kubectl("scale", *NS, "deploy/hello", "--replicas=3")
        wait_for("the others to go", lambda: len(pods(c, "-l", "app=hello")) == 3, 60)
    c.kubectl("rollout", "status", *NS, "deploy/hello", "--timeout=90s")


def save_one_platform(path, layer, config):
    """example.invalid/many:1 as `docker save` writes it: an index of platforms and attestations, with one platform's contents."""
    kind = "application/vnd.oci.image."
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def blob(media_type, content, **more):
        content = content if isinstance(content, bytes) else json.dumps(dict(content, schemaVersion=2, mediaType=media_type)).encode()
        digest = hashlib.sha256(content).hexdigest()
        files["blobs/sha256/" + digest] = content
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(content), **more}

    def absent(name, arch):
        return {"mediaType": kind + "manifest.v1+json", "digest": "sha256:" + hashlib.sha256(name).hexdigest(), "size": 500,
                "platform": {"os": "linux", "architecture": arch}}

    this = blob(kind + "manifest.v1+json", {"config": blob(kind + "config.v1+json", config),
                                            "layers": [blob(kind + "layer.v1.tar", layer)]},
                platform={"os": "linux", "architecture": "amd64"})
    index = blob(kind + "index.v1+json", {"manifests": [absent(b"other", "arm64"), this, absent(b"attestation", "unknown")]},
                 annotations={"io.containerd.image.name": "example.invalid/many:1"})
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [index]}).encode()
    with tarfile.open(path, "w") as t:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))


def images_are_imported(c):
    missing = """
apiVersion: v1
kind: Pod
metadata: {name: noimage, namespace: hello}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: c, image: "example.invalid/none:1", imagePullPolicy: IfNotPresent, command: ["sleep", "1000"]}
"""
    c.apply(missing)
    wait_for("ErrImagePull", lambda: re.search("ErrImagePull|ImagePullBackOff", c.kubectl("get", "pod", "noimage", *NS)), 90)
    c.kubectl("delete", "pod", "noimage", *NS)
    with tempfile.TemporaryDirectory() as d:
        # a docker archive made by hand, as any build tool would write it
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as t:
            t.add("/bin/busybox", "bin/busybox")
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/busybox", "sleep", "1000"]}, "rootfs": {
            "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()]}}).encode()
        manifest = json.dumps([{"Config": "config.json", "RepoTags": ["example.invalid/mine:1"], "Layers": ["layer.tar"]}]).encode()
        path = os.path.join(d, "image.tar")
        with tarfile.open(path, "w") as t:
            for name, data in (("config.json", config), ("layer.tar", layer.getvalue()), ("manifest.json", manifest)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
        subprocess.run([CARAVEL, "image", "import", path, "--data-dir", os.path.join(c.dir, "data")], check=True,
                       stdout=subprocess.DEVNULL)
        many = os.path.join(d, "many.tar")
        save_one_platform(many, layer.getvalue(), config)
        subprocess.run([CARAVEL, "image", "import", many, "--data-dir", os.path.join(c.dir, "data")], check=True,
                       stdout=subprocess.DEVNULL)
    for name in ("mine", "many"):
        c.apply(missing.replace("noimage", name).replace("none:1", name + ":1").replace(', command: ["sleep", "1000"]', ""))
        wait_for("it to run", lambda n=name: c.get("pod", n, *NS)["status"]["phase"] == "Running", 60)


def deletion_waits_for_grace(c):
    c.apply("""
apiVersion: v1
kind: Pod
metadata: {name: slow, namespace: hello}
spec:
  terminationGracePeriodSeconds: 30
  containers:
  - name: slow
    image: docker.io/caravel/demo:1
    command: ["sh", "-c", "trap 'echo bye; sleep 1; exit 0' TERM; while true; do sleep 0.1; done"]
""")
    wait_for("it to run", lambda: c.get("pod", "slow", *NS)["status"]["phase"] == "Running")
    p = subprocess.Popen([os.path.join(BIN, "kubectl"), "--kubeconfig", c.kubeconfig, "logs", "-f", *NS, "slow"],
                         stdout=subprocess.PIPE, text=True)
    c.kubectl("delete", "pod", "slow", *NS, "--timeout=25s")
    contains(p.communicate(timeout=20)[0], "bye")


def volumes_follow(c):
    pod = ready_pods(c)[0]["metadata"]["name"]
    # without a watch it would be the sweep, once a minute
    wait_for("the volume to follow", lambda: c.kubectl("exec", *NS, pod, "--", "cat", "/config/color") == "green", 20, 0.1)
    c.apply("""
apiVersion: v1
kind: Pod
metadata: {name: early, namespace: hello}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: v, configMap: {name: later}}]
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", command: ["sleep", "1000"], volumeMounts: [{name: v, mountPath: /v}]}
""")
    wait_for("FailedMount", lambda: "FailedMount" in c.kubectl("describe", "pod", "early", *NS))
    c.kubectl("create", "cm", "later", *NS, "--from-literal=k=v")
    wait_for("it to run", lambda: c.get("pod", "early", *NS)["status"]["phase"] == "Running", 8)
    c.kubectl("delete", "pod", "early", *NS)


def hosts_and_users(c):
    """Pods that are not the usual kind: on the node's network, as another user below a volume."""
    c.apply("""
apiVersion: v1
kind: Pod
metadata: {name: host, namespace: hello}
spec:
  terminationGracePeriodSeconds: 0
  hostNetwork: true
  hostPID: true
  containers:
  - name: c
    image: docker.io/caravel/demo:1
    command: ["sleep", "1000"]
    securityContext: {privileged: true}
    env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: user, namespace: hello}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsUser: 1000, runAsGroup: 1001, fsGroup: 2222}
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: c
    image: docker.io/caravel/demo:1
    command: ["sh", "-c", "touch /v/file && sleep 1000"]
    volumeMounts: [{name: v, mountPath: /v, subPath: a/b}]
""")
    for name in ("host", "user"):
        wait_for("it to run", lambda n=name: c.get("pod", n, *NS)["status"]["phase"] == "Running")
    with open("/proc/sys/kernel/hostname", encoding="utf-8") as f:
        equal(c.kubectl("exec", *NS, "host", "--", "hostname"), f.read())
    equal(c.kubectl("exec", *NS, "host", "--", "sh", "-c", "echo $IP").strip(), c.get("pod", "host", *NS)["status"]["hostIP"])
    contains(c.kubectl("describe", "node", "node-1"), "Starting kubelet.", "Node node-1 status is now: NodeReady")
    contains(c.kubectl("exec", *NS, "user", "--", "sh", "-c", "id; ls -ln /v"), "uid=1000 gid=1001", "1000     2222")
    c.kubectl("delete", "pod", "host", "user", *NS)


def pods_that_do_not_run(c):
    """How a pod ends, or is held up, is said in its status."""
    pod = """
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: hello}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  %s
  containers:
  - {name: c, image: "docker.io/caravel/demo:1", %s}
"""
    side = ('initContainers: [{name: side, image: "docker.io/caravel/demo:1", restartPolicy: Always, '
            'command: ["sh", "-c", "trap \'sleep 1; exit 0\' TERM; while true; do sleep 0.1; done"]}]')
    c.apply(pod % ("nocommand", "", 'command: ["/nosuch"]') +
            pod % ("subpath", "volumes: [{name: v, emptyDir: {}}]",
                   'command: ["sleep", "1000"], volumeMounts: [{name: v, mountPath: /v, subPathExpr: "$(NOPE)/x"}]') +
            pod % ("sysctl", 'securityContext: {sysctls: [{name: kernel.msgmax, value: "1"}]}', 'command: ["true"]') +
            pod % ("sidecar", side, 'command: ["sleep", "0.5"]') +
            pod % ("full", "volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}]",
                   'command: ["sh", "-c", "head -c 3000000 /dev/zero > /v/x; sleep 1000"], volumeMounts: [{name: v, mountPath: /v}]') +
            pod % ("token", "", """command: ["sh", "-c", "grep ' /var/run/secrets' /proc/mounts"]"""))

    def status(name):
        return c.get("pod", name, *NS)["status"]

    def state(name):
        return status(name)["containerStatuses"][0]["state"]
    phases = []

    def sidecar_ended():
        s = status("sidecar")
        phases.append((s["phase"], "running" in s.get("initContainerStatuses", [{"state": {}}])[0]["state"]))
        return s["phase"] == "Succeeded"
    wait_for("the sidecar's pod to end", sidecar_ended, 30)
    equal([p for p in phases if p == ("Succeeded", True)], [], "over while something runs")
    end = wait_for("nocommand to end", lambda: state("nocommand").get("terminated"))
    equal((end["reason"], end["exitCode"], status("nocommand")["phase"]), ("StartError", 128, "Failed"))
    wait_for("the reason", lambda: state("subpath")["waiting"]["reason"] == "CreateContainerConfigError")
    contains(state("subpath")["waiting"]["message"], "missing value for NOPE")
    equal((status("sysctl")["phase"], status("sysctl")["reason"]), ("Failed", "SysctlForbidden"))
    wait_for("token to end", lambda: status("token")["phase"] == "Succeeded")
    contains(c.kubectl("logs", *NS, "token"), "tmpfs /var/run/secrets")
    wait_for("full to be evicted", lambda: status("full").get("reason") == "Evicted", 40)
    contains(status("full")["message"], 'Usage of EmptyDir volume "v" exceeds the limit "1Mi"')
    c.kubectl("delete", "pod", *NS, "nocommand", "subpath", "sysctl", "sidecar", "token", "full")


def jobs_end(c):
    """Real exit codes reach the Job, and nothing of it keeps its pods."""
    job = """
---
apiVersion: batch/v1
kind: Job
metadata: {name: %s, namespace: hello}
spec:
  %s
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers: [{name: c, image: "docker.io/caravel/demo:1", command: ["sh", "-c", "%s"]}]
"""
    cron = """
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick, namespace: hello}
spec:
  schedule: "@every 3s"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: "docker.io/caravel/demo:1", command: ["true"]}]
"""
    c.apply(job % ("good", "completions: 3\n  parallelism: 2\n  completionMode: Indexed",
                   "exit $((JOB_COMPLETION_INDEX - JOB_COMPLETION_INDEX))") +
            job % ("policy", "podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}]}",
                   "exit 42") +
            job % ("kept", "podReplacementPolicy: Failed", "sleep 1000") + cron)
    c.kubectl("wait", *NS, "job/good", "--for=condition=Complete", "--timeout=60s")
    c.kubectl("wait", *NS, "job/policy", "--for=condition=Failed", "--timeout=60s")
    contains(c.kubectl("describe", *NS, "job", "policy"), "failed with exit code 42 matching FailJob rule at index 0")
    equal(c.get("job", "good", *NS)["status"]["completedIndexes"], "0-2")

    def running():
        return [p["metadata"]["name"] for p in pods(c, "-l", "job-name=kept") if p["status"]["phase"] == "Running"]
    first = wait_for("the pod of kept", running, 30)
    c.kubectl("delete", "pod", *NS, *first)
    wait_for("its successor", lambda: running() and running() != first, 60)
    equal(c.get("job", "kept", *NS)["status"].get("failed"), 1)
    wait_for("a job of the cron job", lambda: c.get("cronjob", "tick", *NS)["status"].get("lastSuccessfulTime"), 60)
    c.kubectl("delete", *NS, "cronjob/tick", "job/good", "job/policy", "job/kept")
    wait_for("their pods to go", lambda: not pods(c, "-l", "job-name"), 60)


def resources_change_in_place(c):
    c.apply("""
apiVersion: v1
kind: Pod
metadata: {name: grows, namespace: hello}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: docker.io/caravel/demo:1
    command: ["sleep", "1000"]
    resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 200m, memory: 64Mi}}
""")
    wait_for("it to run", lambda: c.get("pod", "grows", *NS)["status"]["phase"] == "Running")

    def limits():
        return c.kubectl("exec", *NS, "grows", "--", "sh", "-c", "cd /sys/fs/cgroup; cat cpu/cpu.cfs_quota_us "
                         "memory/memory.limit_in_bytes 2>/dev/null || cat cpu.max memory.max").split()
    contains(" ".join(limits()), "20000", str(64 << 20))
    for cpu, memory in (("300m", 128), ("100m", 32)):
        want = {"cpu": cpu, "memory": f"{memory}Mi"}
        c.kubectl("patch", "pod", "grows", *NS, "--subresource=resize", "-p",
                  json.dumps({"spec": {"containers": [{"name": "c", "resources": {"limits": want}}]}}))
        wait_for("the status", lambda w=want: c.get("pod", "grows", *NS)["status"]["containerStatuses"][0]["resources"]["limits"] == w)
        contains(" ".join(limits()), cpu[:-1] + "00", str(memory << 20))
    equal(c.get("pod", "grows", *NS)["status"]["containerStatuses"][0]["restartCount"], 0)
    c.kubectl("delete", "pod", "grows", *NS)


def services_of_other_kinds(c):
    """Addresses written by hand, and types that change."""
    pod = ready_pods(c)[0]
    address = pod["status"]["podIP"]
    c.apply(f"""
apiVersion: v1
kind: Service
metadata: {{name: byhand, namespace: hello}}
spec: {{ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Endpoints
metadata: {{name: byhand, namespace: hello}}
subsets: [{{addresses: [{{ip: {address}}}], ports: [{{port: 8080}}]}}]
""")
    ip = c.get("svc", "byhand", *NS)["spec"]["clusterIP"]
    wait_for("the address", lambda: pod["metadata"]["name"] in fetch(f"http://{ip}/"), 10)
    c.kubectl("patch", "svc", "byhand", *NS, "-p", '{"spec":{"type":"NodePort"}}')
    port = c.get("svc", "byhand", *NS)["spec"]["ports"][0]["nodePort"]
    wait_for("the node port", lambda: pod["metadata"]["name"] in fetch(f"http://127.0.0.1:{port}/"), 10)
    c.kubectl("patch", "svc", "byhand", *NS, "-p", '{"spec":{"type":"ClusterIP"}}')
    assert "nodePort" not in c.get("svc", "byhand", *NS)["spec"]["ports"][0]

    def closed():
        try:
            fetch(f"http://127.0.0.1:{port}/")
        except OSError:
            return True
        return False
    wait_for("the node port to close", closed, 10)
    contains(fetch(f"http://{ip}/", 30), pod["metadata"]["name"])
    c.kubectl("delete", "svc", "byhand", *NS)


def the_namespace_goes(c):
    c.kubectl("delete", "ns", "hello", "--timeout=90s")
    wait_for("no pods", lambda: not c.get("pods", "-A")["items"])
    # the API has them no more before the node is through with them
    kept = os.path.join(c.dir, "data", "containerd", "root", "io.containerd.grpc.v1.cri", "sandboxes")
    wait_for("no sandboxes", lambda: not os.listdir(kept), 60)


def stop_leaves_nothing(c):
    c.apply(hello_yaml())
    c.apply(host_pod("door", free_port()))
    c.kubectl("rollout", "status", *NS, "deploy/hello", "--timeout=60s")
    c.kubectl("wait", "pod/door", *NS, "--for=condition=Ready", "--timeout=60s")
    equal(c.stop(), 0)
    contains(cleanup(c), "ended 4 pods", "removed bridge cvl", "removed nftables table", "removed cgroup /caravel-")
    nothing_is_left(BEFORE)
    contains(cleanup(c), "nothing of a node")


if __name__ == "__main__":
    TESTS = [node_ready, hello_starts, every_replica_answers, config_reaches_containers, logs, logs_over_websocket, exec_attach_cp_forward,
             the_same_over_spdy, rolling_update, a_killed_container_restarts, a_crash_loop_backs_off,
             a_deleted_pod_is_replaced, host_ports, flushed_rules_come_back, an_unready_pod_leaves_its_service, debug_shows_another_container,
             debug_containers_are_spoken_to, proxies_reach_pods_and_nodes, kubelets_ask_who_comes,
             a_killed_server_adopts, a_server_killed_while_creating_leaks_nothing,
             a_server_ended_while_creating_ends_cleanly,
             images_are_imported, deletion_waits_for_grace,
             volumes_follow, hosts_and_users, pods_that_do_not_run, resources_change_in_place, jobs_end, services_of_other_kinds,
             the_namespace_goes, stop_leaves_nothing]
    need_node()
    BEFORE = snapshot()
    with Cluster(agent=True) as cluster:
        sys.exit(main(TESTS, cluster))
