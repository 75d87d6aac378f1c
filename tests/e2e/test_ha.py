#!/usr/bin/env python3
"""Several servers on one store (Debian's etcd-server): one cluster's keys, whoever is asked."""
import base64
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import CARAVEL, Cluster, contains, equal, main, need_tools  # noqa: E402
from test_etcd import ALONE, TOKEN, Etcd  # noqa: E402

KEYS = ["ca.crt", "ca.key", "sa.key", "front-proxy-ca.crt", "front-proxy-ca.key"]


def server(etcd, *more):
    return Cluster(args=[*ALONE, "--datastore-endpoint", etcd.url, *more])


def data(c, *path):
    return os.path.join(c.dir, "data", *path)


def read(c, *path):
    with open(data(c, *path), encoding="utf-8") as f:
        return f.read()


def everything(etcd):
    """Of all keys, with keys."""
    said = etcd.ask("/v3/kv/range", {"key": "AA==", "range_end": "AA=="})
    return b"\n".join(base64.b64decode(kv[part]) for kv in said["kvs"] for part in ("key", "value"))


def does_not_start(etcd, data_dir, *more):
    r = subprocess.run([CARAVEL, "server", "--disable-agent", *ALONE, "--datastore-endpoint", etcd.url, "--data-dir", data_dir,
                        "--https-listen-port", "0", "--write-kubeconfig", "", *more], capture_output=True, text=True, timeout=60, check=False)
    equal(r.returncode, 1, r.stderr)
    return r.stderr


def who(c, token):
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    status, said, _ = c.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body, {"Authorization": f"Bearer {token}"},
                                c.anonymous_context())
    return said["status"]["userInfo"]["username"] if status == 201 else status


def servers_have_one_clusters_keys(_):
    with Etcd() as etcd:
        a, b = server(etcd, "--token", TOKEN), server(etcd, "--token", TOKEN)
        try:
            for c in (a, b):  # at once, on an empty store
                c.start(wait=False)
            for c in (a, b):
                c.wait_ready()
            for name in KEYS:
                equal(read(a, "pki", name), read(b, "pki", name), name)
            equal(read(a, "server", "token"), read(b, "server", "token"))
            # What one has issued the other knows.
            a.kubectl("create", "serviceaccount", "x")
            token = a.kubectl("create", "token", "x").strip()
            for c in (a, b):
                equal(who(c, token), "system:serviceaccount:default:x")
                equal(who(c, TOKEN), "system:bootstrap:abcdef")
                equal(who(c, TOKEN[:-1] + "0"), 401)
            equal(b.request("GET", "/api/v1/namespaces", context=a.context())[0], 200)
            # The token of servers is in no Secret, and nothing of the keys can be read.
            equal("bootstrap-token-abcdef" in a.kubectl("get", "secrets", "-n", "kube-system", "-o", "name"), False)
            stored = everything(etcd)
            contains(stored, b"/caravel/keys/cluster", b"/registry/namespaces/default")
            secrets = [TOKEN[7:].encode(), base64.b64encode(TOKEN[7:].encode())]
            for name in ("ca.key", "sa.key", "front-proxy-ca.key"):
                lines = read(a, "pki", name).splitlines()
                secrets += [lines[1].encode(), base64.b64encode(read(a, "pki", name).encode())[40:80]]
            for secret in secrets:
                equal(secret in stored, False, secret)
            # A start without the flag has the token of its file.
            b.stop()
            b.args = b.args[:-2]
            b.start()
            equal(who(b, token), "system:serviceaccount:default:x")
        finally:
            for c in (a, b):
                c.cleanup()


def strangers_are_refused(_):
    with Etcd() as etcd, server(etcd) as a:
        token = read(a, "server", "token").strip()
        fresh = os.path.join(a.dir, "fresh")
        contains(does_not_start(etcd, fresh), "start with --token", "server/token")
        contains(does_not_start(etcd, fresh, "--token", TOKEN), "--token is not the token of this cluster's servers")
        equal(os.path.exists(os.path.join(fresh, "pki", "ca.key")), False)
        # A token that nodes join with opens nothing.
        contains(does_not_start(etcd, fresh, "--token", read(a, "server", "node-token").strip()), "--token is not the token")
        with Etcd() as other, server(other, "--token", token[token.index("::") + 2:]) as b:
            mine = read(b, "pki", "ca.key")
            b.stop()
            contains(does_not_start(etcd, data(b), "--token", token), "pki/ca.key", "another cluster")
            equal(read(b, "pki", "ca.key"), mine)
        # What was lost comes back.
        mine = read(a, "pki", "ca.key")
        a.stop()
        shutil.rmtree(data(a, "pki"))
        a.start()
        equal(read(a, "pki", "ca.key"), mine)


if __name__ == "__main__":
    need_tools()
    sys.exit(main([servers_have_one_clusters_keys, strangers_are_refused], None))
