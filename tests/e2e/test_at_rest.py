#!/usr/bin/env python3
"""What is on disk and what is noted: Secrets reach no file in the clear, whatever becomes of the server and of its keys,
and the audit log names who asked without a byte of what they hold."""
import base64
import glob
import json
import os
import subprocess
import sys

from lib import CARAVEL, Cluster, contains, equal, main, wait_for

SECRETS = "/api/v1/namespaces/default/secrets"
WORD = "a-word-that-is-nowhere-else"
PATCH = {"Content-Type": "application/merge-patch+json"}
KEYS = {name: base64.b64encode(bytes([i + 1] * 32)).decode() for i, name in enumerate(("one", "two"))}


def provider(cipher, *names):
    return {cipher: {"keys": [{"name": n, "secret": KEYS[n]} for n in names]}}


def configure(c, *providers, resources=("secrets",)):
    with open(c.dir + "/encryption.json", "w", encoding="utf-8") as f:
        json.dump({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
                   "resources": [{"resources": list(resources), "providers": list(providers)}]}, f)


def on_disk(c, *words):
    """Which of the words any file of the database has."""
    found = set()
    for path in glob.glob(c.dir + "/data/db/**", recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                text = f.read()
            found |= {w for w in words if w.encode() in text}
    return sorted(found)


def again(c, kill=False):
    if kill:
        serving = c.server_pid
        c.kill()
        wait_for("the end of the server", lambda: not os.path.exists(f"/proc/{serving}/fd/0"))
    else:
        c.stop()
    c.start()


def nothing_in_the_clear(c):
    encoded = base64.b64encode(WORD.encode()).decode()
    for i in range(50):
        equal(c.request("POST", SECRETS, {"metadata": {"name": f"s{i}"}, "stringData": {"k": WORD}})[0], 201)
    equal(c.request("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "m"}, "data": {"k": "in-the-clear"}})[0], 201)
    equal(on_disk(c, WORD, encoded, "in-the-clear", "k8s:enc:secretbox:v1:one:"),
          ["in-the-clear", "k8s:enc:secretbox:v1:one:"])
    again(c, kill=True)  # what the log had, tables have now
    again(c)
    equal(on_disk(c, WORD, encoded), [])
    equal(c.request("GET", SECRETS + "/s7")[1]["data"]["k"], encoded)


def keys_are_rotated_as_documented(c):
    configure(c, provider("aesgcm", "two"), provider("secretbox", "one"))
    again(c)
    for i in range(50):  # nothing changes, and all of it is written anew
        equal(c.request("PATCH", f"{SECRETS}/s{i}", {}, PATCH)[0], 200)
    others = [s["metadata"] for s in c.request("GET", "/api/v1/secrets")[1]["items"]]
    for m in others:
        equal(c.request("PATCH", f"/api/v1/namespaces/{m['namespace']}/secrets/{m['name']}", {}, PATCH)[0], 200)
    configure(c, provider("aesgcm", "two"))
    again(c)
    contains(c.request("GET", SECRETS)[1]["items"][0]["data"]["k"], base64.b64encode(WORD.encode()).decode())
    equal(c.request("GET", SECRETS)[2]["Warning"], None)


def without_its_key_it_is_set_aside(c):
    configure(c, provider("aescbc", "two"))
    again(c)
    status, answer, _ = c.request("GET", SECRETS + "/s0")
    equal((status, answer["reason"]), (500, "InternalError"))
    contains(answer["message"], "unable to transform key \"/registry/secrets/default/s0\": ")
    status, answer, _ = c.request("GET", SECRETS)  # nothing is said to be gone
    equal((status, answer["reason"]), (500, "InternalError"))
    contains(answer["message"], "unable to transform key \"/registry/secrets/default/s0\": ")
    equal(c.request("GET", "/readyz")[0], 200)
    equal(c.request("GET", "/api/v1/namespaces/default/configmaps/m")[0], 200)
    configure(c, provider("aescbc", "two"), provider("aesgcm", "two"))
    again(c)
    equal(c.request("GET", SECRETS + "/s0")[0], 200)


def a_bad_file_ends_the_start(c):
    configure(c, {"kms": {"name": "x", "apiVersion": "v1"}})
    c.stop()
    c.start(wait=False)
    c.wait_end()
    contains(c.tail(), "--encryption-provider-config", "resources[0].providers[0].kms")
    configure(c, provider("aescbc", "two"), provider("aesgcm", "two"))
    c.start()


def check_needs_no_key(c):
    c.stop()
    r = subprocess.run([CARAVEL, "store", "check", c.dir + "/data/db"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       check=False)
    equal(r.returncode, 0, r.stdout)
    equal([w for w in (WORD, KEYS["two"]) if w in r.stdout], [])
    c.start()


def events_name_who_and_no_secret(c):
    status, _, headers = c.request("POST", SECRETS, {"metadata": {"name": "noted"}, "stringData": {"k": WORD}},
                                   {"Audit-ID": "mine-0001"})
    equal((status, headers["Audit-ID"]), (201, "mine-0001"))
    with open(c.dir + "/audit.log", encoding="utf-8") as f:
        text = f.read()
    events = [json.loads(line) for line in text.splitlines()]
    mine = [e for e in events if e["auditID"] == "mine-0001"]
    equal([e["stage"] for e in mine], ["RequestReceived", "ResponseComplete"])
    last = mine[-1]
    equal((last["verb"], last["objectRef"]["name"], last["responseStatus"]["code"], last["sourceIPs"], last["level"]),
          ("create", "noted", 201, ["127.0.0.1"], "Metadata"))
    equal(last["annotations"]["authorization.k8s.io/decision"], "allow")
    equal([w for w in (WORD, base64.b64encode(WORD.encode()).decode()) if w in text], [])
    contains(c.request("GET", "/metrics")[1], 'apiserver_audit_level_total{level="Metadata"}')
    conn = c.connect()
    conn.request("GET", SECRETS + "?watch=1&timeoutSeconds=1", headers={"Audit-ID": "watch-1"})
    conn.getresponse().read()
    conn.close()

    def stages():
        with open(c.dir + "/audit.log", encoding="utf-8") as f:
            return [e["stage"] for e in map(json.loads, f) if e["auditID"] == "watch-1"]
    wait_for("the end of the watch in the log",
             lambda: stages() == ["RequestReceived", "ResponseStarted", "ResponseComplete"])


if __name__ == "__main__":
    cluster = Cluster()
    cluster.args += ["--disable-scheduler", "--disable-controller-manager", "--encryption-provider-config",
                     cluster.dir + "/encryption.json", "--audit-policy-file", cluster.dir + "/policy.json",
                     "--audit-log-path", cluster.dir + "/audit.log"]
    configure(cluster, provider("secretbox", "one"))
    with open(cluster.dir + "/policy.json", "w", encoding="utf-8") as p:
        json.dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}, p)
    with cluster:
        status = main([nothing_in_the_clear, keys_are_rotated_as_documented, without_its_key_it_is_set_aside,
                       a_bad_file_ends_the_start, check_needs_no_key,
                       events_name_who_and_no_secret], cluster)
    sys.exit(status)
