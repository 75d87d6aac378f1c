"""What clusters keep, and several servers on one store: creates on an etcd beside the puts that it takes by itself, watches across
servers, another leader, a claim until its volume is mounted. As the groups of `run`."""
import base64
import contextlib
import http.client
import json
import os
import re
import select
import shutil
import statistics
import struct
import tempfile
import threading
import time

from sides import PODS, Caravel, How, Load, Side, Unavailable, config_map, free_port, lib, pod

MAPS = "/api/v1/namespaces/default/configmaps"
LEADERS = ("kube-controller-manager", "kube-scheduler")
JOINED_BY = "abcdef.0123456789abcdef"  # the token of servers on one store


class Etcd(Side):
    """Of this machine (Debian's etcd-server), and durable: it syncs."""

    name = "etcd"
    RIGHT = ()

    def start(self):
        program = shutil.which("etcd")
        if not program:
            raise Unavailable("there is no etcd: install etcd-server")
        self.url, peer = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{free_port()}"
        self.spawn(program, "--data-dir", os.path.join(self.dir, "data"), "--listen-client-urls", self.url, "--advertise-client-urls",
                   self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer)
        self.until("etcd", lambda: self.ask("/v3/kv/range", {"key": "eA=="}))

    def ask(self, path, body):
        """By its JSON gateway; None while nobody answers."""
        with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as c:
            c.request("POST", path, json.dumps(body))
            r = c.getresponse()
            return json.loads(r.read()) if r.status == 200 else None
        return None

    def revision(self):
        return int(self.ask("/v3/kv/range", {"key": "eA=="})["header"]["revision"])


def length(n):
    """As protobuf has it."""
    out = bytearray()
    while n > 0x7f:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def puts(etcd, n, value):
    """So many puts of such a value a second, by the client that makes our creates: gRPC is HTTP/2, and each body is the same."""
    key = b"/registry/configmaps/default/bench-0000"
    message = b"\x0a" + length(len(key)) + key + b"\x12" + length(len(value)) + value
    with tempfile.NamedTemporaryFile() as f:
        f.write(b"\0" + struct.pack(">I", len(message)) + message)
        f.flush()
        before = etcd.revision()
        load = Load(etcd, "/etcdserverpb.KV/Put", n, options=("-d", f.name, "-H", "content-type: application/grpc", "-H", "te: trailers"))
    if etcd.revision() - before < n:
        raise Unavailable(f"etcd took {etcd.revision() - before} of {n} puts")
    return load.rate


def creates_on(kind, etcd):
    if kind is not Caravel:
        with kind() as s:  # which has an etcd of its own, of the same machine
            s.default_account()
            Load(s, MAPS, 500, config_map())
            return {"etcd create": Load(s, MAPS, How.scale * 4000, config_map()).rate}
    with Caravel(args=("--datastore-endpoint", etcd.url)) as s:
        s.default_account()
        Load(s, MAPS, 500, config_map())
        rate = Load(s, MAPS, How.scale * 4000, config_map()).rate
        some = s.get(MAPS + "?limit=1")["items"][0]["metadata"]["name"]
        stored = etcd.ask("/v3/kv/range", {"key": base64.b64encode(f"/registry/configmaps/default/{some}".encode()).decode()})
        return {"etcd create": rate, "stored": base64.b64decode(stored["kvs"][0]["value"])}


def on_etcd(kind):
    with (Etcd() if kind is Caravel else contextlib.nullcontext()) as etcd:
        out = creates_on(kind, etcd)
        value = out.pop("stored", None)
        if value:
            puts(etcd, 500, value)
            out["etcd put"] = puts(etcd, How.scale * 4000, value)
            out["etcd ratio"] = out["etcd create"] / out["etcd put"]
        return out


def on_one_store(etcd):
    return Caravel(args=("--datastore-endpoint", etcd.url, "--token", JOINED_BY))


