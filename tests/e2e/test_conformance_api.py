#!/usr/bin/env python3
"""The conformance behaviours of sig-api-machinery, sig-auth and sig-instrumentation that ask what the API does with its
requests. tests/fields/api.tsv names them."""
import base64
import json
import random
import ssl
import subprocess
import sys
import threading
import time

from lib import Cluster, contains, equal, main, need_tools, wait_for
from operations import MERGE, ask, operations, update

NS = "/api/v1/namespaces/default"
MAPS = NS + "/configmaps"
APPS = "/apis/apps/v1/namespaces/default"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "example.com/none:1"}]}}


def make(c, path, name, **more):
    meta = {"name": name, **more.pop("metadata", {})}
    return ask(c, 201, "POST", path, {"metadata": meta, **more})


# --- watches and lists ---

def watch(c, path, n, since=None, select=""):
    """The next n events: (type, object)."""
    connection = c.connect()
    try:
        connection.request("GET", f"{path}?watch=true&timeoutSeconds=30{select}" + (f"&resourceVersion={since}" if since else ""))
        lines, out = connection.getresponse(), []
        while len(out) < n:
            e = json.loads(lines.readline())
            out.append((e["type"], e["object"]))
        return out
    finally:
        connection.close()


def version(o):
    return o["metadata"]["resourceVersion"]


def watches_begin_where_they_are_told(c):
    """Watchers should be able to start watching from a specific resource version, and to restart from the last one that was observed"""
    select = "&labelSelector=watched%3Dyes"
    make(c, MAPS, "w", metadata={"labels": {"watched": "yes"}}, data={"mutation": "0"})
    seen = [update(c, MAPS + "/w", lambda o, i=i: o["data"].update(mutation=str(i))) for i in (1, 2)]
    ask(c, 200, "DELETE", MAPS + "/w")
    wanted = [("MODIFIED", "2"), ("DELETED", "2")]
    events = watch(c, MAPS, 2, version(seen[0]), select)
    equal([(t, o["data"]["mutation"]) for t, o in events], wanted)
    make(c, MAPS, "w", metadata={"labels": {"watched": "yes"}}, data={"mutation": "3"})
    again = watch(c, MAPS, 1, version(events[-1][1]), select)
    equal([(t, o["data"]["mutation"]) for t, o in again], [("ADDED", "3")])
    ask(c, 200, "DELETE", MAPS + "/w")


