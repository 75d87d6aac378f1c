#!/usr/bin/env python3
"""What controller-runtime's envtest does with the files etcd, kube-apiserver and kubectl, step by step: links to this program stand in."""
import base64
import contextlib
import http.client
import http.server
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading

from hooks import Hooks
from lib import BIN, CARAVEL, Failed, Skip, contains, equal, free_port, main, need_tools, own_dir, wait_for

ANY = ssl._create_unverified_context()  # as envtest asks for health: there is a certificate, and whose does not matter yet


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, capture_output=True)


class Authority:
    """A CA as envtest makes one: ECDSA, for this run alone."""

    def __init__(self, folder, name):
        self.folder, self.pem = folder, os.path.join(folder, name + ".crt")
        self.key = os.path.join(folder, name + ".key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", self.key,
                "-out", self.pem, "-subj", f"/CN={name}")

    def issue(self, cert, key, subject, use, alt=None):
        ext = cert + ".ext"
        with open(ext, "w", encoding="utf-8") as f:
            f.write(f"extendedKeyUsage={use}\n" + (f"subjectAltName={alt}\n" if alt else ""))
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert + ".csr",
                "-subj", subject)
        openssl("x509", "-req", "-in", cert + ".csr", "-CA", self.pem, "-CAkey", self.key, "-CAcreateserial", "-days", "2", "-out",
                cert, "-extfile", ext)

    def user(self, name, *groups):
        pair = os.path.join(self.folder, f"user-{name}")
        self.issue(pair + ".crt", pair + ".key", "".join(f"/O={g}" for g in groups) + f"/CN={name}", "clientAuth")
        return pair + ".crt", pair + ".key"


class Plane:
    """envtest's ControlPlane: an assets directory with three links, and what it starts of them."""

    def __init__(self):
        self.dir, self.lock = own_dir()
        self.assets, self.certs, self.data = (os.path.join(self.dir, d) for d in ("assets", "certs", "etcd"))
        for d in (self.assets, self.certs, self.data):
            os.mkdir(d)
        for name in ("etcd", "kube-apiserver", "kubectl"):
            os.symlink(CARAVEL, os.path.join(self.assets, name))
        self.procs = []
        self.etcd_port, self.port = free_port(), free_port()
        serving = Authority(self.certs, "serving-ca")
        self.ca = serving.pem
        serving.issue(os.path.join(self.certs, "apiserver.crt"), os.path.join(self.certs, "apiserver.key"), "/CN=localhost",
                      "serverAuth", "DNS:localhost,IP:127.0.0.1")
        Authority(self.certs, "sa-signer")
        self.clients = Authority(self.certs, "client-cert-auth-ca")
        self.admin = self.clients.user("default", "system:masters")
        self.kubeconfig = os.path.join(self.dir, "kubeconfig")

    def file(self, name):
        return os.path.join(self.assets, name)

    def launch(self, name, *args):
        with open(os.path.join(self.dir, name + ".log"), "ab") as log:
            proc = subprocess.Popen([self.file(name), *args], stdout=log, stderr=log)
        self.procs.append(proc)
        return proc

    def healthy(self, name, proc, ask):
        def asked():
            if proc.poll() is not None:
                with open(os.path.join(self.dir, name + ".log"), encoding="utf-8") as f:
                    raise SystemExit(f"{name} ended with {proc.returncode}:\n{f.read()}")
            with contextlib.closing(ask()) as c:
                c.request("GET", "/health" if name == "etcd" else "/healthz")
                return c.getresponse().status == 200
        wait_for(f"{name} to be healthy", asked, 20, 0.01)

    def start_etcd(self):
        url = f"http://127.0.0.1:{self.etcd_port}"
        args = [f"--listen-peer-urls=http://127.0.0.1:{free_port()}", f"--data-dir={self.data}", f"--advertise-client-urls={url}",
                f"--listen-client-urls={url}", "--unsafe-no-fsync=true"]
        self.etcd = self.launch("etcd", *args)
        self.healthy("etcd", self.etcd, lambda: http.client.HTTPConnection("127.0.0.1", self.etcd_port, timeout=10))

    def api_args(self):
        return ["--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=true", "--disable-admission-plugins=ServiceAccount",
                f"--cert-dir={self.certs}", "--authorization-mode=RBAC", f"--secure-port={self.port}", "--bind-address=127.0.0.1",
                f"--service-account-issuer=https://127.0.0.1:{self.port}/", f"--service-account-key-file={self.certs}/sa-signer.crt",
                f"--service-account-signing-key-file={self.certs}/sa-signer.key",
                f"--client-ca-file={self.clients.pem}", f"--etcd-servers=http://127.0.0.1:{self.etcd_port}"]

    def start_api(self, *more):
        self.api = self.launch("kube-apiserver", *self.api_args(), *more)
        self.healthy("kube-apiserver", self.api, lambda: http.client.HTTPSConnection("127.0.0.1", self.port, context=ANY, timeout=10))
        with open(self.ca, "rb") as ca:
            authority = base64.b64encode(ca.read()).decode()
        cert, key = self.admin
        with open(self.kubeconfig, "w", encoding="utf-8") as f:
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "test",
                       "clusters": [{"name": "test", "cluster": {"server": f"https://127.0.0.1:{self.port}",
                                                                 "certificate-authority-data": authority}}],
                       "users": [{"name": "test", "user": {"client-certificate": cert, "client-key": key}}],
                       "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}]}, f)

    def end(self, proc):
        proc.send_signal(signal.SIGTERM)
        return proc.wait(20)

    def request(self, method, path, body=None, user=None, kind="application/json"):
        tls = ssl.create_default_context(cafile=self.ca)
        if user is not False:
            tls.load_cert_chain(*(user or self.admin))
        with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", self.port, context=tls, timeout=30)) as c:
            c.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind})
            r = c.getresponse()
            text = r.read().decode()
            return r.status, json.loads(text) if text.startswith("{") else text

    def ask(self, method, path, body=None, code=(200, 201), **more):
        status, answer = self.request(method, path, body, **more)
        if status not in code:
            raise Failed(f"{method} {path}: {status} {answer}")
        return answer

    def gone(self, path):
        wait_for(f"{path} to be gone", lambda: self.request("GET", path)[0] == 404)

    def kubectl(self, *args):
        env = dict(os.environ, PATH=f"{self.assets}:{BIN}:{os.environ['PATH']}", HOME=self.dir)
        r = subprocess.run([self.file("kubectl"), f"--kubeconfig={self.kubeconfig}", *args], env=env, capture_output=True, text=True,
                           timeout=60, check=False)
        return r.returncode, r.stdout, r.stderr

    def cleanup(self):
        for proc in self.procs:
            if proc.poll() is None:
                proc.kill()
                proc.wait(20)
        shutil.rmtree(self.dir, ignore_errors=True)
        self.lock.close()


