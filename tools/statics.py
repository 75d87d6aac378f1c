#!/usr/bin/env python3
"""Reads every .c file of src/ and fails on a static function whose name another file defines, too.

usage: statics.py SOURCE_ROOT

Such names (load, set, start, reconcile) make backtraces, profiles and searches noise. A static function carries its
module's prefix, as the ones that others see do: rs_load(), gc_start().
"""
import os
import re
import sys

FUNCTION = re.compile(r"^(?P<how>[A-Za-z_][\w \t*]*?[ \t*])(?P<name>\w+)\((?P<args>[^;{}]*)\)[^;{}()]*\n\{", re.M)
COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.S)


def main(root):
    where = {}  # name -> {file: is it static?}
    for folder, _, names in os.walk(os.path.join(root, "src")):
        for name in sorted(names):
            if not name.endswith(".c"):
                continue
            path = os.path.join(folder, name)
            with open(path, encoding="utf-8") as f:
                text = COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), f.read())
            for m in FUNCTION.finditer(text):
                where.setdefault(m.group("name"), {})[os.path.relpath(path, root)] = m.group("how").startswith("static")
    several = {n: files for n, files in where.items() if len(files) > 1 and any(files.values())}
    bad = [f"static {n}() is in {', '.join(sorted(files))}: give it its module's prefix"
           for n, files in several.items()]
    print("\n".join(sorted(bad) + [f"statics: {len(bad)} problems" if bad else "statics: ok"]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
