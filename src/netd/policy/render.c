/* What the tracker wants, as text for nft. Names are made of numbers: a set is "p5" and its family, a policy's rules of
 * a direction are "i12" or "e12", the ports of one of them that and the rule's index, pods that the same policies
 * select "pi7" or "pe7". */
#include "netd/model.h"
#include "netd/policy/track-internal.h"

#include <stdio.h>
#include <stdlib.h>

#define LINE_ELEMENTS 500 /* in one command: libnftables reads a command as a whole */
#define COMMENT_BYTES 120 /* the kernel has room for 128 */

static const char dir_letters[NETPOL_DIRS] = { 'i', 'e' };
#define ANY_FAMILY (-1)
static const char *const families[2] = { "ip", "ip6" };
static const char *const family_suffix[2] = { "4", "6" };

void np_render_remove(struct buf *b, const char *table)
{
	/* delete alone fails when there is none */
	buf_printf(b, "add table inet %s\ndelete table inet %s\n", table, table);
}

bool netpol_track_is_fixed(struct sv chain)
{
	return sv_is(chain, "egress") || sv_is(chain, "ingress") || sv_is(chain, "egress_again") ||
	       sv_is(chain, "ingress_again") || sv_is(chain, "forged") || sv_is(chain, "forged_in");
}

/* The bridge hands neighbour discovery of pods to us like everything else. */
static void render_hook(struct buf *b, const struct netpol_track *t, const char *name, const char *again,
			const char *end, int priority)
{
	buf_printf(b,
		   "\tchain %s%s {\n"
		   "\t\ttype filter hook forward priority %d; policy accept;\n"
		   "\t\tct state established,related accept\n"
		   "\t\ticmpv6 type { nd-router-solicit, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, "
		   "mld-listener-query, mld-listener-report, mld-listener-done, mld2-listener-report } accept\n",
		   name, again, priority);
	if (t->bridge)
		buf_printf(b, "\t\tiifname \"%s\" oifname \"%s\" ip6 %s fe80::/10 drop\n", t->bridge, t->bridge, end);
	buf_printf(b,
		   "\t\tip %s vmap @%s_4\n"
		   "\t\tip6 %s vmap @%s_6\n"
		   "\t}\n",
		   end, name, end, name);
}

/* What a pod sends as if it were another one: from an address that leads elsewhere, or wrapped as nodes do it (netd),
 * to whoever takes that for a packet of a node. Also what belongs to a connection: it may be older than the table. */
static void render_forged(struct buf *b, const struct netpol_track *t, const char *name, const char *hook,
			  const char *away)
{
	buf_printf(b,
		   "\tchain %s {\n"
		   "\t\ttype filter hook %s priority 4; policy accept;\n"
		   "\t\tiifname != \"%s\" accept\n"
		   "\t\tip saddr != 0.0.0.0 fib saddr . iif oif missing drop\n"
		   "\t\tip6 saddr != { ::, fe80::/10 } fib saddr . iif oif missing drop\n"
		   "\t\t%sudp dport %d drop\n"
		   "\t}\n",
		   name, hook, t->bridge, away, NETD_PORT);
}

void np_render_base(struct buf *b, const struct netpol_track *t)
{
	buf_printf(b,
		   "table inet %s {\n"
		   "\tmap egress_4 { type ipv4_addr : verdict; }\n"
		   "\tmap egress_6 { type ipv6_addr : verdict; }\n"
		   "\tmap ingress_4 { type ipv4_addr : verdict; }\n"
		   "\tmap ingress_6 { type ipv6_addr : verdict; }\n"
		   "\tset self_4 { type ipv4_addr . ipv4_addr; }\n"
		   "\tset self_6 { type ipv6_addr . ipv6_addr; }\n",
		   t->table);
	if (t->bridge) {
		/* Between pods, here or by our own device, that port is one like any other. */
		_cleanup_free_ char *away = xasprintf("oifname != \"%s*\" ", t->bridge);

		render_forged(b, t, "forged", "forward", away);
		render_forged(b, t, "forged_in", "input", "");
	}
	/* A commit is atomic for each lookup, not for a packet: one that met a base chain as it was before, and a map
	 * as it is now, is sent to a new chain that was empty then, and falls out of it. By the second pair that is
	 * over. */
	for (int i = 0; i < 2; i++) {
		render_hook(b, t, "egress", i ? "_again" : "", "saddr", 5 + 2 * i);
		render_hook(b, t, "ingress", i ? "_again" : "", "daddr", 6 + 2 * i);
	}
	buf_adds(b, "}\n");
}

