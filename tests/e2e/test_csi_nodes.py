#!/usr/bin/env python3
"""A volume of a driver (tests/csi-driver) between two nodes: refused to the second one, it moves with its pod, and leaves a node
that is out of service."""
import contextlib
import sys

from lib import DevCluster, equal, main, need_node, wait_for
from test_csi import CLASS, Driver, claim, pod, running, said, skip_or_install


def moves_with_its_pod(c, drivers):
    for d in drivers:
        d.start()
    for n in (1, 2):
        wait_for(f"the driver on dev-{n}", lambda n=n: c.get("csinode", f"dev-{n}")["spec"]["drivers"])
    c.apply(CLASS)
    c.apply(claim("one") + "---" + pod("p", "one", node="dev-1"))
    c.kubectl("annotate", "pvc", "one", "volume.kubernetes.io/selected-node=dev-1")  # as the scheduler would
    running(c, "p")
    c.kubectl("exec", "p", "--", "sh", "-c", "echo kept > /d/f")
    c.apply(pod("q", "one", node="dev-2"))
    wait_for("the refusal", lambda: said(c, "q", "FailedAttachVolume"))
    equal(c.get("pod", "q")["status"]["phase"], "Pending")
    c.kubectl("delete", "pod", "p", "--timeout=60s")
    running(c, "q")
    equal(c.kubectl("exec", "q", "--", "cat", "/d/f"), "kept\n")
    equal([a["spec"]["nodeName"] for a in c.get("volumeattachments")["items"]], ["dev-2"])
    equal(drivers[0].mounts(), [])


def leaves_a_node_that_is_out_of_service(c, drivers):
    words = c.kill_node(2)
    c.apply(pod("r", "one", node="dev-1"))
    c.kubectl("taint", "node", "dev-2", "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
    running(c, "r", 120)
    equal(c.kubectl("exec", "r", "--", "cat", "/d/f"), "kept\n")
    equal([a["spec"]["nodeName"] for a in c.get("volumeattachments")["items"]], ["dev-1"])
    # it comes back, and takes away what it finds of pods that have gone
    c.start_node(2, words)
    wait_for("the node's mounts to go", lambda: not drivers[1].mounts(), 60)


if __name__ == "__main__":
    need_node()
    skip_or_install()
    with contextlib.ExitStack() as ends:
        cluster = ends.enter_context(DevCluster(nodes=2))
        pair = [Driver(cluster, sidecars=n == 1, data=cluster.node_dir(n), node=f"dev-{n}") for n in (1, 2)]
        for driver in pair:
            ends.callback(driver.end)
        sys.exit(main([moves_with_its_pod, leaves_a_node_that_is_out_of_service], cluster, pair))
