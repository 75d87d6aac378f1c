"""Replays recorded answers of an upstream API server and judges what differs from them.

The records lie outside the tree (ORACLE, or ../shared/oracle); without them this is skipped. What is not answered
as recorded stands in tests/oracle/differences.tsv with its reason, and that list only shrinks: a difference that
is not listed fails, and so does a line that nothing matches any more. See tests/oracle/README.md.
"""
import collections
import concurrent.futures
import glob
import json
import os
import re
import subprocess
import sys

from lib import ROOT, Cluster, Tap

RECORDS = os.environ.get("ORACLE") or os.path.join(os.path.dirname(ROOT), "shared", "oracle")
LIST = os.path.join(ROOT, "tests", "oracle", "differences.tsv")
# Recorded through a version that is served no more, with the same members.
NOW = {"vap": (b"admissionregistration.k8s.io/v1beta1", b"admissionregistration.k8s.io/v1")}
# Kinds of reasons that are no fault; what is left is judged: at least so many per cent as recorded.
EXCUSED = ("later", "v1.37", "set-up", "ours")
FLOOR, FLOORS = 99, {"create": 99}
TOTAL = re.compile(r"^# total (\d+), ok (\d+), not ok (\d+)", re.M)


class Difference:
    """A line of the list: a pattern on the step's name, with * for anything, a class or *, and the reason."""

    def __init__(self, line):
        self.pattern, self.kind, self.reason = line.rstrip("\n").split("\t")
        self.regex = re.compile(".*".join(re.escape(p) for p in self.pattern.split("*")) + r"\Z", re.S)
        self.seen = 0

    def covers(self, name, kind):
        return self.kind in ("*", kind) and bool(self.regex.match(name))


def expected():
    with open(LIST, encoding="utf-8") as f:
        return [Difference(line) for line in f if line.strip() and not line.startswith("#")]


def group_of(path):
    return os.path.basename(path).split(".")[0]


TOKEN = "oracle-0123456789abcdef"


def replay(cluster, path):
    """Returns the differences of one file, and how many answers were judged."""
    if group_of(path) in NOW:
        with open(path, "rb") as f:
            text = f.read().replace(*NOW[group_of(path)])
        path = os.path.join(cluster.dir, os.path.basename(path))
        with open(path, "wb") as f:
            f.write(text)
    out = os.path.join(cluster.dir, group_of(path) + ".json")
    r = subprocess.run([sys.executable, os.path.join(RECORDS, "replay.py"), "--url", f"https://127.0.0.1:{cluster.port}",
                        "--token", TOKEN, "-q", "--json", out, path],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    total = TOTAL.search(r.stdout)
    if not total:
        raise RuntimeError(r.stdout[-2000:])
    with open(out, encoding="utf-8") as f:
        return json.load(f), int(total.group(1))


def kind_of(covers):
    """The kind of a difference: that of its line; a line for one step says more than one for a whole area."""
    line = min(covers, key=lambda e: (e.pattern.count("*"), e.kind == "*"))
    return line.reason.split(":")[0]


def judge(tap, group, found, judged, listed, table):
    unlisted, row = [], collections.Counter(judged=judged)
    for d in found:
        cover = [e for e in listed if e.covers(d["name"], d["class"])]
        for e in cover:
            e.seen += 1
        if not cover:
            unlisted.append(d)
        row[kind_of(cover) if cover else "open"] += 1
    table[group] = row
    for d in unlisted:
        print(f"# {d['name']}\n#    {d['class']}: {d['detail'][:600]}")
    tap.point(not unlisted, f"{group}: of {judged} answers {judged - len(found)} as recorded, {len(found) - len(unlisted)} "
              f"listed as different, {len(unlisted)} not")


def share(row):
    """Steps that are for us to answer as recorded, how many of them are, and the percentage."""
    ours = row["judged"] - sum(row[k] for k in EXCUSED)
    good = ours - row["open"]
    return ours, good, 100.0 * good / ours if ours else 100.0


def print_table(tap, table):
    """Per area what was judged and why what differs does; areas that are served must reach FLOOR."""
    total = sum(table.values(), collections.Counter())
    print(f"# {'area':14}{'judged':>8}{'as recorded':>13}{'later':>7}{'v1.37':>7}{'set-up':>8}{'ours':>6}{'open':>6}{'share':>9}")
    for area, row in [*table.items(), ("all", total)]:
        _, good, percent = share(row)
        print(f"# {area:14}{row['judged']:8}{good:13}{row['later']:7}{row['v1.37']:7}{row['set-up']:8}{row['ours']:6}"
              f"{row['open']:6}{percent:8.1f}%")
    low = [area for area, row in [*table.items(), ("all", total)]
           if share(row)[2] < FLOORS.get(area, FLOOR)]
    tap.point(not low, f"of what is served, at least {FLOOR} % of every area is as recorded (creates: {FLOORS['create']} %)"
              + "".join(f"; not {area}" for area in low))


DEFAULT_CLASSES = ("list", "priority")  # they make a StorageClass that claims without one get


def main():
    if not os.path.exists(os.path.join(RECORDS, "replay.py")):
        print("# needs recorded answers of an upstream server, which are not part of this repository")
        return 77
    files = sorted(glob.glob(os.path.join(RECORDS, "sequences", "*.jsonl")) + glob.glob(os.path.join(RECORDS, "*.jsonl.gz")))
    tap, listed = Tap(), expected()
    cluster = Cluster(args=["--disable-scheduler", "--disable-controller-manager"])
    tokens = os.path.join(cluster.dir, "tokens.csv")
    with open(tokens, "w", encoding="utf-8") as f:
        f.write(f"{TOKEN},admin,,system:masters\n")
    cluster.args += ["--token-auth-file", tokens]
    table = {}
    with cluster:
        # custom creates for real what create tries; a default class is everybody's while it is there
        apart = [[f for f in files if group_of(f) == g] for g in (*DEFAULT_CLASSES, "custom")]
        for some in ([f for f in files if not any(f in a for a in apart)], *apart):
            with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
                for path, (found, judged) in zip(some, pool.map(lambda f: replay(cluster, f), some)):
                    judge(tap, group_of(path), found, judged, listed, table)
        print_table(tap, table)
        tap.point(cluster.proc.poll() is None, "the server still runs")
    # the groups that ran say which lines are stale
    ran = {group_of(f) for f in files}
    stale = [e for e in listed if not e.seen and e.pattern.split("/")[0] in ran]
    for e in stale:
        print(f"# answered as recorded now, take it out of the list: {e.pattern} {e.kind}")
    tap.point(not stale, "the list of differences holds nothing that is no more")
    print(f"1..{tap.n}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
