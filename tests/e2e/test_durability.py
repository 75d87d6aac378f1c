#!/usr/bin/env python3
"""kill -9 under load: no answered write is missing, and the server starts again by itself."""
import json
import random
import sys
import threading

from lib import Cluster, equal, main

ROUNDS = 4
WRITERS = 6


class Ledger:
    """What was answered, kept outside the server."""

    def __init__(self):
        self.lock = threading.Lock()
        self.created, self.deleted, self.asked_delete = set(), set(), set()
        self.rev = 0

    def note(self, where, name, rev=0):
        with self.lock:
            where.add(name)
            self.rev = max(self.rev, rev)


def write(c, ledger, stop, worker, number):
    base = "/api/v1/namespaces/default/configmaps"
    i = 0
    conn = None
    while not stop.is_set():
        try:
            conn = conn or c.connect()
            name = f"w{number}-{worker}-{i}"
            body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"%s"},"data":{"i":"%d"}}' % (name, i)
            conn.request("POST", base, body, {"Content-Type": "application/json"})
            r = conn.getresponse()
            text = r.read()
            if r.status == 201:
                ledger.note(ledger.created, name, int(json.loads(text)["metadata"]["resourceVersion"]))
            if i % 5 == 4:
                victim = f"w{number}-{worker}-{i - 2}"
                ledger.note(ledger.asked_delete, victim)
                conn.request("DELETE", f"{base}/{victim}")
                r = conn.getresponse()
                r.read()
                if r.status == 200:
                    ledger.note(ledger.deleted, victim)
            i += 1
        except Exception:
            if stop.is_set():
                return
            conn = None


def killed_under_load(c):
    ledger = Ledger()
    chance = random.Random(7)
    for number in range(ROUNDS):
        stop = threading.Event()
        threads = [threading.Thread(target=write, args=(c, ledger, stop, w, number)) for w in range(WRITERS)]
        for t in threads:
            t.start()
        stop.wait(0.3 + chance.random())
        c.kill()
        stop.set()
        for t in threads:
            t.join()
        c.start()
        status, body, _ = c.request("GET", "/api/v1/namespaces/default/configmaps")
        equal(status, 200)
        have = {i["metadata"]["name"] for i in body["items"]}
        missing = ledger.created - have - ledger.asked_delete
        equal(missing, set(), "answered creates that are gone")
        equal(ledger.deleted & have, set(), "answered deletes that came back")
        assert int(body["metadata"]["resourceVersion"]) >= ledger.rev, "resourceVersion went back"
    assert len(ledger.created) > 50, len(ledger.created)
    print(f"# {len(ledger.created)} answered creates, {len(ledger.deleted)} answered deletes, {ROUNDS} kills")


if __name__ == "__main__":
    with Cluster() as cluster:
        sys.exit(main([killed_under_load], cluster))
