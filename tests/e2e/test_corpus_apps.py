#!/usr/bin/env python3
"""Applications of others, their manifests as they are, on two nodes, with stand-ins for their images (standins.py).

Everything becomes Ready; every Service is reached by its name from a pod on each node, and by whoever calls it in the application;
what is for outside is reached from outside; and after its removal nothing is left. Always apps/shop.yaml; with APPS_ALL=1
(`make apps`) those of the corpus, which is not part of the tree. APPS="bookinfo voting-app" chooses."""
import glob
import json
import os
import re
import sys
import time
import urllib.request

import lib
from lib import ROOT, DevCluster, Failed, Skip, equal, main, need_node, wait_for
from machine import as_before, node_state
from standins import Registry, name_of

NODES = 2
CORPUS = os.path.join(os.path.dirname(ROOT), "shared", "corpus", "apps")
CLIENT = """
apiVersion: v1
kind: Pod
metadata: {name: client-NODE, namespace: clients}
spec:
  nodeName: dev-NODE
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "clients.example/client:1", ports: [{containerPort: 8080}]}]
"""


class App:
    """files: below the corpus, patterns. calls: what a program calls that no variable names. without: kinds or objects ("Kind/name")
    that need what no stand-in can be. opened: where policies wall it in, the Services that all may call."""

    def __init__(self, name, *files, calls=None, without=(), opened=None, top=CORPUS):
        self.name, self.files, self.calls, self.without, self.opened, self.top = name, files, calls or {}, without, opened, top
        self.ns = "app-" + name


# --- what is applied ---

def documents(app):
    for pattern in app.files:
        found = sorted(glob.glob(os.path.join(app.top, pattern)))
        if not found:
            raise Failed(f"{pattern}: no such file")
        for path in found:
            for text in re.split(r"^---.*$", lib.read_text(path), flags=re.M):
                if re.search(r"^kind:", text, re.M):
                    yield text


def objects(c, app):
    """(texts, objects): those of groups that are served."""
    texts, skipped = [], {}
    for text in documents(app):
        kind = re.search(r"^kind:\s*[\"']?(\w+)", text, re.M)[1]
        version = re.search(r"^apiVersion:\s*[\"']?([\w./-]+)", text, re.M)
        name = re.search(r"^\s+name:\s*[\"']?([\w.-]+)", text, re.M)
        if not version or version[1] not in c.versions or kind in app.without or f"{kind}/{name and name[1]}" in app.without:
            skipped[kind] = skipped.get(kind, 0) + 1
            continue
        texts.append(re.sub(r"(image:\s*\S+)@sha256:\w+", r"\1", text))  # of content that only its makers have
    made = []
    for own in (False, True):
        mine = [t for t in texts if bool(namespaced(t)) == own]
        if mine:
            said = c.kubectl("create", "--dry-run=client", "-o", "json", "-f", "-", *([] if own else ["-n", app.ns]), stdin="\n---\n".join(mine))
            for o in several(said):
                made += o.get("items", [o])
    if skipped:
        print(f"# {app.name}: left out: {', '.join(f'{n} {k}' for k, n in sorted(skipped.items()))}")
    return texts, made


def several(text):
    """kubectl writes objects one behind the other."""
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        o, at = decoder.raw_decode(text, at)
        yield o
        while at < len(text) and text[at].isspace():
            at += 1


def namespaced(text):
    """The namespace that a document itself names, or None."""
    inside = False
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            inside = line.startswith("metadata:")
        m = re.match(r"^  namespace:\s*[\"']?([\w-]+)", line) if inside else None
        if m:
            return m[1]
    return None


# --- what is looked at ---

def ready(c, app):
    """None, or what is not as it should be."""
    for ns in app.namespaces:
        for o in c.get("-n", ns, "deploy,sts,ds,rc,rs")["items"]:
            status, wanted = o.get("status", {}), o["spec"].get("replicas", 1)
            have = status.get("readyReplicas", 0)
            if o["kind"] == "DaemonSet":
                wanted, have = status.get("desiredNumberScheduled", -1), status.get("numberReady", 0)
            if have < wanted or status.get("observedGeneration", 0) < o["metadata"].get("generation", 0):
                return f"{ns}/{o['kind']}/{o['metadata']['name']}: {have} of {wanted}"
        for p in c.get("-n", ns, "pods")["items"]:
            if "deletionTimestamp" in p["metadata"]:
                return f"{ns}/{p['metadata']['name']} terminates"
            if p["status"]["phase"] != "Succeeded" and not any(x["type"] == "Ready" and x["status"] == "True" for x in p["status"].get("conditions", [])):
                return f"{ns}/{p['metadata']['name']}: {p['status']['phase']}"
    return None


