/* The address of a Service, out of what the API server knows: the machine it runs on need neither have the cluster's
 * name server nor its rules for cluster IPs. */
#include "apiserver/webhook/webhook-internal.h"
#include "apiserver/watchcache.h"

#include <stdlib.h>

/* The name of its port of that number: SV_NULL when it has none. */
static struct sv resolve_port(const struct obj *svc, int port)
{
	VAL_EACH(obj_get(svc, F_spec, F_ports), p)
		if (val_get_int(p, -1, F_port) == port)
			return val_get_str(p, F_name);
	return SV_NULL;
}

/* A ready address of the subsets that have the port; at random, but not `avoid` while there is another. */
static bool resolve_endpoint(struct apiserver *s, const struct obj *eps, struct sv port_name, const char *avoid,
			     struct sv *ret_ip, int64_t *ret_port)
{
	const struct val *subsets = obj_get(eps, F_subsets);
	size_t seen = 0;

	VAL_EACH(subsets, sub) {
		int64_t port = -1;

		VAL_EACH(val_get(sub, F_ports), p)
			if (sv_eq(val_get_str(p, F_name), port_name))
				port = val_get_int(p, -1, F_port);
		if (port < 0)
			continue;
		VAL_EACH(val_get(sub, F_addresses), a) {
			struct sv ip = val_get_str(a, F_ip);

			if (avoid && sv_is(ip, avoid) && seen)
				continue;
			/* The k-th of those seen takes the place with a chance of one in k: each is as likely. */
			if ((avoid && *ret_port && sv_is(*ret_ip, avoid)) || env_random_below(s->env, ++seen) == 0) {
				*ret_ip = ip;
				*ret_port = port;
			}
		}
	}
	return seen > 0;
}

int webhook_resolve(struct apiserver *s, const struct webhook_target *t, const char *avoid, char **ret_host,
		    int *ret_port, struct err *err)
{
	_cleanup_obj_ struct obj *svc = NULL, *eps = NULL;
	struct sv name, ip = SV_NULL;
	int64_t port = 0;

	if (!t->ns) {
		*ret_host = xstrdup(t->host);
		*ret_port = t->port;
		return 0;
	}
	svc = wc_get(s->wc, RES(core_services), sv_from(t->ns), sv_from(t->name));
	if (!svc)
		return err_not_found(err, RES(core_services), sv_from(t->name));
	if (val_is(obj_get(svc, F_spec, F_type), "ExternalName")) {
		*ret_host = xasprintf("%.*s", SV_ARG(val_str(obj_get(svc, F_spec, F_externalName))));
		*ret_port = t->port;
		return 0;
	}
	name = resolve_port(svc, t->port);
	if (!name.p)
		return err_set(err, ERR_UNAVAILABLE, "no service port %d found for service \"%s\"", t->port, t->name);
	eps = wc_get(s->wc, RES(core_endpoints), sv_from(t->ns), sv_from(t->name));
	if (eps && resolve_endpoint(s, eps, name, avoid, &ip, &port) && port > 0 && port <= UINT16_MAX) {
		*ret_host = xasprintf("%.*s", SV_ARG(ip));
		*ret_port = (int)port;
		return 0;
	}
	ip = val_str(obj_get(svc, F_spec, F_clusterIP));
	/* Nobody has written Endpoints: their controller may be elsewhere, or another's. */
	if (!eps && ip.n && !sv_is(ip, "None")) {
		*ret_host = xasprintf("%.*s", SV_ARG(ip));
		*ret_port = t->port;
		return 0;
	}
	return err_set(err, ERR_UNAVAILABLE, "no endpoints available for service \"%s\"", t->name);
}
