#!/usr/bin/env python3
"""kubectl, unmodified: the verbs and forms that the other programs have no use for. Needs no node."""
import contextlib
import http.client
import json
import os
import subprocess
import sys

from lib import BIN, Cluster, Failed, contains, equal, free_port, main, need_tools, read_text, wait_for

NS = ("-n", "verbs")


def makers(c):
    """kubectl create and its generators, each read back."""
    c.kubectl("create", "namespace", "verbs")
    wait_for("its account", lambda: c.kubectl("get", "sa", "default", *NS, "--ignore-not-found"))
    for words, read in (
            ("deployment web --image=docker.io/caravel/demo:1 --replicas=2 --port=8080",
             "deploy/web {.spec.template.spec.containers[0].ports[0].containerPort} 8080"),
            ("configmap settings --from-literal=a=1 --append-hash=false", "cm/settings {.data.a} 1"),
            ("secret generic words --from-literal=password=horse", "secret/words {.data.password} aG9yc2U="),
            ("secret docker-registry pull --docker-server=r.example.com --docker-username=u --docker-password=p",
             "secret/pull {.type} kubernetes.io/dockerconfigjson"),
            ("job once --image=docker.io/caravel/demo:1 -- true", "job/once {.spec.template.spec.restartPolicy} Never"),
            ("cronjob often --image=docker.io/caravel/demo:1 --schedule=0/5****", None),
            ("service clusterip front --tcp=80:8080", "svc/front {.spec.ports[0].targetPort} 8080"),
            ("service externalname away --external-name=example.com", "svc/away {.spec.externalName} example.com"),
            ("service nodeport outside --tcp=80", "svc/outside {.spec.type} NodePort"),
            ("ingress door --rule=shop.example.com/*=front:80", "ing/door {.spec.rules[0].http.paths[0].pathType} Prefix"),
            ("poddisruptionbudget keep --selector=app=web --min-available=1", "pdb/keep {.spec.minAvailable} 1"),
            ("quota limits --hard=configmaps=10", "quota/limits {.spec.hard.configmaps} 10"),
            ("role reader --verb=get,list --resource=pods,deployments.apps", "role/reader {.rules[1].apiGroups[0]} apps"),
            ("rolebinding readers --role=reader --serviceaccount=verbs:default", "rolebinding/readers {.subjects[0].kind} ServiceAccount"),
            ("clusterrole verbs-nodes --verb=get --resource=nodes", "clusterrole/verbs-nodes {.rules[0].resources[0]} nodes"),
            ("clusterrolebinding verbs-nodes --clusterrole=verbs-nodes --user=jane", "clusterrolebinding/verbs-nodes {.subjects[0].name} jane"),
            ("priorityclass verbs-high --value=100 --description=high", "priorityclass/verbs-high {.value} 100"),
            ("serviceaccount robot", "sa/robot {.metadata.name} robot")):
        words = [w.replace("*", " *") if w.startswith("--schedule") else w for w in words.split()]
        c.kubectl(*NS, "create", *words)
        if read:
            what, path, wanted = read.split()
            equal(c.kubectl("get", what, *NS, "-o", f"jsonpath={path}"), wanted, words)
    c.kubectl("create", "job", "now", "--from=cronjob/often", *NS)
    token = c.kubectl("create", "token", "robot", *NS, "--duration=1h", "--bound-object-kind=Secret", "--bound-object-name=words")
    equal(token.count("."), 2)
    contains(c.run("create", "token", "robot", *NS, "--bound-object-kind=Secret", "--bound-object-name=none", check=False).errors, "not found")


