#include "apiserver/stored_pages.h"

#include "apiserver/apiserver-internal.h"
#include "base/buf.h"
#include "store/records.h"

struct stored_page {
	struct buf b;
	struct err err;
};

static int stored_page_add(const struct store_kv *kv, void *ctx)
{
	struct stored_page *p = ctx;

	return store_record_add(&p->b, kv, &p->err) < 0 || p->b.n >= STORED_PAGE_BYTES;
}

static int stored_page_read(struct api_req *q, struct stored_page *p, int64_t *ret_rev, struct err *err)
{
	struct apiserver *s = q->server;
	struct sv text, after = SV("");
	int64_t rev = 0;
	char *from;

	if (!user_in_group(&q->user, SV("system:masters")))
		return err_set(err, ERR_FORBIDDEN,
			       "User \"%.*s\" cannot get path \"" STORED_PAGES_PATH "\": it is for system:masters only",
			       SV_ARG(q->user.name));
	if (api_req_param(q, "revision", &text) && (!sv_to_i64(text, &rev) || rev <= 0))
		return err_bad_number(err, text);
	(void)api_req_param(q, "after", &after);
	if (after.n > STORE_KEY_MAX)
		return err_set(err, ERR_BAD_REQUEST, "no key is longer than %zu bytes", STORE_KEY_MAX);
	/* The next key that can be. */
	from = arena_alloc(q->arena, after.n + 1);
	if (after.n)
		memcpy(from, after.p, after.n);
	from[after.n] = '\0';
	if (store_range(s->o.stored ? s->o.stored : s->store, sv_make(from, after.n + 1), SV("\xff"), rev, 0,
			stored_page_add, p, ret_rev, err) < 0)
		return -1;
	return p->err.reason == ERR_NONE ? 0 : err_move(err, &p->err);
}

bool stored_pages_serve(struct api_req *q)
{
	struct stored_page p = { .b = BUF_INIT, .err = ERR_INIT };
	struct err err = ERR_INIT;
	int64_t rev = 0;

	if (!sv_is(q->path, STORED_PAGES_PATH))
		return false;
	if (stored_page_read(q, &p, &rev, &err) < 0) {
		api_req_fail(q, &err);
	} else {
		api_req_header(q, SV(STORED_PAGES_REVISION), arena_svf(q->arena, "%" PRId64, rev));
		answer_text(q, 200, "application/octet-stream", arena_sv(q->arena, buf_sv(&p.b)));
	}
	buf_release(&p.b);
	err_release(&p.err);
	return true;
}
