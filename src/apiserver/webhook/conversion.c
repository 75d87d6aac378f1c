/* Conversion webhooks. A leg is one call; the request that waits for it is asked again with the answer. */
#include "apiserver/webhook/conversion.h"
#include "apiserver/webhook/webhook-internal.h"
#include "base/budget.h"
#include "codec/json.h"

#include <stdlib.h>

#define CONVERSION_NS (30 * NS_PER_SEC)
#define CONVERSION_ANSWER_MIN ((size_t)4 * 1024 * 1024) /* and twice what was sent */
#define REVIEW_GROUP "apiextensions.k8s.io/"

struct webhook_conversion {
	atomic_int refs;
	struct webhook_target *target;
	const char *review; /* apiVersion of the ConversionReview; NULL: it takes none that is known here */
};

/* One leg's call. The request's, and until it has ended the loop's. */
struct conversion_call {
	atomic_int refs;
	struct req_ticket *ticket;
	struct webhook_call *call;
	struct webhook_answer *answer;
	char uid[37];
};

struct webhook_conversion *webhook_conversion_new(const struct val *conversion)
{
	struct webhook_conversion *c = xcalloc(1, sizeof(*c));
	const struct val *w = val_get(conversion, F_webhook);

	atomic_init(&c->refs, 1);
	c->target = webhook_target_new(val_get(w, F_clientConfig));
	VAL_EACH(val_get(w, F_conversionReviewVersions), v) {
		if (!c->review && val_is(v, "v1"))
			c->review = REVIEW_GROUP "v1";
		if (!c->review && val_is(v, "v1beta1"))
			c->review = REVIEW_GROUP "v1beta1";
	}
	return c;
}

struct webhook_conversion *webhook_conversion_ref(struct webhook_conversion *c)
{
	atomic_fetch_add(&c->refs, 1);
	return c;
}

struct webhook_conversion *webhook_conversion_unref(struct webhook_conversion *c)
{
	if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
		return NULL;
	webhook_target_unref(c->target);
	free(c);
	return NULL;
}

/* --- the answer --- */

/* `conversion webhook for GROUP/VERSION, Kind=KIND ...`. Returns -1. */
static int conversion_fail(const struct version_leg *leg, struct err *err, const char *fmt, ...) _printf_(3, 4);
static int conversion_fail(const struct version_leg *leg, struct err *err, const char *fmt, ...)
{
	char av[160];
	va_list ap;
	const char *why;

	va_start(ap, fmt);
	why = arena_vprintf(leg->a, fmt, ap);
	va_end(ap);
	return err_set(err, ERR_UNKNOWN, "conversion webhook for %s, Kind=%s %s",
		       resource_api_version(leg->from, av, sizeof(av)), leg->from->kind, why);
}

static int conversion_same(const struct version_leg *leg, const struct val *in, const struct val *out, size_t i,
			   struct err *err)
{
	static const struct {
		enum sym sym;
		const char *name;
	} same[] = { { F_name, "name" }, { F_namespace, "namespace" }, { F_uid, "UID" } };
	char av[160];
	struct sv is = val_get_str(out, F_apiVersion), kind = val_get_str(out, F_kind);
	const char *want = resource_api_version(leg->to, av, sizeof(av));

	if (!sv_is(is, want))
		return conversion_fail(
		    leg, err,
		    "returned invalid converted object at index %zu: invalid groupVersion (expected %s, "
		    "received %.*s)",
		    i, want, SV_ARG(sv_sub(is, 0, 200)));
	if (!sv_is(kind, leg->to->kind))
		return conversion_fail(
		    leg, err, "returned invalid converted object at index %zu: must have the same kind: %s != %.*s", i,
		    leg->to->kind, SV_ARG(sv_sub(kind, 0, 200)));
	if (val_type(val_member(out, F_metadata)) != VAL_MAP)
		return conversion_fail(leg, err,
				       "returned invalid metadata in object at index %zu: missing metadata in "
				       "converted object",
				       i);
	for (size_t k = 0; k < ARRAY_LEN(same); k++) {
		struct sv was = val_get_str(in, F_metadata, same[k].sym),
			  now = val_get_str(out, F_metadata, same[k].sym);

		if (!sv_eq(was, now))
			return conversion_fail(
			    leg, err,
			    "returned invalid converted object at index %zu: must have the same %s: %.*s "
			    "!= %.*s",
			    i, same[k].name, SV_ARG(was), SV_ARG(sv_sub(now, 0, 300)));
	}
	return 0;
}

static int conversion_result(const struct version_leg *leg, const struct val *result, struct err *err)
{
	struct sv status = val_get_str(result, F_status), message = val_get_str(result, F_message);

	if (sv_is(status, "Success"))
		return 0;
	if (message.n)
		return conversion_fail(leg, err, "failed: %.*s", SV_ARG(message));
	return conversion_fail(leg, err, "failed: response.result.status was '%.*s', not 'Success'",
			       SV_ARG(sv_sub(status, 0, 100)));
}

int webhook_conversion_read(const struct version_leg *leg, struct sv body, const char *review, const char *uid,
			    struct err *err)
{
	struct err why = ERR_INIT;
	struct val *doc = webhook_answer_document(leg->a, body, NULL, &why);
	const struct val *response, *objects;
	struct sv is = val_get_str(doc, F_apiVersion), kind = val_get_str(doc, F_kind), got;

