#!/usr/bin/env python3
"""Machines that may not join, or not yet: what `caravel agent` says, and that nothing of it is left."""
import os
import re
import subprocess
import sys
import time

from lib import CARAVEL, Cluster, Failed, Skip, contains, equal, main, need_tools, wait_for


def agent(c, *args, name="joiner", data="joiner", timeout=20, env=None):
    """Its exit status (None: it still ran) and all it said."""
    words = [CARAVEL, "agent", "--no-supervise", "--config", "/dev/null", "--node-name", name, "--data-dir", os.path.join(c.dir, data)]
    p = subprocess.Popen(words + list(args), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         env=dict(os.environ, **(env or {})))
    try:
        said, _ = p.communicate(timeout=timeout)
        return p.returncode, said
    except subprocess.TimeoutExpired:
        p.terminate()
        said, _ = p.communicate(timeout=20)
        return None, said


def url(c):
    return f"https://127.0.0.1:{c.port}"


def token(c):
    with open(os.path.join(c.dir, "data", "server", "node-token"), encoding="utf-8") as f:
        return f.read().strip()


def refused(c, *args, words, **kw):
    status, said = agent(c, *args, **kw)
    equal(status, 1, said)
    contains(said, *words)


def without_a_server_or_a_token(c):
    refused(c, "--token", token(c), words=["--server URL says which cluster to join"])
    refused(c, "--server", url(c), words=["--token says that this machine may join", "node-token"])
    refused(c, "--server", url(c).replace("https", "http"), "--token", token(c), words=["begins with https://"])
    refused(c, "--server", url(c), "--token", token(c), "--token-file", "/dev/null", words=["give one of them"])


def a_short_token_believes_nobody(c):
    short = token(c).rsplit(":", 1)[1]
    refused(c, "--server", url(c), "--token", short, words=["does not say which server to believe", "--insecure-join"])
    refused(c, "--server", url(c), "--token", short, "--discovery-token-ca-cert-hash", "sha256:" + "0" * 64,
            words=["is none of those that --discovery-token-ca-cert-hash names"])
    refused(c, "--server", url(c), "--token", short, "--discovery-token-ca-cert-hash", "sha1:00", words=["64 hex digits"])
    refused(c, "--server", url(c), "--token", token(c)[:-3], words=["a join token is"])


def another_clusters_token(c):
    hash_, rest = token(c).split("::")
    wrong = "K10" + "0" * 64 + "::" + rest
    refused(c, "--server", url(c), "--token", wrong, words=["is not the one the token was made for", hash_[3:]])


def a_token_nobody_knows(c):
    wrong = token(c)[:-16] + "0" * 16
    refused(c, "--server", url(c), "--token", wrong, words=["does not know the token", "token create"])
    equal(c.get("csr")["items"], [], "requests of who was refused")


