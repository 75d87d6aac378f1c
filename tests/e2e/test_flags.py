#!/usr/bin/env python3
"""Flags of upstream's kube-apiserver: a server is started with each of tests/fields/apiserver-flags.tsv, which says what
becomes of it. Then what operators do with one that runs: its pages, its metrics, its log."""
import base64
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading

import test_js
from lib import CARAVEL, ROOT, Cluster, contains, equal, free_port, main, read_text
from test_keepers import Keeper

TABLE = os.path.join(ROOT, "tests", "fields", "apiserver-flags.tsv")
FILES = {
    "admission.yaml": "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins: []\n",
    "labels.yaml": "apiserver_storage_objects,resource: pods,nodes\n",
    "policy.yaml": "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n",
    "authn.yaml": "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\nanonymous: {enabled: true}\n",
    "authz.yaml": "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n"
                  "authorizers: [{type: Node, name: node}, {type: RBAC, name: rbac}]\n",
    "encryption.yaml": "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
                       "resources: [{resources: [secrets], providers: [{identity: {}}]}]\n",
    "tokens.csv": "secret,somebody,1,group\n",
    "hook.kubeconfig": "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
                       "clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9/x'}}]\n"
                       "users: [{name: u, user: {token: t}}]\ncontexts: [{name: a, context: {cluster: c, user: u}}]\n",
}


def rows():
    with open(TABLE, encoding="utf-8") as f:
        return [line.rstrip("\n").split("\t") for line in f if not line.startswith("#")]


