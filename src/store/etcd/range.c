/* Ranges, in pages: of one revision, none longer than it should be. */
#include "store/etcd/etcd-internal.h"

#define PAGE_FIRST 128 /* keys of a first answer */
#define PAGE_MAX 10000
#define PAGE_BYTES ((size_t)2 * 1024 * 1024) /* what an answer is to have */

struct paging {
	store_each_fn *fn;
	void *ctx;
	struct buf next; /* the key behind the last one */
	size_t n, left;	 /* told; and how many may still be, SIZE_MAX: any */
	bool stopped;
};

static int page_one(const struct etcd_kv *kv, void *ctx)
{
	struct paging *p = ctx;
	struct store_kv out = { kv->key, kv->value, kv->create_rev, kv->mod_rev, false, NULL };

	p->n++;
	p->left--;
	buf_clear(&p->next);
	buf_addsv(&p->next, kv->key);
	buf_addc(&p->next, '\0');
	p->stopped = p->fn(&out, p->ctx) != 0;
	return p->stopped || p->left == 0;
}

/* So many keys that an answer is about as long as it should be. */
static int64_t page_limit(int64_t limit, size_t bytes, size_t n)
{
	size_t each = n ? bytes / n : 1;

	return n ? (int64_t)MAX(1u, MIN((size_t)PAGE_MAX, PAGE_BYTES / MAX(each, 1u))) : limit;
}

int es_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn, void *ctx,
	     int64_t *ret_rev, struct err *err)
{
	_cleanup_(buf_release) struct buf answer = BUF_INIT, request = BUF_INIT;
	struct paging p = { .fn = fn, .ctx = ctx, .left = limit ? limit : SIZE_MAX };
	struct etcd_range q = { .key = from.n ? from : ETCD_FIRST_KEY, .end = to, .rev = rev, .limit = PAGE_FIRST };
	struct etcd_range_said said = { .more = true };
	struct es *es = ES(s);
	int rc = 0;

	if (rev < 0)
		return err_set(err, ERR_BAD_REQUEST, "revision %" PRId64 " is not there yet", rev);
	while (rc == 0 && said.more && !p.stopped && p.left) {
		struct err why = ERR_INIT;
		size_t before = p.n;

		q.limit = (int64_t)MIN((size_t)q.limit, p.left);
		buf_clear(&request);
		etcd_range_write(&request, &q);
		rc = es_ask(es, "/etcdserverpb.KV/Range", &request, ES_READ_NS, &answer, &why);
		if (rc < 0 && why.reason == ERR_TOO_LARGE && q.limit > 1) {
			q.limit = MAX(q.limit / 4, 1);
			err_release(&why);
			rc = 0;
			continue;
		}
		if (rc < 0) {
			err_move(err, &why);
		} else if (!etcd_range_read(buf_sv(&answer), &said)) {
			rc = err_set(err, ERR_INTERNAL, "etcd: the answer to a range cannot be read");
		} else {
			if (!q.rev)
				q.rev = said.rev; /* the rest as of then */
			(void)etcd_range_each(&said, page_one, &p);
			q.key = buf_sv(&p.next);
			q.limit = page_limit(q.limit, answer.n, p.n - before);
			said.more = said.more && p.n > before;
		}
	}
	buf_release(&p.next);
	if (rc == 0 && ret_rev)
		*ret_rev = q.rev;
	return rc;
}
