"""A small S3 service: objects in memory, requests believed only with a SigV4 signature that it works out by itself.

It speaks what snapshots need, path-style: PUT, GET, DELETE of an object, one in parts, ListObjectsV2 in pages. Whatever is not as AWS has it
(an unsigned header, another digest of the body, a clock that is far off) is refused with AWS' code.
"""
import contextlib
import datetime
import hashlib
import hmac
import http.server
import re
import threading
import urllib.parse
from xml.sax.saxutils import escape

ALGORITHM = "AWS4-HMAC-SHA256"


def quote(text, safe=""):
    return urllib.parse.quote(text, safe=safe + "-_.~")


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code = status, code


class Bucket:
    def __init__(self, name="backups", access="AKIDEXAMPLE", secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", region="eu-central-1", page=1000):
        self.name, self.access, self.secret, self.region, self.page = name, access, secret, region, page
        self.objects, self.said, self.fail, self.claims = {}, [], None, None
        self.uploads, self.bad_part, self.bad_end = {}, 0, False  # parts by the upload's id; a part that fails; an end that does
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"bucket": self}))
        self.endpoint = f"127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def flags(self, *more):
        return ["--s3", "--s3-endpoint", self.endpoint, "--s3-insecure", "--s3-bucket", self.name, "--s3-region", self.region, *more]

    def environment(self):
        return {"AWS_ACCESS_KEY_ID": self.access, "AWS_SECRET_ACCESS_KEY": self.secret}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle(self):
        with contextlib.suppress(ConnectionError):  # who has read enough
            super().handle()

    def answer(self, status, body=b"", content="application/xml", etag=None):
        self.send_response(status)
        if etag:
            self.send_header("ETag", f'"{etag}"')
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(self.bucket.claims or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def check_signature(self, body):
        b = self.bucket
        head = self.headers.get("Authorization", "")
        if not head.startswith(ALGORITHM + " "):
            raise Refused(403, "AccessDenied", "Access Denied")
        parts = dict(p.strip().split("=", 1) for p in head[len(ALGORITHM):].split(","))
        access, day, region, service, end = parts["Credential"].split("/")
        signed = parts["SignedHeaders"].split(";")
        if access != b.access:
            raise Refused(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
        if (region, service, end) != (b.region, "s3", "aws4_request"):
            raise Refused(400, "AuthorizationHeaderMalformed", f"the region '{region}' is wrong; expecting '{b.region}'")
        stamp = self.headers["x-amz-date"]
        at = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        if abs((datetime.datetime.now(datetime.timezone.utc) - at).total_seconds()) > 900 or not stamp.startswith(day):
            raise Refused(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
        digest = self.headers.get("x-amz-content-sha256", "")
        if digest != hashlib.sha256(body).hexdigest():
            raise Refused(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
        for name in self.headers:
            if (name.lower() == "host" or name.lower().startswith("x-amz-")) and name.lower() not in signed:
                raise Refused(403, "AccessDenied", f"There were headers present in the request which were not signed: {name}")
        path, _, query = self.path.partition("?")
        pairs = sorted((quote(k), quote(v)) for k, v in urllib.parse.parse_qsl(query, keep_blank_values=True))
        canonical = "\n".join([self.command, quote(urllib.parse.unquote(path), "/"), "&".join(f"{k}={v}" for k, v in pairs),
                               *(f"{name}:{' '.join(self.headers[name].split())}" for name in signed), "", ";".join(signed), digest])
        scope = f"{day}/{region}/{service}/{end}"
        to_sign = "\n".join([ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = ("AWS4" + b.secret).encode()
        for part in (day, region, service, end):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest(), parts["Signature"]):
            raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")

    def list_objects(self, query):
        b = self.bucket
        prefix, after = query.get("prefix", ""), query.get("continuation-token", "")
        names = [n for n in sorted(b.objects) if n.startswith(prefix) and n > after]
        if "delimiter" in query:  # what is in folders below is one row each, which says nothing of objects
            names = [n for n in names if query["delimiter"] not in n[len(prefix):]]
        shown, more = names[:b.page], len(names) > b.page
        rows = "".join(f"<Contents><Key>{escape(n)}</Key><LastModified>2026-11-30T12:00:00.000Z</LastModified>"
                       f"<Size>{len(b.objects[n])}</Size></Contents>" for n in shown)
        token = f"<NextContinuationToken>{escape(shown[-1])}</NextContinuationToken>" if more else ""
        self.answer(200, f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
                         f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>".encode())

    def part(self, name, query, body):
        """Of an upload in parts; as AWS has it the end may fail behind a 200."""
        b, ident = self.bucket, query.get("uploadId", "")
        if "uploads" in query:
            ident = f"id/{len(b.said)}+=&"
            b.uploads[ident] = {}
            return self.answer(200, f"<InitiateMultipartUploadResult><UploadId>{escape(ident)}</UploadId></InitiateMultipartUploadResult>".encode())
        if ident not in b.uploads:
            raise Refused(404, "NoSuchUpload", "The specified upload does not exist.")
        parts = b.uploads[ident]
        if self.command == "DELETE":
            del b.uploads[ident]
            return self.answer(204)
        if self.command == "PUT":
            number = int(query["partNumber"])
            if number == b.bad_part:
                raise Refused(500, "InternalError", "We encountered an internal error. Please try again.")
            parts[number] = body
            return self.answer(200, etag=hashlib.md5(body).hexdigest())
        named = re.findall(r'<Part><PartNumber>(\d+)</PartNumber><ETag>"(\w+)"</ETag></Part>', body.decode())
        if b.bad_end or [(int(n), e) for n, e in named] != sorted((n, hashlib.md5(p).hexdigest()) for n, p in parts.items()):
            return self.answer(200, b"<Error><Code>InternalError</Code><Message>the end failed</Message></Error>")
        if any(len(p) < 5 << 20 for n, p in parts.items() if n < len(parts)):
            raise Refused(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
        b.objects[name] = b"".join(parts[n] for n in sorted(parts))
        del b.uploads[ident]
        return self.answer(200, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")

    def serve(self):
        b = self.bucket
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        b.said.append(f"{self.command} {self.path}")
        if b.fail:
            raise Refused(*b.fail)
        self.check_signature(body)
        path, _, query = self.path.partition("?")
        bucket, _, name = urllib.parse.unquote(path).lstrip("/").partition("/")
        if bucket != b.name:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
        fields = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        if name and ("uploads" in fields or "uploadId" in fields):
            self.part(name, fields, body)
        elif not name:
            self.list_objects(dict(urllib.parse.parse_qsl(query)))
        elif self.command == "PUT":
            b.objects[name] = body
            self.answer(200)
        elif self.command == "DELETE":
            b.objects.pop(name, None)
            self.answer(204)
        elif name not in b.objects:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        else:
            self.answer(200, b.objects[name], "application/octet-stream")

    def do_GET(self):
        with contextlib.suppress(ConnectionError):
            try:
                self.serve()
            except Refused as e:
                self.answer(e.status, f"<Error><Code>{e.code}</Code><Message>{escape(str(e))}</Message></Error>".encode())

    do_PUT = do_DELETE = do_POST = do_GET
