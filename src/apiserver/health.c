/* /livez, /readyz and /healthz: each a list of named checks, with upstream's names and words.
 *
 * As upstream's, the check of the store asks whether it can be read: on a full disk, or one that hangs, the server
 * lives, and a new start would mend nothing. Whether it can be written /readyz says. What upstream calls post-start
 * hooks are parts of our start: apiserver_new() has done them all before anybody can ask over the network, and a check
 * is there so that who excludes or asks for it by name finds it.
 *
 * Why a check fails its own page tells (/livez/etcd), which asks for a right; the list, which everybody may read, says
 * that the reason is withheld. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/encryption/encryption.h"
#include "apiserver/metrics.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

/* That something is answered. Of the log, too: a line is one write, and nothing of it waits in here. */
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

static bool bootstrapped(struct apiserver *s, struct err *why)
{
	bool done;

	if (!started(s, why))
		return false;
	pthread_mutex_lock(&s->lock);
	done = s->bootstrap_why.reason == ERR_NONE;
	if (!done)
		err_copy(why, &s->bootstrap_why);
	pthread_mutex_unlock(&s->lock);
	return done;
}

/* What is encrypted by a program's key that has not answered about all of it. */
static bool storage_opened(struct apiserver *s, struct err *why)
{
	return set_aside_answered(s, why);
}

static const struct check {
	const char *name;
	bool (*ok)(struct apiserver *s, struct err *why);
	bool ready_only;
	/* What there is with priority and fairness alone, and without it alone. */
	enum { WITH_ANY, WITH_FAIRNESS, WITHOUT_FAIRNESS } with;
} checks[] = {
	{ "ping", always, false, WITH_ANY },
	{ "log", always, false, WITH_ANY },
	{ "etcd", storage_reads, false, WITH_ANY },
	{ "etcd-readiness", storage_writes, true, WITH_ANY },
	{ "watch-cache", watch_cache, false, WITH_ANY }, /* ours: does it follow the store? */
	{ "informer-sync", started, true, WITH_ANY },
	{ "encrypted-storage", storage_opened, true, WITH_ANY }, /* ours: kinds that nobody is told of yet */
	{ "poststarthook/start-apiserver-admission-initializer", started, false, WITH_ANY },
	{ "poststarthook/generic-apiserver-start-informers", watch_cache, false, WITH_ANY },
	{ "poststarthook/priority-and-fairness-config-consumer", started, false, WITH_FAIRNESS },
	{ "poststarthook/priority-and-fairness-filter", started, false, WITH_FAIRNESS },
	{ "poststarthook/max-in-flight-filter", started, false, WITHOUT_FAIRNESS },
	{ "poststarthook/storage-object-count-tracker-hook", watch_cache, false, WITH_ANY },
	{ "poststarthook/storage-readiness", watch_cache, false, WITH_ANY },
	{ "poststarthook/start-apiextensions-informers", watch_cache, false, WITH_ANY },
	{ "poststarthook/start-apiextensions-controllers", started, false, WITH_ANY },
	{ "poststarthook/crd-informer-synced", started, false, WITH_ANY },
	{ "poststarthook/start-system-namespaces-controller", bootstrapped, false, WITH_ANY },
	{ "poststarthook/start-cluster-authentication-info-controller", started, false, WITH_ANY },
	{ "poststarthook/start-legacy-token-tracking-controller", started, false, WITH_ANY },
	{ "poststarthook/start-service-ip-repair-controllers", started, false, WITH_ANY },
	{ "poststarthook/rbac/bootstrap-roles", bootstrapped, false, WITH_ANY },
	{ "poststarthook/scheduling/bootstrap-system-priority-classes", bootstrapped, false, WITH_ANY },
	{ "poststarthook/priority-and-fairness-config-producer", bootstrapped, false, WITH_FAIRNESS },
	{ "poststarthook/bootstrap-controller", bootstrapped, false, WITH_ANY },
	{ "poststarthook/start-kubernetes-service-cidr-controller", started, false, WITH_ANY },
	{ "poststarthook/start-kube-aggregator-informers", watch_cache, false, WITH_ANY },
	{ "poststarthook/apiservice-status-local-available-controller", started, false, WITH_ANY },
	{ "poststarthook/apiservice-status-remote-available-controller", started, false, WITH_ANY },
	{ "poststarthook/apiservice-registration-controller", started, false, WITH_ANY },
	{ "poststarthook/apiservice-discovery-controller", started, false, WITH_ANY },
	{ "poststarthook/kube-apiserver-autoregistration", started, false, WITH_ANY },
	{ "autoregister-completion", started, false, WITH_ANY },
	{ "poststarthook/apiservice-openapi-controller", started, false, WITH_ANY },
	{ "poststarthook/apiservice-openapiv3-controller", started, false, WITH_ANY },
	{ "shutdown", not_stopping, true, WITH_ANY },
};

static void plain(struct api_req *q, int code, struct buf *b)
{
	api_req_header(q, SV("x-content-type-options"), SV("nosniff"));
	answer_text(q, code, "text/plain; charset=utf-8", arena_sv(q->arena, buf_sv(b)));
	buf_release(b);
}

/* The i-th check of a page, and what it says now; *ret_name NULL: it is not one of this page's. False: there are no
 * more. Behind those of the table come the programs that keep keys. */
