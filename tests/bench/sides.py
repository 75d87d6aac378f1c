"""What is measured: a side is a control plane (or a server of files) that is started in a directory of its own; a load is
one run of h2load on it. For `run` and the groups beside it."""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
import lib  # noqa: E402
from lib import free_port  # noqa: E402


class How:
    """As the flags say; `run` sets it."""

    binary = None
    scale, idle = 1, 5


TOKEN = "bench-0123456789abcdef"
DEMO = "docker.io/caravel/demo:1"
TICK = os.sysconf("SC_CLK_TCK")


class Unavailable(Exception):
    """A row that cannot be measured here; says why."""


def insecure():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def built(kind, name):
    """The path of a program of tests/bench, made anew where the measured binary was."""
    if kind is not Caravel:
        raise Unavailable("not a part of these programs")
    build = os.path.dirname(How.binary)
    if not os.path.exists(os.path.join(build, "build.ninja")):
        raise Unavailable("no build directory beside the binary")
    subprocess.run(["ninja", "-C", build, "tests/bench/" + name], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(build, "tests/bench", name)


class Side:
    """Processes that together are a control plane, on a data directory of their own."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="caravel-bench-")
        self.port = free_port()
        self.procs, self.conn = [], None
        self.url = f"https://127.0.0.1:{self.port}"

    def spawn(self, *args):
        log = open(os.path.join(self.dir, os.path.basename(args[0]) + ".log"), "ab")
        with log:
            self.procs.append(subprocess.Popen(args, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.dir,
                                               start_new_session=True))
        return self.procs[-1]

    def __enter__(self):
        self.began = time.monotonic()
        self.start()
        return self

    def __exit__(self, *_):
        for p in reversed(self.procs):
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    p.wait(20)
                if p.poll() is None:
                    p.kill()
                    p.wait()
        self.clean()
        shutil.rmtree(self.dir, ignore_errors=True)

    def clean(self):
        pass

    def token_file(self):
        path = os.path.join(self.dir, "tokens.csv")
        with open(path, "w", encoding="utf-8") as f:
            f.write(f'{TOKEN},bench,bench,"system:masters"\n')
        return path

    HEADERS = {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"}
    RIGHT = ("-H", "authorization: Bearer " + TOKEN)  # h2load's

    def connect(self):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=insecure(), timeout=60)

    def request(self, method, path, body=None):
        """(status, bytes) over a kept connection; None while nobody listens."""
        for attempt in (1, 2):
            try:
                if self.conn is None:
                    self.conn = self.connect()
                self.conn.request(method, path, json.dumps(body) if body is not None else None, self.HEADERS)
                r = self.conn.getresponse()
                return r.status, r.read()
            except (OSError, http.client.HTTPException):
                self.conn = None
                if attempt == 2:
                    return None
        return None

    def get(self, path):
        r = self.request("GET", path)
        return json.loads(r[1]) if r and r[0] == 200 else None

    def create(self, path, body):
        r = self.request("POST", path, body)
        if not r or r[0] not in (200, 201):
            raise Unavailable(f"POST {path}: {r}")
        return json.loads(r[1])

    def until(self, what, check, timeout=120.0, every=0.001):
        """Seconds from the start of the processes until check() is true."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            for p in self.procs:
                if p.poll() is not None:
                    raise Unavailable(f"{p.args[0]} ended with {p.returncode}: {self.last_words(p)}")
            if check():
                return time.monotonic() - self.began
            time.sleep(every)
        raise Unavailable(f"waited {timeout:.0f} s for {what}")

    def last_words(self, p):
        with open(os.path.join(self.dir, os.path.basename(p.args[0]) + ".log"), encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-3:]).strip()

    def ready(self):
        return self.until("/readyz", lambda: (self.request("GET", "/readyz") or (0,))[0] == 200)

    def default_account(self):
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        return self.until("the default ServiceAccount", lambda: self.get(path))

    def pids(self):
        return [p.pid for p in self.procs]

    def memory(self, what="Rss"):
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
                total += int(re.search(rf"^{what}:\s+(\d+)", f.read(), re.M).group(1))
        return total / 1024

    def cpu(self):
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK


