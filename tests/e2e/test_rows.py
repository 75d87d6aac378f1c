"""Faults of identity that show only over real connections: certificates of nobody, tokens whose key is gone, every URL for those who
have no right, rights that go while somebody reads, and secrets in what a server says. What is refused comes first.
ROWS.md says which row of faults each test is for."""
import base64
import contextlib
import glob
import hashlib
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import ssl
import sys
import threading

from lib import Cluster, Failed, Skip, equal, main, need_tools, own_address, wait_for
from test_who import WHOAMI, by, make_ca, make_cert, openssl

REVIEW = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
NS = "/api/v1/namespaces/default"


def as_token(c, token, method, path, body=None, **headers):
    return c.request(method, path, body, {"Authorization": "Bearer " + token, **headers}, c.anonymous_context())


# --- certificates ---

def dated(at, name, ca, start, end):
    """A certificate of that CA which counts between two dates, as YYYYMMDDHHMMSSZ."""
    with open(f"{at}/ca.cnf", "w", encoding="utf-8") as f:
        f.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={at}/{name}.db\nserial={at}/{name}.serial\nnew_certs_dir={at}\ndefault_md=sha256\n"
                "policy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n[x]\nextendedKeyUsage=clientAuth\n")
    for path, text in ((f"{at}/{name}.db", ""), (f"{at}/{name}.serial", "01\n")):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{at}/{name}.key",
            "-out", f"{at}/{name}.csr", "-subj", "/CN=dan")
    openssl("ca", "-batch", "-notext", "-config", f"{at}/ca.cnf", "-cert", f"{at}/{ca}.crt", "-keyfile", f"{at}/{ca}.key",
            "-startdate", start, "-enddate", end, "-in", f"{at}/{name}.csr", "-out", f"{at}/{name}.crt")


def short_key(at, name, ca, bits):
    openssl("genrsa", "-out", f"{at}/{name}.key", str(bits))
    openssl("req", "-new", "-key", f"{at}/{name}.key", "-out", f"{at}/{name}.csr", "-subj", "/CN=dan")
    with open(f"{at}/{name}.ext", "w", encoding="utf-8") as f:
        f.write("extendedKeyUsage=clientAuth\n")
    openssl("x509", "-req", "-in", f"{at}/{name}.csr", "-CA", f"{at}/{ca}.crt", "-CAkey", f"{at}/{ca}.key", "-CAcreateserial",
            "-out", f"{at}/{name}.crt", "-days", "20", "-extfile", f"{at}/{name}.ext")


def shown(c, name, **headers):
    """(status, user) by that certificate; (0, None): not even a connection comes about."""
    tls = by(c, None)
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")  # a client that would show anything
    tls.maximum_version = ssl.TLSVersion.TLSv1_2  # where a short key can still sign
    tls.load_cert_chain(f"{c.dir}/{name}.crt", f"{c.dir}/{name}.key")
    try:
        code, doc, _ = c.request("POST", WHOAMI, REVIEW, {k.replace("_", "-"): v for k, v in headers.items()}, tls)
    except (ssl.SSLError, ConnectionError):
        return 0, None
    return code, doc["status"]["userInfo"]["username"] if code == 201 else None


def certificates_that_prove_nothing(c):
    equal(shown(c, "good"), (201, "dan"))
    for name in ("expired", "early", "stranger", "alone", "rsa512", "server", "of-a-leaf"):
        code, user = shown(c, name)
        equal((code in (0, 401), user), (True, None), name)


def a_ca_of_clients_and_proxies(c):
    """The same file for both flags: a client is a proxy only by an allowed name."""
    said = {"X_Remote_User": "ann", "X_Remote_Group": "system:masters"}
    equal(shown(c, "good", **said), (201, "dan"))
    equal(shown(c, "front", **said), (201, "ann"))


# --- tokens ---

