/* See manifests.h. A folder is read as a whole or not at all. */
#include "apiserver/admission/manifests.h"
#include "apiserver/registry/registry.h"
#include "apiserver/registry/validate/validate_kinds.h"
#include "apiserver/watched_file.h"
#include "base/budget.h"
#include "base/file.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "codec/yaml.h"
#include "object/decode.h"
#include "object/feature.h"
#include "object/validate.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#define MANIFEST_FILES_MAX 1000
#define MANIFEST_API "admissionregistration.k8s.io/v1"

static const struct {
	const char *main, *binding; /* kinds; binding NULL: there are none */
} manifest_kinds[] = {
	[MANIFESTS_VALIDATING_HOOKS] = { "ValidatingWebhookConfiguration", NULL },
	[MANIFESTS_MUTATING_HOOKS] = { "MutatingWebhookConfiguration", NULL },
	[MANIFESTS_VALIDATING] = { "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding" },
	[MANIFESTS_MUTATING] = { "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding" },
};

struct manifests {
	enum manifests_of of;
	char *dir;
	struct watched_file *files; /* of struct manifest_set */
};

typedef VEC(struct obj *) manifest_objs;

struct manifest_read {
	enum manifests_of of;
	struct arena *a; /* while it is read */
	manifest_objs main, bindings;
	struct strmap seen; /* "kind/name" */
};

/* --- one object --- */

static int manifest_stands_alone(struct manifest_read *r, const struct val *doc, struct err *err)
{
	if (val_type(val_get(doc, F_spec, F_paramKind)) == VAL_MAP)
		return err_set(err, ERR_INVALID, "spec.paramKind is not supported in static manifests");
	if (val_type(val_get(doc, F_spec, F_paramRef)) == VAL_MAP)
		return err_set(err, ERR_INVALID, "spec.paramRef is not supported in static manifests");
	VAL_EACH(val_get(doc, F_webhooks), w)
		if (val_type(val_get(w, F_clientConfig, F_service)) == VAL_MAP ||
		    !val_get_str(w, F_clientConfig, F_url).n)
			return err_set(err, ERR_INVALID,
				       "webhook \"%.*s\": clientConfig.url is required in static manifests, "
				       "clientConfig.service is not supported",
				       SV_ARG(val_get_str(w, F_name)));
	(void)r;
	return 0;
}

/* As the API would make it of a request. */
static struct val *manifest_typed(struct manifest_read *r, const struct resource *res, const struct val *raw,
				  struct err *err)
{
	struct decode_report report = { 0 };
	struct field_errs fe, more;
	validate_kind_fn *rules = validate_kind_for(res);
	struct val *doc = decode_typed(r->a, res->schema, raw, &report, err);

	if (doc && report.strict.n) {
		err_set(err, ERR_INVALID, "strict decoding error: %.*s", SV_ARG(report.strict.p[0]));
		doc = NULL;
	}
	vec_release(&report.strict);
	if (!doc)
		return NULL;
	default_typed(r->a, res->schema, doc);
	order_typed(r->a, res->schema, doc);
	field_errs_init(&fe, r->a);
	field_errs_init(&more, r->a);
	validate_object_meta(&fe, res, val_member(doc, F_metadata), NULL, fmt_dns_subdomain);
	validate_typed(&fe, res->schema, doc, NULL, NULL);
	if (rules)
		rules(&more, doc, NULL, NULL);
	field_errs_merge(&fe, &more);
	return field_errs_to_err(&fe, res, val_get_str(doc, F_metadata, F_name), err) < 0 ? NULL : doc;
}

