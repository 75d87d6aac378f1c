#include "netd/policy/model.h"

#include "base/strmap.h"
#include "codec/json.h"
#include "pod/pod_phase.h"

#include <netinet/in.h>
#include <stdlib.h>

const char *const netpol_proto_names[NETPOL_PROTOS] = { "tcp", "udp", "sctp" };
const uint8_t netpol_proto_numbers[NETPOL_PROTOS] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP };

/* --- ranges --- */

static int netpol_range_order(const void *a, const void *b)
{
	const struct netpol_range *x = a, *y = b;

	return x->v4 != y->v4 ? y->v4 - x->v4 : ip_cmp(x->lo, y->lo);
}

/* Sorted, and apart from each other; how many are left. */
static size_t netpol_merge_ranges(struct netpol_range *r, size_t n)
{
	size_t to = 0;

	if (n == 0)
		return 0;
	qsort(r, n, sizeof(*r), netpol_range_order);
	for (size_t i = 1; i < n; i++) {
		struct netpol_range *last = &r[to];
		struct ip_addr next = ip_add(last->hi, 1);

		/* next is none behind the very last address: then everything that follows lies inside. */
		if (r[i].v4 == last->v4 && (ip_is_none(next) || ip_cmp(r[i].lo, next) <= 0)) {
			if (ip_cmp(r[i].hi, last->hi) > 0)
				last->hi = r[i].hi;
		} else {
			r[++to] = r[i];
		}
	}
	return to + 1;
}

static bool netpol_net_range(struct sv text, struct netpol_range *ret)
{
	struct ip_net net;

	if (!ip_net_parse(text, &net))
		return false;
	*ret = (struct netpol_range){ net.addr, net.addr, ip_is_v4(net.addr) };
	for (unsigned i = 0; i < sizeof(ret->hi.b); i++) {
		unsigned keep = net.bits > 8 * i ? MIN(net.bits - 8 * i, 8U) : 0;

		ret->hi.b[i] |= (uint8_t)(0xffU >> keep);
	}
	return true;
}

/* What is left of a block, at most one more than it has exceptions. False: it cannot be read. */
static bool netpol_block(struct arena *a, const struct val *block, struct netpol_range *ret, size_t *ret_n)
{
	const struct val *list = val_member(block, F_except);
	struct netpol_range *except = ARENA_ARRAY(a, struct netpol_range, val_len(list) + 1);
	struct netpol_range all;
	size_t n = 0;

	*ret_n = 0;
	if (!netpol_net_range(val_get_str(block, F_cidr), &all))
		return false;
	VAL_EACH(list, e)
		if (!netpol_net_range(val_str(e), &except[n++]))
			return false;
	n = netpol_merge_ranges(except, n);
	for (size_t i = 0; i < n; i++) {
		if (except[i].v4 != all.v4 || ip_cmp(except[i].hi, all.lo) < 0)
			continue;
		if (ip_cmp(except[i].lo, all.hi) > 0)
			break;
		if (ip_cmp(except[i].lo, all.lo) > 0) {
			struct ip_addr before = except[i].lo;

			/* the address before it, which there is, as all.lo is one */
			for (size_t k = sizeof(before.b); k-- > 0 && before.b[k]-- == 0;)
				;
			ret[(*ret_n)++] = (struct netpol_range){ all.lo, before, all.v4 };
		}
		if (ip_cmp(except[i].hi, all.hi) >= 0)
			return true;
		all.lo = ip_add(except[i].hi, 1);
	}
	ret[(*ret_n)++] = all;
	return true;
}

bool netpol_in_ranges(const struct netpol_rule *r, struct ip_addr ip)
{
	const struct netpol_range at = { ip, ip, ip_is_v4(ip) };
	size_t n = 0, end = r->n_ranges; /* the first n begin at ip or before, those from end on behind it */

	while (n < end) {
		size_t mid = n + (end - n) / 2;

		if (netpol_range_order(&r->ranges[mid], &at) <= 0)
			n = mid + 1;
		else
			end = mid;
	}
	return n > 0 && r->ranges[n - 1].v4 == at.v4 && ip_cmp(ip, r->ranges[n - 1].hi) <= 0;
}

