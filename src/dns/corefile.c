/* A Corefile is lines of words; a `{` at the end of a line opens a block, a `}` alone on one ends it. There are two
 * depths: server blocks with directives, and directives with lines of their own. */
#include "base/timefmt.h"
#include "codec/doc.h"
#include "dns/config.h"

#include <stdlib.h>

#define WORDS_MAX 64
#define RULES_MAX 1000
#define HOSTS_MAX 10000
#define FORWARDS_MAX 200
#define EXCEPT_MAX 100 /* of one forward */

struct core_line {
	struct sv words[WORDS_MAX];
	size_t n;
	bool opens; /* a block: the `{` is no word */
};

struct core_parser {
	struct dns_config *c;
	const struct val *files;
	struct buf *said;
	struct sv rest;
	unsigned line;
	/* of the server block */
	VEC(struct dns_name) zones;
	bool root, default_forward_gone;
};

static void core_say(struct core_parser *p, const char *what, struct sv about)
{
	/* One who writes many mistakes needs to read the first few. */
	if (p->said->n < 4096)
		buf_printf(p->said, "line %u: %s '%.*s'\n", p->line, what, SV_ARG(sv_sub(about, 0, 200)));
}

static bool core_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void core_words(struct sv text, struct core_line *l)
{
	size_t i = 0;

	while (i < text.n && l->n < WORDS_MAX) {
		size_t from;

		while (i < text.n && core_space(text.p[i]))
			i++;
		if (i == text.n || text.p[i] == '#')
			return;
		if (text.p[i] == '"') {
			from = ++i;
			while (i < text.n && text.p[i] != '"')
				i++;
			l->words[l->n++] = sv_sub(text, from, i - from);
			i += i < text.n;
			continue;
		}
		from = i;
		while (i < text.n && !core_space(text.p[i]))
			i++;
		l->words[l->n++] = sv_sub(text, from, i - from);
	}
}

/* The next line that says something. */
static bool core_next(struct core_parser *p, struct core_line *l)
{
	struct sv text;

	while (sv_split(&p->rest, '\n', &text)) {
		l->n = 0;
		p->line++;
		core_words(text, l);
		if (l->n == 0)
			continue;
		l->opens = sv_is(l->words[l->n - 1], "{");
		l->n -= l->opens;
		return true;
	}
	return false;
}

static bool core_ends(const struct core_line *l)
{
	return l->n == 1 && !l->opens && sv_is(l->words[0], "}");
}

/* What a block that nobody reads has in it, blocks included. */
static void core_skip(struct core_parser *p)
{
	struct core_line l;
	size_t depth = 1;

	while (depth && core_next(p, &l))
		depth = core_ends(&l) ? depth - 1 : depth + l.opens;
}

static bool core_name(struct core_parser *p, struct sv text, struct dns_name *ret)
{
	if (!dns_name_parse(text, ret)) {
		core_say(p, "no domain name:", text);
		return false;
	}
	dns_name_lower(ret);
	return true;
}

static uint32_t core_seconds(struct core_parser *p, struct sv text, uint32_t otherwise)
{
	int64_t v, ns;

	if (sv_to_i64(text, &v) && v >= 0)
		return (uint32_t)MIN(v, 86400);
	if (duration_parse(text, &ns) && ns >= 0)
		return (uint32_t)MIN(ns / NS_PER_SEC, 86400);
	core_say(p, "no number of seconds:", text);
	return otherwise;
}

/* --- directives --- */

/* "1.1.1.1", "1.1.1.1:53", "[::1]:53", "dns://..." */
static bool core_upstream(struct sv text, struct dns_upstream *ret)
{
	uint64_t port = 53;
	struct sv host = text;

	if (sv_starts(host, SV("dns://")))
		host = sv_sub(host, 6, host.n);
	if (sv_starts(host, SV("["))) {
		ssize_t end = sv_find(host, ']');

		if (end < 0)
			return false;
		text = sv_sub(host, (size_t)end + 1, host.n);
		host = sv_sub(host, 1, (size_t)end - 1);
		if (text.n && (text.p[0] != ':' || !sv_to_u64(sv_sub(text, 1, text.n), &port)))
			return false;
	} else if (sv_find(host, '.') >= 0 && sv_find(host, ':') >= 0) {
		ssize_t colon = sv_find(host, ':');

		if (!sv_to_u64(sv_sub(host, (size_t)colon + 1, host.n), &port))
			return false;
		host = sv_sub(host, 0, (size_t)colon);
	}
	ret->port = (uint16_t)port;
	return port > 0 && port <= UINT16_MAX && ip_parse(host, &ret->addr);
}

