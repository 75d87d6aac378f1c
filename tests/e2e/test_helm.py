#!/usr/bin/env python3
"""Helm, unmodified: install, upgrade, rollback and uninstall of the chart in examples/."""
import json
import os
import sys

from lib import ROOT, Cluster, contains, equal, main, need_tools, wait_for

CHART = os.path.join(ROOT, "examples", "chart")


def helm(c, *args):
    return c.run(*args, program="helm").text


def install(c):
    contains(helm(c, "install", "shop", CHART), "STATUS: deployed")
    equal(c.get("deploy", "shop")["spec"]["replicas"], 2)
    wait_for("two pods", lambda: len(c.get("pods", "-l", "app=shop")["items"]) == 2)


def upgrade(c):
    contains(helm(c, "upgrade", "shop", CHART, "--set", "replicas=3,greeting=Hi"), "STATUS: deployed")
    equal(c.get("deploy", "shop")["spec"]["replicas"], 3)
    equal(c.get("cm", "shop-pages")["data"]["index.html"], "Hi")


def rollback(c):
    contains(helm(c, "rollback", "shop", "1"), "Rollback was a success")
    equal(c.get("deploy", "shop")["spec"]["replicas"], 2)
    equal(c.get("cm", "shop-pages")["data"]["index.html"], "Hello from a chart")
    revisions = [r["revision"] for r in json.loads(helm(c, "history", "shop", "-o", "json"))]
    equal(revisions, [1, 2, 3])


def uninstall(c):
    helm(c, "uninstall", "shop")
    wait_for("it to be gone", lambda: not c.get("deploy,svc,cm,pods", "-l", "app=shop")["items"])


if __name__ == "__main__":
    need_tools()
    with Cluster() as cluster:
        sys.exit(main([install, upgrade, rollback, uninstall], cluster))
