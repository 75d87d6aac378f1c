#!/usr/bin/env python3
"""A server that dies is back at once: nobody is refused, what was written is there, containers do not notice."""
import glob
import json
import os
import signal
import socket
import sys
import threading
import time

import lib
from lib import Cluster, Failed, Skip, contains, equal, main, need_tools, wait_for

# No release has a way to make an object deadly.
DEBUG = os.environ.get("DEBUG_BUILD") or os.path.join(lib.ROOT, "build-quick", "caravel")


class Traffic:
    """Connects all the time, and reads and writes; counts what a client may never see."""

    def __init__(self, c):
        self.c, self.refused, self.wrong, self.written, self.stop = c, 0, [], [], threading.Event()
        self.threads = [threading.Thread(target=f) for f in (self.knock, self.write)]

    def knock(self):
        while not self.stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self.c.port), timeout=10):
                    pass
            except ConnectionRefusedError:
                self.refused += 1
            time.sleep(0.001)

    def write(self):
        i = 0
        while not self.stop.is_set():
            i += 1
            try:
                body = {"metadata": {"name": f"t{id(self) % 10000}-{i}"}}
                status, answer, _ = self.c.request("POST", "/api/v1/namespaces/default/configmaps", body)
            except (OSError, lib.http.client.HTTPException):
                continue  # was on its way when the server died
            if status == 201:
                self.written.append(body["metadata"]["name"])
            else:
                self.wrong.append((status, answer))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


def reports(c):
    return sorted(glob.glob(os.path.join(c.dir, "data", "crash", "2*.txt")))


def end_and_return(c, sig):
    """Kills the serving process; returns what the report of that says."""
    pid = c.server_pid
    os.kill(pid, sig)
    path = wait_for("the report", lambda: [r for r in reports(c) if r.endswith(f"-{pid}.txt")])[0]
    wait_for("another process", lambda: c.server_pid != pid)
    c.wait_ready()
    with open(path, encoding="utf-8") as f:
        return wait_for("the whole report", lambda: (f.seek(0), f.read())[1].rpartition("\nend: ")[1] and (f.seek(0), f.read())[1])


def killed_under_traffic():
    with Cluster() as c:
        parent = c.proc.pid
        with Traffic(c) as t:
            for sig, words in ((signal.SIGSEGV, "signal: SIGSEGV, sent by another process"),
                               (signal.SIGABRT, "signal: SIGABRT, sent by another process"),
                               (signal.SIGKILL, "signal: none was seen from inside")):
                before = len(t.written)
                text = end_and_return(c, sig)
                contains(text, "caravel v", words, f"end: killed by {sig.name}", "other threads:")
                if sig != signal.SIGKILL:
                    contains(text, "stack:\n", "caravel(")
                wait_for("writes after it", lambda: len(t.written) > before)
        equal(t.refused, 0, "connections refused")
        equal(t.wrong, [], "wrong answers")
        have = {i["metadata"]["name"] for i in c.request("GET", "/api/v1/namespaces/default/configmaps")[1]["items"]}
        equal(set(t.written) - have, set(), "answered creates that are gone")
        equal(c.proc.pid, parent)
        equal(os.path.exists(os.path.join(c.dir, "data", "crash", "quarantine")), False, "an object is blamed for kills")
        equal(c.stop(), 0, "exit status")


def the_supervisor_killed():
    with Cluster() as c:
        pid = c.server_pid
        c.kill()
        wait_for("the end of the server", lambda: not os.path.exists(f"/proc/{pid}/fd/0"))
        c.start()  # at once, with the same port and directory


def one_process_on_demand():
    with Cluster(args=["--no-supervise"]) as c:
        with open(f"/proc/{c.proc.pid}/task/{c.proc.pid}/children", encoding="utf-8") as f:
            equal(f.read(), "")
        c.proc.send_signal(signal.SIGSEGV)
        equal(c.proc.wait(30), -signal.SIGSEGV)
        with open(reports(c)[0], encoding="utf-8") as f:
            contains(f.read(), "SIGSEGV", "stack:\n", "other threads:")


def start_errors_are_final():
    with Cluster() as c:
        other = Cluster(port=c.port)
        other.start(wait=False)
        equal(other.proc.wait(30), 1)
        contains(other.tail(), "cannot listen on")
        equal(reports(other), [])
        other.cleanup()


def a_deadly_object():
    if not os.path.exists(DEBUG):
        raise Skip("needs a debug build: ninja -C build-quick caravel")
    key = "/registry/configmaps/default/bomb"
    release, lib.CARAVEL = lib.CARAVEL, DEBUG
    os.environ["CARAVEL_TEST_DEADLY"] = key
    try:
        with Cluster() as c:
            path = "/api/v1/namespaces/default/configmaps"
            try:
                c.request("POST", path, {"metadata": {"name": "bomb"}, "data": {"password": "hunter2"}})
            except (OSError, lib.http.client.HTTPException):
                pass

            def set_aside():
                return key in c.request("GET", "/readyz?verbose")[1]
            wait_for("the object to be set aside", set_aside)
            equal(c.request("GET", "/readyz")[1], "ok")
            status, body, _ = c.request("GET", path + "/bomb")
            equal(status, 500)
            contains(body["message"], key, "delete it")
            contains(c.tail(), "ended the server twice and is set aside")
            equal([i["metadata"]["name"] for i in c.request("GET", path)[1]["items"] if i["metadata"]["name"] == "bomb"], [])
            for r in reports(c):
                with open(r, encoding="utf-8") as f:
                    text = f.read()
                contains(text, "words: BUG at", key, "stack:\n", "end: killed by SIGABRT")
                if "hunter2" in text:
                    raise Failed("a report holds contents of an object")
            equal(len(reports(c)), 2)
            equal(c.request("DELETE", path + "/bomb")[0], 200)
            equal(c.request("GET", path + "/bomb")[0], 404)
            equal("set-aside" in c.request("GET", "/readyz?verbose")[1], False)
    finally:
        lib.CARAVEL = release
        del os.environ["CARAVEL_TEST_DEADLY"]


def containers_do_not_notice():
    why = lib.node_possible()
    if why:
        raise Skip(why)
    with Cluster(agent=True) as c:
        c.apply(POD)
        c.kubectl("wait", "--for=condition=Ready", "pod/steady", "--timeout=60s")
        before = json.loads(c.kubectl("get", "pod", "steady", "-o", "json"))["status"]["containerStatuses"][0]
        node_port = c.get("node", "node-1")["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
        for sig in (signal.SIGSEGV, signal.SIGKILL):
            end_and_return(c, sig)
            wait_for("the kubelet", lambda: c.run("exec", "steady", "--", "/bin/true", check=False).returncode == 0, 60)
            now = c.get("pod", "steady")["status"]["containerStatuses"][0]
            equal(now["containerID"], before["containerID"], "the container")
            equal(now["restartCount"], 0, "restarts")
            equal(now["state"], before["state"], "the container's state")
            equal(c.get("node", "node-1")["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], node_port)
        equal(c.stop(), 0, "exit status")


POD = """
apiVersion: v1
kind: Pod
metadata: {name: steady}
spec:
  containers:
  - {name: main, image: "docker.io/caravel/demo:1", command: [sleep, "3600"]}
"""

if __name__ == "__main__":
    need_tools()
    sys.exit(main([killed_under_traffic, the_supervisor_killed, one_process_on_demand, start_errors_are_final, a_deadly_object,
                   containers_do_not_notice]))