def tokens_of_a_key_that_is_gone(c):
    """Replay after rotation: with the old key still listed they count, without it never again."""
    c.kubectl("create", "serviceaccount", "bot")
    old = c.kubectl("create", "token", "bot", "--duration=1h").strip()
    equal(as_token(c, old, "POST", WHOAMI, REVIEW)[0], 201)
    at = c.args.index("--service-account-signing-key-file") + 1
    c.stop()
    c.args[at] = f"{c.dir}/sa2.key"
    c.args += ["--service-account-key-file", f"{c.dir}/sa1.key"]
    c.start()
    equal(as_token(c, old, "POST", WHOAMI, REVIEW)[0], 201, "the old key is listed")
    c.stop()
    c.args = c.args[:-2]
    c.start()
    equal(as_token(c, old, "POST", WHOAMI, REVIEW)[0], 401, "it is listed no more")
    new = c.kubectl("create", "token", "bot", "--duration=1h").strip()
    # the old signature under the name of the new key
    head, claims, signature = old.split(".")
    equal(as_token(c, ".".join([new.split(".")[0], claims, signature]), "POST", WHOAMI, REVIEW)[0], 401, "another's kid")
    equal(as_token(c, ".".join([head, new.split(".")[1], new.split(".")[2]]), "POST", WHOAMI, REVIEW)[0], 401, "the kid of one that is gone")
    equal(as_token(c, new, "POST", WHOAMI, REVIEW)[0], 201)


# --- every URL ---

PUBLIC = {"/healthz", "/livez", "/readyz", "/version", "/version/"}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
BODY = b'{"metadata":{"name":"x"}}'


def routes(c):
    """Every path that the server describes, with names put in, and what it does not describe."""
    found = set()
    for path in c.request("GET", "/openapi/v2")[1]["paths"]:
        for name, value in (("{namespace}", "kube-system"), ("{path}", "x"), ("{logpath}", "x")):
            path = path.replace(name, value)
        while "{" in path:
            path = path[:path.index("{")] + "extension-apiserver-authentication" + path[path.index("}") + 1:]
        found.add(path)
    found |= {"/", "/api", "/apis", "/openapi/v2", "/openapi/v3", "/openapi/v3/api/v1", "/metrics", "/metrics/slis", "/metrics/cadvisor", "/statusz",
              "/flagz", "/configz", "/logs", "/logs/", "/debug", "/debug/", "/debug/tasks", "/debug/requests", "/debug/locks", "/debug/pprof/",
              "/debug/flags/v", "/debug/api_priority_and_fairness/dump_priority_levels", "/.well-known/openid-configuration", "/openid/v1/jwks",
              "/healthz/etcd", "/livez/ping", "/readyz/etcd", "/swagger.json", "/apis/nowhere.io/v1/things", "/api/v2", "/nowhere", "/connect",
              "/ping"}
    return sorted(found)


def ways_to_say(path):
    """What a router and whoever judges might take for different paths."""
    head, _, last = path.rpartition("/")
    yield from ("/" + path, path + "/", path.replace("/", "//", 2), head + "/./" + last, head + "/x/../" + last, "/healthz/.." + path,
                "/version/../" + path[1:], "/livez/%2e%2e" + path, head + "%2f" + last, head + "/%2e/" + last, path.upper(), path.title(), path + ";a=b",
                "/api;v=1" + path, path + "%00", path + "%20", path + "?", path + "#x", path + "/../../../livez", path.replace("a", "%61"),
                path.replace("/", "\\"), "/healthz?/.." + path, "/healthz%3f" + path, "/healthz;" + path, "https://x" + path,
                path.replace("kube-system", "default/../kube-system"), path.replace("kube-system", "kube-system%2f..%2fdefault"),
                path.replace("kube-system", ".."), path.replace("kube-system", "%2e%2e"), path.replace("kube-system", "Kube-System"),
                path + "?namespace=default", path + "?watch=1", path.replace("/v1/", "/v1/watch/"), path.replace("/v1/", "/v1/proxy/"))


class Asker:
    """One connection that asks on; many requests over it."""

    def __init__(self, c, headers):
        self.c, self.headers, self.conn = c, headers, None

    def status(self, method, path):
        for again in (True, False):
            if not self.conn:
                self.conn = self.c.connect(self.c.anonymous_context())
                self.conn.connect()
            body = BODY if method in ("POST", "PUT", "PATCH") else b""
            lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", "Content-Type: application/json"]
            try:
                self.conn.sock.sendall("\r\n".join(lines + [f"{k}: {v}" for k, v in self.headers.items()] + ["", ""]).encode() + body)
                r = http.client.HTTPResponse(self.conn.sock, method=method)
                r.begin()
                text = r.read()
                if r.will_close:
                    self.conn.close()
                    self.conn = None
                return r.status, text
            except (OSError, http.client.HTTPException):
                self.conn = None
                if not again:
                    raise
        return None