static void core_forward_line(struct core_parser *p, const struct core_line *l, struct dns_forward *f)
{
	struct sv what = l->words[0];
	struct dns_name name;

	if (sv_is(what, "except")) {
		for (size_t i = 1; i < l->n; i++)
			if (f->except.n < EXCEPT_MAX && core_name(p, l->words[i], &name))
				vec_push(&f->except, name);
	} else if (sv_is(what, "force_tcp")) {
		f->force_tcp = true;
	} else if (sv_is(what, "policy") && l->n > 1) {
		f->shuffle = !sv_is(l->words[1], "sequential");
	} else if (!sv_is(what, "prefer_udp") && !sv_is(what, "max_fails") && !sv_is(what, "expire") &&
		   !sv_is(what, "health_check") && !sv_is(what, "max_concurrent")) {
		core_say(p, "left out of forward:", what);
	}
}

static void core_add_forward(struct core_parser *p, const struct dns_forward *like, const struct dns_name *zone)
{
	struct dns_config *c = p->c;
	struct dns_forward *f = xmalloc(sizeof(*f));
	size_t at = 0;

	*f = *like;
	f->zone = *zone;
	memset(&f->except, 0, sizeof(f->except));
	for (size_t i = 0; i < like->except.n; i++)
		vec_push(&f->except, like->except.p[i]);
	/* Those of longer zones come first; of one zone, who came first. */
	while (at < c->forwards.n && c->forwards.p[at]->zone.n >= f->zone.n)
		at++;
	vec_push(&c->forwards, f);
	memmove(&c->forwards.p[at + 1], &c->forwards.p[at], (c->forwards.n - 1 - at) * sizeof(*c->forwards.p));
	c->forwards.p[at] = f;
}

/* The default goes: the user says where names are asked for. */
static void core_drop_default(struct core_parser *p)
{
	struct dns_config *c = p->c;

	if (p->default_forward_gone)
		return;
	p->default_forward_gone = true;
	for (size_t i = 0; i < c->forwards.n; i++)
		if (c->forwards.p[i]->zone.n == 1) {
			vec_release(&c->forwards.p[i]->except);
			free(c->forwards.p[i]);
			vec_remove(&c->forwards, i);
			return;
		}
}

static void core_forward(struct core_parser *p, const struct core_line *l)
{
	struct dns_forward f = { 0 };
	struct dns_name from;
	struct core_line in;

	f.shuffle = true; /* CoreDNS' default policy */
	for (size_t i = 2; i < l->n; i++) {
		if (sv_starts(l->words[i], SV("/")))
			f.host = true, f.shuffle = false;
		else if (f.n_to < ARRAY_LEN(f.to) && core_upstream(l->words[i], &f.to[f.n_to]))
			f.n_to++;
		else
			core_say(p, "forward does not know how to ask", l->words[i]);
	}
	while (l->opens && core_next(p, &in) && !core_ends(&in)) {
		core_forward_line(p, &in, &f);
		if (in.opens)
			core_skip(p);
	}
	if (l->n < 3 || (!f.n_to && !f.host)) {
		core_say(p, "forward names no server:", l->n > 1 ? l->words[1] : SV(""));
	} else if (core_name(p, l->words[1], &from) && p->c->forwards.n + p->zones.n < FORWARDS_MAX) {
		if (p->root && from.n == 1)
			core_drop_default(p);
		for (size_t i = 0; i < p->zones.n; i++)
			core_add_forward(p, &f, from.n == 1 ? &p->zones.p[i] : &from);
	}
	vec_release(&f.except);
}

