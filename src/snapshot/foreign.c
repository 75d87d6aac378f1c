/* Which keys of others are Kubernetes', and a few words of those that are not. */
#include "snapshot/foreign.h"

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
	return true;
}
