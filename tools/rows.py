#!/usr/bin/env python3
"""Holds tests/ROWS.md against the tree: what it names exists and is run.

usage: rows.py SOURCE_ROOT

A name is FILE:FUNCTION below tests/; a matrix below tests/ and "words of one of its lines" (quotes in them by \\"); fuzz/TARGET;
sim/SCENARIO; or a check of tools/ that tests/run runs.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from network_behaviours import test_problem  # noqa: E402
from pod_fields import Tree  # noqa: E402

TABLE = os.path.join("tests", "ROWS.md")
NAME = re.compile(r'([\w./]+\.matrix) "((?:\\.|[^"\\])*)"|([\w./:]+)')


def problem(tree, matrix, words, name):
    if matrix:
        words = words.replace('\\"', '"')
        return None if any(words in line for line in (tree.text("tests", matrix) or "").splitlines()) else f"no line of tests/{matrix} has {words}"
    if name.startswith("tools/"):
        return None if tree.text(name) and f'"{name}"' in tree.text("tests", "run") else f"tests/run does not run {name}"
    if name.startswith("fuzz/"):
        target = name[5:]
        known = tree.text("tests", "fuzz", f"fuzz_{target}.c") and f"['{target}'," in tree.text("tests", "fuzz", "meson.build")
        return None if known else f"there is no fuzz target {target}"
    if name.startswith("sim/"):
        return None if f"'--scenario', '{name[4:]}'" in tree.text("tests", "sim", "meson.build") else f"no test runs the scenario {name[4:]}"
    return test_problem(tree, name)


def main(root):
    tree, bad, rows, names = Tree(root), [], 0, set()
    for number, line in enumerate((tree.text(TABLE) or "").splitlines(), 1):
        cells = re.match(r"\| (.+) \| (.+) \|$", line)
        if not cells or cells.group(1).startswith("what"):
            continue
        rows += 1
        found = list(NAME.finditer(cells.group(2)))
        if not found or NAME.sub("", cells.group(2)).strip(", "):
            bad.append(f"{TABLE}:{number}: expected names of tests, with commas between")
        for m in found:
            names.add(m.group(0))
            why = problem(tree, *m.groups())
            if why:
                bad.append(f"{TABLE}:{number}: {why}")
    print("\n".join(bad + [f"rows: {len(bad)} problems" if bad else f"rows: {rows}, shown by {len(names)} tests"]))
    return 1 if bad or not rows else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
