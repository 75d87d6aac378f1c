/* `caravel kube-apiserver`, or this program under the name kube-apiserver: the API server with upstream's flags, for
 * test control planes and beside controllers, schedulers and kubelets of others.
 *
 * It is `caravel server` without a node and without a scheduler; of the controllers it runs only those without which
 * nothing that is deleted would ever be gone. */
#include "base/file.h"
#include "base/version.h"
#include "cli/server.h"
#include "cli/test_plane.h"
#include "cli/upstream_flags.h"
#include "net/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CERT_NAME "apiserver"
#define DAY_NS (86400 * NS_PER_SEC)

struct kube_apiserver {
	struct server_opts *o;
	const char *cert_dir;
	bool version;
};

/* Rows that node and server share, and upstream's API server has. */
static const char *const of_nodes[] = { "data-dir", "feature-gates", "v", "vmodule", "logging-format" };

static bool kube_apiserver_of_nodes(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(of_nodes); i++)
		if (strcmp(of_nodes[i], name) == 0)
			return true;
	return false;
}

static size_t kube_apiserver_options(void *ctx, struct server_opts *o, struct option *t, size_t n, size_t n_node)
{
	struct kube_apiserver *k = ctx;
	const struct option own[] = {
		{ "secure-port", 0, OPT_INT, &o->port, "N", "listen port (6443)" },
		{ "etcd-servers", 0, OPT_STRING, &o->datastore.endpoint, "URLS",
		  "the etcd that stores the objects; one of Caravel's says in whose directory the database is "
		  "(--data-dir: elsewhere)" },
		{ "etcd-cafile", 0, OPT_STRING, &o->datastore.ca_file, "FILE", "whose certificates etcd may show" },
		{ "etcd-certfile", 0, OPT_STRING, &o->datastore.cert_file, "FILE", "a certificate to show it" },
		{ "etcd-keyfile", 0, OPT_STRING, &o->datastore.key_file, "FILE", "its key" },
		{ "etcd-compaction-interval", 0, OPT_STRING, &o->datastore.compact, "TIME",
		  "how long an etcd keeps history, at least (5m0s; 0: for ever)" },
		{ "cert-dir", 0, OPT_STRING, &k->cert_dir, "DIR",
		  "where the serving certificate " CERT_NAME ".crt and " CERT_NAME
		  ".key is, or is made; not with --tls-cert-file (none: one of the cluster's CA)" },
		{ "service-cluster-ip-range", 0, OPT_STRING, &o->facts.service_cidr, "CIDR",
		  "Service addresses (10.0.0.0/24); A,B: both families, A's by default" },
		{ "version", 0, OPT_BOOL, &k->version, NULL, "print the version, and end" },
	};
	size_t kept = 0;

	k->o = o;
	o->disable_agent = true;
	o->disable_scheduler = true;
	o->snapshots.disabled = true;
	o->facts.service_cidr = "10.0.0.0/24";
	o->kubeconfig = "";
	for (size_t i = 0; i < n; i++)
		if (i < n_node ? kube_apiserver_of_nodes(t[i].name) : !upstream_flag_find(sv_from(t[i].name)))
			t[kept++] = t[i];
	memcpy(t + kept, own, sizeof(own));
	return kept + ARRAY_LEN(own);
}

/* The pair in --cert-dir; where there is none, a new one that signs itself, as upstream's makes it. */
static int kube_apiserver_cert_dir(struct kube_apiserver *k, struct arena *a, struct err *err)
{
	static const char *const names[] = { "kubernetes.default.svc", "kubernetes.default", "kubernetes", "localhost",
					     NULL };
	const char *cert = arena_printf(a, "%s/" CERT_NAME ".crt", k->cert_dir);
	const char *key = arena_printf(a, "%s/" CERT_NAME ".key", k->cert_dir);
	const char *const ips[] = { "127.0.0.1", "::1", k->o->bind_address, NULL };
	struct cert_opts c = {
		.common_name = "localhost",
		.dns_names = names,
		.ip_addrs = ips,
		.server = true,
		.not_after_ns = CLOCK_FLOOR_NS + 36500 * DAY_NS,
	};
	struct sv cert_pem, key_pem;

	k->o->tls_cert_file = cert;
	k->o->tls_key_file = key;
	if (access(cert, F_OK) == 0 || access(key, F_OK) == 0)
		return 0;
	if (dir_make(k->cert_dir, 0755, err) < 0 || cert_make(a, &c, SV(""), SV(""), &cert_pem, &key_pem, err) < 0)
		return err_wrap(err, "--cert-dir");
	return file_write_several((const struct file_out[]){ { key, key_pem, 0600 }, { cert, cert_pem, 0644 } }, 2,
				  err);
}

/* An etcd, or one of ours: then its directory. With a directory of one's own that one is not asked for its. */
static int kube_apiserver_store(struct server_opts *o, struct arena *a, struct err *err)
{
	const char *servers = o->datastore.endpoint;
	struct test_plane plane = { .data_dir = NULL };

	o->of_etcd = true;
	if (!servers && !o->node.data_dir)
		return err_set(err, ERR_INVALID, "--etcd-servers must be specified");
	if (datastore_check(&o->datastore, true, err) < 0)
		return -1;
	if (!servers || o->datastore.ca_file || strchr(servers, ',') || !sv_starts(sv_from(servers), SV("http://")))
		return 0; /* ours speaks http, and is one */
	if (etcd_ask(a, servers, &plane, err) < 0)
		return -1;
	if (!plane.data_dir)
		return 0;
	o->datastore.endpoint = NULL;
	if (!o->node.data_dir)
		o->node.data_dir = arena_printf(a, "%s/" TEST_PLANE_DIR, plane.data_dir);
	o->no_sync = plane.no_sync;
	return 0;
}

/* What is deleted goes: the one thing that tests miss where no controllers run. NULL-terminated. */
static const char *const own_controllers[] = { "namespace-controller", "garbage-collector-controller", NULL };

static int kube_apiserver_settle(void *ctx, struct arena *a, struct err *err)
{
	struct kube_apiserver *k = ctx;
	struct server_opts *o = k->o;
	if (k->version) {
		puts("Kubernetes " KUBERNETES_VERSION);
		return 1;
	}
	if (kube_apiserver_store(o, a, err) < 0)
		return -1;
	if (!*o->controllers.list.p) {
		vec_clear(&o->controllers.list);
		for (size_t i = 0; i < ARRAY_LEN(own_controllers); i++)
			vec_push(&o->controllers.list, own_controllers[i]);
	}
	return k->cert_dir && !o->tls_cert_file ? kube_apiserver_cert_dir(k, a, err) : 0;
}

int cmd_kube_apiserver(int argc, char **argv)
{
	struct kube_apiserver k = { .cert_dir = NULL };

	return server_main(
	    argc, argv,
	    &(struct server_name){ .options = kube_apiserver_options, .settle = kube_apiserver_settle, .ctx = &k });
}
