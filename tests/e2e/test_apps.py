#!/usr/bin/env python3
"""Applications as people have them, on several nodes: the guestbook of examples/, from `kubectl apply` to a browser and away again."""
import html
import http.client
import os
import re
import subprocess
import sys
import threading
import urllib.parse

from browser import Browser, program
from lib import CARAVEL, ROOT, DevCluster, Failed, Skip, contains, equal, main, need_node, wait_for
from machine import as_before, node_state

NODES = 3
GUESTBOOK = os.path.join(ROOT, "examples", "guestbook.yaml")
STRANGER = """
apiVersion: v1
kind: Pod
metadata: {name: stranger, namespace: NS}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "docker.io/caravel/demo:1", command: [sleep, "1000000"]}]
"""


# --- what is seen ---

class Pages:
    """The guestbook as who knows its address sees it."""

    def __init__(self, c):
        def address():
            return c.get("-n", "guestbook", "ingress", "guestbook")["status"]["loadBalancer"]["ingress"][0]["ip"]
        self.host = wait_for("the Ingress's address", lambda: address() if c.get("-n", "guestbook", "ingress")["items"][0]["status"] != {
            "loadBalancer": {}} else None)
        self.url = f"http://{self.host}/"

    def ask(self, method="GET", entry=None):
        """(status, text)"""
        conn = http.client.HTTPConnection(self.host, 80, timeout=30)
        try:
            conn.request(method, "/", None if entry is None else urllib.parse.urlencode({"entry": entry}),
                         {} if entry is None else {"Content-Type": "application/x-www-form-urlencoded"})
            r = conn.getresponse()
            return r.status, r.read().decode()
        finally:
            conn.close()

    def entries(self):
        status, text = self.ask()
        if status != 200:
            raise Failed(f"{status}: {text}")
        return re.findall("<li>(.*)</li>", text)

    def sign(self, entry):
        equal(self.ask("POST", entry)[0], 303, f"signing with {entry!r}")


class Visitors:
    """Threads that read and sign all the while; .failed is what went wrong."""

    def __init__(self, pages):
        self.pages, self.over, self.failed, self.answered, self.signed = pages, threading.Event(), [], 0, []
        self.threads = [threading.Thread(target=self.read), threading.Thread(target=self.read), threading.Thread(target=self.write)]

    def tried(self, what, wanted):
        try:
            status, text = what()
            if status != wanted:
                self.failed.append(f"{status}: {text[:200]}")
            self.answered += 1
        except (OSError, http.client.HTTPException) as e:
            self.failed.append(repr(e))
        self.over.wait(0.01)

    def read(self):
        while not self.over.is_set():
            self.tried(self.pages.ask, 200)

    def write(self):
        while not self.over.is_set():
            self.signed.append(f"visitor {len(self.signed)}")
            self.tried(lambda: self.pages.ask("POST", self.signed[-1]), 303)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


def pods(c, app, role=None):
    chosen = f"app={app}" + (f",role={role}" if role else "")
    return c.get("-n", "guestbook", "pods", "-l", chosen)["items"]


def rolled_out(c, *names):
    for name in names:
        c.kubectl("-n", "guestbook", "rollout", "status", name, "--timeout=90s")


# --- the guestbook ---

