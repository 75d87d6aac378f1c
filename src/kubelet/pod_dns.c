#include "kubelet/pod_dns.h"

#include "base/file.h"
#include "kubelet/pod_spec.h"

#define RESOLV_CONF_MAX ((size_t)1 << 16)

static bool dns_word(struct sv *rest, struct sv *ret)
{
	size_t i = 0, n;

	while (i < rest->n && (rest->p[i] == ' ' || rest->p[i] == '\t' || rest->p[i] == '\r'))
		i++;
	for (n = i; n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t' && rest->p[n] != '\r';)
		n++;
	*ret = sv_sub(*rest, i, n - i);
	*rest = sv_sub(*rest, n, rest->n);
	return ret->n > 0;
}

/* False: it does not fit. */
static bool dns_add(struct sv *list, size_t *n, size_t max, struct sv s)
{
	for (size_t i = 0; i < *n; i++)
		if (sv_eq(list[i], s))
			return true;
	if (*n == max)
		return false;
	list[(*n)++] = s;
	return true;
}

static void dns_add_server(struct pod_dns *d, struct sv s)
{
	if (!dns_add(d->servers, &d->n_servers, ARRAY_LEN(d->servers), s))
		d->servers_cut = true;
}

static void dns_add_search(struct pod_dns *d, struct sv s)
{
	if (s.n > 1 && s.p[s.n - 1] == '.')
		s = sv_sub(s, 0, s.n - 1); /* the same with a dot and without */
	if (!dns_add(d->searches, &d->n_searches, ARRAY_LEN(d->searches), s))
		d->searches_cut = true;
}

void pod_dns_parse(struct sv text, struct pod_dns *d)
{
	struct sv line, key, word;

	while (sv_split(&text, '\n', &line)) {
		if (!dns_word(&line, &key))
			continue;
		if (sv_is(key, "nameserver") && dns_word(&line, &word)) {
			dns_add_server(d, word);
		} else if (sv_is(key, "search")) {
			d->n_searches = 0; /* the last line counts */
			d->searches_cut = false;
			while (dns_word(&line, &word))
				dns_add_search(d, word);
		} else if (sv_is(key, "options")) {
			while (dns_word(&line, &word))
				(void)dns_add(d->options, &d->n_options, ARRAY_LEN(d->options), word);
		}
	}
}

bool pod_dns_has_loopback(const struct pod_dns *d)
{
	for (size_t i = 0; i < d->n_servers; i++)
		if (sv_starts(d->servers[i], SV("127.")) || sv_is(d->servers[i], "::1"))
			return true;
	return false;
}

static bool dns_read(struct arena *a, const char *path, struct pod_dns *d)
{
	struct sv text;

	if (file_read(a, path, RESOLV_CONF_MAX, &text, NULL) < 0)
		return false;
	pod_dns_parse(text, d);
	return true;
}

const char *pod_dns_host_of(struct arena *a, const char *const *files, bool *ret_loopback)
{
	bool loopback = false, found = false;
	const char *first = files[0];

	for (; *files && !found; files += !found) {
		struct pod_dns *d = ARENA_NEW(a, struct pod_dns);

		if (!dns_read(a, *files, d) || !d->n_servers)
			continue;
		found = !pod_dns_has_loopback(d);
		loopback |= !found;
	}
	if (ret_loopback)
		*ret_loopback = loopback && !found;
	return found ? *files : first;
}

const char *pod_dns_host_file(struct arena *a, const char *chosen, bool *ret_loopback)
{
	const char *const usual[] = { "/etc/resolv.conf", "/run/systemd/resolve/resolv.conf", NULL };

	return pod_dns_host_of(a, chosen ? (const char *const[]){ chosen, NULL } : usual, ret_loopback);
}

/* The pod's word replaces the policy's. */
static void dns_set_option(struct arena *a, struct pod_dns *d, struct sv name, struct sv value)
{
	for (size_t i = 0; i < d->n_options; i++)
		if (sv_eq(d->options[i], name) || sv_starts(d->options[i], arena_svf(a, "%.*s:", SV_ARG(name))))
			d->options[i--] = d->options[--d->n_options];
	(void)dns_add(d->options, &d->n_options, ARRAY_LEN(d->options),
		      value.n ? arena_svf(a, "%.*s:%.*s", SV_ARG(name), SV_ARG(value)) : name);
}

static void dns_limit_searches(struct pod_dns *d)
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

static void dns_cluster_first(struct arena *a, struct sv ns, const struct pod_dns_cluster *c, struct pod_dns *d)
{
	struct pod_dns *host = ARENA_NEW(a, struct pod_dns);
	struct sv rest = sv_from(c->servers), ip;

	while (sv_split(&rest, ',', &ip))
		dns_add_server(d, ip);
	dns_add_search(d, arena_svf(a, "%.*s.svc.%s", SV_ARG(ns), c->domain));
	dns_add_search(d, arena_svf(a, "svc.%s", c->domain));
	dns_add_search(d, sv_from(c->domain));
	if (c->host_file && dns_read(a, c->host_file, host)) {
		for (size_t i = 0; i < host->n_searches; i++)
			dns_add_search(d, host->searches[i]);
		d->searches_cut |= host->searches_cut;
	}
	(void)dns_add(d->options, &d->n_options, ARRAY_LEN(d->options), SV("ndots:5"));
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
		  struct pod_dns *ret)
{
	const struct val *policy = val_get(pod, F_spec, F_dnsPolicy), *extra = val_get(pod, F_spec, F_dnsConfig);

	*ret = (struct pod_dns){ 0 };
	if (c->servers && (val_is(policy, "ClusterFirstWithHostNet") ||
			   (!pod_host_network(pod) && (val_is(policy, "ClusterFirst") || !policy))))
		dns_cluster_first(a, ns, c, ret);
	else if (!val_is(policy, "None") && c->host_file)
		(void)dns_read(a, c->host_file, ret);
	VAL_EACH(val_member(extra, F_nameservers), s)
		dns_add_server(ret, val_str(s));
	VAL_EACH(val_member(extra, F_searches), s)
		dns_add_search(ret, val_str(s));
	VAL_EACH(val_member(extra, F_options), o)
		dns_set_option(a, ret, val_get_str(o, F_name), val_get_str(o, F_value));
	dns_limit_searches(ret);
}
