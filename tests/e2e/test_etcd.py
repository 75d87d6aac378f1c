#!/usr/bin/env python3
"""Servers whose objects are in an etcd (Debian's etcd-server): one, two that see each other's writes at once, and what they say
when it goes away or is full."""
import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import BIN, CARAVEL, Cluster, Skip, contains, equal, free_port, main, need_tools, own_dir, wait_for  # noqa: E402

ALONE = ["--disable-scheduler", "--disable-controller-manager"]
TOKEN = "abcdef.0123456789abcdef"  # by which servers of one store have one cluster's keys


class Etcd:
    """One member."""

    def __init__(self, *more):
        if not shutil.which("etcd"):
            raise Skip("there is no etcd: install etcd-server")
        self.dir, self.lock = own_dir()
        self.port, self.peer, self.more, self.proc = free_port(), free_port(), more, None
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        peer = f"http://127.0.0.1:{self.peer}"
        with open(os.path.join(self.dir, "etcd.log"), "ab") as log:
            self.proc = subprocess.Popen(["etcd", "--data-dir", os.path.join(self.dir, "data"), "--listen-client-urls", self.url,
                                          "--advertise-client-urls", self.url, "--listen-peer-urls", peer,
                                          "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
                                          "--unsafe-no-fsync", *self.more], stdout=log, stderr=log)
        return self

    def stop(self):
        self.proc.kill()
        self.proc.wait(30)

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)
        self.lock.close()

    def ask(self, path, body):
        """By its JSON gateway: how others see what is stored."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as c:
            c.request("POST", path, json.dumps(body))
            return json.loads(c.getresponse().read())

    def value(self, key):
        said = self.ask("/v3/kv/range", {"key": base64.b64encode(key.encode()).decode()})
        return base64.b64decode(said["kvs"][0]["value"]) if said.get("kvs") else None


def on_etcd(etcd, *more):
    return Cluster(args=[*ALONE, "--datastore-endpoint", etcd.url, "--token", TOKEN, *more])


def objects_are_in_etcd(_):
    with Etcd() as etcd, on_etcd(etcd) as c:
        c.kubectl("create", "configmap", "a", "--from-literal=x=1")
        stored = json.loads(etcd.value("/registry/configmaps/default/a"))
        equal((stored["kind"], stored["apiVersion"], stored["data"]), ("ConfigMap", "v1", {"x": "1"}))
        equal(c.get("configmap", "a")["data"], {"x": "1"})
        watch = subprocess.Popen([os.path.join(BIN, "kubectl"), "get", "configmaps", "--watch", "--output-watch-events"],
                                 env=dict(os.environ, KUBECONFIG=c.kubeconfig), stdout=subprocess.PIPE, text=True)
        seen = []
        threading.Thread(target=lambda: seen.extend(iter(watch.stdout.readline, "")), daemon=True).start()
        wait_for("the watch", lambda: any("ADDED" in line and " a " in line for line in seen))
        c.kubectl("create", "configmap", "b")
        c.kubectl("delete", "configmap", "a")
        wait_for("both changes", lambda: any("ADDED" in line and " b " in line for line in seen) and any("DELETED" in line for line in seen))
        watch.kill()
        watch.wait()
        equal(etcd.value("/registry/configmaps/default/a"), None)
        # A Service and its addresses are one write.
        c.kubectl("create", "service", "clusterip", "web", "--tcp=80")
        ip = c.get("service", "web")["spec"]["clusterIP"]
        service = etcd.ask("/v3/kv/range", {"key": base64.b64encode(b"/registry/services/specs/default/web").decode()})["kvs"][0]
        address = etcd.ask("/v3/kv/range", {"key": base64.b64encode(f"/registry/ipaddresses/{ip}".encode()).decode()})["kvs"][0]
        equal(service["mod_revision"], address["mod_revision"])
        contains(c.request("GET", "/readyz?verbose")[1], "[+]etcd ok", "[+]etcd-readiness ok")
        # It is all still there for the next start, and one that wants another revision than is there waits for it.
        rev = c.get("configmap", "b")["metadata"]["resourceVersion"]
        c.stop()
        c.start()
        equal(c.get("configmap", "b")["metadata"]["resourceVersion"], rev)
        equal(c.request("GET", f"/api/v1/namespaces/default/configmaps?resourceVersion={rev}&resourceVersionMatch=Exact")[0], 200)


def field(no, data):
    """A field of a protobuf message, of bytes."""
    data = data.encode() if isinstance(data, str) else data
    return bytes([no << 3 | 2, len(data)]) + data


def what_upstream_stores_is_read(_):
    """A kube-apiserver on the same etcd writes protobuf."""
    meta = field(1, "pb") + field(3, "default") + field(5, "6f0e5c4e-0000-4000-8000-000000000001") + field(11, field(1, "l") + field(2, "v"))
    message = field(1, meta) + field(2, field(1, "x") + field(2, "1"))
    value = b"k8s\0" + field(1, field(1, "v1") + field(2, "ConfigMap")) + field(2, message) + field(3, "") + field(4, "")

    def put(etcd, key):
        etcd.ask("/v3/kv/put", {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value).decode()})
    with Etcd() as etcd:
        wait_for("etcd", lambda: etcd.ask("/v3/kv/range", {"key": "eA=="}))
        put(etcd, "/registry/configmaps/default/pb")  # before the start,
        with on_etcd(etcd) as c:
            for _ in range(2):
                got = c.get("configmap", "pb")
                equal((got["data"], got["metadata"]["labels"]), ({"x": "1"}, {"l": "v"}))
                equal(c.request("DELETE", "/api/v1/namespaces/default/configmaps/pb")[0], 200)
                put(etcd, "/registry/configmaps/default/pb")  # and while it runs
            c.kubectl("label", "configmap", "pb", "more=yes")
            stored = json.loads(etcd.value("/registry/configmaps/default/pb"))
            equal((stored["data"], stored["metadata"]["labels"]), ({"x": "1"}, {"l": "v", "more": "yes"}))


def two_servers_see_each_other(_):
    """Whatever one has answered the other knows, without any waiting in between."""
    with Etcd() as etcd, on_etcd(etcd) as a, on_etcd(etcd) as b:
        for i in range(40):
            one, other = (a, b) if i % 2 else (b, a)
            name = f"n{i}"
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            equal(one.request("POST", "/api/v1/namespaces", body)[0], 201)
            path = f"/api/v1/namespaces/{name}/configmaps"
            cm = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"i": str(i)}}
            status, made, _ = other.request("POST", path, cm)  # in a namespace it has not been told of
            equal(status, 201, str(made))
            status, got, _ = one.request("GET", f"{path}/c")
            equal((status, got["metadata"]["resourceVersion"]), (200, made["metadata"]["resourceVersion"]))
            equal([o["metadata"]["name"] for o in one.request("GET", path)[1]["items"]], ["c"])
            status, patched, _ = one.request("PATCH", f"{path}/c", {"data": {"i": "x"}}, {"Content-Type": "application/merge-patch+json"})
            equal(status, 200, str(patched))
            equal(other.request("PUT", f"{path}/c", made)[0], 409)
            equal(other.request("GET", f"{path}/c")[1]["data"], {"i": "x"})
            equal(other.request("DELETE", f"{path}/c")[0], 200)
            equal(one.request("GET", f"{path}/c")[0], 404)


def a_part_of_a_revision_is_not_all_of_it(_):
    """Two objects of one write have one resourceVersion: who has seen one of them and goes on from there is told of both."""
    with Etcd() as etcd, on_etcd(etcd, "--service-cidr", "10.43.0.0/16,fd00:43::/112") as c:
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "two"},
                   "spec": {"ipFamilyPolicy": "RequireDualStack", "ports": [{"port": 80}]}}
        status, made, _ = c.request("POST", "/api/v1/namespaces/default/services", service)
        equal(status, 201, str(made))
        rev = made["metadata"]["resourceVersion"]
        path = f"/apis/networking.k8s.io/v1/ipaddresses?watch=1&timeoutSeconds=1&resourceVersion={rev}"

        def told():
            with contextlib.closing(c.connect()) as conn:
                conn.request("GET", path)
                lines = [json.loads(line) for line in conn.getresponse().read().splitlines()]
            return [(line["type"], line["object"]["metadata"]["resourceVersion"]) for line in lines]
        equal(told(), [("ADDED", rev)] * 2)
        # From memory that has forgotten it: by the log.
        c.stop()
        c.start()
        equal(told(), [("ADDED", rev)] * 2)
        # One that is alone is not told twice.
        status, made, _ = c.request("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "one"}})
        rev = made["metadata"]["resourceVersion"]
        for _ in range(2):
            with contextlib.closing(c.connect()) as conn:
                conn.request("GET", f"/api/v1/namespaces/default/configmaps?watch=1&timeoutSeconds=1&resourceVersion={rev}")
                equal(conn.getresponse().read(), b"")
            c.stop()
            c.start()


def old_watches_tell_nothing_of_a_former_namespace(_):
    """Its name is another's now, who has rights in it: from beyond memory it is Expired, and all of it for who may watch everywhere."""
    with Etcd() as etcd, on_etcd(etcd) as c:
        def namespace():
            equal(c.request("POST", "/api/v1/namespaces", {"metadata": {"name": "t1"}})[0], 201)
            return c.request("GET", path)[1]["metadata"]["resourceVersion"]
        path = "/api/v1/namespaces/t1/configmaps"
        then = namespace()
        equal(c.request("POST", path, {"metadata": {"name": "former"}})[0], 201)
        equal(c.request("DELETE", f"{path}/former")[0], 200)
        equal(c.request("DELETE", "/api/v1/namespaces/t1")[0], 200)
        equal(c.request("PUT", "/api/v1/namespaces/t1/finalize", {"metadata": {"name": "t1"}, "spec": {"finalizers": []}})[0], 200)
        again = namespace()
        equal(c.request("POST", path, {"metadata": {"name": "todays"}})[0], 201)

        def told(where, rev):
            with contextlib.closing(c.connect()) as conn:
                conn.request("GET", f"{where}?watch=1&timeoutSeconds=1&resourceVersion={rev}")
                lines = [json.loads(line) for line in conn.getresponse().read().splitlines()]
            return [(line["type"], line["object"].get("code") or line["object"]["metadata"]["name"]) for line in lines]
        equal(told(path, then), [("ADDED", "former"), ("DELETED", "former"), ("ADDED", "todays")])
        c.stop()
        c.start()
        equal(told(path, then), [("ERROR", 410)])
        equal(told(path, again), [("ADDED", "todays")])
        everywhere = told("/api/v1/configmaps", then)
        equal([line for line in everywhere if line[1] in ("former", "todays")], [("ADDED", "former"), ("DELETED", "former"), ("ADDED", "todays")])


