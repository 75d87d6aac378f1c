#!/usr/bin/env python3
"""Files that are damaged, gone, or another cluster's, and disks that are full: words, and never wrong data."""
import glob
import os
import shutil
import subprocess
import sys

from lib import CARAVEL, Cluster, Failed, Skip, contains, equal, main, wait_for

MAPS = "/api/v1/namespaces/default/configmaps"


def create(c, name, size=10):
    return c.request("POST", MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "x" * size}})


def refused(c, *words):
    """Starts the server, which must end by itself and say why."""
    c.start(wait=False)
    equal(c.proc.wait(20), 1)
    said = c.tail(3)
    for w in words:
        if w not in said:
            raise Failed(f"'{w}' is missing in: {said}")


def store(verb, c, status):
    r = subprocess.run([CARAVEL, "store", verb, os.path.join(c.dir, "data")], check=False, capture_output=True, text=True, timeout=60)
    equal(r.returncode, status, r.stdout + r.stderr)
    return r.stdout


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        b = f.read(1)
        f.seek(at)
        f.write(bytes([b[0] ^ 1]))


def newest_segment_gone(c):
    for i in range(50):
        equal(create(c, f"a-{i}")[0], 201)
    rev = int(c.request("GET", MAPS)[1]["metadata"]["resourceVersion"])
    c.kill()
    used = [p for p in glob.glob(c.dir + "/data/db/wal.[0-9]") if os.path.getsize(p)]
    kept = {p: open(p, "rb").read() for p in used}
    for p in used:
        for damage in (os.unlink, lambda p: os.truncate(p, 0), lambda p: os.truncate(p, 8192),
                       lambda p: open(p, "wb").write(bytes(4 << 20))):
            damage(p)
            refused(c, os.path.basename(p), "caravel store repair")
            with open(p, "wb") as f:
                f.write(kept[p])
    c.start()
    equal(len(c.request("GET", MAPS)[1]["items"]) >= 50, True)
    equal(int(c.request("GET", MAPS)[1]["metadata"]["resourceVersion"]) >= rev, True)


def damaged_and_repaired(c):
    c.stop()
    store("check", c, 0)
    table = sorted(glob.glob(c.dir + "/data/db/t.*"))[-1]
    flip(table, 5000)
    said = store("check", c, 1)
    if f"'{table}' is corrupted at offset 4096" not in said:
        raise Failed(said)
    refused(c, os.path.basename(table), "at offset 4096", "caravel store repair")
    store("repair", c, 0)
    equal(len(glob.glob(c.dir + "/data/db.before-repair-*")), 1)
    store("check", c, 0)
    c.start()
    equal(create(c, "after-repair")[0], 201)
    equal(int(c.request("GET", MAPS)[1]["metadata"]["resourceVersion"]) > 1000000, True)


def database_gone(c):
    c.stop()
    os.rename(c.dir + "/data/db", c.dir + "/db")
    os.mkdir(c.dir + "/data/db")
    refused(c, "is gone", "--accept-database")
    c.args.append("--accept-database")
    c.start()
    equal(c.request("GET", MAPS + "/after-repair")[0], 404)
    c.stop()
    c.args.pop()
    c.start()
    c.stop()
    with Cluster() as other:
        equal(create(other, "theirs")[0], 201)
        other.stop()
        shutil.rmtree(c.dir + "/data/db")
        shutil.copytree(other.dir + "/data/db", c.dir + "/data/db")
    refused(c, "belongs to another cluster", "--accept-database")
    shutil.rmtree(c.dir + "/data/db")
    os.rename(c.dir + "/db", c.dir + "/data/db")
    c.start()
    equal(c.request("GET", MAPS + "/after-repair")[0], 200)


def deletable(c):
    """What goes in more than one step: with a finalizer, with a grace period, with what is in it."""
    equal(c.request("POST", MAPS, {"metadata": {"name": "held", "finalizers": ["example.com/held"]}})[0], 201)
    equal(c.request("POST", "/api/v1/nodes", {"metadata": {"name": "away"}})[0], 201)
    equal(c.request("POST", "/api/v1/namespaces/default/pods", {
        "metadata": {"name": "graceful"},
        "spec": {"nodeName": "away", "containers": [{"name": "c", "image": "i"}]}})[0], 201)
    equal(c.request("POST", "/api/v1/namespaces", {"metadata": {"name": "emptied"}})[0], 201)
    equal(c.request("POST", "/api/v1/namespaces/emptied/configmaps", {"metadata": {"name": "in"}})[0], 201)


def deleted(c):
    merge = {"Content-Type": "application/merge-patch+json"}
    status, said, _ = c.request("DELETE", MAPS + "/held")
    equal((status, "deletionTimestamp" in said["metadata"]), (200, True), said)
    status, said, _ = c.request("PATCH", MAPS + "/held", {"metadata": {"labels": {"a": "x" * 63}}}, merge)
    equal(status, 200, said)
    equal(c.request("PATCH", MAPS + "/held", {"metadata": {"finalizers": None}}, merge)[0], 200)
    equal(c.request("GET", MAPS + "/held")[0], 404)
    pod = "/api/v1/namespaces/default/pods/graceful"
    status, said, _ = c.request("DELETE", pod)
    equal((status, "deletionTimestamp" in said["metadata"]), (200, True), said)
    equal(c.request("PATCH", pod + "/status", {"status": {"message": "ending"}}, merge)[0], 200)
    equal(c.request("DELETE", pod, {"gracePeriodSeconds": 0})[0], 200)
    equal(c.request("DELETE", "/api/v1/namespaces/emptied")[0], 200)
    wait_for("the namespace to go", lambda: c.request("GET", "/api/v1/namespaces/emptied")[0] == 404)
    # A step towards a deletion is no way to write more.
    status, said, _ = c.request("PATCH", MAPS + "/b-15", {"metadata": {"labels": {"a": "b"}}}, merge)
    equal(status, 503, said)