def flags_are_looked_for(p):
    """CheckFlag: a flag is there when a line of the help begins with it."""
    def has(name, flag):
        r = subprocess.run([p.file(name), "--help"], capture_output=True, text=True, timeout=30, check=True)
        return any(line.split()[:1] == ["--" + flag] for line in (r.stdout + r.stderr).splitlines())
    equal(has("etcd", "unsafe-no-fsync"), True)
    equal(has("kube-apiserver", "secure-port"), True)
    equal(has("kube-apiserver", "insecure-port"), False)  # else envtest sets it


def what_cannot_work_is_refused(p):
    def said(name, *args, **more):
        r = subprocess.run([p.file(name), *args], capture_output=True, text=True, timeout=60, check=False, **more)
        equal(r.returncode, 1, args)
        return r.stderr

    contains(said("kube-apiserver", "--secure-port=1"), "--etcd-servers must be specified")
    contains(said("kube-apiserver", "--etcd-servers=https://127.0.0.1:1"), "--etcd-cafile")
    contains(said("kube-apiserver", "--etcd-servers=http://127.0.0.1:1", "--no-such-flag"), "unknown flag '--no-such-flag'")
    contains(said("kube-apiserver", "--etcd-servers=http://127.0.0.1:1", "--https-listen-port=1"), "alone: the name is --secure-port")
    contains(said("etcd", "--listen-client-urls=ftp://x", f"--data-dir={p.dir}/e"), "takes URLs like http://127.0.0.1:2379")
    contains(said("kubectl", "version", env=dict(os.environ, PATH=p.assets)), "Caravel has no kubectl of its own")