def workloads_are_led(c):
    contains(c.kubectl("expose", "deploy/web", *NS, "--name=exposed", "--port=80", "--target-port=8080"), "service/exposed exposed")
    contains(c.kubectl("autoscale", "deploy/web", *NS, "--min=1", "--max=5", "--cpu=70%"), "horizontalpodautoscaler.autoscaling/web autoscaled")
    equal(c.get("hpa", "web", *NS)["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 70)
    for words in ("image deploy/web demo=docker.io/caravel/demo:2", "env deploy/web A=1 --overwrite", "serviceaccount deploy/web robot",
                  "resources deploy/web --limits=cpu=1,memory=64Mi --requests=cpu=10m", "selector svc/front app=web",
                  "subject rolebinding/readers --user=jane"):
        c.kubectl("set", *words.split(), *NS)
    spec = c.get("deploy", "web", *NS)["spec"]["template"]["spec"]
    equal((spec["serviceAccountName"], spec["containers"][0]["resources"]["limits"]["memory"]), ("robot", "64Mi"))
    equal([s.get("name") for s in c.get("rolebinding", "readers", *NS)["subjects"]], ["default", "jane"])
    contains(c.kubectl("rollout", "pause", "deploy/web", *NS), "paused")
    contains(c.run("rollout", "restart", "deploy/web", *NS, check=False).errors, "can't restart paused deployment")
    contains(c.kubectl("rollout", "resume", "deploy/web", *NS), "resumed")
    contains(c.kubectl("rollout", "restart", "deploy/web", *NS), "restarted")
    wait_for("revisions", lambda: len(c.kubectl("rollout", "history", "deploy/web", *NS).split("\n")) > 5)
    contains(c.kubectl("rollout", "history", "deploy/web", *NS, "--revision=1"), "docker.io/caravel/demo:1")
    contains(c.kubectl("rollout", "undo", "deploy/web", *NS, "--to-revision=1"), "rolled back")
    contains(c.run("rollout", "status", "deploy/web", *NS, "--timeout=1s", check=False).text, "Waiting for deployment")
    contains(c.kubectl("scale", "deploy/web", *NS, "--current-replicas=2", "--replicas=3"), "scaled")
    contains(c.run("scale", "deploy/web", *NS, "--current-replicas=2", "--replicas=1", check=False).errors, "Expected replicas to be 2, was 3")


def objects_are_marked(c):
    contains(c.kubectl("label", "cm/settings", *NS, "tier=back", "team=a"), "labeled")
    contains(c.run("label", "cm/settings", *NS, "tier=front", check=False).errors, "already has a value (back), and --overwrite is false")
    contains(c.kubectl("label", "cm", *NS, "--all", "--overwrite", "tier=front", "team-"), "settings")
    contains(c.kubectl("get", "cm", *NS, "-l", "tier in (front),!team", "--show-labels"), "tier=front")
    c.kubectl("annotate", "cm/settings", *NS, "note=hello", "--resource-version", c.get("cm", "settings", *NS)["metadata"]["resourceVersion"])
    contains(c.run("annotate", "cm/settings", *NS, "note=again", "--overwrite", "--resource-version=1", check=False).errors,
             "the object has been modified")
    contains(c.kubectl("annotate", "cm/settings", *NS, "--list"), "note=hello")


def what_is_there_is_replaced(c):
    c.kubectl("replace", *NS, "-f", "-", stdin=json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"b": "2"}}))
    equal(c.get("cm", "settings", *NS)["data"], {"b": "2"})
    was = c.get("cm", "settings", *NS)["metadata"]["uid"]
    c.kubectl("replace", "--force", *NS, "-f", "-", stdin=json.dumps(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"c": "3"}}))
    equal(c.get("cm", "settings", *NS)["metadata"]["uid"] != was, True)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]}}
    c.kubectl("create", *NS, "-f", "-", stdin=json.dumps(pod))
    pod["spec"]["containers"][0]["command"] = ["changed"]
    contains(c.run("replace", *NS, "-f", "-", stdin=json.dumps(pod), check=False).errors, "pod updates may not change fields other than")
    c.kubectl("patch", "pod/p", *NS, "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Running","reason":"Said"}}')
    equal(c.kubectl("get", "pod/p", *NS, "-o", "jsonpath={.status.phase} {.status.reason}"), "Running Said")
    equal(c.kubectl("get", "deploy/web", *NS, "--subresource=scale", "-o", "jsonpath={.kind} {.spec.replicas}"), "Scale 3")
    c.kubectl("patch", "deploy/web", *NS, "--subresource=scale", "--type=json", "-p", '[{"op":"replace","path":"/spec/replicas","value":2}]')
    contains(c.kubectl("get", "deploy/web", *NS, "--subresource=status", "-o", "name"), "deployment.apps/web")
    c.kubectl("debug", "pod/p", *NS, "--image=docker.io/caravel/demo:1", "--container=look", "--profile=general", "--attach=false")
    equal([e["name"] for e in c.get("pod", "p", *NS)["spec"]["ephemeralContainers"]], ["look"])
    c.kubectl("debug", "pod/p", *NS, "--image=docker.io/caravel/demo:1", "--copy-to=copy", "--share-processes", "--profile=general", "--attach=false")
    equal(c.get("pod", "copy", *NS)["spec"]["shareProcessNamespace"], True)


