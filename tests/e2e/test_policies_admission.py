#!/usr/bin/env python3
"""Admission policies with kubectl: what they refuse, whom they warn, with parameters of one's own kind; what they change;
and that one that is broken can be taken away."""
import json
import sys

from lib import Cluster, Failed, contains, equal, main, need_tools, wait_for

POLICY = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: %(name)s}
spec:
  failurePolicy: %(failure)s
  paramKind: %(kind)s
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [configmaps]}
  matchConditions:
  - {name: named, expression: "object.metadata.name.startsWith('%(name)s')"}
  variables:
  - {name: keys, expression: "has(object.data) ? object.data.size() : 0"}
  validations:
  - expression: "%(rule)s"
    messageExpression: "'has ' + string(variables.keys) + ' keys'"
    reason: Forbidden
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: %(name)s}
spec: {policyName: %(name)s, validationActions: [%(action)s], paramRef: %(ref)s}
"""
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: limits.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: limits, singular: limit, kind: Limit}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {most: {type: integer}}}}
"""
MUTATING = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: %(name)s}
spec:
  reinvocationPolicy: IfNeeded
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}
  matchConditions:
  - {name: named, expression: "object.metadata.name.startsWith('%(of)s')"}
  mutations:
  - %(mutation)s
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: %(name)s}
spec: {policyName: %(name)s}
"""


def policy(c, name, rule, kind="null", ref="null", action="Deny", failure="Fail"):
    c.apply(POLICY % {"name": name, "rule": rule, "kind": kind, "ref": ref, "action": action, "failure": failure})


def mutating(c, name, of, mutation):
    c.apply(MUTATING % {"name": name, "of": of, "mutation": mutation})


def make(c, name, **data):
    """Creates a ConfigMap; returns the answer."""
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    return c.run("create", "-f", "-", stdin=json.dumps(body), check=False)


def refused(c, name, *words, **data):
    r = make(c, name, **data)
    if r.returncode == 0:
        raise Failed(f"{name} was not refused")
    contains(r.errors, *words)


def passes(c, name, **data):
    r = make(c, name, **data)
    if r.returncode:
        raise Failed(r.errors)
    return r.errors


def judges(c):
    policy(c, "few", "variables.keys < 2")
    refused(c, "few-1", "ValidatingAdmissionPolicy 'few' with binding 'few' denied request: has 2 keys", a="1", b="2")
    passes(c, "few-2", a="1")
    passes(c, "other", a="1", b="2")


def broken(c):
    """What cannot be told refuses, unless the policy says otherwise; and the policy itself can always be changed."""
    policy(c, "torn", "object.data.absent == 'x'")
    refused(c, "torn-1", "resulted in error: no such key: absent", a="1")
    policy(c, "torn", "object.data.absent == 'x'", failure="Ignore")
    passes(c, "torn-1", a="1")
    policy(c, "costly", "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, "
                        "[1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, "
                        "a + b + c + d + e + f > 0))))))")
    refused(c, "costly-1", "cost limit exceeded", a="1")
    c.kubectl("delete", "validatingadmissionpolicy", "costly")
    passes(c, "costly-1", a="1")


def warns(c):
    policy(c, "warned", "false", action="Warn")
    contains(passes(c, "warned-1"), "Warning: Validation failed for ValidatingAdmissionPolicy 'warned'", "has 0 keys")


def parameters(c):
    c.apply(CRD)
    c.kubectl("wait", "--for=condition=Established", "crd/limits.example.com", "--timeout=30s")
    policy(c, "limited", "variables.keys <= params.most", kind="{apiVersion: example.com/v1, kind: Limit}",
           ref="{name: l, parameterNotFoundAction: Deny}")
    refused(c, "limited-1", "failed to configure binding: no params found", a="1")
    c.apply("{apiVersion: example.com/v1, kind: Limit, metadata: {name: l}, most: 1}")
    passes(c, "limited-1", a="1")
    refused(c, "limited-2", "has 2 keys", a="1", b="2")
    c.kubectl("patch", "limit", "l", "--type=merge", "-p", '{"most": 2}')
    passes(c, "limited-2", a="1", b="2")
    policy(c, "unknown", "true", kind="{apiVersion: example.com/v9, kind: Nothing}",
           ref="{name: l, parameterNotFoundAction: Allow}")
    refused(c, "unknown-1", "'unknown' denied request: failed to configure policy: failed to find resource",
            "example.com/v9, Kind=Nothing")
    c.kubectl("delete", "validatingadmissionpolicy", "unknown")


def authorizes(c):
    policy(c, "asked", "authorizer.group('').resource('secrets').namespace('default').check('delete').allowed()")
    passes(c, "asked-1")
    c.kubectl("create", "clusterrole", "maker", "--verb=create", "--resource=configmaps")
    c.kubectl("create", "clusterrolebinding", "maker", "--clusterrole=maker", "--user=somebody")
    r = c.run("create", "configmap", "asked-2", "--as=somebody", check=False)
    contains(r.errors, "ValidatingAdmissionPolicy 'asked' with binding 'asked' denied request")


def refused_policies(c):
    for rule, words in (("object.x =", "Syntax error"), ("'text'", "must evaluate to bool"),
                        ("variables.absent == 1", "undefined field 'absent'"), ("params.x == 1", "undeclared reference to 'params'")):
        r = c.run("apply", "-f", "-", check=False, stdin=POLICY.split("---")[0] % {
            "name": "bad", "rule": rule, "kind": "null", "failure": "Fail"})
        contains(r.errors, words)


def changes(c):
    mutating(c, "m1", "changed", '{patchType: ApplyConfiguration, applyConfiguration: {expression: '
                                 '"Object{metadata: Object.metadata{labels: {\'by\': \'m1\'}}}"}}')
    mutating(c, "m2", "changed", '{patchType: JSONPatch, jsonPatch: {expression: '
                                 '"[JSONPatch{op: \'add\', path: \'/metadata/labels/\' + jsonpatch.escapeKey(\'a/b\'), '
                                 'value: object.metadata.labels.by}]"}}')
    passes(c, "changed-1", a="1")
    equal(c.get("configmap", "changed-1")["metadata"]["labels"], {"by": "m1", "a/b": "m1"})


def changes_refused(c):
    for name, expression, words in (
            ("n1", "Object{bogus: 1}", ".bogus: field not declared in schema"),
            ("n2", "Object{metadata: Object.spec{}}", 'unexpected type name \\"Object.spec\\"')):
        mutating(c, name, name, '{patchType: ApplyConfiguration, applyConfiguration: {expression: "%s"}}' % expression)
        refused(c, name + "-1", f"policy '{name}' with binding '{name}' denied request", words.replace("\\", ""))
    mutating(c, "n3", "n3", '{patchType: JSONPatch, jsonPatch: {expression: "[JSONPatch{op: \'remove\', path: \'/absent\'}]"}}')
    refused(c, "n3-1", "denied request: JSON Patch:")


if __name__ == "__main__":
    need_tools()
    with Cluster(args=["--disable-scheduler"]) as cluster:
        wait_for("the default namespace", lambda: cluster.run("get", "ns", "default", check=False).returncode == 0)
        sys.exit(main([refused_policies, judges, broken, warns, parameters, authorizes, changes, changes_refused], cluster))