def rss(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) >> 10 for line in f if line.startswith("VmRSS:"))


class Peak:
    """The most MiB that processes have, looked at all the time."""

    def __init__(self, *pids):
        self.pids, self.most, self.over = pids, [rss(p) for p in pids], threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)

    def look(self):
        while not self.over.wait(0.05):
            self.most = [max(m, rss(p)) for m, p in zip(self.most, self.pids)]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def old_watches_cost_etcd_little(_):
    """A hundred watches of a quiet namespace from before 30 MB of changes elsewhere, and some of those changes: etcd is asked for the
    past by one feed, whoever watches, and writes go on."""
    with Etcd() as etcd, on_etcd(etcd) as c, contextlib.ExitStack() as open_ones:
        equal(c.request("POST", "/api/v1/namespaces", {"metadata": {"name": "tiny"}})[0], 201)
        tiny, large = "/api/v1/namespaces/tiny/configmaps", "/api/v1/namespaces/default/configmaps"
        first = c.request("POST", tiny, {"metadata": {"name": "first"}})[1]["metadata"]["resourceVersion"]
        equal(c.request("POST", tiny, {"metadata": {"name": "second"}})[0], 201)
        n = 1500
        for i in range(n):
            equal(c.request("POST", large, {"metadata": {"name": f"b{i}"}, "data": {"k": "y" * 20000}})[0], 201)
        last = c.request("POST", tiny, {"metadata": {"name": "last"}})[1]["metadata"]["resourceVersion"]
        c.stop()
        c.start()  # what memory holds is not the past
        before = rss(etcd.proc.pid), rss(c.server_pid)

        def watch(path):
            conn = open_ones.enter_context(contextlib.closing(c.connect()))
            conn.request("GET", f"{path}?watch=1&resourceVersion={first}")
            return conn.getresponse()

        def told(response, wanted):
            """Names as they come, until that many."""
            return [json.loads(response.readline())["object"]["metadata"]["name"] for _ in range(wanted)]

        with Peak(etcd.proc.pid, c.server_pid) as peak:
            quiet = [watch(tiny) for _ in range(100)]
            loud = [watch(large) for _ in range(3)]
            for i in range(20):
                equal(c.request("POST", tiny, {"metadata": {"name": f"m{i}"}})[0], 201)
            for r in quiet:
                equal(told(r, 22), ["second", "last", *(f"m{i}" for i in range(20))])
            for r in loud:
                equal(told(r, n), [f"b{i}" for i in range(n)])
        print(f"# {last}: etcd {before[0]} MiB, at most {peak.most[0]}; the server {before[1]}, at most {peak.most[1]}")
        equal(peak.most[0] - before[0] < 300, True, f"etcd grew from {before[0]} to {peak.most[0]} MiB")


