"""Certificates and tokens: requests made with openssl, judged with kubectl; how a machine joins; what join tokens sign.
What is refused comes first."""
import base64
import hashlib
import hmac
import json
import os
import shutil
import ssl
import subprocess
import sys

from lib import CARAVEL, Cluster, Failed, contains, equal, main, need_tools, wait_for

ADVERTISED = "192.0.2.77"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
KUBELET_CLIENT, KUBELET_SERVING = "kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving"


def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *args], input=stdin, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout


def make_request(c, name, subject, names=None, key="ec"):
    """A key in the cluster's directory, and its request as PEM."""
    at = os.path.join(c.dir, name + ".key")
    kind = {"ec": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "rsa": ["rsa:2048"], "ed25519": ["ed25519"]}[key]
    return openssl("req", "-new", "-newkey", *kind, "-nodes", "-keyout", at, "-subj", subject, *(["-addext", "subjectAltName=" + names] if names else []))


def csr(name, pem, signer, usages, **more):
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {"request": base64.b64encode(pem.encode()).decode(), "signerName": signer, "usages": usages, **more}}


CLIENT, SERVER = ["digital signature", "client auth"], ["digital signature", "server auth"]


def conditions(c, name):
    return {x["type"]: x for x in c.get("csr", name).get("status", {}).get("conditions", [])}


def issued(c, name):
    """Waits for the certificate; its PEM, beside its key."""
    text = wait_for(f"the certificate of {name}", lambda: c.get("csr", name).get("status", {}).get("certificate"))
    at = os.path.join(c.dir, name + ".crt")
    with open(at, "wb") as f:
        f.write(base64.b64decode(text))
    return at


def client_of(c, name):
    """Arguments of kubectl that act by a certificate of issued(), or with a token."""
    c.context()
    ca = os.path.join(c.dir, "ca.crt")
    with open(ca, "wb") as f:
        f.write(c.ca)
    return ["--kubeconfig=/dev/null", f"--server=https://127.0.0.1:{c.port}", f"--certificate-authority={ca}",
            *([f"--token={name}"] if "." in name else [f"--client-certificate={c.dir}/{name}.crt", f"--client-key={c.dir}/{name}.key"])]


def refused(c, words, *args, **kw):
    out = c.run(*args, check=False, **kw)
    if out.returncode == 0:
        raise Failed(f"kubectl {' '.join(args)} was let through:\n{out.text}")
    contains(out.text + out.errors, words)


