#!/usr/bin/env python3
"""Kinds of one's own with kubectl: installed, used, changed while they are used, in several versions, taken away; and
they are there again when the server is."""
import json
import sys
import threading

from lib import Cluster, Failed, contains, equal, main, need_tools, wait_for

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    selectableFields: [{jsonPath: .spec.cronSpec}]
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [cronSpec]
            properties:
              cronSpec: {type: string, description: When it runs., pattern: "^[0-9* ]+$"}
              replicas: {type: integer, minimum: 1, default: 1}
          status: {type: object, properties: {replicas: {type: integer}}}
"""
V2 = {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
    "spec": {"type": "object", "properties": {"cronSpec": {"type": "string"}, "note": {"type": "string"}}}}}}}
ONE = """
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: one}
spec: {cronSpec: "* 5"}
"""
MINIMUM = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/replicas/minimum"
PATH = "/apis/stable.example.com/v1/namespaces/default/crontabs"



def installed(c):
    c.apply(CRD)
    c.kubectl("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=30s")
    contains(c.kubectl("api-resources", "--api-group=stable.example.com"), "crontabs", "ct", "CronTab")
    contains(c.kubectl("explain", "crontab.spec"), "cronSpec", "When it runs.")


def used(c):
    c.apply(ONE)
    contains(c.kubectl("get", "ct"), "SPEC", "REPLICAS", "* 5")
    contains(c.kubectl("get", "all"), "crontab.stable.example.com/one")
    equal(c.get("crontab", "one")["spec"]["replicas"], 1)
    c.kubectl("scale", "--replicas=3", "crontab/one")
    equal(c.get("crontab", "one")["spec"]["replicas"], 3)
    equal(len(c.get("crontabs", "--field-selector=spec.cronSpec=* 5")["items"]), 1)
    equal(len(c.get("crontabs", "--field-selector=spec.cronSpec=9")["items"]), 0)
    contains(c.kubectl("patch", "ct", "one", "--subresource=status", "--type=merge", "-p", '{"status":{"replicas":3}}'), "patched")


def refused(c):
    for text, why in ((ONE.replace("* 5", "hourly"), "spec.cronSpec"), (ONE.replace('cronSpec: "* 5"', "replicas: 2"), "Required value"),
                      (ONE.replace("spec:", "spec: {bogus: 1}\nx:"), "unknown field")):
        r = c.run("apply", "-f", "-", stdin=text.replace("one", "two"), check=False)
        if r.returncode == 0:
            raise Failed(f"taken: {text}")
        contains(r.errors, why)


def changed_while_it_is_used(c):
    """Whoever reads meanwhile finds the object each time."""
    missing, stop = [], threading.Event()

    def read():
        context = c.context()
        while not stop.is_set():
            code = c.request("GET", PATH + "/one", context=context)[0]
            if code != 200:
                missing.append(code)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for i in range(1, 6):
            c.kubectl("patch", "crd", "crontabs.stable.example.com", "--type=json", "-p", json.dumps(
                [{"op": "replace", "path": MINIMUM, "value": -i}]))
    finally:
        stop.set()
        reader.join()
    equal(missing, [])


def several_versions(c):
    c.kubectl("patch", "crd", "crontabs.stable.example.com", "--type=json", "-p", json.dumps(
        [{"op": "add", "path": "/spec/versions/1", "value": V2}]))
    wait_for("v2", lambda: c.run("get", "crontabs.v2.stable.example.com", check=False).returncode == 0)
    equal(c.get("crontabs.v2.stable.example.com", "one")["apiVersion"], "stable.example.com/v2")
    equal(c.get("crd", "crontabs.stable.example.com")["status"]["storedVersions"], ["v1"])


def there_after_a_restart(c):
    equal(c.stop(), 0)
    c.start()
    equal(c.get("crontabs.v1.stable.example.com", "one")["spec"]["replicas"], 3)


def taken_away(c):
    c.kubectl("delete", "crd", "crontabs.stable.example.com", "--timeout=30s")
    equal(c.request("GET", PATH)[0], 404)
    c.apply(CRD)
    c.kubectl("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=30s")
    equal(c.request("GET", PATH)[1]["items"], [])


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def definition(plural, kind, *served, group="late.example.com", **version):
    """Of versions v1 (stored), v2, ...: served says which are."""
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind}, "versions": [
                {"name": f"v{i + 1}", "served": yes, "storage": i == 0, "schema": {"openAPIV3Schema": OPEN}, **version}
                for i, yes in enumerate(served)]}}


def late(plural, name=None, version="v1"):
    return f"/apis/late.example.com/{version}/namespaces/default/{plural}" + (f"/{name}" if name else "")


def make(c, plural, kind, *served, objects=(), **version):
    code, answer, _ = c.request("POST", CRDS, definition(plural, kind, *served, **version))
    equal(code, 201, str(answer))
    wait_for(plural, lambda: c.request("GET", late(plural))[0] == 200)
    for o in objects:
        code, answer, _ = c.request("POST", late(plural), {"apiVersion": "late.example.com/v1", "kind": kind, "metadata": o})
        equal(code, 201, str(answer))


def gone(c, plural):
    wait_for("the end of " + plural, lambda: c.request("GET", f"{CRDS}/{plural}.late.example.com")[0] == 404)


def what_nobody_serves_goes_with_its_definition(c):
    """Neither an unserved storage version nor the want of any served one keeps objects, or the definition, for ever."""
    for plural, kind, served in (("halves", "Half", (False, True)), ("nones", "None", (False, False))):
        make(c, plural, kind, True, True, objects=[{"name": "o"}])
        crd = c.request("GET", f"{CRDS}/{plural}.late.example.com")[1]
        for version, yes in zip(crd["spec"]["versions"], served):
            version["served"] = yes
        equal(c.request("PUT", f"{CRDS}/{plural}.late.example.com", crd)[0], 200)
        wait_for("v1 to go", lambda p=plural: c.request("GET", late(p))[0] == 404)
        equal(c.request("GET", late(plural, "o", "v2"))[0], 200 if served[1] else 404)
        equal(c.request("DELETE", f"{CRDS}/{plural}.late.example.com")[0], 200)
        gone(c, plural)
        make(c, plural, kind, True, True)
        equal(c.request("GET", late(plural))[1]["items"], [])
        equal(c.request("DELETE", f"{CRDS}/{plural}.late.example.com")[0], 200)
        gone(c, plural)


def finalizers_of_objects_keep_the_definition(c):
    make(c, "kepts", "Kept", True, objects=[{"name": "o", "finalizers": ["example.com/wait"]}, {"name": "p"}])
    equal(c.request("DELETE", CRDS + "/kepts.late.example.com")[0], 200)

    def terminating():
        found = {x["type"]: x for x in c.request("GET", CRDS + "/kepts.late.example.com")[1]["status"]["conditions"]}
        return found.get("Terminating", {}).get("reason") == "InstanceDeletionInProgress"
    wait_for("Terminating", terminating)
    wait_for("the other object to go", lambda: c.request("GET", late("kepts", "p"))[0] == 404)
    code, answer, _ = c.request("POST", late("kepts"), {"apiVersion": "late.example.com/v1", "kind": "Kept", "metadata": {"name": "q"}})
    equal((code, answer["message"]), (405, "create not allowed while custom resource definition is terminating"))
    for dry in "", "&dryRun=All":
        code, answer, _ = c.request("PATCH", late("kepts", "q") + "?fieldManager=x" + dry, json.dumps(
            {"apiVersion": "late.example.com/v1", "kind": "Kept", "metadata": {"name": "q"}}), {"Content-Type": "application/apply-patch+yaml"})
        equal((code, answer["message"]), (405, "create not allowed while custom resource definition is terminating"))
    code, answer, _ = c.request("PATCH", late("kepts", "o"), {"metadata": {"finalizers": None}}, {"Content-Type": "application/merge-patch+json"})
    equal(code, 200, str(answer))
    gone(c, "kepts")


def of_many_who_want_a_name_one_has_it(c):
    """All at once; the others hear why, and one of them has it when the first goes."""
    plurals = [f"race{i}s" for i in range(8)]

    def define(plural):
        equal(c.request("POST", CRDS, definition(plural, "Racer", True))[0], 201)
    threads = [threading.Thread(target=define, args=(p,)) for p in plurals]
    for t in threads:
        t.start()
    for t in threads:
        t.join()

    def settled():
        got = {}
        for p in plurals:
            conditions = c.request("GET", f"{CRDS}/{p}.late.example.com")[1].get("status", {}).get("conditions") or []
            got[p] = {x["type"]: (x["status"], x["reason"], x["message"]) for x in conditions}
        return got if all("NamesAccepted" in x for x in got.values()) else None
    got = wait_for("all of them to be settled", settled)
    (winner,) = [p for p in plurals if got[p]["NamesAccepted"][0] == "True"]
    for p in plurals:
        if p != winner:
            equal(got[p]["NamesAccepted"], ("False", "ListKindConflict", '"RacerList" is already in use'))
            equal((got[p]["Established"][0], c.request("GET", late(p))[0]), ("False", 404))
    equal(c.request("DELETE", f"{CRDS}/{winner}.late.example.com")[0], 200)
    gone(c, winner)
    wait_for("the next", lambda: sum(c.request("GET", late(p))[0] == 200 for p in plurals) == 1)
    for p in plurals:
        c.request("DELETE", f"{CRDS}/{p}.late.example.com")
        gone(c, p)


def published_everywhere_and_taken_back(c):
    make(c, "shows", "Show", True, schema={"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "description": "Words of its own.", "properties": {"size": {"type": "integer"}}}}}})
    v3 = c.request("GET", "/openapi/v3")[1]["paths"]["apis/late.example.com/v1"]["serverRelativeURL"]
    contains(json.dumps(c.request("GET", v3)[1]), "Words of its own.")
    contains(json.dumps(c.request("GET", "/openapi/v2")[1]["definitions"]["com.example.late.v1.Show"]), "Words of its own.")
    contains(c.request("GET", "/openapi/v2", headers={"Accept": "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"})[1], "Words of its own.")
    contains([g["name"] for g in c.request("GET", "/apis")[1]["groups"]], "late.example.com")
    contains(c.kubectl("explain", "show", "--output=plaintext-openapiv2"), "Words of its own.")  # which reads protobuf
    code, answer, _ = c.request("PATCH", CRDS + "/shows.late.example.com", [
        {"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/description", "value": "Other words."}],
        {"Content-Type": "application/json-patch+json"})
    equal(code, 200, str(answer))
    wait_for("another document", lambda: "Other words." in json.dumps(c.request("GET", "/openapi/v2")[1]["definitions"]["com.example.late.v1.Show"]))
    after = c.request("GET", "/openapi/v3")[1]["paths"]["apis/late.example.com/v1"]["serverRelativeURL"]
    equal((after != v3, "Other words." in json.dumps(c.request("GET", after)[1])), (True, True))
    equal(c.request("DELETE", CRDS + "/shows.late.example.com")[0], 200)
    gone(c, "shows")
    equal(["apis/late.example.com/v1" in c.request("GET", "/openapi/v3")[1]["paths"], c.request("GET", v3)[0],
           "com.example.late.v1.Show" in c.request("GET", "/openapi/v2")[1]["definitions"],
           "late.example.com" in [g["name"] for g in c.request("GET", "/apis")[1]["groups"]]], [False, 404, False, False])


def no_protobuf_of_custom_objects(c):
    make(c, "jsons", "Jason", True, objects=[{"name": "o"}])
    for path in (late("jsons"), late("jsons", "o")):
        code, text, _ = c.request("GET", path, headers={"Accept": "application/vnd.kubernetes.protobuf"})
        equal(code, 406)
        contains(str(text), "only the following media types are accepted: application/json, application/yaml")
        code, _, headers = c.request("GET", path, headers={"Accept": "application/vnd.kubernetes.protobuf, */*"})
        equal((code, headers["Content-Type"]), (200, "application/json"))
        # Tables and metadata alone are built-in types.
        code, _, headers = c.request("GET", path, headers={"Accept": "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata"
                                                           + ("List" if path.endswith("s") else "") + ";g=meta.k8s.io;v=v1"})
        equal((code, headers["Content-Type"].split(";")[0]), (200, "application/vnd.kubernetes.protobuf"))
    code, answer, _ = c.request("POST", late("jsons"), "k8s\0xx", {"Content-Type": "application/vnd.kubernetes.protobuf"})
    equal((code, answer["reason"]), (415, "UnsupportedMediaType"))
    equal(c.request("DELETE", CRDS + "/jsons.late.example.com")[0], 200)
    gone(c, "jsons")


def the_name_of_a_built_in_kind_takes_nothing_away(c):
    """Who may make a definition may not by that delete all definitions, or what else is stored under its name."""
    make(c, "prisoners", "Prisoner", True, objects=[{"name": "kept", "finalizers": ["example.com/kept"]}])
    before = [{o["metadata"]["name"] for o in c.request("GET", path)[1]["items"]} for path in (CRDS, SERVICES)]
    mine = {}
    for plural, group in (("customresourcedefinitions", "apiextensions.k8s.io"), ("apiservices", "apiregistration.k8s.io")):
        mine[f"{plural}.{group}"] = {"metadata": {"name": f"{plural}.{group}", "annotations": {
            "api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/1"}}, "spec": {
                "group": group, "scope": "Cluster", "names": {"plural": plural, "singular": plural[:-1], "kind": plural.capitalize()},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}}
    for again in (False, True):
        if not again:
            for body in mine.values():
                equal(c.request("POST", CRDS, body)[0], 201)
        make(c, f"witnesses{int(again)}", f"Witness{int(again)}", True)  # served: those before have been looked at
        names = [{o["metadata"]["name"] for o in c.request("GET", path)[1]["items"]} for path in (CRDS, SERVICES)]
        equal((before[0] - names[0], before[1] - names[1]), (set(), set()))
        equal(c.request("GET", late("prisoners", "kept"))[0], 200)
        if not again:
            c.stop()
            c.start()
    for name in mine:
        equal(c.request("DELETE", f"{CRDS}/{name}")[0], 200)
        wait_for("it to go", lambda name=name: c.request("GET", f"{CRDS}/{name}")[0] == 404)
    equal(c.request("GET", late("prisoners", "kept"))[0], 200)
    equal(c.request("PATCH", late("prisoners", "kept"), {"metadata": {"finalizers": None}}, {"Content-Type": "application/merge-patch+json"})[0], 200)
    for plural in ("prisoners", "witnesses0", "witnesses1"):
        equal(c.request("DELETE", f"{CRDS}/{plural}.late.example.com")[0], 200)
        gone(c, plural)


def null_is_a_value(c):
    """Where the definition says so, and in each way to write; elsewhere the default comes in its place, or nothing."""
    spec = {"type": "object", "properties": {
        "foo": {"type": "object", "nullable": True, "x-kubernetes-preserve-unknown-fields": True},
        "nu": {"type": "string", "nullable": True, "default": "nn"}, "bar": {"type": "string", "default": "bb"},
        "value": {"type": "object", "nullable": True, "required": ["value"], "properties": {"value": {"type": "integer"}}}}}
    crd = {"metadata": {"name": "nulls.late.example.com"}, "spec": {
        "group": "late.example.com", "scope": "Cluster", "names": {"plural": "nulls", "singular": "null", "kind": "Null"}, "versions": [{
            "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}]}}
    equal(c.request("POST", CRDS, crd)[0], 201)
    path = "/apis/late.example.com/v1/nulls"
    wait_for("the kind", lambda: c.request("GET", path)[0] == 200)
    ways = {"POST": lambda o: c.request("POST", path, o), "apply": lambda o: c.request(
        "PATCH", path + "/apply?fieldManager=x&force=true", json.dumps(o), {"Content-Type": "application/apply-patch+yaml"})}
    nulls = {"foo": None, "nu": None, "bar": None, "value": None}
    for name, write in ways.items():
        def body(spec, name=name):
            return {"apiVersion": "late.example.com/v1", "kind": "Null", "metadata": {"name": name.lower()}, "spec": spec}
        code, o, _ = write(body(nulls))
        equal((code, o.get("spec")), (201, {"foo": None, "nu": None, "bar": "bb", "value": None}), str(o))
        set_ = {"foo": "x", "nu": "y", "bar": "z", "value": {"value": 1}}
        set_["foo"] = {"any": 1}
        if name == "apply":
            equal(write(body(set_))[1]["spec"], set_)
        else:
            equal(c.request("PATCH", path + "/post", {"spec": set_}, {"Content-Type": "application/merge-patch+json"})[1]["spec"], set_)
    # What was null by apply and is given up comes by its default again.
    o = ways["apply"]({"apiVersion": "late.example.com/v1", "kind": "Null", "metadata": {"name": "apply"}, "spec": {"nu": None}})[1]
    equal(o["spec"], {"nu": None, "bar": "bb"}, str(o))
    equal(c.request("DELETE", CRDS + "/nulls.late.example.com")[0], 200)
    gone(c, "nulls")


RICH = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: riches.rich.example.com}
spec:
  group: rich.example.com
  scope: Namespaced
  names: {plural: riches, kind: Rich}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns:
    - {name: First, type: string, jsonPath: ".spec.parts[*].name"}
    - {name: Slice, type: string, jsonPath: ".spec.parts[1:2].name"}
    - {name: Last, type: string, jsonPath: ".spec.parts[-1:].name"}
    - {name: Ready, type: string, jsonPath: '.spec.conditions[?(@.type=="Ready")].status'}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer, default: 1}
              port: {x-kubernetes-int-or-string: true}
              any: {x-kubernetes-preserve-unknown-fields: true}
              template: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
              conditions: {type: array, items: {type: object, properties: {type: {type: string}, status: {type: string}}}}
              parts:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, image: {type: string}}}
"""
ONE_RICH = """
apiVersion: rich.example.com/v1
kind: Rich
metadata: {name: one}
spec:
  port: 80
  any: {a: [1, 2.5, null]}
  template: {apiVersion: v1, kind: Pod, metadata: {name: x, labels: {a: b}}, spec: {unknown: yes}}
  conditions: [{type: Other, status: "False"}, {type: Ready, status: "True"}]
  parts: [{name: a, image: ia}, {name: b, image: ib}, {name: c, image: ic}]
"""


