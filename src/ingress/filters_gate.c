#include "ingress/filters_gate.h"

#define VALUE "%%[str(%.*s.%s),map_str(values.map)]"

static void gated_value(struct ing_filters_out *o, const char *what, struct sv text)
{
	o->values++;
	if (o->value)
		o->value(o->ctx, o->name, what, text);
}

/* how: "set" or "add". Names have the alphabet of check.h's tokens. */
static void gated_headers(struct ing_filters_out *o, const char *when, const char *how, const struct ing_headers *h)
{
	for (size_t i = 0; i < h->n; i++) {
		_cleanup_free_ char *what = xasprintf("%c%c%zu", when[7], how[0], i);

		if (!ing_filters_may(o, ING_PLACE_HEADER, h->p[i].name))
			continue;
		if (!h->p[i].value.n) {
			buf_printf(o->text, "  %s del-header %.*s\n", when, SV_ARG(h->p[i].name));
			continue;
		}
		buf_printf(o->text, "  %s %s-header %.*s " VALUE "\n", when, how, SV_ARG(h->p[i].name), SV_ARG(o->name),
			   what);
		gated_value(o, what, h->p[i].value);
	}
}

/* One of the headers that tell browsers what is let in; value "": it is not told. preflight: of that answer. */
static void gated_cors_header(struct ing_filters_out *o, bool preflight, const char *header, const char *what,
			      struct sv value, bool any, const char *asked)
{
	if (!value.n && !any)
		return;
	buf_printf(o->text, preflight ? " hdr %s '" : "  http-response set-header %s '", header);
	if (any && asked)
		buf_printf(o->text, "%%[req.hdr(%s)]", asked);
	else
		buf_printf(o->text, VALUE, SV_ARG(o->name), what);
	buf_adds(o->text, preflight ? "'" : "' if { var(txn.or) -m found }\n");
	if ((!any || !asked) && preflight)
		gated_value(o, what, value);
}

#define ORIGIN "Access-Control-Allow-Origin"

static void gated_cors(struct ing_filters_out *o, const struct ing_gate_filters *f)
{
	struct buf *b = o->text;

	if (f->cors_origins.n) /* else nobody is let in */
		gated_value(o, "origins", f->cors_origins);
	buf_printf(b,
		   "  http-request set-var(txn.or) req.hdr(Origin),lua.origin(%.*s) if { req.hdr(Origin) -m found }\n"
		   "  http-request unset-var(txn.or) if { var(txn.or) -m len 0 }\n",
		   SV_ARG(o->name));
	if (f->cors_credentials) /* who says "*" to them is not heard */
		buf_adds(b, "  http-request set-var(txn.or) req.hdr(Origin) if { var(txn.or) -m str * }\n");
	/* What asks first is answered here, whoever asks. */
	buf_adds(b, "  acl preflight req.hdr(Access-Control-Request-Method) -m found\n"
		    "  http-request deny deny_status 403 if METH_OPTIONS preflight { req.hdr(Origin) -m found } "
		    "!{ var(txn.or) -m found }\n"
		    "  http-request return status 200 hdr " ORIGIN " %[var(txn.or)]");
	gated_cors_header(o, true, "Access-Control-Allow-Methods", "methods", f->cors_methods, f->cors_any_method,
			  "Access-Control-Request-Method");
	gated_cors_header(o, true, "Access-Control-Allow-Headers", "headers", f->cors_headers, f->cors_any_header,
			  "Access-Control-Request-Headers");
	gated_cors_header(o, true, "Access-Control-Expose-Headers", "expose", f->cors_expose, false, NULL);
	if (f->cors_credentials)
		buf_adds(b, " hdr Access-Control-Allow-Credentials true");
	buf_printf(b, " hdr Access-Control-Max-Age %d if METH_OPTIONS preflight { var(txn.or) -m found }\n",
		   f->cors_age_s);
	buf_adds(b, "  http-response set-header " ORIGIN " %[var(txn.or)] if { var(txn.or) -m found }\n"
		    "  http-response add-header Vary Origin if { var(txn.or) -m found }\n");
	gated_cors_header(o, false, "Access-Control-Expose-Headers", "expose", f->cors_expose, false, NULL);
	if (f->cors_credentials)
		buf_adds(b, "  http-response set-header Access-Control-Allow-Credentials true "
			    "if { var(txn.or) -m found }\n");
}

static void gated_redirect(struct ing_filters_out *o, const struct ing_gate_filters *f)
{
	_cleanup_(buf_release) struct buf to = BUF_INIT;
	size_t cut = f->has_path && f->path_cut != SIZE_MAX ? f->path_cut : 0;

	buf_printf(&to, "%.*s %.*s %d %c %zu%s%.*s", SV_ARG(f->scheme.n ? f->scheme : SV("-")),
		   SV_ARG(f->host.n ? f->host : SV("-")), f->port,
		   !f->has_path		     ? 'n'
		   : f->path_cut == SIZE_MAX ? 'f'
					     : 'p',
		   cut, f->has_path && f->path.n ? " " : "", SV_ARG(f->has_path ? f->path : SV("")));
	gated_value(o, "to", buf_sv(&to));
	buf_printf(o->text,
		   "  http-request lua.gateto %.*s\n"
		   "  http-request redirect location %%[var(txn.to)] code %d\n",
		   SV_ARG(o->name), f->code);
}

void ing_filters_gate_render(struct ing_filters_out *o, const struct ing_filters *t)
{
	const struct ing_gate_filters *f = t->gate;

	if (f->cors)
		gated_cors(o, f);
	if (f->status)
		buf_printf(o->text,
			   "  http-request return status %d content-type text/plain string "
			   "'no backend of the route can be reached'\n",
			   f->status);
	gated_headers(o, "http-request", "set", &f->request_set);
	gated_headers(o, "http-request", "add", &f->request_add);
	gated_headers(o, "http-response", "set", &f->response_set);
	gated_headers(o, "http-response", "add", &f->response_add);
	if (f->redirect)
		gated_redirect(o, f);
}
