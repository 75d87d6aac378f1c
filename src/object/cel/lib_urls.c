/* URLs, and what one is made of. */
#include "object/cel/lib-internal.h"
#include "object/url.h"

#include "base/err.h"
#include "base/utf8.h"

#include <stdlib.h>

struct lib_url {
	struct url url;
	struct sv text; /* canonical: what == compares */
};

static bool urls_equal(const void *a, const void *b)
{
	return sv_eq(((const struct lib_url *)a)->text, ((const struct lib_url *)b)->text);
}

static struct sv urls_text(struct arena *a, const void *p)
{
	(void)a;
	return ((const struct lib_url *)p)->text;
}

static const struct cel_opaque urls_type = {
	.type = { .kind = CEL_OPAQUE, .name = { "kubernetes.URL", 14 }, .opaque = &urls_type },
	.equal = urls_equal,
	.text = urls_text,
};

/* Twice: what a request line could hold is allowed, but that way fragments would be part of the path. */
static int urls_parse(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv s = cel_text(&args[0]);
	struct lib_url *u = ARENA_NEW(c->arena, struct lib_url);

	(void)n;
	if (!url_parse_request(c->arena, s, &u->url, &err) || !url_parse(c->arena, s, &u->url, &err))
		return cel_fail(c, "URL parse error during conversion from string: %s", err_msg(&err));
	url_write(c->arena, &b, &u->url);
	u->text = arena_sv(c->arena, buf_sv(&b));
	*ret = cel_opaque(&urls_type, u);
	return 0;
}

static int urls_is_url(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct url u;

	(void)n;
	*ret = cel_bool(url_parse_request(c->arena, cel_text(&args[0]), &u, NULL));
	return 0;
}

static const struct url *urls_of(const struct cel_value *v)
{
	return &((const struct lib_url *)v->p)->url;
}

static int urls_scheme(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_string(urls_of(&args[0])->scheme);
	return 0;
}

static int urls_host(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_string(urls_of(&args[0])->host);
	return 0;
}

static int urls_hostname(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_string(url_hostname(urls_of(&args[0])));
	return 0;
}

static int urls_port(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_string(url_port(urls_of(&args[0])));
	return 0;
}

static int urls_path(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = cel_string(url_escaped_path(c->arena, urls_of(&args[0])));
	return 0;
}

/* Texts that are no UTF-8 once their escapes are undone are read as Go's conversions do. */
static struct cel_value urls_string(struct arena *a, struct sv s)
{
	char *out;

	if (utf8_valid(s))
		return cel_string(s);
	out = arena_alloc(a, 3 * s.n);
	return cel_string(sv_make(out, utf8_repair(s, out)));
}

struct urls_pair {
	struct sv key, value;
	size_t at;
};

static int urls_pair_order(const void *x, const void *y)
{
	const struct urls_pair *a = x, *b = y;
	int order = sv_cmp(a->key, b->key);

	return order ? order : a->at < b->at ? -1 : 1;
}

/* A key may come again: its values are a list, in the order they came. */
static int urls_query(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct arena *a = c->arena;
	struct sv query = urls_of(&args[0])->query;
	struct url_pairs q = { .rest = query };
	struct cel_value *values, dup;
	struct cel_entry *entries;
	struct urls_pair *pairs;
	size_t count = 1, found = 0, keys = 0;

	(void)n;
	for (size_t i = 0; i < query.n; i++)
		count += query.p[i] == '&';
	if (lib_pay(c, count * (sizeof(*pairs) + sizeof(*values) + sizeof(*entries)), query.n) < 0)
		return -1;
	pairs = ARENA_ARRAY(a, struct urls_pair, count);
	for (; found < count && url_pairs_next(a, &q); found++)
		pairs[found] = (struct urls_pair){ q.key, q.value, found };
	qsort(pairs, found, sizeof(*pairs), urls_pair_order);
	values = ARENA_ARRAY(a, struct cel_value, count);
	entries = ARENA_ARRAY(a, struct cel_entry, count);
	for (size_t i = 0; i < found;) {
		size_t from = i;

		for (; i < found && sv_eq(pairs[i].key, pairs[from].key); i++)
			values[i] = urls_string(a, pairs[i].value);
		entries[keys].key = urls_string(a, pairs[from].key);
		entries[keys].value = cel_list(values + from, i - from);
		entries[keys].value.type = &cel_t_list_string;
		keys++;
	}
	if (!cel_map_make(a, entries, keys, ret, &dup))
		return cel_fail(c, "Failed with repeated key: %.*s", SV_ARG(cel_text(&dup)));
	return 0;
}

static const struct cel_func urls_funcs[] = {
	{ "url", "(string) kubernetes.URL", CEL_V(1, 0), urls_parse, cel_cost_str0, lib_est_text },
	{ "isURL", "(string) bool", CEL_V(1, 0), urls_is_url, NULL, NULL },
	{ "getScheme", "kubernetes.URL.() string", CEL_V(1, 0), urls_scheme, NULL, NULL },
	{ "getHost", "kubernetes.URL.() string", CEL_V(1, 0), urls_host, NULL, NULL },
	{ "getHostname", "kubernetes.URL.() string", CEL_V(1, 0), urls_hostname, NULL, NULL },
	{ "getPort", "kubernetes.URL.() string", CEL_V(1, 0), urls_port, NULL, NULL },
	{ "getEscapedPath", "kubernetes.URL.() string", CEL_V(1, 0), urls_path, NULL, NULL },
	{ "getQuery", "kubernetes.URL.() map<string, list<string>>", CEL_V(1, 0), urls_query, NULL, NULL },
};
const struct cel_lib cel_lib_urls = { "kubernetes.urls", urls_funcs, ARRAY_LEN(urls_funcs), { &urls_type } };
