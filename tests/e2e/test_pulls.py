#!/usr/bin/env python3
"""Images from a registry that means no good: a layer that unpacks to more than the disk holds does not fill it."""
import gzip
import http.server
import io
import json
import os
import subprocess
import sys
import tarfile
import threading

from lib import CARAVEL, Cluster, contains, equal, main, need_node, wait_for
from registry import MANIFEST, Answer, digest

DISK_MIB = 3000
BOMB_MIB = 8 * 1024


def bomb():
    """A gzip layer of one file of zeros: members of a gzip stream may be repeated."""
    head = tarfile.TarInfo("zeros")
    head.size = BOMB_MIB << 20
    part = gzip.compress(bytes(16 << 20), 9)
    out = io.BytesIO()
    out.write(gzip.compress(head.tobuf(tarfile.GNU_FORMAT)))
    for _ in range(BOMB_MIB // 16):
        out.write(part)
    out.write(gzip.compress(bytes(1024)))
    return out.getvalue()


class Registry(Answer):
    """Of one image."""
    blobs, manifest = {}, b""

    def find(self):
        if self.path == "/v2/":
            return b"", "application/octet-stream"
        if "/manifests/" in self.path:
            return self.manifest, MANIFEST
        return self.blobs.get(self.path.rsplit("/", 1)[-1]), "application/octet-stream"


def serve_bomb():
    layer = bomb()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}}).encode()

    def part(kind, b):
        Registry.blobs[digest(b)] = b
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(b), "size": len(b)}

    Registry.manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                                    "config": part("config.v1+json", config),
                                    "layers": [part("layer.v1.tar+gzip", layer)]}).encode()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def a_bomb_does_not_fill_the_disk(c):
    image = f"127.0.0.1:{c.registry.server_port}/bomb:1"
    least = [DISK_MIB]
    over = threading.Event()

    def look():
        while not over.wait(0.02):
            s = os.statvfs(c.dir + "/data")
            least[0] = min(least[0], s.f_bavail * s.f_frsize >> 20)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        c.kubectl("run", "bomb", "--image", image, "--restart=Never")

        def refused():
            events = c.kubectl("get", "events", "--field-selector=involvedObject.name=bomb", "-o", "jsonpath={..message}")
            return events if "are to stay so" in events else None
        contains(wait_for("the pull to be given up", refused, timeout=120), "Failed to pull image", "MiB are free below")
    finally:
        over.set()
        thread.join()
    print(f"# {least[0]} of {DISK_MIB} MiB were free at worst")
    equal(least[0] > 0, True, "the disk was full")
    equal(c.request("GET", "/readyz")[0], 200)
    c.kubectl("delete", "pod", "bomb", "--timeout=60s")
    # What came of it is the runtime's to remove.
    wait_for("the room to come back", lambda: os.statvfs(c.dir + "/data").f_bavail * 4096 >> 20 > DISK_MIB // 2, timeout=120)


if __name__ == "__main__":
    need_node()
    cluster = Cluster(agent=True)
    data = cluster.dir + "/data"
    os.mkdir(data)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "pulls-test", data], check=True)
    try:
        cluster.registry = serve_bomb()
        cluster.start()
        STATUS = main([a_bomb_does_not_fill_the_disk], cluster)
    finally:
        cluster.stop()
        subprocess.run([CARAVEL, "cleanup", "--stop", "--data-dir", data], check=False, timeout=120, stdout=subprocess.DEVNULL)
        subprocess.run(["umount", data], check=True)
        cluster.cleanup()
    sys.exit(STATUS)
