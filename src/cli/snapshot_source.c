#include "cli/snapshot_source.h"

#include "apiserver/stored_pages.h"
#include "base/percent.h"
#include "cli/agent.h"
#include "cli/etcd_member.h"
#include "snapshot/foreign.h"
#include "store/records.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#define PAGE_MAX (STORED_PAGE_BYTES + STORE_RECORD_MAX)

static int source_api(struct snapshot_source *s, struct arena *a, const char *kubeconfig, struct err *err)
{
	if (api_way_open(&s->api, a, kubeconfig, err) < 0)
		return -1;
	s->what = s->api.what;
	return 0;
}

/* The same of one that is a member of several. An etcd has it locked as long as it runs. */
static int source_member(struct snapshot_source *s, struct arena *a, const char *data_dir, struct err *err)
{
	bool runs;
	int fd;

	s->what = arena_printf(a, "%s/etcd/data/member/snap/db", data_dir);
	fd = open(s->what, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, errno, "cannot open '%s'", s->what);
	if (flock(fd, LOCK_SH | LOCK_NB) == 0) {
		s->etcd = fd;
		return 1;
	}
	runs = errno == EWOULDBLOCK;
	if (!runs)
		err_set_errno(err, errno, "locking '%s'", s->what);
	close(fd);
	return runs ? 0 : -1;
}

/* The files of a server that does not run. 0: a server has them. */
static int source_files(struct snapshot_source *s, struct env *env, struct arena *a, const char *data_dir,
			struct err *err)
{
	const char *db = arena_printf(a, "%s/db", data_dir);
	struct err why = ERR_INIT;

	if (etcd_member_there(data_dir))
		return source_member(s, a, data_dir, err);
	if (access(arena_printf(a, "%s/manifest", db), F_OK) < 0)
		return err_set(
		    err, ERR_NOT_FOUND,
		    "'%s' holds no database: name a server's --data-dir, an administrator's --kubeconfig, or "
		    "the etcd with --datastore-endpoint",
		    data_dir);
	s->what = db;
	s->store = store_disk_open(env, db, STORE_DISK_MAX, &why);
	if (s->store)
		return 1;
	if (why.reason != ERR_ALREADY_EXISTS)
		return err_move(err, &why);
	err_release(&why);
	return 0;
}

/* A server is asked first: while its files were open here, it could not start. */
int snapshot_source_open(struct snapshot_source *s, struct env *env, struct arena *a, const char *data_dir,
			 const char *kubeconfig, const struct datastore_opts *etcd, struct err *err)
{
	struct err why = ERR_INIT;
	int r;

	*s = (struct snapshot_source){ .what = etcd->endpoint };
	if (etcd->endpoint) {
		s->store = datastore_etcd(env, a, etcd, err);
		return s->store ? 0 : -1;
	}
	if (kubeconfig) {
		if (source_api(s, a, kubeconfig, &why) == 0 && snapshot_source_rev(s, &why) > 0)
			return 0;
		if (why.reason != ERR_UNAVAILABLE && why.reason != ERR_TIMEOUT)
			return err_move(err, &why);
		api_way_release(&s->api);
	}
	r = source_files(s, env, a, data_dir, why.reason == ERR_NONE ? err : NULL);
	if (r == 0 && why.reason == ERR_NONE)
		r = err_set(err, ERR_NOT_FOUND,
			    "a server runs on '%s' and wrote its kubeconfig elsewhere: name it with --kubeconfig",
			    data_dir);
	if (r <= 0 && why.reason != ERR_NONE)
		return err_move(err, &why);
	err_release(&why);
	return MIN(r, 0);
}

/* Any byte of a key, in a query. */
static const char *source_quote(struct arena *a, struct sv key)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	percent_encode(&b, key, PERCENT_UNRESERVED);
	return arena_printf(a, "%s", buf_cstr(&b));
}

static int source_page(struct snapshot_source *s, struct arena *a, int64_t rev, struct sv after, struct sv *ret_records,
		       int64_t *ret_rev, struct err *err)
{
	const char *target = arena_printf(a, STORED_PAGES_PATH "?after=%s", source_quote(a, after));
	struct http_response r;

	if (rev)
		target = arena_printf(a, "%s&revision=%" PRId64, target, rev);
	if (api_way_call(&s->api, a, "GET", target, SV(""), PAGE_MAX, &r, err) < 0)
		return -1;
	if (r.status == 404)
		return err_set(err, ERR_NOT_FOUND,
			       "%s knows nothing of snapshots: is it a Caravel server of this version?", s->what);
	if (r.status != 200)
		return api_way_refused(&s->api, &r, err);
	*ret_records = r.body;
	if (!sv_to_i64(http_response_header(&r, STORED_PAGES_REVISION), ret_rev) || *ret_rev <= 0)
		return err_set(err, ERR_UNAVAILABLE, "%s does not say of which revision its records are", s->what);
	return 0;
}

