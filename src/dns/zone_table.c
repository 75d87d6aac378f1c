/* Two hash maps: entries by NAME.NS, and by address the first of a list of those that have it. The places in these
 * lists are the entries' own, so that one leaves in no time however many Services have an address. */
#include "base/strmap.h"
#include "dns/zone_entry.h"

#include <stdlib.h>

struct zone_table {
	struct strmap entries;	  /* NAME.NS -> entry */
	struct strmap addresses;  /* 16 bytes -> struct zone_ptr * */
	struct strmap namespaces; /* NS with its length -> how many entries */
};

struct zone_table *zone_table_new(void)
{
	return xcalloc(1, sizeof(struct zone_table));
}

static void table_free_entry(void *e)
{
	zone_entry_free(e);
}

struct zone_table *zone_table_free(struct zone_table *t)
{
	if (!t)
		return NULL;
	strmap_release(&t->addresses);
	strmap_release(&t->namespaces);
	strmap_release_with(&t->entries, table_free_entry);
	free(t);
	return NULL;
}

static struct sv table_address_key(const struct ip_addr *a)
{
	return sv_make((const char *)a->b, sizeof(a->b));
}

static void table_link(struct zone_table *t, struct zone_entry *e)
{
	e->n_ptrs = 0;
	for (size_t i = 0; i < e->n_records; i++) {
		struct ip_addr a;
		struct zone_ptr *p = &e->ptrs[e->n_ptrs], *head;

		if (!zone_entry_named(e, i, &a))
			continue;
		e->n_ptrs++;
		head = strmap_get(&t->addresses, table_address_key(&a));
		*p = (struct zone_ptr){ .next = head, .entry = e, .record = (uint32_t)i };
		if (head)
			head->prev = &p->next;
		strmap_set(&t->addresses, table_address_key(&a), p);
	}
}

static void table_unlink(struct zone_table *t, struct zone_entry *e)
{
	for (size_t k = 0; k < e->n_ptrs; k++) {
		struct zone_ptr *p = &e->ptrs[k];
		struct ip_addr a;

		if (p->next)
			p->next->prev = p->prev;
		if (p->prev) {
			*p->prev = p->next;
			continue;
		}
		/* The first of its list, which the map names. */
		(void)zone_entry_named(e, p->record, &a);
		if (p->next)
			strmap_set(&t->addresses, table_address_key(&a), p->next);
		else
			strmap_del(&t->addresses, table_address_key(&a));
	}
	e->n_ptrs = 0;
}

static void table_count(struct zone_table *t, struct sv key, bool more)
{
	struct sv ns = sv_sub(key, 1u + (uint8_t)key.p[0], key.n);
	size_t n = (size_t)(uintptr_t)strmap_get(&t->namespaces, ns);

	n = more ? n + 1 : n - 1;
	if (n)
		strmap_set(&t->namespaces, ns, (void *)(uintptr_t)n);
	else
		strmap_del(&t->namespaces, ns);
}

struct zone_entry *zone_table_set(struct zone_table *t, struct sv key, struct zone_entry *e)
{
	struct zone_entry *old = strmap_get(&t->entries, key);

	if (old)
		table_unlink(t, old);
	if (!old != !e)
		table_count(t, key, e != NULL);
	if (e) {
		strmap_set(&t->entries, key, e);
		table_link(t, e);
	} else if (old) {
		strmap_del(&t->entries, key);
	}
	return old;
}

const struct zone_entry *zone_table_get(const struct zone_table *t, struct sv key)
{
	return strmap_get(&t->entries, key);
}

bool zone_table_has_namespace(const struct zone_table *t, struct sv label)
{
	return strmap_has(&t->namespaces, label);
}

size_t zone_table_count(const struct zone_table *t)
{
	return t->entries.n;
}

size_t zone_table_names(const struct zone_table *t, struct ip_addr a,
			void (*fn)(const struct zone_entry *e, struct sv labels, void *ctx), void *ctx)
{
	size_t n = 0;

	for (const struct zone_ptr *p = strmap_get(&t->addresses, table_address_key(&a)); p && n < ZONE_NAMES_MAX;
	     p = p->next, n++) {
		const struct zone_packed *r = &p->entry->records[p->record];

		if (fn)
			fn(p->entry, sv_make(p->entry->texts + r->key, r->key_n), ctx);
	}
	return n;
}