class Server:
    """Until it serves, or has ended; what it said meanwhile."""

    def __init__(self, top, args):
        own = [] if any(a.startswith(("--secure-port", "--https-listen-port")) for a in args) else ["--secure-port=0"]
        if args[:1] == ["kube-apiserver"]:  # what only it has
            command, args = [CARAVEL, "kube-apiserver"], args[1:]
        else:
            command = [CARAVEL, "server", "--disable-agent", "--disable-scheduler", "--disable-controller-manager"]
        self.p = subprocess.Popen([*command, "--no-supervise", "--data-dir", os.path.join(top, "data"),
                                   "--write-kubeconfig", os.path.join(top, "kubeconfig"), *own, *args],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.serves, self.said = False, ""
        guard = threading.Timer(60, self.p.kill)
        guard.start()
        for line in self.p.stdout:
            self.said += line
            if '"serving"' in line:
                self.serves = True
                break
        guard.cancel()

    def end(self):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
        self.said += self.p.stdout.read()
        self.p.stdout.close()
        return self.p.wait()


def try_flag(top, name, outcome, arguments):
    args = [a.format(dir=top, port=free_port(), signer=os.path.join(top, "signer.sock")) for a in shlex.split(arguments)]
    s = Server(top, args)
    status = s.end()
    if outcome == "refuses":
        if s.serves or status == 0 or f"--{name}" not in s.said:
            return f"--{name} is not refused: {s.said}"
        return None
    warned = f'"a flag changes nothing here" flag="{name}"' in s.said
    if not s.serves:
        return f"{' '.join(args)}: {s.said}"
    if warned != (outcome == "warns"):
        return f"--{name} should {'' if outcome == 'warns' else 'not '}be warned of: {s.said}"
    return None


def client_certificate(top):
    """The administrator's, as files."""
    text = read_text(os.path.join(top, "kubeconfig"))
    for field, name in (("client-certificate-data", "client.crt"), ("client-key-data", "client.key")):
        with open(os.path.join(top, name), "wb") as f:
            f.write(base64.b64decode(re.search(field + r": (\S+)", text).group(1)))


def each_flag_becomes_what_the_table_says(_):
    with tempfile.TemporaryDirectory() as top:
        for name, text in FILES.items():
            with open(os.path.join(top, name), "w", encoding="utf-8") as f:
                f.write(text)
        Server(top, []).end()
        with open(os.path.join(top, "data", "pki", "ca.crt"), encoding="utf-8") as f, \
             open(os.path.join(top, "ca.pem"), "w", encoding="utf-8") as to:
            to.write(f.read())
        client_certificate(top)
        signer = Keeper(os.path.join(top, "signer.sock"))
        can_sign = not test_js.install()
        try:
            if can_sign:
                signer.start()
            wrong = [w for name, outcome, args in rows() if can_sign or "{signer}" not in args
                     if (w := try_flag(top, name, outcome, args))]
        finally:
            if can_sign:
                signer.kill()
        equal(wrong, [])


def the_table_is_whole(_):
    names = [r[0] for r in rows()]
    equal(names, sorted(set(names)))
    equal({r[1] for r in rows()} <= {"takes", "warns", "refuses"}, True)
    with open(os.path.join(ROOT, "src", "cli", "upstream_flags.c"), encoding="utf-8") as f:
        ours = set(re.findall(r'\b(?:NONE|NONE_SWITCH|ONLY|ONLY_SWITCH|REFUSED)\(\s*"([^"]+)"', f.read()))
    equal(ours - set(names), set())


# --- a server that runs ---

def pages(c):
    status, text, _ = c.request("GET", "/statusz", headers={"Accept": "text/plain"})
    equal(status, 200)
    contains(str(text), "kube-apiserver statusz", "Emulation version: 1.37")
    status, doc, _ = c.request("GET", "/statusz", headers={"Accept": "application/json;v=v1beta1;g=config.k8s.io;as=Statusz"})
    equal((status, doc["kind"], doc["apiVersion"], doc["metadata"]["name"]), (200, "Statusz", "config.k8s.io/v1beta1", "kube-apiserver"))
    status, doc, _ = c.request("GET", "/flagz", headers={"Accept": "application/json;v=v1alpha1;g=config.k8s.io;as=Flagz"})
    equal((status, doc["flags"]["disabled-metrics"]), (200, "[apiserver_response_sizes]"))
    equal(c.request("GET", "/flagz", headers={"Accept": "application/json"})[0], 406)
    equal(c.request("GET", "/flagz", headers={"Accept": "application/json;v=v1beta1;g=config.k8s.io;as=Statusz"})[0], 406)


def the_log_says_more_when_asked(c):
    def put(v):
        return c.request("PUT", "/debug/flags/v", v, headers={"Content-Type": "text/plain"})[:2]
    equal(put("x"), (400, 'failed set klog.logging.verbosity x: strconv.ParseInt: parsing "x": invalid syntax'))
    equal(put("4"), (200, "successfully set klog.logging.verbosity to 4"))
    equal(put("0"), (200, "successfully set klog.logging.verbosity to 0"))
    equal(c.request("GET", "/debug/flags/v")[0], 406)
    equal(c.request("GET", "/debug/pprof/heap")[0], 404)


def metrics_are_well_formed(c):
    c.request("GET", "/api/v1/namespaces/default/configmaps")
    _, text, _ = c.request("GET", "/metrics")
    family, kinds = None, {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            family, kind = line.split()[2:4]
            equal(family in kinds, False, family)
            kinds[family] = kind
        elif line and not line.startswith("#"):
            m = re.fullmatch(r'([a-z0-9_:]+)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? (\S+)', line)
            equal(bool(m), True, line)
            name = re.sub(r"_(bucket|sum|count)$", "", m.group(1)) if kinds[family] == "histogram" else m.group(1)
            equal(name, family, line)
            float(m.group(3))
    equal("apiserver_response_sizes" in kinds, False)
    equal(kinds["apiserver_request_total"], "counter")
    contains(text, "disabled_metrics_total 1")


def on_one_server(_):
    with Cluster(args=["--disable-scheduler", "--disable-controller-manager", "--disabled-metrics",
                       "apiserver_response_sizes"]) as c:
        pages(c)
        the_log_says_more_when_asked(c)
        metrics_are_well_formed(c)


if __name__ == "__main__":
    sys.exit(main([the_table_is_whole, each_flag_becomes_what_the_table_says, on_one_server], None))
