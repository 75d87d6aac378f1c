#!/usr/bin/env python3
"""Ingress: real requests through a real HAProxy to small servers of this program, behind EndpointSlices written by hand."""
import base64
import concurrent.futures
import contextlib
import csv
import glob
import hashlib
import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

import lib
from lib import Cluster, Failed, Skip, contains, equal, wait_for

NGINX = "nginx.ingress.kubernetes.io/"
NS = "default"


# --- backends ---

class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with its name and what it was asked; speaks enough WebSocket to echo."""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def answer(self):
        if self.headers.get("Upgrade") == "websocket":
            return self.websocket()
        if self.path.endswith("/slow"):
            self.server.held.wait(60)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        text = json.dumps({"name": self.server.name, "path": self.path, "bytes": len(body),
                           "headers": {k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        return self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_OPTIONS = answer

    def websocket(self):
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
                         base64.b64encode(hashlib.sha1(key.encode()).digest()) + b"\r\n\r\n")
        while True:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                self.close_connection = True
                return
            mask, data = self.rfile.read(4), self.rfile.read(head[1] & 127)
            self.wfile.write(bytes([head[0], len(data)]) + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))


class Backend(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args):
        pass

    request_queue_size = 256

    def __init__(self, name, address=None):
        super().__init__((address or lib.own_address(), 0), Echo)
        self.name, self.held = name, threading.Event()
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


class WebSocket:
    def __init__(self, port, host, path="/", address="127.0.0.1"):
        self.sock = socket.create_connection((address, port), 20)
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            more = self.sock.recv(4096)
            if not more:
                raise Failed(f"no WebSocket: {head!r}")
            head += more
        equal(head.split()[1], b"101", "status")

    def echo(self, text):
        self.sock.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
        got = b""
        while len(got) < 2 + len(text):
            more = self.sock.recv(4096)
            if not more:
                raise Failed("the WebSocket ended")
            got += more
        equal(got[2:], text, "echo")


# --- objects ---

class World:
    def __init__(self):
        self.http, self.https = lib.free_port(), lib.free_port()
        self.c = Cluster(agent=True, args=["--ingress-http-port", str(self.http), "--ingress-https-port", str(self.https)])
        self.backends = {}

    def put(self, path, doc):
        status, body, _ = self.c.request("POST", path, doc)
        if status == 409:
            name = doc["metadata"]["name"]
            status, body, _ = self.c.request("PATCH", f"{path}/{name}?fieldManager=e2e&force=true", doc,
                                             {"Content-Type": "application/apply-patch+yaml"})
        if status not in (200, 201):
            raise Failed(f"{path}: {status} {body}")
        return body

    def delete(self, path):
        self.c.request("DELETE", path)

    def slice(self, name, *targets, ports=None):
        """Endpoints of service `name`: backends; one by one they may be (backend, conditions)."""
        targets = [t if isinstance(t, tuple) else (t, {"ready": True}) for t in targets]
        port = ports or (targets[0][0].port if targets else 1)
        self.put(f"/apis/discovery.k8s.io/v1/namespaces/{NS}/endpointslices", {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": f"{name}-{port}", "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "web", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [lib.own_address()], "conditions": cond} for _, cond in targets]})

    def service(self, name, *backends, spec=None):
        self.put(f"/api/v1/namespaces/{NS}/services", {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": spec or {"ports": [{"name": "web", "port": 80}]}})
        for b in backends:
            self.slice(name, b)

    def backend(self, name):
        """A service with one server of its own, both by this name."""
        if name not in self.backends:
            self.backends[name] = Backend(name)
            self.service(name, self.backends[name])
        return self.backends[name]

    def ingress(self, name, rules, annotations=None, tls=None, **spec):
        """rules: (host, path, pathType, service[, port])"""
        doc = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
               "metadata": {"name": name, "annotations": annotations or {}}, "spec": {"rules": [], **spec}}
        for host, path, kind, service, *port in rules:
            if len(service) == 1:
                self.backend(service)
            p = {"path": path, "pathType": kind,
                 "backend": {"service": {"name": service, "port": port[0] if port else {"number": 80}}}}
            doc["spec"]["rules"].append({"http": {"paths": [p]}, **({"host": host} if host else {})})
        if not doc["spec"]["rules"]:
            del doc["spec"]["rules"]
        if tls:
            doc["spec"]["tls"] = tls
        return self.put(f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses", doc)

    def secret(self, name, kind, **data):
        self.put(f"/api/v1/namespaces/{NS}/secrets", {
            "apiVersion": "v1", "kind": "Secret", "type": kind, "metadata": {"name": name},
            "data": {k: base64.b64encode(v).decode() for k, v in data.items()}})

    def ask(self, host, path="/", method="GET", body=None, headers=None, tls=False):
        """(status, answer of a backend or text, headers)"""
        h = http.client.HTTPConnection("127.0.0.1", self.http, timeout=30)
        if tls:
            h.sock = tls_connect(self.https, host)[0]
        try:
            h.putrequest(method, path, skip_host=True)
            for k, v in {"Host": host, **({"Content-Length": str(len(body))} if body is not None else {}), **(headers or {})}.items():
                h.putheader(k, v)
            h.endheaders(body)
            r = h.getresponse()
            text = r.read().decode(errors="replace")
            with contextlib.suppress(ValueError):
                text = json.loads(text)
            return r.status, text, r.headers
        finally:
            h.close()

    def name(self, host, path="/", **kw):
        """Who answers: a backend's name, or the status."""
        status, answer, _ = self.ask(host, path, **kw)
        return answer["name"] if status == 200 and isinstance(answer, dict) else status

    def until(self, wanted, host, path="/", **kw):
        wait_for(f"{host}{path} to answer {wanted}", lambda: self.name(host, path, **kw) == wanted)

    def events(self, name):
        items = self.c.request("GET", f"/api/v1/namespaces/{NS}/events")[1]["items"]
        return [i["message"] for i in items if i["involvedObject"]["name"] == name]

    def told(self, name, part):
        wait_for(f"an Event on {name} with {part!r}", lambda: any(part in m for m in self.events(name)))

    def haproxies(self):
        found = []
        for p in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{p}/cmdline", encoding="utf-8", errors="replace") as f:
                if f"{self.c.dir}/data/ingress/haproxy.cfg" in f.read() and "haproxy" in os.readlink(f"/proc/{p}/exe"):
                    found.append(int(p))
        return sorted(found)

    def ask_haproxy(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(f"{self.c.dir}/data/ingress/haproxy.sock")
            s.sendall(command.encode() + b"\n")
            text = b""
            while more := s.recv(65536):
                text += more
        return text.decode()

    def serving(self):
        """The one that was started last."""
        def pid():  # nothing is said by one that ends
            said = re.search(r"^Pid: (\d+)$", self.ask_haproxy("show info"), re.M)
            return said and int(said.group(1))
        return wait_for("the HAProxy that serves", pid)

    def told_at(self, pid):
        """The sockets at which a HAProxy takes commands: inodes."""
        with open("/proc/net/unix", encoding="utf-8") as f:
            rows = [line.split() for line in f]
        listening = {f"socket:[{r[6]}]" for r in rows if r[3] == "00010000" and r[7:] and r[7].startswith("haproxy")}
        own = set()
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                own.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        return own & listening

    def said(self):
        """What the server told of late."""
        return "\n".join(line for line in self.c.tail(400).splitlines() if " ingress " in line)

    def servers_as_seen(self):
        """Of each server in HAProxy: state, weight, connections that failed and were tried again. It tells one that nobody
        may be sent to from one that cannot be reached."""
        rows = list(csv.DictReader(self.ask_haproxy("show stat -1 4 -1").lstrip("# ").splitlines()))
        return [f"{r['pxname']}/{r['svname']} {r['status']} weight {r['weight']} to {r['addr']} econ {r['econ']} wretr {r['wretr']} "
                f"wredis {r['wredis']}" for r in rows if r["status"] != "MAINT"] + [f"{len(rows)} servers in all"]


def tls_connect(port, name, alpn=None, address="127.0.0.1"):
    """The connection, and whose name its certificate has."""
    t = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    t.check_hostname, t.verify_mode = False, ssl.CERT_NONE
    if alpn:
        t.set_alpn_protocols(alpn)
    s = t.wrap_socket(socket.create_connection((address, port), 20), server_hostname=name)
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=s.getpeercert(True), check=True,
                          stdout=subprocess.PIPE).stdout.decode()
    return s, text.split("CN = ")[1].strip()


