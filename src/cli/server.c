/* `caravel server`: every component in one process, wired together and taken apart in order. */
#include "cli/server.h"
#include "apiserver/encryption/encryption.h"
#include "base/buf.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/metric_page.h"
#include "base/timefmt.h"
#include "base/version.h"
#include "cli/cidrs.h"
#include "cli/cluster_reset.h"
#include "cli/control.h"
#include "cli/daemon.h"
#include "cli/encryption_agreed.h"
#include "cli/home_local.h"
#include "cli/kubeconfig_link.h"
#include "cli/server_join.h"
#include "cli/server_members.h"
#include "cli/server_options.h"
#include "cli/server_store.h"
#include "cli/servers_token.h"
#include "cli/shared_keys.h"
#include "cli/stalls.h"
#include "cli/supervise.h"
#include "cli/token_word.h"
#include "client/kubeconfig.h"
#include "client/zpages.h"
#include "kubelet/machine.h"
#include "net/tls.h"
#include "object/served.h"
#include "snapshot/restore.h"
#include "store/disk/dirlock.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define NET_THREADS 2
#define BODY_MAX ((size_t)3 << 20)
#define DESCRIPTORS_WANTED 65536
#define DESCRIPTORS_KEPT 512  /* for files, the runtime, children: not for connections */
#define KEPT_LISTENER "https" /* across a death of ours nobody is refused */
#define STOP_GRACE_NS (2 * NS_PER_SEC)
#define END_MAX_NS (5 * NS_PER_SEC)    /* for what has to end then: what does not by then is left */
#define DRAIN_MAX_NS (10 * NS_PER_SEC) /* for requests; whoever stops a service gives it 90 s in all */

struct server {
	struct server_opts o;
	struct arena arena;
	struct env *env;
	struct ev_loop *loops[NET_THREADS];
	pthread_t threads[NET_THREADS];
	int n_threads;
	struct server_store opened;
	struct store *store;		       /* that, or what lies above it */
	_Atomic(struct servers_token *) token; /* NULL: not yet, or none */
	struct encryption *encryption;
	struct encryption_agreed *agreed; /* NULL: the store is its own */
	struct metric_rules *metric_rules;
	struct apiserver *api;
	struct http_server *http;
	char address[sizeof(struct ip_text)]; /* found for --advertise-address, followed; "": given, or none */
	pthread_mutex_t parts;		      /* guards it: /metrics asks */
	struct control *control;
	struct snapshot_schedule snapshots;
	atomic_bool snapshots_on;
	struct home_local home;
	struct daemon_node node;
	const char *crash_dir;
	const struct option *table; /* all options, for /flagz */
	size_t n_table;
	int cidr_hold; /* keeps other servers off our pod range; -1: none */
	int dir_lock;  /* keeps them off our data directory; the supervisor's, and so ours across deaths; -1: not yet */
};

/* What is switched on and what is served: before anything asks. */
static int choose_api(const struct server_opts *o, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (node_opts_gates(&o->node, err) < 0)
		return -1;
	string_list_join(&b, &o->runtime_config);
	return served_set(buf_sv(&b), err) < 0 ? err_wrap(err, "--runtime-config") : 0;
}

