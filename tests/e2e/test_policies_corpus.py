#!/usr/bin/env python3
"""A library of policies of others, with the objects that it is tried on: each policy is taken, told about the types of
its kinds, and judges without an error. The library is not part of the tree (POLICIES, or ../shared/corpus/policies)."""
import os
import re
import sys

from lib import ROOT, Cluster, Failed, equal, main, need_tools, wait_for

LIBRARY = os.path.join(os.environ.get("POLICIES") or os.path.join(os.path.dirname(ROOT), "shared", "corpus", "policies"),
                       "vap-kubescape")
API = "/apis/admissionregistration.k8s.io/v1/"
CONFIG = "basic-control-configuration"
# What no template of a test is about.
OTHERS = ("test-resources--policy-binding", "test-resources--default-control", "test-resources--empty-control")
CHECKS = re.compile(r'^apiserver_validating_admission_policy_check_total\{enforcement_action="(\w+)",error_type="(\w+)".*\} (\d+)$', re.M)


def library(start, end=".yaml"):
    return sorted(os.path.join(LIBRARY, f) for f in os.listdir(LIBRARY) if f.startswith(start) and f.endswith(end))


def policies(c):
    return c.request("GET", API + "validatingadmissionpolicies")[1]["items"]


def taken(c):
    c.kubectl("create", "-f", os.path.join(LIBRARY, "configuration--policy-configuration-definition.yaml"))
    wait_for("the kind of parameters", lambda: c.request("GET", "/apis/kubescape.io/v1/controlconfigurations")[0] == 200)
    c.kubectl("create", "-f", os.path.join(LIBRARY, f"configuration--{CONFIG}.yaml"))
    c.kubectl("create", *(a for path in library("controls--") + library("runtime-policies--") for a in ("-f", path)))
    if len(policies(c)) < 60:
        raise Failed(f"{len(policies(c))} policies")


def checked(c):
    """Expressions of these policies are for several kinds at once, so that many have warnings."""
    wait_for("all to be checked", lambda: all(p.get("status", {}).get("observedGeneration") == 1 for p in policies(c)))
    told = 0
    for p in policies(c):
        for w in p["status"].get("typeChecking", {}).get("expressionWarnings", []):
            told += 1
            if not re.match(r"\S*/\S+, Kind=\w+: ERROR: <input>:\d+:\d+: ", w["warning"]):
                raise Failed(f"{p['metadata']['name']}: {w['warning']}")
    if not told:
        raise Failed("no policy has a warning")


def judged(c):
    for p in policies(c):
        binding = {"metadata": {"name": p["metadata"]["name"]},
                   "spec": {"policyName": p["metadata"]["name"], "validationActions": ["Warn"]}}
        if "paramKind" in p["spec"]:
            binding["spec"]["paramRef"] = {"name": CONFIG, "parameterNotFoundAction": "Deny"}
        equal(c.request("POST", API + "validatingadmissionpolicybindings", binding)[0], 201)
    objects = [p for p in library("test-resources--") if not os.path.basename(p).startswith(OTHERS)]
    tried = len(c.run("create", "--dry-run=server", "-o", "name", *(a for p in objects for a in ("-f", p)),
                      check=False).text.split())
    counts = {}
    for action, error, n in CHECKS.findall(c.request("GET", "/metrics")[1]):
        equal(error, "no_error")
        counts[action] = counts.get(action, 0) + int(n)
    if tried < 25 or counts.get("warn", 0) < 100 or "allow" in counts:  # which counts what could not be asked
        raise Failed(f"{tried} objects, {counts}")


if __name__ == "__main__":
    if not os.path.isdir(LIBRARY):
        print("1..0 # skip needs a library of policies, which is not part of the tree")
        sys.exit(77)
    need_tools()
    with Cluster(args=["--disable-scheduler"]) as cluster:
        wait_for("the default namespace", lambda: cluster.run("get", "ns", "default", check=False).returncode == 0)
        sys.exit(main([taken, checked, judged], cluster))
