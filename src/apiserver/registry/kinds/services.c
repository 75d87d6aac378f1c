/* Services: computed defaults; ClusterIPs and node ports, each handed out once.
 *
 * Both allocators are bitmaps that follow the stored Services: a bit is set when a request
 * reserves it or a stored Service shows it, and cleared when the Service that showed it is
 * gone, or when the reserving write failed. The store's thread observes a Service before
 * its write is answered, so a bit is never free in between. What an unreadable Service may
 * have (services_unread.c) is held beside them, as long as that is stored. */
#include "apiserver/pki.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/storekey.h"
#include "base/ip.h"
#include "base/strmap.h"
#include "base/vec.h"

#include <pthread.h>
#include <stdlib.h>

#define IPS_MAX ((uint32_t)1 << 20) /* larger ranges are used up to here */

struct bitmap {
	uint64_t *words, *held; /* held: what unreadable Services may have */
	uint32_t n;
};

struct allocators {
	pthread_mutex_t lock;
	struct bitmap ips;   /* offset from range.addr */
	struct bitmap ports; /* offset from first_port */
	uint64_t *mine;	     /* of ports: what the request at hand has reserved; empty without the lock */
	struct ip_net range; /* of cluster IPs; IPv4 */
	int first_port;
	struct strmap unread; /* store key -> struct service_claims */
};

static struct allocators *allocators_of(struct apiserver *s)
{
	return s->strategies;
}

static bool bit_get(const struct bitmap *b, uint32_t i)
{
	return (b->words[i / 64] | b->held[i / 64]) >> (i % 64) & 1;
}

/* By a Service that can be read. */
static bool bit_shown(const struct bitmap *b, uint32_t i)
{
	return b->words[i / 64] >> (i % 64) & 1;
}

static void bit_set(struct bitmap *b, uint32_t i, bool on)
{
	uint64_t mask = UINT64_C(1) << (i % 64);

	if (on)
		b->words[i / 64] |= mask;
	else
		b->words[i / 64] &= ~mask;
}

static void bitmap_init(struct bitmap *b, uint32_t n)
{
	b->n = n;
	b->words = xcalloc(n / 64 + 1, sizeof(*b->words));
	b->held = xcalloc(n / 64 + 1, sizeof(*b->held));
}

static void bitmap_release(struct bitmap *b)
{
	free(b->words);
	free(b->held);
}

/* A free bit at or after a random place, in [from, n). False when all are taken. */
static bool bit_take(struct bitmap *b, uint32_t from, uint64_t chance, uint32_t *ret)
{
	uint32_t room = b->n > from ? b->n - from : 0;

	for (uint32_t k = 0; k < room; k++) {
		uint32_t i = from + (uint32_t)((chance + k) % room);

		if (bit_get(b, i))
			continue;
		bit_set(b, i, true);
		*ret = i;
		return true;
	}
	return false;
}

/* --- what a Service shows --- */

static bool in_range(const struct allocators *al, struct sv text, uint32_t *ret)
{
	struct ip_addr ip;
	uint64_t at;

	if (!ip_parse(text, &ip) || !ip_offset(al->range.addr, ip, &at) || at >= al->ips.n)
		return false;
	*ret = (uint32_t)at;
	return true;
}

static void show(struct allocators *al, const struct val *svc, bool on)
{
	const struct val *spec = val_get(svc, F_spec);
	uint32_t at;

	VAL_EACH(val_get(spec, F_clusterIPs), ip)
		if (in_range(al, val_str(ip), &at))
			bit_set(&al->ips, at, on);
	VAL_EACH(val_get(spec, F_ports), p) {
		int64_t port = val_get_int(p, 0, F_nodePort) - al->first_port;

		if (port >= 0 && port < al->ports.n)
			bit_set(&al->ports, (uint32_t)port, on);
	}
	int64_t health = val_get_int(spec, 0, F_healthCheckNodePort) - al->first_port;

	if (health >= 0 && health < al->ports.n)
		bit_set(&al->ports, (uint32_t)health, on);
}

static void service_observe(struct apiserver *s, struct obj *old, struct obj *neu)
{
	struct allocators *al = allocators_of(s);

	pthread_mutex_lock(&al->lock);
	if (old)
		show(al, obj_root(old), false);
	if (neu)
		show(al, obj_root(neu), true);
	pthread_mutex_unlock(&al->lock);
}

