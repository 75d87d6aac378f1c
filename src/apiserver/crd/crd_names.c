/* Which of the names that a definition asks for it gets, and the conditions that say so: functions of documents alone.
 *
 * Resources (plural, singular, short names) and kinds (kind, list kind) are two sets of names in each group. Who has a
 * name keeps it; who asks for another's is told whose it is not, gets the rest, and is served once it has all. */
#include "apiserver/crd/crd.h"

#include "base/buf.h"
#include "base/strmap.h"
#include "object/annotation.h"
#include "object/condition.h"
#include "object/obj.h"

#include <stdlib.h>

struct crd_names {
	struct strmap used; /* "GROUP/r/NAME", "GROUP/k/NAME" */
};

struct crd_names *crd_names_new(void)
{
	return xcalloc(1, sizeof(struct crd_names));
}

struct crd_names *crd_names_free(struct crd_names *n)
{
	if (n)
		strmap_release(&n->used);
	free(n);
	return NULL;
}

static struct sv names_key(struct buf *b, struct sv group, char set, struct sv name)
{
	buf_clear(b);
	buf_printf(b, "%.*s/%c/%.*s", SV_ARG(group), set, SV_ARG(name));
	return buf_sv(b);
}

static void names_put(struct crd_names *n, struct sv group, char set, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (name.n)
		strmap_set(&n->used, names_key(&b, group, set, name), n);
}

static void names_put_all(struct crd_names *n, struct sv group, const struct val *names)
{
	names_put(n, group, 'r', val_get_str(names, F_plural));
	names_put(n, group, 'r', val_get_str(names, F_singular));
	VAL_EACH(val_member(names, F_shortNames), s)
		names_put(n, group, 'r', val_str(s));
	names_put(n, group, 'k', val_get_str(names, F_kind));
	names_put(n, group, 'k', val_get_str(names, F_listKind));
}

void crd_names_add(struct crd_names *n, const struct val *crd)
{
	names_put_all(n, val_get_str(crd, F_spec, F_group), val_get(crd, F_status, F_acceptedNames));
}

static bool names_version(const struct val *crd, const char *version)
{
	VAL_EACH(val_get(crd, F_spec, F_versions), v)
		if (val_is(val_member(v, F_name), version))
			return true;
	return false;
}

void crd_names_built_in(struct crd_names *n, const struct val *crd)
{
	struct sv group = val_get_str(crd, F_spec, F_group), plural = val_get_str(crd, F_spec, F_names, F_plural);
	_cleanup_(buf_release) struct buf path = BUF_INIT;

	buf_printf(&path, "%.*s/%.*s", SV_ARG(group), SV_ARG(plural));
	for (size_t i = 0; i < R_COUNT; i++) {
		const struct resource *r = &resource_all[i];

		if ((r->store_path && sv_is(buf_sv(&path), r->store_path)) ||
		    (sv_is(group, r->group) && sv_is(plural, r->plural) && names_version(crd, r->version)))
			names_put(n, group, 'r', plural);
	}
}

/* Of a kind, or its list. */
static bool names_of_kind(const struct resource *r, struct sv name)
{
	return sv_is(name, r->kind) || (sv_ends(name, SV("List")) && sv_is(sv_sub(name, 0, name.n - 4), r->kind));
}

/* A version of it is one that has a built-in kind of that name: of two nobody could say which is meant. */
static bool names_kind_built_in(const struct val *crd, struct sv kind)
{
	struct sv group = val_get_str(crd, F_spec, F_group);

	for (size_t i = 0; i < R_COUNT; i++) {
		const struct resource *r = &resource_all[i];

		if (sv_is(group, r->group) && names_of_kind(r, kind) && names_version(crd, r->version))
			return true;
	}
	return false;
}

/* --- conditions --- */

void crd_condition(struct arena *a, struct val *crd, const char *type, const char *status, const char *reason,
		   const char *message, int64_t now_ns)
{
	const struct condition c = { .type = type,
				     .status = status,
				     .reason = reason,
				     .message = sv_from(message),
				     .generation = val_get_int(crd, 0, F_metadata, F_generation) };

	(void)condition_set(a, val_ensure_map(a, crd, F_status), &c, now_ns);
}

bool crd_condition_is(const struct val *crd, const char *type, const char *status)
{
	return condition_is(val_get(crd, F_status, F_conditions), type, status);
}

/* --- names --- */

struct settling {
	struct arena *a;
	struct crd_names *n;
	const struct val *crd;
	struct sv group;
	const struct val *wanted, *had;
	struct val *names; /* those it gets */
	const char *reason;
	struct sv message;
};

static bool is_free(struct settling *t, char set, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	return !strmap_has(&t->n->used, names_key(&b, t->group, set, name)) &&
	       !(set == 'k' && names_kind_built_in(t->crd, name));
}

