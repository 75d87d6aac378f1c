#!/usr/bin/env python3
"""Gateway API: its kinds, what is said of Gateways and routes, and real requests through a real HAProxy. The corpus'
examples, where they are at hand, are refused or taken as recorded."""
import base64
import contextlib
import functools
import glob
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading

import lib
import test_ingress
from lib import ROOT, Cluster, Failed, Skip, contains, equal, wait_for
from test_ingress import Backend, certificate

GROUP = "/apis/gateway.networking.k8s.io/v1"
INFRA = "gateway-conformance-infra"
CORPUS = os.path.join(os.path.dirname(ROOT), "shared", "corpus", "samples", "gateway-api")
KINDS = ["gatewayclasses", "gateways", "grpcroutes", "httproutes", "referencegrants", "tlsroutes"]
PLURAL = {"GatewayClass": "gatewayclasses", "Gateway": "gateways", "HTTPRoute": "httproutes", "GRPCRoute": "grpcroutes",
          "TLSRoute": "tlsroutes", "ReferenceGrant": "referencegrants"}


def true(conditions, *types):
    found = {c["type"]: c for c in conditions or []}
    return all(found.get(t, {}).get("status") == "True" for t in types)


def reason(conditions, kind):
    """(status, reason)"""
    return next(((c["status"], c["reason"]) for c in conditions or [] if c["type"] == kind), None)


class World:
    def __init__(self):
        self.http, self.https, self.other = lib.free_port(), lib.free_port(), lib.free_port()
        self.c = Cluster(agent=True, args=["--ingress-http-port", str(lib.free_port()), "--ingress-https-port", str(lib.free_port())])
        self.backends = {}

    def request(self, *args, **kw):
        return self.c.request(*args, **kw)

    def put(self, path, doc):
        """As kubectl apply --server-side does."""
        status, body, _ = self.request("PATCH", f"{path}/{doc['metadata']['name']}?fieldManager=e2e&force=true", doc,
                                       {"Content-Type": "application/apply-patch+yaml"})
        if status not in (200, 201):
            raise Failed(f"{path}: {status} {body}")
        return body

    def namespace(self, name, **labels):
        self.put("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})

    def path(self, kind, ns, name=""):
        scope = "" if kind == "GatewayClass" else f"/namespaces/{ns}"
        return f"{GROUP}{scope}/{PLURAL[kind]}" + (f"/{name}" if name else "")

    def make(self, kind, name, spec, ns=INFRA):
        return self.put(self.path(kind, ns), {"apiVersion": "gateway.networking.k8s.io/v1", "kind": kind,
                                              "metadata": {"name": name, "namespace": ns}, "spec": spec})

    def get(self, kind, name, ns=INFRA):
        body = self.request("GET", self.path(kind, ns, name))[1]
        return body if isinstance(body, dict) else {}  # before the kind is there nobody answers in its words

    def delete(self, kind, name, ns=INFRA):
        self.request("DELETE", self.path(kind, ns, name))

    def service(self, name, ns=INFRA, port=8080, protocol=None, server=None):
        """A Service with one server of its own, both by this name."""
        b = self.backends[(ns, name)] = server or Backend(name)
        self.put(f"/api/v1/namespaces/{ns}/services", {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"name": "p", "port": port, **({"appProtocol": protocol} if protocol else {})}]}})
        self.put(f"/apis/discovery.k8s.io/v1/namespaces/{ns}/endpointslices", {
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "p", "port": b.port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [lib.own_address()], "conditions": {"ready": True}}]})

    def gateway(self, name, listeners, ns=INFRA):
        self.make("Gateway", name, {"gatewayClassName": "caravel", "listeners": listeners}, ns)

    def route(self, name, gateway, rules, ns=INFRA, kind="HTTPRoute", **spec):
        return self.make(kind, name, {"parentRefs": [gateway if isinstance(gateway, dict) else {"name": gateway}], "rules": rules,
                                      **spec}, ns)

    def parents(self, name, kind="HTTPRoute", ns=INFRA):
        return self.get(kind, name, ns).get("status", {}).get("parents", [])

    def said(self, name, kind_of_condition, wanted, kind="HTTPRoute", ns=INFRA):
        """The first parent's condition is (status, reason), and of the present generation."""
        def now():
            o = self.get(kind, name, ns)
            p = o.get("status", {}).get("parents") or [{}]
            new = [c for c in p[0].get("conditions", []) if c["observedGeneration"] == o["metadata"]["generation"]]
            return reason(new, kind_of_condition) == wanted
        try:
            wait_for(f"{name}: {kind_of_condition} {wanted}", now)
        except Failed as e:
            raise Failed(f"{e}: {self.parents(name, kind, ns)}") from e

    def programmed(self, name, ns=INFRA):
        return wait_for(f"gateway {name} is programmed", lambda: (
            lambda g: true(g.get("status", {}).get("conditions"), "Accepted", "Programmed") and g)(self.get("Gateway", name, ns)))

    def ask(self, host, path="/", method="GET", headers=None, port=None, tls=None, sni=None):
        """(status, answer of a backend or text, headers)"""
        port = port or (self.https if tls else self.http)
        h = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        if tls:
            h.sock = test_ingress.tls_connect(port, sni or host)[0]
        try:
            h.putrequest(method, path, skip_host=True)
            for k, v in [("Host", host), *(headers.items() if isinstance(headers, dict) else headers or [])]:
                h.putheader(k, v)
            h.endheaders()
            r = h.getresponse()
            text = r.read().decode(errors="replace")
            return r.status, json.loads(text) if text.startswith("{") else text, r.headers
        finally:
            h.close()

    def name(self, host, path="/", **kw):
        """Who answers: a backend's name, or the status; 0 while nobody listens."""
        try:
            status, answer, _ = self.ask(host, path, **kw)
        except (OSError, http.client.HTTPException):
            return 0
        return answer["name"] if status == 200 and isinstance(answer, dict) else status

    def until(self, wanted, host, path="/", **kw):
        last = []

        def is_so():
            last[:] = [self.name(host, path, **kw)]
            return last[0] == wanted
        try:
            wait_for(f"{host}{path} to answer {wanted}", is_so)
        except Failed as e:
            raise Failed(f"{e}: {last}") from e

    def all_of(self, host, *cases, **kw):
        for path, wanted, *more in cases:
            equal(self.name(host, path, **(more[0] if more else {}), **kw), wanted, f"{host}{path} {more}")


def to(*names, port=8080):
    return [{"name": n, "port": port} for n in names]


def match(value, kind="PathPrefix", **more):
    return [{"path": {"type": kind, "value": value}, **more}]


# --- the kinds ---

def kinds_are_there(w):
    def established():
        items = w.request("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")[1]["items"]
        return sorted(i["spec"]["names"]["plural"] for i in items
                      if "gateway" in i["spec"]["group"] and true(i.get("status", {}).get("conditions"), "Established"))
    wait_for("the kinds", lambda: established() == KINDS)
    crd = w.request("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/httproutes.gateway.networking.k8s.io")[1]
    notes = crd["metadata"]["annotations"]
    equal(notes["gateway.networking.k8s.io/channel"], "standard")
    contains(notes["gateway.networking.k8s.io/bundle-version"], "v1.")
    wait_for("the class", lambda: true(w.get("GatewayClass", "caravel").get("status", {}).get("conditions"), "Accepted"))
    equal(reason(w.get("GatewayClass", "caravel")["status"]["conditions"], "SupportedVersion"), ("True", "SupportedVersion"))
    note = {"metadata": {"annotations": {"gateway.networking.k8s.io/bundle-version": "v0.0.0"}}}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gatewayclasses.gateway.networking.k8s.io"
    for version, wanted in (("v0.0.0", "False"), (None, "False"), (notes["gateway.networking.k8s.io/bundle-version"], "True")):
        note["metadata"]["annotations"]["gateway.networking.k8s.io/bundle-version"] = version
        equal(w.request("PATCH", path, note, {"Content-Type": "application/merge-patch+json"})[0], 200)
        wait_for("the version", lambda wanted=wanted: reason(w.get("GatewayClass", "caravel")["status"]["conditions"], "SupportedVersion")[0] == wanted)
    features = [f["name"] for f in w.get("GatewayClass", "caravel")["status"]["supportedFeatures"]]
    equal(features, sorted(features))


