#!/usr/bin/env python3
"""Holds tests/fields/pod-fields.tsv against the API and the tree.

usage: pod_fields.py SOURCE_ROOT

The table says of every field of a Pod's spec and of the workloads' specs what becomes of it, a row a field of a type:

    Type.field TAB what TAB where TAB test

what      where                           meaning
honoured  src/FILE                        that file reads the field and acts on it
refused   src/FILE: WORDS                 with these words of that file, so never silently
dropped   api/FILE                        not stored: its gate, named in that file, is off unless it is set
stored    a reason                        kept and shown; nothing could follow from it here

test is FILE:FUNCTION below tests/; what is stored may have -. A field of the schema without a row fails, a row without a
field, one without a test, a file that does not mention the field, words or functions that are not there.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from gen_schema import Parser, Problems  # noqa: E402

ROOTS = [("core/v1", "PodSpec"), ("apps/v1", "DeploymentSpec"), ("apps/v1", "StatefulSetSpec"),
         ("apps/v1", "DaemonSetSpec"), ("apps/v1", "ReplicaSetSpec"), ("core/v1", "ReplicationControllerSpec"),
         ("batch/v1", "JobSpec"), ("batch/v1", "CronJobSpec")]
TABLE = os.path.join("tests", "fields", "pod-fields.tsv")
KINDS = {"honoured", "refused", "dropped", "stored"}


def schema(root):
    """The fields of every type that the roots lead to, as Type.field in the order they are met, and whether it is dropped."""
    parser = Parser(Problems())
    folder = os.path.join(root, "api")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".api"):
            parser.parse_file(os.path.join(folder, name))
    types = {(f"{t.group.name or 'core'}/{t.group.version}", t.name): t for t in parser.types}
    off = {g.name for g in parser.gates if not g.on}
    names, seen = {}, set()

    def walk(key):
        if key in seen or key not in types or key[0].startswith("meta"):
            return
        seen.add(key)
        for f in types[key].fields:
            if not f.inline:
                names.setdefault(f"{key[1]}.{f.name}", f.gate in off)
            if f.gate in off:  # dropped with all it holds
                continue
            group, _, name = f.type.rpartition(".")
            walk((group or key[0], name))

    for key in ROOTS:
        if key not in types:
            raise SystemExit(f"pod_fields: there is no type {key[1]} in {key[0]}")
        walk(key)
    return names


class Tree:
    def __init__(self, root):
        self.root, self.texts = root, {}

    def text(self, *path):
        name = os.path.join(self.root, *path)
        if name not in self.texts:
            try:
                with open(name, encoding="utf-8") as f:
                    self.texts[name] = f.read()
            except OSError:
                self.texts[name] = None
        return self.texts[name]


def where_problem(tree, field, what, where, dropped):
    if what == "dropped" or dropped:
        return None if what == "dropped" and dropped else "a gate that is off and the word 'dropped' go together"
    if what == "stored":
        return None if len(where) > 10 else "a reason is missing"
    path, _, words = where.partition(": ")
    text = tree.text(path)
    if text is None:
        return f"there is no {path}"
    if what == "refused":
        return None if words and words in text else f"{path} does not say '{words}'"
    if not re.search(r'\bF_%s\b|"%s"' % (field, field), text):
        return f"{path} does not mention {field}"
    return None


def test_problem(tree, field, what, test):
    if test == "-":
        return None
    path, _, function = test.partition(":")
    text = tree.text("tests", path)
    if text is None:
        return f"there is no tests/{path}"
    if not re.search(r"\b(def|void) %s\(" % re.escape(function), text):
        return f"tests/{path} has no {function}"
    if what == "honoured" and not re.search(r"\b%s\b" % field, text):
        return f"tests/{path} does not mention {field}"
    return None


def main(root):
    tree, bad, rows = Tree(root), [], {}
    fields = schema(root)
    for number, line in enumerate((tree.text(TABLE) or "").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != 4 or cells[1] not in KINDS:
            bad.append(f"{TABLE}:{number}: expected FIELD, {' or '.join(sorted(KINDS))}, WHERE, TEST")
            continue
        name, what, where, test = cells
        field = name.partition(".")[2]
        if name in rows:
            bad.append(f"{TABLE}:{number}: {name} is there twice")
        rows[name] = what
        if test == "-" and what != "stored":
            bad.append(f"{TABLE}:{number}: {name} has no test")
        for problem in (where_problem(tree, field, what, where, fields.get(name, False)), test_problem(tree, field, what, test)):
            if problem:
                bad.append(f"{TABLE}:{number}: {name}: {problem}")
    bad += [f"{TABLE}: {n} has no row: say where it is honoured, or refuse it" for n in fields if n not in rows]
    bad += [f"{TABLE}: {n} is no field of the API" for n in rows if n not in fields]
    print("\n".join(bad + [f"pod fields: {len(bad)} problems" if bad else
                           f"pod fields: {len(rows)} rows; whatever does something has a test"]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