/* --- peers --- */

struct netpol_named_peer {
	struct sv text;
	struct netpol_peer peer;
};

static int netpol_peer_order(const void *a, const void *b)
{
	return sv_cmp(((const struct netpol_named_peer *)a)->text, ((const struct netpol_named_peer *)b)->text);
}

/* False: it cannot be read. An absent one is as an empty one: it selects all. */
static bool netpol_selector(struct arena *a, const struct val *v, const struct selector **ret)
{
	struct err err = ERR_INIT;
	bool ok;

	*ret = NULL;
	if (!v)
		return true;
	*ret = selector_from_label_selector(a, v, &err);
	ok = err.reason == 0;
	err_release(&err);
	return ok;
}

static void netpol_selector_text(struct buf *b, const struct val *v)
{
	if (v)
		json_encode(b, v);
	else
		buf_adds(b, "{}");
}

static bool netpol_peer_read(struct arena *a, struct sv ns, const struct val *v, struct netpol_named_peer *ret)
{
	const struct val *pods = val_member(v, F_podSelector), *namespaces = val_member(v, F_namespaceSelector);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!pods && !namespaces)
		return false;
	ret->peer.own_namespace = !namespaces;
	if (!netpol_selector(a, pods, &ret->peer.pods) || !netpol_selector(a, namespaces, &ret->peer.namespaces))
		return false;
	netpol_selector_text(&b, pods);
	if (namespaces)
		netpol_selector_text(&b, namespaces);
	else
		buf_addsv(&b, ns);
	ret->text = arena_sv(a, buf_sv(&b));
	return true;
}

static void netpol_peers_read(struct arena *a, struct sv ns, const struct val *list, struct netpol_rule *r)
{
	struct netpol_named_peer *p = ARENA_ARRAY(a, struct netpol_named_peer, val_len(list) + 1);
	_cleanup_(buf_release) struct buf all = BUF_INIT;
	size_t n = 0, room = 0;

	r->any_peer = val_len(list) == 0;
	VAL_EACH(list, v)
		room += val_len(val_get(v, F_ipBlock, F_except)) + 1;
	r->ranges = ARENA_ARRAY(a, struct netpol_range, room + 1);
	VAL_EACH(list, v) {
		const struct val *block = val_member(v, F_ipBlock);
		size_t more;

		if (!block)
			n += netpol_peer_read(a, ns, v, &p[n]);
		else if (netpol_block(a, block, r->ranges + r->n_ranges, &more))
			r->n_ranges += more;
	}
	r->n_ranges = netpol_merge_ranges(r->ranges, r->n_ranges);
	qsort(p, n, sizeof(*p), netpol_peer_order);
	r->peers = ARENA_ARRAY(a, struct netpol_peer, n + 1);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && sv_eq(p[i].text, p[i - 1].text))
			continue;
		r->peers[r->n_peers++] = p[i].peer;
		buf_addsv(&all, p[i].text);
		buf_addc(&all, '\n'); /* no selector's text holds one */
	}
	r->selection = arena_sv(a, buf_sv(&all));
}

/* --- ports --- */

static int netpol_span_order(const void *a, const void *b)
{
	return ((const struct netpol_span *)a)->lo - ((const struct netpol_span *)b)->lo;
}

