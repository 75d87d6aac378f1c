#!/usr/bin/env python3
"""Peers that mean harm: floods of HTTP/2 frames, heads that never end, connections that do nothing. Each is cut off or
bounded, and others are served meanwhile."""
import contextlib
import ctypes
import ctypes.util
import os
import resource
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import time

from lib import Cluster, Failed, Skip, contains, equal, main, meanwhile, need_tools, wait_for

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CALM = 11  # ENHANCE_YOUR_CALM
MB = 1 << 20
GROWTH = 48 * MB  # of the server's memory by one peer: what is bounded stays far below


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def length(n):
    """Of a text in a header block that is not Huffman coded: RFC 7541, 5.1."""
    if n < 127:
        return bytes([n])
    n, out = n - 127, b"\x7f"
    while n >= 128:
        n, out = n >> 7, out + bytes([n & 127 | 128])
    return out + bytes([n])


def literal(name, value):
    """A header that is not indexed, without Huffman coding."""
    return b"\x00" + length(len(name)) + name + length(len(value)) + value


def head(path=b"/livez", method=b"GET", *more):
    """:method, :scheme, :path and :authority, as literals."""
    return b"".join(literal(n, v) for n, v in ((b":method", method), (b":scheme", b"https"), (b":path", path), (b":authority", b"x"), *more))


class H2:
    """A connection that says what we like; nothing is read until somebody asks."""

    def __init__(self, c, settings=b""):
        context = c.anonymous_context()
        context.set_alpn_protocols(["h2"])
        self.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", c.port), timeout=60), server_hostname="localhost")
        self.sock.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        self.pending = b""

    def send(self, data):
        """False when the server does not take it any more."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def frames(self):
        """(kind, stream, payload) until the server ends the connection."""
        while True:
            while len(self.pending) < 9 or len(self.pending) < 9 + int.from_bytes(self.pending[:3], "big"):
                try:
                    got = self.sock.recv(65536)
                except (ssl.SSLError, ConnectionError):
                    return
                if not got:
                    return
                self.pending += got
            n = int.from_bytes(self.pending[:3], "big")
            yield self.pending[3], int.from_bytes(self.pending[5:9], "big"), self.pending[9:9 + n]
            self.pending = self.pending[9 + n:]

    def settle(self):
        """The server's windows count from here: before, a stream takes 64 KB."""
        next(kind for kind, _, _ in self.frames() if kind == SETTINGS)
        self.send(frame(SETTINGS, ACK, 0))
        return self

    def ended_with(self):
        """The error of its GOAWAY, after reading to the end; None when there was none."""
        code = None
        for kind, _, payload in self.frames():
            if kind == GOAWAY:
                code = int.from_bytes(payload[4:8], "big")
        return code

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.sock.close()


def memory(c):
    with open(f"/proc/{c.server_pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) * 1024


def descriptors(c):
    """But files of the database, of which a rest makes new ones."""
    n = 0
    for fd in os.listdir(f"/proc/{c.server_pid}/fd"):
        with contextlib.suppress(OSError):
            n += "/data/db/" not in os.readlink(f"/proc/{c.server_pid}/fd/{fd}")
    return n


def held(c, ports):
    """How many of the clients with these ports the server has a socket of. Its other descriptors come and go."""
    ours = set()
    for fd in os.listdir(f"/proc/{c.server_pid}/fd"):
        with contextlib.suppress(OSError):
            ours.add(os.readlink(f"/proc/{c.server_pid}/fd/{fd}"))
    with open(f"/proc/{c.server_pid}/net/tcp", encoding="utf-8") as f:
        lines = [line.split() for line in f][1:]
    return sum(int(line[2].split(":")[1], 16) in ports and f"socket:[{line[9]}]" in ours for line in lines)


@contextlib.contextmanager
def bounded(c):
    """Others are served while the body runs and after it, and the server has not grown by much."""
    before = memory(c)
    yield
    equal(c.request("GET", "/readyz")[0], 200)
    if memory(c) - before > GROWTH:
        raise Failed(f"grew from {before >> 20} to {memory(c) >> 20} MB")


def rapid_reset(c):
    with bounded(c), H2(c) as h:
        for i in range(200):
            batch = b"".join(frame(HEADERS, END_STREAM | END_HEADERS, s, head()) + frame(RST_STREAM, 0, s, b"\0\0\0\x08")
                             for s in range(100 * i + 1, 100 * i + 101, 2))
            if not h.send(batch):
                break
        equal(h.ended_with() in (CALM, None), True)
    with H2(c) as h:  # enough to be told why, and few enough to hear it
        for s in range(1, 2500, 2):
            h.send(frame(HEADERS, END_STREAM | END_HEADERS, s, head()) + frame(RST_STREAM, 0, s, b"\0\0\0\x08"))
        equal(h.ended_with(), CALM)


def flood(c, what, n=2_000_000):
    """Sends one frame over and over, reads nothing meanwhile, and must find itself cut off."""
    with bounded(c), H2(c) as h:
        h.sock.settimeout(5)
        batch = what * 500
        for _ in range(n // 500):
            if not h.send(batch):
                break
        equal(c.request("GET", "/readyz")[0], 200)
        h.ended_with()  # a connection that goes on would be waited for in vain


def settings_flood(c):
    flood(c, frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)))


