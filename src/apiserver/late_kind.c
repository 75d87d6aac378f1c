/* Kinds that come and go while the server runs. The order is what matters: first there is room for the objects of a
 * kind, then it is served; first it is served no more, then its objects go. */
#include "apiserver/late_kind.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"

#include <stdlib.h>

static void late_kind_free(void *p)
{
	struct late_kind *l = p;

	if (l->wc && resource_storage(l->strategy.res) == l->strategy.res)
		wc_late_free(l->wc);
	for (size_t i = 0; i < ARRAY_LEN(l->cells); i++)
		free(atomic_load(&l->cells[i]));
	set_aside_release(&l->aside);
	arena_release(&l->arena);
	free(l);
}

/* A kind may have any members beside spec: the status endpoint keeps all but the status. */
static const struct kept_on *late_kept(struct arena *a, const struct schema *s)
{
	struct kept_on *on = ARENA_ARRAY(a, struct kept_on, 2);
	const char **fields = ARENA_ARRAY(a, const char *, s->n_fields + 1u);
	size_t n = 0;

	for (size_t i = 0; i < s->n_fields; i++)
		if (schema_own_field(&s->fields[i]))
			fields[n++] = arena_cstr(a, sym_name(s->fields[i].sym));
	on[0] = (struct kept_on){ .sub = "status", .fields = fields };
	return on;
}

static struct late_kind *late_kind_attach(struct api_kind *k)
{
	struct late_kind *l = xcalloc(1, sizeof(*l));

	l->strategy.res = api_kind_resource(k);
	if (l->strategy.res->has_status)
		l->strategy.kept = late_kept(&l->arena, l->strategy.res->schema);
	api_kind_attach(k, l, late_kind_free);
	return l;
}

/* All versions of k know of each other. */
static int late_versions(struct api_kind *k, const struct kind_conversion *how, struct err *err)
{
	static const struct kind_conversion names_alone;
	struct late_kind *l = api_kind_state(k);
	struct version *all;
	size_t n = 0;

	how = how ? how : &names_alone;
	for (const struct api_kind *v = k; v; v = api_kind_next(v))
		n++;
	all = ARENA_ARRAY(&l->arena, struct version, n);
	l->versions = (struct versions){ .storage = api_kind_resource(k),
					 .all = all,
					 .n = n,
					 .convert = how->convert,
					 .ctx = how->ctx,
					 .waits = how->waits };
	for (const struct api_kind *v = k; v; v = api_kind_next(v)) {
		const struct resource *r = api_kind_resource(v);

		(all++)->res = r;
		if (how->hub ? !strcmp(how->hub, r->version) : v == k)
			l->versions.hub = r;
	}
	if (!l->versions.hub)
		return err_set(err, ERR_BAD_REQUEST, "%s has no version %s to convert by", l->strategy.res->plural,
			       how->hub);
	for (const struct api_kind *v = k; v; v = api_kind_next(v))
		((struct late_kind *)api_kind_state(v))->strategy.versions = &l->versions;
	return 0;
}

static int late_kind_start(struct apiserver *s, struct api_kind *k, const struct kind_conversion *how, struct err *err)
{
	bool served = false;

	if (api_kind_state(k))
		return err_set(err, ERR_ALREADY_EXISTS, "the kind %s has been served before: make it anew",
			       api_kind_resource(k)->kind);
	for (struct api_kind *v = k; v; v = api_kind_next(v)) {
		(void)late_kind_attach(v);
		served = served || api_kind_served(v);
	}
	if (!served)
		return err_set(err, ERR_BAD_REQUEST, "no version of %s is served", api_kind_resource(k)->plural);
	if (api_kind_next(k) && late_versions(k, how, err) < 0)
		return -1;
	if (wc_late_add(s->wc, api_kind_resource(k), err) < 0)
		return -1;
	for (struct api_kind *v = api_kind_next(k); v; v = api_kind_next(v))
		((struct late_kind *)api_kind_state(v))->wc = ((struct late_kind *)api_kind_state(k))->wc;
	return 0;
}

static void late_kind_stop(struct apiserver *s, struct api_kind *k)
{
	wc_late_drop(s->wc, api_kind_resource(k));
	set_aside_forget(s, api_kind_resource(k));
}

static void late_documents_free(void *p)
{
	documents_free(p);
}

static void late_swap(struct apiserver *s, const struct api_set *now_take)
{
	if (now_take->n_custom) {
		api_set_attach(now_take, documents_new(), late_documents_free);
		atomic_store(&s->late, true);
	}
	api_current_swap(s->api, now_take);
	atomic_store(&s->late, now_take->n_custom > 0);
}

static int late_add(struct apiserver *s, struct api_kind *const *kinds, size_t n, const struct kind_conversion *how,
		    struct err *err)
{
	const struct api_set *was, *now;
	size_t started = 0;
	int rc = 0;

	api_current_change(s->api);
	was = api_current_get(s->api);
	now = api_set_with(was, kinds, n, err);
	rc = now ? 0 : -1;
	for (; rc == 0 && started < n; started++)
		rc = late_kind_start(s, kinds[started], how, err);
	if (rc == 0) {
		late_swap(s, now);
	} else {
		/* The one that failed is as it was. */
		for (size_t i = 0; i + 1 < started; i++)
			late_kind_stop(s, kinds[i]);
		api_set_unref(now);
	}
	api_current_done(s->api);
	api_set_unref(was);
	return rc;
}

int apiserver_add_kinds(struct apiserver *s, struct api_kind *const *kinds, size_t n, struct err *err)
{
	return n ? late_add(s, kinds, n, NULL, err) : 0;
}

int apiserver_add_versions(struct apiserver *s, struct api_kind *k, const struct kind_conversion *how, struct err *err)
{
	return late_add(s, &k, 1, how, err);
}

static bool late_served(const struct api_set *api, const struct api_kind *k)
{
	while (!api_kind_served(k))
		k = api_kind_next(k);
	return api_has(api, api_kind_resource(k));
}

void apiserver_remove_kinds(struct apiserver *s, struct api_kind *const *kinds, size_t n)
{
	const struct api_set *was;

	api_current_change(s->api);
	was = api_current_get(s->api);
	late_swap(s, api_set_without(was, kinds, n));
	for (size_t i = 0; i < n; i++)
		if (late_served(was, kinds[i]))
			late_kind_stop(s, kinds[i]);
	api_current_done(s->api);
	api_set_unref(was);
}

struct api_current *apiserver_kinds(struct apiserver *s)
{
	return s->api;
}
