#include "apiserver/aggregator/aggregator.h"
#include "apiserver/bootstrap/bootstrap-internal.h"
#include "apiserver/bootstrap/bootstrap.h"
#include "apiserver/bootstrap/cluster_info.h"
#include "apiserver/bootstrap/join_token.h"
#include "apiserver/bootstrap/masters.h"
#include "apiserver/inbox.h"
#include "apiserver/pki.h"
#include "apiserver/registry/strategy.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "base/vec.h"
#include "codec/json.h"
#include "object/annotation.h"
#include "object/feature.h"
#include "object/legacy_token.h"

#include <stdlib.h>

/* True when every wanted rule or subject is in have. */
static bool contains_all(const struct val *have, const struct val *wanted)
{
	VAL_EACH(wanted, w) {
		bool found = false;

		VAL_EACH(have, h)
			found = found || val_equal(h, w);
		if (!found)
			return false;
	}
	return true;
}

static void add_missing(struct arena *a, struct val *doc, enum sym key, const struct val *wanted)
{
	struct val *list = val_ensure_list(a, doc, key);

	VAL_EACH(wanted, w) {
		bool found = false;

		VAL_EACH(list, h)
			found = found || val_equal(h, w);
		if (!found)
			val_push(a, list, w);
	}
}

static int restore(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	const struct val *wanted = ((struct write *)ctx)->wanted;

	(void)old;
	(void)err;
	add_missing(q->arena, doc, F_rules, val_get(wanted, F_rules));
	add_missing(q->arena, doc, F_subjects, val_get(wanted, F_subjects));
	return 0;
}

/* The namespace comes with the document or is "". */
static void ensure(struct batch *b, const struct resource *r, struct val *doc)
{
	struct sv ns = val_get_str(doc, F_metadata, F_namespace), name = val_get_str(doc, F_metadata, F_name);
	_cleanup_obj_ struct obj *have = wc_get(b->server->wc, r, ns, name);

	if (!have) {
		bootstrap_create(b, r, ns, doc);
		return;
	}
	if (!sv_is(annotation_of(obj_root(have), "rbac.authorization.kubernetes.io/autoupdate"), "true"))
		return;
	if (contains_all(obj_get(have, F_rules), val_get(doc, F_rules)) &&
	    contains_all(obj_get(have, F_subjects), val_get(doc, F_subjects)))
		return;
	bootstrap_update(b, r, ns, name, restore, doc);
}

static struct val *new_object(struct arena *a, const struct resource *r, const char *ns, const char *name)
{
	struct val *doc = val_new_map(a), *meta;
	char api_version[128];

	val_set_cstr(a, doc, F_kind, r->kind);
	val_set_cstr(a, doc, F_apiVersion, resource_api_version(r, api_version, sizeof(api_version)));
	meta = val_set_map(a, doc, F_metadata);
	val_set_cstr(a, meta, F_name, name);
	if (ns)
		val_set_cstr(a, meta, F_namespace, ns);
	return doc;
}

static void namespaces(struct batch *b)
{
	static const char *const names[] = { "default", "kube-system", "kube-public", "kube-node-lease" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ensure(b, RES(core_namespaces), new_object(&b->arena, RES(core_namespaces), NULL, names[i]));
}

/* What has no gate, or one that is on, without that word. */
static struct val *policy_gated(struct arena *a, struct val *list)
{
	struct val *out = val_new_list(a);

	for (size_t i = 0; i < val_len(list); i++) {
		struct val *e = val_at_mut(list, i);
		struct sv gate = val_get_str(e, F_gate);

		if (gate.n && !feature_on(feature_find(gate)))
			continue;
		val_del(e, F_gate);
		val_push(a, out, e);
	}
	return out;
}

struct val *rbac_policy(struct arena *a, struct err *err)
{
	struct val *list = json_decode(a, sv_from(rbac_policy_json), NULL, err);

	if (!list) {
		err_wrap(err, "reading the built-in RBAC policy");
		return NULL;
	}
	for (size_t i = 0; i < val_len(list); i++) {
		struct val *doc = val_at_mut(list, i), *rules = val_member_mut(doc, F_rules);

		if (rules)
			val_set(a, doc, F_rules, policy_gated(a, rules));
	}
	return policy_gated(a, list);
}

/* Whether or not the group is served. */
static const struct resource *policy_resource(const struct val *doc)
{
	static const struct resource *const kinds[] = { RES(rbac_roles), RES(rbac_clusterroles), RES(rbac_rolebindings),
							RES(rbac_clusterrolebindings) };
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(kinds) && !val_is(val_member(doc, F_kind), kinds[i]->kind))
		i++;
	return kinds[i];
}