def ping_flood(c):
    flood(c, frame(PING, 0, 0, b"12345678"))


def empty_data_flood(c):
    with bounded(c), H2(c) as h:
        h.send(frame(HEADERS, END_HEADERS, 1, head(method=b"POST")))
        sent = 0
        while sent < 400_000 and h.send(frame(DATA, 0, 1) * 500):
            sent += 500
        equal(c.request("GET", "/readyz")[0], 200)


def continuation_flood(c):
    with bounded(c), H2(c) as h:
        h.send(frame(HEADERS, END_STREAM, 1, head()))
        piece = frame(CONTINUATION, 0, 1, literal(b"a" * 100, b"b" * 100) * 20)
        for _ in range(10_000):
            if not h.send(piece):
                break
        h.ended_with()


def header_bomb(c):
    """A big header put into the table once and named a thousand times."""
    with bounded(c), H2(c) as h:
        value = b"v" * 3000
        big = b"\x40\x01x\x7f" + bytes([(len(value) - 127) & 127 | 128, (len(value) - 127) >> 7]) + value
        h.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, head() + big + b"\xbe" * 5000))
        for kind, stream, payload in h.frames():
            if (kind == HEADERS and stream == 1) or kind in (GOAWAY, RST_STREAM):
                break
        else:
            return
        if kind == HEADERS:  # :status is a literal with an indexed name
            contains(payload.decode("latin1"), "431")


def bodies_that_never_end(c):
    """Nobody knows who it is before the body is there: what it may fill must be bounded."""
    before = memory(c)
    with bounded(c), H2(c) as h:
        h.settle()
        for s in range(1, 500, 2):
            h.send(frame(HEADERS, END_HEADERS, s, head(b"/api/v1/namespaces/default/configmaps", b"POST")))
        h.sock.settimeout(5)
        piece = b"x" * 16384
        for _ in range(60):  # just below the limit of each
            for s in range(1, 500, 2):
                if not h.send(frame(DATA, 0, s, piece)):
                    return
        equal(c.request("GET", "/readyz")[0], 200)
        if memory(c) - before > GROWTH:  # now, not when the connection is gone
            raise Failed(f"{(memory(c) - before) >> 20} MB for nobody in particular")


def answers_nobody_takes(c):
    """Whoever is refused has had his say: what he said is not kept until he reads so."""
    before = memory(c)
    with bounded(c), H2(c, struct.pack(">HI", 4, 0)) as h:
        h.settle()
        for s in range(1, 241, 2):
            h.send(frame(HEADERS, END_HEADERS, s, head(b"/api/v1/namespaces/default/configmaps", b"POST")) +
                   frame(DATA, 0, s, b"x" * 16384) * 60 + frame(DATA, END_STREAM, s))
        answered = 0
        for kind, _, _ in h.frames():
            answered += kind == HEADERS
            if answered == 120:
                break
        if memory(c) - before > GROWTH:
            raise Failed(f"{(memory(c) - before) >> 20} MB for nobody in particular")


def closed_windows(c):
    """Asks for much and lets nothing through."""
    with bounded(c), H2(c, struct.pack(">HI", 4, 0)) as h:
        for s in range(1, 20_000, 2):
            if not h.send(frame(HEADERS, END_STREAM | END_HEADERS, s, head(b"/openapi/v2"))):
                break
        equal(c.request("GET", "/readyz")[0], 200)


