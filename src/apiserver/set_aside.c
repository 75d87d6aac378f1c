#include "apiserver/set_aside.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/late_kind.h"
#include "apiserver/registry/strategy.h"
#include "apiserver/storekey.h"
#include "apiserver/watchcache.h"
#include "base/log.h"
#include "base/quarantine.h"
#include "base/strmap.h"

#include <stdlib.h>

#define NAMED_MAX 5    /* keys in one warning, lines about health */
#define BLOCKED_MAX 20 /* keys in one refusal */

/* Words for people, by enum set_aside_why. */
static const struct {
	const char *label, *what, *advice;
} aside_words[_ASIDE_MAX] = {
	[ASIDE_UNREADABLE] = { "unreadable", "cannot be read",
			       "restore the store from a backup, go back to the version that wrote it, or delete it "
			       "with ignoreStoreReadErrorWithClusterBreakingPotential in DeleteOptions, which skips "
			       "finalizers and leaves behind what belongs to it" },
	[ASIDE_DEADLY] = { "deadly", "ended the server twice",
			   "delete it, or take its line out of crash/quarantine in the data directory and start the "
			   "server again" },
	[ASIDE_SEALED] = { "sealed", "cannot be opened",
			   "put the key it was written with into the file of --encryption-provider-config again, or "
			   "delete it with ignoreStoreReadErrorWithClusterBreakingPotential in DeleteOptions, which "
			   "skips finalizers and leaves behind what belongs to it" },
	[ASIDE_UNANSWERED] = { "unanswered", "cannot be opened yet",
			       "the program that has its key does not answer; nothing is lost, it is read again each "
			       "second" },
};

struct aside {
	char *key;  /* owned */
	char *text; /* owned: what the store said; NULL: nothing */
	int64_t rev;
	enum set_aside_why why;
};

struct set_aside {
	atomic_size_t n, hidden, unanswered;
	pthread_mutex_t lock;
	struct aside_kind *by_res; /* [resource_count]; guarded by lock, as those of late kinds are */
	struct aside_kind none;	   /* of a kind that is not ours */
};

struct set_aside *set_aside_new(void)
{
	struct set_aside *l = xcalloc(1, sizeof(*l));

	l->by_res = xcalloc(resource_count, sizeof(*l->by_res));
	pthread_mutex_init(&l->lock, NULL);
	return l;
}

static void aside_free(void *p)
{
	struct aside *e = p;

	if (e) {
		free(e->key);
		free(e->text);
	}
	free(e);
}

void set_aside_release(struct aside_kind *k)
{
	strmap_release_with(&k->by_name, aside_free);
}

struct set_aside *set_aside_free(struct set_aside *l)
{
	if (!l)
		return NULL;
	for (size_t i = 0; i < resource_count; i++)
		set_aside_release(&l->by_res[i]);
	pthread_mutex_destroy(&l->lock);
	free(l->by_res);
	free(l);
	return NULL;
}

static struct aside_kind *aside_of(struct set_aside *l, const struct resource *r)
{
	struct late_kind *late;

	r = resource_storage(r);
	late = late_kind_of(r);
	if (!resource_late(r))
		return &l->by_res[r->id];
	return late ? &late->aside : &l->none;
}

static bool aside_any(struct apiserver *s)
{
	return atomic_load_explicit(&s->aside->n, memory_order_relaxed) > 0;
}

static struct sv aside_id(struct arena *a, const struct resource *r, struct sv ns, struct sv name)
{
	return r->namespaced ? arena_svf(a, "%.*s/%.*s", SV_ARG(ns), SV_ARG(name)) : name;
}

static bool why_hides(enum set_aside_why why)
{
	return why == ASIDE_SEALED || why == ASIDE_UNANSWERED;
}

/* e of k comes (1) or goes (-1) as what it is; the lock is held. */
static void aside_counted(struct set_aside *l, struct aside_kind *k, const struct aside *e, int by)
{
	size_t d = (size_t)by;

	atomic_fetch_add(&l->n, d);
	if (!why_hides(e->why))
		return;
	k->hidden += d;
	atomic_fetch_add(&l->hidden, d);
	if (e->why == ASIDE_UNANSWERED)
		atomic_fetch_add(&l->unanswered, d);
}