static int complete(struct server *s, struct err *err)
{
	struct server_opts *o = &s->o;
	struct ip_addr ip;

	if (!o->node.data_dir)
		o->node.data_dir = default_data_dir(&s->arena);
	if (token_word(&s->arena, "token", &o->token, o->token_file, err) < 0 || server_check(o, err) < 0 ||
	    server_times(o, err) < 0 || choose_api(o, err) < 0)
		return -1;
	if (o->legacy_token_period) /* server_check() has looked at it */
		(void)duration_parse(sv_from(o->legacy_token_period), &o->legacy_token_ns);
	if (o->port == 0)
		o->port = host_free_port(o->bind_address);
	if (!o->kubeconfig)
		o->kubeconfig = geteuid() == 0 && strcmp(o->node.data_dir, DEFAULT_DATA_DIR) == 0
				    ? DEFAULT_KUBECONFIG
				    : arena_printf(&s->arena, "%s/kubeconfig.yaml", o->node.data_dir);
	if (data_dir_make(&s->arena, &o->node.data_dir, err) < 0)
		return -1;
	/* Before anything in it is written: a second server would take a running member's certificate and address. */
	s->dir_lock = dirlock_server(o->node.data_dir, NULL, err);
	if (s->dir_lock < 0)
		return -1;
	if (!o->advertise_address) {
		bool any = strcmp(o->bind_address, "0.0.0.0") == 0 || strcmp(o->bind_address, "::") == 0;

		/* A loopback address is none that a pod could use: then no endpoints are advertised. */
		o->advertise_address = any ? host_address(&s->arena) : o->bind_address;
		if (o->advertise_address && ip_parse(sv_from(o->advertise_address), &ip) && ip_is_loopback(ip))
			o->advertise_address = NULL;
		if (any && o->advertise_address)
			(void)snprintf(s->address, sizeof(s->address), "%s", o->advertise_address);
	}
	if (node_opts_complete(&o->node, &s->arena, !o->disable_agent, err) < 0)
		return -1;
	if (!o->disable_agent && geteuid() != 0)
		return err_set(err, ERR_FORBIDDEN,
			       "a node needs root for containers and nftables: run as root, or with --disable-agent");
	return 0;
}

/* Kept as long as the machine has it: another default route alone moves nothing. */
static const char *server_address(void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct server *s = ctx;
	const char *now = machine_has_ip(sv_from(s->address)) ? NULL : host_address(&a);
	struct ip_addr ip;

	if (now && strcmp(now, s->address) != 0 && ip_parse(sv_from(now), &ip) && !ip_is_loopback(ip)) {
		log_info("server", "this machine has another address: so has the API for pods", "address",
			 "%s, and was %s", now, s->address);
		(void)snprintf(s->address, sizeof(s->address), "%s", now);
	}
	return s->address;
}

static void *run_loop(void *loop)
{
	prctl(PR_SET_NAME, "network");
	crash_thread();
	ev_loop_run(loop);
	return NULL;
}

static int start_threads(struct server *s, struct err *err)
{
	for (int i = 0; i < NET_THREADS; i++) {
		s->loops[i] = ev_loop_new(err);
		if (!s->loops[i])
			return -1;
	}
	return 0;
}

static int run_threads(struct server *s, struct err *err)
{
	for (int i = 0; i < NET_THREADS; i++) {
		int e = pthread_create(&s->threads[i], NULL, run_loop, s->loops[i]);

		if (e)
			return err_set_errno(err, e, "cannot start a network thread");
		s->n_threads++;
	}
	return 0;
}

/* Somebody's way to another cluster is about to be lost, when two servers were given one file. A CA that signs with the
 * key of ours is ours, before it was renewed. */
static void warn_of_another(struct arena *a, struct server *s)
{
	struct kubeconfig k;

	if (kubeconfig_load(a, s->o.kubeconfig, NULL, &k, NULL) < 0 || !k.ca_pem.n ||
	    sv_eq(k.ca_pem, apiserver_ca_pem(s->api)) || cert_is_of(k.ca_pem, SV(""), apiserver_ca_pem(s->api)))
		return;
	log_kv(LVL_WARN, "server",
	       "the kubeconfig of another cluster is replaced; --write-kubeconfig names another file", "file",
	       s->o.kubeconfig, "was", k.server, NULL);
}

