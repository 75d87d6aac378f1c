#include "kubelet/pod_dns.h"

#include "base/file.h"
#include "kubelet/pod_spec.h"

#define RESOLV_CONF_MAX ((size_t)1 << 16)

/* The pod's word replaces the policy's. */
static void dns_set_option(struct arena *a, struct resolv_conf *d, struct sv name, struct sv value)
{
	for (size_t i = 0; i < d->n_options; i++)
		if (sv_eq(d->options[i], name) || sv_starts(d->options[i], arena_svf(a, "%.*s:", SV_ARG(name))))
			d->options[i--] = d->options[--d->n_options];
	resolv_conf_add_option(d, value.n ? arena_svf(a, "%.*s:%.*s", SV_ARG(name), SV_ARG(value)) : name);
}

static void dns_limit_searches(struct resolv_conf *d)
{
	size_t bytes = 0;

	for (size_t i = 0; i < d->n_searches; i++) {
		bytes += d->searches[i].n + (i > 0);
		if (bytes > POD_DNS_SEARCH_BYTES) {
			d->n_searches = i;
			d->searches_cut = true;
		}
	}
}

static void dns_cluster_first(struct arena *a, struct sv ns, const struct pod_dns_cluster *c, struct resolv_conf *d)
{
	struct resolv_conf *host = ARENA_NEW(a, struct resolv_conf);
	struct sv rest = sv_from(c->servers), ip;

	while (sv_split(&rest, ',', &ip))
		resolv_conf_add_server(d, ip);
	resolv_conf_add_search(d, arena_svf(a, "%.*s.svc.%s", SV_ARG(ns), c->domain));
	resolv_conf_add_search(d, arena_svf(a, "svc.%s", c->domain));
	resolv_conf_add_search(d, sv_from(c->domain));
	if (c->host_file && resolv_conf_read(a, c->host_file, host)) {
		for (size_t i = 0; i < host->n_searches; i++)
			resolv_conf_add_search(d, host->searches[i]);
		d->searches_cut |= host->searches_cut;
	}
	resolv_conf_add_option(d, SV("ndots:5"));
}

int pod_dns_ready(struct arena *a, const struct val *pod, const char *chosen, struct err *err)
{
	struct sv text;

	if (!chosen || val_is(val_get(pod, F_spec, F_dnsPolicy), "None") ||
	    file_read(a, chosen, RESOLV_CONF_MAX, &text, err) == 0)
		return 0;
	return err_wrap(err, "finding the pod's name servers (--resolv-conf)");
}

void pod_dns_form(struct arena *a, const struct val *pod, struct sv ns, const struct pod_dns_cluster *c,
		  struct resolv_conf *ret)
{
	const struct val *policy = val_get(pod, F_spec, F_dnsPolicy), *extra = val_get(pod, F_spec, F_dnsConfig);

	*ret = (struct resolv_conf){ 0 };
	if (c->servers && (val_is(policy, "ClusterFirstWithHostNet") ||
			   (!pod_host_network(pod) && (val_is(policy, "ClusterFirst") || !policy))))
		dns_cluster_first(a, ns, c, ret);
	else if (!val_is(policy, "None") && c->host_file)
		(void)resolv_conf_read(a, c->host_file, ret);
	VAL_EACH(val_member(extra, F_nameservers), s)
		resolv_conf_add_server(ret, val_str(s));
	VAL_EACH(val_member(extra, F_searches), s)
		resolv_conf_add_search(ret, val_str(s));
	VAL_EACH(val_member(extra, F_options), o)
		dns_set_option(a, ret, val_get_str(o, F_name), val_get_str(o, F_value));
	dns_limit_searches(ret);
}