def why(c, app):
    said = []
    for ns in app.namespaces:
        said.append(c.kubectl("-n", ns, "get", "all,pvc,ingress", "-o", "wide", check=False))
        said += [line for line in c.kubectl("-n", ns, "get", "events", check=False).splitlines() if "Normal" not in line][-15:]
    return "\n".join(said)


def endpoints(c, ns, name):
    """(names of ready pods, ports that lead there)"""
    names = set()
    for s in c.get("-n", ns, "endpointslices", "-l", f"kubernetes.io/service-name={name}")["items"]:
        names |= {e["targetRef"]["name"] for e in s.get("endpoints") or [] if e["conditions"].get("ready") and e.get("targetRef", {}).get("kind") == "Pod"}
    return names


def listens(c, app, svc, port):
    """Which port of the pods behind it is, if one declares it: manifests name ports that nobody serves, too."""
    target = port.get("targetPort", port["port"])
    for p in app.pods[svc["metadata"]["namespace"]]:
        labels = p["metadata"].get("labels", {})
        if all(labels.get(k) == v for k, v in svc["spec"]["selector"].items()):
            for container in p["spec"]["containers"]:
                served = app.registry.needs[name_of(container["image"])].ports
                named = [q["containerPort"] for q in container.get("ports", []) if q.get("name") == target]
                for n in named or [target]:
                    if (n, port.get("protocol", "TCP").lower()) in served:
                        return n
    return None


def fetch_from_pod(c, node, url, seconds=20):
    return c.kubectl("-n", "clients", "exec", f"client-{node}", "--", "busybox", "timeout", str(seconds), "busybox", "wget", "-qO-", url, check=False)


def asked(c, node, host, port, udp=False):
    if udp:
        return fetch_from_pod(c, node, f"http://127.0.0.1:8080/udp/{host}/{port}").split()
    return fetch_from_pod(c, node, f"http://{host}:{port}/", 3).split()


def services_reached(c, app):
    """Each port of each Service, by name, from a pod on each node: who answers is one of its endpoints."""
    n = 0
    for ns in app.namespaces:
        for svc in c.get("-n", ns, "svc")["items"]:
            name, spec = svc["metadata"]["name"], svc["spec"]
            if not spec.get("selector") or not endpoints(c, ns, name):
                continue
            for port in spec.get("ports", []):
                there = listens(c, app, svc, port)
                if not there:
                    print(f"# {app.name}: {name}:{port['port']}: no pod says that it listens there")
                    continue
                udp = port.get("protocol") == "UDP"
                number = there if spec.get("clusterIP") == "None" else port["port"]
                if app.opened is not None and name not in app.opened:
                    refused(c, f"{name}.{ns}", number)
                    continue
                for node in range(1, NODES + 1):
                    wait_for(f"{name}:{number} from a pod on dev-{node}", lambda node=node, udp=udp, number=number, name=name, ns=ns: (
                        answer := asked(c, node, f"{name}.{ns}", number, udp)) and answer[0] in endpoints(c, ns, name))
                    n += 1
                outside(c, app, svc, port)
    return n


def refused(c, host, port):
    equal(asked(c, 1, host, port), [], f"{host}:{port} from a stranger")


def outside(c, app, svc, port):
    """Node ports and LoadBalancers, from this machine, on all nodes' addresses."""
    if port.get("protocol") == "UDP":
        return
    where = [(ip, port["nodePort"]) for ip in c.addresses] if port.get("nodePort") else []
    if svc["spec"].get("type") == "LoadBalancer":
        now = wait_for(f"an address of {svc['metadata']['name']}", lambda: c.get("-n", svc["metadata"]["namespace"], "svc", svc["metadata"]["name"])[
            "status"]["loadBalancer"].get("ingress"))
        where += [(i["ip"], port["port"]) for i in now]
    for ip, number in where:
        wait_for(f"{svc['metadata']['name']} at {ip}:{number}", lambda ip=ip, number=number: fetched(f"http://{ip}:{number}/") in endpoints(
            c, svc["metadata"]["namespace"], svc["metadata"]["name"]))


