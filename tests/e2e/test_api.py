#!/usr/bin/env python3
"""An API server alone (--disable-agent) against unmodified kubectl and plain HTTPS."""
import base64
import contextlib
import gzip
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time

from lib import BIN, CARAVEL, Cluster, Skip, WebSocket, contains, equal, main, need_tools, own_address, wait_for

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: web, image: "docker.io/caravel/demo:1", ports: [{containerPort: 8080, name: http}]}
"""


def health_and_version(c):
    for path in ("/readyz", "/livez", "/healthz"):
        equal(c.request("GET", path)[:2], (200, "ok"), path)
        contains(c.request("GET", path + "?verbose")[1], "[+]ping ok", "check passed")
    v = c.request("GET", "/version")[1]
    equal((v["major"], v["minor"]), ("1", "37"))
    contains(v["gitVersion"], "v1.37.0+caravel-")
    contains(c.request("GET", "/metrics")[1], "apiserver_request_total", "process_resident_memory_bytes")
    contains(c.kubectl("version"), "Server Version: v1.37.0+caravel")


def a_cluster_begins_with(c):
    names = c.kubectl("get", "ns", "-o", "name").split()
    for ns in ("default", "kube-system", "kube-public", "kube-node-lease"):
        contains(names, "namespace/" + ns)
    wait_for("the default service account", lambda: "default" in c.kubectl("get", "sa", "-n", "default"))
    wait_for("the root CA", lambda: "kube-root-ca.crt" in c.kubectl("get", "cm", "-n", "default"))
    contains(c.kubectl("get", "svc", "kubernetes"), "ClusterIP", "443/TCP")
    contains(c.kubectl("get", "clusterroles"), "cluster-admin", "system:node", "view")
    contains(c.kubectl("get", "priorityclasses"), "system-node-critical")


def discovery(c):
    out = c.kubectl("api-resources")
    contains(out, "deployments", "deploy", "apps/v1", "networkpolicies", "customresourcedefinitions")
    contains(c.kubectl("api-versions"), "apps/v1", "rbac.authorization.k8s.io/v1", "v1")
    contains(c.kubectl("explain", "deployment.spec.strategy"), "KIND:", "Deployment", "rollingUpdate")
    contains(c.kubectl("explain", "pod.spec.containers.livenessProbe"), "httpGet")
    contains(c.kubectl("explain", "pod.spec", "--output=plaintext-openapiv2"), "RESOURCE: spec", "restartPolicy")
    r = c.run("create", "-f", "-", stdin="apiVersion: v1\nkind: Wombat\nmetadata: {name: x}\n", check=False)
    contains(r.errors, 'no matches for kind "Wombat" in version "v1"')
    contains(c.kubectl("cluster-info"), "is running at")


def apply_and_read(c):
    contains(c.apply(DEPLOYMENT), "deployment.apps/web created")
    contains(c.apply(DEPLOYMENT), "unchanged")
    wait_for("three pods", lambda: len(c.get("pods", "-l", "app=web")["items"]) == 3)
    contains(c.kubectl("get", "deploy"), "READY", "UP-TO-DATE", "0/3")
    contains(c.kubectl("get", "deploy", "-o", "wide"), "CONTAINERS", "IMAGES", "app=web")
    contains(c.kubectl("get", "pods", "-o", "wide"), "NODE", "NOMINATED NODE", "Pending")
    equal(c.kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.replicas}"), "3")
    contains(c.kubectl("get", "deploy", "web", "-o", "yaml"), "progressDeadlineSeconds: 600", "maxSurge: 25%")
    contains(c.kubectl("get", "all"), "pod/web-", "service/kubernetes", "deployment.apps/web", "replicaset.apps/web-")
    equal(c.kubectl("get", "pods", "-l", "app in (nothing)"), "")
    contains(c.kubectl("get", "pods", "--field-selector", "status.phase=Pending", "-o", "name"), "pod/web-")
    contains(c.kubectl("describe", "deploy", "web"), "StrategyType:", "RollingUpdate", "ScalingReplicaSet")
    contains(c.kubectl("get", "events"), "SuccessfulCreate")


def why_a_pod_is_pending(c):
    pod = c.get("pods", "-l", "app=web")["items"][0]["metadata"]["name"]
    wait_for("FailedScheduling", lambda: "no nodes available" in c.kubectl("describe", "pod", pod))


def change(c):
    contains(c.kubectl("scale", "deploy/web", "--replicas=5"), "scaled")
    wait_for("five pods", lambda: len(c.get("pods", "-l", "app=web")["items"]) == 5)
    contains(c.kubectl("set", "image", "deploy/web", "web=docker.io/caravel/demo:2"), "image updated")
    wait_for("a second revision", lambda: "2" in c.kubectl("rollout", "history", "deploy/web"))
    contains(c.kubectl("rollout", "undo", "deploy/web"), "rolled back")
    equal(c.kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}"),
          "docker.io/caravel/demo:1")
    contains(c.kubectl("rollout", "restart", "deploy/web"), "restarted")
    contains(c.kubectl("label", "deploy/web", "tier=front"), "labeled")
    contains(c.kubectl("annotate", "deploy/web", "note=x"), "annotated")
    contains(c.kubectl("label", "deploy/web", "tier-"), "unlabeled")
    c.kubectl("scale", "deploy/web", "--replicas=1")


REVISIONED = """
apiVersion: apps/v1
kind: %s
metadata: {name: revs, annotations: {kubernetes.io/change-cause: first}}
spec:
  selector: {matchLabels: {app: revs}}
  template:
    metadata: {labels: {app: revs}}
    spec: {containers: [{name: web, image: "docker.io/caravel/demo:1"}]}
