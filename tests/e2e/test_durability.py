#!/usr/bin/env python3
"""kill -9 and a full disk under load: no answered write is missing, and the server starts again by itself."""
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

from ledger import Ledger
from lib import Cluster, equal, main, wait_for

ROUNDS = 4
WRITERS = 6


class Answers:
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
    ledger = Answers()
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


def kill_server(c):
    """The supervisor starts another."""
    died = c.server_pid
    os.kill(died, signal.SIGKILL)
    wait_for("another process", lambda: c.server_pid != died)
    c.wait_ready()


def kill_all(c):
    c.kill()
    c.start()


def end(c):
    c.stop()
    c.start()


def fill_disk(c):
    """Fills it, and kills the server while it is full: to the last byte, whatever room the store has made."""
    hog = c.dir + "/data/hog"

    def fill():
        with open(hog, "ab", buffering=0) as f:
            for size in (65536, 512):
                with contextlib.suppress(OSError):
                    while f.write(bytes(size)):
                        pass
    fill()
    time.sleep(0.5)
    c.kill()
    fill()
    c.start(wait=False)
    # What it says of its health depends on whether it has found the disk full yet; reads go on in any case.
    wait_for("an answer on a full disk", lambda: c.request("GET", "/api/v1/namespaces/default")[0] == 200)
    os.unlink(hog)
    c.wait_ready(60)


@contextlib.contextmanager
def small_disk(path):
    """False: not allowed here."""
    os.mkdir(path)
    mounted = os.geteuid() == 0 and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "durability-test", path],
                                                   check=False, stderr=subprocess.DEVNULL).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", path], check=True)


def answered(ledger, more):
    """However long it takes: a loaded machine answers fewer a second."""
    enough = ledger.answers + more
    wait_for("writes to be answered", lambda: ledger.answers >= enough, 60, 0.005)


def ledger_holds(_):
    """Updates, patches and deletions of the same keys, a counter of all, and two watches that go on where they were."""
    c = Cluster()
    c.kubeconfig = c.dir + "/data/kubeconfig.yaml"
    with small_disk(c.dir + "/data") as small:
        try:
            c.start()
            ledger = Ledger(c, 7)
            for fault in (kill_server, kill_all, end, kill_server, *([fill_disk] if small else []), kill_all):
                with ledger:
                    answered(ledger, 60)
                    fault(c)
                    answered(ledger, 30)
                ledger.settle()
        finally:
            c.stop()
    c.cleanup()
    assert ledger.counted, ledger.codes
    events = [len(w.events) for w in ledger.watches]
    assert min(events) > 100, events
    print(f"# {ledger.answers} answers, {events} events, {ledger.relists} lists anew" + ("" if small else "; no small disk: needs mount"))


if __name__ == "__main__":
    with Cluster() as cluster:
        sys.exit(main([killed_under_load, ledger_holds], cluster))