def etcd_goes_and_comes_back(_):
    with Etcd() as etcd, on_etcd(etcd) as c:
        pid = c.server_pid
        c.kubectl("create", "configmap", "a")
        etcd.stop()
        wait_for("/readyz to say so", lambda: c.request("GET", "/readyz")[0] == 500)
        contains(c.request("GET", "/readyz/etcd-readiness")[1], "internal server error")
        # What is content with what was is answered.
        equal(c.request("GET", "/api/v1/namespaces/default/configmaps/a?resourceVersion=0")[0], 200)
        with etcd:
            wait_for("/readyz", lambda: c.request("GET", "/readyz")[0] == 200)
            c.kubectl("create", "configmap", "b")
            equal(c.get("configmap", "b")["metadata"]["name"], "b")
            equal(c.server_pid, pid)
            etcd.proc.send_signal(signal.SIGSTOP)
            wait_for("/readyz to say so", lambda: c.request("GET", "/readyz")[0] == 500)
            etcd.proc.send_signal(signal.SIGCONT)
            wait_for("/readyz", lambda: c.request("GET", "/readyz")[0] == 200)
            c.kubectl("delete", "configmap", "b")


def a_full_etcd_is_told(_):
    with Etcd("--quota-backend-bytes=8000000") as etcd, on_etcd(etcd) as c:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"}, "data": {"x": "y" * 900000}}
        status = 201
        for i in range(40):
            body["metadata"]["name"] = f"big{i}"
            status, said, _ = c.request("POST", "/api/v1/namespaces/default/configmaps", body)
            if status != 201:
                break
        equal(status >= 500, True, str(said)[:300])
        contains(str(said), "database space exceeded")
        wait_for("/readyz to say so", lambda: c.request("GET", "/readyz")[0] == 500)
        contains(c.request("GET", "/readyz/etcd-readiness")[1], "database space exceeded")
        equal(c.request("GET", "/livez")[0], 200)
        equal(c.request("GET", "/api/v1/namespaces/default/configmaps/big0")[0], 200)


