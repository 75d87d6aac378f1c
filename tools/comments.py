#!/usr/bin/env python3
"""Reads every comment of src/ and tests/, and every README, and fails on what is not so.

usage: comments.py SOURCE_ROOT

1. A file that does not exist: `name.c`, `folder/name.h`, `name_*.c`; README.md is the one beside the comment. A
   `folder/name` below a folder of src/ that is neither folder nor module.
2. A function `name()`, a `struct some_name` or a word with an underscore that no code has (the C library's are known).
   A word in quotes, and one that stands for any name (`foo`, `foo_new()`, `x_free()`, `validate_x()`), is an example.
3. A head that says another file's name, or one that says "for a.c and b_*.c only" while others include the file.
4. A `.c` whose head comment is not the first thing in it; one that neither begins with a comment nor has a header of its
   name, which then is its manual.
5. A file with a BUG_ON() that docs/ASSERTIONS.md has no row for, or a row for a file without one.
6. A line of a comment without a blank behind its `*`: clang-format has folded the rows of a table or a picture that were
   too long, and what stood below each other is one text.
"""
import ctypes
import fnmatch
import os
import re
import sys

TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.S)
FILE = re.compile(r"(?<![\w./<*-])((?:\.\./)*[\w*][\w./*-]*\.(?:[ch]|py|sh|md|tsv)|[\w/*-]+\.api)\b(?![\w(]|\.\w)")
PLACE = re.compile(r'(?<![\w./<"*-])([a-z]\w*(?:/[\w-]+)+)(?![\w/(*-]|\.\w)')
FUNCTION = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\(\)")
STRUCT = re.compile(r"\b(?:struct|enum|union)[ \t]+\*?([a-z]\w*_\w+)")
WORD = re.compile(r'(?:(?<=[\s(]\*)|(?<![\w./<"*-]))([a-z][\w*]*_[\w*]*)(?![\w*/-]|\.\w|\(\))')
EXAMPLE = re.compile(r"foo|foo_\w+|\w+_foo|x_\w+|\w+_x")
RULE = re.compile(r"/\*\s*---")
INCLUDES = re.compile(r"(?:\s*#\s*include[^\n]*\n|\s*\n)+")
HEAD = re.compile(r"/\*\s+([\w.-]+\.[ch]) - ")
FOLDED = re.compile(r"^[ \t]*\*[^\s*/]", re.M)
ONLY = re.compile(r"\b(?:for|shared by)\s+((?:[\w*-]+\.c(?:,\s+|\s+and\s+)?)+)\s+only\b")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)
# Names of other people's code that ours never calls, each with whose it is: {"some_name": "libuv"}.
ELSEWHERE = {}


class Tree:
    """All files with what they say, and every name that code has."""

    def __init__(self, root):
        self.texts, self.comments, self.names = {}, [], set()
        for top in ("api", "docs", "src", "tests", "tools"):
            for folder, below, files in os.walk(os.path.join(root, top)):
                below[:] = [b for b in below if b not in ("corpus", "__pycache__")]
                for name in files:
                    self.read(os.path.join(folder, name), root)
        for name in os.listdir(root):
            if os.path.isfile(os.path.join(root, name)):
                self.read(os.path.join(root, name), root)
        made = re.findall(r"'(\w+\.[ch])'", "".join(t for p, t in self.texts.items() if p.endswith("meson.build")))
        self.ends = set(made)  # everything that a path may end with
        self.places = set()
        for path in self.texts:
            parts = path.split("/")
            self.ends |= {"/".join(parts[i:]) for i in range(len(parts))}
            self.places |= {"/".join(parts[i:j]) for j in range(1, len(parts)) for i in range(j)}
        self.places |= {e[: e.rindex(".")] for e in self.ends if "." in os.path.basename(e)}
        self.layers = {p.split("/")[1] for p in self.texts if p.startswith("src/") and p.count("/") > 1}
        self.layers |= {"docs", "src", "tests", "tools"}
        self.libc = ctypes.CDLL(None)

    def read(self, path, root):
        inside = os.path.relpath(path, root)
        try:
            with open(path, encoding="utf-8") as f:
                text = self.texts[inside] = f.read()
        except UnicodeDecodeError:
            self.texts[inside] = ""
            return
        if inside.endswith((".c", ".h")):
            self.names.update(re.findall(r"\w+", TOKEN.sub(lambda m: self.keep(inside, text, m), text)))
        elif inside.endswith("README.md") or inside.startswith("docs/"):
            self.comments.append((inside, 1, text))
        elif not inside.endswith(".md"):
            self.names.update(re.findall(r"\w+", text))

    def keep(self, inside, text, m):
        if not m.group(0).startswith("/"):
            return m.group(0)
        self.comments.append((inside, text.count("\n", 0, m.start()) + 1, m.group(0)))
        return " "

    def has_name(self, name):
        if "*" in name:
            return any(fnmatch.fnmatchcase(n, name) for n in self.names)
        return name in self.names or name in ELSEWHERE or bool(EXAMPLE.fullmatch(name)) or hasattr(self.libc, name)

    def has_file(self, path, name):
        if name == "README.md" or name.startswith("../"):
            return os.path.normpath(os.path.join(os.path.dirname(path), name)) in self.texts
        if "*" in name:
            return any(fnmatch.fnmatchcase(e, name) for e in self.ends)
        return name in self.ends or bool(EXAMPLE.fullmatch(name.split(".")[0]))


