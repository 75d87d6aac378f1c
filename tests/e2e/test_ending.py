"""The end of a server: told to load balancers first, and nobody who has asked is left without an answer. And what flags
about time and load refuse."""
import json
import signal
import sys

from lib import Cluster, contains, equal, main, need_tools, refused, wait_for

MAPS = "/api/v1/namespaces/default/configmaps"


def what_cannot_be_is_refused_at_the_start(_):
    contains(refused("--request-timeout", "0s"), "--request-timeout takes a time")
    contains(refused("--event-ttl", "soon"), "--event-ttl takes a time like 30s")
    contains(refused("--shutdown-delay-duration", "-1s"), "--shutdown-delay-duration takes a time")
    contains(refused("--goaway-chance", "0.03"), "--goaway-chance can not be less than 0 or greater than 0.02")
    contains(refused("--goaway-chance", "nan"), "--goaway-chance can not be")
    contains(refused("--max-requests-inflight", "0", "--max-mutating-requests-inflight", "0"), "add up to something positive")
    contains(refused("--min-request-timeout", "0"), "--min-request-timeout takes seconds")


def not_ready_and_serving(c):
    conn = c.connect()
    conn.request("GET", MAPS + "?watch=1&resourceVersion=0")
    watch = conn.getresponse()
    equal(watch.status, 200)
    c.proc.send_signal(signal.SIGTERM)
    wait_for("a server that is not ready", lambda: c.request("GET", "/readyz")[0] == 500)
    contains(c.request("GET", "/readyz?verbose")[1], "[-]shutdown failed: reason withheld")
    equal(c.request("GET", "/livez")[0], 200)
    equal(c.request("POST", MAPS, {"metadata": {"name": "late"}})[0], 201)
    while json.loads(watch.readline())["object"]["metadata"]["name"] != "late":
        pass
    c.proc.send_signal(signal.SIGTERM)  # enough of that
    equal(watch.read(), b"")  # the watch ends as watches do
    equal(c.wait_end(), 0)


def levels_follow_the_flags(c):
    c.args = ["--disable-scheduler", "--disable-controller-manager", "--max-requests-inflight", "4000",
              "--max-mutating-requests-inflight", "900"]
    c.start()
    contains(c.request("GET", "/metrics")[1], 'apiserver_flowcontrol_nominal_limit_seats{priority_level="global-default"} 400\n')
    status, _, headers = c.request("GET", MAPS)
    equal(status, 200)
    for header, kind in (("FlowSchema", "flowschemas"), ("PriorityLevel", "prioritylevelconfigurations")):
        exempt = c.request("GET", f"/apis/flowcontrol.apiserver.k8s.io/v1/{kind}/exempt")[1]
        equal(headers[f"X-Kubernetes-PF-{header}-UID"], exempt["metadata"]["uid"])
    equal(c.stop(), 0)


if __name__ == "__main__":
    need_tools()
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager", "--shutdown-delay-duration", "1h"]) as cluster:
        sys.exit(main([what_cannot_be_is_refused_at_the_start, not_ready_and_serving, levels_follow_the_flags], cluster))
