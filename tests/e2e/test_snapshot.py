#!/usr/bin/env python3
"""Snapshots: taken under load, restored elsewhere, refused when they are not whole; by a schedule, and in a bucket. And what
others have stored, imported."""
import base64
import contextlib
import glob
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import CARAVEL, Cluster, contains, equal, main, need_tools, own_dir, wait_for  # noqa: E402
from s3_stand_in import Bucket  # noqa: E402
from test_etcd import Etcd, on_etcd  # noqa: E402

MAPS = "/api/v1/namespaces/default/configmaps"
K3S_PROVISIONER = "rancher.io/local-path"
ALONE = ["--disable-scheduler", "--disable-controller-manager"]


def caravel(*args, stdin=None, env=None, status=0, binary=False):
    r = subprocess.run([CARAVEL, *args], check=False, capture_output=True, timeout=120, input=stdin, env=dict(os.environ, **(env or {})))
    equal(r.returncode, status, (r.stdout if not binary else b"") + r.stderr)
    return r.stdout if binary else (r.stdout + r.stderr).decode(errors="replace")


def data(c):
    return os.path.join(c.dir, "data")


def save(c, *args, **kw):
    return caravel("snapshot", "save", "--data-dir", data(c), "--kubeconfig", c.kubeconfig, *args, **kw)


def token(c, of="token"):
    with open(os.path.join(data(c), "server", of), encoding="utf-8") as f:
        return f.read().strip()


def create(c, name, size=10):
    return c.request("POST", MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "x" * size}})


def names_and_revisions(c):
    """Of the objects, and the list's own."""
    said = c.request("GET", MAPS)[1]
    return {o["metadata"]["name"]: int(o["metadata"]["resourceVersion"]) for o in said["items"]}, int(said["metadata"]["resourceVersion"])


def elsewhere(c, archive):
    """A cluster of another data directory and port, before its start."""
    new = Cluster(args=ALONE, bare=True)
    caravel("snapshot", "restore", archive, "--data-dir", data(new), "--token", token(c))
    return new


def saved_under_load(c):
    """What was answered before the snapshot began is in it, and it is of one revision: each writer's objects without a gap."""
    ledger, stop = [], threading.Event()

    def writer(w):
        i = 0
        while not stop.is_set():
            if create(c, f"load-{w}-{i:05}", 500)[0] == 201:
                ledger.append((w, i))
                i += 1

    threads = [threading.Thread(target=writer, args=(w,)) for w in range(4)]
    for t in threads:
        t.start()
    wait_for("some load", lambda: len(ledger) > 200)
    answered = list(ledger)
    said = save(c, c.dir + "/load.snapshot")
    contains(said, "saved ", " keys")
    stop.set()
    for t in threads:
        t.join()
    with elsewhere(c, c.dir + "/load.snapshot") as new:
        have, _ = names_and_revisions(new)
        for w, i in answered:
            equal(f"load-{w}-{i:05}" in have, True)
        for w in range(4):
            mine = sorted(int(n.split("-")[2]) for n in have if n.startswith(f"load-{w}-"))
            equal(mine, list(range(len(mine))))
        rev = max(have.values())
        new_rev = names_and_revisions(new)[1]
        equal(new_rev > rev and new_rev >= 1000000, True)


def restored_elsewhere(c):
    equal(create(c, "kept")[0], 201)
    was, rev = names_and_revisions(c)
    save(c, c.dir + "/a.snapshot")
    equal(create(c, "later")[0], 201)
    with elsewhere(c, c.dir + "/a.snapshot") as new:
        have, new_rev = names_and_revisions(new)
        equal("later" in have, False)
        equal(have["kept"], was["kept"])
        equal(new_rev > rev + 999999, True)
        said = new.request("GET", f"{MAPS}?watch=1&resourceVersion={rev}&timeoutSeconds=3")[1]
        equal((said["type"], said["object"]["code"]), ("ERROR", 410))
        # the old cluster's kubeconfig, with the new address: the same CA and the same administrator
        with open(c.kubeconfig, encoding="utf-8") as f:
            text = f.read().replace(f":{c.port}", f":{new.port}")
        with open(new.dir + "/old-kubeconfig", "w", encoding="utf-8") as f:
            f.write(text)
        new.run("--kubeconfig", new.dir + "/old-kubeconfig", "get", "configmap", "kept")
        equal(create(new, "goes-on")[0], 201)


