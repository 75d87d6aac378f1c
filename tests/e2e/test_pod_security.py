"""Pod Security as people meet it, by kubectl: what is refused, what is warned of, what a file of the administrator says;
and which plugins of admission a start takes. Refusals first."""
import os
import sys

from lib import Cluster, contains, equal, main, need_tools, refused

POD = """
apiVersion: v1
kind: Pod
metadata: {name: %s}
spec: {containers: [{name: c, image: i%s}]}
"""
PRIVILEGED = ", securityContext: {privileged: true}"
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: d}
spec:
  selector: {matchLabels: {a: b}}
  template:
    metadata: {labels: {a: b}}
    spec: {containers: [{name: c, image: i}]}
"""
CONFIG = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults: {enforce: %s}
    exemptions: {namespaces: [kube-system, exempt]}
"""


def what_cannot_be_is_refused_at_the_start(_):
    contains(refused("--enable-admission-plugins", "PodSecurty"), 'enable-admission-plugins plugin "PodSecurty" is unknown')
    contains(refused("--disable-admission-plugins", "Nope"), 'disable-admission-plugins plugin "Nope" is unknown')


def namespace(c, name, *labels):
    c.kubectl("create", "namespace", name)
    c.kubectl("-n", name, "create", "serviceaccount", "default")
    if labels:
        c.kubectl("label", "namespace", name, *(f"pod-security.kubernetes.io/{label}" for label in labels))


def pods_are_held_to_their_namespace(c):
    namespace(c, "held", "enforce=baseline")
    r = c.run("-n", "held", "apply", "-f", "-", stdin=POD % ("p", PRIVILEGED), check=False)
    equal(r.returncode, 1)
    contains(r.errors, 'pods "p" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set '
                       "securityContext.privileged=true)")
    c.run("-n", "held", "apply", "-f", "-", stdin=POD % ("p", ""))
    r = c.run("-n", "held", "debug", "p", "--image=i", "--profile=sysadmin", "--attach=false", check=False)
    contains(r.errors, 'violates PodSecurity "baseline:latest"')


def workloads_are_warned_of(c):
    namespace(c, "warned", "enforce=restricted", "warn-version=v1.28")
    r = c.run("-n", "warned", "apply", "-f", "-", stdin=DEPLOYMENT)
    contains(r.errors, 'Warning: would violate PodSecurity "restricted:v1.28": allowPrivilegeEscalation != false')
    contains(r.text, "deployment.apps/d created")


def a_stricter_namespace_tells_of_its_pods(c):
    namespace(c, "was-free")
    c.run("-n", "was-free", "apply", "-f", "-", stdin=POD % ("p", PRIVILEGED))
    r = c.run("label", "--dry-run=server", "namespace", "was-free", "pod-security.kubernetes.io/enforce=baseline")
    contains(r.errors, 'existing pods in namespace "was-free" violate the new PodSecurity enforce level "baseline:latest"',
             "p: privileged")
    r = c.run("label", "namespace", "was-free", "pod-security.kubernetes.io/enforce=strict", check=False)
    contains(r.errors, 'Invalid value: "strict": must be one of privileged, baseline, restricted')


def write_config(c, level):
    path = os.path.join(c.dir, "admission.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(CONFIG % level)
    return path


def a_file_says_what_holds_elsewhere(c):
    contains(refused("--admission-control-config-file", write_config(c, "strict")), 'defaults.enforce: Invalid value: "strict"')
    c.stop()
    c.args = [*c.args, "--admission-control-config-file", write_config(c, "restricted")]
    c.start()
    namespace(c, "silent")
    namespace(c, "exempt")
    r = c.run("-n", "silent", "apply", "-f", "-", stdin=POD % ("p", ""), check=False)
    contains(r.errors, 'violates PodSecurity "restricted:latest"')
    c.run("-n", "exempt", "apply", "-f", "-", stdin=POD % ("p", PRIVILEGED))


def plugins_are_switched(c):
    c.stop()
    c.args = [*c.args, "--disable-admission-plugins", "PodSecurity", "--enable-admission-plugins", "AlwaysPullImages"]
    c.start()
    c.run("-n", "held", "apply", "-f", "-", stdin=POD % ("free", PRIVILEGED + ", imagePullPolicy: Never"))
    equal(c.get("-n", "held", "pod", "free")["spec"]["containers"][0]["imagePullPolicy"], "Always")


if __name__ == "__main__":
    need_tools()
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager"]) as cluster:
        sys.exit(main([what_cannot_be_is_refused_at_the_start, pods_are_held_to_their_namespace, workloads_are_warned_of,
                       a_stricter_namespace_tells_of_its_pods, a_file_says_what_holds_elsewhere, plugins_are_switched], cluster))
