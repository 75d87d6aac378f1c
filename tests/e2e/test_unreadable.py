#!/usr/bin/env python3
"""Stored objects that cannot be read: the server starts, says which they are, hands out all others, and removes them for
who insists and may."""
import glob
import json
import os
import struct
import sys

from lib import Cluster, Failed, contains, equal, main, need_tools, wait_for

UNSAFE = {"kind": "DeleteOptions", "apiVersion": "v1", "ignoreStoreReadErrorWithClusterBreakingPotential": True}
SECRETS = "/api/v1/namespaces/team/secrets"
KEY = "/registry/secrets/team/x"
BLOCK = 4096  # the log's format: src/store/disk/wal.h
GROUP, RECORD = struct.Struct("<IIQQQQII16x"), struct.Struct("<QQQIIII")
SUMS = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    SUMS.append(byte)


def crc32c(crc, data):
    crc ^= 0xFFFFFFFF
    for b in data:
        crc = SUMS[(crc ^ b) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def spoil_record(payload, at, change):
    """Changes the value of the record at that place of a group; its checksum is right again."""
    *head, key_n, value_n, flags, _ = RECORD.unpack_from(payload, at)
    body = at + RECORD.size
    value = bytes(payload[body + key_n:body + key_n + value_n])
    fresh = change(value)
    equal(len(fresh), value_n, "the length of a spoilt value")
    payload[body + key_n:body + key_n + value_n] = fresh
    plain = RECORD.pack(*head, key_n, value_n, flags, 0)
    crc = crc32c(crc32c(0, payload[body:body + key_n + value_n]), plain)
    RECORD.pack_into(payload, at, *head, key_n, value_n, flags, crc)


def spoil(c, changes):
    """Changes stored values in the log of a server that was killed: {key: function of the value}. As a disk that lies
    with a right checksum does, or another program."""
    left = dict(changes)
    for path in glob.glob(c.dir + "/data/db/wal.[0-9]"):
        with open(path, "r+b") as f:
            data = f.read()
            for off in range(BLOCK, len(data), BLOCK):
                magic, _, seq, salt, number, first_rev, count, n = GROUP.unpack_from(data, off)
                if magic != 0x47565243 or off + GROUP.size + n > len(data):
                    continue
                payload, at, changed = bytearray(data[off + GROUP.size:off + GROUP.size + n]), 0, False
                while at + RECORD.size <= n:
                    key_n, value_n = struct.unpack_from("<II", payload, at + 24)
                    key = bytes(payload[at + RECORD.size:at + RECORD.size + key_n]).decode(errors="replace")
                    if key in changes and value_n:
                        spoil_record(payload, at, changes[key])
                        left.pop(key, None)
                        changed = True
                    at += RECORD.size + key_n + value_n + 7 & ~7
                if changed:
                    plain = GROUP.pack(magic, 0, seq, salt, number, first_rev, count, n)
                    crc = crc32c(crc32c(crc32c(0, struct.pack("<Q", salt)), plain), payload)
                    f.seek(off)
                    f.write(GROUP.pack(magic, crc, seq, salt, number, first_rev, count, n) + payload)
    equal(left, {}, "keys that are not in the log")


def first_byte(value):
    return bytes([value[0] ^ 1]) + value[1:]


def another_name(value):
    return value.replace(b'"name":"x"', b'"name":"y"')


def junk(value):
    return b"\xff" * len(value)


def make(c, path, name, **more):
    status, answer, _ = c.request("POST", path, {"metadata": {"name": name}, **more})
    equal(status, 201, json.dumps(answer))
    return answer


def spoilt(c, changes):
    """The server again, after the values were changed while it was away."""
    serving = c.server_pid
    c.kill()
    wait_for("the end of the server", lambda: not os.path.exists(f"/proc/{serving}/fd/0"))
    spoil(c, changes)
    c.start()


def as_token(c, method, path, token, body):
    return c.request(method, path, body, {"Authorization": "Bearer " + token}, context=c.anonymous_context())


def said_everywhere(c):
    make(c, "/api/v1/namespaces", "team")
    for change in (first_byte, another_name, junk):
        for name in ("good", "x"):
            make(c, SECRETS, name, data={"k": "dg=="})
        before = c.request("GET", SECRETS)[1]["metadata"]["resourceVersion"]
        spoilt(c, {KEY: change})
        why = f"the stored object {KEY} cannot be read and is set aside"
        for method, path, body in (("GET", SECRETS + "/x", None), ("PUT", SECRETS + "/x", {"metadata": {"name": "x"}}),
                                   ("DELETE", SECRETS + "/x", None)):
            status, answer, _ = c.request(method, path, body)
            equal((status, answer["reason"]), (500, "InternalError"), f"{method} {path}")
            contains(answer["message"], why)
        status, answer, _ = c.request("POST", SECRETS, {"metadata": {"name": "x"}})
        equal((status, answer["reason"]), (409, "AlreadyExists"))
        contains(answer["message"], KEY)
        status, answer, headers = c.request("GET", SECRETS)
        equal((status, [i["metadata"]["name"] for i in answer["items"]]), (200, ["good"]))
        contains(headers["Warning"], "1 stored object is set aside and missing from this list: " + KEY)
        r = c.run("get", "secrets", "-n", "team", "-o", "name")
        equal(r.text.split(), ["secret/good"])
        contains(r.errors, "Warning: 1 stored object is set aside", KEY)
        r = c.run("get", "secret", "x", "-n", "team", check=False)
        equal(r.returncode, 1)
        contains(r.errors, "Error from server", why)
        # A watch goes on from what the list said, and is told of the others.
        conn = c.connect()
        conn.request("GET", f"{SECRETS}?watch=1&resourceVersion={before}&timeoutSeconds=20")
        stream = conn.getresponse()
        equal(stream.status, 200)
        equal(c.request("PATCH", SECRETS + "/good", {"data": {"k": "dw=="}},
                        {"Content-Type": "application/merge-patch+json"})[0], 200)
        seen = []
        while not seen or seen[-1] != ("MODIFIED", "good"):
            event = json.loads(stream.readline())
            seen.append((event["type"], event["object"]["metadata"].get("name")))
        equal([e for e in seen if e[1] != "good"], [], "events of what cannot be read")
        conn.close()
        contains(c.request("GET", "/readyz?verbose=true")[1], f"set-aside ok: {KEY} cannot be read and is left alone")
        equal(c.request("GET", "/readyz")[0], 200)
        contains(c.tail(400), KEY)
        equal(c.request("DELETE", SECRETS + "/x", UNSAFE)[0], 200)
        equal(c.request("GET", SECRETS + "/x")[0], 404)
        equal(c.request("GET", SECRETS)[2]["Warning"], None)
        c.stop()
        c.start()  # it is gone for good
        equal(c.request("GET", SECRETS + "/x")[0], 404)
        equal(c.request("DELETE", SECRETS + "/good")[0], 200)


def removed_by_who_may(c):
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/team/"
    make(c, "/api/v1/namespaces/team/serviceaccounts", "robot")
    token = c.request("POST", "/api/v1/namespaces/team/serviceaccounts/robot/token", {"spec": {}})[1]["status"]["token"]
    make(c, rbac + "roles", "robot", rules=[{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "delete"]}])
    make(c, rbac + "rolebindings", "robot", roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "robot"},
         subjects=[{"kind": "ServiceAccount", "name": "robot", "namespace": "team"}])
    for name in ("good", "x"):
        make(c, SECRETS, name)
    spoilt(c, {KEY: junk})
    status, answer, _ = as_token(c, "DELETE", SECRETS + "/x", token, UNSAFE)
    equal((status, answer["reason"]), (403, "Forbidden"))
    contains(answer["message"], 'not permitted to do "unsafe-delete-ignore-read-errors"')
    equal(c.request("GET", SECRETS + "/x")[0], 500)
    equal(c.request("DELETE", SECRETS + "/good", UNSAFE)[0], 422)  # it can be read
    equal(c.request("PATCH", rbac + "roles/robot", {"rules": [{
        "apiGroups": [""], "resources": ["secrets"], "verbs": ["delete", "unsafe-delete-ignore-read-errors"]}]},
        {"Content-Type": "application/merge-patch+json"})[0], 200)
    equal(wait_for("the right to delete", lambda: as_token(c, "DELETE", SECRETS + "/x", token, UNSAFE)[0] == 200), True)
    make(c, SECRETS, "x")
    equal(c.request("DELETE", SECRETS + "/x")[0], 200)
    equal(c.request("DELETE", SECRETS + "/good")[0], 200)