def applied_again_and_again(c):
    c.apply(RICH)
    c.kubectl("wait", "--for=condition=Established", "crd/riches.rich.example.com", "--timeout=30s")
    equal(c.apply(ONE_RICH).split()[-1], "created")
    for _ in range(2):
        equal(c.apply(ONE_RICH).split()[-1], "unchanged")
    equal(c.run("diff", "-f", "-", stdin=ONE_RICH, check=False).returncode, 0)
    other = ONE_RICH.replace("image: ib", "image: other").replace("port: 80", "port: http")
    r = c.run("diff", "-f", "-", stdin=other, check=False)
    equal(r.returncode, 1)
    contains(r.text, "-  - image: ib", "+  - image: other", "-  port: 80", "+  port: http")
    equal(c.apply(other).split()[-1], "configured")
    got = c.get("rich", "one")
    equal(got["spec"]["parts"], [{"name": "a", "image": "ia"}, {"name": "b", "image": "other"}, {"name": "c", "image": "ic"}])
    equal((got["spec"]["size"], got["spec"]["template"]["spec"]), (1, {"unknown": True}))
    versions = []
    for _ in range(3):
        equal(c.apply(other, "--server-side").split()[-1], "serverside-applied")
        versions.append(c.get("rich", "one")["metadata"]["resourceVersion"])
    equal(versions[1:], versions[:1] * 2)
    equal(c.run("diff", "--server-side", "-f", "-", stdin=other, check=False).returncode, 0)
    equal(c.run("diff", "--server-side", "-f", "-", stdin=ONE_RICH, check=False).returncode, 1)
    row = c.kubectl("get", "riches", "--no-headers").split()
    equal(row, ["one", "a", "b", "c", "True"])
    contains(c.kubectl("explain", "rich.spec.template.metadata"), "labels", "ownerReferences")
    contains(c.kubectl("explain", "rich", "--recursive"), "parts", "-required-")
    c.kubectl("delete", "crd", "riches.rich.example.com", "--timeout=30s")


if __name__ == "__main__":
    need_tools()
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager"]) as cluster:
        sys.exit(main([
            what_nobody_serves_goes_with_its_definition, finalizers_of_objects_keep_the_definition, of_many_who_want_a_name_one_has_it,
            no_protobuf_of_custom_objects, null_is_a_value, the_name_of_a_built_in_kind_takes_nothing_away, installed, used, refused, changed_while_it_is_used, several_versions, there_after_a_restart,
            taken_away, published_everywhere_and_taken_back, applied_again_and_again], cluster))
