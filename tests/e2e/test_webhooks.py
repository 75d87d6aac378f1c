#!/usr/bin/env python3
"""Admission webhooks that are slow, dead, lying, huge or in the wrong place: what is refused, what is let pass, and that
nobody else waits for them."""
import json
import os
import sys
import threading

from hooks import Hooks
from lib import Cluster, Space, contains, equal, free_port, hook, main, own_address, rule, wait_for

GROUP = "/apis/admissionregistration.k8s.io/v1/"
VALIDATING, MUTATING = GROUP + "validatingwebhookconfigurations", GROUP + "mutatingwebhookconfigurations"
MAPS = "/api/v1/namespaces/{}/configmaps"


class Place(Space):
    """A namespace with one webhook for it, away again at the end."""

    def __init__(self, c, hooks, client, kind=VALIDATING, **more):
        super().__init__(c)
        self.kind, self.ns = kind, self.name
        asked = {"rules": [rule(operations=("*",))], "namespaceSelector": self.selector(), **more}
        code, answer, _ = c.request("POST", kind, {"apiVersion": "admissionregistration.k8s.io/v1",
                                                   "kind": "ValidatingWebhookConfiguration" if kind == VALIDATING else
                                                   "MutatingWebhookConfiguration",
                                                   "metadata": {"name": self.ns}, "webhooks": [hook(hooks, client, **asked)]})
        equal(code, 201, str(answer))

    def __enter__(self):
        return self

    def create(self, name="x", **more):
        return self.c.request("POST", MAPS.format(self.ns), {"metadata": {"name": name}, **more})

    def refused(self, *words):
        code, answer, _ = self.create()
        contains(answer["message"], "failed calling webhook \"hook.example.com\"", *words)
        equal(code, 500)

    def __exit__(self, *_):
        equal(self.c.request("DELETE", f"{self.kind}/{self.ns}")[0], 200)


# --- refused ---


def never_the_api_server_itself(c, hooks):
    # as itself, by a name, and in each way to write 127.0.0.1 that some resolver takes
    for host in ("127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "2130706433", "0x7f000001", "0177.0.0.1",
                 "127.1", "0", "LOCALHOST"):
        url = f"https://{host}:{c.port}/api"
        with Place(c, hooks, {"url": url}) as p:
            p.refused("address not allowed")


def never_the_link(c, hooks):
    for host in ("169.254.169.254", "[fe80::1]", "0.0.0.0", "224.0.0.1", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "2852039166", "0xa9fea9fe",
                 "0251.0376.0251.0376", "169.254.43518", "[fd00:ec2::254]"):
        with Place(c, hooks, {"url": f"https://{host}/latest/meta-data"}) as p:
            p.refused("address not allowed")


def a_service_never_leads_to_loopback(c, hooks):
    port = {"ports": [{"port": 443, "targetPort": hooks.port}]}
    equal(c.request("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "away"}, "spec": port})[0], 201)
    # Endpoints of loopback addresses are refused by the API; what is left is the one that leads to the server.
    with Place(c, hooks, {"service": {"namespace": "default", "name": "kubernetes"}}) as p:
        code, answer, _ = p.create()
        equal(code, 500)
        contains(answer["message"], "https://kubernetes.default.svc:443/?timeout=5s")
    with Place(c, hooks, {"service": {"namespace": "default", "name": "none"}}) as p:
        p.refused('Post "https://none.default.svc:443/?timeout=5s": services "none" not found')
    with Place(c, hooks, {"service": {"namespace": "default", "name": "away", "port": 8}}) as p:
        p.refused('no service port 8 found for service "away"')


def a_name_that_a_service_stands_for_neither(c, hooks):
    """Who may write Services could else send the server to what only it reaches."""
    for i, name in enumerate(("localhost", "127.0.0.1", "169.254.169.254", "2130706433", "127.1")):
        equal(c.request("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": f"alias-{i}"}, "spec": {
            "type": "ExternalName", "externalName": name}})[0], 201, name)
        with Place(c, hooks, {"service": {"namespace": "default", "name": f"alias-{i}", "port": hooks.port}}) as p:
            p.refused("address not allowed")
    equal([path for path in hooks.calls if hooks.calls[path]], [])


def no_redirect_is_followed(c, hooks):
    with Place(c, hooks, "/redirect/x") as p:
        p.refused("the server responded with the status code 302")
    equal(hooks.calls["/allow/redirected"], [])


def another_authority(c, hooks):
    with Place(c, hooks, {"url": hooks.url("/allow/x"), "caBundle": ""}) as p:
        p.refused("x509: certificate signed by unknown authority")
    equal(hooks.calls["/allow/x"], [])


