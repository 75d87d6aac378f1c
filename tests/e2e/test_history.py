#!/usr/bin/env python3
"""The past: what ?at= says of it is what a ledger outside has of it, across ends, kills and compactions under load; it reaches as far as
it shall and takes no more room than it may."""
import http.client
import json
import os
import random
import re
import subprocess
import sys
import threading
import time

from test_etcd import Etcd, on_etcd
from lib import CARAVEL, Cluster, contains, equal, main, refused, wait_for

MAPS = "/api/v1/namespaces/default/configmaps"
ALONE = ["--disable-scheduler", "--disable-controller-manager"]
BROKEN = (OSError, http.client.HTTPException, ValueError)


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Past:
    """One writer: after each answer, what there is."""

    def __init__(self, c):
        self.c, self.chance = c, random.Random(11)
        self.state = {}
        self.steps = [(self.now_rev(), 0, time.time(), {})]  # revision, begun, answered, state from then on

    def now_rev(self):
        return int(self.c.request("GET", MAPS + "?limit=1")[1]["metadata"]["resourceVersion"])

    def write(self, conn, name, value):
        """None: it is deleted."""
        there = name in self.state
        if value is None and not there:
            return
        begun = time.time()
        body = json.dumps({"metadata": {"name": name, "labels": {"even": str(len(value) % 2)}}, "data": {"v": value}}) if value else None
        method = "DELETE" if value is None else "PUT" if there else "POST"
        conn.request(method, MAPS + (f"/{name}" if there else ""), body, {"Content-Type": "application/json"})
        r = conn.getresponse()
        answer = json.loads(r.read())
        equal(r.status in (200, 201), True, answer)
        if value is None:
            self.state.pop(name)
            rev = self.now_rev()  # of nothing else: there is one writer
        else:
            self.state[name] = value
            rev = int(answer["metadata"]["resourceVersion"])
        self.steps.append((rev, begun, time.time(), dict(self.state)))

    def go_on(self, seconds, pause=0.02):
        conn = self.c.connect()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name = f"c{self.chance.randrange(12)}"
            self.write(conn, name, None if self.chance.random() < 0.2 else f"{len(self.steps)}-" + "x" * self.chance.randrange(1, 40))
            time.sleep(pause)
        conn.close()

    def at_rev(self, rev):
        return [s for s in self.steps if s[0] <= rev][-1][3]

    def at_time(self, t):
        """What may have been there when the second t began."""
        before = [s for s in self.steps if s[2] < t]
        return [before[-1][3]] + [s[3] for s in self.steps if s[1] < t <= s[2]]


def maps_at(c, moment, more=""):
    """(status, {name: value} or the Status, headers)"""
    status, body, headers = c.request("GET", f"{MAPS}?at={moment}{more}")
    if status != 200:
        return status, body, headers
    return status, {i["metadata"]["name"]: i["data"]["v"] for i in body["items"] if "v" in i.get("data", {})}, headers


def check_revisions(c, past, n=40):
    for rev, _, _, _ in past.chance.sample(past.steps, min(n, len(past.steps))):
        status, got, _ = maps_at(c, rev)
        equal(status, 200, got)
        equal(got, past.at_rev(rev), f"at revision {rev}")
        odd = {k: v for k, v in got.items() if len(v) % 2}
        equal(maps_at(c, rev, "&labelSelector=even%3D1")[1], odd, f"selected at revision {rev}")


def check_times(c, past, first, last):
    """Those that are not exact say so; how many that were."""
    doubts = 0
    for t in range(int(first) + 1, int(last) + 1):
        status, got, headers = maps_at(c, stamp(t))
        equal(status, 200, got)
        if headers.get("Warning"):
            contains(headers["Warning"], "no server saw when revisions")
            doubts += 1
        elif got not in past.at_time(t):
            raise AssertionError(f"at {stamp(t)}: {got}, wanted one of {past.at_time(t)}")
    return doubts


def refusals(_):
    contains(refused("--history", "soon"), "--history takes a time like 30s")
    contains(refused("--history", "5m"), "--history takes ten minutes or more")
    contains(refused("--history-size", "1Gi"), "--history-size bounds what --history keeps")
    contains(refused("--history", "1h", "--history-size", "1Ki"), "--history-size takes bytes, 16Mi at least")