def what_is_no_etcd_is_refused(p):
    """Something else that speaks HTTP."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):  # the name is http.server's
            self.send_response(404)
            self.end_headers()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    r = subprocess.run([p.file("kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{server.server_address[1]}"], capture_output=True,
                       text=True, timeout=60, check=False)
    server.shutdown()
    equal(r.returncode, 1)
    contains(r.stderr, "is no etcd", "--etcd-servers")


def etcd_starts(p):
    p.start_etcd()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", p.etcd_port, timeout=10)) as c:
        for path, wanted in (("/health", '"health":"true"'), ("/version", "etcdserver"), ("/v3/kv/range", "no keys")):
            c.request("GET", path)
            contains(c.getresponse().read().decode(), wanted)
    r = subprocess.run([p.file("etcd"), f"--data-dir={p.data}", "--listen-client-urls=http://127.0.0.1:0"], capture_output=True, text=True,
                       timeout=60, check=False)
    equal(r.returncode, 1)
    contains(r.stderr, p.data)


def kube_apiserver_starts(p):
    p.start_api()
    contains(p.ask("GET", "/version")["gitVersion"], "v1.37.0")


def users_have_certificates(p):
    nobody = p.clients.user("nobody", "testers")
    me = p.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
               {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}, user=nobody)
    equal(me["status"]["userInfo"]["username"], "nobody")
    equal("testers" in me["status"]["userInfo"]["groups"], True)
    equal(p.request("GET", "/api/v1/namespaces", user=nobody)[0], 403)
    equal(p.request("GET", "/api/v1/namespaces", user=False)[0], 403)
    other = os.path.join(p.dir, "other")
    os.mkdir(other)
    equal(p.request("GET", "/api/v1/namespaces", user=Authority(other, "client-cert-auth-ca").user("default", "system:masters"))[0], 401)


def tokens_are_signed_by_the_given_key(p):
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    p.ask("POST", accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}})
    token = p.ask("POST", accounts + "/robot/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                                                      "spec": {}})["status"]["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    equal(claims["iss"], f"https://127.0.0.1:{p.port}/")
    signature = os.path.join(p.dir, "signature")
    raw = base64.urlsafe_b64decode(token.split(".")[2] + "==")
    with open(signature, "wb") as f:  # r and s, as DER has them

        def integer(b):
            b = b.lstrip(b"\0")
            b = b"\0" + b if b[0] & 0x80 else b
            return b"\x02" + bytes([len(b)]) + b
        both = integer(raw[:32]) + integer(raw[32:])
        f.write(b"\x30" + bytes([len(both)]) + both)
    with open(signature + ".of", "w", encoding="utf-8") as f:
        f.write(token.rsplit(".", 1)[0])
    openssl("x509", "-in", f"{p.certs}/sa-signer.crt", "-pubkey", "-noout", "-out", signature + ".key")
    openssl("dgst", "-sha256", "-verify", signature + ".key", "-signature", signature, signature + ".of")
    review = p.ask("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
                                                                           "spec": {"token": token}})
    equal(review["status"]["user"]["username"], "system:serviceaccount:default:robot")


def kubectl_is_the_real_one(p):
    code, out, err = p.kubectl("get", "namespaces", "-o", "name")
    equal((code, err), (0, ""))
    contains(out, "namespace/default", "namespace/kube-system")


GROUP = "/apis/shapes.example.com/v1"


def crds_are_installed(p):
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"sides": {"type": "integer", "minimum": 3},
                                                                                         "colour": {"type": "string"}}}}}
    p.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "polygons.shapes.example.com"},
        "spec": {"group": "shapes.example.com", "scope": "Namespaced", "names": {"plural": "polygons", "kind": "Polygon"},
                 "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}})
    wait_for("the kind in discovery", lambda: any(r["name"] == "polygons" for r in p.ask("GET", GROUP)["resources"]))
    p.ask("POST", GROUP + "/namespaces/default/polygons", polygon("square", sides=4))
    equal(p.request("POST", GROUP + "/namespaces/default/polygons", polygon("line", sides=2))[0], 422)


def polygon(name, owner=None, **spec):
    meta = {"name": name}
    if owner:
        meta["ownerReferences"] = [{"apiVersion": "shapes.example.com/v1", "kind": "Polygon", "name": owner["metadata"]["name"],
                                    "uid": owner["metadata"]["uid"], "blockOwnerDeletion": True}]
    return {"apiVersion": "shapes.example.com/v1", "kind": "Polygon", "metadata": meta, "spec": spec}


def webhooks_by_local_urls(p):
    """WebhookInstallOptions: clientConfig has a URL on 127.0.0.1 and the CA of the manager's certificate."""
    hooks = Hooks(p.dir)
    rule = {"apiGroups": ["shapes.example.com"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["polygons"]}

    def install(kind, behaviour, rule):
        plural = kind.lower() + "s"
        p.ask("POST", f"/apis/admissionregistration.k8s.io/v1/{plural}", {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": behaviour},
            "webhooks": [{"name": f"{behaviour}.shapes.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                          "clientConfig": {"url": f"https://127.0.0.1:{hooks.port}/{behaviour}/it", "caBundle": hooks.ca},
                          "rules": [rule]}]})
        return f"/apis/admissionregistration.k8s.io/v1/{plural}/{behaviour}"
    hooks.answers["/patch/it"] = [{"op": "add", "path": "/spec/colour", "value": "red"}]
    made = [install("MutatingWebhookConfiguration", "patch", rule),
            install("ValidatingWebhookConfiguration", "deny", {**rule, "operations": ["UPDATE"]})]
    wait_for("the webhook", lambda: p.ask("POST", GROUP + "/namespaces/default/polygons?dryRun=All",
                                          polygon("red", sides=3))["spec"].get("colour") == "red")
    status, answer = p.request("PATCH", GROUP + "/namespaces/default/polygons/square", {"spec": {"sides": 5}},
                               kind="application/merge-patch+json")
    equal(status, 403)
    contains(answer["message"], "not here")
    for path in made:
        p.ask("DELETE", path)


def no_controllers_but_those_of_garbage(p):
    pod = {"spec": {"containers": [{"name": "c", "image": "x"}]}, "metadata": {"labels": {"app": "x"}}}
    # without a ServiceAccount, which nobody makes here
    p.ask("POST", "/api/v1/namespaces/default/pods", {"apiVersion": "v1", "kind": "Pod", **pod, "metadata": {"name": "alone"}})
    p.ask("POST", "/apis/apps/v1/namespaces/default/deployments", {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "still"},
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": pod}})
    owner = p.ask("POST", GROUP + "/namespaces/default/polygons", polygon("owner", sides=3))
    p.ask("POST", GROUP + "/namespaces/default/polygons", polygon("owned", owner, sides=3))
    p.ask("DELETE", GROUP + "/namespaces/default/polygons/owner")
    p.gone(GROUP + "/namespaces/default/polygons/owned")
    owner = p.ask("POST", GROUP + "/namespaces/default/polygons", polygon("owner", sides=3))
    p.ask("POST", GROUP + "/namespaces/default/polygons", polygon("owned", owner, sides=3))
    p.ask("DELETE", GROUP + "/namespaces/default/polygons/owner", {"kind": "DeleteOptions", "apiVersion": "v1",
                                                                   "propagationPolicy": "Foreground"})
    p.gone(GROUP + "/namespaces/default/polygons/owner")
    p.gone(GROUP + "/namespaces/default/polygons/owned")
    equal(p.ask("GET", "/apis/apps/v1/replicasets")["items"], [])  # of what was made long before
    equal(p.ask("GET", "/api/v1/serviceaccounts?fieldSelector=metadata.name%3Ddefault")["items"], [])


def namespaces_finish_deleting(p):
    p.ask("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "brief"}})
    p.ask("POST", GROUP + "/namespaces/brief/polygons", polygon("inside", sides=3))
    p.ask("DELETE", "/api/v1/namespaces/brief")
    p.gone("/api/v1/namespaces/brief")


def objects_outlive_a_restart(p):
    equal(p.end(p.api), 0)
    equal(p.end(p.etcd), 0)
    p.start_etcd()
    p.start_api()
    equal(p.ask("GET", GROUP + "/namespaces/default/polygons/square")["spec"]["sides"], 4)


def certificates_are_made_where_there_are_none(p):
    equal(p.end(p.api), 0)
    empty = os.path.join(p.dir, "empty")
    p.start_api(f"--cert-dir={empty}")
    equal(sorted(os.listdir(empty)), ["apiserver.crt", "apiserver.key"])
    equal(os.stat(empty + "/apiserver.key").st_mode & 0o777, 0o600)
    p.ca, ca = empty + "/apiserver.crt", p.ca  # it signs itself
    equal(p.ask("GET", "/readyz"), "ok")
    p.ca = ca


def old_versions_of_tls_are_refused(p):
    def version(highest, suites="ALL"):
        tls = ssl.create_default_context(cafile=p.ca)
        tls.maximum_version = highest
        tls.set_ciphers(suites)
        with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", p.port, context=tls, timeout=10)) as c:
            c.connect()
            return c.sock.version()

    def refused(*args):
        try:
            return version(*args)
        except ssl.SSLError:
            return None
    equal(p.end(p.api), 0)
    p.start_api("--tls-cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
    equal(version(ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES256-GCM-SHA384"), "TLSv1.2")
    equal(refused(ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256"), None)
    equal(p.end(p.api), 0)
    p.start_api("--tls-min-version=VersionTLS13")
    equal(version(ssl.TLSVersion.TLSv1_3), "TLSv1.3")
    equal(refused(ssl.TLSVersion.TLSv1_2), None)


class Kubelet:
    """Answers logs, with a certificate of its own that names its host and no address, as upstream's makes one."""

    def __init__(self, folder, address, clients):
        pem = os.path.join(folder, "kubelet")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", pem + ".key",
                "-out", pem + ".crt", "-subj", "/CN=worker@1", "-addext", "subjectAltName=DNS:worker")
        self.cert, self.asked_by = pem + ".crt", []
        kubelet = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def do_GET(self):  # the name is http.server's
                kubelet.asked_by.append(dict(x[0] for x in self.connection.getpeercert()["subject"])["commonName"])
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"a line of " + self.path.split("?")[0].encode())
        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.server.handle_error = lambda *_: None  # who is refused in the handshake
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pem + ".crt", pem + ".key")
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(clients)
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def kubelets_of_another_authority(p):
    """--kubelet-certificate-authority and -client-*: logs reach a kubelet whose certificate names its host."""
    address = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    if not address:
        raise Skip("needs an address that is not loopback")
    cert, key = p.clients.user("apiserver-of-kubelets", "system:masters")
    kubelet = Kubelet(p.dir, address[0], p.clients.pem)
    port = kubelet.server.server_address[1]
    equal(p.end(p.api), 0)
    p.start_api(f"--kubelet-client-certificate={cert}", f"--kubelet-client-key={key}", f"--kubelet-certificate-authority={kubelet.cert}",
                "--kubelet-timeout=5s")
    p.ask("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"}})
    p.ask("PATCH", "/api/v1/nodes/worker/status", {"status": {
        "addresses": [{"type": "InternalIP", "address": address[0]}, {"type": "Hostname", "address": "worker"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}}, kind="application/merge-patch+json")
    p.ask("POST", "/api/v1/namespaces/default/pods/alone/binding", {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "alone"},
                                                                    "target": {"kind": "Node", "name": "worker"}})
    equal(p.ask("GET", "/api/v1/namespaces/default/pods/alone/log"), "a line of /containerLogs/default/alone/c")
    equal(kubelet.asked_by, ["apiserver-of-kubelets"])
    # a certificate of another name, though of the right authority
    p.ask("PATCH", "/api/v1/nodes/worker/status", {"status": {
        "addresses": [{"type": "InternalIP", "address": address[0]}, {"type": "Hostname", "address": "other"}]}},
        kind="application/merge-patch+json")
    equal(p.request("GET", "/api/v1/namespaces/default/pods/alone/log")[0] >= 500, True)
    equal(len(kubelet.asked_by), 1)


def everything_ends(p):
    equal(p.end(p.api), 0)
    equal(p.end(p.etcd), 0)


if __name__ == "__main__":
    if not shutil.which("openssl"):
        print("needs openssl")
        sys.exit(77)
    need_tools()
    PLANE = Plane()
    try:
        sys.exit(main([flags_are_looked_for, what_cannot_work_is_refused, what_is_no_etcd_is_refused, etcd_starts, kube_apiserver_starts,
                       users_have_certificates, tokens_are_signed_by_the_given_key, kubectl_is_the_real_one, crds_are_installed,
                       webhooks_by_local_urls, no_controllers_but_those_of_garbage, namespaces_finish_deleting, objects_outlive_a_restart,
                       certificates_are_made_where_there_are_none, old_versions_of_tls_are_refused, kubelets_of_another_authority,
                       everything_ends], PLANE))
    finally:
        PLANE.cleanup()
