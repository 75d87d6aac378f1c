#!/usr/bin/env python3
"""The conformance behaviours of admission webhooks, of conversion webhooks and of admission policies, with the steps of upstream's
suite; what webhooks may do to us is told by test_webhooks.py. tests/fields/api.tsv names them."""
import sys
import tempfile
import threading

import lib
from hooks import Hooks
from lib import Cluster, contains, equal, hook, main, need_tools, rule, wait_for
from operations import MERGE, ask

GROUP = "/apis/admissionregistration.k8s.io/v1/"
VALIDATING, MUTATING = GROUP + "validatingwebhookconfigurations", GROUP + "mutatingwebhookconfigurations"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NS = "/api/v1/namespaces/"
JSON_PATCH = {"Content-Type": "application/json-patch+json"}
MARK = {"matchLabels": {"e2e": "yes"}}


class Space(lib.Space):
    """A namespace whose objects the webhooks of a test are asked about."""

    def __init__(self, c):
        super().__init__(c, e2e="yes")
        wait_for("its account", lambda: c.request("GET", f"{self.path}/serviceaccounts/default")[0] == 200)

    def map(self, name, code=201, **more):
        return ask(self.c, code, "POST", self.maps, {"metadata": {"name": name}, **more})

    def pod(self, name, code=201, **spec):
        return ask(self.c, code, "POST", self.pods, {"metadata": {"name": name}, "spec": {
            "containers": [{"name": "c", "image": "example.com/none:1"}], **spec}})


def configure(c, kind, name, *hooks, code=201, labels=None):
    return ask(c, code, "POST", kind, {"metadata": {"name": name, "labels": labels or {}}, "webhooks": list(hooks)})


def counting(hooks, path, key):
    """What the webhook at path answers: it adds that it was there."""
    hooks.answers[path] = [{"op": "add", "path": "/data/" + key, "value": "yes"}]


# --- webhooks ---

def collections_of_webhooks(c, hooks):
    """listing validating webhooks should work, listing mutating webhooks should work"""
    s = Space(c)
    for kind, path in ((VALIDATING, "/deny/list"), (MUTATING, "/patch/list")):
        counting(hooks, path, "listed")
        for i in range(10):
            configure(c, kind, f"listed-{i}", hook(hooks, path, namespaceSelector=s.selector()), labels={"listed": s.name})
        select = f"{kind}?labelSelector=listed%3D{s.name}"
        equal(len(ask(c, 200, "GET", select)["items"]), 10)
        if kind == VALIDATING:
            s.map("denied", 403)
        else:
            equal(s.map("changed", data={"a": "b"})["data"]["listed"], "yes")
        ask(c, 200, "DELETE", select)
        equal(ask(c, 200, "GET", select)["items"], [])
        wait_for("them to be forgotten", lambda: c.request("POST", s.maps, {"metadata": {"generateName": "free-"}})[0] == 201)


def webhooks_change(c, hooks):
    """patching/updating a validating webhook, a mutating webhook should work"""
    s = Space(c)
    counting(hooks, "/patch/changed", "changed")
    configure(c, VALIDATING, "changes", hook(hooks, "/deny/changed", namespaceSelector=s.selector()))
    s.map("m", 403)
    at, o = VALIDATING + "/changes", None
    o = ask(c, 200, "GET", at)
    o["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    ask(c, 200, "PUT", at, o)
    s.map("m")
    ask(c, 200, "PATCH", at, [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}], JSON_PATCH)
    s.map("n", 403)
    ask(c, 200, "DELETE", at)
    configure(c, MUTATING, "changes", hook(hooks, "/patch/changed", namespaceSelector=s.selector()))
    at = MUTATING + "/changes"
    o = ask(c, 200, "GET", at)
    o["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
    ask(c, 200, "PUT", at, o)
    equal(s.map("o", data={"a": "b"})["data"], {"a": "b"})
    ask(c, 200, "PATCH", at, [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}], JSON_PATCH)
    equal(s.map("p", data={"a": "b"})["data"], {"a": "b", "changed": "yes"})
    ask(c, 200, "DELETE", at)


