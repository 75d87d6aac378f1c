#!/usr/bin/env python3
"""Definitions of others, as they are: all of the corpus at once, and the test suites that OpenShift has of its own, with what those
expect of each object. What real servers answered is in test_oracle.py; here is what that leaves out: cases in which a
definition changes between two writes, and every definition beside every other.

The corpus is not part of the tree (CORPUS names another place); without it this is skipped."""
import functools
import glob
import os
import sys

from lib import ROOT, Cluster, Failed, main, wait_for

try:
    import yaml
except ImportError:
    yaml = None

CORPUS = os.environ.get("CORPUS") or os.path.join(os.path.dirname(ROOT), "shared", "corpus")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SUITES = "samples/openshift-config/testsuites"
JSON_PATCH = {"Content-Type": "application/json-patch+json"}

# What is not as the corpus says, and why: no entry is for what could be mended here.
UNFINISHED = "a part without group and version, which a kustomization adds"
REFUSED = {
    "apiextensions.k8s.io/v1beta1": "a version that was removed in v1.22",
    "crds/gatekeeper/_assignimages.yaml": UNFINISHED,
    "crds/gatekeeper/_assignmetadata.yaml": UNFINISHED,
    "crds/gatekeeper/_assigns.yaml": UNFINISHED,
    "crds/gatekeeper/_expansiontemplate.yaml": UNFINISHED,
    "crds/gatekeeper/_modifysets.yaml": UNFINISHED,
}
LOST = ()  # names that another definition has
NOT_AS_EXPECTED = {}