void set_aside_put(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name, struct sv key,
		   int64_t rev, enum set_aside_why why, const struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct set_aside *l = s->aside;
	struct aside_kind *k;
	struct aside *e;
	void **slot;
	bool fresh, first;

	pthread_mutex_lock(&l->lock);
	k = aside_of(l, r);
	slot = strmap_slot(&k->by_name, aside_id(&a, r, ns, name));
	e = *slot;
	fresh = !e || e->why != why;
	if (e) {
		aside_counted(l, k, e, -1);
	} else {
		e = *slot = xcalloc(1, sizeof(*e));
		e->key = xstrndup(key.p, key.n);
	}
	if (why != ASIDE_DEADLY && (fresh || e->rev != rev))
		k->decode_errors++;
	e->rev = rev;
	e->why = why;
	free(e->text);
	e->text = err ? xstrdup(err_msg(err)) : NULL;
	aside_counted(l, k, e, 1);
	first = why != ASIDE_UNANSWERED || k->hidden == 1; /* all of a kind wait at once: told once */
	pthread_mutex_unlock(&l->lock);
	if (fresh && first)
		log_kv(LVL_ERROR, "apiserver", "a stored object is set aside", "key", arena_cstr(&a, key), "why",
		       aside_words[why].what, err ? "error" : NULL, err ? err_msg(err) : NULL, NULL);
}

void set_aside_drop(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct set_aside *l = s->aside;
	struct aside *e;

	if (!aside_any(s))
		return;
	pthread_mutex_lock(&l->lock);
	e = strmap_del(&aside_of(l, r)->by_name, aside_id(&a, r, ns, name));
	if (e)
		aside_counted(l, aside_of(l, r), e, -1);
	pthread_mutex_unlock(&l->lock);
	aside_free(e);
}

void set_aside_forget(struct apiserver *s, const struct resource *r)
{
	struct aside_kind *k = &late_kind_of(r)->aside;
	struct strmap *by_name = &k->by_name;

	pthread_mutex_lock(&s->aside->lock);
	STRMAP_EACH(by_name, m)
		aside_counted(s->aside, k, m->value, -1);
	strmap_release_with(by_name, aside_free);
	*by_name = STRMAP_INIT;
	pthread_mutex_unlock(&s->aside->lock);
}

int64_t set_aside_rev(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct set_aside *l = s->aside;
	const struct aside *e;
	int64_t rev;

	if (!aside_any(s))
		return 0;
	pthread_mutex_lock(&l->lock);
	e = strmap_get(&aside_of(l, r)->by_name, aside_id(&a, r, ns, name));
	rev = e ? e->rev : 0;
	pthread_mutex_unlock(&l->lock);
	return rev;
}

bool set_aside_hides(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct set_aside *l = s->aside;
	const struct aside *e;
	bool yes;

	if (!atomic_load_explicit(&l->hidden, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&l->lock);
	e = strmap_get(&aside_of(l, r)->by_name, aside_id(&a, r, ns, name));
	yes = e && why_hides(e->why);
	pthread_mutex_unlock(&l->lock);
	return yes;
}

/* m is of by_name of r. */
static bool aside_within(const struct resource *r, const struct strmap_entry *m, struct sv ns, struct sv *ret_name)
{
	struct sv in;

	storekey_split(r, sv_make(m->key, m->key_n), &in, ret_name);
	return !ns.n || !r->namespaced || sv_eq(in, ns);
}

int set_aside_blocked(struct apiserver *s, const struct resource *r, struct sv ns, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct set_aside *l = s->aside;
	size_t n = 0;

	if (!atomic_load_explicit(&l->hidden, memory_order_relaxed))
		return 0;
	pthread_mutex_lock(&l->lock);
	STRMAP_EACH(&aside_of(l, r)->by_name, m) {
		const struct aside *e = m->value;
		struct sv name;

		if (!why_hides(e->why) || !aside_within(r, m, ns, &name) || n++ > BLOCKED_MAX)
			continue;
		if (n > BLOCKED_MAX)
			buf_adds(&b, ", ...");
		else
			buf_printf(&b, "%sunable to transform key \"%s\": %s", n > 1 ? ", " : "", e->key,
				   e->text ? e->text : aside_words[e->why].what);
	}
	pthread_mutex_unlock(&l->lock);
	if (!n)
		return 0;
	return err_set(err, ERR_INTERNAL, n > 1 ? "Internal error occurred: [%s]" : "Internal error occurred: %s",
		       buf_cstr(&b));
}

int set_aside_unjudged(struct apiserver *s, const struct resource *r, struct err *err)
{
	static const struct resource *const judges[] = {
		RES(admissionregistration_mutatingwebhookconfigurations),
		RES(admissionregistration_validatingwebhookconfigurations),
		RES(admissionregistration_validatingadmissionpolicies),
		RES(admissionregistration_validatingadmissionpolicybindings),
		RES(admissionregistration_mutatingadmissionpolicies),
		RES(admissionregistration_mutatingadmissionpolicybindings),
		RES(core_resourcequotas),
	};

	if (!atomic_load_explicit(&s->aside->hidden, memory_order_relaxed))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(judges); i++)
		if (set_aside_blocked(s, judges[i], SV(""), err) < 0)
			return err_wrap(err, "nothing can be written as not all %s can be read", judges[i]->plural);
	if (resource_storage(r) == RES(core_services) && set_aside_blocked(s, r, SV(""), err) < 0)
		return err_wrap(err, "no Service can be written as not all can be read, with their addresses");
	return 0;
}