static int policy(struct batch *b, struct err *err)
{
	struct val *list = rbac_policy(&b->arena, err);

	if (!list)
		return -1;
	for (size_t i = 0; i < val_len(list); i++) {
		struct val *doc = val_at_mut(list, i);

		ensure(b, policy_resource(doc), doc);
	}
	return 0;
}

static void priority_class(struct batch *b, const char *name, int64_t value, const char *description)
{
	struct val *doc = new_object(&b->arena, RES(scheduling_priorityclasses), NULL, name);

	val_set_int(&b->arena, doc, F_value, value);
	val_set_cstr(&b->arena, doc, F_description, description);
	ensure(b, RES(scheduling_priorityclasses), doc);
}

/* Descriptions, too, are as everywhere: tools that compare clusters compare them. */
static void priority_classes(struct batch *b)
{
	priority_class(
	    b, "system-cluster-critical", 2000000000,
	    "Used for system critical pods that must run in the cluster, but can be moved to another node if "
	    "necessary.");
	priority_class(b, "system-node-critical", 2000001000,
		       "Used for system critical pods that must not be moved from their current node.");
}

static void https_port(struct arena *a, struct val *owner, int64_t port)
{
	struct val *ports = val_new_list(a), *p = val_new_map(a);

	val_set_cstr(a, p, F_name, "https");
	val_set_int(a, p, F_port, 443);
	val_set_cstr(a, p, F_protocol, "TCP");
	val_set_int(a, p, F_targetPort, port);
	val_push(a, ports, p);
	val_set(a, owner, F_ports, ports);
}

static int set_endpoints(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	const struct val *wanted = ((struct write *)ctx)->wanted;
	enum sym key = val_get(wanted, F_subsets) ? F_subsets : F_endpoints;

	(void)err;
	if (val_equal(val_member(old, key), val_member(wanted, key)) &&
	    val_equal(val_member(old, F_ports), val_member(wanted, F_ports)))
		return 1;
	val_set(q->arena, doc, key, val_member(wanted, key));
	if (val_member(wanted, F_ports))
		val_set(q->arena, doc, F_ports, val_member(wanted, F_ports));
	return 0;
}

/* Addresses change between starts: made, or brought up to date. */
static void ensure_endpoints(struct batch *b, const struct resource *r, struct val *doc)
{
	struct sv ns = SV("default"), name = val_get_str(doc, F_metadata, F_name);
	_cleanup_obj_ struct obj *have = wc_get(b->server->wc, r, ns, name);

	if (!have) {
		bootstrap_create(b, r, ns, doc);
		return;
	}
	bootstrap_update(b, r, ns, name, set_endpoints, doc);
}

static int second_range(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	const struct val *wanted = val_get(((struct write *)ctx)->wanted, F_spec, F_cidrs),
			 *has = val_get(old, F_spec, F_cidrs);

	(void)err;
	if (val_len(has) != 1 || val_len(wanted) != 2 || !val_equal(val_at(has, 0), val_at(wanted, 0)))
		return 1;
	val_set(q->arena, val_ensure_map(q->arena, doc, F_spec), F_cidrs, wanted);
	return 0;
}

/* The ranges of the flags as an object. Once it is there it is what counts, and takes a second family alone from them;
 * whether they differ the controller of ServiceCIDRs tells. */
static void service_cidr(struct batch *b)
{
	struct sv rest = sv_from(b->server->o.service_cidr), one, name = SV("kubernetes");
	_cleanup_obj_ struct obj *have = wc_get(b->server->wc, RES(networking_servicecidrs), SV(""), name);
	struct arena *a = &b->arena;
	struct val *doc = new_object(a, RES(networking_servicecidrs), NULL, "kubernetes"),
		   *list = val_set_list(a, val_set_map(a, doc, F_spec), F_cidrs);
	struct ip_net net;

	while (sv_split(&rest, ',', &one))
		if (ip_net_parse(sv_trim(one), &net))
			val_push(a, list, val_new_str(a, arena_svf(a, "%s", ip_net_text(net).s)));
	if (!have)
		bootstrap_create(b, RES(networking_servicecidrs), SV(""), doc);
	else if (val_len(list) == 2 && val_len(obj_get(have, F_spec, F_cidrs)) == 1)
		bootstrap_update(b, RES(networking_servicecidrs), SV(""), name, second_range, doc);
}

