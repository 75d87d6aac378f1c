"""A ledger outside of the server: what was answered to writers, and what watches saw, and whether both can be true.

Each writer has keys of its own, so a key's history is one line: after an answer its state is known, after an error or no
answer it is one of two, until it is read. One object is everybody's: a counter that is raised under its revision, whose
values therefore may neither repeat nor skip. Watches go on from the last revision they saw, whatever happens between.
"""
import http.client
import json
import random
import threading
import time

MAPS = "/api/v1/namespaces/default/configmaps"
KEYS = 10
JSON = {"Content-Type": "application/json"}
BROKEN = (OSError, http.client.HTTPException, ValueError)
COUNTER = "counter"


class Wrong(AssertionError):
    pass


class Ledger:
    def __init__(self, cluster, seed, big=0.03, patience=20):
        """patience: seconds for an answer. Who gives up before the server does may see his write come later."""
        self.c, self.big, self.seed, self.patience = cluster, big, seed, patience
        self.lock = threading.Lock()
        self.revs = {}  # revision: (name, value), of all answers
        self.wrong, self.answers, self.codes, self.relists = [], 0, {}, 0
        self.counted = []  # values of the counter that were answered
        self.writers = [Writer(self, n) for n in range(4)]
        self.watches = [Watch(self, n) for n in range(2)]
        self.started = False

    def __enter__(self):
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=x.run, daemon=True) for x in self.writers + self.watches]
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join(60)

    def blame(self, words):
        with self.lock:
            self.wrong.append(words)

    def answered(self, name, value, rev):
        with self.lock:
            self.answers += 1
            if self.revs.setdefault(rev, (name, value)) != (name, value):
                self.wrong.append(f"revision {rev} was given to {self.revs[rev]} and to {(name, value)}")
            if name == COUNTER:
                self.counted.append(int(value))

    def code(self, status):
        with self.lock:
            self.codes[status] = self.codes.get(status, 0) + 1

    def settle(self, timeout=60):
        """With the writers stopped: every key is read, and both watches have seen what there is."""
        status, body, _ = self.c.request("GET", MAPS)
        if status != 200:
            raise Wrong(f"list: {status} {body}")
        rev, have = int(body["metadata"]["resourceVersion"]), {}
        for i in body["items"]:
            have[i["metadata"]["name"]] = i
        for w in self.writers:
            w.compare(have)
        if self.revs and rev < max(self.revs):
            self.blame(f"the list's revision {rev} is before the answered {max(self.revs)}")
        for i in have.values():
            name, at = i["metadata"]["name"], int(i["metadata"]["resourceVersion"])
            if at in self.revs and self.revs[at] != (name, i.get("data", {}).get("v")):
                self.blame(f"revision {at} of '{name}' has {i.get('data', {}).get('v')}, answered was {self.revs[at]}")
        end = time.monotonic() + timeout
        stop = threading.Event()
        self.stop = stop
        threads = [threading.Thread(target=w.run, daemon=True) for w in self.watches]
        for t in threads:
            t.start()
        newest = max((int(i["metadata"]["resourceVersion"]) for i in have.values()), default=0)
        while time.monotonic() < end and any(w.rev < newest for w in self.watches):
            time.sleep(0.02)
        time.sleep(0.1)
        stop.set()
        for t in threads:
            t.join(60)
        for w in self.watches:
            w.compare(have, self)
        if self.wrong:
            raise Wrong("\n".join(self.wrong[:20]))
        return rev


