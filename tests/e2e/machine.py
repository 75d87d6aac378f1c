"""What a node leaves on a machine, and how to look: shared by the programs that run real containers."""
import collections
import glob
import os
import re
import subprocess
import time
import urllib.request

from lib import CARAVEL, ROOT, Failed, dirs_of_others, free_port, own_dirs

NODE_PORT = 30000 + free_port() % 2768


def hello_yaml():
    """The example, on a node port of our own: a user's cluster may hold 30080."""
    with open(os.path.join(ROOT, "examples", "hello.yaml"), encoding="utf-8") as f:
        return f.read().replace("30080", str(NODE_PORT))


def fetch(url, timeout=3):
    with urllib.request.urlopen(url, timeout=timeout) as r:
        return r.read().decode()


SETTINGS = ("net/ipv4/ip_forward", "net/ipv4/conf/all/route_localnet", "net/bridge/bridge-nf-call-iptables")


def read(path):
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().strip()
    except OSError:
        return None


def name(link):
    return re.match(r"\d+: ([^:@]+)", link).group(1)


def claimed(run):
    """Is that the runtime directory of a cluster whose server lives?"""
    pid = re.match(r"pid (\d+)", read(os.path.join(run, "node")) or "")
    return bool(pid) and "caravel" in (read(f"/proc/{pid.group(1)}/comm") or "")


def files(*tops):
    # a node that runs beside the test makes files at any moment; one that only looks like a node's is watched
    tops = [top for top in tops if not claimed(top)]
    below = {os.path.join(base, name) for top in tops for base, dirs, names in os.walk(top) for name in dirs + names}
    return below | set(filter(os.path.exists, tops))


SHARED = ["/run/containerd/s", "/var/lib/cni/results"]  # whose what is in these is, its name does not say


class Others:
    """Nodes that run on this machine and are not this program's: what is theirs comes and goes as they like, also while one is
    killed by the program that has it."""

    def __init__(self):
        self.tags, dirs = set(), dirs_of_others()
        words, names = list(dirs), []
        for run in glob.glob("/run/caravel*"):
            said = dict(re.findall(r"^(\S+) (.*)$", read(os.path.join(run, "node")) or "", re.M))
            data = said.get("data-dir", run)
            if any(data.startswith(own + "/") for own in own_dirs):
                continue
            if not claimed(run) and not any(data.startswith(top + "/") for top in dirs):
                continue
            tag = os.path.basename(run)
            self.tags.add(tag)
            if "-" in tag:  # those of `caravel dev` in the machine's own namespace
                names.append("cvd" + tag.split("-", 1)[1])
            networks = "".join(read(p) or "" for p in glob.glob(data + "/cni/net.d/*"))
            words += [run, data, "/" + tag, *re.findall(r'"bridge": *"(\w+)"', networks),
                      *(said[k] for k in ("kubelet-root", "log-dir") if k in said)]
        words += ["/run/caravel-e2e", "/caravel-e2e", "cvle2e"]  # what test_leftovers makes, and is about
        if self.tags:
            words += SHARED
        self.tags.update(names)
        self.words = re.compile("|".join([rf"{re.escape(w)}(?![\w.-])" for w in words] + [rf"\b{n}\b" for n in names]
                                         + [r"\bha\d+(?:b|v\d|-\d)\b"]))  # links and namespaces of test_ha's servers

    def have(self, text):
        return bool(self.words.search(text))

    def have_table(self, table):
        """By its name: "caravel-1a2b3c4d", "caravel-1a2b3c4d-policy", "caravel-1a2b3c4d-spare"."""
        return table == "caravel-e2e" or re.sub("-(policy|spare)$", "", table) in self.tags

    def without(self, lines):
        return sorted(line for line in lines if not self.have(line))