def applied_is_remembered(c):
    def cm(name, **data):
        return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "verbs"}, "data": data})
    c.apply(cm("applied", a="1", b="2"))
    contains(c.kubectl("apply", "view-last-applied", "cm/applied", *NS), "a: \"1\"")
    equal(c.run("diff", "-f", "-", stdin=cm("applied", a="1", b="2"), check=False).returncode, 0)
    contains(c.run("diff", "-f", "-", stdin=cm("applied", a="1"), check=False).text, '-  b: "2"')
    other = ("diff", "--server-side", "--field-manager=other", "-f", "-")
    contains(c.run(*other, stdin=cm("applied", a="2"), check=False).errors, "conflict")
    contains(c.run(*other, "--force-conflicts", stdin=cm("applied", a="2"), check=False).text, '+  a: "2"')
    c.apply(cm("applied", a="1"))
    equal(c.get("cm", "applied", *NS)["data"], {"a": "1"})
    c.kubectl("apply", "set-last-applied", "-f", "-", "--create-annotation", stdin=cm("settings", c="3"))
    c.apply(cm("settings", d="4"))
    equal(c.get("cm", "settings", *NS)["data"], {"d": "4"})
    # from one way of applying to the other, and what was applied before is still taken away
    c.apply(cm("applied", c="3"), "--server-side", "--force-conflicts")
    equal(c.get("cm", "applied", *NS)["data"], {"c": "3"})
    # sets: what is not in one any more goes
    env = {"KUBECTL_APPLYSET": "true"}
    for names in (("one", "two"), ("two", "three")):
        os.environ.update(env)
        with contextlib.ExitStack() as stack:
            stack.callback(os.environ.pop, "KUBECTL_APPLYSET")
            c.kubectl("apply", "-f", "-", "--prune", "--applyset=verbs-set", "--server-side", *NS,
                      stdin="\n---\n".join(cm(n, set="x") for n in names))
    wait_for("what the set has lost to go", lambda: c.kubectl("get", "cm", *NS, "-l", "applyset.kubernetes.io/part-of", "-o", "name").split()
             == ["configmap/three", "configmap/two"])
    folder = os.path.join(c.dir, "kustomized")
    os.mkdir(folder)
    with open(os.path.join(folder, "kustomization.yaml"), "w", encoding="utf-8") as f:
        f.write("namespace: verbs\nnamePrefix: k-\nconfigMapGenerator: [{name: made, literals: [a=1]}]\n")
    contains(c.kubectl("kustomize", folder), "name: k-made-")
    contains(c.kubectl("apply", "-k", folder), "configmap/k-made-")
    contains(c.kubectl("delete", "-k", folder), "deleted")


