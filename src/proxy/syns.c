#include "proxy/syns.h"

#include "base/vec.h"

#include <stdlib.h>

#define SYNS_NS (2 * NS_PER_SEC)

struct syns_frontend {
	struct endpoints now; /* owned */
	int64_t due_ns;
};

static void syns_free(void *v)
{
	struct syns_frontend *f = v;

	free(f->now.p);
	free(f);
}

void syns_release(struct syns *s)
{
	strmap_release_with(&s->by_key, syns_free);
}

static struct sv syns_key(const struct flow_frontend *u)
{
	return sv_make((const char *)&u->key, sizeof(u->key));
}

void syns_note(struct syns *s, const struct flow_frontend *u, int64_t now_ns)
{
	void **slot = strmap_slot(&s->by_key, syns_key(u));
	struct syns_frontend *f = *slot;

	if (!f) {
		f = *slot = xcalloc(1, sizeof(*f));
		f->due_ns = now_ns + SYNS_NS;
		if (s->by_key.n == 1)
			s->next_ns = f->due_ns;
	}
	free(f->now.p);
	f->now.n = u->now.n;
	f->now.p = u->now.n ? xmemdup(u->now.p, u->now.n * sizeof(*u->now.p)) : NULL;
}

int64_t syns_next_ns(const struct syns *s)
{
	return s->by_key.n ? s->next_ns : INT64_MAX;
}

void syns_look(struct syns *s, int64_t now_ns, void (*forget)(struct flow_frontend *u, size_t n, void *ctx), void *ctx)
{
	VEC(struct flow_frontend) due = VEC_INIT;

	STRMAP_EACH(&s->by_key, e) {
		const struct syns_frontend *f = e->value;
		struct flow_frontend u = { .now = f->now };

		memcpy(&u.key, e->key, sizeof(u.key));
		if (f->due_ns <= now_ns)
			vec_push(&due, u);
	}
	if (due.n)
		forget(due.p, due.n, ctx);
	for (size_t i = 0; i < due.n; i++)
		syns_free(strmap_del(&s->by_key, syns_key(&due.p[i])));
	vec_release(&due);
	s->next_ns = now_ns + SYNS_NS;
}
