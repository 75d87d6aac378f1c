#!/usr/bin/env python3
"""The wall between nodes and the control plane, from the other side: with a node's real certificate, over TLS, by the
ways in which a node once was worth the whole cluster. No kubelet runs here; the refusals in detail are
tests/unit/apiserver/authz.matrix."""
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile

from lib import Cluster, Failed, contains, equal, main, wait_for

MIRROR = {"kubernetes.io/config.mirror": "x"}
UNRELATED = "no relationship found between node 'node-a' and this object"


class Node:
    """Somebody who has the certificate of a node."""

    def __init__(self, c, name):
        self.c, self.name = c, name
        pki = os.path.join(c.dir, "data", "pki")
        with tempfile.TemporaryDirectory() as d:
            key, request, cert, both = (os.path.join(d, f) for f in ("key", "csr", "crt", "pem"))
            openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request,
                    "-subj", f"/O=system:nodes/CN=system:node:{name}")
            ext = os.path.join(d, "ext")
            with open(ext, "w", encoding="utf-8") as f:
                f.write("extendedKeyUsage=clientAuth\nkeyUsage=digitalSignature\n")
            openssl("x509", "-req", "-in", request, "-CA", os.path.join(pki, "ca.crt"), "-CAkey", os.path.join(pki, "ca.key"),
                    "-set_serial", "4711", "-days", "1", "-extfile", ext, "-out", cert)
            with open(both, "wb") as out:
                for part in (cert, key):
                    with open(part, "rb") as f:
                        out.write(f.read())
            c.context()
            self.tls = ssl.create_default_context(cadata=c.ca.decode())
            self.tls.load_cert_chain(both)

    def ask(self, method, path, body=None, patch=False):
        headers = {"Content-Type": "application/strategic-merge-patch+json"} if patch else None
        code, answer, _ = self.c.request(method, path, body, headers, self.tls)
        return code, answer

    def refused(self, method, path, words, body=None, patch=False):
        code, answer = self.ask(method, path, body, patch)
        equal(code, 403, f"{method} {path}: {answer}")
        contains(answer["message"], words)

    def allowed(self, method, path, body=None, patch=False):
        code, answer = self.ask(method, path, body, patch)
        if code >= 300:
            raise Failed(f"{method} {path}: {code} {answer}")
        return answer


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def admin(c, method, path, body=None):
    code, answer, _ = c.request(method, path, body)
    if code >= 300:
        raise Failed(f"{method} {path}: {code} {answer}")
    return answer


def pod(name, node, account=None, volumes=(), **meta):
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "i"}], "volumes": list(volumes)}
    if account:
        spec["serviceAccountName"] = account
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **meta}, "spec": spec}


def set_up(c):
    a, b = Node(c, "node-a"), Node(c, "node-b")
    a.allowed("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-a"}})
    b.allowed("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-b"}})
    admin(c, "POST", "/api/v1/namespaces", {"metadata": {"name": "vip"}})
    wait_for("the namespace's account", lambda: c.request("GET", "/api/v1/namespaces/vip/serviceaccounts/default")[0] == 200)
    for name in ("boss", "worker"):
        admin(c, "POST", "/api/v1/namespaces/vip/serviceaccounts", {"metadata": {"name": name}})
    admin(c, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "metadata": {"name": "boss"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "vip", "name": "boss"}]})
    for name in ("vipsecret", "mine"):
        admin(c, "POST", "/api/v1/namespaces/vip/secrets", {"metadata": {"name": name}, "stringData": {"k": "treasure"}})
    admin(c, "POST", "/api/v1/namespaces/vip/pods", pod("pod-a", "node-a", "worker", labels={"app": "honest"},
                                                         volumes=[{"name": "s", "secret": {"secretName": "mine"}}]))
    admin(c, "POST", "/api/v1/namespaces/vip/pods", pod("pod-b", "node-b", "boss"))
    return a, b