/* The first address of the service range belongs to the API server itself; its endpoint follows a machine that changes
 * its address, as else pods reach no API until the next start. */
static void kubernetes_service(struct batch *b)
{
	const struct apiserver_opts *o = &b->server->o;
	struct arena *a = &b->arena;
	struct val *doc, *m;
	struct master own;

	doc = new_object(a, RES(core_services), "default", "kubernetes");
	m = val_ensure_map(a, val_get_mut(doc, F_metadata), F_labels);
	val_set_str_sv(a, m, SV("component"), SV("apiserver"));
	val_set_str_sv(a, m, SV("provider"), SV("kubernetes"));
	m = val_set_map(a, doc, F_spec);
	val_set_cstr(a, m, F_type, "ClusterIP");
	val_set_cstr(a, m, F_clusterIP, apiserver_first_service_ip(b->server, a));
	https_port(a, m, o->advertise_port);
	ensure(b, RES(core_services), doc);
	if (b->server->masters || !master_own(b->server, &own)) /* several servers write those of all */
		return;
	ensure_endpoints(b, RES(core_endpoints), masters_endpoints(a, &own, 1));
	ensure_endpoints(b, RES(discovery_endpointslices), masters_slice(a, &own, 1));
}

/* One that was deleted comes back with the next start, as upstream's. */
static void api_services(struct batch *b)
{
	const struct api_set *api = api_set_built_in();

	for (size_t i = 0; i < api->n_groups; i++)
		for (size_t k = 0; k < api->groups[i].n; k++) {
			const struct api_version *v = &api->groups[i].versions[k];

			if (aggregator_yields(v->group))
				continue;
			ensure(b, RES(apiregistration_apiservices),
			       aggregator_local(&b->arena, v->group, v->version, api->groups[i].priority,
						v->version_priority, "onstart"));
		}
}

static int data_of_wanted(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	struct val *data = val_ensure_map(q->arena, doc, F_data);

	(void)old;
	(void)err;
	VAL_EACH_MEMBER(val_get(((struct write *)ctx)->wanted, F_data), m)
		val_set_sv(q->arena, data, m.key, m.value);
	return 0;
}

/* A list as JSON: what the flags say or, without any front proxies of the administrator's, what we say ourselves. */
static void extension_list(struct batch *b, struct val *data, const char *key, const char *const *list, const char *own)
{
	struct val *l = val_new_list(&b->arena);
	_cleanup_(buf_release) struct buf json = BUF_INIT;

	if (!b->server->o.front_proxies.ca_file)
		val_push(&b->arena, l, val_new_str(&b->arena, sv_from(own)));
	for (; b->server->o.front_proxies.ca_file && list && *list; list++)
		val_push(&b->arena, l, val_new_str(&b->arena, sv_from(*list)));
	json_encode(&json, l);
	val_set_str_sv(&b->arena, data, sv_from(key), buf_sv(&json));
}

/* Whose certificates may say who asks: ours, and who is allowed besides. None named: everybody of the CAs. */
static void extension_names(struct batch *b, struct val *data)
{
	const struct apiserver_front_proxies *o = &b->server->o.front_proxies;
	VEC(const char *) names = VEC_INIT;

	for (const char *const *n = o->allowed_names; n && *n; n++)
		vec_push(&names, *n);
	if (names.n)
		vec_push(&names, FRONT_PROXY_CLIENT);
	vec_push(&names, NULL);
	extension_list(b, data, "requestheader-allowed-names", names.p, FRONT_PROXY_CLIENT);
	vec_release(&names);
}

