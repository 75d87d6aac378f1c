"""Much of one kind, in JSON and in protobuf: 100,000 Pods listed by label, by few and by many at once, and 10,000 who watch
one object. For `run`."""
import contextlib
import subprocess
import threading
import time

from sides import PODS, TOKEN, How, Load, Unavailable, pod

PROTOBUF = "application/vnd.kubernetes.protobuf"
ENCODINGS = {"json": (), "protobuf": ("-H", f"accept: {PROTOBUF},application/json")}
MANY, WATCHERS, CHANGES, CLIENTS = 100000, 10000, 50, 50


@contextlib.contextmanager
def peak(s, ret):
    """ret gets the most memory that there was meanwhile."""
    over = threading.Event()

    def look():
        while not over.wait(0.05):
            ret.append(s.memory())
    t = threading.Thread(target=look)
    t.start()
    try:
        yield
    finally:
        over.set()
        t.join()


def lists(kind):
    out = {}
    with kind() as s:
        s.default_account()
        lonely = pod()
        lonely["spec"]["schedulerName"] = "nobody"
        Load(s, PODS, MANY, lonely)
        path = PODS + "?labelSelector=app%3Dbench"
        for name, options in ENCODINGS.items():
            Load(s, path, 2, connections=2, streams=1, options=options)
            before = s.memory()
            one = Load(s, path, 2 * How.scale, connections=1, streams=1, options=options)
            out[f"large list {name}"] = one.seconds / (2 * How.scale)
            out[f"large bytes {name}"] = one.each / 1e6
            seen = []
            with peak(s, seen):
                Load(s, path, CLIENTS, connections=CLIENTS, streams=1, options=options)
            out[f"storm growth {name}"] = max(seen) - before
    return out


def quiet_since(s):
    """When the server had nothing to do any more."""
    last, used = time.monotonic(), s.cpu()
    while time.monotonic() - last < 0.3:
        time.sleep(0.01)
        now = s.cpu()
        if now > used:
            last, used = time.monotonic(), now
    return last


def fan_out(kind):
    out = {}
    for name, options in ENCODINGS.items():
        with kind() as s:
            s.default_account()
            home = "/api/v1/namespaces/kube-public/configmaps"
            one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "watched"}, "data": {"key": "0" * 200}}
            rv = s.create(home, one)["metadata"]["resourceVersion"]
            path = f"{home}?watch=true&timeoutSeconds=300&resourceVersion={rv}&fieldSelector=metadata.name%3Dwatched"
            before = s.memory()
            p = subprocess.Popen(["h2load", "-n", str(WATCHERS), "-c", "100", "-m", "100", *options, "-H",
                                  "authorization: Bearer " + TOKEN, s.url + path], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
            time.sleep(5)
            quiet_since(s)
            out[f"watchers {name}"] = s.memory() - before
            began, used = time.monotonic(), s.cpu()
            for i in range(CHANGES):
                one["data"]["key"] = f"{i:0200}"
                s.request("PUT", home + "/watched", one)
            ended = quiet_since(s)
            if p.poll() is not None:
                raise Unavailable("the watches ended early")
            p.terminate()
            p.wait()
            out[f"fan-out {name}"] = WATCHERS * CHANGES / (ended - began)
            out[f"fan-out cpu {name}"] = WATCHERS * CHANGES / max(s.cpu() - used, 0.01)
    return out


GROUPS = {"large": lists, "fan-out": fan_out}


def rows():
    out = {}
    for name in ENCODINGS:
        out.update({
            f"large list {name}": ("large", f"LIST 100,000 Pods by label, {name}, 1 client", "s", 2, None, False),
            f"large bytes {name}": ("large", f"length of that, {name}", "MB", 1, None, False),
            f"storm growth {name}": ("large", f"most memory on top while 50 clients list them, {name}", "MB", 1, 32, False),
            f"watchers {name}": ("fan-out", f"10,000 idle watches on 100 connections, {name}", "MB", 1, 40, False),
            f"fan-out {name}": ("fan-out", f"one change to 10,000 watchers, {name}", "events/s", 0, 500000, True),
            f"fan-out cpu {name}": ("fan-out", f"the same, for each second of the server's CPU, {name}", "events/s", 0, None, True),
        })
    return out


ROWS = rows()