def a_bundle_of_a_users(w):
    """Who applies one has it, without force; a start does not bring ours back."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/tlsroutes.gateway.networking.k8s.io"
    crd = w.request("GET", path)[1]
    ours = json.dumps({"apiVersion": crd["apiVersion"], "kind": crd["kind"], "spec": crd["spec"], "metadata": {
        "name": crd["metadata"]["name"], "annotations": crd["metadata"]["annotations"]}})
    theirs = json.loads(ours)
    theirs["metadata"]["annotations"]["gateway.networking.k8s.io/bundle-version"] = "v1.9.9"
    theirs["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "theirs"
    del theirs["spec"]["names"]["categories"]
    w.c.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(theirs))

    def theirs_now():
        now = w.request("GET", path)[1]
        return (now["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"], now["spec"]["names"].get("categories"),
                now["metadata"]["annotations"]["gateway.networking.k8s.io/bundle-version"])
    equal(theirs_now(), ("theirs", None, "v1.9.9"))
    w.c.stop()
    w.c.start()
    wait_for("the class", lambda: true(w.get("GatewayClass", "caravel").get("status", {}).get("conditions"), "Accepted"))
    equal(theirs_now(), ("theirs", None, "v1.9.9"))
    w.c.kubectl("apply", "--server-side", "-f", "-", stdin=ours)


def refusals(w):
    """Every object of the corpus that upstream's rules refuse; what is right of them is taken, so the rules are the reason."""
    if not os.path.isdir(CORPUS):
        raise Skip("no corpus here")
    for f in sorted(glob.glob(f"{CORPUS}/invalid/standard--*")):
        r = w.c.run("create", "--dry-run=server", "-n", "default", "-f", f, check=False)
        if r.returncode == 0 or "is invalid" not in r.errors:
            raise Failed(f"{f}: {r.text}{r.errors}")




# --- what is said ---