"""


def rollouts(c):
    for kind in ("Deployment", "DaemonSet", "StatefulSet"):
        what = kind.lower() + "/revs"
        image = lambda: c.get(what)["spec"]["template"]["spec"]["containers"][0]["image"]
        history = lambda: c.kubectl("rollout", "history", what)
        c.apply(REVISIONED % kind)
        wait_for(what + ": a revision", lambda: re.search(r"(?m)^1 +first$", history()))
        c.kubectl("patch", what, "-p", json.dumps({
            "metadata": {"annotations": {"kubernetes.io/change-cause": "second"}},
            "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "docker.io/caravel/demo:2"}]}}}}))
        wait_for(what + ": a second revision", lambda: re.search(r"(?m)^1 +first\n2 +second$", history()))
        contains(c.kubectl("rollout", "history", what, "--revision=1"), "demo:1")
        contains(c.kubectl("rollout", "history", what, "--revision=2"), "demo:2")
        r = c.run("rollout", "undo", what, "--to-revision=9", check=False)
        assert r.returncode and "unable to find" in r.errors, r.errors
        contains(c.kubectl("rollout", "undo", what, "--to-revision=2"), "skipped rollback")
        equal(image(), "docker.io/caravel/demo:2")
        contains(c.kubectl("rollout", "undo", what, "--to-revision=1"), "rolled back")
        equal(image(), "docker.io/caravel/demo:1")
        wait_for(what + ": the first is the third", lambda: re.search(r"(?m)^2 +second\n3 +first$", history()))
        contains(c.kubectl("rollout", "undo", what), "rolled back")
        equal(image(), "docker.io/caravel/demo:2")
        c.kubectl("delete", what)


def patch_of_all_types(c):
    c.kubectl("patch", "deploy", "web", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":2}]')
    c.kubectl("patch", "deploy", "web", "--type=merge", "-p", '{"metadata":{"labels":{"m":"1"}}}')
    c.kubectl("patch", "deploy", "web", "-p",
              '{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"b"}]}]}}}}')
    d = c.get("deploy", "web")
    equal(d["spec"]["replicas"], 2)
    equal(d["metadata"]["labels"]["m"], "1")
    equal(d["spec"]["template"]["spec"]["containers"][0]["env"], [{"name": "A", "value": "b"}])
    equal(d["spec"]["template"]["spec"]["containers"][0]["image"], "docker.io/caravel/demo:1")


def server_side_apply(c):
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {a: '1', b: '1'}\n"
    c.apply(text, "--server-side", "--field-manager=one")
    r = c.run("apply", "--server-side", "--field-manager=two", "-f", "-", stdin=text.replace("a: '1'", "a: '2'"), check=False)
    equal(r.returncode, 1)
    contains(r.errors, "conflict with \"one\"", ".data.a")
    c.apply(text.replace("a: '1'", "a: '2'"), "--server-side", "--field-manager=two", "--force-conflicts")
    equal(c.get("cm", "ssa")["data"], {"a": "2", "b": "1"})
    # what only `one` owned and no longer applies is gone
    c.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa}\ndata: {b: '1'}\n", "--server-side", "--field-manager=two",
            "--force-conflicts")
    equal(c.get("cm", "ssa")["data"], {"b": "1"})


def diff_wait_and_edit(c):
    r = c.run("diff", "-f", "-", stdin=DEPLOYMENT.replace("replicas: 3", "replicas: 4"), check=False)
    equal(r.returncode, 1, "diff exit")
    contains(r.text, "+  replicas: 4")
    c.kubectl("create", "cm", "edited", "--from-literal=k=v")
    env = {**os.environ, "KUBECONFIG": c.kubeconfig, "EDITOR": "sed -i s/k:.v/k:\\ w/"}
    subprocess.run([os.path.join(BIN, "kubectl"), "edit", "cm", "edited"], env=env, check=True, stdout=subprocess.DEVNULL)
    equal(c.get("cm", "edited")["data"], {"k": "w"})
    c.kubectl("wait", "--for=jsonpath={.data.k}=w", "cm/edited", "--timeout=5s")


def permissions(c):
    equal(c.kubectl("auth", "can-i", "create", "pods").strip(), "yes")
    equal(c.run("auth", "can-i", "create", "pods", "--as", "jane", check=False).text.strip(), "no")
    c.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    c.kubectl("create", "rolebinding", "jane", "--role=reader", "--user=jane")
    equal(c.kubectl("auth", "can-i", "list", "pods", "--as", "jane").strip(), "yes")
    r = c.run("get", "secrets", "--as", "jane", check=False)
    contains(r.errors, 'secrets is forbidden: User "jane" cannot list resource "secrets" in API group "" in the namespace "default"')
    contains(c.kubectl("auth", "whoami"), "system:admin")
    # nobody can give away what he does not hold
    c.kubectl("create", "role", "maker", "--verb=create,get,list", "--resource=roles.rbac.authorization.k8s.io")
    c.kubectl("create", "rolebinding", "maker", "--role=maker", "--user=jane")
    r = c.run("create", "role", "big", "--verb=delete", "--resource=pods", "--as", "jane", check=False)
    contains(r.errors, "attempting to grant RBAC permissions not currently held")


def tokens(c):
    token = c.kubectl("create", "token", "default").strip()
    equal(token.count("."), 2)
    auth = {"Authorization": "Bearer " + token}
    anonymous = c.anonymous_context()
    status, body, _ = c.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                                {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}, auth, anonymous)
    equal(status, 201)
    equal(body["status"]["userInfo"]["username"], "system:serviceaccount:default:default")
    status, body, _ = c.request("GET", "/api/v1/namespaces/default/pods", None, auth, anonymous)
    equal((status, body["reason"]), (403, "Forbidden"))
    for bad in (token[:-4] + "AAAA", "x.y.z", "nonsense", token.split(".")[0] + "." + token.split(".")[1] + "."):
        status, body, _ = c.request("GET", "/api/v1/pods", None, {"Authorization": "Bearer " + bad}, anonymous)
        equal((status, body["reason"]), (401, "Unauthorized"), bad)
    jwks = c.request("GET", "/openid/v1/jwks")[1]
    jwks = json.loads(jwks) if isinstance(jwks, str) else jwks
    equal(jwks["keys"][0]["alg"], "ES256")


def as_token(c, token, path="/api/v1/namespaces/default/configmaps"):
    return c.request("GET", path, headers={"Authorization": "Bearer " + token}, context=c.anonymous_context())[0]


def token_secrets(c):
    equal(as_token(c, "made.up.token"), 401, "a token nobody made")
    c.kubectl("create", "sa", "robot")
    c.kubectl("create", "rolebinding", "robot", "--clusterrole=view", "--serviceaccount=default:robot")
    c.apply("""
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata: {name: robot-token, annotations: {kubernetes.io/service-account.name: robot}}
""")
    wait_for("the secret's token", lambda: "token" in c.get("secret", "robot-token").get("data", {}))
    s = c.get("secret", "robot-token")
    equal(sorted(s["data"]), ["ca.crt", "namespace", "token"])
    equal(s["metadata"]["annotations"]["kubernetes.io/service-account.uid"], c.get("sa", "robot")["metadata"]["uid"])
    contains(c.kubectl("describe", "secret", "robot-token"), "Type:  kubernetes.io/service-account-token",
             "kubernetes.io/service-account.name: robot", "ca.crt:", "namespace:  7 bytes", "token:", "eyJ")
    token = base64.b64decode(s["data"]["token"]).decode()
    claims = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    equal((claims["iss"], claims["sub"]), ("kubernetes/serviceaccount", "system:serviceaccount:default:robot"))
    equal(claims["kubernetes.io/serviceaccount/secret.name"], "robot-token")
    equal(as_token(c, token), 200)
    equal(as_token(c, token, "/api/v1/namespaces/default/secrets"), 403, "what view may not see")
    ca = os.path.join(c.dir, "secret-ca.crt")
    with open(ca, "wb") as f:
        f.write(base64.b64decode(s["data"]["ca.crt"]))
    contains(c.kubectl("--kubeconfig=/dev/null", f"--server=https://127.0.0.1:{c.port}", "--certificate-authority", ca,
                       "--token", token, "auth", "whoami"), "system:serviceaccount:default:robot")
    c.kubectl("patch", "secret", "robot-token", "--type=json", "-p", '[{"op":"remove","path":"/data/ca.crt"}]')
    wait_for("the CA again", lambda: "ca.crt" in c.get("secret", "robot-token")["data"])
    c.kubectl("delete", "sa", "robot")
    wait_for("the secret to go along", lambda: "not found" in c.run("get", "secret", "robot-token", check=False).errors)
    # who a token was is remembered for ten seconds, as upstream
    wait_for("the token to end", lambda: as_token(c, token) == 401, timeout=30)
    c.kubectl("delete", "rolebinding", "robot")


def anonymous(c):
    ctx = c.anonymous_context()
    equal(c.request("GET", "/readyz", context=ctx)[0], 200)
    status, body, _ = c.request("GET", "/api/v1/secrets", context=ctx)
    equal((status, body["reason"]), (403, "Forbidden"))
    contains(body["message"], 'User "system:anonymous" cannot list resource "secrets"')


def services_get_addresses(c):
    c.kubectl("create", "svc", "clusterip", "one", "--tcp=80:8080")
    svc = c.get("svc", "one")
    assert svc["spec"]["clusterIP"].startswith("10.43."), svc["spec"]
    c.kubectl("create", "svc", "nodeport", "two", "--tcp=80:8080")
    port = c.get("svc", "two")["spec"]["ports"][0]["nodePort"]
    assert 30000 <= port <= 32767, port
    taken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "three"},
             "spec": {"clusterIP": svc["spec"]["clusterIP"], "ports": [{"port": 80}]}}
    status, body, _ = c.request("POST", "/api/v1/namespaces/default/services", taken)
    equal((status, body["reason"]), (422, "Invalid"))
    contains(body["message"], "provided IP is already allocated")
    # what a failed create had reserved is free again
    taken["spec"] = {"type": "NodePort", "clusterIP": svc["spec"]["clusterIP"], "ports": [{"port": 80, "nodePort": 31999}]}
    equal(c.request("POST", "/api/v1/namespaces/default/services", taken)[0], 422)
    del taken["spec"]["clusterIP"]
    equal(c.request("POST", "/api/v1/namespaces/default/services", taken)[0], 201)
    equal(c.get("svc", "three")["spec"]["ports"][0]["nodePort"], 31999)


class Backend(http.server.BaseHTTPRequestHandler):
    """What a pod serves, in the test's own process."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, *headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Upgrade"):
            self.send_response(101)
            self.send_header("Upgrade", self.headers["Upgrade"])
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(self.connection.recv(100).upper())
            self.close_connection = True
        elif self.path == "/page":
            self.answer(200, b'<a href="/next">x</a><a href="rel">y</a>', ("Content-Type", "text/html; charset=utf-8"))
        elif self.path == "/moved":
            self.answer(302, b"", ("Location", "/there?x=1"))
        elif self.path == "/away":
            self.answer(307, b"", ("Location", "http://127.0.0.1:1/secret"))
        elif self.path == "/teapot":
            self.answer(418, b"short", ("X-Kind", "pot"), ("Access-Control-Allow-Origin", "*"))
        elif self.path == "/endless":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"1\r\nx\r\n")
                    time.sleep(0.05)
            self.server.left.set()
        else:
            seen = {k.lower(): v for k, v in self.headers.items()}
            self.answer(200, json.dumps({"method": self.command, "path": self.path, "body": body.decode(), "headers": seen}).encode(),
                        ("Content-Type", "application/json"))

    do_GET = do_HEAD = do_OPTIONS = do_POST = do_PUT = do_PATCH = do_DELETE = any