/* By what servers that this one passes requests on to know its clients, and itself. */
static void extension_authentication(struct batch *b)
{
	const struct apiserver_front_proxies *o = &b->server->o.front_proxies;
	struct sv clients, proxies;
	struct sv ns = SV("kube-system"), name = SV("extension-apiserver-authentication");
	_cleanup_obj_ struct obj *have = wc_get(b->server->wc, RES(core_configmaps), ns, name);
	struct arena *a = &b->arena;
	struct val *doc, *data;
	bool same = true;

	if (!b->server->pki)
		return;
	doc = new_object(a, RES(core_configmaps), "kube-system", "extension-apiserver-authentication");
	data = val_set_map(a, doc, F_data);
	pki_trusted(b->server->pki, a, &clients, &proxies);
	val_set_str_sv(a, data, SV("client-ca-file"), clients);
	extension_names(b, data);
	extension_list(b, data, "requestheader-extra-headers-prefix", o->extra_prefix, "X-Remote-Extra-");
	extension_list(b, data, "requestheader-group-headers", o->group, "X-Remote-Group");
	val_set_str_sv(a, data, SV("requestheader-client-ca-file"), proxies);
	extension_list(b, data, "requestheader-uid-headers", o->uid, "X-Remote-Uid");
	extension_list(b, data, "requestheader-username-headers", o->username, "X-Remote-User");
	VAL_EACH_MEMBER(data, m)
		same = same && have && val_equal(val_member_sv(obj_get(have, F_data), m.key), m.value);
	if (!have)
		bootstrap_create(b, RES(core_configmaps), ns, doc);
	else if (!same)
		bootstrap_update(b, RES(core_configmaps), ns, name, data_of_wanted, doc);
}

static int since_today(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	(void)old;
	(void)err;
	val_set_sv(q->arena, val_ensure_map(q->arena, doc, F_data), SV(LEGACY_TOKEN_TRACKING_SINCE),
		   val_member_sv(val_member(((struct write *)ctx)->wanted, F_data), SV(LEGACY_TOKEN_TRACKING_SINCE)));
	return 0;
}

/* Since when uses of the tokens in Secrets are noted; without a day that can be read nobody could tell what an unused
 * one is. */
static void token_tracking(struct batch *b)
{
	struct sv ns = SV(LEGACY_TOKEN_TRACKING_NS), name = SV(LEGACY_TOKEN_TRACKING);
	_cleanup_obj_ struct obj *have = wc_get(b->server->wc, RES(core_configmaps), ns, name);
	char today[DATE_TEXT_MAX];
	struct val *doc;
	int64_t t;

	if (!b->server->pki) /* no such token is good */
		return;
	if (have && date_parse(val_str(val_member_sv(obj_get(have, F_data), SV(LEGACY_TOKEN_TRACKING_SINCE))), &t))
		return;
	doc = new_object(&b->arena, RES(core_configmaps), LEGACY_TOKEN_TRACKING_NS, LEGACY_TOKEN_TRACKING);
	val_set_str_sv(&b->arena, val_set_map(&b->arena, doc, F_data), SV(LEGACY_TOKEN_TRACKING_SINCE),
		       date_format(env_now_ns(b->server->env), today));
	if (have)
		bootstrap_update(b, RES(core_configmaps), ns, name, since_today, doc);
	else
		bootstrap_create(b, RES(core_configmaps), ns, doc);
}

static int set_kubeconfig(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	(void)old;
	(void)err;
	val_set_sv(q->arena, val_ensure_map(q->arena, doc, F_data), SV("kubeconfig"),
		   val_member_sv(val_member(((struct write *)ctx)->wanted, F_data), SV("kubeconfig")));
	return 0;
}

/* Brought up to date: another address, a renewed CA. */
static void cluster_info(struct batch *b)
{
	struct val *doc = cluster_info_doc(b->server, &b->arena);
	struct sv ns = val_get_str(doc, F_metadata, F_namespace), name = val_get_str(doc, F_metadata, F_name);
	_cleanup_obj_ struct obj *have = doc ? wc_get(b->server->wc, RES(core_configmaps), ns, name) : NULL;

	if (doc && !have)
		bootstrap_create(b, RES(core_configmaps), ns, doc);
	else if (doc && !val_equal(val_member_sv(obj_get(have, F_data), SV("kubeconfig")),
				   val_member_sv(val_member(doc, F_data), SV("kubeconfig"))))
		bootstrap_update(b, RES(core_configmaps), ns, name, set_kubeconfig, doc);
}

/* The one that there is may be what cannot be opened: no second one is made over it. */
static bool join_token_hidden(struct batch *b)
{
	struct err why = ERR_INIT;

	if (set_aside_blocked(b->server, RES(core_secrets), SV(""), &why) == 0)
		return false;
	if (set_aside_waits(b->server, RES(core_secrets)) && b->err.reason == ERR_NONE)
		err_move(&b->err, &why); /* tried again */
	else
		log_warn("apiserver", "no token for nodes to join is made: not all Secrets can be read", "error", "%s",
			 err_msg(&why));
	err_release(&why);
	return true;
}

