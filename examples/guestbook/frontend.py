#!/usr/bin/python3
"""The guestbook's front end: a page with a form. Entries go to the Redis leader and are read from a follower.

Where those are it is told by REDIS_LEADER and REDIS_FOLLOWER, names of Services."""
import html
import http.server
import os
import signal
import socket
import threading
import time
import urllib.parse

LEADER, FOLLOWER = os.environ.get("REDIS_LEADER", "redis-leader"), os.environ.get("REDIS_FOLLOWER", "redis-follower")
TITLE, POD = os.environ.get("TITLE", "Guestbook"), os.environ.get("POD_NAME", socket.gethostname())
PORT = int(os.environ.get("PORT", "8080"))
LONGEST, KEPT = 500, 1000  # characters of an entry, entries

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body {{ font: 1.1em sans-serif; max-width: 40em; margin: 2em auto; padding: 0 1em }} footer {{ color: #666; font-size: .8em }}</style>
<h1>{title}</h1>
<form method="post" action="/"><input name="entry" maxlength="{longest}" placeholder="Your words" required autofocus> <button>Sign</button></form>
<ul id="entries">
{entries}</ul>
<footer>{count} entries, read from {follower}; page by <span id="pod">{pod}</span></footer>
"""


class Refused(Exception):
    """Redis answered that it will not."""


def reply(f):
    kind, rest = (line := f.readline())[:1], line[1:-2]
    if kind == b"-":
        raise Refused(rest.decode(errors="replace"))
    if kind == b"$":
        return None if rest == b"-1" else f.read(int(rest) + 2)[:-2]
    if kind == b"*":
        return [reply(f) for _ in range(int(rest))]
    if kind not in (b"+", b":"):
        raise OSError("the connection ended early")
    return rest


def redis(host, *words, again=False):
    """One command. Who cannot be connected to is tried again, as the Service knows others; with again also who fails later."""
    words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    asked = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)
    for attempt in range(5):
        connected = False
        try:
            with socket.create_connection((host, 6379), timeout=1) as s, s.makefile("rb") as f:
                connected = True
                s.sendall(asked)
                return reply(f)
        except (OSError, Refused):
            if attempt == 4 or connected and not again:
                raise
            time.sleep(0.1 * attempt)
    return None


class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout, wbufsize = 30, -1  # an answer is one packet

    def log_message(self, *_):
        pass

    def answer(self, status, text, kind="text/html; charset=utf-8", **headers):
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        if stopping.is_set():
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def tried(self, what):
        try:
            what()
        except (OSError, Refused) as e:
            self.answer(503, f"The guestbook cannot be reached just now: {e}\n", "text/plain; charset=utf-8")

    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, "ok\n", "text/plain")
        elif self.path == "/":
            self.tried(self.show)
        else:
            self.answer(404, "There is one page here: /\n", "text/plain")

    do_HEAD = do_GET

    def show(self):
        entries = redis(FOLLOWER, "LRANGE", "guestbook", 0, -1, again=True)
        listed = "".join(f"<li>{html.escape(e.decode(errors='replace'))}</li>\n" for e in entries)
        self.answer(200, PAGE.format(title=html.escape(TITLE), longest=LONGEST, entries=listed, count=len(entries),
                                     follower=html.escape(FOLLOWER), pod=html.escape(POD)))

    def do_POST(self):
        size = self.headers.get("Content-Length", "")
        if not size.isdecimal() or int(size) > 16 * LONGEST:
            self.close_connection = True
            return self.answer(413, "That is too long.\n", "text/plain")
        form = urllib.parse.parse_qs(self.rfile.read(int(size)).decode(errors="replace"))
        entry = form.get("entry", [""])[0].strip()[:LONGEST]
        return self.tried(lambda: self.sign(entry))

    def sign(self, entry):
        if entry:
            redis(LEADER, "LPUSH", "guestbook", entry)
            redis(LEADER, "LTRIM", "guestbook", 0, KEPT - 1)
        self.answer(303, "", Location="/")


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128


stopping = threading.Event()


def stop(*_):
    """New requests still come for a moment after the Pod was told to end: they are answered, and connections closed after it."""
    stopping.set()
    threading.Timer(2, server.shutdown).start()


server = Server(("", PORT), Page)
signal.signal(signal.SIGTERM, stop)
print(f"{POD}: serving on {PORT}, writing to {LEADER}, reading from {FOLLOWER}", flush=True)
server.serve_forever(poll_interval=0.2)
