#!/usr/bin/env python3
"""Load: watchers that are slow or many, lists without limit, writers who fight, churn, a tenant who floods, lost replies.

Nothing is measured against a clock: what is compared are counts, bytes and orders. LOAD=N makes everything N times as
large (1 is what CI runs)."""
import collections
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import sys
import tempfile
import threading

from lib import Cluster, Failed, contains, equal, main, wait_for

LOAD = int(os.environ.get("LOAD", "1"))
MB = 1 << 20
MAPS = "/api/v1/namespaces/{}/configmaps"
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
USERS = ["slow", "storm", "tenant", "other", "writer"]


class Client:
    """One user's connection, kept; for one thread. Tokens are the users' names."""

    def __init__(self, c, user="other"):
        self.c, self.user, self.conn = c, user, None

    def ask(self, method, path, body=None, kind="application/json"):
        """(code, answer). A connection that the server has closed meanwhile is opened again, once."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": "Bearer " + self.user, "Content-Type": kind}
        for last in (False, True):
            try:
                if self.conn is None:
                    self.conn = http.client.HTTPSConnection("127.0.0.1", self.c.port, timeout=120,
                                                            context=self.c.anonymous_context())
                self.conn.request(method, path, data, headers)
                r = self.conn.getresponse()
                text = r.read()
                return r.status, json.loads(text) if "json" in (r.getheader("Content-Type") or "") else text
            except (OSError, http.client.HTTPException):
                self.close()
                if last:
                    raise
        return None

    def good(self, method, path, body=None, kind="application/json"):
        code, answer = self.ask(method, path, body, kind)
        if code not in (200, 201):
            raise Failed(f"{method} {path}: {code} {answer}")
        return answer

    def close(self):
        if self.conn:
            self.conn.close()
        self.conn = None


class Watch:
    """A watch on a socket of its own, with a small window, read by whoever wants to."""

    def __init__(self, c, path, user, window=8192):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        raw.settimeout(120)
        raw.connect(("127.0.0.1", c.port))
        self.sock = c.anonymous_context().wrap_socket(raw, server_hostname="localhost")
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user}\r\n\r\n".encode())
        self.pending = b""
        while b"\r\n\r\n" not in self.pending:
            self.pending += self.more()
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        self.code = int(head.split()[1])
        self.text = b""

    def more(self, n=65536):
        """b"" at the end, also at one that is not announced."""
        try:
            return self.sock.recv(n)
        except (ssl.SSLError, ConnectionError):
            return b""

    def events(self):
        """Each as it comes, until the stream ends."""
        return (json.loads(line) for line in self.lines())

    def lines(self):
        """Their texts: chunks hold whole lines or parts of them."""
        while True:
            while b"\r\n" in self.pending:
                size, rest = self.pending.split(b"\r\n", 1)
                n = int(size, 16)
                if n == 0:
                    return
                if len(rest) < n + 2:
                    break
                self.text += rest[:n]
                self.pending = rest[n + 2:]
                while b"\n" in self.text:
                    line, self.text = self.text.split(b"\n", 1)
                    yield line
            got = self.more()
            if not got:
                return
            self.pending += got

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.close()


def memory(c):
    with open(f"/proc/{c.server_pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


@contextlib.contextmanager
def bounded(c, growth):
    """The server is the same process after it, serves, and has not grown by more than that."""
    pid, before = c.server_pid, memory(c)
    yield
    equal(c.server_pid, pid, "the server")
    equal(c.request("GET", "/readyz")[0], 200)
    after = memory(c)
    if after - before > growth:
        raise Failed(f"grew from {before >> 20} to {after >> 20} MB, more than {growth >> 20}")


def together(n, what):
    """what(i) on n threads that begin at once; the first failure is raised."""
    barrier, failures = threading.Barrier(n), []

    def run(i):
        try:
            barrier.wait()
            what(i)
        except Exception as e:  # told by the caller's thread
            failures.append(e)

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]


def namespace(c, name):
    """Made by the administrator; its list of ConfigMaps."""
    code, answer, _ = c.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    equal(code, 201, answer)
    # the one that every namespace gets comes before anything is counted
    wait_for("the root CA", lambda: c.request("GET", MAPS.format(name) + "/kube-root-ca.crt")[0] == 200)
    return MAPS.format(name)


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def revision(o):
    return int(o["metadata"]["resourceVersion"])


# --- E1: watchers that read a byte now and then, or nothing ---


def terminated(c):
    return sum(int(line.split()[-1]) for line in c.request("GET", "/metrics")[1].splitlines()
               if line.startswith("apiserver_terminated_watchers_total{") and "configmaps" in line)


def slow_watchers(c):
    path, n = namespace(c, "slow"), 100
    writer, changes, size = Client(c, "writer"), 200 * LOAD, 100_000
    o = writer.good("POST", path, config_map("o", k="x" * size))
    seen, before = [], terminated(c)
    with bounded(c, 160 * MB):
        slow = [Watch(c, f"{path}?watch=1&resourceVersion={revision(o)}", "slow") for _ in range(n)]
        fast = Watch(c, f"{path}?watch=1&resourceVersion={revision(o)}", "other", window=1 << 20)
        reader = threading.Thread(target=lambda: seen.extend(
            revision(e["object"]) for e in (next(events) for events in [fast.events()] for _ in range(changes))), daemon=True)
        reader.start()
        wrote = []
        for i in range(changes):
            wrote.append(revision(writer.good("PATCH", path + "/o", {"data": {"k": str(i) + "x" * size}}, MERGE)))
            for w in slow[: n // 2]:  # a byte for each change; the others never read
                w.pending += w.more(1)
        reader.join()
        equal(seen, wrote, "who reads is told of everything, in order")
        # They ended, but for the few whose queues are what one user's watches may keep alive.
        wait_for("the slow ones to end", lambda: terminated(c) - before >= n * 3 // 4, 60, 0.5)
        # What one of them was told is a beginning of it all without gaps, and then the stream ends.
        for w in slow[::10]:
            told = []
            for line in w.lines():
                equal(line.startswith(b'{"type":"MODIFIED"'), True, line[:100])
                told.append(int(re.search(rb'"resourceVersion":"(\d+)"', line)[1]))
                if told[-1] == wrote[-1]:
                    break  # one of the few
            equal(told, wrote[: len(told)], "of a slow one")
        for w in [*slow, fast]:
            w.close()


# --- E2: watches that come and go, and all relist at once ---


def watch_storm(c):
    path, n = namespace(c, "storm"), 100 * LOAD
    writer = Client(c, "writer")
    with bounded(c, 96 * MB):
        for i in range(20):
            writer.good("POST", path, config_map(f"c{i}", k="x" * 1000))
        for _ in range(2):  # opened and closed, at whatever stage they are
            for w in [Watch(c, f"{path}?watch=1", "storm") for _ in range(n)]:
                equal(w.code, 200)
                w.close()
        answers, watches = collections.Counter(), []

        def relist(_):
            client = Client(c, "storm")
            while True:
                code, answer = client.ask("GET", path)
                answers[code] += 1
                if code == 200:
                    break
                equal(code, 429, answer)
            client.close()
            watches.append(Watch(c, f"{path}?watch=1&resourceVersion={revision(answer)}", "storm"))

        together(n, relist)
        equal(answers[200], n)
        # All of them are well: the next change reaches each.
        rev = revision(writer.good("POST", path, config_map("news")))
        for w in watches:
            e = next(w.events())
            equal((e["type"], revision(e["object"])), ("ADDED", rev))
            w.close()
    # Nothing of those that went is kept.
    wait_for("the watches to be gone", lambda: not any(
        'resource="configmaps"' in line and 'verb="WATCH"' in line and 'scope="namespace"' in line and not line.endswith(" 0")
        for line in c.request("GET", "/metrics")[1].splitlines() if line.startswith("apiserver_longrunning_requests")))


def restart_storm(c):
    """All watchers at once find their server gone: they list again and go on, and nothing is told twice or missing."""
    path, n = namespace(c, "restart"), 60 * LOAD
    writer = Client(c, "writer")
    rev = revision(writer.good("POST", path, config_map("before")))
    watches = [Watch(c, f"{path}?watch=1&resourceVersion={rev}", "storm") for _ in range(n)]
    c.stop()
    for w in watches:
        equal(list(w.events()), [], "of a server that goes")
        w.close()
    c.start()
    after = revision(wait_for("a write", lambda: writer.good("POST", path, config_map("after"))))
    told = []

    def resume(_):
        w = Watch(c, f"{path}?watch=1&resourceVersion={rev}", "storm")  # from where it was
        told.append(revision(next(w.events())["object"]))
        w.close()

    together(n, resume)
    equal(told, [after] * n)


# --- E3: lists without limit, by many ---


def list_storm(c):
    path, objects, clients, rounds = namespace(c, "lists"), 1500 * LOAD, 12, 4
    together(8, lambda i: [Client(c, "writer").good("POST", path, {
        **config_map(f"c{i}-{k}", k="x" * 500), "metadata": {"name": f"c{i}-{k}", "labels": {"l": str(k % 2)}}})
        for k in range(objects // 8)])
    want = objects // 8 // 2 * 8
    done, others = [], []
    with bounded(c, 96 * MB):
        def storm(i):
            client = Client(c, "storm")
            for _ in range(rounds):
                code, answer = client.ask("GET", path + "?labelSelector=l%3D1")
                equal(code in (200, 429), True, code)
                if code == 200:
                    equal(len(answer["items"]), want)
                done.append(code)

        def other(_):
            client = Client(c, "other")
            while len(done) < clients * rounds:
                client.good("GET", path + "/c0-0")
                others.append(1)

        together(clients + 1, lambda i: other(i) if i == clients else storm(i))
    equal(done.count(200) > 0, True)
    # One asks for one object again and again, beside twelve who ask for all: he is served at least as often as any of them.
    if len(others) < rounds:
        raise Failed(f"another was answered {len(others)} times while each of the storm was {rounds} times")


# --- E6: a hundred write one object ---


def writers_fight(c):
    path, n = namespace(c, "fight"), 100
    Client(c, "writer").good("POST", path, config_map("o", n="0"))
    won, conflicts, lock = [], [0], threading.Lock()

    def write(i):
        client = Client(c, "writer")
        while True:
            o = client.good("GET", path + "/o")
            o["data"]["n"] = str(int(o["data"]["n"]) + 1)
            code, answer = client.ask("PUT", path + "/o", o)
            if code == 200:
                with lock:
                    won.append((revision(answer), int(answer["data"]["n"])))
                client.close()
                return
            equal((code, answer["reason"]), (409, "Conflict"))
            with lock:
                conflicts[0] += 1

    together(n, write)
    # Linearizable: in the order of revisions each saw all before it, and none was lost.
    equal([value for _, value in sorted(won)], list(range(1, n + 1)))
    equal(Client(c).good("GET", path + "/o")["data"]["n"], str(n))


def managers_fight(c):
    path, n, rounds = namespace(c, "managers"), 20, 3 * LOAD
    refused = []

    def manage(i):
        client, mine = Client(c, "writer"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "o"}, "data": {f"of-{i}": "x", "all": str(i)}}

        def apply(more):
            while True:  # who was overtaken too often is told so, and tries again
                code, answer = client.ask("PATCH", f"{path}/o?fieldManager=m{i}{more}", mine, APPLY)
                if code != 409 or "the object has been modified" not in answer["message"]:
                    return code, answer

        for _ in range(rounds):
            code, answer = apply("")
            if code == 409:
                contains(answer["message"], "Apply failed with 1 conflict", ".data.all")
                refused.append(i)
                code, answer = apply("&force=true")
            equal(code in (200, 201), True, answer)
            equal((answer["data"]["all"], answer["data"][f"of-{i}"]), (str(i), "x"))

    together(n, manage)
    o = Client(c).good("GET", path + "/o")
    equal({k for k in o["data"] if k != "all"}, {f"of-{i}" for i in range(n)})
    fields = {m["manager"]: m["fieldsV1"]["f:data"] for m in o["metadata"]["managedFields"]}
    equal(set(fields), {f"m{i}" for i in range(n)})
    equal([m for m, f in fields.items() if "f:all" in f], ["m" + o["data"]["all"]], "who has what all want")
    equal(len(refused) > 0, True, "conflicts")


# --- E7: made and deleted, over and over ---


def churn(c):
    path, threads, each = namespace(c, "churn"), 6, 60 * LOAD
    rev = revision(Client(c).good("GET", path))
    watches = [Watch(c, f"{path}?watch=1&resourceVersion={rev}", "other", window=1 << 20) for _ in range(3)]
    told = [[] for _ in watches]
    readers = [threading.Thread(target=lambda w=w, t=t: t.extend(
        (e["type"], e["object"]["metadata"]["name"]) for e in (next(ev) for ev in [w.events()] for _ in range(2 * threads * each))),
        daemon=True) for w, t in zip(watches, told)]
    for r in readers:
        r.start()

    def make_and_delete(i):
        client = Client(c, "writer")
        for k in range(each):
            client.good("POST", path, config_map(f"c{i}-{k}", k="x" * 2000))
            client.good("DELETE", f"{path}/c{i}-{k}")

    with bounded(c, 64 * MB):
        together(threads, make_and_delete)
        for r in readers:
            r.join()
    for t in told:
        equal(t, told[0], "all are told the same, in one order")
        for i in range(threads):  # of each writer: what he did, in his order
            equal([e for e in t if e[1].startswith(f"c{i}-")],
                  [(what, f"c{i}-{k}") for k in range(each) for what in ("ADDED", "DELETED")])
    for w in watches:
        w.close()
    equal([o["metadata"]["name"] for o in Client(c).good("GET", path)["items"]], ["kube-root-ca.crt"])


# --- E10: a tenant floods, and nodes go on ---


def tenant_floods(c):
    path, leases = namespace(c, "flood"), "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    node = Client(c, "system:node:n1")
    node.good("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    lease = node.good("POST", leases, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1"},
                                       "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40}})
    over, answers, lock = threading.Event(), collections.Counter(), threading.Lock()

    def flood(i):
        client, k = Client(c, "tenant"), 0
        while not over.is_set():
            k += 1
            code, answer = client.ask("POST", path, config_map(f"f{i}-{k}", k="x" * 20000))
            with lock:
                answers[code] += 1
            if code not in (201, 429):
                raise Failed(f"{code} {answer}")

    def nodes(_):
        try:
            for i in range(40 * LOAD):
                before = sum(answers.values())
                lease["spec"]["leaseTransitions"] = i
                got = node.good("PUT", leases + "/n1", lease)  # 200, never 429
                lease["metadata"] = got["metadata"]
                node.good("PATCH", "/api/v1/nodes/n1/status", {"status": {"conditions": [
                    {"type": "Ready", "status": "True", "reason": str(i)}]}}, "application/strategic-merge-patch+json")
                # The flood goes on meanwhile: the next turn is when somebody of it was answered.
                wait_for("the flood", lambda before=before: sum(answers.values()) > before, every=0.001)
        finally:
            over.set()

    together(31, lambda i: nodes(i) if i == 30 else flood(i))
    equal(answers[201] > 0, True, answers)
    said = c.request("GET", "/metrics")[1]
    waited = [line for line in said.splitlines() if line.startswith("apiserver_flowcontrol_request_wait_duration_seconds_count{")
              and 'priority_level="global-default"' in line]
    equal(bool(waited), True, "the tenant's level")
    for level in ("node-high", "system", "leader-election"):
        refused = [line for line in said.splitlines() if line.startswith("apiserver_flowcontrol_rejected_requests_total{")
                   and f'priority_level="{level}"' in line and not line.endswith(" 0")]
        equal(refused, [], "refused of the level " + level)


# --- E12: the same create, again and again, whose replies are lost ---


def lost_replies(c):
    path, n = namespace(c, "lost"), 100
    body = json.dumps(config_map("once", k="x")).encode()
    head = (f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer writer\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode()
    rev = revision(Client(c).good("GET", path))
    for i in range(n):  # gone when it was sent, in the middle of it, or after a part of the answer
        t = c.anonymous_context().wrap_socket(socket.create_connection(("127.0.0.1", c.port)), server_hostname="localhost")
        t.sendall(head + body[: len(body) - (i % 3 == 1)])
        if i % 3 == 2:
            equal(t.recv(9) in (b"HTTP/1.1 ", b""), True)
        t.close()
    first = wait_for("one of them", lambda: Client(c).good("GET", path + "/once"))
    code, answer = Client(c, "writer").ask("POST", path, config_map("once", k="another"))
    equal((code, answer["reason"], answer["message"]), (409, "AlreadyExists", 'configmaps "once" already exists'))
    equal(Client(c).good("GET", path + "/once"), first, "the one that there is")
    # It was made once, and nothing else happened: so says the history.
    mark = revision(Client(c, "writer").good("POST", path, config_map("mark")))
    told = []
    for e in Watch(c, f"{path}?watch=1&resourceVersion={rev}", "other").events():
        told.append((e["type"], e["object"]["metadata"]["name"]))
        if revision(e["object"]) == mark:
            break
    equal(told, [("ADDED", "once"), ("ADDED", "mark")])


def rights(c):
    """All users but the node may do everything; none of them is a superuser, who would be exempt."""
    code, answer, _ = c.request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "metadata": {"name": "load"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": u} for u in USERS]})
    equal(code, 201, answer)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        tokens = os.path.join(folder, "tokens")
        with open(tokens, "w", encoding="utf-8") as out:
            out.writelines(f"{u},{u},{u}\n" for u in USERS)
            out.write('system:node:n1,system:node:n1,n1,"system:nodes"\n')
        # Few seats, so that a flood of a few connections fills its level.
        with Cluster(args=["--token-auth-file", tokens, "--max-requests-inflight", "40", "--max-mutating-requests-inflight", "20"]) as cluster:
            rights(cluster)
            STATUS = main([slow_watchers, watch_storm, restart_storm, list_storm, writers_fight, managers_fight, churn, tenant_floods,
                           lost_replies], cluster)
            equal(cluster.proc.poll(), None, "the server")
    sys.exit(STATUS)
