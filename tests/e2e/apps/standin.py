"""Stands in for any program of an application: listens where its image says, answers whoever asks, asks whom it should.

PORTS ("8080 53/udp") are of its image. On each TCP port it answers HTTP/1, gRPC (every call as a health check: SERVING) and, to
anything else, a line; all of these say its Pod's name. HTTP's path /peers calls all services that its environment names
(..._ADDR, ..._URL, ..._HOST: host:port or a URL) or CALLS of its image, and says what they answered; /udp/HOST/PORT sends a
datagram there, and says what came back."""
import json
import os
import re
import signal
import socket
import sys
import threading

ME = socket.gethostname()
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def peers():
    """host, port of each"""
    found = set(os.environ.get("CALLS", "").split())
    own = re.compile(r"^[A-Z0-9_]+_(SERVICE|PORT)(_|$)")  # what Kubernetes adds for each Service
    for name, value in os.environ.items():
        if re.search(r"(_ADDR|_URL|_HOST|_ADDRESS|_ENDPOINT)$", name) and not (own.search(name) and re.match(r"^[\d.]+$|^tcp:", value)):
            m = re.match(r"^(?:\w+://)?([a-z][a-z0-9.-]*)(?::(\d+))?(?:/.*)?$", value)
            if m:
                found.add(f"{m[1]}:{m[2] or os.environ.get(re.sub('[A-Z]+$', 'PORT', name), '80')}")
    return sorted(found)


def call(where):
    host, port = where.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=3) as s:
            s.sendall(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            text = b""
            while more := s.recv(4096):
                text += more
        return text.decode(errors="replace").rsplit("\n", 2)[-2]
    except (OSError, IndexError) as e:
        return f"failed: {e}"


def datagram(host, port):
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(2)
            s.sendto(b"x", (socket.gethostbyname(host), int(port)))
            return s.recv(2048).decode().strip()
    except OSError as e:
        return f"failed: {e}"


def frame(kind, flags, stream, body):
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def exactly(f, n):
    data = f.read(n)
    if len(data) < n:
        raise OSError("ended early")
    return data


def http2(s, f):
    """As much as a client needs that makes calls: whatever it asks, the answer is that of a health check."""
    exactly(f, len(PREFACE))
    s.sendall(frame(4, 0, 0, b""))
    while True:
        head = exactly(f, 9)
        kind, flags, stream, body = head[3], head[4], int.from_bytes(head[5:], "big"), exactly(f, int.from_bytes(head[:3], "big"))
        if kind == 4 and not flags & 1:
            s.sendall(frame(4, 1, 0, b""))
        elif kind == 6 and not flags & 1:
            s.sendall(frame(6, 1, 0, body))
        elif kind == 7:
            return
        elif kind in (0, 1) and flags & 1:
            def literal(name, value):
                return bytes([0, len(name)]) + name + bytes([len(value)]) + value
            s.sendall(frame(1, 4, stream, b"\x88" + literal(b"content-type", b"application/grpc")) +
                      frame(0, 0, stream, b"\0\0\0\0\2\x08\x01") +
                      frame(1, 5, stream, literal(b"grpc-status", b"0")))


def answer(path, port):
    if path == "/peers":
        return json.dumps({p: call(p) for p in peers()})
    return datagram(*path.split("/")[2:4]) if re.match(r"^/udp/[^/]+/\d+$", path) else f"{ME} {port}"


def serve(s, port):
    with s, s.makefile("rb") as f:
        s.settimeout(60)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begin = s.recv(16, socket.MSG_PEEK)
        if begin == PREFACE[:16]:
            return http2(s, f)
        if not re.match(rb"^[A-Z]{3,7} ", begin):
            return s.sendall(f"{ME} {port}\n".encode()) if begin else None
        while True:
            line = f.readline(8192).split()
            if len(line) < 2:
                return None
            length, keep = 0, line[-1] == b"HTTP/1.1"
            while (header := f.readline(8192).strip().lower()):
                if header.startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
                if header == b"connection: close":
                    keep = False
            f.read(length)
            text = answer(line[1].decode(errors="replace"), port) + "\n"
            s.sendall(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
                      f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n{'' if line[0] == b'HEAD' else text}".encode())
            if not keep:
                return None


def quietly(s, port):
    try:
        serve(s, port)
    except (OSError, ValueError):
        pass


def listen(port):
    try:
        s = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    except OSError:
        s = socket.create_server(("", port), backlog=64)
    while True:
        threading.Thread(target=quietly, args=(s.accept()[0], port), daemon=True).start()


def listen_udp(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("", port))
    while True:
        _, whom = s.recvfrom(2048)
        s.sendto(f"{ME} {port}\n".encode(), whom)


def main():
    if os.path.basename(sys.argv[1]) == "ok":
        return  # what a probe or a hook runs, and an init container
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    for word in os.environ.get("PORTS", "").split():
        port, _, kind = word.partition("/")
        threading.Thread(target=listen_udp if kind == "udp" else listen, args=(int(port),), daemon=True).start()
    print(f"{ME}: standing in, on {os.environ.get('PORTS') or 'no port'}; calls {', '.join(peers()) or 'nobody'}", flush=True)
    while True:
        signal.pause()


main()