def proxies(c):
    address = own_address()
    if not address:
        raise Skip("needs an address other than loopback")
    server = http.server.ThreadingHTTPServer((address, 0), Backend)
    server.daemon_threads = True
    server.left = threading.Event()
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    c.apply(f"""
apiVersion: v1
kind: Pod
metadata: {{name: behind, labels: {{app: behind}}}}
spec:
  schedulerName: nobody
  containers: [{{name: c, image: i, ports: [{{name: web, containerPort: {port}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: behind}}
spec: {{selector: {{app: behind}}, ports: [{{name: http, port: 80, targetPort: web}}]}}
""")
    ready = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
                        "conditions": [{"type": "Ready", "status": "True"}]}}
    merge = {"Content-Type": "application/merge-patch+json"}
    pods, services = "/api/v1/namespaces/default/pods/", "/api/v1/namespaces/default/services/"
    equal(c.request("PATCH", pods + "behind/status", ready, merge)[0], 200)

    def through(base):
        status, seen, _ = c.request("GET", base + "/proxy/a/b%2Fc?d=e%20f", headers={"Authorization": "Bearer x", "X-Mine": "1"})
        equal((status, seen["method"], seen["path"]), (200, "GET", "/a/b%2Fc?d=e%20f"))
        equal(seen["headers"]["x-mine"], "1")
        equal(seen["headers"]["x-forwarded-uri"], base + "/proxy/a/b%2Fc")
        assert "authorization" not in seen["headers"], seen
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            status, seen, _ = c.request(method, base + "/proxy/x", "b" * 1000)
            equal((status, seen["method"], seen["path"], len(seen["body"])), (200, method, "/x", 1000))
        for method in ("GET", "HEAD"):
            status, _, headers = c.request(method, base + "/proxy?q=1")
            equal((status, headers["Location"]), (301, base + "/proxy/?q=1"))
        equal([c.request(m, base + p)[0] for m, p in (("HEAD", "/proxy/x"), ("HEAD", "/proxy/teapot"), ("OPTIONS", ""), ("TRACE", "/proxy/x"))],
              [200, 418, 405, 405])
        equal(c.request("GET", base + "/proxy/page")[1], f'<a href="{base}/proxy/next">x</a><a href="rel">y</a>')
        status, _, headers = c.request("GET", base + "/proxy/moved")
        equal((status, headers["Location"]), (302, base + "/proxy/there?x=1"))
        status, _, headers = c.request("GET", base + "/proxy/away")
        equal((status, headers["Location"]), (307, "http://127.0.0.1:1/secret"))  # passed on, not followed
        status, text, headers = c.request("GET", base + "/proxy/teapot")
        equal((status, text, headers["X-Kind"]), (418, "short", "pot"))
        assert "Access-Control-Allow-Origin" not in headers

    wait_for("endpoints", lambda: "no endpoints" not in str(c.request("GET", services + "behind:http/proxy/")[1]) or None)
    for base in (pods + "behind", pods + f"behind:{port}", pods + "http:behind:web", services + "behind:http", services + "behind:80"):
        through(base)
    # nobody listens; no TLS there
    status, body, _ = c.request("GET", pods + "behind:1/proxy/")
    equal((status, body["reason"]), (503, "ServiceUnavailable"))
    contains(body["message"], "error trying to reach service: ")
    equal(c.request("GET", pods + f"https:behind:{port}/proxy/")[0], 503)
    # the API server itself
    status, body, _ = c.request("GET", pods + f"https:behind:{c.port}/proxy/")
    equal((status, body["message"]), (400, "address not allowed"))
    # an answer without end stops when its reader goes
    conn = c.connect()
    conn.request("GET", pods + "behind/proxy/endless")
    equal(conn.getresponse().read(3), b"xxx")
    conn.close()
    assert server.left.wait(30)
    # an upgrade becomes a pipe
    conn = c.connect()
    conn.connect()
    conn.sock.sendall(f"GET {pods}behind/proxy/up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n".encode())
    got = conn.sock.recv(1000)
    contains(got.decode(), "101")
    conn.sock.sendall(b"hello")
    while b"HELLO" not in got:
        more = conn.sock.recv(1000)
        assert more, got
        got += more
    conn.close()
    # the right to it
    equal(c.run("get", "--raw", pods + "behind/proxy/", "--as", "jane", check=False).returncode, 1)
    server.shutdown()
    c.kubectl("delete", "pod/behind", "svc/behind", "--force")


