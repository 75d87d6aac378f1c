#!/usr/bin/env python3
"""Helm 4, unmodified, with a chart that has all that charts have: definitions, hooks, tests, lookups; upgrades that merge, and rollbacks."""
import contextlib
import json
import os
import sys
import threading

from lib import Cluster, Failed, contains, equal, main, need_tools, wait_for

CHART = {
    "Chart.yaml": "apiVersion: v2\nname: bakery\nversion: 1.2.3\nappVersion: '7'\nkubeVersion: '>=1.30.0-0'\n",
    "values.yaml": "flour: rye\nreplicas: 2\nextra: true\nclerk: fine\n",
    "crds/loaves.yaml": """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: loaves.bakery.example.com}
spec:
  group: bakery.example.com
  scope: Namespaced
  names: {plural: loaves, kind: Loaf}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [flour]
            properties: {flour: {type: string, enum: [rye, spelt, wheat]}}
""",
    "templates/loaf.yaml": """
{{- if not (.Capabilities.APIVersions.Has "apps/v1/Deployment") }}{{ fail "no Deployments" }}{{ end }}
apiVersion: bakery.example.com/v1
kind: Loaf
metadata: {name: {{ .Release.Name }}}
spec: {flour: {{ .Values.flour }}}
""",
    "templates/secret.yaml": """
{{- $old := lookup "v1" "Secret" .Release.Namespace (printf "%s-key" .Release.Name) }}
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}-key}
data:
  key: {{ if $old }}{{ $old.data.key }}{{ else }}{{ randAlphaNum 24 | b64enc }}{{ end }}
stringData:
  namespaces: {{ (lookup "v1" "Namespace" "" "").items | default list | len | quote }}
""",
    "templates/oven.yaml": """
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: {{ .Release.Name }}}}
  template:
    metadata: {labels: {app: {{ .Release.Name }}}}
    spec:
      containers:
      - {name: oven, image: docker.io/bakery/oven:1, env: [{name: FLOUR, value: {{ .Values.flour }}}]}
""",
    "templates/extra.yaml": """
{{- if .Values.extra }}
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-extra}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-kept, annotations: {helm.sh/resource-policy: keep}}
{{- end }}
""",
    "templates/hooks.yaml": "".join(f"""
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{{{ .Release.Name }}}}-{name}
  annotations: {{helm.sh/hook: "{when}", helm.sh/hook-weight: "{weight}", helm.sh/hook-delete-policy: "{policy}"}}
spec:
  backoffLimit: 0
  template:
    metadata: {{labels: {{hook: {name}, clerk: "{{{{ .Values.clerk }}}}"}}}}
    spec: {{restartPolicy: Never, containers: [{{name: c, image: docker.io/bakery/clerk:1}}]}}
""" for name, when, weight, policy in (("second", "pre-install", 5, "before-hook-creation"),
                                       ("first", "pre-install", -5, "before-hook-creation,hook-succeeded"),
                                       ("after", "post-install,post-upgrade,post-rollback", 0, "before-hook-creation"),
                                       ("last", "pre-delete", 0, "before-hook-creation,hook-succeeded"))),
    "templates/tests/taste.yaml": """
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-taste
  labels: {hook: taste, clerk: "{{ .Values.clerk }}"}
  annotations: {helm.sh/hook: test, helm.sh/hook-delete-policy: before-hook-creation}
spec: {restartPolicy: Never, containers: [{name: c, image: docker.io/bakery/clerk:1}]}
""",
    "templates/NOTES.txt": "bread of {{ .Values.flour }}\n",
}


class Clerk(threading.Thread):
    """A kubelet. Pods of hooks end, well or not, as their label says; done has them in their order. Others become ready, but
    for rye."""

    def __init__(self, c):
        super().__init__(daemon=True)
        self.c, self.done, self.end = c, [], threading.Event()
        self.start()

    def run(self):
        while not self.end.wait(0.05):
            with contextlib.suppress(OSError, Failed):
                for pod in self.c.request("GET", "/api/v1/pods?fieldSelector=status.phase=Pending")[1]["items"]:
                    self.look(pod["metadata"], pod["spec"]["containers"][0])

    def look(self, meta, container):
        status, hook = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, meta["labels"].get("hook")
        if hook:
            status = {"phase": "Succeeded" if meta["labels"]["clerk"] == "fine" else "Failed"}
        elif {"name": "FLOUR", "value": "rye"} in container["env"]:
            return
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status"
        if self.c.request("PATCH", path, {"status": status}, {"Content-Type": "application/merge-patch+json"})[0] == 200 and hook:
            self.done.append(hook)