def what_was_when(c):
    past = Past(c)
    begun = time.time()
    past.go_on(8)
    check_revisions(c, past)
    equal(check_times(c, past, begun, time.time()), 0, "doubts of one server")
    # Ended and started: nobody missed anything.
    c.stop()
    time.sleep(1.1)
    c.start()
    past.go_on(3)
    check_revisions(c, past)
    ended = time.time()
    equal(check_times(c, past, begun, ended), 0, "doubts after an end")
    c.stop()  # which writes the minute
    c.start()
    # Killed: revisions are as they were, and of times it is said when they are not known.
    past.go_on(3)
    c.kill()
    c.start()
    past.go_on(3)
    check_revisions(c, past)
    equal(check_times(c, past, begun, ended), 0, "doubts of what was written")
    doubts = check_times(c, past, ended, time.time())
    print(f"# {len(past.steps)} writes, {doubts} times of the killed minute in doubt")
    equal(doubts > 0, True, "a minute that was lost is told")
    for moment, words in (("0", "revisions begin at 1"), ("99999999", "is in the future"), ("2100-01-01T00:00:00Z", "is in the future"),
                          ("nonsense", "it is a revision, or a time")):
        status, body, _ = maps_at(c, moment)
        equal(status, 400, body)
        contains(body["message"], words)
    status, body, _ = maps_at(c, "2020-01-01T00:00:00Z")
    equal((status, body["reason"]), (410, "Expired"))
    contains(body["message"], "the history reaches back to revision 1 and to 20")
    watched(c, past)


class Watch(threading.Thread):
    """All changes after a revision, until `last` was told."""

    def __init__(self, c, since, last):
        super().__init__(daemon=True)
        self.c, self.since, self.last, self.revs = c, since, last, []
        self.start()

    def run(self):
        conn = self.c.connect()
        conn.request("GET", f"{MAPS}?watch=true&resourceVersion={self.since}")
        r = conn.getresponse()
        while not self.revs or self.revs[-1] < self.last:
            e = json.loads(r.readline())
            self.revs.append(int(e["object"]["metadata"]["resourceVersion"]) if e["type"] != "ERROR" else e["object"])
            if e["type"] == "ERROR":
                return
        conn.close()


def watched(c, past):
    """From the beginning, by many at once, while others write."""
    first, last = past.steps[0][0], past.steps[-1][0]
    wanted = [s[0] for s in past.steps[1:]]
    watches = [Watch(c, first, last) for _ in range(100)]
    past.go_on(1)
    for w in watches:
        w.join(60)
        equal(w.revs[:len(wanted)], wanted, "what a watch from the beginning was told")
    page = c.request("GET", "/metrics")[1]
    equal(int(re.search(r"^caravel_watches_from_log_total (\d+)$", page, re.M)[1]) >= 1, True)


def disk_bytes(c):
    total = 0
    for name in os.listdir(c.dir + "/data/db"):
        try:
            total += os.stat(f"{c.dir}/data/db/{name}").st_blocks * 512
        except FileNotFoundError:
            pass
    return total


class Load:
    """Writers that write much, and what they were answered: (revision, name, value)."""

    def __init__(self, c):
        self.c, self.lock, self.stop, self.answers, self.bytes = c, threading.Lock(), threading.Event(), [], 0

    def write(self, n):
        conn, i = None, 0
        while not self.stop.is_set():
            try:
                conn = conn or self.c.connect()
                value = f"{n}-{i}-" + "x" * 60000
                body = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"w{n}"}, "data": {"v": value}})
                conn.request("PATCH", f"{MAPS}/w{n}?fieldManager=t&force=true", body,
                             {"Content-Type": "application/apply-patch+yaml"})
                r = conn.getresponse()
                answer = json.loads(r.read())
                if r.status in (200, 201):
                    with self.lock:
                        self.answers.append((int(answer["metadata"]["resourceVersion"]), f"w{n}", value[:20]))
                        self.bytes += len(value)
                i += 1
            except BROKEN:
                conn = None
                time.sleep(0.05)


def reach(body):
    return int(re.search(r"reaches back to revision (\d+)", body["message"])[1])


def look_back(c, load, chance, told):
    """Of a moment of the past: as it was answered then, or it is before what is kept."""
    with load.lock:
        answers = load.answers[-400:]
    if not answers:
        return
    rev, name, value = chance.choice(answers)
    status, body, _ = c.request("GET", f"{MAPS}/{name}?at={rev}")
    if status == 410:
        told["expired"] += 1
        equal(reach(body) > rev, True, body)
        return
    equal(status, 200, body)
    told["read"] += 1
    equal((int(body["metadata"]["resourceVersion"]), body["data"]["v"][:20]), (rev, value), "what was")


def no_more_than_its_bound(_):
    """--history-size under load: the disk has it, and what is left is right, also behind kill -9."""
    with Cluster(args=["--history", "24h", "--history-size", "16Mi", *ALONE]) as c:
        load, chance, told, most = Load(c), random.Random(5), {"read": 0, "expired": 0}, 0
        idle = disk_bytes(c)
        threads = [threading.Thread(target=load.write, args=(n,), daemon=True) for n in range(4)]
        for t in threads:
            t.start()
        kills = [40, 90]  # MB
        while load.bytes < 160 << 20:
            try:
                look_back(c, load, chance, told)
                most = max(most, disk_bytes(c) - idle)
            except BROKEN:
                pass
            if kills and load.bytes > kills[0] << 20:
                kills.pop(0)
                c.kill()
                c.start()
        load.stop.set()
        for t in threads:
            t.join(30)

        def settled():
            return disk_bytes(c) - idle < 40 << 20
        print(f"# {load.bytes >> 20} MiB written, {most >> 20} MiB at most on the disk, {told}")
        # The bound, half of it, the log, and what a merge reads and writes at once.
        equal(most < 100 << 20, True, most)
        wait_for("the disk to have what it shall", settled, 30)
        equal(told["read"] > 20 and told["expired"] > 0, True, told)
        # Some of the last 16 MiB are there: a hundred of 60 kB.
        for rev, name, value in load.answers[-100::10]:
            status, body, _ = c.request("GET", f"{MAPS}/{name}?at={rev}")
            equal((status, body["data"]["v"][:20]), (200, value))


