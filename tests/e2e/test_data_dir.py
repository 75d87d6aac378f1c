#!/usr/bin/env python3
"""What is said of a server by its --data-dir: commands find it wherever its kubeconfig went, and no token stands in `ps`."""
import os
import shutil
import subprocess
import sys

from lib import CARAVEL, Cluster, contains, equal, free_port, main

TOKEN = "abcdef.0123456789abcdef"


def caravel(*words, status=0, env=None):
    r = subprocess.run([CARAVEL, *words], capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "KUBECONFIG": "", **(env or {})})
    equal(r.returncode, status, r.stdout + r.stderr)
    return r.stdout if status == 0 else r.stderr


def data(c):
    return os.path.join(c.dir, "data")


def a_kubeconfig_elsewhere_is_found(c):
    equal(os.readlink(os.path.join(data(c), "server", "kubeconfig")), c.kubeconfig)
    contains(caravel("token", "list", "-d", data(c)), "TOKEN", "EXTRA GROUPS")
    saved = os.path.join(c.dir, "one.snapshot")
    contains(caravel("snapshot", "save", "-d", data(c), saved), "saved " + saved)


def one_that_went_is_told(c):
    away = c.kubeconfig + ".away"
    os.rename(c.kubeconfig, away)
    contains(caravel("token", "list", "-d", data(c), status=1), "the kubeconfig that the server of", "is not there any more", "--kubeconfig")
    contains(caravel("snapshot", "save", "-d", data(c), "-", status=1), "wrote its kubeconfig elsewhere", "--kubeconfig")
    env = {"KUBECONFIG": away}
    contains(caravel("token", "list", "-d", data(c), env=env), "TOKEN")
    saved = os.path.join(c.dir, "two.snapshot")
    contains(caravel("snapshot", "save", "-d", data(c), saved, env=env), "saved " + saved)
    os.rename(away, c.kubeconfig)


def what_is_not_there_is_said(c):
    none = os.path.join(c.dir, "none")
    contains(caravel("token", "list", "-d", none, status=1), f"there is no '{none}'")
    contains(caravel("snapshot", "ls", "-d", none, status=1), f"there is no '{none}'")
    contains(caravel("snapshot", "ls", "--snapshot-dir", none, status=1), none)
    contains(caravel("snapshot", "prune", "-d", none, status=1), f"there is no '{none}'")
    contains(caravel("snapshot", "ls", "-d", data(c)), "REVISION")


def no_token_is_shown(c):
    for pid in (c.proc.pid, c.server_pid):
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            words = f.read().decode().split("\0")
        equal(words[words.index("--token") + 1], "x" * len(TOKEN))
    with open(os.path.join(data(c), "server", "node-token"), encoding="utf-8") as f:
        contains(f.read(), TOKEN)


def a_token_is_said_once(c):
    path = os.path.join(c.dir, "token")
    with open(path, "w", encoding="utf-8") as f:
        f.write("fedcba.0123456789abcdef\n")
    for words in (("server",), ("snapshot", "save"), ("snapshot", "restore"), ("token", "rotate", "--servers")):
        contains(caravel(*words, "-d", os.path.join(c.dir, "other"), "--token", TOKEN, "--token-file", path, status=1),
                 "--token and --token-file say the same")
    contains(caravel("token", "rotate", "-d", data(c), "--new-token", TOKEN, "--new-token-file", path, status=1), "--new-token-file say the same")
    contains(caravel("token", "create", "-d", data(c), TOKEN, "--token-file", path, status=1), "say the same")
    contains(caravel("token", "create", "-d", data(c), "--token-file", path), "fedcba.")
    contains(caravel("token", "list", "-d", data(c)), "fedcba")


def url(port):
    return f"https://127.0.0.1:{port}"


def joins(word, where, port, *more):
    """What a server or agent with these data says when it is to go on with another's server."""
    return " ".join(caravel(word, "-d", where, "--server", url(port), *more, status=1).split())


def a_server_of_another_cluster_is_refused(c):
    """Also of a member of an etcd, which has data and asks nobody for a place."""
    more = ("--disable-agent", "--write-kubeconfig", "", "--https-listen-port", "0", "--token", TOKEN)
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager", "--disable-snapshots"]) as other:
        for copy, made in (("copy", ""), ("member", "etcd/data/member")):
            there = os.path.join(c.dir, copy)
            shutil.copytree(data(c), there, symlinks=True, ignore=shutil.ignore_patterns("*.sock"))
            if made:
                shutil.rmtree(os.path.join(there, "db"))
                os.makedirs(os.path.join(there, made))
            contains(joins("server", there, other.port, *more), there, url(other.port), "is of the cluster whose CA has the key sha256:", "another one")
        copy = os.path.join(c.dir, "copy")
        for port in (c.port, free_port()):  # its own, and nobody: what else is wrong with it is said
            contains(joins("server", copy, port, *more), f"'{copy}/db' has the objects of another cluster")
        if os.geteuid() == 0:
            an_agent_of_another_cluster_is_refused(c, other)


def an_agent_of_another_cluster_is_refused(c, other):
    node, pki = os.path.join(c.dir, "node"), os.path.join(data(c), "pki")
    agent = os.path.join(node, "agent")
    os.makedirs(agent)
    shutil.copy(os.path.join(pki, "ca.crt"), os.path.join(agent, "server-ca.crt"))
    key, request, cert = (os.path.join(agent, name) for name in ("client-kubelet.key", "request", "client-kubelet.crt"))
    for words in (("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj", "/O=system:nodes/CN=system:node:n1",
                   "-out", request),
                  ("x509", "-req", "-in", request, "-CA", os.path.join(pki, "ca.crt"), "-CAkey", os.path.join(pki, "ca.key"), "-CAcreateserial", "-CAserial",
                   os.path.join(agent, "serial"), "-days", "30", "-out", cert)):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    contains(joins("agent", node, other.port, "--node-name", "n1"), agent, url(other.port), "is of the cluster whose CA has the key sha256:", "--token")


if __name__ == "__main__":
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager", "--disable-snapshots", "--token", TOKEN]) as cluster:
        sys.exit(main([a_kubeconfig_elsewhere_is_found, one_that_went_is_told, what_is_not_there_is_said, no_token_is_shown, a_token_is_said_once,
                       a_server_of_another_cluster_is_refused],
                      cluster))