static void netpol_ports_tidy(struct netpol_ports *p)
{
	size_t n = 0;

	if (p->all) {
		p->n_spans = p->n_names = 0;
		return;
	}
	qsort(p->spans, p->n_spans, sizeof(*p->spans), netpol_span_order);
	for (size_t i = 0; i < p->n_spans; i++) {
		if (n > 0 && p->spans[i].lo <= p->spans[n - 1].hi + 1)
			p->spans[n - 1].hi = MAX(p->spans[n - 1].hi, p->spans[i].hi);
		else
			p->spans[n++] = p->spans[i];
	}
	p->n_spans = n;
	qsort(p->names, p->n_names, sizeof(*p->names), sv_order);
	n = 0;
	for (size_t i = 0; i < p->n_names; i++)
		if (n == 0 || !sv_eq(p->names[i], p->names[n - 1]))
			p->names[n++] = p->names[i];
	p->n_names = n;
}

static int netpol_proto_of(struct sv name)
{
	static const char *const names[NETPOL_PROTOS] = { "TCP", "UDP", "SCTP" };

	for (int i = 0; i < NETPOL_PROTOS; i++)
		if (sv_is(name, names[i]))
			return i;
	return name.n ? -1 : 0;
}

static void netpol_ports_read(struct arena *a, const struct val *list, struct netpol_rule *r)
{
	r->any_port = val_len(list) == 0;
	for (int i = 0; i < NETPOL_PROTOS && !r->any_port; i++) {
		r->ports[i].spans = ARENA_ARRAY(a, struct netpol_span, val_len(list));
		r->ports[i].names = ARENA_ARRAY(a, struct sv, val_len(list));
	}
	VAL_EACH(list, v) {
		int proto = netpol_proto_of(val_get_str(v, F_protocol));
		const struct val *port = val_member(v, F_port);
		int64_t lo = val_int_or(port, 0), hi = val_get_int(v, lo, F_endPort);
		struct netpol_ports *p = &r->ports[MAX(proto, 0)];

		if (proto < 0)
			continue;
		if (val_type(port) == VAL_NULL)
			p->all = true;
		else if (val_type(port) == VAL_STR)
			p->names[p->n_names++] = val_str(port);
		else if (lo > 0 && lo <= hi && hi <= UINT16_MAX)
			p->spans[p->n_spans++] = (struct netpol_span){ (uint16_t)lo, (uint16_t)hi };
	}
	for (int i = 0; i < NETPOL_PROTOS && !r->any_port; i++)
		netpol_ports_tidy(&r->ports[i]);
}

/* --- policies --- */

/* Selections and names of ports: each is two sets in the kernel, which looks through all of a table's for each. */
struct netpol_budget {
	struct strmap seen;
	size_t max;
	bool cut;
};

static bool netpol_affords(struct netpol_budget *b, const char *kind, struct sv text)
{
	_cleanup_free_ char *key = xasprintf("%s:%.*s", kind, SV_ARG(text));

	if (strmap_has(&b->seen, sv_from(key)))
		return true;
	if (b->seen.n >= b->max) {
		b->cut = true;
		return false;
	}
	strmap_set(&b->seen, sv_from(key), b);
	return true;
}

/* What is too much allows nothing. */
static void netpol_rule_bound(struct netpol_budget *b, struct netpol_rule *r)
{
	if (r->n_peers && !netpol_affords(b, "pods", r->selection))
		r->n_peers = 0;
	for (int k = 0; k < NETPOL_PROTOS; k++) {
		struct netpol_ports *p = &r->ports[k];
		size_t n = 0;

		for (size_t i = 0; i < p->n_names; i++)
			if (netpol_affords(b, netpol_proto_names[k], p->names[i]))
				p->names[n++] = p->names[i];
		p->n_names = n;
	}
}

static void netpol_rules_read(struct arena *a, const struct val *list, enum sym peers, struct netpol_budget *b,
			      struct netpol_policy *p, enum netpol_dir d)
{
	p->rules[d] = ARENA_ARRAY(a, struct netpol_rule, val_len(list) + 1);
	VAL_EACH(list, v) {
		struct netpol_rule *r = &p->rules[d][p->n_rules[d]++];

		netpol_peers_read(a, p->ns, val_member(v, peers), r);
		netpol_ports_read(a, val_member(v, F_ports), r);
		netpol_rule_bound(b, r);
	}
}

