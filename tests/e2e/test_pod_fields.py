#!/usr/bin/env python3
"""What a Pod asks for is what its containers see: one real node, fields read back from inside.

The table of all fields is tests/fields/pod-fields.tsv; what is shown without containers is in unit/kubelet.
"""
import base64
import json
import os
import sys

import lib

DEMO = "docker.io/caravel/demo:1"
SLEEP = ["sleep", "1000"]


def pod(name, containers, **spec):
    for i, c in enumerate(containers):
        c.setdefault("name", "abc"[i])
        c.setdefault("image", DEMO)
        c.setdefault("command", SLEEP)
    spec.setdefault("terminationGracePeriodSeconds", 0)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"l": "v1"}},
            "spec": dict(spec, containers=containers)}


def make(cluster, body):
    status, answer, _ = cluster.request("POST", "/api/v1/namespaces/default/pods", body)
    lib.equal(status, 201, answer)


def running(cluster, name):
    lib.wait_for(f"{name} to run", lambda: cluster.get("pod", name)["status"]["phase"] == "Running", 60)


def inside(cluster, name, script, container="a"):
    return cluster.kubectl("exec", name, "-c", container, "--", "sh", "-c", script).strip()


def processes(cluster):
    make(cluster, pod("proc", [
        {"workingDir": "/tmp", "command": ["sh", "-c", "echo $0 $1; exec sleep 1000"], "args": ["x", "$(E)"],
         "env": [{"name": "E", "value": "one"}],
         "securityContext": {"runAsUser": 1000, "runAsGroup": 1001, "runAsNonRoot": True, "readOnlyRootFilesystem": True,
                             "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"],
                                                                                "add": ["NET_BIND_SERVICE"]},
                             "seccompProfile": {"type": "RuntimeDefault"}}},
        {"tty": True, "stdin": True, "securityContext": {"privileged": True}},
        {"terminationMessagePath": "/dev/note"}],
        shareProcessNamespace=True, hostnameOverride="exact.example", enableServiceLinks=False,
        securityContext={"supplementalGroups": [4000], "fsGroup": 2000,
                         "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]}))
    running(cluster, "proc")
    status = inside(cluster, "proc", "pwd; id -u; id -g; id -G; cat /proc/self/status; hostname; touch /x || echo readonly")
    lib.contains(status, "/tmp\n1000\n1001\n", "CapBnd:\t0000000000000400", "NoNewPrivs:\t1", "Seccomp:\t2", "readonly",
                 "exact.example")
    groups = inside(cluster, "proc", "id -G").split()
    lib.equal(set(groups), {"1001", "2000", "4000"}, "groups")
    lib.equal(cluster.kubectl("logs", "proc", "-c", "a").strip(), "x one")
    lib.contains(inside(cluster, "proc", "cat /proc/self/status", "b"), "NoNewPrivs:\t0", "Seccomp:\t0")
    lib.contains(inside(cluster, "proc", "ps", "b"), "pause")  # the pod's processes are one family
    lib.equal(inside(cluster, "proc", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "80")
    lib.equal(inside(cluster, "proc", "env | grep -c PROC_SERVICE || true"), "0")
    lib.contains(inside(cluster, "proc", "cat /etc/hosts"), "exact.example")


def networks(cluster):
    make(cluster, pod("net", [{}], dnsPolicy="None", hostname="h", subdomain="s", setHostnameAsFQDN=True,
                      dnsConfig={"nameservers": ["192.0.2.53"], "searches": ["a.example"],
                                 "options": [{"name": "ndots", "value": "2"}]},
                      hostAliases=[{"ip": "192.0.2.7", "hostnames": ["alias"]}]))
    running(cluster, "net")
    lib.equal(inside(cluster, "net", "cat /etc/resolv.conf"),
              "search a.example\nnameserver 192.0.2.53\noptions ndots:2")
    lib.contains(inside(cluster, "net", "cat /etc/hosts"), "192.0.2.7\talias", "h.s.default.svc.cluster.local")
    lib.equal(inside(cluster, "net", "hostname"), "h.s.default.svc.cluster.local")


def files(cluster):
    cluster.apply("""
apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: default}
data: {k: text}
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: default}
stringData: {k: hush}
""")
    os.makedirs(os.path.join(cluster.dir, "host"), exist_ok=True)
    make(cluster, pod("files", [{
        "env": [{"name": "F", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "a.env", "key": "K"}}},
                {"name": "G", "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": "none", "key": "K",
                                                           "optional": True}}}],
        "volumeMounts": [{"name": n, "mountPath": "/" + n} for n in "csdvmox"] +
                        [{"name": "p", "mountPath": "/p", "readOnly": True, "recursiveReadOnly": "IfPossible"},
                         {"name": "h", "mountPath": "/h", "readOnly": True}]}],
        initContainers=[{"name": "i", "image": DEMO, "restartPolicy": "OnFailure",
                         "command": ["sh", "-c", "printf \"K='from file'\\n\" >/v/a.env"],
                         "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
        securityContext={"fsGroup": 3000},
        volumes=[
            {"name": "c", "configMap": {"name": "c", "defaultMode": 0o440, "items": [{"key": "k", "path": "x/y"}]}},
            {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
            {"name": "d", "downwardAPI": {"defaultMode": 0o444, "items": [
                {"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}},
                {"path": "r", "mode": 0o400, "resourceFieldRef": {"containerName": "a", "resource": "requests.cpu",
                                                                  "divisor": "1m"}}]}},
            {"name": "p", "projected": {"defaultMode": 0o444, "sources": [
                {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                {"secret": {"name": "s"}}, {"configMap": {"name": "c", "items": [{"key": "k", "path": "z"}]}},
                {"secret": {"name": "gone", "optional": True}}, {"configMap": {"name": "gone", "optional": True}},
                {"secret": {"name": "s", "items": [{"key": "k", "path": "once", "mode": 0o600}]}},
                {"serviceAccountToken": {"path": "t", "audience": "them", "expirationSeconds": 700}}]}},
            {"name": "o", "configMap": {"name": "gone", "optional": True}},
            {"name": "x", "secret": {"secretName": "gone", "optional": True}},
            {"name": "v", "emptyDir": {}},
            {"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            {"name": "h", "hostPath": {"path": os.path.join(cluster.dir, "host"), "type": "Directory"}}]))
    running(cluster, "files")
    lib.equal(inside(cluster, "files", "echo \"$F/${G-unset}\""), "from file/unset")
    lib.equal(inside(cluster, "files", "cat /c/x/y /s/k /d/l /p/n /p/k /p/z"), 'texthushl="v1"fileshushtext')
    lib.equal(inside(cluster, "files", "stat -L -c %a /c/x/y /s/k").split(), ["440", "440"])  # fsGroup may read
    lib.equal(inside(cluster, "files", "stat -L -c %a /d/r /p/once; cat /d/r; echo; ls /o /x | grep -c gone || true").split(),
              ["440", "640", "0", "0"])
    token = inside(cluster, "files", "cut -d. -f2 /p/t")
    claims = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    lib.equal((claims["aud"], claims["exp"] - claims["iat"]), (["them"], 700))
    lib.equal(inside(cluster, "files", "stat -c %g /v /m").split(), ["3000", "3000"])
    lib.contains(inside(cluster, "files", "dd if=/dev/zero of=/m/x bs=64k count=32 2>&1 || true"), "No space left")
    lib.contains(inside(cluster, "files", "touch /h/x 2>&1 || true"), "Read-only")


def propagation(cluster):
    """What the host mounts there comes through, or, where the host shares nothing, it is said."""
    make(cluster, pod("below", [{"volumeMounts": [{"name": "h", "mountPath": "/h", "mountPropagation": "HostToContainer"}]}],
                      volumes=[{"name": "h", "hostPath": {"path": cluster.dir}}]))
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        shared = any(line.split()[4] == "/" and ("shared:" in line or "master:" in line) for line in f)
    if shared:
        running(cluster, "below")
        lib.contains(inside(cluster, "below", "grep ' /h ' /proc/self/mountinfo"), "master:")
    else:
        lib.wait_for("a refusal", lambda: "not a shared or slave mount" in cluster.kubectl("get", "pod", "below", "-o", "yaml"))


def probes_and_hooks(cluster):
    """A request is read back from a listener; a socket that nobody opens, TLS where there is none: never ready."""
    web, tcp = lib.free_port(), lib.free_port()
    listen = ["sh", "-c", f"nc -l -p {web} >/tmp/got; exec sleep 1000"]
    http = {"path": "/a?b", "port": "web", "host": "127.0.0.1", "scheme": "HTTP",
            "httpHeaders": [{"name": "X-Mark", "value": "one"}]}
    make(cluster, pod("asks", [
        {"command": listen, "ports": [{"name": "web", "containerPort": web, "hostPort": web}],
         "startupProbe": {"httpGet": http, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1000}},
        {"command": ["httpd", "-f", "-p", str(tcp)],
         "readinessProbe": {"tcpSocket": {"port": tcp, "host": "127.0.0.1"}, "initialDelaySeconds": 1,
                            "periodSeconds": 1}},
        {"readinessProbe": {"grpc": {"port": tcp, "service": "s"}, "periodSeconds": 1}}], hostNetwork=True))
    make(cluster, pod("tls", [{"command": ["httpd", "-f", "-p", "8080"], "readinessProbe": {
        "httpGet": {"port": 8080, "scheme": "HTTPS"}, "periodSeconds": 1}}]))

    def ready(name):
        return [s["ready"] for s in sorted(cluster.get("pod", name)["status"].get("containerStatuses", []),
                                           key=lambda s: s["name"])]
    lib.wait_for("tcpSocket to succeed", lambda: ready("asks")[1:2] == [True])
    got = lib.wait_for("a request", lambda: inside(cluster, "asks", "cat /tmp/got"))
    lib.contains(got.lower(), "get /a?b http/1.1", "x-mark: one", "host: 127.0.0.1")
    for name in ("asks", "tls"):
        lib.wait_for("a failed probe", lambda n=name: "Readiness probe failed" in
                     cluster.kubectl("get", "events", "--field-selector", f"involvedObject.name={n},reason=Unhealthy"))
    lib.equal((ready("asks")[2], ready("tls")), (False, [False]))


def accounts(cluster):
    """Whose token a container finds, or that it finds none."""
    cluster.kubectl("create", "serviceaccount", "robot")
    make(cluster, pod("robot", [{}], serviceAccountName="robot"))
    make(cluster, pod("nobody", [{}], serviceAccountName="robot", automountServiceAccountToken=False))
    for name in ("robot", "nobody"):
        running(cluster, name)
    found = "/var/run/secrets/kubernetes.io/serviceaccount"
    claims = inside(cluster, "robot", f"cat {found}/token").split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    lib.equal(claims["sub"], "system:serviceaccount:default:robot")
    lib.equal(claims["kubernetes.io"]["pod"]["name"], "robot")
    lib.equal(inside(cluster, "robot", f"cat {found}/namespace"), "default")
    lib.equal(inside(cluster, "nobody", f"ls {found} 2>/dev/null || echo none"), "none")


def limits(cluster):
    make(cluster, pod("limits", [{}, {"resources": {"requests": {"cpu": "50m"},
                                                    "limits": {"memory": "16Mi", "cpu": "100m"}}}],
                      resources={"requests": {"cpu": "100m", "memory": "20Mi"},
                                 "limits": {"cpu": "500m", "memory": "40Mi"}}))
    running(cluster, "limits")
    lib.equal(cluster.get("pod", "limits")["status"]["qosClass"], "Burstable")
    memory = ("cat /sys/fs/cgroup/memory.max 2>/dev/null || "
              "cat /sys/fs/cgroup/memory/memory.limit_in_bytes")
    lib.equal(inside(cluster, "limits", memory), str(40 << 20), "a container without a limit has the pod's")
    lib.equal(inside(cluster, "limits", memory, "b"), str(16 << 20))
    spec = cluster.get("pod", "limits")
    lib.equal(spec["status"]["allocatedResources"], {"cpu": "100m", "memory": "20Mi"})


def a_runtime_class(cluster):
    """The runtime is asked for the class's handler, and what the class adds is the pod's, not the containers'."""
    for name, handler in (("usual", "runc"), ("strange", "gvisor")):
        status, answer, _ = cluster.request(
            "POST", "/apis/node.k8s.io/v1/runtimeclasses",
            {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler,
             "overhead": {"podFixed": {"memory": "16Mi", "cpu": "10m"}}})
        lib.equal(status, 201, answer)
    make(cluster, pod("classed", [{"resources": {"limits": {"memory": "16Mi", "cpu": "100m"}}}],
                      runtimeClassName="usual"))
    running(cluster, "classed")
    lib.equal(cluster.get("pod", "classed")["spec"]["overhead"], {"memory": "16Mi", "cpu": "10m"})
    uid = cluster.get("pod", "classed")["metadata"]["uid"]
    found = [os.path.join(at, f) for at, _, files in os.walk("/sys/fs/cgroup") if os.path.basename(at) == f"pod{uid}"
             for f in ("memory.max", "memory.limit_in_bytes") if f in files]
    lib.equal([open(f).read().strip() for f in found], [str(32 << 20)], "the pod's own memory")
    make(cluster, pod("strange", [{}], runtimeClassName="strange"))
    lib.wait_for("an event", lambda: 'no runtime for "gvisor" is configured' in
                 cluster.kubectl("get", "events", "--field-selector", "involvedObject.name=strange"))


def refusals(cluster):
    """Bound by hand: upstream's reason in `kubectl get pod`, not ContainerCreating."""
    for name, extra, reason in (
            ("cpu", {"containers": [{"resources": {"requests": {"cpu": "640"}}}]}, "OutOfcpu"),
            ("selector", {"nodeSelector": {"a": "zzz"}}, "NodeAffinity"),
            ("os", {"os": {"name": "windows"}}, "PodOSNotSupported"),
            ("sysctl", {"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "100"}]}},
             "SysctlForbidden")):
        make(cluster, pod("no-" + name, extra.pop("containers", [{}]), nodeName="node-1", **extra))
        lib.wait_for(f"{name} to be refused",
                     lambda n=name, r=reason: cluster.kubectl("get", "pod", "no-" + n, "--no-headers").split()[2] == r)
    make(cluster, pod("users", [{}], hostUsers=False))
    lib.wait_for("an event", lambda: "runtime does not support user namespaces" in
                 cluster.kubectl("get", "events", "--field-selector", "involvedObject.name=users"))
    make(cluster, pod("iscsi", [{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                      volumes=[{"name": "v", "iscsi": {"targetPortal": "x", "iqn": "iqn.2026-01.x:y", "lun": 0}}]))
    lib.wait_for("an event", lambda: "a volume of kind iscsi cannot be given by this node" in
                 cluster.kubectl("get", "events", "--field-selector", "involvedObject.name=iscsi"))
    make(cluster, pod("data", [{"volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                      volumes=[{"name": "v", "image": {"reference": DEMO}}]))
    version = cluster.get("node", "node-1")["status"]["nodeInfo"]["containerRuntimeVersion"]
    if version.startswith("containerd://1."):
        lib.wait_for("a refusal", lambda: "of kind image cannot be given by this node's runtime" in cluster.kubectl(
            "get", "pod", "data", "-o", "jsonpath={.status.containerStatuses}"))
    else:
        running(cluster, "data")
        lib.equal(inside(cluster, "data", "ls /v/bin/sh"), "/v/bin/sh")
    make(cluster, pod("profile", [{"securityContext": {"seccompProfile": {"type": "Localhost",
                                                                          "localhostProfile": "no/such.json"}}}]))
    lib.wait_for("a refusal", lambda: "no/such.json" in cluster.kubectl("get", "pod", "profile", "-o",
                                                                        "jsonpath={.status.containerStatuses}"))
    make(cluster, pod("stays", [{"command": ["/no/such"]}], restartPolicy="Never"))
    lib.wait_for("a start that fails", lambda: cluster.get("pod", "stays")["status"]["phase"] == "Failed")
    state = cluster.get("pod", "stays")["status"]["containerStatuses"][0]["state"]["terminated"]
    lib.equal((state["reason"], state["startedAt"]), ("StartError", "1970-01-01T00:00:00Z"))


if __name__ == "__main__":
    lib.need_node()
    with lib.Cluster(agent=True) as c:
        lib.wait_for("the node", lambda: "True" in [x["status"] for x in c.get("node", "node-1")["status"]["conditions"]
                                                    if x["type"] == "Ready"], 120)
        sys.exit(lib.main([processes, networks, files, propagation, probes_and_hooks, accounts, limits, a_runtime_class,
                           refusals], c))