static void take_name(struct settling *t, enum sym key, char set, const char *reason)
{
	struct sv want = val_get_str(t->wanted, key), had = val_get_str(t->had, key);

	if (sv_eq(want, had) || is_free(t, set, want)) {
		if (want.n)
			val_set_str(t->a, t->names, key, want);
		return;
	}
	if (had.n)
		val_set_str(t->a, t->names, key, had);
	t->reason = reason;
	t->message = arena_svf(t->a, "\"%.*s\" is already in use", SV_ARG(want));
}

static bool names_have(const struct val *list, struct sv s)
{
	VAL_EACH(list, e)
		if (sv_eq(val_str(e), s))
			return true;
	return false;
}

/* All of them or those of before. */
static void take_short_names(struct settling *t)
{
	const struct val *want = val_member(t->wanted, F_shortNames), *had = val_member(t->had, F_shortNames);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t n = 0;

	VAL_EACH(want, s) {
		if (names_have(had, val_str(s)) || is_free(t, 'r', val_str(s)))
			continue;
		buf_printf(&b, "%s\"%.*s\" is already in use", n++ ? ", " : "", SV_ARG(val_str(s)));
	}
	if (n) {
		t->reason = "ShortNamesConflict";
		t->message = n > 1 ? arena_svf(t->a, "[%s]", buf_cstr(&b)) : arena_sv(t->a, buf_sv(&b));
		want = had;
	}
	if (val_len(want))
		val_set(t->a, t->names, F_shortNames, want);
}

static void take_names(struct settling *t)
{
	take_name(t, F_plural, 'r', "PluralConflict");
	take_name(t, F_singular, 'r', "SingularConflict");
	take_short_names(t);
	take_name(t, F_kind, 'k', "KindConflict");
	take_name(t, F_listKind, 'k', "ListKindConflict");
	if (val_len(val_member(t->wanted, F_categories)))
		val_set(t->a, t->names, F_categories, val_member(t->wanted, F_categories));
	names_put_all(t->n, t->group, t->names);
}

/* The groups of the project itself are for who was allowed them. */
static void approve(struct arena *a, struct val *crd, int64_t now_ns)
{
	static const char type[] = "KubernetesAPIApprovalPolicyConformant";
	struct sv group = val_get_str(crd, F_spec, F_group), said = annotation_of(crd, "api-approved.kubernetes.io");
	const char *status = "False", *reason, *why;

	if (!sv_ends(group, SV(".k8s.io")) && !sv_ends(group, SV(".kubernetes.io")) && !sv_is(group, "k8s.io") &&
	    !sv_is(group, "kubernetes.io"))
		return;
	if (!said.n) {
		reason = "MissingAnnotation";
		why = "protected groups must have approval annotation \"api-approved.kubernetes.io\", see "
		      "https://github.com/kubernetes/enhancements/pull/1111";
	} else if (sv_starts(said, SV("unapproved"))) {
		reason = "UnapprovedAnnotation";
		why = arena_printf(a, "not approved: \"%.*s\"", SV_ARG(said));
	} else if (sv_find_sv(said, SV("://")) > 0) {
		status = "True";
		reason = "ApprovedAnnotation";
		why = arena_printf(a, "approved in %.*s", SV_ARG(said));
	} else {
		reason = "InvalidAnnotation";
		why = "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL "
		      "or a reason starting with \"unapproved\", see "
		      "https://github.com/kubernetes/enhancements/pull/1111";
	}
	crd_condition(a, crd, type, status, reason, why, now_ns);
}

struct val *crd_settle(struct arena *a, struct crd_names *n, const struct val *crd, int64_t now_ns, bool *ret_served,
		       const struct val **ret_names)
{
	struct val *doc = obj_edit_status(a, crd);
	struct settling t = { .a = a,
			      .n = n,
			      .crd = crd,
			      .group = val_get_str(crd, F_spec, F_group),
			      .wanted = val_get(crd, F_spec, F_names),
			      .had = val_get(crd, F_status, F_acceptedNames),
			      .names = val_new_map(a) };
	bool established = crd_condition_is(crd, "Established", "True");

	take_names(&t);
	val_set(a, val_ensure_map(a, doc, F_status), F_acceptedNames, t.names);
	if (t.reason)
		crd_condition(a, doc, "NamesAccepted", "False", t.reason, arena_cstr(a, t.message), now_ns);
	else
		crd_condition(a, doc, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now_ns);
	if (established || !t.reason)
		crd_condition(a, doc, "Established", "True", "InitialNamesAccepted",
			      "the initial names have been accepted", now_ns);
	else
		crd_condition(a, doc, "Established", "False", "NotAccepted", "not all names are accepted", now_ns);
	approve(a, doc, now_ns);
	*ret_served = established || !t.reason;
	*ret_names = t.names;
	return val_same(val_member(crd, F_status), val_member(doc, F_status)) ? NULL : doc;
}