def a_namespace_says_what_holds_it(c):
    make(c, "/api/v1/namespaces", "going")
    make(c, "/api/v1/namespaces/going/configmaps", "x")
    make(c, "/api/v1/namespaces/going/secrets", "s")
    spoilt(c, {"/registry/configmaps/going/x": junk, "/registry/secrets/going/s": junk})
    equal(c.request("DELETE", "/api/v1/namespaces/going")[0], 200)

    def conditions():
        status, answer, _ = c.request("GET", "/api/v1/namespaces/going")
        if status != 200:
            raise Failed(f"the namespace: {status} {answer}")
        return {i["type"]: i for i in answer["status"].get("conditions", [])}

    wait_for("its conditions", lambda: conditions().get("NamespaceContentRemaining", {}).get("status") == "True")
    contains(conditions()["NamespaceContentRemaining"]["message"], "configmaps. has 1 resource instances",
             "secrets. has 1 resource instances")
    contains(conditions()["NamespaceDeletionContentFailure"]["message"], "set aside")
    for path in ("configmaps/x", "secrets/s"):
        equal(c.request("DELETE", "/api/v1/namespaces/going/" + path, UNSAFE)[0], 200)
    wait_for("the end of the namespace", lambda: c.request("GET", "/api/v1/namespaces/going")[0] == 404, 60)


if __name__ == "__main__":
    need_tools()
    with Cluster() as cluster:
        status = main([said_everywhere, removed_by_who_may, a_namespace_says_what_holds_it], cluster)
    sys.exit(status)