void np_render_set(struct buf *b, const struct netpol_track *t, const struct np_set *s)
{
	for (int f = 0; f < 2; f++)
		buf_printf(b, "add set inet %s p%u_%s { type ipv%s_addr%s; }\n", t->table, s->id, family_suffix[f],
			   family_suffix[f], s->donor ? "" : " . inet_proto . inet_service");
}

/* --- rules --- */

static void render_ip(struct buf *b, struct ip_addr ip, bool v4)
{
	/* what looks like a mapped address is a plain one of IPv6, where ranges begin */
	if (!v4 && ip_is_v4(ip))
		buf_adds(b, "::ffff:");
	buf_adds(b, ip_text(ip).s);
}

static void render_next(struct buf *b, bool *any, const char *end, bool v4)
{
	if (*any)
		buf_adds(b, ", ");
	else
		buf_printf(b, "%s %s { ", v4 ? "ip" : "ip6", end);
	*any = true;
}

/* The ranges of one family, and nodes' ends, as a match; nothing when there are none. */
static void render_ranges(struct buf *b, const struct netpol_rule *r, const np_ends *ends, const char *end, bool v4)
{
	bool any = false;

	for (size_t i = 0; i < r->n_ranges; i++) {
		const struct netpol_range *x = &r->ranges[i];

		if (x->v4 != v4)
			continue;
		render_next(b, &any, end, v4);
		render_ip(b, x->lo, v4);
		if (!ip_eq(x->lo, x->hi)) {
			buf_addc(b, '-');
			render_ip(b, x->hi, v4);
		}
	}
	for (size_t i = 0; i < ends->n; i++)
		if (ip_is_v4(ends->p[i]) == v4) {
			render_next(b, &any, end, v4);
			render_ip(b, ends->p[i], v4);
		}
	if (any)
		buf_adds(b, " } ");
}

/* Matches of one of which a packet has to have one: each ends with a space, "" is any packet. */
struct match {
	char *text;
	int family; /* of families[], or ANY_FAMILY */
};
struct matches {
	VEC(struct match) v;
};

static void matches_add(struct matches *m, int family, struct buf *b)
{
	struct match one = { buf_detach(b), family };

	vec_push(&m->v, one);
}

static void matches_release(struct matches *m)
{
	for (size_t i = 0; i < m->v.n; i++)
		free(m->v.p[i].text);
	vec_release(&m->v);
}

/* No packet is of both families, and the kernel takes no rule that says so. */
static bool matches_agree(const struct match *a, const struct match *b)
{
	return a->family == ANY_FAMILY || b->family == ANY_FAMILY || a->family == b->family;
}

static void render_peers(struct matches *m, const struct netpol_track *t, const struct np_version *v, enum netpol_dir d,
			 size_t rule)
{
	np_ends ends = VEC_INIT;
	const struct netpol_rule *r = &v->p.rules[d][rule];
	const char *end = d == NETPOL_INGRESS ? "saddr" : "daddr";
	struct buf b = BUF_INIT;

	if (d == NETPOL_INGRESS)
		np_rule_ends(t, r, &ends);
	if (r->any_peer)
		matches_add(m, ANY_FAMILY, &b);
	for (int f = 0; f < 2 && r->n_peers; f++) {
		buf_printf(&b, "%s %s @p%u_%s ", families[f], end, v->sets.p[v->first[d][rule]]->id, family_suffix[f]);
		matches_add(m, f, &b);
	}
	for (int f = 0; f < 2; f++) {
		render_ranges(&b, r, &ends, end, f == 0);
		if (b.n)
			matches_add(m, f, &b);
	}
	vec_release(&ends);
	buf_release(&b);
}

