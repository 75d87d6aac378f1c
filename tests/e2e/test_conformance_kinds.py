#!/usr/bin/env python3
"""The conformance behaviours that ask of a kind no more than that it is there with all its verbs: made, read, listed here and
everywhere, watched, patched, updated, its status written, deleted one by one and by selector. tests/fields/api.tsv names them."""
import sys

from lib import Cluster, equal, main, need_tools, wait_for
from operations import MERGE, ask, operations, served, update

NS = "namespaces/default/"
CONTAINER = {"name": "c", "image": "example.com/none:1"}
TEMPLATE = {"metadata": {"labels": {"set": "conformance"}}, "spec": {"containers": [CONTAINER]}}
SELECTED = {"selector": {"matchLabels": {"set": "conformance"}}, "template": TEMPLATE}
WEB = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}
LEVEL = {"type": "Limited", "limited": {"nominalConcurrencyShares": 2, "limitResponse": {"type": "Reject"}}}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
TIME = "2026-01-01T00:00:00Z"


def condition(**more):
    return {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "set by a test", "lastTransitionTime": TIME, **more}


def kind(c, group, resource, make, namespaced=False, status=None, version="v1"):
    """As operations(), after what discovery says of it."""
    at = f"/apis/{group}/{version}" if group else f"/api/{version}"
    if group:
        served(c, group, version, resource, status is not None)
    operations(c, f"{at}/{NS if namespaced else ''}{resource}", make, f"{at}/{resource}" if namespaced else None, status or None)


