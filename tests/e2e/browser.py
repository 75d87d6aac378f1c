"""A web browser without a window, which a test drives: Chromium by its DevTools protocol, through two pipes."""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile

from lib import Failed

PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def program():
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """One page. Its pipes are descriptors 3 (we write) and 4 (it writes); messages end with a zero byte."""

    def __init__(self):
        self.home = tempfile.TemporaryDirectory(prefix="caravel-browser-")
        to_it, self.out = os.pipe()
        self.into, from_it = os.pipe()

        def place():
            # each away from 3 and 4 first
            for fd, at in ((os.dup2(to_it, 98), 3), (os.dup2(from_it, 99), 4)):
                os.dup2(fd, at)
                os.close(fd)
        self.proc = subprocess.Popen(
            [program(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe", f"--user-data-dir={self.home.name}",
             "about:blank"], env=dict(os.environ, HOME=self.home.name), close_fds=False, preexec_fn=place, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_it)
        os.close(from_it)
        self.left, self.n, self.session, self.events = b"", 0, None, []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.ask("Page.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.out)  # which ends it
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.proc.wait(10)
        self.proc.kill()
        self.proc.wait(30)
        os.close(self.into)
        self.home.cleanup()

    def message(self):
        while b"\0" not in self.left:
            more = os.read(self.into, 65536)
            if not more:
                raise Failed(f"the browser ended with {self.proc.wait(30)}")
            self.left += more
        got, self.left = self.left.split(b"\0", 1)
        return json.loads(got)

    def ask(self, method, **params):
        self.n += 1
        to = {"sessionId": self.session} if self.session else {}
        os.write(self.out, json.dumps({"id": self.n, "method": method, "params": params, **to}).encode() + b"\0")
        while (m := self.message()).get("id") != self.n:
            self.events.append(m.get("method"))
        if "error" in m:
            raise Failed(f"{method}: {m['error']}")
        return m["result"]

    def loaded(self):
        """Until the page that was asked for is there."""
        while "Page.loadEventFired" not in self.events:
            self.events.append(self.message().get("method"))

    def open(self, url):
        self.events.clear()
        said = self.ask("Page.navigate", url=url)
        if "errorText" in said:
            raise Failed(f"{url}: {said['errorText']}")
        self.loaded()

    def reload(self):
        self.events.clear()
        self.ask("Page.reload", ignoreCache=True)
        self.loaded()

    def script(self, text):
        """The value of a JavaScript expression in the page."""
        said = self.ask("Runtime.evaluate", expression=text, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in said:
            raise Failed(f"{text}: {said['exceptionDetails']}")
        return said["result"].get("value")

    def text(self):
        """What a reader sees."""
        return self.script("document.body.innerText")

    def type(self, text):
        """As on a keyboard, into what has the focus; Enter submits."""
        self.ask("Input.insertText", text=text)

    def enter(self):
        self.events.clear()
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r" if kind == "keyDown" else "")
        self.loaded()
