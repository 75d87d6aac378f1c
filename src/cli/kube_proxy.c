/* `caravel kube-proxy`, or this program under the name kube-proxy: the service proxy alone, with upstream's flags and
 * configuration file, beside any API server. */
#include "base/file.h"
#include "base/log.h"
#include "base/version.h"
#include "cli/agent.h"
#include "cli/heap.h"
#include "client/client.h"
#include "client/https.h"
#include "client/kubeconfig.h"
#include "ev/ev.h"
#include "proxy/health.h"
#include "proxy/proxy.h"
#include "proxy/proxy_config.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TABLE "kube-proxy"
#define SETTINGS_DIR "/run/caravel-kube-proxy"
#define SETTINGS SETTINGS_DIR "/settings"
#define CONFIG_MAX ((size_t)1 << 20)
#define ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"
#define FLAGS_MAX 80
#define DEBUG_VERBOSITY 4

struct kube_proxy {
	struct arena arena;
	struct proxy_config c;
	const char *config_file, *master;
	bool cleanup, init_only, version;
	struct {
		const struct proxy_flag *flag;
		const char *text; /* NULL: not given */
		bool on;
	} given[FLAGS_MAX];
	size_t n_given;

	struct env *env;
	struct client *client;
	struct proxy_health *health;
	struct proxy *proxy;
};

static void kube_proxy_note(const char *what, void *ctx)
{
	(void)ctx;
	log_warn("kube-proxy", "configuration", "note", "%s", what);
}

/* --- flags and file --- */

static size_t kube_proxy_options(struct kube_proxy *k, struct option *t)
{
	const struct option own[] = {
		{ "config", 0, OPT_STRING, &k->config_file, "FILE",
		  "KubeProxyConfiguration; of the flags below only --hostname-override and --v count beside it" },
		{ "master", 0, OPT_STRING, &k->master, "URL", "of the API server, in place of the kubeconfig's" },
		{ "cleanup", 0, OPT_BOOL, &k->cleanup, NULL, "remove the rules, give settings back, and end" },
		{ "init-only", 0, OPT_BOOL, &k->init_only, NULL, "change the host's settings, and end" },
		{ "version", 0, OPT_BOOL, &k->version, NULL, "print the version, and end" },
	};
	size_t n = ARRAY_LEN(own);

	memcpy(t, own, sizeof(own));
	for (const struct proxy_flag *f = proxy_config_flags(); f->name && k->n_given < FLAGS_MAX; f++) {
		void *value = f->is_bool ? (void *)&k->given[k->n_given].on : (void *)&k->given[k->n_given].text;

		k->given[k->n_given++].flag = f;
		t[n++] = (struct option){
			f->name, strcmp(f->name, "v") == 0 ? 'v' : 0, f->is_bool ? OPT_BOOL : OPT_STRING, value, f->arg,
			f->help
		};
	}
	return n;
}

static bool beside_config(const char *flag)
{
	return strcmp(flag, "hostname-override") == 0 || strcmp(flag, "v") == 0;
}

static int kube_proxy_flags(struct kube_proxy *k, struct err *err)
{
	for (size_t i = 0; i < k->n_given; i++) {
		const char *name = k->given[i].flag->name;
		struct sv text = sv_from(k->given[i].text ? k->given[i].text : "true");

		if (!k->given[i].text && !k->given[i].on)
			continue;
		if (k->config_file && !beside_config(name)) {
			log_warn("kube-proxy", "not looked at beside --config", "flag", "--%s", name);
			continue;
		}
		if (proxy_config_flag(&k->arena, &k->c, name, text, err) < 0)
			return err_wrap(err, "--%s", name);
	}
	return 0;
}

static int kube_proxy_configure(struct kube_proxy *k, struct err *err)
{
	struct sv text;

	proxy_config_defaults(&k->c);
	if (k->config_file) {
		if (file_read(&k->arena, k->config_file, CONFIG_MAX, &text, err) < 0)
			return -1;
		if (proxy_config_read(&k->arena, &k->c, text, kube_proxy_note, NULL, err) < 0)
			return err_wrap(err, "'%s'", k->config_file);
	}
	if (kube_proxy_flags(k, err) < 0)
		return -1;
	if (k->c.verbosity >= DEBUG_VERBOSITY)
		log_set_level(LVL_DEBUG);
	return proxy_config_check(&k->arena, &k->c, kube_proxy_note, NULL, err);
}

/* --- parts --- */

static struct client *client_in_pod(struct kube_proxy *k, struct err *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	struct client_https_opts o = { .server = k->master, .name = TABLE, .token_file = ACCOUNT_DIR "/token" };
	const char *colon = host ? strchr(host, ':') : NULL;

	if (!k->master && (!host || !port)) {
		(void)err_set(err, ERR_INVALID,
			      "no API server: --kubeconfig FILE (clientConnection.kubeconfig) names how to reach one");
		return NULL;
	}
	if (!k->master)
		o.server = arena_printf(&k->arena, "https://%s%s%s:%s", colon ? "[" : "", host, colon ? "]" : "", port);
	if (access(o.token_file, R_OK) < 0)
		o.token_file = NULL; /* --master alone, without credentials */
	else if (file_read(&k->arena, ACCOUNT_DIR "/ca.crt", CONFIG_MAX, &o.ca_pem, err) < 0)
		return NULL;
	return client_https_new(k->env, &o, err);
}