def logs_before_there_are_any(c):
    c.apply("apiVersion: v1\nkind: Pod\nmetadata: {name: waits}\nspec: {schedulerName: nobody, containers: [{name: c, image: i}]}\n")
    equal(c.kubectl("logs", "waits"), "")
    c.kubectl("delete", "pod", "waits", "--force")


def joining_has_its_own_token(c):
    with open(os.path.join(c.dir, "data", "server", "node-token"), encoding="utf-8") as f:
        text = f.read()
    m = re.fullmatch(r"K10([0-9a-f]{64})::([a-z0-9]{6})\.([a-z0-9]{16})\n", text)
    assert m, "node-token"
    equal(os.stat(os.path.join(c.dir, "data", "server", "node-token")).st_mode & 0o777, 0o600)
    c.context()
    equal(m[1], hashlib.sha256(c.ca).hexdigest())
    auth, ctx = {"Authorization": f"Bearer {m[2]}.{m[3]}"}, c.anonymous_context()
    status, body, _ = c.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
                                {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}, auth, ctx)
    equal((status, body["status"]["userInfo"]["username"]), (201, "system:bootstrap:" + m[2]))
    for path in ("/api/v1/nodes", "/api/v1/secrets", "/apis/rbac.authorization.k8s.io/v1/clusterroles"):
        equal(c.request("GET", path, None, auth, ctx)[0], 403, path)
    assert not os.path.exists(os.path.join(c.dir, "data", "pki", "token"))


