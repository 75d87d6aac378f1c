/* One kind made at run time. */
#include "object/api_kind.h"

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"
#include "object/jsonpath.h"
#include "object/schema_build.h"
#include "object/structural.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdlib.h>

struct api_kind {
	struct resource res;		 /* first: api_kind_of() */
	struct api_kind *storage, *next; /* of its versions: the first one, and the one behind this */
	bool unserved;
	atomic_int refs; /* the storage version's count */
	struct arena arena;
	struct sym_names *names;
	const struct val *openapi;
	struct obj *holder; /* openapi is part of it, or NULL */
	struct structural *custom;
	const struct api_scale *scale;
	const char *deprecated;
	uint64_t hash;
	void *state;
	void (*state_free)(void *state);
};

#define KIND_NAME_MAX 253

/* They stand in paths, keys of the store and JSON that is written by hand. */
static int api_kind_name(const char *what, const char *name, struct err *err)
{
	size_t n = name ? strlen(name) : 0;
	bool ok = n > 0 && n <= KIND_NAME_MAX;

	for (size_t i = 0; ok && i < n; i++)
		ok = isalnum((unsigned char)name[i]) || name[i] == '-' || name[i] == '.';
	return ok ? 0
		  : err_set(err, ERR_BAD_REQUEST, "%s '%.*s' of a kind is no name: letters, digits, '-' and '.'", what,
			    (int)MIN(n, 64), name ? name : "");
}

static const char *const *kind_strings(struct arena *a, const char *const *list)
{
	const char **out;
	size_t n = 0;

	while (list && list[n])
		n++;
	out = ARENA_ARRAY(a, const char *, n + 1);
	for (size_t i = 0; i < n; i++)
		out[i] = arena_strdup(a, list[i]);
	return out;
}

static const char *kind_string(struct arena *a, const char *s)
{
	return s ? arena_strdup(a, s) : NULL;
}

static int kind_columns(struct api_kind *k, const struct api_kind_def *d, struct err *err)
{
	static const struct column name = {
		.name = "Name", .type = "string", .format = "name", .doc = "", .path = ".metadata.name"
	};
	static const struct column age = {
		.name = "Age", .type = "date", .format = "", .doc = "", .path = "age(.metadata.creationTimestamp)"
	};
	const struct column *from = d->columns ? d->columns : &age;
	size_t n = d->columns ? d->n_columns : 1;
	struct column *to = ARENA_ARRAY(&k->arena, struct column, n + 1);

	to[0] = name;
	if (n >= UINT16_MAX)
		return err_set(err, ERR_BAD_REQUEST, "%s has too many columns", d->kind);
	for (size_t i = 0; i < n; i++) {
		to[i + 1] = (struct column){ .name = kind_string(&k->arena, from[i].name),
					     .type = kind_string(&k->arena, from[i].type),
					     .format = kind_string(&k->arena, from[i].format),
					     .doc = kind_string(&k->arena, from[i].doc),
					     .path = kind_string(&k->arena, from[i].path),
					     .priority = from[i].priority };
		if (d->custom && d->columns) {
			to[i + 1].json = jsonpath_parse(&k->arena, sv_from(from[i].path), err);
			if (!to[i + 1].json)
				return -1;
		}
	}
	k->res.columns = to;
	k->res.n_columns = (uint16_t)(n + 1);
	return 0;
}

static void kind_subresources(struct api_kind *k, const struct api_kind_def *d)
{
	struct arena *a = &k->arena;
	struct subresource *sub = ARENA_ARRAY(a, struct subresource, 2);
	struct api_scale *scale;

	k->res.subresources = sub;
	if (d->status) {
		sub[k->res.n_subresources++] =
		    (struct subresource){ .name = "status",
					  .kind = k->res.kind,
					  .group = k->res.group,
					  .version = k->res.version,
					  .schema = k->res.schema,
					  .verbs = 1 << VERB_GET | 1 << VERB_PATCH | 1 << VERB_UPDATE };
		k->res.has_status = true;
	}
	if (!d->scale)
		return;
	sub[k->res.n_subresources++] =
	    (struct subresource){ .name = "scale",
				  .kind = "Scale",
				  .group = "autoscaling",
				  .version = "v1",
				  .schema = schema_find(SV("autoscaling/v1.Scale")),
				  .verbs = 1 << VERB_GET | 1 << VERB_PATCH | 1 << VERB_UPDATE };
	scale = ARENA_NEW(a, struct api_scale);
	scale->replicas = arena_strdup(a, d->scale->replicas);
	scale->status_replicas = arena_strdup(a, d->scale->status_replicas);
	scale->selector = kind_string(a, d->scale->selector);
	k->scale = scale;
}

static uint64_t kind_mix(uint64_t h, struct sv s)
{
	return (h ^ sv_hash(s)) * UINT64_C(1099511628211);
}

static uint64_t kind_hash(const struct api_kind *k)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct resource *r = &k->res;
	uint64_t h = 1;

	if (k->openapi)
		json_encode(&b, k->openapi);
	buf_printf(&b, "%s/%s/%s/%s/%d/%d/%d", r->plural, r->singular, r->kind, r->list_kind, r->namespaced,
		   r->has_status, r->n_subresources);
	for (const char *const *f = r->selectable_fields; *f; f++)
		buf_printf(&b, "/%s", *f);
	h = kind_mix(h, sv_from(r->group));
	h = kind_mix(h, sv_from(r->version));
	return kind_mix(h, buf_sv(&b));
}

