#include "apiserver/storekey.h"
#include "apiserver/watchcache.h" /* resource_storage() */

static struct sv storekey_join(struct arena *a, const struct resource *r, struct sv ns, struct sv rest)
{
	return store_key(a, resource_storage(r)->store_path, ns, rest);
}

struct sv storekey(struct arena *a, const struct resource *r, struct sv ns, struct sv name)
{
	return storekey_join(a, r, r->namespaced ? ns : SV(""), name);
}

struct sv storekey_first(struct arena *a, const struct resource *r, struct sv ns)
{
	return storekey(a, r, ns, SV(""));
}

struct sv storekey_behind(struct arena *a, struct sv first)
{
	return arena_svf(a, "%.*s0", (int)first.n - 1, first.p); /* '0' follows '/' */
}

struct sv storekey_at(struct arena *a, const struct resource *r, struct sv rest)
{
	return storekey_join(a, r, SV(""), rest);
}

void storekey_split(const struct resource *r, struct sv rest, struct sv *ret_ns, struct sv *ret_name)
{
	ssize_t slash = r->namespaced ? sv_find(rest, '/') : -1;

	*ret_ns = slash < 0 ? SV("") : sv_sub(rest, 0, (size_t)slash);
	*ret_name = slash < 0 ? rest : sv_sub(rest, (size_t)slash + 1, rest.n);
}

struct sv storekey_path(struct sv key, size_t parts)
{
	struct sv root = SV(STORE_KEY_ROOT);
	size_t end = root.n;

	if (!sv_starts(key, root))
		return SV_NULL;
	for (; parts; parts--, end++) {
		ssize_t slash = sv_find(sv_sub(key, end, key.n), '/');

		if (slash < 0)
			return SV_NULL;
		end += (size_t)slash;
		if (parts == 1)
			return sv_sub(key, root.n, end - root.n);
	}
	return SV_NULL;
}
