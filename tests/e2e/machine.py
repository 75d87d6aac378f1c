"""What a node leaves on a machine, and how to look: shared by the programs that run real containers."""
import glob
import os
import re
import subprocess
import urllib.request

from lib import CARAVEL, ROOT, equal, free_port

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


def claimed(run):
    """Is that the runtime directory of a cluster whose server lives?"""
    pid = re.match(r"pid (\d+)", read(os.path.join(run, "node")) or "")
    return bool(pid) and "caravel" in (read(f"/proc/{pid.group(1)}/comm") or "")


def files(*tops):
    # a node that runs beside the test makes files at any moment; one that only looks like a node's is watched
    tops = [top for top in tops if not claimed(top)]
    below = {os.path.join(base, name) for top in tops for base, dirs, names in os.walk(top) for name in dirs + names}
    return below | set(filter(os.path.exists, tops))


def snapshot():
    """What a machine shows of containers and networks; compared before and after."""
    def run(*args):
        return subprocess.run(args, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    out = {
        "links": sorted(re.findall(r"^\d+: ([^:@]+)", run("ip", "-o", "link"), re.M)),
        "routes": sorted(run("ip", "route", "show", "table", "all").splitlines()),
        "rules": sorted(run("nft", "-s", "list", "ruleset").splitlines()),  # those of iptables-nft, too
        "files": sorted(files(*glob.glob("/run/caravel*"), "/run/containerd", "/run/netns", "/run/runc", "/var/lib/cni",
                              "/var/lib/kubelet", "/var/lib/containerd", "/var/log/pods", "/etc/cni")),
        "settings": [f"{s} = {read('/proc/sys/' + s)}" for s in SETTINGS],
    }
    with open("/proc/mounts", encoding="utf-8") as f:
        # the small disks that other tests fill beside this are called like store-test, and come and go
        out["mounts"] = sorted({where for what, where, *_ in map(str.split, f) if not what.endswith("-test")})
    groups = []
    for base, dirs, _ in os.walk("/sys/fs/cgroup"):
        groups += [os.path.join(base, d) for d in dirs]
    out["cgroups"] = sorted(groups)
    procs = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                comm = f.read().strip()
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                if f.read().rsplit(")", 1)[1].split()[0] == "Z":
                    continue  # gone, but not yet reaped by whatever runs as process 1
        except OSError:
            continue
        if comm.startswith(("containerd", "runc", "pause", "httpd", "busybox")):
            procs.append(comm)
    out["processes"] = sorted(procs)
    return out


def nothing_is_left(before):
    after = snapshot()
    for what, was in before.items():
        new = sorted(set(after[what]) - set(was))
        if what == "cgroups":
            # Whatever else runs here makes groups, too. What we left runs nothing: that would be under "processes".
            new = [g for g in new if os.path.isdir(g) and not read(os.path.join(g, "cgroup.procs"))]
        equal(new, [], f"left behind: {what}")


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