def documents(pattern):
    for path in sorted(glob.glob(os.path.join(CORPUS, pattern), recursive=True)):
        with open(path, encoding="utf-8") as f:
            try:
                for doc in yaml.load_all(f, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                    if isinstance(doc, dict):
                        yield os.path.relpath(path, CORPUS), doc
            except (yaml.YAMLError, ValueError):
                continue  # of an application, with templates in it


@functools.cache
def definitions(pattern):
    return [(path, one) for path, doc in documents(pattern) for one in (doc.get("items") or [doc] if doc.get("kind") == "List" else [doc])
            if one.get("kind") == "CustomResourceDefinition"]


def served(_, crd):
    """Where its objects are asked for, in the version that is stored."""
    (version,) = [v["name"] for v in crd["spec"]["versions"] if v["storage"]]
    return f"/apis/{crd['spec']['group']}/{version}", crd["spec"]["names"]["plural"], crd["spec"]["scope"] == "Namespaced"


def install(c, crd):
    """The answer's code and message. One that is there already is updated, as the last of a name counts."""
    name = crd["metadata"]["name"]
    crd = {**crd, "metadata": {k: v for k, v in crd["metadata"].items() if k in ("name", "labels", "annotations")}}
    code, answer, _ = c.request("POST", CRDS, crd)
    if code == 409:
        have = c.request("GET", f"{CRDS}/{name}")[1]
        crd["metadata"]["resourceVersion"] = have["metadata"]["resourceVersion"]
        code, answer, _ = c.request("PUT", f"{CRDS}/{name}", crd)
    return code, answer.get("message", "") if isinstance(answer, dict) else answer


def all_of_them_beside_each_other(c):
    """Each is taken, or refused as the table says, and all that were taken are served in the end."""
    wrong, kept, refused = [], {}, 0
    for path, crd in definitions("crds/**/*.yaml") + definitions("apps/**/*.yaml"):
        code, words = install(c, crd)
        named = REFUSED.get(path, REFUSED.get(crd["apiVersion"]))
        if code in (200, 201):
            kept[crd["metadata"]["name"]] = crd
        refused += code not in (200, 201)
        if (code in (200, 201)) == (named is not None):
            wrong.append(f"{path}: {crd['metadata']['name']}: {code} {words[:300]}")
    print(f"# {len(kept)} names of definitions, {refused} refused")
    if wrong or not kept:
        raise Failed("\n".join(wrong) or "no definitions")

    def settled():
        items = c.request("GET", CRDS)[1]["items"]
        states = {i["metadata"]["name"]: {x["type"]: x["status"] for x in i["status"].get("conditions") or []} for i in items}
        return states if all("NamesAccepted" in s for s in states.values()) else None
    states = wait_for("all of them to be settled", settled, 60)
    lost = [n for n in kept if states[n].get("Established") != "True"]
    if lost != list(LOST):
        raise Failed(f"not established: {lost}")
    for name, crd in kept.items():
        base, plural, _ = served(c, crd)
        stored = [v for v in crd["spec"]["versions"] if v["storage"]][0]
        if name not in lost and stored["served"]:
            wait_for(name, lambda b=base, p=plural: c.request("GET", f"{b}/{p}?limit=1")[0] == 200)


# --- the suites ---


class Suite:
    def __init__(self, c, path, doc):
        self.c, self.path, self.doc = c, path, doc
        found = [crd for file, crd in definitions("crds/openshift-config/*.yaml") if crd["metadata"]["name"] == doc["crdName"]
                 and ("-Default" in file or not any(w in file for w in ("-CustomNoUpgrade", "-TechPreview", "-DevPreview")))]
        if not found:
            raise Failed(f"{path}: no definition {doc['crdName']}")
        self.crd = found[0]
        self.name = self.crd["metadata"]["name"]
        self.base, self.plural, self.namespaced = served(c, self.crd)
        code, answer, _ = c.request("POST", CRDS, self.crd)
        if code == 409:
            answer = c.request("GET", f"{CRDS}/{self.name}")[1]
            code, answer, _ = c.request("PUT", f"{CRDS}/{self.name}", {**self.crd, "metadata": {
                **self.crd["metadata"], "resourceVersion": answer["metadata"]["resourceVersion"]}})
        if code not in (200, 201):
            raise Failed(f"{path}: {code} {answer}")
        wait_for(self.name, lambda: c.request("GET", f"{self.base}/{self.plural}")[0] == 200)
        self.spec = c.request("GET", f"{CRDS}/{self.name}")[1]["spec"]

    def document(self):
        """The address of its OpenAPI document, which changes when the definition that is in force does."""
        return self.c.request("GET", "/openapi/v3")[1]["paths"][self.base.lstrip("/")]["serverRelativeURL"]

    def change(self, patches):
        before = self.document()
        code, answer, _ = self.c.request("PATCH", f"{CRDS}/{self.name}", patches, JSON_PATCH)
        if code != 200:
            raise Failed(f"{self.path}: {code} {answer}")
        if answer["spec"] != self.spec or patches[0]["path"] == "/spec":
            wait_for("the changed definition", lambda: self.document() != before)

    def where(self, o, *sub):
        ns = "/namespaces/default" if self.namespaced else ""
        return "/".join([f"{self.base}{ns}/{self.plural}", *([o["metadata"]["name"]] if o else []), *sub])

    def put(self, text, o, *sub):
        """text with what o is called, at its place."""
        new = {**text, "metadata": {**(text.get("metadata") or {}), "name": o["metadata"]["name"],
                                    "resourceVersion": o["metadata"]["resourceVersion"]}}
        return self.c.request("PUT", self.where(o, *sub), new)

    def create(self, text):
        meta = {"name": "test", **(text.get("metadata") or {})}
        return self.c.request("POST", self.where(None), {**text, "metadata": meta})

    def case(self, case):
        """What is wrong, or None."""
        initial = yaml.safe_load(case["initial"])
        patches = case.get("initialCRDPatches")
        if patches:
            self.change(patches)
        code, o, _ = self.create(initial)
        if code == 201 and "status" in initial and "updated" in case:
            code, o, _ = self.put({**o, "status": initial["status"]}, o, "status")
        if patches:
            self.change([{"op": "replace", "path": "/spec", "value": self.spec}])
        if "updated" not in case:
            return self.judge(case, code, o, "expectedError")
        if code not in (200, 201):
            return f"the first write: {code} {o['message']}"
        updated = yaml.safe_load(case["updated"])
        code, now, _ = self.put(updated, o)
        if case.get("expectedError") or code != 200:
            return self.judge(case, code, now, "expectedError")
        if "status" in updated:
            code, now, _ = self.put({**now, "status": updated["status"]}, now, "status")
        return self.judge(case, code, now, "expectedStatusError")

    @staticmethod
    def judge(case, code, o, key):
        if case.get(key):
            if code < 400:
                return f"taken, where this was expected: {case[key]}"
            return None if case[key] in o["message"] else f"expected: {case[key]}\ngot: {o['message']}"
        if code >= 400:
            return f"{code} {o['message']}"
        want = {k: v for k, v in yaml.safe_load(case["expected"]).items() if k != "metadata"}
        got = {k: v for k, v in o.items() if k != "metadata"}
        if "status" not in want:
            got.pop("status", None)
        return None if want == got else f"expected: {want}\ngot: {got}"

    def run(self):
        wrong, n = [], 0
        for kind in ("onCreate", "onUpdate"):
            for case in self.doc["tests"].get(kind) or []:
                why = self.case(case)
                n += 1
                name = f"{self.name}: {case['name']}"
                if (why is None) == (name in NOT_AS_EXPECTED):
                    wrong.append(f"{name}: {why or 'as expected now: take it out of the table'}")
                for o in self.c.request("GET", self.where(None))[1]["items"]:
                    self.c.request("DELETE", self.where(o))
        return wrong, n


def suites_of_openshift(c):
    wrong, n = [], 0
    for path, doc in documents(SUITES + "/*.yaml"):
        bad, some = Suite(c, path, doc).run()
        wrong += bad
        n += some
    print(f"# {n} cases, {len(wrong)} not as expected, {len(NOT_AS_EXPECTED)} named")
    if wrong or not n:
        raise Failed("\n".join(wrong) or "no cases")


if __name__ == "__main__":
    if not yaml or not os.path.isdir(os.path.join(CORPUS, "crds")):
        print("# needs the corpus of others' definitions, which is not part of this repository, and Python's yaml")
        sys.exit(77)
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager"]) as cluster:
        status = main([suites_of_openshift, all_of_them_beside_each_other], cluster)
    sys.exit(status)