static void render_ports(struct matches *m, const struct np_version *v, enum netpol_dir d, size_t rule)
{
	const struct netpol_rule *r = &v->p.rules[d][rule];
	size_t at = v->first[d][rule] + 1;
	struct buf b = BUF_INIT;

	if (r->any_port)
		matches_add(m, ANY_FAMILY, &b);
	for (int k = 0; k < NETPOL_PROTOS; k++) {
		const struct netpol_ports *p = &r->ports[k];

		if (p->all || p->n_spans)
			buf_printf(&b, p->all ? "meta l4proto %s " : "%s dport { ", netpol_proto_names[k]);
		for (size_t i = 0; i < p->n_spans; i++) {
			buf_printf(&b, i ? ", %u" : "%u", p->spans[i].lo);
			if (p->spans[i].hi != p->spans[i].lo)
				buf_printf(&b, "-%u", p->spans[i].hi);
		}
		if (p->n_spans)
			buf_adds(&b, " } ");
		if (b.n)
			matches_add(m, ANY_FAMILY, &b);
		for (size_t i = 0; i < p->n_names; i++, at++)
			for (int f = 0; f < 2; f++) {
				buf_printf(&b, "%s daddr . meta l4proto . th dport @p%u_%s ", families[f],
					   v->sets.p[at]->id, family_suffix[f]);
				matches_add(m, f, &b);
			}
	}
	buf_release(&b);
}

static void render_rule(struct buf *b, const struct netpol_track *t, struct np_version *v, enum netpol_dir d,
			size_t rule)
{
	struct matches peers = { 0 }, ports = { 0 };
	char chain[32];

	render_peers(&peers, t, v, d, rule);
	render_ports(&ports, v, d, rule);
	(void)snprintf(chain, sizeof(chain), "%c%u", dir_letters[d], v->id);
	v->has_ports_chain[d][rule] = peers.v.n > 1 && ports.v.n > 1;
	if (v->has_ports_chain[d][rule]) {
		/* not each with each */
		buf_printf(b, "add chain inet %s %s_%zu\n", t->table, chain, rule);
		for (size_t i = 0; i < ports.v.n; i++)
			buf_printf(b, "add rule inet %s %s_%zu %saccept\n", t->table, chain, rule, ports.v.p[i].text);
		for (size_t i = 0; i < peers.v.n; i++)
			buf_printf(b, "add rule inet %s %s %sjump %s_%zu\n", t->table, chain, peers.v.p[i].text, chain,
				   rule);
	} else {
		for (size_t i = 0; i < peers.v.n; i++)
			for (size_t k = 0; k < ports.v.n; k++)
				if (matches_agree(&peers.v.p[i], &ports.v.p[k]))
					buf_printf(b, "add rule inet %s %s %s%saccept\n", t->table, chain,
						   peers.v.p[i].text, ports.v.p[k].text);
	}
	matches_release(&peers);
	matches_release(&ports);
}

void np_render_version(struct buf *b, const struct netpol_track *t, struct np_version *v)
{
	for (int d = 0; d < NETPOL_DIRS; d++) {
		if (!v->p.isolates[d])
			continue;
		buf_printf(b, "add chain inet %s %c%u\n", t->table, dir_letters[d], v->id);
		for (size_t i = 0; i < v->p.n_rules[d]; i++)
			render_rule(b, t, v, (enum netpol_dir)d, i);
	}
}