def restored_in_place(c):
    save(c, c.dir + "/b.snapshot")
    equal(create(c, "too-much")[0], 201)
    before = names_and_revisions(c)[1]
    contains(caravel("snapshot", "restore", c.dir + "/b.snapshot", "--data-dir", data(c), status=1), "stop the server first", "in use by process")
    c.stop()
    contains(caravel("snapshot", "restore", c.dir + "/b.snapshot", "--data-dir", data(c)), "is kept as")
    equal(len(glob.glob(data(c) + "/db.before-restore-*")), 1)
    c.start()
    have, rev = names_and_revisions(c)
    equal("too-much" in have, False)
    equal(rev > before, True)
    # without a server, too
    c.stop()
    caravel("snapshot", "save", "--data-dir", data(c), c.dir + "/offline.snapshot")
    c.start()


def refused_by_name(c):
    path = c.dir + "/c.snapshot"
    save(c, path)
    with open(path, "rb") as f:
        good = f.read()
    made, lock = own_dir()
    into = made + "/data"

    def restore(bytes_, *args):
        return caravel("snapshot", "restore", "-", "--data-dir", into, *args, stdin=bytes_, status=1)

    mine = ("--token", token(c))
    contains(restore(good[:len(good) // 2], *mine), "a part of a snapshot")
    contains(restore(good[:-1], *mine), "a part of a snapshot")
    for at in (20, len(good) // 3, len(good) - 5):
        contains(restore(good[:at] + bytes([good[at] ^ 1]) + good[at + 1:], *mine), "it is damaged")
    contains(restore(good + b"x", *mine), "behind its end")
    contains(restore(good[:16] + b"\x09" + good[17:], *mine), "version 9 of the format")
    contains(restore(b"SQLite format 3\0", *mine), "caravel import")
    contains(restore(b"", *mine), "it is empty")
    contains(restore(good), "--token takes that")
    contains(restore(good, "--token", "abcdef.0123456789abcdef"), "another token")
    # what nodes join with is a record of it, and opens nothing
    contains(restore(good, "--token", token(c, "node-token")), "another token")
    contains(save(c, "--token", token(c, "node-token"), c.dir + "/told.snapshot", status=1), "one that machines join with")
    equal(os.path.exists(c.dir + "/told.snapshot"), False)
    equal(os.stat(data(c) + "/server/token").st_mode & 0o777, 0o600)
    equal(sorted(os.listdir(into)), ["restore.lock", "server.lock"])
    # nothing of the keys can be read in it
    for name in ("ca.key", "sa.key"):
        with open(f"{data(c)}/pki/{name}", "rb") as f:
            equal(f.read().split(b"\n")[1] in good, False)
    lock.close()
    shutil.rmtree(made)


def only_masters(c):
    path = "/v1-caravel/snapshot/records"
    c.run("get", "--raw", path)
    c.kubectl("create", "clusterrolebinding", "all", "--clusterrole=cluster-admin", "--user=eve")
    r = c.run("get", "--raw", path, "--as=eve", check=False)
    contains(r.errors, "Forbidden", "system:masters only")
    r = c.run("get", "--raw", path, "--as=mallory", check=False)
    contains(r.errors, "Forbidden")
    contains(c.run("get", "--raw", path + "?revision=1", check=False).errors, "compacted")


def killed_while_restored(c):
    """At whatever moment: the old or the new. Where exactly unit/snapshot/restore tries each."""
    save(c, c.dir + "/d.snapshot")
    equal(create(c, "of-the-old")[0], 201)
    c.stop()
    for i in range(12):
        proc = subprocess.Popen([CARAVEL, "snapshot", "restore", c.dir + "/d.snapshot", "--data-dir", data(c)], stdout=subprocess.DEVNULL)
        try:
            proc.wait(0.01 + i * 0.01)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait(30)
    c.start()
    have, _ = names_and_revisions(c)
    equal("kept" in have, True)
    equal(create(c, "of-the-new")[0], 201)


def by_schedule(_):
    with Cluster(args=[*ALONE, "--snapshot-schedule-cron", "@every 1s", "--etcd-snapshot-retention", "2"]) as c:
        kept = data(c) + "/snapshots/caravel-*.snapshot"
        wait_for("two snapshots", lambda: len(glob.glob(kept)) == 2)
        first = min(glob.glob(kept))
        wait_for("the oldest to go", lambda: not os.path.exists(first))
        contains(caravel("snapshot", "ls", "--data-dir", data(c)), "REVISION", "caravel-")
        os.rename(c.kubeconfig, c.kubeconfig + ".gone")
        wait_for("an event", lambda: any(e["reason"] == "SnapshotFailed" for e in c.request("GET", "/api/v1/events")[1]["items"]))
        os.rename(c.kubeconfig + ".gone", c.kubeconfig)
        contains(c.request("GET", "/metrics")[1], 'caravel_snapshots_total{result="failure"}')


def in_a_bucket_of_others(c):
    """Folders below are not looked through; and what lies before the snapshots is no reason to say that there are none."""
    with Bucket(page=1) as b:
        env = b.environment()
        for n in range(1200):
            b.objects[f"a/log-{n}"] = b""
        save(c, c.dir + "/among.snapshot", *b.flags(), env=env)
        contains(caravel("snapshot", "ls", "--data-dir", data(c), *b.flags(), env=env), "among.snapshot")
        for n in range(1001):
            b.objects[f"a-{n}"] = b""
        contains(caravel("snapshot", "ls", "--data-dir", data(c), *b.flags(), env=env, status=1), "of their own with --s3-folder")


def in_a_bucket(c):
    with Bucket(page=2) as b:
        env = b.environment()
        for n in ("one", "two", "three"):
            contains(save(c, c.dir + f"/{n}.snapshot", *b.flags("--etcd-s3-folder", "my cluster/é"), env=env), "uploaded")
        equal(sorted(b.objects), ["my cluster/é/one.snapshot", "my cluster/é/three.snapshot", "my cluster/é/two.snapshot"])
        said = caravel("snapshot", "ls", "--data-dir", data(c), *b.flags("--s3-folder", "my cluster/é"), env=env)
        contains(said, "one.snapshot", "two.snapshot", "2026-11-30T12:00:00.000Z  s3://backups/my cluster/é/three.snapshot\n")
        made, lock = own_dir()
        caravel("snapshot", "restore", "two.snapshot", "--data-dir", made + "/data", "--token", token(c),
                *b.flags("--s3-folder", "my cluster/é"), env=env)
        equal(os.path.exists(made + "/data/db/manifest"), True)
        contains(caravel("snapshot", "restore", "four.snapshot", "--data-dir", made + "/data", *b.flags(), env=env, status=1), "NoSuchKey")
        # What it says has not to be believed, nor shown to a terminal as it comes.
        before = sum(f.stat().st_size for f in os.scandir(made + "/data") if f.is_file())
        b.claims = 1 << 50
        contains(caravel("snapshot", "restore", "two.snapshot", "--data-dir", made + "/data", "--token", token(c),
                         *b.flags("--s3-folder", "my cluster/é"), env=env, status=1), "half of what is free")
        equal(sum(f.stat().st_size for f in os.scandir(made + "/data") if f.is_file()), before)
        b.claims, b.fail = None, (403, "\x1b[31mNo", "\x1b]0;owned\a" + "x" * 1000)
        said = caravel("snapshot", "ls", "--data-dir", data(c), *b.flags(), env=env, status=1)
        equal(("\x1b" in said, len(said) < 600), (False, True), said)
        b.fail = None
        b.objects["\x1b[31m.snapshot"] = b.objects["\u009b31m.snapshot"] = b"x"
        said = caravel("snapshot", "ls", "--data-dir", data(c), *b.flags(), env=env)
        equal(("\x1b" in said, "\u009b" in said, "\\u009b31m.snapshot" in said), (False, False, True), said)
        lock.close()
        shutil.rmtree(made)
        for i in range(4):
            b.objects[f"caravel-n1-2026010{i}T000000Z.snapshot"] = b"old"
            b.objects[f"caravel-n2-2026010{i}T000000Z.snapshot"] = b"another server's"
        b.objects["mine"] = b"mine"
        save(c, "--snapshot-retention", "3", "--node-name", "n1", *b.flags(), env=env)
        left = sorted(n for n in b.objects if n.startswith("caravel-n1-"))
        equal((len(left), left[:2]), (3, ["caravel-n1-20260102T000000Z.snapshot", "caravel-n1-20260103T000000Z.snapshot"]))
        equal(len([n for n in b.objects if n.startswith("caravel-n2-")]), 4)
        equal("mine" in b.objects, True)
        # refusals, in the service's words; the snapshot is kept here
        contains(save(c, c.dir + "/e.snapshot", *b.flags(), env={**env, "AWS_SECRET_ACCESS_KEY": "other"}, status=1),
                 "SignatureDoesNotMatch", "it is in")
        contains(save(c, c.dir + "/e.snapshot", *b.flags()[:-1], "us-east-1", env=env, status=1), "AuthorizationHeaderMalformed")
        contains(save(c, c.dir + "/e.snapshot", *b.flags(), status=1), "AccessDenied")
        b.fail = (503, "SlowDown", "Please reduce your request rate.")
        contains(save(c, c.dir + "/e.snapshot", *b.flags(), env=env, status=1), "503 SlowDown Please reduce")
        contains(save(c, "--s3", status=1), "--s3-bucket")


def in_parts(c):
    """What is too long for one request: there as a whole, or not at all and nothing of it is left."""
    names = [f"large-{i}" for i in range(26)]
    for name in names:
        body = {"metadata": {"name": name}, "data": {"k": base64.b64encode(os.urandom(720000)).decode()}}
        equal(c.request("POST", MAPS, body)[0], 201)
    with Bucket() as b:
        env = b.environment()
        contains(save(c, c.dir + "/large.snapshot", *b.flags(), env=env), "uploaded large.snapshot")
        with open(c.dir + "/large.snapshot", "rb") as f:
            equal(b.objects["large.snapshot"] == f.read(), True)
        equal(len([s for s in b.said if s.startswith("PUT") and "partNumber" in s]), 2)
        equal(b.uploads, {})
        made, lock = own_dir()
        caravel("snapshot", "restore", "large.snapshot", "--data-dir", made + "/data", "--token", token(c), *b.flags(), env=env)
        lock.close()
        shutil.rmtree(made)
        b.objects.clear()
        b.bad_part = 2
        contains(save(c, c.dir + "/again.snapshot", *b.flags(), env=env, status=1), "put part 2 of 'again.snapshot'", "500 InternalError", "it is in")
        equal((b.objects, b.uploads), ({}, {}))
        b.bad_part, b.bad_end = 0, True
        contains(save(c, c.dir + "/again.snapshot", *b.flags(), env=env, status=1), "InternalError the end failed")
        equal((b.objects, b.uploads), ({}, {}))
    for name in names:
        equal(c.request("DELETE", f"{MAPS}/{name}")[0], 200)


def by_schedule_into_a_bucket(_):
    """Its keys are on no command line."""
    with Bucket() as b, Cluster(args=[*ALONE, "--snapshot-schedule-cron", "@every 1s", *b.flags("--s3-access-key", b.access,
                                                                                                  "--s3-secret-key", b.secret)]) as c:
        wait_for("a snapshot in the bucket", lambda: any(n.startswith("caravel-") for n in b.objects))
        equal(b.secret in c.request("GET", "/flagz")[1], False)


def of_an_etcd(_):
    """A server's whose objects are there: as our snapshot, and imported from its own."""
    with Etcd() as etcd, on_etcd(etcd, "--disable-snapshots") as c:
        for i in range(20):
            equal(create(c, f"e-{i:02}", 3000)[0], 201)
        equal(c.request("DELETE", MAPS + "/e-07")[0], 200)
        was, rev = names_and_revisions(c)
        caravel("snapshot", "save", "--data-dir", data(c), "--datastore-endpoint", etcd.url, c.dir + "/ours.snapshot")
        save(c, c.dir + "/by-server.snapshot")
        contains(caravel("snapshot", "restore", c.dir + "/ours.snapshot", "--data-dir", data(c), status=1), "objects in an etcd")
        if shutil.which("etcdctl"):
            subprocess.run(["etcdctl", "--endpoints", etcd.url, "snapshot", "save", c.dir + "/etcd.db"], check=True, capture_output=True,
                           env=dict(os.environ, ETCDCTL_API="3"))
        etcd.ask("/v3/kv/put", {"key": "L290aGVy", "value": "eA=="})  # /other
        etcd.proc.terminate()  # killed, it has the last tenth of a second in its log alone
        etcd.proc.wait(30)
        for source in ("ours.snapshot", "by-server.snapshot", "etcd.db"):
            if not os.path.exists(f"{c.dir}/{source}"):
                continue
            new = Cluster(args=ALONE, bare=True)
            if source == "etcd.db":
                contains(caravel("import", f"{c.dir}/{source}", "--data-dir", data(new)), "restored", "nodes join anew")
            else:
                caravel("snapshot", "restore", f"{c.dir}/{source}", "--data-dir", data(new), "--token", token(c))
            with new:
                have, new_rev = names_and_revisions(new)
                equal(have, was)
                equal(new_rev > rev + 999999, True)
        made, lock = own_dir()
        contains(caravel("import", etcd.dir + "/data", "--data-dir", made + "/data"), "passed over: ", "was its etcd stopped?")
        with open(c.dir + "/ours.snapshot", "rb") as f:
            contains(caravel("import", f.name, "--data-dir", made + "/data", status=1), "caravel snapshot restore")
        for name, text, words in (("x", b"hello" * 100, "neither a snapshot"), ("y", b"SQLite format 3\0" + bytes(200), "SQLite says")):
            with open(f"{made}/{name}", "wb") as f:
                f.write(text)
            contains(caravel("import", f"{made}/{name}", "--data-dir", made + "/other", status=1), words)
        lock.close()
        shutil.rmtree(made)


def of_k3s(c):
    """Its table, as kine keeps it: a row a version, the newest counts, and other things beside."""
    made, lock = own_dir()
    os.makedirs(made + "/k3s/server/db")
    db = sqlite3.connect(made + "/k3s/server/db/state.db")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name INTEGER, created INTEGER, deleted INTEGER, "
               "create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB)")

    def row(name, value, created=1, deleted=0, create=0):
        db.execute("INSERT INTO kine(name, created, deleted, create_revision, prev_revision, lease, value) VALUES (?,?,?,?,0,0,?)",
                   (name, created, deleted, create, value))

    def configmap(name, x):
        return json.dumps({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default", "uid": "u-" + name,
                                                                                 "creationTimestamp": "2026-01-01T00:00:00Z"}, "data": {"x": x}}).encode()

    row("compact_rev_key", b"", create=0)
    row("/registry/health", b'{"health":"true"}')
    row("/bootstrap/abc", b"secret")
    row("/registry/configmaps/default/a", configmap("a", "1"))       # 4
    row("/registry/configmaps/default/b", configmap("b", "1"))       # 5
    row("/registry/configmaps/default/a", configmap("a", "2"), created=0, create=4)
    row("/registry/configmaps/default/b", configmap("b", "1"), created=0, deleted=1, create=5)
    row("gap-8", None, created=0, deleted=1)
    # as upstream stores: protobuf in its envelope
    equal(create(c, "wire")[0], 201)
    with contextlib.closing(c.connect()) as conn:
        conn.request("GET", MAPS + "/wire", headers={"Accept": "application/vnd.kubernetes.protobuf"})
        wire = conn.getresponse().read()
    equal(wire[:4], b"k8s\0")
    row("/registry/configmaps/default/wire", wire)                    # 9
    row("/registry/configmaps/default/bad", b"not json")
    row("/registry/storageclasses/local-path", json.dumps({"kind": "StorageClass", "apiVersion": "storage.k8s.io/v1", "provisioner": K3S_PROVISIONER,
                                                           "metadata": {"name": "local-path", "uid": "u-class"}}).encode())
    db.commit()
    try:
        contains(caravel("import", made + "/k3s", "--data-dir", made + "/data"), "passed over: 2 ",
                 "values that are no objects: 1, /registry/configmaps/default/bad;", f"StorageClasses of k3s' provisioner {K3S_PROVISIONER}: 1,")
        new = Cluster(args=ALONE, bare=True)
        os.rename(made + "/data", data(new))
        with new:
            have, rev = names_and_revisions(new)
            equal(have, {"a": 6, "wire": 9})
            equal(new.request("GET", MAPS + "/wire")[1]["data"], {"k": "x" * 10})
            equal(new.request("GET", MAPS + "/a")[1]["data"], {"x": "2"})
            equal(rev >= 1000000, True)
            equal(new.request("GET", "/apis/storage.k8s.io/v1/storageclasses/local-path")[1]["provisioner"], "caravel.io/local-path")
            one_that_is_no_object(new, str(rev))
        row("/registry/secrets/default/s", b"k8s:enc:aescbc:v1:x:y")
        db.commit()
        contains(caravel("import", made + "/k3s", "--data-dir", made + "/data", status=1), "--encryption-provider-config")
        equal(sorted(os.listdir(made + "/data")), ["restore.lock", "server.lock"])
    finally:
        db.close()
        lock.close()
        shutil.rmtree(made)


def one_that_is_no_object(c, then):
    """What changed is told without it, and that it is missing; who asks for another one hears nothing of it."""
    equal(c.request("DELETE", MAPS + "/a")[0], 200)
    missing = "configmaps: 1 stored object is set aside and missing from this list: /registry/configmaps/default/bad"
    told = caravel("diff", "--kubeconfig", c.kubeconfig, "--at", then, "-n", "default", status=2)
    contains(told, "- ConfigMap default/a (deleted)", missing)
    equal((told.count(missing), "default/wire" in told), (1, False), told)
    equal(caravel("diff", "--kubeconfig", c.kubeconfig, "--at", then, "cm", "wire"), "")
    contains(caravel("diff", "--kubeconfig", c.kubeconfig, "--at", then, "cm", "a", status=1), "- ConfigMap default/a (deleted)")
    contains(caravel("diff", "--kubeconfig", c.kubeconfig, "--at", then, "cm", "bad", status=2), "cannot be read")
    # It is made anew: that it was not there before nobody knows.
    unsafe = {"kind": "DeleteOptions", "apiVersion": "v1", "ignoreStoreReadErrorWithClusterBreakingPotential": True}
    equal(c.request("DELETE", MAPS + "/bad", unsafe)[0], 200)
    equal(create(c, "bad")[0], 201)
    equal(create(c, "new")[0], 201)
    told = caravel("diff", "--kubeconfig", c.kubeconfig, "--at", then, "cm", status=2)
    contains(told, "+ ConfigMap default/new (created)", missing)
    equal("default/bad (" in told, False, told)


RUNNING = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crates.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: crates, singular: crate, kind: Crate}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {count: {type: integer}}}}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: x}]}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{port: 80}], type: NodePort}
---
apiVersion: v1
kind: Service
metadata: {name: extdb, namespace: shop}
spec: {ports: [{port: 5432}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: extdb, namespace: shop}
subsets: [{addresses: [{ip: 192.0.2.9}], ports: [{port: 5432}]}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: extdb-ours, namespace: shop, labels: {kubernetes.io/service-name: extdb}}
addressType: IPv4
endpoints: [{addresses: [192.0.2.10]}]
ports: [{port: 5432}]
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: shop}
stringData: {password: p}
---
apiVersion: v1
kind: Secret
metadata: {name: t, namespace: shop, annotations: {kubernetes.io/service-account.name: default}}
type: kubernetes.io/service-account-token
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: disk}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /x}, storageClassName: "", claimRef: {name: data, namespace: shop}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: shop}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: disk, resources: {requests: {storage: 1Gi}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: shop}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: r, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: User, name: ann, apiGroup: rbac.authorization.k8s.io}]
"""


def of_a_running_cluster(_):
    """Everything is created anew; what a cluster makes by itself it makes by itself; twice is no harm."""
    with Cluster(args=["--disable-scheduler"]) as old, Cluster(args=["--disable-scheduler"]) as new:
        old.apply(RUNNING)
        old.apply("{apiVersion: example.com/v1, kind: Crate, metadata: {name: c, namespace: shop}, spec: {count: 7}}")
        for i in range(600):  # more than a page
            equal(create(old, f"many-{i}")[0], 201)
        wait_for("the claim", lambda: old.get("pvc", "data", "-n", "shop")["status"].get("phase") == "Bound")
        wait_for("Pods", lambda: len(old.get("pods", "-n", "shop")["items"]) == 3)
        ip = old.get("service", "web", "-n", "shop")["spec"]
        contains(caravel("import", "--from-kubeconfig", new.kubeconfig, "--kubeconfig", new.kubeconfig, status=1), "both kubeconfigs lead to")
        contains(caravel("import", status=1), "from where?")
        said = caravel("import", "--from-kubeconfig", old.kubeconfig, "--kubeconfig", new.kubeconfig)
        contains(said, "0 could not be created", "owned by others", "each cluster's own", "endpoints that are found anew", " events, as each cluster")
        equal(new.get("endpoints", "extdb", "-n", "shop")["subsets"][0]["addresses"], [{"ip": "192.0.2.9"}])
        equal(new.get("endpointslice", "extdb-ours", "-n", "shop")["endpoints"][0]["addresses"], ["192.0.2.10"])
        equal(new.get("crate", "c", "-n", "shop")["spec"], {"count": 7})
        equal(new.get("namespace", "shop")["metadata"]["labels"]["team"], "a")
        got = new.get("service", "web", "-n", "shop")["spec"]
        equal((got["clusterIP"], got["ports"][0]["nodePort"]), (ip["clusterIP"], ip["ports"][0]["nodePort"]))
        equal(new.get("secret", "s", "-n", "shop")["data"], {"password": "cA=="})
        equal(len([n for n in names_and_revisions(new)[0] if n.startswith("many-")]), 600)
        wait_for("the claim", lambda: new.get("pvc", "data", "-n", "shop")["status"].get("phase") == "Bound")
        wait_for("Pods of its own", lambda: len(new.get("pods", "-n", "shop")["items"]) == 3)
        wait_for("a token of its own", lambda: new.get("secret", "t", "-n", "shop").get("data", {}).get("token"))
        equal(new.get("secret", "t", "-n", "shop")["data"]["token"] == old.get("secret", "t", "-n", "shop")["data"]["token"], False)
        equal(new.get("rolebinding", "r", "-n", "shop")["subjects"][0]["name"], "ann")
        contains(caravel("import", "--from-kubeconfig", old.kubeconfig, "--kubeconfig", new.kubeconfig), "created 0 objects", " were there already")
        # what cannot be: said by name, and the rest goes on
        new.apply("{apiVersion: v1, kind: ResourceQuota, metadata: {name: q, namespace: shop}, spec: {hard: {secrets: '0'}}}")
        old.apply("{apiVersion: v1, kind: Secret, metadata: {name: more, namespace: shop}}")
        old.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: more, namespace: shop}}")
        wait_for("the quota", lambda: "used" in new.get("resourcequota", "q", "-n", "shop").get("status", {}))
        said = caravel("import", "--from-kubeconfig", old.kubeconfig, "--kubeconfig", new.kubeconfig, status=1)
        contains(said, "secrets shop/more: ", "exceeded quota", "created 1 objects", "1 objects could not be created")


def stored_encrypted(_):
    """It stays so in the snapshot, whose sealed part has the keys."""
    made, lock = own_dir()
    config = made + "/encryption.yaml"
    with open(config, "w", encoding="utf-8") as f:
        f.write("{kind: EncryptionConfiguration, apiVersion: apiserver.config.k8s.io/v1, resources: [{resources: [secrets], providers: "
                "[{aescbc: {keys: [{name: k, secret: MDEyMzQ1Njc4OWFiY2RlZg==}]}}, {identity: {}}]}]}")
    with Cluster(args=[*ALONE, "--encryption-provider-config", config]) as c:
        c.kubectl("create", "secret", "generic", "s", "--from-literal=p=hush-hush")
        contains(save(c, c.dir + "/x.snapshot", status=1), "--encryption-provider-config names")
        equal(os.path.exists(c.dir + "/x.snapshot"), False)
        save(c, c.dir + "/x.snapshot", "--encryption-provider-config", config)
        new = Cluster(args=ALONE, bare=True)
        said = caravel("snapshot", "restore", c.dir + "/x.snapshot", "--data-dir", data(new), "--token", token(c))
        contains(said, f"--encryption-provider-config {data(new)}/encryption-config.yaml")
        new.args += ["--encryption-provider-config", data(new) + "/encryption-config.yaml"]
        with new:
            equal(new.get("secret", "s")["data"], {"p": "aHVzaC1odXNo"})
    lock.close()
    shutil.rmtree(made)


TESTS = [saved_under_load, restored_elsewhere, restored_in_place, stored_encrypted, refused_by_name, only_masters, killed_while_restored, by_schedule,
         in_a_bucket, in_a_bucket_of_others, in_parts, by_schedule_into_a_bucket, of_an_etcd, of_k3s, of_a_running_cluster]

if __name__ == "__main__":
    need_tools()
    with Cluster(args=ALONE) as cluster:
        sys.exit(main(TESTS, cluster))