def they_deny(c, hooks):
    """should be able to deny pod and configmap creation, deny attaching pod, deny crd creation"""
    s = Space(c)
    of = s.selector()
    configure(c, VALIDATING, "denies", hook(hooks, "/deny/pod", rules=[rule("pods")], namespaceSelector=of),
              hook(hooks, "/deny/map", "map.example.com", rules=[rule(operations=("CREATE", "UPDATE"))], namespaceSelector=of, objectSelector={
                  "matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]}),
              hook(hooks, "/deny/attach", "attach.example.com", rules=[rule("pods/attach", ("CONNECT",))], namespaceSelector=of),
              hook(hooks, "/slow/pod", "slow.example.com", rules=[rule("pods")], namespaceSelector={"matchLabels": {"slow": s.name}}, timeoutSeconds=1))
    contains(s.pod("p", 403)["message"], 'admission webhook "hook.example.com" denied the request')
    s.map("m", 403)
    ask(c, 201, "POST", s.maps, {"metadata": {"name": "allowed", "labels": {"skip": "yes"}}})
    ask(c, 403, "PATCH", s.maps + "/allowed", {"metadata": {"labels": {"skip": None}}}, MERGE)
    ask(c, 403, "PUT", s.maps + "/allowed", {"metadata": {"name": "allowed"}, "data": {"a": "b"}})
    ask(c, 403, "POST", s.pods + "/any/attach?stdout=true")
    # In a namespace that the webhooks do not select all of that is allowed.
    other = Space(c)
    other.map("m")
    other.pod("p")
    ask(c, 200, "DELETE", VALIDATING + "/denies")

    configure(c, VALIDATING, "denies-crds", hook(hooks, "/deny/crd", rules=[rule("customresourcedefinitions", group="apiextensions.k8s.io")],
                                                 objectSelector=MARK))
    crd = definition("denied", versions=("v1",))
    crd["metadata"]["labels"] = {"e2e": "yes"}
    ask(c, 403, "POST", CRDS, crd)
    ask(c, 200, "DELETE", VALIDATING + "/denies-crds")


def they_fail_closed(c, hooks):
    """should unconditionally reject operations on fail closed webhook"""
    s = Space(c)
    wrong = hook(hooks, "/allow/x", failurePolicy="Fail", namespaceSelector=s.selector())
    wrong["clientConfig"]["caBundle"] = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="
    nobody = hook(hooks, "/allow/x", failurePolicy="Fail", namespaceSelector=s.selector())
    nobody["clientConfig"] = {"service": {"namespace": s.name, "name": "nobody", "path": "/x"}}
    for closed in (wrong, nobody):
        configure(c, VALIDATING, "closed", closed)
        contains(s.map("m", 500)["message"], 'failed calling webhook "hook.example.com"')
        ask(c, 200, "DELETE", VALIDATING + "/closed")


def they_have_their_time(c, hooks):
    """should honor timeout"""
    s = Space(c)
    for timeout, policy, code in ((1, "Fail", 500), (1, "Ignore", 201)):
        configure(c, VALIDATING, "slow", hook(hooks, "/slow/time", namespaceSelector=s.selector(), timeoutSeconds=timeout, failurePolicy=policy))
        o = s.map("m", code)
        if code == 500:
            contains(o["message"], "context deadline exceeded")
        ask(c, 200, "DELETE", VALIDATING + "/slow")
    configure(c, VALIDATING, "slow", hook(hooks, "/slow/later", namespaceSelector=s.selector(), timeoutSeconds=30))
    later = threading.Thread(target=s.map, args=("later",))
    later.start()
    wait_for("the call", lambda: hooks.calls["/slow/later"])
    equal(c.request("GET", s.maps + "/later")[0], 404)
    hooks.go.set()
    later.join()
    equal(c.request("GET", s.maps + "/later")[0], 200)
    without = hook(hooks, "/allow/x", namespaceSelector=s.selector())
    del without["timeoutSeconds"]
    ask(c, 200, "DELETE", VALIDATING + "/slow")
    equal(configure(c, VALIDATING, "slow", without)["webhooks"][0]["timeoutSeconds"], 10)
    ask(c, 200, "DELETE", VALIDATING + "/slow")


def they_mutate(c, hooks):
    """should mutate configmap, should mutate pod and apply defaults after mutation"""
    s = Space(c)
    hooks.answers["/patch/one"] = [{"op": "add", "path": "/data/stage-1", "value": "yes"}]
    hooks.answers["/patch/two"] = [{"op": "add", "path": "/data/stage-2", "value": "yes"}]
    hooks.answers["/patch/pod"] = [{"op": "add", "path": "/spec/initContainers", "value": [{"name": "added", "image": "example.com/added:1"}]}]
    configure(c, MUTATING, "mutates", hook(hooks, "/patch/one", namespaceSelector=s.selector()),
              hook(hooks, "/patch/two", "two.example.com", namespaceSelector=s.selector()),
              hook(hooks, "/patch/pod", "pod.example.com", rules=[rule("pods")], namespaceSelector=s.selector()))
    equal(s.map("m", data={"stage-0": "yes"})["data"], {"stage-0": "yes", "stage-1": "yes", "stage-2": "yes"})
    equal([r["object"]["data"] for r in hooks.calls["/patch/two"]], [{"stage-0": "yes", "stage-1": "yes"}])
    added = s.pod("p")["spec"]["initContainers"][0]
    equal((added["terminationMessagePath"], added["terminationMessagePolicy"], added["imagePullPolicy"]), ("/dev/termination-log", "File", "IfNotPresent"))
    ask(c, 200, "DELETE", MUTATING + "/mutates")


def never_of_their_own_configurations(c, hooks):
    """should not be able to mutate or prevent deletion of webhook configuration objects"""
    every = [rule(k, ("*",), "admissionregistration.k8s.io") for k in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")]
    hooks.answers["/patch/own"] = [{"op": "add", "path": "/metadata/labels", "value": {"touched": "yes"}}]
    configure(c, VALIDATING, "own-deny", hook(hooks, "/deny/own", rules=every))
    configure(c, MUTATING, "own-change", hook(hooks, "/patch/own", rules=every))
    for kind in (VALIDATING, MUTATING):
        o = configure(c, kind, "own-other", hook(hooks, "/allow/x", objectSelector=MARK))
        equal(o["metadata"].get("labels"), None)
        ask(c, 200, "DELETE", kind + "/own-other")
    ask(c, 200, "DELETE", VALIDATING + "/own-deny")
    ask(c, 200, "DELETE", MUTATING + "/own-change")
    equal((hooks.calls["/deny/own"], hooks.calls["/patch/own"]), ([], []))


def match_conditions(c, hooks):
    """should be able to create and update validating and mutating webhook configurations with match conditions, reject those with invalid
    ones, mutate everything except 'skip-me' configmaps"""
    s = Space(c)
    conditions = [{"name": "not-skipped", "expression": "object.metadata.name != 'skip-me'"}]
    counting(hooks, "/patch/match", "matched")
    for kind, path in ((VALIDATING, "/allow/match"), (MUTATING, "/patch/match")):
        o = configure(c, kind, "matches", hook(hooks, path, namespaceSelector=s.selector(), matchConditions=conditions))
        equal(o["webhooks"][0]["matchConditions"], conditions)
        changed = [{"name": "renamed", "expression": "object.metadata.name != 'skip-me' && true"}]
        o["webhooks"][0]["matchConditions"] = changed
        ask(c, 200, "PUT", f"{kind}/matches", o)
        equal(ask(c, 200, "GET", f"{kind}/matches")["webhooks"][0]["matchConditions"], changed)
        o = configure(c, kind, "broken", hook(hooks, path, matchConditions=[{"name": "n", "expression": "... [}"}]), code=422)
        contains(o["message"], "compilation failed")
    equal(s.map("skip-me", data={"a": "b"})["data"], {"a": "b"})
    equal(s.map("changed", data={"a": "b"})["data"], {"a": "b", "matched": "yes"})
    equal([r["name"] for r in hooks.calls["/allow/match"]], ["changed"])
    for kind in (VALIDATING, MUTATING):
        ask(c, 200, "DELETE", f"{kind}/matches")


# --- kinds of one's own ---

def definition(name, versions=("v1",), stored="v1", schema=None, **more):
    group = name + ".e2e.example.com"
    schema = schema or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"metadata": {"name": f"{name}s.{group}"}, "spec": {
        "group": group, "scope": "Namespaced", "names": {"plural": name + "s", "singular": name, "kind": name.capitalize()},
        "versions": [{"name": v, "served": True, "storage": v == stored, "schema": {"openAPIV3Schema": schema}} for v in versions], **more}}


def defined(c, crd):
    """The path of its objects, by version."""
    ask(c, 201, "POST", CRDS, crd)
    spec = crd["spec"]

    def path(version, space="default"):
        return f"/apis/{spec['group']}/{version}/namespaces/{space}/{spec['names']['plural']}"
    for v in spec["versions"]:
        wait_for("the kind", lambda v=v: c.request("GET", path(v["name"]))[0] == 200)
    return path


def custom_objects_are_mutated(c, hooks):
    """should mutate custom resource, with pruning, with different stored version"""
    hooks.answers["/patch/custom"] = [{"op": "add", "path": "/data/mutation-stage-1", "value": "yes"},
                                      {"op": "add", "path": "/data/mutation-stage-2", "value": "yes"}]
    strings = {"type": "object", "properties": {"data": {"type": "object", "properties": {
        "mutation-start": {"type": "string"}, "mutation-stage-1": {"type": "string"}}}}}
    for name, schema, kept in (("mutated", None, ["mutation-stage-1", "mutation-stage-2", "mutation-start"]),
                               ("pruned", strings, ["mutation-stage-1", "mutation-start"])):
        crd = definition(name, schema=schema)
        path = defined(c, crd)
        configure(c, MUTATING, name, hook(hooks, "/patch/custom", rules=[rule(name + "s", group=crd["spec"]["group"])]))
        o = ask(c, 201, "POST", path("v1"), {"apiVersion": crd["spec"]["group"] + "/v1", "kind": name.capitalize(), "metadata": {"name": "o"},
                                             "data": {"mutation-start": "yes"}})
        equal(sorted(o["data"]), kept)
        ask(c, 200, "DELETE", MUTATING + "/" + name)
        ask(c, 200, "DELETE", CRDS + "/" + crd["metadata"]["name"])

    crd = definition("moved", ("v1", "v2"))
    path, group = defined(c, crd), crd["spec"]["group"]
    configure(c, MUTATING, "moved", hook(hooks, "/patch/custom", rules=[rule("moveds", ("*",), group, "*")]))
    o = ask(c, 201, "POST", path("v1"), {"apiVersion": group + "/v1", "kind": "Moved", "metadata": {"name": "o"}, "data": {"mutation-start": "yes"}})
    equal(len(o["data"]), 3)
    ask(c, 200, "PATCH", f"{CRDS}/{crd['metadata']['name']}", [{"op": "replace", "path": "/spec/versions/0/storage", "value": False},
                                                               {"op": "replace", "path": "/spec/versions/1/storage", "value": True}], JSON_PATCH)
    wait_for("the other to be stored", lambda: ask(c, 200, "GET", f"{CRDS}/{crd['metadata']['name']}")["status"]["storedVersions"] == ["v1", "v2"])
    o = ask(c, 200, "PATCH", path("v1") + "/o", {"data": {"dummy": "test"}}, MERGE)
    equal(sorted(o["data"]), ["dummy", "mutation-stage-1", "mutation-stage-2", "mutation-start"])
    ask(c, 200, "DELETE", MUTATING + "/moved")
    ask(c, 200, "DELETE", f"{CRDS}/{crd['metadata']['name']}")


def lists_of_two_versions_are_converted(c, hooks):
    """should be able to convert from CR v1 to CR v2, a non homogeneous list of CRs"""
    conversion = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": {
        "url": hooks.url("/convert/list"), "caBundle": hooks.ca}}}
    crd = definition("turned", ("v1", "v2"), conversion=conversion)
    path, group = defined(c, crd), crd["spec"]["group"]
    ask(c, 201, "POST", path("v1"), {"apiVersion": group + "/v1", "kind": "Turned", "metadata": {"name": "one"}, "spec": {"old": "1"}})
    equal(ask(c, 200, "GET", path("v2") + "/one")["spec"], {"fresh": "1"})
    ask(c, 200, "PATCH", f"{CRDS}/{crd['metadata']['name']}", [{"op": "replace", "path": "/spec/versions/0/storage", "value": False},
                                                               {"op": "replace", "path": "/spec/versions/1/storage", "value": True}], JSON_PATCH)
    wait_for("the other to be stored", lambda: "v2" in ask(c, 200, "GET", f"{CRDS}/{crd['metadata']['name']}")["status"]["storedVersions"])
    ask(c, 201, "POST", path("v1"), {"apiVersion": group + "/v1", "kind": "Turned", "metadata": {"name": "two"}, "spec": {"old": "2"}})
    for v, field in (("v1", "old"), ("v2", "fresh")):
        o = ask(c, 200, "GET", path(v))
        equal([(i["apiVersion"], i["spec"]) for i in o["items"]], [(f"{group}/{v}", {field: n}) for n in ("1", "2")])
    ask(c, 200, "DELETE", f"{CRDS}/{crd['metadata']['name']}")


