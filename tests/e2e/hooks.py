"""A webhook server for tests: what it answers is in the path, /BEHAVIOUR/ANYTHING; it counts calls and connections."""
import base64
import collections
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading


class Hooks:
    """Behaviours: functions of this class's handler by name; by path: `calls` are the requests of the reviews that came,
    `reviews` their versions."""

    def __init__(self, folder, names=("localhost", "hook.default.svc"), address="127.0.0.1"):
        self.calls, self.connections, self.answers, self.headers, self.reviews = collections.defaultdict(list), 0, {}, {}, {}
        self.go = threading.Event()  # what /slow waits for
        self.lock = threading.Lock()
        cnf, self.pem = os.path.join(folder, "hook.cnf"), os.path.join(folder, "hook.pem")
        alt = ",".join([*("DNS:" + n for n in names), "IP:127.0.0.1", f"IP:{address}"])
        with open(cnf, "w", encoding="utf-8") as f:
            f.write("[req]\ndistinguished_name=dn\nx509_extensions=v3\nprompt=no\n[dn]\nCN=hook\n[v3]\n"
                    f"subjectAltName={alt}\nbasicConstraints=critical,CA:true\n")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-keyout", self.pem + ".key", "-out", self.pem, "-config", cnf], check=True, capture_output=True)
        with open(self.pem, "rb") as f:
            self.ca = base64.b64encode(f.read()).decode()
        hooks = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def setup(self):
                with hooks.lock:
                    hooks.connections += 1
                super().setup()

            def do_POST(self):  # the name is http.server's
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path = self.path.split("?")[0]
                with hooks.lock:
                    hooks.calls[path].append(review.get("request"))
                    hooks.headers[path], hooks.reviews[path] = self.headers, review.get("apiVersion")
                try:
                    getattr(self, "be_" + path.split("/")[1])(review)
                except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
                    self.close_connection = True

            def send(self, code, text, **headers):
                data = text if isinstance(text, bytes) else text.encode()
                self.send_response(code)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def review(self, review, **response):
                self.send(200, json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"],
                                           "response": {"uid": review["request"]["uid"], "allowed": True, **response}}))

            def be_allow(self, review):
                self.review(review)

            def be_deny(self, review):
                self.review(review, allowed=False, status={"message": "not here", "code": 403, "reason": "Forbidden"})

            def be_patch(self, review):
                """As the test says."""
                patch = hooks.answers[self.path.split("?")[0]]
                self.review(review, patchType="JSONPatch", patch=base64.b64encode(json.dumps(patch).encode()).decode())

            def be_say(self, review):
                """As the test says, whatever that is."""
                self.review(review, **hooks.answers[self.path.split("?")[0]])

            def be_slow(self, review):
                hooks.go.wait(60)
                self.review(review)

            def be_redirect(self, _):
                self.send(302, "", Location=f"https://127.0.0.1:{hooks.port}/allow/redirected")

            def be_huge(self, review):
                self.review(review, warnings=["x" * (20 << 20)])

            def be_forever(self, _):
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while not hooks.go.is_set():
                    self.wfile.write(b"1\r\n \r\n")
                    self.wfile.flush()
                    hooks.go.wait(0.01)

            def be_cut(self, _):
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"{")
                self.close_connection = True

            def be_convert(self, review):
                """spec.old of v1 is spec.fresh of v2."""
                objects = review["request"]["objects"]
                for o in objects:
                    o["apiVersion"] = review["request"]["desiredAPIVersion"]
                    was, now = ("old", "fresh") if o["apiVersion"].endswith("/v2") else ("fresh", "old")
                    if was in (o.get("spec") or {}):  # null while server-side apply takes what is owned by nobody
                        o["spec"][now] = o["spec"].pop(was)
                self.send(200, json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": {
                    "uid": review["request"]["uid"], "result": {"status": "Success"}, "convertedObjects": objects}}))

            def be_garbage(self, _):
                self.send(200, os.urandom(5000))

            def be_deep(self, _):
                self.send(200, '{"a":' * 100000)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def get_request(self):
                s, peer = super().get_request()
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return tls.wrap_socket(s, server_side=True, do_handshake_on_connect=False), peer

            def handle_error(self, *_):
                pass

        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.pem, self.pem + ".key")
        self.server = Server((address, 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"https://127.0.0.1:{self.port}{path}"

    def close(self):
        self.go.set()
        self.server.shutdown()
        self.server.server_close()