class Events:
    """A watch of the ConfigMaps of a namespace: when the change that has such a value was seen."""

    def __init__(self, s, path):
        rv = s.get(path)["metadata"]["resourceVersion"]
        self.conn, self.seen, self.news = s.connect(), {}, threading.Condition()
        self.conn.request("GET", f"{path}?watch=true&timeoutSeconds=300&resourceVersion={rv}", headers=s.HEADERS)
        self.answer = self.conn.getresponse()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException, AttributeError):
            for line in self.answer:
                now = time.monotonic()
                value = json.loads(line)["object"].get("data", {}).get("key")
                with self.news:
                    self.seen[value] = now
                    self.news.notify_all()

    def when(self, value):
        with self.news:
            if not self.news.wait_for(lambda: value in self.seen, 20):
                raise Unavailable("an event did not come within 20 s")
            return self.seen[value]

    def close(self):
        self.answer.close()
        self.conn.close()
        self.reader.join(10)


def across(a, b, n):
    """Milliseconds from the first byte of a write to `a` until its event was read from `b`: one after the other."""
    path, one = "/api/v1/namespaces/kube-public/configmaps", dict(config_map(), metadata={"name": "across"})
    a.create(path, one)
    b.until("it to be there", lambda: b.get(path + "/across"))
    events, took = Events(b, path), []
    try:
        for i in range(n):
            one["data"] = {"key": f"{i}"}
            began = time.monotonic()
            status, said = a.request("PUT", path + "/across", one)
            if status != 200:
                raise Unavailable(f"PUT {path}: {status} {said[:200]}")
            took.append((events.when(f"{i}") - began) * 1000)
    finally:
        events.close()
    took = sorted(took[n // 10:])
    return {"across": statistics.median(took), "across p99": took[min(len(took) - 1, len(took) * 99 // 100)]}


def leads(s):
    """The Leases that it has by its log."""
    has = set()
    with open(os.path.join(s.dir, os.path.basename(How.binary) + ".log"), encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.search(r'"(leads|leads no more)" lease="kube-system/([\w-]+)"', line)
            if m:
                (has.add if m.group(1) == "leads" else has.discard)(m.group(2))
    return has


class Asking:
    """One client that writes and reads on s, each request when the last one is answered: how many were, and the longest pause."""

    def __init__(self, s):
        self.s, self.over, self.answers, self.longest, self.bad = s, threading.Event(), 0, 0.0, 0
        self.thread = threading.Thread(target=self.ask, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(60)

    def ask(self):
        c, last = self.s.connect(), time.monotonic()
        while not self.over.is_set():
            try:
                if self.answers % 2:
                    c.request("GET", MAPS + "?limit=1", headers=self.s.HEADERS)
                else:
                    c.request("POST", MAPS, json.dumps(config_map()), self.s.HEADERS)
                r = c.getresponse()
                r.read()
                good = r.status in (200, 201)
            except (OSError, http.client.HTTPException):
                c, good = self.s.connect(), False
            now = time.monotonic()
            if good:
                self.answers += 1
                self.longest, last = max(self.longest, now - last), now
            else:
                self.bad += 1
        self.longest = max(self.longest, time.monotonic() - last)
        c.close()


def another_leader(servers):
    """Whoever leads is killed; meanwhile one asks the other."""
    wait_until("a leader", lambda: any(LEADERS[0] in leads(s) for s in servers), 60)
    first = next(s for s in servers if LEADERS[0] in leads(s))
    other = next(s for s in servers if s is not first)
    had = leads(first)
    with Asking(other) as asking:
        time.sleep(1)
        began = time.monotonic()
        first.procs[0].kill()
        wait_until("another leader", lambda: had <= leads(other), 60)
        took = time.monotonic() - began
    if asking.bad:
        raise Unavailable(f"{asking.bad} requests were not answered well meanwhile")
    return {"leader": took, "leader answers": asking.answers / (took + 1), "leader gap": asking.longest * 1000}


def wait_until(what, check, timeout):
    end = time.monotonic() + timeout
    while not check():
        if time.monotonic() > end:
            raise Unavailable(f"waited {timeout} s for {what}")
        time.sleep(0.05)


def several_servers(kind):
    if kind is not Caravel:
        raise Unavailable("one server of upstream's is started here")
    with Etcd() as etcd, on_one_store(etcd) as a:
        a.default_account()
        with on_one_store(etcd) as b:
            b.ready()
            return {**across(a, b, 100 if How.scale == 1 else 500), **another_leader((a, b))}


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return [line.split()[4] for line in f]


def claimed(i):
    body = pod()
    body["metadata"] = {"name": f"claimed-{i}"}
    body["spec"].update(terminationGracePeriodSeconds=0, volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": f"claim-{i}"}}])
    body["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    return body


def claim_to_mounted(s, i):
    """Seconds from the create of the claim, with its Pod behind it, until the mount table has its volume, and until the Pod runs."""
    c = s.connect()
    storage = os.path.join(s.dir, "data", "storage")
    try:
        c.request("GET", f"{PODS}?watch=true&timeoutSeconds=60&fieldSelector=metadata.name%3Dclaimed-{i}", headers=s.HEADERS)
        events = c.getresponse()
        before, mounted = set(mounts()), []
        table = open("/proc/self/mountinfo", "rb")

        def look():
            """The kernel says when the table has changed."""
            news, end = select.poll(), time.monotonic() + 60
            news.register(table, select.POLLPRI)
            while not mounted and time.monotonic() < end:
                if any(m.startswith(storage + "/pvc-") for m in set(mounts()) - before):
                    mounted.append(time.monotonic())
                else:
                    news.poll(200)
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        began = time.monotonic()
        s.create("/api/v1/namespaces/default/persistentvolumeclaims",
                 {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": f"claim-{i}"},
                  "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}})
        s.create(PODS, claimed(i))
        for line in events:
            if json.loads(line)["object"].get("status", {}).get("phase") == "Running":
                break
        else:
            raise Unavailable(f"pod claimed-{i} did not run within a minute")
        running = time.monotonic() - began
        looking.join(1)
        table.close()
        return mounted[0] - began if mounted else None, running
    finally:
        c.close()


def claims(kind):
    why = lib.node_possible()
    if why:
        raise Unavailable(why)
    if kind is not Caravel:
        raise Unavailable("a kubelet of upstream's is not started here")
    with Caravel(agent=True) as s:
        s.until("the node", lambda: any(c["type"] == "Ready" and c["status"] == "True" for n in (s.get("/api/v1/nodes") or {}).get("items", [])
                                        for c in n["status"].get("conditions", [])), 60, 0.02)
        s.default_account()
        s.until("the class", lambda: s.get("/apis/storage.k8s.io/v1/storageclasses/local-path"), 60, 0.02)
        took = [claim_to_mounted(s, i) for i in range(6 if How.scale == 1 else 11)][1:]
        out = {"claim running": statistics.median(running for _, running in took) * 1000}
        if all(mounted for mounted, _ in took):
            out["claim mounted"] = statistics.median(mounted for mounted, _ in took) * 1000
        return out


GROUPS = {"etcd": on_etcd, "servers": several_servers, "claims": claims}

ROWS = {
    "etcd create": ("etcd", "durable creates on an etcd, ConfigMap, 200 in flight (upstream's once here: 1,250/s)", "/s", 0, 1250, True),
    "etcd put": ("etcd", "puts of the same bytes that etcd takes from the same client", "/s", 0, None, True),
    "etcd ratio": ("etcd", "creates, of these puts", "x", 2, None, True),
    "across": ("servers", "two servers on one etcd: a write to one, its event from the other", "ms", 1, None, False),
    "across p99": ("servers", "the same, 99 of 100", "ms", 1, None, False),
    "leader": ("servers", "the leader is killed, another one leads", "s", 1, 15, False),
    "leader answers": ("servers", "meanwhile one client asks the other server, one request after another", "/s", 0, None, True),
    "leader gap": ("servers", "its longest wait for an answer", "ms", 0, None, False),
    "claim mounted": ("claims", "a claim of local-path and its Pod are made, its volume is mounted (where it has an image)", "ms", 0, 50, False),
    "claim running": ("claims", "the same, the Pod runs", "ms", 0, None, False),
}