def matrix(c, headers, fine):
    """All that is answered otherwise than fine(method, path, status) allows."""
    ask, wrong, asked = Asker(c, headers), [], 0
    paths = routes(c)
    some = [p for p in paths if p.endswith(("/secrets", "/secrets/extension-apiserver-authentication", "/clusterroles", "/pods", "/namespaces",
                                            "/deployments", "/leases"))] + ["/metrics", "/api", "/openapi/v2", "/debug/tasks", "/logs/"]
    odd = [q for p in some for q in ways_to_say(p)]
    for path in paths + odd:
        for method in METHODS if path in paths else ("GET", "POST", "DELETE"):
            status, text = ask.status(method, path)
            asked += 1
            if not fine(method, path, status):
                wrong.append(f"{status} {method} {path} {text[:100]}")
    if len(paths) < 250 or asked < 4000:
        raise Failed(f"only {len(paths)} paths, {asked} requests")
    if wrong:
        raise Failed(f"{len(wrong)} of {asked}:\n" + "\n".join(wrong[:60]))


def nobody_gets_nothing(c):
    def fine(method, path, status):
        if path.split("?")[0] in PUBLIC and method in ("GET", "HEAD"):
            return status == 200
        return status == 403 or malformed(path, status)
    matrix(c, {}, fine)


def malformed(path, status):
    """What is no request never comes so far that anybody asks who it is."""
    return status == 400 and ("#" in path or path[0] != "/")