def event(c, name, status=201):
    body = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name}, "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}}
    got, said, _ = c.request("POST", "/api/v1/namespaces/default/events", body)
    equal(got, status, str(said))


def events_go_with_leases(_):
    """As upstream's do: those of a minute share one, which is granted for a minute longer than --event-ttl."""
    with Etcd() as etcd:
        def lease(key):
            said = etcd.ask("/v3/kv/range", {"key": base64.b64encode(key.encode()).decode()})
            return said["kvs"][0].get("lease") if said.get("kvs") else "no such key"
        with on_etcd(etcd) as c:
            c.kubectl("create", "configmap", "a")
            equal(lease("/registry/configmaps/default/a"), None)
            event(c, "a")
            event(c, "b")
            own = lease("/registry/events/default/a")
            equal(own not in (None, "0"), True, str(own))
            equal(lease("/registry/events/default/b"), own)
            equal(etcd.ask("/v3/lease/timetolive", {"ID": own})["grantedTTL"], "3660")
            status, said, _ = c.request("PATCH", "/api/v1/namespaces/default/events/a", {"reason": "x"}, {"Content-Type": "application/merge-patch+json"})
            equal((status, lease("/registry/events/default/a")), (200, own), str(said))
            # What etcd deletes everybody is told of, and the next Event finds that the lease is gone.
            watch = subprocess.Popen([os.path.join(BIN, "kubectl"), "get", "events", "--watch", "--output-watch-events"],
                                     env=dict(os.environ, KUBECONFIG=c.kubeconfig), stdout=subprocess.PIPE, text=True)
            seen = []
            threading.Thread(target=lambda: seen.extend(iter(watch.stdout.readline, "")), daemon=True).start()
            wait_for("the watch", lambda: sum("ADDED" in line for line in seen) >= 2)
            etcd.ask("/v3/lease/revoke", {"ID": own})
            wait_for("both deletions", lambda: sum("DELETED" in line for line in seen) == 2)
            watch.kill()
            watch.wait()
            equal(c.request("GET", "/api/v1/namespaces/default/events/a")[0], 404)
            event(c, "a")
            equal(lease("/registry/events/default/a") not in (None, "0", own), True)
        with on_etcd(etcd, "--event-ttl=1s") as c:
            event(c, "short")
            wait_for("its end", lambda: c.request("GET", "/api/v1/namespaces/default/events/short")[0] == 404)
            equal(c.request("GET", "/api/v1/namespaces/default/events/a")[0], 200)