def images_of_debian_packages(c):
    """What README says: a script makes them and brings them onto every node. Twice the same bytes."""
    packages = ("redis-server", "busybox-static", "python3")
    if subprocess.run(["dpkg-query", "-W", *packages], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        raise Skip("needs Debian's " + ", ".join(packages))
    said = subprocess.run([os.path.join(ROOT, "examples", "guestbook", "images"), c.data], check=True, stdout=subprocess.PIPE, text=True,
                          env=dict(os.environ, CARAVEL=CARAVEL)).stdout
    for node in range(1, NODES + 1):
        equal(said.count(f"into dev-{node}\n"), 2)
    made = [os.path.join(c.dir, f"{n}.tar") for n in range(2)]
    for path in made:
        subprocess.run([os.path.join(ROOT, "examples", "debian-image"), "--program", "/bin/ls", "docker.io/x/ls:1", path, "--", "ls"],
                       check=True, stdout=subprocess.DEVNULL)
    with open(made[0], "rb") as a, open(made[1], "rb") as b:
        equal(a.read() == b.read(), True, "twice the same image")
    c.images = True


def from_apply_to_browser(c):
    if not c.images:
        raise Skip("needs the images")
    c.before = node_state(c, NODES)
    c.kubectl("apply", "-f", GUESTBOOK)
    rolled_out(c, "sts/redis-leader", "deploy/redis-follower", "deploy/frontend")
    c.pages = Pages(c)
    wait_for("the page", lambda: c.pages.entries() == [])
    if not program():
        c.pages.sign("from a <browser> & back")
        raise Skip("needs chromium-headless-shell for the browser")
    with Browser() as b:
        b.open(c.pages.url)
        equal(b.script("document.title"), "Guestbook")
        equal(b.script("document.querySelectorAll('#entries li').length"), 0)
        b.type("from a <browser> & back")
        b.enter()
        equal(b.script("location.href"), c.pages.url)

        def seen():
            b.reload()
            return b.script("document.querySelector('#entries').innerText") == "from a <browser> & back"
        wait_for("the entry", seen)
        names = {p["metadata"]["name"] for p in pods(c, "frontend")}
        wait_for("pages of every front end", lambda: b.reload() or names.discard(b.script("document.querySelector('#pod').innerText")) or not names)


def nobody_else_reaches_redis(c):
    """Not from the same namespace nor from another one; and it is the label that lets in."""
    need(c)

    def ping(ns, host):
        return c.kubectl("-n", ns, "exec", "stranger", "--", "sh", "-c", f"echo PING | timeout 1 nc -w 1 {host}.guestbook 6379", check=False)
    for ns in ("guestbook", "default"):
        c.apply(STRANGER.replace("NS", ns))
    for ns in ("guestbook", "default"):
        c.kubectl("-n", ns, "wait", "--for=condition=Ready", "pod/stranger", "--timeout=60s")
        for host in ("redis-leader", "redis-follower"):
            equal(ping(ns, host), "", f"{host} from a stranger in {ns}")
    c.kubectl("-n", "guestbook", "label", "pod", "stranger", "app=frontend")
    for host in ("redis-leader", "redis-follower"):
        wait_for(f"{host}, let in", lambda host=host: ping("guestbook", host) == "+PONG\r\n")
    c.kubectl("-n", "guestbook", "label", "pod", "stranger", "app-")
    wait_for("the stranger to be shut out", lambda: ping("guestbook", "redis-leader") == "")
    for ns in ("guestbook", "default"):
        c.kubectl("-n", ns, "delete", "pod", "stranger", "--timeout=60s")


def need(c):
    if not c.pages:
        raise Skip("needs the guestbook")


def the_leader_killed(c):
    """Entries are read while it is away, and what was written is there when it is back."""
    need(c)
    before = c.pages.entries()
    uid = pods(c, "redis", "leader")[0]["metadata"]["uid"]
    c.kubectl("-n", "guestbook", "delete", "pod", "redis-leader-0", "--force", "--grace-period=0", "--timeout=60s")
    reads = [c.pages.entries() for _ in range(20)]
    equal([r for r in reads if r != before], [])
    wait_for("another leader", lambda: pods(c, "redis", "leader")[0]["metadata"]["uid"] != uid)
    c.kubectl("-n", "guestbook", "wait", "--for=condition=Ready", "pod/redis-leader-0", "--timeout=60s")
    wait_for("a new entry", lambda: c.pages.sign("after the leader's death") or True)
    wait_for("both entries", lambda: c.pages.entries() == [html.escape("after the leader's death"), *before])
    # each follower has found the new one, also one that had its address cached
    for pod in pods(c, "redis", "follower"):
        wait_for(f"{pod['metadata']['name']} to follow", lambda pod=pod: "master_link_status:up" in c.kubectl(
            "-n", "guestbook", "exec", pod["metadata"]["name"], "--", "redis-cli", "info", "replication"))


def followers_scaled(c):
    need(c)
    for n in (4, 2):
        c.kubectl("-n", "guestbook", "scale", "deploy/redis-follower", f"--replicas={n}")
        rolled_out(c, "deploy/redis-follower")
        wait_for(f"{n} followers", lambda n=n: len(pods(c, "redis", "follower")) == n)
        wanted = c.pages.entries()
        equal([e for e in (c.pages.entries() for _ in range(30)) if e != wanted], [], "what any of them shows")


def a_new_front_end_fails_nobody(c):
    need(c)
    old = {p["metadata"]["name"] for p in pods(c, "frontend")}
    with Visitors(c.pages) as visitors:
        wait_for("visitors", lambda: visitors.answered > 20)
        c.kubectl("-n", "guestbook", "set", "env", "deploy/frontend", "TITLE=Visitors")
        rolled_out(c, "deploy/frontend")
        wait_for("the old ones to be gone", lambda: not old & {p["metadata"]["name"] for p in pods(c, "frontend")})
        seen = visitors.answered
        wait_for("more visitors", lambda: visitors.answered > seen + 20)
    print(f"# {visitors.answered} requests during the rollout")
    equal(visitors.failed, [])
    contains(c.pages.ask()[1], "<title>Visitors</title>")
    wait_for("all that was signed", lambda: set(visitors.signed) <= set(c.pages.entries()))


def a_node_of_a_follower_lost(c):
    """Cut off, as if somebody had pulled its plug: before anybody else knows, and after it is back, entries are read."""
    need(c)
    wanted = c.pages.entries()
    nodes = {p["spec"]["nodeName"] for p in pods(c, "redis", "follower")} - {"dev-1"}
    equal(bool(nodes), True, "a follower is not beside the control plane")
    lost = int(max(nodes)[4:])
    c.inside(lost, "ip", "link", "set", "eth0", "down")
    try:
        for _ in range(3):
            wait_for("the entries", lambda: c.pages.entries() == wanted)
    finally:
        routes = [r for r in c.before[lost][2] if r.startswith("default")]
        c.inside(lost, "ip", "link", "set", "eth0", "up")
        for r in routes:  # went with the link
            c.inside(lost, "ip", "route", "replace", *r.split())
    wait_for(f"dev-{lost} to be Ready", lambda: c.node_ready(lost), 60)
    wait_for("a follower on each node again", lambda: c.pages.entries() == wanted)


def removal_leaves_nothing(c):
    need(c)
    volumes = [v["spec"].get("local", v["spec"].get("hostPath"))["path"] for v in c.get("pv")["items"]]
    equal([os.path.isdir(v) for v in volumes], [True])
    c.kubectl("delete", "-f", GUESTBOOK, "--timeout=120s")
    wait_for("the volume to go", lambda: not c.get("pv")["items"] and not any(map(os.path.exists, volumes)))
    wait_for("the nodes' networks to be as before", lambda: as_before(c.before, node_state(c, NODES)))


if __name__ == "__main__":
    need_node()
    with DevCluster(NODES) as cluster:
        cluster.images, cluster.pages, cluster.before = False, None, None
        STATUS = main([images_of_debian_packages, from_apply_to_browser, nobody_else_reaches_redis, the_leader_killed, followers_scaled,
                       a_new_front_end_fails_nobody, a_node_of_a_follower_lost, removal_leaves_nothing], cluster)
    sys.exit(STATUS)
