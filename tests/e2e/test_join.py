#!/usr/bin/env python3
"""Servers with etcds of their own come, go and change their token, all on one machine's loopback addresses: who is refused, and what
each is told. What the loss of one costs, in namespaces, shows test_ha.py."""
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from ledger import Ledger
from lib import CARAVEL, Cluster, contains, equal, free_port, main, need_tools, wait_for

COMMON = ["--disable-scheduler", "--disable-controller-manager", "--endpoint-reconciler-type", "none", "--disable-snapshots"]


def etcd_port():
    """Of two that follow one another."""
    while True:
        port = free_port()
        if port % 2 == 0:
            return port


class Server(Cluster):
    def __init__(self, n, join=None, *more):
        self.n, self.etcd_port, self.join_by = n, etcd_port(), join
        super().__init__(args=[*COMMON, "--advertise-address", f"127.0.0.{n}", "--etcd-port", str(self.etcd_port), *more])
        self.own_args = self.args

    def start(self, wait=True, token=None):
        more = ["--cluster-init"]
        if self.join_by:
            more = ["--server", f"https://127.0.0.1:{self.join_by.port}", "--token", token or self.join_by.token()]
        self.args = [*self.own_args, *more]
        return super().start(wait)

    def token(self):
        return self.file("server", "token").strip()

    def path(self, *names):
        return os.path.join(self.dir, "data", *names)

    def file(self, *names):
        with open(self.path(*names), encoding="utf-8") as f:
            return f.read()

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def name(self):
        return self.file("etcd", "name")

    def command(self, *words, status=0):
        r = subprocess.run([CARAVEL, *words, "--data-dir", self.path(), "--kubeconfig", self.kubeconfig], capture_output=True, text=True,
                           timeout=120, check=False)
        equal(r.returncode, status, r.stdout + r.stderr)
        return r.stdout if status == 0 else r.stderr

    def members(self):
        """name -> (votes, answers)"""
        rows = [line.split() for line in self.command("server", "list").replace("not yet", "not-yet").splitlines()[1:]]
        return {row[0]: (row[1] == "yes", row[2] == "yes") for row in rows}


def refused(data_dir, by, address, port, *more, token=None):
    """A server that does not start: what it says."""
    words = [CARAVEL, "server", "--disable-agent", *COMMON, "--data-dir", data_dir, "--write-kubeconfig", "", "--https-listen-port", "0",
             "--server", f"https://127.0.0.1:{by.port}", "--token", token or by.token(), "--advertise-address", address, "--etcd-port", str(port), *more]
    r = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    equal(r.returncode, 1, r.stderr)
    return r.stderr


def nobody_loses_his_place(c):
    a, b = c
    before = a.members()
    equal(before, {a.name(): (True, True), b.name(): (True, True)})
    wrong = os.path.join(a.dir, "wrong")
    contains(refused(wrong, a, "127.0.0.2", b.etcd_port), "something listens at 127.0.0.2", "--etcd-port")
    contains(refused(wrong, a, "192.0.2.9", b.etcd_port), "192.0.2.9 is no address of this machine", "--advertise-address")
    equal(a.members(), before)
    # Whoever asks without having looked is told by the one that is asked.
    body = {"name": "other", "peerURL": f"https://127.0.0.2:{b.etcd_port + 1}"}
    status, said, _ = a.request("POST", "/v1-caravel/members", body, {"Authorization": "Bearer " + a.token().split("::")[1]}, a.anonymous_context())
    equal(status, 409, said)
    contains(said["message"], b.name(), "runs at", "--advertise-address")
    equal(a.members(), before)


def who_may_ask(c):
    a, _ = c
    bearer = {"Authorization": "Bearer " + a.token().split("::")[1]}
    for method, path in (("GET", "/v1-caravel/members"), ("DELETE", "/v1-caravel/members/x"), ("PUT", "/v1-caravel/servers-token")):
        equal(a.request(method, path, {}, bearer, a.anonymous_context())[0], 403, path)
        equal(a.request(method, path, {}, {}, a.anonymous_context())[0] in (401, 403), True, path)