def certificate(name, *key):
    key = key or ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["openssl", "req", "-x509", "-newkey", *key, "-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", f"{d}/k",
                        "-out", f"{d}/c"], check=True, stderr=subprocess.DEVNULL)
        with open(f"{d}/c", "rb") as c, open(f"{d}/k", "rb") as k:
            return {"tls.crt": c.read(), "tls.key": k.read()}


# --- tests ---

def nothing_without_an_ingress(w):
    classes = wait_for("the class", lambda: w.c.request("GET", "/apis/networking.k8s.io/v1/ingressclasses")[1]["items"])
    equal([(i["metadata"]["name"], i["spec"]["controller"]) for i in classes], [("caravel", "caravel.io/ingress-controller")])
    equal(classes[0]["metadata"]["annotations"]["ingressclass.kubernetes.io/is-default-class"], "true")
    equal(w.haproxies(), [], "haproxy")


def hosts_and_paths(w):
    made = w.ingress("paths", [("one.example", "/", "Prefix", "a"), ("one.example", "/api", "Prefix", "b"),
                               ("one.example", "/api/v1/", "Prefix", "c"), ("one.example", "/api", "Exact", "d"),
                               ("*.example", "/", "ImplementationSpecific", "e"), ("two.example", "/x y", "Exact", "a"),
                               (None, "/any", "Prefix", "f", {"name": "web"})])
    equal(made["spec"]["ingressClassName"], "caravel", "the default class")
    cases = (("one.example", "/apix", "a"), ("one.example", "/api", "d"), ("one.example", "/api/", "b"),
             ("one.example", "/api/x", "b"), ("one.example", "/api/v1", "c"), ("one.example", "/api/v1/x?q=1", "c"),
             ("one.example", "/x/../api/v1", "c"), ("one.example", "//api//v1/x", "c"), ("one.example", "/%61pi", "d"),
             ("ONE.example:80", "/", "a"), ("www.example", "/", "e"), ("a.b.example", "/", 404), ("example", "/", 404),
             ("two.example", "/x%20y", "a"), ("two.example", "/", "e"), ("other.org", "/any/thing", "f"),
             ("other.org", "/", 404), ("*.example", "/", 400), ("one.example/api", "/", 400))
    for host, path, wanted in cases:  # which Service is heard of last, chance says
        if isinstance(wanted, str):
            w.until(wanted, host, path)
    for host, path, wanted in cases:
        equal(w.name(host, path), wanted, f"{host}{path}")
    w.ingress("fallback", [], defaultBackend={"service": {"name": "b", "port": {"number": 80}}})
    w.until("b", "other.org", "/")
    equal(w.name("one.example"), "a")
    w.delete(f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/fallback")
    w.until(404, "other.org", "/")


def what_is_missing(w):
    w.ingress("missing", [("missing.example", "/", "Prefix", "nosuch"), ("missing.example", "/port", "Prefix", "a", {"number": 81}),
                          ("empty.example", "/", "Prefix", "empty")])
    w.service("empty")
    for host, path in (("missing.example", "/"), ("missing.example", "/port"), ("empty.example", "/")):
        w.until(503, host, path)
    w.told("missing", "default/nosuch:80 is not there")
    w.told("missing", "has no such port")
    w.service("nosuch", w.backend("a"))
    w.until("a", "missing.example")


def of_two_the_older(w):
    w.ingress("first", [("conflict.example", "/", "Prefix", "a")])
    w.until("a", "conflict.example")
    w.ingress("second", [("conflict.example", "/", "Prefix", "b"), ("conflict.example", "/b", "Prefix", "b")])
    w.until("b", "conflict.example", "/b")
    equal(w.name("conflict.example"), "a")
    w.told("second", "is served by ingress default/first, which is older")
    w.delete(f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/first")
    w.until("b", "conflict.example")


def who_asks(w):
    _, answer, _ = w.ask("one.example", headers={"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Forwarded": "for=6.6.6.6",
                                                 "X-Real-IP": "6.6.6.6", "X-Forwarded-Host": "evil"})
    h = answer["headers"]
    equal({k: h.get(k) for k in ("x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "forwarded", "host")},
          {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-host": "one.example",
           "forwarded": None, "host": "one.example"})


def tls(w):
    w.secret("tls-a", "kubernetes.io/tls", **certificate("first"))
    w.secret("tls-w", "kubernetes.io/tls", **certificate("wild"))
    w.ingress("tls", [("tls.example", "/", "Prefix", "a"), ("x.wild.example", "/", "Prefix", "b")],
              tls=[{"hosts": ["tls.example"], "secretName": "tls-a"}, {"hosts": ["*.wild.example"], "secretName": "tls-w"}])

    def shown(name):
        return tls_connect(w.https, name)[1]
    wait_for("the certificate", lambda: shown("tls.example") == "first")
    equal(shown("y.wild.example"), "wild")
    equal(shown("other.example"), "caravel-ingress-default")
    equal(w.name("tls.example", tls=True), "a")
    equal(w.ask("tls.example", tls=True)[1]["headers"]["x-forwarded-proto"], "https")
    equal(tls_connect(w.https, "tls.example", ["h2", "http/1.1"])[0].selected_alpn_protocol(), "h2")
    status, _, headers = w.ask("tls.example", "/a?b=c")
    equal((status, headers["Location"]), (308, f"https://tls.example:{w.https}/a?b=c"))
    before, open_socket = w.serving(), tls_connect(w.https, "tls.example")[0]
    w.secret("tls-a", "kubernetes.io/tls", **certificate("second"))
    wait_for("the new certificate", lambda: shown("tls.example") == "second")
    w.ingress("tls-more", [("more.example", "/", "Prefix", "a")], tls=[{"hosts": ["more.example", "tls.example"], "secretName": "tls-w"}])
    wait_for("a host's certificate", lambda: shown("more.example") == "wild")
    w.told("tls-more", "the certificate of host tls.example is that of ingress default/tls, which is older")
    equal(shown("tls.example"), "second")
    w.delete(f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/tls-more")
    wait_for("no certificate", lambda: shown("more.example") == "caravel-ingress-default")
    equal(w.serving(), before, "no HAProxy read anew")
    equal(len(glob.glob(f"{w.c.dir}/data/ingress/*.pem")), 3, "keys on the disk: two and the self-made")
    open_socket.sendall(b"GET / HTTP/1.1\r\nHost: tls.example\r\n\r\n")
    contains(open_socket.recv(4096).decode(), "200")
    w.secret("tls-bad", "kubernetes.io/tls", **{"tls.crt": certificate("x")["tls.crt"], "tls.key": certificate("y")["tls.key"]})
    w.secret("tls-weak", "kubernetes.io/tls", **certificate("weak", "rsa:1024"))
    w.ingress("tls-bad", [("bad.example", "/", "Prefix", "a")], tls=[{"hosts": ["bad.example"], "secretName": "tls-bad"},
                                                                 {"hosts": ["weak.example"], "secretName": "tls-weak"}])
    w.told("tls-bad", "has a key that is not its certificate's")
    w.told("tls-bad", "too weak a key")
    equal(shown("tls.example"), "second")


def redirects(w):
    for name, annotations in (("perm", {"permanent-redirect": "https://new.example/x?y=1"}),
                              ("code", {"permanent-redirect": "/there", "permanent-redirect-code": "308"}),
                              ("temp", {"temporal-redirect": "http://else.example/"}), ("root", {"app-root": "/app"}),
                              ("force", {"force-ssl-redirect": "true"})):
        w.ingress(f"to-{name}", [(f"{name}.to", "/", "Prefix", "a")], {NGINX + k: v for k, v in annotations.items()})
    for host, status, location in (("perm.to", 301, "https://new.example/x?y=1"), ("code.to", 308, "/there"),
                                   ("temp.to", 302, "http://else.example/"), ("root.to", 302, "/app"),
                                   ("force.to", 308, f"https://force.to:{w.https}/")):
        w.until(status, host)
        equal(w.ask(host)[2]["Location"], location, host)
    equal(w.name("root.to", "/x"), "a")


def rewriting(w):
    w.ingress("rewrite", [("rw.org", "/app(/|$)(.*)", "ImplementationSpecific", "a")], {NGINX + "rewrite-target": "/$2"})
    w.ingress("rewrite-all", [("rw.org", "/all", "Prefix", "b")], {NGINX + "rewrite-target": "/x%20y/"})
    w.ingress("rewrite-one", [("rw.org", "/one/(.*)", "ImplementationSpecific", "b")], {NGINX + "rewrite-target": "/to/$1"})
    w.ingress("rewrite-bad", [("rw.org", "/bad/[a-z]+(a+)+$", "ImplementationSpecific", "b")], {NGINX + "rewrite-target": "/$1"})
    w.until("b", "rw.org", "/one/x")
    for path, wanted in (("/app", "/"), ("/app/", "/"), ("/app/a/b?c=d", "/a/b?c=d"), ("/all/z", "/x%20y/"), ("/one/x/y", "/to/x/y")):
        equal(w.ask("rw.org", path)[1]["path"], wanted, path)
    equal(w.name("rw.org", "/application"), 404)
    w.told("rewrite-bad", "a path has no effect")


def bodies_and_time(w):
    w.ingress("small", [("small.example", "/", "Prefix", "a")], {NGINX + "proxy-body-size": "1k", NGINX + "proxy-read-timeout": "1"})
    w.until("a", "small.example")
    equal(w.ask("small.example", method="POST", body=b"x" * 1024)[1]["bytes"], 1024)
    equal(w.ask("small.example", method="POST", body=b"x" * 1025)[0], 413)
    equal(w.ask("one.example", method="POST", body=b"x" * 3000000)[1]["bytes"], 3000000)
    r = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Transfer-Encoding: chunked", "-d", "x", "-H",
                        "Host: small.example", f"http://127.0.0.1:{w.http}/"], check=True, stdout=subprocess.PIPE)
    equal(r.stdout, b"411")
    equal(w.name("small.example", "/slow"), 504)
    w.backend("a").held.set()


def passwords(w):
    def crypt(password, form="-6"):
        return subprocess.run(["openssl", "passwd", form, password], check=True, stdout=subprocess.PIPE).stdout.strip()
    texts = ["b", "bob's", "sixteen letters!", "a password that is longer than sixteen letters", "\u00e9\u00e9"]
    w.secret("users", "Opaque", auth=b"ann:" + crypt("secret") + b"\nplain:secret\n" +
             b"".join(b"bob%d:%b\n" % (i, crypt(t, "-apr1")) for i, t in enumerate(texts)))
    basic = {NGINX + "auth-type": "basic", NGINX + "auth-secret": "users", NGINX + "auth-realm": 'A "quoted" realm; %[src]'}
    w.ingress("auth", [("auth.example", "/", "Prefix", "a")], basic)
    w.ingress("auth-none", [("auth.none", "/", "Prefix", "a")], {**basic, NGINX + "auth-secret": "nosuch"})
    w.until(401, "auth.example")
    contains(w.ask("auth.example")[2]["WWW-Authenticate"], "%[src]")

    def asked(user, password):
        token = base64.b64encode(f"{user}:{password}".encode()).decode()
        return w.name("auth.example", headers={"Authorization": f"Basic {token}"})
    equal(asked("ann", "secret"), "a")
    equal(asked("ann", "other"), 401)
    equal(asked("plain", "secret"), 401)
    equal([asked(f"bob{i}", t) for i, t in enumerate(texts)], ["a"] * len(texts))
    equal([asked(f"bob{i}", t + "x") for i, t in enumerate(texts)], [401] * len(texts))
    equal((asked("bob0", "x" * 1000), asked("bob0", ""), asked("nobody", "b"), asked("bob0\r\n", "b")), (401, 401, 401, 401))
    w.told("auth", "passwords are hashes")
    w.until(503, "auth.none")
    w.told("auth-none", "nobody is let in")
    w.secret("users", "Opaque", auth=b"ann:" + crypt("changed"))
    wait_for("the new password", lambda: asked("ann", "changed") == "a" and asked("ann", "secret") == 401)


def limits(w):
    w.ingress("allow", [("allow.example", "/", "Prefix", "a")], {NGINX + "whitelist-source-range": "10.0.0.0/8, 192.0.2.1"})
    w.ingress("local", [("local.example", "/", "Prefix", "a")], {NGINX + "whitelist-source-range": "127.0.0.0/8,::1"})
    w.ingress("wrong", [("wrong.example", "/", "Prefix", "a")], {NGINX + "whitelist-source-range": "127.0.0.0/8 } or TRUE"})
    w.ingress("rps", [("rps.example", "/", "Prefix", "a")], {NGINX + "limit-rps": "2", NGINX + "limit-burst-multiplier": "5"})
    w.ingress("many", [("many.example", "/", "Prefix", "slow")], {NGINX + "limit-connections": "2"})
    w.backend("slow")
    w.until(403, "allow.example")
    w.until("a", "local.example")
    w.until(503, "wrong.example")
    w.told("wrong", "nobody is let in")
    w.until("a", "rps.example")
    w.until("slow", "many.example")
    equal({w.name("rps.example") for _ in range(40)}, {"a", 503})
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        def hold():  # what was asked before may count for a moment yet
            return wait_for("its turn", lambda: (got := w.name("many.example", "/slow")) != 503 and got, timeout=120)
        held = [pool.submit(hold) for _ in range(2)]
        w.until(503, "many.example")
        w.backend("slow").held.set()
        equal([f.result() for f in held], ["slow", "slow"])
    w.until("slow", "many.example")


def canaries(w):
    w.ingress("main", [("canary.example", "/", "Prefix", "a")])
    w.until("a", "canary.example")
    w.ingress("canary", [("canary.example", "/", "Prefix", "b")],
              {NGINX + "canary": "true", NGINX + "canary-by-header": "X-Canary", NGINX + "canary-by-cookie": "canary"})
    w.until("b", "canary.example", headers={"X-Canary": "always"})
    for headers, wanted in (({}, "a"), ({"X-Canary": "never"}, "a"), ({"Cookie": "canary=always"}, "b"), ({"Cookie": "canary=never"}, "a"),
                            ({"X-Canary": "never", "Cookie": "canary=always"}, "a"), ({"X-Canary": "other"}, "a")):
        equal(w.name("canary.example", headers=headers), wanted, headers)
    w.ingress("canary", [("canary.example", "/", "Prefix", "b")],
              {NGINX + "canary": "true", NGINX + "canary-by-header": "X-Canary", NGINX + "canary-by-header-value": "it's %[src] me"})
    w.until("b", "canary.example", headers={"X-Canary": "it's %[src] me"})
    equal(w.name("canary.example", headers={"X-Canary": "always"}), "a")
    w.ingress("canary", [("canary.example", "/", "Prefix", "b")], {NGINX + "canary": "true", NGINX + "canary-weight": "50"})
    wait_for("both", lambda: {w.name("canary.example") for _ in range(20)} == {"a", "b"})
    w.ingress("canary", [("canary.example", "/", "Prefix", "b")], {NGINX + "canary": "true", NGINX + "canary-weight": "100"})
    wait_for("the canary", lambda: {w.name("canary.example") for _ in range(20)} == {"b"})
    w.delete(f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/canary")
    wait_for("no canary", lambda: {w.name("canary.example") for _ in range(20)} == {"a"})
    w.ingress("alone", [("alone.example", "/", "Prefix", "b")], {NGINX + "canary": "true", NGINX + "canary-weight": "50"})
    w.told("alone", "no other ingress serves it")


def browsers(w):
    w.ingress("cors", [("cors.example", "/", "Prefix", "a")],
              {NGINX + "enable-cors": "true", NGINX + "cors-allow-origin": "https://app.example", NGINX + "cors-max-age": "60"})
    w.until("a", "cors.example")
    equal(w.ask("cors.example")[2]["Access-Control-Allow-Origin"], "https://app.example")
    status, _, headers = w.ask("cors.example", method="OPTIONS", headers={"Origin": "https://app.example"})
    equal((status, headers["Access-Control-Allow-Origin"], headers["Access-Control-Max-Age"]), (204, "https://app.example", "60"))
    w.service("pair", w.backend("a"), w.backend("b"))
    w.ingress("sticky", [("sticky.example", "/", "Prefix", "pair")], {NGINX + "affinity": "cookie", NGINX + "session-cookie-name": "SID"})
    for name in ("a", "b"):
        w.until(name, "sticky.example")
    _, first, headers = w.ask("sticky.example")
    cookie = headers["Set-Cookie"].split(";")[0]
    contains(cookie, "SID=")
    equal({w.name("sticky.example", headers={"Cookie": cookie}) for _ in range(10)}, {first["name"]})
    equal({w.name("sticky.example") for _ in range(10)}, {"a", "b"})


def websockets(w):
    w.backend("ws")
    w.ingress("ws", [("ws.example", "/", "Prefix", "ws")])
    w.until("ws", "ws.example")
    ws = WebSocket(w.http, "ws.example")
    ws.echo(b"one")
    before = w.serving()
    w.ingress("ws-more", [("ws.more", "/", "Prefix", "ws")], {NGINX + "app-root": "/y"})  # another section: read anew
    w.until(302, "ws.more")
    wait_for("another HAProxy", lambda: w.serving() != before)
    ws.echo(b"two")
    w.slice("ws", (w.backend("ws"), {"ready": False, "serving": True, "terminating": True}))
    w.until("ws", "ws.example")  # nobody else is there
    w.delete(f"/apis/discovery.k8s.io/v1/namespaces/{NS}/endpointslices/ws-{w.backend('ws').port}")
    w.until(503, "ws.example")
    ws.echo(b"three")


def grpc(w):
    if not shutil.which("nghttpd") or not shutil.which("nghttp"):
        raise Skip("needs nghttpd and nghttp (nghttp2-server, nghttp2-client)")
    port = lib.free_port()
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/x", "w", encoding="utf-8") as f:
            f.write("hello")
        server = subprocess.Popen(["nghttpd", "--no-tls", "--trailer", "grpc-status: 0", "-d", d, str(port)], stdout=subprocess.DEVNULL)
        try:
            w.service("grpc")
            w.slice("grpc", (None, {"ready": True}), ports=port)
            w.ingress("grpc", [("grpc.example", "/", "Prefix", "grpc")], {NGINX + "backend-protocol": "GRPC"})
            w.until(200, "grpc.example", "/x")
            r = subprocess.run(["nghttp", "-v", "-H", ":authority: grpc.example", "-H", "te: trailers", f"http://127.0.0.1:{w.http}/x"],
                               check=True, stdout=subprocess.PIPE)
            contains(r.stdout.decode(), ":status: 200", "hello", "grpc-status: 0")
        finally:
            server.terminate()
            server.wait(20)


def churn(w, name, going, filters):
    """While going() is true: endpoints end and come back, hosts come, and with filters so do sections. How many turns."""
    names, turn = [w.backend(f"{name}{i}") for i in range(3)], 0
    while going():
        gone = names[turn % 3]
        w.slice(name, (gone, {"ready": False, "serving": True, "terminating": True}))
        w.delete(f"/apis/discovery.k8s.io/v1/namespaces/{NS}/endpointslices/{name}-{gone.port}")
        w.ingress(f"{name}-{turn % 2}", [(f"h{turn}.{name}", "/", "Prefix", name)],
                  {NGINX + "app-root": "/x"} if filters and turn % 4 == 3 else None)
        w.slice(name, gone)
        turn += 1
    return turn


def churned(w, name):
    w.service(name, *(w.backend(f"{name}{i}") for i in range(3)))
    w.ingress(name, [(f"{name}.org", "/", "Prefix", name)])
    for i in range(3):
        w.until(f"{name}{i}", f"{name}.org")


def no_request_is_lost_to_endpoints(w):
    """What HAProxy is told by command: the connections of clients stay."""
    if not shutil.which("h2load"):
        raise Skip("needs h2load (nghttp2-client)")
    churned(w, "churn")
    load = subprocess.Popen(["h2load", "--h1", "-n", "8000", "-c", "8", f"--connect-to=127.0.0.1:{w.http}", "http://churn.org/"],
                            stdout=subprocess.PIPE, text=True)
    before = w.serving()
    turns = churn(w, "churn", lambda: load.poll() is None, False)
    text = load.communicate()[0]
    equal(w.serving(), before, f"no HAProxy read anew, in {turns} turns; it was said: {w.said()}")
    equal(turns > 2, True, f"changes while the load ran: {turns} turns\n{text}")
    contains(text + w.said() + "\n".join(w.servers_as_seen()), "8000 succeeded, 0 failed, 0 errored, 0 timeout", "status codes: 8000 2xx")


def no_request_is_lost_to_reading_anew(w):
    """Clients with kept connections, which the one that is followed closes with an answer. It listens on until it has noticed
    that: each HAProxy is told at a socket of its own, or it would hear what the next one is told."""
    churned(w, "anew")
    before, stop, bad, seen, told = w.serving(), threading.Event(), [], [], {}

    def refused(status):
        bad.append(status)
        if len(bad) == 1:
            seen.extend([time.time(), *w.servers_as_seen()])

    def client():
        c, n = http.client.HTTPConnection("127.0.0.1", w.http, timeout=30), 0
        while not stop.is_set():
            try:
                c.request("GET", "/", headers={"Host": "anew.org"})
                r = c.getresponse()
                r.read()
                if r.status != 200:
                    refused(r.status)
            except (OSError, http.client.HTTPException) as e:
                bad.append(repr(e))
                c.close()
            n += 1
        return n
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client) for _ in range(4)]
        pids = {before}

        def going():
            pid = w.serving()
            pids.add(pid)
            with contextlib.suppress(OSError):
                told.setdefault(pid, set()).update(w.told_at(pid))  # none: it has just been followed
            return len(pids) < 5
        churn(w, "anew", going, True)
        stop.set()
        asked = sum(f.result() for f in clients)
    equal(bad, [], f"of {asked} requests; at the first HAProxy had {seen}")
    equal(max(len(sockets) for sockets in told.values()), 1, f"sockets of each: {told}")
    equal(len(set.union(*told.values())), sum(len(sockets) for sockets in told.values()), f"sockets of all: {told}")


def injections(w):
    """Row F18 of the faults: what took ingress-nginx over. Each is refused by the API, or a value, or told and without effect."""
    evil = ["/x\n}\nuser root\n", "/x\"; lua-load /tmp/x", "/x' if TRUE", "/x %[env(HOME)]", "/x${HOME}", "/x\r\nbackend b", "/x#",
            "/x\\\n", "/x;show info", "/x <<\nshow env\n\n", "/" + "a" * 5000, "/x\x00y", "/é"]
    for i, path in enumerate(evil):
        with contextlib.suppress(Failed):  # refused by the API is fine, too
            w.ingress(f"evil-path-{i}", [("evil.example", path, "ImplementationSpecific", "a")])
    names = ["auth-realm", "permanent-redirect", "temporal-redirect", "rewrite-target", "app-root", "canary-by-header", "canary-by-header-value",
             "canary-by-cookie", "whitelist-source-range", "session-cookie-name", "cors-allow-origin", "upstream-vhost", "auth-secret",
             "proxy-body-size", "proxy-read-timeout", "backend-protocol", "configuration-snippet", "server-snippet", "auth-url", "mirror-target"]
    for i, name in enumerate(names):
        for k, value in enumerate(("x\n  http-request lua.evil\n", "a'\"\\ %[src] ${HOME} }", "$(id)`id`;<<")):
            w.ingress(f"evil-{i}-{k}", [(f"e{i}-{k}.example", "/", "Prefix", "a")],
                      {NGINX + name: value, NGINX + "enable-cors": "true", NGINX + "affinity": "cookie"})
    w.told("evil-16-0", "configuration-snippet has no effect: it is not one that is known here")
    w.ingress("after", [("after.example", "/", "Prefix", "a")])
    w.until("a", "after.example")
    text = open(f"{w.c.dir}/data/ingress/haproxy.cfg", encoding="utf-8").read()
    for word in ("evil", "lua", "env(", "HOME", "user root", "$(id)", "snippet"):
        equal(word in text, False, word)
    equal(subprocess.run(["haproxy", "-c", "-q", "-f", "haproxy.cfg"], cwd=f"{w.c.dir}/data/ingress", check=False).returncode, 0)
    for i in range(len(evil)):
        w.delete(f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/evil-path-{i}")


def status_and_class(w):
    def of(name):
        return w.c.request("GET", f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/{name}")[1]
    node = w.c.request("GET", "/api/v1/nodes/node-1")[1]
    address = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
    equal(node["metadata"]["annotations"]["caravel.io/ingress-ports"], f"{w.http},{w.https}")
    wait_for("an address", lambda: of("paths")["status"]["loadBalancer"].get("ingress") == [{"ip": address}])
    w.put("/apis/networking.k8s.io/v1/ingressclasses", {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
                                                        "metadata": {"name": "other"}, "spec": {"controller": "example.org/other"}})
    doc = of("paths")
    doc["spec"]["ingressClassName"] = "other"
    doc["metadata"].pop("managedFields", None)
    equal(w.c.request("PUT", f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/paths", doc)[0], 200)
    w.until(404, "one.example")
    wait_for("no address", lambda: not of("paths")["status"]["loadBalancer"].get("ingress"))
    doc = of("paths")
    doc["spec"]["ingressClassName"] = "caravel"
    equal(w.c.request("PUT", f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/paths", doc)[0], 200)
    w.until("a", "one.example")


def deaths_and_hangs(w):
    pid = w.serving()
    os.kill(pid, signal.SIGKILL)
    wait_for("another HAProxy", lambda: w.serving() != pid)
    w.until("a", "one.example")
    pid = w.serving()
    os.kill(pid, signal.SIGSTOP)
    w_ended = lambda: not os.path.exists(f"/proc/{pid}") or open(f"/proc/{pid}/stat", encoding="utf-8").read().split()[2] == "Z"
    wait_for("the end of one that hangs", w_ended, timeout=120)
    w.until("a", "one.example")


def the_server_goes_and_comes(w):
    """HAProxy serves on; the next server's follows it."""
    pid = w.serving()
    w.c.stop()
    equal(w.name("one.example"), "a")
    w.c.start()
    wait_for("another HAProxy", lambda: w.serving() != pid)
    equal(w.name("one.example"), "a")
    os.kill(w.c.server_pid, signal.SIGKILL)  # its supervisor starts it again
    w.until("a", "one.example")


def what_went_while_no_server_ran(w):
    """The last Ingress is gone before the server that comes has looked: the HAProxy of the one before ends."""
    path = f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses"
    w.until("a", "one.example")
    w.c.stop()
    equal(len(w.haproxies()) > 0, True)
    w.c.args.append("--disable=ingress")
    w.c.start()
    wait_for("no HAProxy", lambda: not w.haproxies())
    w.c.stop()
    w.c.args.pop()
    w.c.start()
    w.until("a", "one.example")
    os.kill(w.c.server_pid, signal.SIGKILL)
    w.c.wait_ready()
    w.c.request("DELETE", path)
    wait_for("no HAProxy", lambda: not w.haproxies())


def a_port_that_is_taken(w):
    """It is left to who has it, by name, and served when he has gone."""
    path = f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses"
    w.c.request("DELETE", path)
    wait_for("no HAProxy", lambda: not w.haproxies())
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", w.http))
        s.listen()
        w.ingress("taken", [("taken.example", "/", "Prefix", "a")])
        w.until("a", "taken.example", tls=True)
        contains(w.c.tail(), "another program has the port", f"{w.http}: python3 (pid {os.getpid()}); --ingress-http-port N takes another")
    w.until("a", "taken.example")


def nothing_is_left(w):
    for i in w.c.request("GET", f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses")[1]["items"]:
        w.delete(f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses/{i['metadata']['name']}")
    wait_for("no HAProxy", lambda: not w.haproxies())
    equal(os.listdir(f"{w.c.dir}/data/ingress").count("default.pem"), len(glob.glob(f"{w.c.dir}/data/ingress/*.pem")), "keys on the disk")
    w.ingress("last", [("last.example", "/", "Prefix", "a")])
    w.until("a", "last.example")
    w.c.stop()
    equal(len(w.haproxies()) > 0, True)
    subprocess.run([lib.CARAVEL, "cleanup", "--stop", "--data-dir", f"{w.c.dir}/data"], check=True, timeout=120, stdout=subprocess.DEVNULL)
    wait_for("no HAProxy", lambda: not w.haproxies())


TESTS = [nothing_without_an_ingress, hosts_and_paths, what_is_missing, of_two_the_older, who_asks, tls, redirects, rewriting,
         bodies_and_time, passwords, limits, canaries, browsers, websockets, grpc,
         no_request_is_lost_to_endpoints, no_request_is_lost_to_reading_anew, injections, status_and_class,
         deaths_and_hangs, the_server_goes_and_comes, what_went_while_no_server_ran, a_port_that_is_taken, nothing_is_left]

def without_haproxy(c):
    """Whoever asks why his Ingress has no address is told what to install."""
    c.kubectl("create", "ingress", "waits", "--class=caravel", "--rule=/*=nobody:80")

    def told():
        return "haproxy is not installed: apt-get install haproxy" in c.kubectl("describe", "ingress", "waits")
    lib.wait_for("an Event", told, 60)


if __name__ == "__main__":
    lib.need_node()
    if not shutil.which("haproxy") and not os.path.exists("/usr/sbin/haproxy"):
        def no_haproxy():
            raise Skip("needs haproxy")
        sys.exit(lib.main([no_haproxy]))
    if not lib.own_address():
        def no_address():
            raise Skip("needs an address that is not loopback")
        sys.exit(lib.main([no_address]))
    world = World()
    with world.c:
        status = lib.main(TESTS, world)
    if len(sys.argv) == 1 or "without_haproxy" in sys.argv:
        bare = lib.Cluster(agent=True)
        bare.prefix = ["unshare", "--mount", "sh", "-c",
                       "for f in $(which haproxy) /usr/sbin/haproxy; do mount --bind /dev/null $f; done; exec \"$@\"", "sh"]
        with bare:
            status |= lib.main([without_haproxy], bare)
    sys.exit(status)
