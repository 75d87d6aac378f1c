#!/usr/bin/env python3
"""Who holds a thread for too long is named in the log, with what it ran and where it is."""
import contextlib
import os
import re
import socket
import sys
import threading

import lib
from lib import Cluster, Failed, Skip, contains, equal, main, need_tools, own_address, wait_for

# No release has a way to make an object hold whoever handles it.
DEBUG = os.environ.get("DEBUG_BUILD") or os.path.join(lib.ROOT, "build-quick", "caravel")
PATH = "/api/v1/namespaces/default/configmaps"


class Held:
    """A cluster in which whoever handles the ConfigMap `slow` does so for ms."""

    def __init__(self, ms):
        if not os.path.exists(DEBUG):
            raise Skip("needs a debug build: ninja -C build-quick caravel")
        self.release, lib.CARAVEL = lib.CARAVEL, DEBUG
        os.environ["CARAVEL_TEST_HOLD"] = f"/registry/configmaps/default/slow {ms}"
        self.c = Cluster()

    def __enter__(self):
        return self.c.__enter__()

    def __exit__(self, *args):
        lib.CARAVEL = self.release
        del os.environ["CARAVEL_TEST_HOLD"]
        return self.c.__exit__(*args)


def lines(c, *words):
    with open(c.log, encoding="utf-8", errors="replace") as f:
        return [line for line in f if "watchdog" in line and all(w in line for w in words)]


def a_held_loop():
    with Held(150) as c:
        equal(c.request("POST", PATH, {"metadata": {"name": "slow"}, "data": {"password": "hunter2"}})[0], 201)
        # Lines are few: that of the POST may stand for the first of these.
        line = wait_for("the line", lambda: equal(c.request("GET", PATH + "/slow?pretty=true&token=hunter2")[0], 200) or lines(c, "a thread was held", 'kind="loop"', f"request GET {PATH}/slow system:admin, object /registry/configmaps/default/slow\""))[0]
        contains(line, 'longest="', "until answered", "WARN")
        if lines(c, "hunter2"):
            raise Failed("a line holds contents of an object, or a query")
        # the store's thread publishes what was written
        wait_for("the store's line", lambda: lines(c, "a thread was held", 'kind="store"'))
        held = re.search(r'caravel_held_threads_total\{kind="loop",held="long"\} (\d+)', c.request("GET", "/metrics")[1])
        if int(held.group(1)) < 1:
            raise Failed("the metric counts nothing")


def a_held_list():
    """Of a long answer, which is made while it is sent, the piece is named."""
    with Held(150) as c:
        equal(c.request("POST", PATH, {"metadata": {"name": "slow"}, "data": {"large": "x" * 300000}})[0], 201)
        c.request("GET", PATH)
        wait_for("the line", lambda: lines(c, "a thread was held", 'kind="loop"', f'by="answer GET {PATH}'))


def who_waits_for_others():
    """A log is asked of a kubelet that takes the connection and says nothing; a proxied page of the same."""
    address = own_address()
    if not address:
        raise Skip("needs an address other than loopback")
    with socket.create_server((address, 0)) as silent, Cluster() as c:
        node = {"metadata": {"name": "n"}}
        equal(c.request("POST", "/api/v1/nodes", node)[0], 201)
        status = {"addresses": [{"type": "InternalIP", "address": address}],
                  "daemonEndpoints": {"kubeletEndpoint": {"Port": silent.getsockname()[1]}}}
        equal(c.request("PATCH", "/api/v1/nodes/n/status", {"status": status},
                        {"Content-Type": "application/merge-patch+json"})[0], 200)
        equal(c.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})[0] in (201, 409), True)
        pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "x"}]}}
        equal(c.request("POST", "/api/v1/namespaces/default/pods", pod)[0], 201)
        asked = {"/api/v1/namespaces/default/pods/p/log": "waits for the kubelet", "/api/v1/nodes/n/proxy/pods": "waits for its backend"}

        def get(path):
            with contextlib.suppress(OSError, lib.http.client.HTTPException):  # the server ends first
                c.request("GET", path)
        for path in asked:
            threading.Thread(target=get, args=(path,), daemon=True).start()

        def seen():
            rows = c.request("GET", "/debug/requests?format=json")[1]["requests"]
            return {r["url"]: r["state"] for r in rows if r["url"] in asked} == asked
        wait_for("both", seen)


def a_stuck_loop():
    with Held(3000) as c:
        equal(c.request("POST", PATH, {"metadata": {"name": "slow"}})[0], 201)
        line = wait_for("the line", lambda: lines(c, "a thread is held", f"POST {PATH} system:admin", 'kind="loop"'))[0]
        contains(line, 'stack="', "work_key_of+0x", " < answer_object+0x", " < ev_loop_run+0x")


if __name__ == "__main__":
    need_tools()
    sys.exit(main([a_held_loop, a_held_list, who_waits_for_others, a_stuck_loop]))
