#!/usr/bin/env python3
"""Who holds a thread for too long is named in the log, with what it ran and where it is."""
import os
import re
import sys

import lib
from lib import Cluster, Failed, Skip, contains, equal, main, need_tools, wait_for

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
        equal(c.request("GET", PATH + "/slow?pretty=true&token=hunter2")[0], 200)
        line = wait_for("the line", lambda: lines(c, "a thread was held", 'kind="loop"', f"request GET {PATH}/slow system:admin, object /registry/configmaps/default/slow\""))[0]
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


def a_stuck_loop():
    with Held(3000) as c:
        equal(c.request("POST", PATH, {"metadata": {"name": "slow"}})[0], 201)
        line = wait_for("the line", lambda: lines(c, "a thread is held", f"POST {PATH} system:admin", 'kind="loop"'))[0]
        contains(line, 'stack="', "work_key_of+0x", " < respond_object+0x", " < ev_loop_run+0x")


if __name__ == "__main__":
    need_tools()
    sys.exit(main([a_held_loop, a_held_list, a_stuck_loop]))
