#!/usr/bin/env python3
"""Several servers on one store (Debian's etcd-server), which is somebody else's or their own: one cluster's keys, one leader, and
the loss of any of them under writers whose answers a ledger outside has."""
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
from lib import CARAVEL, Cluster, Skip, contains, equal, free_port, main, need_tools, wait_for  # noqa: E402
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
        a, b = (server(etcd, "--advertise-address", f"192.0.2.1{n}", "--token", TOKEN) for n in (1, 2))
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
            # What holds for the whole cluster is as the others have it.
            facts = b.get("configmap", "-n", "kube-system", "caravel-config")["data"]
            contains(does_not_start(etcd, os.path.join(b.dir, "other"), "--token", TOKEN, "--cluster-cidr", "10.99.0.0/16"),
                     "--cluster-cidr is '10.99.0.0/16' here and '10.42.0.0/16' on the other servers")
            equal(a.get("configmap", "-n", "kube-system", "caravel-config")["data"], facts)
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

    def pids(self):
        """All processes of it that live."""
        found = [self.proc.pid] if self.proc.poll() is None else []
        for pid in found:
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
                found += [int(word) for word in f.read().split()]
        return found

    def signal(self, signum):
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)

    def cut(self, off):
        self.way.send_signal(signal.SIGSTOP if off else signal.SIGCONT)

    def rejoin_by(self, other):
        """Before its first start after all it had is gone."""

    def end(self):
        self.up = False
        self.signal(signal.SIGKILL)  # the last ones would wait for a majority that has gone
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

    def __init__(self, members):
        self.all = members
        self.turn = itertools.count()

    def __enter__(self):
        for m in self.all:
            m.rejoin_by(self.all[0])
            m.start(wait=m.number == 1)
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


def kills(m, _):
    m.up = False
    m.signal(signal.SIGKILL)
    m.proc.wait(30)


def revives(m):
    m.start()


def pauses(m, _):
    m.up = False
    m.signal(signal.SIGSTOP)


def resumes(m):
    m.signal(signal.SIGCONT)
    m.wait_ready(60)
    m.up = True


def cuts(m, _):
    m.up = False
    m.cut(True)


def mends(m):
    m.cut(False)
    m.wait_ready(60)
    m.up = True


def wipes(m, members):
    kills(m, members)
    shutil.rmtree(data(m))
    m.rejoin_by(members.one())


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


def loses_each(members, store):
    """One after the other its leader is lost, and comes back."""
    equal(wait_for("all in the endpoints", lambda: members.addresses() if len(members.addresses()) == 3 else None),
          sorted(m.address for m in members.all))
    leases = members.request("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases")[1]["items"]
    names = sorted(item["metadata"]["name"] for item in leases)
    equal([n for n in names if not n.startswith("apiserver-")], ["kube-controller-manager", "kube-scheduler"])
    equal(len([n for n in names if n.startswith("apiserver-")]), 3)
    checks = [work_is_done(members, "before")]
    with Ledger(members, 10, patience=150) as ledger:
        for lose, back in ((kills, revives), (pauses, resumes), (cuts, mends), (wipes, revives)):
            victim = wait_for("a leader", members.leader, 60)
            equal([m.number for m in members.all if m is not victim and m.leads()], [])
            started, before = time.monotonic(), ledger.answers
            lose(victim, members)
            wait_for("writes to be answered", lambda n=before: ledger.answers > n + 50, 60)
            answered = time.monotonic() - started
            wait_for("another leader", members.leader, 120)
            print(f"# {store}, {lose.__name__} the leader: 50 writes answered after {answered:.1f} s, another leader after "
                  f"{time.monotonic() - started:.1f} s", flush=True)
            checks.append(work_is_done(members, lose.__name__))
            wait_for("its address to go", lambda m=victim: m.address not in members.addresses(), 60)
            back(victim)
            wait_for("its address", lambda m=victim: m.address in members.addresses(), 60)
            wait_for("it to lead no more", lambda m=victim: not m.leads(), 60)
    ledger.settle()
    for check in checks:
        check()
    for name in KEYS:
        equal({read(m, "pki", name) for m in members.all}, {read(members.all[0], "pki", name)})
    print(f"# {ledger.answers} answered writes, {json.dumps(ledger.codes)}", flush=True)


def any_server_can_be_lost(_):
    with Etcd() as etcd, Members([Member(etcd, n) for n in range(1, 4)]) as members:
        loses_each(members, "an etcd of somebody else")
        contains(everything(etcd), *[b"/caravel/leaders/kube-system/kube-" + part for part in (b"controller-manager", b"scheduler")])


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=60).stdout


