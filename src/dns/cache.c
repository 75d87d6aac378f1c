/* A hash map of entries, which are in a list by their last use. */
#include "dns/cache.h"

#include "base/list.h"
#include "base/strmap.h"

#include <stdlib.h>

#define CACHE_OVERHEAD 160 /* of the entry and of its place in the map, about */

struct cache_entry {
	struct list link; /* the first one was used last */
	struct dns_msg *m;
	int64_t put_ns;
	uint32_t life_s, stale_s;
	size_t cost;
	uint16_t key_n;
	char key[]; /* of key_n bytes */
};

struct dns_cache {
	struct strmap entries;
	struct list by_use;
	size_t bytes, max_bytes;
};

struct sv dns_key_bytes(const struct dns_key *k, char tmp[DNS_KEY_MAX])
{
	memcpy(tmp, k->name.b, k->name.n);
	tmp[k->name.n] = (char)(k->type >> 8);
	tmp[k->name.n + 1] = (char)k->type;
	tmp[k->name.n + 2] = (char)(k->cd | k->want_dnssec << 1);
	return sv_make(tmp, k->name.n + 3u);
}

struct dns_cache *dns_cache_new(size_t max_bytes)
{
	struct dns_cache *c = xcalloc(1, sizeof(*c));

	c->max_bytes = max_bytes;
	list_init(&c->by_use);
	return c;
}

static void cache_drop(struct dns_cache *c, struct cache_entry *e)
{
	(void)strmap_del(&c->entries, sv_make(e->key, e->key_n));
	list_del(&e->link);
	c->bytes -= e->cost;
	dns_msg_unref(e->m);
	free(e);
}

struct dns_cache *dns_cache_free(struct dns_cache *c)
{
	if (!c)
		return NULL;
	while (!list_empty(&c->by_use))
		cache_drop(c, LIST_ENTRY(c->by_use.next, struct cache_entry, link));
	strmap_release(&c->entries);
	free(c);
	return NULL;
}

void dns_cache_put(struct dns_cache *c, const struct dns_key *k, struct dns_msg *m, uint32_t life_s, uint32_t stale_s,
		   int64_t now_ns)
{
	char tmp[DNS_KEY_MAX];
	struct sv key = dns_key_bytes(k, tmp);
	struct cache_entry *e = strmap_get(&c->entries, key);

	if (e)
		cache_drop(c, e);
	e = xcalloc(1, sizeof(*e) + key.n);
	e->m = dns_msg_ref(m);
	e->put_ns = now_ns;
	e->life_s = life_s;
	e->stale_s = stale_s;
	e->key_n = (uint16_t)key.n;
	memcpy(e->key, key.p, key.n);
	e->cost = CACHE_OVERHEAD + 2 * key.n + dns_msg_bytes(m);
	c->bytes += e->cost;
	strmap_set(&c->entries, key, e);
	list_add_head(&c->by_use, &e->link);
	while (c->bytes > c->max_bytes && !list_empty(&c->by_use))
		cache_drop(c, LIST_ENTRY(c->by_use.prev, struct cache_entry, link));
}

enum dns_cached dns_cache_get(struct dns_cache *c, const struct dns_key *k, int64_t now_ns, struct dns_msg **ret,
			      uint32_t *ret_age_s)
{
	char tmp[DNS_KEY_MAX];
	struct cache_entry *e = strmap_get(&c->entries, dns_key_bytes(k, tmp));
	int64_t age_s;

	if (!e)
		return DNS_CACHE_NONE;
	age_s = MAX((now_ns - e->put_ns) / NS_PER_SEC, 0);
	if (age_s >= (int64_t)e->life_s + e->stale_s) {
		cache_drop(c, e);
		return DNS_CACHE_NONE;
	}
	list_del(&e->link);
	list_add_head(&c->by_use, &e->link);
	*ret = e->m;
	*ret_age_s = (uint32_t)age_s;
	return age_s < e->life_s ? DNS_CACHE_FRESH : DNS_CACHE_STALE;
}

size_t dns_cache_bytes(const struct dns_cache *c)
{
	return c->bytes;
}

size_t dns_cache_count(const struct dns_cache *c)
{
	return c->entries.n;
}
