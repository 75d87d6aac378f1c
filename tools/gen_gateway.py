#!/usr/bin/env python3
"""Compiles api/gateway.json, the kinds of Gateway API, into a C file holding them as JSON text.

usage: tools/gen_gateway.py api/gateway.json OUT
"""
import json
import sys


def uses(v, shared, where):
    """Every name that is used is there."""
    if isinstance(v, dict):
        name = v.get("$use")
        if name is not None and name not in shared:
            sys.exit(f"api/gateway.json: {where}: no shared schema '{name}'")
        for key, member in v.items():
            uses(member, shared, f"{where}.{key}")
    elif isinstance(v, list):
        for i, one in enumerate(v):
            uses(one, shared, f"{where}[{i}]")


def main(source, out):
    with open(source, encoding="utf-8") as f:
        doc = json.load(f)
    uses(doc, doc["shared"], "")
    text = json.dumps(doc, separators=(",", ":"))
    with open(out, "w", encoding="utf-8") as f:
        f.write("/* Generated from api/gateway.json by tools/gen_gateway.py. */\n")
        f.write('#include "gateway/crds.h"\n\nconst char gw_crds_json[] =')
        for i in range(0, len(text), 100):
            piece = text[i:i + 100].replace("\\", "\\\\").replace('"', '\\"')
            f.write(f'\n\t"{piece}"')
        f.write(";\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