/* For people who look at the rules. */
static void render_comment(struct buf *b, const struct netpol_policy *p)
{
	_cleanup_free_ char *text = xasprintf("%.*s/%.*s", SV_ARG(p->ns), SV_ARG(p->name));
	size_t n = strlen(text);

	if (n <= COMMENT_BYTES && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-./") == n)
		buf_printf(b, " comment \"%s\"", text);
}

void np_render_combo(struct buf *b, const struct netpol_track *t, const struct np_combo *c)
{
	char letter = dir_letters[c->dir];

	buf_printf(b, "add chain inet %s p%c%u\n", t->table, letter, c->id);
	for (size_t i = 0; i < c->versions.n; i++) {
		buf_printf(b, "add rule inet %s p%c%u jump %c%u", t->table, letter, c->id, letter,
			   c->versions.p[i]->id);
		render_comment(b, &c->versions.p[i]->p);
		buf_addc(b, '\n');
	}
	for (int f = 0; f < 2; f++)
		buf_printf(b, "add rule inet %s p%c%u %s saddr . %s daddr @self_%s accept\n", t->table, letter, c->id,
			   families[f], families[f], family_suffix[f]);
	buf_printf(b, "add rule inet %s p%c%u drop\n", t->table, letter, c->id);
}

/* --- elements --- */

/* Which set or map of the kernel's. */
static int render_where_order(const struct np_change *x, const struct np_change *y)
{
	bool v4 = ip_is_v4(x->ip), w4 = ip_is_v4(y->ip);

	if (x->table != y->table)
		return x->table < y->table ? -1 : 1;
	if (x->table == NP_SET && x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return v4 - w4;
}

static int render_change_order(const void *a, const void *b)
{
	const struct np_change *x = a, *y = b;
	int order = render_where_order(x, y);

	if (order == 0)
		order = ip_cmp(x->ip, y->ip);
	if (order == 0)
		order = x->value < y->value ? -1 : x->value > y->value;
	return order;
}

static void render_where(struct buf *b, const struct np_change *c)
{
	static const char *const names[] = { [NP_INGRESS] = "ingress", [NP_EGRESS] = "egress", [NP_SELF] = "self" };

	if (c->table == NP_SET)
		buf_printf(b, "p%u", c->id);
	else
		buf_adds(b, names[c->table]);
	buf_printf(b, "_%s", family_suffix[!ip_is_v4(c->ip)]);
}

static void render_elem(struct buf *b, const struct np_change *c)
{
	const struct ip_text ip = ip_text(c->ip);

	buf_adds(b, ip.s);
	if (c->table == NP_SELF)
		buf_printf(b, " . %s", ip.s);
	else if (c->table == NP_INGRESS || c->table == NP_EGRESS)
		buf_printf(b, " : goto p%c%u", dir_letters[c->table == NP_EGRESS], c->id);
	else if (c->value)
		buf_printf(b, " . %u . %u", c->value >> 16, c->value & 0xffff);
}

void np_render_changes(struct buf *b, const struct netpol_track *t, struct np_change *c, size_t n, const char *verb)
{
	size_t in_line = 0;

	if (n)
		qsort(c, n, sizeof(*c), render_change_order);
	for (size_t i = 0; i < n; i++) {
		if (in_line == LINE_ELEMENTS || (i > 0 && render_where_order(&c[i - 1], &c[i]))) {
			buf_adds(b, " }\n");
			in_line = 0;
		}
		if (in_line++ == 0) {
			buf_printf(b, "%s element inet %s ", verb, t->table);
			render_where(b, &c[i]);
			buf_adds(b, " { ");
		} else {
			buf_adds(b, ", ");
		}
		render_elem(b, &c[i]);
	}
	if (n)
		buf_adds(b, " }\n");
}

/* Who refers to others goes before them. */
void np_render_dead(struct buf *b, const struct netpol_track *t)
{
	for (size_t i = 0; i < t->dead.combos.n; i++)
		buf_printf(b, "delete chain inet %s p%c%u\n", t->table, dir_letters[t->dead.combos.p[i].dir],
			   t->dead.combos.p[i].id);
	for (size_t i = 0; i < t->dead.versions.n; i++) {
		const struct np_version *v = t->dead.versions.p[i];

		for (int d = 0; d < NETPOL_DIRS; d++) {
			if (!v->p.isolates[d])
				continue;
			buf_printf(b, "delete chain inet %s %c%u\n", t->table, dir_letters[d], v->id);
			for (size_t k = 0; k < v->p.n_rules[d]; k++)
				if (v->has_ports_chain[d][k])
					buf_printf(b, "delete chain inet %s %c%u_%zu\n", t->table, dir_letters[d],
						   v->id, k);
		}
	}
	for (size_t i = 0; i < t->dead.sets.n; i++)
		for (int f = 0; f < 2; f++)
			buf_printf(b, "delete set inet %s p%u_%s\n", t->table, t->dead.sets.p[i]->id, family_suffix[f]);
}