def the_systems_authorities(_, hooks):
    """Who brings none is held to those; another server, whose system knows this one."""
    os.environ["SSL_CERT_FILE"] = hooks.pem
    try:
        with Cluster(args=["--disable-scheduler", "--disable-controller-manager"]) as other:
            wait_for("the namespace", lambda: other.request("GET", "/api/v1/namespaces/default")[0] == 200)
            for path in ("/deny/system", "/deny/again"):
                with Place(other, hooks, {"url": hooks.url(path), "caBundle": ""}) as p:
                    equal(p.create()[1]["message"], 'admission webhook "hook.example.com" denied the request: not here')
    finally:
        del os.environ["SSL_CERT_FILE"]


def too_much(c, hooks):
    with Place(c, hooks, "/huge/x") as p:
        p.refused("the answer is longer than")


def without_end(c, hooks):
    with Place(c, hooks, "/forever/x", timeoutSeconds=1) as p:
        p.refused("?timeout=1s\": context deadline exceeded")


def what_is_no_answer(c, hooks):
    for behaviour in ("cut", "garbage", "deep"):
        with Place(c, hooks, f"/{behaviour}/x") as p:
            p.refused()


def dead(c, hooks):
    with Place(c, hooks, {"url": f"https://127.0.0.1:{free_port()}/x"}) as p:
        p.refused("connect: connection refused")
    with Place(c, hooks, {"url": f"https://127.0.0.1:{free_port()}/x"}, failurePolicy="Ignore") as p:
        equal(p.create()[0], 201)


def a_patch_that_lies(c, hooks):
    for i, (patch, words) in enumerate((
            ([{"op": "remove", "path": "/none"}], "Unable to remove nonexistent key: none"),
            ([{"op": "replace", "path": "/kind", "value": "Secret"}], "changes the object's kind"),
            ([{"op": "add", "path": "/data", "value": ["x"]}], "cannot unmarshal"),
            ([{"op": "copy", "from": "/metadata", "path": "/metadata/labels"}] * 200, ""),
            ([{"op": "add", "path": "/a" * 3000, "value": 1}], ""))):
        hooks.answers[f"/patch/{i}"] = patch
        with Place(c, hooks, f"/patch/{i}", MUTATING) as p:
            code, answer, _ = p.create()
            equal((code, answer["reason"]), (500, "InternalError"), words)
            contains(answer["message"], words)


def the_configuration_can_always_go(c, hooks):
    everything = [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"]}]
    url = f"https://127.0.0.1:{free_port()}/x"
    with Place(c, hooks, {"url": url}, rules=everything, namespaceSelector={}) as p:
        equal(p.create()[0], 500)
        equal(c.request("DELETE", f"/api/v1/namespaces/{p.ns}")[0], 500)
    equal(p.create()[0], 201)


# --- allowed, and nobody waits ---


def slow_ones_hold_up_nobody_else(c, hooks):
    hooks.go.clear()
    answers = []
    with Place(c, hooks, "/slow/x", timeoutSeconds=30) as p:
        def ask(i):
            answers.append(p.create(f"s{i}")[0])
        threads = [threading.Thread(target=ask, args=(i,)) for i in range(40)]
        for t in threads:
            t.start()
        wait_for("calls under way", lambda: len(hooks.calls["/slow/x"]) >= 30)
        equal(c.request("GET", "/api/v1/namespaces/default/configmaps")[0], 200)
        equal(c.request("POST", MAPS.format("default"), {"metadata": {"name": "beside"}})[0], 201)
        hooks.go.set()
        for t in threads:
            t.join(60)
        equal(answers, [201] * 40)


def connections_are_kept(c, hooks):
    with Place(c, hooks, "/allow/kept") as p:
        equal(p.create("first")[0], 201)
        before = hooks.connections
        for i in range(20):
            equal(p.create(f"k{i}")[0], 201)
        equal(hooks.connections, before, "connections")
        equal(len(hooks.calls["/allow/kept"]), 21)


def what_it_makes_is_defaulted_and_warned_of(c, hooks):
    hooks.answers["/say/w"] = {"warnings": ["mind the gap"]}
    with Place(c, hooks, "/say/w") as p:
        code, _, headers = p.create()
        equal(code, 201)
        contains(headers["Warning"], "mind the gap")
    hooks.answers["/patch/port"] = [{"op": "add", "path": "/spec/ports/-", "value": {"name": "b", "port": 2}}]
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["services"]}]
    with Place(c, hooks, "/patch/port", MUTATING, rules=rules) as p:
        code, answer, _ = c.request("POST", f"/api/v1/namespaces/{p.ns}/services",
                                    {"metadata": {"name": "s"}, "spec": {"ports": [{"name": "a", "port": 1}]}})
        equal(code, 201, str(answer))
        equal(answer["spec"]["ports"][1], {"name": "b", "protocol": "TCP", "port": 2, "targetPort": 2})
        equal([m["manager"] for m in answer["metadata"]["managedFields"] if "f:b" in json.dumps(m)], [])


