#!/usr/bin/env python3
"""Input nobody should send: each gets the Status upstream gives, and nothing is stored."""
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile

from lib import CARAVEL, Cluster, Failed, contains, equal, main, need_tools, wait_for

CM = "/api/v1/namespaces/default/configmaps"
JSON = {"Content-Type": "application/json"}


def cm(name, **rest):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **rest}


def expect(c, method, path, body, code, reason, *texts, headers=None, field=None):
    status, got, _ = c.request(method, path, body, headers or JSON)
    if not isinstance(got, dict) or got.get("kind") != "Status":
        raise Failed(f"{method} {path}: {status}, not a Status: {str(got)[:300]}")
    equal((status, got.get("code"), got.get("reason")), (code, code, reason), f"{method} {path}: {got.get('message')}")
    contains(got["message"], *texts)
    if field:
        fields = [x.get("field") for x in got.get("details", {}).get("causes", [])]
        contains(fields, field)
    return got


def count(c):
    return len(c.request("GET", CM)[1]["items"])


def malformed_bodies(c):
    before = count(c)
    for body in ("{", "{}}", '{"a":1,}', "[", "nul", '{"a":"\\x"}', "", '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"\\ud800x"'):
        status, got, _ = c.request("POST", CM, body, JSON)
        equal(status, 400, repr(body))
        equal(got["reason"], "BadRequest", repr(body))
    # Bytes that are no UTF-8 are read as the replacement character, which no name may have.
    expect(c, "POST", CM, b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"\xff\xfe"}}', 422, "Invalid", "\ufffd", field="metadata.name")
    expect(c, "POST", CM, "a: [b\nc: :", 400, "BadRequest", headers={"Content-Type": "application/yaml"})
    equal(count(c), before)


def wrong_types(c):
    expect(c, "POST", CM, {**cm("x"), "data": {"a": 1}}, 400, "BadRequest", "cannot unmarshal number")
    expect(c, "POST", CM, {**cm("x"), "data": [1]}, 400, "BadRequest")
    expect(c, "POST", "/apis/apps/v1/namespaces/default/deployments",
           {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replicas": "3"}}, 400, "BadRequest",
           "cannot unmarshal string")


def strict_fields(c):
    before = count(c)
    body = cm("strict", daata={"a": "b"})
    expect(c, "POST", CM + "?fieldValidation=Strict", body, 400, "BadRequest", 'strict decoding error: unknown field "daata"')
    dup = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"strict"},"data":{"a":"1","a":"2"}}'
    expect(c, "POST", CM + "?fieldValidation=Strict", dup, 400, "BadRequest", "duplicate field")
    equal(count(c), before)
    status, _, headers = c.request("POST", CM, body, JSON)
    equal(status, 201)
    contains(headers.get("Warning", ""), 'unknown field', "daata")
    equal(c.request("DELETE", CM + "/strict")[0], 200)


def sizes(c):
    before = count(c)
    expect(c, "POST", CM, cm("big", data={"a": "x" * (3 * 1024 * 1024 + 10)}), 413, "RequestEntityTooLarge")
    status, got, _ = c.request("POST", CM, cm("big", data={"a": "x" * (1600 * 1024)}), JSON)
    assert status in (413, 422), (status, got)
    expect(c, "POST", CM, cm("big", data={"a": "x" * (1024 * 1024), "b": "y" * 10}), 422, "Invalid", "Too long")
    deep = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"deep"},"data":' + '{"a":' * 100000 + "1" + "}" * 100000 + "}"
    status, got, _ = c.request("POST", CM, deep, JSON)
    equal(status, 400)
    equal(count(c), before)


def many_labels(c):
    """Their number has no bound of its own, as upstream: the object's size has."""
    labels = {f"l{i}": f"v{i}" for i in range(10_000)}
    equal(c.request("POST", CM, {**cm("many"), "metadata": {"name": "many", "labels": labels}}, JSON)[0], 201)
    equal(len(c.request("GET", CM + "?labelSelector=l1%3Dv1,l9999%3Dv9999")[1]["items"]), 1)
    equal(len(c.request("GET", CM + "?labelSelector=l1%3Dv1,l9999%3Dv1")[1]["items"]), 0)
    equal(c.request("PATCH", CM + "/many", {"metadata": {"labels": {"l5": None}}}, {"Content-Type": "application/merge-patch+json"})[0], 200)
    equal(c.request("DELETE", CM + "/many")[0], 200)


def crd(schema):
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "bombs.example.com"},
            "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "bombs", "singular": "bomb", "kind": "Bomb"},
                     "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                         "type": "object", "properties": {"spec": schema}}}}]}}


