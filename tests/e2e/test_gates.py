"""What of the API is switched on and off at a start, by --feature-gates and --runtime-config: refusals first; what is off
is nowhere, and what was stored while it was on is there when it is on again."""
import sys

from lib import Cluster, contains, equal, main, need_tools, refused

ALL = ["--runtime-config", "api/all=true", "--feature-gates", "AllAlpha=true,AllBeta=true"]
GROUPS = "/apis/scheduling.k8s.io/v1beta1/namespaces/default/podgroups"


def what_cannot_be_is_refused_at_the_start(_):
    contains(refused("--feature-gates", "NoSuch=true"), "unrecognized feature gate: NoSuch")
    contains(refused("--feature-gates", "JobManagedBy=false"),
             "cannot set feature gate JobManagedBy to false, feature is locked to true")
    contains(refused("--feature-gates", "WatchList"), "missing bool value for WatchList")
    contains(refused("--runtime-config", "nope.io/v1=true"), "unknown api groups nope.io")
    contains(refused("--runtime-config", "apps/v9=true"), "group version apps/v9 that has not been registered")
    contains(refused("--runtime-config", "api/all=false"), "invalid key with only api/all=false")
    contains(refused("--feature-gates", "GenericWorkload=true"), "--runtime-config=scheduling.k8s.io/v1beta1=true")
    contains(refused("--runtime-config", "scheduling.k8s.io/v1beta1=true"), "--feature-gates=GenericWorkload=true")


def versions(c):
    return {v["groupVersion"] for g in c.request("GET", "/apis")[1]["groups"] for v in g["versions"]}


def documents(c):
    paths = set(c.request("GET", "/openapi/v3")[1]["paths"])
    return paths, c.request("GET", "/openapi/v2")[1]["paths"]


def restart(c, args):
    c.stop()
    c.args = ["--disable-scheduler", "--disable-controller-manager", *args]
    c.start()


def all_of_it(c):
    equal({"scheduling.k8s.io/v1alpha3", "lifecycle.k8s.io/v1alpha1", "resource.k8s.io/v1beta1"} <= versions(c), True)
    v3, v2 = documents(c)
    equal("apis/lifecycle.k8s.io/v1alpha1" in v3, True)
    equal("/apis/resource.k8s.io/v1beta1/resourceslices" in v2, True)
    for group, version in (g.split("/") for g in sorted(versions(c))):
        equal(c.request("GET", f"/openapi/v3/apis/{group}/{version}")[0], 200)
    contains(c.kubectl("api-resources"), "evictionrequests", "compositepodgroups", "storageversions", "leasecandidates")
    status, answer, _ = c.request("POST", GROUPS, {"metadata": {"name": "g"}, "spec": {"schedulingPolicy": {"basic": {}}}})
    equal(status, 201, answer)
    equal(c.request("GET", GROUPS.replace("v1beta1", "v1alpha3") + "/g")[1]["apiVersion"], "scheduling.k8s.io/v1alpha3")
    c.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "p"}, "spec": {"schedulingGroup": {"podGroupName": "g"}, "containers": [{"name": "c", "image": "i"}]}}
    status, answer, _ = c.request("POST", "/api/v1/namespaces/default/pods", pod)
    equal((status, answer.get("spec", {}).get("schedulingGroup")), (201, {"podGroupName": "g"}), answer)


def what_is_off_is_nowhere(c):
    restart(c, [])
    # Metrics are beta wherever they are served.
    equal([v for v in versions(c) if "alpha" in v or "beta" in v], ["metrics.k8s.io/v1beta1"])
    v3, v2 = documents(c)
    equal([p for p in list(v3) + list(v2) if ("/v1alpha" in p or "/v1beta" in p) and "metrics.k8s.io" not in p], [])
    for path in (GROUPS, GROUPS + "/g", "/apis/scheduling.k8s.io/v1beta1", "/apis/lifecycle.k8s.io", "/openapi/v3/apis/lifecycle.k8s.io/v1alpha1"):
        equal(c.request("GET", path)[0], 404, path)
    pod = {"metadata": {"name": "q"}, "spec": {"schedulingGroup": {"podGroupName": "g"}, "containers": [{"name": "c", "image": "i"}]}}
    status, answer, _ = c.request("POST", "/api/v1/namespaces/default/pods", pod)
    equal((status, "schedulingGroup" in answer["spec"]), (201, False))


def what_is_on_again_is_there(c):
    restart(c, ["--runtime-config", "scheduling.k8s.io/v1beta1", "--feature-gates", "GenericWorkload=true"])
    equal(c.request("GET", GROUPS + "/g")[0], 200)
    equal("scheduling.k8s.io/v1alpha3" in versions(c), False)


def features_of_the_server_itself(c):
    restart(c, ["--feature-gates", "WatchList=false,StorageVersionHash=false,AllowUnsafeMalformedObjectDeletion=false"])
    status, answer, _ = c.request("GET", "/api/v1/pods?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
    equal(status, 422, answer)
    contains(answer["message"], "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled")
    equal([r["name"] for r in c.request("GET", "/api/v1")[1]["resources"] if "storageVersionHash" in r], [])
    # Dropped: nothing is said against what it cannot go together with.
    status, answer, _ = c.request("DELETE", "/api/v1/namespaces/default/configmaps/none?dryRun=All&"
                                  "ignoreStoreReadErrorWithClusterBreakingPotential=true")
    equal(status, 404, answer)
    # Off, nobody knows the parameter; on, it is judged, and a list says that it is a part.
    equal(c.request("GET", "/api/v1/namespaces?shardSelector=nonsense")[0], 200)
    restart(c, ["--feature-gates", "ShardedListAndWatch=true"])
    status, answer, _ = c.request("GET", "/api/v1/namespaces?shardSelector=nonsense")
    equal((status, answer["reason"]), (400, "BadRequest"))
    names = []
    for bounds in ("'0x0000000000000000','0x8000000000000000'", "'0x8000000000000000','0x10000000000000000'"):
        selector = f"shardRange(object.metadata.uid,{bounds})"
        answer = c.request("GET", "/api/v1/namespaces?shardSelector=" + selector)[1]
        equal(answer["metadata"]["shardInfo"]["selector"], selector.replace(",", ", "))
        names += [o["metadata"]["name"] for o in answer["items"]]
    equal(sorted(names), [o["metadata"]["name"] for o in c.request("GET", "/api/v1/namespaces")[1]["items"]])


def without_parts_the_server_counts_on(c):
    """Its own objects stand, and are not asked for."""
    restart(c, ["--runtime-config", "rbac.authorization.k8s.io/v1=false,scheduling.k8s.io/v1=false,apps/v1/deployments=false"])
    equal("rbac.authorization.k8s.io/v1" in versions(c), False)
    equal(c.request("GET", "/apis/apps/v1/deployments")[0], 404)
    equal(c.request("GET", "/apis/apps/v1/replicasets")[0], 200)
    equal(c.request("GET", "/api/v1/nodes")[0], 200)


if __name__ == "__main__":
    need_tools()
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager", *ALL]) as cluster:
        sys.exit(main([what_cannot_be_is_refused_at_the_start, all_of_it, what_is_off_is_nowhere, what_is_on_again_is_there,
                       features_of_the_server_itself, without_parts_the_server_counts_on], cluster))
