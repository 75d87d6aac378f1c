/* Content negotiation: the Accept header to a form and an encoding (media.h). */
#include "apiserver/apiserver-internal.h"
#include "apiserver/media.h"
#include "apiserver/registry/strategy.h"
#include "apiserver/versions.h"

#include <stdlib.h>

struct sv media_type(struct sv header, struct sv *ret_params)
{
	ssize_t semi = sv_find(header, ';');

	*ret_params = semi < 0 ? SV_NULL : sv_sub(header, (size_t)semi + 1, header.n);
	return sv_trim(semi < 0 ? header : sv_sub(header, 0, (size_t)semi));
}

struct sv media_param(struct sv params, const char *name)
{
	struct sv one;

	while (sv_split(&params, ';', &one)) {
		ssize_t eq;

		one = sv_trim(one);
		eq = sv_find(one, '=');
		if (eq > 0 && sv_is(sv_sub(one, 0, (size_t)eq), name)) {
			one = sv_sub(one, (size_t)eq + 1, one.n);
			if (one.n >= 2 && one.p[0] == '"')
				one = sv_sub(one, 1, one.n - 2);
			return one;
		}
	}
	return SV_NULL;
}

/* The clauses of an Accept header by preference: q first, then as they stand. */
#define CLAUSES_MAX 32
static size_t accept_clauses(struct sv rest, struct sv ret[CLAUSES_MAX])
{
	double weight[CLAUSES_MAX];
	size_t n = 0;
	struct sv one, params;

	while (n < CLAUSES_MAX && sv_split(&rest, ',', &one)) {
		struct sv text;
		double w = 1;
		size_t at = n;

		(void)media_type(sv_trim(one), &params);
		text = media_param(params, "q");
		if (text.n && text.n < 8) {
			char number[8];

			memcpy(number, text.p, text.n);
			number[text.n] = '\0';
			w = strtod(number, NULL);
		}
		for (; at > 0 && weight[at - 1] < w; at--) {
			weight[at] = weight[at - 1];
			ret[at] = ret[at - 1];
		}
		weight[at] = w;
		ret[at] = sv_trim(one);
		n++;
	}
	return n;
}

/* Whether any clause names a representation there is: what is not even that far is told another way. */
static bool representable(const struct api_req *q, const struct sv *clauses, size_t n)
{
	const struct media *m;
	struct sv params;

	for (size_t i = 0; i < n; i++) {
		struct sv type = media_type(clauses[i], &params);

		if (sv_is(type, "*/*"))
			return true;
		for (size_t k = 0; (m = media_at(q->server, k)); k++)
			if (media_named(m, type))
				return true;
	}
	return false;
}

/* What there is, for who asked for something else; of a watch, what streams. */
static int err_not_acceptable(const struct api_req *q, const char *before, bool streams, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct media *m;

	for (size_t i = 0; (m = media_at(q->server, i)); i++)
		if (!streams || media_streams(m))
			buf_printf(&b, "%s%s%s", b.n ? ", " : "", m->name, streams ? ";stream=watch" : "");
	return err_set(err, ERR_NOT_ACCEPTABLE, "%s: %s", before, buf_cstr(&b));
}

/* A list's metadata is asked for by a name of its own, and who reads one object by that gets no list, nor the other way
 * round. Writes are not refused for it: upstream would, after it wrote. */
static int check_form(const struct api_req *q, const struct media_form *form, struct sv as, struct err *err)
{
	const struct versions *v;
	const struct resource *r;
	bool list, wanted;

	if (!*form->list_as || !q->resource_request || !q->res || (q->verb != VERB_GET && q->verb != VERB_LIST))
		return 0;
	if (q->subresource.n && (!q->sub || q->sub->schema != q->res->schema))
		return 0;
	list = q->verb == VERB_LIST;
	wanted = sv_is(as, form->list_as);
	if (list == wanted)
		return 0;
	v = versions_of(q->res);
	r = v ? v->hub : q->res;
	return err_set(err, ERR_NOT_ACCEPTABLE, "you requested %.*s, but the requested object is %s (*%.*s.%s)",
		       SV_ARG(as), list ? "a list" : "not a list", SV_ARG(api_group_package(sv_from(r->group))),
		       list ? r->list_kind : r->kind);
}