def of_flow_control(c):
    group = "flowcontrol.apiserver.k8s.io"
    rule = {"subjects": [{"kind": "User", "user": {"name": "example-e2e-non-existent-user"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/none"]}]}
    kind(c, group, "flowschemas", lambda _: {"spec": {"matchingPrecedence": 9900, "priorityLevelConfiguration": {"name": "global-default"},
                                                      "rules": [rule], "distinguisherMethod": {"type": "ByUser"}}},
         status={})
    kind(c, group, "prioritylevelconfigurations", lambda _: {"spec": LEVEL}, status={})
    for resource, spec in (("flowschemas", {"matchingPrecedence": 9900, "priorityLevelConfiguration": {"name": "global-default"}}),
                           ("prioritylevelconfigurations", LEVEL)):
        at = f"/apis/{group}/v1/{resource}"
        ask(c, 201, "POST", at, {"metadata": {"name": "st"}, "spec": spec})
        o = ask(c, 200, "PATCH", at + "/st/status", {"status": {"conditions": [condition()]}},
                STRATEGIC)
        equal("StatusUpdate" in [x["type"] for x in o["status"]["conditions"]], True)
        ask(c, 200, "DELETE", at + "/st")


def of_policies(c):
    group = "admissionregistration.k8s.io"
    judge = {"matchConstraints": {"resourceRules": [WEB]}, "validations": [{"expression": "object.spec.replicas <= 100"}]}
    change = {"matchConstraints": {"resourceRules": [WEB]}, "reinvocationPolicy": "Never", "mutations": [{
        "patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: 2}}"}}]}
    kind(c, group, "validatingadmissionpolicies", lambda _: {"spec": judge}, status={})
    kind(c, group, "validatingadmissionpolicybindings", lambda _: {"spec": {"policyName": "none", "validationActions": ["Deny"]}})
    kind(c, group, "mutatingadmissionpolicies", lambda _: {"spec": change})
    kind(c, group, "mutatingadmissionpolicybindings", lambda _: {"spec": {"policyName": "none"}})
    at = f"/apis/{group}/v1/validatingadmissionpolicies"
    ask(c, 201, "POST", at, {"metadata": {"name": "st"}, "spec": judge})
    o = ask(c, 200, "PATCH", at + "/st/status", {"status": {"conditions": [condition()]}}, MERGE)
    equal([x["type"] for x in o["status"]["conditions"]], ["StatusUpdate"])
    ask(c, 200, "DELETE", at + "/st")


def of_devices(c):
    group = "resource.k8s.io"
    claim = {"devices": {"requests": [{"name": "one", "exactly": {"deviceClassName": "none"}}]}}
    kind(c, group, "deviceclasses", lambda _: {"spec": {"selectors": [{"cel": {"expression": "device.driver == 'none'"}}]}})
    kind(c, group, "resourceclaims", lambda _: {"spec": claim}, True, status={})
    kind(c, group, "resourceclaimtemplates", lambda _: {"spec": {"spec": claim}}, True)
    kind(c, group, "resourceslices", lambda name: {"spec": {"driver": "e2e.example.com", "nodeName": "none", "pool": {
        "name": name, "generation": 1, "resourceSliceCount": 1}}})


def of_storage(c):
    group = "storage.k8s.io"
    kind(c, group, "csidrivers", lambda _: {"spec": {"attachRequired": False}})
    kind(c, group, "csinodes", lambda _: {"spec": {"drivers": []}})
    kind(c, group, "csistoragecapacities", lambda _: {"storageClassName": "none", "capacity": "1Gi",
                                                      "nodeTopology": {"matchLabels": {"zone": "a"}}}, True)
    kind(c, group, "storageclasses", lambda _: {"provisioner": "e2e.example.com"})
    kind(c, group, "volumeattributesclasses", lambda _: {"driverName": "e2e.example.com", "parameters": {"iops": "100"}})
    kind(c, group, "volumeattachments", lambda name: {"spec": {"attacher": "e2e.example.com", "nodeName": "none", "source": {
        "persistentVolumeName": name}}}, status={})
    # Its status leaves all of its metadata as it was.
    at = f"/apis/{group}/v1/volumeattachments"
    ask(c, 201, "POST", at, {"metadata": {"name": "st"}, "spec": {"attacher": "e2e.example.com", "nodeName": "none", "source": {
        "persistentVolumeName": "none"}}})
    o = ask(c, 200, "PATCH", at + "/st/status", {"metadata": {"annotations": {"a": "b"}}, "status": {"attached": True}}, MERGE)
    equal((o["metadata"].get("annotations"), o["status"]), (None, {"attached": True}))
    equal(update(c, at + "/st/status", lambda o: o["status"].update(attached=False))["status"], {"attached": False})
    equal(ask(c, 200, "GET", at + "/st/status")["status"], {"attached": False})
    ask(c, 200, "DELETE", at + "/st")


def of_volumes(c):
    """Each with its status; the claim asks for a class that nobody has, so nobody binds it."""
    pv = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "storageClassName": "nobodys",
          "csi": {"driver": "e2e.example.com", "volumeHandle": "h"}}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": "nobodys", "resources": {"requests": {"storage": "1Gi"}}}
    kind(c, "", "persistentvolumes", lambda _: {"spec": pv})
    kind(c, "", "persistentvolumeclaims", lambda _: {"spec": claim}, True)
    at = "/api/v1/persistentvolumes"
    ask(c, 201, "POST", at, {"metadata": {"name": "st"}, "spec": pv})
    wait_for("its phase", lambda: ask(c, 200, "GET", at + "/st")["status"].get("phase") == "Available")
    o = ask(c, 200, "PATCH", at + "/st/status", {"status": {"message": "StatusPatched", "reason": "E2E"}}, MERGE)
    equal((o["status"]["message"], o["status"]["reason"]), ("StatusPatched", "E2E"))
    update(c, at + "/st/status", lambda o: o["status"].update(message="StatusUpdated"))
    equal(ask(c, 200, "GET", at + "/st/status")["status"]["message"], "StatusUpdated")
    ask(c, 200, "DELETE", at + "/st")
    a_status(c, f"/api/v1/{NS}persistentvolumeclaims", claim)


def of_workloads(c):
    """Without replicas, or for nodes that are not there: what their controllers make is told elsewhere."""
    nowhere = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "nodeSelector": {"none": "none"}}}
    kind(c, "apps", "deployments", lambda _: {"spec": {**SELECTED, "replicas": 0}}, True, status={})
    kind(c, "apps", "replicasets", lambda _: {"spec": {**SELECTED, "replicas": 0}}, True, status={})
    kind(c, "apps", "statefulsets", lambda _: {"spec": {**SELECTED, "replicas": 0, "serviceName": "none"}}, True, status={})
    kind(c, "apps", "daemonsets", lambda _: {"spec": {**SELECTED, "template": nowhere}}, True, status={})
    kind(c, "apps", "controllerrevisions", lambda _: {"revision": 1, "data": {"a": "b"}}, True)
    job = {"template": {"spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}, "suspend": True}
    kind(c, "batch", "jobs", lambda _: {"spec": job}, True, status={})
    kind(c, "batch", "cronjobs", lambda _: {"spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {
        **job, "suspend": False}}}}, True, status={})
    kind(c, "policy", "poddisruptionbudgets", lambda _: {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"none": "none"}}}}, True,
         status={})
    kind(c, "autoscaling", "horizontalpodautoscalers", lambda _: {"spec": {"maxReplicas": 1, "scaleTargetRef": {
        "kind": "Deployment", "name": "none", "apiVersion": "apps/v1"}}}, True, status={}, version="v2")
    kind(c, "", "replicationcontrollers", lambda _: {"spec": {"replicas": 0, "selector": {"set": "conformance"}, "template": TEMPLATE}}, True)
    kind(c, "", "podtemplates", lambda _: {"template": TEMPLATE}, True)
    for group, resource, spec in (
            ("apps", "daemonsets", {**SELECTED, "template": nowhere}),
            ("apps", "deployments", {**SELECTED, "replicas": 0, "paused": True}),
            ("apps", "statefulsets", {**SELECTED, "replicas": 0, "serviceName": "none"}),
            ("apps", "replicasets", {**SELECTED, "replicas": 0}),
            ("policy", "poddisruptionbudgets", {"minAvailable": 1, "selector": {"matchLabels": {"none": "none"}}})):
        a_status(c, f"/apis/{group}/v1/{NS}{resource}", spec)


