/* A user: his groups, and a copy of him. */
#include "apiserver/api_req.h"

bool user_in_group(const struct user_info *u, struct sv group)
{
	for (size_t i = 0; i < u->n_groups; i++)
		if (sv_eq(u->groups[i], group))
			return true;
	return false;
}

bool user_is_of_today(const struct user_info *u)
{
	return user_in_group(u, SV("system:nodes"));
}

void user_is_authenticated(struct user_info *u)
{
	if (!sv_is(u->name, "system:anonymous") && !user_in_group(u, SV("system:authenticated")) &&
	    !user_in_group(u, SV("system:unauthenticated")))
		u->groups[u->n_groups++] = SV("system:authenticated");
}

/* Room for one more of n, which grows by doubling: full where n is a power of two. */
static void *user_room(struct arena *a, void *list, size_t n, size_t size)
{
	char *more;

	if (n & (n - 1))
		return list;
	more = arena_alloc(a, size * (n ? 2 * n : 1));
	if (n)
		memcpy(more, list, n * size);
	return more;
}

void user_add_extra(struct arena *a, struct user_info *u, struct sv key, struct sv value)
{
	struct extra_info *e = NULL;

	for (size_t i = 0; i < u->n_extra && !e; i++)
		if (sv_eq(u->extra[i].key, key))
			e = &u->extra[i];
	if (!e) {
		u->extra = user_room(a, u->extra, u->n_extra, sizeof(*u->extra));
		e = &u->extra[u->n_extra++];
		*e = (struct extra_info){ .key = key };
	}
	e->values = user_room(a, e->values, e->n_values, sizeof(*e->values));
	e->values[e->n_values++] = value;
}

static struct sv *user_copy_list(struct arena *a, const struct sv *list, size_t n)
{
	struct sv *out = ARENA_ARRAY(a, struct sv, n);

	for (size_t i = 0; i < n; i++)
		out[i] = arena_sv(a, list[i]);
	return out;
}

void user_copy(struct arena *a, struct user_info *to, const struct user_info *from)
{
	*to = (struct user_info){
		.name = arena_sv(a, from->name),
		.uid = arena_sv(a, from->uid),
		.groups = user_copy_list(a, from->groups, from->n_groups),
		.n_groups = from->n_groups,
		.extra = ARENA_ARRAY(a, struct extra_info, from->n_extra),
		.n_extra = from->n_extra,
		.warning = from->warning,
		.stale_ns = from->stale_ns,
		.expires_ns = from->expires_ns,
	};
	for (size_t i = 0; i < from->n_extra; i++) {
		to->extra[i].key = arena_sv(a, from->extra[i].key);
		to->extra[i].values = user_copy_list(a, from->extra[i].values, from->extra[i].n_values);
		to->extra[i].n_values = from->extra[i].n_values;
	}
}

struct sv user_share(const struct user_info *u)
{
	const struct sv prefix = SV("system:serviceaccount:");
	struct sv rest, ns;

	if (!sv_starts(u->name, prefix))
		return u->name;
	rest = sv_sub(u->name, prefix.n, u->name.n);
	if (!sv_split(&rest, ':', &ns) || sv_is(ns, "kube-system"))
		return u->name;
	return sv_sub(u->name, 0, prefix.n + ns.n);
}
