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


if __name__ == "__main__":
    need_tools()
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager"]) as cluster:
        sys.exit(main([installed, used, refused, changed_while_it_is_used, several_versions, there_after_a_restart, taken_away], cluster))
