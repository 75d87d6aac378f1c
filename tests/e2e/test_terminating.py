#!/usr/bin/env python3
"""Pods that end while somebody uses them: one real node, real connections.

Who is asked what, and in which order things stop, is in unit/kubelet/terminating; which endpoint a packet goes to, in
conformance/proxy-nft. Here they meet.
"""
import http.client
import json
import os
import sys
import threading
import time

import lib

DEMO = "docker.io/caravel/demo:1"
# The shell is process 1, where TERM does nothing unless it is waited for.
SERVE = 'echo "$VERSION" >/www/index.html; trap "exit 143" TERM; httpd -f -p 8080 -h /www & wait'


def template(app, version, prestop, grace=30):
    return {"metadata": {"labels": {"app": app}}, "spec": {
        "terminationGracePeriodSeconds": grace,
        "containers": [{
            "name": "web", "image": DEMO, "command": ["sh", "-c", SERVE], "ports": [{"name": "http", "containerPort": 8080}],
            "env": [{"name": "VERSION", "value": version}],
            "readinessProbe": {"httpGet": {"path": "/index.html", "port": "http"}, "periodSeconds": 1},
            "lifecycle": {"preStop": {"sleep": {"seconds": prestop}}},
            "volumeMounts": [{"name": "www", "mountPath": "/www"}]}],
        "volumes": [{"name": "www", "emptyDir": {}}]}}


def create(cluster, path, body):
    status, answer, _ = cluster.request("POST", path, body)
    lib.equal(status, 201, answer)
    return answer


