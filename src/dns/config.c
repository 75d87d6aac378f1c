#include "dns/config.h"

#include <stdlib.h>

#define CACHE_MAX_S 3600
#define DENY_MAX_S 300
#define STALE_MAX_S 3600
#define HOSTS_TTL_S 3600

struct dns_config *dns_config_new(struct sv domain)
{
	struct dns_config *c;
	struct dns_forward *f;
	struct dns_name name;

	if (!dns_name_parse(domain, &name) || name.n < 2)
		return NULL;
	dns_name_lower(&name);
	c = xcalloc(1, sizeof(*c));
	c->domain = name;
	c->ttl = 5;
	c->cache_max_s = CACHE_MAX_S;
	c->deny_max_s = DENY_MAX_S;
	c->stale_max_s = STALE_MAX_S;
	c->hosts.ttl = HOSTS_TTL_S;
	c->log_errors = true;
	f = xcalloc(1, sizeof(*f));
	f->zone.n = 1;
	f->host = true;
	vec_push(&c->forwards, f);
	return c;
}

static void config_free_addrs(void *p)
{
	struct dns_host_addrs *a = p;

	vec_release(&a->list);
	free(a);
}

struct dns_config *dns_config_free(struct dns_config *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; i < c->forwards.n; i++) {
		vec_release(&c->forwards.p[i]->except);
		free(c->forwards.p[i]);
	}
	vec_release(&c->forwards);
	vec_release(&c->rewrites);
	strmap_release_with(&c->hosts.names, config_free_addrs);
	strmap_release_with(&c->hosts.addrs, free);
	free(c);
	return NULL;
}

void dns_config_ranges(struct dns_config *c, const char *list)
{
	struct sv rest = sv_from(list), one;

	while (sv_split(&rest, ',', &one))
		if (c->n_ranges < ARRAY_LEN(c->ranges) && ip_net_parse(sv_trim(one), &c->ranges[c->n_ranges]))
			c->n_ranges++;
}

void dns_config_service(struct dns_config *c, const char *list)
{
	struct sv rest = sv_from(list), one;

	while (sv_split(&rest, ',', &one))
		if (c->n_service < ARRAY_LEN(c->service) && ip_parse(sv_trim(one), &c->service[c->n_service]))
			c->n_service++;
}

void dns_config_host(struct dns_config *c, const struct ip_addr *servers, size_t n)
{
	for (size_t i = 0; i < c->forwards.n; i++) {
		struct dns_forward *f = c->forwards.p[i];

		for (size_t k = 0; f->host && k < n && f->n_to < ARRAY_LEN(f->to); k++)
			f->to[f->n_to++] = (struct dns_upstream){ servers[k], 53 };
	}
}

static bool config_excepts(const struct dns_forward *f, const struct dns_name *name)
{
	size_t before;

	for (size_t i = 0; i < f->except.n; i++)
		if (dns_name_within(name, &f->except.p[i], &before))
			return true;
	return false;
}

const struct dns_forward *dns_config_forward(const struct dns_config *c, const struct dns_name *name)
{
	size_t before;

	for (size_t i = 0; i < c->forwards.n; i++)
		if (dns_name_within(name, &c->forwards.p[i]->zone, &before) && !config_excepts(c->forwards.p[i], name))
			return c->forwards.p[i];
	return NULL;
}

static bool config_apply(const struct dns_rewrite *r, struct dns_name *name)
{
	struct dns_name was = *name;
	size_t before;

	if (!r->suffix) {
		if (!dns_name_eq(name, &r->from))
			return false;
		*name = r->to;
		return true;
	}
	return dns_name_within(&was, &r->from, &before) &&
	       dns_name_join(sv_make((const char *)was.b, before), &r->to, name);
}

bool dns_config_rewrite(const struct dns_config *c, const struct dns_name *name, struct dns_name *ret)
{
	*ret = *name;
	for (size_t i = 0; i < c->rewrites.n; i++)
		if (config_apply(&c->rewrites.p[i], ret) && c->rewrites.p[i].stop)
			break;
	return !dns_name_eq(ret, name);
}

const struct dns_host_addrs *dns_config_host_addrs(const struct dns_config *c, const struct dns_name *name)
{
	return strmap_get(&c->hosts.names, sv_make((const char *)name->b, name->n));
}

const struct dns_name *dns_config_host_name(const struct dns_config *c, struct ip_addr a)
{
	return strmap_get(&c->hosts.addrs, sv_make((const char *)a.b, sizeof(a.b)));
}