def tokens_are_made_in_the_cluster_that_is_named(c):
    """Its server wrote the kubeconfig elsewhere: $KUBECONFIG is asked, and nothing is done in another cluster's."""
    def tokens(kubeconfig, data="data"):
        r = subprocess.run([CARAVEL, "token", "list", "--data-dir", os.path.join(c.dir, data)], check=False, timeout=60, text=True,
                           env=dict(os.environ, KUBECONFIG=kubeconfig), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return r.returncode, r.stdout
    for value in (c.kubeconfig, f"/nonesuch::{c.kubeconfig}"):
        status, said = tokens(value)
        equal(status, 0, said)
        contains(said, "node-token")
    with Cluster() as other:
        status, said = tokens(other.kubeconfig)
        equal(status, 1, said)
        contains(said, "is another cluster's", "--kubeconfig")
    for value, data in (("", "data"), (":", "data"), (c.kubeconfig, "nosuch")):
        status, said = tokens(value, data)
        equal(status, 1, said)
        contains(said, "no server has written a kubeconfig for", "--kubeconfig")


def flags_that_differ_from_the_clusters(c):
    refused(c, "--server", url(c), "--token", token(c), "--cluster-domain", "example.org",
            words=["--cluster-domain is 'example.org' here and 'cluster.local' on the server"])


def what_joins_with_is_told_to_bootstrappers_alone(c):
    """The ConfigMap is there for tokens and nodes, and for nobody who shows nothing."""
    data = c.get("configmap", "-n", "kube-system", "caravel-config")["data"]
    equal(data["cluster-domain"], "cluster.local")
    path = "/api/v1/namespaces/kube-system/configmaps/"
    bearer = {"Authorization": "Bearer " + re.split(":+", token(c))[-1]}
    anonymous = c.anonymous_context()
    equal(c.request("GET", path + "caravel-config", context=anonymous)[0], 403)
    equal(c.request("GET", path + "caravel-config", headers=bearer, context=anonymous)[0], 200)
    equal(c.request("GET", path + "extension-apiserver-authentication", headers=bearer, context=anonymous)[0], 403)
    equal(c.request("GET", "/api/v1/nodes", headers=bearer, context=anonymous)[0], 403)
    # the CA is everybody's, and the hash in the token is its
    status, pem, _ = c.request("GET", "/cacerts", context=anonymous)
    equal(status, 200)
    equal(subprocess.run(["sha256sum"], input=pem.encode(), stdout=subprocess.PIPE, check=True).stdout[:64].decode(),
          token(c)[3:67])


def a_server_that_is_not_there_is_waited_for(c):
    c.stop()
    status, said = agent(c, "--server", url(c), "--token", token(c), timeout=3)
    if status is not None and status != 0:
        raise Failed(f"gave up with {status}: {said}")
    contains(said, "cannot join yet, and tries again", "Connection refused")
    c.start()


def names_that_are_taken(c):
    """Whoever has a Node's key may have its name; others not, whatever token they have."""
    c.apply('{"apiVersion":"v1","kind":"Node","metadata":{"name":"taken","annotations":{"caravel.io/node-key":"00"}}}')
    refused(c, "--server", url(c), "--token", token(c), name="taken", data="other",
            words=['node "taken" is in the cluster already', "kubectl delete node taken"])


def approved_by_hand(c):
    """Without controllers nobody approves: the agent says what it waits for, and what helps."""
    status, said = agent(c, "--server", url(c), "--token", token(c), data="waits", name="waits", timeout=14)
    if status is not None and status != 0:
        raise Failed(said)
    contains(said, "kubectl certificate approve node-csr-")
    requests = c.get("csr")["items"]
    equal([r["spec"]["signerName"] for r in requests], ["kubernetes.io/kube-apiserver-client-kubelet"])
    equal(requests[0]["spec"]["usages"], ["digital signature", "client auth"])
    # what it has so far is its own, and the key stays the same at the next try
    kept = os.path.join(c.dir, "waits", "agent", "client-kubelet.key")
    equal(os.stat(kept).st_mode & 0o777, 0o600)
    with open(kept, encoding="utf-8") as f:
        key = f.read()
    agent(c, "--server", url(c), "--token", token(c), data="waits", name="waits", timeout=2)
    with open(kept, encoding="utf-8") as f:
        equal(f.read(), key)


if __name__ == "__main__":
    need_tools()
    if os.geteuid() != 0:
        def as_nobody():
            raise Skip("an agent needs root")
        sys.exit(main([as_nobody]))
    with Cluster(args=["--disable-controller-manager"]) as cluster:
        sys.exit(main([without_a_server_or_a_token, a_short_token_believes_nobody, another_clusters_token, a_token_nobody_knows,
                       tokens_are_made_in_the_cluster_that_is_named,
                       flags_that_differ_from_the_clusters, what_joins_with_is_told_to_bootstrappers_alone,
                       a_server_that_is_not_there_is_waited_for, names_that_are_taken, approved_by_hand], cluster))
