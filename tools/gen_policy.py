#!/usr/bin/env python3
"""Compiles api/rbac.policy into a C file holding the objects as JSON text.

usage: gen_policy.py POLICY OUT.c
"""
import json
import sys

READ = ["get", "list", "watch"]
WRITE = ["create", "delete", "deletecollection", "patch", "update"]
GROUP = "rbac.authorization.k8s.io"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
ANNOTATIONS = {"rbac.authorization.kubernetes.io/autoupdate": "true"}


class Policy:
    def __init__(self, path):
        self.path, self.number = path, 0
        self.objects, self.role = [], None

    def fail(self, what):
        sys.exit(f"{self.path}:{self.number}: {what}")

    def new(self, kind, name, **rest):
        meta = {"name": name}
        if kind in ("Role", "RoleBinding"):
            if "/" not in name:
                self.fail(f"'{name}' needs a namespace")
            meta["namespace"], meta["name"] = name.split("/", 1)
        meta["labels"], meta["annotations"] = dict(LABELS), dict(ANNOTATIONS)
        o = {"kind": kind, "apiVersion": GROUP + "/v1", "metadata": meta, **rest}
        self.objects.append(o)
        return o

    def verbs(self, text):
        return {"read": READ, "write": WRITE, "all": sorted(READ + WRITE)}.get(text) or text.split(",")

    def allow(self, words):
        if len(words) < 3 or words[1] not in ("on", "url"):
            self.fail("expected: allow VERBS on RESOURCES | allow VERBS url PATHS")
        rule = {"verbs": self.verbs(words[0])}
        if words[1] == "url":
            rule["nonResourceURLs"] = words[2:]
            return rule
        rest = dict(zip(words[3::2], words[4::2]))
        if set(rest) - {"in", "named"} or len(words) % 2 == 0:
            self.fail("after the resources only 'in GROUPS' and 'named NAMES' may follow")
        rule["apiGroups"] = ["" if g == "core" else g for g in rest.get("in", "core").split(",")]
        rule["resources"] = words[2].split(",")
        if "named" in rest:
            rule["resourceNames"] = rest["named"].split(",")
        return rule

    def subjects(self, text):
        out = []
        for s in text.split(", ") if text else []:
            kind, _, name = s.partition(":")
            if kind == "ServiceAccount":
                ns, _, name = name.partition("/")
                out.append({"kind": kind, "name": name, "namespace": ns})
            elif kind in ("User", "Group"):
                out.append({"kind": kind, "apiGroup": GROUP, "name": name})
            else:
                self.fail(f"unknown kind of subject '{s}'")
        return out

    def binding(self, kind, words, line):
        ref = words[2] if words[2] != "->" else "ClusterRole/" + words[1]
        if "/" not in ref:
            ref = "ClusterRole/" + ref
        role_kind, role = ref.split("/", 1)
        self.new(kind, words[1], roleRef={"apiGroup": GROUP, "kind": role_kind, "name": role},
                 subjects=self.subjects(line.partition("->")[2].strip()))

    def line(self, line):
        line, _, gate = line.partition(" if ")
        words = line.split()
        if not words or words[0].startswith("#"):
            return
        self.statement(words, line)
        if gate and words[0] == "allow":
            self.role["rules"][-1]["gate"] = gate.strip()
        elif gate:
            self.objects[-1]["gate"] = gate.strip()

    def statement(self, words, line):
        if words[0] in ("clusterrole", "role"):
            self.role = self.new("ClusterRole" if words[0] == "clusterrole" else "Role", words[1], rules=[])
        elif words[0] in ("clusterbinding", "rolebinding"):
            self.binding("ClusterRoleBinding" if words[0] == "clusterbinding" else "RoleBinding", words, line)
        elif self.role is None:
            self.fail("expected a role first")
        elif words[0] == "allow":
            self.role["rules"].append(self.allow(words[1:]))
        elif words[0] == "labels":
            self.role["metadata"]["labels"].update(w.split("=") for w in words[1:])
        elif words[0] == "aggregate":
            rule = {"clusterRoleSelectors": [{"matchLabels": dict(w.split("=") for w in words[1:])}]}
            self.role["aggregationRule"] = rule
        else:
            self.fail(f"unknown word '{words[0]}'")


def aggregate(objects):
    """Fills aggregated roles, as the controller would: they work from the first second on."""
    roles = {o["metadata"]["name"]: o for o in objects if o["kind"] == "ClusterRole"}

    def rules(role):
        if "aggregationRule" not in role:
            return role["rules"]
        out = []
        wanted = role["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"]
        for name in sorted(roles):
            labels = roles[name]["metadata"]["labels"]
            if all(labels.get(k) == v for k, v in wanted.items()):
                out += [r for r in rules(roles[name]) if r not in out]
        return out

    for role in roles.values():
        role["rules"] = rules(role)


def main(policy, out):
    p = Policy(policy)
    with open(policy, encoding="utf-8") as f:
        for p.number, line in enumerate(f, 1):
            p.line(line.rstrip("\n"))
    aggregate(p.objects)
    text = json.dumps(p.objects, separators=(",", ":"))
    with open(out, "w", encoding="utf-8") as f:
        f.write('/* Generated from api/rbac.policy by tools/gen_policy.py. */\n')
        f.write('#include "apiserver/bootstrap/bootstrap.h"\n\nconst char rbac_policy_json[] =')
        for i in range(0, len(text), 100):
            piece = text[i:i + 100].replace("\\", "\\\\").replace('"', '\\"')
            f.write(f'\n\t"{piece}"')
        f.write(";\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