def bombs(c):
    """What is small and becomes large, or takes long: each is refused, and costs little."""
    yaml = {"Content-Type": "application/yaml"}
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    head = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bomb}\n"
    laughs = "a: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{i}: &a{i} [{','.join(f'*a{i - 1}' for _ in range(9))}]\n" for i in range(1, 9))
    deep_rule = "self.all(a, self.all(b, self.all(d, self.all(e, a + b + d + e > 0))))"
    patched = CM + "/kube-root-ca.crt"
    doubled = '[{"op":"add","path":"/metadata/annotations","value":{"a0":"xxxxxxxxxx"}}' + "".join(
        f',{{"op":"copy","from":"/metadata/annotations","path":"/metadata/annotations/a{i}"}}' for i in range(1, 64)) + "]"
    for method, path, body, headers, code, *texts in (
            ("POST", CM, head + laughs, yaml, 413, "more than 100000 values"),
            ("PATCH", CM + "/bomb?fieldManager=m", head + laughs, {"Content-Type": "application/apply-patch+yaml"}, 413,
             "more than 100000 values"),
            ("POST", CM, head + "data: &d {a: *d}\n", yaml, 400, "yaml: "),
            ("POST", CM, head + "data: " + "[" * 100_000, yaml, 400, "yaml: "),
            ("POST", CM, head + "- " * 100_000, yaml, 400, "yaml: "),
            ("PATCH", patched, '{"data":' + '{"a":' * 100_000 + "1" + "}" * 100_001, {"Content-Type": "application/merge-patch+json"}, 400),
            ("PATCH", patched, "[" + ",".join(['{"op":"test","path":"/data/a","value":"b"}'] * 70_000) + "]",
             {"Content-Type": "application/json-patch+json"}, 413),
            ("PATCH", patched, doubled, {"Content-Type": "application/json-patch+json"}, 422, "rejected our request"),
            ("POST", crds, crd({"$ref": "#/definitions/spec"}), JSON, 422, "$ref is not supported"),
            ("POST", crds, crd({"type": "array", "items": {"type": "integer"},
                                "x-kubernetes-validations": [{"rule": deep_rule}]}), JSON, 422, "estimated rule cost exceeds budget"),
            ("POST", crds, crd({"type": "string", "pattern": "((a{0,1000}){0,1000}){0,1000}"}), JSON, 422, "must be a valid regular expression"),
            ("POST", crds, crd({"type": "string", "x-kubernetes-validations": [{"rule": "(" * 5000 + "true" + ")" * 5000}]}), JSON, 422,
             "x-kubernetes-validations")):
        before = processor_seconds(c)
        status, got, _ = c.request(method, path, body, headers)
        print(f"# {processor_seconds(c) - before:.2f} s of the server for {method} {str(body)[:60]!r}")
        equal(status, code, f"{method} {str(body)[:100]}: {str(got)[:300]}")
        equal(got["kind"], "Status")
        contains(got["message"], *texts)
    # Expressions that take forever elsewhere are in linear time here.
    equal(c.request("POST", crds, crd({"type": "string", "pattern": "^(a+)+$"}), JSON)[0], 201)
    bomb = {"apiVersion": "example.com/v1", "kind": "Bomb", "metadata": {"name": "b"}, "spec": "a" * 100_000 + "!"}
    wait_for("the kind", lambda: c.request("GET", "/apis/example.com/v1/namespaces/default/bombs")[0] == 200)
    expect(c, "POST", "/apis/example.com/v1/namespaces/default/bombs", bomb, 422, "Invalid", "should match")
    equal(c.request("DELETE", crds + "/bombs.example.com")[0], 200)


def processor_seconds(c):
    with open(f"/proc/{c.server_pid}/stat", encoding="utf-8") as f:
        return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")


def names_and_labels(c):
    for name in ("UPPER", "-a", "a_b", "a" * 254, "a..b", "é", "a/b"):
        expect(c, "POST", CM, cm(name), 422, "Invalid", "metadata.name", field="metadata.name")
    expect(c, "POST", CM, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}, 422, "Invalid", "name or generateName is required")
    bad = cm("labels")
    bad["metadata"]["labels"] = {"a b": "c", "ok": "x" * 64}
    expect(c, "POST", CM, bad, 422, "Invalid", "metadata.labels", field="metadata.labels")
    bad["metadata"] = {"name": "ann", "annotations": {"a": "x" * (257 * 1024)}}
    expect(c, "POST", CM, bad, 422, "Invalid", "metadata.annotations")
    expect(c, "POST", CM, {**cm("x"), "metadata": {"name": "x", "namespace": "other"}}, 400, "BadRequest",
           "the namespace of the provided object does not match the namespace sent on the request")