def token(c, *args, check=True):
    r = subprocess.run([CARAVEL, "token", *args, "--data-dir", os.path.join(c.dir, "data"), "--kubeconfig", c.kubeconfig],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if check and r.returncode:
        raise Failed(f"caravel token {args}: {r.returncode} {r.stderr}")
    return r.stdout.strip() if check else r


def node_token(c):
    with open(os.path.join(c.dir, "data", "server", "node-token"), encoding="utf-8") as f:
        return f.read().strip()


# --- people ---

def a_request_is_judged(c):
    pem = make_request(c, "alice", "/O=devs/CN=alice")
    bad = csr("alice", pem, "kubernetes.io/kube-apiserver-client", CLIENT)
    for change, words in (({"request": "eA=="}, "PEM block type must be CERTIFICATE REQUEST"), ({"usages": ["fly"]}, "Unsupported value"),
                          ({"expirationSeconds": 60}, "may not specify a duration less than 600 seconds")):
        refused(c, words, "apply", "-f", "-", stdin=json.dumps({**bad, "spec": {**bad["spec"], **change}}))
    masters = make_request(c, "eve", "/O=system:masters/CN=eve")
    refused(c, "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed", "apply", "-f", "-",
            stdin=json.dumps(csr("eve", masters, "kubernetes.io/kube-apiserver-client", CLIENT)))
    c.apply(json.dumps({**bad, "spec": {**bad["spec"], "expirationSeconds": 86400}}))
    contains(c.kubectl("get", "csr", "alice"), "REQUESTEDDURATION", "system:admin", "24h", "Pending")
    c.kubectl("create", "clusterrole", "approver", "--verb=get,update", "--resource=certificatesigningrequests,certificatesigningrequests/approval")
    c.kubectl("create", "clusterrolebinding", "approver", "--clusterrole=approver", "--user=bob")
    refused(c, 'user not permitted to approve requests with signerName "kubernetes.io/kube-apiserver-client"',
            "certificate", "approve", "alice", "--as=bob")
    equal(conditions(c, "alice"), {}, "a request that was refused to bob")
    contains(c.kubectl("certificate", "approve", "alice"), "approved")
    issued(c, "alice")
    contains(c.kubectl("get", "csr", "alice"), "Approved,Issued")
    contains(c.kubectl("auth", "whoami", *client_of(c, "alice")), "alice", "devs", "system:authenticated")
    refused(c, "User \"alice\" cannot list resource \"pods\"", "get", "pods", *client_of(c, "alice"))
    contains(c.kubectl("describe", "csr", "alice"), "Subject:", "Organization:", "devs", "Issued")


def a_request_is_denied(c):
    c.apply(json.dumps(csr("mallory", make_request(c, "mallory", "/CN=mallory", key="rsa"), "kubernetes.io/kube-apiserver-client", CLIENT)))
    contains(c.kubectl("certificate", "deny", "mallory"), "denied")
    contains(c.kubectl("get", "csr", "mallory"), "Denied")
    refused(c, "is already Denied", "certificate", "approve", "mallory")


def a_signer_says_no(c):
    c.apply(json.dumps(csr("wrong", make_request(c, "wrong", "/CN=wrong", key="ed25519"), "kubernetes.io/kube-apiserver-client", ["server auth"])))
    c.kubectl("certificate", "approve", "wrong")
    failed = wait_for("the signer's word", lambda: conditions(c, "wrong").get("Failed"))
    equal((failed["reason"], failed["message"]), ("SignerValidationFailure", "invalid usage for client certificate: server auth"))
    contains(c.kubectl("get", "csr", "wrong"), "Approved,Failed")
    c.apply(json.dumps(csr("foreign", make_request(c, "foreign", "/CN=x"), "example.com/signer", ["any"])))
    c.kubectl("certificate", "approve", "foreign")
    equal(len(json.loads(c.kubectl("get", "csr", "--field-selector=spec.signerName=example.com/signer", "-o", "json"))["items"]), 1)


def each_endpoint_has_its_verbs(c):
    """The conformance behaviour "CertificateSigningRequest API"."""
    group = c.request("GET", "/apis/certificates.k8s.io")[1]
    equal([v["groupVersion"] for v in group["versions"]], ["certificates.k8s.io/v1"])
    verbs = {r["name"]: r["verbs"] for r in c.request("GET", "/apis/certificates.k8s.io/v1")[1]["resources"]}
    equal(sorted(verbs["certificatesigningrequests"]), ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
    for sub in ("approval", "status"):
        equal(sorted(verbs["certificatesigningrequests/" + sub]), ["get", "patch", "update"])
    merge, label = {"Content-Type": "application/merge-patch+json"}, "?labelSelector=set=conformance"
    made = []
    for name in ("c1", "c2", "c3"):
        body = csr(name, make_request(c, name, "/CN=" + name), "example.com/conformance", CLIENT)
        body["metadata"]["labels"] = {"set": "conformance"}
        made.append(c.request("POST", CSRS, body)[1])
    listed = c.request("GET", CSRS + label)[1]
    equal([o["metadata"]["name"] for o in listed["items"]], ["c1", "c2", "c3"])
    at, cert = CSRS + "/c1", openssl("req", "-x509", "-key", f"{c.dir}/c1.key", "-subj", "/CN=c1", "-days", "1")

    def change(path, method, body, headers=None):
        status, o, _ = c.request(method, path, body, headers)
        equal(status, 200, f"{method} {path} {o}")
        equal(c.request("GET", path)[1]["metadata"]["resourceVersion"], o["metadata"]["resourceVersion"])
        return o
    equal(change(at, "PATCH", {"metadata": {"annotations": {"patched": "true"}}}, merge)["metadata"]["annotations"]["patched"], "true")
    o = change(at, "GET", None)
    o["metadata"]["annotations"]["updated"] = "true"
    equal(change(at, "PUT", o)["metadata"]["annotations"]["updated"], "true")
    o = change(at + "/approval", "PATCH", {"metadata": {"annotations": {"patchedapproval": "true"}}, "status": {"conditions": [
        {"type": "ApprovalPatch", "status": "True", "reason": "e2e"}]}}, merge)
    equal((o["status"]["conditions"][0]["type"], o["metadata"]["annotations"]["patchedapproval"]), ("ApprovalPatch", "true"))
    o["status"]["conditions"].append({"type": "Approved", "status": "True", "reason": "E2E", "message": "Set from an e2e test"})
    o = change(at + "/approval", "PUT", o)
    equal(o["status"]["conditions"][1]["type"], "Approved")
    o = change(at + "/status", "PATCH", {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {
        "certificate": base64.b64encode(cert.encode()).decode()}}, merge)
    equal((base64.b64decode(o["status"]["certificate"]).decode(), o["metadata"]["annotations"]["patchedstatus"]), (cert, "true"))
    o["status"]["conditions"].append({"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from an e2e test"})
    equal(change(at + "/status", "PUT", o)["status"]["conditions"][2]["type"], "StatusUpdate")
    equal(c.request("DELETE", at)[0], 200)
    equal(c.request("GET", at)[0], 404)
    equal(c.request("DELETE", CSRS + label)[0], 200)
    equal(c.request("GET", CSRS + label)[1]["items"], [])
    connection = c.connect()
    connection.request("GET", f"{CSRS}{label.replace('?', '?watch=true&')}&timeoutSeconds=1&resourceVersion={listed['metadata']['resourceVersion']}")
    seen = [json.loads(line) for line in connection.getresponse().read().splitlines()]
    equal([e["type"] for e in seen if e["object"]["metadata"]["name"] == "c1"], ["MODIFIED"] * 6 + ["DELETED"])
    connection.close()


# --- machines ---

def post(c, bearer, body):
    return c.request("POST", CSRS, body, {"Authorization": "Bearer " + bearer}, context=c.anonymous_context())


def only_a_good_token_joins(c):
    good = make_request(c, "n9", "/O=system:nodes/CN=system:node:n9")
    body = csr("n9", good, KUBELET_CLIENT, CLIENT)
    signs = token(c, "create", "--usages", "signing").split("::")[1]
    nobody = token(c, "create", "--groups", "system:bootstrappers:others").split("::")[1]
    gone = token(c, "create").split("::")[1]
    token(c, "delete", gone)
    for bearer, code in ((node_token(c), 401), (signs, 401), (gone, 401), ("abcdef.0123456789abcdef", 401), (nobody, 403)):
        equal(post(c, bearer, body)[0], code, bearer.split(".")[0])
    equal(c.request("GET", CSRS + "/n9")[0], 404)


def a_machine_joins(c):
    bearer = node_token(c).split("::")[1]
    for name, subject, names, usages in (("x1", "/O=system:nodes/O=devs/CN=system:node:n9", None, CLIENT), ("x2", "/O=system:nodes/CN=n9", None, CLIENT),
                                         ("x3", "/O=system:nodes/CN=system:node:n9", "DNS:n9", CLIENT), ("x4", "/O=system:nodes/CN=system:node:n9", None, SERVER),
                                         ("x5", "/O=system:nodes/CN=system:node:a/CN=system:node:n9", None, CLIENT)):
        equal(post(c, bearer, csr(name, make_request(c, name, subject, names), KUBELET_CLIENT, usages))[0], 201, name)
    equal(post(c, bearer, csr("n9", make_request(c, "n9", "/O=system:nodes/CN=system:node:n9"), KUBELET_CLIENT, CLIENT))[0], 201)
    issued(c, "n9")
    contains(conditions(c, "n9")["Approved"]["message"], "Auto approving kubelet client certificate after SubjectAccessReview.")
    for name in ("x1", "x2", "x3", "x4", "x5"):
        equal(conditions(c, name), {}, name)
    me = client_of(c, "n9")
    contains(c.kubectl("auth", "whoami", *me), "system:node:n9", "system:nodes")
    refused(c, 'node "n9" is not allowed to modify node "n8"', "create", "-f", "-", *me,
            stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n8"}}))
    refused(c, "can only create a node CSR with CN=system:node:n9", "create", "-f", "-", *me,
            stdin=json.dumps(csr("y1", make_request(c, "y1", "/O=system:nodes/CN=system:node:n8"), KUBELET_CLIENT, CLIENT)))
    refused(c, "cannot list resource \"secrets\"", "get", "secrets", "-A", *me)
    c.kubectl("create", "-f", "-", *me, stdin=json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n9"}}))
    for kind in ("services", "endpointslices", "networkpolicies", "pods"):
        c.kubectl("get", kind, "-A", *me)
    c.kubectl("get", "nodes,namespaces", *me)
    # and renews by itself
    c.kubectl("create", "-f", "-", *me, stdin=json.dumps(csr("n9-2", make_request(c, "n9-2", "/O=system:nodes/CN=system:node:n9"), KUBELET_CLIENT, CLIENT)))
    issued(c, "n9-2")
    contains(conditions(c, "n9-2")["Approved"]["message"], "Auto approving self kubelet client certificate")


def a_deleted_node_keeps_no_connections(c):
    """What a machine opened for its kubelet ends when its Node goes, or is another one: it must not be asked in that one's place."""
    bearer = node_token(c).split("::")[1]
    equal(post(c, bearer, csr("n7", make_request(c, "n7", "/O=system:nodes/CN=system:node:n7"), KUBELET_CLIENT, CLIENT))[0], 201)
    issued(c, "n7")
    me = client_of(c, "n7")
    node = json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n7"}})
    c.kubectl("create", "-f", "-", *me, stdin=node)
    tls = ssl.create_default_context(cadata=c.ca.decode())
    tls.load_cert_chain(f"{c.dir}/n7.crt", f"{c.dir}/n7.key")

    def opened():
        conn = c.connect(tls)
        conn.connect()
        conn.sock.sendall(b"GET /v1-caravel/nodes/n7/connect HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: caravel-reverse\r\n\r\n")
        contains(conn.sock.recv(4096).decode(), "101")
        conn.sock.settimeout(100)
        return conn.sock
    first = opened()
    c.kubectl("delete", "node", "n7")
    c.kubectl("create", "-f", "-", *me, stdin=node)  # of the same name, seen by no sweep in between
    second = opened()
    equal(first.recv(1), b"", "of the Node that was deleted")
    # Once the Node says which key is its machine's, that of another one is nobody.
    by = {"Content-Type": "application/merge-patch+json"}
    der = subprocess.run(["openssl", "pkey", "-in", f"{c.dir}/n7.key", "-pubout", "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout
    key = hashlib.sha256(der).hexdigest()
    for said, code in ((key, 200), ("0" * 64, 401), ("server", 200), (key, 200)):
        equal(c.request("PATCH", "/api/v1/nodes/n7", {"metadata": {"annotations": {"caravel.io/node-key": said}}}, by)[0], 200)
        equal(c.request("GET", "/api/v1/nodes/n7", context=tls)[0], code, said)
    second.settimeout(0.5)
    try:
        raise Failed(f"the new Node's is ended: {second.recv(1)}")
    except TimeoutError:
        pass


def it_serves_under_its_own_names(c):
    me = client_of(c, "n9")

    def ask(name, names):
        c.kubectl("create", "-f", "-", *me,
                  stdin=json.dumps(csr(name, make_request(c, name, "/O=system:nodes/CN=system:node:n9", names), KUBELET_SERVING, SERVER)))
    ready = {"addresses": [{"type": "InternalIP", "address": "198.51.100.11"}, {"type": "Hostname", "address": "n11"}],
             "conditions": [{"type": "Ready", "status": "True"}]}
    c.apply(json.dumps({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n11"}}))
    equal(c.request("PATCH", "/api/v1/nodes/n11/status", {"status": ready}, {"Content-Type": "application/merge-patch+json"})[0], 200)
    ask("of-n11", "IP:198.51.100.11,DNS:n9")
    ask("name-of-n11", "IP:198.51.100.9,DNS:n11")
    addresses = [{"type": "InternalIP", "address": "198.51.100.11"}, {"type": "InternalDNS", "address": "n11"},
                 {"type": "InternalIP", "address": "198.51.100.9"}, {"type": "Hostname", "address": "n9"},
                 {"type": "InternalIP", "address": ADVERTISED}, {"type": "InternalDNS", "address": "kubernetes.default"}]
    ask("other", "IP:198.51.100.8,DNS:n9")
    ask("server-ip", f"IP:{ADVERTISED}")
    ask("server-name", "DNS:kubernetes.default")
    ask("n9-serving", "IP:198.51.100.9,DNS:n9")
    tls = ssl.create_default_context(cadata=c.ca.decode())
    tls.load_cert_chain(f"{c.dir}/n9.crt", f"{c.dir}/n9.key")
    equal(c.request("PATCH", "/api/v1/nodes/n9/status", {"status": {"addresses": addresses}}, {"Content-Type": "application/merge-patch+json"}, tls)[0], 200)
    cert = issued(c, "n9-serving")
    text = openssl("x509", "-in", cert, "-noout", "-text")
    contains(text, "TLS Web Server Authentication", "IP Address:198.51.100.9", "DNS:n9", "O = system:nodes, CN = system:node:n9", "CA:FALSE")
    openssl("verify", "-CAfile", os.path.join(c.dir, "ca.crt"), "-purpose", "sslserver", cert)
    for name in ("other", "server-ip", "server-name", "of-n11", "name-of-n11"):
        equal(conditions(c, name), {}, name)
    wait_for("the event that says why", lambda: "left to kubectl certificate approve" in c.kubectl("get", "events", "-A"))
    wait_for("the event that names the other node", lambda: "it names node n11, too, which is Ready" in c.kubectl("get", "events", "-A"))


# --- tokens ---

def tokens_come_and_go(c):
    for args, words in ((["create", "--groups", "system:masters"], "--groups takes groups"), (["create", "--ttl", "soon"], "--ttl takes a time"),
                        (["create", "--usages", "flying"], "--usages takes"), (["create", "short"], "a join token is"), (["delete", "nosuch"], "there is no token"),
                        (["create", "K10" + 64 * "0" + "::abcdef.0123456789abcdef"], "is not the one the token was made for")):
        r = token(c, *args, check=False)
        equal(r.returncode, 1, str(args))
        contains(r.stderr, words)
    text = token(c, "create", "abcdef.0123456789abcdef", "--ttl", "2h", "--description", "the third rack")
    equal(text, "K10" + hashlib.sha256(c.ca).hexdigest() + "::abcdef.0123456789abcdef")
    contains(token(c, "list"), "abcdef", "the third rack", "system:bootstrappers:kubeadm:default-node-token")
    contains(token(c, "create", "abcdef.0123456789abcdef", check=False).stderr, "there is a token 'abcdef'")
    contains(token(c, "create", "--print-join-command"), f"caravel agent --server https://{ADVERTISED}:{c.port} --token K10")
    contains(c.kubectl("auth", "whoami", *client_of(c, "abcdef.0123456789abcdef")), "system:bootstrap:abcdef")
    token(c, "delete", text)
    before, after = node_token(c), token(c, "rotate")
    equal(node_token(c), after)
    equal(os.readlink(os.path.join(c.dir, "data", "server", "agent-token")), "node-token")
    # who it was is remembered for some seconds
    wait_for("the old token's end", lambda: c.run("auth", "whoami", *client_of(c, before.split("::")[1]), check=False).returncode)
    refused(c, "You must be logged in to the server", "auth", "whoami", *client_of(c, before.split("::")[1]))
    contains(c.kubectl("auth", "whoami", *client_of(c, after.split("::")[1])), "system:bootstrappers:caravel:default-node-token")


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def anybody_finds_the_cluster(c):
    path = "/api/v1/namespaces/kube-public/configmaps/cluster-info"
    equal(c.request("GET", "/api/v1/namespaces/kube-public/configmaps", context=c.anonymous_context())[0], 403)
    ident, secret = node_token(c).split("::")[1].split(".")
    header = b64url(json.dumps({"alg": "HS256", "kid": ident}, separators=(",", ":")).encode())

    def signed():
        data = c.request("GET", path, context=c.anonymous_context())[1]["data"]
        mac = hmac.new(secret.encode(), header + b"." + b64url(data["kubeconfig"].encode()), "sha256").digest()
        return data if data.get("jws-kubeconfig-" + ident) == (header + b".." + b64url(mac)).decode() else None
    data = wait_for("the token's signature", signed)
    contains(data["kubeconfig"], f"server: https://{ADVERTISED}:{c.port}", base64.b64encode(c.ca).decode())
    equal([k for k in data if k.startswith("jws-") and k[15:] not in token(c, "list")], [])


if __name__ == "__main__":
    need_tools()
    if not shutil.which("openssl"):
        print("needs openssl")
        sys.exit(77)
    with Cluster(args=["--advertise-address", ADVERTISED]) as cluster:
        sys.exit(main([a_request_is_judged, a_request_is_denied, a_signer_says_no, each_endpoint_has_its_verbs, only_a_good_token_joins, a_machine_joins,
                       a_deleted_node_keeps_no_connections, it_serves_under_its_own_names, tokens_come_and_go, anybody_finds_the_cluster], cluster))