class Writer:
    def __init__(self, ledger, number):
        self.l, self.n = ledger, number
        self.chance = random.Random(ledger.seed * 100 + number)
        self.state = {f"w{number}-{k}": {None} for k in range(KEYS)}  # name: values it may have; None: it is not there
        self.rev = {}  # name: its revision, when known
        self.seq = 0
        self.conn = None

    def ask(self, method, path, body=None, kind="application/json"):
        if self.conn is None:
            self.conn = self.l.c.connect()
            self.conn.timeout = self.l.patience
        try:
            self.conn.request(method, path, body and json.dumps(body), {"Content-Type": kind} if body else {})
            r = self.conn.getresponse()
            text = json.loads(r.read())
        except BROKEN:
            self.conn.close()
            self.conn = None
            raise
        self.l.code(r.status)
        return r.status, text

    def run(self):
        while not self.l.stop.is_set():
            try:
                self.step()
            except BROKEN:
                time.sleep(0.01)
        if self.conn:
            self.conn.close()
            self.conn = None

    def look(self, name, have=None):
        """Reads a key of which two states are possible; have: from a list."""
        if have is None:
            status, got = self.ask("GET", f"{MAPS}/{name}")
            if status not in (200, 404):
                return False
            got = got if status == 200 else None
        else:
            got = have.get(name)
        value = got["data"]["v"] if got else None
        if value not in self.state[name]:
            self.l.blame(f"'{name}' is {value!r}, but can only be {self.state[name]}")
        if got and name in self.rev and len(self.state[name]) == 1 and int(got["metadata"]["resourceVersion"]) != self.rev[name]:
            self.l.blame(f"'{name}' has revision {got['metadata']['resourceVersion']}, answered was {self.rev[name]}")
        self.state[name] = {value}
        if got:
            self.rev[name] = int(got["metadata"]["resourceVersion"])
        else:
            self.rev.pop(name, None)
        return True

    def compare(self, have):
        for name in self.state:
            self.look(name, have)

    def step(self):
        if self.n < 2 and self.chance.random() < 0.15:
            return self.count()
        name = self.chance.choice(list(self.state))
        if len(self.state[name]) > 1 and not self.look(name):
            return None
        (now,) = self.state[name]
        self.seq += 1
        value = f"{self.n}-{self.seq}"
        pad = "x" * (100000 if self.chance.random() < self.l.big else self.chance.randrange(2000))
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"v": value, "pad": pad}}
        path, kind, method = f"{MAPS}/{name}", "application/json", "PUT"
        how = self.chance.randrange(6)
        if now is None:
            method, path = "POST", MAPS
            if how == 0:
                method, path, kind = "PATCH", f"{MAPS}/{name}?fieldManager=ledger&force=true", "application/apply-patch+yaml"
        elif how == 0:
            method, value, body = "DELETE", None, None
        elif how == 1:
            method, kind = "PATCH", "application/merge-patch+json"
        elif how == 2:
            method, kind = "PATCH", "application/json-patch+json"
            body = [{"op": "test", "path": "/data/v", "value": now}, {"op": "replace", "path": "/data/v", "value": value}]
        elif how == 3:
            body["metadata"]["resourceVersion"] = str(self.rev[name])
        elif how == 4:
            method, kind = "PATCH", "application/apply-patch+yaml"
            path += "?fieldManager=ledger&force=true"
        self.state[name] = {now, value}
        status, got = self.ask(method, path, body, kind)
        if status in (200, 201):
            self.state[name] = {value}
            if value is None:
                self.rev.pop(name, None)
                return None
            if got["data"]["v"] != value:
                self.l.blame(f"{method} '{name}' was answered with {got['data']['v']}, not {value}")
            rev = int(got["metadata"]["resourceVersion"])
            if rev <= self.rev.get(name, 0):
                self.l.blame(f"'{name}' went from revision {self.rev[name]} to {rev}")
            self.rev[name] = rev
            self.l.answered(name, value, rev)
        elif status < 500 and status != 429:
            # nobody else writes this key
            self.l.blame(f"{method} '{name}' ({how}): {status} {got.get('message')}")
        else:
            time.sleep(0.02)
        return None

    def count(self):
        status, got = self.ask("GET", f"{MAPS}/{COUNTER}")
        if status == 404:
            status, got = self.ask("POST", MAPS, {"metadata": {"name": COUNTER}, "data": {"v": "0"}})
        elif status == 200:
            got["data"]["v"] = str(int(got["data"]["v"]) + 1)
            status, got = self.ask("PUT", f"{MAPS}/{COUNTER}", got)
        if status in (200, 201):
            self.l.answered(COUNTER, got["data"]["v"], int(got["metadata"]["resourceVersion"]))


