"""A ledger outside of the cluster: who asked a Service by which way, when, and what was answered."""
import http.client
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from datetime import datetime

EVERY = 0.1
PATIENCE = 2.0  # for one answer


def ask_name(server, name):
    """The A records of a name, asked twice where no answer comes, as resolvers do; a refusal counts at once."""
    ident = random.randrange(65536)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(PATIENCE / 2)
        s.connect((server, 53))
        for last in (False, True):
            s.send(struct.pack(">HHHHHH", ident, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1")
            try:
                said = s.recv(4096)
                break
            except TimeoutError:
                if last:
                    raise
    if said[:2] != struct.pack(">H", ident) or said[3] & 15 or not said[6:8] > b"\0\0":
        raise OSError(f"answer with code {said[3] & 15}")
    return socket.inet_ntoa(said[-4:]) if said[7] == 1 else f"{said[7]} records"


def ask_http(address, port, host="x"):
    c = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    try:
        c.request("GET", "/", headers={"Host": host, "Connection": "close"})
        r = c.getresponse()
        text = r.read(200).decode(errors="replace").strip()
        if r.status != 200:
            raise OSError(f"status {r.status}")
        return text
    finally:
        c.close()


def ask(way):
    if way["kind"] == "name":
        return ask_name(way["server"], way["name"])
    if way["kind"] == "service":  # by name, as an application does
        return ask_http(ask_name(way["server"], way["name"]), way["port"])
    return ask_http(way["address"], way["port"], way.get("host", "x"))


def asker(way):
    while True:
        began = time.time()
        try:
            said, ok = ask(way), True
        except (OSError, http.client.HTTPException) as e:
            said, ok = f"{type(e).__name__}: {e}", False
        sys.stdout.write(json.dumps([began, time.time(), way["way"], ok, said]) + "\n")
        sys.stdout.flush()
        time.sleep(EVERY)


class Ways:
    """Askers in a namespace (None: this one). Each way is {"way": what it is called, "kind": …}."""

    def __init__(self, file, places):
        self.file, self.procs = file, []
        self.out = open(file, "ab", buffering=0)
        for netns, ways in places:
            words = [sys.executable, os.path.abspath(__file__), json.dumps(ways)]
            self.procs.append(subprocess.Popen([*(["nsenter", f"--net={netns}"] if netns else []), *words], stdout=self.out))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.procs:
            p.kill()
            p.wait()
        self.out.close()

    def read(self, since, until=None):
        with open(self.file, encoding="utf-8") as f:
            lines = [json.loads(line) for line in f if line.endswith("\n")]
        return [x for x in lines if x[0] >= since and (until is None or x[0] < until)]

    def table(self, since, until=None):
        """{way: [asked, answered, longest silence in seconds, who answered how often, errors]}"""
        out = {}
        for began, ended, way, ok, said in self.read(since, until):
            row = out.setdefault(way, [0, 0, 0.0, {}, {}, since])
            row[0] += 1
            if ok:
                row[1] += 1
                row[2] = max(row[2], ended - row[5])
                row[5] = ended
            else:
                row[2] = max(row[2], ended - row[5])
            counts = row[3] if ok else row[4]
            counts[said] = counts.get(said, 0) + 1
        return {way: row[:5] for way, row in sorted(out.items())}

    def show(self, what, since, until=None):
        print(f"# {what}: {time.time() - since:.1f} s")
        for way, (asked, answered, silence, who, errors) in self.table(since, until).items():
            print(f"#   {way:24} {answered}/{asked} longest {silence:.1f} s {who} {errors or ''}", flush=True)
        shown = {}
        for began, ended, way, ok, said in self.read(since, until):  # beside the logs of nodes: what happened just then
            shown[way] = shown.get(way, 0) + (not ok)
            if not ok and shown[way] <= 3:
                print(f"#   {datetime.utcfromtimestamp(began):%H:%M:%S.%f} +{ended - began:.3f} {way}: {said}", flush=True)


if __name__ == "__main__":
    for each in json.loads(sys.argv[1]):
        threading.Thread(target=asker, args=(each,)).start()
