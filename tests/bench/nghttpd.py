"""Beside a server of static files: what HTTP costs anybody."""
import contextlib
import os
import shutil
import socket
import subprocess

from sides import PODS, Caravel, How, Load, Side, Unavailable, pod

NET_THREADS = 2  # of caravel: src/cli/server.c
TLS = ("--tls13-ciphers", "TLS_AES_128_GCM_SHA256", "--groups", "P-256")  # nghttpd knows that group only


class Nghttpd(Side):
    """nghttpd on a directory of files."""

    name = "nghttpd"
    program = None

    @classmethod
    def missing(cls):
        cls.program = cls.program or shutil.which("nghttpd", path=os.environ.get("PATH", os.defpath) + ":/usr/sbin")
        if not cls.program or not os.access(cls.program, os.X_OK):
            return f"there is no {cls.program or 'nghttpd'} (package nghttp2-server)"
        return None

    def start(self):
        key, cert = os.path.join(self.dir, "key.pem"), os.path.join(self.dir, "cert.pem")
        self.files = os.path.join(self.dir, "files")
        os.mkdir(self.files)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                        "/CN=localhost", "-days", "2", "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
        self.spawn(self.program, "--address=127.0.0.1", f"--workers={NET_THREADS}", f"--htdocs={self.files}", str(self.port),
                   key, cert)
        self.until("nghttpd", self.listens, 20, 0.01)

    def listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def file(self, name, content):
        with open(os.path.join(self.files, name), "wb") as f:
            f.write(content)


def in_turn(rounds, ours, theirs):
    """The best load of each; a comparison needs the same TLS."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    tls = sorted({load.tls for pair in pairs for load in pair})
    if len(tls) != 1:
        raise Unavailable("TLS is not alike: " + " / ".join(tls))
    return tuple(max(loads, key=lambda load: load.rate) for loads in zip(*pairs))


def of_the_same_size(pair):
    ours, theirs = (load.each for load in pair)
    if abs(ours - theirs) > theirs / 100:
        raise Unavailable(f"bodies of {ours} and {theirs} bytes are not comparable")
    return pair


def fresh_creates():
    with Caravel() as s:
        s.default_account()
        Load(s, PODS, 2000, pod())
        return Load(s, PODS, How.scale * 5000, pod(), options=TLS)


def beside_nghttpd(rounds):
    """{key of RATIOS: (our load, their load)}"""
    if Nghttpd.missing():
        raise Unavailable(Nghttpd.missing())
    gets, lists = How.scale * 50000, 40 if How.scale == 1 else 200
    with Nghttpd() as n:
        with Caravel() as s:
            s.default_account()
            Load(s, PODS, 5000, pod(1500))
            # The scheduler says of each that there is no node: then they stay as they are.
            s.until("pods to be told of", lambda: all(p["status"].get("conditions") for p in s.get(PODS)["items"]), 120, 1)
            one = PODS + "/" + s.get(PODS + "?limit=1")["items"][0]["metadata"]["name"]
            n.file("one", s.request("GET", one)[1])
            n.file("many", s.request("GET", PODS)[1])
            for side, path in ((s, one), (n, "/one")):
                Load(side, path, 5000)
            get = in_turn(rounds, lambda: Load(s, one, gets, options=TLS), lambda: Load(n, "/one", gets, options=TLS))
            for side, path in ((s, PODS), (n, "/many")):
                Load(side, path, 10, connections=2, streams=1)
            listed = in_turn(rounds, lambda: Load(s, PODS, lists, connections=2, streams=1, options=TLS),
                             lambda: Load(n, "/many", lists, connections=2, streams=1, options=TLS))
        created = in_turn(rounds, fresh_creates, lambda: Load(n, "/one", gets, options=TLS))
    return {"get": of_the_same_size(get), "list": of_the_same_size(listed), "create": created}


# key: (title, ratio that is the budget)
RATIOS = {
    "get": ("GET one Pod, 200 in flight, of a file as long", 0.65),
    "list": ("LIST 5,000 Pods, 2 clients, of a file as long", 3.0),
    "create": ("durable creates, Pod, 200 in flight, of GETs of a file as long", 0.16),
}


def ratio_table(pairs, rounds):
    print(f"\n| beside nghttpd, best of {rounds} in turn | budget | caravel | nghttpd | ratio | budget met |\n|" + "---|" * 6)
    for key, (title, budget) in RATIOS.items():
        rates = [load.rate for load in pairs[key]]
        if key == "list":
            cells = [f"{load.bytes / load.seconds / 1e6:,.0f} MB/s" for load in pairs[key]]
        else:
            cells = [f"{rate:,.0f}/s" for rate in rates]
        ratio = rates[0] / rates[1]
        print(f"| {title} | ≥ {budget} x | {cells[0]} | {cells[1]} | {ratio:.2f} x | {'ok' if ratio >= budget else 'missed'} |")
    print("\nTLS of both: " + pairs["get"][0].tls)