def field_causes(c):
    got = expect(c, "POST", "/apis/apps/v1/namespaces/default/deployments",
                 {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"},
                  "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "c"}}, "spec": {"containers": [
                      {"name": "A_b", "image": ""}]}}}}, 422, "Invalid", 'Deployment.apps "x" is invalid')
    fields = {x["field"] for x in got["details"]["causes"]}
    for f in ("spec.template.metadata.labels", "spec.template.spec.containers[0].name", "spec.template.spec.containers[0].image"):
        contains(fields, f)
    equal(got["details"]["kind"], "Deployment")
    equal(got["details"]["group"], "apps")
    expect(c, "POST", "/api/v1/namespaces/default/pods",
           {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"restartPolicy": "Sometimes", "containers": [
               {"name": "a", "image": "x", "resources": {"requests": {"cpu": "lots"}}}]}}, 400, "BadRequest", "quantities must match")


def conflicts(c):
    equal(c.request("POST", CM, cm("con"), JSON)[0], 201)
    expect(c, "POST", CM, cm("con"), 409, "AlreadyExists", 'configmaps "con" already exists')
    stale = cm("con", data={"a": "b"})
    stale["metadata"]["resourceVersion"] = "1"
    expect(c, "PUT", CM + "/con", stale, 409, "Conflict", "the object has been modified; please apply your changes to the latest version")
    expect(c, "DELETE", CM + "/con", {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "no"}}, 409, "Conflict")
    wrong = cm("other")
    expect(c, "PUT", CM + "/con", wrong, 400, "BadRequest", "the name of the object (other) does not match the name on the URL (con)")
    equal(c.request("DELETE", CM + "/con")[0], 200)


def unknown_things(c):
    expect(c, "GET", CM + "/nothing", None, 404, "NotFound", 'configmaps "nothing" not found')
    expect(c, "POST", "/api/v1/namespaces/nowhere/configmaps", cm("x"), 404, "NotFound", 'namespaces "nowhere" not found')
    expect(c, "POST", CM, {**cm("x"), "kind": "Pod"}, 400, "BadRequest")
    for path in ("/api/v1/wombats", "/apis/nothing.io/v1/x", "/apis/apps/v7/deployments"):
        status, body, _ = c.request("GET", path)
        equal(status, 404, path)
    status, body, _ = c.request("PUT", CM, cm("x"), JSON)
    equal(status, 405)
    status, body, _ = c.request("POST", "/api/v1/namespaces/default/configmaps/x/status", cm("x"), JSON)
    assert status in (404, 405), status


def media_types(c):
    expect(c, "POST", CM, "<x/>", 415, "UnsupportedMediaType", headers={"Content-Type": "application/xml"})
    expect(c, "PATCH", CM + "/kube-root-ca.crt", "{}", 415, "UnsupportedMediaType", headers={"Content-Type": "application/json"})
    expect(c, "GET", CM, None, 406, "NotAcceptable", headers={"Accept": "application/xml"})


def patches(c):
    equal(c.request("POST", CM, cm("pat", data={"a": "b"}), JSON)[0], 201)
    p = CM + "/pat"
    jp = {"Content-Type": "application/json-patch+json"}
    expect(c, "PATCH", p, '[{"op":"remove","path":"/data/zzz"}]', 422, "Invalid", headers=jp)
    expect(c, "PATCH", p, '[{"op":"test","path":"/data/a","value":"c"}]', 422, "Invalid", headers=jp)
    expect(c, "PATCH", p, '{"op":"remove"}', 400, "BadRequest", headers=jp)
    expect(c, "PATCH", p, "[1,2", 400, "BadRequest", headers={"Content-Type": "application/merge-patch+json"})
    expect(c, "PATCH", p, '{"data":{"a":3}}', 422, "Invalid", "cannot convert int64 to string", field="patch",
           headers={"Content-Type": "application/strategic-merge-patch+json"})
    expect(c, "PATCH", p, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: pat}", 422, "Invalid",
           "fieldManager", headers={"Content-Type": "application/apply-patch+yaml"})
    ops = "[" + ",".join(['{"op":"test","path":"/data/a","value":"b"}'] * 10001) + "]"
    expect(c, "PATCH", p, ops, 413, "RequestEntityTooLarge", headers=jp)
    equal(c.request("GET", p)[1]["data"], {"a": "b"})