static void hold(struct bitmap *b, const struct service_claims *c, struct ip_addr base)
{
	for (size_t i = 0; i < c->n; i++) {
		uint64_t at;

		if (ip_offset(base, c->numbers[i], &at) && at < b->n)
			b->held[at / 64] |= UINT64_C(1) << (at % 64);
	}
}

/* An address that is handed out twice breaks two Services, one that is held in vain nobody misses. */
static void service_unread(struct apiserver *s, struct sv key, struct sv value, const struct obj *last)
{
	struct allocators *al = allocators_of(s);
	struct service_claims *c = value.p ? service_claims_read(value, last) : NULL, *was;

	pthread_mutex_lock(&al->lock);
	was = c ? strmap_set(&al->unread, key, c) : strmap_del(&al->unread, key);
	if (was || c) {
		memset(al->ips.held, 0, (al->ips.n / 64 + 1) * sizeof(*al->ips.held));
		memset(al->ports.held, 0, (al->ports.n / 64 + 1) * sizeof(*al->ports.held));
		STRMAP_EACH(&al->unread, e) {
			hold(&al->ips, e->value, al->range.addr);
			hold(&al->ports, e->value, ip_v4((uint32_t)al->first_port));
		}
	}
	pthread_mutex_unlock(&al->lock);
	service_claims_free(was);
}

static int observe_one(struct obj *o, void *ctx)
{
	show(ctx, obj_root(o), true);
	return 0;
}

int allocators_start(struct apiserver *s, struct err *err)
{
	struct allocators *al = xcalloc(1, sizeof(*al));
	struct sv head, range = sv_from(s->o.node_port_range);
	int64_t first, last;
	unsigned bits;

	s->strategies = al;
	pthread_mutex_init(&al->lock, NULL);
	if (!ip_net_parse(sv_from(s->o.service_cidr), &al->range) || !ip_is_v4(al->range.addr) ||
	    ip_net_len(al->range) < 8 || ip_net_len(al->range) > 30)
		return err_set(err, ERR_INVALID, "service CIDR '%s' is not an IPv4 range like 10.43.0.0/16",
			       s->o.service_cidr);
	bits = 128U - al->range.bits;
	bitmap_init(&al->ips, (uint32_t)MIN(UINT64_C(1) << bits, (uint64_t)IPS_MAX));
	/* Neither the network's own address nor the broadcast address. */
	bit_set(&al->ips, 0, true);
	bit_set(&al->ips, al->ips.n - 1, true);

	if (!sv_split(&range, '-', &head) || !sv_to_i64(head, &first) || !sv_to_i64(range, &last) || first < 1 ||
	    last > 65535 || first > last)
		return err_set(err, ERR_INVALID, "node port range '%s' is not a range like 30000-32767",
			       s->o.node_port_range);
	al->first_port = (int)first;
	bitmap_init(&al->ports, (uint32_t)(last - first + 1));
	al->mine = xcalloc(al->ports.n / 64 + 1, sizeof(*al->mine));
	registry_each(s, RES(core_services), SV(""), observe_one, al);
	return 0;
}

void allocators_free(struct apiserver *s)
{
	struct allocators *al = allocators_of(s);

	if (!al)
		return;
	bitmap_release(&al->ips);
	bitmap_release(&al->ports);
	free(al->mine);
	strmap_release_with(&al->unread, service_claims_free);
	pthread_mutex_destroy(&al->lock);
	free(al);
	s->strategies = NULL;
}

/* --- reserving for one write --- */

struct reservation {
	VEC(uint32_t) ips, ports;
};

static void reservation_drop(struct allocators *al, struct reservation *r, bool undo)
{
	pthread_mutex_lock(&al->lock);
	for (size_t i = 0; undo && i < r->ips.n; i++)
		bit_set(&al->ips, r->ips.p[i], false);
	for (size_t i = 0; undo && i < r->ports.n; i++)
		bit_set(&al->ports, r->ports.p[i], false);
	pthread_mutex_unlock(&al->lock);
	vec_release(&r->ips);
	vec_release(&r->ports);
	free(r);
}

static int invalid(struct err *err, const struct val *doc, const char *field, const char *value, const char *text)
{
	struct sv name = val_get_str(doc, F_metadata, F_name);

	err_set(err, ERR_INVALID, "Service \"%.*s\" is invalid: %s: Invalid value: %s: %s", SV_ARG(name), field, value,
		text);
	err_set_object(err, SV(""), SV("Service"), name);
	return err_add_cause(err, "FieldValueInvalid", sv_from(field), "Invalid value: %s: %s", value, text);
}