void netpol_policy_read(struct arena *a, const struct obj *o, size_t sets_max, struct netpol_policy *ret)
{
	struct netpol_budget b = { .seen = STRMAP_INIT, .max = MIN(sets_max, (size_t)NETPOL_POLICY_SETS_MAX) };
	const struct val *types = obj_get(o, F_spec, F_policyTypes), *egress = obj_get(o, F_spec, F_egress);

	*ret = (struct netpol_policy){ .ns = obj_ns(o), .name = obj_name(o) };
	if (!netpol_selector(a, obj_get(o, F_spec, F_podSelector), &ret->pods))
		ret->pods = NULL;
	VAL_EACH(types, t) {
		ret->isolates[NETPOL_INGRESS] |= val_is(t, "Ingress");
		ret->isolates[NETPOL_EGRESS] |= val_is(t, "Egress");
	}
	if (val_len(types) == 0) {
		ret->isolates[NETPOL_INGRESS] = true;
		ret->isolates[NETPOL_EGRESS] = val_len(egress) > 0;
	}
	if (ret->isolates[NETPOL_INGRESS])
		netpol_rules_read(a, obj_get(o, F_spec, F_ingress), F_from, &b, ret, NETPOL_INGRESS);
	if (ret->isolates[NETPOL_EGRESS])
		netpol_rules_read(a, egress, F_to, &b, ret, NETPOL_EGRESS);
	ret->n_sets = b.seen.n;
	ret->cut = b.cut;
	strmap_release(&b.seen);
}

bool netpol_peer_matches(const struct netpol_peer *p, struct sv policy_ns, struct sv pod_ns,
			 const struct val *pod_labels, const struct val *ns_labels)
{
	if (p->own_namespace ? !sv_eq(policy_ns, pod_ns) : !selector_matches(p->namespaces, ns_labels))
		return false;
	return selector_matches(p->pods, pod_labels);
}

/* --- pods --- */

const char *const netpol_pod_paths[] = { "metadata labels",
					 "metadata creationTimestamp",
					 "spec nodeName",
					 "spec hostNetwork",
					 "spec containers ports",
					 "spec initContainers ports",
					 "spec initContainers restartPolicy",
					 "status podIPs",
					 "status phase",
					 NULL };
const char *const netpol_namespace_paths[] = { "metadata labels", NULL };

size_t netpol_named_ports(const struct obj *pod, unsigned proto, struct sv name, uint16_t *ret, size_t max)
{
	static const enum sym lists[] = { F_containers, F_initContainers };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(obj_get(pod, F_spec, lists[i]), c) {
			if (lists[i] == F_initContainers && !val_is(val_member(c, F_restartPolicy), "Always"))
				continue;
			VAL_EACH(val_member(c, F_ports), p) {
				int64_t port = val_get_int(p, 0, F_containerPort);

				if (n < max && port > 0 && port <= UINT16_MAX && sv_eq(val_get_str(p, F_name), name) &&
				    netpol_proto_of(val_get_str(p, F_protocol)) == (int)proto)
					ret[n++] = (uint16_t)port;
			}
		}
	return n;
}

bool netpol_pod_speaks(const struct obj *pod)
{
	return !val_bool(obj_get(pod, F_spec, F_hostNetwork)) && !pod_phase_terminal(obj_root(pod));
}

bool netpol_pod_same(const struct obj *a, const struct obj *b)
{
	return sv_eq(obj_uid(a), obj_uid(b)) && val_equal(obj_labels(a), obj_labels(b)) &&
	       val_equal(obj_get(a, F_status, F_podIPs), obj_get(b, F_status, F_podIPs)) &&
	       pod_phase_terminal(obj_root(a)) == pod_phase_terminal(obj_root(b)) &&
	       val_equal(obj_get(a, F_spec, F_nodeName), obj_get(b, F_spec, F_nodeName));
}