static int write_kubeconfig(struct server *s, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT; /* the server's own is not for tasks */
	_cleanup_free_ char *dir = xstrdup(s->o.kubeconfig);
	bool any = strcmp(s->o.bind_address, "0.0.0.0") == 0 || strcmp(s->o.bind_address, "::") == 0;
	const char *host = any ? "127.0.0.1" : s->o.bind_address;
	char *slash = strrchr(dir, '/'), *end;
	unsigned long mode = strtoul(s->o.kubeconfig_mode, &end, 8);
	struct sv yaml;

	if (!*s->o.kubeconfig)
		return kubeconfig_link_set(s->o.node.data_dir, "", err);
	if (*end || mode > 0777)
		return err_set(err, ERR_INVALID, "--write-kubeconfig-mode takes permissions like 0600, not '%s'",
			       s->o.kubeconfig_mode);
	if (slash && slash != dir) {
		*slash = '\0';
		if (dir_make(dir, 0755, err) < 0)
			return -1;
	}
	if (apiserver_admin_kubeconfig(s->api, &a,
				       arena_printf(&a, strchr(host, ':') ? "https://[%s]:%d" : "https://%s:%d", host,
						    http_server_port(s->http)),
				       &yaml, err) < 0)
		return -1;
	warn_of_another(&a, s);
	/* With a certificate of its own each time: what a crash loses of it, the next start makes again. */
	return file_write_again(s->o.kubeconfig, yaml, (mode_t)mode, err) < 0
		   ? -1
		   : kubeconfig_link_set(s->o.node.data_dir, s->o.kubeconfig, err);
}

/* A full disk must not keep a server from starting: with its API room is made, and the kubeconfig that is there mostly
 * serves. */
static int write_first_kubeconfig(struct server *s, struct err *err)
{
	struct err why = ERR_INIT;

	if (write_kubeconfig(s, &why) == 0)
		return 0;
	if (!err_no_room(&why))
		return err_move(err, &why);
	log_warn("server", "the kubeconfig is as an earlier start left it; the next one writes it", "error", "%s",
		 err_msg(&why));
	err_release(&why);
	return 0;
}

static void lost(const struct err *why)
{
	log_error("server", "nothing can be answered any more, and another process is started", "why", "%s",
		  err_msg(why));
	_exit(SUPERVISE_AGAIN); /* as if killed: nothing that was answered is lost by that */
}

static void certs_renewed(void *ctx, struct tls_ctx *tls)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct server *s = ctx;

	http_server_set_tls(s->http, tls);
	if (write_kubeconfig(s, &err) < 0)
		log_warn("server", "the renewed kubeconfig cannot be written", "error", "%s", err_msg(&err));
}

static bool keys_are_shared(const struct server *s)
{
	return s->opened.shared && !s->o.of_etcd; /* upstream's names have keys by files */
}

static int settle_cidrs(struct server *s, bool fresh, struct err *err)
{
	struct server_opts *o = &s->o;
	struct cidrs c = { o->facts.cluster_cidr, o->facts.service_cidr };
	int fd = cidrs_settle(&s->arena, o->node.data_dir, fresh, !o->disable_agent, &c, err);

	if (fd == CIDRS_FAILED)
		return -1;
	s->cidr_hold = fd;
	o->facts.cluster_cidr = c.cluster;
	o->facts.service_cidr = c.service;
	if (!o->facts.cluster_dns)
		o->facts.cluster_dns = cidrs_tenth(&s->arena, o->facts.service_cidr);
	return 0;
}

static int settle_facts(struct server *s, struct err *err)
{
	struct store_stats stats;
	bool fresh;

	store_stats(s->store, &stats);
	fresh = stats.rev <= 1;
	if (keys_are_shared(s) && server_facts_settle(&s->o, &s->arena, s->store, &fresh, err) < 0)
		return -1;
	return settle_cidrs(s, fresh, err);
}

/* Raises the soft limit of descriptors, as 1,024 are few for a server, and leaves some for what must always go on. */
static int max_connections(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < DESCRIPTORS_WANTED) {
		rl.rlim_cur = MIN(rl.rlim_max, DESCRIPTORS_WANTED);
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return DESCRIPTORS_KEPT;
	return (int)MIN(rl.rlim_cur - MIN(rl.rlim_cur / 2, DESCRIPTORS_KEPT), INT_MAX);
}

/* What joined nodes are told. Without it those that know it go on, and only new ones wait. */
static void publish_facts(struct server *s)
{
	static const char *const masters[] = { "system:masters", NULL };
	struct client *c = apiserver_client(s->api, "caravel-server", "system:caravel:server", masters);
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (facts_publish(c, &s->o.facts, &err) < 0)
		log_warn("server", "what joining nodes need to know cannot be written: they wait for the next start",
			 "error", "%s", err_msg(&err));
	client_free(c);
}

