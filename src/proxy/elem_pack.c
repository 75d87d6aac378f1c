/* One byte that says which fields follow, then those. An index that is not told is the next one after that of the
 * element before when it is of the same frontend and table, else 0. */
#include "proxy/elem_pack.h"

#include "base/buf.h"

#include <stdlib.h>

enum {
	PACK_TABLE = 1,
	PACK_ADDR = 2,
	PACK_PORT = 4,
	PACK_PROTO = 8,
	PACK_IDX = 16,
	PACK_OTHER = 32,
	PACK_VAL = 64,
};

static void pack_raw(struct buf *b, const void *p, size_t n)
{
	buf_addsv(b, sv_make(p, n));
}

static void pack_addr(struct buf *b, struct ip_addr a)
{
	uint32_t v4 = ip_low(a);

	if (ip_is_v4(a) && ip_eq(ip_v4(v4), a)) {
		buf_addc(b, 4);
		pack_raw(b, &v4, sizeof(v4));
	} else {
		buf_addc(b, 16);
		pack_raw(b, a.b, sizeof(a.b));
	}
}

static uint32_t pack_next_idx(const struct elem *e, const struct elem *before)
{
	bool same = e->table == before->table && ip_eq(e->addr, before->addr) && e->port == before->port &&
		    e->proto == before->proto;

	return same ? before->idx + 1 : 0;
}

static void pack_one(struct buf *b, const struct elem *e, const struct elem *before)
{
	uint8_t what = 0;

	what |= e->table != before->table ? PACK_TABLE : 0;
	what |= !ip_eq(e->addr, before->addr) ? PACK_ADDR : 0;
	what |= e->port != before->port ? PACK_PORT : 0;
	what |= e->proto != before->proto ? PACK_PROTO : 0;
	what |= e->idx != pack_next_idx(e, before) ? PACK_IDX : 0;
	what |= !ip_eq(e->other, before->other) ? PACK_OTHER : 0;
	what |= e->val != before->val ? PACK_VAL : 0;
	buf_addc(b, (char)what);
	if (what & PACK_TABLE)
		pack_raw(b, &e->table, sizeof(e->table));
	if (what & PACK_ADDR)
		pack_addr(b, e->addr);
	if (what & PACK_PORT)
		pack_raw(b, &e->port, sizeof(e->port));
	if (what & PACK_PROTO)
		pack_raw(b, &e->proto, sizeof(e->proto));
	if (what & PACK_IDX)
		pack_raw(b, &e->idx, sizeof(e->idx));
	if (what & PACK_OTHER)
		pack_addr(b, e->other);
	if (what & PACK_VAL)
		pack_raw(b, &e->val, sizeof(e->val));
}

void elem_pack(struct elem_pack *ret, const struct elems *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct elem before = { .table = 0 };

	for (size_t i = 0; i < e->v.n; i++) {
		pack_one(&b, &e->v.p[i], &before);
		before = e->v.p[i];
	}
	*ret = (struct elem_pack){ .bytes = b.n ? xmemdup(b.p, b.n) : NULL, .n = (uint32_t)e->v.n };
}

static void unpack_raw(const uint8_t **p, void *to, size_t n)
{
	memcpy(to, *p, n);
	*p += n;
}

static struct ip_addr unpack_addr(const uint8_t **p)
{
	struct ip_addr a;
	uint32_t v4;

	if (*(*p)++ == 4) {
		unpack_raw(p, &v4, sizeof(v4));
		return ip_v4(v4);
	}
	unpack_raw(p, a.b, sizeof(a.b));
	return a;
}

void elem_unpack(struct elems *ret, const struct elem_pack *k)
{
	struct elem e = { .table = 0 };
	const uint8_t *p = k->bytes;

	for (uint32_t i = 0; i < k->n; i++) {
		const struct elem before = e;
		uint8_t what = *p++;

		if (what & PACK_TABLE)
			unpack_raw(&p, &e.table, sizeof(e.table));
		if (what & PACK_ADDR)
			e.addr = unpack_addr(&p);
		if (what & PACK_PORT)
			unpack_raw(&p, &e.port, sizeof(e.port));
		if (what & PACK_PROTO)
			unpack_raw(&p, &e.proto, sizeof(e.proto));
		if (what & PACK_IDX)
			unpack_raw(&p, &e.idx, sizeof(e.idx));
		else
			e.idx = pack_next_idx(&e, &before);
		if (what & PACK_OTHER)
			e.other = unpack_addr(&p);
		if (what & PACK_VAL)
			unpack_raw(&p, &e.val, sizeof(e.val));
		vec_push(&ret->v, e);
	}
}

void elem_pack_release(struct elem_pack *p)
{
	free(p->bytes);
	*p = (struct elem_pack){ .n = 0 };
}
