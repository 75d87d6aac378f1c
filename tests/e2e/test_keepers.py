#!/usr/bin/env python3
"""Programs of somebody else's that keep keys, in another language and by another's gRPC (@grpc/grpc-js): one that seals
what is stored (KMS v2), one that signs tokens (ExternalJWTSigner). They die, hang, lie, rotate and say too much."""
import base64
import glob
import json
import os
import subprocess
import sys

import test_js
from lib import Cluster, contains, equal, main, wait_for

SECRETS = "/api/v1/namespaces/default/secrets"
TOKENS = "/api/v1/namespaces/default/serviceaccounts/default/token"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
PATCH = {"Content-Type": "application/merge-patch+json"}
WORD = base64.b64encode(b"a-word-that-is-nowhere-else").decode()


class Keeper:
    def __init__(self, path):
        self.path = path
        self.proc = None

    def start(self):
        if os.path.exists(self.path):
            os.unlink(self.path)
        self.proc = subprocess.Popen(["node", os.path.join(test_js.INSTALLED, "keeper.mjs"), self.path], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)
        equal(self.proc.stdout.readline(), "ok\n", "the program's first word")

    def say(self, **what):
        self.proc.stdin.write(json.dumps(what) + "\n")
        self.proc.stdin.flush()
        equal(self.proc.stdout.readline(), "ok\n")

    def kill(self):
        self.proc.kill()
        self.proc.wait()


def again(c, kill=False):
    """Another server, which need not be ready: a program that is not well keeps it from that."""
    if kill:
        serving = c.server_pid
        c.kill()
        wait_for("the end of the server", lambda: not os.path.exists(f"/proc/{serving}/fd/0"))
    else:
        c.stop()
    c.start(wait=False)
    wait_for("the server", lambda: os.path.exists(c.kubeconfig) and c.request("GET", "/version")[0] == 200)


def keeps(c):
    return c.request("GET", "/livez/kms-provider-0")


def stored(c, word):
    """Whether any file of the database has it."""
    for path in glob.glob(c.dir + "/data/db/**", recursive=True):
        if os.path.isfile(path):
            with open(path, "rb") as f:
                if word.encode() in f.read():
                    return True
    return False


# --- a server that cannot have its keys ---

def no_signer_no_server(c, k):
    """Whoever cannot check tokens does not serve, and says why; one that says nothing of use is none."""
    for how, why in ({"fail": "out of order"}, "rpc error: code = Unknown desc = out of order"), ({"big": True}, "too large"), (
            {"offer": []}, "found no keys"):
        k.say(signer={"fail": "", "big": False, "offer": ["s1"], **how})
        c.start(wait=False)
        equal(c.wait_end(60) != 0, True, "it has ended with an error")
        contains(c.tail(5), "external-jwt-signer", why)
    k.say(signer={"fail": "", "big": False, "offer": ["s1"]})
    c.start()


# --- tokens ---

def token(c, status=201):
    code, doc, _ = c.request("POST", TOKENS, {"spec": {}})
    equal(code, status, doc)
    return doc["status"]["token"] if code == 201 else doc["message"]


def known(c, t):
    return c.request("POST", REVIEWS, {"spec": {"token": t}})[1]["status"].get("authenticated", False)


def refused_tokens(c, k):
    equal(known(c, "a.b.c"), False)
    k.say(signer={"header": {"alg": "none", "kid": "s1", "typ": "JWT"}})
    contains(token(c, 500), 'while validating header: bad signing algorithm "none"')
    k.say(signer={"header": None, "fail": "no more"})
    contains(token(c, 500), "failed to generate token: while signing jwt: rpc error: code = Unknown desc = no more")
    k.say(signer={"fail": "", "big": True})
    contains(token(c, 500), "too large")
    k.say(signer={"big": False})
    # The program signs by a key that it does not offer: nobody takes that.
    k.say(signer={"sign": "s9"})
    equal(known(c, token(c)), False)
    k.say(signer={"sign": "s1"})


def signed_tokens(c, k):
    t = token(c)
    header = json.loads(base64.urlsafe_b64decode(t.split(".")[0] + "=="))
    equal(header, {"alg": "RS256", "kid": "s1", "typ": "JWT"})
    equal(known(c, t), True)
    k.say(signer={"sign": "s2", "offer": ["s1", "s2"]})
    second = token(c)
    equal((known(c, t), known(c, second)), (True, True))
    k.say(signer={"hide": ["s1"]})
    again(c)
    equal([key["kid"] for key in c.request("GET", "/openid/v1/jwks")[1]["keys"]], ["s2"])
    equal((known(c, t), known(c, second)), (True, True))
    contains(c.request("GET", "/metrics")[1], 'apiserver_externaljwt_fetch_keys_request_total{code="OK"}')


