"""What a pull asks a registry for (OCI distribution), answered: which body, whoever has one says."""
import hashlib
import http.server

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest(b):
    return "sha256:" + hashlib.sha256(b).hexdigest()


class Answer(http.server.BaseHTTPRequestHandler):
    """find() says what is at self.path: bytes or None, and its media type."""

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, whole):
        body, kind = self.find()
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Type", kind)
        self.send_header("Docker-Content-Digest", digest(body or b""))
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if whole and body:
            self.wfile.write(body)