def a_wrong_token_gets_nothing(c):
    """Not even what everybody may see, but for the certificate to ask with."""
    matrix(c, {"Authorization": "Bearer abc"}, lambda method, path, status: status == 401 or malformed(path, status))


ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: all, namespace: default}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: all, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: all}
subjects: [{kind: ServiceAccount, name: bot, namespace: default}]
"""


def no_way_out_of_a_namespace(c):
    """Who may all in one namespace gets from there into no other, however the path is written."""
    c.apply(ROLE)
    for ns in ("default", "kube-system"):
        equal(c.request("POST", f"/api/v1/namespaces/{ns}/secrets", {"metadata": {"name": "mark"}, "stringData": {"where": f"in-{ns}"}})[0], 201)
    token = c.kubectl("create", "token", "bot").strip()
    ask = Asker(c, {"Authorization": "Bearer " + token})
    equal(ask.status("GET", NS + "/secrets/mark")[0], 200)
    outside = ["/api/v1/namespaces/kube-system/secrets/mark", "/api/v1/namespaces/kube-system/secrets", "/api/v1/secrets", "/api/v1/namespaces",
               "/api/v1/nodes", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "/api/v1/namespaces/kube-system"]
    inside = ["/api/v1/namespaces/default/" + more for more in (
        "../kube-system/secrets", "../kube-system/secrets/mark", "%2e%2e/kube-system/secrets", "..%2fkube-system/secrets", "secrets/../../kube-system/secrets",
        "secrets/..%2f..%2fkube-system%2fsecrets%2fmark", "secrets/../../../secrets", "secrets/%2e%2e/%2e%2e/kube-system/secrets/mark",
        "secrets?namespace=kube-system", "secrets/mark?namespace=kube-system", "secrets?fieldSelector=metadata.namespace%3Dkube-system",
        "/secrets", "./../kube-system/secrets", "secrets/mark/../../../kube-system/secrets/mark", "secrets;namespace=kube-system",
        "%2e%2e%2fkube-system%2fsecrets", "secrets/%00", "pods/../../kube-system/secrets", "..;/kube-system/secrets")]
    inside += ["/api/v1/namespaces/default%2f..%2fkube-system/secrets", "/api/v1/namespaces//secrets", "/api/v1/namespaces/%20/secrets",
               "/api/v1/namespaces/default,kube-system/secrets", "/api/v1/namespaces/*/secrets", "/api/v1/watch/namespaces/default/../kube-system/secrets",
               "/api/v1/namespaces/default/secrets/../../../namespaces/kube-system/secrets"]
    for path in outside + inside + [q for p in outside for q in ways_to_say(p)]:
        for method in ("GET", "DELETE"):
            path = path.replace("watch=1", "watch=1&timeoutSeconds=1")
            status, text = ask.status(method, path)
            if b"in-kube-system" in text or b"aW4ta3ViZS1zeXN0ZW0" in text or (path not in inside and status < 400 and path.split("?")[0] not in PUBLIC):
                raise Failed(f"{status} {method} {path}: {text[:200]}")
    equal(c.request("GET", "/api/v1/namespaces/kube-system/secrets/mark")[0], 200)
    # What comes in a body is no way either.
    for body in ({"metadata": {"name": "x", "namespace": "kube-system"}}, {"metadata": {"name": "x", "namespace": "../kube-system"}}):
        equal(as_token(c, token, "POST", NS + "/secrets", body)[0], 400)
    equal(c.request("GET", "/api/v1/namespaces/kube-system/secrets/x")[0], 404)


# --- a right that goes ---

class Kubelet:
    """Takes each upgrade and says nothing more: a shell that is open."""

    def __init__(self, at, address):
        self.open, self.gone, self.asked = [], [], []
        with open(f"{at}/kubelet.ext", "w", encoding="utf-8") as f:
            f.write(f"subjectAltName=DNS:worker,IP:{address}\nextendedKeyUsage=serverAuth\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{at}/kubelet.key",
                "-out", f"{at}/kubelet.csr", "-subj", "/CN=worker")
        openssl("x509", "-req", "-in", f"{at}/kubelet.csr", "-CA", f"{at}/nodes.crt", "-CAkey", f"{at}/nodes.key", "-CAcreateserial",
                "-out", f"{at}/kubelet.crt", "-days", "2", "-extfile", f"{at}/kubelet.ext")
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(f"{at}/kubelet.crt", f"{at}/kubelet.key")
        self.listening = socket.create_server((address, 0))
        self.address, self.port = address, self.listening.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            raw = self.listening.accept()[0]
            threading.Thread(target=self.one, args=(raw,), daemon=True).start()

    def one(self, raw):
        with contextlib.suppress(OSError), self.tls.wrap_socket(raw, server_side=True) as s:
            head = b""
            while b"\r\n\r\n" not in head:
                more = s.recv(65536)
                if not more:
                    return
                head += more
            self.asked.append(head.split()[1].decode())
            if b"elsewhere" in head or b"stderr" in head or b"error=1" in head:
                s.sendall(f"HTTP/1.1 302 Found\r\nLocation: https://{self.address}:{self.port}/followed\r\nContent-Length: 0\r\n\r\n".encode())
                return
            key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
            proof = base64.b64encode(hashlib.sha1((key.group(1) if key else b"") + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            protocol = re.search(rb"(?i)(sec-websocket-protocol|x-stream-protocol-version): *([^\s,]+)", head)
            upgrade = re.search(rb"(?i)\r\nupgrade: *(\S+)", head).group(1)
            s.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + upgrade + b"\r\nSec-WebSocket-Accept: " + proof +
                      (b"\r\n" + protocol.group(1) + b": " + protocol.group(2) if protocol else b"") + b"\r\n\r\n")
            self.open.append(head.split()[1])
            while s.recv(65536):
                pass
            self.gone.append(head.split()[1])


def open_stream(c, token, path, protocol=""):
    """(status, socket)"""
    s = c.anonymous_context().wrap_socket(socket.create_connection(("127.0.0.1", c.port), timeout=150), server_hostname="localhost")
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
              f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n".encode())
    return int(s.recv(65536).split()[1]), s


def until_end(s):
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while s.recv(65536):
            pass


def streams_end_with_the_right_to_them(c):
    """exec, attach and a watch are open when the binding goes: all end, none begins, and the next page of a list is refused."""
    address = own_address()
    if not address:
        raise Skip("needs an address that is not loopback")
    kubelet = c.kubelet = Kubelet(c.dir, address)
    equal(c.request("POST", "/api/v1/nodes", {"metadata": {"name": "worker"}})[0], 201)
    equal(c.request("PATCH", "/api/v1/nodes/worker/status", {"status": {
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": "worker"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}}}}, {"Content-Type": "application/merge-patch+json"})[0], 200)
    equal(c.request("POST", NS + "/pods", {"metadata": {"name": "p"}, "spec": {"nodeName": "worker", "tolerations": [{"operator": "Exists"}],
                                                                               "containers": [{"name": "c", "image": "i"}]}})[0], 201)
    token = c.kubectl("create", "token", "bot").strip()
    paths = [NS + "/pods/p/exec?command=sh&stdin=true&stdout=true", NS + "/pods/p/attach?stdin=true&stdout=true"]
    streams = []
    for path in paths:
        code, s = open_stream(c, token, path, "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n")
        equal(code, 101, path)
        streams.append(s)
    wait_for("the streams at the kubelet", lambda: len(kubelet.open) == 2)
    code, s = open_stream(c, token, NS + "/secrets?watch=1")
    equal(code, 101)
    streams.append(s)
    for name in ("one", "two"):
        equal(c.request("POST", NS + "/secrets", {"metadata": {"name": name}})[0], 201)
    code, page, _ = as_token(c, token, "GET", NS + "/secrets?limit=1")
    equal((code, bool(page["metadata"].get("continue"))), (200, True), str(page))
    equal(kubelet.gone, [])
    c.kubectl("delete", "rolebinding", "all")
    for path in (*paths, NS + "/secrets?watch=1", NS + "/secrets?limit=1&continue=" + page["metadata"]["continue"]):
        equal(as_token(c, token, "GET", path)[0], 403, path)
    for s in streams:
        until_end(s)
    wait_for("the ends at the kubelet", lambda: len(kubelet.gone) == 2)
    equal(len(kubelet.open), 2)


def nobody_is_sent_elsewhere(c):
    """A kubelet that answers with another place: nobody goes there in its name."""
    if not getattr(c, "kubelet", None):
        raise Skip("needs an address that is not loopback")
    before = len(c.kubelet.asked)
    paths = [NS + "/pods/p/exec?command=elsewhere&stdout=true", NS + "/pods/p/attach?stdout=true&stderr=true",
             "/api/v1/nodes/worker/proxy/elsewhere"]
    for path in paths:
        head = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": "v4.channel.k8s.io"} if "/pods/" in path else {}
        code, text, _ = c.request("GET", path, None, head)
        equal(code != 101 and "followed" not in str(text), True, path)
    equal([p for p in c.kubelet.asked[before:] if "followed" in p], [])
    equal(len(c.kubelet.asked) > before, True)


# --- secrets in what a server says ---

class Canaries:
    """Words that only secrets hold, and where they were seen."""

    def __init__(self):
        self.words, self.seen = {}, []

    def new(self, what):
        word = f"canary{len(self.words)}x{base64.b32encode(os.urandom(15)).decode().lower().rstrip('=')}"
        self.words[what] = word
        return word

    def check(self, where, text):
        if isinstance(text, str):
            text = text.encode(errors="replace")
        for what, word in self.words.items():
            # in the clear, quoted for an address, or in any of the three ways base64 may begin in it
            forms = [word.encode(), *(base64.b64encode(b"x" * i + word.encode())[4 if i else 0:-4] for i in range(3))]
            for form in forms:
                if form in text:
                    at = text.index(form)
                    self.seen.append(f"{what} is in {where}: {text[max(0, at - 200):at + 80]!r}")
                    break


def secrets_are_in_nothing_that_is_said(c):
    """Planted in all that is secret; looked for in logs, audit, command lines, pages, metrics, errors, events and managed fields."""
    w = Canaries()
    at = os.path.join(c.dir, "canaries")
    os.mkdir(at)

    def write(name, text):
        with open(os.path.join(at, name), "w", encoding="utf-8") as f:
            f.write(text)
        return os.path.join(at, name)
    static, hook = w.new("a static token"), w.new("a webhook's token")
    key = w.new("an encryption key")[:32]
    w.words["an encryption key"] = key
    kubeconfig = write("hook.yaml", json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "x", "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1/"}}], "users": [{"name": "x", "user": {"token": hook}}]}))
    c.stop()
    c.args = c.args + [
        "--v", "10", "--token-auth-file", write("tokens", f"{static},ann,1\n"), "--authentication-token-webhook-config-file", kubeconfig,
        "--audit-webhook-config-file", kubeconfig, "--audit-log-path", at + "/audit.log",
        "--audit-policy-file", write("policy.json", json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [
            {"level": "Metadata", "resources": [{"group": "", "resources": ["secrets", "serviceaccounts/token", "configmaps"]},
                                                {"group": "authentication.k8s.io"}]}, {"level": "RequestResponse"}]})),
        "--encryption-provider-config", write("enc.json", json.dumps({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [{"resources": ["secrets"], "providers": [
                {"secretbox": {"keys": [{"name": "k", "secret": base64.b64encode(key.encode()).decode()}]}}, {"identity": {}}]}]}))]
    c.start()
    bad, wrong, proto, password = w.new("a token of nobody"), w.new("a password"), w.new("a token in a protocol"), w.new("what a Secret holds")
    said = []

    def ask(*args, **kw):
        r = c.request(*args, **kw)
        said.append((f"the answer to {args[0]} {args[1]}", json.dumps(r[1])))
        return r[0]
    equal(as_token(c, static, "POST", WHOAMI, REVIEW)[1]["status"]["userInfo"]["username"], "ann")
    said.append(("a 401", json.dumps(as_token(c, bad, "GET", "/api/v1/pods")[1])))
    said.append(("a 403", json.dumps(as_token(c, static, "GET", "/api/v1/pods")[1])))
    basic = base64.b64encode(f"ann:{wrong}".encode()).decode()
    said.append(("a 401", json.dumps(c.request("GET", "/api", None, {"Authorization": "Basic " + basic}, c.anonymous_context())[1])))
    s = c.anonymous_context().wrap_socket(socket.create_connection(("127.0.0.1", c.port), timeout=30), server_hostname="localhost")
    encoded = base64.urlsafe_b64encode(proto.encode()).decode().rstrip("=")
    s.sendall(f"GET {NS}/pods?watch=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
              f"Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.{encoded}, v4.channel.k8s.io\r\n\r\n".encode())
    said.append(("an upgrade", s.recv(65536)))
    s.close()
    secrets, merge = NS + "/secrets", {"Content-Type": "application/merge-patch+json"}
    ask_quietly = c.request  # what holds a Secret shows it
    equal(ask_quietly("POST", secrets, {"metadata": {"name": "s"}, "stringData": {"k": password}})[0], 201)
    equal(ask_quietly("PATCH", secrets + "/s?fieldManager=m&force=true",
                      json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": password}}),
                      {"Content-Type": "application/apply-patch+yaml"})[0], 200)
    said.append(("managed fields", json.dumps(ask_quietly("GET", secrets + "/s")[1]["metadata"]["managedFields"])))
    # the same in a body that is refused, in as many ways as there are; and in a write that fails behind its checks
    for body in ({"metadata": {"name": "S!"}, "stringData": {"k": password}}, {"metadata": {"name": "t"}, "data": {"k": password + "!"}},
                 {"metadata": {"name": "t"}, "data": password}, {"metadata": {"name": "t"}, "stringData": {"k": [password]}},
                 {"metadata": {"name": "t"}, "stringData": {"bad key!": password}}, {"metadata": {"name": "t"}, "stringData": password},
                 {"metadata": {"name": "t"}, "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": password}},
                 {"metadata": {"name": "t"}, "type": "kubernetes.io/tls", "stringData": {"tls.key": password}},
                 {"metadata": {"name": "s"}, "stringData": {"k": password}}, {"metadata": {"name": "t", "namespace": "n"}, "stringData": {"k": password}}):
        equal(ask("POST", secrets, body) >= 400, True, json.dumps(body)[:60])
        equal(ask("PUT", secrets + "/s?fieldValidation=Strict", {**body, "metadata": {"name": "s", "resourceVersion": "1"}}) >= 400, True)
    equal(ask("POST", secrets, "{" + password), 400)
    equal(ask("POST", secrets, "k: [" + password, {"Content-Type": "application/yaml"}), 400)
    equal(ask("PATCH", secrets + "/s", json.dumps([{"op": "test", "path": "/data/k", "value": password}]),
              {"Content-Type": "application/json-patch+json"}), 422)
    equal(ask("PATCH", secrets + "/s", {"data": {"k": password + "!"}}, merge) >= 400, True)
    equal(ask("PATCH", secrets + "/s", {"immutable": True, "stringData": {"l": password}, "type": "other"}, merge), 422)
    token = c.kubectl("create", "token", "bot").strip()
    w.words["an account's token"] = token.split(".")[2][:40]
    equal(as_token(c, token, "POST", WHOAMI, REVIEW)[0], 201)
    equal(ask_quietly("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}})[0], 201)
    equal(ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": [token]}}), 400)
    said.append(("a 403", json.dumps(as_token(c, token, "GET", "/api/v1/namespaces/kube-system/secrets/s")[1])))
    with open(os.path.join(c.dir, "data", "server", "node-token"), encoding="utf-8") as f:
        w.words["the join token"] = f.read().strip().rsplit(".", 1)[1]
    for path in glob.glob(c.dir + "/data/**/*.key", recursive=True):
        with open(path, encoding="utf-8") as f:
            w.words[f"the key {os.path.basename(path)}"] = "".join(f.read().splitlines()[1:-1])[60:100]
    equal(len(w.words) > 10, True)
    for path in ("/metrics", "/metrics/slis", "/flagz", "/statusz", "/configz", "/debug/tasks", "/debug/requests", "/debug/locks", "/debug/",
                 "/readyz?verbose", "/api/v1/events", "/api/v1/configmaps", "/apis/certificates.k8s.io/v1/certificatesigningrequests", "/openid/v1/jwks",
                 "/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1", "/debug/watchers", "/openapi/v2"):
        w.check(path, json.dumps(ask_quietly("GET", path)[1]))
    for where, text in said:
        w.check(where, text)
    for pid in (c.proc.pid, c.server_pid):
        for name in ("cmdline", "environ"):
            with open(f"/proc/{pid}/{name}", "rb") as f:
                w.check(name, f.read())
    c.stop()
    for path in (c.log, at + "/audit.log"):
        with open(path, "rb") as f:
            text = f.read()
        equal(len(text) > 1000, True, path)
        w.check(path, text)
    c.start()
    if w.seen:
        raise Failed("\n".join(w.seen))


def a_death_leaves_no_memory_behind(c):
    """Whatever the limits allow: a server that dies of a fault dumps no core, which would hold all Secrets."""
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as f:
        pattern = f.read().strip()
    if pattern.startswith(("|", "/")) or resource.getrlimit(resource.RLIMIT_CORE)[1] != resource.RLIM_INFINITY:
        raise Skip("needs core dumps in the directory of who dies")
    c.stop()
    was, c.prefix = os.getcwd(), ["prlimit", "--core=unlimited"]
    os.chdir(c.dir)
    try:
        c.start()
    finally:
        os.chdir(was)
        c.prefix = []
    pid = c.server_pid
    where = os.readlink(f"/proc/{pid}/cwd")
    before = set(os.listdir(where))
    os.kill(pid, signal.SIGSEGV)
    wait_for("the next server", lambda: c.server_pid != pid and c.request("GET", "/readyz")[0] == 200)
    equal([n for n in set(os.listdir(where)) - before if n.startswith("core")], [])
    wait_for("its report", lambda: glob.glob(c.dir + "/data/crash/*.txt"))


if __name__ == "__main__":
    need_tools()
    if not shutil.which("openssl"):
        print("needs openssl")
        sys.exit(77)
    cluster = Cluster()
    for ca_name in ("clients", "nobody", "nodes"):
        make_ca(cluster.dir, ca_name)
    make_cert(cluster.dir, "good", "/CN=dan", "clients")
    make_cert(cluster.dir, "front", "/CN=front", "clients")
    make_cert(cluster.dir, "server", "/CN=dan", "clients", "serverAuth")
    make_cert(cluster.dir, "stranger", "/CN=dan", "nobody")
    make_cert(cluster.dir, "of-a-leaf", "/CN=dan", "good")
    make_ca(cluster.dir, "alone")
    dated(cluster.dir, "expired", "clients", "20200101000000Z", "20210101000000Z")
    dated(cluster.dir, "early", "clients", "20900101000000Z", "20910101000000Z")
    short_key(cluster.dir, "rsa512", "clients", 512)
    for key in ("sa1", "sa2"):
        openssl("genrsa", "-out", f"{cluster.dir}/{key}.key", "2048")
    cluster.args += ["--client-ca-file", f"{cluster.dir}/clients.crt", "--requestheader-client-ca-file", f"{cluster.dir}/clients.crt",
                     "--requestheader-allowed-names", "front", "--requestheader-username-headers", "X-Remote-User",
                     "--requestheader-group-headers", "X-Remote-Group", "--service-account-signing-key-file", f"{cluster.dir}/sa1.key",
                     "--kubelet-certificate-authority", f"{cluster.dir}/nodes.crt", "--disable-scheduler"]
    with cluster:
        sys.exit(main([certificates_that_prove_nothing, a_ca_of_clients_and_proxies, tokens_of_a_key_that_is_gone, nobody_gets_nothing,
                       a_wrong_token_gets_nothing, no_way_out_of_a_namespace, streams_end_with_the_right_to_them, nobody_is_sent_elsewhere,
                       secrets_are_in_nothing_that_is_said, a_death_leaves_no_memory_behind], cluster))
