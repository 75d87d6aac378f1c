#!/usr/bin/env python3
"""Reads every source file and fails on three kinds of arrows nobody may draw.

usage: layers.py SOURCE_ROOT

1. An #include that docs/ARCHITECTURE.md's layer table does not allow.
2. A component that asks the operating system for time, chance, threads or sockets by itself instead of
   its struct env: such code would not run in the simulator. And one that hands a pattern to an engine whose time can
   explode: users' patterns reach none. Exceptions are in MAY, each with its reason.
3. A circle: files of one component that need each other, by the functions and variables they define and use. Such
   files are one file for whoever reads, tests or changes them. Mostly a small definition is in the wrong place.
   Honest ones are in CIRCLES, each with its reason; a file that has left its circle leaves the list, too.
"""
import os
import re
import sys

BASE = {"base"}
OBJECT = {"base", "codec", "re", "object"}
CLIENT = OBJECT | {"ev", "net", "client"}
POD = {"pod"}
QUOTA = {"quota"}
GATEWAY = {"gateway"}
POLICY = {"policy"}
VOLSNAP = {"volsnap"}
ALLOWED = {
    "base": set(),
    "ev": BASE,
    "net": BASE | {"ev"},
    "nft": BASE,
    "codec": BASE,
    "re": BASE,
    "object": BASE | {"codec", "re"},
    "pod": OBJECT,
    "policy": OBJECT,
    "quota": OBJECT | POD,
    "print": OBJECT,
    "store": BASE | {"ev", "net", "codec"},
    "snapshot": BASE | {"ev", "net", "codec", "store"},
    "client": OBJECT | {"ev", "net"},
    "gateway": CLIENT,
    "volsnap": CLIENT,
    "apiserver": CLIENT | GATEWAY | POD | POLICY | QUOTA | VOLSNAP | {"print", "store"},
    "controllers": CLIENT | GATEWAY | POD | POLICY | QUOTA | VOLSNAP,
    "scheduler": CLIENT | POD,
    "kubelet": CLIENT | POD | VOLSNAP,
    "proxy": CLIENT | {"nft"},
    "dns": CLIENT,
    "netd": CLIENT | POD | {"nft"},
    "ingress": CLIENT | GATEWAY,
    "sim": CLIENT | {"store", "apiserver", "controllers", "scheduler", "kubelet", "proxy"},
    "cli": CLIENT | {"print", "store", "snapshot", "apiserver", "controllers", "scheduler", "kubelet", "proxy", "dns", "netd", "ingress", "sim"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')

# The folders that implement struct env, and everything it stands for.
ENV = {"base", "ev", "net"}
SYSTEM = re.compile(r"""(?<![\w.>])(
    (?P<time> clock_gettime | clock_nanosleep | gettimeofday | time | ftime | nanosleep | usleep | sleep |
        localtime | localtime_r | timerfd_create | setitimer | alarm |
        pthread_cond_timedwait | pthread_cond_clockwait | sem_timedwait) |
    (?P<chance> getrandom | getentropy | rand | rand_r | random | srand | srandom | [delmn]rand48 | RAND_bytes |
        RAND_priv_bytes | mkstemp | mkdtemp) |
    (?P<threads> pthread_create | thrd_create | uv_thread_create | uv_queue_work | fork | vfork | clone | posix_spawnp? |
        system | popen) |
    (?P<sockets> mnl_socket_\w+ | socket | socketpair | connect | accept4? | poll | ppoll | select | pselect | epoll_\w+ | getaddrinfo)
    )\s*\(""", re.X)
# What may take exponential time, or memory, for a short pattern. For all folders.
PATTERNS = re.compile(r"(?<![\w.>])((?P<patterns> regcomp | regexec | fnmatch | glob | pcre2?_\w+ | onig_\w+))\s*\(", re.X)

# (file or folder, what): why it may.
MAY = {
    ("kubelet/containerd.c", "time"): "starts and stops another program; not part of any task of the simulator",
    ("kubelet/node_cleanup.c", "time"): "a command of its own that waits for the kernel to end processes",
    ("kubelet/cgroups.c", "time"): "the kernel empties a cgroup a moment after its processes were killed",
    ("kubelet/hooks.c", "sockets"): "the real probes, behind the hooks that the simulator replaces",
    ("kubelet/machine.c", "sockets"): "asks the kernel for a route's source address; nothing is sent",
    ("kubelet/runtime_health.c", "sockets"): "waits on a thread of its own, which the simulator does not have",
    ("kubelet/shims.c", "sockets"): "looks whether a shim still listens; only where a real containerd is started",
    ("store/disk/pause.c", "time"): "waits on threads of the store's own, which the simulator does not have",
    ("base/sysctl.c", "patterns"): "the node's own, of names that it gave itself",
    ("nft/nfnl.c", "sockets"): "netlink: how the kernel is told its rules",
    ("cli/cidrs.c", "sockets"): "a name in the network namespace that only one server may hold",
    ("cli/dev_node.c", "threads"): "forks the nodes of a cluster, each into a network namespace, before there is an env",
    ("cli/dev_node.c", "time"): "waits for them to end, outside of every env",
    ("cli/import_cluster.c", "time"): "a command that waits for another cluster to answer, on its one thread",
    ("cli/supervise.c", "sockets"): "the parent of the server: hands descriptors over, waits for signals",
    ("cli/supervise.c", "threads"): "forks the server, before there is an env",
    ("cli/supervise.c", "time"): "paces starts of a server that dies, outside of every env",
    ("cli/server.c", "threads"): "where threads come from: one for each network loop",
}

# (component, files): why they may need each other. "Debt" is what nobody has taken apart yet; no file may join.
CIRCLES = {
    ("base", "base.c board.c"): "what a bug prints is what the board says of the thread, whose own bugs end there",
    ("cli", "completion.c main.c"): "the table of commands holds the one that completes their names",
    ("client", "https.c https_watch.c"): "a client and its watches, which ask with its headers",
    ("codec", "doc.c doc_build.c val_index.c"): "maps of many members: an index of them is itself a value, built and read",
    ("net", "stream.c stream_connect.c stream_loop.c stream_peer.c stream_receive.c stream_send.c"):
        "a stream, its states and its directions: one is left by a call into the next, what fails in any ends it",
    ("object", "cel/eval.c cel/eval_fold.c cel/eval_path.c"): "the nodes of an expression: a comprehension is one, and its parts are others",
    ("store", "disk/table.c disk/table_out.c"): "a table read and one written: the writer ends by opening what it wrote",
    ("store", "disk/wal.c disk/wal_note.c"): "the log and the note beside it, which is written with its care",
}
COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.S)


def without_comments(text):
    """The text with comments and strings blanked, line numbers kept."""
    return COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group(0)), text)


