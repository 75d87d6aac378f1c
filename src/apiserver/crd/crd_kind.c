/* From a definition to the kind that is served. */
#include "apiserver/crd/crd.h"

#include "base/b64.h"
#include "base/buf.h"
#include "object/api_set.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define HASH_BYTES 8

static const char *const *kind_names(struct arena *a, const struct val *list)
{
	const char **out = ARENA_ARRAY(a, const char *, val_len(list) + 1);
	size_t n = 0;

	VAL_EACH(list, e)
		out[n++] = arena_cstr(a, val_str(e));
	return out;
}

static const char *kind_text(struct arena *a, const struct val *v)
{
	return val_str(v).n ? arena_cstr(a, val_str(v)) : NULL;
}

/* NULL: it has none of its own. */
static struct column *kind_columns_of(struct arena *a, const struct val *list)
{
	struct column *out = val_len(list) ? ARENA_ARRAY(a, struct column, val_len(list)) : NULL;
	size_t n = 0;

	VAL_EACH(list, c) {
		const char *path = arena_cstr(a, val_get_str(c, F_jsonPath)),
			   *doc = kind_text(a, val_member(c, F_description));

		out[n++] = (struct column){
			.name = arena_cstr(a, val_get_str(c, F_name)),
			.type = arena_cstr(a, val_get_str(c, F_type)),
			.format = arena_cstr(a, val_get_str(c, F_format)),
			.doc =
			    doc ? doc
				: arena_printf(a, "Custom resource definition column (in JSONPath format): %s", path),
			.path = path,
			.priority = (int)val_get_int(c, 0, F_priority),
		};
	}
	return out;
}

/* "spec.colour" for ".spec.colour". */
static const char *const *kind_selectable(struct arena *a, const struct val *list)
{
	const char **out = ARENA_ARRAY(a, const char *, val_len(list) + 1);
	size_t n = 0;

	VAL_EACH(list, f) {
		struct sv path = val_get_str(f, F_jsonPath);

		out[n++] = arena_cstr(a, sv_starts(path, SV(".")) ? sv_sub(path, 1, path.n) : path);
	}
	return out;
}

static const struct api_scale *kind_scale(struct arena *a, const struct val *sub)
{
	const struct val *scale = val_member(sub, F_scale);
	struct api_scale *out;

	if (!scale)
		return NULL;
	out = ARENA_NEW(a, struct api_scale);
	*out = (struct api_scale){ .replicas = arena_cstr(a, val_get_str(scale, F_specReplicasPath)),
				   .status_replicas = arena_cstr(a, val_get_str(scale, F_statusReplicasPath)),
				   .selector = kind_text(a, val_member(scale, F_labelSelectorPath)) };
	return out;
}

/* As discovery shows in which form objects are stored. */
static const char *kind_storage_hash(struct arena *a, const struct val *crd, const struct val *names, struct sv version)
{
	struct sv text = arena_svf(a, "%.*s/%.*s/%.*s", SV_ARG(val_get_str(crd, F_spec, F_group)), SV_ARG(version),
				   SV_ARG(val_get_str(names, F_kind)));
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(text.p, text.n, sum, &n, EVP_sha256(), NULL) != 1 || n < HASH_BYTES)
		return "";
	return arena_cstr(a, b64_encode(a, sv_make((const char *)sum, HASH_BYTES)));
}

/* The newest served version behind `version` that is not deprecated; NULL: there is none. */
static const char *kind_successor(struct arena *a, const struct val *crd, const char *version)
{
	const char *best = NULL;

	VAL_EACH(val_get(crd, F_spec, F_versions), v) {
		const char *name = arena_cstr(a, val_get_str(v, F_name));

		if (val_get_bool(v, F_served) && !val_get_bool(v, F_deprecated) &&
		    api_version_order(name, best ? best : version) < 0)
			best = name;
	}
	return best;
}

static const char *kind_deprecation(struct arena *a, const struct val *crd, const struct val *names,
				    const struct val *version)
{
	const char *own = kind_text(a, val_member(version, F_deprecationWarning)), *next, *is, *name, *kind, *group;

	if (!val_get_bool(version, F_deprecated))
		return NULL;
	if (own)
		return own;
	name = arena_cstr(a, val_get_str(version, F_name));
	group = arena_cstr(a, val_get_str(crd, F_spec, F_group));
	kind = arena_cstr(a, val_get_str(names, F_kind));
	is = arena_printf(a, "%s/%s %s is deprecated", group, name, kind);
	next = kind_successor(a, crd, name);
	return next ? arena_printf(a, "%s; use %s/%s %s", is, group, next, kind) : is;
}

struct making {
	struct arena *a;
	struct obj *holder;
	const struct val *crd, *names;
	struct sv storage; /* the name of that version */
};

/* k NULL: its first version. */
static struct api_kind *kind_version(struct making *m, const struct val *version, struct api_kind *k, struct err *err)
{
	struct arena *a = m->a;
	const struct val *sub = val_member(version, F_subresources),
			 *columns = val_member(version, F_additionalPrinterColumns);
	struct api_kind_def d = {
		.group = arena_cstr(a, val_get_str(m->crd, F_spec, F_group)),
		.version = arena_cstr(a, val_get_str(version, F_name)),
		.plural = arena_cstr(a, val_get_str(m->names, F_plural)),
		.singular = kind_text(a, val_member(m->names, F_singular)),
		.kind = arena_cstr(a, val_get_str(m->names, F_kind)),
		.list_kind = kind_text(a, val_member(m->names, F_listKind)),
		.short_names = kind_names(a, val_member(m->names, F_shortNames)),
		.categories = kind_names(a, val_member(m->names, F_categories)),
		.namespaced = val_is(val_get(m->crd, F_spec, F_scope), "Namespaced"),
		.status = val_member(sub, F_status) != NULL,
		.unserved = !val_get_bool(version, F_served),
		.schema = val_get(version, F_schema, F_openAPIV3Schema),
		.columns = kind_columns_of(a, columns),
		.n_columns = val_len(columns),
		.custom = true,
		.scale = kind_scale(a, sub),
		.deprecated = kind_deprecation(a, m->crd, m->names, version),
		.selectable = kind_selectable(a, val_member(version, F_selectableFields)),
		.holder = m->holder,
		.storage_hash = kind_storage_hash(a, m->crd, m->names, m->storage),
	};
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct api_kind *made = k ? api_kind_add_version(k, &d, &why) : api_kind_new(&d, &why);

	if (made || !d.columns) {
		if (!made)
			err_move(err, &why);
		return made;
	}
	/* A path that cannot be read is no reason not to serve: upstream shows what is usual instead. */
	d.columns = NULL;
	return k ? api_kind_add_version(k, &d, err) : api_kind_new(&d, err);
}

struct api_kind *crd_kind_new(struct obj *crd, const struct val *names, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct making m = { .a = &a, .holder = crd, .crd = obj_root(crd), .names = names };
	const struct val *versions = val_get(m.crd, F_spec, F_versions), *storage = NULL;
	struct api_kind *k;

	VAL_EACH(versions, v)
		if (val_get_bool(v, F_storage))
			storage = v;
	if (!storage) {
		err_set(err, ERR_BAD_REQUEST, "none of its versions is the storage version");
		return NULL;
	}
	m.storage = val_get_str(storage, F_name);
	k = kind_version(&m, storage, NULL, err);
	VAL_EACH(versions, v) {
		if (!k || v == storage)
			continue;
		if (!kind_version(&m, v, k, err)) {
			api_kind_unref(k);
			k = NULL;
		}
	}
	return k;
}
