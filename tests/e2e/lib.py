"""What end-to-end tests share: a cluster of their own, kubectl against it, TAP output.

Each program starts real `caravel server` processes with their own data directory and ports, so that
programs, and a cluster of the user's, do not disturb each other.
"""
import atexit
import base64
import contextlib
import fcntl
import glob
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CARAVEL = os.environ.get("CARAVEL") or os.path.join(ROOT, "build", "caravel")  # another build, say with sanitizers
BIN = os.path.join(ROOT, "build", "bin")


class Skip(Exception):
    """Raised by a test that cannot run here; says what is missing."""


class Failed(AssertionError):
    pass


def need_tools():
    subprocess.run([os.path.join(ROOT, "tools", "kubectl.sh"), BIN], check=True, stdout=subprocess.DEVNULL)


handed_out = set()


def free_port():
    """Below the ports that the kernel gives to whoever connects, and that Services have: nobody takes it meanwhile."""
    while True:
        port = random.randrange(11000, 30000)
        with socket.socket() as s, contextlib.suppress(OSError):
            s.bind(("", port))
            if port not in handed_out:
                handed_out.add(port)
                return port


# --- runs beside each other, and after one that died ---

DIRS = os.path.join(tempfile.gettempdir(), "caravel-run-")
own_dirs = set()  # of this program


def remove_own_dirs():
    """Also when a test failed before it could. Not what is kept, nor what has mounts or a server in it: the next run ends those
    (clear_away_dead_runs)."""
    shutil.rmtree(tempfile.tempdir, ignore_errors=True)
    mounts = read_text("/proc/mounts")
    for made in own_dirs:
        if os.path.exists(made + "/owner") and f" {made}/" not in mounts and not any(servers_of(made)):
            shutil.rmtree(made, ignore_errors=True)


tempfile.tempdir = tempfile.mkdtemp(prefix="caravel-test-")  # whatever else this program makes of temporary files
atexit.register(remove_own_dirs)  # its children end by os._exit()


def own_dir():
    """A new directory, and a lock on it for as long as this program lives."""
    made = tempfile.mkdtemp(prefix=os.path.basename(DIRS), dir=os.path.dirname(DIRS))
    lock = open(os.path.join(made, "owner.new"), "wb")  # held: the caller closes it
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(os.path.join(made, "owner.new"), os.path.join(made, "owner"))
    own_dirs.add(made)
    return made, lock


def dirs_of_others():
    """Those of programs that run beside this one."""
    found = []
    for owner in glob.glob(DIRS + "*/owner"):
        top = os.path.dirname(owner)
        if top in own_dirs:
            continue
        with contextlib.suppress(FileNotFoundError), open(owner, "rb+") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append(top)
    return found


def threads_of(pid):
    if shutil.which("gdb"):
        return subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all bt"], check=False, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace").stdout
    said = []
    for task in glob.glob(f"/proc/{pid}/task/*"):
        with contextlib.suppress(OSError):
            said.append(" ".join([task, *(read_text(f"{task}/{name}").strip() for name in ("comm", "wchan"))]))
    return "\n".join(said)


def read_text(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read()


def complaints(log):
    """The warnings and errors of a server's log; not the watchdog's, which tell how much else the machine has to do, too."""
    return [line for line in log.splitlines() if re.search(r" (WARN|ERROR) ", line) and not re.search(r" WARN\s+watchdog ", line)]


def servers_of(top):
    for p in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{p}/cmdline", encoding="utf-8", errors="replace") as f:
            words = f.read().split("\0")
            if words[1:2] in (["server"], ["agent"], ["dev"]) and any(w.startswith(top + "/") for w in words):
                yield int(p)


def clear_away_dead_runs():
    """What programs that were killed left: servers, containers, networks, files. Nothing of those that live, or were kept."""
    for owner in glob.glob(DIRS + "*/owner"):
        top = os.path.dirname(owner)
        with contextlib.suppress(OSError, subprocess.SubprocessError), open(owner, "rb+") as f:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for pid in servers_of(top):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGTERM)
            for data in (top + "/data", top + "/make/data"):
                subprocess.run([CARAVEL, "cleanup", "--stop", "--data-dir", data], check=True, timeout=120, stdout=subprocess.DEVNULL)
            shutil.rmtree(top, ignore_errors=True)