static void core_rewrite(struct core_parser *p, const struct core_line *l)
{
	struct dns_rewrite r = { .stop = true };
	size_t at = 1;

	if (at < l->n && (sv_is(l->words[at], "stop") || sv_is(l->words[at], "continue")))
		r.stop = sv_is(l->words[at++], "stop");
	if (at >= l->n || !sv_is(l->words[at], "name")) {
		core_say(p, "rewrite knows `name` alone, not", at < l->n ? l->words[at] : SV(""));
		return;
	}
	at++;
	if (at < l->n && (sv_is(l->words[at], "exact") || sv_is(l->words[at], "suffix"))) {
		r.suffix = sv_is(l->words[at++], "suffix");
	} else if (at < l->n && (sv_is(l->words[at], "prefix") || sv_is(l->words[at], "substring") ||
				 sv_is(l->words[at], "regex"))) {
		core_say(p, "rewrite name knows exact and suffix, not", l->words[at]);
		return;
	}
	if (at + 1 >= l->n) {
		core_say(p, "rewrite name needs two names:", l->words[0]);
		return;
	}
	for (size_t i = 0; i < 2; i++) {
		struct sv text = l->words[at + i];

		/* The suffix ".old" means whole labels, as "old" does. */
		if (r.suffix && text.n > 1 && text.p[0] == '.')
			text = sv_sub(text, 1, text.n);
		if (!core_name(p, text, i ? &r.to : &r.from))
			return;
	}
	if (p->c->rewrites.n < RULES_MAX)
		vec_push(&p->c->rewrites, r);
}

static void core_host(struct core_parser *p, const struct core_line *l)
{
	struct dns_hosts *h = &p->c->hosts;
	struct ip_addr a;

	if (!ip_parse(l->words[0], &a)) {
		core_say(p, "left out of hosts:", l->words[0]);
		return;
	}
	for (size_t i = 1; i < l->n && h->names.n < HOSTS_MAX; i++) {
		struct dns_name name;
		struct dns_host_addrs **at;
		struct sv key = sv_make((const char *)a.b, sizeof(a.b));

		if (!core_name(p, l->words[i], &name))
			continue;
		at = (struct dns_host_addrs **)strmap_slot(&h->names, sv_make((const char *)name.b, name.n));
		if (!*at)
			*at = xcalloc(1, sizeof(**at));
		if ((*at)->list.n < 100)
			vec_push(&(*at)->list, a);
		if (!strmap_has(&h->addrs, key))
			strmap_set(&h->addrs, key, xmemdup(&name, sizeof(name)));
	}
}

static void core_hosts_file(struct core_parser *p, struct sv path)
{
	struct sv text, name = path;
	struct core_parser inner = { .c = p->c, .said = p->said };
	struct core_line l;

	for (ssize_t slash; (slash = sv_find(name, '/')) >= 0;)
		name = sv_sub(name, (size_t)slash + 1, name.n);
	text = val_str(val_member_sv(p->files, name));
	if (!text.n)
		return;
	inner.rest = text;
	while (core_next(&inner, &l))
		if (l.n)
			core_host(&inner, &l);
}

static void core_hosts(struct core_parser *p, const struct core_line *l)
{
	struct core_line in;

	if (l->n > 1)
		core_hosts_file(p, l->words[1]);
	while (l->opens && core_next(p, &in) && !core_ends(&in)) {
		if (in.n == 0)
			continue;
		if (sv_is(in.words[0], "ttl") && in.n > 1)
			p->c->hosts.ttl = core_seconds(p, in.words[1], p->c->hosts.ttl);
		else if (!sv_is(in.words[0], "fallthrough") && !sv_is(in.words[0], "reload") &&
			 !sv_is(in.words[0], "no_reverse"))
			core_host(p, &in);
	}
}

