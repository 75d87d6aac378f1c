#!/usr/bin/env python3
"""The conformance behaviours of sig-network that the API and its controllers settle alone: objects that come, change and go.

Each test names the behaviour; tests/README.md has the list of all, with those of packets and of names."""
import sys

from lib import Cluster, contains, equal, main, need_tools, wait_for
from operations import MERGE, ask, events_since, operations, served

NS = "/api/v1/namespaces/default"
NET = "/apis/networking.k8s.io/v1"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"


def ingress_api(c):
    """Ingress API should support creating Ingress API operations"""
    served(c, "networking.k8s.io", "v1", "ingresses", True)
    rule = {"host": "foo.bar.com", "http": {"paths": [{"path": "/", "pathType": "ImplementationSpecific", "backend": {
        "service": {"name": "test-backend", "port": {"number": 8080}}}}]}}
    operations(c, NET + "/namespaces/default/ingresses", lambda _: {"spec": {"rules": [rule], "ingressClassName": "nobodys"}},
               NET + "/ingresses", {"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}})


def ingressclass_api(c):
    """IngressClass API should support creating IngressClass API operations"""
    served(c, "networking.k8s.io", "v1", "ingressclasses", False)
    operations(c, NET + "/ingressclasses", lambda name: {"spec": {"controller": "example.com/" + name}})


def endpointslice_api(c):
    """EndpointSlice should support creating EndpointSlice API operations"""
    served(c, "discovery.k8s.io", "v1", "endpointslices", False)
    operations(c, SLICES, lambda _: {"addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4", "5.6.7.8"]}]},
               "/apis/discovery.k8s.io/v1/endpointslices")


