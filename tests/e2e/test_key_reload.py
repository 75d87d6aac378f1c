#!/usr/bin/env python3
"""Another key comes first while the server runs, also for what a wildcard names: a migration writes anew what the old
one sealed, and then that is not needed any more."""
import base64
import json
import sys

from lib import Cluster, equal, main, wait_for

GROUPS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
MIGRATIONS = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
KEYS = {name: base64.b64encode(bytes([i + 1] * 32)).decode() for i, name in enumerate(("one", "two"))}
RELOADED = 'apiserver_encryption_config_controller_automatic_reloads_total{status="success"} 1'


def configure(c, *names):
    with open(c.dir + "/encryption.json", "w", encoding="utf-8") as f:
        json.dump({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
                   "resources": [{"resources": ["*.example.com"], "providers": [
                       {"aesgcm": {"keys": [{"name": n, "secret": KEYS[n]} for n in names]}}]}]}, f)


def sealed_by_the_first(c):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    equal(c.request("POST", GROUPS, {
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
                 "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
                 "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]},
    })[0], 201)
    wait_for("widgets", lambda: c.request("GET", WIDGETS)[0] == 200)
    for i in range(5):
        equal(c.request("POST", WIDGETS, {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": f"w{i}"},
                                          "word": "kept"})[0], 201)


def migrated_to_the_second(c):
    before = {w["metadata"]["name"]: w["metadata"]["resourceVersion"] for w in c.request("GET", WIDGETS)[1]["items"]}
    configure(c, "two", "one")
    wait_for("the file to be read again", lambda: RELOADED in c.request("GET", "/metrics")[1], timeout=150)
    equal(c.request("POST", MIGRATIONS, {"metadata": {"name": "m"},
                                         "spec": {"resource": {"group": "example.com", "resource": "widgets"}}})[0], 201)

    def succeeded():
        conditions = c.request("GET", MIGRATIONS + "/m")[1].get("status", {}).get("conditions", [])
        return any(d["type"] == "Succeeded" and d["status"] == "True" for d in conditions)
    wait_for("the migration", succeeded)
    after = {w["metadata"]["name"]: w["metadata"]["resourceVersion"] for w in c.request("GET", WIDGETS)[1]["items"]}
    equal([n for n in before if after[n] == before[n]], [])


def the_first_is_not_needed(c):
    configure(c, "two")
    c.stop()
    c.start()
    for i in range(5):
        status, widget, _ = c.request("GET", f"{WIDGETS}/w{i}")
        equal((status, widget.get("word")), (200, "kept"))


if __name__ == "__main__":
    cluster = Cluster()
    cluster.args += ["--disable-scheduler", "--encryption-provider-config", cluster.dir + "/encryption.json",
                     "--encryption-provider-config-automatic-reload"]
    configure(cluster, "one")
    with cluster:
        status = main([sealed_by_the_first, migrated_to_the_second, the_first_is_not_needed], cluster)
    sys.exit(status)