def watches_see_one_order(c):
    """Watchers should receive events on concurrent watches in same order"""
    since, n, seed = version(ask(c, 200, "GET", MAPS)), 60, random.Random(7)

    def changes():
        names = []
        for i in range(n):
            if names and seed.random() < 0.6:
                name = seed.choice(names)
                if seed.random() < 0.5:
                    update(c, f"{MAPS}/{name}", lambda o, i=i: o.setdefault("data", {}).update(i=str(i)))
                else:
                    names.remove(name)
                    ask(c, 200, "DELETE", f"{MAPS}/{name}")
            else:
                names.append(f"order-{i}")
                make(c, MAPS, names[-1])
    writer = threading.Thread(target=changes)
    writer.start()
    seen, lock = [], threading.Lock()

    def follow(start):
        got = [version(o) for _, o in watch(c, MAPS, n - start, since if not start else starts[start])]
        with lock:
            seen.append((start, got))
    starts = {0: since}
    first = [version(o) for _, o in watch(c, MAPS, n // 2, since)]
    for i in range(1, n // 2, 5):
        starts[i] = first[i - 1]
    followers = [threading.Thread(target=follow, args=(start,)) for start in starts]
    for t in followers:
        t.start()
    for t in [writer, *followers]:
        t.join()
    whole = dict(seen)[0]
    equal((len(seen), sorted(map(int, whole))), (len(starts), list(map(int, whole))))
    for start, got in seen:
        equal(got, whole[start:])


def lists_come_in_chunks(c):
    """Servers with support for API chunking should return chunks of results for list calls"""
    path, n = NS + "/podtemplates", 40
    for i in range(n):
        make(c, path, f"template-{i:04}", template=TEMPLATE)
    for size in (7, 13):
        names, token, at = [], "", None
        while True:
            o = ask(c, 200, "GET", f"{path}?limit={size}&continue={token}")
            names += [x["metadata"]["name"] for x in o["items"]]
            at = at or version(o)
            equal((version(o), len(o["items"]) <= size), (at, True))
            token = o["metadata"].get("continue", "")
            equal(o["metadata"].get("remainingItemCount"), n - len(names) if token else None)
            if not token:
                break
        equal(names, [f"template-{i:04}" for i in range(n)])
    equal(len(ask(c, 200, "GET", f"{path}?limit={n}")["items"]), n)


def one_without_metadata_is_no_table(c):
    """Servers with support for Table transformation should return a 406 for a backend which does not implement metadata"""
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {
        "resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}}}
    o = ask(c, 406, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review,
            {"Content-Type": "application/json", "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
    equal(o["reason"], "NotAcceptable")


# --- discovery ---

def every_group_has_its_versions(c):
    """Discovery should locate the groupVersion and a resource within each APIGroup, validate PreferredVersion for each APIGroup"""
    groups = ask(c, 200, "GET", "/apis")["groups"]
    for g in groups:
        one = ask(c, 200, "GET", "/apis/" + g["name"])
        equal((one["versions"], one["preferredVersion"]), (g["versions"], g["preferredVersion"]))
        equal(g["preferredVersion"] in g["versions"], True)
        for v in g["versions"]:
            of = ask(c, 200, "GET", "/apis/" + v["groupVersion"])
            equal((of["groupVersion"], bool(of["resources"])), (v["groupVersion"], True))
    equal(len(groups) > 15, True)


def discovery_in_one_answer(c):
    """AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers, raw requests for CRDs, the interface for CRDs"""
    group = define(c, "found", {"type": "object"})
    as_v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    for path in ("/api", "/apis"):
        for accept, kind in ((as_v2, "APIGroupDiscoveryList"), (as_v2 + ",application/json", "APIGroupDiscoveryList"),
                             ("application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList,application/json", None),
                             ("application/json," + as_v2, None), ("application/json", None)):
            o = ask(c, 200, "GET", path, headers={"Accept": accept})
            equal(o["kind"], kind or {"/api": "APIVersions", "/apis": "APIGroupList"}[path])
    found = [g for g in ask(c, 200, "GET", "/apis", headers={"Accept": as_v2})["items"] if g["metadata"]["name"] == group]
    equal([(v["version"], [r["resource"] for r in v["resources"]]) for v in found[0]["versions"]], [("v1", ["founds"])])
    contains(c.kubectl("api-resources", "--api-group", group), "founds", "Found")
    ask(c, 200, "DELETE", f"{CRDS}/founds.{group}")


def the_version_is_known(c):
    """server version should find the server version"""
    o = ask(c, 200, "GET", "/version")
    equal((o["major"], o["minor"].rstrip("+")), ("1", "37"))


# --- fields that nobody knows ---

def define(c, name, schema, **more):
    """A kind of one's own; returns its group."""
    group = name + ".e2e.example.com"
    body = {"metadata": {"name": f"{name}s.{group}"}, "spec": {
        "group": group, "scope": "Namespaced", "names": {"plural": name + "s", "singular": name, "kind": name.capitalize()},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **more}]}}
    ask(c, 201, "POST", CRDS, body)
    wait_for("the kind", lambda: c.request("GET", f"/apis/{group}/v1/{name}s")[0] == 200)
    return group


def posted(c, path, text, mode, kind="application/json", method="POST"):
    """(status, message, warnings)."""
    status, o, headers = c.request(method, f"{path}{'&' if '?' in path else '?'}fieldValidation={mode}", text, {"Content-Type": kind})
    return status, o.get("message", "") if isinstance(o, dict) else o, headers.get_all("Warning") or []


DEPLOYMENT = """{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "%s", "labels": {"app": "x"}, %s "namespace": "default"},
 "spec": {%s "paused": true, "paused": false, "replicas": 0, "selector": {"matchLabels": {"app": "x"}},
          "template": {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}"""


def unknown_and_double_fields(c):
    """FieldValidation should detect unknown and duplicate fields of a typed object"""
    path = APPS + "/deployments"
    text = DEPLOYMENT % ("strict", "", '"unknownField": "x",')
    status, message, _ = posted(c, path, text, "Strict")
    equal(status, 400)
    contains(message, 'unknown field "spec.unknownField"', 'duplicate field "spec.paused"')
    status, _, warnings = posted(c, path, text, "Warn")
    equal(status, 201)
    contains(" ".join(warnings), 'unknown field \\"spec.unknownField\\"', 'duplicate field \\"spec.paused\\"')
    equal(posted(c, path, text.replace('"strict"', '"ignored"'), "Ignore")[::2], (201, []))
    # Patches and applies are held to it as creates are.
    for kind, body in (("application/merge-patch+json", '{"spec": {"foo": 1, "paused": true, "paused": true}}'),
                       ("application/strategic-merge-patch+json", '{"spec": {"foo": 1, "paused": true, "paused": true}}')):
        status, message, _ = posted(c, path + "/strict", body, "Strict", kind, "PATCH")
        equal(status, 422)
        contains(message, 'unknown field "spec.foo"', 'duplicate field "spec.paused"')
    status, message, _ = posted(c, path + "/strict?fieldManager=m&force=true", text, "Strict", "application/apply-patch+yaml", "PATCH")
    equal(status >= 400, True)
    for name in ("strict", "ignored"):
        ask(c, 200, "DELETE", f"{path}/{name}")


def unknown_metadata(c):
    """FieldValidation should detect unknown metadata fields of a typed object"""
    text = DEPLOYMENT.replace('"paused": false, ', "") % ("meta", '"unknownMeta": "x",', "")
    status, message, _ = posted(c, APPS + "/deployments", text, "Strict")
    equal(status, 400)
    contains(message, 'unknown field "metadata.unknownMeta"')


def unknown_metadata_of_custom_objects(c):
    """FieldValidation should detect unknown metadata fields in both the root and embedded object of a CR"""
    group = define(c, "embedder", {"type": "object", "properties": {"spec": {"type": "object", "properties": {"template": {
        "type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}}}}})
    path = f"/apis/{group}/v1/namespaces/default/embedders"
    inner = '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "unknownInner": 1}}'
    text = '{"apiVersion": "%s/v1", "kind": "Embedder", "metadata": {"name": "e", "unknownRoot": 1}, "spec": {"template": %s}}' % (group, inner)
    status, message, _ = posted(c, path, text, "Strict")
    equal(status, 400)
    contains(message, 'unknown field "metadata.unknownRoot"', 'unknown field "spec.template.metadata.unknownInner"')
    status, _, warnings = posted(c, path, text, "Warn")
    equal((status, len(warnings)), (201, 2))
    ask(c, 200, "DELETE", f"{CRDS}/embedders.{group}")


def applied(c, group, plural, name, spec, mode="Strict"):
    body = {"apiVersion": f"{group}/v1", "kind": plural[:-1].capitalize(), "metadata": {"name": name}, "spec": spec}
    return posted(c, f"/apis/{group}/v1/namespaces/default/{plural}/{name}?fieldManager=m&force=true", json.dumps(body), mode,
                  "application/apply-patch+yaml", "PATCH")


def custom_objects_are_held_to_their_schema(c):
    """FieldValidation should create/apply a valid CR for CRD with validation schema, and one with unknown fields for a CRD with none,
    and detect duplicates in a CR when preserving unknown fields"""
    ports = {"type": "array", "x-kubernetes-list-map-keys": ["containerPort", "protocol"], "x-kubernetes-list-type": "map",
             "items": {"type": "object", "required": ["containerPort", "protocol"], "properties": {
                 "containerPort": {"type": "integer"}, "protocol": {"type": "string"}, "hostIP": {"type": "string"}}}}
    strict = define(c, "strictly", {"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "knownField1": {"type": "string"}, "ports": ports}}}})
    equal(applied(c, strict, "strictlys", "a", {"knownField1": "val1", "ports": [{"containerPort": 80, "protocol": "TCP"}]})[::2], (201, []))
    status, message, _ = applied(c, strict, "strictlys", "b", {"foo": 1})
    equal(status >= 400, True)
    contains(message, "foo")
    loose = define(c, "loosely", {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    equal(applied(c, loose, "looselys", "a", {"anything": {"at": "all"}})[::2], (201, []))
    text = '{"apiVersion": "%s/v1", "kind": "Loosely", "metadata": {"name": "d"}, "spec": {"unknown": "1", "foo": true, "foo": false}}' % loose
    status, message, _ = posted(c, f"/apis/{loose}/v1/namespaces/default/looselys", text, "Strict")
    equal(status, 400)
    contains(message, 'duplicate field "spec.foo"')
    equal("unknown field" in message, False)
    for group, plural in ((strict, "strictlys"), (loose, "looselys")):
        ask(c, 200, "DELETE", f"{CRDS}/{plural}.{group}")


# --- definitions ---

def definitions_have_a_status(c):
    """Simple CustomResourceDefinition getting/updating/patching status sub-resource works, listing custom resource definition objects works"""
    groups = [define(c, f"listed{i}", {"type": "object"}) for i in range(3)]
    at = f"{CRDS}/listed0s.{groups[0]}"
    condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set by a test", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    o = update(c, at + "/status", lambda o: o["status"]["conditions"].append(condition))
    equal("StatusUpdate" in [x["type"] for x in o["status"]["conditions"]], True)
    o = ask(c, 200, "PATCH", at + "/status", [{"op": "add", "path": "/status/conditions/-", "value": {**condition, "type": "Patched"}}],
            {"Content-Type": "application/json-patch+json"})
    equal("Patched" in [x["type"] for x in ask(c, 200, "GET", at + "/status")["status"]["conditions"]], True)
    equal(sum("listed" in x["metadata"]["name"] for x in ask(c, 200, "GET", CRDS)["items"]), 3)
    for i, group in enumerate(groups):
        ask(c, 200, "PATCH", f"{CRDS}/listed{i}s.{group}", {"metadata": {"labels": {"listed": "yes"}}}, MERGE)
    ask(c, 200, "DELETE", CRDS + "?labelSelector=listed%3Dyes")
    wait_for("all to go", lambda: not any("listed" in x["metadata"]["name"] for x in ask(c, 200, "GET", CRDS)["items"]))


def defaults_for_requests_and_from_storage(c):
    """custom resource defaulting for requests and from storage works"""
    schema = {"type": "object", "properties": {"a": {"type": "string", "default": "A"}, "b": {"type": "string"}}}
    group = define(c, "defaulted", schema)
    path = f"/apis/{group}/v1/namespaces/default/defaulteds"
    o = make(c, path, "one", apiVersion=f"{group}/v1", kind="Defaulted")
    equal((o["a"], o.get("b")), ("A", None))
    ask(c, 200, "PATCH", f"{CRDS}/defaulteds.{group}", [
        {"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/b/default", "value": "B"},
        {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/a/default"}],
        {"Content-Type": "application/json-patch+json"})
    wait_for("the default", lambda: ask(c, 200, "GET", path + "/one").get("b") == "B")
    equal(ask(c, 200, "GET", path + "/one")["a"], "A")
    o = make(c, path, "two", apiVersion=f"{group}/v1", kind="Defaulted")
    equal((o.get("a"), o["b"]), (None, "B"))
    ask(c, 200, "DELETE", f"{CRDS}/defaulteds.{group}")


# --- deletion ---

def owner(c, name, kind="replicationcontrollers"):
    """One with two Pods that nobody runs."""
    spec = {"replicas": 2, "selector": {"app": name}, "template": {**TEMPLATE, "metadata": {"labels": {"app": name}}}}
    o = make(c, f"{NS}/{kind}", name, spec=spec)
    wait_for("its pods", lambda: len(pods_of(c, name)) == 2)
    return o


def pods_of(c, name):
    return ask(c, 200, "GET", f"{NS}/pods?labelSelector=app%3D{name}")["items"]


def delete(c, path, policy, code=200):
    return ask(c, code, "DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy})


def dependents_go_or_stay_as_told(c):
    """Garbage collector should delete pods created by rc when not orphaning, orphan pods created by rc if delete options say so, keep
    the rc around until all its pods are deleted if the deleteOptions says so"""
    at = NS + "/replicationcontrollers"
    owner(c, "background")
    delete(c, at + "/background", "Background")
    wait_for("the pods to go", lambda: pods_of(c, "background") == [])

    owner(c, "orphans")
    delete(c, at + "/orphans", "Orphan")
    wait_for("it to go", lambda: c.request("GET", at + "/orphans")[0] == 404)
    equal([p["metadata"].get("ownerReferences") for p in pods_of(c, "orphans")], [None, None])
    ask(c, 200, "DELETE", NS + "/pods?labelSelector=app%3Dorphans&gracePeriodSeconds=0")

    owner(c, "foreground")
    held = pods_of(c, "foreground")[0]["metadata"]["name"]
    ask(c, 200, "PATCH", f"{NS}/pods/{held}", {"metadata": {"finalizers": ["e2e.example.com/held"]}}, MERGE)
    delete(c, at + "/foreground", "Foreground")
    wait_for("the other to go", lambda: [p["metadata"]["name"] for p in pods_of(c, "foreground")] == [held])
    o = ask(c, 200, "GET", at + "/foreground")
    equal(("deletionTimestamp" in o["metadata"], o["metadata"]["finalizers"]), (True, ["foregroundDeletion"]))
    ask(c, 200, "PATCH", f"{NS}/pods/{held}", {"metadata": {"finalizers": None}}, MERGE)
    wait_for("both to go", lambda: c.request("GET", at + "/foreground")[0] == 404 and pods_of(c, "foreground") == [])


def replica_sets_go_or_stay_as_told(c):
    """Garbage collector should delete RS created by deployment when not orphaning, orphan RS created by deployment when
    deleteOptions.PropagationPolicy is Orphan"""
    def sets(name):
        return ask(c, 200, "GET", f"{APPS}/replicasets?labelSelector=app%3D{name}")["items"]
    for name, policy in (("gone", "Background"), ("kept", "Orphan")):
        make(c, APPS + "/deployments", name, spec={"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {
            **TEMPLATE, "metadata": {"labels": {"app": name}}}})
        wait_for("its replica set", lambda name=name: sets(name))
        delete(c, f"{APPS}/deployments/{name}", policy)
        wait_for("it to go", lambda name=name: c.request("GET", f"{APPS}/deployments/{name}")[0] == 404)
    wait_for("the set to go", lambda: sets("gone") == [])
    equal([s["metadata"].get("ownerReferences") for s in sets("kept")], [None])
    ask(c, 200, "DELETE", APPS + "/replicasets?labelSelector=app%3Dkept")
    wait_for("its pods to go", lambda: pods_of(c, "kept") == [])


def one_owner_is_enough(c):
    """Garbage collector should not delete dependents that have both valid owner and owner that's waiting for dependents to be deleted"""
    at = NS + "/replicationcontrollers"
    going, staying = owner(c, "going"), owner(c, "staying")
    both = pods_of(c, "going")[0]["metadata"]["name"]
    reference = {"apiVersion": "v1", "kind": "ReplicationController", "name": "staying", "uid": staying["metadata"]["uid"]}
    update(c, f"{NS}/pods/{both}", lambda o: o["metadata"]["ownerReferences"].append(reference))
    delete(c, at + "/going", "Foreground")
    wait_for("it to go", lambda: c.request("GET", at + "/going")[0] == 404)
    o = ask(c, 200, "GET", f"{NS}/pods/{both}")
    equal(([r["uid"] for r in o["metadata"]["ownerReferences"]], going["metadata"]["uid"] != reference["uid"]), ([reference["uid"]], True))
    equal("deletionTimestamp" in o["metadata"], False)
    delete(c, at + "/staying", "Background")
    wait_for("all to go", lambda: pods_of(c, "staying") + pods_of(c, "going") == [])


# --- namespaces ---

def namespaces_change(c):
    """Namespaces should patch a Namespace, apply an update to a Namespace, apply changes to a namespace status, apply a finalizer to a Namespace"""
    spaces = "/api/v1/namespaces"
    make(c, spaces, "changed")
    at = spaces + "/changed"
    equal(ask(c, 200, "PATCH", at, {"metadata": {"labels": {"testLabel": "testValue"}}}, MERGE)["metadata"]["labels"]["testLabel"], "testValue")
    o = update(c, at, lambda o: o["metadata"]["labels"].update(updated="yes"))
    equal(o["metadata"]["labels"]["updated"], "yes")
    condition = {"type": "StatusPatch", "status": "True", "reason": "E2E", "message": "patched", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    o = ask(c, 200, "PATCH", at + "/status", {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"conditions": [condition]}}, MERGE)
    equal((o["metadata"]["annotations"]["patchedstatus"], o["status"]["conditions"]), ("true", [condition]))
    o = update(c, at + "/status", lambda o: o["status"]["conditions"].append({**condition, "type": "StatusUpdate"}))
    equal([x["type"] for x in o["status"]["conditions"]], ["StatusPatch", "StatusUpdate"])

    o = ask(c, 200, "GET", at)
    o["spec"]["finalizers"].append("e2e.example.com/fakeFinalizer")
    equal(ask(c, 200, "PUT", at + "/finalize", o)["spec"]["finalizers"], ["kubernetes", "e2e.example.com/fakeFinalizer"])
    ask(c, 200, "DELETE", at)
    wait_for("its own finalizer to go", lambda: ask(c, 200, "GET", at)["spec"]["finalizers"] == ["e2e.example.com/fakeFinalizer"])
    o = ask(c, 200, "GET", at)
    equal(o["status"]["phase"], "Terminating")
    o["spec"]["finalizers"] = []
    ask(c, 200, "PUT", at + "/finalize", o)
    wait_for("it to go", lambda: c.request("GET", at)[0] == 404)


def pods_go_first(c):
    """OrderedNamespaceDeletion namespace deletion should delete pod first; Namespaces should ensure that all pods are removed when a namespace is deleted"""
    make(c, "/api/v1/namespaces", "ordered")
    at = "/api/v1/namespaces/ordered"
    wait_for("its account", lambda: c.request("GET", at + "/serviceaccounts/default")[0] == 200)
    make(c, at + "/pods", "p", metadata={"finalizers": ["e2e.example.com/finalizer"]}, spec=TEMPLATE["spec"])
    make(c, at + "/configmaps", "m")
    ask(c, 200, "DELETE", at)

    def waits():
        conditions = ask(c, 200, "GET", at)["status"].get("conditions", [])
        return {"NamespaceContentRemaining", "NamespaceFinalizersRemaining"} <= {x["type"] for x in conditions if x["status"] == "True"}
    wait_for("what it waits for", waits)
    equal("deletionTimestamp" in ask(c, 200, "GET", at + "/pods/p")["metadata"], True)
    equal("deletionTimestamp" in ask(c, 200, "GET", at + "/configmaps/m")["metadata"], False)
    ask(c, 200, "PATCH", at + "/pods/p", {"metadata": {"finalizers": None}}, MERGE)
    wait_for("it to go", lambda: c.request("GET", at)[0] == 404)
    make(c, "/api/v1/namespaces", "ordered")
    equal(ask(c, 200, "GET", at + "/pods")["items"], [])
    ask(c, 200, "DELETE", at)


# --- quotas ---

def quota(c, space, name, hard, **spec):
    """In a namespace of its own, with its status."""
    path = f"/api/v1/namespaces/{space}/resourcequotas"
    if c.request("GET", f"/api/v1/namespaces/{space}")[0] == 404:
        make(c, "/api/v1/namespaces", space)
        wait_for("its account", lambda: c.request("GET", f"/api/v1/namespaces/{space}/serviceaccounts/default")[0] == 200)
    make(c, path, name, spec={"hard": hard, **spec})
    wait_for("its status", lambda: (ask(c, 200, "GET", f"{path}/{name}").get("status") or {}).get("hard") == hard)
    return f"{path}/{name}"


def uses(c, at, **wanted):
    wanted = {k.replace("__", "."): v for k, v in wanted.items()}
    wait_for(f"{at} to be used by {wanted}", lambda: wanted.items() <= ask(c, 200, "GET", at)["status"].get("used", {}).items())


def quotas_follow_what_is_there(c):
    """ResourceQuota should create a ResourceQuota and ensure its status is promptly calculated, and capture the life of a configMap, of a
    replica set; should be able to update and delete ResourceQuota; should apply changes to a resourcequota status"""
    at = quota(c, "counted", "q", {"configmaps": "5", "count/replicasets.apps": "1", "count/configmaps": "5"})
    ns = "/api/v1/namespaces/counted"
    wait_for("the root certificate", lambda: c.request("GET", ns + "/configmaps/kube-root-ca.crt")[0] == 200)
    uses(c, at, configmaps="1", **{"count/replicasets__apps": "0"})
    make(c, ns + "/configmaps", "m")
    uses(c, at, configmaps="2", **{"count/configmaps": "2"})
    ask(c, 200, "DELETE", ns + "/configmaps/m")
    uses(c, at, configmaps="1")
    sets = "/apis/apps/v1/namespaces/counted/replicasets"
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "template": TEMPLATE}
    make(c, sets, "one", spec=spec)
    uses(c, at, **{"count/replicasets__apps": "1"})
    contains(ask(c, 403, "POST", sets, {"metadata": {"name": "two"}, "spec": spec})["message"], "exceeded quota: q")
    ask(c, 200, "DELETE", sets + "/one")
    uses(c, at, **{"count/replicasets__apps": "0"})

    equal(update(c, at, lambda o: o["spec"]["hard"].update(configmaps="9"))["spec"]["hard"]["configmaps"], "9")
    wait_for("its status", lambda: ask(c, 200, "GET", at)["status"]["hard"]["configmaps"] == "9")
    # The controller goes by the spec: what others say in the status stays until the spec or what is there changes.
    o = update(c, at + "/status", lambda o: o["status"].update(hard={"configmaps": "7"}, used={"configmaps": "7"}))
    equal((o["status"]["hard"], o["spec"]["hard"]["configmaps"]), ({"configmaps": "7"}, "9"))
    o = ask(c, 200, "PATCH", at + "/status", {"status": {"hard": {"pods": "3"}}}, MERGE)
    equal(ask(c, 200, "GET", at + "/status")["status"]["hard"], {"configmaps": "7", "pods": "3"})
    update(c, at, lambda o: o["spec"]["hard"].update(configmaps="8"))
    wait_for("its status", lambda: ask(c, 200, "GET", at)["status"]["hard"] == {
        "configmaps": "8", "count/replicasets.apps": "1", "count/configmaps": "5"})
    ask(c, 200, "DELETE", at)
    equal(c.request("GET", at)[0], 404)
    ask(c, 200, "DELETE", ns)


def quotas_have_scopes(c):
    """ResourceQuota should verify ResourceQuota with best effort scope, with terminating scopes"""
    at = {scope: quota(c, "scoped", scope.lower(), {"pods": "5"}, scopes=[scope])
          for scope in ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating")}
    ns = "/api/v1/namespaces/scoped"
    some = {"requests": {"cpu": "100m", "memory": "8Mi"}, "limits": {"cpu": "100m", "memory": "8Mi"}}
    for name, spec, resources, counted in (("effort", {}, {}, ("BestEffort", "NotTerminating")),
                                           ("bounded", {"activeDeadlineSeconds": 3600}, some, ("NotBestEffort", "Terminating"))):
        make(c, ns + "/pods", name, spec={"schedulerName": "nobody", "containers": [{"name": "c", "image": "i", "resources": resources}], **spec})
        for scope, path in at.items():
            uses(c, path, pods="1" if scope in counted else "0")
        ask(c, 200, "DELETE", f"{ns}/pods/{name}?gracePeriodSeconds=0")
        for path in at.values():
            uses(c, path, pods="0")
    ask(c, 200, "DELETE", ns)


# --- who asks ---

def accounts_live(c):
    """ServiceAccounts should run through the lifecycle of a ServiceAccount, update a ServiceAccount"""
    accounts = NS + "/serviceaccounts"
    make(c, accounts, "lively", metadata={"labels": {"sa": "static"}})
    o = ask(c, 200, "PATCH", accounts + "/lively", {"automountServiceAccountToken": False}, MERGE)
    equal(o["automountServiceAccountToken"], False)
    o = update(c, accounts + "/lively", lambda o: o.update(automountServiceAccountToken=True))
    equal(o["automountServiceAccountToken"], True)
    equal([o["metadata"]["name"] for o in ask(c, 200, "GET", "/api/v1/serviceaccounts?labelSelector=sa%3Dstatic")["items"]], ["lively"])
    ask(c, 200, "DELETE", accounts + "?labelSelector=sa%3Dstatic")
    wait_for("it to go", lambda: c.request("GET", accounts + "/lively")[0] == 404)


def each_namespace_has_the_root(c):
    """ServiceAccounts should guarantee kube-root-ca.crt exist in any namespace"""
    at = MAPS + "/kube-root-ca.crt"
    pem = ask(c, 200, "GET", at)["data"]["ca.crt"]
    ssl.create_default_context(cadata=pem)
    ask(c, 200, "DELETE", at)
    wait_for("it to be back", lambda: c.request("GET", at)[0] == 200)
    equal(ask(c, 200, "GET", at)["data"]["ca.crt"], pem)
    ask(c, 200, "PATCH", at, {"data": {"ca.crt": "", "other": "x"}}, MERGE)
    wait_for("it to be as it was", lambda: ask(c, 200, "GET", at)["data"] == {"ca.crt": pem})


def anyone_may_check_our_tokens(c):
    """ServiceAccountIssuerDiscovery should support OIDC discovery of service account issuer"""
    token = ask(c, 201, "POST", NS + "/serviceaccounts/default/token", {"spec": {"audiences": ["oidc-discovery-test"]}})["status"]["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    here = ask(c, 201, "POST", NS + "/serviceaccounts/default/token", {"spec": {}})["status"]["token"]
    bearer = {"Authorization": "Bearer " + here}
    status, o, _ = c.request("GET", "/.well-known/openid-configuration", headers=bearer, context=c.anonymous_context())
    equal((status, o["issuer"]), (200, claims["iss"]))
    keys = c.request("GET", "/openid/v1/jwks", headers=bearer, context=c.anonymous_context())[1]["keys"]
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    equal(header["kid"] in [k["kid"] for k in keys], True)


def reviews_of_subjects(c):
    """SubjectReview should support SubjectReview API operations"""
    attributes = {"group": "apps", "resource": "deployments", "verb": "list", "namespace": "default"}
    user = "system:serviceaccount:default:e2e"
    at = "/apis/authorization.k8s.io/v1"
    for path, code in ((at + "/subjectaccessreviews", 201), (at + "/namespaces/default/localsubjectaccessreviews", 201)):
        kind = "LocalSubjectAccessReview" if "local" in path else "SubjectAccessReview"
        o = ask(c, code, "POST", path, {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "metadata": {"namespace": "default"} if "local" in path
                                        else {}, "spec": {"user": user, "resourceAttributes": attributes}})
        equal(o["status"]["allowed"], False)
    make(c, "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings", "e2e-may", roleRef={
        "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}, subjects=[{
            "kind": "ServiceAccount", "name": "e2e", "namespace": "default"}])
    wait_for("the right", lambda: ask(c, 201, "POST", at + "/subjectaccessreviews", {"spec": {
        "user": user, "resourceAttributes": attributes}})["status"]["allowed"])
    o = ask(c, 201, "POST", at + "/selfsubjectaccessreviews", {"spec": {"resourceAttributes": attributes}},
            {"Content-Type": "application/json", "Impersonate-User": user})
    equal(o["status"]["allowed"], True)
    ask(c, 200, "DELETE", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/e2e-may")


def requests_for_certificates(c):
    """Certificates API should support CSR API operations"""
    key = c.dir + "/e2e.key"
    pem = subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-subj",
                          "/CN=e2e"], check=True, capture_output=True).stdout
    group = "certificates.k8s.io"
    spec = {"request": base64.b64encode(pem).decode(), "signerName": "e2e.example.com/signer", "usages": ["client auth"], "expirationSeconds": 3600}
    at = f"/apis/{group}/v1/certificatesigningrequests"
    operations(c, at, lambda _: {"spec": spec})
    make(c, at, "judged", spec=spec)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())  # what was approved long ago is cleaned away
    approved = {"type": "Approved", "status": "True", "reason": "E2E", "message": "by a test", "lastUpdateTime": now, "lastTransitionTime": now}
    o = update(c, at + "/judged/approval", lambda o: o["status"].update(conditions=[approved]))
    equal([x["type"] for x in o["status"]["conditions"]], ["Approved"])
    # What is written to /status does not approve, and what is written to /approval does not sign.
    o = ask(c, 200, "PATCH", at + "/judged/approval", {"metadata": {"annotations": {"patchedapproval": "true"}}, "status": {"certificate": "AAAA"}}, MERGE)
    equal(o["status"].get("certificate"), None)
    with open(c.dir + "/admin.pem", encoding="utf-8") as f:
        text = f.read()
    certificate = text[text.index("-----BEGIN CERT"):text.index("-----END CERTIFICATE-----") + 25] + "\n"
    o = ask(c, 200, "PATCH", at + "/judged/status", {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {
        "certificate": base64.b64encode(certificate.encode()).decode()}}, MERGE)
    equal((o["metadata"]["annotations"]["patchedstatus"], bool(o["status"]["certificate"])), ("true", True))
    ask(c, 200, "DELETE", at + "/judged")


def requests_of_pods_for_certificates(c):
    """PodCertificateRequest API should support PodCertificateRequest API operations"""
    node = make(c, "/api/v1/nodes", "of-certificates")
    account = ask(c, 200, "GET", NS + "/serviceaccounts/default")
    pod = make(c, NS + "/pods", "certified", spec={"nodeName": "of-certificates", **TEMPLATE["spec"]})
    der = subprocess.run(["openssl", "req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", c.dir + "/pod.key", "-subj", "/", "-outform", "DER"],
                         check=True, capture_output=True).stdout
    spec = {"signerName": "e2e.example.com/signer", "podName": "certified", "podUID": pod["metadata"]["uid"], "serviceAccountName": "default",
            "serviceAccountUID": account["metadata"]["uid"], "nodeName": "of-certificates", "nodeUID": node["metadata"]["uid"],
            "stubPKCS10Request": base64.b64encode(der).decode()}
    at = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests"
    operations(c, at, lambda _: {"spec": spec}, "/apis/certificates.k8s.io/v1/podcertificaterequests")
    make(c, at, "judged", spec=spec)
    for field, own in (("spec.nodeName", "of-certificates"), ("spec.podName", "certified"), ("spec.signerName", "e2e.example.com/signer")):
        for value, n in ((own, 1), ("another", 0)):
            equal(len(ask(c, 200, "GET", f"{at}?fieldSelector={field}%3D{value}")["items"]), n, f"{field}={value}")
    condition = {"type": "Denied", "status": "True", "reason": "E2E", "message": "by a test", "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ")}
    o = ask(c, 200, "PATCH", at + "/judged/status", {"status": {"conditions": [condition]}}, MERGE)
    equal([x["type"] for x in o["status"]["conditions"]], ["Denied"])
    # What was said is said.
    ask(c, 422, "PATCH", at + "/judged/status", {"status": {"conditions": [{**condition, "type": "Failed"}]}}, MERGE)
    for path in (at + "/judged", NS + "/pods/certified?gracePeriodSeconds=0", "/api/v1/nodes/of-certificates"):
        ask(c, 200, "DELETE", path)


# --- published documents ---

def documents_follow_definitions(c):
    """CustomResourcePublishOpenAPI works for several CRDs of different groups, of same group but different versions; updates the published
    spec when one version gets renamed; removes definition from spec when one version gets changed to not be served"""
    group = "multi.e2e.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "description": "Several versions.", "properties": {"spec": {"type": "object"}}}}
    versions = [{"name": v, "served": True, "storage": v == "v2", "schema": schema} for v in ("v2", "v3")]
    at = f"{CRDS}/multis.{group}"
    ask(c, 201, "POST", CRDS, {"metadata": {"name": "multis." + group}, "spec": {
        "group": group, "scope": "Namespaced", "names": {"plural": "multis", "singular": "multi", "kind": "Multi"}, "versions": versions}})

    def published(*wanted):
        text = json.dumps([k for k in ask(c, 200, "GET", "/openapi/v2")["definitions"] if "com.example.e2e.multi" in k])
        v3 = [k.rpartition("/")[2] for k in ask(c, 200, "GET", "/openapi/v3")["paths"] if k.startswith(f"apis/{group}/")]
        return all(f"com.example.e2e.multi.{v}.Multi\"" in text for v in wanted) and sorted(v3) == sorted(wanted) and \
            text.count(".Multi\"") == len(wanted)
    wait_for("both versions", lambda: published("v2", "v3"))
    ask(c, 200, "PATCH", at, [{"op": "test", "path": "/spec/versions/1/name", "value": "v3"},
                              {"op": "replace", "path": "/spec/versions/1/name", "value": "v4"}], {"Content-Type": "application/json-patch+json"})
    wait_for("the new name", lambda: published("v2", "v4"))
    ask(c, 200, "PATCH", at, [{"op": "test", "path": "/spec/versions/1/name", "value": "v4"},
                              {"op": "replace", "path": "/spec/versions/1/served", "value": False}], {"Content-Type": "application/json-patch+json"})
    wait_for("one version", lambda: published("v2"))
    contains(c.kubectl("explain", "multis"), "Several versions.")
    ask(c, 200, "DELETE", at)


def documents_say_what_is_taken(c):
    """CustomResourcePublishOpenAPI works for CRD with validation schema, preserving unknown fields at the schema root"""
    kept = define(c, "kept", {"type": "object", "description": "Keeps all.", "x-kubernetes-preserve-unknown-fields": True})
    checked = define(c, "checked", {"type": "object", "description": "Foo CRD for Testing", "properties": {"spec": {
        "type": "object", "description": "Specification of Foo", "required": ["name"], "properties": {
            "name": {"type": "string", "description": "Name of it."}, "age": {"type": "integer"}}}}})
    one = '{"apiVersion": "%s/v1", "kind": "%s", "metadata": {"name": "x"}, "spec": %s}'
    wait_for("the document", lambda: "Foo CRD for Testing" in c.run("explain", "checkeds", check=False).text)
    contains(c.kubectl("explain", "checkeds.spec"), "Specification of Foo", "name", "-required-", "age")
    c.apply(one % (checked, "Checked", '{"name": "n"}'))
    for bad in ('{"age": 1}', '{"name": 7}', '{"name": "n", "unknown": 1}'):
        equal(c.run("create", "-f", "-", stdin=(one % (checked, "Checked", bad)).replace('"x"', '"y"'), check=False).returncode, 1)
    c.apply(one % (kept, "Kept", '{"what": {"ever": 1}}'))
    c.kubectl("delete", "kepts", "x")
    c.kubectl("delete", "checkeds", "x")
    for group, plural in ((kept, "kepts"), (checked, "checkeds")):
        ask(c, 200, "DELETE", f"{CRDS}/{plural}.{group}")


if __name__ == "__main__":
    need_tools()
    with Cluster() as cluster:
        wait_for("the default ServiceAccount", lambda: cluster.request("GET", NS + "/serviceaccounts/default")[0] == 200)
        sys.exit(main([watches_begin_where_they_are_told, watches_see_one_order, lists_come_in_chunks, one_without_metadata_is_no_table,
                       every_group_has_its_versions, discovery_in_one_answer, the_version_is_known, unknown_and_double_fields,
                       unknown_metadata, unknown_metadata_of_custom_objects, custom_objects_are_held_to_their_schema,
                       definitions_have_a_status, defaults_for_requests_and_from_storage, dependents_go_or_stay_as_told,
                       replica_sets_go_or_stay_as_told, one_owner_is_enough, namespaces_change, pods_go_first, quotas_follow_what_is_there, quotas_have_scopes, accounts_live,
                       each_namespace_has_the_root, anyone_may_check_our_tokens, reviews_of_subjects, requests_for_certificates,
                       requests_of_pods_for_certificates, documents_follow_definitions, documents_say_what_is_taken], cluster))