bool set_aside_waits(struct apiserver *s, const struct resource *r)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct aside_again *list;

	return set_aside_hidden(s, r, true, &a, &list) > 0;
}

bool set_aside_answered(struct apiserver *s, struct err *why)
{
	struct set_aside *l = s->aside;
	const struct api_set *api;
	bool found = false;

	if (!atomic_load(&l->unanswered))
		return true;
	api = api_current_get(s->api);
	pthread_mutex_lock(&l->lock);
	API_EACH(api, r) {
		if (found || !resource_first(r))
			continue;
		STRMAP_EACH(&aside_of(l, r)->by_name, m) {
			const struct aside *e = m->value;

			if (found || e->why != ASIDE_UNANSWERED)
				continue;
			found = true;
			err_set(why, ERR_UNAVAILABLE, "%s cannot be read yet: %s", r->plural,
				e->text ? e->text : e->key);
		}
	}
	pthread_mutex_unlock(&l->lock);
	api_set_unref(api);
	return !found;
}

size_t set_aside_hidden(struct apiserver *s, const struct resource *r, bool unanswered_only, struct arena *a,
			struct aside_again **ret)
{
	struct set_aside *l = s->aside;
	struct aside_kind *k;
	size_t n = 0;

	*ret = NULL;
	if (!atomic_load_explicit(&l->hidden, memory_order_relaxed))
		return 0;
	pthread_mutex_lock(&l->lock);
	k = aside_of(l, r);
	if (k->hidden)
		*ret = ARENA_ARRAY(a, struct aside_again, k->hidden);
	STRMAP_EACH(&k->by_name, m) {
		const struct aside *e = m->value;

		if (*ret && (e->why == ASIDE_UNANSWERED || (e->why == ASIDE_SEALED && !unanswered_only)))
			(*ret)[n++] = (struct aside_again){ arena_sv(a, sv_from(e->key)), e->rev };
	}
	pthread_mutex_unlock(&l->lock);
	return n;
}

bool set_aside_deletable(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct set_aside *l = s->aside;
	const struct aside *e;
	bool yes;

	if (!aside_any(s))
		return false;
	pthread_mutex_lock(&l->lock);
	e = strmap_get(&aside_of(l, r)->by_name, aside_id(&a, r, ns, name));
	yes = e && e->why == ASIDE_DEADLY;
	pthread_mutex_unlock(&l->lock);
	return yes;
}

/* Those of r in ns that are called `pinned` (all, when that is SV_NULL), and into b the first keys. */
static size_t aside_find(struct apiserver *s, const struct resource *r, struct sv ns, struct sv pinned, struct buf *b)
{
	struct set_aside *l = s->aside;
	size_t n = 0;

	pthread_mutex_lock(&l->lock);
	STRMAP_EACH(&aside_of(l, r)->by_name, m) {
		const struct aside *e = m->value;
		struct sv name;

		if (!aside_within(r, m, ns, &name) || (pinned.p && !sv_eq(name, pinned)))
			continue;
		if (b && n < NAMED_MAX)
			buf_printf(b, "%s%s", n ? ", " : "", e->key);
		else if (b && n == NAMED_MAX)
			buf_adds(b, ", ...");
		n++;
	}
	pthread_mutex_unlock(&l->lock);
	return n;
}

size_t set_aside_count(struct apiserver *s, const struct resource *r, struct sv ns)
{
	return aside_any(s) ? aside_find(s, r, ns, SV_NULL, NULL) : 0;
}

/* What is wrong and what to do, in a; SV_NULL: it is not set aside. */
static struct sv aside_text(struct apiserver *s, struct arena *a, const struct resource *r, struct sv ns,
			    struct sv name)
{
	struct set_aside *l = s->aside;
	const struct aside *e;
	struct sv text = SV_NULL;

	if (!aside_any(s))
		return text;
	pthread_mutex_lock(&l->lock);
	e = strmap_get(&aside_of(l, r)->by_name, aside_id(a, r, ns, name));
	if (e)
		text = e->text ? arena_svf(a, "unable to transform key \"%s\": %s; %s", e->key, e->text,
					   aside_words[e->why].advice)
			       : arena_svf(a, "the stored object %s %s and is set aside: %s", e->key,
					   aside_words[e->why].what, aside_words[e->why].advice);
	pthread_mutex_unlock(&l->lock);
	return text;
}

int set_aside_error(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text = aside_text(s, &a, r, ns, name);

	if (!text.p && wc_unseen(s->wc, r, ns, name))
		return wc_changed_error(r, err);
	if (!text.p)
		return err_not_found(err, r, name);
	err_set(err, ERR_INTERNAL, "Internal error occurred: %.*s", SV_ARG(text));
	return err_set_object(err, sv_from(r->group), sv_from(r->plural), name);
}