def names(tree, path, text):
    """What a comment names and the tree has not: (where in the text, a sentence)."""
    for m in FILE.finditer(text):
        if not tree.has_file(path, m.group(1)):
            yield m.start(), f"there is no {m.group(1)}"
    for m in PLACE.finditer(text):
        if m.group(1).split("/")[0] in tree.layers and m.group(1) not in tree.places | tree.ends:
            yield m.start(), f"there is no {m.group(1)}"
    for m in FUNCTION.finditer(text):
        if not tree.has_name(m.group(1)):
            yield m.start(), f"nobody defines or calls {m.group(1)}()"
    if path.endswith(".md"):
        return
    for pattern in (STRUCT, WORD):
        for m in pattern.finditer(text):
            if not tree.has_name(m.group(1)):
                yield m.start(), f"no code has {m.group(1)}"


def head(tree, path, text):
    """What is wrong with the place or the first words of a file's head comment."""
    name = os.path.basename(path)
    if not text.startswith(("/*", "//")):
        m = TOKEN.match(text, INCLUDES.match(text).end() if INCLUDES.match(text) else 0)
        if m and m.group(0).startswith("/*") and text.startswith("\n\n", m.end()) and not RULE.match(m.group(0)):
            return "the head comment comes first, before the #includes"
        folder = os.path.dirname(path)
        manuals = {path[:-1] + "h", folder + ".h" if os.path.basename(folder) == name[:-2] else ""}
        if path.startswith("src/") and not manuals & tree.texts.keys():
            return "begins with a comment that says what it is for: no header of its name does"
        return None
    said = HEAD.match(text)
    if said and said.group(1) != name:
        return f"the head says it is {said.group(1)}"
    return None


def closed(tree, users):
    """Headers that say who may include them, and who else does."""
    for path, text in sorted(tree.texts.items()):
        m = ONLY.search(text.split("*/")[0]) if path.endswith(".h") else None
        if not m:
            continue
        may = re.findall(r"[\w*-]+\.c", m.group(1))
        for user in users.get(path, ()):
            if user.startswith("src/") and user.endswith(".c") and not any(fnmatch.fnmatchcase(os.path.basename(user), p) for p in may):
                yield f"{user}: includes {os.path.basename(path)}, which says it is for {', '.join(may)} only"


def assertions(tree):
    rows, last = set(), ""
    table = tree.texts.get("docs/ASSERTIONS.md", "")
    for cell in re.findall(r"^\| (`[^|]*`) \|", table, re.M):
        for name in re.findall(r"`([^`]+)`", cell):
            last = os.path.dirname(name) or last
            rows.add(f"src/{last}/{os.path.basename(name)}")
    there = {p for p, text in tree.texts.items() if p.startswith("src/") and p.endswith((".c", ".h")) and
             not p.startswith("src/base/base.") and re.search(r"\b(BUG_ON|bug_abort)\(", TOKEN.sub("", text))}
    yield from (f"{p}: a BUG_ON() without a row in docs/ASSERTIONS.md that says why nobody reaches it" for p in there - rows)
    yield from (f"docs/ASSERTIONS.md: {p} has no BUG_ON()" for p in rows - there)


def main(root):
    tree, bad, users = Tree(root), [], {}
    for path, line, text in tree.comments:
        folded = FOLDED.search(text) if text.startswith("/*") else None
        if folded:
            bad += [f"{path}:{line + text.count(chr(10), 0, folded.start())}: folded: write the table anew, in rows of 120 columns"]
        bad += [f"{path}:{line + text.count(chr(10), 0, at)}: {what}" for at, what in names(tree, path, text)]
    for path, text in tree.texts.items():
        if not path.endswith((".c", ".h")):
            continue
        what = head(tree, path, text)
        bad += [f"{path}:1: {what}"] if what else []
        for name in INCLUDE.findall(text):
            users.setdefault(name if name in tree.texts else "src/" + name, []).append(path)
    bad += closed(tree, users)
    bad += assertions(tree)
    print("\n".join(sorted(set(bad)) + [f"comments: {len(bad)} problems" if bad else
                                       f"comments: {len(tree.comments)}, and what they name is there"]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