static bool shows_ip(const struct val *svc, struct sv ip)
{
	VAL_EACH(val_get(svc, F_spec, F_clusterIPs), x)
		if (sv_eq(val_str(x), ip))
			return true;
	return false;
}

/* Without addresses of its own and of pods, a Service may have both families. */
static void settle_families(struct arena *a, struct val *spec)
{
	bool any = val_is(val_get(spec, F_clusterIP), "None") && !val_len(val_get(spec, F_selector));
	bool single = val_is(val_get(spec, F_ipFamilyPolicy), "SingleStack");
	struct val *list;

	if (!val_len(val_get(spec, F_ipFamilies))) {
		list = val_set_list(a, spec, F_ipFamilies);
		val_push(a, list, val_new_str_ref(a, SV("IPv4")));
		if (any && !single)
			val_push(a, list, val_new_str_ref(a, SV("IPv6")));
	}
	if (!val_get(spec, F_ipFamilyPolicy))
		val_set_cstr(a, spec, F_ipFamilyPolicy,
			     val_len(val_get(spec, F_ipFamilies)) > 1 ? "RequireDualStack" : "SingleStack");
}

/* An unreadable Service of this name holds the address: it is the name that is taken, and the write says so. */
static bool holds_itself(struct api_req *q, struct allocators *al, const struct val *doc, uint32_t at)
{
	struct sv key =
	    storekey(q->arena, q->res, val_get_str(doc, F_metadata, F_namespace), val_get_str(doc, F_metadata, F_name));
	const struct service_claims *c = strmap_get(&al->unread, key);

	for (size_t i = 0; c && i < c->n; i++)
		if (ip_eq(c->numbers[i], ip_add(al->range.addr, at)))
			return !bit_shown(&al->ips, at);
	return false;
}

static int reserve_ip(struct api_req *q, struct allocators *al, const struct val *old, struct val *doc,
		      struct reservation *r, struct err *err)
{
	struct val *spec = val_get_mut(doc, F_spec);
	struct sv ip = val_get_str(spec, F_clusterIP);
	struct val *list;
	uint32_t at;

	if (service_type_is(doc, "ExternalName"))
		return 0;
	if (ip.n == 0 && val_len(val_get(spec, F_clusterIPs)))
		ip = val_str(val_at(val_get(spec, F_clusterIPs), 0));
	if (ip.n == 0) {
		/* The lower part of the range is left to those who ask for an address (KEP-3070). */
		uint32_t reserved = MIN(MAX(al->ips.n / 16, (uint32_t)16), (uint32_t)256);

		if (!bit_take(&al->ips, reserved < al->ips.n ? reserved : 0, env_random_u64(q->server->env), &at) &&
		    !bit_take(&al->ips, 0, 0, &at))
			return err_set(err, ERR_INTERNAL, "failed to allocate a serviceIP: range is full");
		vec_push(&r->ips, at);
		ip = arena_sv(q->arena, sv_from(ip_text(ip_add(al->range.addr, at)).s));
	} else if (!sv_is(ip, "None") && !(old && shows_ip(old, ip))) {
		const char *value = arena_printf(q->arena, "[\"%.*s\"]", SV_ARG(ip));

		if (!in_range(al, ip, &at))
			return invalid(err, doc, "spec.clusterIPs", value,
				       arena_printf(q->arena,
						    "failed to allocate IP %.*s: the provided network does not match "
						    "the current range",
						    SV_ARG(ip)));
		if (bit_get(&al->ips, at) && !holds_itself(q, al, doc, at))
			return invalid(err, doc, "spec.clusterIPs", value,
				       arena_printf(q->arena,
						    "failed to allocate IP %.*s: provided IP is already allocated",
						    SV_ARG(ip)));
		bit_set(&al->ips, at, true);
		vec_push(&r->ips, at);
	}
	val_set_str(q->arena, spec, F_clusterIP, ip);
	list = val_set_list(q->arena, spec, F_clusterIPs);
	val_push(q->arena, list, val_new_str(q->arena, ip));
	settle_families(q->arena, spec);
	return 0;
}

static bool reserved_here(const struct allocators *al, uint32_t at)
{
	return al->mine[at / 64] >> (at % 64) & 1;
}