def tables(c):
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    equal(c.request("GET", CM, None, table)[1]["kind"], "Table")
    expect(c, "GET", CM + "?includeObject=Some", None, 400, "BadRequest", "includeObject", headers=table)
    # a review is no object to show in a row
    expect(c, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
           {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}, 406, "NotAcceptable", headers={**JSON, **table})


def tokens(c):
    sa = "/api/v1/namespaces/default/serviceaccounts/default/token"
    expect(c, "POST", sa, {"spec": {"expirationSeconds": 5}}, 422, "Invalid", "may not specify a duration less than 10 minutes",
           field="spec.expirationSeconds")
    expect(c, "POST", sa, {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}}}, 404, "NotFound")
    foreign = {"Authorization": "Bearer eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJ4In0.AAAA"}
    status, body, _ = c.request("GET", CM, None, foreign, context=c.anonymous_context())
    equal((status, body["reason"]), (401, "Unauthorized"))


def selectors(c):
    for q in ("labelSelector=a%20b%20c", "labelSelector=a%3D%3D%3Db", "labelSelector=a%20in%20(", "labelSelector=%3Db"):
        expect(c, "GET", CM + "?" + q, None, 400, "BadRequest")
    expect(c, "GET", CM + "?fieldSelector=spec.nothing%3Dx", None, 400, "BadRequest", "is not a known field selector")
    expect(c, "GET", CM + "?continue=garbage", None, 400, "BadRequest", "continue")
    expect(c, "GET", CM + "?resourceVersion=abc", None, 400, "BadRequest")
    expect(c, "GET", CM + "?resourceVersion=99999999", None, 504, "Timeout", "Too large resource version")


def command_line(_c):
    """Whatever is typed ends with what can be typed; what was asked for is an answer, the rest an error."""
    for words, code, *texts in (
            ([], 0, "usage: caravel COMMAND", "  server ", "  store repair "),
            (["--help"], 0, "usage: caravel COMMAND"),
            (["help", "server"], 0, "usage: caravel server [flags]", "--https-listen-port"),
            (["server", "-h"], 0, "usage: caravel server [flags]", "--https-listen-port"),
            (["image", "import", "--help"], 0, "usage: caravel image import FILE"),
            (["help", "store"], 0, "  store check ", "  store repair "),
            (["store", "--help"], 0, "  store check "),
            (["version", "-h"], 0, "usage: caravel version\n"),
            (["version", "extra"], 1, "unexpected argument 'extra'; 'caravel help version' says"),
            (["help", "server"], 0, "-c, --config FILE", "/etc/caravel/config.yaml"),
            (["help", "sim"], 0, "      --scenario NAME ", "rollout", "      --log FILE "),
            (["sim", "--seed", "x"], 1, "caravel: --seed takes a number, not 'x'"),
            (["sim", "--seeds", "0"], 1, "from 1 to 1000000"),
            (["sim", "--scenario", "nope"], 1, "no scenario 'nope'; 'caravel help sim' lists them"),
            (["sim", "--seed"], 1, "--seed needs a value"),
            (["completion"], 1, "for which shell? 'caravel completion bash', zsh or fish"),
            (["completion", "sh"], 1, "for which shell?"),
            (["store"], 1, "'store' is several commands", "  store repair "),
            (["image"], 1, "  image import ", "  image demo "),
            (["store", "nope"], 1, "unknown command 'store nope'; 'caravel help store' lists them"),
            (["help", "nope"], 1, "unknown command 'nope'; 'caravel help' lists them"),
            (["nope"], 1, "unknown command 'nope'; 'caravel help' lists them"),
            (["server", "extra"], 1, "unexpected argument 'extra'; 'caravel help server' says"),
            (["store", "check", "--nope"], 1, "unknown flag '--nope'; 'caravel help store check' lists them"),
            (["store", "check", "a", "b"], 1, "one data directory at a time"),
            (["store", "check", "/usr"], 1, "'/usr' holds no database: name a server's data directory"),
            (["store", "repair", "/usr"], 1, "holds no database")):
        p = subprocess.run([CARAVEL, *words], capture_output=True, text=True, timeout=10)
        equal(p.returncode, code, repr(words))
        contains(p.stderr if code else p.stdout, *texts)
        equal(p.stdout if code else p.stderr, "", repr(words))


