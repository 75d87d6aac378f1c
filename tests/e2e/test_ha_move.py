#!/usr/bin/env python3
"""A cluster of several servers that is lost as a whole comes back as one of several: from a snapshot of it, and from one that its
etcd's own program made. Revisions are kept, and go on; nothing needs an hour. One whose majority is lost goes on from one of its
servers (--cluster-reset)."""
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from lib import CARAVEL, Cluster, Skip, contains, equal, free_port, main, need_tools, wait_for  # noqa: E402

MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
LEAP = 1000000  # at least, between a snapshot and what is restored


def data(c, *path):
    return os.path.join(c.dir, "data", *path)


def token(c):
    with open(data(c, "server", "token"), encoding="utf-8") as f:
        return f.read().strip()


def log_of(c):
    with open(c.log, encoding="utf-8", errors="replace") as f:
        return f.read()


def server(number, *more):
    """Each has an address of its own, of this machine."""
    return Cluster(args=["--advertise-address", f"127.0.0.{number}", "--etcd-port", str(free_port()), "--disable-snapshots", *more])


def lost(c):
    """With its etcd, and at once: the last of several would wait for a majority that has gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(c.proc.pid, signal.SIGKILL)
    c.proc.wait(30)


def end(c):
    lost(c)
    c.cleanup()


def joins(number, first):
    c = server(number, "--server", f"https://127.0.0.1:{first.port}", "--token", token(first))
    c.start(wait=False)
    return c


def caravel(*args):
    r = subprocess.run([CARAVEL, *args], capture_output=True, text=True, timeout=120, check=False)
    equal(r.returncode, 0, r.stdout + r.stderr)
    return r.stdout + r.stderr


def made(c, path, body):
    status, said, _ = c.request("POST", path, body)
    equal(status, 201, str(said))
    return said


def deployment(name, replicas):
    return {"metadata": {"name": name}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
        "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}}


def pods(c, name):
    return [p for p in c.request("GET", f"/api/v1/namespaces/default/pods?labelSelector=app%3D{name}")[1]["items"]
            if not p["metadata"].get("deletionTimestamp")]


def converges(c, name, replicas):
    """So many Pods, and the scheduler has looked at each (there is no node)."""
    def looked():
        have = pods(c, name)
        return len(have) == replicas and all(any(x["type"] == "PodScheduled" for x in p["status"].get("conditions", ())) for p in have)
    wait_for(f"{replicas} Pods of {name}", looked, 60)


def contents(c):
    got = {}
    for kind in ("configmaps", "secrets"):
        for o in c.request("GET", f"/api/v1/namespaces/default/{kind}")[1]["items"]:
            got[kind, o["metadata"]["name"]] = o["metadata"]["uid"], o["metadata"]["resourceVersion"], str(o.get("data"))
    return got, int(c.request("GET", MAPS)[1]["metadata"]["resourceVersion"])


def two_servers(first, number):
    """The second one comes by the first one's token; what each writes the other has."""
    second = joins(number, first)
    try:
        second.wait_ready(60)
        name = f"by-{number}"
        made(second, MAPS, {"metadata": {"name": name}})
        equal(first.request("GET", f"{MAPS}/{name}")[0], 200)
        made(first, MAPS, {"metadata": {"name": name + "-first"}})
        equal(second.request("GET", f"{MAPS}/{name}-first")[0], 200)
    except BaseException:
        print("# " + second.tail(15).replace("\n", "\n# "))
        end(second)
        raise
    return second


def goes_on(c, was, rev):
    """What was there is there, at the revisions that it had; the next is far behind them."""
    have, _ = contents(c)
    equal({k: have.get(k) for k in was}, was)
    now = int(made(c, MAPS, {"metadata": {"name": "goes-on"}})["metadata"]["resourceVersion"])
    equal(now > rev + LEAP, True, (now, rev))
    said = c.request("GET", f"{MAPS}?watch=1&resourceVersion={rev}&timeoutSeconds=3")[1]
    equal((said["type"], said["object"]["code"]), ("ERROR", 410))
    # It was not counted up to there.
    contains(log_of(c), "all is in etcd")
    equal("a write for each" in log_of(c), False)


