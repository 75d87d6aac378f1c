"""What the API does besides plain creates and reads: server-side apply, rules in CEL, the start of a test control plane.
For `run`."""
import contextlib
import http.client
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from sides import TOKEN, Caravel, How, Unavailable, built, free_port

# A body of its own for each request, which h2load has not. {i} is the object, of OBJECTS; the value moves with every request.
APPLY = """
local n, thread, setup_n = 0, 0, 0
function setup(t) t:set("thread", setup_n); setup_n = setup_n + 1 end
local before, after, moves = [==[%s]==], [==[%s]==], %s
function request()
   n = n + 1
   local i = (thread * %d) + n %% %d
   local body = before:gsub("NAME", "bench-" .. i) .. (moves and n or "same") .. after
   return wrk.format("PATCH", "/apis/apps/v1/namespaces/default/deployments/bench-" .. i .. "?fieldManager=bench&force=true",
      { ["authorization"] = "Bearer %s", ["content-type"] = "application/apply-patch+yaml" }, body)
end
local bad = 0
function response(status) if status ~= 200 and status ~= 201 then bad = bad + 1; print("answered " .. status) end end
"""
OBJECTS = 500


def applied():
    """A Deployment as people apply it, without replicas: what its controller writes beside is one status."""
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "NAME", "labels": {"app": "bench", "tier": "web"}},
            "spec": {"replicas": 0, "paused": True, "selector": {"matchLabels": {"app": "bench"}}, "template": {
                "metadata": {"labels": {"app": "bench"}, "annotations": {"round": "VALUE"}}, "spec": {"containers": [
                    {"name": "c", "image": "example.com/app:1", "ports": [{"name": "http", "containerPort": 8080}],
                     "env": [{"name": "LEVEL", "value": "info"}, {"name": "HOST", "value": "0.0.0.0"}],
                     "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}}]}}}}


def apply_rate(s, moves):
    """Answers a second, and for each second of the server's CPU."""
    before, after = json.dumps(applied()).split("VALUE")
    script = os.path.join(s.dir, "apply.lua")
    with open(script, "w", encoding="utf-8") as f:
        f.write(APPLY % (before, after, "true" if moves else "false", OBJECTS, OBJECTS, TOKEN))
    used = s.cpu()
    r = subprocess.run(["wrk", "-t", "2", "-c", "20", "-d", f"{2 * How.scale}s", "-s", script, s.url], check=False,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
    used = max(s.cpu() - used, 0.01)
    rate, n = re.search(r"Requests/sec: +([\d.]+)", r.stdout), re.search(r"(\d+) requests in", r.stdout)
    if not rate or not n or "answered" in r.stdout:
        raise Unavailable("wrk: " + " / ".join(r.stdout.splitlines()[:5]))
    return float(rate.group(1)), int(n.group(1)) / used


def applies(kind):
    if not shutil.which("wrk"):
        raise Unavailable("needs wrk: apt-get install wrk")
    with kind() as s:
        s.default_account()
        apply_rate(s, False)
        out = {}
        for name, moves in (("change", True), ("same", False)):
            out[f"apply {name}"], out[f"apply {name} cpu"] = apply_rate(s, moves)
        return out


def rules(kind):
    """The engine by itself, on one thread: tests/bench/cel_bench.c."""
    said = subprocess.run([built(kind, "cel_bench")], check=True, stdout=subprocess.PIPE, text=True).stdout
    found = [(float(runs), float(cost)) for runs, cost in re.findall(r"^ *([\d.]+) runs/s +([\d.]+) M cost/s", said, re.M)]
    names = ("cel compare", "cel all", "cel matches")
    if len(found) != len(names):
        raise Unavailable(f"cel_bench said {said!r}")
    out = {name: runs for name, (runs, _) in zip(names, found)}
    out["cel cost"] = min(cost for _, cost in found)
    return out


def test_control_plane(kind):
    """As controller-runtime's envtest starts the two programs: one after the other, each waited for."""
    if kind is not Caravel:
        raise Unavailable("a test of its own would be needed")
    with tempfile.TemporaryDirectory(prefix="caravel-bench-") as links:
        for name in ("etcd", "kube-apiserver"):
            os.symlink(How.binary, os.path.join(links, name))
        with TestControlPlane(links) as s:
            return {"envtest": s.ready() * 1000}


class TestControlPlane(Caravel):
    def __init__(self, links):
        super().__init__()
        self.links = links

    def start(self):
        def file(name):
            return os.path.join(self.dir, name)
        os.mkdir(file("certs"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout",
                        file("certs/apiserver.key"), "-out", file("certs/apiserver.crt")], check=True, stderr=subprocess.DEVNULL)
        store = free_port()
        url = f"http://127.0.0.1:{store}"
        tokens = self.token_file()
        self.began = time.monotonic()
        self.spawn(os.path.join(self.links, "etcd"), f"--data-dir={file('etcd')}", f"--advertise-client-urls={url}",
                   f"--listen-client-urls={url}", f"--listen-peer-urls=http://127.0.0.1:{free_port()}", "--unsafe-no-fsync=true")
        self.until("etcd", lambda: healthy(store))
        self.spawn(os.path.join(self.links, "kube-apiserver"), f"--etcd-servers={url}", f"--cert-dir={file('certs')}",
                   f"--secure-port={self.port}", "--bind-address=127.0.0.1", "--service-account-issuer=https://127.0.0.1/",
                   f"--service-account-key-file={file('certs/apiserver.crt')}", "--service-cluster-ip-range=10.0.0.0/24",
                   f"--service-account-signing-key-file={file('certs/apiserver.key')}", "--authorization-mode=RBAC",
                   "--disable-admission-plugins=ServiceAccount", f"--token-auth-file={tokens}")


def healthy(port):
    with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as c:
        c.request("GET", "/health")
        return c.getresponse().status == 200
    return False


GROUPS = {"applies": applies, "rules": rules, "envtest": test_control_plane}

ROWS = {
    "apply change": ("applies", "server-side apply of a Deployment whose template changes, 20 in flight", "/s", 0, None, True),
    "apply change cpu": ("applies", "the same, for each second of the server's CPU", "/s", 0, None, True),
    "apply same": ("applies", "server-side apply of one that stays as it is", "/s", 0, None, True),
    "apply same cpu": ("applies", "the same, for each second of the server's CPU", "/s", 0, None, True),
    "cel compare": ("rules", "CEL on one thread: two numbers compared", "rules/s", 0, None, True),
    "cel all": ("rules", "all() over ten strings", "rules/s", 0, None, True),
    "cel matches": ("rules", "a regular expression", "rules/s", 0, None, True),
    "cel cost": ("rules", "cost units counted by the slowest of them; one call may use 1 M, an object 10 M", "M/s", 1, None, True),
    "envtest": ("envtest", "envtest's etcd and kube-apiserver, from the first start to /readyz", "ms", 0, 100, False),
}