def completion(_c):
    """What a shell is told at <tab>: the same words as the help's."""
    def proposed(*words):
        return subprocess.run([CARAVEL, "complete", *words], capture_output=True, text=True, timeout=10, check=True).stdout.split()

    first = proposed("")
    for word in first:
        contains(subprocess.run([CARAVEL, "help"], capture_output=True, text=True, timeout=10, check=True).stdout, f"  {word} ")
    equal(sorted(first), sorted(set(first)))
    equal("complete" in first, False)
    equal(proposed("help", ""), first)
    equal(proposed("store", ""), ["check", "repair"])
    equal(proposed("help", "image", ""), ["import", "demo"])
    equal(proposed("image", "import", ""), [], "files are the shell's")
    equal(proposed("nope", ""), [])
    equal(proposed(), [])
    equal(proposed("image", "import", "--"), ["--help", "--data-dir", "--max-size", "--max-files", "--force"])
    equal(proposed("store", "check", "-"), ["--help"])
    equal(proposed("version", "--help", "-"), ["--help"])
    for name in ("server", "cleanup", "sim"):
        text = subprocess.run([CARAVEL, "help", name], capture_output=True, text=True, timeout=10, check=True).stdout
        equal(proposed(name, "--")[1:], re.findall(r"^  (?:-.,|   ) (--[a-z0-9-]+)", text, re.M), name)
    for shell in ("bash", "zsh", "fish"):
        script = subprocess.run([CARAVEL, "completion", shell], capture_output=True, text=True, timeout=10, check=True).stdout
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=script, text=True, timeout=10, check=True)
    typed = 'eval "$($1 completion bash)"; COMP_WORDS=("$1" store ch); COMP_CWORD=2; _caravel; echo "${COMPREPLY[@]}"'
    equal(subprocess.run(["bash", "-c", typed, "bash", CARAVEL], capture_output=True, text=True, timeout=10, check=True).stdout, "check\n")


def starts_that_fail(_c):
    """What cannot be started ends, with a word, also when half of it runs."""
    with tempfile.TemporaryDirectory(prefix="caravel-e2e-") as d:
        for flags, *texts in (
                (["--write-kubeconfig", "/proc/none/kc"], "/proc/none"),
                (["--write-kubeconfig", "/etc/hostname/kc"], "/etc/hostname"),
                (["--write-kubeconfig", d + "/kc", "--write-kubeconfig-mode", "9z"], "--write-kubeconfig-mode takes permissions", "'9z'")):
            for more in ([], ["--no-supervise"]):
                p = subprocess.run([CARAVEL, "server", "--data-dir", d + "/data", "--https-listen-port", "0", "--bind-address", "127.0.0.1",
                                    "--disable-agent", *flags, *more], capture_output=True, text=True, timeout=30)
                equal(p.returncode, 1, repr(flags))
                contains(p.stderr, "caravel: ", *texts)
        p = subprocess.run([CARAVEL, "server", "--data-dir", d + "/data", "--https-listen-port", "0", "--node-ip", "203.0.113.7"],
                           capture_output=True, text=True, timeout=30)
        equal(p.returncode, 1)
        contains(p.stderr, "--node-ip 203.0.113.7 is no address of this machine")


def raw_sockets(c):
    def send(data):
        with socket.create_connection(("127.0.0.1", c.port), timeout=10) as s:
            with c.context().wrap_socket(s, server_hostname="localhost") as t:
                t.sendall(data)
                try:
                    return t.recv(200).decode(errors="replace")
                except (ssl.SSLError, ConnectionError):
                    return ""
    contains(send(b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"), "400")
    contains(send(b"NONSENSE\r\n\r\n"), "400")
    contains(send(b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"), " 4")
    contains(send(b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 200000 + b"\r\n\r\n"), " 4")
    # plain HTTP on the TLS port must not hang or crash anything
    with socket.create_connection(("127.0.0.1", c.port), timeout=10) as s:
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        s.settimeout(5)
        try:
            s.recv(100)
        except OSError:
            pass
    equal(c.request("GET", "/readyz")[0], 200)


def it_still_works(c):
    equal(c.request("GET", "/readyz")[0], 200)
    equal(c.proc.poll(), None, "the server")


if __name__ == "__main__":
    need_tools()
    with Cluster() as cluster:
        # what the controllers put there does not count
        wait_for("the root CA", lambda: cluster.request("GET", CM + "/kube-root-ca.crt")[0] == 200)
        sys.exit(main([
            malformed_bodies, wrong_types, strict_fields, sizes, many_labels, bombs, names_and_labels, field_causes, conflicts, unknown_things,
            media_types, patches, tables, tokens, selectors, command_line, completion, starts_that_fail, raw_sockets, it_still_works,
        ], cluster))
