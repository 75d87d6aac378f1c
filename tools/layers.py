#!/usr/bin/env python3
"""Reads every source file and fails on two kinds of arrows nobody may draw.

usage: layers.py SOURCE_ROOT

1. An #include that docs/ARCHITECTURE.md's layer table does not allow.
2. A component that asks the operating system for time, chance, threads or sockets by itself instead of
   its struct env: such code would not run in the simulator. Exceptions are in MAY, each with its reason.
"""
import os
import re
import sys

BASE = {"base"}
OBJECT = {"base", "codec", "object"}
CLIENT = OBJECT | {"ev", "net", "client"}
POD = {"pod"}
ALLOWED = {
    "base": set(),
    "ev": BASE,
    "net": BASE | {"ev"},
    "codec": BASE,
    "object": BASE | {"codec"},
    "pod": OBJECT,
    "store": BASE | {"ev"},
    "client": OBJECT | {"ev", "net"},
    "apiserver": CLIENT | POD | {"store"},
    "controllers": CLIENT | POD,
    "scheduler": CLIENT | POD,
    "kubelet": CLIENT | POD,
    "proxy": CLIENT,
    "sim": CLIENT | {"store", "apiserver", "controllers", "scheduler", "kubelet", "proxy"},
    "cli": CLIENT | {"store", "apiserver", "controllers", "scheduler", "kubelet", "proxy", "sim"},
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
    (?P<sockets> socket | socketpair | connect | accept4? | poll | ppoll | select | pselect | epoll_\w+ | getaddrinfo)
    )\s*\(""", re.X)

# (file or folder, what): why it may.
MAY = {
    ("kubelet/containerd.c", "time"): "starts and stops another program; not part of any task of the simulator",
    ("kubelet/node_cleanup.c", "time"): "a command of its own that waits for the kernel to end processes",
    ("kubelet/cgroups.c", "time"): "the kernel empties a cgroup a moment after its processes were killed",
    ("kubelet/hooks.c", "sockets"): "the real probes, behind the hooks that the simulator replaces",
    ("kubelet/link_watch.c", "sockets"): "netlink, on a thread of its own, which the simulator does not have",
    ("kubelet/machine.c", "sockets"): "asks the kernel for a route's source address; nothing is sent",
    ("kubelet/runtime_health.c", "sockets"): "waits on a thread of its own, which the simulator does not have",
    ("kubelet/shims.c", "sockets"): "looks whether a shim still listens; only where a real containerd is started",
    ("proxy/nfnl.c", "sockets"): "netlink: how the kernel is told its rules",
    ("cli/cidrs.c", "sockets"): "a name in the network namespace that only one server may hold",
    ("cli/host.c", "sockets"): "asks the kernel which port is free",
    ("cli/supervise.c", "sockets"): "the parent of the server: hands descriptors over, waits for signals",
    ("cli/supervise.c", "threads"): "forks the server, before there is an env",
    ("cli/supervise.c", "time"): "paces starts of a server that dies, outside of every env",
    ("cli/server.c", "threads"): "where threads come from: one for each network loop",
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


def system_calls(path, inside, text, used):
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        for m in SYSTEM.finditer(line):
            what = next(k for k, v in m.groupdict().items() if v)
            # a declaration or a field of that name is no call
            if re.search(r"\b(struct \w+ \*?|int|void|bool|char \*)\s*$", line[: m.start()]):
                continue
            entry = next((e for e in MAY if e[1] == what and (inside == e[0] or inside.startswith(e[0] + "/"))), None)
            if entry:
                used.add(entry)
                continue
            yield f"{path}:{number}: {m.group(1)}() goes past struct env ({what})"


def main(root):
    bad, used = [], set()
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
            if layer not in ENV:
                bad += system_calls(path, inside, text, used)
    bad += [f"layers.py: nothing needs the exception for {where} ({what}) any more" for where, what in set(MAY) - used]
    print("\n".join(sorted(bad) + [f"layers: {len(bad)} problems" if bad else "layers: ok"]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "."))