def diff(c, *args):
    return subprocess.run([CARAVEL, "diff", "--kubeconfig", c.kubeconfig, *args], capture_output=True, text=True, timeout=60, check=False)


def differences(c):
    c.kubectl("create", "configmap", "old", "--from-literal=k=1")
    c.kubectl("create", "secret", "generic", "s", "--from-literal=k=geheim")
    c.kubectl("create", "deployment", "web", "--image=web:1", "--replicas=2")
    then = c.get("deployment", "web")["metadata"]["resourceVersion"]
    time.sleep(1.1)
    second = stamp(time.time())
    c.kubectl("scale", "deployment", "web", "--replicas=5")
    c.kubectl("patch", "secret", "s", "-p", '{"stringData":{"k":"anders"}}')
    c.kubectl("delete", "configmap", "old")
    c.kubectl("create", "namespace", "n2")
    c.kubectl("-n", "n2", "create", "configmap", "new", "--from-literal=k=1")
    for moment in (then, second):
        r = diff(c, "--at", moment)
        equal(r.returncode, 1, r.stderr)
        contains(r.stdout, "- ConfigMap default/old (deleted)\n", "+ ConfigMap n2/new (created)\n", "+ Namespace n2 (created)\n",
                 "~ Secret default/s (changed)\n", "~ Deployment.apps default/web (changed)\n", "-   replicas: 2\n")
        equal(re.search(r"^\+   replicas: 5 +# kubectl$", r.stdout, re.M) is not None, True, r.stdout)
        equal([line for line in r.stdout.splitlines() if re.match("[-+~] [A-Z]", line)],
              ["- ConfigMap default/old (deleted)", "+ ConfigMap n2/new (created)", "+ Namespace n2 (created)",
               "~ Secret default/s (changed)", "~ Deployment.apps default/web (changed)"], "order")
        equal("Z2VoZWlt" in r.stdout or "YW5kZXJz" in r.stdout, False, r.stdout)
    contains(diff(c, "--at", then, "--show-secrets", "secrets").stdout, "-   k: Z2VoZWlt\n", "+   k: YW5kZXJz")
    r = diff(c, "--at", then, "-n", "n2")
    equal(re.findall("^[-+~] [A-Z].*", r.stdout, re.M), ["+ ConfigMap n2/new (created)"])
    equal(diff(c, "--at", then, "--at", then).returncode, 0)
    equal(re.findall("^[-+~] [A-Z].*", diff(c, "--at", then, "deploy", "web").stdout, re.M), ["~ Deployment.apps default/web (changed)"])
    equal(diff(c, "--at", then, "cm/none").returncode, 0)
    for args, words in ((["--at", "99999999"], "is in the future"), (["--at", "30000h"], "is before what is kept"),
                        (["--at", then, "foos"], 'the server doesn\'t have a resource type "foos"'), ([], "--at says a moment"),
                        (["--at", "1", "--at", "2", "--at", "3"], "--at says a moment"),
                        (["--at", then, "cm", "a", "b"], "unexpected argument 'b'")):
        r = diff(c, *args)
        equal((r.returncode, r.stdout), (2, ""), r.stderr)
        contains(r.stderr, words)


def on_an_etcd(_):
    """Two servers: each knows of what the other has written, and of what was before it came."""
    with Etcd() as etcd, on_etcd(etcd, "--history", "1h") as a:
        past = Past(a)
        begun = time.time()
        past.go_on(4)
        with on_etcd(etcd, "--history", "1h") as b:
            past.go_on(3)
            check_revisions(a, past)
            check_revisions(b, past)
            equal(check_times(a, past, begun, time.time()), 0)
            watched(b, past)
            a.stop()
            check_revisions(b, past)
            a.start()
            equal(check_times(a, past, begun, begun + 6), 0)


def minutes_without_it(_):
    """As upstream: by revision as far as the store has it, by time since the start."""
    with Cluster(args=ALONE) as c:
        past = Past(c)
        begun = time.time()
        past.go_on(3)
        check_revisions(c, past)
        equal(check_times(c, past, begun, time.time()), 0)
        status, body, _ = maps_at(c, "2020-01-01T00:00:00Z")
        equal(status, 410, body)
        contains(body["message"], "--history DURATION keeps it for longer")


if __name__ == "__main__":
    with Cluster(args=["--history", "24h", *ALONE]) as cluster:
        sys.exit(main([refusals, what_was_when, differences, no_more_than_its_bound, on_an_etcd, minutes_without_it], cluster))
