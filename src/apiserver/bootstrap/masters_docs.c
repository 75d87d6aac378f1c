/* The objects that say which servers there are. Pure. */
#include "apiserver/bootstrap/masters.h"
#include "codec/json.h"
#include "object/slice.h"

#include <stdlib.h>

static int master_order(const void *a, const void *b)
{
	const struct master *x = a, *y = b;
	int by_family = (int)ip_is_v4(y->ip) - (int)ip_is_v4(x->ip), by_ip = memcmp(&x->ip, &y->ip, sizeof(x->ip));

	if (by_family)
		return by_family;
	return x->port != y->port ? (x->port > y->port) - (x->port < y->port) : by_ip;
}

static bool masters_together(const struct master *x, const struct master *y)
{
	return x->port == y->port && ip_is_v4(x->ip) == ip_is_v4(y->ip);
}

/* In groups of one family and port. */
static size_t masters_sort(struct master *list, size_t n)
{
	size_t to = 0;

	qsort(list, n, sizeof(*list), master_order);
	for (size_t i = 0; i < n; i++)
		if (!to || master_order(&list[i], &list[to - 1]))
			list[to++] = list[i];
	return to;
}

static size_t masters_group(const struct master *list, size_t n, size_t from)
{
	size_t i = from;

	while (i < n && masters_together(&list[from], &list[i]))
		i++;
	return i;
}

static struct val *masters_new_object(struct arena *a, const char *api_version, const char *kind, const char *label,
				      const char *text)
{
	struct val *doc = val_new_map(a), *meta;

	val_set_cstr(a, doc, F_kind, kind);
	val_set_cstr(a, doc, F_apiVersion, api_version);
	meta = val_set_map(a, doc, F_metadata);
	val_set_cstr(a, meta, F_name, "kubernetes");
	val_set_cstr(a, meta, F_namespace, "default");
	val_set_str_sv(a, val_set_map(a, meta, F_labels), sv_from(label), sv_from(text));
	return doc;
}

static void masters_port(struct arena *a, struct val *owner, int port)
{
	struct val *ports = val_new_list(a), *p = val_new_map(a);

	val_set_cstr(a, p, F_name, "https");
	val_set_int(a, p, F_port, port);
	val_set_cstr(a, p, F_protocol, "TCP");
	val_push(a, ports, p);
	val_set(a, owner, F_ports, ports);
}

static struct sv masters_ip(struct arena *a, const struct master *m)
{
	return arena_svf(a, "%s", ip_text(m->ip).s);
}

struct val *masters_endpoints(struct arena *a, struct master *list, size_t n)
{
	struct val *doc = masters_new_object(a, "v1", "Endpoints", "endpointslice.kubernetes.io/skip-mirror", "true"),
		   *subsets = val_new_list(a);

	n = masters_sort(list, n);
	for (size_t i = 0, end; i < n; i = end) {
		struct val *subset = val_new_map(a), *addresses = val_set_list(a, subset, F_addresses);

		end = masters_group(list, n, i);
		for (size_t k = i; k < end; k++) {
			struct val *address = val_new_map(a);

			val_set_str(a, address, F_ip, masters_ip(a, &list[k]));
			val_push(a, addresses, address);
		}
		masters_port(a, subset, list[i].port);
		val_push(a, subsets, subset);
	}
	val_set(a, doc, F_subsets, subsets);
	return doc;
}

struct val *masters_slice(struct arena *a, struct master *list, size_t n)
{
	struct val *doc =
		       masters_new_object(a, "discovery.k8s.io/v1", "EndpointSlice", SLICE_SERVICE_LABEL, "kubernetes"),
		   *endpoints = val_new_list(a);
	size_t from = 0, to = 0;

	n = masters_sort(list, n);
	for (size_t i = 0, end; i < n; i = end) {
		end = masters_group(list, n, i);
		if (end - i > to - from) {
			from = i;
			to = end;
		}
	}
	val_set_cstr(a, doc, F_addressType, n && !ip_is_v4(list[from].ip) ? "IPv6" : "IPv4");
	for (size_t i = from; i < to; i++) {
		struct val *e = val_new_map(a);

		val_push(a, val_set_list(a, e, F_addresses), val_new_str(a, masters_ip(a, &list[i])));
		val_set_bool(a, val_set_map(a, e, F_conditions), F_ready, true);
		val_push(a, endpoints, e);
	}
	val_set(a, doc, F_endpoints, endpoints);
	if (n)
		masters_port(a, doc, list[from].port);
	return doc;
}

/* Upstream's value is protobuf and has no port: its servers take their own for everybody's. */
bool master_read(struct sv key, struct sv value, int own_port, struct master *ret)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv prefix = SV(MASTERS_KEYS);
	int64_t port = 0;

	if (!sv_starts(key, prefix) || !ip_parse(sv_sub(key, prefix.n, key.n), &ret->ip))
		return false;
	if (sv_starts(value, SV("{"))) {
		const struct val *doc = json_decode(&a, value, NULL, NULL),
				 *subset = val_at(val_get(doc, F_subsets), 0);

		port = val_get_int(val_at(val_get(subset, F_ports), 0), 0, F_port);
	}
	ret->port = port > 0 && port < 65536 ? (int)port : own_port;
	return true;
}
