#!/usr/bin/env python3
"""Writes src/cli/idle.order: the functions that a server has run when it is at rest.

usage: idle_order.py BUILD

BUILD is the directory of `make build`, up to date. Its program is linked once more without the list, because valgrind knows
the functions of one section alone, and started twice under callgrind, which must be installed: with an empty data
directory, and again with what that left. What it has run until a while after it is ready is listed.

The list need not be exact. A name that is no more is passed over, and a new function lies with the rest, where it costs
the pages around it; the row "idle" of `make bench` shows when it is time to write the list again.
"""
import glob
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.join(ROOT, "src", "cli", "idle.order")
ENDS, REST = 300, 150  # seconds; all is some fifty times slower there

HEAD = "# Written by tools/idle_order.py: the functions that a server has run when it is at rest. In a release they lie together.\n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def functions(path, binary):
    """The names of binary's functions in one file of callgrind's. Names of files and functions are written out once."""
    objects, names, found, own = {}, {}, set(), False
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            m = re.match(r"(c?)(ob|fn)=\((\d+)\)(?: (.*))?", line)
            if not m:
                continue
            called, what, number, text = m.groups()
            known = objects if what == "ob" else names
            if text:
                known[number] = text.strip()
            if called:
                continue
            if what == "ob":
                own = known[number] == binary
            elif own:
                found.add(known[number].split("'")[0])  # the mark of a recursion
    return found


def linked(build, directory):
    """The program of build, without the list."""
    out = os.path.join(directory, "caravel")
    command = subprocess.run(["ninja", "-C", build, "-t", "commands", "caravel"], check=True, capture_output=True,
                             text=True).stdout.splitlines()[-1]
    words = [w for w in shlex.split(command) if not w.startswith("-Wl,-T,")]
    words[words.index("-o") + 1] = out
    subprocess.run(words, cwd=build, check=True)
    return out


def alike(binary, found):
    """found by all names that the functions have: the compiler keeps one of those that are alike, under any name."""
    at, names = {}, {}
    for line in subprocess.run(["nm", "--defined-only", binary], check=True, capture_output=True, text=True).stdout.splitlines():
        address, kind, name = line.split()
        if kind in "tTwW":
            at[name] = address
            names.setdefault(address, set()).add(name)
    return found.union(*(names[at[name]] for name in found if name in at))


def run(binary, directory, n):
    """One start: the names of what has run when it is at rest."""
    out = os.path.join(directory, f"run{n}")
    port = free_port()
    server = subprocess.Popen(
        ["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={out}.%p", f"--log-file={out}.log.%p", binary,
         "server", "--disable-agent", "--bind-address", "127.0.0.1", "--https-listen-port", str(port), "--data-dir",
         os.path.join(directory, "data"), "--write-kubeconfig", os.path.join(directory, "kubeconfig")],
        start_new_session=True, stderr=subprocess.PIPE, text=True)
    for line in server.stderr:
        if ' server "serving"' in line:
            break
    else:
        sys.exit("the server did not start")
    time.sleep(REST)
    # What it takes to end is not of interest: what is known is written out now.
    with open(f"/proc/{server.pid}/task/{server.pid}/children", encoding="utf-8") as f:
        pids = [server.pid] + [int(pid) for pid in f.read().split()]
    for pid in pids:
        subprocess.run(["callgrind_control", "--dump", str(pid)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=ENDS)
    found = set()
    for path in glob.glob(f"{out}.*.1"):
        found |= functions(path, binary)
    return found


def main():
    if len(sys.argv) != 2 or not shutil.which("callgrind_control"):
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory(prefix="caravel-order-") as directory:
        binary = linked(sys.argv[1], os.path.realpath(directory))
        found = alike(binary, run(binary, directory, 1) | run(binary, directory, 2))
    # Without the compiler's own part of a name (".part.0"), and without what has none.
    names = sorted({name.split(".")[0] for name in found if re.match(r"[A-Za-z_]", name)})
    with open(OUT, "w", encoding="utf-8") as f:
        f.write(HEAD + "".join(name + "\n" for name in names))
    print(f"{len(names)} functions")


if __name__ == "__main__":
    main()
