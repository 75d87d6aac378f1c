#!/usr/bin/env python3
"""Fails on an #include that docs/ARCHITECTURE.md's layer table does not allow.

usage: layers.py SOURCE_ROOT
"""
import os
import re
import sys

BASE = {"base"}
OBJECT = {"base", "codec", "object"}
CLIENT = OBJECT | {"ev", "net", "client"}
ALLOWED = {
    "base": set(),
    "ev": BASE,
    "net": BASE | {"ev"},
    "codec": BASE,
    "object": BASE | {"codec"},
    "store": BASE | {"ev"},
    "client": OBJECT | {"ev", "net"},
    "apiserver": CLIENT | {"store"},
    "controllers": CLIENT,
    "scheduler": CLIENT,
    "kubelet": CLIENT,
    "proxy": CLIENT,
    "sim": CLIENT | {"store", "apiserver", "controllers", "scheduler", "kubelet", "proxy"},
    "cli": CLIENT | {"store", "apiserver", "controllers", "scheduler", "kubelet", "proxy", "sim"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')


def main(root):
    bad = 0
    for folder, _, names in os.walk(os.path.join(root, "src")):
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            path = os.path.join(folder, name)
            layer = os.path.relpath(path, os.path.join(root, "src")).split(os.sep)[0]
            if layer not in ALLOWED:
                print(f"{path}: folder '{layer}' is in no layer")
                bad += 1
                continue
            with open(path, encoding="utf-8") as f:
                for number, line in enumerate(f, 1):
                    m = INCLUDE.match(line)
                    if not m or "/" not in m.group(1):
                        continue
                    target = m.group(1).split("/")[0]
                    if target in ALLOWED and target != layer and target not in ALLOWED[layer]:
                        print(f"{path}:{number}: {layer} must not include {m.group(1)}")
                        bad += 1
    print(f"layers: {bad} forbidden includes" if bad else "layers: ok")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
