/* How a resource is stored: in which version, and an object out of its text. */
#include "apiserver/versions.h"
#include "apiserver/watchcache.h"
#include "codec/json.h"
#include "object/api_kind.h"
#include "object/protobuf.h"
#include "object/served.h"
#include "object/structural.h"

bool resource_stored(const struct resource *r)
{
	return r->schema && (r->verbs & (1u << VERB_LIST)) && (r->verbs & (1u << VERB_WATCH));
}

const struct resource *resource_storage(const struct resource *r)
{
	const struct versions *v = versions_of(r);

	return v ? v->storage : r;
}

/* The storage version where that is served, else the first that is; NULL: none. */
static const struct resource *stored_first(const struct resource *storage)
{
	if (resource_served(storage))
		return storage;
	for (size_t i = 0; i < resource_count; i++)
		if (resource_served(&resource_all[i]) && resource_storage(&resource_all[i]) == storage)
			return &resource_all[i];
	return NULL;
}

bool resource_first(const struct resource *r)
{
	return resource_late(r) ? api_kind_first(r) : stored_first(resource_storage(r)) == r;
}

bool resource_kept(const struct resource *r)
{
	if (!resource_stored(r) || resource_storage(r) != r)
		return false;
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *o = &resource_all[i];

		if ((!o->optin || resource_served(o)) && resource_storage(o) == r)
			return true;
	}
	return false;
}

/* An object of another version than the storage version; NULL when it cannot be made one of that. */
static struct obj *stored_converted(struct arena *a, const struct versions *v, const struct resource *form,
				    const struct val *root, int64_t rev)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *out;
	struct conversion c = { .a = a, .of = v, .from = form, .to = v->storage, .docs = &root, .n = 1, .out = &out };
	struct obj *o;

	if (conversion_run(&c, &why) < 0)
		return NULL;
	o = obj_new(out, rev);
	version_note_stale(o);
	return o;
}

static bool stored_by_name(const struct versions *v)
{
	return !v || (!v->convert && !v->waits);
}

struct obj *stored_parse_of(const struct resource *r, const struct resource *next, struct sv value, int64_t rev)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct versions *v = versions_of(r), *w = versions_of(next);
	struct val *root;
	char av[160];

	if (!stored_by_name(v) || !stored_by_name(w) || !r->schema->custom || strcmp(r->kind, next->kind) != 0)
		return NULL;
	root = json_decode(&a, value, &(struct json_opts){ .borrow_text = true }, NULL);
	if (!root || !(w ? versions_form(w, root) != NULL : version_is(next, root)) ||
	    !val_get_str(root, F_metadata, F_name).n)
		return NULL;
	r = resource_storage(r);
	val_set_cstr(&a, root, F_apiVersion, resource_api_version(r, av, sizeof(av)));
	structural_from_store(r->schema->custom, &a, root);
	return obj_new(root, rev);
}

/* We write JSON. An upstream server on the same etcd writes built-in kinds as protobuf, and reads both. */
static struct val *stored_document(struct arena *a, struct sv value)
{
	if (sv_starts(value, SV("k8s\0")))
		return protobuf_decode(a, value, SV(""), SV(""), NULL, NULL);
	return json_decode(a, value, &(struct json_opts){ .borrow_text = true }, NULL);
}

struct obj *stored_parse(const struct resource *r, struct sv value, int64_t rev)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *root = stored_document(&a, value);
	const struct versions *v = versions_of(r);
	const struct resource *form = v ? versions_form(v, root) : version_is(r, root) ? r : NULL;

	if (!root || !form || !val_get_str(root, F_metadata, F_name).n)
		return NULL;
	if (form->schema->custom)
		structural_from_store(form->schema->custom, &a, root);
	if (!v || v->waits || form == v->storage)
		return obj_new(root, rev);
	return stored_converted(&a, v, form, root, rev);
}