def own_net():
    """(n, claim): 10.n and 10.(n + 64), of which no node on this machine has anything; ours until claim is closed.

    Nodes of one machine share its routes and rules, so these are away from a user's cluster (10.42, 10.43), too."""
    used = "".join(subprocess.run(args, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
                   for args in (("ip", "-4", "route", "show", "table", "all"), ("nft", "list", "ruleset")))
    first = random.randrange(64)
    for n in ((first + i) % 64 + 64 for i in range(64)):
        if f" 10.{n}." in used or f" 10.{n + 64}." in used:
            continue
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0caravel-run-net-{n}")  # gone with this program, however it ends
            return n, claim
        except OSError:
            claim.close()
    raise Failed("every range of addresses for tests is in use")


GUARD = 50  # seconds a loaded machine is waited for at the least: less than the minute after which a sweep finds what a watch missed


def wait_for(what, check, timeout=GUARD, every=0.05, strict=False):
    """Polls check() until it is true; the last value is returned. The limit is a guard against hanging, no less than GUARD;
    strict: it is what the test is about."""
    timeout = timeout if strict else max(timeout, GUARD)
    end = time.monotonic() + timeout
    last = None
    while time.monotonic() < end:
        try:
            last = check()
            if last:
                return last
        except (Failed, OSError, subprocess.CalledProcessError, http.client.HTTPException) as e:
            last = e
        time.sleep(every)
    raise Failed(f"waited {timeout:.0f} s for {what}; last: {last}")


def own_address():
    """One of this machine's that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("203.0.113.1", 9))
        except OSError:
            return None
        address = s.getsockname()[0]
    return None if address.startswith("127.") else address


class Cluster:
    """One `caravel server`. agent=True runs a node, too: root and containerd needed.

    bare=True gives it nothing but its own directory, port and kubeconfig: the rest it must find by itself. nofile limits
    its descriptors."""

    def __init__(self, agent=False, args=(), port=None, bare=False, nofile=None):
        self.dir, self.lock = own_dir()
        self.host = "127.0.0.1"  # where the API answers
        self.proc = self.net_claim = self._tls = None
        self.port = free_port() if port is None else port
        self.kubeconfig = os.path.join(self.dir, "kubeconfig.yaml")
        self.log = os.path.join(self.dir, "server.log")
        self.agent = agent
        self.prefix = ["prlimit", f"--nofile={nofile}:{nofile}"] if nofile else []
        self.args = list(args)
        if agent and not bare:
            self.net, self.net_claim = own_net()
            self.service_ip = f"10.{self.net + 64}.0.1"
            self.args += ["--cluster-cidr", f"10.{self.net}.0.0/16", "--service-cidr", f"10.{self.net + 64}.0.0/16",
                          "--kubelet-port", str(free_port()), "--node-name", "node-1"]

    def start(self, wait=True):
        args = [*self.prefix, CARAVEL, "server", "--data-dir", os.path.join(self.dir, "data"), "--bind-address",
                "0.0.0.0" if self.agent else "127.0.0.1", "--https-listen-port", str(self.port), "--write-kubeconfig",
                self.kubeconfig]
        args += [] if self.agent else ["--disable-agent"]
        with open(self.log, "a", encoding="utf-8") as log:
            self.proc = subprocess.Popen(args + self.args, stdout=log, stderr=log, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=20):
        def ready():
            if self.proc.poll() is not None:
                raise SystemExit(f"the server ended with {self.proc.returncode}:\n{self.tail()}")
            return os.path.exists(self.kubeconfig) and self.request("GET", "/readyz")[0] == 200
        wait_for("/readyz", ready, timeout)

    @property
    def server_pid(self):
        """The process that serves: proc is its supervisor."""
        pid = self.proc.pid

        def child():
            with open(f"/proc/{pid}/task/{pid}/children", encoding="utf-8") as f:
                return [int(word) for word in f.read().split()]
        return wait_for("the server's process", child)[0]

    def tail(self, n=40):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return "".join(f.readlines()[-n:])

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
            self.wait_end()
        return self.proc.returncode if self.proc else None

    def wait_end(self, timeout=GUARD):
        """The exit status. Of a server that does not end it is said what each of its threads waits for."""
        timeout = max(timeout, GUARD)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.proc.wait(timeout)
        said = [f"the server has not ended within {timeout} s", self.tail()]
        with open(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children", encoding="utf-8") as f:
            said += [threads_of(pid) for pid in (self.proc.pid, *map(int, f.read().split()))]
        raise Failed("\n".join(said))

    def kill(self):
        self.proc.kill()
        self.proc.wait(30)

    def cleanup(self):
        with contextlib.suppress(Failed):
            self.stop()
        if self.proc and self.proc.poll() is None:
            self.kill()
        if self.agent:
            subprocess.run([CARAVEL, "cleanup", "--stop", "--data-dir", os.path.join(self.dir, "data")], check=False, timeout=120,
                           stdout=subprocess.DEVNULL)
        if os.environ.get("KEEP"):
            os.unlink(os.path.join(self.dir, "owner"))  # nor does a later run clear it away
            print(f"# kept {self.dir}")
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
        if self.net_claim:
            self.net_claim.close()
        self.lock.close()

    def __enter__(self):
        return self.start()

    @staticmethod
    def failed(exc):
        """Of what __exit__() is told: whether it went wrong. sys.exit(0) is no failure."""
        return exc[0] is not None and not (exc[0] is SystemExit and not exc[1].code)

    def __exit__(self, *exc):
        if self.failed(exc):
            print("# server log:\n# " + self.tail().replace("\n", "\n# "))
        self.cleanup()

    # --- kubectl ---

    def run(self, *args, stdin=None, check=True, timeout=90, program="kubectl", binary=False):
        env = dict(os.environ, KUBECONFIG=self.kubeconfig, HOME=self.dir, HELM_CACHE_HOME=self.dir + "/helm")
        if isinstance(stdin, str):
            stdin = stdin.encode()
        r = subprocess.run([os.path.join(BIN, program), *args], input=stdin, env=env, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=timeout, check=False)
        r.text = r.stdout.decode(errors="replace")
        r.errors = r.stderr.decode(errors="replace")
        if check and r.returncode:
            raise Failed(f"{program} {' '.join(args)}: exit {r.returncode}\n{r.text}{r.errors}")
        return r

    def kubectl(self, *args, **kw):
        return self.run(*args, **kw).text

    def apply(self, text, *args):
        return self.kubectl("apply", "-f", "-", *args, stdin=text)

    def get(self, *args):
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    # --- plain HTTPS as the admin ---

    def context(self):
        if self._tls is None:
            def field(name):
                with open(self.kubeconfig, encoding="utf-8") as f:
                    for line in f:
                        if line.strip().startswith(name + ":"):
                            return base64.b64decode(line.split(":", 1)[1].strip())
                raise Failed(f"no {name} in the kubeconfig")
            pem = os.path.join(self.dir, "admin.pem")
            with open(pem, "wb") as f:
                f.write(field("client-certificate-data") + field("client-key-data"))
            self.ca = field("certificate-authority-data")
            tls = ssl.create_default_context(cadata=self.ca.decode())
            tls.load_cert_chain(pem)
            self._tls = tls  # complete: another thread may look
        return self._tls

    def forget(self):
        """The next start is that of another cluster, with another certificate authority."""
        self._tls = None

    def anonymous_context(self):
        self.context()
        return ssl.create_default_context(cadata=self.ca.decode())

    def connect(self, context=None):
        return http.client.HTTPSConnection(self.host, self.port, context=context or self.context(), timeout=30)

    def request(self, method, path, body=None, headers=None, context=None):
        """Returns (status, parsed JSON or text, headers)."""
        c = self.connect(context)
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
            if isinstance(body, str):
                body = body.encode()
            h = {"Content-Type": "application/json"} if body is not None else {}
            h.update(headers or {})
            c.request(method, path, body, h)
            r = c.getresponse()
            text = r.read()
            if method != "HEAD" and "json" in (r.getheader("Content-Type") or ""):
                return r.status, json.loads(text), r.headers
            return r.status, text.decode(errors="replace"), r.headers
        finally:
            c.close()


class DevCluster(Cluster):
    """`caravel dev`: several nodes, dev-1 (with the control plane), dev-2, ..., each in a network namespace of its own."""

    def __init__(self, nodes=2, args=()):
        super().__init__(agent=True, bare=True, port=6443)
        self.nodes, self.args = nodes, list(args)
        self.data = os.path.join(self.dir, "data")

    def start(self, wait=True):
        args = [CARAVEL, "dev", "--nodes", str(self.nodes), "--data-dir", self.data, "--write-kubeconfig", self.kubeconfig]
        with open(self.log, "a", encoding="utf-8") as log:
            self.said = log.tell()  # what it said in earlier lives
            self.proc = subprocess.Popen(args + self.args, stdout=log, stderr=log, start_new_session=True)
        if wait:
            wait_for("all nodes to be Ready", self.said_ready, 60)
            with open(self.kubeconfig, encoding="utf-8") as f:
                self.host = re.search(r"server: https://(\S+):\d+", f.read()).group(1).strip("[]")
        return self

    def said_ready(self):
        if self.proc.poll() is not None:
            raise SystemExit(f"caravel dev ended with {self.proc.returncode}:\n{self.tail()}")
        return f"caravel: {self.nodes} nodes;" in read_text(self.log)[self.said:]

    def net(self):
        """What the names of its bridge, links and namespaces begin with."""
        return wait_for("namespaces", lambda: [n for n in os.listdir("/run/netns") if n.startswith("cvd") and self.pid_in(n)])[0][:11]

    def pid_in(self, netns):
        """A process of ours that is in there."""
        there = os.stat(f"/run/netns/{netns}").st_ino
        for pid in servers_of(self.dir):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}/ns/net").st_ino == there:
                    return pid
        return None

    def inside(self, node, *words, check=True):
        """Runs a program in the namespace of a node, by its number."""
        r = subprocess.run(["nsenter", f"--net=/run/netns/{self.net()}-{node}", *words], check=False, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, errors="replace", timeout=60)
        if check and r.returncode:
            raise Failed(f"{' '.join(words)} in dev-{node}: exit {r.returncode}\n{r.stdout}")
        return r.stdout

    def node_dir(self, node):
        return os.path.join(self.data, f"dev-{node}")

    def node_pid(self, node):
        """The supervisor of a node's server or agent; None: it does not run."""
        for pid in sorted(servers_of(self.dir)):
            with contextlib.suppress(OSError):
                words = read_text(f"/proc/{pid}/cmdline").split("\0")
                parent = int(read_text(f"/proc/{pid}/stat").rsplit(")", 1)[1].split()[1])
                if self.node_dir(node) in words and words[1] != "dev" and read_text(f"/proc/{parent}/cmdline").split("\0") != words:
                    return pid
        return None

    def kill_node(self, node):
        """As if somebody had pulled the plug of the agent alone: its pods run on. Returns its words, for start_node()."""
        pid = self.node_pid(node)
        words = read_text(f"/proc/{pid}/cmdline").split("\0")[1:-1]
        os.kill(pid, signal.SIGKILL)
        wait_for(f"the end of dev-{node}", lambda: not self.node_pid(node))
        return words

    def start_node(self, node, words):
        env = dict(os.environ, CARAVEL_SYSFS=self.node_dir(node) + "/sys")
        with open(f"{self.data}/dev-{node}.log", "a", encoding="utf-8") as log:
            subprocess.Popen(["nsenter", f"--net=/run/netns/{self.net()}-{node}", CARAVEL, *words], env=env, stdout=log, stderr=log,
                             start_new_session=True)

    def start_node_without_address(self, node):
        """Its agent is started anew and finds its address by itself, as it has to when that changes. Returns what it was given."""
        words = self.kill_node(node)
        at = words.index("--node-ip")
        self.start_node(node, words[:at] + words[at + 2:])
        wait_for(f"dev-{node} to be Ready", lambda: self.node_ready(node), 60)
        return words[at + 1]

    def node_log(self, node):
        return read_text(f"{self.data}/dev-{node}.log")

    def node_ready(self, node):
        """The Ready condition's status."""
        conditions = self.get("node", f"dev-{node}")["status"].get("conditions", [])
        return [c["status"] for c in conditions if c["type"] == "Ready"] == ["True"]

    def __exit__(self, *exc):
        if self.failed(exc):
            for node in range(1, self.nodes + 1):
                with contextlib.suppress(OSError):
                    print(f"# dev-{node}:\n# " + "\n# ".join(self.node_log(node).splitlines()[-15:]))
        super().__exit__(*exc)


class Space:
    """A namespace of a test's own, and what a webhook says that is asked about it alone."""

    count = 0

    def __init__(self, c, **labels):
        Space.count += 1
        self.c, self.name = c, f"space-{Space.count}"
        self.path = f"/api/v1/namespaces/{self.name}"
        self.maps, self.pods = f"{self.path}/configmaps", f"{self.path}/pods"
        labels = {"space": self.name, **labels}
        code, answer, _ = c.request("POST", "/api/v1/namespaces", {"metadata": {"name": self.name, "labels": labels}})
        equal(code, 201, str(answer))

    def selector(self):
        return {"matchLabels": {"kubernetes.io/metadata.name": self.name}}


def rule(resource="configmaps", operations=("CREATE",), group="", version="v1"):
    return {"apiGroups": [group], "apiVersions": [version], "operations": list(operations), "resources": [resource]}


def hook(hooks, client, name="hook.example.com", rules=(rule(),), **more):
    """One webhook; client: its clientConfig, or a path of hooks (hooks.py)."""
    client = {"url": hooks.url(client)} if isinstance(client, str) else client
    return {"name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "timeoutSeconds": 5, "rules": list(rules),
            "clientConfig": {"caBundle": hooks.ca, **client}, **more}


class WebSocket:
    """The client's end of a WebSocket, as far as tests read it. Raises Failed when it is not let in; .status says how."""

    def __init__(self, c, path, *protocols):
        self.conn = c.connect()
        self.conn.connect()
        self.sock, self.left = self.conn.sock, b""
        asked = f"Sec-WebSocket-Protocol: {', '.join(protocols)}\r\n" if protocols else ""
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                          f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{asked}\r\n".encode())
        while b"\r\n\r\n" not in self.left:
            self.left += self._more()
        self.head, self.left = self.left.split(b"\r\n\r\n", 1)
        self.status = int(self.head.split()[1])

    def _more(self):
        more = self.sock.recv(65536)
        if not more:
            raise Failed("the connection ended early")
        return more

    def _take(self, n):
        while len(self.left) < n:
            self.left += self._more()
        got, self.left = self.left[:n], self.left[n:]
        return got

    def message(self):
        """(opcode, payload): 1 text, 2 binary, 8 close."""
        op, n = self._take(2)
        n = int.from_bytes(self._take(2 if n == 126 else 8), "big") if n > 125 else n
        return op & 15, self._take(n)

    def close(self):
        self.conn.close()


# --- TAP ---

class Tap:
    def __init__(self):
        self.n = self.failed = 0

    def point(self, ok, name, note=""):
        self.n += 1
        self.failed += not ok
        print(f"{'ok' if ok else 'not ok'} {self.n} - {name}{note}", flush=True)


class Meanwhile(threading.Thread):
    """A test that runs beside those before it."""

    def __init__(self, test, args):
        super().__init__(daemon=True)
        self.test, self.args, self.wrong = test, args, None
        self.start()

    def run(self):
        try:
            self.test(*self.args)
        except BaseException as e:  # whoever waits is told
            self.wrong = e

    def over(self):
        self.join()
        if self.wrong:
            raise self.wrong


def meanwhile(test):
    """Marks a test that mostly waits for half minutes of a server or of the kernel, and has a cluster of its own: main() begins with it."""
    test.meanwhile = True
    return test


def main(tests, *args):
    """Runs test functions in order; each is one TAP point. args are handed to each."""
    tap = Tap()
    only = sys.argv[1:]
    tests = [test for test in tests if not only or test.__name__ in only]
    begun = {test: Meanwhile(test, args) for test in tests if getattr(test, "meanwhile", False)}
    for test in tests:
        name = test.__name__.replace("_", " ")
        started = time.monotonic()
        try:
            if test in begun:
                begun[test].over()
            else:
                test(*args)
            tap.point(True, f"{name} ({time.monotonic() - started:.1f} s)")
        except Skip as e:
            tap.point(True, name, f" # SKIP {e}")
        except Exception as e:  # a failing test must not hide those after it
            trace = traceback.format_exc() if not isinstance(e, Failed) else str(e)
            print("# " + trace.strip().replace("\n", "\n# "))
            tap.point(False, name)
    print(f"1..{tap.n}")
    return 1 if tap.failed else 0


def refused(*args):
    """What a server says that does not start with these arguments."""
    with tempfile.TemporaryDirectory() as d:
        r = subprocess.run([CARAVEL, "server", "--disable-agent", "--data-dir", d + "/data", *args], capture_output=True, text=True,
                           timeout=60, check=False)
    equal(r.returncode != 0, True, args)
    return r.stderr


def equal(got, wanted, what=""):
    if got != wanted:
        raise Failed(f"{what}: got {got!r}, wanted {wanted!r}")


def contains(text, *parts):
    for p in parts:
        if p not in text:
            raise Failed(f"{p!r} is not in:\n{text}")


def node_possible():
    """Why no node can run here, or None: then none of a dead run is in the way."""
    if os.geteuid() != 0:
        return "needs root"
    for program in ("containerd", "runc", "nft", "ip"):
        if not shutil.which(program):
            return f"needs {program}"
    r = subprocess.run(["unshare", "--net", "--mount", "true"], check=False, stderr=subprocess.DEVNULL)
    if r.returncode:
        return "may not make namespaces"
    clear_away_dead_runs()
    return None


def need_node():
    """Where no node can run, the program ends here, and says so as its one skipped test."""
    why = node_possible()
    if why:
        def no_node():
            raise Skip("no real containers here: " + why)
        sys.exit(main([no_node]))
    need_tools()