def etcdctl(c, *args):
    port = c.args[c.args.index("--etcd-port") + 1]
    r = subprocess.run(["etcdctl", "--endpoints", f"https://127.0.0.1:{port}", "--cacert", data(c, "pki", "etcd-ca.crt"), "--cert",
                        data(c, "etcd", "member.crt"), "--key", data(c, "etcd", "member.key"), *args], capture_output=True, text=True,
                       timeout=60, check=False, env={**os.environ, "ETCDCTL_API": "3"})
    equal(r.returncode, 0, r.stdout + r.stderr)


def lost_and_restored(_):
    if not shutil.which("etcd") or not shutil.which("etcdctl"):
        raise Skip("there are no etcd and etcdctl: install etcd-server and etcd-client")
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        a = server(1, "--cluster-init")
        a.start(wait=False)
        stack.callback(end, a)
        a.wait_ready(60)
        b = two_servers(a, 2)
        stack.callback(end, b)
        made(b, "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "stringData": {"p": "hush-hush"}})
        for i in range(30):
            made(a, MAPS, {"metadata": {"name": f"c{i}"}, "data": {"i": str(i) * 1000}})
        equal(a.request("DELETE", MAPS + "/c7")[0], 200)
        made(a, DEPLOYMENTS, deployment("d", 3))
        converges(b, "d", 3)
        was, rev = contents(a)
        caravel("snapshot", "save", "--data-dir", data(a), "--kubeconfig", a.kubeconfig, a.dir + "/ours.snapshot")
        etcdctl(a, "snapshot", "save", a.dir + "/etcds.db")
        servers_token = token(a)
        for c in (a, b):
            lost(c)

        print(f"# two servers, and two snapshots: {time.monotonic() - started:.0f} s", flush=True)
        c = server(3, "--cluster-init")
        caravel("snapshot", "restore", a.dir + "/ours.snapshot", "--data-dir", data(c), "--token", servers_token)
        c.start(wait=False)
        stack.callback(end, c)
        c.wait_ready(60)
        goes_on(c, was, rev)
        d = two_servers(c, 4)
        stack.callback(end, d)
        for one in (c, d):
            equal(one.request("GET", "/api/v1/namespaces/default/secrets/s")[1]["data"], {"p": "aHVzaC1odXNo"})
            equal(one.request("GET", MAPS + "/c7")[0], 404)
        converges(d, "d", 3)
        status, said, _ = d.request("PUT", DEPLOYMENTS + "/d/scale", {"metadata": {"name": "d", "namespace": "default"}, "spec": {"replicas": 5}})
        equal(status, 200, str(said))
        converges(c, "d", 5)
        made(d, DEPLOYMENTS, deployment("new", 2))
        converges(c, "new", 2)
        print(f"# two others of ours: {time.monotonic() - started:.0f} s", flush=True)

        # What etcd's own program saved of it, too: keys and tokens are made anew.
        e = server(5, "--cluster-init")
        caravel("import", "--data-dir", data(e), a.dir + "/etcds.db")
        e.start(wait=False)
        stack.callback(end, e)
        e.wait_ready(60)
        goes_on(e, was, rev)
        converges(e, "d", 3)
        print(f"# one of the etcd's: {time.monotonic() - started:.0f} s", flush=True)


def moved(c, number):
    """The machine has another address, and its server the data directory that it had."""
    c.args = ["--advertise-address", f"127.0.0.{number}", *c.args[2:]]


def etcd_ended(c):
    with open(data(c, "etcd", "data", "member", "snap", "db"), "rb") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def reset(c):
    r = subprocess.run([CARAVEL, "server", "--data-dir", data(c), "--bind-address", "127.0.0.1", "--https-listen-port", str(c.port),
                        "--disable-agent", *c.args, "--cluster-reset"], capture_output=True, text=True, timeout=120, check=False)
    return r.returncode, r.stdout + r.stderr


def in_database(c):
    """Returns once all that was written by now is in the database of c's etcd, not in its log alone: it writes that again twice."""
    db, seen = data(c, "etcd", "data", "member", "snap", "db"), set()

    def twice():
        seen.add(os.stat(db).st_mtime_ns)
        return len(seen) > 2
    wait_for("an etcd that writes its database", twice)


def majority_lost(_):
    if not shutil.which("etcd") or not shutil.which("etcdctl"):
        raise Skip("there are no etcd and etcdctl: install etcd-server and etcd-client")
    with contextlib.ExitStack() as stack:
        a = server(1, "--cluster-init")
        a.start(wait=False)
        stack.callback(end, a)
        a.wait_ready(60)
        b = two_servers(a, 2)
        stack.callback(end, b)
        made(a, "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "stringData": {"p": "hush-hush"}})
        equal(a.request("DELETE", MAPS + "/by-2")[0], 200)
        code, said = reset(a)
        equal(code, 1, said)
        contains(said, "is in use by process")
        was, rev = contents(b)
        in_database(a)
        # It is in etcd's log, and hardly in its database yet; of the next one nobody has written down that it was agreed on.
        last = made(b, MAPS, {"metadata": {"name": "the-last"}})["metadata"]
        made(b, MAPS, {"metadata": {"name": "in-doubt"}})
        for c in (a, b):
            lost(c)

        # A snapshot of what is not served by anybody has all but the last moment.
        wait_for("the end of its etcd", lambda: etcd_ended(a))
        caravel("snapshot", "save", "--data-dir", data(a), a.dir + "/stopped.snapshot")
        c = Cluster(args=["--disable-snapshots"])
        caravel("snapshot", "restore", a.dir + "/stopped.snapshot", "--data-dir", data(c), "--token", token(a))
        c.start(wait=False)
        stack.callback(end, c)
        c.wait_ready(60)
        have, _ = contents(c)
        equal({k: have.get(k) for k in was}, was)
        equal(c.request("GET", MAPS + "/by-2")[0], 404)
        lost(c)

        # The one that had joined; where it is now nobody of the others would find it.
        moved(b, 3)
        code, said = reset(b)
        equal(code, 0, said)
        contains(said, "without --cluster-reset")
        contains(said, f"--server https://127.0.0.3:{b.port}")
        equal(os.path.isdir(data(b, "etcd.before-reset", "data", "member")), True)
        equal(reset(b)[0], 0)
        # A crash between its two renames.
        os.rename(data(b, "etcd"), data(b, "etcd.reset"))
        b.start(wait=False)
        b.wait_ready(60)
        have, _ = contents(b)
        equal({k: have.get(k) for k in was}, was)
        now = b.request("GET", MAPS + "/the-last")[1]["metadata"]
        equal((now["uid"], now["resourceVersion"]), (last["uid"], last["resourceVersion"]))
        equal(b.request("GET", MAPS + "/by-2")[0], 404)
        now = int(made(b, MAPS, {"metadata": {"name": "goes-on"}})["metadata"]["resourceVersion"])
        equal(now > rev + LEAP, True, (now, rev))

        # The one before comes with what it had, and is nobody's member; then with nothing.
        a.start(wait=False)
        wait_for("words about who is missing", lambda: "start it with --cluster-reset" in log_of(a), 60)
        contains(log_of(a), f" at https://127.0.0.2:{b.args[b.args.index('--etcd-port') + 1]}. When most")
        equal(b.request("GET", MAPS + "/goes-on")[0], 200)
        lost(a)
        shutil.rmtree(data(a, "etcd"))
        moved(a, 4)
        a.args = [x for x in a.args if x != "--cluster-init"] + ["--server", f"https://127.0.0.1:{b.port}", "--token", token(b)]
        a.start(wait=False)
        a.wait_ready(60)
        equal(a.request("GET", MAPS + "/goes-on")[0], 200)
        equal(a.request("GET", "/api/v1/namespaces/default/secrets/s")[1]["data"], {"p": "aHVzaC1odXNo"})
        made(a, MAPS, {"metadata": {"name": "of-both"}})
        equal(b.request("GET", MAPS + "/of-both")[0], 200)
        code, said = reset(server(5))
        equal(code, 1, said)
        contains(said, "there is no cluster to reset")


if __name__ == "__main__":
    need_tools()
    sys.exit(main([lost_and_restored, majority_lost], None))