def forbidden_includes(path, layer, text):
    for number, line in enumerate(text.splitlines(), 1):
        m = INCLUDE.match(line)
        if not m or "/" not in m.group(1):
            continue
        target = m.group(1).split("/")[0]
        if target in ALLOWED and target != layer and target not in ALLOWED[layer]:
            yield f"{path}:{number}: {layer} must not include {m.group(1)}"


def calls(path, inside, text, used, forbidden, why):
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        for m in forbidden.finditer(line):
            what = next(k for k, v in m.groupdict().items() if v)
            # a declaration or a field of that name is no call
            if re.search(r"\b(struct \w+ \*?|int|void|bool|char \*)\s*$", line[: m.start()]):
                continue
            entry = next((e for e in MAY if e[1] == what and (inside == e[0] or inside.startswith(e[0] + "/"))), None)
            if entry:
                used.add(entry)
                continue
            yield f"{path}:{number}: {m.group(1)}() {why} ({what})"


IDENTIFIER = re.compile(r"(?<![\w.])(?<!->)(?<!\bstruct )(?<!\benum )(?<!\bunion )[A-Za-z_]\w*")
# What the style guarantees: definitions begin in the first column, and so does their last brace.
FUNCTION = re.compile(r"^(?P<how>[A-Za-z_][\w \t*]*?[ \t*])(?P<name>\w+)\((?P<args>[^;{}]*)\)[^;{}()]*\n\{", re.M)
VARIABLE = re.compile(r"^(?P<how>[A-Za-z_][\w \t*]*?[ \t*])(?P<name>\w+)(\[[^\]\n]*\])*( =|;$)", re.M)
INLINE = re.compile(r"^static inline [\w \t*]*?(\w+)\([^;{}]*\)\s*\n\{(.*?)^\}", re.M | re.S)
MACRO = re.compile(r"^#\s*define\s+(\w+)((?:\\\n|[^\n])*)", re.M)