def helm(c, *args, check=True):
    return c.run("--namespace", "shop", *args, program="helm", check=check)


def key(c):
    return c.get("secret", "bread-key", "-n", "shop")["data"]["key"]


def dry_runs_ask_the_server(c):
    shown = helm(c, "install", "other", c.chart, "--dry-run=server", "--set", "flour=spelt").text
    contains(shown, "kind: Loaf", "bread of spelt", 'namespaces: "5"')
    contains(helm(c, "upgrade", "bread", c.chart, "--dry-run=server").text, "key: " + key(c))
    equal(c.kubectl("get", "loaves", "-n", "shop", "-o", "name").split(), ["loaf.bakery.example.com/bread"])


def definitions_and_hooks_come_first(c):
    contains(helm(c, "install", "bread", c.chart, "--create-namespace").text, "STATUS: deployed", "bread of rye")
    equal(c.clerk.done, ["first", "second", "after"])
    equal(c.get("loaves", "bread", "-n", "shop")["spec"]["flour"], "rye")
    equal(c.kubectl("get", "jobs", "-n", "shop", "-o", "name").split(), ["job.batch/bread-after", "job.batch/bread-second"])
    labels = c.get("deploy", "bread", "-n", "shop")["metadata"]
    equal((labels["labels"]["app.kubernetes.io/managed-by"], labels["annotations"]["meta.helm.sh/release-name"]), ("Helm", "bread"))


def what_the_server_refuses_is_said(c):
    r = helm(c, "install", "bad", c.chart, "--set", "flour=sand", "--no-hooks", check=False)
    equal(r.returncode, 1)
    contains(r.errors, 'spec.flour: Unsupported value: "sand": supported values: "rye", "spelt", "wheat"')
    helm(c, "uninstall", "bad", "--no-hooks")
    c.kubectl("create", "configmap", "ours-extra", "-n", "shop")
    r = helm(c, "install", "ours", c.chart, "--set", "flour=wheat", check=False)
    equal(r.returncode, 1)
    contains(r.errors, 'ConfigMap "ours-extra" in namespace "shop" exists and cannot be imported into the current release')
    helm(c, "uninstall", "ours", "--ignore-not-found", "--no-hooks")
    helm(c, "install", "ours", c.chart, "--set", "flour=wheat", "--take-ownership", "--no-hooks")
    helm(c, "uninstall", "ours", "--no-hooks")


def charts_are_tested(c):
    contains(helm(c, "test", "bread").text, "Phase:          Succeeded")
    helm(c, "upgrade", "bread", c.chart, "--set", "clerk=bad", "--no-hooks")
    r = helm(c, "test", "bread", check=False)
    equal(r.returncode, 1)
    contains(r.text + r.errors, "bread-taste failed")
    helm(c, "rollback", "bread", "1", "--no-hooks")


def upgrades_merge(c):
    """What others have changed stays when the chart says nothing new of it; what it says anew is done, or is a conflict."""
    was = key(c)
    c.kubectl("annotate", "deploy", "bread", "-n", "shop", "checked=yes")
    c.kubectl("set", "env", "deploy/bread", "-n", "shop", "OVEN=hot")
    helm(c, "upgrade", "bread", c.chart, "--set", "flour=spelt", "--set", "extra=false")
    deploy = c.get("deploy", "bread", "-n", "shop")
    equal(deploy["metadata"]["annotations"]["checked"], "yes")
    equal({e["name"]: e["value"] for e in deploy["spec"]["template"]["spec"]["containers"][0]["env"]}, {"FLOUR": "spelt", "OVEN": "hot"})
    equal(key(c), was)  # found by lookup
    left = c.kubectl("get", "configmap", "-n", "shop", "-o", "name").split()
    equal([n for n in left if "bread" in n], ["configmap/bread-kept"])
    equal(c.clerk.done[-1], "after")