def whose_it_is_damaged(c):
    """Neither of the two says any more whose database it is: that is damage, and not another cluster."""
    c.stop()
    for path in (c.dir + "/data/db/cluster", c.dir + "/data/pki/ca.crt"):
        with open(path, "rb") as f:
            kept = f.read()
        for left in (b"", kept[:100], bytes(len(kept))):
            with open(path, "wb") as f:
                f.write(left)
            refused(c, os.path.basename(path) + "' is damaged", "put it back")
        with open(path, "wb") as f:
            f.write(kept)
    c.start()


def keys_gone(c):
    """What tokens and kubeconfigs hang on is not made anew without a word, and what the CA can make again is."""
    token = c.request("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", {"spec": {}})[1]["status"]["token"]
    bearer = {"Authorization": "Bearer " + token}

    def me():
        return c.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, bearer, c.anonymous_context())[0]

    equal(me(), 201)
    c.stop()
    pki = c.dir + "/data/pki/"
    kept = {n: open(pki + n, "rb").read() for n in ("sa.key", "ca.crt", "ca.key")}
    for words, left in (("is gone", None), ("is empty", b""), ("holds no", b"junk"), ("holds no", kept["sa.key"][:60])):
        os.unlink(pki + "sa.key")
        if left is not None:
            with open(pki + "sa.key", "wb") as f:
                f.write(left)
        refused(c, "sa.key' " + words, "put it back", "--accept-database")
        with open(pki + "sa.key", "wb") as f:
            f.write(kept["sa.key"])
    for n in ("ca.crt", "ca.key"):
        os.unlink(pki + n)
    refused(c, "the cluster CA", "is gone", "--accept-database")
    for n in ("ca.crt", "ca.key"):
        with open(pki + n, "wb") as f:
            f.write(kept[n])
    with open(pki + "server.key", "w") as f:
        f.write("junk")
    c.start()
    if "both are made again" not in c.tail(400):
        raise Failed(c.tail(400))
    equal(me(), 201)
    c.stop()
    os.unlink(pki + "sa.key")
    c.args.append("--accept-database")
    c.start()
    c.args.pop()
    equal(me(), 401)


def ca_renewed(c):
    """A CA that ends soon gets a new certificate: it is the same cluster, and the log does not say another."""
    c.stop()
    pki = c.dir + "/data/pki/"
    subprocess.run(["openssl", "req", "-x509", "-new", "-key", pki + "ca.key", "-subj", "/CN=caravel-ca", "-days", "3", "-out", pki + "ca.crt"],
                   check=True, stderr=subprocess.DEVNULL)
    shutil.copy(pki + "ca.crt", c.dir + "/data/db/cluster")
    logged = len(c.tail(100000))
    c.forget()
    c.start()
    said = c.tail(100000)[logged:]
    if "has a new certificate" not in said or "another cluster" in said:
        raise Failed(said)
    with Cluster() as other:
        other.stop()
        shutil.copy(c.kubeconfig, other.kubeconfig)
        other.start(wait=False)
        wait_for("a word of the other's kubeconfig", lambda: "the kubeconfig of another cluster is replaced" in other.tail())


def full_disk(_):
    c = Cluster()
    data = c.dir + "/data"
    os.mkdir(data)
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "files-test", data], check=False,
                                      stderr=subprocess.DEVNULL).returncode:
        raise Skip("needs the right to mount a small file system")
    try:
        c.start()
        for i in range(20):
            equal(create(c, f"b-{i}")[0], 201)
        deletable(c)
        with open(data + "/hog", "wb", buffering=0) as f:
            try:
                while f.write(bytes(65536)):
                    pass
            except OSError:
                pass
        for i in range(2000):
            status, said, headers = create(c, f"c-{i}", 100000)
            if status != 201:
                break
        equal(status, 503, said)
        equal(int(headers.get("Retry-After", 0)) > 0, True, headers)
        equal(c.request("GET", MAPS + "/b-1")[0], 200)
        equal(c.request("GET", "/readyz")[0], 500)
        contains(c.request("GET", "/readyz")[1], "[-]etcd-readiness failed: reason withheld")  # anybody may ask; the log says it
        with open(c.log, encoding="utf-8") as f:
            contains(f.read(), "o space left on device")
        # it lives, and a new start would make no room
        equal(c.request("GET", "/livez")[0], 200)
        equal(c.request("GET", "/healthz")[0], 200)
        for i in range(10):
            equal(c.request("DELETE", f"{MAPS}/b-{i}")[0], 200)
        deleted(c)
        c.kill()
        c.start(wait=False)
        wait_for("reads on a full disk", lambda: c.request("GET", MAPS + "/b-15")[0] == 200)
        equal(c.request("GET", MAPS + "/b-5")[0], 404)
        os.unlink(data + "/hog")
        wait_for("room again", lambda: c.request("GET", "/readyz")[0] == 200)
        equal(create(c, "room")[0], 201)
    finally:
        c.stop()
        subprocess.run(["umount", data], check=True)
        c.cleanup()


if __name__ == "__main__":
    with Cluster() as cluster:
        sys.exit(main([newest_segment_gone, damaged_and_repaired, database_gone, whose_it_is_damaged, keys_gone, ca_renewed, full_disk], cluster))
