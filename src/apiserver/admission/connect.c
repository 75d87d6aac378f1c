/* What connects: webhooks are asked before there is a connection. */
#include "apiserver/admission/webhooks.h"

struct connect_admission {
	struct admission a;
	bool mutated, judged;
	void (*go)(struct api_req *q);
};

static int connect_ask(struct api_req *q, void *ctx, struct err *err)
{
	struct connect_admission *c = ctx;
	int rc = 0;

	if (!c->mutated) {
		rc = admission_webhooks_mutate(&c->a, err);
		if (rc != REQ_LATER) {
			req_forget(q);
			q->hooks = NULL;
		}
	}
	if (rc)
		return rc;
	c->mutated = true;
	if (!c->judged) {
		rc = admission_policies_validate(&c->a, err);
		if (rc != REQ_LATER)
			req_forget(q);
	}
	if (rc)
		return rc;
	c->judged = true;
	rc = admission_webhooks_validate(&c->a, err);
	if (rc == 0) {
		req_forget(q);
		c->go(q);
	}
	return rc;
}

/* One option, out of the query. */
static void connect_option(struct api_req *q, struct val *options, const struct field *f)
{
	struct sv name = sym_name(f->sym), v;
	int64_t n;

	if (f->card == CARD_LIST) {
		for (size_t i = 0; i < q->n_params; i++) {
			struct val *list;

			if (!sv_eq(q->params[i].name, name))
				continue;
			list = val_ensure_list(q->arena, options, f->sym);
			if (f->kind == FIELD_STRING)
				val_push(q->arena, list, val_new_str(q->arena, q->params[i].value));
			else if (sv_to_i64(q->params[i].value, &n))
				val_push(q->arena, list, val_new_int(q->arena, n));
		}
	} else if (f->kind == FIELD_BOOL) {
		if (option_bool(q, arena_cstr(q->arena, name)))
			val_set_bool(q->arena, options, f->sym, true);
	} else if (api_req_param(q, arena_cstr(q->arena, name), &v) && v.n) {
		val_set_str(q->arena, options, f->sym, v);
	}
}

/* What is behind .../NAME/proxy. */
static struct sv connect_path(struct api_req *q)
{
	struct sv path = q->http ? q->http->path : q->path;
	struct sv mark = arena_svf(q->arena, "/%.*s/", SV_ARG(q->plural));
	ssize_t at = sv_find_sv(path, mark), proxy;

	if (at < 0)
		return SV("");
	path = sv_sub(path, (size_t)at + mark.n, path.n);
	proxy = sv_find_sv(path, SV("/proxy"));
	return proxy < 0 ? SV("") : sv_sub(path, (size_t)proxy + 6, path.n);
}

static struct val *connect_options(struct api_req *q)
{
	const struct schema *s = schema_find(arena_svf(q->arena, "core/v1.%s", q->sub->kind));
	struct val *options = val_new_map(q->arena);

	val_set_cstr(q->arena, options, F_kind, q->sub->kind);
	val_set_cstr(q->arena, options, F_apiVersion, "v1");
	for (size_t i = 0; s && i < s->n_fields; i++)
		if (s->fields[i].sym == F_path && sv_is(q->subresource, "proxy"))
			val_set_str(q->arena, options, F_path, connect_path(q));
		else
			connect_option(q, options, &s->fields[i]);
	return options;
}

void admission_connect(struct api_req *q, void (*go)(struct api_req *q))
{
	struct connect_admission *c;

	if (!hook_set_any(q->server)) {
		go(q);
		return;
	}
	c = ARENA_NEW(q->arena, struct connect_admission);
	c->a = (struct admission){
		.q = q,
		.op = ADMIT_CONNECT,
		.res = q->res,
		.subresource = q->subresource,
		.ns = q->ns,
		.name = q->name,
		.doc = connect_options(q),
	};
	c->go = go;
	req_ask(q, connect_ask, c);
}