def conflicts_are_named(c):
    c.kubectl("apply", "--server-side", "--force-conflicts", "--field-manager=scaler", "-f", "-", stdin=json.dumps(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "bread", "namespace": "shop"}, "spec": {"replicas": 5}}))
    r = helm(c, "upgrade", "bread", c.chart, "--reuse-values", "--set", "replicas=3", "--server-side=true", check=False)
    equal(r.returncode, 1)
    contains(r.errors, 'conflict with "scaler"', ".spec.replicas")
    equal(c.get("deploy", "bread", "-n", "shop")["spec"]["replicas"], 5)
    helm(c, "upgrade", "bread", c.chart, "--reuse-values", "--set", "replicas=3", "--server-side=true", "--force-conflicts")
    equal(c.get("deploy", "bread", "-n", "shop")["spec"]["replicas"], 3)


def three_way_merges_by_the_client(c):
    """--server-side=false: a strategic merge patch for built-in kinds, a merge patch for others, of three states."""
    c.kubectl("scale", "deploy", "bread", "-n", "shop", "--replicas=4")
    c.kubectl("label", "loaves", "bread", "-n", "shop", "shelf=top")
    helm(c, "upgrade", "bread", c.chart, "--reuse-values", "--set", "flour=wheat", "--server-side=false")
    equal(c.get("deploy", "bread", "-n", "shop")["spec"]["replicas"], 3)  # of the chart
    loaf = c.get("loaves", "bread", "-n", "shop")
    equal((loaf["spec"]["flour"], loaf["metadata"]["labels"]["shelf"]), ("wheat", "top"))


def a_failed_upgrade_is_rolled_back(c):
    before = c.get("deploy", "bread", "-n", "shop")["spec"]["template"]
    r = helm(c, "upgrade", "bread", c.chart, "--reuse-values", "--set", "clerk=bad,flour=rye", "--rollback-on-failure", "--timeout=3s", check=False)
    equal(r.returncode, 1)
    contains(r.errors, "release bread failed, and has been rolled back due to rollback-on-failure being set")
    history = json.loads(helm(c, "history", "bread", "-o", "json").text)
    contains(history[-1]["description"], "Rollback")
    equal(c.get("deploy", "bread", "-n", "shop")["spec"]["template"], before)


def rollback(c):
    was = key(c)
    contains(helm(c, "rollback", "bread", "1").text, "Rollback was a success")
    equal(c.get("loaves", "bread", "-n", "shop")["spec"]["flour"], "rye")
    equal(key(c), was)
    equal(c.kubectl("get", "configmap", "bread-extra", "-n", "shop", "-o", "name").strip(), "configmap/bread-extra")
    contains(helm(c, "get", "manifest", "bread").text, "flour: rye")
    contains(helm(c, "list").text, "bakery-1.2.3", "deployed")


def uninstall(c):
    helm(c, "uninstall", "bread", "--wait")
    equal(c.clerk.done[-1], "last")
    left = c.kubectl("get", "deploy,loaves,secret,configmap", "-n", "shop", "-o", "name").split()
    equal([n for n in left if "bread" in n], ["configmap/bread-kept"])
    contains(c.kubectl("get", "crd", "-o", "name"), "customresourcedefinition.apiextensions.k8s.io/loaves.bakery.example.com")
    wait_for("its pods to be gone", lambda: not c.get("pods", "-n", "shop", "-l", "app=bread")["items"])


if __name__ == "__main__":
    need_tools()
    with Cluster() as cluster:
        cluster.chart, cluster.clerk = os.path.join(cluster.dir, "bakery"), Clerk(cluster)
        for name, text in CHART.items():
            path = os.path.join(cluster.chart, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
        bad = main([definitions_and_hooks_come_first, dry_runs_ask_the_server, what_the_server_refuses_is_said, charts_are_tested,
                    upgrades_merge, conflicts_are_named, three_way_merges_by_the_client, a_failed_upgrade_is_rolled_back, rollback, uninstall],
                   cluster)
        cluster.clerk.end.set()
        sys.exit(bad)