def a_service_by_its_endpoints(c, hooks):
    address = own_address()
    if not address:
        return
    there = Hooks(c.dir, address=address)
    try:
        spec = {"ports": [{"name": "https", "port": 443, "targetPort": 9443}]}
        equal(c.request("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "hook"}, "spec": spec})[0], 201)
        ends = [{"addresses": [{"ip": address}], "ports": [{"name": "https", "port": there.port}]}]
        equal(c.request("POST", "/api/v1/namespaces/default/endpoints", {"metadata": {"name": "hook"}, "subsets": ends})[0], 201)
        with Place(c, there, {"service": {"namespace": "default", "name": "hook", "path": "/deny/s"}}) as p:
            code, answer, _ = p.create()
            equal((code, answer["reason"], answer["message"]),
                  (403, "Forbidden", 'admission webhook "hook.example.com" denied the request: not here'))
    finally:
        there.close()


def what_connects(c, hooks):
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CONNECT"], "resources": ["pods/exec", "pods/proxy"]}]
    with Place(c, hooks, "/deny/connect", rules=rules) as p:
        code, answer, _ = c.request("POST", f"/api/v1/namespaces/{p.ns}/pods/x/exec?command=sh&command=-c&stdout=true&container=a")
        equal((code, answer["message"]), (403, 'admission webhook "hook.example.com" denied the request: not here'))
        equal(c.request("GET", f"/api/v1/namespaces/{p.ns}/pods/x/proxy/a/b")[0], 403)
    asked, proxied = hooks.calls["/deny/connect"]
    equal(asked["operation"], "CONNECT")
    equal(asked["object"], {"kind": "PodExecOptions", "apiVersion": "v1", "stdout": True, "container": "a", "command": ["sh", "-c"]})
    equal(proxied["object"], {"kind": "PodProxyOptions", "apiVersion": "v1", "path": "/a/b"})


def whatever_it_counts(c, hooks):
    code, text, _ = c.request("GET", "/metrics")
    equal(code, 200)
    contains(text, 'apiserver_admission_webhook_admission_duration_seconds_count{name="hook.example.com",operation="CREATE",'
             'rejected="true",type="validating"}', "apiserver_admission_webhook_fail_open_count",
             'apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error"')


def the_end_waits_for_none(c, hooks):
    hooks.go.clear()
    p = Place(c, hooks, "/slow/end", timeoutSeconds=30)
    codes = []
    t = threading.Thread(target=lambda: codes.append(p.create()[0]))
    t.start()
    wait_for("a call under way", lambda: hooks.calls["/slow/end"])
    equal(c.stop(), 0)
    t.join(60)
    hooks.go.set()


TESTS = [never_the_api_server_itself, never_the_link, a_service_never_leads_to_loopback, a_name_that_a_service_stands_for_neither,
         no_redirect_is_followed, another_authority, the_systems_authorities,
         too_much, without_end, what_is_no_answer, dead, a_patch_that_lies, the_configuration_can_always_go,
         slow_ones_hold_up_nobody_else, connections_are_kept, what_it_makes_is_defaulted_and_warned_of, a_service_by_its_endpoints,
         what_connects, whatever_it_counts, the_end_waits_for_none]

def custom(version, **properties):
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}}
    return {"name": version, "served": True, "storage": version == "v1", "schema": {"openAPIV3Schema": schema}}


