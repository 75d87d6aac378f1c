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

static int late_kind_start(struct apiserver *s, struct api_kind *k, struct err *err)
{
	struct late_kind *l;

	if (api_kind_state(k))
		return err_set(err, ERR_ALREADY_EXISTS, "the kind %s has been served before: make it anew",
			       api_kind_resource(k)->kind);
	l = xcalloc(1, sizeof(*l));
	l->strategy.res = api_kind_resource(k);
	if (l->strategy.res->has_status)
		l->strategy.kept = late_kept(&l->arena, l->strategy.res->schema);
	api_kind_attach(k, l, late_kind_free);
	return wc_late_add(s->wc, api_kind_resource(k), err);
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

int apiserver_add_kinds(struct apiserver *s, struct api_kind *const *kinds, size_t n, struct err *err)
{
	const struct api_set *was, *now;
	size_t started = 0;
	int rc = 0;

	if (!n)
		return 0;
	api_current_change(s->api);
	was = api_current_get(s->api);
	now = api_set_with(was, kinds, n, err);
	rc = now ? 0 : -1;
	for (; rc == 0 && started < n; started++)
		rc = late_kind_start(s, kinds[started], err);
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

void apiserver_remove_kinds(struct apiserver *s, struct api_kind *const *kinds, size_t n)
{
	const struct api_set *was;

	api_current_change(s->api);
	was = api_current_get(s->api);
	late_swap(s, api_set_without(was, kinds, n));
	for (size_t i = 0; i < n; i++)
		if (api_has(was, api_kind_resource(kinds[i])))
			late_kind_stop(s, kinds[i]);
	api_current_done(s->api);
	api_set_unref(was);
}

struct api_current *apiserver_kinds(struct apiserver *s)
{
	return s->api;
}