class Net:
    """A network namespace for each of three servers, all on one bridge, and a way there from here: as DevCluster() has for nodes, of
    which one may run beside this."""

    def __init__(self):
        if os.geteuid():
            raise Skip("namespaces need root")
        self.id = f"ha{os.getpid()}"
        routes = ip("route", "show", "table", "all")
        ranges = (f"198.18.{(os.getpid() + i) % 250}." for i in range(250))
        self.prefix = next(r for r in ranges if f" {r}" not in routes and f"{r}0/24" not in routes)

    def __enter__(self):
        try:
            ip("link", "add", f"{self.id}b", "type", "bridge")
        except subprocess.CalledProcessError as e:
            raise Skip(f"no namespaces here: {e.stderr.strip()}") from None
        try:
            ip("addr", "add", self.prefix + "254/24", "dev", f"{self.id}b")
            ip("link", "set", f"{self.id}b", "up")
            for n in range(1, 4):
                ip("netns", "add", f"{self.id}-{n}")
                ip("link", "add", f"{self.id}v{n}", "type", "veth", "peer", "name", "eth0", "netns", f"{self.id}-{n}")
                ip("link", "set", f"{self.id}v{n}", "master", f"{self.id}b", "up")
                for words in (["link", "set", "lo", "up"], ["addr", "add", f"{self.prefix}{n}/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                              ["route", "add", "default", "via", self.prefix + "254"]):
                    ip("-n", f"{self.id}-{n}", *words)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for n in range(1, 4):
            for words in (["netns", "del", f"{self.id}-{n}"], ["link", "del", f"{self.id}v{n}"]):
                subprocess.run(["ip", *words], check=False, stderr=subprocess.DEVNULL, timeout=60)
        subprocess.run(["ip", "link", "del", f"{self.id}b"], check=False, stderr=subprocess.DEVNULL, timeout=60)


class OwnMember(Member):
    """A server that runs an etcd with the others, in a namespace of its own."""

    def __init__(self, net, number):
        super().__init__(None, number)
        self.net_of, self.way = net, None
        self.host = self.address = f"{net.prefix}{number}"
        self.port = 6443
        self.prefix = ["ip", "netns", "exec", f"{net.id}-{number}"]
        self.common = ["--bind-address", "0.0.0.0", "--advertise-address", self.address]
        self.args = [*self.common, "--cluster-init"]

    def start(self, wait=True):
        Cluster.start(self, wait=False)
        if wait:
            self.wait_ready(90)
        self.up = wait
        return self

    def cut(self, off):
        ip("link", "set", f"{self.net_of.id}v{self.number}", "down" if off else "up")

    def rejoin_by(self, other):
        if other is not self:
            self.args = [*self.common, "--server", f"https://{other.host}:{other.port}", "--token", read(other, "server", "token").strip()]


def an_etcd_of_their_own(_):
    if not shutil.which("etcd"):
        raise Skip("there is no etcd: install etcd-server")
    with Net() as net:
        members = Members([OwnMember(net, n) for n in range(1, 4)])
        first, others = members.all[0], members.all[1:]
        # A token that opens nothing, and one of a server without members, are said by name.
        with members_one(first):
            for m in others:
                m.rejoin_by(first)
            wrong = os.path.join(first.dir, "wrong")
            node_token = read(first, "server", "node-token").strip()
            said = join_said(others[0], wrong, "--server", f"https://{first.host}:6443", "--token", node_token)
            contains(said, "not one that nodes join with")
            bare = node_token[node_token.index("::") + 2:]
            contains(join_said(others[0], wrong, "--server", f"https://{first.host}:6443", "--token", bare), "does not say which server to believe")
            contains(join_said(others[0], wrong, "--server", f"https://{first.host}:6443", "--token", "K10" + "0" * 64 + "::" + bare), "another cluster")
            equal(os.path.exists(os.path.join(wrong, "pki", "ca.key")), False)
        with members:
            loses_each(members, "an etcd of their own")
            # Another address of a member is told to the others, and all it has is still its own.
            moved = members.all[1]
            moved.up = False
            moved.stop()
            moved.args += ["--etcd-port", "2479"]
            moved.start()
            with open(moved.log, encoding="utf-8") as f:
                contains(f.read(), "this member has another address")
            body = {"metadata": {"name": "moved"}}
            equal(moved.request("POST", "/api/v1/namespaces/default/configmaps", body)[0], 201)
            equal([m.request("GET", "/api/v1/namespaces/default/configmaps/moved")[0] for m in members.all], [200] * 3)


@contextlib.contextmanager
def members_one(m):
    m.start()
    try:
        yield
    finally:
        m.stop()


def join_said(m, data_dir, *more):
    r = subprocess.run([*m.prefix, CARAVEL, "server", "--disable-agent", *m.common, "--data-dir", data_dir, "--write-kubeconfig", "", *more],
                       capture_output=True, text=True, timeout=60, check=False)
    equal(r.returncode, 1, r.stderr)
    return r.stderr


def everything_with_revisions(c):
    """What a client sees: each object's uid and resourceVersion."""
    got = {}
    for path in ("/api/v1/configmaps", "/api/v1/secrets", "/api/v1/services", "/api/v1/namespaces", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
                 "/apis/apps/v1/deployments", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"):
        status, said, _ = c.request("GET", path)
        equal(status, 200, path)
        for o in said["items"]:
            meta = o["metadata"]
            got[path, meta.get("namespace"), meta["name"]] = meta["uid"], meta["resourceVersion"]
    return got, int(said["metadata"]["resourceVersion"])


def a_database_moves_into_etcd(_):
    """With all revisions; killed at any moment the next start has all of it."""
    if not shutil.which("etcd"):
        raise Skip("there is no etcd: install etcd-server")
    c = Cluster(args=[*ALONE, "--etcd-port", str(free_port())])
    try:
        c.start()
        for i in range(300):
            body = {"metadata": {"name": f"c{i % 20}"}, "data": {"i": str(i)}}
            status, _, _ = c.request("PUT" if i >= 20 else "POST", "/api/v1/namespaces/default/configmaps" + (f"/c{i % 20}" if i >= 20 else ""), body)
            equal(status in (200, 201), True)
        c.kubectl("delete", "configmap", "c7")
        status, made, _ = c.request("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "last"}})
        equal(status, 201)
        c.stop()
        c.start()
        before, newest = everything_with_revisions(c)
        token = read(c, "server", "node-token")
        c.stop()
        c.args.append("--cluster-init")
        for pause in (0.1, 0.5, 1.0, 1.5, 2.0):
            c.start(wait=False)
            time.sleep(pause)  # wherever it is
            os.killpg(c.proc.pid, signal.SIGKILL)  # etcd as well
            c.proc.wait(30)
        c.start(wait=False)
        c.wait_ready(90)
        after, now = everything_with_revisions(c)
        # What a start writes by itself has a newer revision, all else the one that it had.
        own = {k for k in before if before[k] != after.get(k)}
        equal({k[2] for k in own} <= {"kubernetes", "caravel-config", "cluster-info"}, True, own)
        equal(now >= newest, True, (now, newest))
        equal(after["/api/v1/configmaps", "default", "last"], before["/api/v1/configmaps", "default", "last"])
        equal(c.request("GET", "/api/v1/namespaces/default/configmaps/c7")[0], 404)
        equal(os.path.exists(data(c, "db")), False)
        equal(os.path.exists(data(c, "db.before-etcd", "manifest")), True)
        equal(read(c, "server", "node-token"), token)
        # One more start, without the flag.
        c.stop()
        c.args.remove("--cluster-init")
        c.start()
        equal(everything_with_revisions(c)[0]["/api/v1/configmaps", "default", "last"], before["/api/v1/configmaps", "default", "last"])
    finally:
        c.cleanup()


def a_planned_end_hands_over_at_once(_):
    with Etcd() as etcd, Members([Member(etcd, n) for n in range(1, 4)]) as members:
        leader = wait_for("a leader", members.leader, 60)
        wait_for("all in the endpoints", lambda: len(members.addresses()) == 3)
        # One that has crashed and was started again is who it was.
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager"
        before = members.request("GET", path)[1]["spec"]
        crashed = leader.server_pid
        os.kill(crashed, signal.SIGKILL)
        wait_for("the next one", lambda: leader.server_pid != crashed)
        leader.wait_ready(60)
        wait_for("it to lead again", leader.leads)
        spec = members.request("GET", path)[1]["spec"]
        equal((spec["holderIdentity"], spec["leaseTransitions"]), (before["holderIdentity"], before["leaseTransitions"]))
        leader.up = False
        equal(leader.stop(), 0)
        equal(leader.address in members.addresses(), False)  # when it has ended, and not some seconds later
        started = time.monotonic()
        wait_for("another leader", members.leader, 60)
        print(f"# another leader {time.monotonic() - started:.1f} s after the end", flush=True)
        holder = members.request("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager")[1]["spec"]
        equal(holder["leaseTransitions"] >= 1, True)
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
        wait_for("the Leases of those that are left", lambda: len(
            [x for x in members.request("GET", leases)[1]["items"] if x["metadata"]["name"].startswith("apiserver-")]) == 2)


if __name__ == "__main__":
    need_tools()
    sys.exit(main([servers_have_one_clusters_keys, strangers_are_refused, a_planned_end_hands_over_at_once, any_server_can_be_lost,
                   a_database_moves_into_etcd, an_etcd_of_their_own], None))