def secrets_and_accounts_by_a_mirror_pod(c, a, _b):
    """S01: a mirror pod that names what its node wants."""
    node = a.allowed("GET", "/api/v1/nodes/node-a")
    owner = [{"apiVersion": "v1", "kind": "Node", "name": "node-a", "uid": node["metadata"]["uid"], "controller": True}]
    secret, token = "/api/v1/namespaces/vip/secrets/vipsecret", "/api/v1/namespaces/vip/serviceaccounts/boss/token"
    pods = "/api/v1/namespaces/vip/pods"

    def both_closed():
        a.refused("GET", secret, UNRELATED)
        a.refused("POST", token, UNRELATED, {})
        a.refused("POST", token, UNRELATED, {"spec": {"expirationSeconds": 315360000}})

    both_closed()
    volume = {"name": "v", "secret": {"secretName": "vipsecret"}}
    for words, body in (
            ("a mirror pod may not reference service accounts",
             pod("m", "node-a", "boss", [volume], annotations=MIRROR, ownerReferences=owner)),
            ("a mirror pod may not reference secrets", pod("m", "node-a", None, [volume], annotations=MIRROR, ownerReferences=owner)),
            ("can not create pods that reference persistentvolumeclaims",
             pod("m", "node-a", None, [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}], annotations=MIRROR, ownerReferences=owner)),
            ("can not create pods that reference configmaps",
             pod("m", "node-a", None, [{"name": "v", "configMap": {"name": "x"}}], annotations=MIRROR, ownerReferences=owner)),
            ("can only create mirror pods", pod("m", "node-a", "boss", [volume])),
            ("can only create pods with an owner reference set to itself", pod("m", "node-a", annotations=MIRROR))):
        a.refused("POST", pods, words, body)
    both_closed()
    a.allowed("POST", pods, pod("m", "node-a", annotations=MIRROR, ownerReferences=owner))
    both_closed()
    # What its own pod uses it reads; a token is that pod's, and worth what the pod's account is.
    contains(json.dumps(a.allowed("GET", "/api/v1/namespaces/vip/secrets/mine")), "mine")
    worker = "/api/v1/namespaces/vip/serviceaccounts/worker/token"
    uid = a.allowed("GET", pods + "/pod-a")["metadata"]["uid"]
    a.refused("POST", worker, "node requested token not bound to a pod", {"spec": {"expirationSeconds": 315360000}})
    bound = {"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "pod-a", "uid": uid}}}
    bearer = {"Authorization": "Bearer " + a.allowed("POST", worker, bound)["status"]["token"]}
    equal(c.request("GET", "/api/v1/secrets", None, bearer, c.anonymous_context())[0], 403)
    equal(c.request("GET", "/apis", None, bearer, c.anonymous_context())[0], 200)


def labels_through_status(c, a, b):
    """S10: a node puts itself behind a Service by relabelling its pods."""
    status = "/api/v1/namespaces/vip/pods/pod-a/status"
    a.refused("PATCH", status, "node \"node-a\" cannot update labels through pod status", {"metadata": {"labels": {"app": "stolen"}}}, True)
    b.refused("PATCH", status, "can only update pod status for pods with spec.nodeName set to itself", {"status": {"message": "x"}}, True)
    a.allowed("PATCH", status, {"status": {"message": "here"}}, True)
    after = admin(c, "GET", "/api/v1/namespaces/vip/pods/pod-a")
    equal((after["metadata"]["labels"], after["status"]["message"]), ({"app": "honest"}, "here"))


def other_peoples_pods_and_nodes(c, a, _b):
    """S12: a node looks at what runs elsewhere. Its network and policies read Nodes and Pods by roles, which an administrator may
    take away; all else has no other way."""
    for name in ("node-network", "node-policies"):
        equal(c.request("DELETE", f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:caravel:{name}")[0], 200)
    for path in ("/api/v1/pods", "/api/v1/pods?watch=true", "/api/v1/namespaces/vip/pods", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-b"):
        a.refused("GET", path, "can only list/watch pods with spec.nodeName field selector")
    a.refused("GET", "/api/v1/namespaces/vip/pods/pod-b", UNRELATED)
    a.refused("GET", "/api/v1/nodes", "node 'node-a' cannot read all nodes, only its own Node object")
    a.refused("GET", "/api/v1/nodes/node-b", "node 'node-a' cannot read 'node-b', only its own Node object")
    names = {p["metadata"]["name"] for p in a.allowed("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a")["items"]}
    equal(names, {"pod-a", "m"})
    equal(len(a.allowed("GET", "/api/v1/nodes?fieldSelector=metadata.name%3Dnode-a")["items"]), 1)


def labels_and_taints_of_its_node(c, a, b):
    """CVE-2025-5187 and its relatives: by what is placed where."""
    path = "/api/v1/nodes/node-a"
    equal(c.request("PATCH", path, {"metadata": {"labels": {"node-restriction.kubernetes.io/tier": "low"}}},
                    {"Content-Type": "application/merge-patch+json"})[0], 200)
    for words, body in (
            ("is not allowed to modify labels: node-restriction.kubernetes.io/tier",
             {"metadata": {"labels": {"node-restriction.kubernetes.io/tier": None}}}),
            ("is not allowed to modify labels: node-role.kubernetes.io/control-plane",
             {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}),
            ("is not allowed to modify taints", {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
            ("is not allowed to modify ownerReferences",
             {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "n", "uid": "u"}]}})):
        a.refused("PATCH", path, words, body, True)
        b.refused("PATCH", path, "node \"node-b\" is not allowed to modify node \"node-a\"", body, True)
    a.allowed("PATCH", path, {"metadata": {"labels": {"example.com/rack": "4"}}}, True)


if __name__ == "__main__":
    if not shutil.which("openssl"):
        print("needs openssl")
        sys.exit(77)
    with Cluster() as cluster:
        NODES = set_up(cluster)
        STATUS = main([secrets_and_accounts_by_a_mirror_pod, labels_through_status, other_peoples_pods_and_nodes,
                       labels_and_taints_of_its_node], cluster, *NODES)
    sys.exit(STATUS)