/* Of the components beside the API server, as they come and go. */
static void server_metrics(void *ctx, struct buf *b)
{
	struct server *s = ctx;

	pthread_mutex_lock(&s->parts);
	if (s->control)
		control_metrics(s->control, b);
	pthread_mutex_unlock(&s->parts);
	if (s->snapshots_on)
		snapshot_schedule_metrics(&s->snapshots, b);
}

static void server_resource_metrics(void *ctx, struct buf *b)
{
	struct server *s = ctx;

	pthread_mutex_lock(&s->parts);
	if (s->control)
		control_resource_metrics(s->control, b);
	pthread_mutex_unlock(&s->parts);
}

static int flag_order(const void *a, const void *b)
{
	return strcmp(((const struct zpage_flag *)a)->name, ((const struct zpage_flag *)b)->name);
}

/* For /flagz: what is an option, as it is. */
static const struct zpage_flag *server_flags(void *ctx, struct arena *a, size_t *ret_n)
{
	const struct server *s = ctx;
	struct zpage_flag *flags = ARENA_ARRAY(a, struct zpage_flag, s->n_table);

	for (size_t i = 0; i < s->n_table; i++)
		flags[i] = (struct zpage_flag){ .name = s->table[i].name,
						.value = cli_option_text(a, &s->table[i]),
						.secret = cli_option_secret(&s->table[i]) };
	qsort(flags, s->n_table, sizeof(*flags), flag_order);
	*ret_n = s->n_table;
	return flags;
}

static int encrypt_store(struct server *s, struct err *err)
{
	if (!s->o.encryption_config)
		return 0;
	s->encryption = encryption_read(s->env, s->o.encryption_config, s->o.encryption_reload, err);
	if (!s->encryption)
		return -1;
	encryption_stored_in(s->encryption, s->store);
	s->store = store_transformed(s->store, encryption_transform(s->encryption));
	return 0;
}

static struct shared_keys_opts shared_keys(const struct server *s)
{
	return (struct shared_keys_opts){ .env = s->env,
					  .store = s->opened.store,
					  .data_dir = s->o.node.data_dir,
					  .token = s->o.token,
					  .etcd = s->opened.member != NULL };
}

/* With the other servers of the store, before anything is written. */
static int agree_encryption(struct server *s, struct err *err)
{
	if (!keys_are_shared(s))
		return 0;
	s->agreed = encryption_agreed_new(
	    &(struct encryption_agreed_opts){
		.env = s->env,
		.store = s->opened.store,
		.e = s->encryption,
		.who = arena_printf(
		    &s->arena, "the server %s port %d",
		    s->o.advertise_address ? s->o.advertise_address : host_own_name(&s->arena, "localhost"), s->o.port),
		.data_dir = s->o.node.data_dir },
	    err);
	return s->agreed ? 0 : -1;
}

static int settle_keys(struct server *s, const struct shared_keys_opts *k, struct err *err)
{
	struct servers_token_opts t = {
		.env = s->env, .store = k->store, .data_dir = k->data_dir, .nodes = k->token != NULL
	};

	if (shared_keys_settle(k, &s->arena, &t.token, err) < 0)
		return -1;
	if (s->o.token) /* it may be an older one */
		s->o.token = t.token;
	s->token = servers_token_new(&t, err);
	return s->token ? 0 : -1;
}

static int open_store(struct server *s, struct err *err)
{
	int rc = server_store_open(&s->opened, s->env, &s->arena, &s->o, err);
	struct shared_keys_opts k;

	s->store = s->opened.store;
	if (rc < 0)
		return -1;
	k = shared_keys(s);
	if (keys_are_shared(s) && settle_keys(s, &k, err) < 0)
		return -1;
	return encrypt_store(s, err) < 0 ? -1 : agree_encryption(s, err);
}

static bool known_token(void *ctx, struct sv id, struct sv secret)
{
	return servers_token_is(ctx, id, secret);
}

