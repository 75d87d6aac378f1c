#!/usr/bin/env python3
"""Trust bundles and certificates in projected volumes, on one real node, with a signer in this program.

What upstream's suite asks of them (auth/projected_clustertrustbundle, auth/projected_podcertificate), and what becomes of
refusals and renewals.
"""
import base64
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

import lib
from lib import Failed, contains, equal, wait_for

DEMO = "docker.io/caravel/demo:1"
BUNDLES = "/apis/certificates.k8s.io/v1/clustertrustbundles"
REQUESTS = "/apis/certificates.k8s.io/v1/podcertificaterequests"
ONE = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests/"
MERGE = {"Content-Type": "application/merge-patch+json"}
PODS = "/api/v1/namespaces/default/pods"
BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n")
HOUR = 3600


def openssl(*args, stdin=None):
    p = subprocess.run(["openssl", *args], input=stdin, check=False, capture_output=True)
    if p.returncode:
        raise Failed(f"openssl {' '.join(args)}: {p.stderr.decode()}")
    return p.stdout


def anchor(c, name):
    """The certificate of a new authority; its key lies beside it."""
    at = os.path.join(c.dir, name)
    openssl("req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "10", "-keyout", at + ".key", "-out", at + ".pem", "-subj", "/CN=" + name,
            "-addext", "basicConstraints=critical,CA:TRUE")
    with open(at + ".pem", encoding="utf-8") as f:
        return f.read()


def ask(c, wanted, method, path, body=None, headers=None):
    status, answer, _ = c.request(method, path, body, headers)
    equal(status, wanted, answer)
    return answer if isinstance(answer, dict) else json.loads(answer)


def bundle(c, name, text, signer=None, **labels):
    spec = {"trustBundle": text, **({"signerName": signer} if signer else {})}
    ask(c, 201, "POST", BUNDLES, {"metadata": {"name": name, "labels": labels}, "spec": spec})


