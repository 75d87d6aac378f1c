#!/usr/bin/env python3
"""What is said of a server by its --data-dir: commands find it wherever its kubeconfig went, and no token stands in `ps`."""
import os
import subprocess
import sys

from lib import CARAVEL, Cluster, contains, equal, main

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


if __name__ == "__main__":
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager", "--disable-snapshots", "--token", TOKEN]) as cluster:
        sys.exit(main([a_kubeconfig_elsewhere_is_found, one_that_went_is_told, what_is_not_there_is_said, no_token_is_shown, a_token_is_said_once],
                      cluster))