# --- policies ---

def bind(c, name, judge=True):
    kind = "validatingadmissionpolicybindings" if judge else "mutatingadmissionpolicybindings"
    ask(c, 201, "POST", GROUP + kind, {"metadata": {"name": name}, "spec": {
        "policyName": name, "matchResources": {"namespaceSelector": {"matchLabels": {"space": name}}},
        **({"validationActions": ["Deny"]} if judge else {})}})


def deployment(replicas, **meta):
    template = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    return {"metadata": {"name": "d", **meta}, "spec": {"replicas": replicas, "paused": True, "selector": {"matchLabels": {"app": "x"}},
                                                        "template": template}}


def policies_judge(c, _):
    """ValidatingAdmissionPolicy should validate against a Deployment, allow expressions to refer variables"""
    s = Space(c)
    constraints = {"resourceRules": [rule("deployments", group="apps")]}
    ask(c, 201, "POST", GROUP + "validatingadmissionpolicies", {"metadata": {"name": s.name}, "spec": {
        "matchConstraints": constraints, "failurePolicy": "Fail",
        "variables": [{"name": "replicas", "expression": "object.spec.replicas"},
                      {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"}],
        "validations": [{"expression": "variables.replicas > 1"}, {"expression": "variables.oddReplicas"}]}})
    bind(c, s.name)
    path = f"/apis/apps/v1/namespaces/{s.name}/deployments"
    wait_for("the policy", lambda: c.request("POST", path + "?dryRun=All", deployment(1))[0] == 422)
    contains(ask(c, 422, "POST", path, deployment(1))["message"], "failed expression: variables.replicas > 1")
    contains(ask(c, 422, "POST", path, deployment(2))["message"], "failed expression: variables.oddReplicas")
    ask(c, 201, "POST", path, deployment(3))
    for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
        ask(c, 200, "DELETE", f"{GROUP}{kind}/{s.name}")


def policies_mutate(c, _):
    """MutatingAdmissionPolicy should mutate a Deployment, mutate a Deployment with annotations"""
    s = Space(c)
    constraints = {"resourceRules": [rule("deployments", group="apps")]}
    ask(c, 201, "POST", GROUP + "mutatingadmissionpolicies", {"metadata": {"name": s.name}, "spec": {
        "matchConstraints": constraints, "reinvocationPolicy": "Never", "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: object.spec.replicas + 100}}"}},
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
                "Object{metadata: Object.metadata{annotations: Object.metadata.annotations{my_annotation: 'mutated'}}}"
                .replace("Object.metadata.annotations{my_annotation: 'mutated'}", "{'my-annotation': 'mutated'}")}}]}})
    bind(c, s.name, judge=False)
    path = f"/apis/apps/v1/namespaces/{s.name}/deployments"
    wait_for("the policy", lambda: ask(c, 201, "POST", path + "?dryRun=All", deployment(1))["spec"]["replicas"] == 101)
    o = ask(c, 201, "POST", path, deployment(2, annotations={"mine": "kept"}))
    equal((o["spec"]["replicas"], o["metadata"]["annotations"]), (102, {"mine": "kept", "my-annotation": "mutated"}))
    for kind in ("mutatingadmissionpolicybindings", "mutatingadmissionpolicies"):
        ask(c, 200, "DELETE", f"{GROUP}{kind}/{s.name}")