static int servers(void *ctx, struct arena *a, const struct servers_asked *q, struct sv *ret, struct err *err)
{
	struct server *s = ctx;
	struct servers_token *token = atomic_load(&s->token);

	if (q->what == SERVERS_TOKEN)
		return token ? servers_token_rotate(token, a, q->body, ret, err)
			     : err_set(err, ERR_UNAVAILABLE, "this server has no token yet: try again in a moment");
	if (!s->opened.member)
		return err_set(err, ERR_NOT_FOUND, "this server has no etcd of its own");
	switch (q->what) {
	case SERVERS_JOIN:
		return servers_token_fresh(token, err) < 0 ? -1
							   : server_join_answer(s->opened.store, a, q->body, ret, err);
	case SERVERS_REMOVE:
		return server_members_remove(s->opened.store, a, q->name, ret, err);
	case SERVERS_LIST:
	case SERVERS_TOKEN:
		break;
	}
	return server_members_list(s->opened.store, a, s->opened.id.name, ret, err);
}

/* A restore that was killed behind its moment is finished before anybody looks at what it replaces. */
static int finish_restore(struct server *s, struct err *err)
{
	int r = restore_finish(s->o.node.data_dir, err);

	if (r > 0)
		log_kv(LVL_INFO, "server", "a restore that was interrupted is finished", "data_dir", s->o.node.data_dir,
		       NULL);
	return MIN(r, 0);
}

static int start_api(struct server *s, struct err *err)
{
	struct server_opts *o = &s->o;

	s->metric_rules = server_metric_rules(&s->arena, o, err);
	o->datastore.kept = o->history_ns != 0;
	if (!s->metric_rules || finish_restore(s, err) < 0 || open_store(s, err) < 0 || settle_facts(s, err) < 0)
		return -1;
	s->api = apiserver_new(
	    &(struct apiserver_opts){
		.env = s->env,
		.store = s->store,
		.stored = s->opened.store,
		.data_dir = o->node.data_dir,
		.service_cidr = o->facts.service_cidr,
		.cluster_cidr = o->facts.cluster_cidr,
		.node_port_range = o->node_port_range,
		.cluster_domain = o->facts.cluster_domain,
		.advertise_address = strcmp(o->endpoint_reconciler, "none") == 0 ? NULL : o->advertise_address,
		.find_address = *s->address ? server_address : NULL,
		.find_ctx = s,
		.advertise_port = o->port,
		.own_addresses = host_addresses(&s->arena),
		.loopback_node_ip = strncmp(o->node.node_ip, "127.", 4) == 0 ? o->node.node_ip : NULL,
		.egress = !o->facts.egress			  ? EGRESS_ANY
			  : strcmp(o->facts.egress, "agent") == 0 ? EGRESS_TUNNEL
								  : EGRESS_ADDRESS,
		.tls_sans = o->tls_sans.list.p,
		.tls_cert_file = o->tls_cert_file,
		.tls_key_file = o->tls_key_file,
		.tls_sni = o->tls_sni.list.p,
		/* With --server it is there to bring this one, and nodes have another. */
		.join_token = o->join_url ? NULL : o->token,
		.join_token_known = o->token && keys_are_shared(s),
		.known_token = s->token && (s->opened.member || o->token) ? known_token : NULL,
		.known_token_ctx = s->token,
		.known_token_servers = s->opened.member != NULL,
		.servers = s->o.of_etcd ? NULL : servers,
		.servers_ctx = s,
		.token_auth_file = o->token_auth_file,
		.proxy_cert_file = o->proxy_cert_file,
		.proxy_key_file = o->proxy_key_file,
		.admission_config = o->admission_config,
		.enable_admission = o->enable_admission.list.p,
		.disable_admission = o->disable_admission.list.p,
		.audit = server_audit(o),
		.encryption = s->encryption,
		.authentication_config = o->authentication_config,
		.oidc = server_oidc(o),
		.authorization = server_authorization(o),
		.token_hook = o->token_hook,
		.tls_only_13 = o->tls_min_version && strcmp(o->tls_min_version, "VersionTLS13") == 0,
		.tls_suites = o->tls_suites.list.p,
		.kubelets = server_kubelets(o),
		.accounts = server_accounts(o),
		.client_ca_file = o->client_ca_file,
		.front_proxies = server_front_proxies(o),
		.anonymous_auth = o->anonymous_auth,
		.not_ready_s = o->not_ready_s,
		.unreachable_s = o->unreachable_s,
		.hsts = o->hsts.list.p,
		.cors = o->cors.list.p,
		.profiling = o->profiling,
		.no_ingress = facts_no_ingress(&o->facts),
		.no_controllers = o->disable_controllers,
		.no_gateway = facts_no_gateway(&o->facts),
		.metric_rules = s->metric_rules,
		.more_metrics = server_metrics,
		.resource_metrics = server_resource_metrics,
		.more_ctx = s,
		.flags = server_flags,
		.flags_ctx = s,
		.certs_renewed = certs_renewed,
		.certs_ctx = s,
		.lost = lost,
		.max_requests_inflight = o->max_requests,
		.max_mutating_inflight = o->max_mutating,
		.no_priority_and_fairness = !o->fairness,
		.request_timeout_ns = o->request_timeout_ns,
		.min_watch_s = o->min_request_timeout,
		.event_ttl_ns = o->event_ttl_ns,
		.history_ns = o->history_ns,
		.history_bytes = (uint64_t)o->history_bytes,
		.goaway_chance = o->goaway_share,
	    },
	    err);
	if (!s->api || (!s->opened.shared && database_mark(&s->arena, o, apiserver_ca_pem(s->api), err) < 0))
		return -1;
	publish_facts(s);
	s->http = http_server_start(s->loops, NET_THREADS,
				    &(struct http_server_opts){
					.bind_address = o->bind_address,
					.port = o->port,
					.listening_fd = supervise_kept(KEPT_LISTENER),
					.tls = apiserver_tls(s->api),
					.max_body = BODY_MAX,
					.max_connections = max_connections(),
					.handler = apiserver_http,
					.streams = apiserver_http_streams,
					.too_large = apiserver_http_too_large,
					.calmed = apiserver_http_calmed,
					.ctx = s->api,
				    },
				    err);
	if (!s->http)
		return server_explain_bind(o, err);
	apiserver_check_clock(s->api);
	supervise_keep(KEPT_LISTENER, http_server_fd(s->http));
	return write_first_kubeconfig(s, err);
}