def snapshot():
    """What a machine shows of containers and networks; compared before and after."""
    def run(*args):
        return subprocess.run(args, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    others = Others()
    links = run("ip", "-o", "link").splitlines()
    theirs = {name(line) for line in links if others.have(line)}
    rules = re.split(r"^(?=table )", run("nft", "-s", "list", "ruleset"), flags=re.M)  # those of iptables-nft, too
    out = {
        "links": sorted(set(map(name, links)) - theirs),
        # the kernel makes anycast routes while somebody's node has IPv6 forwarded
        "routes": sorted(r for r in run("ip", "route", "show", "table", "all").splitlines()
                         if not theirs & set(r.split()) and not (others.tags and r.startswith("anycast"))),
        "rules": sorted(line for table in rules if not others.have_table(table.split(" {")[0].split(" ")[-1]) for line in table.splitlines()),
        "files": others.without(files(*glob.glob("/run/caravel*"), "/run/containerd", "/run/netns", "/run/runc", "/var/lib/cni",
                                      "/var/lib/kubelet", "/var/lib/containerd", "/var/log/pods", "/etc/cni")),
        # the last of those who need one gives it back
        "settings": [] if others.tags else [f"{s} = {read('/proc/sys/' + s)}" for s in SETTINGS],
    }
    # What an earlier one left is not ours, whether or not another's node hid it at the time.
    out["shared"] = sorted(files(*SHARED))
    with open("/proc/mounts", encoding="utf-8") as f:
        # the small disks that other tests fill beside this are called like store-test, and come and go
        out["mounts"] = others.without({where for what, where, *_ in map(str.split, f) if not what.endswith("-test")})
    out["cgroups"] = others.without(os.path.join(base, d) for base, dirs, _ in os.walk("/sys/fs/cgroup") for d in dirs)
    procs = {}  # by name: what is known of each
    for pid in filter(str.isdigit, os.listdir("/proc")):
        stat = read(f"/proc/{pid}/stat")
        if not stat or stat.rsplit(")", 1)[1].split()[0] == "Z":
            continue  # gone, but not yet reaped by whatever runs as process 1
        comm, whose = read(f"/proc/{pid}/comm") or "", (read(f"/proc/{pid}/cmdline") or "") + (read(f"/proc/{pid}/cgroup") or "")
        if comm.startswith(("containerd", "runc", "pause", "httpd", "busybox")) and not others.have(whose.replace("\0", " ")):
            procs.setdefault(comm, []).append(describe(pid))
    out["processes"] = procs
    return out


def describe(pid):
    """Whose it is, and where it hangs."""
    stat = (read(f"/proc/{pid}/stat") or ") ? ?").rsplit(")", 1)[1].split()
    words = (read(f"/proc/{pid}/cmdline") or "").replace("\0", " ")
    group = (read(f"/proc/{pid}/cgroup") or "").replace("\n", " ")
    return f"pid {pid}, state {stat[0]}, parent {stat[1]}, in {read(f'/proc/{pid}/wchan')}: {words}; {group}"


def nothing_is_left(before):
    """Of all that is left, not only the first: one often explains the other."""
    said = []
    for _ in range(5):  # what is left stays; what a cluster beside this one begins or ends with is soon known as its own, or gone
        said = left_since(before)
        if not said:
            return
        time.sleep(2)
    raise Failed("\n".join(said))


def left_since(before):
    after, said = snapshot(), []
    for what, was in before.items():
        new = sorted(set(after[what]) - set(was))
        if what == "settings" and not was:
            continue  # another's node was here
        if what == "shared":
            continue  # of these "files" has what counts
        if what == "files":  # shared by all that run containers here, so that nobody knows when he is the last
            new = sorted(set(new) - set(before["shared"]) - {"/run/containerd", "/var/lib/cni", *SHARED})
        if what == "cgroups":
            # Whatever else runs here makes groups, too. What we left runs nothing: that would be under "processes".
            new = [g for g in new if os.path.isdir(g) and not read(os.path.join(g, "cgroup.procs"))]
        if what == "processes":
            new = [f"{comm}: {each}" for comm in new for each in after[what][comm]]
        if new:
            said.append(f"left behind: {what}: {new}")
    return said


def cleanup(c, *args):
    return subprocess.run([CARAVEL, "cleanup", "--data-dir", os.path.join(c.dir, "data"), *args], check=True, timeout=120,
                          stdout=subprocess.PIPE, text=True).stdout


def remove_data(c):
    """As with rm -rf, which goes on past what is mounted."""
    subprocess.run(["rm", "-rf", os.path.join(c.dir, "data"), c.kubeconfig], check=False, stderr=subprocess.DEVNULL)
    c.forget()


def tag_of(c):
    """What this cluster's things on the machine are called."""
    with open(os.path.join(c.dir, "data", "containerd", "config.toml"), encoding="utf-8") as f:
        return re.search(r'"/run/([^"/]*)/containerd.sock"', f.read()).group(1)


def shims(c):
    """The container shims of this cluster's containerd."""
    socket = f"/run/{tag_of(c)}/containerd.sock"
    n = 0
    for p in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{p}/cmdline", encoding="utf-8") as f:
                words = f.read().split("\0")
        except OSError:
            continue
        n += "containerd-shim" in words[0] and socket in words
    return n


def host_pod(name, port, extra=""):
    return f"""
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: hello}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: docker.io/caravel/demo:1
    command: ["sh", "-c", "mkdir /w; echo I am {name} > /w/index.html; exec busybox httpd -f -p 8080 -h /w"]
    ports:
    - {{containerPort: 8080, hostPort: {port}}}
    {extra}
"""


def closed(url):
    try:
        fetch(url, 1)
    except OSError:
        return True
    return False


def node_state(c, nodes):
    """What Services, policies and pods leave in the network of each node of a DevCluster. A bridge stays, and so do chains that
    Services share, for the next one."""
    state = {}
    for node in range(1, nodes + 1):
        ruleset = re.sub(r"\tchain (tcp|udp|sctp)_\w+_\d+ {.*?\n\t}\n+", "", c.inside(node, "nft", "-s", "list", "ruleset"), flags=re.S)
        state[node] = [list(filter(None, ruleset.splitlines())), re.findall(r"^\d+: ([^:@]+)", c.inside(node, "ip", "-o", "link", "show", "type", "veth"), re.M),
                       [r for r in c.inside(node, "ip", "route").splitlines() if " dev cvl" not in r],
                       c.inside(node, "ss", "-Hltn", "sport = :80 or sport = :443").splitlines()]
    return state


def as_before(before, now):
    """Of what node_state() said."""
    for node, was in before.items():
        for a, b in zip(was, now[node]):
            a, b = collections.Counter(a), collections.Counter(b)
            if a != b:
                raise Failed(f"dev-{node}: gone {sorted((a - b).elements())}, come {sorted((b - a).elements())}")
    return True