class Component:
    """The files of one folder of src/: who defines what, who uses what."""

    def __init__(self):
        self.defines, self.uses, self.own, self.headers = {}, {}, {}, {}

    def add(self, name, text):
        text = without_comments(text)
        if name.endswith(".h"):
            for m in list(MACRO.finditer(text)) + list(INLINE.finditer(text)):
                self.headers.setdefault(m.group(1), set()).update(IDENTIFIER.findall(m.group(2)))
            return
        own = {m.group(1) for m in MACRO.finditer(text)}
        for m in list(FUNCTION.finditer(text)) + list(VARIABLE.finditer(text)):
            words = m.group("how").split()
            if words[0] in ("typedef", "extern", "return", "goto") or words in (["struct"], ["enum"], ["union"]):
                continue
            if words[0] == "static":
                own.add(m.group("name"))
            else:
                self.defines[m.group("name")] = name
        self.own[name] = own
        self.uses[name] = set(IDENTIFIER.findall(text))

    def arrows(self):
        """file -> {file: [names]}, with what headers bring along."""
        result = {}
        for name, used in self.uses.items():
            seen, todo = set(), list(used)
            while todo:
                word = todo.pop()
                if word not in seen:
                    seen.add(word)
                    todo += self.headers.get(word, ())
            to = result.setdefault(name, {})
            for word in sorted(seen - self.own[name]):
                if self.defines.get(word, name) != name:
                    to.setdefault(self.defines[word], []).append(word)
        return result


def circles(arrows):
    """The strongly connected parts of more than one file (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in arrows.get(v, ()):
            if w not in index:
                visit(w)
            if w in stack:
                low[v] = min(low[v], low[w])
        if low[v] == index[v]:
            at = stack.index(v)
            if len(stack) - at > 1:
                found.append(frozenset(stack[at:]))
            del stack[at:]

    for v in sorted(arrows):
        if v not in index:
            visit(v)
    return found


def shortest(arrows, inside, avoid):
    """The shortest way round in a circle that is not all in avoid, in words."""
    best = None
    for start in sorted(inside - avoid or inside):
        before, todo = {start: None}, [start]
        while todo:
            v = todo.pop(0)
            if start in arrows[v]:
                way = [v]
                while before[way[0]] is not None:
                    way.insert(0, before[way[0]])
                best = way if best is None or len(way) < len(best) else best
                break
            for w in sorted(arrows[v]):
                if w in inside and w not in before:
                    before[w] = v
                    todo.append(w)
    steps = [f"{a} uses {', '.join(arrows[a][b][:4])} of {b}" for a, b in zip(best, best[1:] + best[:1])]
    return "; ".join(steps)


def forbidden_circles(layer, component):
    arrows = component.arrows()
    allowed = {frozenset(files.split()): set() for where, files in CIRCLES if where == layer}
    for found in circles(arrows):
        home = next((a for a in allowed if found <= a), None)
        if home is not None:
            allowed[home] |= found
            continue
        near = max(allowed, key=lambda a: len(a & found), default=frozenset())
        yield f"src/{layer}: files need each other: {shortest(arrows, found, near)}"
        if near:
            allowed[near] |= near & found
    for files, still in allowed.items():
        if files - still:
            yield f"layers.py: no circle of src/{layer} holds {', '.join(sorted(files - still))} any more"


def main(root):
    bad, used, components = [], set(), {}
    src = os.path.join(root, "src")
    for folder, _, names in os.walk(src):
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            path = os.path.join(folder, name)
            inside = os.path.relpath(path, src)
            layer = inside.split(os.sep)[0]
            if layer not in ALLOWED:
                bad.append(f"{path}: folder '{layer}' is in no layer")
                continue
            with open(path, encoding="utf-8") as f:
                text = f.read()
            bad += forbidden_includes(path, layer, text)
            components.setdefault(layer, Component()).add(inside[len(layer) + 1 :], text)
            if layer not in ENV:
                bad += calls(path, inside, text, used, SYSTEM, "goes past struct env")
            bad += calls(path, inside, text, used, PATTERNS, "is an engine that can explode")
    for layer, component in sorted(components.items()):
        bad += forbidden_circles(layer, component)
    bad += [f"layers.py: nothing needs the exception for {where} ({what}) any more" for where, what in set(MAY) - used]
    print("\n".join(sorted(bad) + [f"layers: {len(bad)} problems" if bad else "layers: ok"]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