def custom_objects_in_two_versions(c, hooks):
    client = {"url": hooks.url("/convert/x"), "caBundle": hooks.ca}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "turns.e2e.example.com"},
           "spec": {"group": "e2e.example.com", "scope": "Namespaced", "names": {"plural": "turns", "kind": "Turn"},
                    "versions": [custom("v1", old={"type": "string"}), custom("v2", fresh={"type": "string"})],
                    "conversion": {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client}}}}
    code, answer, _ = c.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    equal(code, 201, str(answer))
    path = "/apis/e2e.example.com/{}/namespaces/default/turns"
    wait_for("the kind", lambda: c.request("GET", path.format("v2"))[0] == 200)
    for i in range(3):
        code, answer, _ = c.request("POST", path.format("v1"), {"apiVersion": "e2e.example.com/v1", "kind": "Turn",
                                                                "metadata": {"name": f"t{i}"}, "spec": {"old": str(i)}})
        equal(code, 201, str(answer))
    code, answer, _ = c.request("GET", path.format("v2"))
    equal((code, [o["spec"] for o in answer.get("items", [])]), (200, [{"fresh": "0"}, {"fresh": "1"}, {"fresh": "2"}]), str(answer))
    code, answer, _ = c.request("PATCH", path.format("v2") + "/t1", {"spec": {"fresh": "x"}}, {"Content-Type": "application/merge-patch+json"})
    equal((code, answer.get("spec")), (200, {"fresh": "x"}), str(answer))
    equal(c.request("GET", path.format("v1") + "/t1")[1]["spec"], {"old": "x"})
    client["url"] = hooks.url("/garbage/x")
    code, answer, _ = c.request("PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/turns.e2e.example.com",
                                {"spec": {"conversion": {"webhook": {"clientConfig": client}}}}, {"Content-Type": "application/merge-patch+json"})
    equal(code, 200, str(answer))

    def refused():
        code, answer, _ = c.request("GET", path.format("v2") + "/t2")
        return code == 500 and "conversion webhook for e2e.example.com/v1, Kind=Turn failed: " in answer["message"]
    wait_for("another webhook", refused)


def what_goes_while_a_hook_thinks_takes_nothing_more(c, hooks):
    """Of the namespace and the definition: refused when the hook is done, and nothing lies there for the next one."""
    definitions, turns = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "/apis/away.example.com/v1/turns"
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "turns.away.example.com"},
           "spec": {"group": "away.example.com", "scope": "Cluster", "names": {"plural": "turns", "kind": "Turn"}, "versions": [custom("v1")]}}

    def define():
        code, answer, _ = c.request("POST", definitions, crd)
        equal(code, 201, str(answer))
        wait_for("the kind", lambda: c.request("GET", turns)[0] == 200)
    define()
    hooks.go.clear()
    hooks.calls["/slow/away"].clear()
    answers = {}
    rules = [{"apiGroups": ["", "away.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps", "turns"]}]
    with Place(c, hooks, "/slow/away", timeoutSeconds=30, rules=rules) as p:
        def ask(what, path):
            answers[what] = c.request("POST", path, {"metadata": {"name": "x"}, "apiVersion": "away.example.com/v1" if what == "turn" else "v1",
                                                     "kind": "Turn" if what == "turn" else "ConfigMap"})[:2]
        threads = [threading.Thread(target=ask, args=a) for a in (("turn", turns), ("map", MAPS.format(p.ns)))]
        for t in threads:
            t.start()
        wait_for("calls under way", lambda: len(hooks.calls["/slow/away"]) == 2)
        equal(c.request("DELETE", definitions + "/turns.away.example.com")[0], 200)
        wait_for("no definition", lambda: c.request("GET", definitions + "/turns.away.example.com")[0] == 404)
        equal(c.request("DELETE", "/api/v1/namespaces/" + p.ns)[0], 200)
        hooks.go.set()
        for t in threads:
            t.join(60)
        equal(answers["turn"][0], 405, str(answers))
        equal(answers["map"][0], 403, str(answers))
        contains(answers["map"][1]["message"], "because it is being terminated")
        equal(c.request("GET", MAPS.format(p.ns))[1]["items"], [])
    define()
    equal(c.request("GET", turns)[1]["items"], [])
    equal(c.request("DELETE", definitions + "/turns.away.example.com")[0], 200)


def as_whom(c, hooks):
    with Place(c, hooks, "/allow/whom") as p:
        equal(p.create()[0], 201)
    equal(hooks.headers["/allow/whom"]["Authorization"], "Bearer for-loopback")


TESTS[11:11] = [as_whom, custom_objects_in_two_versions, what_goes_while_a_hook_thinks_takes_nothing_more]

if __name__ == "__main__":
    cluster = Cluster(args=["--disable-scheduler", "--disable-controller-manager"])
    with open(cluster.dir + "/admission.yaml", "w", encoding="utf-8") as out:
        out.write("apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n- name: ValidatingAdmissionWebhook\n"
                  "  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration, kubeConfigFile: hooks.yaml}\n")
    with open(cluster.dir + "/hooks.yaml", "w", encoding="utf-8") as out:
        out.write("apiVersion: v1\nkind: Config\nusers:\n- name: '*'\n"
                  "  user: {token: for-loopback}\n")
    cluster.args += ["--admission-control-config-file", cluster.dir + "/admission.yaml"]
    with cluster:
        server = Hooks(cluster.dir)
        status = main(TESTS, cluster, server)
        server.close()
    sys.exit(status)