static void port_reserved(struct allocators *al, struct reservation *r, uint32_t at)
{
	al->mine[at / 64] |= UINT64_C(1) << (at % 64);
	vec_push(&r->ports, at);
}

/* The port that tells a load balancer whether this node has endpoints of the service. */
static int reserve_health_port(struct api_req *q, struct allocators *al, const struct val *old, struct val *doc,
			       struct reservation *r, struct err *err)
{
	struct val *spec = val_get_mut(doc, F_spec);
	int64_t port = val_get_int(spec, 0, F_healthCheckNodePort);
	uint32_t at;

	if (port == 0) {
		if (!bit_take(&al->ports, 0, env_random_u64(q->server->env), &at))
			return err_set(err, ERR_INTERNAL, "failed to allocate a HealthCheckNodePort: range is full");
		val_set_int(q->arena, spec, F_healthCheckNodePort, al->first_port + (int64_t)at);
	} else {
		if (old && val_get_int(old, 0, F_spec, F_healthCheckNodePort) == port)
			return 0;
		if (port < al->first_port || port - al->first_port >= al->ports.n)
			return 0; /* not from the range: nobody else can be given it */
		at = (uint32_t)(port - al->first_port);
		if (bit_get(&al->ports, at))
			return err_set(err, ERR_INTERNAL,
				       "failed to allocate requested HealthCheck NodePort %" PRId64
				       ": provided port is already allocated",
				       port);
		bit_set(&al->ports, at, true);
	}
	port_reserved(al, r, at);
	return 0;
}

static int reserve_ports(struct api_req *q, struct allocators *al, const struct val *old, struct val *doc,
			 struct reservation *r, struct err *err)
{
	struct val *ports = val_get_mut(doc, F_spec, F_ports);
	struct service_ports had;

	if (service_wants_health_port(doc) && reserve_health_port(q, al, old, doc, r, err) < 0)
		return -1;
	if (!service_wants_node_ports(doc))
		return 0;
	had = service_node_ports(q->arena, old);
	for (size_t i = 0; i < val_len(ports); i++) {
		struct val *p = val_at_mut(ports, i);
		int64_t port = val_get_int(p, 0, F_nodePort);
		uint32_t at;

		if (port == 0) {
			if (!bit_take(&al->ports, 0, env_random_u64(q->server->env), &at))
				return err_set(err, ERR_INTERNAL, "failed to allocate a nodePort: range is full");
			port_reserved(al, r, at);
			val_set_int(q->arena, p, F_nodePort, al->first_port + (int64_t)at);
			continue;
		}
		if (service_has_node_port(&had, port))
			continue;

		const char *field = arena_printf(q->arena, "spec.ports[%zu].nodePort", i);
		const char *value = arena_printf(q->arena, "%" PRId64, port);

		if (port < al->first_port || port - al->first_port >= al->ports.n)
			return invalid(
			    err, doc, field, value,
			    arena_printf(q->arena,
					 "provided port is not in the valid range. The range of valid ports is %s",
					 q->server->o.node_port_range));
		at = (uint32_t)(port - al->first_port);
		/* One port number may serve TCP and UDP of the same Service. */
		if (reserved_here(al, at))
			continue;
		if (bit_get(&al->ports, at))
			return invalid(err, doc, field, value, "provided port is already allocated");
		bit_set(&al->ports, at, true);
		port_reserved(al, r, at);
	}
	return 0;
}

static int service_reserve(struct api_req *q, const struct val *old, struct val *doc, void **state, struct err *err)
{
	struct allocators *al = allocators_of(q->server);
	struct reservation *r;
	int rc;

	*state = NULL;
	if (!doc)
		return 0;
	r = xcalloc(1, sizeof(*r));
	pthread_mutex_lock(&al->lock);
	rc = reserve_ip(q, al, old, doc, r, err);
	if (rc == 0)
		rc = reserve_ports(q, al, old, doc, r, err);
	for (size_t i = 0; i < r->ports.n; i++)
		al->mine[r->ports.p[i] / 64] = 0;
	pthread_mutex_unlock(&al->lock);
	if (rc < 0 || q->dry_run) {
		reservation_drop(al, r, true);
		return rc;
	}
	*state = r;
	return 0;
}

static void service_commit(struct api_req *q, void *state)
{
	if (state)
		reservation_drop(allocators_of(q->server), state, false);
}