	if (!doc) {
		conversion_fail(leg, err, "failed: couldn't get version/kind; json parse error: %s", err_msg(&why));
		err_release(&why);
		return -1;
	}
	if (!sv_is(is, review) || !sv_is(kind, "ConversionReview"))
		return conversion_fail(
		    leg, err, "failed: expected webhook response of %s, Kind=ConversionReview, got %.*s, Kind=%.*s",
		    review, SV_ARG(sv_sub(is, 0, 200)), SV_ARG(sv_sub(kind, 0, 200)));
	response = val_member_sv(doc, SV("response"));
	if (val_type(response) != VAL_MAP)
		return conversion_fail(leg, err, "failed: no response provided");
	got = val_get_str(response, F_uid);
	if (!sv_is(got, uid) && !sv_ends(sv_from(review), SV("/v1beta1")))
		return conversion_fail(leg, err, "failed: expected response.uid=\"%s\", got \"%.*s\"", uid,
				       SV_ARG(sv_sub(got, 0, 200)));
	if (conversion_result(leg, val_member_sv(response, SV("result")), err) < 0)
		return -1;
	objects = val_member_sv(response, SV("convertedObjects"));
	if (val_len(objects) != leg->n || (leg->n && val_type(objects) != VAL_LIST))
		return conversion_fail(leg, err, "returned %zu objects, expected %zu", val_len(objects), leg->n);
	for (size_t i = 0; i < leg->n; i++) {
		const struct val *out = val_at(objects, i);
		struct budget values = BUDGET(doc_values_limit);

		if (conversion_same(leg, leg->docs[i], out, i, err) < 0)
			return -1;
		if (val_count(&values, out, &why) < 0) {
			conversion_fail(leg, err, "returned invalid converted object at index %zu: %s", i,
					err_msg(&why));
			err_release(&why);
			return -1;
		}
		leg->out[i] = out;
	}
	return 0;
}

/* --- the call --- */

static void conversion_call_unref(void *p)
{
	struct conversion_call *cc = p;

	if (atomic_fetch_sub(&cc->refs, 1) != 1)
		return;
	webhook_answer_free(cc->answer);
	webhook_call_unref(cc->call);
	free(cc);
}

static void conversion_done(struct webhook_answer *answer_take, void *ctx)
{
	struct conversion_call *cc = ctx;

	cc->answer = answer_take;
	(void)req_resume(cc->ticket, cc, NULL);
	conversion_call_unref(cc);
}

static void conversion_cancel(void *ctx)
{
	struct conversion_call *cc = ctx;

	webhook_call_cancel(cc->call);
}

static void conversion_write(struct buf *b, const struct version_leg *leg, const char *review, const char *uid)
{
	char av[160];

	buf_printf(b,
		   "{\"kind\":\"ConversionReview\",\"apiVersion\":\"%s\",\"request\":{\"uid\":\"%s\","
		   "\"desiredAPIVersion\":\"%s\",\"objects\":[",
		   review, uid, resource_api_version(leg->to, av, sizeof(av)));
	for (size_t i = 0; i < leg->n; i++) {
		if (i)
			buf_addc(b, ',');
		json_encode(b, leg->docs[i]);
	}
	buf_adds(b, "]}}");
}

static int conversion_ask(const struct version_leg *leg, const struct webhook_conversion *c, struct err *err)
{
	_cleanup_(buf_release) struct buf body = BUF_INIT;
	struct apiserver *s = leg->q->server;
	int64_t until = req_deadline_ns(leg->q), ns = CONVERSION_NS;
	struct conversion_call *cc;

	if (!c->review)
		return conversion_fail(leg, err,
				       "failed: it takes no version of ConversionReview that is known here (v1, "
				       "v1beta1)");
	if (until != INT64_MAX)
		ns = MIN(ns, MAX(until - env_mono_ns(s->env), NS_PER_MS));
	cc = xcalloc(1, sizeof(*cc));
	atomic_init(&cc->refs, 2);
	env_uuid(s->env, cc->uid);
	arena_defer(leg->q->arena, conversion_call_unref, cc);
	conversion_write(&body, leg, c->review, cc->uid);
	cc->ticket = req_suspend(leg->q, "a conversion webhook", conversion_cancel, cc);
	cc->call = webhook_call(s, &(struct webhook_call_opts){
				       .target = c->target,
				       .body = buf_sv(&body),
				       .timeout_ns = ns,
				       .answer_max = CONVERSION_ANSWER_MIN + 2 * body.n,
				       .done = conversion_done,
				       .ctx = cc,
				   });
	return REQ_LATER;
}

int webhook_convert(const struct version_leg *leg, struct err *err)
{
	const struct webhook_conversion *c = leg->ctx;
	const struct conversion_call *cc;
	void *result;

	if (leg->n == 0)
		return 0;
	if (!leg->q)
		return conversion_fail(leg, err, "cannot be asked here: nothing may wait for it");
	if (!req_result(leg->q, &result))
		return conversion_ask(leg, c, err);
	cc = result;
	if (cc->answer->err.reason)
		return conversion_fail(leg, err, "failed: %s", err_msg(&cc->answer->err));
	return webhook_conversion_read(leg, buf_sv(&cc->answer->body), c->review, cc->uid, err);
}