def fetched(url, host=None):
    """The name of the pod that answers, or None."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Host": host} if host else {}), timeout=3) as r:
            return r.read().decode().split()[0]
    except (OSError, IndexError, ValueError):
        return None


def ingresses_reached(c, app):
    for ns in app.namespaces:
        for i in c.get("-n", ns, "ingress")["items"]:
            if i["spec"].get("ingressClassName", "caravel") != "caravel" or "kubernetes.io/ingress.class" in i["metadata"].get("annotations", {}):
                continue
            wait_for("the address of an Ingress", lambda i=i, ns=ns: c.get("-n", ns, "ingress", i["metadata"]["name"])["status"]["loadBalancer"].get("ingress"))
            for rule in i["spec"].get("rules", []):
                for p in rule["http"]["paths"]:
                    wait_for(f"{rule.get('host', '')}{p['path']}", lambda rule=rule, p=p, ns=ns: fetched(
                        f"http://{c.addresses[0]}{p['path']}", rule.get("host")) in endpoints(c, ns, p["backend"]["service"]["name"]))


def called_services(calls, services, ns):
    """(host:port, the Service of this namespace that it means): by its own name, or that of a pod of it."""
    for where in calls:
        labels = where.rsplit(":", 1)[0].split(".")
        if "svc" in labels:
            labels = labels[:labels.index("svc")]
            labels = labels[:-1] if labels[-1] == ns else []
        found = [name for name in labels[:2] if name in services]
        if found:
            yield where, found[0]


def calls_answered(c, app):
    """Each pod calls whom it calls: all of them answer, as one of the endpoints of the Service of that name."""
    n = 0
    for ns in app.namespaces:
        for p in app.pods[ns]:
            port = next((q["containerPort"] for container in p["spec"]["containers"] for q in container.get("ports", [])
                         if q.get("protocol", "TCP") == "TCP"), None)
            image = name_of(p["spec"]["containers"][0]["image"])
            if not port or not p["status"].get("podIP"):
                continue
            calls = {}

            def answered(p=p, port=port, ns=ns):
                text = fetch_from_pod(c, 1, f"http://{p['status']['podIP']}:{port}/peers")
                if not text:
                    raise Failed("no answer")
                calls.update(json.loads(text))
                for where, service in called_services(calls, app.services[ns], ns):
                    if calls[where].split()[0] not in endpoints(c, ns, service):
                        raise Failed(f"{where}: {calls[where]}")
                return True
            if app.opened is not None and not any(all(p["metadata"]["labels"].get(k) == v for k, v in c.get("-n", ns, "svc", s)["spec"][
                    "selector"].items()) for s in app.opened):
                continue
            if image in app.registry.needs and app.registry.needs[image].ports:
                wait_for(f"the calls of {p['metadata']['name']}", answered, 60)
                n += len(list(called_services(calls, app.services[ns], ns)))
    return n


# --- one application ---

def run_app(c, app):
    began = time.monotonic()
    c.kubectl("create", "namespace", app.ns)
    texts, made = objects(c, app)
    app.registry, app.registry.calls = c.registry, {**c.registry.calls, **{name_of(k): v for k, v in app.calls.items()}}
    c.registry.learn(made)
    own = {namespaced(t) for t in texts} - {None}
    app.namespaces = sorted({app.ns} | own - {"kube-system", "default"})
    for ns in own - {o["metadata"]["name"] for o in made if o["kind"] == "Namespace"}:
        c.kubectl("create", "namespace", ns, check=False)
    parts = [(mine, where) for mine, where in (([t for t in texts if not namespaced(t)], ["-n", app.ns]),  # Namespaces are among them
                                               ([t for t in texts if namespaced(t)], [])) if mine]
    for mine, where in parts:
        c.kubectl("apply", "-f", "-", *where, stdin="\n---\n".join(mine))
    try:
        wait_for("everything to be Ready", lambda: all_ready(c, app), 100, every=0.3)
    except Failed as e:
        raise Failed(f"{e}\n{why(c, app)}") from e
    app.pods = {ns: [p for p in c.get("-n", ns, "pods")["items"] if p["status"]["phase"] == "Running"] for ns in app.namespaces}
    app.services = {ns: {s["metadata"]["name"] for s in c.get("-n", ns, "svc")["items"]} for ns in app.namespaces}
    up = time.monotonic()
    reached = services_reached(c, app)
    ingresses_reached(c, app)
    called = calls_answered(c, app)
    looked = time.monotonic()
    for mine, where in reversed(parts):
        c.kubectl("delete", "-f", "-", "--ignore-not-found", "--timeout=120s", *where, stdin="\n---\n".join(mine), timeout=150)
    c.kubectl("delete", "namespace", "--ignore-not-found", *app.namespaces, "--timeout=120s", timeout=150)
    wait_for("volumes to go", lambda: not [v for v in c.get("pv")["items"] if v["spec"].get("claimRef", {}).get("namespace") in app.namespaces], 60)
    n = sum(map(len, app.pods.values()))
    print(f"# {app.name}: {len(made)} objects, {n} pods up in {up - began:.1f} s; {reached} ways to Services and {called} calls in "
          f"{looked - up:.1f} s; gone in {time.monotonic() - looked:.1f} s")


def all_ready(c, app):
    problem = ready(c, app)
    if problem:
        raise Failed(problem)
    return True


SHOP = App("shop", "shop.yaml", top=os.path.join(ROOT, "tests", "e2e", "apps"))
OTHERS = [
    App("voting-app", "voting-app/*.yaml", calls={
        "dockersamples/examplevotingapp_vote": "redis:6379", "dockersamples/examplevotingapp_result": "db:5432",
        "dockersamples/examplevotingapp_worker": "redis:6379 db:5432"}),
    App("online-boutique", "online-boutique/kustomize--base--*.yaml"),
    # policies that name a Service each; nothing else in it is for others than its callers
    App("online-boutique-walled", "online-boutique/kustomize--base--*.yaml", "online-boutique/kustomize--components--network-policies--*.yaml",
        opened=("frontend", "frontend-external")),
    App("bookinfo", "bookinfo/platform--kube--bookinfo.yaml", "bookinfo/platform--kube--bookinfo-d[be]*[s12b].yaml",
        "bookinfo/platform--kube--bookinfo-[ir]*[!k].yaml", "bookinfo/platform--kube--bookinfo-mysql.yaml",
        "bookinfo/platform--kube--productpage-nodeport.yaml", calls={
        "registry.istio.io/release/examples-bookinfo-productpage-v1:1.20.3": "details:9080 reviews:9080 ratings:9080",
        **{f"registry.istio.io/release/examples-bookinfo-reviews-v{n}:1.20.3": "ratings:9080" for n in (1, 2, 3)}}),
    App("databases", *(f"kubernetes-examples/{p}.yaml" for p in (
        "_archived--cockroachdb--*", "_archived--storage--minio--minio-standalone*", "_archived--storage--mysql-galera--*", "_archived--storage--redis--*",
        "_archived--storage--rethinkdb--*", "_archived--storage--hazelcast--*", "databases--cassandra--*")), without=("StorageClass",)),
    App("spark", *(f"kubernetes-examples/_archived--spark--{p}.yaml" for p in ("namespace*", "spark-master*", "spark-ui*", "spark-worker*"))),
    App("istio-samples", *(f"istio-samples/{p}.yaml" for p in (
        "curl--*", "httpbin--*", "tcp-echo--tcp*", "jwt-server--*", "extauthz--*", "helloworld--*", "addons--jaeger", "addons--loki", "addons--kiali",
        "custom-bootstrap--*"))),
    App("guestbook", "kubernetes-examples/web--guestbook--all-in-one--guestbook-all-in-one.yaml", calls={
        "gcr.io/google-samples/gb-frontend:v5": "redis-master:6379 redis-replica:6379", "gcr.io/google_samples/gb-redisslave:v1": "redis-master:6379"}),
]


def chosen():
    names = os.environ.get("APPS", "").split()
    if not names and not os.environ.get("APPS_ALL"):
        return [SHOP]
    return [a for a in [SHOP, *OTHERS] if not names or a.name in names]


def test_of(app):
    def test(c):
        if not os.path.isdir(app.top):
            raise Skip("needs the corpus, which is not part of the tree")
        try:
            run_app(c, app)
        except Exception:  # the others are not to suffer from it
            c.kubectl("delete", "namespace", "--ignore-not-found", app.ns, *getattr(app, "namespaces", []), "--timeout=120s", check=False, timeout=150)
            raise
    test.__name__ = app.name.replace("-", "_")
    return test


def everything_is_gone(c):
    """Of all applications together."""
    wait_for("the nodes' networks to be as before", lambda: as_before(c.before, node_state(c, NODES)))


if __name__ == "__main__":
    need_node()
    cluster = DevCluster(NODES)
    hosts = os.path.join(cluster.dir, "certs.d")
    for who in ("server", "agent"):
        cluster.args += [f"--{who}-arg", f"--registry-config-dir={hosts}"]
    with cluster:
        cluster.registry = Registry(cluster.dir)
        cluster.addresses = [n["status"]["addresses"][0]["address"] for n in cluster.get("nodes")["items"]]
        cluster.registry.hosts(hosts, cluster.addresses[0].rsplit(".", 1)[0] + ".1")
        cluster.versions = set(cluster.kubectl("api-versions").split())
        cluster.kubectl("create", "namespace", "clients")
        for name in ("standard", "fast"):  # what clouds call theirs
            cluster.apply(f"apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {{name: {name}}}\nprovisioner: caravel.io/local-path\n"
                          "volumeBindingMode: WaitForFirstConsumer")
        cluster.registry.learn([{"containers": [{"image": "clients.example/client:1", "ports": [{"containerPort": 8080}]}]}])
        for number in range(1, NODES + 1):
            cluster.apply(CLIENT.replace("NODE", str(number)))
        cluster.kubectl("-n", "clients", "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
        cluster.before = node_state(cluster, NODES)
        STATUS = main([*map(test_of, chosen()), everything_is_gone], cluster)
    sys.exit(STATUS)
