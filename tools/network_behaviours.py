#!/usr/bin/env python3
"""Holds tests/fields/network.tsv against the tree, and counts what holds.

usage: network_behaviours.py SOURCE_ROOT

A row a behaviour of the network, judged by what upstream's own test does and the named tests do:

    kind TAB state TAB behaviour TAB tests TAB note

kind     listed   of Kubernetes' conformance list (v1.28 and what v1.37 added), by its name there
         suite    of the suite, and not in that list
         feature  generally available in v1.37 and tested by upstream outside of the suite
state    holds    the tests do the same steps, with pods on two nodes where upstream needs two
         partly   less than that: the note says what is not shown
         missing  no test shows it: the note may say why
tests    FILE:FUNCTION below tests/, with commas between; - for what is missing

A test that is not there, or that its program does not run, fails; so does a behaviour of the list without a row, where the list
is at hand (it is not part of the tree).
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from pod_fields import Tree  # noqa: E402

TABLE = os.path.join("tests", "fields", "network.tsv")
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
    """Names of sig-network, as the list folds its lines; None: the list is not there."""
    folder, names = os.path.join(root, "..", "shared", "conformance"), []
    for name in LISTS:
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                text = f.read()
        except OSError:
            return None
        for quoted in re.findall(r"^  codename: '(.*?)'$", text, re.M | re.S):
            names.append(" ".join(quoted.replace("''", "'").split()))
    return [n for n in names if n.startswith("[sig-network]")]


def main(root):
    tree, bad, rows = Tree(root), [], {}
    for number, line in enumerate((tree.text(TABLE) or "").splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != 5:
            bad.append(f"{TABLE}:{number}: expected KIND, STATE, BEHAVIOUR, TESTS, NOTE")
            continue
        kind, state, name, tests, note = cells
        problem = "it is there twice" if name in rows else row_problem(tree, kind, state, tests, note)
        rows[name] = (kind, state)
        if problem:
            bad.append(f"{TABLE}:{number}: {name}: {problem}")
    listed = of_the_list(root)
    bad += [f"{TABLE}: {n} has no row" for n in listed or [] if n not in rows]
    counts = [f"{sum(row == (kind, 'holds') for row in rows.values())} of {sum(row[0] == kind for row in rows.values())} {kind}" for kind in KINDS]
    print("\n".join(bad + ["network behaviours: " + (f"{len(bad)} problems" if bad else ", ".join(counts) + " hold"
                                                     + ("" if listed is not None else " (SKIP: the list itself is not here)"))]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