static bool health_at(struct apiserver *s, bool ready, size_t i, const char **ret_name, bool ask, bool *ret_well,
		      struct err *why)
{
	const struct check *c;

	if (i >= ARRAY_LEN(checks))
		return encryption_check(s->o.encryption, i - ARRAY_LEN(checks), ret_name, ret_well, why);
	c = &checks[i];
	*ret_name = c->ready_only && !ready ? NULL : c->name;
	if (c->with == (s->o.no_priority_and_fairness ? WITH_FAIRNESS : WITHOUT_FAIRNESS))
		*ret_name = NULL;
	if (*ret_name && ask)
		*ret_well = c->ok(s, why);
	return true;
}

static bool one_check(struct api_req *q, const char *which, struct sv name)
{
	bool ready = strcmp(which, "readyz") == 0, well = true;
	const char *is;

	for (size_t i = 0;; i++) {
		struct err why = ERR_INIT;
		struct buf b = BUF_INIT;
		bool more = health_at(q->server, ready, i, &is, false, &well, &why);

		err_release(&why);
		if (!more)
			return false;
		if (!is || !sv_is(name, is))
			continue;
		(void)health_at(q->server, ready, i, &is, true, &well, &why);
		if (well)
			buf_adds(&b, "ok");
		else
			buf_printf(&b, "internal server error: %s\n", err_msg(&why));
		err_release(&why);
		plain(q, well ? 200 : 500, &b);
		return true;
	}
}

/* --- what is excluded --- */

static bool excluded(struct api_req *q, const char *name)
{
	for (size_t i = 0; i < q->n_params; i++)
		if (sv_is(q->params[i].name, "exclude") && sv_is(q->params[i].value, name))
			return true;
	return false;
}

static bool health_has(struct apiserver *s, const char *which, struct sv name)
{
	bool ready = strcmp(which, "readyz") == 0, well, more = true;
	const char *is;

	for (size_t i = 0; more; i++) {
		struct err why = ERR_INIT;

		more = health_at(s, ready, i, &is, false, &well, &why);
		err_release(&why);
		if (more && is && sv_is(name, is))
			return true;
	}
	return false;
}

#define UNMATCHED_MAX 64 /* of a URL's parameters; who names more is told of so many */

/* Those that no check has the name of, once each and in order. */
static void unmatched(struct api_req *q, const char *which, struct buf *b)
{
	struct sv names[UNMATCHED_MAX];
	size_t n = 0;

	for (size_t i = 0; i < q->n_params && n < UNMATCHED_MAX; i++)
		if (sv_is(q->params[i].name, "exclude") && !health_has(q->server, which, q->params[i].value))
			names[n++] = q->params[i].value;
	if (!n)
		return;
	qsort(names, n, sizeof(*names), sv_order);
	buf_adds(b, "warn: some health checks cannot be excluded: no matches for ");
	for (size_t i = 0; i < n; i++)
		if (i == 0 || !sv_eq(names[i], names[i - 1]))
			buf_printf(b, "%s\"%.*s\"", i ? "," : "", SV_ARG(names[i]));
	buf_addc(b, '\n');
}

/* --- a list --- */

/* Whoever asks, and however often: a line in ten seconds. */
static void health_tell(struct apiserver *s, const char *name, const struct err *why)
{
	int64_t now = env_mono_ns(s->env), last = atomic_load(&s->health_told_ns);

	if (last && now - last < 10 * NS_PER_SEC)
		return;
	if (atomic_compare_exchange_strong(&s->health_told_ns, &last, MAX(now, (int64_t)1)))
		log_warn("apiserver", "a check of health fails", "check", "%s: %s", name, err_msg(why));
}

/* Reasons are for the log: everybody may read this. */
static bool list_checks(struct api_req *q, const char *which, struct buf *b)
{
	bool ready = strcmp(which, "readyz") == 0, ok = true, more = true;

	for (size_t i = 0; more; i++) {
		struct err why = ERR_INIT;
		const char *name;
		bool well = true;

		more = health_at(q->server, ready, i, &name, false, &well, &why);
		err_release(&why);
		if (!more || !name)
			continue;
		if (excluded(q, name)) {
			buf_printf(b, "[+]%s excluded: ok\n", name);
			continue;
		}
		(void)health_at(q->server, ready, i, &name, true, &well, &why);
		health_counted(q->server, name, which, well);
		if (well) {
			buf_printf(b, "[+]%s ok\n", name);
		} else {
			buf_printf(b, "[-]%s failed: reason withheld\n", name);
			health_tell(q->server, name, &why);
			ok = false;
		}
		err_release(&why);
	}
	return ok;
}

static void all_checks(struct api_req *q, const char *which)
{
	struct buf b = BUF_INIT;
	struct sv v;
	bool ok = list_checks(q, which, &b);

	unmatched(q, which, &b);
	set_aside_health(q->server, user_in_group(&q->user, SV("system:masters")), &b);
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
		size_t n = strlen(names[i]);
		struct sv rest;

		if (sv_is(path, names[i])) {
			all_checks(q, names[i]);
			return true;
		}
		if (!sv_starts(path, sv_from(names[i])) || path.n <= n || path.p[n] != '/')
			continue;
		rest = sv_sub(path, n + 1, path.n);
		return one_check(q, names[i], rest);
	}
	return false;
}