def a_status(c, path, spec):
    """Conditions, patched and then updated beside a controller that writes the status, too."""
    ask(c, 201, "POST", path, {"metadata": {"name": "of-status"}, "spec": spec})
    at = path + "/of-status/status"
    o = ask(c, 200, "PATCH", at, {"status": {"conditions": [condition()]}}, STRATEGIC)
    equal("StatusUpdate" in [x["type"] for x in o["status"]["conditions"]], True)
    o = update(c, at, lambda o: o["status"].setdefault("conditions", []).append(condition(type="StatusUpdatedAgain")))
    equal("StatusUpdatedAgain" in [x["type"] for x in o["status"]["conditions"]], True)
    ask(c, 200, "DELETE", path + "/of-status")


def of_the_core(c):
    kind(c, "", "configmaps", lambda _: {"data": {"a": "b"}}, True)
    kind(c, "", "secrets", lambda _: {"stringData": {"a": "b"}}, True)
    kind(c, "", "serviceaccounts", lambda _: {}, True)
    kind(c, "", "limitranges", lambda _: {"spec": {"limits": [{"type": "Container", "default": {"cpu": "1"}}]}}, True)
    kind(c, "", "resourcequotas", lambda _: {"spec": {"hard": {"pods": "1000"}}}, True)
    kind(c, "", "events", lambda _: {"involvedObject": {"namespace": "default"}, "reason": "Tested", "message": "m", "type": "Normal"}, True)
    kind(c, "events.k8s.io", "events", lambda _: {"eventTime": "2026-01-01T00:00:00.000000Z", "reason": "Tested", "action": "Testing",
                                                  "type": "Normal", "note": "n", "regarding": {"namespace": "default", "kind": "Pod", "name": "none"},
                                                  "reportingController": "e2e.example.com/test", "reportingInstance": "i"}, True)
    kind(c, "coordination.k8s.io", "leases", lambda _: {"spec": {"holderIdentity": "h", "leaseDurationSeconds": 30,
                                                                 "acquireTime": "2026-01-01T00:00:00.000000Z"}}, True)
    kind(c, "node.k8s.io", "runtimeclasses", lambda _: {"handler": "e2e"})
    kind(c, "scheduling.k8s.io", "priorityclasses", lambda _: {"value": 10})


def of_nodes(c):
    """One that nobody stands behind: its Ready is written by the test."""
    kind(c, "", "nodes", lambda _: {})
    at = "/api/v1/nodes/lively"
    ask(c, 201, "POST", "/api/v1/nodes", {"metadata": {"name": "lively"}, "spec": {"unschedulable": True}})
    o = ask(c, 200, "PATCH", at + "/status", {"metadata": {"annotations": {"patched": "status"}}, "status": {"capacity": {"cpu": "3"}}}, MERGE)
    equal((o["metadata"]["annotations"]["patched"], o["status"]["capacity"]["cpu"]), ("status", "3"))
    update(c, at + "/status", lambda o: o["status"].update(capacity={"cpu": "4"}))
    equal(ask(c, 200, "GET", at)["status"]["capacity"]["cpu"], "4")
    ask(c, 200, "DELETE", at)
    equal(c.request("GET", at)[0], 404)


def of_certificates(c):
    group = "certificates.k8s.io"
    c.context()
    kind(c, group, "clustertrustbundles", lambda _: {"spec": {"trustBundle": c.ca.decode()}})


def run():
    with Cluster() as c:
        wait_for("the default ServiceAccount", lambda: c.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")[0] == 200)
        return main([of_flow_control, of_policies, of_certificates, of_devices, of_storage, of_volumes, of_workloads, of_the_core, of_nodes], c)


if __name__ == "__main__":
    need_tools()
    sys.exit(run())