static struct client *snapshot_client(void *ctx)
{
	static const char *const masters[] = { "system:masters", NULL };

	return apiserver_client(((struct server *)ctx)->api, "caravel-server", "system:caravel:server", masters);
}

/* For snapshots alone, so nobody who waits for the server waits for it. A start without room for it is a start:
 * snapshots say what they lack. */
static void own_token(struct server *s)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct shared_keys_opts keys = shared_keys(s);

	if (s->opened.shared)
		return;
	if (shared_keys_own(&keys, apiserver_ca_pem(s->api), &err) == 0)
		s->token = servers_token_new(
		    &(struct servers_token_opts){
			.env = s->env, .data_dir = s->o.node.data_dir, .token = shared_keys_file(&keys, &s->arena) },
		    &err);
	if (!s->token)
		log_warn("server", "the token that seals snapshots cannot be kept", "error", "%s", err_msg(&err));
}

static void start_snapshots(struct server *s)
{
	if (s->o.snapshots.disabled)
		return;
	if (!*s->o.kubeconfig && !s->o.datastore.endpoint) {
		log_kv(LVL_WARN, "snapshot",
		       "no snapshots are taken, as no kubeconfig is written that could ask for them", NULL);
		return;
	}
	snapshot_schedule_start(&s->snapshots, s->env, &s->o.snapshots, server_snapshot_argv(&s->arena, &s->o),
				server_snapshot_envp(&s->arena, &s->o), snapshot_client, s);
	s->snapshots_on = true;
}

static void start_control(struct server *s)
{
	struct control *c = control_start(
	    &(struct control_opts){ .env = s->env, .api = s->api, .o = &s->o, .elected = store_shared(s->store) });

	pthread_mutex_lock(&s->parts);
	s->control = c;
	pthread_mutex_unlock(&s->parts);
}