def server_of(pid):
    """The child that serves, of a supervisor; pid itself for a process without children."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
        return int((f.read().split() or [pid])[0])


class Caravel(Side):
    name = "caravel"

    def __init__(self, agent=False, args=()):
        super().__init__()
        self.agent, self.args = agent, args

    def start(self):
        args = ["--disable-agent", "--bind-address", "127.0.0.1"]
        if self.agent:
            args = ["--kubelet-port", str(free_port()), "--node-name", "bench"]
        self.spawn(How.binary, "server", "--data-dir", os.path.join(self.dir, "data"), "--https-listen-port", str(self.port),
                   "--write-kubeconfig", os.path.join(self.dir, "kubeconfig"), "--token-auth-file", self.token_file(), *args, *self.args)

    def pids(self):
        """The server and its supervisor."""
        pid = self.procs[0].pid
        return list(dict.fromkeys([server_of(pid), pid]))

    def memory(self, what="Rss"):
        """What the supervisor shares with the server is there once."""
        def of(pid, wanted):
            with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
                return sum(int(kb) for key, kb in re.findall(r"^(\w+):\s+(\d+)", f.read(), re.M) if key in wanted)
        server, *rest = self.pids()
        own = ("Private_Clean", "Private_Dirty") if what == "Rss" else (what,)
        return (of(server, (what,)) + sum(of(pid, own) for pid in rest)) / 1024

    def clean(self):
        if self.agent:
            subprocess.run([How.binary, "cleanup", "--data-dir", os.path.join(self.dir, "data")], check=False, timeout=120,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Upstream(Side):
    """etcd, kube-apiserver, kube-controller-manager and kube-scheduler, at their defaults but for what would keep them from
    being measured."""

    name = "upstream"
    PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    dir_of_programs = ""

    @classmethod
    def missing(cls):
        return [p for p in cls.PROGRAMS if not os.access(os.path.join(cls.dir_of_programs, p), os.X_OK)]

    def program(self, name, *args):
        return self.spawn(os.path.join(self.dir_of_programs, name), *args)

    def start(self):
        def inside(name):
            return os.path.join(self.dir, name)
        tokens = self.token_file()
        subprocess.run(["openssl", "genrsa", "-out", inside("sa.key"), "2048"], check=True, stderr=subprocess.DEVNULL)
        with open(inside("kubeconfig"), "w", encoding="utf-8") as f:
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "c",
                       "clusters": [{"name": "c", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}}],
                       "users": [{"name": "u", "user": {"token": TOKEN}}],
                       "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}, f)
        self.began = time.monotonic()
        etcd, peer = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
        self.program("etcd", "--data-dir", inside("etcd-data"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
                     "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer)
        self.program("kube-apiserver", "--etcd-servers", etcd, "--secure-port", str(self.port), "--bind-address", "127.0.0.1",
                     "--cert-dir", inside("certs"), "--token-auth-file", tokens, "--authorization-mode", "RBAC",
                     "--service-account-key-file", inside("sa.key"), "--service-account-signing-key-file", inside("sa.key"),
                     "--service-account-issuer", "https://kubernetes.default.svc", "--service-cluster-ip-range", "10.96.0.0/16",
                     # no limits: an answer that flow control refuses is none to be measured
                     "--enable-priority-and-fairness=false", "--max-requests-inflight", "0", "--max-mutating-requests-inflight", "0")
        self.program("kube-controller-manager", "--kubeconfig", inside("kubeconfig"), "--secure-port", str(free_port()),
                     "--bind-address", "127.0.0.1", "--service-account-private-key-file", inside("sa.key"), "--cert-dir",
                     inside("kcm"), "--use-service-account-credentials=false",
                     "--node-monitor-grace-period", "1h")  # nodes without a kubelet stay ready
        self.program("kube-scheduler", "--kubeconfig", inside("kubeconfig"), "--secure-port", str(free_port()),
                     "--bind-address", "127.0.0.1", "--cert-dir", inside("sched"))


# --- load ---

def seconds(text):
    m = re.match(r"([\d.]+)(us|ms|s|m)?$", text)
    return float(m.group(1)) * {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, None: 1}[m.group(2)]


class Load:
    """One run of h2load; every answer must be a 2xx."""

    def __init__(self, side, path, n, body=None, connections=10, streams=20, options=()):
        args = ["h2load", *options, "-n", str(n), "-c", str(min(connections, n)), "-m", str(streams), *side.RIGHT]
        if body is not None:
            file = os.path.join(side.dir, "body.json")
            with open(file, "w", encoding="utf-8") as f:
                json.dump(body, f)
            args += ["-H", "content-type: application/json", "-d", file]
        r = subprocess.run(args + [side.url + path], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                           timeout=600)
        done = re.search(r"finished in (\S+), ([\d.]+) req/s", r.stdout)
        good = re.search(r"status codes: (\d+) 2xx", r.stdout)
        if not done or not good or int(good.group(1)) != n:
            raise Unavailable(f"{path}: not all answers were good: " + " / ".join(r.stdout.strip().splitlines()[-5:]))
        self.seconds, self.rate = seconds(done.group(1)), float(done.group(2))
        data = re.search(r"([\d.]+)([KMGT]?)B \((\d+)\) data", r.stdout)
        self.bytes = int(data.group(3)) if data else 0
        self.each = self.bytes // n
        self.tls = ", ".join(re.findall(r"^(?:TLS Protocol|Cipher|Server Temp Key): (.+)$", r.stdout, re.M))


def config_map():
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "bench-"}, "data": {"key": "value"}}


def pod(padding=0):
    meta = {"generateName": "bench-", "labels": {"app": "bench"}}
    if padding:
        meta["annotations"] = {"padding": "x" * padding}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [
        {"name": "c", "image": DEMO, "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}}}]}}


def node():
    room = {"cpu": "32", "memory": "256Gi", "pods": "110"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"generateName": "node-", "labels": {"kubernetes.io/os": "linux"}},
            "status": {"capacity": room, "allocatable": room, "conditions": [
                {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": "2030-01-01T00:00:00Z"}]}}


PODS = "/api/v1/namespaces/default/pods"