static const char *kind_lower(struct arena *a, const char *s)
{
	char *out = arena_strdup(a, s);

	for (char *c = out; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return out;
}

static int kind_build(struct api_kind *k, const struct api_kind_def *d, struct err *err)
{
	struct arena *a = &k->arena;
	struct schema_maker m = { .a = a, .names = k->names, .err = err };
	struct resource *r = &k->res;

	if (api_kind_name("group", d->group, err) < 0 || api_kind_name("version", d->version, err) < 0 ||
	    api_kind_name("plural", d->plural, err) < 0 || api_kind_name("kind", d->kind, err) < 0)
		return -1;
	*r = (struct resource){ .group = arena_strdup(a, d->group),
				.version = arena_strdup(a, d->version),
				.plural = arena_strdup(a, d->plural),
				.kind = arena_strdup(a, d->kind),
				.singular = d->singular ? arena_strdup(a, d->singular) : kind_lower(a, d->kind),
				.list_kind =
				    d->list_kind ? arena_strdup(a, d->list_kind) : arena_printf(a, "%sList", d->kind),
				.short_names = kind_strings(a, d->short_names),
				.categories = kind_strings(a, d->categories),
				.selectable_fields = kind_strings(a, d->selectable),
				.store_path = arena_printf(a, "%s/%s", d->group, d->plural),
				.storage_version_hash = d->storage_hash ? arena_strdup(a, d->storage_hash) : "",
				.verbs = (1 << _VERB_MAX) - 1,
				.id = R_COUNT,
				.namespaced = d->namespaced };
	if (api_kind_name("singular", r->singular, err) < 0 || api_kind_name("listKind", r->list_kind, err) < 0)
		return -1;
	m.group = r->group;
	m.version = r->version;
	m.kind = r->kind;
	k->holder = d->holder ? obj_ref(d->holder) : NULL;
	k->openapi = d->holder ? d->schema : val_clone(a, d->schema);
	if (d->custom) {
		k->custom = structural_new(a, k->openapi, err);
		if (!k->custom)
			return -1;
		m.custom = k->custom;
	}
	r->schema = schema_build(&m, k->openapi);
	if (!r->schema || kind_columns(k, d, err) < 0)
		return -1;
	kind_subresources(k, d);
	k->deprecated = kind_string(a, d->deprecated);
	k->hash = kind_hash(k);
	return 0;
}

static void kind_free(struct api_kind *k)
{
	if (k->state_free)
		k->state_free(k->state);
	structural_release(k->custom);
	sym_names_free(k->names);
	arena_release(&k->arena);
	obj_unref(k->holder);
	free(k);
}

struct api_kind *api_kind_new(const struct api_kind_def *d, struct err *err)
{
	struct api_kind *k = xcalloc(1, sizeof(*k));

	arena_small(&k->arena);
	atomic_init(&k->refs, 1);
	k->storage = k;
	k->unserved = d->unserved;
	k->names = sym_names_new();
	if (kind_build(k, d, err) == 0)
		return k;
	kind_free(k);
	return NULL;
}

struct api_kind *api_kind_add_version(struct api_kind *k, const struct api_kind_def *d, struct err *err)
{
	struct api_kind *v = api_kind_new(d, err), **at = &k->next;

	if (!v)
		return NULL;
	if (strcmp(v->res.group, k->res.group) || strcmp(v->res.plural, k->res.plural) ||
	    strcmp(v->res.kind, k->res.kind) || v->res.namespaced != k->res.namespaced) {
		err_set(err, ERR_BAD_REQUEST, "%s.%s is no version of %s.%s", v->res.plural, v->res.group,
			k->res.plural, k->res.group);
		kind_free(v);
		return NULL;
	}
	v->storage = k;
	while (*at)
		at = &(*at)->next;
	return *at = v;
}

struct api_kind *api_kind_next(const struct api_kind *k)
{
	return k->next;
}

const struct api_kind *api_kind_storage(const struct api_kind *k)
{
	return k->storage;
}

bool api_kind_served(const struct api_kind *k)
{
	return !k->unserved;
}

bool api_kind_first(const struct resource *r)
{
	const struct api_kind *first = api_kind_of(r);

	for (first = first ? first->storage : NULL; first && first->unserved;)
		first = first->next;
	return first && r == &first->res;
}

struct api_kind *api_kind_ref(struct api_kind *k)
{
	if (k)
		atomic_fetch_add_explicit(&k->storage->refs, 1, memory_order_relaxed);
	return k;
}

void api_kind_unref(struct api_kind *k)
{
	if (!k || atomic_fetch_sub_explicit(&k->storage->refs, 1, memory_order_acq_rel) != 1)
		return;
	k = k->storage;
	while (k->next) {
		struct api_kind *v = k->next;

		k->next = v->next;
		kind_free(v);
	}
	kind_free(k);
}

const struct resource *api_kind_resource(const struct api_kind *k)
{
	return &k->res;
}

const struct api_scale *api_kind_scale(const struct api_kind *k)
{
	return k->scale;
}

const char *api_kind_deprecated(const struct api_kind *k)
{
	return k->deprecated;
}

const struct val *api_kind_openapi(const struct api_kind *k)
{
	return k->openapi;
}

uint64_t api_kind_hash(const struct api_kind *k)
{
	return k->hash;
}

struct api_kind *api_kind_of(const struct resource *r)
{
	return resource_late(r) ? (struct api_kind *)(uintptr_t)r : NULL;
}

const struct resource *resource_ref(const struct resource *r)
{
	api_kind_ref(api_kind_of(r));
	return r;
}

void resource_unref(const struct resource *r)
{
	api_kind_unref(api_kind_of(r));
}

void api_kind_attach(struct api_kind *k, void *state, void (*state_free)(void *state))
{
	BUG_ON(k->state_free);
	k->state = state;
	k->state_free = state_free;
}

void *api_kind_state(const struct api_kind *k)
{
	return k->state;
}