def events_of_both_groups(c):
    event = {"metadata": {"name": "told"}, "eventTime": "2030-01-01T00:00:00.000000Z", "reportingController": "example.com/x",
             "reportingInstance": "x-1", "action": "Tell", "reason": "Told", "note": "a story", "type": "Normal",
             "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "listener"}}
    equal(c.request("POST", "/apis/events.k8s.io/v1/namespaces/default/events", event)[0], 201)
    contains(c.kubectl("events", "--for", "pod/listener"), "Told", "a story")
    contains(c.kubectl("get", "events.events.k8s.io", "--field-selector", "regarding.name=listener"), "Told", "pod/listener")
    contains(c.kubectl("get", "events", "told", "-o", "yaml"), "message: a story", "reportingComponent: example.com/x")
    c.kubectl("delete", "events.events.k8s.io", "told")
    equal(c.run("get", "events", "told", check=False).returncode, 1)


def every_form_of_output(c):
    c.kubectl("create", "cm", "out", "--from-literal=a=b")
    equal(c.kubectl("get", "cm", "out", "-o", "go-template={{.data.a}}"), "b")
    contains(c.kubectl("get", "cm", "out", "-o", "custom-columns=N:.metadata.name"), "N", "out")
    contains(c.kubectl("get", "cm", "out", "-o", "jsonpath-as-json={.data}"), '"a": "b"')
    contains(c.kubectl("get", "cm", "--sort-by=.metadata.name", "--show-labels"), "LABELS")
    contains(c.kubectl("get", "cm", "--chunk-size=1"), "out", "kube-root-ca.crt")
    contains(c.kubectl("get", "cm", "out", "-o", "yaml", "--show-managed-fields"), "managedFields")
    contains(c.kubectl("wait", "--for=jsonpath={.data.a}=b", "cm/out", "--timeout=5s"), "condition met")
    contains(c.kubectl("wait", "--for=create", "cm/out", "--timeout=5s"), "condition met")
    c.kubectl("delete", "cm", "out")
    c.kubectl("wait", "--for=delete", "cm/out", "--timeout=5s")


def what_create_makes(c):
    for args in (("role", "g", "--verb=get", "--resource=pods"), ("rolebinding", "g", "--role=g", "--user=u"),
                 ("clusterrole", "g", "--verb=get", "--non-resource-url=/x"), ("clusterrolebinding", "g", "--clusterrole=g", "--user=u"),
                 ("quota", "g", "--hard=pods=9"), ("pdb", "g", "--selector=a=b", "--min-available=1"),
                 ("priorityclass", "g", "--value=7"), ("ingress", "g", "--rule=a.example/x*=s:80"),
                 ("cronjob", "g", "--image=i", "--schedule=0 0 1 1 *", "--", "sh"), ("job", "g", "--from=cronjob/g"),
                 ("secret", "docker-registry", "g", "--docker-server=s", "--docker-username=u", "--docker-password=p"),
                 ("service", "externalname", "g", "--external-name=a.example")):
        contains(c.kubectl("create", *args), "created")
    c.apply("apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: g}\nspec: {replicas: 0, selector: {matchLabels: {a: b}}, "
            "template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: i}]}}}\n")
    equal(c.get("sts", "g")["spec"]["updateStrategy"], {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    c.apply("apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: g}\nspec: {accessModes: [ReadWriteOnce], "
            "resources: {requests: {storage: 1Gi}}}\n")
    c.kubectl("delete", "role,rolebinding,quota,pdb,ingress,cj,secret,svc,sts,pvc", "g", "--timeout=20s")
    c.kubectl("delete", "clusterrole,clusterrolebinding,priorityclass", "g")


def endpoints_follow_pods(c):
    c.apply("""
apiVersion: v1
kind: Service
metadata: {name: follow}
spec: {selector: {app: follow}, ports: [{port: 80, targetPort: http}]}
""")
    equal(c.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "elsewhere"}})[0], 201)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "follow", "labels": {"app": "follow"}},
           "spec": {"nodeName": "elsewhere", "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "c", "image": "x", "ports": [{"name": "http", "containerPort": 8080}]}]}}
    equal(c.request("POST", "/api/v1/namespaces/default/pods", pod)[0], 201)
    status = {"status": {"phase": "Running", "podIP": "10.42.0.9", "podIPs": [{"ip": "10.42.0.9"}],
                         "conditions": [{"type": "Ready", "status": "True"}]}}
    equal(c.request("PATCH", "/api/v1/namespaces/default/pods/follow/status", status,
                    {"Content-Type": "application/strategic-merge-patch+json"})[0], 200)

    def endpoint():
        slices = c.get("endpointslices", "-l", "kubernetes.io/service-name=follow")["items"]
        return slices and slices[0].get("endpoints") and slices[0]["endpoints"][0]["conditions"]["ready"] and slices[0]["ports"]
    equal(wait_for("an endpoint", endpoint)[0]["port"], 8080)
    wait_for("Endpoints, too", lambda: "10.42.0.9:8080" in c.kubectl("get", "endpoints", "follow"))
    c.kubectl("delete", "pod", "follow", "--force", "--grace-period=0")
    wait_for("it to go", lambda: not c.get("endpointslices", "-l", "kubernetes.io/service-name=follow")["items"][0].get("endpoints"))
    c.kubectl("delete", "node", "elsewhere")


def delete_modes(c):
    rs = c.get("rs", "-l", "app=web")["items"]
    assert rs
    c.kubectl("delete", "deploy", "web", "--cascade=orphan")
    time.sleep(0.5)
    assert c.get("rs", "-l", "app=web")["items"], "orphans went too"
    for r in c.get("rs", "-l", "app=web")["items"]:
        equal(r["metadata"].get("ownerReferences"), None, "owner of an orphan")
    c.kubectl("delete", "rs", "-l", "app=web", "--cascade=foreground")
    wait_for("pods to go", lambda: not c.get("pods", "-l", "app=web")["items"])
    c.apply(DEPLOYMENT)
    wait_for("pods", lambda: len(c.get("pods", "-l", "app=web")["items"]) == 3)
    c.kubectl("delete", "deploy", "web")
    wait_for("everything to go", lambda: not c.get("rs,pods", "-l", "app=web")["items"])


def namespaces_go_with_their_contents(c):
    c.kubectl("create", "ns", "gone")
    c.kubectl("create", "cm", "x", "-n", "gone", "--from-literal=a=b")
    c.apply(DEPLOYMENT, "-n", "gone")
    wait_for("pods", lambda: len(c.get("pods", "-n", "gone")["items"]) == 3)
    c.kubectl("delete", "ns", "gone", "--timeout=30s")
    contains(c.run("get", "ns", "gone", check=False).errors, 'namespaces "gone" not found')
    status, body, _ = c.request("DELETE", "/api/v1/namespaces/default")
    equal((status, body["reason"]), (403, "Forbidden"))


def claims_hear_of_volumes_made_for_them(c):
    """Many, as a provisioner makes them: whether the binder hears of one in time is a matter of its threads."""
    claims, names = "/api/v1/namespaces/made/persistentvolumeclaims", [f"c{i}" for i in range(100)]
    spec = {"storageClassName": "made", "accessModes": ["ReadWriteOnce"]}
    equal(c.request("POST", "/api/v1/namespaces", {"metadata": {"name": "made"}})[0], 201)
    uids = {}
    for name in names:
        status, claim, _ = c.request("POST", claims, {"metadata": {"name": name},
                                                      "spec": {**spec, "resources": {"requests": {"storage": "1Mi"}}}})
        equal(status, 201, claim)
        uids[name] = claim["metadata"]["uid"]

    def in_phase(phase):
        return sum(i["status"].get("phase") == phase for i in c.request("GET", claims)[1]["items"])
    wait_for("the claims to wait", lambda: in_phase("Pending") == len(names))
    for name in names:
        equal(c.request("POST", "/api/v1/persistentvolumes", {
            "metadata": {"name": "made-" + name},
            "spec": {**spec, "capacity": {"storage": "1Mi"}, "hostPath": {"path": "/made"},
                     "claimRef": {"namespace": "made", "name": name, "uid": uids[name]}}})[0], 201)
    wait_for("all claims to be bound", lambda: in_phase("Bound") == len(names))
    equal(c.request("DELETE", "/api/v1/namespaces/made")[0], 200)
    for name in names:
        c.request("DELETE", "/api/v1/persistentvolumes/made-" + name)


def drain_and_cordon(c):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "paper"}}
    equal(c.request("POST", "/api/v1/nodes", node)[0], 201)
    contains(c.kubectl("cordon", "paper"), "cordoned")
    contains(c.kubectl("get", "nodes"), "SchedulingDisabled")
    contains(c.kubectl("drain", "paper", "--timeout=10s"), "drained")
    contains(c.kubectl("uncordon", "paper"), "uncordoned")
    c.kubectl("taint", "nodes", "paper", "a=b:NoSchedule")
    c.kubectl("delete", "node", "paper")