static int manifest_add(struct manifest_read *r, const struct val *raw, struct err *err)
{
	struct sv kind = val_get_str(raw, F_kind), name = val_get_str(raw, F_metadata, F_name);
	bool main = sv_is(kind, manifest_kinds[r->of].main);
	const struct resource *res;
	struct val *doc;
	struct obj *o;

	if (!val_is(val_get(raw, F_apiVersion), MANIFEST_API) ||
	    (!main && (!manifest_kinds[r->of].binding || !sv_is(kind, manifest_kinds[r->of].binding))))
		return err_set(err, ERR_INVALID,
			       "unsupported resource type %.*s, Kind=%.*s: this plugin takes %s%s%s of %s",
			       SV_ARG(val_get_str(raw, F_apiVersion)), SV_ARG(kind), manifest_kinds[r->of].main,
			       manifest_kinds[r->of].binding ? " and " : "",
			       manifest_kinds[r->of].binding ? manifest_kinds[r->of].binding : "", MANIFEST_API);
	if (!sv_ends(name, SV(MANIFESTS_SUFFIX)))
		return err_set(err, ERR_INVALID, "%.*s \"%.*s\": its name must end with \"" MANIFESTS_SUFFIX "\"",
			       SV_ARG(kind), SV_ARG(name));
	if (strmap_set(&r->seen, arena_svf(r->a, "%.*s/%.*s", SV_ARG(kind), SV_ARG(name)), r))
		return err_set(err, ERR_INVALID, "%.*s \"%.*s\" is there twice", SV_ARG(kind), SV_ARG(name));
	res = resource_find_kind(SV("admissionregistration.k8s.io"), SV("v1"), kind);
	doc = res ? manifest_typed(r, res, raw, err) : NULL;
	if (!res)
		err_set(err, ERR_INVALID, "%.*s is not served by this server", SV_ARG(kind));
	if (!doc || manifest_stands_alone(r, doc, err) < 0)
		return err_wrap(err, "%.*s \"%.*s\"", SV_ARG(kind), SV_ARG(name));
	/* What stands for it where objects are told apart. */
	val_set_str(r->a, val_ensure_map(r->a, doc, F_metadata), F_uid, name);
	order_typed(r->a, res->schema, doc);
	o = obj_new(doc, 1);
	if (main)
		vec_push(&r->main, o);
	else
		vec_push(&r->bindings, o);
	return 0;
}

/* --- files --- */

static int manifest_document(struct manifest_read *r, struct sv text, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc = yaml_decode_opts(r->a, text, &(struct yaml_opts){ .values = &values }, err);

	if (!doc)
		return -1;
	if (val_type(doc) != VAL_MAP)
		return 0;
	if (!val_is(val_get(doc, F_kind), "List") || !val_is(val_get(doc, F_apiVersion), "v1"))
		return manifest_add(r, doc, err);
	VAL_EACH(val_get(doc, F_items), item)
		if (manifest_add(r, item, err) < 0)
			return -1;
	return 0;
}

/* The files of a folder stand behind each other as one text: of each its path and size, then what is in it. */
static int manifest_append(struct arena *a, const char *path, struct buf *all, struct err *err)
{
	struct sv text;

	if (file_read(a, path, MANIFESTS_BYTES_MAX - MIN(all->n, MANIFESTS_BYTES_MAX), &text, err) < 0)
		return -1;
	buf_printf(all, "%s%c%zu%c", path, 0, text.n, 0);
	buf_addsv(all, text);
	return 0;
}

static int manifest_file(struct manifest_read *r, struct sv path, struct sv text, struct err *err)
{
	struct sv rest = text, doc;

	while (yaml_next_document(&rest, &doc))
		if (manifest_document(r, doc, err) < 0)
			return err_wrap(err, "'%.*s'", SV_ARG(path));
	return 0;
}

static int manifest_each(struct manifest_read *r, struct sv all, struct err *err)
{
	struct sv path, size;
	uint64_t n;

	while (all.n) {
		if (!sv_split(&all, '\0', &path) || !sv_split(&all, '\0', &size) || !sv_to_u64(size, &n) || n > all.n)
			return err_set(err, ERR_INTERNAL, "the files were not put together as they are taken apart");
		if (manifest_file(r, path, sv_sub(all, 0, (size_t)n), err) < 0)
			return -1;
		all = sv_sub(all, (size_t)n, all.n);
	}
	return 0;
}

static int manifest_name_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool manifest_wanted(const char *name)
{
	struct sv s = sv_from(name);

	return name[0] != '.' && (sv_ends(s, SV(".yaml")) || sv_ends(s, SV(".yml")) || sv_ends(s, SV(".json")));
}

/* The paths of a folder's files, in the order of their names; -1. */
static ssize_t manifest_paths(struct arena *a, const char *dir, const char ***ret, struct err *err)
{
	const char **paths = ARENA_ARRAY(a, const char *, MANIFEST_FILES_MAX);
	DIR *d = opendir(dir);
	size_t n = 0;

	if (!d)
		return err_set_errno(err, errno, "reading '%s'", dir);
	for (struct dirent *e; (e = readdir(d));) {
		if (!manifest_wanted(e->d_name))
			continue;
		if (n == MANIFEST_FILES_MAX) {
			closedir(d);
			return err_set(err, ERR_INVALID, "'%s': more than %d files", dir, MANIFEST_FILES_MAX);
		}
		paths[n++] = arena_printf(a, "%s/%s", dir, e->d_name);
	}
	closedir(d);
	if (n > 1)
		qsort(paths, n, sizeof(*paths), manifest_name_order);
	*ret = paths;
	return (ssize_t)n;
}

/* --- a folder --- */

static int manifest_obj_order(const void *a, const void *b)
{
	return sv_cmp(obj_name(*(struct obj *const *)a), obj_name(*(struct obj *const *)b));
}

