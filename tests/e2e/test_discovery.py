"""Everything that discovery lists is there: each verb of each resource and subresource on a real object of its kind,
and kubectl's commands on it."""
import json
import sys

from lib import Cluster, Failed, contains, equal, main, need_tools

TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
ONCE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}
SELECTOR = {"matchLabels": {"a": "b"}}
CRD = {"group": "x.io", "scope": "Cluster", "names": {"plural": "ws", "kind": "W"}, "versions": [
    {"name": "v1", "served": False, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}  # it would be a kind more
PODS = {"resourceRules": [{"apiGroups": ["x.io"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["xs"]}]}
CLAIM = {"devices": {"requests": [{"name": "x", "exactly": {"deviceClassName": "x.io"}}]}}
REQUEST = ("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlISE1HNENBUUF3RERFS01BZ0dBMVVFQXd3QmVEQlpNQk1HQnlxR1NNNDlBZ0"
           "VHQ0NxR1NNNDlBd0VIQTBJQQpCTmw2S0toRExXWld0b2NESlJtTjVwWkhWbkN1Wno0dW9RZkFTcmtKUms0SFJLOWlXUzhyeDVRcUZJUmlnMzBV"
           "CkttRTZVUWRDQksyYVZ6TmxmdTlLbjZlZ0FEQUtCZ2dxaGtqT1BRUURBZ05KQURCR0FpRUEzUENnOE1RT1paMTQKT2pGQnZrQVVRcUE2QTN1eF"
           "k4YjZwVXV1R0lBcjNWd0NJUUNXYnM2eHZxeTlkQUtEUk81eGp0WlJKOWJYdDRIRQphQWxGa3FxSXZKejVjQT09Ci0tLS0tRU5EIENFUlRJRklD"
           "QVRFIFJFUVVFU1QtLS0tLQo=")
BUNDLE = "\n".join(["-----BEGIN CERTIFICATE-----",
                    "MIIBLjCB4aADAgECAhRfSqbjDHoGdPtJlOg4iUpJX2VqHDAFBgMrZXAwDDEKMAgG",
                    "A1UEAwwBeDAgFw0yNjExMzAwMzI4MzlaGA8yMTI2MTEwNjAzMjgzOVowDDEKMAgG",
                    "A1UEAwwBeDAqMAUGAytlcAMhAA2GGhXORp08e0NW41CQA8q+NBizPB6Cm/Tw0ty0",
                    "Bw9Xo1MwUTAdBgNVHQ4EFgQU3uizwF4wQILsu7Fr0K32Z1kvstUwHwYDVR0jBBgw",
                    "FoAU3uizwF4wQILsu7Fr0K32Z1kvstUwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXAD",
                    "QQBfBX+A3ZEBc6mBl5maTTd8z+o2KBEGxup6K33ryGInliACharQAXJ0TYUr3RPw",
                    "bESwq0qHKw8r2K/9EVf7Xy0J",
                    "-----END CERTIFICATE-----", ""])
REQUEST_DER = ("MIG6MGICAQAwADBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABOIvskxXpHzclkoQ4R+a0v2ZFpx6Lrk9MLME+uBk66iMG6bbiromWrLlfYXFtl"
               "n9ADVWHMMSU60tLTEbScGilJGgADAKBggqhkjOPQQDAgNIADBFAiEA8DpCMEqLoyKYVHlTzro/19GDbBv4StEcNkzHcWw/MnICIHxPh0WKNzuF"
               "3F1WDPQZ3y0ZLBN6frugM5GRET4bPzV0")
# resource: its members besides metadata, and a name where another than "x" is needed
OBJECTS = {
    "bindings": {}, "configmaps": {"data": {"a": "b"}}, "endpoints": {}, "limitranges": {"spec": {"limits": []}},
    "events": {"involvedObject": {"kind": "Pod", "name": "x", "namespace": "default"}, "metadata": {"namespace": "default"}},
    "namespaces": {}, "nodes": {}, "podtemplates": {"template": TEMPLATE}, "resourcequotas": {"spec": {"hard": {"pods": "9"}}},
    "persistentvolumeclaims": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
    "persistentvolumes": {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}},
    "pods": {"spec": {"containers": [{"name": "c", "image": "x"}]}}, "secrets": {}, "serviceaccounts": {},
    "replicationcontrollers": {"spec": {"replicas": 0, "selector": {"a": "b"}, "template": TEMPLATE}},
    "services": {"spec": {"ports": [{"port": 80}]}}, "controllerrevisions": {"revision": 1, "data": {"a": 1}},
    "daemonsets": {"spec": {"selector": SELECTOR, "template": TEMPLATE}},
    "deployments": {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
    "replicasets": {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}},
    "statefulsets": {"spec": {"replicas": 0, "serviceName": "x", "selector": SELECTOR, "template": TEMPLATE}},
    "jobs": {"spec": {"template": ONCE}},
    "cronjobs": {"spec": {"schedule": "@daily", "jobTemplate": {"spec": {"template": ONCE}}}},
    "horizontalpodautoscalers": {"spec": {"maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}},
    "leases": {"spec": {"holderIdentity": "x"}}, "endpointslices": {"addressType": "IPv4", "endpoints": []},
    "ingresses": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    "ingressclasses": {"spec": {"controller": "x.io/y"}}, "networkpolicies": {"spec": {"podSelector": {}}},
    "ipaddresses": {"name": "10.9.8.7", "spec": {"parentRef": {"resource": "services", "name": "x", "namespace": "default"}}},
    "servicecidrs": {"spec": {"cidrs": ["10.9.0.0/24"]}},
    "poddisruptionbudgets": {"spec": {"maxUnavailable": 1, "selector": SELECTOR}},
    "roles": {"rules": []}, "clusterroles": {"rules": []},
    "rolebindings": {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x"}},
    "clusterrolebindings": {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "x"}},
    "certificatesigningrequests": {"spec": {"request": REQUEST, "signerName": "x.io/y", "usages": ["client auth"]}},
    "priorityclasses": {"value": 1}, "csidrivers": {"spec": {}}, "csinodes": {"spec": {"drivers": []}},
    "csistoragecapacities": {"storageClassName": "x"}, "storageclasses": {"provisioner": "x.io/y"},
    "volumeattachments": {"spec": {"attacher": "x.io", "nodeName": "x", "source": {"persistentVolumeName": "x"}}},
    "volumeattributesclasses": {"driverName": "x.io", "parameters": {"a": "b"}},
    "customresourcedefinitions": {"name": "ws.x.io", "spec": CRD},
    "apiservices": {"name": "v1.x.io", "spec": {"group": "x.io", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15}},
    "mutatingwebhookconfigurations": {"webhooks": []}, "validatingwebhookconfigurations": {"webhooks": []},
    "validatingadmissionpolicies": {"spec": {"matchConstraints": PODS, "validations": [{"expression": "true"}]}},
    "validatingadmissionpolicybindings": {"spec": {"policyName": "x", "validationActions": ["Audit"]}},
    "mutatingadmissionpolicies": {"spec": {"matchConstraints": PODS, "reinvocationPolicy": "Never", "mutations": [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: \"test\", path: \"/kind\", value: object.kind}]"}}]}},
    "mutatingadmissionpolicybindings": {"spec": {"policyName": "y"}}, "runtimeclasses": {"handler": "x"},
    "flowschemas": {"spec": {"priorityLevelConfiguration": {"name": "x"}, "matchingPrecedence": 500}},
    "prioritylevelconfigurations": {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
    "storageversionmigrations": {"spec": {"resource": {"group": "apps", "resource": "deployments"}}},
    "deviceclasses": {"spec": {}}, "resourceclaims": {"spec": CLAIM}, "resourceclaimtemplates": {"spec": {"spec": CLAIM}},
    "resourceslices": {"spec": {"driver": "x.io", "pool": {"name": "x", "generation": 1, "resourceSliceCount": 1},
                                "nodeName": "x", "devices": [{"name": "x"}]}},
    "devicetaintrules": {"spec": {"taint": {"key": "x.io/y", "effect": "NoSchedule"}}},
    "clustertrustbundles": {"spec": {"trustBundle": BUNDLE}},
    "podcertificaterequests": {"spec": {
        "signerName": "x.io/y", "podName": "x", "podUID": "u", "serviceAccountName": "default", "serviceAccountUID": "s",
        "nodeName": "x", "nodeUID": "n", "stubPKCS10Request": REQUEST_DER}},
}
EVENTS = {"eventTime": "2026-01-01T00:00:00.000000Z", "action": "a", "reason": "r", "reportingController": "x.io/y",
          "reportingInstance": "i", "type": "Normal", "regarding": {"kind": "Pod", "name": "x", "namespace": "default"}}
REVIEWS = {"spec": {"token": "t", "user": "u", "nonResourceAttributes": {"path": "/", "verb": "get"}}}
METHODS = {"create": "POST", "get": "GET", "update": "PUT", "patch": "PATCH", "delete": "DELETE"}
MERGE = {"Content-Type": "application/merge-patch+json"}


def lists(c):
    """(path of the group version, resource) of everything listed, subresources behind their resource."""
    versions = ["/api/v1"]
    for g in c.request("GET", "/apis")[1]["groups"]:
        versions += [f"/apis/{v['groupVersion']}" for v in g["versions"]]
    for at in versions:
        status, answer, _ = c.request("GET", at)
        equal(status, 200, at)
        for r in sorted(answer["resources"], key=lambda r: r["name"]):
            yield at, r


def body_of(at, r):
    members = EVENTS if r["kind"] == "Event" and at != "/api/v1" else OBJECTS.get(r["name"])
    if members is None:
        return None
    members = json.loads(json.dumps(members))
    name = members.pop("name", "y" if at.startswith("/apis/events") else "x")
    meta = {"name": name, **members.pop("metadata", {})}
    return {"apiVersion": at.replace("/apis/", "").replace("/api/", ""), "kind": r["kind"], "metadata": meta, **members}


def where(at, r):
    return f"{at}/namespaces/default/{r['name']}" if r["namespaced"] else f"{at}/{r['name']}"


def objects(c):
    """Makes one object of every resource that can be created and read; name -> (path, resource, object)."""
    made = {}
    c.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    for at, r in lists(c):
        if "/" in r["name"] or not {"get", "create"} <= set(r["verbs"]):
            continue
        body = body_of(at, r)
        if body is None:
            raise Failed(f"{at} {r['name']} is listed, and this test has no object of it")
        status, answer, _ = c.request("POST", where(at, r), body)
        if status not in (201, 409):
            raise Failed(f"{where(at, r)}: {status} {answer}")
        made[at, r["name"]] = (f"{where(at, r)}/{body['metadata']['name']}", r, body)
    return made


PROBLEMS = []


def there(what, status, answer):
    """A 404 or 405 is an answer of the route, unless it names an object that a proxy or log was to reach."""
    if status in (404, 405):
        PROBLEMS.append(f"{what}: {status} {str(answer)[:300]}")


def no_problems():
    found, PROBLEMS[:] = PROBLEMS[:], []
    if found:
        raise Failed("\n".join(found))


def begun(c, path):
    """How a stream begins; it is left then."""
    conn = c.connect()
    try:
        conn.request("GET", path)
        return conn.getresponse().status, ""
    finally:
        conn.close()


def every_verb_is_there(c):
    made = objects(c)
    for at, r in lists(c):
        name, _, sub = r["name"].partition("/")
        if (at, name) in made:
            path, _, body = made[at, name]
        else:  # reviews and the like: created, never kept
            body = {"kind": r["kind"], "apiVersion": at[6:] if at != "/api/v1" else "v1", "metadata": {"name": "x"}, **REVIEWS}
            path = f"{at}/namespaces/default/{name}" if r["namespaced"] else f"{at}/{name}"
        listed = path.rsplit("/", 1)[0] if (at, name) in made else path
        for verb in r["verbs"]:
            what = f"{verb} {path} {sub}"
            if sub:
                if sub in ("proxy", "exec", "attach", "portforward", "log") and verb != "get":
                    continue
                if (at, name) in made:  # an eviction took it away
                    c.request("POST", path.rsplit("/", 1)[0], body)
                _, sent, _ = c.request("GET", path)
                answer = c.request(METHODS[verb], f"{path}/{sub}", None if verb in ("get", "delete") else {} if verb == "patch" else
                                   sent if r["kind"] == body["kind"] else {"metadata": {"name": "x"}}, MERGE if verb == "patch" else None)
            elif verb == "create":
                answer = c.request("POST", f"{path.rsplit('/', 1)[0] if (at, name) in made else path}?dryRun=All", body)
            elif verb in ("list", "deletecollection"):
                answer = c.request("GET" if verb == "list" else "DELETE", listed + "?labelSelector=no=one")
            elif verb == "watch":
                answer = begun(c, listed + "?watch=true")
            else:
                sent = c.request("GET", path)[1] if verb == "update" else {} if verb == "patch" else None
                answer = c.request(METHODS[verb], path + "?dryRun=All", sent, MERGE if verb == "patch" else None)
            there(what, *answer[:2])
    no_problems()


def what_is_not_listed_is_not_there(c):
    for (at, name), (path, r, _) in objects(c).items():
        for verb in ("update", "patch", "delete"):
            if verb not in r["verbs"]:
                equal(c.request(METHODS[verb], path, {}, MERGE if verb == "patch" else None)[0], 405, f"{verb} {path}")
        equal(c.request("POST", path, {})[0], 405, f"create {path}")
        equal(c.request("GET", f"{path}/nothing")[0], 404, f"{at} {name}/nothing")


def said_wrong(out):
    text = out.text + out.errors
    return out.returncode or not out.text or "panic" in text or "%!" in text or "no value" in text


def kubectl_on_every_kind(c):
    """One kubectl for all kinds, as most of the time goes into its start; where that goes wrong one for each, which says whose fault it is."""
    contains(c.kubectl("api-resources", "-o", "wide"), "VERBS", "CATEGORIES")
    kinds = []
    for (at, name), (_, _, body) in objects(c).items():
        group = at.split("/")[2] if at.startswith("/apis/") else ""
        kinds.append((name, body["apiVersion"], f"{name}.{group}" if group else name, body["metadata"]["name"]))
    everything = [f"{kind}/{one}" for _, _, kind, one in kinds]
    for verb, *more in (["get", "-o", "wide"], ["get", "-o", "yaml"], ["get", "-o", "jsonpath={..metadata.name}"], ["describe"],
                        ["label", "l=1", "--overwrite"], ["annotate", "l=1", "--overwrite"], ["patch", "--type=merge", "-p", "{}"]):
        out = c.run(verb, *everything, *more, check=False)
        if not said_wrong(out) and all(one in out.text for _, _, _, one in kinds):
            continue
        PROBLEMS.append(f"kubectl {verb} of all kinds {' '.join(more)}: {out.returncode} {(out.text + out.errors)[-600:]}")
        for what in everything:
            out = c.run(verb, what, *more, check=False)
            if said_wrong(out) or what.split("/")[1] not in out.text:
                PROBLEMS.append(f"kubectl {verb} {what} {' '.join(more)}: {out.returncode} {(out.text + out.errors)[-600:]}")
    for name, version, _, _ in kinds:
        out = c.run("explain", name, "--api-version", version, check=False)
        if said_wrong(out):
            PROBLEMS.append(f"kubectl explain {name} of {version}: {out.returncode} {(out.text + out.errors)[-600:]}")
    no_problems()


if __name__ == "__main__":
    need_tools()
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager"]) as cluster:
        sys.exit(main([every_verb_is_there, what_is_not_listed_is_not_there, kubectl_on_every_kind], cluster))