/* While everything still works: load balancers are told and given time, then whoever has asked is answered. */
static void end_gently(struct server *s)
{
	int64_t until;

	if (!s->api || !s->http)
		return;
	if (s->o.shutdown_retry_after) {
		log_info("server", "new requests are told to come again", "after", "%ds", 5);
		apiserver_refuse(s->api);
	} else {
		http_server_close(s->http);
	}
	until = env_mono_ns(s->env) + MIN(s->o.request_timeout_ns, DRAIN_MAX_NS);
	while (apiserver_under_way(s->api) > 0 && env_mono_ns(s->env) < until && daemon_pause(10 * NS_PER_MS))
		;
	http_server_close(s->http);
}

/* Something does not let go: a file on a mount that hangs, a reader of the audit log that reads no more. All that was
 * answered is in the store, which is made for an end at any moment. */
static void end_at_once(void *ctx)
{
	(void)ctx;
	log_kv(LVL_ERROR, "server", "the end takes too long: left at once", NULL);
	_exit(1);
}

/* Takes down whatever was started, in the reverse order; safe on a half-started server. */
static void stop(struct server *s)
{
	struct control *control;
	struct env_timer *guard;
	int64_t grace = MAX(s->o.shutdown_watch_grace_ns, STOP_GRACE_NS);

	if (s->store) /* one that does not answer keeps nobody from ending */
		store_hurry(s->store);
	snapshot_schedule_stop(&s->snapshots);
	daemon_node_stop(&s->node);
	guard = s->env ? env_after(s->env, ENV_TIMERS, MIN(s->o.request_timeout_ns, DRAIN_MAX_NS) + grace + END_MAX_NS,
				   end_at_once, s)
		       : NULL;
	pthread_mutex_lock(&s->parts); /* /metrics asks it no more */
	control = TAKE(s->control);
	pthread_mutex_unlock(&s->parts);
	control_stop(control);
	end_gently(s);
	if (s->api)
		apiserver_shutdown(s->api);
	if (s->http)
		s->http = http_server_stop(s->http, grace);
	control_free(control);
	if (s->api)
		apiserver_rest(s->api);
	/* With them go the last answers of those whose clients did not wait: the server must still be there. */
	for (int i = 0; i < s->n_threads; i++)
		ev_loop_stop(s->loops[i]);
	for (int i = 0; i < s->n_threads; i++)
		pthread_join(s->threads[i], NULL);
	for (int i = 0; i < NET_THREADS; i++)
		if (s->loops[i])
			ev_loop_free(s->loops[i]);
	s->api = apiserver_free(s->api);
	s->token = servers_token_free(s->token);
	s->agreed = encryption_agreed_free(s->agreed);
	server_store_rest(&s->opened);
	s->store = store_close(s->store);
	server_store_end(&s->opened);
	s->encryption = encryption_free(s->encryption);
	if (guard)
		env_timer_cancel(s->env, guard);
	s->env = env_real_free(s->env);
	snapshot_schedule_release(&s->snapshots);
	home_local_release(&s->home);
	stalls_unwatch();
	if (s->cidr_hold >= 0)
		close(s->cidr_hold);
}

static int server_serve(struct server *s, struct err *err)
{
	char port[16];
	bool started;
	int signum;

	s->env = daemon_begin(s->crash_dir);
	if (start_threads(s, err) < 0)
		return -1;
	started = start_api(s, err) == 0;
	/* Also after a failure: what is on the loops already ends on them, and stop() waits for that. Without threads
	 * nothing can be waited for. */
	if (run_threads(s, err) < 0)
		_exit(cli_fail_err(err));
	if (!started)
		return -1;
	own_token(s);
	snprintf(port, sizeof(port), "%d", s->o.port);
	log_kv(LVL_INFO, "server", "serving", "address", s->o.bind_address, "port", port, "data_dir",
	       s->o.node.data_dir, "kubeconfig", s->o.kubeconfig, NULL);
	start_control(s);
	start_snapshots(s);
	if (!s->o.disable_agent) {
		home_local_init(&s->home, s->env, s->api, &s->o);
		s->node = (struct daemon_node){ .home = &s->home.home, .o = &s->o.node };
		if (daemon_node_start(&s->node, err) < 0)
			return -1;
	}
	signum = daemon_wait(s->o.disable_agent ? NULL : &s->node);
	log_info("server", "stopping", "signal", "%s", strsignal(signum));
	apiserver_unready(s->api);
	if (!s->o.shutdown_delay_ns)
		store_hurry(s->store);
	apiserver_leave(s->api);
	(void)daemon_pause(s->o.shutdown_delay_ns);
	return atomic_load(&s->opened.removed) ? server_store_removed(&s->o, err) : 0;
}