def the_token_is_rotated_under_traffic(c):
    a, b = c
    old = a.token()
    contains(a.command("token", "rotate", "--servers", "--token", "abcdef.0123456789abcdef", status=1), "the old token is not that of this cluster's servers")
    with Ledger(a, 11, patience=60) as ledger:
        for _ in range(3):
            made = a.command("token", "rotate", "--servers").strip()
            equal(a.token(), made)
    ledger.settle()
    wait_for("the other server to have it", lambda: b.token() == made)
    for one in c:
        status = one.request("POST", "/v1-caravel/members", {}, {"Authorization": "Bearer " + old.split("::")[1]}, one.anonymous_context())[0]
        equal(status, 401)
    contains(refused(os.path.join(a.dir, "late"), a, "127.0.0.3", etcd_port(), token=old), "does not take --token for a server's")
    # One whose flag is behind goes on.
    b.stop()
    b.start(token=old)
    contains(b.said(), "--token is an older one")
    equal(b.token(), made)


def a_rotation_is_done_or_not(c):
    """The server that makes it is killed meanwhile: one token is good then, and all servers have it."""
    a, b = c
    for pause in (0, 0.05, 0.1, 0.15, 0.2, 0.3):
        before = a.token()
        asking = subprocess.Popen([CARAVEL, "token", "rotate", "--servers", "--data-dir", a.path(), "--kubeconfig", a.kubeconfig],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(pause)  # wherever it is
        os.kill(a.server_pid, signal.SIGKILL)
        known = asking.wait(120) == 0
        wait_for("its supervisor's next one", lambda: a.request("GET", "/readyz")[0] == 200, 60)
        wait_for("one token", lambda: a.token() == b.token(), 60)
        equal(known and a.token() == before, False)
        # It is the one that opens the keys.
        equal(a.request("POST", "/v1-caravel/members", {}, {"Authorization": "Bearer " + a.token().split("::")[1]}, a.anonymous_context())[0], 400)
    a.command("token", "rotate", "--servers")
    wait_for("the last one", lambda: a.token() == b.token(), 60)


def all_read_what_each_writes(c):
    a, b = c
    config = os.path.join(a.dir, "encryption.yaml")
    with open(config, "w", encoding="utf-8") as f:
        f.write(json.dumps({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [{
            "resources": ["secrets"], "providers": [{"aescbc": {"keys": [{"name": "k", "secret": base64.b64encode(b"0" * 32).decode()}]}}, {"identity": {}}]}]}))
    b.stop()
    plain, b.own_args = b.own_args, [*b.own_args, "--encryption-provider-config", config]
    b.start(wait=False)
    equal(b.wait_end(60), 1)
    contains(b.said(), "this server would store secrets by 'k8s:enc:aescbc:v1:k', which the encryption configuration of the server 127.0.0.1 port")
    b.own_args = plain
    b.start()


def a_second_one_on_a_directory_is_refused(c):
    """Before it writes a token, a certificate or an address."""
    a, b = c
    had = {name: b.file(*name) for name in (("server", "node-token"), ("server", "token"), ("etcd", "member.crt"), ("etcd", "member.key"))}
    said = refused(b.path(), a, "127.0.0.9", etcd_port())
    contains(said, "is in use by process", str(b.proc.pid))
    equal({name: b.file(*name) for name in had}, had)
    for why, *words in (("is in use by process", "cleanup"), ("its objects in an etcd", "snapshot", "restore", "/dev/null"),
                        ("its objects in an etcd", "import", "/dev/null")):
        r = subprocess.run([CARAVEL, *words, "--data-dir", b.path()], capture_output=True, text=True, timeout=60, check=False)
        equal(r.returncode, 1, r.stdout + r.stderr)
        contains(r.stderr, why)
    equal({name: b.file(*name) for name in had}, had)
    # The lock outlives a child that died, and is given up with the server.
    with open(f"/proc/{b.proc.pid}/task/{b.proc.pid}/children", encoding="utf-8") as f:
        os.kill(int(f.read().split()[0]), signal.SIGSEGV)
    contains(refused(b.path(), a, "127.0.0.9", etcd_port()), "is in use by process")
    b.wait_ready(60)
    b.kill()
    b.start()
    wait_for("both to answer", lambda: all(answers for _, answers in a.members().values()))


def nodes_get_a_token_of_their_own(c):
    """On a server that joined as well: that of servers, which brought it, is in no file that nodes are given."""
    a, b = c
    wrong = os.path.join(a.dir, "wrong")
    with_it = b.file("server", "node-token").strip()
    equal(with_it, a.file("server", "node-token").strip())
    equal(os.readlink(b.path("server", "agent-token")), "node-token")
    equal(b.file("server", "token") == b.file("server", "node-token"), False)
    bearer = {"Authorization": "Bearer " + with_it.split("::")[1]}
    contains(refused(wrong, b, "127.0.0.9", etcd_port(), token=with_it), "not one that nodes join with")
    for method, path in (("GET", "/v1-caravel/members"), ("POST", "/v1-caravel/members"), ("PUT", "/v1-caravel/servers-token")):
        equal(b.request(method, path, {}, bearer, b.anonymous_context())[0], 403, path)
    said = refused(wrong, b, "127.0.0.9", etcd_port(), token=b.token().split("::")[1])
    contains(said, "does not say which server to believe", "DATA-DIR/server/token on one of the servers")
    equal("node-token" in said or "--insecure-join" in said, False, said)
    # Deleted is revoked: whichever server starts next makes another, and not that of servers.
    a.kubectl("delete", "secret", "-n", "kube-system", "bootstrap-token-" + with_it.split("::")[1].split(".")[0])
    b.stop()
    b.start()
    other = b.file("server", "node-token").strip()
    equal(other in (with_it, b.token()), False)
    contains(a.kubectl("get", "secrets", "-n", "kube-system", "-o", "name"), "bootstrap-token-" + other.split("::")[1].split(".")[0])
    equal("bootstrap-token-" + b.token().split("::")[1].split(".")[0] in a.kubectl("get", "secrets", "-n", "kube-system", "-o", "name"), False)
    # Nor does it get there when servers get another token.
    a.command("token", "rotate", "--servers")
    wait_for("both to have the new one", lambda: a.token() == b.token())
    equal(b.file("server", "node-token").strip(), other)
    wait_for("both to answer", lambda: all(answers for _, answers in a.members().values()))


def one_goes_for_good(c):
    a, b = c
    name = b.name()
    contains(a.command("server", "remove", "nobody", status=1), "no member of this cluster is called 'nobody'")
    wait_for("both to answer", lambda: all(answers for _, answers in a.members().values()))
    # A new member is not counted by etcd for some seconds.
    wait_for("it to go", lambda: subprocess.run([CARAVEL, "server", "remove", name, "--kubeconfig", a.kubeconfig], check=False, capture_output=True,
                                                timeout=120).returncode == 0, 60)
    equal(b.wait_end(), 1)
    contains(b.said(), "this server was removed from its cluster", "--server")
    equal(list(a.members()), [a.name()])
    contains(a.command("server", "remove", a.name(), status=1), "the only member")
    # With what it had it says what it is, and how it comes again.
    b.start(wait=False)
    equal(b.wait_end(60), 1)
    contains(re.sub(r"\s+", " ", b.said()), "to join")
    shutil.rmtree(b.path("etcd"))
    b.start()
    equal(len(a.members()), 2)


def one_leaves(c):
    a, b = c
    wait_for("it to leave", lambda: subprocess.run([CARAVEL, "cleanup", "--stop", "--leave", "--data-dir", b.path()], check=False, capture_output=True,
                                                   timeout=120).returncode == 0, 60)
    equal(list(a.members()), [a.name()])


if __name__ == "__main__":
    need_tools()
    if not shutil.which("etcd"):
        print("1..0 # SKIP there is no etcd: install etcd-server")
        sys.exit(77)
    first = Server(1)
    second = Server(2, first)
    try:
        first.start()
        second.start()
        status = main([nobody_loses_his_place, a_second_one_on_a_directory_is_refused, nodes_get_a_token_of_their_own, who_may_ask, the_token_is_rotated_under_traffic, a_rotation_is_done_or_not, all_read_what_each_writes, one_goes_for_good, one_leaves], (first, second))
    finally:
        for one in (second, first):
            one.cleanup()
    sys.exit(status)