def drain_respects_budgets(c):
    c.apply("""
apiVersion: v1
kind: Node
metadata: {name: full}
---
apiVersion: v1
kind: Pod
metadata: {name: precious, labels: {app: precious}}
spec: {nodeName: full, terminationGracePeriodSeconds: 0, containers: [{name: c, image: i}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: precious}
spec: {minAvailable: 1, selector: {matchLabels: {app: precious}}}
""")
    c.kubectl("patch", "pod", "precious", "--subresource=status", "--type=merge", "-p",
              '{"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}')
    c.kubectl("wait", "pdb/precious", "--for=jsonpath={.status.currentHealthy}=1", "--timeout=20s")
    contains(c.kubectl("get", "pdb", "precious"), "precious", "1", "N/A", "0")
    r = c.run("drain", "full", "--force", "--timeout=4s", check=False)
    equal(r.returncode, 1)
    contains(r.errors, "Cannot evict pod as it would violate the pod's disruption budget.")
    contains(c.kubectl("get", "pod", "precious"), "precious")
    c.kubectl("patch", "pdb", "precious", "--type=merge", "-p", '{"spec":{"minAvailable":0}}')
    c.kubectl("wait", "pdb/precious", "--for=jsonpath={.status.disruptionsAllowed}=1", "--timeout=20s")
    c.run("drain", "full", "--force", "--timeout=2s", check=False)  # nobody is there to end the pod
    left = c.get("pods", "-l", "app=precious")["items"]
    equal([p for p in left if not p["metadata"].get("deletionTimestamp")], [])
    c.kubectl("delete", "pdb,pod", "precious", "--force", "--grace-period=0", "--ignore-not-found")
    c.kubectl("delete", "node", "full")


