#!/usr/bin/env python3
"""Group versions that another server answers: passed on as upstream passes them on, shown in discovery, and none of what a
dead, lying, endless or greedy server does reaches anybody else."""
import base64
import http.client
import http.server
import json
import os
import socket
import ssl
import subprocess
import sys
import threading

from lib import Cluster, WebSocket, contains, equal, main, meanwhile, own_address, wait_for

SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
GROUP = "metrics.example.io"
BASE = f"/apis/{GROUP}/v1beta1"
LIST = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/v1beta1", "resources": [
    {"name": "nodes", "singularName": "node", "namespaced": False, "kind": "NodeMetrics", "verbs": ["get", "list"], "shortNames": ["nm"]},
    {"name": "nodes/log", "singularName": "", "namespaced": False, "kind": "Log", "verbs": ["get"]}]}

HUGE = 100 << 20


class Far:
    """An aggregated server: it believes what a client with a certificate by `client_ca` says of the user."""

    def __init__(self, folder, address, client_ca):
        self.kept, self.finalizers = {}, []  # (namespace, name) of its things; what one more of each has
        self.connections = 0
        self.owned, self.asked_of_owned = {}, []  # name -> metadata of its toys, in namespace default; writes to them
        self.seen, self.down, self.redirects, self.endless, self.discovery = [], False, False, threading.Event(), LIST
        self.deaf, self.cut, self.wrong = threading.Event(), threading.Event(), False
        self.silent, self.hangs, self.sent, self.v2 = threading.Event(), None, 0, None
        cnf, pem = os.path.join(folder, "far.cnf"), os.path.join(folder, "far.pem")
        with open(cnf, "w", encoding="utf-8") as f:
            f.write("[req]\ndistinguished_name=dn\nx509_extensions=v3\nprompt=no\n[dn]\nCN=far\n[v3]\n"
                    "subjectAltName=DNS:far.default.svc\nbasicConstraints=critical,CA:true\n")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-keyout", pem + ".key", "-out", pem, "-config", cnf], check=True, capture_output=True)
        with open(pem, "rb") as f:
            self.ca = base64.b64encode(f.read()).decode()
        far = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def send(self, code, body, **headers):
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(code)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self):
                path = self.path.split("?")[0]
                if self.headers["X-Remote-User"] != "system:kube-aggregator":
                    far.seen.append((self.path, self.headers, self.connection.getpeercert()))
                if far.hangs and (path == BASE or path.startswith("/openapi/")):
                    far.hangs.wait(60)
                    self.close_connection = True
                elif far.down:
                    self.send(500, {"far": "down"})
                elif far.redirects:
                    self.send(302, b"", Location="https://203.0.113.9/")
                elif path == BASE:
                    self.send(200, far.discovery)
                elif path == "/openapi/v3":
                    self.send(200, {"paths": {f"apis/{GROUP}/v1beta1": {"serverRelativeURL": f"/openapi/v3/apis/{GROUP}/v1beta1?hash=AB12"}}})
                elif path == "/openapi/v2" and far.v2:
                    self.send(200, far.v2)
                elif path == f"/openapi/v3/apis/{GROUP}/v1beta1":
                    self.send(200, {"openapi": "3.0.0"}, ETag='"AB12"', Cache_Control="public, immutable")
                elif path == f"{BASE}/toys":
                    self.send(200, {"kind": "ToyList", "apiVersion": f"{GROUP}/v1beta1", "items": [{"metadata": m} for m in far.owned.values()]})
                elif path.startswith(f"{BASE}/namespaces/default/toys/"):
                    meta = far.owned.get(path.split("/")[-1])
                    self.send(200 if meta else 404, {"kind": "Toy", "metadata": meta} if meta else {"kind": "Status", "code": 404})
                elif path.endswith("/things"):
                    ns = path.split("/")[5]
                    self.send(200, {"kind": "ThingList", "apiVersion": f"{GROUP}/v1beta1", "items": [
                        {"metadata": {"name": n, "finalizers": far.finalizers}} for s, n in far.kept if s == ns]})
                elif path.endswith("/forever"):
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    try:
                        while not far.endless.wait(0.01):
                            self.wfile.write(b"3\r\nabc\r\n")
                            self.wfile.flush()
                    except OSError:
                        far.endless.set()
                elif path.endswith("/silent"):
                    far.silent.wait(60)
                    self.close_connection = True
                elif path.endswith("/headers"):
                    self.send(200, {}, **{f"X-Long-{i}": "x" * 32768 for i in range(32)})
                elif path.endswith("/header"):
                    self.send(200, {}, X_Long="x" * (1 << 20))
                elif path.endswith("/cut-head"):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Le")
                    self.close_connection = True
                elif path.endswith("/cut-length"):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"a\":1}")
                    self.close_connection = True
                elif path.endswith("/cut-chunk"):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n")
                    self.close_connection = True
                elif path.endswith("/no-http"):
                    self.wfile.write(b"\x16\x03\x01 what is this\r\n\r\n")
                    self.close_connection = True
                elif path.endswith("/huge"):
                    self.send_response(200)
                    self.send_header("Content-Length", str(HUGE))
                    self.end_headers()
                    far.sent = 0
                    while far.sent < HUGE:
                        self.wfile.write(b"x" * 65536)
                        far.sent += 65536
                elif path.endswith("/big"):
                    self.send(200, b"x" * (8 << 20))
                elif path.endswith("/missing"):
                    self.send(404, {"kind": "Status", "code": 404})
                elif self.headers.get("Upgrade") == "websocket":
                    self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                     b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05hello")
                    self.wfile.flush()
                    self.connection.recv(1)
                    self.close_connection = True
                else:
                    self.send(200, {"far": path}, Impersonate_User="admin", X_Remote_User="admin", Connection="X-Hop", X_Hop="1",
                              Access_Control_Allow_Origin="*")

            def do_DELETE(self):
                path = self.path.split("?")[0].split("/")
                far.seen.append((self.path, self.headers, self.connection.getpeercert()))
                if path[-2] == "toys":
                    options = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                    far.asked_of_owned.append((self.headers["X-Remote-User"], options))
                    gone = options["preconditions"]["uid"] == far.owned.get(path[-1], {}).get("uid") and far.owned.pop(path[-1])
                    self.send(200 if gone else 409, {"kind": "Status", "status": "Success" if gone else "Failure"})
                    return
                if not far.finalizers:
                    far.kept = {k: v for k, v in far.kept.items() if k[0] != path[5] or len(path) > 7 and k[1] != path[7]}
                self.send(200, {"kind": "Status", "status": "Success"})

            def pieces(self):
                left = int(self.headers.get("Content-Length", -1))
                while left:
                    size = min(left, 65536) if left > 0 else int(self.rfile.readline(), 16)
                    piece = self.rfile.read(size)
                    if left < 0:
                        self.rfile.readline()
                    if not piece and (left > 0 or size):
                        far.cut.set()
                        return
                    if not piece:
                        return
                    left -= len(piece) if left > 0 else 0
                    yield piece

            def do_PUT(self):
                far.seen.append((self.path, self.headers, self.connection.getpeercert()))
                if self.path.split("?")[0].endswith("/refuse"):
                    self.send(403, {"far": "no"}, Connection="close")
                    self.close_connection = True
                elif self.path.split("?")[0].endswith("/deaf"):
                    far.deaf.wait(60)
                    self.close_connection = True
                else:
                    size, right = 0, b"0123456789abcdef" * 8192
                    try:
                        for piece in self.pieces():
                            far.wrong = far.wrong or piece != right[size % 16:size % 16 + len(piece)]
                            size += len(piece)
                    except OSError:  # an end without TLS's own word for it
                        far.cut.set()
                    if not far.cut.is_set():
                        self.send(201, {"bytes": size, "wrong": far.wrong})

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                far.seen.append((self.path, self.headers, self.connection.getpeercert()))
                self.send(201, {"bytes": len(body)})

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                s, peer = super().get_request()
                far.connections += 1
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return tls.wrap_socket(s, server_side=True, do_handshake_on_connect=False), peer

            def handle_error(self, *_):
                pass

        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem, pem + ".key")
        tls.load_verify_locations(cadata=client_ca)
        tls.verify_mode = ssl.CERT_REQUIRED
        self.server = Server((address, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def service(c, name, address, port, ready=True):
    meta = {"name": name, "namespace": "default"}
    equal(c.request("POST", "/api/v1/namespaces/default/services", {"metadata": meta, "spec": {
        "ports": [{"name": "https", "port": 443, "targetPort": port}]}})[0], 201)
    if not address:
        return
    code, answer, _ = c.request("POST", "/api/v1/namespaces/default/endpoints", {"metadata": meta, "subsets": [
        {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port}]}]})
    equal(code, 201, str(answer))
    code, answer, _ = c.request("POST", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {
        "metadata": {**meta, "labels": {"kubernetes.io/service-name": name}}, "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}}], "ports": [{"name": "https", "port": port}]})
    equal(code, 201, str(answer))


def register(c, group, version, **spec):
    if "service" in spec:
        spec["service"] = {"namespace": "default", "name": spec["service"]}
    code, answer, _ = c.request("POST", SERVICES, {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {
        "name": f"{version}.{group}"}, "spec": {"group": group, "version": version, "groupPriorityMinimum": 100, "versionPriority": 100, **spec}})
    equal(code, 201, str(answer))


def available(c, name):
    code, found, _ = c.request("GET", f"{SERVICES}/{name}")
    found = found.get("status", {}).get("conditions") if code == 200 else None
    return (found[0]["status"], found[0]["reason"], found[0]["message"]) if found else None


def wait_available(c, name, *wanted):
    wait_for(f"{name} {wanted}", lambda: (available(c, name) or ())[:len(wanted)] == wanted)


# --- refused ---


def what_leads_to_this_server_is_not_dialled(c, _):
    service(c, "self", c.host if not c.host.startswith("127.") else own_address(), c.port)
    register(c, "self.example.io", "v1", service="self", insecureSkipTLSVerify=True)
    wait_available(c, "v1.self.example.io", "False", "FailedDiscoveryCheck")
    contains(available(c, "v1.self.example.io")[2], "failing or missing response from https://self.default.svc:443/apis/self.example.io/v1: ",
             "address not allowed")
    equal(c.request("GET", "/apis/self.example.io/v1/things")[:2], (503, "service unavailable\n"))


def a_built_in_group_version_stays_ours(c, far):
    equal(c.request("DELETE", SERVICES + "/v1.apps")[0], 200)
    register(c, "apps", "v1", service="far", caBundle=far.ca)
    wait_available(c, "v1.apps", "False", "BuiltIn")
    equal(c.request("GET", "/apis/apps/v1/deployments")[1]["kind"], "DeploymentList")
    equal(c.request("DELETE", SERVICES + "/v1.apps")[0], 200)


def a_certificate_of_another_is_none(c, far):
    register(c, "wrong.example.io", "v1", service="far", caBundle=base64.b64encode(
        c.request("GET", "/cacerts")[1].encode()).decode())
    wait_available(c, "v1.wrong.example.io", "False", "FailedDiscoveryCheck")
    contains(available(c, "v1.wrong.example.io")[2], "x509: certificate signed by unknown authority")


def a_redirect_is_not_passed_on(c, far):
    far.redirects = True
    code, text, headers = c.request("GET", BASE + "/nodes")
    far.redirects = False
    equal((code, text, headers.get("Location")), (502, "the backend attempted to redirect this request, which is not permitted", None))
    far.redirects = True
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    code, text, headers = c.request("GET", BASE + "/nodes", headers=upgrade)
    far.redirects = False
    equal((code, text.strip(), headers.get("Location")), (503, "invalid upgrade response: status code 302", None))


def one_that_is_silent_has_its_time(c, far):
    code, answer, _ = c.request("GET", BASE + "/silent?timeout=1s")
    far.silent.set()
    equal((code, answer["reason"], answer["message"]),
          (504, "Timeout", "Timeout: request did not complete within the allotted timeout"))


def who_has_no_right_is_not_passed_on(c, far):
    far.seen.clear()
    code, answer, _ = c.request("GET", BASE + "/nodes", context=c.anonymous_context())
    equal((code in (401, 403), answer["kind"], far.seen), (True, "Status", []))


# --- FAULTS, row D12: a server that does its worst ---


def again(c, far):
    """The object changes, so that its server is asked now."""
    priority = c.request("GET", f"{SERVICES}/v1beta1.{GROUP}")[1]["spec"]["versionPriority"]
    equal(c.request("PATCH", f"{SERVICES}/v1beta1.{GROUP}", {"spec": {"versionPriority": priority - 1}},
                    {"Content-Type": "application/merge-patch+json"})[0], 200)


def one_that_hangs_when_it_is_looked_at(c, far):
    far.hangs = threading.Event()
    again(c, far)
    wait_available(c, f"v1beta1.{GROUP}", "False", "FailedDiscoveryCheck")
    contains(available(c, f"v1beta1.{GROUP}")[2], f"timed out waiting for https://far.default.svc:443{BASE}")
    equal(c.request("GET", BASE + "/nodes")[:2], (503, "service unavailable\n"))
    equal((c.request("GET", "/apis")[0], c.request("GET", "/openapi/v2")[0], c.request("GET", "/openapi/v3")[0]), (200, 200, 200))
    far.hangs.set()
    far.hangs = None
    wait_available(c, f"v1beta1.{GROUP}", "True", "Passed")


def heads_without_end_are_refused(c, far):
    for path in ("/header", "/headers"):
        code, text, _ = c.request("GET", BASE + path)
        equal((code, text.startswith("error trying to reach service: ")), (503, True), text)
    equal(c.request("GET", BASE + "/nodes")[0], 200)


def what_is_cut_does_not_look_whole(c, far):
    for path in ("/cut-head", "/no-http"):
        code, text, _ = c.request("GET", BASE + path)
        equal((code, text.startswith("error trying to reach service: ")), (503, True), text)
    for path in ("/cut-length", "/cut-chunk"):
        conn = c.connect()
        conn.request("GET", BASE + path)
        answer = conn.getresponse()
        equal(answer.status, 200)
        try:
            text = answer.read()
        except (http.client.IncompleteRead, ConnectionError, ssl.SSLError):
            text = None
        conn.close()
        equal(text, None, path)
    equal(c.request("GET", BASE + "/nodes")[0], 200)


def memory(c):
    with open(f"/proc/{c.server_pid}/status", encoding="ascii") as f:
        return int(f.read().split("VmRSS:")[1].split()[0]) >> 10


def a_client_that_takes_its_time_costs_a_window(c, far):
    before = memory(c)
    conn = c.connect()
    conn.request("GET", BASE + "/huge")
    answer = conn.getresponse()
    equal(len(answer.read(1)), 1)
    last = [None]

    def stands():
        was, last[0] = last[0], far.sent
        return was == last[0] and far.sent > 0
    wait_for("the other side to wait", stands)
    equal((far.sent < HUGE // 2, memory(c) - before < 24), (True, True), f"{far.sent} sent, {memory(c) - before} MiB more")
    equal(1 + len(answer.read()), HUGE)
    conn.close()


def documents_of_ten_megabytes_are_not_taken(c, far):
    far.discovery = {**LIST, "resources": [{**LIST["resources"][0], "shortNames": ["x" * (10 << 20)]}]}
    again(c, far)
    wait_available(c, f"v1beta1.{GROUP}", "False", "FailedDiscoveryCheck")
    contains(available(c, f"v1beta1.{GROUP}")[2], "the answer is longer than")
    far.discovery, far.v2 = LIST, {"swagger": "2.0", "paths": {BASE + "/nodes": {"get": {"description": "x" * (10 << 20)}}}}
    wait_available(c, f"v1beta1.{GROUP}", "True", "Passed")
    equal(c.request("GET", "/openapi/v2")[0], 200)


def its_words_are_in_our_document(c, far):
    far.v2 = {"swagger": "2.0", "paths": {BASE + "/nodes": {"get": {"description": "far words", "responses": {"200": {"schema": {
        "$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}}}}}, "/api/v1/nodes": {"get": {"description": "evil"}}},
        "definitions": {"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"description": "theirs"}}}
    equal(c.request("DELETE", f"{SERVICES}/v1beta1.{GROUP}")[0], 200)
    register(c, GROUP, "v1beta1", service="far", caBundle=far.ca)
    wait_available(c, f"v1beta1.{GROUP}", "True", "Passed")
    doc = wait_for("its paths", lambda: [d for d in [c.request("GET", "/openapi/v2")[1]] if BASE + "/nodes" in d["paths"]])[0]
    meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
    equal(doc["definitions"][meta + "_v2"], {"description": "theirs"})
    equal((doc["definitions"][meta]["description"] != "theirs", "evil" in json.dumps(doc["paths"]["/api/v1/nodes"])), (True, False))
    proto = c.request("GET", "/openapi/v2", headers={"Accept": "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"})
    equal((proto[0], "far words" in proto[1], meta + "_v2" in proto[1]), (200, True, True))
    contains(c.kubectl("explain", "pods", "--output=plaintext-openapiv2"), "Pod")  # who reads protobuf reads this


def who_speaks_no_tls_or_is_another(c, far):
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

    plain = http.server.ThreadingHTTPServer((own_address(), 0), Quiet)
    threading.Thread(target=plain.serve_forever, daemon=True).start()
    try:
        service(c, "plain", own_address(), plain.server_address[1])
        register(c, "plain.example.io", "v1", service="plain", insecureSkipTLSVerify=True)
        service(c, "named", own_address(), far.port)
        register(c, "named.example.io", "v1", service="named", caBundle=far.ca)
        wait_available(c, "v1.plain.example.io", "False", "FailedDiscoveryCheck")
        wait_available(c, "v1.named.example.io", "False", "FailedDiscoveryCheck")
        contains(available(c, "v1.named.example.io")[2], "certificate is not valid for named.default.svc")
        for group in ("plain", "named"):
            equal(c.request("GET", f"/apis/{group}.example.io/v1/things")[:2], (503, "service unavailable\n"))
            equal(c.request("DELETE", f"{SERVICES}/v1.{group}.example.io")[0], 200)
    finally:
        plain.shutdown()


ALL_OF_DEFAULT = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: all, namespace: default}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: all, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: all}
subjects: [{kind: ServiceAccount, name: tenant, namespace: default}]
"""


def no_step_up_is_passed_on(c, far):
    """Who may all in one namespace could else reach others by a server that takes steps up for what they say."""
    c.apply(ALL_OF_DEFAULT)
    c.kubectl("create", "serviceaccount", "tenant")
    head = {"Authorization": "Bearer " + c.kubectl("create", "token", "tenant").strip()}
    far.seen.clear()
    for climb in ("..", "%2e%2e", ".%2E", "..;a=b", "..;", "things/../..", "things%2f..%2f..", "."):
        for path in (f"{BASE}/namespaces/default/{climb}/kube-system/pods", f"{BASE}/namespaces/default/{climb}"):
            code, _, _ = c.request("GET", path, None, head, c.anonymous_context())
            equal((code, far.seen), (404, []), path)
    equal(c.request("GET", f"{BASE}/namespaces/kube-system/pods", None, head, c.anonymous_context())[0], 403)
    equal(c.request("GET", f"{BASE}/namespaces/default/..pods", None, head, c.anonymous_context())[0], 200)
    equal([path for path, _, _ in far.seen], [f"{BASE}/namespaces/default/..pods"])


# --- conditions ---


def what_is_missing_is_named(c, _):
    register(c, "none.example.io", "v1", service="none")
    wait_available(c, "v1.none.example.io", "False", "ServiceNotFound", 'service/none in "default" is not present')
    service(c, "none", None, 443)
    wait_available(c, "v1.none.example.io", "False", "EndpointsNotFound", 'cannot find endpointslices for service/none in "default"')
    equal(c.request("GET", "/apis/none.example.io/v1/things")[:2], (503, "service unavailable\n"))
    equal(c.request("DELETE", SERVICES + "/v1.none.example.io")[0], 200)
    equal(c.request("GET", "/apis/none.example.io/v1/things")[0], 404)


def own_ones_are_there_from_the_start(c, _):
    equal(available(c, "v1."), ("True", "Local", "Local APIServices are always available"))
    equal(available(c, "v1.rbac.authorization.k8s.io")[1], "Local")


def a_definition_has_one_while_it_is_served(c, _):
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "toys.crd.example.io"}, "spec": {
        "group": "crd.example.io", "scope": "Namespaced", "names": {"plural": "toys", "kind": "Toy"}, "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    equal(c.request("POST", path, crd)[0], 201)
    wait_available(c, "v1.crd.example.io", "True", "Local")
    found = c.request("GET", SERVICES + "/v1.crd.example.io")[1]
    equal(found["metadata"]["labels"], {"kube-aggregator.kubernetes.io/automanaged": "true"})
    equal((found["spec"]["groupPriorityMinimum"], found["spec"]["versionPriority"]), (1000, 100))
    equal(c.request("DELETE", SERVICES + "/v1.crd.example.io")[0], 200)
    wait_available(c, "v1.crd.example.io", "True", "Local")
    equal(c.request("DELETE", path + "/toys.crd.example.io")[0], 200)
    wait_for("its APIService to go", lambda: c.request("GET", SERVICES + "/v1.crd.example.io")[0] == 404)


# --- passed on ---


def a_request_says_whose_it_is(c, far):
    wait_available(c, f"v1beta1.{GROUP}", "True", "Passed", "all checks passed")
    far.seen.clear()
    code, answer, headers = c.request("GET", BASE + "/nodes?labelSelector=a%3Db", headers={
        "X-Remote-User": "evil", "X-Remote-Group": "system:evil", "X-Remote-Extra-x": "y", "Authorization": "Bearer mine"})
    if code == 401:  # a token that is none
        code, answer, headers = c.request("GET", BASE + "/nodes?labelSelector=a%3Db", headers={
            "X-Remote-User": "evil", "X-Remote-Group": "system:evil", "X-Remote-Extra-x": "y"})
    equal((code, answer), (200, {"far": BASE + "/nodes"}))
    path, said, cert = far.seen[0]
    equal(path, BASE + "/nodes?labelSelector=a%3Db")
    equal(said.get_all("X-Remote-User"), ["system:admin"])
    equal(sorted(said.get_all("X-Remote-Group")), ["system:authenticated", "system:masters"])
    equal((said["Authorization"], said["X-Remote-Extra-x"], said["Host"]), (None, None, "far.default.svc:443"))
    equal(cert["subject"], ((("commonName", "front-proxy-client"),),))
    equal([headers.get(h) for h in ("Impersonate-User", "X-Remote-User", "Access-Control-Allow-Origin")], [None] * 3)
    equal(c.request("GET", BASE + "/missing")[0], 404)


def impersonation_is_done_here(c, far):
    far.seen.clear()
    equal(c.request("GET", BASE + "/nodes", headers={"Impersonate-User": "jane", "Impersonate-Group": "system:masters",
                                                     "Impersonate-Extra-a.b%2fc": "d"})[0], 200)
    _, said, _ = far.seen[0]
    equal((said["X-Remote-User"], said["Impersonate-User"]), ("jane", None))
    equal(said["X-Remote-Extra-a.b%2Fc"], "d")


def bodies_both_ways(c, far):
    equal(c.request("POST", BASE + "/nodes", "x" * (1 << 20))[:2], (201, {"bytes": 1 << 20}))
    conn = c.connect()
    conn.request("GET", BASE + "/big")
    equal(len(conn.getresponse().read()), 8 << 20)
    conn.close()


TEN = b"0123456789abcdef" * (10 << 16)


def ten_megabytes_go_up(c, far):
    """More than is ever taken of what is stored here: as long as was said, in chunks, and over HTTP/2."""
    equal(c.request("PUT", BASE + "/upload", TEN)[:2], (201, {"bytes": len(TEN), "wrong": False}))
    equal(far.seen[-1][1]["Content-Length"], str(len(TEN)))
    chunks = (TEN[at:at + 100000] for at in range(0, len(TEN), 100000))
    equal(c.request("PUT", BASE + "/upload", chunks)[:2], (201, {"bytes": len(TEN), "wrong": False}))
    equal((far.seen[-1][1]["Content-Length"], far.seen[-1][1]["Transfer-Encoding"]), (None, "chunked"))
    body = os.path.join(c.dir, "ten")
    with open(body, "wb") as f:
        f.write(TEN)
    for version in ("--http1.1", "--http2"):  # this one asks first whether it may go on
        r = subprocess.run(["curl", "-sk", version, "--cert", os.path.join(c.dir, "admin.pem"), "-T", body, "-H", "Expect: 100-continue",
                            "-w", " %{http_version}", f"https://{c.host}:{c.port}{BASE}/upload"], check=True, capture_output=True, text=True)
        equal(r.stdout, f'{{"bytes": {len(TEN)}, "wrong": false}} {version[-1] if version[-1] == "2" else "1.1"}')


def who_may_not_is_not_asked_for_it(c, far):
    far.seen.clear()
    conn = c.connect(c.anonymous_context())
    conn.putrequest("PUT", BASE + "/upload")
    conn.putheader("Content-Length", str(1 << 30))
    conn.putheader("Expect", "100-continue")
    conn.endheaders()
    answer = conn.getresponse()
    equal((answer.status in (401, 403), answer.getheader("Connection"), far.seen), (True, "close", []))
    conn.close()
    equal(c.request("PUT", "/api/v1/namespaces/default/configmaps/x", TEN)[0], 413)  # what is stored here has its limit as ever


def a_server_that_refuses_early_is_heard(c, far):
    conn = c.connect()
    conn.putrequest("PUT", BASE + "/refuse")
    conn.putheader("Content-Length", str(1 << 30))
    conn.endheaders()
    conn.send(TEN[:100000])
    answer = conn.getresponse()
    equal((answer.status, json.loads(answer.read())), (403, {"far": "no"}))
    conn.close()


def a_server_that_does_not_read_costs_a_window(c, far):
    """Whoever sends to it waits, until his time is over."""
    before, n = memory(c), 4
    conns, sent = [c.connect() for _ in range(n)], 0
    for conn in conns:
        conn.putrequest("PUT", BASE + "/deaf?timeout=3s")
        conn.putheader("Content-Length", str(1 << 30))
        conn.endheaders()
        conn.sock.settimeout(0.3)
        try:
            while sent < 1 << 30:
                conn.sock.sendall(TEN[:65536])
                sent += 65536
        except TimeoutError:
            pass
        conn.sock.settimeout(30)
    equal((sent < n * (24 << 20), memory(c) - before < 8 * n), (True, True), f"{sent} sent, {memory(c) - before} MiB more")
    for conn in conns:
        answer = conn.getresponse()
        equal((answer.status, json.loads(answer.read())["reason"]), (504, "Timeout"))
        conn.close()
    far.deaf.set()
    equal(c.request("GET", BASE + "/nodes")[0], 200)


def a_client_that_goes_in_the_middle_is_cut_there(c, far):
    far.seen.clear()
    conn = c.connect()
    conn.putrequest("PUT", BASE + "/upload")
    conn.putheader("Content-Length", "1000000")
    conn.endheaders()
    conn.send(TEN[:1000])
    wait_for("it to begin", lambda: far.seen)
    conn.close()
    wait_for("the other side to hear of it", far.cut.is_set)
    far.cut.clear()


def an_answer_without_end_goes_through_and_ends_with_its_client(c, far):
    conn = c.connect()
    conn.request("GET", BASE + "/forever")
    equal(conn.getresponse().read(9), b"abcabcabc")
    conn.close()
    wait_for("the other side to hear of it", far.endless.is_set)


def connections_are_kept(c, far):
    """The server has a few loops, each with connections of its own."""
    before = far.connections
    for _ in range(60):
        equal(c.request("GET", BASE + "/nodes")[0], 200)
    equal(far.connections - before < 20, True, f"{far.connections - before} connections")


def an_upgrade_is_a_pipe(c, _):
    ws = WebSocket(c, BASE + "/nodes/x/exec")
    equal(ws.status, 101)
    equal(ws.message(), (1, b"hello"))
    ws.close()


# --- discovery ---


def groups(c):
    return {g["name"]: g for g in c.request("GET", "/apis")[1]["groups"]}


def aggregated(c):
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    return {g["metadata"]["name"]: g["versions"] for g in c.request("GET", "/apis", headers={"Accept": accept})[1]["items"]}


def discovery_shows_it(c, _):
    equal(groups(c)[GROUP]["preferredVersion"]["version"], "v1beta1")
    equal(c.request("GET", f"/apis/{GROUP}")[1]["name"], GROUP)
    equal(c.request("GET", BASE)[1], LIST)
    contains(list(groups(c)), "apps", "batch")
    (version,) = aggregated(c)[GROUP]
    kind = {"group": GROUP, "version": "v1beta1"}
    equal(version, {"version": "v1beta1", "freshness": "Current", "resources": [
        {"resource": "nodes", "responseKind": {**kind, "kind": "NodeMetrics"}, "scope": "Cluster", "singularResource": "node",
         "verbs": ["get", "list"], "shortNames": ["nm"],
         "subresources": [{"subresource": "log", "responseKind": {**kind, "kind": "Log"}, "verbs": ["get"]}]}]})
    paths = wait_for("its document", lambda: [p for p in [c.request("GET", "/openapi/v3")[1]["paths"]] if f"apis/{GROUP}/v1beta1" in p])[0]
    contains(list(paths), "apis/apps/v1")
    url = paths[f"apis/{GROUP}/v1beta1"]["serverRelativeURL"]
    equal(url, f"/openapi/v3/apis/{GROUP}/v1beta1?hash=AB12")
    code, text, headers = c.request("GET", url)
    equal((code, text, headers["ETag"], headers["Cache-Control"]), (200, {"openapi": "3.0.0"}, '"AB12"', "public, immutable"))


def kubectl_finds_it(c, _):
    contains(c.kubectl("api-resources", "--api-group", GROUP), "NodeMetrics", "nm")
    equal(json.loads(c.kubectl("get", "--raw", BASE + "/nodes")), {"far": BASE + "/nodes"})


def one_that_fails_is_stale(c, far):
    far.down = True
    # A look comes each thirty seconds; a change of the object does not wait for it.
    equal(c.request("PATCH", f"{SERVICES}/v1beta1.{GROUP}", {"spec": {"versionPriority": 99}},
                    {"Content-Type": "application/merge-patch+json"})[0], 200)
    wait_available(c, f"v1beta1.{GROUP}", "False", "FailedDiscoveryCheck")
    contains(available(c, f"v1beta1.{GROUP}")[2], f"bad status from https://far.default.svc:443{BASE}: 500")
    equal(c.request("GET", BASE + "/nodes")[:2], (503, "service unavailable\n"))
    (version,) = aggregated(c)[GROUP]
    equal(version["freshness"], "Stale")
    far.down = False
    wait_available(c, f"v1beta1.{GROUP}", "True", "Passed")


def a_lying_list_harms_nobody(c, far):
    far.discovery = {"kind": "APIResourceList", "groupVersion": "apps/v1", "resources": [
        {"name": "deployments", "kind": "Evil", "verbs": ["get", 7, None], "namespaced": "x"}, {"name": 3}, 4, {"name": "a/b"}]}
    equal(c.request("PATCH", f"{SERVICES}/v1beta1.{GROUP}", {"spec": {"versionPriority": 98}},
                    {"Content-Type": "application/merge-patch+json"})[0], 200)
    wait_for("the list", lambda: aggregated(c)[GROUP][0].get("resources", [{}])[0].get("verbs") == ["get"])
    equal([r["responseKind"]["kind"] for r in aggregated(c)["apps"][0]["resources"] if r["resource"] == "deployments"], ["Deployment"])
    for bad in ([], {"kind": "Pod"}, {"kind": "APIResourceList", "resources": [{"name": str(n)} for n in range(5000)]}):
        far.discovery = bad
        equal(c.request("PATCH", f"{SERVICES}/v1beta1.{GROUP}", {"metadata": {"labels": {"a": "b"}}, "spec": {"versionPriority": 97}},
                        {"Content-Type": "application/merge-patch+json"})[0], 200)
    equal(groups(c)["apps"]["name"], "apps")


def a_restart_changes_nothing(c, far):
    before = c.request("GET", f"{SERVICES}/v1beta1.{GROUP}")[1]["spec"]
    c.stop()
    c.start()
    wait_available(c, f"v1beta1.{GROUP}", "True", "Passed")
    far.seen.clear()
    equal(c.request("GET", BASE + "/nodes")[0], 200)
    equal(far.seen[0][2]["subject"], ((("commonName", "front-proxy-client"),),))
    equal(c.request("GET", f"{SERVICES}/v1beta1.{GROUP}")[1]["spec"], before)


def a_certificate_from_elsewhere(*_):
    """--proxy-client-cert-file: refused when it is none, else shown."""
    c = Cluster(args=["--disable-scheduler", "--disable-controller-manager"])
    pem = os.path.join(c.dir, "proxy.pem")
    c.args += ["--proxy-client-cert-file", pem, "--proxy-client-key-file", pem + ".key"]
    try:
        c.start(wait=False)
        equal(c.proc.wait(30) != 0, True)
        contains(c.tail(), "--proxy-client-cert-file")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-keyout", pem + ".key", "-out", pem, "-subj", "/CN=a-proxy-of-ours"], check=True, capture_output=True)
        c.start()
        with open(pem, encoding="utf-8") as f:
            far = Far(c.dir, own_address(), f.read())
        service(c, "far", own_address(), far.port)
        register(c, GROUP, "v1beta1", service="far", caBundle=far.ca)
        wait_available(c, f"v1beta1.{GROUP}", "True", "Passed")
        equal(c.request("GET", BASE + "/nodes")[0], 200)
        equal(far.seen[-1][2]["subject"], ((("commonName", "a-proxy-of-ours"),),))
    finally:
        c.cleanup()


def a_namespace_goes_with_what_others_keep_in_it(*_):
    with Cluster(args=["--disable-scheduler"]) as c:
        known = c.request("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")[1]["data"]
        far = Far(c.dir, own_address(), known["requestheader-client-ca-file"])
        far.discovery = {**LIST, "resources": [{"name": "things", "singularName": "thing", "namespaced": True, "kind": "Thing",
                                                "verbs": ["list", "delete", "deletecollection"]}]}
        service(c, "far", own_address(), far.port)
        register(c, GROUP, "v1beta1", service="far", caBundle=far.ca)
        wait_available(c, f"v1beta1.{GROUP}", "True", "Passed")

        def condition(ns, kind):
            found = c.request("GET", f"/api/v1/namespaces/{ns}")[1].get("status", {}).get("conditions", [])
            return {x["type"]: (x["status"], x["reason"], x["message"]) for x in found}.get(kind)

        for ns in ("goes", "waits"):
            equal(c.request("POST", "/api/v1/namespaces", {"metadata": {"name": ns}})[0], 201)
        far.kept = {("goes", "a"): 1, ("goes", "b"): 1, ("other", "c"): 1}
        equal(c.request("DELETE", "/api/v1/namespaces/goes")[0], 200)
        wait_for("the namespace to go", lambda: c.request("GET", "/api/v1/namespaces/goes")[0] == 404)
        equal(list(far.kept), [("other", "c")])

        far.kept, far.finalizers = {("waits", "a"): 1}, ["example.io/wait"]
        equal(c.request("DELETE", "/api/v1/namespaces/waits")[0], 200)
        wait_for("what is left to be told", lambda: condition("waits", "NamespaceContentRemaining") == (
            "True", "SomeResourcesRemain", f"Some resources are remaining: things.{GROUP} has 1 resource instances"))
        equal(condition("waits", "NamespaceFinalizersRemaining")[2],
              "Some content in the namespace has finalizers remaining: example.io/wait in 1 resource instances")
        far.kept, far.finalizers = {}, []
        wait_for("the namespace to go", lambda: c.request("GET", "/api/v1/namespaces/waits")[0] == 404)

        equal(c.request("POST", "/api/v1/namespaces", {"metadata": {"name": "stale"}})[0], 201)
        far.down = True
        equal(c.request("PATCH", f"{SERVICES}/v1beta1.{GROUP}", {"spec": {"versionPriority": 99}},
                        {"Content-Type": "application/merge-patch+json"})[0], 200)
        wait_available(c, f"v1beta1.{GROUP}", "False", "FailedDiscoveryCheck")
        equal(c.request("DELETE", "/api/v1/namespaces/stale")[0], 200)
        wait_for("the failure to be told", lambda: condition("stale", "NamespaceDeletionDiscoveryFailure") and
                 condition("stale", "NamespaceDeletionDiscoveryFailure")[0] == "True")
        contains(condition("stale", "NamespaceDeletionDiscoveryFailure")[2],
                 f"Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: {GROUP}/v1beta1: ")
        equal(c.request("DELETE", f"{SERVICES}/v1beta1.{GROUP}")[0], 200)
        wait_for("the namespace to go", lambda: c.request("GET", "/api/v1/namespaces/stale")[0] == 404)


@meanwhile
def what_others_keep_owns_and_is_owned(*_):
    """The garbage collector's half minutes are the server's."""
    with Cluster(args=["--disable-scheduler"]) as c:
        known = c.request("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")[1]["data"]
        far = Far(c.dir, own_address(), known["requestheader-client-ca-file"])
        far.discovery = {**LIST, "resources": [{"name": "toys", "singularName": "toy", "namespaced": True, "kind": "Toy",
                                                "verbs": ["get", "list", "watch", "delete", "patch"]}]}
        maps = "/api/v1/namespaces/default/configmaps"

        def owned(child, **owner):
            return {"name": child, "namespace": "default", "ownerReferences": [owner]}

        uid = c.request("POST", maps, {"metadata": {"name": "owner"}})[1]["metadata"]["uid"]
        far.owned = {"mine": {**owned("mine", apiVersion="v1", kind="ConfigMap", name="owner", uid=uid), "uid": "toy-1", "resourceVersion": "7"},
                     "master": {"name": "master", "namespace": "default", "uid": "toy-2"}}
        service(c, "far", own_address(), far.port)
        register(c, GROUP, "v1beta1", service="far", caBundle=far.ca)
        wait_available(c, f"v1beta1.{GROUP}", "True", "Passed")
        for name, toy in (("stays", "toy-2"), ("goes", "toy-3")):
            equal(c.request("POST", maps, {"metadata": owned(name, apiVersion=f"{GROUP}/v1beta1", kind="Toy", name="master", uid=toy)})[0], 201)
        equal(c.request("DELETE", maps + "/owner")[0], 200)
        wait_for("what nobody owns to go there", lambda: "mine" not in far.owned, 90)
        wait_for("and here", lambda: c.request("GET", maps + "/goes")[0] == 404, 90)
        equal((c.request("GET", maps + "/stays")[0], "master" in far.owned), (200, True))
        # One of the same name in its place, which has a child at once: what was said of the former says nothing of it.
        for i in range(3):
            far.owned["master"] = {"name": "master", "namespace": "default", "uid": f"toy-new-{i}"}
            for name, toy in ((f"new-{i}", f"toy-new-{i}"), (f"no-{i}", "toy-3")):
                equal(c.request("POST", maps, {"metadata": owned(name, apiVersion=f"{GROUP}/v1beta1", kind="Toy", name="master", uid=toy)})[0], 201)
            wait_for("what nobody owns to go", lambda i=i: c.request("GET", f"{maps}/no-{i}")[0] == 404)
            equal(c.request("GET", f"{maps}/new-{i}")[0], 200, str(i))
        user, options = far.asked_of_owned[0]
        equal((user, options["propagationPolicy"], options["preconditions"]), (
            "system:serviceaccount:kube-system:generic-garbage-collector", "Background", {"uid": "toy-1", "resourceVersion": "7"}))


TESTS = [own_ones_are_there_from_the_start, a_request_says_whose_it_is, no_step_up_is_passed_on, impersonation_is_done_here,
         bodies_both_ways, ten_megabytes_go_up, who_may_not_is_not_asked_for_it, a_server_that_refuses_early_is_heard,
         a_server_that_does_not_read_costs_a_window, a_client_that_goes_in_the_middle_is_cut_there,
         an_answer_without_end_goes_through_and_ends_with_its_client, connections_are_kept, an_upgrade_is_a_pipe, discovery_shows_it, kubectl_finds_it,
         what_leads_to_this_server_is_not_dialled, a_built_in_group_version_stays_ours, a_certificate_of_another_is_none,
         a_redirect_is_not_passed_on, one_that_is_silent_has_its_time, who_has_no_right_is_not_passed_on, what_is_missing_is_named,
         one_that_hangs_when_it_is_looked_at, heads_without_end_are_refused, what_is_cut_does_not_look_whole,
         a_client_that_takes_its_time_costs_a_window, documents_of_ten_megabytes_are_not_taken, its_words_are_in_our_document,
         who_speaks_no_tls_or_is_another,
         a_definition_has_one_while_it_is_served, a_certificate_from_elsewhere, a_namespace_goes_with_what_others_keep_in_it,
         one_that_fails_is_stale, a_lying_list_harms_nobody, a_restart_changes_nothing, what_others_keep_owns_and_is_owned]

if __name__ == "__main__":
    if not own_address():
        print("# no address but loopback, which no request is passed on to")
        sys.exit(77)
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager"]) as cluster:
        known = cluster.request("GET", "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication")[1]["data"]
        equal(json.loads(known["requestheader-allowed-names"]), ["front-proxy-client"])
        server = Far(cluster.dir, own_address(), known["requestheader-client-ca-file"])
        service(cluster, "far", own_address(), server.port)
        register(cluster, GROUP, "v1beta1", service="far", caBundle=server.ca)
        status = main(TESTS, cluster, server)
    sys.exit(status)
