/* /livez, /readyz and /healthz: each a list of named checks. As upstream's, the check of the store asks whether it can
 * be read: on a full disk, or one that hangs, the server lives, and a new start would mend nothing. Whether it can be
 * written /readyz says. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"

#include <errno.h>

static bool always(struct apiserver *s, struct err *why)
{
	(void)s;
	(void)why;
	return true;
}

static bool storage_writes(struct apiserver *s, struct err *why)
{
	return store_healthy(s->store, why);
}

static bool storage_reads(struct apiserver *s, struct err *why)
{
	if (store_healthy(s->store, why))
		return true;
	if (why->errnum != ENOSPC && why->errnum != ETIMEDOUT)
		return false;
	err_release(why);
	return true;
}

static bool watch_cache(struct apiserver *s, struct err *why)
{
	return atomic_load(&s->stopping) || wc_alive(s->wc, why);
}

static bool started(struct apiserver *s, struct err *why)
{
	if (atomic_load(&s->ready))
		return true;
	err_set(why, ERR_UNAVAILABLE, "not finished");
	return false;
}

static bool not_stopping(struct apiserver *s, struct err *why)
{
	if (!atomic_load(&s->stopping) && !atomic_load(&s->unready))
		return true;
	err_set(why, ERR_UNAVAILABLE, "process is shutting down");
	return false;
}

static const struct check {
	const char *name;
	bool (*ok)(struct apiserver *s, struct err *why);
	bool ready_only;
} checks[] = {
	{ "ping", always, false },
	{ "log", always, false },
	{ "etcd", storage_reads, false },
	{ "etcd-readiness", storage_writes, true },
	{ "watch-cache", watch_cache, false },
	{ "informer-sync", started, true },
	{ "poststarthook/start-apiserver-admission-initializer", started, false },
	{ "poststarthook/rbac/bootstrap-roles", started, false },
	{ "poststarthook/scheduling/bootstrap-system-priority-classes", started, false },
	{ "shutdown", not_stopping, true },
};

static bool excluded(struct api_req *q, const char *name)
{
	for (size_t i = 0; i < q->n_params; i++)
		if (sv_is(q->params[i].name, "exclude") && sv_is(q->params[i].value, name))
			return true;
	return false;
}

static void plain(struct api_req *q, int code, struct buf *b)
{
	answer_text(q, code, "text/plain; charset=utf-8", arena_sv(q->arena, buf_sv(b)));
	buf_release(b);
}

static void one_check(struct api_req *q, const struct check *c)
{
	struct err why = ERR_INIT;
	struct buf b = BUF_INIT;
	bool ok = c->ok(q->server, &why);

	if (ok)
		buf_adds(&b, "ok");
	else
		buf_printf(&b, "internal server error: %s\n", err_msg(&why));
	err_release(&why);
	plain(q, ok ? 200 : 500, &b);
}

static void all_checks(struct api_req *q, const char *which)
{
	bool ready = strcmp(which, "readyz") == 0, ok = true;
	struct buf b = BUF_INIT;
	struct sv v;

	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		struct err why = ERR_INIT;

		if (checks[i].ready_only && !ready)
			continue;
		if (excluded(q, checks[i].name)) {
			buf_printf(&b, "[+]%s excluded: ok\n", checks[i].name);
		} else if (checks[i].ok(q->server, &why)) {
			buf_printf(&b, "[+]%s ok\n", checks[i].name);
		} else {
			buf_printf(&b, "[-]%s failed: %s\n", checks[i].name, err_msg(&why));
			ok = false;
		}
		err_release(&why);
	}
	set_aside_health(q->server, &b);
	if (!ok) {
		buf_printf(&b, "%s check failed\n", which);
	} else if (api_req_param(q, "verbose", &v)) {
		buf_printf(&b, "%s check passed\n", which);
	} else {
		buf_clear(&b);
		buf_adds(&b, "ok");
	}
	plain(q, ok ? 200 : 500, &b);
}

bool health_serve(struct api_req *q)
{
	static const char *const names[] = { "readyz", "livez", "healthz" };
	struct sv path = sv_sub(q->path, 1, q->path.n);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct sv rest = path;

		if (sv_is(path, names[i])) {
			all_checks(q, names[i]);
			return true;
		}
		if (!sv_starts(path, sv_from(names[i])) || path.n <= strlen(names[i]) ||
		    path.p[strlen(names[i])] != '/')
			continue;
		rest = sv_sub(path, strlen(names[i]) + 1, path.n);
		for (size_t k = 0; k < ARRAY_LEN(checks); k++) {
			if (sv_is(rest, checks[k].name)) {
				one_check(q, &checks[k]);
				return true;
			}
		}
	}
	return false;
}
