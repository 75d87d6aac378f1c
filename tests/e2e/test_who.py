"""Who may say who asks, over real connections: front proxies and further CAs of clients, issuers of service account tokens
as others check them, and constrained impersonation with kubectl. What is refused comes first."""
import json
import shutil
import ssl
import subprocess
import sys

from lib import Cluster, contains, equal, main, need_tools, wait_for

WHOAMI = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
CONFIG = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def make_ca(at, name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{at}/{name}.key",
            "-out", f"{at}/{name}.crt", "-days", "30", "-subj", f"/CN={name}")


def make_cert(at, name, subject, ca, usage="clientAuth"):
    """A subject may say k8sUID=: Kubernetes' RDN for it."""
    with open(f"{at}/{name}.ext", "w", encoding="utf-8") as f:
        f.write("oid_section=oids\n[oids]\nk8sUID=1.3.6.1.4.1.57683.2\n[req]\ndistinguished_name=dn\n[dn]\n[x]\n"
                f"extendedKeyUsage={usage}\n")
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{at}/{name}.key",
            "-out", f"{at}/{name}.csr", "-subj", subject, "-config", f"{at}/{name}.ext")
    openssl("x509", "-req", "-in", f"{at}/{name}.csr", "-CA", f"{at}/{ca}.crt", "-CAkey", f"{at}/{ca}.key", "-CAcreateserial",
            "-out", f"{at}/{name}.crt", "-days", "20", "-extfile", f"{at}/{name}.ext", "-extensions", "x")


def by(c, name):
    """A TLS context that shows that certificate; of None, none."""
    c.context()
    tls = ssl.create_default_context(cadata=c.ca.decode())
    if name:
        tls.load_cert_chain(f"{c.dir}/{name}.crt", f"{c.dir}/{name}.key")
    return tls