def formats(c):
    """-o in all its forms, of one object and of many."""
    def get(*form):
        return c.kubectl("get", "cm", "two", "three", *NS, *form)
    equal(get("-o", "name").split(), ["configmap/two", "configmap/three"])
    contains(get("-o", "yaml"), "kind: List", "set: x")
    contains(get("-o", "kyaml"), 'kind: "List"', 'set: "x"')
    equal(get("-o", "jsonpath={range .items[*]}{.metadata.name}={.data.set};{end}"), "two=x;three=x;")
    equal(get("-o", "custom-columns=N:.metadata.name,S:.data.set", "--no-headers").split(), ["two", "x", "three", "x"])
    equal(get("-o", "go-template={{range .items}}{{.data.set}}{{end}}"), "xx")
    contains(get("-o", "wide"), "NAME", "DATA", "AGE")
    equal(c.kubectl("get", "cm", *NS, "--sort-by=.metadata.name", "-o", "name", "--chunk-size=2", "-l", "applyset.kubernetes.io/part-of").split(),
          ["configmap/three", "configmap/two"])
    contains(c.kubectl("get", "deploy,svc,ing", *NS), "deployment.apps/web", "service/front", "ingress.networking.k8s.io/door")
    contains(c.kubectl("get", "all", "-A", "--show-kind", "-L", "app"), "pod/web-", "NAMESPACE")
    said = os.path.join(c.dir, "watched")
    with open(said, "wb") as out:
        watch = subprocess.Popen([os.path.join(BIN, "kubectl"), f"--kubeconfig={c.kubeconfig}", "get", "cm", *NS, "--watch-only",
                                  "--output-watch-events", "-o", "jsonpath={.type} {.object.metadata.name}{'\\n'}"], stdout=out)
    try:
        def heard():
            c.kubectl("create", "cm", "seen", *NS)  # at first too early, it may be
            c.kubectl("delete", "cm", "seen", *NS)
            text = read_text(said)
            return "ADDED seen" in text and "DELETED seen" in text
        wait_for("both events", heard)
    finally:
        watch.kill()
        watch.wait(10)


def rights_are_reconciled(c):
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader", "namespace": "verbs"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]}
    contains(c.kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role)), "role.rbac.authorization.k8s.io/reader reconciled")
    equal(len(c.get("role", "reader", *NS)["rules"]), 3)  # added to what there was
    contains(c.kubectl("auth", "can-i", "--list", *NS, "--as", "jane"), "pods", "[get list]", "selfsubjectaccessreviews.authorization.k8s.io")
    equal(c.kubectl("auth", "can-i", "get", "pods", *NS, "--as", "system:serviceaccount:verbs:default").strip(), "yes")
    equal(c.run("auth", "can-i", "get", "pods", "--subresource=log", *NS, "--as", "jane", check=False).text.strip(), "no")
    contains(c.kubectl("auth", "whoami", "--as", "jane", "--as-group", "devs", "--as-uid", "7", "-o", "yaml"), "username: jane", "devs", 'uid: "7"')


