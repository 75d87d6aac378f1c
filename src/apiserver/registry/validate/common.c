/* common.c - checks that many kinds share. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "object/list_index.h"

void check_nonnegative(struct field_errs *fe, const struct val *v, const struct fpath *at, const enum sym *names)
{
	for (; *names; names++) {
		const struct val *m = val_member(v, *names);
		struct fpath here = FPATH(at, *names);

		if (val_type(m) == VAL_INT && m->i < 0)
			fe_invalid(fe, &here, m, MSG_NONNEGATIVE);
	}
}

void check_range(struct field_errs *fe, const struct val *v, const struct fpath *at, int64_t min, int64_t max)
{
	if (val_type(v) == VAL_INT && (v->i < min || v->i > max))
		fe_add(fe, FE_INVALID, at, v, "must be between %" PRId64 " and %" PRId64 ", inclusive", min, max);
}

void check_one_of(struct field_errs *fe, const struct val *v, const struct fpath *at, const char *const *list)
{
	if (!v)
		return;
	for (size_t i = 0; list[i]; i++)
		if (val_is(v, list[i]))
			return;
	fe_not_supported(fe, at, v, list);
}

enum sym check_union(struct field_errs *fe, const struct schema_union *u, const struct val *v, const struct fpath *at)
{
	enum sym found = SYM_NONE;

	for (const enum sym *m = u->members; *m != SYM_NONE; m++) {
		struct fpath here = FPATH(at, *m);

		if (!val_member(v, *m))
			continue;
		if (found == SYM_NONE)
			found = *m;
		else
			fe_add(fe, FE_FORBIDDEN, &here, NULL, "may not specify more than 1 %s", u->noun);
	}
	if (found == SYM_NONE)
		fe_add(fe, FE_REQUIRED, at, NULL, "must specify a %s", u->noun);
	return found;
}

static bool is_empty(const struct val *v)
{
	return !v || v->type == VAL_NULL ||
	       ((v->type == VAL_STR || v->type == VAL_LIST || v->type == VAL_MAP) && v->n == 0);
}

void check_required(struct field_errs *fe, const struct val *parent, const struct fpath *up, enum sym name)
{
	struct fpath at = FPATH(up, name);

	if (is_empty(val_member(parent, name)))
		fe_required(fe, &at);
}

void check_text(struct field_errs *fe, const struct val *v, const struct fpath *at, const char *(*fmt)(struct sv))
{
	if (val_type(v) == VAL_STR)
		fe_check(fe, at, val_str(v), fmt);
}

void check_texts(struct field_errs *fe, const struct val *list, const struct fpath *at, const char *(*fmt)(struct sv))
{
	size_t i = 0;

	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(at, i++);

		check_text(fe, v, &here, fmt);
	}
}

void check_required_text(struct field_errs *fe, const struct val *parent, const struct fpath *up, enum sym name,
			 const char *(*fmt)(struct sv))
{
	struct fpath at = FPATH(up, name);
	const struct val *v = val_member(parent, name);

	if (is_empty(v))
		fe_required(fe, &at);
	else
		check_text(fe, v, &at, fmt);
}

void check_port_or_name(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	if (val_type(v) == VAL_INT && (v->i < 1 || v->i > 65535))
		fe_invalid(fe, at, v, MSG_PORT);
	check_text(fe, v, at, fmt_port_name);
}

int64_t int_or_percent_number(const struct val *v)
{
	struct sv s = val_str(v);
	int64_t n;

	if (val_type(v) == VAL_INT)
		return v->i;
	return s.n && sv_to_i64(sv_sub(s, 0, s.n - 1), &n) ? n : 0;
}

void check_int_or_percent(struct field_errs *fe, const struct val *v, const struct fpath *at, bool max_100)
{
	if (val_type(v) == VAL_INT && v->i < 0)
		fe_invalid(fe, at, v, MSG_NONNEGATIVE);
	if (val_type(v) != VAL_STR)
		return;
	if (fmt_percent(val_str(v)))
		fe_check(fe, at, val_str(v), fmt_percent);
	else if (max_100 && int_or_percent_number(v) > 100)
		fe_invalid(fe, at, v, "must not be greater than 100%");
}

bool has_dotdot(struct sv path)
{
	struct sv part;

	while (sv_split(&path, '/', &part))
		if (sv_is(part, ".."))
			return true;
	return false;
}

void check_rel_path(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	struct sv path = val_str(v);

	if (path.n && path.p[0] == '/')
		fe_invalid(fe, at, v, "must be a relative path");
	if (has_dotdot(path))
		fe_invalid(fe, at, v, "must not contain '..'");
}

void check_immutable(struct field_errs *fe, const struct val *doc, const struct val *old, const struct fpath *up,
		     enum sym name)
{
	struct fpath at = FPATH(up, name);

	fe_immutable(fe, &at, val_member(doc, name), val_member(old, name));
}

void check_unique(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	struct list_index seen = list_index_of(fe->a, list, SYM_NONE);
	size_t i = 0;

	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(at, i);

		if (list_index_find(&seen, v) != (ssize_t)i)
			fe_duplicate(fe, &here, v);
		i++;
	}
}

/* Counters of a workload's status: none negative, no part larger than the whole. */
void check_status_counters(struct field_errs *fe, const struct val *status, const struct fpath *at,
			   const enum sym *below_replicas)
{
	int64_t replicas = val_get_int(status, 0, F_replicas);
	const struct val *available = val_member(status, F_availableReplicas), *none = val_new_int(fe->a, 0);
	struct fpath available_at = FPATH(at, F_availableReplicas);

	CHECK_NONNEGATIVE(fe, status, at, F_replicas, F_observedGeneration, F_collisionCount, F_unavailableReplicas,
			  F_terminatingReplicas);
	check_nonnegative(fe, status, at, below_replicas);
	for (; *below_replicas; below_replicas++) {
		const struct val *v = val_member(status, *below_replicas);
		struct fpath here = FPATH(at, *below_replicas);

		if (val_int_or(v, 0) > replicas)
			fe_invalid(fe, &here, v ? v : none, "cannot be greater than status.replicas");
	}
	if (val_int_or(available, 0) > val_get_int(status, 0, F_readyReplicas))
		fe_invalid(fe, &available_at, available ? available : none, "cannot be greater than readyReplicas");
}