def who(c, name, **headers):
    """(status, user name, groups) by that certificate and these headers."""
    code, doc, _ = c.request("POST", WHOAMI, {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"},
                             {k.replace("_", "-"): v for k, v in headers.items()}, by(c, name))
    user = doc.get("status", {}).get("userInfo", {}) if code == 201 else {}
    return code, user.get("username"), user.get("groups", [])


SAYS = {"X_Remote_User": "ann", "X_Remote_Group": "system:masters"}


def info(c, name):
    code, doc, _ = c.request("POST", WHOAMI, {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}, {}, by(c, name))
    return code, doc["status"]["userInfo"] if code == 201 else {}


def a_certificate_is_known_again(c):
    """By its fingerprint in what a user brings, and by the UID that its subject says, of which there is one at most."""
    make_cert(c.dir, "twice", "/CN=eve/k8sUID=uid-1/k8sUID=uid-2", "clients")
    equal(info(c, "twice")[0], 401, "of two UIDs neither")
    make_cert(c.dir, "once", "/O=devs/CN=eve/k8sUID=uid-7", "clients")
    code, user = info(c, "once")
    shown = subprocess.run(["openssl", "x509", "-in", f"{c.dir}/once.crt", "-noout", "-fingerprint", "-sha256"], check=True, capture_output=True)
    print_ = shown.stdout.decode().split("=")[1].strip().replace(":", "").lower()
    equal((code, user.get("username"), user.get("uid"), user.get("extra")),
          (201, "eve", "uid-7", {"authentication.kubernetes.io/credential-id": ["X509SHA256=" + print_]}))
    equal(info(c, "dan")[1].get("uid"), None)


def nobody_else_is_a_proxy(c):
    equal(who(c, None, **SAYS)[0], 403)
    equal(who(c, "back", **SAYS)[0], 401, "a name that is not allowed")
    equal(who(c, "serving", **SAYS)[0], 401, "a certificate for servers")
    equal(who(c, "stranger", **SAYS)[0], 401, "of the CA of nobody")
    equal(who(c, "front")[0], 401, "a proxy that says nothing is no client")
    code, user, groups = who(c, "dan", **SAYS)
    equal((code, user), (201, "dan"), "a client is himself")
    equal("system:masters" in groups, False)


def a_proxy_says_who_asks(c):
    equal(who(c, "front", **SAYS), (201, "ann", ["system:masters", "system:authenticated"]))
    equal(c.request("GET", "/api/v1/secrets", headers={"X-Remote-User": "ann"}, context=by(c, "front"))[0], 403)
    data = c.request("GET", CONFIG)[1]["data"]
    equal(json.loads(data["requestheader-allowed-names"]), ["front", "front-proxy-client"])
    with open(f"{c.dir}/proxies.crt", encoding="utf-8") as f:
        contains(data["requestheader-client-ca-file"], f.read().strip())


def tokens_are_of_two_issuers(c):
    c.kubectl("create", "serviceaccount", "bot")
    old = c.kubectl("create", "token", "bot").strip()
    equal(json.loads(c.kubectl("get", "--raw", "/.well-known/openid-configuration"))["issuer"], "https://old.example")
    c.stop()
    c.args[c.args.index("https://old.example")] = "https://new.example,https://old.example"
    c.start()
    new = c.kubectl("create", "token", "bot").strip()
    for token in (old, new):
        code, doc, _ = c.request("POST", WHOAMI, {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"},
                                 {"Authorization": "Bearer " + token}, c.anonymous_context())
        equal((code, doc["status"]["userInfo"]["username"]), (201, "system:serviceaccount:default:bot"))
    equal(json.loads(c.kubectl("get", "--raw", "/.well-known/openid-configuration"))["issuer"], "https://new.example")
    keys = json.loads(c.kubectl("get", "--raw", "/openid/v1/jwks"))["keys"]
    equal([k["alg"] for k in keys], ["RS256"])


ROLES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: as-bob}
rules:
- {apiGroups: [authentication.k8s.io], resources: [users], resourceNames: [bob], verbs: ["impersonate:user-info"]}
- {apiGroups: [""], resources: [configmaps], verbs: ["impersonate-on:user-info:list"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: as-bob}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: as-bob}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: dan}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bob}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: bob}]
"""


def somebody_is_somebody_for_one_thing(c):
    c.apply(ROLES)
    ca = f"{c.dir}/cluster-ca.crt"
    c.context()
    with open(ca, "wb") as f:
        f.write(c.ca)
    dan = ["--kubeconfig=/dev/null", f"--server=https://127.0.0.1:{c.port}", f"--certificate-authority={ca}",
           f"--client-certificate={c.dir}/dan.crt", f"--client-key={c.dir}/dan.key"]
    for words, why in ((["get", "configmaps"], 'User "dan" cannot list resource "configmaps"'),
                       (["get", "pods", "--as", "bob"], "cannot impersonate-on:user-info:list resource \"pods\""),
                       (["get", "configmaps", "--as", "eve"], "cannot impersonate:user-info resource \"users\""),
                       (["get", "configmaps", "--as", "bob", "--as-group", "system:masters"], "the system:masters group is not allowed")):
        r = c.run(*words, *dan, check=False)
        equal(r.returncode, 1, str(words))
        contains(r.errors, why)
    contains(c.kubectl("get", "configmaps", "--as", "bob", *dan), "kube-root-ca.crt")
    contains(c.kubectl("auth", "can-i", "--list", "--as", "bob"), "configmaps")


def a_file_of_cas_changes(c):
    """The CA of dan goes, and another comes: new connections know it, and other servers are told."""
    shutil.copy(f"{c.dir}/later.crt", f"{c.dir}/clients.crt")
    wait_for("the other CA", lambda: who(c, "eve")[0] == 201, 90)
    equal(who(c, "dan")[0], 401)


if __name__ == "__main__":
    need_tools()
    if not shutil.which("openssl"):
        print("needs openssl")
        sys.exit(77)
    cluster = Cluster()
    for ca_name in ("proxies", "clients", "later", "nobody"):
        make_ca(cluster.dir, ca_name)
    for cert, of, issuer in (("front", "/CN=front", "proxies"), ("back", "/CN=back", "proxies"), ("dan", "/CN=dan/O=devs", "clients"),
                             ("eve", "/CN=eve", "later"), ("stranger", "/CN=front", "nobody")):
        make_cert(cluster.dir, cert, of, issuer)
    make_cert(cluster.dir, "serving", "/CN=front", "proxies", "serverAuth")
    openssl("genrsa", "-out", f"{cluster.dir}/sa.key", "2048")
    cluster.args += ["--requestheader-client-ca-file", f"{cluster.dir}/proxies.crt", "--requestheader-allowed-names", "front",
                     "--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group",
                     "--requestheader-extra-headers-prefix", "X-Remote-Extra-", "--client-ca-file", f"{cluster.dir}/clients.crt",
                     "--service-account-signing-key-file", f"{cluster.dir}/sa.key", "--service-account-issuer", "https://old.example"]
    with cluster:
        sys.exit(main([nobody_else_is_a_proxy, a_certificate_is_known_again, a_proxy_says_who_asks, tokens_are_of_two_issuers, somebody_is_somebody_for_one_thing,
                       a_file_of_cas_changes], cluster))