def listeners_are_told(w):
    w.gateway("same-namespace", [
        {"name": "http", "port": w.http, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Same"}}}])
    g = w.programmed("same-namespace")
    listener = g["status"]["listeners"][0]
    equal((listener["name"], listener["attachedRoutes"]), ("http", 0))
    equal([k["kind"] for k in listener["supportedKinds"]], ["HTTPRoute", "GRPCRoute"])
    equal(true(listener["conditions"], "Accepted", "Programmed", "ResolvedRefs"), True)
    equal(reason(listener["conditions"], "Conflicted"), ("False", "NoConflicts"))
    equal([a["type"] for a in g["status"]["addresses"]], ["IPAddress"])
    equal({c["observedGeneration"] for c in g["status"]["conditions"] + listener["conditions"]}, {g["metadata"]["generation"]})
    w.until(404, "nobody.example")


def listeners_that_are_wrong(w):
    """By listener: (condition, status, reason), and the kinds it can have."""
    w.gateway("wrong", [
        {"name": "tcp", "port": 9, "protocol": "TCP"},
        {"name": "kinds", "port": w.other, "protocol": "HTTP", "hostname": "k.example",
         "allowedRoutes": {"kinds": [{"kind": "InvalidRoute"}, {"kind": "HTTPRoute"}]}},
        {"name": "none", "port": w.other, "protocol": "HTTP", "hostname": "n.example",
         "allowedRoutes": {"kinds": [{"kind": "TLSRoute"}]}},
        {"name": "secret", "port": w.https, "protocol": "HTTPS", "hostname": "s.example",
         "tls": {"certificateRefs": [{"name": "nosuch"}]}},
        {"name": "foreign", "port": w.https, "protocol": "HTTPS", "hostname": "f.example",
         "tls": {"certificateRefs": [{"name": "x", "namespace": "default"}]}},
        {"name": "kind", "port": w.https, "protocol": "HTTPS", "hostname": "c.example",
         "tls": {"certificateRefs": [{"name": "x", "kind": "ConfigMap"}]}}])
    wanted = {"tcp": ("Accepted", "False", "UnsupportedProtocol", []),
              "kinds": ("ResolvedRefs", "False", "InvalidRouteKinds", ["HTTPRoute"]),
              "none": ("ResolvedRefs", "False", "InvalidRouteKinds", []),
              "secret": ("ResolvedRefs", "False", "InvalidCertificateRef", ["HTTPRoute", "GRPCRoute"]),
              "foreign": ("ResolvedRefs", "False", "RefNotPermitted", ["HTTPRoute", "GRPCRoute"]),
              "kind": ("ResolvedRefs", "False", "InvalidCertificateRef", ["HTTPRoute", "GRPCRoute"])}
    got = wait_for("statuses", lambda: w.get("Gateway", "wrong").get("status", {}).get("listeners"))
    for x in got:
        kind, status, why, kinds = wanted[x["name"]]
        equal(reason(x["conditions"], kind), (status, why), x["name"])
        equal([k["kind"] for k in x["supportedKinds"]], kinds, x["name"])
    w.delete("Gateway", "wrong")


def listeners_that_conflict(w):
    w.gateway("conflicts", [{"name": "a", "port": w.other, "protocol": "HTTP"},
                            {"name": "b", "port": w.other, "protocol": "HTTPS", "hostname": "x.example",
                             "tls": {"certificateRefs": [{"name": "x"}]}}])
    got = wait_for("statuses", lambda: w.get("Gateway", "conflicts").get("status", {}).get("listeners"))
    equal([reason(x["conditions"], "Conflicted") for x in got], [("True", "ProtocolConflict")] * 2)
    w.delete("Gateway", "conflicts")
    # The older Gateway says what a port is for.
    w.gateway("younger", [{"name": "a", "port": w.http, "protocol": "HTTPS", "hostname": "x.example",
                           "tls": {"certificateRefs": [{"name": "x"}]}}])
    got = wait_for("statuses", lambda: w.get("Gateway", "younger").get("status", {}).get("listeners"))
    equal(reason(got[0]["conditions"], "Accepted"), ("False", "PortUnavailable"))
    w.delete("Gateway", "younger")


def what_is_not_served(w):
    """It says so."""
    w.make("Gateway", "addresses", {"gatewayClassName": "caravel", "addresses": [{"value": "192.0.2.1"}],
                                    "listeners": [{"name": "a", "port": w.http, "protocol": "HTTP"}]})
    wait_for("the reason", lambda: reason(w.get("Gateway", "addresses").get("status", {}).get("conditions"), "Accepted") ==
             ("False", "UnsupportedAddress"))
    w.delete("Gateway", "addresses")
    w.route("regular", "same-namespace", [{"matches": match("/[a-z]+", "RegularExpression"), "backendRefs": to("v1")}])
    w.said("regular", "Accepted", ("False", "UnsupportedValue"))
    w.route("regular", "same-namespace", [{"matches": match("/[a-z]+", "RegularExpression"), "backendRefs": to("v1")},
                                          {"matches": match("/fine"), "backendRefs": to("v1")}])
    w.said("regular", "PartiallyInvalid", ("True", "UnsupportedValue"))
    w.until("v1", "x.example", "/fine")
    w.delete("HTTPRoute", "regular")


def routes_are_told(w):
    w.namespace("elsewhere")
    w.service("far", "elsewhere")
    for name, gateway, refs, condition, wanted in (
            ("no-parent", {"name": "same-namespace", "sectionName": "nosuch"}, to("v1"), "Accepted", ("False", "NoMatchingParent")),
            ("no-port", {"name": "same-namespace", "port": 9}, to("v1"), "Accepted", ("False", "NoMatchingParent")),
            ("missing", "same-namespace", to("nosuch"), "ResolvedRefs", ("False", "BackendNotFound")),
            ("port", "same-namespace", to("v1", port=1), "ResolvedRefs", ("False", "BackendNotFound")),
            ("kind", "same-namespace", [{"name": "v1", "kind": "NonExistent", "port": 8080}], "ResolvedRefs", ("False", "InvalidKind")),
            ("foreign", "same-namespace", [{"name": "far", "namespace": "elsewhere", "port": 8080}], "ResolvedRefs",
             ("False", "RefNotPermitted"))):
        w.route(name, gateway, [{"matches": match("/" + name), "backendRefs": refs}])
        w.said(name, condition, wanted)
        if condition == "ResolvedRefs":
            w.said(name, "Accepted", ("True", "Accepted"))
            w.until(500, "x.example", "/" + name)
    w.route("outside", {"name": "same-namespace", "namespace": INFRA}, [{"backendRefs": to("far")}], ns="elsewhere")
    w.said("outside", "Accepted", ("False", "NotAllowedByListeners"), ns="elsewhere")
    # With a grant the reference is one; of the other name it is none.
    grant = {"from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": INFRA}],
             "to": [{"group": "", "kind": "Service", "name": "other"}]}
    w.make("ReferenceGrant", "grant", grant, "elsewhere")
    w.said("foreign", "ResolvedRefs", ("False", "RefNotPermitted"))
    grant["to"][0]["name"] = "far"
    w.make("ReferenceGrant", "grant", grant, "elsewhere")
    w.said("foreign", "ResolvedRefs", ("True", "ResolvedRefs"))
    w.until("far", "x.example", "/foreign")
    w.delete("ReferenceGrant", "grant", "elsewhere")
    w.said("foreign", "ResolvedRefs", ("False", "RefNotPermitted"))
    w.until(500, "x.example", "/foreign")
    for name in ("no-parent", "no-port", "missing", "port", "kind", "foreign"):
        w.delete("HTTPRoute", name)
    w.delete("HTTPRoute", "outside", "elsewhere")


def statuses_of_others_stay(w):
    w.route("shared", "same-namespace", [{"matches": match("/shared"), "backendRefs": to("v1")}])
    w.said("shared", "Accepted", ("True", "Accepted"))
    o = w.get("HTTPRoute", "shared")
    theirs = {"parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "theirs"},
              "controllerName": "example.org/other", "conditions": [
                  {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    o["status"]["parents"].append(theirs)
    equal(w.request("PUT", w.path("HTTPRoute", INFRA, "shared") + "/status", o)[0], 200)
    w.make("HTTPRoute", "shared", {"parentRefs": [{"name": "nosuch"}], "rules": [{"backendRefs": to("v1")}]})
    wait_for("ours to go and theirs to stay", lambda: [p["controllerName"] for p in w.parents("shared")] == ["example.org/other"])
    w.delete("HTTPRoute", "shared")


def attached_routes_are_counted(w):
    for i in range(3):
        w.route(f"counted-{i}", "same-namespace", [{"matches": match(f"/counted-{i}"), "backendRefs": to("v1")}])

    def attached():
        return w.get("Gateway", "same-namespace")["status"]["listeners"][0]["attachedRoutes"]
    wait_for("three routes", lambda: attached() == 3)
    for i in range(3):
        w.delete("HTTPRoute", f"counted-{i}")
    wait_for("none", lambda: attached() == 0)


def namespaces_by_label(w):
    w.gateway("by-label", [{"name": "http", "port": w.http, "protocol": "HTTP", "hostname": "label.example", "allowedRoutes": {
        "namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}}])
    w.programmed("by-label")
    w.route("labelled", {"name": "by-label", "namespace": INFRA}, [{"backendRefs": to("far")}], ns="elsewhere")
    w.said("labelled", "Accepted", ("False", "NotAllowedByListeners"), ns="elsewhere")
    w.namespace("elsewhere", team="a")
    w.said("labelled", "Accepted", ("True", "Accepted"), ns="elsewhere")
    w.until("far", "label.example")
    w.namespace("elsewhere", team="b")
    w.until(404, "label.example")
    w.delete("HTTPRoute", "labelled", "elsewhere")
    w.delete("Gateway", "by-label")


# --- traffic ---

def matching(w):
    """Upstream's order of paths, methods, headers and queries, whoever wrote them."""
    w.route("matching", "same-namespace", [
        {"matches": match("/") + match("/", headers=[{"name": "version", "value": "one"}]), "backendRefs": to("v1")},
        {"matches": match("/v2") + match("/", headers=[{"name": "Version", "value": "two"}]), "backendRefs": to("v2")}])
    w.until("v1", "m.example")
    w.all_of("m.example", ("/", "v1"), ("/example", "v1"), ("/v2", "v2"), ("/v2/", "v2"), ("/v2/example", "v2"), ("/v2example", "v1"),
             ("/", "v1", {"headers": {"Version": "one"}}), ("/", "v2", {"headers": {"version": "two"}}), ("/", "v1", {"headers": {"Version": "twoo"}}),
             ("/", "v2", {"headers": [("version", "two")]}), ("/", "v1", {"headers": [("version", "two"), ("version", "three")]}))
    w.delete("HTTPRoute", "matching")
    w.until(404, "m.example")
    w.route("exact", "same-namespace", [
        {"matches": match("/one", "Exact"), "backendRefs": to("v1")}, {"matches": match("/two", "Exact"), "backendRefs": to("v2")},
        {"matches": match("/Two", "Exact"), "backendRefs": to("v3")}])
    w.until("v1", "m.example", "/one")
    w.all_of("m.example", ("/two", "v2"), ("/Two", "v3"), ("/", 404), ("/one/example", 404), ("/two/", 404), ("/one?x=y", "v1"), ("/one|", 404))
    w.delete("HTTPRoute", "exact")


def methods_and_queries(w):
    w.route("more", "same-namespace", [
        {"matches": [{"method": "POST"}], "backendRefs": to("v1")}, {"matches": [{"method": "GET"}], "backendRefs": to("v2")},
        {"matches": match("/p", method="PATCH"), "backendRefs": to("v3")},
        {"matches": match("/p", headers=[{"name": "a", "value": "1"}]), "backendRefs": to("v1")},
        {"matches": match("/p", headers=[{"name": "a", "value": "1"}, {"name": "b", "value": "2 %|x"}]), "backendRefs": to("v3")},
        {"matches": match("/q", queryParams=[{"name": "animal", "value": "whale"}]), "backendRefs": to("v1")},
        {"matches": match("/q", queryParams=[{"name": "animal", "value": "blue whale"}]), "backendRefs": to("v2")},
        {"matches": match("/q", queryParams=[{"name": "animal", "value": "whale"}, {"name": "a&b", "value": "="}]), "backendRefs": to("v3")}],
        hostnames=["q.example"])
    yield
    w.until("v2", "q.example")
    w.all_of("q.example", ("/", "v1", {"method": "POST"}), ("/", 404, {"method": "PUT"}), ("/p", "v2"), ("/p", "v1", {"headers": {"a": "1"}}),
             ("/p", "v3", {"headers": {"a": "1", "b": "2 %|x"}}), ("/q?animal=whale", "v1"), ("/q?animal=blue+whale", "v2"),
             ("/q?animal=blue%20whale", "v2"), ("/q?animal=whale&a%26b=%3D", "v3"), ("/q?animal=dolphin", "v2"),
             ("/q?animal=whale&animal=x", "v1"), ("/q?x=animal=whale", "v2"), ("/p/x", "v2"))
    w.delete("HTTPRoute", "more")


def hosts(w):
    w.gateway("hosts", [{"name": f"l{i}", "port": w.http, "protocol": "HTTP", "hostname": h} for i, h in
                        enumerate(["very.specific.com", "*.wildcard.io", "*.anotherwildcard.io"])])
    w.programmed("hosts")
    for name, hostnames, path, backend in (
            ("exact", ["non.matching.com", "*.nonmatchingwildcard.io", "very.specific.com"], "/s1", "v1"),
            ("below", ["non.matching.com", "wildcard.io", "foo.wildcard.io", "bar.wildcard.io", "foo.bar.wildcard.io"], "/s2", "v2"),
            ("wide", ["non.matching.com", "*.specific.com"], "/s3", "v3"),
            ("both", ["*.anotherwildcard.io"], "/s4", "v1")):
        w.route(name, "hosts", [{"matches": match(path), "backendRefs": to(backend)}], hostnames=hostnames)
        w.said(name, "Accepted", ("True", "Accepted"))
    w.route("none", "hosts", [{"matches": match("/s5"), "backendRefs": to("v2")}], hostnames=["specific.but.wrong.com", "wildcard.io"])
    w.said("none", "Accepted", ("False", "NoMatchingListenerHostname"))
    w.until("v1", "very.specific.com", "/s1")
    w.until("v1", "one.two.anotherwildcard.io", "/s4")
    for host, path, wanted in (("non.matching.com", "/s1", 404), ("foo.nonmatchingwildcard.io", "/s1", 404), ("foo.wildcard.io", "/s1", 404),
                               ("foo.wildcard.io", "/s2", "v2"), ("bar.wildcard.io", "/s2", "v2"), ("foo.bar.wildcard.io", "/s2", "v2"),
                               ("wildcard.io", "/s2", 404), ("x.wildcard.io", "/s2", 404), ("very.specific.com", "/s3", "v3"),
                               ("non.matching.com", "/s3", 404), ("foo.specific.com", "/s3", 404), ("foo.anotherwildcard.io", "/s4", "v1"),
                               ("anotherwildcard.io", "/s4", 404), ("FOO.anotherwildcard.io:80", "/s4", "v1"), ("wildcard.io", "/s5", 404)):
        equal(w.name(host, path), wanted, f"{host}{path}")
    for name in ("exact", "below", "wide", "both", "none"):
        w.delete("HTTPRoute", name)
    w.delete("Gateway", "hosts")


def header_modifiers(w):
    change = {"set": [{"name": "X-Set", "value": "%[src] \"quoted\""}], "add": [{"name": "X-Add", "value": "one"}, {"name": "X-More", "value": "two"}],
              "remove": ["X-Gone"]}
    w.route("headers", "same-namespace", [
        {"matches": match("/h"), "backendRefs": to("v1"), "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": change},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [{"name": "X-Answer", "value": "a b"}], "remove": ["Server"]}}]},
        {"matches": match("/b"), "backendRefs": [{**to("v1")[0], "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "X-Backend", "value": "b"}]}}]}]}], hostnames=["h.example"])
    yield
    w.until("v1", "h.example", "/h")
    _, answer, got = w.ask("h.example", "/h", headers={"X-Set": "old", "X-Add": "zero", "X-Gone": "x", "X-Kept": "k"})
    h = answer["headers"]
    equal((h["x-set"], h["x-more"], h.get("x-gone"), h["x-kept"]), ("%[src] \"quoted\"", "two", None, "k"))
    contains(h["x-add"], "one")
    equal((got["X-Answer"], got["Server"]), ("a b", None))
    equal(w.ask("h.example", "/b")[1]["headers"]["x-backend"], "b")
    w.delete("HTTPRoute", "headers")


def rewrites(w):
    def rule(at, **rewrite):
        return {"matches": match(at), "backendRefs": to("v1"), "filters": [{"type": "URLRewrite", "urlRewrite": rewrite}]}
    w.route("rewrites", "same-namespace", [
        rule("/prefix/one", path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/one"}),
        rule("/strip-prefix", path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}),
        rule("/full", path={"type": "ReplaceFullPath", "replaceFullPath": "/one"}),
        rule("/host", hostname="one.example.org")], hostnames=["r.example"])
    yield
    w.until("v1", "r.example", "/full/x")
    for path, wanted in (("/prefix/one/two", "/one/two"), ("/prefix/one", "/one"), ("/strip-prefix/three", "/three"), ("/strip-prefix", "/"),
                         ("/full/x/y?q=1", "/one?q=1"), ("/prefix/one/a%20b?x=%2F", "/one/a%20b?x=%2F"), ("/host/x", "/host/x")):
        equal(w.ask("r.example", path)[1]["path"], wanted, path)
    equal(w.ask("r.example", "/host")[1]["headers"]["host"], "one.example.org")
    w.delete("HTTPRoute", "rewrites")


def redirects(w):
    def rule(at, **redirect):
        return {"matches": match(at), "filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]}
    w.route("redirects", "same-namespace", [
        rule("/host", hostname="example.org"), rule("/code", hostname="example.org", statusCode=301),
        rule("/scheme", scheme="https"), rule("/port", port=8083), rule("/http", scheme="http", hostname="example.org"),
        rule("/all", scheme="https", hostname="example.org", port=8443, path={"type": "ReplaceFullPath", "replaceFullPath": "/full"}, statusCode=308),
        rule("/prefix", path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}),
        rule("/strip", path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"})], hostnames=["d.example"])
    yield
    w.until(302, "d.example", "/host")
    p = f":{w.http}"
    for path, code, location in (
            ("/host/x?q=1", 302, f"http://example.org{p}/host/x?q=1"), ("/code", 301, f"http://example.org{p}/code"),
            ("/scheme/a", 302, "https://d.example/scheme/a"), ("/port", 302, "http://d.example:8083/port"), ("/http", 302, "http://example.org/http"),
            ("/all/x?y", 308, "https://example.org:8443/full?y"), ("/prefix/a/b", 302, f"http://d.example{p}/new/a/b"),
            ("/prefix", 302, f"http://d.example{p}/new"), ("/strip/a", 302, f"http://d.example{p}/a"), ("/strip", 302, f"http://d.example{p}/")):
        status, _, headers = w.ask("d.example", path)
        equal((status, headers["Location"]), (code, location), path)
    w.delete("HTTPRoute", "redirects")


def weights(w):
    w.route("weights", "same-namespace", [{"backendRefs": [
        {**to("v1")[0], "weight": 70}, {**to("v2")[0], "weight": 30}, {**to("v3")[0], "weight": 0}]}], hostnames=["w.example"])
    yield
    w.until("v1", "w.example")
    names = [w.name("w.example") for _ in range(300)]
    count = {n: names.count(n) for n in set(names)}
    equal(set(count), {"v1", "v2"}, count)
    if not 150 < count["v1"] < 270:
        raise Failed(f"not about 70 of 100: {count}")
    w.route("weights", "same-namespace", [{"backendRefs": [{**to("v1")[0], "weight": 0}, {**to("v3")[0], "weight": 1}]}], hostnames=["w.example"])
    w.until("v3", "w.example")
    w.route("weights", "same-namespace", [{"backendRefs": [{**to("v1")[0], "weight": 0}]}], hostnames=["w.example"])
    w.until(500, "w.example")
    w.delete("HTTPRoute", "weights")


def timeouts(w):
    w.route("timeouts", "same-namespace", [
        {"matches": match("/request"), "backendRefs": to("v1"), "timeouts": {"request": "500ms"}},
        {"matches": match("/backend"), "backendRefs": to("v1"), "timeouts": {"backendRequest": "300ms"}},
        {"matches": match("/none"), "backendRefs": to("v1"), "timeouts": {"request": "0s"}}], hostnames=["t.example"])
    yield
    w.until("v1", "t.example", "/none")
    w.all_of("t.example", ("/request", "v1"), ("/request/slow", 504), ("/backend/slow", 504))
    w.delete("HTTPRoute", "timeouts")


def cors(w):
    def rule(path, **c):
        return {"matches": match(path), "backendRefs": to("v1"), "filters": [{"type": "CORS", "cors": c}]}
    w.route("cors", "same-namespace", [
        rule("/some", allowOrigins=["https://www.foo.com", "https://*.bar.com"], allowMethods=["GET", "OPTIONS"], allowHeaders=["x-one", "x-two"],
             exposeHeaders=["x-three"], maxAge=3600, allowCredentials=True),
        rule("/any", allowOrigins=["*"], allowMethods=["*"], allowHeaders=["*"])], hostnames=["c.example"])
    yield
    w.until("v1", "c.example", "/some")

    def preflight(path, origin):
        status, _, h = w.ask("c.example", path, "OPTIONS", {"Origin": origin, "Access-Control-Request-Method": "GET",
                                                           "Access-Control-Request-Headers": "x-one"})
        return status, *(h[f"Access-Control-{k}"] for k in ("Allow-Origin", "Allow-Methods", "Allow-Headers", "Max-Age", "Allow-Credentials"))
    equal(preflight("/some", "https://www.foo.com"), (200, "https://www.foo.com", "GET, OPTIONS", "x-one, x-two", "3600", "true"))
    equal(preflight("/some", "https://a.b.bar.com")[1], "https://a.b.bar.com")
    for origin in ("https://bar.com", "http://www.foo.com", "https://www.foo.com.evil", "https://evilbar.com", "x"):
        equal(preflight("/some", origin)[:2], (403, None), origin)
        equal(w.ask("c.example", "/some", headers={"Origin": origin})[2]["Access-Control-Allow-Origin"], None, origin)
    equal(preflight("/any", "https://x.example"), (200, "*", "GET", "x-one", "5", None))
    _, _, h = w.ask("c.example", "/some", headers={"Origin": "https://www.foo.com"})
    equal((h["Access-Control-Allow-Origin"], h["Access-Control-Expose-Headers"]), ("https://www.foo.com", "x-three"))
    w.delete("HTTPRoute", "cors")


def web_sockets(w):
    w.service("ws", protocol="kubernetes.io/ws")
    w.route("ws", "same-namespace", [{"matches": match("/ws"), "backendRefs": to("ws")}], hostnames=["s.example"])
    yield
    w.until("ws", "s.example", "/ws")
    test_ingress.WebSocket(w.http, "s.example", "/ws").echo(b"hello")
    w.delete("HTTPRoute", "ws")


class GrpcNamed(threading.Thread):
    """Speaks HTTP/2 without TLS, and answers each call with its own name and grpc-status 0."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.named = name.encode()
        self.sock = socket.create_server((lib.own_address(), 0))
        self.port = self.sock.getsockname()[1]
        self.start()

    @staticmethod
    def frame(kind, flags, stream, body):
        return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body

    @staticmethod
    def header(name, value):
        """A literal that nobody remembers."""
        return bytes([0, len(name)]) + name + bytes([len(value)]) + value

    def talk(self, s):
        with contextlib.suppress(OSError), s, s.makefile("rb") as f:
            self.answer(s, f)

    def answer(self, s, f):
        if f.read(24) != b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":
            return  # no HTTP/2: no answer
        s.sendall(self.frame(4, 0, 0, b""))
        while len(head := f.read(9)) == 9:
            n, kind, flags, stream = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:], "big")
            f.read(n)
            if kind == 4 and not flags & 1:
                s.sendall(self.frame(4, 1, 0, b""))
            if kind in (0, 1) and flags & 1:
                s.sendall(self.frame(1, 4, stream, b"\x88" + self.header(b"content-type", b"application/grpc") +
                                     self.header(b"x-name", self.named)) +
                          self.frame(1, 5, stream, self.header(b"grpc-status", b"0")))

    def run(self):
        while True:
            threading.Thread(target=self.talk, args=(self.sock.accept()[0],), daemon=True).start()


def grpc(w):
    """By service, method and header; calls come and go as HTTP/2 without TLS."""
    if not shutil.which("curl"):
        raise Skip("needs curl")
    for name in ("g1", "g2", "g3"):
        w.service(name, server=GrpcNamed(name))

    def call(path, *headers):
        r = subprocess.run(["curl", "-s", "-m", "20", "--http2-prior-knowledge", "-o", "/dev/null", "-D", "-", "-X", "POST", "-H", "te: trailers",
                            "-H", "content-type: application/grpc", "-H", "Host: g.example", *[x for h in headers for x in ("-H", h)],
                            f"http://127.0.0.1:{w.http}{path}"], stdout=subprocess.PIPE, check=False)
        found = re.search(r"x-name: (\w+)", r.stdout.decode())
        return found[1] if found else re.search(r"HTTP/2 (\d+)", r.stdout.decode() + "HTTP/2 0")[1]
    w.route("grpc", "same-namespace", [
        {"matches": [{"method": {"service": "a.Echo", "method": "One"}}], "backendRefs": to("g1")},
        {"matches": [{"method": {"service": "a.Echo"}}], "backendRefs": to("g2")},
        {"matches": [{"method": {"method": "Only"}}], "backendRefs": to("g3")},
        {"matches": [{"headers": [{"name": "version", "value": "two"}]}], "backendRefs": to("g2")}], kind="GRPCRoute", hostnames=["g.example"])
    yield
    w.said("grpc", "Accepted", ("True", "Accepted"), kind="GRPCRoute")
    wait_for("the first call", lambda: call("/a.Echo/One") == "g1")
    for path, wanted, *headers in (("/a.Echo/Two", "g2"), ("/a.Echo/OneTwo", "g2"), ("/b.Echo/Only", "g3"), ("/b.Echo/One", "404"),
                                   ("/b.Echo/One", "g2", "version: two"), ("/a.Echo/One", "g1", "version: two")):
        equal(call(path, *headers), wanted, f"{path} {headers}")
    w.delete("GRPCRoute", "grpc")


def tls_ends_here(w):
    for name, subject in (("tls-a", "first"), ("tls-any", "any")):
        w.put(f"/api/v1/namespaces/{INFRA}/secrets", {
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name},
            "data": {k: base64.b64encode(v).decode() for k, v in certificate(subject).items()}})
    w.gateway("https", [
        {"name": "a", "port": w.https, "protocol": "HTTPS", "hostname": "a.example", "tls": {"certificateRefs": [{"name": "tls-a"}]}},
        {"name": "any", "port": w.https, "protocol": "HTTPS", "tls": {"certificateRefs": [{"name": "tls-any"}]}}])
    w.programmed("https")
    w.route("https", "https", [{"backendRefs": to("v1")}])
    w.until("v1", "a.example", tls=True)
    equal(test_ingress.tls_connect(w.https, "a.example")[1], "first")
    equal(test_ingress.tls_connect(w.https, "b.example")[1], "any")
    equal(w.name("b.example", tls=True), "v1")
    equal(w.ask("a.example", tls=True)[1]["headers"]["x-forwarded-proto"], "https")


def a_certificate_elsewhere(w):
    """A node reads it when a grant permits it, and not before."""
    w.put("/api/v1/namespaces/elsewhere/secrets", {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "far"},
        "data": {k: base64.b64encode(v).decode() for k, v in certificate("far").items()}})
    w.gateway("far", [{"name": "a", "port": w.https, "protocol": "HTTPS", "hostname": "far.example",
                       "tls": {"certificateRefs": [{"name": "far", "namespace": "elsewhere"}]}}])

    def resolved():
        x = w.get("Gateway", "far").get("status", {}).get("listeners", [{}])[0]
        return reason(x.get("conditions"), "ResolvedRefs")
    wait_for("a refusal", lambda: resolved() == ("False", "RefNotPermitted"))
    w.make("ReferenceGrant", "secret", {"from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": INFRA}],
                                        "to": [{"group": "", "kind": "Secret"}]}, "elsewhere")
    wait_for("it resolves", lambda: resolved() == ("True", "ResolvedRefs"))
    wait_for("the certificate", lambda: test_ingress.tls_connect(w.https, "far.example")[1] == "far")
    w.delete("ReferenceGrant", "secret", "elsewhere")
    wait_for("it is gone", lambda: test_ingress.tls_connect(w.https, "far.example")[1] == "any")
    w.delete("Gateway", "far")


class TlsEcho(threading.Thread):
    """Ends TLS itself, with a certificate of its own, and says who it is."""

    def __init__(self, name):
        super().__init__(daemon=True)
        self.name_told = name
        self.sock = socket.create_server((lib.own_address(), 0))
        self.port = self.sock.getsockname()[1]
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        for part, text in certificate(name).items():
            with open(f"{lib.tempfile.gettempdir()}/{self.port}.{part}", "wb") as f:
                f.write(text)
        base = f"{lib.tempfile.gettempdir()}/{self.port}.tls"
        self.tls.load_cert_chain(base + ".crt", base + ".key")
        os.unlink(base + ".crt")
        os.unlink(base + ".key")
        self.start()

    def run(self):
        while True:
            s, _ = self.sock.accept()
            try:
                with self.tls.wrap_socket(s, server_side=True) as t:
                    t.sendall(self.name_told.encode())
            except OSError:
                pass


def tls_passes_through(w):
    """Beside TLS that ends here, on one port."""
    for name in ("pass-a", "pass-b"):
        w.service(name, port=443, server=TlsEcho(name))
    w.gateway("passes", [{"name": "p", "port": w.https, "protocol": "TLS", "hostname": "*.pass.example", "tls": {"mode": "Passthrough"}}])
    w.programmed("passes")
    equal([k["kind"] for k in w.get("Gateway", "passes")["status"]["listeners"][0]["supportedKinds"]], ["TLSRoute"])
    w.route("pass-a", "passes", [{"backendRefs": to("pass-a", port=443)}], kind="TLSRoute", hostnames=["a.pass.example"])
    w.route("pass-b", "passes", [{"backendRefs": to("pass-b", port=443)}], kind="TLSRoute", hostnames=["*.pass.example", "b.other.example"])
    w.said("pass-a", "Accepted", ("True", "Accepted"), kind="TLSRoute")
    w.route("pass-none", "passes", [{"backendRefs": to("pass-b", port=443)}], kind="TLSRoute", hostnames=["x.other.example"])
    w.said("pass-none", "Accepted", ("False", "NoMatchingListenerHostname"), kind="TLSRoute")

    def who(name):
        try:
            s, subject = test_ingress.tls_connect(w.https, name)
        except OSError:
            return None
        with s:
            s.settimeout(10)
            return subject, s.recv(100).decode() if subject.startswith("pass") else ""
    wait_for("a passes", lambda: who("a.pass.example") == ("pass-a", "pass-a"))
    wait_for("b passes", lambda: who("x.y.pass.example") == ("pass-b", "pass-b"))
    equal(who("a.example"), ("first", ""))
    equal(w.name("a.example", tls=True), "v1")
    equal(w.ask("a.example", tls=True)[1]["headers"]["x-forwarded-for"], "127.0.0.1")
    for kind, name in (("TLSRoute", "pass-a"), ("TLSRoute", "pass-b"), ("TLSRoute", "pass-none"), ("Gateway", "passes"), ("HTTPRoute", "https"),
                       ("Gateway", "https")):
        w.delete(kind, name)


def beside_ingresses(w):
    """On one port: what no route has is theirs."""
    port = int(w.c.args[w.c.args.index("--ingress-http-port") + 1])
    w.gateway("beside", [{"name": "http", "port": port, "protocol": "HTTP"}])
    w.programmed("beside")
    w.route("beside", "beside", [{"matches": match("/gate"), "backendRefs": to("v1")}], hostnames=["both.example"])
    w.until("v1", "both.example", "/gate", port=port)
    status = w.request("POST", f"/apis/networking.k8s.io/v1/namespaces/{INFRA}/ingresses", {
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "beside"}, "spec": {"rules": [
            {"host": "both.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {
                "name": "v2", "port": {"number": 8080}}}}]}}]}})[0]
    equal(status, 201)
    w.until("v2", "both.example", "/", port=port)
    equal(w.name("both.example", "/gate/x", port=port), "v1")
    equal(w.name("both.example", "/"), 404, "a port that is no Ingress'")
    w.request("DELETE", f"/apis/networking.k8s.io/v1/namespaces/{INFRA}/ingresses/beside")
    w.delete("HTTPRoute", "beside")
    w.delete("Gateway", "beside")


def secret(w, name, subject):
    w.put(f"/api/v1/namespaces/{INFRA}/secrets", {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name},
        "data": {k: base64.b64encode(v).decode() for k, v in certificate(subject).items()}})


def gateways_of_one_namespace(w):
    """One port, no hostname: routes of both answer, each let in by its own; another namespace's Gateway never has a request."""
    thief = "thieves"
    w.namespace(thief)
    for name in ("thief", "taker"):
        w.service(name, thief)
    listener = {"name": "h", "port": w.other, "protocol": "HTTP"}
    everybody = {**listener, "allowedRoutes": {"namespaces": {"from": "All"}}}
    w.gateway("first", [listener])
    w.gateway("second", [everybody])
    w.gateway("third", [everybody], thief)
    w.route("first", "first", [{"matches": match("/first"), "backendRefs": to("v1")}])  # older than the other of its path
    w.route("takes", "third", [{"backendRefs": to("taker")}], thief)
    w.route("held", {"name": "first", "namespace": INFRA}, [{"matches": match("/held"), "backendRefs": to("thief")}], thief)
    w.route("let", {"name": "second", "namespace": INFRA}, [{"matches": match("/let") + match("/first"), "backendRefs": to("thief")}], thief)
    w.route("second", "second", [{"matches": match("/second"), "backendRefs": to("v2")}])
    for name in ("first", "second"):
        w.programmed(name)

    def third():
        return w.get("Gateway", "third", thief)["status"]["listeners"][0]["conditions"]
    wait_for("the conflict", lambda: reason(third(), "Conflicted") == ("True", "HostnameConflict"))
    equal(reason(third(), "Programmed"), ("False", "Invalid"))
    for name, wanted in (("takes", ("False", "NotAllowedByListeners")), ("held", ("False", "NotAllowedByListeners")), ("let", ("True", "Accepted"))):
        w.said(name, "Accepted", wanted, ns=thief)
    for path, who in (("/first", "v1"), ("/second", "v2"), ("/let", "thief")):
        w.until(who, "one.example", path, port=w.other)
    w.all_of("one.example", ("/", 404), ("/held", 404), port=w.other)
    # The older goes: the place stays its namespace's.
    w.delete("Gateway", "first")
    w.until("thief", "one.example", "/first", port=w.other)
    w.all_of("one.example", ("/", 404), ("/held", 404), ("/second", "v2"), port=w.other)
    equal(reason(third(), "Conflicted"), ("True", "HostnameConflict"))
    # So does the last: nobody's is another's now.
    w.delete("Gateway", "second")
    w.until("taker", "one.example", port=w.other)
    for kind, name, ns in (("HTTPRoute", "first", INFRA), ("HTTPRoute", "second", INFRA), ("HTTPRoute", "takes", thief), ("HTTPRoute", "held", thief),
                           ("HTTPRoute", "let", thief), ("Gateway", "third", thief)):
        w.delete(kind, name, ns)


def hosts_of_others(w):
    """Whoever has a wider listener on the port, by HTTP or TLS: a hostname's requests are its listener's, or nobody's."""
    thief = "thieves"  # of one second the older is who comes first by name
    w.namespace(thief)
    w.service("thief", thief)
    w.service("thief-tls", thief, port=443, server=TlsEcho("thief"))
    secret(w, "own", "own")
    w.gateway("own", [
        {"name": "http", "port": w.other, "protocol": "HTTP", "hostname": "shop.own.example"},
        {"name": "https", "port": w.https, "protocol": "HTTPS", "hostname": "shop.own.example", "tls": {"certificateRefs": [{"name": "own"}]}}])
    w.gateway("wide", [
        {"name": "any", "port": w.other, "protocol": "HTTP"},
        {"name": "wild", "port": w.other, "protocol": "HTTP", "hostname": "*.own.example"},
        {"name": "same", "port": w.other, "protocol": "HTTP", "hostname": "shop.own.example"},
        {"name": "pass", "port": w.https, "protocol": "TLS", "tls": {"mode": "Passthrough"}}], thief)
    w.route("own", "own", [{"matches": match("/only"), "backendRefs": to("v1")}])
    w.route("steals", "wide", [{"backendRefs": to("thief")}], thief, hostnames=["shop.own.example", "*.own.example", "*.example"])
    w.route("steals", "wide", [{"backendRefs": to("thief-tls", port=443)}], thief, "TLSRoute", hostnames=["shop.own.example", "*.own.example"])
    w.until("v1", "shop.own.example", "/only", port=w.other)
    w.until("thief", "x.own.example", port=w.other)
    w.until("thief", "x.example", port=w.other)
    listeners = {x["name"]: x for x in w.get("Gateway", "wide", thief)["status"]["listeners"]}
    equal(reason(listeners["same"]["conditions"], "Conflicted"), ("True", "HostnameConflict"))
    equal(reason(listeners["same"]["conditions"], "Programmed"), ("False", "Invalid"))
    wait_for("what passes", lambda: test_ingress.tls_connect(w.https, "x.own.example")[1] == "thief")
    w.all_of("shop.own.example", ("/only", "v1"), ("/", 404), ("/other", 404), port=w.other)
    for other in ("SHOP.own.example", "shop.own.example.", f"shop.own.example.:{w.other}"):
        w.all_of(other, ("/only", "v1"), ("/", 404), port=w.other)
    w.all_of("shop.own.example", ("/only", "v1"), ("/", 404), tls=True)
    equal(test_ingress.tls_connect(w.https, "shop.own.example")[1], "own")
    try:
        test_ingress.tls_connect(w.https, "nobody.example")
        raise Failed("a name that is the passing listener's, and none of its routes', was answered")
    except OSError:
        pass
    equal(w.name("shop.own.example", "/only", port=w.http), 404, "a port that the listener has not")
    equal(w.name("." .join(["a"] * 200), port=w.other), 400, "more labels than a name has")
    # Its owner gives it up: it was he who kept it.
    w.delete("Gateway", "own")
    w.until("thief", "shop.own.example", "/only", port=w.other)
    wait_for("it to pass", lambda: test_ingress.tls_connect(w.https, "shop.own.example")[1] == "thief")
    for kind, name, ns in (("HTTPRoute", "own", INFRA), ("HTTPRoute", "steals", thief), ("TLSRoute", "steals", thief), ("Gateway", "wide", thief)):
        w.delete(kind, name, ns)


def hosts_of_ingresses(w):
    """At their ports a host that an Ingress names is kept from younger routes of other namespaces, and from wildcards."""
    thief = "thieves"
    w.namespace(thief)
    w.service("thief", thief)
    port, tls = (int(w.c.args[w.c.args.index(f"--ingress-{p}-port") + 1]) for p in ("http", "https"))
    w.service("thief-tls", thief, port=443, server=TlsEcho("thief"))
    equal(w.request("POST", f"/apis/networking.k8s.io/v1/namespaces/{INFRA}/ingresses", {
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "kept"}, "spec": {"rules": [
            {"host": h, "http": {"paths": [{"path": "/in", "pathType": "Prefix", "backend": {"service": {"name": "v2", "port": {"number": 8080}}}}]}}
            for h in ("kept.example", "*.wild.example")]}})[0], 201)
    w.until("v2", "kept.example", "/in", port=port)
    w.gateway("wide", [{"name": "any", "port": port, "protocol": "HTTP"}, {"name": "same", "port": port, "protocol": "HTTP", "hostname": "kept.example"},
                       {"name": "pass", "port": tls, "protocol": "TLS", "tls": {"mode": "Passthrough"}}], thief)
    w.route("steals", "wide", [{"backendRefs": to("thief")}], thief, hostnames=["kept.example", "*.wild.example", "*.example"])
    w.route("steals", "wide", [{"backendRefs": to("thief-tls", port=443)}], thief, "TLSRoute", hostnames=["kept.example", "*.example", "x.wild.example"])
    w.until("thief", "x.example", "/in", port=port)
    wait_for("what passes", lambda: test_ingress.tls_connect(tls, "x.example")[1] == "thief")
    w.all_of("kept.example", ("/in", "v2"), ("/", 404), port=port)
    w.all_of("x.wild.example", ("/in", "v2"), ("/", 404), port=port)
    equal(w.name("kept.example", "/in", port=tls, tls=True), "v2")
    contains(w.parents("steals", ns=thief)[0]["conditions"][0]["message"], f"at port {port} is that of ingress {INFRA}/kept, which is older")
    w.route("only", "wide", [{"backendRefs": to("thief")}], thief, hostnames=["kept.example"])
    w.said("only", "Accepted", ("False", "HostnameConflict"), ns=thief)
    w.request("DELETE", f"/apis/networking.k8s.io/v1/namespaces/{INFRA}/ingresses/kept")
    w.until("thief", "kept.example", "/in", port=port)
    w.said("only", "Accepted", ("True", "Accepted"), ns=thief)
    for kind, name in (("HTTPRoute", "steals"), ("HTTPRoute", "only"), ("TLSRoute", "steals"), ("Gateway", "wide")):
        w.delete(kind, name, thief)


def hostile_texts(w):
    """Nothing that a user may write is more than a value."""
    evil = ["%[env(PATH)]", "\\\" if { always_true } #", "';`$(x)`", "a\\ b", "x,map_str(values.map)", "%3Cx%3E", "#", "--", "{", "\\x01"]
    rules = [{"matches": match(f"/evil/{i}", headers=[{"name": "x-evil", "value": e}], queryParams=[{"name": "q", "value": e}]),
              "backendRefs": to("v1"), "filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {
                  "set": [{"name": "X-Back", "value": e}]}}]} for i, e in enumerate(evil)]
    w.route("evil", "same-namespace", rules, hostnames=["e.example"])
    yield
    w.said("evil", "Accepted", ("True", "Accepted"))
    from urllib.parse import quote
    w.until("v1", "e.example", f"/evil/0?q={quote(evil[0])}", headers={"X-Evil": evil[0]})
    for i, e in enumerate(evil):
        status, answer, h = w.ask("e.example", f"/evil/{i}?q={quote(e)}", headers={"X-Evil": e})
        equal((status, answer["name"] if status == 200 else answer, h["X-Back"]), (200, "v1", e), e)
    w.delete("HTTPRoute", "evil")


def after_a_restart(w):
    """What was served is served when the server is back, and was meanwhile."""
    w.route("stays", "same-namespace", [{"matches": match("/stays", headers=[{"name": "a", "value": "b"}]), "backendRefs": to("v1")}])
    w.until("v1", "r.example", "/stays", headers={"a": "b"})
    w.c.stop()
    equal(w.name("r.example", "/stays", headers={"a": "b"}), "v1", "without a server")
    w.c.start()
    w.programmed("same-namespace")
    equal(w.name("r.example", "/stays", headers={"a": "b"}), "v1", "after it")
    w.delete("HTTPRoute", "stays")
    w.until(404, "r.example", "/stays", headers={"a": "b"})


def corpus_examples(w):
    """Upstream's own, of kinds that are served: taken, and each Gateway and route of ours told something."""
    if not os.path.isdir(CORPUS):
        raise Skip("no corpus here")
    w.namespace("corpus")
    texts = []
    for f in sorted(glob.glob(f"{CORPUS}/valid/conformance--tests--*") + glob.glob(f"{CORPUS}/valid/examples--standard--*")):
        for text in re.split(r"^---.*$", lib.read_text(f), flags=re.M):
            kind = re.search(r"^kind:\s*(\w+)", text, re.M)
            if not kind or kind[1] not in PLURAL or "v1alpha" in text or "{GATEWAY_CONTROLLER_NAME}" in text or "retry:" in text:
                continue
            texts.append(f"# {f}\n" + re.sub(r"namespace:.*", "namespace: corpus", text.replace('"{GATEWAY_CLASS_NAME}"', "nobodys")))
    r = w.c.run("create", "--dry-run=server", "-n", "corpus", "-f", "-", stdin="\n---\n".join(texts), check=False)
    if r.returncode:
        raise Failed(r.errors)
    equal(len(r.text.splitlines()), len(texts))
    equal(len(texts) > 150, True, len(texts))


SKIPPED = re.compile(r"backendtlspolicy|listenerset|tcproute|udproute|mesh|retry|clientcertificate|client-certificate|tls-backend|-terminate|mixed-termination|"
                     r"observed-generation-bump|https-only")
# By file and route, else by route: (Accepted, ResolvedRefs), where they are not as a fine route's.
TOLD = {
    "disallowed-kind": ("NotAllowedByListeners", None),
    "no-intersecting-hosts": ("NoMatchingListenerHostname", None),
    "httproute-listener-section-name-not-matching-port": ("NoMatchingParent", None),
    "httproute-invalid-reference-grant/reference-grant": (None, "RefNotPermitted"),
    "invalid-reference-grant": (None, "RefNotPermitted"),
    "http-route-not-accepted": ("NoMatchingListenerHostname", None),
    "http-route-4": (None, "BackendNotFound"),
    "invalid-backend-ref-nonexistent": (None, "BackendNotFound"),
    "invalid-backend-ref-unknown-kind": (None, "InvalidKind"),
    "tlsroute-hostname-mismatch-1": ("NoMatchingListenerHostname", None),
    "tlsroute-hostname-mismatch-2": ("NoMatchingListenerHostname", None),
    "tlsroute-not-allowed-protocol-http": ("NotAllowedByListeners", None),
    "tlsroute-not-allowed-protocol-https": ("NotAllowedByListeners", None),
    "tlsroute-no-matching-section-name": ("NoMatchingParent", None),
    "tlsroute-invalid-reference-grant/gateway-conformance-infra-test": (None, "RefNotPermitted"),
}
# Host, path and who answers.
ANSWERS = {
    "httproute-simple-same-namespace": [("x.example", "/", "infra-backend-v1")],
    "httproute-reference-grant": [("x.example", "/", "web-backend")],
    "httproute-invalid-reference-grant": [("x.example", "/", 500)],
    "httproute-partially-invalid-via-invalid-reference-grant": [("x.example", "/v2", 500), ("x.example", "/", "app-backend-v1")],
    "httproute-hostname-intersection": [("very.specific.com", "/s1", "infra-backend-v1"), ("foo.bar.wildcard.io", "/s2", "infra-backend-v2"),
                                        ("sub.second.com", "/", "infra-backend-v2"), ("non.matching.com", "/s1", 404)],
    "gateway-with-attached-routes-with-port-8080": [],
}


def documents(w, path):
    """(kind, namespace, name, text) of a file of the corpus, at ports that are free here."""
    ports = {"80": w.http, "443": w.https, "8080": w.other, "8443": w.https}
    for text in re.split(r"^---.*$", lib.read_text(path), flags=re.M):
        kind = re.search(r"^kind:\s*(\w+)", text, re.M)
        if not kind:
            continue
        if kind[1] == "Gateway":
            text = re.sub(r"(port: )(\d+)$", lambda m: m[1] + str(ports[m[2]]), text.replace('"{GATEWAY_CLASS_NAME}"', "caravel"), flags=re.M)
        meta = text[text.index("metadata:"):]
        yield kind[1], (re.search(r"^  namespace: *(\S+)", meta, re.M) or [0, "default"])[1], re.search(r"^  name: *(\S+)", meta, re.M)[1], text


def route_told(w, kind, ns, name, wanted):
    accepted, resolved = wanted
    w.said(name, "Accepted", ("False", accepted) if accepted else ("True", "Accepted"), kind, ns)
    w.said(name, "ResolvedRefs", ("False", resolved) if resolved else ("True", "ResolvedRefs"), kind, ns)


def conformance_manifests(w):
    """Upstream's own, at ports of ours, with servers of this program for its Deployments: what each route is told, and who answers."""
    if not os.path.isdir(CORPUS):
        raise Skip("no corpus here")
    base = list(documents(w, f"{CORPUS}/valid/conformance--base--manifests.yaml"))
    for kind, ns, name, text in base:
        if kind == "Namespace":
            w.c.apply(text)
        elif kind == "Service" and re.match(r"(infra|app|web)-backend", name):
            w.service(name, ns)
        elif kind == "Service":
            w.c.apply(text)  # nobody is asked there
        elif kind == "Gateway" and name != "same-namespace-with-https-listener":
            w.c.apply(text)
    for name in ("same-namespace", "all-namespaces", "backend-namespaces"):  # of one port, without hostname
        w.programmed(name)
    done = 0
    for f in sorted(glob.glob(f"{CORPUS}/valid/conformance--tests--*")):
        test = f.split("--")[-1].removesuffix(".yaml")
        if SKIPPED.search(f):
            continue
        docs = [d for d in documents(w, f) if d[0] in PLURAL or d[0] == "Service"]
        w.c.apply("\n---\n".join(d[3] for d in docs))
        for kind, ns, name, _ in docs:
            if kind.endswith("Route"):
                route_told(w, kind, ns, name, TOLD.get(f"{test}/{name}") or TOLD.get(name) or (None, None))
                done += 1
        for host, path, who in ANSWERS.get(test, []):
            w.until(who, host, path)
        for kind, ns, name, _ in docs:
            if kind in PLURAL:
                w.delete(kind, name, ns)
    print(f"# {done} routes")
    equal(done > 35, True, done)


def together(*tests):
    """What each makes, up to its yield, is made for all of them before the first goes on: HAProxy reads anew every five seconds at most."""
    begun = {}

    def begin(w):
        for t in tests:
            if t not in begun and (len(sys.argv) == 1 or t.__name__ in sys.argv):
                begun[t] = t(w)
                try:
                    next(begun[t])
                except Exception as e:  # it is this test's, when its turn comes
                    begun[t] = e

    def turn(t):
        @functools.wraps(t)
        def run(w):
            begin(w)
            if isinstance(begun[t], Exception):
                raise begun[t]
            for _ in begun[t]:
                pass
        return run
    return [turn(t) for t in tests]


TESTS = [kinds_are_there, a_bundle_of_a_users, refusals, listeners_are_told, listeners_that_are_wrong, listeners_that_conflict, what_is_not_served, routes_are_told,
         statuses_of_others_stay, attached_routes_are_counted, namespaces_by_label, matching, hosts,
         *together(methods_and_queries, header_modifiers, rewrites, redirects, timeouts, cors, web_sockets, grpc, hostile_texts, weights),
         tls_ends_here, a_certificate_elsewhere, tls_passes_through, beside_ingresses, gateways_of_one_namespace, hosts_of_others, hosts_of_ingresses, after_a_restart,
         conformance_manifests, corpus_examples]


def without_gateways(c):
    """--disable gateway: no kind is made."""
    equal(wait_for("the Ingress class", lambda: c.request("GET", "/apis/networking.k8s.io/v1/ingressclasses")[1]["items"]) != [], True)
    equal([d["spec"]["group"] for d in c.request("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")[1]["items"]
           if "gateway" in d["spec"]["group"]], [])


if __name__ == "__main__":
    lib.need_node()
    if not lib.own_address() or not os.path.exists("/usr/sbin/haproxy"):
        def no_haproxy():
            raise Skip("needs haproxy and an address that is not loopback")
        sys.exit(lib.main([no_haproxy]))
    world = World()
    with world.c:
        world.namespace(INFRA, **{"gateway-conformance": "infra"})
        for service in ("v1", "v2", "v3"):
            world.service(service)
        status = lib.main(TESTS, world)
    if len(sys.argv) == 1 or "without_gateways" in sys.argv:
        with lib.Cluster(args=["--disable", "gateway"]) as cluster:
            status |= lib.main([without_gateways], cluster)
    sys.exit(status)