def what_there_is(c):
    """Of every kind: explained, listed, and described where there is one."""
    rows = [line.split() for line in c.kubectl("api-resources", "--no-headers", "-o", "wide", "--sort-by=name").splitlines()]
    names = [(r[0], next(w for w in r[1:] if "/" in w or w == "v1")) for r in rows]
    equal(len(names) > 60, True)
    first = {version: name for name, version in reversed(names)}  # one of each version explained: each starts a kubectl
    for version, name in first.items():
        group, _, v = version.rpartition("/")
        contains(c.kubectl("explain", name, f"--api-version={version}"), f"VERSION:    {v}")
    listed = [f"{n}.{v.rpartition('/')[0]}".rstrip(".") for (n, v), r in zip(names, rows) if "list" in r[-1].split(",") or "list" in r[-2].split(",")]
    c.kubectl("get", ",".join(listed), "-A", "--ignore-not-found")
    contains(c.kubectl("describe", ",".join(n for n in listed if not n.startswith("events")), "-A", timeout=120), "Name:")
    contains(c.kubectl("api-versions"), "apps/v1", "resource.k8s.io/v1")
    contains(c.kubectl("cluster-info"), "Kubernetes control plane")
    contains(c.kubectl("cluster-info", "dump", "--namespaces=verbs", "-o", "json"), '"kind": "ReplicaSetList"')
    contains(c.kubectl("version", "-o", "json"), '"serverVersion"', "v1.37.0")
    contains(c.kubectl("get", "--raw", "/apis/apps/v1/namespaces/verbs/deployments/web/scale"), '"kind":"Scale"')
    contains(c.kubectl("create", "--raw", "/api/v1/namespaces/verbs/configmaps", "-f", "-", stdin='{"metadata":{"name":"raw"}}'), '"name":"raw"')
    contains(c.kubectl("delete", "--raw", "/api/v1/namespaces/verbs/configmaps/raw"), "Success")
    contains(c.kubectl("config", "view", "--minify"), f"server: https://127.0.0.1:{c.port}")


