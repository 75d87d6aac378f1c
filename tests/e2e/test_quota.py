#!/usr/bin/env python3
"""ResourceQuota with its controller: what is used follows what is there, and the last seat is given once."""
import collections
import json
import sys
import tempfile
import threading

from lib import Cluster, contains, equal, main, need_tools, wait_for

MERGE = {"Content-Type": "application/merge-patch+json"}
WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.quota.example"},
    "spec": {"group": "quota.example", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
             "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]},
}


def ask(c, code, method, path, body=None, headers=None):
    status, o, _ = c.request(method, path, body, headers)
    equal(status, code, f"{method} {path} {json.dumps(o)}")
    return o


def namespace(c, name, hard, **spec):
    """A namespace with a quota that its controller has seen."""
    ask(c, 201, "POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    ns = f"/api/v1/namespaces/{name}"
    ask(c, 201, "POST", ns + "/resourcequotas", {"metadata": {"name": "q"}, "spec": dict(spec, hard=hard)})
    wait_for("a status", lambda: ask(c, 200, "GET", ns + "/resourcequotas/q").get("status"))
    return ns


def used(c, ns):
    return ask(c, 200, "GET", ns + "/resourcequotas/q").get("status", {}).get("used", {})


def comes_to(c, ns, **wanted):
    wanted = {k.replace("__", "."): v for k, v in wanted.items()}
    wait_for(f"used {wanted}", lambda: all(used(c, ns).get(k) == v for k, v in wanted.items()))


def the_last_seat(c):
    ns = namespace(c, "seats", {"count/secrets": "1"})
    codes = collections.Counter()
    lock = threading.Lock()

    def create(i):
        status, _, _ = c.request("POST", ns + "/secrets", {"metadata": {"name": f"s{i}"}})
        with lock:
            codes[status] += 1

    threads = [threading.Thread(target=create, args=(i,)) for i in range(100)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    equal(codes, {201: 1, 403: 99})
    equal(used(c, ns), {"count/secrets": "1"})
    equal(len(ask(c, 200, "GET", ns + "/secrets")["items"]), 1)


def a_new_one_comes_into_force_under_load(c):
    """However fast things come, a quota that is new limits them in a moment, and its count is right when they have ended."""
    ask(c, 201, "POST", "/api/v1/namespaces", {"metadata": {"name": "storm"}})
    ns = "/api/v1/namespaces/storm"
    over, refused = threading.Event(), threading.Event()

    def create(t):
        for i in range(20000):
            if over.is_set():
                return
            status, _, _ = c.request("POST", ns + "/secrets", {"metadata": {"name": f"s{t}-{i}"}})
            if status == 403:
                refused.set()

    threads = [threading.Thread(target=create, args=(t,)) for t in range(6)]
    for t in threads:
        t.start()
    try:
        wait_for("some of them", lambda: len(ask(c, 200, "GET", ns + "/secrets")["items"]) > 50)
        ask(c, 201, "POST", ns + "/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"count/secrets": "1000000"}}})
        wait_for("a count", lambda: used(c, ns).get("count/secrets"))
        ask(c, 201, "POST", ns + "/resourcequotas", {"metadata": {"name": "none"}, "spec": {"hard": {"count/secrets": "1"}}})
        wait_for("a refusal", refused.is_set)
        equal([t.is_alive() for t in threads], [True] * len(threads))
    finally:
        over.set()
        for t in threads:
            t.join()
    comes_to(c, ns, **{"count/secrets": str(len(ask(c, 200, "GET", ns + "/secrets")["items"]))})


def life_of_a_service(c):
    ns = namespace(c, "services", {"services": "3", "services.nodeports": "1", "services.loadbalancers": "1"})

    def service(name, kind):
        return {"metadata": {"name": name}, "spec": {"type": kind, "ports": [{"port": 80}]}}

    ask(c, 201, "POST", ns + "/services", service("a", "ClusterIP"))
    ask(c, 201, "POST", ns + "/services", service("b", "NodePort"))
    equal(used(c, ns), {"services": "2", "services.nodeports": "1", "services.loadbalancers": "0"})
    contains(ask(c, 403, "POST", ns + "/services", service("c", "LoadBalancer"))["message"], "exceeded quota: q", "services.nodeports=1")
    ask(c, 403, "PATCH", ns + "/services/a", {"spec": {"type": "NodePort"}}, MERGE)
    ask(c, 200, "DELETE", ns + "/services/b")
    comes_to(c, ns, services="1", services__nodeports="0")
    ask(c, 200, "PATCH", ns + "/services/a", {"spec": {"type": "NodePort"}}, MERGE)
    ask(c, 200, "DELETE", ns + "/services/a")
    comes_to(c, ns, services="0", services__nodeports="0", services__loadbalancers="0")


def life_of_a_pod(c):
    ns = namespace(c, "pods", {"pods": "1", "count/pods": "5", "requests.cpu": "1"})

    def pod(name, cpu):
        return {"metadata": {"name": name}, "spec": {"schedulerName": "none", "containers": [
            {"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]}}

    wait_for("its account", lambda: c.request("GET", ns + "/serviceaccounts/default")[0] == 200)
    ask(c, 403, "POST", ns + "/pods", pod("a", "2"))
    ask(c, 201, "POST", ns + "/pods", pod("a", "400m"))
    ask(c, 403, "POST", ns + "/pods", pod("b", "400m"))
    ask(c, 200, "PATCH", ns + "/pods/a/status", {"status": {"phase": "Succeeded"}}, MERGE)
    comes_to(c, ns, pods="0", requests__cpu="0", **{"count/pods": "1"})
    ask(c, 201, "POST", ns + "/pods", pod("b", "400m"))
    equal(used(c, ns), {"pods": "1", "count/pods": "2", "requests.cpu": "400m"})


def what_was_there_before(c):
    ask(c, 201, "POST", "/api/v1/namespaces", {"metadata": {"name": "old"}})
    for i in range(3):
        ask(c, 201, "POST", "/api/v1/namespaces/old/secrets", {"metadata": {"name": f"s{i}"}})
    ask(c, 201, "POST", "/api/v1/namespaces/old/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"secrets": "2"}}})
    wait_for("a status", lambda: used(c, "/api/v1/namespaces/old") == {"secrets": "3"})
    ask(c, 403, "POST", "/api/v1/namespaces/old/secrets", {"metadata": {"name": "more"}})
    ask(c, 200, "PATCH", "/api/v1/namespaces/old/resourcequotas/q", {"spec": {"hard": {"secrets": "4"}}}, MERGE)
    wait_for("the new limit", lambda: ask(c, 200, "GET", "/api/v1/namespaces/old/resourcequotas/q")["status"]["hard"] == {"secrets": "4"})
    ask(c, 201, "POST", "/api/v1/namespaces/old/secrets", {"metadata": {"name": "more"}})


def custom_kinds_as_they_come(c):
    ns = namespace(c, "custom", {"count/widgets.quota.example": "1"})
    at = "/apis/quota.example/v1/namespaces/custom/widgets"

    def widget(name):
        return {"apiVersion": "quota.example/v1", "kind": "Widget", "metadata": {"name": name}}

    equal(used(c, ns), {})
    ask(c, 201, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", WIDGETS)
    comes_to(c, ns, **{"count/widgets__quota__example": "0"})
    ask(c, 201, "POST", at, widget("a"))
    ask(c, 403, "POST", at, widget("b"))
    ask(c, 200, "DELETE", at + "/a")
    comes_to(c, ns, **{"count/widgets__quota__example": "0"})
    ask(c, 201, "POST", at, widget("b"))
    # With its definition they go, and a namespace with a quota for it goes as well.
    ask(c, 200, "DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.quota.example")
    ask(c, 200, "DELETE", ns)
    wait_for("the namespace to go", lambda: c.request("GET", ns)[0] == 404)


LIMITED = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - {resource: pods, matchScopes: [{scopeName: PriorityClass, operator: In, values: [system-node-critical]}]}
    - {resource: persistentvolumeclaims, matchContains: [.storageclass.storage.k8s.io/requests.storage]}
"""


def a_start_is_not_held_by_one(_):
    """What a server makes at its start, of a kind that a quota counts, waits for its turn there: one behind the other."""
    with Cluster(args=("--disable-scheduler",)) as c:
        ns = "/api/v1/namespaces/kube-system"
        roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles"
        ask(c, 201, "POST", ns + "/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"count/roles.rbac.authorization.k8s.io": "100"}}})
        wait_for("it is in force", lambda: ask(c, 200, "GET", ns + "/resourcequotas/q").get("status", {}).get("hard"))
        names = {r["metadata"]["name"] for r in ask(c, 200, "GET", roles)["items"]}
        ask(c, 200, "DELETE", roles)
        c.stop()
        c.start()  # waits until it is ready, and not half a minute
        equal({r["metadata"]["name"] for r in ask(c, 200, "GET", roles)["items"]}, names)


def only_with_a_quota(_):
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(LIMITED)
        f.flush()
        with Cluster(args=("--disable-scheduler", "--admission-control-config-file", f.name)) as c:
            ns = namespace(c, "limited", {"secrets": "9"})
            pod = {"metadata": {"name": "a"}, "spec": {"priorityClassName": "system-node-critical", "containers": [{"name": "c", "image": "i"}]}}
            claim = {"metadata": {"name": "a"}, "spec": {"storageClassName": "gold", "accessModes": ["ReadWriteOnce"],
                                                         "resources": {"requests": {"storage": "1Gi"}}}}
            wait_for("its account", lambda: c.request("GET", ns + "/serviceaccounts/default")[0] == 200)
            contains(ask(c, 403, "POST", ns + "/pods", pod)["message"],
                     "insufficient quota to match these scopes: [{PriorityClass In [system-node-critical]}]")
            contains(ask(c, 403, "POST", ns + "/persistentvolumeclaims", claim)["message"],
                     "insufficient quota to consume: gold.storageclass.storage.k8s.io/requests.storage")
            select = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}
            ask(c, 201, "POST", ns + "/resourcequotas", {"metadata": {"name": "p"}, "spec": {"hard": {"pods": "1"}, "scopeSelector": select}})
            ask(c, 201, "POST", ns + "/pods", pod)


if __name__ == "__main__":
    need_tools()
    with Cluster(args=("--disable-scheduler",)) as cluster:
        sys.exit(main([the_last_seat, a_new_one_comes_into_force_under_load, life_of_a_service, life_of_a_pod, what_was_there_before, custom_kinds_as_they_come,
                       a_start_is_not_held_by_one, only_with_a_quota], cluster))