def policies_are_type_checked(c, _):
    """ValidatingAdmissionPolicy should type check validation expressions, and those of a CRD"""
    crd = definition("checked", schema={"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "replicas": {"type": "integer"}}}}})
    defined(c, crd)
    at = GROUP + "validatingadmissionpolicies"
    for name, wanted, of in (("typed", "undefined field 'replica'", rule("deployments", group="apps")),
                             ("typed-crd", "undefined field 'replica'", rule("checkeds", group=crd["spec"]["group"]))):
        ask(c, 201, "POST", at, {"metadata": {"name": name}, "spec": {"matchConstraints": {"resourceRules": [of]}, "validations": [
            {"expression": "object.spec.replicas > 1"}, {"expression": "object.spec.replica > 1"}]}})

        def checked(name=name):
            status = ask(c, 200, "GET", f"{at}/{name}").get("status") or {}
            return status if status.get("observedGeneration") and "typeChecking" in status else None
        warnings = wait_for("a status", checked)["typeChecking"]["expressionWarnings"]
        equal([w["fieldRef"] for w in warnings], ["spec.validations[1].expression"])
        contains(warnings[0]["warning"], wanted)
        ask(c, 200, "DELETE", f"{at}/{name}")
    ask(c, 200, "DELETE", f"{CRDS}/{crd['metadata']['name']}")


def run():
    with tempfile.TemporaryDirectory() as folder:
        hooks = Hooks(folder)
        try:
            with Cluster() as c:
                wait_for("the namespace", lambda: c.request("GET", NS + "default")[0] == 200)
                return main([collections_of_webhooks, webhooks_change, they_deny, they_fail_closed, they_have_their_time, they_mutate,
                             never_of_their_own_configurations, match_conditions, custom_objects_are_mutated,
                             lists_of_two_versions_are_converted, policies_judge, policies_mutate, policies_are_type_checked], c, hooks)
        finally:
            hooks.close()


if __name__ == "__main__":
    need_tools()
    sys.exit(run())