static void core_cache(struct core_parser *p, const struct core_line *l)
{
	struct dns_config *c = p->c;
	struct core_line in;

	if (l->n > 1) {
		c->cache_max_s = core_seconds(p, l->words[1], c->cache_max_s);
		c->deny_max_s = MIN(c->deny_max_s, c->cache_max_s);
	}
	while (l->opens && core_next(p, &in) && !core_ends(&in)) {
		if (in.n == 0)
			continue;
		if (sv_is(in.words[0], "success") && in.n > 2)
			c->cache_max_s = core_seconds(p, in.words[2], c->cache_max_s);
		else if (sv_is(in.words[0], "denial") && in.n > 2)
			c->deny_max_s = core_seconds(p, in.words[2], c->deny_max_s);
		else if (sv_is(in.words[0], "serve_stale"))
			c->stale_max_s = in.n > 1 ? core_seconds(p, in.words[1], c->stale_max_s) : 3600;
	}
}

static void core_kubernetes(struct core_parser *p, const struct core_line *l)
{
	struct core_line in;

	while (l->opens && core_next(p, &in) && !core_ends(&in))
		if (in.n > 1 && sv_is(in.words[0], "ttl"))
			p->c->ttl = MIN(core_seconds(p, in.words[1], p->c->ttl), 3600);
}

static void core_directive(struct core_parser *p, const struct core_line *l)
{
	static const char *const always[] = { "health", "ready",       "prometheus", "loop",   "reload",
					      "errors", "loadbalance", "import",     "bufsize" };
	struct sv what = l->words[0];

	if (sv_is(what, "forward")) {
		core_forward(p, l);
	} else if (sv_is(what, "rewrite")) {
		core_rewrite(p, l);
		if (l->opens)
			core_skip(p);
	} else if (sv_is(what, "hosts")) {
		core_hosts(p, l);
	} else if (sv_is(what, "cache")) {
		core_cache(p, l);
	} else if (sv_is(what, "kubernetes")) {
		core_kubernetes(p, l);
	} else {
		bool known = sv_is(what, "log");

		p->c->log_queries |= known;
		for (size_t i = 0; i < ARRAY_LEN(always); i++)
			known |= sv_is(what, always[i]);
		if (!known)
			core_say(p, "this plugin is not built in and left out:", what);
		if (l->opens)
			core_skip(p);
	}
}

/* --- blocks --- */

static void core_directives(struct core_parser *p)
{
	struct core_line l;

	while (core_next(p, &l) && !core_ends(&l))
		if (l.n)
			core_directive(p, &l);
}

/* ".:53", "example.org", "dns://example.org:53": which zones. A port of its own is none of ours. */
static void core_zones(struct core_parser *p, const struct core_line *l)
{
	vec_clear(&p->zones);
	p->root = false;
	for (size_t i = 0; i < l->n; i++) {
		struct sv text = l->words[i];
		struct dns_name zone;
		ssize_t colon;
		size_t before;

		if (text.n && text.p[text.n - 1] == ',')
			text.n--;
		if (sv_starts(text, SV("dns://")))
			text = sv_sub(text, 6, text.n);
		colon = sv_find(text, ':');
		if (colon >= 0)
			text = sv_sub(text, 0, (size_t)colon);
		if (!core_name(p, text, &zone))
			continue;
		if (zone.n == 1 || dns_name_within(&zone, &p->c->domain, &before)) {
			p->root = true;
			zone = (struct dns_name){ .n = 1 };
		}
		vec_push(&p->zones, zone);
	}
}

void dns_config_corefile(struct dns_config *c, struct sv text, const struct val *files, struct buf *said)
{
	struct core_parser p = { .c = c, .files = files, .said = said, .rest = text };
	struct core_line l;

	while (core_next(&p, &l)) {
		if (!l.opens) {
			if (!sv_is(l.words[0], "import"))
				core_say(&p, "a server block begins with zones and {, not", l.words[0]);
			continue;
		}
		if (l.n == 0 || sv_starts(l.words[0], SV("("))) {
			core_say(&p, "snippets are left out:", l.n ? l.words[0] : SV("{"));
			core_skip(&p);
			continue;
		}
		core_zones(&p, &l);
		core_directives(&p);
	}
	vec_release(&p.zones);
}

void dns_config_override(struct dns_config *c, struct sv text, const struct val *files, struct buf *said)
{
	struct core_parser p = { .c = c, .files = files, .said = said, .rest = text, .root = true };

	vec_push(&p.zones, ((struct dns_name){ .n = 1 }));
	core_directives(&p);
	vec_release(&p.zones);
}