/* The server from its start to its end: what a supervisor runs again. Returns the exit status. */
static int run(void *ctx)
{
	struct server *s = ctx;
	struct err err = ERR_INIT;
	int rc;

	rc = server_serve(s, &err);
	stop(s);
	return rc < 0 ? cli_fail_err(&err) : 0;
}

static void reset_told(struct server *s, bool now)
{
	const char *dir = s->o.node.data_dir, *at = server_store_address(&s->o);

	printf("%s'%s' is a cluster of this server alone, with all objects, keys and tokens%s%s%s.\n"
	       "Start it as ever, without --cluster-reset. On each other server, while it is stopped, remove its "
	       "DIR/etcd; then start it with --server https://%s%s%s:%d and --token of '%s/server/token'.\n",
	       now ? "" : "nothing to do: ", dir, now ? "; what it had as one of several is in '" : "", now ? dir : "",
	       now ? "/etcd.before-reset'" : "", strchr(at, ':') ? "[" : "", at, strchr(at, ':') ? "]" : "", s->o.port,
	       dir);
}

/* --cluster-reset, instead of a server. */
static int run_reset(void *ctx)
{
	struct server *s = ctx;
	struct err err = ERR_INIT;
	int rc;

	s->env = daemon_begin(s->crash_dir);
	rc = cluster_reset(&(struct etcd_member_opts){ .env = s->env,
						       .data_dir = s->o.node.data_dir,
						       .address = server_store_address(&s->o),
						       .port = s->o.etcd_port },
			   &err);
	s->env = env_real_free(s->env);
	stalls_unwatch();
	if (rc >= 0)
		reset_told(s, rc > 0);
	return rc < 0 ? cli_fail_err(&err) : 0;
}

int server_main(int argc, char **argv, const struct server_name *as)
{
	struct server s = { .cidr_hold = CIDRS_NO_HOLD, .dir_lock = -1, .parts = PTHREAD_MUTEX_INITIALIZER };
	struct option table[NODE_OPTIONS_MAX + SERVER_OPTIONS_MAX + SERVER_NAME_MAX];
	struct err err = ERR_INIT;
	size_t n, n_node;
	int rc, status = 0;

	/* By default every thread gets a heap of its own, and what thirty of them keep for later is most of an idle
	 * server's memory. Two would do for memory, but threads that write at once then wait for each other. */
	(void)mallopt(M_ARENA_MAX, 4);
	server_defaults(&s.o);
	n = server_option_table(&s.o, table, &n_node);
	if (as->options)
		n = as->options(as->ctx, &s.o, table, n, n_node);
	s.table = table;
	s.n_table = n;
	rc = cli_options_parse(&s.arena, table, n, argc, argv, as->config_file, NULL, &err);
	if (rc == 0 && as->settle)
		rc = as->settle(as->ctx, &s.arena, &err);
	if (rc == 0)
		rc = node_opts_log(&s.o.node, s.o.debug, &err);
	if (rc == 0)
		rc = complete(&s, &err);
	if (rc == 0) {
		s.crash_dir = arena_printf(&s.arena, "%s/crash", s.o.node.data_dir);
		status = s.o.cluster_reset ? daemon_run(s.crash_dir, true, run_reset, &s)
					   : daemon_run(s.crash_dir, s.o.no_supervise, run, &s);
	}
	cli_options_release(table, n);
	metric_rules_free(s.metric_rules);
	if (s.dir_lock >= 0)
		close(s.dir_lock);
	arena_release(&s.arena);
	return rc < 0 ? cli_fail_err(&err) : status;
}

int cmd_server(int argc, char **argv)
{
	return server_main(argc, argv, &(struct server_name){ .config_file = "/etc/caravel/config.yaml" });
}