# --- what is stored ---

def sealed(c, k):
    equal(c.request("POST", SECRETS, {"metadata": {"name": "one"}, "data": {"k": WORD}})[0], 201)
    equal(c.request("GET", SECRETS + "/one")[1]["data"]["k"], WORD)
    equal((stored(c, "k8s:enc:kms:v2:keeper:"), stored(c, WORD)), (True, False))


def ill_at_the_start(c, k):
    """It lies, hangs, says too much or is not well: what is named is not written, all else is; then it is well."""
    for how in {"lie": "another"}, {"hang": True}, {"big": True}, {"health": "tired"}, {"fail": "out of order"}:
        k.say(kms={"lie": None, "hang": False, "big": False, "health": "ok", "fail": "", **how})
        again(c)
        equal(c.request("POST", SECRETS, {"metadata": {"name": "never"}, "data": {"k": WORD}})[0], 500, how)
        equal(c.request("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"generateName": "m-"}})[0], 201, how)
        equal(keeps(c)[0], 500, how)
    k.say(kms={"fail": ""})
    wait_for("the program to be well", lambda: keeps(c)[0] == 200, timeout=40)
    equal(c.request("POST", SECRETS, {"metadata": {"name": "young"}, "data": {"k": WORD}})[0], 201)
    again(c)  # what could not be read is set aside until then
    equal(c.request("GET", SECRETS + "/one")[1]["data"]["k"], WORD)
    equal(c.request("GET", SECRETS + "/never")[0], 404)


def another_key(c, k):
    """A rotation, and a server that ends in it: what is old is read, what is written anew is of the new key."""
    k.say(kms={"key": "k2"})
    again(c, kill=True)
    wait_for("the program to be well", lambda: keeps(c)[0] == 200, timeout=40)
    before = c.request("GET", SECRETS + "/one")[1]["metadata"]["resourceVersion"]
    after = c.request("PATCH", SECRETS + "/one", {}, headers=PATCH)[1]["metadata"]["resourceVersion"]
    equal(before != after, True, "it is written anew")
    equal(c.request("PATCH", SECRETS + "/one", {}, headers=PATCH)[1]["metadata"]["resourceVersion"], after)


def dead(c, k):
    """It dies: what is known is read and written on. A server that starts without it serves all else, and all when it is
    back."""
    k.kill()
    equal(c.request("GET", SECRETS + "/one")[1]["data"]["k"], WORD)
    equal(c.request("POST", SECRETS, {"metadata": {"name": "two"}, "data": {"k": WORD}})[0], 201)
    again(c)
    equal(c.request("GET", SECRETS + "/two")[0] != 200, True, "nobody can open it")
    k.start()
    k.say(kms={"key": "k2"})
    wait_for("the program to be well", lambda: keeps(c)[0] == 200, timeout=40)
    again(c)
    equal(c.request("GET", SECRETS + "/two")[1]["data"]["k"], WORD)


if __name__ == "__main__":
    why = test_js.install()
    if why:
        print("1..0 # SKIP " + why)
        sys.exit(77)
    one = Cluster()
    signs = Keeper(one.dir + "/signer.sock")
    signs.start()
    one.args += ["--disable-scheduler", "--service-account-signing-endpoint", signs.path]
    status = 0
    try:
        status |= main([no_signer_no_server, refused_tokens, signed_tokens], one, signs)
    finally:
        one.cleanup()
        signs.kill()
    two = Cluster()
    seals = Keeper(two.dir + "/kms.sock")
    seals.start()
    with open(two.dir + "/encryption.json", "w", encoding="utf-8") as config:
        json.dump({"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [
            {"resources": ["secrets"], "providers": [{"kms": {"apiVersion": "v2", "name": "keeper", "endpoint": f"unix://{seals.path}"}}]}]},
            config)
    two.args += ["--disable-scheduler", "--encryption-provider-config", two.dir + "/encryption.json"]
    try:
        with two:
            status |= main([sealed, ill_at_the_start, another_key, dead], two, seals)
    finally:
        seals.kill()
    sys.exit(status)
