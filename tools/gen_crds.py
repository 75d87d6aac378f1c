#!/usr/bin/env python3
"""Compiles kinds that are described as data (object/described.h) into a C file holding them as JSON text.

usage: tools/gen_crds.py api/FILE.json HEADER NAME OUT

HEADER declares `extern const char NAME[]`.
"""
import json
import os
import sys


def uses(v, shared, where):
    """Every name that is used is there."""
    if isinstance(v, dict):
        name = v.get("$use")
        if name is not None and name not in shared:
            sys.exit(f"{where}: no shared schema '{name}'")
        for key, member in v.items():
            uses(member, shared, f"{where}.{key}")
    elif isinstance(v, list):
        for i, one in enumerate(v):
            uses(one, shared, f"{where}[{i}]")


def main(source, header, name, out):
    with open(source, encoding="utf-8") as f:
        doc = json.load(f)
    source = "api/" + os.path.basename(source)
    uses(doc, doc["shared"], source)
    text = json.dumps(doc, separators=(",", ":"))
    with open(out, "w", encoding="utf-8") as f:
        f.write(f"/* Generated from {source} by tools/gen_crds.py. */\n")
        f.write(f'#include "{header}"\n\nconst char {name}[] =')
        for i in range(0, len(text), 100):
            piece = text[i:i + 100].replace("\\", "\\\\").replace('"', '\\"')
            f.write(f'\n\t"{piece}"')
        f.write(";\n")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