def flags_are_checked(_):
    def said(*args, name="server"):
        r = subprocess.run([CARAVEL, name, "--data-dir", "/nonexistent/caravel", *args], capture_output=True, text=True, timeout=60, check=False)
        equal(r.returncode, 1)
        return r.stderr
    contains(said("--datastore-endpoint", "mysql://x"), "--datastore-endpoint", "http://10.0.0.1:2379")
    contains(said("--datastore-endpoint", "https://127.0.0.1:1"), "--datastore-cafile")
    contains(said("--datastore-certfile", "x", "--datastore-endpoint", "http://127.0.0.1:1"), "--datastore-keyfile")
    contains(said("--datastore-cafile", "x"), "--datastore-endpoint")
    contains(said("--etcd-servers", "http://127.0.0.1:1"), "--datastore-endpoint")
    contains(said("--etcd-servers", "https://127.0.0.1:1", name="kube-apiserver"), "--etcd-cafile")
    contains(said("--etcd-servers", "http://127.0.0.1:1,http://127.0.0.1:2", "--etcd-compaction-interval=x", name="kube-apiserver"),
             "--etcd-compaction-interval")


def upstreams_names_work(_):
    with Etcd() as etcd:
        wait_for("etcd", lambda: etcd.ask("/v3/kv/range", {"key": "eA=="}))
        made, lock = own_dir()
        port = free_port()
        kubeconfig = os.path.join(made, "kubeconfig.yaml")
        with open(os.path.join(made, "log"), "wb") as log:
            p = subprocess.Popen([CARAVEL, "kube-apiserver", "--no-supervise", "--data-dir", os.path.join(made, "d"), f"--secure-port={port}",
                                  f"--etcd-servers={etcd.url}", "--etcd-compaction-interval=1m", "--write-kubeconfig", kubeconfig],
                                 stdout=log, stderr=log)
        try:
            wait_for("an object in etcd", lambda: p.poll() is not None or etcd.value("/registry/namespaces/default"))
            equal(p.poll(), None)
        finally:
            p.terminate()
            p.wait(30)
            shutil.rmtree(made, ignore_errors=True)
            lock.close()


if __name__ == "__main__":
    need_tools()
    sys.exit(main([flags_are_checked, objects_are_in_etcd, what_upstream_stores_is_read, two_servers_see_each_other, a_part_of_a_revision_is_not_all_of_it,
                   old_watches_tell_nothing_of_a_former_namespace,
                   old_watches_cost_etcd_little, events_go_with_leases, etcd_goes_and_comes_back, a_full_etcd_is_told,
                   upstreams_names_work], None))
