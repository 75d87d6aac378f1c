"""Pods of two nodes that serve and ask, for tests of the network: what they send are real packets of the pods' own namespaces.

A pod is a real one with a container that sleeps; who serves in it is a process of ours in its network namespace, and so is
who asks. So a test knows which pod answered and whom that saw, by HTTP, TLS and UDP, and a flow can be held open."""
import contextlib
import ctypes
import glob
import http.client
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import traceback

from lib import Failed, wait_for

CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
HTTP_PORTS, UDP_PORTS, TLS_PORT = (80, 100, 101, 8080), (80, 8081), 443
PODS = "/api/v1/namespaces/default/pods"
libc = ctypes.CDLL(None, use_errno=True)


def enter(netns):
    fd = os.open(netns, os.O_RDONLY)
    if libc.setns(fd, CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "setns")
    os.close(fd)


def within(netns, work, *args):
    """What work(*args) returns, done in another network namespace (None: in this one) by a child of ours."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(r)
            if netns:
                enter(netns)
            with os.fdopen(w, "w") as out:
                json.dump(work(*args), out)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(w)
    with os.fdopen(r) as f:
        text = f.read()
    os.waitpid(pid, 0)
    if not text:
        raise Failed(f"{work.__name__}{args} did not end well")
    return json.loads(text)


# --- who asks: each returns one text an attempt, "NAME PEER" or why not ---

def by_http(addr, port, count=1, source=None):
    said = []
    for _ in range(count):
        c = http.client.HTTPConnection(addr, port, timeout=2, source_address=(source, 0) if source else None)
        try:
            c.request("GET", "/who")
            said.append(c.getresponse().read().decode())
        except TimeoutError:
            said.append("silence")
        except (OSError, http.client.HTTPException) as e:
            said.append(type(e).__name__)
        finally:
            c.close()
    return said


def by_udp(addr, port, count=1):
    """A flow of its own each."""
    said = []
    for _ in range(count):
        with socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(2)
            try:
                s.connect((addr, port))
                s.send(b"?")
                said.append(s.recv(100).decode())
            except TimeoutError:
                said.append("silence")
            except OSError as e:
                said.append(type(e).__name__)
    return said


# --- who serves ---

class Echo(http.server.BaseHTTPRequestHandler):
    """/who: who it is and whom it sees; /rewriteme: a page with a link; else how it was asked."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def any(self):
        if self.path == "/who":
            self.answer("text/plain", f"{self.server.name} {self.client_address[0].removeprefix('::ffff:')}")
        elif self.path == "/rewriteme":
            self.answer("text/html", '<a href="/rewriteme">test</a>')
        else:
            self.answer("application/json", json.dumps({"method": self.command, "path": self.path, "body": self.server.body}))

    def answer(self, kind, text):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text.encode())

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = any


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def __init__(self, name, port, pem=None):
        self.name, self.body = name, "tls" if pem else "foo"
        super().__init__(("::", port), Echo)
        if pem:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(pem)
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = self.name, self.server_address[1]

    def handle_error(self, *_):
        pass


def echo_udp(name, port):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.bind(("::", port))
        yield
        while True:
            _, peer = s.recvfrom(100)
            s.sendto(f"{name} {peer[0].removeprefix('::ffff:')}".encode(), peer)


def serve(netns, name, pem):
    """A process of ours, which ends with this program; it serves already."""
    r, w = os.pipe()
    pid = os.fork()
    if pid:
        os.close(w)
        with os.fdopen(r) as f:
            if f.read() != "serving":
                raise Failed(f"the server of {name} did not start")
        return pid
    try:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        enter(netns)
        servers = [Server(name, port) for port in HTTP_PORTS] + ([Server(name, TLS_PORT, pem)] if pem else [])
        for s in servers:
            threading.Thread(target=s.serve_forever, daemon=True).start()
        for port in UDP_PORTS:
            udp = echo_udp(name, port)
            next(udp)
            threading.Thread(target=next, args=(udp, None), daemon=True).start()
        os.write(w, b"serving")
        os.close(w)
        signal.pause()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


