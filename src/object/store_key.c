#include "object/store_key.h"

/* By hand: every write makes a key, and a tenth of it was printf. */
struct sv store_key(struct arena *a, const char *path_text, struct sv ns, struct sv rest)
{
	struct sv path = sv_from(path_text), root = SV(STORE_KEY_ROOT);
	size_t n = root.n + path.n + 1 + (ns.n ? ns.n + 1 : 0) + rest.n;
	char *key = arena_alloc(a, n), *to = key;

	to = mempcpy(to, root.p, root.n);
	to = mempcpy(to, path.p, path.n);
	*to++ = '/';
	if (ns.n) {
		to = mempcpy(to, ns.p, ns.n);
		*to++ = '/';
	}
	if (rest.n)
		memcpy(to, rest.p, rest.n);
	return sv_make(key, n);
}
