#!/usr/bin/env python3
"""Several servers on one store (Debian's etcd-server): one cluster's keys, one leader, and the loss of any of them under writers
whose answers a ledger outside has."""
import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from ledger import Ledger  # noqa: E402
from lib import CARAVEL, Cluster, contains, equal, free_port, main, need_tools, wait_for  # noqa: E402
from test_etcd import ALONE, TOKEN, Etcd  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
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


class Member(Cluster):
    """A server with a way to its etcd that can be cut. Nobody is at the address that it advertises."""

    def __init__(self, etcd, number):
        self.number, self.way_port, self.way, self.up = number, free_port(), None, False
        self.address = f"192.0.2.1{number}"
        super().__init__(args=["--datastore-endpoint", f"http://127.0.0.1:{self.way_port}", "--token", TOKEN, "--advertise-address", self.address])
        self.etcd = etcd

    def start(self, wait=True):
        if not self.way:
            words = [sys.executable, os.path.join(HERE, "forwarder.py"), str(self.way_port), "127.0.0.1", str(self.etcd.port)]
            self.way = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
            equal(self.way.stdout.readline().strip(), "forwards")
        super().start(wait)
        self.up = wait
        return self

    def end(self):
        self.up = False
        for pid in {self.proc.pid, self.server_pid if self.proc.poll() is None else self.proc.pid}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.cleanup()
        if self.way:
            self.way.kill()
            self.way.wait(30)
            self.way.stdout.close()

    def leads(self):
        """By its log, since it has started."""
        leads = False
        with open(self.log, encoding="utf-8", errors="replace") as f:
            for line in f:
                if "kube-system/kube-controller-manager" in line:
                    leads = '"leads"' in line
                elif 'server "serving"' in line:
                    leads = False
        return leads


class Members:
    """All of them as one, for the ledger: whoever is up, in turn."""

    def __init__(self, etcd):
        self.all = [Member(etcd, n) for n in range(1, 4)]
        self.turn = itertools.count()

    def __enter__(self):
        for m in self.all:
            m.start(wait=False)
        for m in self.all:
            m.wait_ready(60)
            m.up = True
        return self

    def __exit__(self, kind, *_):
        if kind:
            for m in self.all:
                print("# " + m.tail(15).replace("\n", "\n# "))
        for m in self.all:
            m.end()

    def one(self):
        up = [m for m in self.all if m.up]
        return up[next(self.turn) % len(up)]

    def connect(self, context=None):
        return self.one().connect(context)

    def request(self, *args, **kw):
        return self.one().request(*args, **kw)

    def leader(self):
        return next((m for m in self.all if m.up and m.leads()), None)

    def addresses(self):
        got = self.request("GET", "/api/v1/namespaces/default/endpoints/kubernetes")[1]
        return sorted(a["ip"] for subset in got.get("subsets") or () for a in subset["addresses"])


def kills(m):
    m.up = False
    os.kill(m.server_pid, signal.SIGKILL)
    m.kill()


def revives(m):
    m.start()


def pauses(m):
    m.up = False
    m.paused = [m.proc.pid, m.server_pid]
    for pid in m.paused:
        os.kill(pid, signal.SIGSTOP)


def resumes(m):
    for pid in m.paused:
        os.kill(pid, signal.SIGCONT)
    m.wait_ready(60)
    m.up = True


def cuts(m):
    m.up = False
    m.way.send_signal(signal.SIGSTOP)


def mends(m):
    m.way.send_signal(signal.SIGCONT)
    m.wait_ready(60)
    m.up = True


def wipes(m):
    kills(m)
    shutil.rmtree(data(m))


def work_is_done(members, name):
    """A Deployment has exactly as many Pods as it asks for: whoever leads makes them, and nobody else does, too."""
    body = {"metadata": {"name": name}, "spec": {"replicas": 3, "selector": {"matchLabels": {"app": name}},
                                                  "template": {"metadata": {"labels": {"app": name}},
                                                               "spec": {"containers": [{"name": "c", "image": "x"}]}}}}
    status, said, _ = members.request("POST", "/apis/apps/v1/namespaces/default/deployments", body)
    equal(status, 201, str(said))

    def pods():
        return members.request("GET", f"/api/v1/namespaces/default/pods?labelSelector=app%3D{name}")[1]["items"]
    wait_for(f"the Pods of {name}", lambda: len(pods()) >= 3, 120)

    def tried():
        """The scheduler has looked at them: there is no node."""
        return all(any(c["type"] == "PodScheduled" for c in p["status"].get("conditions", ())) for p in pods())
    wait_for("the scheduler", tried, 120)
    return lambda: equal(len(pods()), 3, name)


def any_server_can_be_lost(_):
    with Etcd() as etcd, Members(etcd) as members:
        equal(wait_for("all in the endpoints", lambda: members.addresses() if len(members.addresses()) == 3 else None),
              [m.address for m in members.all])
        leases = members.request("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases")[1]["items"]
        names = sorted(item["metadata"]["name"] for item in leases)
        equal([n for n in names if not n.startswith("apiserver-")], ["kube-controller-manager", "kube-scheduler"])
        equal(len([n for n in names if n.startswith("apiserver-")]), 3)
        checks = [work_is_done(members, "before")]
        with Ledger(members, 10) as ledger:
            for lose, back in ((kills, revives), (pauses, resumes), (cuts, mends), (wipes, revives)):
                victim = wait_for("a leader", members.leader, 60)
                equal([m.number for m in members.all if m is not victim and m.leads()], [])
                started = time.monotonic()
                lose(victim)
                wait_for("another leader", members.leader, 120)
                print(f"# {lose.__name__} the leader: another one after {time.monotonic() - started:.1f} s, {ledger.answers} writes answered", flush=True)
                before = ledger.answers
                checks.append(work_is_done(members, lose.__name__))
                wait_for("its address to go", lambda m=victim: m.address not in members.addresses(), 60)
                wait_for("writes to be answered", lambda n=before: ledger.answers > n + 50, 60)
                back(victim)
                wait_for("its address", lambda m=victim: m.address in members.addresses(), 60)
                wait_for("it to lead no more", lambda m=victim: not m.leads(), 60)
        ledger.settle()
        for check in checks:
            check()
        for name in KEYS:
            equal({read(m, "pki", name) for m in members.all}, {read(members.all[0], "pki", name)})
        print(f"# {ledger.answers} answered writes, {json.dumps(ledger.codes)}", flush=True)


def a_planned_end_hands_over_at_once(_):
    with Etcd() as etcd, Members(etcd) as members:
        leader = wait_for("a leader", members.leader, 60)
        wait_for("all in the endpoints", lambda: len(members.addresses()) == 3)
        leader.up = False
        equal(leader.stop(), 0)
        equal(leader.address in members.addresses(), False)  # when it has ended, and not some seconds later
        started = time.monotonic()
        wait_for("another leader", members.leader, 60)
        print(f"# another leader {time.monotonic() - started:.1f} s after the end", flush=True)
        holder = members.request("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager")[1]["spec"]
        equal(holder["leaseTransitions"] >= 1, True)
        leases = members.request("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases")[1]["items"]
        equal(len([x for x in leases if x["metadata"]["name"].startswith("apiserver-")]), 2)


if __name__ == "__main__":
    need_tools()
    sys.exit(main([servers_have_one_clusters_keys, strangers_are_refused, a_planned_end_hands_over_at_once, any_server_can_be_lost], None))
