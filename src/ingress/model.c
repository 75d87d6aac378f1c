#include "ingress/model.h"

#include "ingress/check.h"

int ing_endpoint_cmp(const struct ing_endpoint *x, const struct ing_endpoint *y)
{
	int c = ip_cmp(x->ip, y->ip);

	return c ? c : (int)x->port - (int)y->port;
}

struct sv ing_route_key(struct arena *a, const struct ing_route *r)
{
	struct sv host = r->host_kind == ING_HOST_ANY ? SV("*") : r->host;

	if (r->fallback)
		return SV("*");
	return arena_svf(a, "%.*s%.*s%s", SV_ARG(host), SV_ARG(r->path), r->path_kind == ING_PATH_PREFIX ? "/" : "");
}

static bool model_host(const struct ing_route *r, struct sv host)
{
	ssize_t dot;

	switch (r->host_kind) {
	case ING_HOST_ANY:
		return true;
	case ING_HOST_WILDCARD:
		dot = sv_find(host, '.');
		return dot > 0 && sv_eq(sv_sub(host, (size_t)dot, host.n), sv_sub(r->host, 1, r->host.n));
	case ING_HOST_EXACT:
		return sv_eq(host, r->host);
	}
	return false;
}

static bool model_path(const struct ing_route *r, struct sv path)
{
	if (r->path_kind == ING_PATH_EXACT)
		return sv_eq(path, r->path);
	return sv_starts(path, r->path) && (path.n == r->path.n || path.p[r->path.n] == '/');
}

/* Is x the better match than y, which match both? */
static bool model_before(const struct ing_route *x, const struct ing_route *y)
{
	if (x->fallback != y->fallback)
		return !x->fallback;
	if (x->host_kind != y->host_kind)
		return x->host_kind > y->host_kind;
	if (x->path_kind != y->path_kind)
		return x->path_kind > y->path_kind;
	return x->path.n > y->path.n;
}

const struct ing_route *ing_model_match(const struct ing_model *m, struct sv host, struct sv path)
{
	const struct ing_route *best = NULL;

	for (size_t i = 0; i < m->n_routes; i++) {
		const struct ing_route *r = &m->routes[i];

		if ((r->fallback || (model_host(r, host) && model_path(r, path))) && (!best || model_before(r, best)))
			best = r;
	}
	return best;
}