def the_proxy(c):
    port = free_port()
    proxy = subprocess.Popen([os.path.join(BIN, "kubectl"), f"--kubeconfig={c.kubeconfig}", "proxy", f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        def asked():
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as h:
                h.request("GET", "/api/v1/namespaces/verbs")
                return h.getresponse().status == 200
        wait_for("the proxy", asked)
    finally:
        proxy.kill()
        proxy.wait(10)


CONTROLLER = """
apiVersion: v1
kind: ReplicationController
metadata: {name: demo, namespace: verbs, labels: {app: demo}}
spec:
  replicas: 2
  selector: {app: demo}
  template:
    metadata: {labels: {app: demo}}
    spec: {containers: [{name: demo, image: "example.com/demo:1", ports: [{name: web, containerPort: 80}]}]}
"""


def controllers_are_described_and_changed(c):
    """What upstream's suite asks of kubectl for replication controllers and their pods."""
    c.apply(CONTROLLER)

    def pods():
        return c.get("pods", *NS, "-l", "app=demo")["items"]
    wait_for("its pods", lambda: len(pods()) == 2)
    contains(c.kubectl("describe", *NS, "rc", "demo"), "Name:         demo", "Selector:     app=demo", "Replicas:     2 current / 2 desired",
             "Pods Status:  0 Running / 2 Waiting / 0 Succeeded / 0 Failed", "Image:         example.com/demo:1", "Port:          80/TCP")
    name = pods()[0]["metadata"]["name"]
    contains(c.kubectl("describe", *NS, "pod", name), f"Name:             {name}", "Namespace:        verbs", "Labels:           app=demo",
             "Controlled By:    ReplicationController/demo", "Port:         80/TCP")
    contains(c.kubectl("describe", "namespace", "verbs"), "Name:         verbs", "Status:       Active")
    c.kubectl("scale", *NS, "rc", "demo", "--replicas=1")
    wait_for("one pod", lambda: len(pods()) == 1)
    c.kubectl("scale", *NS, "rc", "demo", "--replicas=2")
    wait_for("two pods", lambda: len(pods()) == 2)
    for pod in pods():
        c.kubectl("patch", "pod", pod["metadata"]["name"], *NS, "-p", '{"metadata": {"annotations": {"x": "y"}}}')
        equal(c.get("pod", pod["metadata"]["name"], *NS)["metadata"]["annotations"]["x"], "y")
    c.kubectl("delete", *NS, "rc", "demo", "--timeout=30s")
    wait_for("no pod", lambda: pods() == [])


def pods_are_run_labelled_replaced_and_tried(c):
    """What it asks of kubectl for a pod."""
    c.kubectl("run", "one", *NS, "--image=example.com/one:1", "--restart=Never", "--labels=run=one")
    pod = c.get("pod", "one", *NS)
    equal((pod["spec"]["restartPolicy"], pod["spec"]["containers"][0]["image"]), ("Never", "example.com/one:1"))
    c.kubectl("label", *NS, "pods", "one", "testing-label=testing-label-value")
    contains(c.kubectl("get", *NS, "pod", "one", "-L", "testing-label"), "testing-label-value")
    c.kubectl("label", *NS, "pods", "one", "testing-label-")
    equal("testing-label" in c.kubectl("get", *NS, "pod", "one", "-L", "testing-label").splitlines()[1], False)
    pod = c.get("pod", "one", *NS)
    pod["spec"]["containers"][0]["image"] = "example.com/two:1"
    c.kubectl("replace", *NS, "-f", "-", stdin=json.dumps(pod))
    equal(c.get("pod", "one", *NS)["spec"]["containers"][0]["image"], "example.com/two:1")
    patch = '{"spec": {"containers": [{"name": "one", "image": "example.com/three:1"}]}}'
    tried = json.loads(c.kubectl("patch", "pod", "one", *NS, "-p", patch, "--dry-run=server", "-o", "json"))
    equal(tried["spec"]["containers"][0]["image"], "example.com/three:1")
    equal(c.get("pod", "one", *NS)["spec"]["containers"][0]["image"], "example.com/two:1")
    c.kubectl("delete", *NS, "pod", "one", "--grace-period=0", "--force")
    contains(c.kubectl("version"), "Client Version: v", "Server Version: v1.37")


def a_scale_is_a_row(c):
    c.apply(CONTROLLER)
    lines = [line.split() for line in c.kubectl("get", *NS, "rc", "demo", "--subresource=scale").splitlines()]
    equal(lines[0], ["NAME", "DESIRED", "AVAILABLE", "AGE"])
    equal(lines[1][:2], ["demo", "2"])
    path = "/api/v1/namespaces/verbs/replicationcontrollers/demo/scale"
    status, o, _ = c.request("GET", path, headers={"Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"})
    equal((status, o["kind"], o["metadata"]["name"], o.get("spec")), (200, "PartialObjectMetadata", "demo", None))
    c.kubectl("delete", *NS, "rc", "demo", "--timeout=30s")


def everything_goes(c):
    contains(c.kubectl("delete", "deploy/web", *NS, "--cascade=orphan"), "deleted")
    wait_for("an orphan", lambda: c.kubectl("get", "rs", *NS, "-l", "app=web", "-o", "jsonpath={.items[0].metadata.ownerReferences}") == "")
    contains(c.kubectl("delete", "rs", *NS, "-l", "app=web", "--cascade=foreground", "--wait=false"), "deleted")
    contains(c.kubectl("delete", "cm", *NS, "--field-selector", "metadata.name=two", "--now"), "two")
    contains(c.kubectl("delete", "pod", "p", "copy", *NS, "--force", "--grace-period=0"), "force deleted")
    contains(c.kubectl("delete", "--all", "job,cronjob", *NS, "--dry-run=server"), "(server dry run)")
    c.kubectl("delete", "clusterrole/verbs-nodes", "clusterrolebinding/verbs-nodes", "priorityclass/verbs-high")
    contains(c.kubectl("delete", "namespace", "verbs", "--timeout=30s"), "deleted")
    if c.kubectl("get", "namespace", "verbs", "--ignore-not-found"):
        raise Failed("the namespace is still there")


if __name__ == "__main__":
    need_tools()
    with Cluster() as cluster:
        sys.exit(main([makers, workloads_are_led, objects_are_marked, what_is_there_is_replaced, applied_is_remembered, formats,
                       rights_are_reconciled, what_there_is, the_proxy, controllers_are_described_and_changed,
                       pods_are_run_labelled_replaced_and_tried, a_scale_is_a_row, everything_goes], cluster))