static void join_token(struct batch *b, struct sv *ret_text, struct err *err)
{
	struct val *doc;

	if (!b->server->pki || join_token_hidden(b))
		return;
	doc = join_token_secret(b->server, &b->arena, ret_text, err);
	if (doc)
		ensure(b, RES(core_secrets), doc);
}

/* -1: *err, and nothing will mend it. *later: a write failed, for a reason outside. */
static int bootstrap_all(struct apiserver *s, struct err *later, struct err *err)
{
	struct err why = ERR_INIT;
	struct sv token = SV("");
	struct batch b;
	int rc, pki;

	bootstrap_batch_init(&b, s);
	store_gather(s->store, true);
	namespaces(&b);
	store_gather(s->store, false);
	bootstrap_wait(&b);	      /* what follows lives in them */
	store_gather(s->store, true); /* a hundred objects, one sync */
	rc = policy(&b, &why);
	pki = rc < 0 ? rc : pki_wait(s, &why);
	if (pki == 0) {
		priority_classes(&b);
		bootstrap_flow(&b);
		service_cidr(&b);
		kubernetes_service(&b);
		extension_authentication(&b);
		api_services(&b);
		token_tracking(&b);
		cluster_info(&b);
		join_token(&b, &token, &why);
	}
	store_gather(s->store, false);
	bootstrap_wait(&b);
	if (token.n && b.err.reason == ERR_NONE && why.reason == ERR_NONE && s->o.data_dir)
		(void)join_token_write(&b.arena, s->o.data_dir, token, &why);
	(void)bootstrap_batch_end(&b, later);
	return why.reason == ERR_NONE ? 0 : err_move(err, &why);
}

static void bootstrap_again(void *ctx);

/* s->lock is held. */
static void bootstrap_arm(struct apiserver *s)
{
	s->bootstrap_armed = true;
	s->bootstrap_timer = env_after(s->env, ENV_CONTROL, NS_PER_SEC, bootstrap_again, s);
}

/* Who can do something about it reads what is waited for in the log, once as long as it stays the same. */
static void bootstrap_later(struct apiserver *s, struct err *later, bool first)
{
	pthread_mutex_lock(&s->lock);
	if (first || strcmp(err_msg(&s->bootstrap_why), err_msg(later)) != 0)
		log_warn("apiserver",
			 "what a cluster starts with cannot be written yet, and is tried again each second", "error",
			 "%s", err_msg(later));
	err_release(&s->bootstrap_why);
	err_move(&s->bootstrap_why, later);
	pthread_mutex_unlock(&s->lock);
}

static void bootstrap_again(void *ctx)
{
	struct err later = ERR_INIT, err = ERR_INIT;
	struct apiserver *s = ctx;
	bool failed, left = atomic_load(&s->stopping);

	pthread_mutex_lock(&s->lock);
	s->bootstrap_timer = env_timer_cancel(s->env, s->bootstrap_timer);
	pthread_mutex_unlock(&s->lock);
	if (!left && bootstrap_all(s, &later, &err) < 0) {
		err_release(&later);
		err_move(&later, &err);
	}
	failed = left || later.reason != ERR_NONE;
	if (failed && !left)
		bootstrap_later(s, &later, false);
	else if (!left)
		log_kv(LVL_INFO, "apiserver", "what a cluster starts with is written", NULL);
	pthread_mutex_lock(&s->lock);
	if (!failed)
		err_release(&s->bootstrap_why);
	s->bootstrap_armed = false;
	if (failed && !atomic_load(&s->stopping))
		bootstrap_arm(s);
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

int bootstrap_run(struct apiserver *s, struct err *err)
{
	struct err later = ERR_INIT;

	if (bootstrap_all(s, &later, err) < 0) {
		err_release(&later);
		return -1;
	}
	if (later.reason == ERR_NONE)
		return 0;
	bootstrap_later(s, &later, true);
	pthread_mutex_lock(&s->lock);
	bootstrap_arm(s);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

void bootstrap_keep(struct apiserver *s)
{
	struct batch b;

	bootstrap_batch_init(&b, s);
	namespaces(&b);
	bootstrap_wait(&b);
	bootstrap_flow(&b);
	service_cidr(&b);
	kubernetes_service(&b);
	token_tracking(&b);
	extension_authentication(&b);
	bootstrap_wait(&b);
	(void)bootstrap_batch_end(&b, NULL); /* the next minute tries again */
}
