#!/usr/bin/env python3
"""Reads every .c and .h file of src/ and fails on a secret that is compared by what ends at the first difference: the time it
takes tells how much of a guess is right.

usage: secret_compares.py SOURCE_ROOT

Secrets are compared by secret_equal() (net/digest.h) and nothing else. What counts as one is its name: a variable or member
that ends in token, secret, password, mac, signature or bearer. Names that are of something else are in FINE, each with its reason.
"""
import os
import re
import sys

COMPARE = re.compile(r"(?<![\w.>])(memcmp|strcmp|strncmp|strcasecmp|strncasecmp|bcmp|sv_eq|sv_is|sv_ieq|sv_starts|val_is|val_same|val_equal|val_cmp)\s*\(")
SECRET = re.compile(r"(?<![\w])(?:\w+(?:->|\.))*\w*(?:token|secret|password|passwd|mac|signature|bearer)s?\b(?!\s*\()", re.I)
OF_AN_OBJECT = re.compile(r"\b(?:obj_\w+|val_get\w*|json_\w+)\s*\([^()]*\)")  # of a Secret its name, type or uid: no secret
TEXT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.S)
OWN = "net/digest.c"

# (file, what is compared there): why it is no secret.
FINE = {
    ("net/ws_handshake.c", "token"): "a word of a header's list, as RFC 9110 calls it",
    ("net/http1_parse.c", "token"): "a word of a header's list, as RFC 9110 calls it",
    ("apiserver/authz/node_gateway.c", "q->secret"): "the name of a Secret",
    ("client/bootstrap_token.c", "secret"): "the object that is asked what it is for",
    ("controllers/token_secrets.c", "secret"): "the object that is asked for the CA, which all may know",
    ("object/legacy_token.h", "secret"): "the name of a Secret",
    ("kubelet/fake_images.c", "password"): "that of a registry which is made up",
    ("netd/model.c", "a->mac"): "a link's address",
    ("netd/model.c", "b->mac"): "a link's address",
}


def arguments(text, at):
    """What stands between the bracket at `at` and its end."""
    depth = 0
    for i in range(at, min(len(text), at + 2000)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return text[at + 1:i]
    return text[at + 1:at + 200]


def main(root):
    bad, used = [], set()
    src = os.path.join(root, "src")
    for folder, _, names in os.walk(src):
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            path = os.path.relpath(os.path.join(folder, name), src)
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                text = TEXT.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), f.read())
            if "CRYPTO_memcmp" in text and path != OWN:
                bad.append(f"src/{path}: CRYPTO_memcmp is secret_equal()'s alone")
            for m in COMPARE.finditer(text):
                args = OF_AN_OBJECT.sub("", arguments(text, m.end() - 1))
                for what in SECRET.findall(args):
                    if (path, what) in FINE:
                        used.add((path, what))
                    else:
                        line = text.count("\n", 0, m.start()) + 1
                        bad.append(f"src/{path}:{line}: {what} is compared by {m.group(1)}(): secrets take secret_equal()")
    bad += [f"tools/secret_compares.py: {path} does not compare {what} any more" for path, what in FINE if (path, what) not in used]
    print("\n".join(sorted(bad) + [f"secret compares: {len(bad)} problems" if bad else "secret compares: ok"]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