class Watch:
    """Goes on from the last revision it saw, of an event or a bookmark."""

    def __init__(self, ledger, number):
        self.l, self.n = ledger, number
        self.rev, self.begin = None, None
        self.seen = {}  # name: value
        self.events = {}  # revision: (name, value)
        self.count = None

    def run(self):
        while not self.l.stop.is_set():
            conn = None
            try:
                if self.rev is None:
                    self.list()
                conn = self.l.c.connect()
                conn.timeout = 1
                conn.request("GET", f"{MAPS}?watch=1&allowWatchBookmarks=true&resourceVersion={self.rev}&timeoutSeconds={5 + self.n}")
                r = conn.getresponse()
                if r.status == 410:
                    self.again("410")
                if r.status == 200:
                    self.read(r)
                else:
                    self.l.code(r.status)
                    time.sleep(0.05)
            except BROKEN:
                time.sleep(0.02)
            finally:
                if conn:
                    conn.close()

    def again(self, why):
        """History is gone: allowed, when it is said."""
        self.l.relists += 1
        self.rev = None
        del why

    def list(self):
        status, body, _ = self.l.c.request("GET", MAPS)
        if status == 200:
            self.seen = {i["metadata"]["name"]: i["data"]["v"] for i in body["items"] if "v" in i.get("data", {})}
            self.rev = self.begin = int(body["metadata"]["resourceVersion"])
            self.count = None

    def read(self, r):
        left = b""
        while not self.l.stop.is_set():
            try:
                more = r.read1(65536)
            except TimeoutError:
                continue
            if not more:
                return
            *lines, left = (left + more).split(b"\n")
            for line in lines:
                if not self.event(json.loads(line)):
                    return

    def event(self, e):
        o = e["object"]
        if e["type"] == "ERROR":
            if o.get("code") == 410:
                self.again("an event")
            else:
                self.l.code("watch " + str(o.get("code")) + " " + str(o.get("message")))
            return False
        rev, name = int(o["metadata"]["resourceVersion"]), o["metadata"].get("name")
        if e["type"] == "BOOKMARK":
            if rev < self.rev:
                self.l.blame(f"watch {self.n}: bookmark {rev} after {self.rev}")
            self.rev = max(self.rev, rev)
            return True
        if rev <= self.rev:
            self.l.blame(f"watch {self.n}: {e['type']} of '{name}' at {rev} after {self.rev}")
        self.rev = rev
        if "v" not in o.get("data", {}):
            return True
        value = o["data"]["v"]
        there = name in self.seen
        if there != (e["type"] != "ADDED"):
            self.l.blame(f"watch {self.n}: {e['type']} of '{name}' at {rev}, which was {'there' if there else 'not there'}")
        if e["type"] == "DELETED":
            if self.seen.pop(name, None) != value:
                self.l.blame(f"watch {self.n}: '{name}' was deleted with another value at {rev}")
            value = None
        else:
            self.seen[name] = value
        self.events[rev] = (name, value)
        if name == COUNTER:
            if self.count is not None and int(value) != self.count + 1:
                self.l.blame(f"watch {self.n}: the counter goes from {self.count} to {value} at {rev}")
            self.count = int(value)
        return True

    def compare(self, have, ledger):
        for rev, what in ledger.revs.items():
            if rev > self.begin and self.events.get(rev) != what:
                ledger.blame(f"watch {self.n}, begun at {self.begin}, at {self.rev}: answered was {what} at {rev}, seen {self.events.get(rev)}")
        now = {n: i["data"]["v"] for n, i in have.items() if "v" in i.get("data", {})}
        if now != self.seen:
            ledger.blame(f"watch {self.n} at {self.rev}: has {sorted(set(self.seen.items()) ^ set(now.items()))[:8]} against the list")