static struct client *kube_proxy_client(struct kube_proxy *k, struct err *err)
{
	struct kubeconfig cfg;

	if (!*k->c.kubeconfig)
		return client_in_pod(k, err);
	if (kubeconfig_load(&k->arena, k->c.kubeconfig, NULL, &cfg, err) < 0)
		return NULL;
	if (k->master)
		cfg.server = k->master;
	return client_kubeconfig_new(k->env, &cfg, TABLE, err);
}

static int kube_proxy_start(struct kube_proxy *k, struct err *err)
{
	struct proxy_backend *backend;
	struct proxy_opts o = {
		.env = k->env,
		.node_name = *k->c.hostname_override ? k->c.hostname_override : host_own_name(&k->arena, ""),
		.cluster_cidr = *k->c.cluster_cidr ? k->c.cluster_cidr : NULL,
		.table = TABLE,
		.replaces = true,
		.config = &k->c,
	};

	if (!k->init_only && !(k->client = kube_proxy_client(k, err)))
		return -1;
	(void)dir_make(SETTINGS_DIR, 0700, NULL); /* without it they are given back by this process or not at all */
	backend = proxy_backend_nft_new(TABLE, SETTINGS, err);
	if (!backend)
		return err_wrap(err, "opening nftables");
	proxy_backend_nft_conntrack(backend, &k->c);
	if (k->init_only) {
		backend->free(backend);
		return 0;
	}
	k->health = proxy_health_new(&(struct proxy_health_opts){ .env = k->env,
								  .healthz_address = k->c.healthz_address,
								  .metrics_address = k->c.metrics_address },
				     err);
	if (!k->health) {
		backend->free(backend);
		return -1;
	}
	o.client = k->client;
	o.backend = backend;
	o.health = k->health;
	k->proxy = proxy_new(&o, err);
	if (!k->proxy)
		return -1;
	log_info("kube-proxy", "serving", "node", "%s", o.node_name);
	return 0;
}

static int kube_proxy_cleanup(struct err *err)
{
	int rc = proxy_cleanup(TABLE, SETTINGS, NULL, err);

	if (rc > 0)
		printf("caravel: removed nftables table inet %s\n", TABLE);
	return rc < 0 ? -1 : proxy_cleanup_foreign(TABLE, err);
}

static int kube_proxy_run(struct kube_proxy *k, struct err *err)
{
	sigset_t set;
	struct heap_watch heap = { 0 };
	int signum = 0;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	/* Blocked before any thread exists, so that sigwait() is the only taker. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	k->env = env_real_new(0);
	if (kube_proxy_start(k, err) < 0)
		return -1;
	if (k->init_only)
		return 0;
	for (;;) {
		signum = sigtimedwait(&set, NULL, &(struct timespec){ .tv_sec = heap_pause_s(&heap) });
		if (signum > 0)
			break;
		heap_look(&heap);
	}
	log_info("kube-proxy", "stopping, services go on working", "signal", "%s", strsignal(signum));
	return 0;
}

static void kube_proxy_end(struct kube_proxy *k)
{
	k->proxy = proxy_free(k->proxy, false);
	k->health = proxy_health_free(k->health);
	if (k->client)
		client_free(k->client);
	if (k->env)
		env_real_free(k->env);
	proxy_config_release(&k->c);
	arena_release(&k->arena);
}

int cmd_kube_proxy(int argc, char **argv)
{
	struct kube_proxy k = { .config_file = NULL };
	struct option table[FLAGS_MAX + 8];
	struct err err = ERR_INIT;
	size_t n = kube_proxy_options(&k, table);
	int rc;

	(void)mallopt(M_ARENA_MAX, 2); /* as in `caravel server` */
	rc = cli_options_parse(&k.arena, table, n, argc, argv, NULL, NULL, &err);
	if (rc == 0 && k.version) {
		puts("Kubernetes " KUBERNETES_VERSION " (caravel v" CARAVEL_VERSION ")");
	} else if (rc == 0) {
		rc = geteuid() == 0 ? 0 : err_set(&err, ERR_FORBIDDEN, "kube-proxy needs root, for nftables");
		if (rc == 0 && k.cleanup)
			rc = kube_proxy_cleanup(&err);
		else if (rc == 0 && (rc = kube_proxy_configure(&k, &err)) == 0)
			rc = kube_proxy_run(&k, &err);
	}
	kube_proxy_end(&k);
	return rc < 0 ? cli_fail_err(&err) : 0;
}