def top_says_what_is_missing(c):
    r = c.run("top", "nodes", check=False)
    equal(r.returncode, 1)
    contains(r.errors, "metrics not available yet")  # no node is there that could say


def watch_sees_changes(c):
    p = subprocess.Popen([os.path.join(BIN, "kubectl"), "--kubeconfig", c.kubeconfig, "get", "cm", "-w", "-o", "name"],
                         stdout=subprocess.PIPE, text=True)
    seen = []
    threading.Thread(target=lambda: seen.extend(iter(p.stdout.readline, "")), daemon=True).start()
    wait_for("the list", lambda: any("kube-root-ca" in s for s in seen))
    c.kubectl("create", "cm", "watched", "--from-literal=a=b")
    wait_for("the event", lambda: any("watched" in s for s in seen))
    p.terminate()
    p.wait()


def watch_over_websocket(c):
    path = "/api/v1/namespaces/default/configmaps?watch=true&fieldSelector=metadata.name%3Dsocketed&timeoutSeconds="
    for protocols in ((), ("binary.k8s.io",), ("base64.binary.k8s.io",), ("other", "binary.k8s.io")):
        ws = WebSocket(c, path + "60", *protocols)
        equal(ws.status, 101)
        c.kubectl("create", "cm", "socketed", "--from-literal=a=" + "x" * 70000)
        c.kubectl("delete", "cm", "socketed")
        for kind in ("ADDED", "DELETED"):
            op, text = ws.message()
            equal(op, 1)
            event = json.loads(base64.b64decode(text) if "base64.binary.k8s.io" in protocols else text)
            equal((event["type"], event["object"]["metadata"]["name"], len(event["object"]["data"]["a"])), (kind, "socketed", 70000))
        ws.close()
    ws = WebSocket(c, path + "1")
    equal(ws.message()[0], 8)  # its time is over
    ws.close()
    # what cannot be is told before anything is upgraded
    equal(WebSocket(c, "/api/v1/namespaces/default/configmaps?watch=true", "other").status, 400)
    equal(WebSocket(c, "/api/v1/namespaces/default/configmaps?watch=true&resourceVersion=x").status, 400)
    equal(WebSocket(c, "/api/v1/namespaces/default/configmaps").status, 200)
    equal(WebSocket(c, "/api/v1/namespaces/default/nothing?watch=true").status, 404)


