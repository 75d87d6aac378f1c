#!/usr/bin/env python3
"""Holds network.tsv, api.tsv, apps.tsv and storage.tsv of tests/fields against the tree, and counts what holds.

usage: behaviours.py SOURCE_ROOT

A row a behaviour, judged by what upstream's own test does and the named tests do:

    kind TAB state TAB behaviour TAB tests TAB note

kind     listed   of Kubernetes' conformance list (v1.28 and what v1.37 added), by its name there
         suite    of the suite, and not in that list
         feature  generally available in v1.37 and tested by upstream outside of the suite
state    holds    the tests do the same steps, with pods on two nodes where upstream needs two
         partly   less than that: the note says what is not shown
         missing  no test shows it: the note may say why
tests    FILE:FUNCTION below tests/, with commas between; - for what is missing

A test that is not there, or that its program does not run, fails; so does a behaviour of a table's groups in the list that has no row
in any table, where the list is at hand (it is not part of the tree).
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pod_fields import Tree  # noqa: E402

# table: the groups whose behaviours must have a row
TABLES = {"network": ("network",), "api": ("api-machinery", "auth", "instrumentation", "architecture", "cli"),
          "apps": ("apps", "scheduling"), "storage": ()}
LISTS = ("behaviours.yaml", "behaviours-since-1.28.yaml")
KINDS, STATES = ("listed", "suite", "feature"), ("holds", "partly", "missing")


def test_problem(tree, test):
    path, _, function = test.partition(":")
    text = tree.text("tests", path)
    if text is None:
        return f"there is no tests/{path}"
    if not re.search(r"\b(def|void) %s\(" % re.escape(function), text):
        return f"tests/{path} has no {function}"
    if len(re.findall(r"\b%s\b" % re.escape(function), text)) < 2:
        return f"tests/{path} does not run {function}"
    return None


def row_problem(tree, kind, state, tests, note):
    if kind not in KINDS or state not in STATES:
        return f"expected {' or '.join(KINDS)}, and {' or '.join(STATES)}"
    if (tests == "-") != (state == "missing"):
        return "what is missing has no test, and all else has one"
    if state == "partly" and note == "-":
        return "what is not shown?"
    return next(filter(None, (test_problem(tree, test) for test in tests.split(",") if tests != "-")), None)


def of_the_list(root):
    """{group: names}, as the list folds its lines; None: the list is not there."""
    folder, names = os.path.join(root, "..", "shared", "conformance"), {}
    for name in LISTS:
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                text = f.read()
        except OSError:
            return None
        for quoted in re.findall(r"^  codename: '(.*?)'$", text, re.M | re.S):
            one = " ".join(quoted.replace("''", "'").split())
            names.setdefault(one.partition("]")[0].removeprefix("[sig-"), []).append(one)
    return names


def read(tree, table, rows, bad):
    for number, line in enumerate((tree.text(table) or "").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != 5:
            bad.append(f"{table}:{number}: expected KIND, STATE, BEHAVIOUR, TESTS, NOTE")
            continue
        kind, state, name, tests, note = cells
        problem = "it is there twice" if name in rows else row_problem(tree, kind, state, tests, note)
        rows[name] = (table, kind, state)
        if problem:
            bad.append(f"{table}:{number}: {name}: {problem}")


def main(root):
    tree, bad, rows, said = Tree(root), [], {}, []
    path = {name: os.path.join("tests", "fields", name + ".tsv") for name in TABLES}
    for table in path.values():
        read(tree, table, rows, bad)
    listed = of_the_list(root)
    for name, groups in TABLES.items():
        bad += [f"{path[name]}: {n} has no row" for group in groups for n in (listed or {}).get(group, []) if n not in rows]
        here = [(kind, state) for table, kind, state in rows.values() if table == path[name]]
        said += [f"{name}: " + ", ".join(f"{here.count((kind, 'holds'))} of {sum(k == kind for k, _ in here)} {kind}" for kind in KINDS
                                        if kind in dict(here))]
    print("\n".join(bad + ["behaviours: " + (f"{len(bad)} problems" if bad else "; ".join(said) + " hold"
                                             + ("" if listed is not None else " (SKIP: the list itself is not here)"))]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