int set_aside_exists(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text = aside_text(s, &a, r, ns, name);
	char q[256];

	if (!text.p)
		return err_exists(err, r, name);
	err_set(err, ERR_ALREADY_EXISTS, "%s \"%.*s\" already exists: %.*s", resource_qualified(r, q, sizeof(q)),
		SV_ARG(name), SV_ARG(text));
	return err_set_object(err, sv_from(r->group), sv_from(r->plural), name);
}

static void aside_warn(struct api_req *q, size_t n, struct buf *keys)
{
	if (n)
		api_req_warn(q, "%zu stored %s " SET_ASIDE_MISSING ": %s", n, n == 1 ? "object is" : "objects are",
			     buf_cstr(keys));
}

void set_aside_warn(struct api_req *q, struct sv pinned)
{
	_cleanup_(buf_release) struct buf keys = BUF_INIT;
	size_t n;

	if (!aside_any(q->server))
		return;
	n = aside_find(q->server, q->res, q->ns, pinned, &keys);
	aside_warn(q, n, &keys);
}

void set_aside_add_missing(struct aside_missing *m, struct sv key)
{
	if (m->n < NAMED_MAX)
		buf_printf(&m->keys, "%s%.*s", m->n ? ", " : "", SV_ARG(key));
	else if (m->n == NAMED_MAX)
		buf_adds(&m->keys, ", ...");
	m->n++;
}

void set_aside_warn_missing(struct api_req *q, struct aside_missing *m)
{
	aside_warn(q, m->n, &m->keys);
	buf_release(&m->keys);
}

static void aside_line(struct buf *b, size_t n, struct sv key, enum set_aside_why why)
{
	if (b && n < NAMED_MAX)
		buf_printf(b, "[+]set-aside ok: %.*s %s and is left alone\n", SV_ARG(key), aside_words[why].what);
}

void set_aside_health(struct apiserver *s, bool with_keys, struct buf *b)
{
	const struct api_set *api = api_current_get(s->api);
	struct set_aside *l = s->aside;
	struct sv key;
	size_t n = 0;

	pthread_mutex_lock(&l->lock);
	API_EACH(api, r) {
		if (!aside_any(s) || !resource_first(r))
			continue;
		STRMAP_EACH(&aside_of(l, r)->by_name, m) {
			const struct aside *e = m->value;

			if (e->why != ASIDE_UNANSWERED) /* of which a check fails */
				aside_line(with_keys ? b : NULL, n++, sv_from(e->key), e->why);
		}
	}
	pthread_mutex_unlock(&l->lock);
	api_set_unref(api);
	/* Reconciles are set aside, too. */
	for (size_t i = 0; quarantine_at(i, &key); i++)
		if (!sv_starts(key, SV("/")))
			aside_line(with_keys ? b : NULL, n++, key, ASIDE_DEADLY);
	if (with_keys && n > NAMED_MAX)
		buf_printf(b, "[+]set-aside ok: and %zu more\n", n - NAMED_MAX);
	else if (!with_keys && n)
		buf_printf(b, "[+]set-aside ok: %zu, which the log names\n", n);
}

void set_aside_metrics(struct apiserver *s, struct buf *b)
{
	const struct api_set *api = api_current_get(s->api);
	struct set_aside *l = s->aside;
	char q[256];

	buf_adds(b, "# HELP apiserver_storage_decode_errors_total Number of stored object decode errors split by "
		    "object type.\n# TYPE apiserver_storage_decode_errors_total counter\n");
	pthread_mutex_lock(&l->lock);
	API_EACH(api, r)
		if (resource_first(r) && aside_of(l, r)->decode_errors)
			buf_printf(b,
				   "apiserver_storage_decode_errors_total{group=\"%s\",resource=\"%s\"} %" PRIu64 "\n",
				   r->group, r->plural, aside_of(l, r)->decode_errors);
	buf_adds(b, "# HELP caravel_storage_set_aside_objects Number of stored objects that are not handed out.\n"
		    "# TYPE caravel_storage_set_aside_objects gauge\n");
	API_EACH(api, r) {
		size_t by_why[_ASIDE_MAX] = { 0 };

		if (!resource_first(r))
			continue;
		STRMAP_EACH(&aside_of(l, r)->by_name, e)
			by_why[((const struct aside *)e->value)->why]++;
		for (size_t w = 0; w < _ASIDE_MAX; w++)
			if (by_why[w])
				buf_printf(b, "caravel_storage_set_aside_objects{reason=\"%s\",resource=\"%s\"} %zu\n",
					   aside_words[w].label, resource_qualified(r, q, sizeof(q)), by_why[w]);
	}
	pthread_mutex_unlock(&l->lock);
	api_set_unref(api);
}