static int source_none(_unused_ const struct store_kv *kv, _unused_ void *ctx)
{
	return 1;
}

struct source_etcd {
	int (*fn)(const struct store_kv *kv, void *ctx, struct err *err);
	void *ctx;
	bool begun;
};

static int source_etcd_begin(int64_t rev _unused_, void *ctx, struct err *err)
{
	struct source_etcd *e = ctx;

	e->begun = true;
	return e->fn ? 0 : err_set(err, ERR_NOT_FOUND, "only its revision is wanted");
}

static int source_etcd_record(const struct store_kv *kv, void *ctx, struct err *err)
{
	struct source_etcd *e = ctx;

	return e->fn(kv, e->ctx, err);
}

/* fn NULL: its revision alone. */
static int64_t source_etcd(struct snapshot_source *s, int (*fn)(const struct store_kv *kv, void *ctx, struct err *err),
			   void *ctx, struct err *err)
{
	static const struct foreign_cb cb = { source_etcd_begin, source_etcd_record };
	struct source_etcd e = { .fn = fn, .ctx = ctx };
	struct foreign_found found;
	struct err why = ERR_INIT;

	if (foreign_etcd(s->etcd, SV("/registry"), &cb, &e, &found, &why) < 0 && (fn || !e.begun)) {
		err_move(err, &why);
		return err_wrap(err, "reading '%s'", s->what);
	}
	err_release(&why);
	return found.rev;
}

int64_t snapshot_source_rev(struct snapshot_source *s, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv records;
	int64_t rev;
	int rc;

	if (s->etcd)
		return source_etcd(s, NULL, NULL, err);
	if (s->store)
		rc = store_range(s->store, STORE_ALL_FROM, STORE_ALL_TO, 0, 1, source_none, NULL, &rev, err);
	else
		rc = source_page(s, &a, 0, SV("\xfe"), &records, &rev, err);
	return rc < 0 ? -1 : rev;
}

struct source_each {
	int (*fn)(const struct store_kv *kv, void *ctx, struct err *err);
	void *ctx;
	struct err *err;
	bool failed;
};

static int source_one(const struct store_kv *kv, void *ctx)
{
	struct source_each *e = ctx;

	e->failed = e->fn(kv, e->ctx, e->err) < 0;
	return e->failed;
}

static int source_pages(struct snapshot_source *s, int64_t rev, struct source_each *e)
{
	char last[STORE_KEY_MAX];
	size_t last_n = 0;

	for (;;) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sv page;
		int64_t at;

		if (source_page(s, &a, rev, sv_make(last, last_n), &page, &at, e->err) < 0)
			return -1;
		if (at != rev)
			return err_set(e->err, ERR_UNAVAILABLE, "%s answers with another revision", s->what);
		if (!page.n)
			return 0;
		while (page.n) {
			struct store_kv kv;
			ssize_t n = store_record_parse(page.p, page.n, &kv);

			if (n <= 0)
				return err_set(e->err, ERR_UNAVAILABLE, "what %s answers are no records", s->what);
			if (e->fn(&kv, e->ctx, e->err) < 0)
				return -1;
			memcpy(last, kv.key.p, kv.key.n);
			last_n = kv.key.n;
			page = sv_sub(page, (size_t)n, page.n);
		}
	}
}

int snapshot_source_each(struct snapshot_source *s, int64_t rev,
			 int (*fn)(const struct store_kv *kv, void *ctx, struct err *err), void *ctx, struct err *err)
{
	struct source_each e = { fn, ctx, err, false };
	int64_t at;

	if (s->etcd)
		return source_etcd(s, fn, ctx, err) < 0 ? -1 : 0;
	if (!s->store)
		return source_pages(s, rev, &e);
	if (store_range(s->store, STORE_ALL_FROM, STORE_ALL_TO, rev, 0, source_one, &e, &at, err) < 0)
		return -1;
	return e.failed ? -1 : 0;
}

void snapshot_source_release(struct snapshot_source *s)
{
	s->store = store_close(s->store);
	api_way_release(&s->api);
	if (s->etcd)
		close(s->etcd);
	*s = (struct snapshot_source){ 0 };
}