static void service_rollback(struct api_req *q, void *state)
{
	if (state)
		reservation_drop(allocators_of(q->server), state, true);
}

/* --- defaults and updates --- */

static void service_defaults(struct api_req *q, struct val *doc)
{
	struct arena *a = q->arena;
	struct val *spec = val_get_mut(doc, F_spec), *ports;
	bool external_name;

	if (!spec)
		return;
	external_name = service_type_is(doc, "ExternalName");
	ports = val_get_mut(spec, F_ports);
	for (size_t i = 0; i < val_len(ports); i++) {
		struct val *p = val_at_mut(ports, i);
		const struct val *target = val_get(p, F_targetPort);

		if (val_get(p, F_port) && (!target || (val_type(target) == VAL_INT && target->i == 0) ||
					   (val_type(target) == VAL_STR && target->n == 0)))
			val_set_int(a, p, F_targetPort, val_get_int(p, 0, F_port));
	}
	if (val_is(val_get(spec, F_sessionAffinity), "None")) {
		val_del(spec, F_sessionAffinityConfig);
	} else if (val_is(val_get(spec, F_sessionAffinity), "ClientIP")) {
		struct val *client = val_ensure_map(a, val_ensure_map(a, spec, F_sessionAffinityConfig), F_clientIP);

		if (!val_get(client, F_timeoutSeconds))
			val_set_int(a, client, F_timeoutSeconds, 10800);
	}
	if (!val_get_str(spec, F_externalTrafficPolicy).n &&
	    (service_type_is(doc, "NodePort") || service_type_is(doc, "LoadBalancer") ||
	     val_len(val_get(spec, F_externalIPs))))
		val_set_cstr(a, spec, F_externalTrafficPolicy, "Cluster");
	if (!val_get(spec, F_internalTrafficPolicy) && !external_name)
		val_set_cstr(a, spec, F_internalTrafficPolicy, "Cluster");
	if (!val_get(spec, F_allocateLoadBalancerNodePorts) && service_type_is(doc, "LoadBalancer"))
		val_set_bool(a, spec, F_allocateLoadBalancerNodePorts, true);
}

static void service_create(struct api_req *q, struct val *doc)
{
	service_sync_cluster_ips(q, NULL, doc);
}

static bool service_field(const struct val *svc, struct sv label, struct sv *ret)
{
	if (sv_is(label, "spec.clusterIP"))
		*ret = val_get_str(svc, F_spec, F_clusterIP);
	else if (sv_is(label, "spec.type"))
		*ret = val_get_str(svc, F_spec, F_type);
	else
		return false;
	return true;
}

/* Addresses are IPv4 here; only a Service that names its endpoints itself may speak of others. */
static void service_validate(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *families = val_member(spec, F_ipFamilies);
	struct fpath at = FPATH_ROOT(F_spec), list_at = FPATH(&at, F_ipFamilies),
		     policy_at = FPATH(&at, F_ipFamilyPolicy);
	size_t i = 0;

	(void)old;
	if (fe->list.n) /* what the cluster has comes after what any has */
		return;
	if (sub || service_type_is(doc, "ExternalName") ||
	    (val_is(val_member(spec, F_clusterIP), "None") && !val_len(val_member(spec, F_selector))))
		return;
	VAL_EACH(families, f) {
		struct fpath here = FPATH_AT(&list_at, i++);

		if (val_is(f, "IPv6"))
			fe_invalid(fe, &here, f, "not configured on this cluster");
	}
	if (val_is(val_member(spec, F_ipFamilyPolicy), "RequireDualStack"))
		fe_invalid(fe, &policy_at, val_member(spec, F_ipFamilyPolicy),
			   "this cluster is not configured for dual-stack services");
}

static const struct sub_handler service_subs[] = { { "proxy", service_proxy, .streams = true },
						   { NULL, NULL, .streams = false } };

const struct strategy service_strategy = {
	.subs = service_subs,
	.res = RES(core_services),
	.returns_deleted = true,
	.name_check = fmt_dns_label,
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.set_defaults = service_defaults,
	.prepare_create = service_create,
	.prepare_update = service_prepare_update,
	.validate = service_validate,
	.warn = service_warn,
	.reserve = service_reserve,
	.commit = service_commit,
	.rollback = service_rollback,
	.field_label = service_field,
	.observe = service_observe,
	.unread = service_unread,
};

const struct strategy endpoints_strategy = {
	.res = RES(core_endpoints),
	.deprecated = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
};
