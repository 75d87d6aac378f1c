#!/usr/bin/env python3
"""A kind of two versions between which a webhook converts: every way to an object goes through it, what it answers is
believed no more than it may say, and while it is away only those wait who need it."""
import json
import sys
import threading

from hooks import Hooks
from lib import Cluster, contains, equal, main, wait_for

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
GROUP = "conv.example.com"


class Kind:
    """A kind of its own for each test: spec.old of v1 is spec.fresh of v2."""

    def __init__(self, c, hooks, plural, behaviour="/convert/", reviews=("v1",), storage="v1"):
        self.c, self.hooks, self.plural, self.storage = c, hooks, plural, storage
        self.hook = behaviour + plural
        self.kind = plural.capitalize()
        self.crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "metadata": {"name": f"{plural}.{GROUP}"},
                    "spec": {"group": GROUP, "scope": "Namespaced", "names": {"plural": plural, "kind": self.kind},
                             "versions": [self.version("v1", "old"), self.version("v2", "fresh")],
                             "conversion": {"strategy": "Webhook", "webhook": {
                                 "conversionReviewVersions": list(reviews),
                                 "clientConfig": {"url": hooks.url(self.hook), "caBundle": hooks.ca}}}}}
        code, answer, _ = c.request("POST", CRDS, self.crd)
        equal(code, 201, str(answer))
        wait_for("the kind", lambda: c.request("GET", self.path("v2"))[0] == 200)

    def version(self, name, field):
        spec = {"type": "object", "properties": {field: {"type": "string"}, "n": {"type": "integer"}, "list": {
            "type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}}
        return {"name": name, "served": True, "storage": name == self.storage, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {"spec": spec, "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}}}

    def path(self, version, name=None, sub=None):
        return "/".join([f"/apis/{GROUP}/{version}/namespaces/default/{self.plural}", *filter(None, [name, sub])])

    def object(self, version, name, **members):
        return {"apiVersion": f"{GROUP}/{version}", "kind": self.kind, "metadata": {"name": name}, **members}

    def create(self, version, name, **members):
        code, answer, _ = self.c.request("POST", self.path(version), self.object(version, name, **members))
        equal(code, 201, str(answer))
        return answer

    def get(self, version, name):
        code, answer, _ = self.c.request("GET", self.path(version, name))
        equal(code, 200, str(answer))
        return answer

    def apply(self, version, name, manager, query="", **members):
        return self.c.request("PATCH", self.path(version, name) + f"?fieldManager={manager}{query}",
                              self.object(version, name, **members), APPLY)

    def lead_to(self, behaviour):
        """Another behaviour, in force when this returns."""
        probe = behaviour + self.plural + "-next"
        code, answer, _ = self.c.request("PATCH", f"{CRDS}/{self.plural}.{GROUP}", {"spec": {"conversion": {"webhook": {
            "clientConfig": {"url": self.hooks.url(probe)}}}}}, MERGE)
        equal(code, 200, str(answer))
        self.hook = probe
        self.c.request("POST", self.path("v1"), self.object("v1", "probe"))

        def asked():
            self.c.request("GET", self.path("v2", "probe"))
            return self.hooks.calls[probe]
        wait_for("another webhook", asked)
        equal(self.c.request("DELETE", self.path("v1", "probe"))[0], 200)


# --- what it may not ---


def failures_are_told_and_only_to_those_who_convert(c, hooks):
    k = Kind(c, hooks, "fails")
    for i in range(3):
        k.create("v1", f"o{i}", spec={"old": str(i)})
    k.lead_to("/garbage/")
    words = f"conversion webhook for {GROUP}/v1, Kind={k.kind} failed: "
    code, answer, _ = c.request("GET", k.path("v2", "o0"))
    equal((code, answer["kind"]), (500, "Status"))
    contains(answer["message"], words)
    code, answer, _ = c.request("GET", k.path("v2"))
    equal((code, answer["kind"]), (500, "Status"))
    contains(answer["message"], words)
    equal([o["spec"]["old"] for o in c.request("GET", k.path("v1"))[1]["items"]], ["0", "1", "2"])
    code, answer, _ = c.request("POST", k.path("v2"), k.object("v2", "new", spec={"fresh": "x"}))
    equal((code, c.request("GET", k.path("v1", "new"))[0]), (500, 404), str(answer))
    equal(c.request("PATCH", k.path("v1", "o0"), {"spec": {"old": "y"}}, MERGE)[0], 200)
    equal(c.request("DELETE", k.path("v1", "o1"))[0], 200)


def a_failure_it_tells_of_is_passed_on(c, hooks):
    k = Kind(c, hooks, "sorry")
    k.create("v1", "o", spec={"old": "x"})
    hooks.answers["/say/sorry-next"] = {"result": {"status": "Failure", "message": "cannot be done"}}
    k.lead_to("/say/")
    code, answer, _ = c.request("GET", k.path("v2", "o"))
    equal((code, answer["message"]), (500, f"conversion webhook for {GROUP}/v1, Kind={k.kind} failed: cannot be done"))


def what_it_says_of_metadata_is_not_believed(c, hooks):
    k = Kind(c, hooks, "liars")
    made = k.create("v1", "o", spec={"old": "x"})
    lie = {"apiVersion": f"{GROUP}/v2", "kind": k.kind, "spec": {"fresh": "x"}}
    for metadata, words in (({"name": "other", "namespace": "default", "uid": made["metadata"]["uid"]}, "name"),
                            ({"name": "o", "namespace": "kube-system", "uid": made["metadata"]["uid"]}, "namespace"),
                            ({"name": "o", "namespace": "default", "uid": "1"}, "UID")):
        hooks.answers["/say/liars-next"] = {"result": {"status": "Success"}, "convertedObjects": [{**lie, "metadata": metadata}]}
        if k.hook != "/say/liars-next":
            k.lead_to("/say/")
        code, answer, _ = c.request("GET", k.path("v2", "o"))
        equal((code, answer["kind"]), (500, "Status"), str(answer))
        contains(answer["message"], words)
    hooks.answers["/say/liars-next"]["convertedObjects"] = [{**lie, "metadata": {
        **made["metadata"], "labels": {"a": "b"}, "finalizers": ["evil/x"], "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "1"}]}}]
    got = k.get("v2", "o")["metadata"]
    equal((got.get("labels"), got.get("finalizers"), got.get("ownerReferences")), ({"a": "b"}, None, None))


# --- every way ---


def reviews_of_either_version(c, hooks):
    for plural, reviews, used in (("ones", ["v1"], "v1"), ("betas", ["v1beta1"], "v1beta1"), ("boths", ["v7", "v1beta1", "v1"], "v1beta1")):
        k = Kind(c, hooks, plural, reviews=reviews)
        k.create("v1", "o", spec={"old": "x"})
        equal(k.get("v2", "o")["spec"], {"fresh": "x"})
        equal(hooks.reviews["/convert/" + plural], "apiextensions.k8s.io/" + used)


def status_is_its_own(c, hooks):
    k = Kind(c, hooks, "states")
    k.create("v1", "o", spec={"old": "x"}, status={"ignored": True})
    equal("status" in k.get("v2", "o"), False)
    code, answer, _ = c.request("PATCH", k.path("v2", "o", "status"), {"spec": {"fresh": "no"}, "status": {"ready": 1}}, MERGE)
    equal((code, answer.get("spec"), answer.get("status")), (200, {"fresh": "x"}, {"ready": 1}), str(answer))
    o = k.get("v2", "o")
    o["status"], o["spec"] = {"ready": 2}, {"fresh": "no"}
    code, answer, _ = c.request("PUT", k.path("v2", "o", "status"), o)
    equal((code, answer.get("spec"), answer.get("status")), (200, {"fresh": "x"}, {"ready": 2}), str(answer))
    o = k.get("v1", "o")
    equal((o["spec"], o["status"], o["metadata"]["generation"]), ({"old": "x"}, {"ready": 2}, 1))


def fields_of_two_versions(c, hooks):
    """Who applied in v1 owns spec.old, who applied in v2 spec.fresh: that they are one is known by converting."""
    k = Kind(c, hooks, "owned")
    code, answer, _ = k.apply("v1", "o", "anna", spec={"old": "x", "list": ["a"]})
    equal(code, 201, str(answer))
    code, answer, _ = k.apply("v2", "o", "bert", spec={"n": 1, "list": ["b"]})
    equal((code, answer.get("spec")), (200, {"fresh": "x", "n": 1, "list": ["a", "b"]}), str(answer))
    managers = {m["manager"]: (m["apiVersion"], m["fieldsV1"]) for m in answer["metadata"]["managedFields"]}
    equal(managers, {"anna": (f"{GROUP}/v1", {"f:spec": {"f:old": {}, "f:list": {'v:"a"': {}}}}),
                     "bert": (f"{GROUP}/v2", {"f:spec": {"f:n": {}, "f:list": {'v:"b"': {}}}})})
    code, answer, _ = k.apply("v2", "o", "bert", spec={"n": 1, "fresh": "y", "list": ["b"]})
    equal(code, 409, str(answer))
    equal(answer["message"], 'Apply failed with 1 conflict: conflict with "anna": .spec.old')
    code, answer, _ = k.apply("v2", "o", "bert", "&force=true", spec={"n": 1, "fresh": "y", "list": ["b"]})
    equal((code, answer.get("spec")), (200, {"fresh": "y", "n": 1, "list": ["a", "b"]}), str(answer))
    managers = {m["manager"]: m["fieldsV1"] for m in answer["metadata"]["managedFields"]}
    equal(managers["anna"], {"f:spec": {"f:list": {'v:"a"': {}}}})
    # What is applied no more goes, in the version that somebody else wrote, too.
    code, answer, _ = k.apply("v1", "o", "anna", spec={})
    equal((code, answer.get("spec")), (200, {"old": "y", "n": 1, "list": ["b"]}), str(answer))
    code, answer, _ = k.apply("v2", "o", "bert", spec={"n": 1, "fresh": "y", "list": ["b"]})
    rv = answer["metadata"]["resourceVersion"]
    code, answer, _ = k.apply("v2", "o", "bert", spec={"n": 1, "fresh": "y", "list": ["b"]})
    equal((code, answer["metadata"]["resourceVersion"]), (200, rv))


def watched_in_both(c, hooks):
    k = Kind(c, hooks, "seen")
    rv = c.request("GET", k.path("v2"))[1]["metadata"]["resourceVersion"]
    conn = c.connect()
    conn.request("GET", k.path("v2") + f"?watch=1&resourceVersion={rv}&timeoutSeconds=60&fieldSelector=metadata.name%3Do")
    stream = conn.getresponse()
    equal(stream.status, 200)
    k.create("v1", "o", spec={"old": "x"})
    equal(c.request("PATCH", k.path("v1", "o"), {"spec": {"old": "y"}}, MERGE)[0], 200)
    equal(c.request("DELETE", k.path("v1", "o"))[0], 200)
    events = [json.loads(stream.readline()) for _ in range(3)]
    equal([(e["type"], e["object"]["apiVersion"], e["object"]["spec"]) for e in events],
          [("ADDED", f"{GROUP}/v2", {"fresh": "x"}), ("MODIFIED", f"{GROUP}/v2", {"fresh": "y"}), ("DELETED", f"{GROUP}/v2", {"fresh": "y"})])
    conn.close()


def a_watch_list_converts(c, hooks):
    k = Kind(c, hooks, "begun")
    for i in range(3):
        k.create("v1", f"o{i}", spec={"old": str(i)})
    conn = c.connect()
    conn.request("GET", k.path("v2") + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=60")
    stream = conn.getresponse()
    equal(stream.status, 200)
    events = [json.loads(stream.readline()) for _ in range(4)]
    equal([(e["type"], e["object"].get("spec")) for e in events],
          [("ADDED", {"fresh": "0"}), ("ADDED", {"fresh": "1"}), ("ADDED", {"fresh": "2"}), ("BOOKMARK", None)])
    equal(events[3]["object"]["metadata"]["annotations"], {"k8s.io/initial-events-end": "true"})
    equal((events[3]["object"]["kind"], events[3]["object"]["apiVersion"]), (k.kind, f"{GROUP}/v2"))
    conn.close()


def the_version_that_is_stored_moves(c, hooks):
    k = Kind(c, hooks, "moved")
    k.create("v1", "was", spec={"old": "x"})
    crd = c.request("GET", f"{CRDS}/{k.plural}.{GROUP}")[1]
    for v in crd["spec"]["versions"]:
        v["storage"] = v["name"] == "v2"
    code, answer, _ = c.request("PUT", f"{CRDS}/{k.plural}.{GROUP}", crd)
    equal((code, answer.get("status", {}).get("storedVersions")), (200, ["v1", "v2"]), str(answer))
    k.create("v1", "now", spec={"old": "y"})
    for version, field in (("v1", "old"), ("v2", "fresh")):
        wait_for(f"both in {version}", lambda v=version, f=field: [o["spec"] for o in c.request("GET", k.path(v))[1]["items"]] ==
                 [{f: "y"}, {f: "x"}])
    # Written once, each is stored in the new one; then the old one may be said to be stored no more.
    equal(c.request("PUT", k.path("v2", "was"), k.get("v2", "was"))[0], 200)
    crd = c.request("GET", f"{CRDS}/{k.plural}.{GROUP}")[1]
    crd["status"]["storedVersions"] = ["v2"]
    code, answer, _ = c.request("PUT", f"{CRDS}/{k.plural}.{GROUP}/status", crd)
    equal((code, answer.get("status", {}).get("storedVersions")), (200, ["v2"]), str(answer))


def a_slow_one_holds_up_nobody_else(c, hooks):
    k = Kind(c, hooks, "waits")
    k.create("v1", "o", spec={"old": "x"})
    hooks.go.clear()
    code, answer, _ = c.request("PATCH", f"{CRDS}/{k.plural}.{GROUP}", {"spec": {"conversion": {"webhook": {
        "clientConfig": {"url": hooks.url("/slow/conv")}}}}}, MERGE)
    equal(code, 200, str(answer))

    def ask():
        with_codes.append(c.request("GET", k.path("v2", "o"))[0])
    with_codes, threads = [], []

    def asked():
        threads.append(threading.Thread(target=ask))
        threads[-1].start()
        return hooks.calls["/slow/conv"]
    wait_for("a conversion that waits", asked)
    equal(k.get("v1", "o")["spec"], {"old": "x"})
    equal(c.request("GET", "/api/v1/namespaces")[0], 200)
    hooks.go.set()
    for t in threads:
        t.join(60)


TESTS = [failures_are_told_and_only_to_those_who_convert, a_failure_it_tells_of_is_passed_on, what_it_says_of_metadata_is_not_believed,
         reviews_of_either_version, status_is_its_own, fields_of_two_versions, watched_in_both, a_watch_list_converts,
         the_version_that_is_stored_moves, a_slow_one_holds_up_nobody_else]

if __name__ == "__main__":
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager"]) as cluster:
        server = Hooks(cluster.dir)
        status = main(TESTS, cluster, server)
        server.close()
    sys.exit(status)