def servicecidr_api(c):
    """ServiceCIDR and IPAddress API should support ServiceCIDR API operations"""
    served(c, "networking.k8s.io", "v1", "servicecidrs", True)
    served(c, "networking.k8s.io", "v1", "ipaddresses", False)
    numbers = iter(range(1, 9))
    operations(c, NET + "/servicecidrs", lambda _: {"spec": {"cidrs": [f"10.200.{next(numbers)}.0/24"]}})
    equal(ask(c, 422, "POST", NET + "/servicecidrs", {"metadata": {"name": "x"}, "spec": {"cidrs": ["10.200.1.7/24"]}})["reason"], "Invalid")
    o = ask(c, 201, "POST", NET + "/servicecidrs", {"metadata": {"name": "st"}, "spec": {"cidrs": ["10.201.0.0/24"]}})
    wait_for("Ready", lambda: ask(c, 200, "GET", NET + "/servicecidrs/st").get("status", {}).get("conditions"))
    mine = {"type": "TestOnly", "status": "True", "reason": "E2E", "message": "Set from an e2e test", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    o = ask(c, 200, "GET", NET + "/servicecidrs/st")
    o["status"]["conditions"].append(mine)
    equal([x["type"] for x in ask(c, 200, "PUT", NET + "/servicecidrs/st/status", o)["status"]["conditions"]], ["Ready", "TestOnly"])
    mine["status"] = "False"
    o = ask(c, 200, "PATCH", NET + "/servicecidrs/st/status", {"status": {"conditions": [mine]}},
            {"Content-Type": "application/strategic-merge-patch+json"})
    equal({x["type"]: x["status"] for x in o["status"]["conditions"]}, {"Ready": "True", "TestOnly": "False"})
    ask(c, 200, "DELETE", NET + "/servicecidrs/st")
    ip = {"metadata": {"name": "10.201.0.9"}, "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "foo"}}}
    ask(c, 201, "POST", NET + "/ipaddresses", ip)
    contains(c.kubectl("get", "ip", "10.201.0.9"), "services/default/foo")
    equal(ask(c, 200, "PATCH", NET + "/ipaddresses/10.201.0.9", {"metadata": {"annotations": {"a": "b"}}}, MERGE)["metadata"]["annotations"], {"a": "b"})
    ask(c, 422, "PATCH", NET + "/ipaddresses/10.201.0.9", {"spec": {"parentRef": {"name": "bar"}}}, MERGE)
    ask(c, 200, "DELETE", NET + "/ipaddresses/10.201.0.9")


def service(name, more=None, ports=((80, "TCP"),), selector=None):
    spec = {"ports": [{"name": f"p{n}-{p.lower()}", "port": n, "protocol": p} for n, p in ports], **(more or {})}
    if selector:
        spec["selector"] = selector
    return {"metadata": {"name": name, "labels": {"made": "here"}}, "spec": spec}


def master_service(c):
    """API Server should provide secure master service"""
    o = ask(c, 200, "GET", NS + "/services/kubernetes")
    equal([(p["name"], p["port"]) for p in o["spec"]["ports"]], [("https", 443)])
    equal(ask(c, 200, "GET", NS + "/endpoints/kubernetes")["subsets"][0]["ports"][0]["name"], "https")
    equal([s["metadata"]["labels"]["kubernetes.io/service-name"] for s in ask(c, 200, "GET", SLICES)["items"]
           if s["metadata"]["name"] == "kubernetes"], ["kubernetes"])


def service_types_change(c):
    """Services should be able to change the type: ClusterIP to ExternalName, ExternalName to ClusterIP and to NodePort, NodePort to ExternalName"""
    at = NS + "/services/typed"
    ip = ask(c, 201, "POST", NS + "/services", service("typed"))["spec"]["clusterIP"]
    ask(c, 200, "GET", NET + "/ipaddresses/" + ip)
    o = ask(c, 200, "GET", at)
    o["spec"].update({"type": "ExternalName", "externalName": "example.com"})
    o = ask(c, 200, "PUT", at, o)
    equal([o["spec"].get(f) for f in ("clusterIP", "clusterIPs", "ipFamilies")], [None, None, None])
    ask(c, 404, "GET", NET + "/ipaddresses/" + ip)
    o["spec"].update({"type": "ClusterIP"})
    del o["spec"]["externalName"]
    o = ask(c, 200, "PUT", at, o)
    equal(bool(o["spec"]["clusterIP"]), True)
    o["spec"].update({"type": "ExternalName", "externalName": "example.com"})
    o = ask(c, 200, "PUT", at, o)
    o["spec"].update({"type": "NodePort"})
    del o["spec"]["externalName"]
    o = ask(c, 200, "PUT", at, o)
    port = o["spec"]["ports"][0]["nodePort"]
    equal((30000 <= port <= 32767, bool(o["spec"]["clusterIP"])), (True, True))
    o["spec"].update({"type": "ExternalName", "externalName": "example.com"})
    o = ask(c, 200, "PUT", at, o)
    equal((o["spec"].get("clusterIP"), o["spec"]["ports"][0].get("nodePort")), (None, None))
    again = service("again", {"type": "NodePort"})
    again["spec"]["ports"][0]["nodePort"] = port  # it is free again
    ask(c, 201, "POST", NS + "/services", again)
    for name in ("typed", "again"):
        ask(c, 200, "DELETE", NS + "/services/" + name)


def session_affinity_switches(c):
    """Services should be able to switch session affinity for service with type clusterIP (and NodePort)"""
    for kind in ("ClusterIP", "NodePort"):
        at = NS + "/services/sticky"
        o = ask(c, 201, "POST", NS + "/services", service("sticky", {"type": kind, "sessionAffinity": "ClientIP"}))
        equal(o["spec"]["sessionAffinityConfig"], {"clientIP": {"timeoutSeconds": 10800}})
        o["spec"]["sessionAffinity"] = "None"
        del o["spec"]["sessionAffinityConfig"]
        o = ask(c, 200, "PUT", at, o)
        equal((o["spec"]["sessionAffinity"], o["spec"].get("sessionAffinityConfig")), ("None", None))
        o = ask(c, 200, "PATCH", at, {"spec": {"sessionAffinity": "ClientIP"}}, MERGE)
        equal(o["spec"]["sessionAffinityConfig"], {"clientIP": {"timeoutSeconds": 10800}})
        o = ask(c, 200, "PATCH", at, {"spec": {"sessionAffinity": "None"}}, MERGE)
        equal(o["spec"].get("sessionAffinityConfig"), None)
        ask(c, 200, "DELETE", at)


def service_status_lifecycle(c):
    """Services should complete a service status lifecycle"""
    at = NS + "/services/lively"
    o = service("lively", {"type": "LoadBalancer", "loadBalancerClass": "example.com/internal-vip"})
    o["metadata"]["labels"]["set"] = "conformance"
    made = o = ask(c, 201, "POST", NS + "/services", o)
    equal(ask(c, 200, "GET", at + "/status")["status"], {"loadBalancer": {}})
    o = ask(c, 200, "PATCH", at + "/status", {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {
        "loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}, MERGE)
    equal(o["metadata"]["annotations"]["patchedstatus"], "true")
    equal(o["status"]["loadBalancer"]["ingress"][0]["ip"], "203.0.113.1")
    o["status"]["conditions"] = [{"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test",
                                  "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    equal(ask(c, 200, "PUT", at + "/status", o)["status"]["conditions"][0]["type"], "StatusUpdate")
    o = ask(c, 200, "PATCH", at, {"metadata": {"labels": {"test-service": "patched"}}}, MERGE)
    equal(o["metadata"]["labels"]["test-service"], "patched")
    equal(o["status"]["conditions"][0]["type"], "StatusUpdate")
    ask(c, 200, "DELETE", at)
    wait_for("it to go", lambda: c.request("GET", at)[0] == 404)
    equal(events_since(c, NS + "/services", made["metadata"]["resourceVersion"], "lively"), ["MODIFIED"] * 3 + ["DELETED"])


def collections_of_services(c):
    """Services should delete a collection of services"""
    for name, label in (("e1", "yes"), ("e2", "yes"), ("e3", "no")):
        o = service(name)
        o["metadata"]["labels"]["all"] = label
        ask(c, 201, "POST", NS + "/services", o)
    equal(len(ask(c, 200, "GET", NS + "/services?labelSelector=made%3Dhere")["items"]), 3)
    ask(c, 200, "DELETE", NS + "/services?labelSelector=all%3Dyes")
    wait_for("two to go", lambda: [o["metadata"]["name"] for o in ask(c, 200, "GET", NS + "/services?labelSelector=made%3Dhere")["items"]] == ["e3"])
    ask(c, 200, "DELETE", NS + "/services/e3")


def found_in_all_namespaces(c):
    """Services should find a service from listing all namespaces"""
    equal("kubernetes" in [o["metadata"]["name"] for o in ask(c, 200, "GET", "/api/v1/services")["items"]], True)


def pod(c, name, labels, ports, ip):
    """One that runs, as far as its status says."""
    ask(c, 201, "POST", NS + "/pods", {"metadata": {"name": name, "labels": labels}, "spec": {"nodeName": "made-up", "containers": [
        {"name": "c", "image": "x", "ports": [{"name": n, "containerPort": p} for n, p in ports]}]}})
    ask(c, 200, "PATCH", f"{NS}/pods/{name}/status", {"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}, MERGE)


def gone(c, name):
    ask(c, 200, "DELETE", f"{NS}/pods/{name}?gracePeriodSeconds=0")


def addresses(c, name):
    """From Endpoints and from slices, which must say the same: {"ip:port"}."""
    of_endpoints = {f"{a['ip']}:{p['port']}" for s in ask(c, 200, "GET", f"{NS}/endpoints/{name}").get("subsets", [])
                    for a in s.get("addresses", []) for p in s["ports"]}
    found = ask(c, 200, "GET", f"{SLICES}?labelSelector=kubernetes.io/service-name%3D{name}")["items"]
    of_slices = {f"{a}:{p['port']}" for s in found for e in s.get("endpoints") or [] if e["conditions"]["ready"] for a in e["addresses"]
                 for p in s["ports"]}
    return of_endpoints if found and of_endpoints == of_slices else None


def endpoints_are(c, name, *wanted):
    wait_for(f"{name} to have {wanted}", lambda: addresses(c, name) == set(wanted))


def endpoints_of_pods(c):
    """EndpointSlice / EndpointsController should create ... for Pods matching a Service, and empty ones for a Service that matches no pods;
    Services should serve a basic endpoint from pods, and multiport endpoints"""
    ask(c, 201, "POST", "/api/v1/nodes", {"metadata": {"name": "made-up"}})
    ask(c, 201, "POST", NS + "/services", service("none", selector={"app": "nobody"}))
    endpoints_are(c, "none")
    ask(c, 200, "DELETE", NS + "/services/none")
    wait_for("both to go", lambda: c.request("GET", NS + "/endpoints/none")[0] == 404 and
             ask(c, 200, "GET", SLICES + "?labelSelector=kubernetes.io/service-name%3Dnone")["items"] == [])

    ask(c, 201, "POST", NS + "/services", service("basic", selector={"app": "basic"}))
    endpoints_are(c, "basic")
    pod(c, "pod1", {"app": "basic"}, (("http", 80),), "10.42.9.1")
    endpoints_are(c, "basic", "10.42.9.1:80")
    pod(c, "pod2", {"app": "basic"}, (("http", 80),), "10.42.9.2")
    endpoints_are(c, "basic", "10.42.9.1:80", "10.42.9.2:80")
    gone(c, "pod1")
    endpoints_are(c, "basic", "10.42.9.2:80")
    gone(c, "pod2")
    endpoints_are(c, "basic")

    two = service("multi", selector={"app": "multi"}, ports=((80, "TCP"), (81, "TCP")))
    two["spec"]["ports"][0]["targetPort"], two["spec"]["ports"][1]["targetPort"] = "portname1", "portname2"
    ask(c, 201, "POST", NS + "/services", two)
    endpoints_are(c, "multi")
    pod(c, "pod1", {"app": "multi"}, (("portname1", 100),), "10.42.9.1")
    endpoints_are(c, "multi", "10.42.9.1:100")
    pod(c, "pod2", {"app": "multi"}, (("portname2", 101),), "10.42.9.2")
    endpoints_are(c, "multi", "10.42.9.1:100", "10.42.9.2:101")
    gone(c, "pod1")
    endpoints_are(c, "multi", "10.42.9.2:101")
    gone(c, "pod2")
    endpoints_are(c, "multi")

    # One number, two protocols: "Services should serve endpoints on same port and different protocols".
    ask(c, 201, "POST", NS + "/services", service("both", selector={"app": "both"}, ports=((80, "TCP"), (80, "UDP"))))
    pod(c, "pod3", {"app": "both"}, (), "10.42.9.3")
    wait_for("both protocols", lambda: sorted(p["protocol"] for s in ask(c, 200, "GET", SLICES + "?labelSelector=kubernetes.io/service-name%3Dboth")["items"]
                                              if s.get("endpoints") for p in s["ports"]) == ["TCP", "UDP"])
    o = ask(c, 200, "GET", NS + "/services/both")
    o["spec"]["ports"] = o["spec"]["ports"][:1]
    ask(c, 200, "PUT", NS + "/services/both", o)
    wait_for("one protocol", lambda: [p["protocol"] for s in ask(c, 200, "GET", SLICES + "?labelSelector=kubernetes.io/service-name%3Dboth")["items"]
                                      for p in s["ports"]] == ["TCP"])
    gone(c, "pod3")
    for name in ("basic", "multi", "both"):
        ask(c, 200, "DELETE", NS + "/services/" + name)


def endpoints_lifecycle(c):
    """Services should test the lifecycle of an Endpoint"""
    at = NS + "/endpoints/testservice"
    ask(c, 201, "POST", NS + "/services", service("testservice"))
    o = {"metadata": {"name": "testservice", "labels": {"test-endpoint-static": "true", "set": "conformance"}},
         "subsets": [{"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80}]}]}
    made = o = ask(c, 201, "POST", NS + "/endpoints", o)
    equal(len(ask(c, 200, "GET", "/api/v1/endpoints?labelSelector=test-endpoint-static%3Dtrue")["items"]), 1)
    o["metadata"]["labels"]["test-service"] = "updated"
    equal(ask(c, 200, "PUT", at, o)["metadata"]["labels"]["test-service"], "updated")
    o = ask(c, 200, "PATCH", at, {"metadata": {"labels": {"test-service": "patched"}}, "subsets": [
        {"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080}]}]}, MERGE)
    equal((o["metadata"]["labels"]["test-service"], o["subsets"][0]["addresses"][0]["ip"], o["subsets"][0]["ports"][0]["port"]),
          ("patched", "10.0.0.25", 8080))
    ask(c, 200, "DELETE", NS + "/endpoints?labelSelector=test-endpoint-static%3Dtrue")
    wait_for("it to go", lambda: c.request("GET", at)[0] == 404)
    equal(events_since(c, NS + "/endpoints", made["metadata"]["resourceVersion"], "testservice"), ["MODIFIED", "MODIFIED", "DELETED"])
    ask(c, 200, "DELETE", NS + "/services/testservice")


def endpoints_are_mirrored(c):
    """EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete"""
    def mirror():
        return ask(c, 200, "GET", SLICES + "?labelSelector=kubernetes.io/service-name%3Dcustom")["items"]
    ask(c, 201, "POST", NS + "/services", service("custom"))
    o = ask(c, 201, "POST", NS + "/endpoints", {"metadata": {"name": "custom"}, "subsets": [
        {"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]})
    wait_for("a mirror", lambda: [s["endpoints"][0]["addresses"] for s in mirror()] == [["10.1.2.3"]])
    equal(mirror()[0]["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"], "endpointslicemirroring-controller.k8s.io")
    o["subsets"] = [{"addresses": [{"ip": "10.2.3.4"}], "ports": [{"port": 81}]}]
    ask(c, 200, "PUT", NS + "/endpoints/custom", o)
    wait_for("its change", lambda: [(s["endpoints"][0]["addresses"], s["ports"][0]["port"]) for s in mirror()] == [(["10.2.3.4"], 81)])
    ask(c, 200, "DELETE", NS + "/endpoints/custom")
    wait_for("it to go", lambda: mirror() == [])
    ask(c, 200, "DELETE", NS + "/services/custom")


if __name__ == "__main__":
    need_tools()
    with Cluster(args=["--advertise-address", "192.0.2.7"]) as cluster:
        sys.exit(main([ingress_api, ingressclass_api, endpointslice_api, servicecidr_api, master_service, service_types_change,
                       session_affinity_switches, service_status_lifecycle, collections_of_services, found_in_all_namespaces,
                       endpoints_of_pods, endpoints_lifecycle, endpoints_are_mirrored], cluster))
