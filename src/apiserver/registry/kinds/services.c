/* Services: computed defaults; ClusterIPs and node ports, each handed out once. Who has which the store knows
 * (service_claims.c); the sets of allocators.c say where to try. */
#include "apiserver/pki.h"
#include "apiserver/registry/kinds/allocators.h"
#include "apiserver/registry/kinds/service_claims.h"
#include "apiserver/storekey.h"

#include <stdlib.h>

/* --- reserving for one write --- */

struct reservation {
	number_list numbers;
};

/* A Service that was stored is seen by now, so its numbers stay taken. */
static void reservation_drop(struct allocators *al, struct reservation *r)
{
	pthread_mutex_lock(&al->lock);
	for (size_t i = 0; i < r->numbers.n; i++)
		number_reserve(al, r->numbers.p[i], false);
	pthread_mutex_unlock(&al->lock);
	vec_release(&r->numbers);
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

/* An unreadable Service of this name holds the address: it is the name that is taken, and the write says so. */
static bool holds_itself(struct api_req *q, struct allocators *al, const struct val *doc, struct number n)
{
	struct sv key =
	    storekey(q->arena, q->res, val_get_str(doc, F_metadata, F_namespace), val_get_str(doc, F_metadata, F_name));
	const struct service_numbers *c = strmap_get(&al->unread, key);

	for (size_t i = 0; c && i < c->n; i++)
		if (ip_eq(c->numbers[i], n.ip))
			return !number_used(al, n);
	return false;
}

/* One address: the one that was asked for, or any of the family. */
static int reserve_address(struct api_req *q, struct allocators *al, const struct val *doc, struct sv family,
			   struct sv *ip, struct reservation *r, struct err *err)
{
	const char *why = NULL;
	struct sv bounds = SV("");
	struct number n;

	if (!ip->n) {
		if (!number_take_ip(al, sv_is(family, "IPv6"), env_random_u64(q->server->env), &n))
			return err_set(err, ERR_INTERNAL, "failed to allocate a serviceIP: range is full");
		vec_push(&r->numbers, n);
		*ip = number_text(q->arena, n);
		return 0;
	}
	if (!number_of_ip(*ip, &n) || !number_in_range(al, n, &bounds, q->arena))
		why = bounds.n
			  ? arena_printf(q->arena,
					 "the provided IP (%.*s) is not in the valid range. The range of valid IPs "
					 "is %.*s",
					 SV_ARG(*ip), SV_ARG(bounds))
			  : "the provided network does not match the current range";
	else if (number_taken(al, n) && !holds_itself(q, al, doc, n))
		why = "provided IP is already allocated";
	if (why)
		return invalid(err, doc, "spec.clusterIPs", arena_printf(q->arena, "[\"%.*s\"]", SV_ARG(*ip)),
			       arena_printf(q->arena, "failed to allocate IP %.*s: %s", SV_ARG(*ip), why));
	number_reserve(al, n, true);
	vec_push(&r->numbers, n);
	return 0;
}

static int reserve_ips(struct api_req *q, struct allocators *al, const struct val *old, struct val *doc,
		       struct reservation *r, struct err *err)
{
	struct val *spec = val_get_mut(doc, F_spec), *list;
	const struct val *families, *asked;
	size_t n;

	if (service_type_is(doc, "ExternalName"))
		return 0;
	if (service_families(q, al, old, doc, err) < 0)
		return -1;
	if (val_is(val_get(spec, F_clusterIP), "None")) {
		val_push(q->arena, val_set_list(q->arena, spec, F_clusterIPs), val_new_str_ref(q->arena, SV("None")));
		return 0;
	}
	families = val_get(spec, F_ipFamilies);
	asked = val_get(spec, F_clusterIPs);
	list = val_new_list(q->arena);
	n = MAX(val_len(families), val_len(asked));
	for (size_t i = 0; i < n; i++) {
		struct sv ip = val_str(val_at(asked, i));

		if (!i && !ip.n)
			ip = val_get_str(spec, F_clusterIP);
		if (!(ip.n && old && shows_ip(old, ip)) &&
		    reserve_address(q, al, doc, val_str(val_at(families, i)), &ip, r, err) < 0)
			return -1;
		val_push(q->arena, list, val_new_str(q->arena, ip));
	}
	val_set(q->arena, spec, F_clusterIPs, list);
	val_set(q->arena, spec, F_clusterIP, val_at(list, 0));
	return 0;
}

static void port_reserved(struct allocators *al, struct reservation *r, struct number n)
{
	number_mark(&al->mine, n, true);
	vec_push(&r->numbers, n);
}

/* The port that tells a load balancer whether this node has endpoints of the service. */
static int reserve_health_port(struct api_req *q, struct allocators *al, const struct val *old, struct val *doc,
			       struct reservation *r, struct err *err)
{
	struct val *spec = val_get_mut(doc, F_spec);
	int64_t port = val_get_int(spec, 0, F_healthCheckNodePort);
	struct number n;

	if (port == 0) {
		if (!number_take_port(al, env_random_u64(q->server->env), &n))
			return err_set(err, ERR_INTERNAL, "failed to allocate a HealthCheckNodePort: range is full");
		val_set_int(q->arena, spec, F_healthCheckNodePort, number_port(n));
	} else {
		if (old && val_get_int(old, 0, F_spec, F_healthCheckNodePort) == port)
			return 0;
		if (!number_of_port(al, port, &n))
			return 0; /* not from the range: nobody else can be given it */
		if (number_taken(al, n))
			return err_set(err, ERR_INTERNAL,
				       "failed to allocate requested HealthCheck NodePort %" PRId64
				       ": provided port is already allocated",
				       port);
		number_reserve(al, n, true);
	}
	port_reserved(al, r, n);
	return 0;
}

/* The node ports that doc asks for. */
static int reserve_asked(struct api_req *q, struct allocators *al, const struct val *old, struct val *doc,
			 struct reservation *r, struct err *err)
{
	const struct val *ports = val_get(doc, F_spec, F_ports);
	struct service_ports had = service_node_ports(q->arena, old);

	for (size_t i = 0; i < val_len(ports); i++) {
		int64_t port = val_get_int(val_at(ports, i), 0, F_nodePort);
		struct number n;

		if (port == 0 || service_has_node_port(&had, port))
			continue;

		const char *field = arena_printf(q->arena, "spec.ports[%zu].nodePort", i);
		const char *value = arena_printf(q->arena, "%" PRId64, port);

		if (!number_of_port(al, port, &n))
			return invalid(
			    err, doc, field, value,
			    arena_printf(q->arena,
					 "provided port is not in the valid range. The range of valid ports is %s",
					 q->server->o.node_port_range));
		/* One port number may serve TCP and UDP of the same Service. */
		if (number_marked(&al->mine, n))
			continue;
		if (number_taken(al, n))
			return invalid(err, doc, field, value, "provided port is already allocated");
		number_reserve(al, n, true);
		port_reserved(al, r, n);
	}
	return 0;
}

struct numbered_port {
	int64_t port;
	size_t i; /* its place among the Service's */
};

static int numbered_port_cmp(const void *x, const void *y)
{
	const struct numbered_port *a = x, *b = y;

	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return (a->i > b->i) - (a->i < b->i);
}

/* Of a new Service the ports of one number (DNS over TCP and over UDP) have one node port: the first that one of them
 * asked for, else one that is taken for all. In a Service that is there each port gets its own, as upstream gives
 * them. */
static int reserve_others(struct api_req *q, struct allocators *al, bool is_new, struct val *ports,
			  struct reservation *r, struct err *err)
{
	size_t count = val_len(ports);
	struct numbered_port *by = ARENA_ARRAY(q->arena, struct numbered_port, count + 1);

	for (size_t i = 0; i < count; i++)
		by[i] = (struct numbered_port){ val_get_int(val_at(ports, i), 0, F_port), i };
	if (is_new && count > 1)
		qsort(by, count, sizeof(*by), numbered_port_cmp);
	for (size_t i = 0, end; i < count; i = end) {
		int64_t shared = 0;

		for (end = i; end < count && (end == i || (is_new && by[end].port == by[i].port)); end++)
			if (!shared)
				shared = val_get_int(val_at(ports, by[end].i), 0, F_nodePort);
		for (size_t k = i; k < end; k++) {
			struct val *p = val_at_mut(ports, by[k].i);
			struct number n;

			if (val_get_int(p, 0, F_nodePort))
				continue;
			if (!shared) {
				if (!number_take_port(al, env_random_u64(q->server->env), &n))
					return err_set(err, ERR_INTERNAL,
						       "failed to allocate a nodePort: range is full");
				port_reserved(al, r, n);
				shared = number_port(n);
			}
			val_set_int(q->arena, p, F_nodePort, shared);
		}
	}
	return 0;
}

static int reserve_ports(struct api_req *q, struct allocators *al, const struct val *old, struct val *doc,
			 struct reservation *r, struct err *err)
{
	if (service_wants_health_port(doc) && reserve_health_port(q, al, old, doc, r, err) < 0)
		return -1;
	if (!service_wants_node_ports(doc))
		return 0;
	/* Those asked for come first: a number that is taken for another port must not be one of them. */
	if (reserve_asked(q, al, old, doc, r, err) < 0)
		return -1;
	return reserve_others(q, al, !old, val_get_mut(doc, F_spec, F_ports), r, err);
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
	rc = reserve_ips(q, al, old, doc, r, err);
	if (rc == 0)
		rc = reserve_ports(q, al, old, doc, r, err);
	for (size_t i = 0; i < r->numbers.n; i++)
		if (r->numbers.p[i].kind == NUMBER_PORT)
			number_mark(&al->mine, r->numbers.p[i], false);
	pthread_mutex_unlock(&al->lock);
	if (rc < 0 || q->dry_run) {
		reservation_drop(al, r);
		return rc;
	}
	*state = r;
	return 0;
}

static void service_reserved(struct apiserver *s, void *state)
{
	if (state)
		reservation_drop(allocators_of(s), state);
}

/* --- defaults and updates --- */

static void service_defaults(struct api_req *q, struct val *doc)
{
	struct arena *a = q->arena;
	struct val *spec = val_get_mut(doc, F_spec), *ports, *list;
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
	if (!service_type_is(doc, "LoadBalancer"))
		return;
	if (!val_get(spec, F_allocateLoadBalancerNodePorts))
		val_set_bool(a, spec, F_allocateLoadBalancerNodePorts, true);
	list = val_get_mut(doc, F_status, F_loadBalancer, F_ingress);
	for (size_t i = 0; i < val_len(list); i++) {
		struct val *one = val_at_mut(list, i);

		if (val_get_str(one, F_ip).n && !val_get(one, F_ipMode))
			val_set_cstr(a, one, F_ipMode, "VIP");
	}
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

static const struct sub_handler service_subs[] = { { "proxy", service_proxy, .streams = true, .connects = true,
						     .any_method = true },
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
	.warn = service_warn,
	.reserve = service_reserve,
	.commit = service_reserved,
	.rollback = service_reserved,
	.also = service_claims,
	.also_refused = service_claim_refused,
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