def pages(c):
    for i in range(7):
        c.kubectl("create", "cm", f"page-{i}", "--from-literal=a=b")
    names, cont = [], ""
    while True:
        status, body, _ = c.request("GET", f"/api/v1/namespaces/default/configmaps?limit=3&continue={cont}")
        equal(status, 200)
        names += [i["metadata"]["name"] for i in body["items"]]
        cont = body["metadata"].get("continue", "")
        if not cont:
            break
        assert body["metadata"]["remainingItemCount"] > 0
    equal(len(set(names)), len(names))
    assert {f"page-{i}" for i in range(7)} <= set(names)


def long_lists_in_every_form(c):
    """Longer than what is answered at once: made while they are sent, plain or compressed, over HTTP/1 and HTTP/2."""
    path = "/api/v1/namespaces/long/configmaps"
    equal(c.request("POST", "/api/v1/namespaces", {"metadata": {"name": "long"}})[0], 201)
    for i in range(60):
        body = {"metadata": {"name": f"m{i:03}", "annotations": {"a": f"{i} " * 1000}}, "data": {"k": "v"}}
        equal(c.request("POST", path, body)[0], 201)
    for form, list_of, name in (("", "items", lambda o: o["metadata"]["name"]),
                                (";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "items", lambda o: o["metadata"]["name"]),
                                (";as=Table;v=v1;g=meta.k8s.io", "rows", lambda r: r["cells"][0])):
        accept = "application/json" + form
        status, whole, headers = c.request("GET", path, headers={"Accept": accept})
        equal((status, headers.get("Content-Encoding")), (200, None), accept)
        equal([name(o) for o in whole[list_of] if name(o) != "kube-root-ca.crt"], [f"m{i:03}" for i in range(60)])
        for version in ("--http1.1", "--http2"):
            r = subprocess.run(["curl", "-sk", version, "-H", "Accept: " + accept, "-H", "Accept-Encoding: gzip",
                                "--cert", os.path.join(c.dir, "admin.pem"), f"https://127.0.0.1:{c.port}{path}"],
                               stdout=subprocess.PIPE, check=True, timeout=60)
            packed = json.loads(gzip.decompress(r.stdout))
            # Without the cells: ages go on.
            same = [o.get("object", o) for o in packed[list_of]] == [o.get("object", o) for o in whole[list_of]]
            assert same, f"{accept} {version}: not the same, compressed"
    status, _, headers = c.request("GET", path)
    assert int(headers["Content-Length"]) > 128 * 1024
    equal(c.request("DELETE", "/api/v1/namespaces/long")[0], 200)


def a_second_server_refuses(c):
    r = subprocess.run([CARAVEL, "server", "--data-dir", os.path.join(c.dir, "data"), "--disable-agent", "--https-listen-port",
                        "0", "--write-kubeconfig", os.path.join(c.dir, "other.yaml")], check=False, stderr=subprocess.PIPE,
                       text=True, timeout=20)
    assert r.returncode
    contains(r.stderr, "in use by process", str(c.proc.pid))


def any_free_port(_):
    other = Cluster(port=0).start(wait=False)
    try:
        wait_for("its kubeconfig", lambda: os.path.exists(other.kubeconfig))
        with open(other.kubeconfig, encoding="utf-8") as f:
            other.port = int(re.search(r"server: https://127.0.0.1:(\d+)", f.read()).group(1))
        other.wait_ready()
    finally:
        other.cleanup()


def a_taken_port_is_named(c):
    r = subprocess.run([CARAVEL, "server", "--data-dir", os.path.join(c.dir, "data2"), "--disable-agent", "--bind-address",
                        "127.0.0.1", "--https-listen-port", str(c.port), "--write-kubeconfig",
                        os.path.join(c.dir, "other.yaml")], check=False, stderr=subprocess.PIPE, text=True, timeout=20)
    assert r.returncode
    contains(r.stderr, str(c.port), "in use")


def unknown_flags_are_named(c):
    r = subprocess.run([CARAVEL, "server", "--nonsense"], check=False, stderr=subprocess.PIPE, text=True, timeout=20)
    equal(r.returncode, 1)
    contains(r.stderr, "--nonsense")


def stops_cleanly_and_remembers(c):
    equal(c.stop(), 0, "exit status")
    before = re.findall(r'"(\w+)"', c.tail(3))
    assert before
    c.start()
    equal(c.get("cm", "edited")["data"], {"k": "w"})


if __name__ == "__main__":
    need_tools()
    with Cluster() as cluster:
        sys.exit(main([
            health_and_version, a_cluster_begins_with, discovery, apply_and_read, why_a_pod_is_pending, change, rollouts,
            patch_of_all_types, server_side_apply, diff_wait_and_edit, permissions, tokens, token_secrets, anonymous,
            services_get_addresses, proxies, logs_before_there_are_any,
            joining_has_its_own_token, events_of_both_groups, every_form_of_output, what_create_makes,
            endpoints_follow_pods, delete_modes, namespaces_go_with_their_contents, claims_hear_of_volumes_made_for_them,
            drain_and_cordon, drain_respects_budgets, top_says_what_is_missing, watch_sees_changes, watch_over_websocket, pages,
            long_lists_in_every_form, a_second_server_refuses, any_free_port, a_taken_port_is_named,
            unknown_flags_are_named, stops_cleanly_and_remembers,
        ], cluster))