def pod(name, *sources, script="sleep 1000", containers=None, **spec):
    """Its projected volume is at /var/run/p."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "a", "image": DEMO, "command": ["sh", "-c", script], "volumeMounts": [
            {"name": "p", "mountPath": "/var/run/p"}, *(containers or [])]}],
        **spec, "volumes": [{"name": "p", "projected": {"sources": list(sources)}}, *spec.get("volumes", [])]}}


def start(c, body):
    ask(c, 201, "POST", PODS, body)


def run(c, body):
    start(c, body)
    wait_for("it to run", lambda: c.get("pod", body["metadata"]["name"])["status"]["phase"] == "Running", 60)


def shown(c, name, path):
    return c.kubectl("exec", name, "--", "cat", "/var/run/p/" + path)


def by_name(name, path="anchors.pem", **more):
    return {"clusterTrustBundle": {"name": name, "path": path, **more}}


def by_signer(signer, selector, path="anchors.pem", **more):
    source = {"signerName": signer, "path": path, **more}
    if selector is not None:
        source["labelSelector"] = selector
    return {"clusterTrustBundle": source}


def events_of(c, name, reason):
    return [e.get("message", "") for e in json.loads(c.kubectl("get", "events", "-o", "json"))["items"]
            if e["involvedObject"].get("name") == name and e["reason"] == reason]


# --- trust bundles ---

def one_bundle_by_name(c):
    one, two = anchor(c, "one"), anchor(c, "two")
    bundle(c, "test.own", "what stands between blocks\n" + one)
    run(c, pod("by-name", by_name("test.own"), by_name("test.none", "none.pem", optional=True)))
    equal(shown(c, "by-name", "anchors.pem"), one, "the block alone")
    equal(shown(c, "by-name", "none.pem"), "", "one that is not there, and need not")
    ask(c, 200, "PATCH", BUNDLES + "/test.own", {"spec": {"trustBundle": one + two}}, MERGE)
    wait_for("both", lambda: sorted(BLOCK.findall(shown(c, "by-name", "anchors.pem"))) == sorted([one, two]))
    bundle(c, "test.none", two)
    wait_for("what has come", lambda: shown(c, "by-name", "none.pem") == two)


def of_a_signer(c):
    signer, texts = "test.example/of-a-signer", {x: anchor(c, "s-" + x) for x in "abc"}
    for x, where in (("a", "here"), ("b", "here"), ("c", "there")):
        bundle(c, f"test.example:of-a-signer:{x}", texts[x], signer, where=where)
    bundle(c, "test.example:of-a-signer:again", texts["a"] + texts["b"], signer, where="here")
    bundle(c, "test.example:another:x", anchor(c, "s-x"), "test.example/another", where="here")
    run(c, pod("by-signer", by_signer(signer, {"matchLabels": {"where": "here"}}, "some.pem"), by_signer(signer, {}, "all.pem"),
               by_signer(signer, {"matchLabels": {"where": "nowhere"}}, "none.pem", optional=True),
               by_signer(signer, None, "nobody.pem", optional=True)))
    for path, wanted in (("some.pem", "ab"), ("all.pem", "abc"), ("none.pem", ""), ("nobody.pem", "")):
        equal(sorted(BLOCK.findall(shown(c, "by-signer", path))), sorted(texts[x] for x in wanted), path)


def many_bundles(c):
    texts = {f"test.many-{i}": anchor(c, f"many-{i}") for i in range(105)}
    for name, text in texts.items():
        bundle(c, name, text)
    run(c, pod("many", *(by_name(name, name + ".pem") for name in texts)))
    got = c.kubectl("exec", "many", "--", "sh", "-c", "cd /var/run/p; for f in *.pem; do echo $f; cat $f; done")
    equal(len(BLOCK.findall(got)), 105)
    for name, text in texts.items():
        contains(got, f"{name}.pem\n{text}")


def what_is_not_there_is_waited_for(c):
    waiting = {
        "no-such-bundle": (by_name("test.late"), "clustertrustbundle.certificates.k8s.io \"test.late\" not found"),
        "no-such-labels": (by_signer("test.example/late", {"matchLabels": {"x": "y"}}), "combination of signerName and labelSelector matched zero"),
        "no-selector": (by_signer("test.example/of-a-signer", None), "combination of signerName and labelSelector matched zero")}
    for name, (source, _) in waiting.items():
        start(c, pod(name, source))
    for name, (_, why) in waiting.items():
        wait_for("the event of " + name, lambda name=name, why=why: any(why in m for m in events_of(c, name, "FailedMount")), 60)
        equal(c.get("pod", name)["status"]["phase"], "Pending")
    text = anchor(c, "late")
    bundle(c, "test.late", text)
    wait_for("it to run", lambda: c.get("pod", "no-such-bundle")["status"]["phase"] == "Running", 60)
    equal(shown(c, "no-such-bundle", "anchors.pem"), text)


# --- certificates ---

def stamp(when, form="%Y-%m-%dT%H:%M:%SZ"):
    return time.strftime(form, time.gmtime(when))


class Signer(threading.Thread):
    """Answers the requests of its name: with a certificate of test.example's authority, or as `answer` says."""

    name_of_it = "test.example/spiffe"

    def __init__(self, c):
        super().__init__(daemon=True)
        self.c, self.ended, self.answered, self.failures, self.ca = c, threading.Event(), [], [], None
        self.since = 0  # how long ago what it issues began
        self.most = 10 ** 6  # answers that it gives
        with contextlib.suppress(FileNotFoundError):
            self.ca = lib.read_text(os.path.join(c.dir, "spiffe.pem"))
        self.ca = self.ca or anchor(c, "spiffe")

    def run(self):
        while not self.ended.wait(0.1):
            try:
                for r in ask(self.c, 200, "GET", REQUESTS)["items"]:
                    if not r.get("status", {}).get("conditions") and len(self.answered) < self.most:
                        self.decide(r)
            except (OSError, Failed, KeyError, ValueError) as e:
                self.failures.append(repr(e))

    def decide(self, r):
        signer = r["spec"]["signerName"]
        now = stamp(time.time())
        if signer == self.name_of_it:
            status = self.issued(r)
        elif signer in ("test.example/denies", "test.example/fails"):
            how = {"test.example/denies": "Denied", "test.example/fails": "Failed"}[signer]
            status = {"conditions": [{"type": how, "status": "True", "reason": "Test", "message": "not by me", "lastTransitionTime": now}]}
        else:
            return
        ask(self.c, 200, "PATCH", ONE + r["metadata"]["name"] + "/status", {"metadata": {"uid": r["metadata"]["uid"]}, "status": status}, MERGE)
        self.answered.append(r)

    def issued(self, r):
        spec, at = r["spec"], tempfile.mkdtemp(dir=self.c.dir)
        begin = int(time.time()) - self.since
        end = begin + spec["maxExpirationSeconds"]
        who = spec.get("unverifiedUserAnnotations", {}).get("test.example/spiffe-path", f"ns/{r['metadata']['namespace']}/sa/{spec['serviceAccountName']}")
        with open(at + "/index", "w", encoding="utf-8"):
            pass
        with open(at + "/ca.conf", "w", encoding="utf-8") as f:
            f.write(f"""[ca]
default_ca = d
[d]
database = {at}/index
new_certs_dir = {at}
rand_serial = yes
default_md = default
policy = p
[p]
commonName = optional
[x]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = URI:spiffe://test.example/{who},DNS:localhost
""")
        with open(at + "/csr.pem", "wb") as f:
            f.write(openssl("req", "-inform", "DER", "-outform", "PEM", stdin=base64.b64decode(spec["stubPKCS10Request"])))
        ca = os.path.join(self.c.dir, "spiffe")
        openssl("ca", "-batch", "-config", at + "/ca.conf", "-extensions", "x", "-notext", "-in", at + "/csr.pem", "-out", at + "/crt.pem",
                "-subj", "/CN=pod", "-cert", ca + ".pem", "-keyfile", ca + ".key", "-startdate", stamp(begin, "%Y%m%d%H%M%SZ"),
                "-enddate", stamp(end, "%Y%m%d%H%M%SZ"))
        with open(at + "/crt.pem", encoding="utf-8") as f:
            chain = f.read()
        return {"certificateChain": chain, "notBefore": stamp(begin), "notAfter": stamp(end), "beginRefreshAt": stamp(begin + (end - begin) * 2 // 3),
                "conditions": [{"type": "Issued", "status": "True", "reason": "OK", "message": "by a test", "lastTransitionTime": stamp(time.time())}]}


@contextlib.contextmanager
def signer_of(c):
    s = Signer(c)
    s.start()
    try:
        yield s
    finally:
        s.ended.set()
        s.join()
    equal(s.failures, [], "the signer's own")


def certificate(path="credentials.pem", signer=Signer.name_of_it, kind="ED25519", **more):
    return {"podCertificate": {"signerName": signer, "keyType": kind, "credentialBundlePath": path, **more}}


def life(text):
    """(seconds, text of it) of the first certificate."""
    said = openssl("x509", "-noout", "-startdate", "-enddate", "-ext", "subjectAltName", stdin=text.encode()).decode()
    begin, end = (time.mktime(time.strptime(re.search(f"{x}=(.*) GMT", said)[1], "%b %d %H:%M:%S %Y")) for x in ("notBefore", "notAfter"))
    return end - begin, said


def lives_of_certificates(c):
    with signer_of(c) as s:
        run(c, pod("day", certificate()))
        run(c, pod("hour", certificate(maxExpirationSeconds=HOUR)))
        equal([life(shown(c, x, "credentials.pem"))[0] for x in ("day", "hour")], [24 * HOUR, HOUR])
        contains(life(shown(c, "day", "credentials.pem"))[1], "URI:spiffe://test.example/ns/default/sa/default")
        for r in s.answered:  # all that is said of the pod is the pod's
            o = c.get("pod", r["spec"]["podName"])
            equal((r["spec"]["podUID"], r["spec"]["nodeName"], r["metadata"]["ownerReferences"][0]["uid"]),
                  (o["metadata"]["uid"], o["spec"]["nodeName"], o["metadata"]["uid"]))
    body = pod("short", certificate(maxExpirationSeconds=HOUR - 1))
    said = ask(c, 422, "POST", PODS, body)
    contains(said["message"], "maxExpirationSeconds", "3600")


def what_users_note_reaches_the_signer(c):
    with signer_of(c) as s:
        run(c, pod("noted", certificate(userAnnotations={"test.example/spiffe-path": "chosen/by/the/user"})))
        equal(s.answered[-1]["spec"]["unverifiedUserAnnotations"], {"test.example/spiffe-path": "chosen/by/the/user"})
    contains(life(shown(c, "noted", "credentials.pem"))[1], "URI:spiffe://test.example/chosen/by/the/user")


def kinds_of_keys_and_files(c):
    kinds = {"ED25519": "ED25519", "ECDSAP256": "prime256v1", "ECDSAP384": "secp384r1", "ECDSAP521": "secp521r1", "RSA3072": "3072 bit",
             "RSA4096": "4096 bit"}
    with signer_of(c):
        run(c, pod("kinds", *({"podCertificate": {"signerName": Signer.name_of_it, "keyType": k, "keyPath": k + ".key",
                                                  "certificateChainPath": k + ".crt"}} for k in kinds)))
    for k, word in kinds.items():
        key, crt = shown(c, "kinds", k + ".key"), shown(c, "kinds", k + ".crt")
        contains(key, "-----BEGIN PRIVATE KEY-----")
        contains(openssl("pkey", "-noout", "-text", stdin=key.encode()).decode(), word)
        equal(openssl("x509", "-noout", "-pubkey", stdin=crt.encode()), openssl("pkey", "-pubout", stdin=key.encode()), k)


HOST = "/usr/lib/x86_64-linux-gnu"
TLS = f"LD_LIBRARY_PATH=/host{HOST} /host{HOST}/ld-linux-x86-64.so.2 /host/usr/bin/openssl"


def two_pods_trust_each_other(c):
    """Both show theirs and ask for the other's; one without is not let in."""
    if not os.path.exists(HOST + "/ld-linux-x86-64.so.2"):
        raise lib.Skip("pods borrow this machine's openssl, which lies elsewhere")
    files = "-cert /var/run/p/credentials.pem -key /var/run/p/credentials.pem -CAfile /var/run/p/anchors.pem"
    borrowed = {"volumes": [{"name": "usr", "hostPath": {"path": "/usr"}}],
                "containers": [{"name": "usr", "mountPath": "/host/usr", "readOnly": True}]}
    with signer_of(c) as s:
        bundle(c, "test.example:spiffe:main", s.ca, Signer.name_of_it)
        sources = (certificate(), by_signer(Signer.name_of_it, {}))
        run(c, pod("tls-server", *sources, script=f"{TLS} s_server -accept 4433 -Verify 1 -verify_return_error -www {files}", **borrowed))
        run(c, pod("tls-client", *sources, **borrowed))
    ip = c.get("pod", "tls-server")["status"]["podIP"]

    def client(with_files):
        return c.run("exec", "tls-client", "--", "sh", "-c", f"(printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 1) | {TLS} s_client -quiet -verify_return_error "
                     f"-connect {ip}:4433 {with_files} 2>&1", check=False).text
    wait_for("the server's page", lambda: "HTTP/1.0 200" in client(files))
    equal("HTTP/1.0 200" in client("-CAfile /var/run/p/anchors.pem"), False, "one without a certificate")


def refusals_are_told(c):
    with signer_of(c):
        for how, word in (("denies", "Denied"), ("fails", "Failed")):
            start(c, pod(how, certificate(signer="test.example/" + how)))
            wait_for("the event", lambda how=how, word=word: any("not by me" in m for m in events_of(c, how, word)), 60)
            wait_for("why it does not start", lambda how=how: any("permanently" in m for m in events_of(c, how, "FailedMount")), 60)
            equal(c.get("pod", how)["status"]["phase"], "Pending")
        equal(len([r for r in ask(c, 200, "GET", REQUESTS)["items"] if r["spec"]["podName"] == "denies"]), 1, "it is not asked again")
    start(c, pod("unsigned", certificate(signer="test.example/nobody")))
    wait_for("why it does not start", lambda: any("credential bundle is not issued yet" in m for m in events_of(c, "unsigned", "FailedMount")), 60)


def what_is_taken_away_or_long_over(c):
    """A request that is taken away is made again; a certificate that began long ago is not taken from a signer."""
    with signer_of(c) as s:
        s.since, s.most = HOUR, 0
        start(c, pod("again", certificate()))

        def waiting():
            return [r for r in ask(c, 200, "GET", REQUESTS)["items"] if r["spec"]["podName"] == "again" and not r.get("status", {}).get("conditions")]
        asked = wait_for("a request", waiting)[0]
        said = ask(c, 422, "PATCH", ONE + asked["metadata"]["name"] + "/status", {"status": s.issued(asked)}, MERGE)
        contains(said["message"], "must be set to within 5 minutes of kube-apiserver's current time")
        s.since = 0
        ask(c, 200, "DELETE", ONE + asked["metadata"]["name"])
        wait_for("another request", lambda: [r for r in waiting() if r["metadata"]["name"] != asked["metadata"]["name"]])
        s.most = 10
        wait_for("it to run", lambda: c.get("pod", "again")["status"]["phase"] == "Running", 60)


def after_a_restart(c):
    """The key was in the memory of an agent that is no more: the pod runs on, and gets another."""
    first = shown(c, "day", "credentials.pem")
    restarts = c.get("pod", "day")["status"]["containerStatuses"][0]["restartCount"]
    c.stop()
    c.start()
    wait_for("it is seen", lambda: c.run("exec", "day", "--", "true", check=False).returncode == 0, 60)
    equal(shown(c, "day", "credentials.pem"), first, "until there is another")
    with signer_of(c):
        wait_for("another certificate", lambda: shown(c, "day", "credentials.pem") != first, 60)
    equal(c.get("pod", "day")["status"]["containerStatuses"][0]["restartCount"], restarts)


if __name__ == "__main__":
    lib.need_node()
    with lib.Cluster(agent=True) as cluster:
        STATUS = lib.main([one_bundle_by_name, of_a_signer, many_bundles, what_is_not_there_is_waited_for, lives_of_certificates,
                           what_users_note_reaches_the_signer, kinds_of_keys_and_files, two_pods_trust_each_other, refusals_are_told, what_is_taken_away_or_long_over,
                           after_a_restart], cluster)
    sys.exit(STATUS)
