/* Which keys of others are Kubernetes', and a few words of those that are not. */
#include "snapshot/foreign.h"

#include "codec/json.h"

#include <stdio.h>

#define REGISTRY "/registry"

struct sv foreign_key(struct arena *a, struct sv key, struct sv prefix)
{
	struct sv rest = sv_starts(key, prefix) ? sv_sub(key, prefix.n, key.n) : SV("");
	size_t n = strlen(REGISTRY) + rest.n;
	char *to;

	if (!sv_starts(rest, SV("/")) || n > STORE_KEY_MAX)
		return SV_NULL;
	to = arena_alloc(a, n);
	memcpy(to, REGISTRY, strlen(REGISTRY));
	memcpy(to + strlen(REGISTRY), rest.p, rest.n);
	return sv_make(to, n);
}

/* "/kubernetes.io" of "/kubernetes.io/pods/default/x". */
static struct sv foreign_first(struct sv key)
{
	ssize_t end = sv_find(sv_sub(key, 1, key.n), '/');

	return sv_sub(key, 0, end < 0 ? key.n : (size_t)end + 1);
}

void foreign_pass(struct sv key, struct foreign_found *ret)
{
	struct sv first = foreign_first(key);

	ret->passed_over++;
	first = sv_sub(first, 0, MIN(first.n, sizeof(ret->seen[0]) - 1));
	for (size_t i = 0; i < FOREIGN_SEEN && first.n && !memchr(first.p, '\0', first.n); i++) {
		if (sv_is(first, ret->seen[i]))
			return;
		if (*ret->seen[i])
			continue;
		memcpy(ret->seen[i], first.p, first.n);
		return;
	}
}

/* As far as a value says it by itself: whether it is one of its kind the server sees. */
static bool foreign_object(struct sv value)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *v;

	if (sv_starts(value, SV("k8s:enc:")) || sv_starts(value, SV("k8s\0")))
		return true;
	v = json_decode(&a, value, &(struct json_opts){ .borrow_text = true }, NULL);
	return v && v->type == VAL_MAP;
}

bool foreign_wanted(const struct store_kv *kv, struct foreign_found *ret)
{
	bool good = sv_starts(kv->key, SV(REGISTRY "/")) && kv->key.n <= STORE_KEY_MAX &&
		    kv->value.n <= STORE_VALUE_MAX && kv->value.n;

	if (!good) {
		foreign_pass(kv->key, ret);
		return false;
	}
	ret->keys++;
	ret->encrypted |= sv_starts(kv->value, SV("k8s:enc:"));
	if (!foreign_object(kv->value) && ret->unread++ == 0)
		(void)snprintf(ret->unread_at, sizeof(ret->unread_at), "%.*s", SV_ARG(kv->key));
	return true;
}