def service(cluster, app):
    s = create(cluster, "/api/v1/namespaces/default/services", {
        "metadata": {"name": app}, "spec": {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": "http"}]}})
    return s["spec"]["clusterIP"]


def ask(address):
    """One connection, one answer."""
    c = http.client.HTTPConnection(address, 80, timeout=5)
    try:
        c.request("GET", "/index.html")
        r = c.getresponse()
        return r.read().decode().strip() if r.status == 200 else f"status {r.status}"
    finally:
        c.close()


class Clients:
    """Ask without a pause until told to stop. Whatever is no answer is a failure."""

    def __init__(self, address, n=2):
        self.address, self.answers, self.failures = address, {}, []
        self.lock, self.over = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run) for _ in range(n)]

    def run(self):
        while not self.over.is_set():
            try:
                answer, failure = ask(self.address), None
            except (OSError, http.client.HTTPException) as e:
                answer, failure = None, repr(e)
            with self.lock:
                if failure:
                    self.failures.append(failure)
                else:
                    self.answers[answer] = self.answers.get(answer, 0) + 1
            time.sleep(0.002)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


def rolling_update_loses_no_request(cluster):
    address = service(cluster, "shop")
    create(cluster, "/apis/apps/v1/namespaces/default/deployments", {
        "metadata": {"name": "shop"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "shop"}}, "template": template("shop", "1", 3),
                 "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}})
    cluster.kubectl("rollout", "status", "deployment/shop", "--timeout=80s")
    lib.wait_for("an answer", lambda: ask(address) == "1")
    with Clients(address) as clients:
        for version in "2", "3":
            cluster.kubectl("set", "env", "deployment/shop", "VERSION=" + version)
            cluster.kubectl("rollout", "status", "deployment/shop", "--timeout=80s")
        lib.wait_for("the last old one to go", lambda: len(cluster.get("pods", "-l", "app=shop")["items"]) == 2, 60)
    lib.equal(clients.failures, [], f"failures beside {clients.answers}")
    lib.equal(set(clients.answers), {"1", "2", "3"}, "answers")
    lib.equal(ask(address), "3")


def endpoint(cluster, app):
    slices = cluster.get("endpointslices", "-l", "kubernetes.io/service-name=" + app)["items"]
    return [e["conditions"] for s in slices for e in s.get("endpoints") or []]


def the_last_one_serves_to_its_end(cluster):
    address = service(cluster, "last")
    create(cluster, "/api/v1/namespaces/default/pods", dict(template("last", "here", 6), metadata={
        "name": "last", "labels": {"app": "last"}, "finalizers": ["example.com/held"]}))
    lib.wait_for("an answer", lambda: ask(address) == "here", 60)
    with Clients(address) as clients:
        cluster.kubectl("delete", "pod", "last", "--wait=false")
        lib.wait_for("the slice to tell", lambda: endpoint(cluster, "last") ==
                     [{"ready": False, "serving": True, "terminating": True}])
        pod = cluster.get("pod", "last")
        lib.equal(pod["metadata"]["deletionGracePeriodSeconds"], 30)
        lib.equal([c["status"] for c in pod["status"]["conditions"] if c["type"] == "Ready"], ["True"])
        lib.equal(pod["status"]["containerStatuses"][0]["ready"], True)
        before = clients.answers["here"]
        lib.wait_for("more answers", lambda: clients.answers["here"] > before + 50)
    lib.equal(clients.failures, [], "failures")

    def refused():
        try:
            ask(address)
        except ConnectionRefusedError:
            return True
        return False
    lib.wait_for("a refusal", refused)
    pod = lib.wait_for("its end", lambda: [p for p in [cluster.get("pod", "last")]
                                           if p["status"]["phase"] in ("Failed", "Succeeded")])[0]
    ended = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    lib.equal((pod["status"]["phase"], ended["exitCode"], ended["reason"]), ("Failed", 143, "Error"))
    cluster.kubectl("patch", "pod", "last", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    cluster.kubectl("wait", "--for=delete", "pod/last", "--timeout=20s")


def sidecars_end_last_and_in_reverse(cluster):
    """And a watcher sees how each ended before the Pod goes."""
    notes = os.path.join(cluster.dir, "notes")
    os.makedirs(notes)
    note = "trap 'echo $NAME >>/notes/order; sleep 0.3; exit $CODE' TERM; while :; do sleep 0.1; done"

    def container(name, code, **more):
        return dict(more, name=name, image=DEMO, command=["sh", "-c", note],
                    env=[{"name": "NAME", "value": name}, {"name": "CODE", "value": str(code)}],
                    lifecycle={"preStop": {"exec": {"command": ["sh", "-c", f"echo {name} >>/notes/hooks; sleep 1"]}}},
                    volumeMounts=[{"name": "notes", "mountPath": "/notes"}])
    made = create(cluster, "/api/v1/namespaces/default/pods", {
        "metadata": {"name": "order"}, "spec": {
            "initContainers": [container(n, 3, restartPolicy="Always") for n in ("one", "two")],
            "containers": [container("main", 0)],
            "volumes": [{"name": "notes", "hostPath": {"path": notes}}]}})
    lib.wait_for("it to be ready", lambda: "True" in [
        c["status"] for c in cluster.get("pod", "order")["status"].get("conditions", []) if c["type"] == "Ready"], 60)
    seen = []

    def watch():
        c = cluster.connect()
        c.request("GET", "/api/v1/namespaces/default/pods?watch=1&timeoutSeconds=60&fieldSelector=metadata.name%3Dorder"
                         "&resourceVersion=" + made["metadata"]["resourceVersion"])
        r = c.getresponse()
        while not seen or seen[-1]["type"] != "DELETED":
            seen.append(json.loads(r.readline()))
        c.close()
    watcher = threading.Thread(target=watch)
    watcher.start()
    cluster.kubectl("delete", "pod", "order")
    watcher.join()
    with open(os.path.join(notes, "order"), encoding="utf-8") as f:
        lib.equal(f.read().split(), ["main", "two", "one"], "TERM")
    with open(os.path.join(notes, "hooks"), encoding="utf-8") as f:
        lib.equal(sorted(f.read().split()), ["main", "one", "two"], "preStop")
    lib.equal(seen[-1]["type"], "DELETED")
    status = [e for e in seen if e["type"] == "MODIFIED"][-1]["object"]["status"]
    lib.equal(status["phase"], "Succeeded")
    lib.equal([s["state"]["terminated"]["exitCode"] for s in status["initContainerStatuses"] + status["containerStatuses"]],
              [3, 3, 0], "exit codes")


if __name__ == "__main__":
    lib.need_node()
    with lib.Cluster(agent=True) as c:
        lib.wait_for("the node", lambda: "True" in [x["status"] for x in c.get("node", "node-1")["status"]["conditions"]
                                                    if x["type"] == "Ready"], 120)
        sys.exit(lib.main([rolling_update_loses_no_request, the_last_one_serves_to_its_end,
                           sidecars_end_last_and_in_reverse], c))