# --- the pods ---

def netns_of_pod(uid):
    """By its processes' control group: other clusters on the machine have pods with the same addresses."""
    for path in glob.glob("/proc/[0-9]*/cgroup"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as f:
            if uid in f.read():
                return os.path.dirname(path) + "/ns/net"
    raise Failed(f"no process of pod {uid}")


class Pods:
    """By name: where each is, and who serves in it."""

    def __init__(self, c):
        self.c, self.netns, self.ips, self.servers = c, {}, {}, {}
        self.nodes = f"/run/netns/{c.net()}-"
        self.pem = os.path.join(c.dir, "echo.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=echo",
                        "-keyout", self.pem + ".key", "-out", self.pem + ".crt"], check=True, stderr=subprocess.DEVNULL)
        with open(self.pem, "w", encoding="utf-8") as out:
            for part in (".key", ".crt"):
                with open(self.pem + part, encoding="utf-8") as f:
                    out.write(f.read())

    def make(self, ready=True, **pods):
        """name=(node, labels, more of the spec): made together, and waited for, until they are ready or have an address. In a
        name _ is -."""
        pods = {name.replace("_", "-"): what for name, what in pods.items()}
        for name, what in pods.items():
            status, answer, _ = self.c.request("POST", PODS, self.pod(name, *what))
            if status != 201:
                raise Failed(f"{name}: {answer}")
        for name in pods:
            o = wait_for(f"{name} to be ready", lambda name=name: self.found(name, ready), 60)
            self.netns[name] = netns_of_pod(o["metadata"]["uid"])
            self.ips[name] = o["status"]["podIP"]
            if not o["spec"].get("hostNetwork"):
                self.servers[name] = serve(self.netns[name], name, self.pem)

    def found(self, name, ready):
        o = self.c.request("GET", f"{PODS}/{name}")[1]
        status = o["status"]
        if ready:
            return o if any(x["type"] == "Ready" and x["status"] == "True" for x in status.get("conditions", [])) else None
        return o if status.get("phase") == "Running" and status.get("podIP") else None

    @staticmethod
    def pod(name, node, labels, more=None):
        more = dict(more or {})
        container = {"name": "c", "image": "docker.io/caravel/demo:1", "command": ["sleep", "3600"], "ports": more.pop("ports", [])}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels},
                "spec": {"nodeName": f"dev-{node}", "terminationGracePeriodSeconds": 0, "containers": [container], **more}}

    def gone(self, *names):
        names = [name.replace("_", "-") for name in names]
        for name in names:
            self.c.request("DELETE", f"{PODS}/{name}")
        for name in names:
            wait_for(f"the end of {name}", lambda name=name: self.c.request("GET", f"{PODS}/{name}")[0] == 404, 60)
            pid = self.servers.pop(name, None)
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def end(self):
        for pid in self.servers.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        self.servers.clear()

    def at(self, who):
        """A namespace: a pod's by its name, a node's by its number, None: outside of all nodes."""
        return self.nodes + str(who) if isinstance(who, int) else self.netns[who] if who else None

    def ask(self, who, addr, port, how=by_http, count=1):
        return within(self.at(who), how, addr, port, count)

    def names(self, who, addr, port, how=by_http, count=30):
        """Which pods answer."""
        return {(said.split() or ["?"])[0] for said in self.ask(who, addr, port, how, count)}

    def until(self, wanted, who, addr, port, how=by_http, count=30):
        """These pods answer, and nothing else."""
        wait_for(f"{wanted} for {who or 'one outside'} at {addr} port {port}", lambda: self.is_right(wanted, who, addr, port, how, count), 20)

    def is_right(self, wanted, *asked):
        got = self.names(*asked)
        if got != set(wanted):
            raise Failed(f"got {sorted(got)}")
        return True
