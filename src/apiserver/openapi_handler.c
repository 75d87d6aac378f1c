/* /openapi/v2 and /openapi/v3: the documents of object/openapi.h, each made once, when somebody asks for it. */
#include "apiserver/aggregator/aggregator.h"
#include "apiserver/apiserver-internal.h"
#include "object/openapi.h"

#include <stdio.h>

static void make_v2(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b)
{
	(void)s;
	(void)key;
	openapi_v2(b, api->custom, api->n_custom, document_piece);
}

static void make_v2_proto(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b)
{
	(void)s;
	(void)key;
	openapi_v2_proto(b, api->custom, api->n_custom, document_piece);
}

static const struct document *own_v2(struct apiserver *s, const struct api_set *api, bool proto)
{
	return proto ? document_of(s, api, "openapi/v2+protobuf", make_v2_proto)
		     : document_of(s, api, "openapi/v2", make_v2);
}

static struct sv own_v2_text(struct apiserver *s, const struct api_set *api, struct arena *a, bool proto)
{
	return document_text(a, own_v2(s, api, proto));
}

/* client-go asks for protobuf only; browsers and scripts get JSON. */
static void serve_v2(struct api_req *q)
{
	static const char type[] = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
	bool proto = sv_find_sv(q->accept, SV("proto-openapi.spec.v2")) >= 0;

	if (!aggregator_openapi_v2(q, proto, own_v2_text))
		document_answer(q, own_v2(q->server, q->api, proto), proto ? type : "application/json", false);
}

static void make_index(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b)
{
	(void)s;
	(void)key;
	openapi_v3_index(b, api->custom, api->n_custom);
}

/* key: "openapi:api/v1" or "openapi:apis/apps/v1", as protobuf "openapip:". */
static bool split(struct sv path, struct sv *g, struct sv *v)
{
	struct sv head;

	*g = SV("");
	if (!sv_split(&path, '/', &head))
		return false;
	if (sv_is(head, "apis") && !sv_split(&path, '/', g))
		return false;
	*v = path;
	return path.n && sv_find(path, '/') < 0 && (sv_is(head, "apis") || sv_is(head, "api"));
}

static void make_v3(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b)
{
	struct sv g, v;

	(void)s;
	if (split(sv_from(key + 8), &g, &v))
		(void)openapi_v3(b, g, v, api->custom, api->n_custom);
}

static void make_v3_proto(struct apiserver *s, const struct api_set *api, const char *key, struct buf *b)
{
	struct sv g, v;

	(void)s;
	if (split(sv_from(key + 9), &g, &v))
		(void)openapi_v3_proto(b, g, v, api->custom, api->n_custom);
}

bool openapi_serve(struct api_req *q)
{
	static const char type[] = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
	struct sv rest, g, v, hash;
	char now[20];
	uint64_t h;
	bool proto;

	if (sv_is(q->path, "/openapi/v2")) {
		if (accepts(q, SV("application/json"), SV("proto-openapi.spec.v2")))
			serve_v2(q);
		else
			answer_text(q, 406, "", SV(""));
		return true;
	}
	if (sv_is(q->path, "/openapi/v3") || sv_is(q->path, "/openapi/v3/")) {
		const struct document *d = document_get(q, "openapi/v3", make_index);

		if (!aggregator_openapi_index(q, document_text(q->arena, d)))
			document_answer(q, d, "application/json", false);
		return true;
	}
	if (!sv_starts(q->path, SV("/openapi/v3/")))
		return false;
	rest = sv_sub(q->path, 12, q->path.n);
	if (!split(rest, &g, &v))
		return false;
	h = openapi_v3_hash(g, v, q->api->custom, q->api->n_custom);
	if (!h)
		return false;
	if (!accepts(q, SV("application/json"), SV("proto-openapi.spec.v3"))) {
		answer_text(q, 406, "", SV(""));
		return true;
	}
	/* With the index's hash the answer may be kept for ever. */
	(void)snprintf(now, sizeof(now), "%016" PRIX64, h);
	proto = sv_find_sv(q->accept, SV("proto-openapi.spec.v3")) >= 0;
	document_answer(q,
			document_get(q, arena_printf(q->arena, proto ? "openapip:%.*s" : "openapi:%.*s", SV_ARG(rest)),
				     proto ? make_v3_proto : make_v3),
			proto ? type : "application/json",
			api_req_param(q, "hash", &hash) && sv_ieq(hash, sv_from(now)));
	return true;
}