bool accepts(const struct api_req *q, struct sv type, struct sv or_subtype)
{
	struct sv rest = q->accept, one, params;

	if (!sv_trim(rest).n)
		return true;
	while (sv_split(&rest, ',', &one)) {
		struct sv wanted = media_type(sv_trim(one), &params);

		if (sv_ieq(wanted, type) || sv_is(wanted, "*/*") || sv_is(wanted, "application/*") ||
		    (or_subtype.n && sv_find_sv(wanted, or_subtype) >= 0))
			return true;
	}
	return false;
}

/* Reviews, tokens and the like are no objects that could be shown as a row or as metadata. */
static bool transformable(const struct api_req *q)
{
	if (!q->res)
		return true;
	if (q->subresource.n)
		return !q->sub || q->sub->schema == q->res->schema || sv_is(q->subresource, "scale");
	return !strategy_for(q->res)->virtual_create;
}

static bool includes(const struct api_req *q)
{
	struct sv include;

	return !api_req_param(q, "includeObject", &include) || !include.n || sv_is(include, "None") ||
	       sv_is(include, "Metadata") || sv_is(include, "Object");
}

/* The encoding of this type that can tell of what q is about in that form. */
static const struct media *media_for(const struct api_req *q, struct sv type, const struct media_form *form)
{
	const struct resource *r = q->resource_request ? q->res : NULL;
	const struct media *m;

	for (size_t i = 0; (m = media_at(q->server, i)); i++)
		if ((sv_is(type, "*/*") || sv_is(type, "application/*") || media_named(m, type)) &&
		    (!m->serves || m->serves(r, form)))
			return m;
	return NULL;
}

static bool for_people(const struct api_req *q)
{
	struct sv pretty;

	if (api_req_param(q, "pretty", &pretty) && pretty.n)
		return sv_is_true(pretty);
	return sv_starts(q->user_agent, SV("curl/")) || sv_starts(q->user_agent, SV("Wget/")) ||
	       sv_starts(q->user_agent, SV("Mozilla/5.0"));
}

static void media_pick(struct api_req *q, const struct media *m, bool pretty)
{
	q->media = pretty && m->pretty ? m->pretty : m;
}

int negotiate_accept(struct api_req *q, struct err *err)
{
	struct sv rest = q->accept, params, include, clauses[CLAUSES_MAX];
	bool pretty = for_people(q), watch = q->resource_request && q->verb == VERB_WATCH;
	const struct media *m;
	size_t n;

	media_pick(q, &media_json, pretty); /* failures, too */
	if (!rest.n || sv_is(rest, "application/json") || sv_is(rest, "*/*"))
		return 0;
	n = accept_clauses(rest, clauses);
	if (q->resource_request && !representable(q, clauses, n))
		return err_not_acceptable(q, "406: Not Acceptable\n\nAvailable representations", false, err);
	for (size_t i = 0; i < n; i++) {
		struct sv type = media_type(clauses[i], &params);
		const struct media_form *form =
		    media_form_find(media_param(params, "as"), media_param(params, "g"), media_param(params, "v"));

		if (!form || (form != &media_native && !transformable(q)))
			continue;
		if (form->items == F_rows && !includes(q)) {
			(void)api_req_param(q, "includeObject", &include);
			return err_set(err, ERR_BAD_REQUEST,
				       "Unable to convert to Table as requested: includeObject: Invalid value: "
				       "\"%.*s\": must be 'Metadata', 'Object', 'None', or empty",
				       SV_ARG(include));
		}
		m = media_for(q, type, form);
		if (!m)
			continue;
		if (watch && !media_streams(m))
			break;
		if (check_form(q, form, media_param(params, "as"), err) < 0)
			return -1;
		q->form = form;
		media_pick(q, m, pretty);
		return 0;
	}
	return err_not_acceptable(q, "only the following media types are accepted", watch, err);
}