void check_domain_path(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	struct sv path = val_str(v), domain = SV("");

	if (!path.n) {
		fe_required(fe, at);
		return;
	}
	(void)sv_split(&path, '/', &domain);
	if (!path.n || !domain.n)
		fe_invalid(fe, at, v, "must be a domain-prefixed path (such as \"acme.io/foo\")");
	else
		fe_check(fe, at, domain, fmt_dns_subdomain);
}

void index_by_name(struct strmap *m, const struct val *list)
{
	VAL_EACH(list, v) {
		void **slot = strmap_slot(m, val_get_str(v, F_name));

		if (!*slot)
			*slot = (void *)v;
	}
}

void put_member(struct arena *a, struct val *map, enum sym name, const struct val *v)
{
	if (v)
		val_set(a, map, name, v);
	else
		val_del(map, name);
}

struct sv lower_case(struct arena *a, struct sv s)
{
	char *out = arena_cstr(a, s);

	for (char *c = out; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	return sv_make(out, s.n);
}

void check_volume_path(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	check_rel_path(fe, v, at);
	if (sv_starts(val_str(v), SV("..")) && !sv_starts(val_str(v), SV("../")) && !sv_is(val_str(v), ".."))
		fe_invalid(fe, at, v, "must not start with '..'");
}

const struct val *pod_volume_named(const struct pod_ctx *pc, struct sv name)
{
	return strmap_get(&pc->volumes_by_name, name);
}

bool text_in(struct sv s, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sv_is(s, list[i]))
			return true;
	return false;
}
