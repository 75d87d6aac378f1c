/* The API of a server, from its flags to the first answer. */
#include "cli/server-internal.h"

#include "base/log.h"
#include "cli/server_options.h"
#include "cli/supervise.h"
#include "client/zpages.h"
#include "net/tls.h"
#include "snapshot/restore.h"

#include <limits.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define BODY_MAX ((size_t)3 << 20)
#define DESCRIPTORS_WANTED 65536
#define DESCRIPTORS_KEPT 512  /* for files, the runtime, children: not for connections */
#define KEPT_LISTENER "https" /* across a death of ours nobody is refused */

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
	if (server_kubeconfig_write(s, &err) < 0)
		log_warn("server", "the renewed kubeconfig cannot be written", "error", "%s", err_msg(&err));
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

/* A restore that was killed behind its moment is finished before anybody looks at what it replaces. */
static int finish_restore(struct server *s, struct err *err)
{
	int r = restore_finish(s->o.node.data_dir, err);

	if (r > 0)
		log_kv(LVL_INFO, "server", "a restore that was interrupted is finished", "data_dir", s->o.node.data_dir,
		       NULL);
	return MIN(r, 0);
}

int server_api_start(struct server *s, struct err *err)
{
	struct server_opts *o = &s->o;
	struct apiserver_opts api;

	s->metric_rules = server_metric_rules(&s->arena, o, err);
	o->datastore.kept = o->history_ns != 0;
	if (!s->metric_rules || finish_restore(s, err) < 0 || server_shared_open(s, err) < 0 ||
	    server_shared_facts(s, err) < 0)
		return -1;
	api = (struct apiserver_opts){
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
	};
	server_shared_api(s, &api);
	s->api = apiserver_new(&api, err);
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
	return server_kubeconfig_first(s, err);
}