static struct obj **manifest_sorted(struct manifest_set *s, const manifest_objs *from)
{
	struct obj **list = ARENA_ARRAY(&s->arena, struct obj *, from->n + 1);

	for (size_t i = 0; i < from->n; i++)
		list[i] = obj_link(&s->arena, obj_ref(from->p[i]));
	if (from->n > 1)
		qsort(list, from->n, sizeof(*list), manifest_obj_order);
	return list;
}

static int manifest_bound(struct manifest_read *r, struct err *err)
{
	for (size_t i = 0; i < r->bindings.n; i++) {
		struct sv of = val_str(obj_get(r->bindings.p[i], F_spec, F_policyName));

		if (!strmap_has(&r->seen, arena_svf(r->a, "%s/%.*s", manifest_kinds[r->of].main, SV_ARG(of))))
			return err_set(err, ERR_INVALID,
				       "%s \"%.*s\": spec.policyName: there is no policy \"%.*s\" in this folder",
				       manifest_kinds[r->of].binding, SV_ARG(obj_name(r->bindings.p[i])), SV_ARG(of));
	}
	return 0;
}

static int manifests_read(void *ctx, struct arena *a, struct sv *ret, struct err *err)
{
	const struct manifests *m = ctx;
	_cleanup_(buf_release) struct buf all = BUF_INIT;
	const char **paths = NULL;
	ssize_t n = manifest_paths(a, m->dir, &paths, err);

	for (ssize_t i = 0; i < n; i++)
		if (manifest_append(a, paths[i], &all, err) < 0)
			return -1;
	*ret = arena_sv(a, buf_sv(&all));
	return n < 0 ? -1 : 0;
}

static void *manifests_made(void *ctx, struct sv text, struct err *err)
{
	const struct manifests *m = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct manifest_read r = { .of = m->of, .a = &a };
	struct manifest_set *s = NULL;

	if (manifest_each(&r, text, err) == 0 && manifest_bound(&r, err) == 0) {
		s = xcalloc(1, sizeof(*s));
		atomic_init(&s->refs, 1);
		s->main = manifest_sorted(s, &r.main);
		s->n_main = r.main.n;
		s->bindings = manifest_sorted(s, &r.bindings);
		s->n_bindings = r.bindings.n;
	}
	for (size_t i = 0; i < r.main.n; i++)
		obj_unref(r.main.p[i]);
	for (size_t i = 0; i < r.bindings.n; i++)
		obj_unref(r.bindings.p[i]);
	vec_release(&r.main);
	vec_release(&r.bindings);
	strmap_release(&r.seen);
	return s;
}

struct manifest_set *manifest_set_unref(struct manifest_set *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return NULL;
	arena_release(&s->arena);
	free(s);
	return NULL;
}

/* --- what is in force --- */

static void *manifests_kept(void *value)
{
	struct manifest_set *s = value;

	atomic_fetch_add(&s->refs, 1);
	return s;
}

static void *manifests_left(void *value)
{
	return manifest_set_unref(value);
}

struct manifests *manifests_new(enum manifests_of of, const char *dir, struct err *err)
{
	struct manifests *m;

	if (dir[0] != '/')
		return err_set(err, ERR_INVALID, "staticManifestsDir must be an absolute path"), NULL;
	m = xcalloc(1, sizeof(*m));
	m->of = of;
	m->dir = xstrdup(dir);
	m->files = watched_file_new(&(struct watched_file_opts){ .area = "admission",
								 .what = m->dir,
								 .flag = "staticManifestsDir",
								 .read = manifests_read,
								 .make = manifests_made,
								 .ref = manifests_kept,
								 .unref = manifests_left,
								 .ctx = m },
				    err);
	return m->files ? m : manifests_free(m);
}

struct manifests *manifests_free(struct manifests *m)
{
	if (!m)
		return NULL;
	watched_file_free(m->files);
	free(m->dir);
	free(m);
	return NULL;
}

struct manifest_set *manifests_get(struct manifests *m)
{
	return m ? watched_file_get(m->files) : NULL;
}

bool manifests_reload(struct manifests *m)
{
	return m && watched_file_look(m->files) > 0;
}

void manifests_name_rule(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct fpath meta = FPATH_ROOT(F_metadata), at = FPATH(&meta, F_name);
	const struct val *name = val_get(doc, F_metadata, F_name);

	(void)sub;
	if (!old && feature_on(FG_ManifestBasedAdmissionControlConfig) && sv_ends(val_str(name), SV(MANIFESTS_SUFFIX)))
		fe_invalid(fe, &at, name,
			   "names ending with \"" MANIFESTS_SUFFIX "\" are reserved for static manifest-based "
			   "configurations and cannot be managed via the API");
}