def long_heads(c):
    def ask(data):
        with socket.create_connection(("127.0.0.1", c.port), timeout=30) as s, \
                c.anonymous_context().wrap_socket(s, server_hostname="localhost") as t:
            with contextlib.suppress(OSError):
                t.sendall(data)
            try:
                return t.recv(4096).decode(errors="replace").split("\r\n")[0]
            except OSError:
                return ""
    def ask_h2(block):
        """The status, or the error of the connection's end."""
        with H2(c) as h:
            h.settle()
            pieces = [block[i:i + 16000] for i in range(0, len(block), 16000)]
            for i, piece in enumerate(pieces):
                h.send(frame(CONTINUATION if i else HEADERS, (not i and END_STREAM) | (piece is pieces[-1] and END_HEADERS), 1, piece))
            for kind, _, payload in h.frames():
                if kind == HEADERS:  # :status is a literal with an indexed name
                    return payload[2:5].decode("latin1")
                if kind == GOAWAY:
                    return int.from_bytes(payload[4:8], "big")
        return None
    with bounded(c):
        equal(ask_h2(head(b"/" + b"a" * 65535)), "431")
        for block in (head(b"/" + b"a" * MB), head(b"/", b"GET", (b"a", b"b" * MB)), head(b"/", b"GET", *[(b"a", b"b")] * 50_000)):
            said = ask_h2(block)
            if said not in ("431", None) and not (isinstance(said, int) and said):  # the connection has ended with an error
                raise Failed(said)
        for data in (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * MB + b"\r\n\r\n",
                     b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200_000 + b"\r\n"):
            line = ask(data)
            if line and not line.startswith(("HTTP/1.1 431", "HTTP/1.1 414", "HTTP/1.1 400")):
                raise Failed(line)


def renegotiation(c):
    """A client of TLS 1.2 cannot make the server shake hands again."""
    if not shutil.which("openssl"):
        raise Skip("needs openssl")
    with bounded(c), subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{c.port}", "-tls1_2"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace") as p:
        said = ""
        while "Verify return code" not in said:  # the last of what it says of the handshake
            said += p.stdout.readline() or "ended early: Verify return code"
        p.stdin.write("R\n")
        p.stdin.flush()
        said = p.stdout.read()
        contains(said, "RENEGOTIATING", "no renegotiation")


def key_updates(c):
    """Of TLS 1.3, each of which asks for one in return; nothing of it is read."""
    name = ctypes.util.find_library("ssl")
    if not name:
        raise Skip("needs libssl")
    tls = ctypes.CDLL(name)
    for function, result, *args in (("TLS_client_method", ctypes.c_void_p), ("SSL_CTX_new", ctypes.c_void_p, ctypes.c_void_p),
                                    ("SSL_new", ctypes.c_void_p, ctypes.c_void_p), ("SSL_set_fd", ctypes.c_int, ctypes.c_void_p, ctypes.c_int),
                                    ("SSL_connect", ctypes.c_int, ctypes.c_void_p),
                                    ("SSL_key_update", ctypes.c_int, ctypes.c_void_p, ctypes.c_int),
                                    ("SSL_do_handshake", ctypes.c_int, ctypes.c_void_p),
                                    ("SSL_free", None, ctypes.c_void_p), ("SSL_CTX_free", None, ctypes.c_void_p)):
        getattr(tls, function).restype, getattr(tls, function).argtypes = result, args
    context = tls.SSL_CTX_new(tls.TLS_client_method())
    with bounded(c), socket.create_connection(("127.0.0.1", c.port)) as s:
        ssl_end = tls.SSL_new(context)
        s.settimeout(None)
        tls.SSL_set_fd(ssl_end, s.fileno())
        equal(tls.SSL_connect(ssl_end), 1)
        for i in range(100_000):
            if i % 10_000 == 0:
                equal(c.request("GET", "/readyz")[0], 200)
            if tls.SSL_key_update(ssl_end, 1) != 1 or tls.SSL_do_handshake(ssl_end) != 1:
                break
        print(f"# {i + 1} were taken")
        tls.SSL_free(ssl_end)
    tls.SSL_CTX_free(context)


def client_hello(c):
    out = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        c.anonymous_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost").do_handshake()
    return out.read()


