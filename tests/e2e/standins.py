"""Images for applications whose own are not to be had: a registry that has any image there is, each one a stand-in.

What it is to listen on, and which programs of it are run, is read from the objects that name it; the registry then is a mirror for
all registries (hosts.toml), so that names, tags and pull policies stay what the manifests say."""
import gzip
import http.server
import io
import json
import os
import re
import subprocess
import tarfile
import threading
import urllib.parse

import registry
from lib import ROOT
from registry import MANIFEST, digest

TOOL = os.path.join(ROOT, "examples", "debian-image")
SHELL = re.compile(r"(^|/)(busybox|alpine|curl|wget)(:|$|@)")  # images that are run for their shell: they get a real one


def layer(files):
    """path: bytes, or the target of a link"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, what in sorted(files.items()):
            t = tarfile.TarInfo(path.lstrip("/"))
            t.mode = 0o755
            if isinstance(what, bytes):
                t.size = len(what)
                tar.addfile(t, io.BytesIO(what))
            else:
                t.type, t.linkname = tarfile.SYMTYPE, what
                tar.addfile(t)
    return out.getvalue()


def debian_layer(folder, *args):
    """What debian-image makes of that, without what is around it."""
    path = os.path.join(folder, "image.tar")
    subprocess.run([TOOL, *args, "docker.io/x/x:1", path, "--", "x"], check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(path) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
        return tar.extractfile(manifest[0]["Layers"][0]).read()


def python_layer(folder):
    python = os.path.basename(os.path.realpath("/usr/bin/python3"))
    return debian_layer(folder, "--package", f"{python}-minimal", "--package", f"lib{python}-minimal", "--package", f"lib{python}-stdlib",
                        "--without", "*/lib-dynload/*", "--without", "*/lib2to3/*", "--without", "*/pydoc_data/*",
                        "--file", os.path.join(ROOT, "tests", "e2e", "apps", "standin.py") + "=/standin.py",
                        "--program", "/bin/busybox")


def shell_layer(folder):
    base = debian_layer(folder, "--program", "/bin/busybox")
    applets = subprocess.run(["/bin/busybox", "--list"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return base, layer({f"usr/bin/{name}": "busybox" for name in applets if name != "busybox"})


def place(program):
    """Where a program is looked for; /bin is a link there."""
    return re.sub(r"^/(s?bin)/", r"/usr/\1/", program) if "/" in program else f"usr/bin/{program}"


def pod_specs(o):
    """Those of an object, wherever it has them: its own, or those of a template."""
    if isinstance(o, dict):
        if "containers" in o:
            yield o
        for v in o.values():
            yield from pod_specs(v)
    elif isinstance(o, list):
        for v in o:
            yield from pod_specs(v)


class Need:
    """What one image must be."""

    def __init__(self):
        self.ports, self.programs, self.checks, self.user, self.init = set(), set(), set(), "", True

    def take(self, spec, c, init):
        for p in c.get("ports", []):
            self.ports.add((p["containerPort"], p.get("protocol", "TCP").lower()))
        for probe in (c.get(k, {}) for k in ("readinessProbe", "livenessProbe", "startupProbe")):
            self.check(probe.get("exec"))
            for kind in ("tcpSocket", "httpGet", "grpc"):
                port = probe.get(kind, {}).get("port")
                if isinstance(port, int):
                    self.ports.add((port, "tcp"))
        for hook in c.get("lifecycle", {}).values():
            self.check(hook.get("exec"))
        if c.get("command"):
            (self.checks if init else self.programs).add(c["command"][0])
        self.init &= init  # whoever is nothing else ends at once
        contexts = (spec.get("securityContext", {}), c.get("securityContext", {}))
        if any(s.get("runAsNonRoot") for s in contexts) and not any("runAsUser" in s for s in contexts):
            self.user = "1000"

    def check(self, e):
        if e:
            self.checks.add(e["command"][0])


class Registry(http.server.ThreadingHTTPServer):
    """On all addresses, as nodes are in networks of their own. Nobody but they can name what it has."""
    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("", 0), Answer)
        self.blobs, self.needs, self.manifests, self.calls, self.asked = {}, {}, {}, {}, set()
        self.python = self.put(python_layer(folder))
        self.shell = [self.put(one) for one in shell_layer(folder)]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def hosts(self, folder, address):
        """The hosts.toml for containerd: all registries are at this address."""
        os.makedirs(os.path.join(folder, "_default"), exist_ok=True)
        with open(os.path.join(folder, "_default", "hosts.toml"), "w", encoding="utf-8") as f:
            url = f"http://{address}:{self.server_port}"
            f.write(f'server = "{url}"\n[host."{url}"]\n  capabilities = ["pull", "resolve"]\n')

    def put(self, content):
        """A blob of a layer, packed: (digest packed, size packed, digest)"""
        packed = gzip.compress(content, 1, mtime=0)
        self.blobs[digest(packed)] = packed
        return digest(packed), len(packed), digest(content)

    def learn(self, objects):
        """The images of these objects' pods."""
        for o in objects:
            for spec in pod_specs(o):
                for kind in ("initContainers", "containers"):
                    for c in spec.get(kind) or []:
                        self.needs.setdefault(name_of(c["image"]), Need()).take(spec, c, kind == "initContainers")

    def manifest(self, name):
        if name not in self.manifests and name in self.needs:
            need = self.needs[name]
            if SHELL.search(name):
                layers, config = self.shell, {"Cmd": ["sh"]}
            else:
                links = {place(p): b"#!/bin/busybox sh\nexec /usr/bin/python3* -I -S /standin.py run\n"
                         for p in need.programs}
                links.update({place(p): b"#!/bin/busybox true\n" for p in need.checks - need.programs})
                layers = [self.python, *([self.put(layer(links))] if links else [])]
                ports = " ".join(sorted(f"{p}/{kind}" for p, kind in need.ports))
                config = {"Entrypoint": ["/bin/busybox", "sh", "-c", f"exec /usr/bin/python3* -I -S /standin.py {'ok' if need.init else 'run'}"],
                          "Env": ["PATH=/usr/bin:/bin", "PYTHONHOME=/usr", "PORTS=" + ports, "CALLS=" + self.calls.get(name, "")],
                          "User": need.user}
            text = json.dumps({"architecture": "amd64", "os": "linux", "config": config,
                               "rootfs": {"type": "layers", "diff_ids": [one[2] for one in layers]}}).encode()
            self.blobs[digest(text)] = text
            kind = "application/vnd.oci.image."
            self.manifests[name] = json.dumps({
                "schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
                "config": {"mediaType": kind + "config.v1+json", "digest": digest(text), "size": len(text)},
                "layers": [{"mediaType": kind + "layer.v1.tar+gzip", "digest": d, "size": n} for d, n, _ in layers]}).encode()
        return self.manifests.get(name)


def name_of(image):
    """As the registry is asked: host/path:tag"""
    host, _, path = image.rpartition("/") if "/" not in image else image.partition("/") if re.search(
        r"[.:]|^localhost$", image.split("/")[0]) else ("docker.io", "/", image)
    host, path = host or "docker.io", path if "/" in image else "library/" + path
    return f"{host}/{path}" + ("" if ":" in path else ":latest")


class Answer(registry.Answer):
    protocol_version = "HTTP/1.1"

    def find(self):
        url = urllib.parse.urlsplit(self.path)
        m = re.match(r"^/v2/(.+)/(manifests|blobs)/(.+)$", url.path)
        if url.path == "/v2/":
            return b"", "text/plain"
        if m and m[2] == "manifests":
            name = f"{urllib.parse.parse_qs(url.query).get('ns', ['?'])[0]}/{m[1]}:{m[3]}"
            self.server.asked.add(name)
            body = next((b for b in self.server.manifests.values() if digest(b) == m[3]), None) or self.server.manifest(name)
            return body, MANIFEST
        return self.server.blobs.get(m[3]) if m else None, "application/octet-stream"
