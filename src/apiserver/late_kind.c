/* Kinds that come and go while the server runs. The order is what matters: first there is room for the objects of a
 * kind, then it is served; first it is served no more, then its objects go. */
#include "apiserver/late_kind.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/metrics.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"

#include "base/strmap.h"

#include <stdlib.h>

static void late_kind_free(void *p)
{
	struct late_kind *l = p;

	if (l->wc && resource_storage(l->strategy.res) == l->strategy.res)
		wc_late_free(l->wc);
	cells_free(l->cells);
	set_aside_release(&l->aside);
	if (l->versions_unref)
		l->versions_unref(l->versions.ctx);
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

/* What a field selector of a custom kind sees: texts, whole numbers and booleans at any path, as text. */
static bool custom_field_label(const struct val *obj, struct sv label, struct sv *ret)
{
	static _Thread_local char number[24];
	const struct val *v = obj;
	struct sv rest = label, part;

	while (v && sv_split(&rest, '.', &part))
		v = val_member_sv(v, part);
	*ret = val_str(v);
	if (val_type(v) == VAL_INT) {
		struct buf b = { .p = number, .cap = sizeof(number), .limit = sizeof(number) - 1 };

		buf_addi64(&b, v->i);
		*ret = buf_sv(&b);
	} else if (val_type(v) == VAL_BOOL) {
		*ret = v->b ? SV("true") : SV("false");
	}
	return true;
}

/* Names of finalizers that came with this write and that anybody might choose. */
static void custom_warn(struct api_req *q, const struct val *doc, const struct val *old)
{
	_cleanup_(strmap_release) struct strmap had = STRMAP_INIT;

	VAL_EACH(val_get(old, F_metadata, F_finalizers), f)
		strmap_set(&had, val_str(f), q);
	VAL_EACH(val_get(doc, F_metadata, F_finalizers), f) {
		if (strmap_has(&had, val_str(f)) || fmt_finalizer(val_str(f)) == NULL)
			continue;
		api_req_warn(
		    q,
		    "metadata.finalizers: \"%.*s\": prefer a domain-qualified finalizer name including a path (/) to "
		    "avoid accidental conflicts with other finalizer writers",
		    SV_ARG(val_str(f)));
	}
}

static struct late_kind *late_kind_attach(struct api_kind *k)
{
	struct late_kind *l = xcalloc(1, sizeof(*l));

	arena_small(&l->arena);
	l->strategy.res = api_kind_resource(k);
	l->strategy.deprecated = api_kind_deprecated(k);
	if (l->strategy.res->schema->custom) {
		l->strategy.field_label = custom_field_label;
		l->strategy.warn = custom_warn;
	} else if (l->strategy.res->has_status) {
		l->strategy.kept = late_kept(&l->arena, l->strategy.res->schema);
	}
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
	if (how->ref) {
		how->ref(how->ctx);
		l->versions_unref = how->unref;
	}
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

struct late_own {
	struct apiserver *s;
	const struct kind_come *come;
};

static void late_own(void *ctx)
{
	const struct late_own *o = ctx;

	o->come->own(o->s, o->come);
}

/* replaces: a kind that goes in the same change and has the same keys in the store, or NULL. */
static int late_kind_start(struct apiserver *s, const struct kind_come *come, const struct resource *replaces,
			   struct err *err)
{
	struct api_kind *k = come->kind;

	if (api_kind_state(k))
		return err_set(err, ERR_ALREADY_EXISTS, "the kind %s has been served before: make it anew",
			       api_kind_resource(k)->kind);
	for (struct api_kind *v = k; v; v = api_kind_next(v)) {
		struct late_kind *l = late_kind_attach(v);

		if (!come->definition)
			continue;
		l->definition = arena_sv(&l->arena, obj_name(come->definition));
		l->definition_uid = arena_sv(&l->arena, obj_uid(come->definition));
	}
	if (api_kind_next(k) && late_versions(k, come->how, err) < 0)
		return -1;
	if (wc_late_add(s->wc, api_kind_resource(k), replaces, come->own ? late_own : NULL,
			&(struct late_own){ s, come }, err) < 0)
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
	if (now_take->n_late) {
		api_set_attach(now_take, documents_new(), late_documents_free);
		atomic_store(&s->late, true);
	}
	api_current_swap(s->api, now_take);
	atomic_store(&s->late, now_take->n_late > 0);
}

/* store path -> the kind of c->gone that is served under it. */
static void late_replaced(struct strmap *by_path, const struct api_set *was, const struct kind_change *c)
{
	for (size_t i = 0; i < c->n_gone; i++)
		if (api_has(was, api_kind_resource(c->gone[i])))
			strmap_set(by_path, sv_from(api_kind_resource(c->gone[i])->store_path), c->gone[i]);
}

static const struct api_set *late_next_set(const struct api_set *was, const struct kind_change *c, struct err *err)
{
	const struct api_set *rest = c->n_gone ? api_set_without(was, c->gone, c->n_gone) : api_set_ref(was), *now;
	struct api_kind **kinds;

	if (!c->n_come)
		return rest;
	kinds = xcalloc(c->n_come, sizeof(*kinds));
	for (size_t i = 0; i < c->n_come; i++)
		kinds[i] = c->come[i].kind;
	now = api_set_with(rest, kinds, c->n_come, err);
	free(kinds);
	api_set_unref(rest);
	return now;
}

int apiserver_change_kinds(struct apiserver *s, const struct kind_change *c, struct err *err)
{
	_cleanup_(strmap_release) struct strmap replaced = STRMAP_INIT;
	const struct api_set *was, *now;
	size_t started = 0;
	int rc = 0;

	if (!c->n_gone && !c->n_come)
		return 0;
	api_current_change(s->api);
	was = api_current_get(s->api);
	now = late_next_set(was, c, err);
	rc = now ? 0 : -1;
	late_replaced(&replaced, was, c);
	for (; rc == 0 && started < c->n_come; started++) {
		const struct resource *r = api_kind_resource(c->come[started].kind);
		const struct api_kind *old = strmap_get(&replaced, sv_from(r->store_path));

		rc = late_kind_start(s, &c->come[started], old ? api_kind_resource(old) : NULL, err);
	}
	if (rc == 0) {
		late_swap(s, now);
		for (size_t i = 0; i < c->n_gone; i++)
			if (api_has(was, api_kind_resource(c->gone[i])))
				late_kind_stop(s, c->gone[i]);
	} else {
		/* The one that failed is as it was. */
		for (size_t i = 0; i + 1 < started; i++)
			late_kind_stop(s, c->come[i].kind);
		api_set_unref(now);
	}
	api_current_done(s->api);
	api_set_unref(was);
	return rc;
}

int apiserver_add_kinds(struct apiserver *s, struct api_kind *const *kinds, size_t n, struct err *err)
{
	struct kind_come *come = xcalloc(n + 1, sizeof(*come));
	int rc;

	for (size_t i = 0; i < n; i++)
		come[i].kind = kinds[i];
	rc = apiserver_change_kinds(s, &(struct kind_change){ .come = come, .n_come = n }, err);
	free(come);
	return rc;
}

int apiserver_add_versions(struct apiserver *s, struct api_kind *k, const struct kind_conversion *how, struct err *err)
{
	struct kind_come come = { .kind = k, .how = how };

	return apiserver_change_kinds(s, &(struct kind_change){ .come = &come, .n_come = 1 }, err);
}

void apiserver_remove_kinds(struct apiserver *s, struct api_kind *const *kinds, size_t n)
{
	(void)apiserver_change_kinds(s, &(struct kind_change){ .gone = kinds, .n_gone = n }, NULL);
}

struct api_current *apiserver_kinds(struct apiserver *s)
{
	return s->api;
}