def idle_and_slow_connections(c):
    """Ten thousand that never shake hands, or begin to and never go on, and some whose request comes a byte at a time."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    n = min(10_000, hard - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = descriptors(c)
    with contextlib.ExitStack() as stack:
        slow = []
        for _ in range(50):
            s = stack.enter_context(socket.create_connection(("127.0.0.1", c.port), timeout=30))
            slow.append(stack.enter_context(c.anonymous_context().wrap_socket(s, server_hostname="localhost")))
        for t in slow:
            t.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n")
            t.settimeout(0.001)
        hello = client_hello(c)
        begun = (b"", hello[:50], hello)  # of the last the server has done all that it can without an answer
        idle = []
        for _ in range(n):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", c.port))
            idle.append(stack.enter_context(s))
        for i, s in enumerate(idle):
            with contextlib.suppress(OSError):  # those that nobody has accepted yet, or that have been cut off
                s.send(begun[i % 3])
        for _ in range(5):
            equal(c.request("GET", "/readyz")[0], 200)
        used = memory(c) / max(descriptors(c) - before, 1)
        if descriptors(c) - before > 2 * 4096 + 100:
            raise Failed(f"{descriptors(c) - before} connections are held that have said nothing")
        print(f"# {descriptors(c) - before} of {n} held, {used / 1024:.0f} KB each with all of the server")

        def cut_off():
            for t in list(slow):
                try:
                    t.send(b"A")
                    if t.recv(1) == b"":
                        slow.remove(t)
                except (TimeoutError, ssl.SSLWantReadError):
                    pass
                except OSError:
                    slow.remove(t)
            time.sleep(1)  # the pace of a slow client
            return not slow and descriptors(c) < before + 100
        wait_for("all of them to be cut off", cut_off, 120)
        equal(c.request("GET", "/readyz")[0], 200)


def few_descriptors(_):
    """More idle connections than the server has places: those who have something to say get theirs."""
    with Cluster(nofile=700) as c, contextlib.ExitStack() as stack:
        watch = stack.enter_context(contextlib.closing(c.connect()))
        watch.request("GET", "/api/v1/namespaces/default/configmaps?watch=1")
        events = watch.getresponse()
        for _ in range(1500):
            s = stack.enter_context(socket.socket())
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", c.port))
        for i in range(3):  # each within the time limit of a request
            status, _, _ = c.request("POST", "/api/v1/namespaces/default/configmaps",
                                     {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{i}"}})
            equal(status, 201)
        for i in range(3):  # and who was there keeps its own
            contains(events.readline().decode(), "ADDED")
        contains(c.request("GET", "/healthz")[1], "ok")


@meanwhile
def vanished_peers(_):
    """Peers whose machine is gone, with nothing under way and with events that nobody acknowledges."""
    if os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("unshare"):
        raise Skip("needs root, nft, unshare")
    r = subprocess.run(["unshare", "--net", "sh", "-c", f"ip link set lo up && exec {sys.executable} {__file__} --inside"],
                       check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    if r.returncode:
        raise Failed(r.stdout)


def inside():
    """In a network of our own, whose packets can be dropped."""
    with Cluster() as c, contextlib.ExitStack() as stack:
        wait_for("the root CA", lambda: c.request("GET", "/api/v1/namespaces/default/configmaps/kube-root-ca.crt")[0] == 200)
        before = descriptors(c)
        gone = []
        for path in ["/api/v1/namespaces/default/configmaps?watch=1"] * 5 + ["/apis/apps/v1/deployments?watch=1"] * 5:
            t = stack.enter_context(c.context().wrap_socket(socket.create_connection(("127.0.0.1", c.port)), server_hostname="localhost"))
            t.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            contains(t.recv(4096).decode(), "200 OK")
            gone.append(t.getsockname()[1])
        ports = ", ".join(map(str, gone))
        rules = f"""
add table ip cut
add chain ip cut out {{ type filter hook output priority 0; }}
add rule ip cut out tcp sport {{ {ports} }} drop
add rule ip cut out tcp dport {{ {ports} }} drop
"""
        subprocess.run(["nft", "-f", "-"], check=True, text=True, input=rules)
        equal(c.request("POST", "/api/v1/namespaces/default/configmaps",
                        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "news"}})[0], 201)
        equal(held(c, gone), 10, "all are still held")
        wait_for("the server to notice", lambda: held(c, gone) == 0 and descriptors(c) <= before, 120, 0.5)


if __name__ == "__main__":
    if sys.argv[1:] == ["--inside"]:
        inside()
        sys.exit(0)
    need_tools()
    with Cluster() as cluster:
        STATUS = main([rapid_reset, settings_flood, ping_flood, empty_data_flood, continuation_flood, header_bomb,
                       bodies_that_never_end, answers_nobody_takes, closed_windows, long_heads, renegotiation, key_updates, few_descriptors,
                       idle_and_slow_connections, vanished_peers], cluster)
        equal(cluster.proc.poll(), None, "the server")
    sys.exit(STATUS)
