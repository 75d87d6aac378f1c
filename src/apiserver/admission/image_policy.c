#include "apiserver/admission/image_policy.h"
#include "apiserver/admission/plugins.h"
#include "apiserver/admission/setup.h"
#include "apiserver/steps.h"
#include "apiserver/webhook/ask.h"
#include "base/budget.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <stdlib.h>

#define ASK_NS (30 * NS_PER_SEC)
#define ANSWER_MAX ((size_t)256 * 1024)
#define ANSWERS_MAX 1024 /* that are remembered, of no more than so many bytes */
#define KEPT_MAX ((size_t)16 * 1024)
#define AUDIT_MAX 64 /* annotations of an answer that are noted */
#define REASON_MAX 1000
#define AUDIT_PREFIX "imagepolicywebhook.image-policy.k8s.io/"

struct image_policy {
	struct webhook_asker *asker;
	int64_t allow_ns, deny_ns; /* 0: not remembered */
	bool default_allow;
};

/* --- its configuration --- */

/* -1: off, 0: the usual; else in units, more than one ns or one second and no more than max. */
static int image_time(const struct val *config, const char *name, int64_t unit_ns, int64_t min_ns, int64_t max_ns,
		      int64_t usual_ns, int64_t *ret_ns, struct err *err)
{
	int64_t n = val_int_or(val_member_sv(config, sv_from(name)), 0);
	_cleanup_(buf_release) struct buf least = BUF_INIT, most = BUF_INIT;

	if (n == 0 || n == -1) {
		*ret_ns = n ? 0 : usual_ns;
		return 0;
	}
	if (n > 0 && n <= max_ns / unit_ns && n * unit_ns > min_ns) {
		*ret_ns = n * unit_ns;
		return 0;
	}
	duration_format(&least, min_ns);
	duration_format(&most, max_ns);
	return err_set(err, ERR_INVALID, "%s: valid value is between %.*s and %.*s, got %" PRId64, name,
		       SV_ARG(buf_sv(&least)), SV_ARG(buf_sv(&most)), n);
}

struct image_policy *image_policy_new(const struct val *config, const char *dir, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *own = val_member_sv(config, SV("imagePolicy"));
	struct sv file = val_str(val_member_sv(own, SV("kubeConfigFile")));
	struct image_policy *p = xcalloc(1, sizeof(*p));
	int64_t backoff;

	p->default_allow = val_bool(val_member_sv(own, SV("defaultAllow")));
	if (image_time(own, "retryBackoff", NS_PER_MS, 1, 300 * NS_PER_SEC, 500 * NS_PER_MS, &backoff, err) < 0 ||
	    image_time(own, "allowTTL", NS_PER_SEC, NS_PER_SEC, 1800 * NS_PER_SEC, 300 * NS_PER_SEC, &p->allow_ns,
		       err) < 0 ||
	    image_time(own, "denyTTL", NS_PER_SEC, NS_PER_SEC, 1800 * NS_PER_SEC, 30 * NS_PER_SEC, &p->deny_ns, err) <
		0)
		return image_policy_free(p);
	if (!file.n) {
		err_set(err, ERR_INVALID, "imagePolicy.kubeConfigFile: who is asked is not said");
		return image_policy_free(p);
	}
	p->asker = webhook_asker_new(
	    &(struct webhook_asker_opts){
		.kubeconfig = file.p[0] == '/' ? arena_cstr(&a, file) : arena_printf(&a, "%s/%.*s", dir, SV_ARG(file)),
		.what = "an image policy webhook",
		.answer_max = ANSWER_MAX,
		.known_max = ANSWERS_MAX,
		.question_kept = KEPT_MAX,
		.answer_kept = KEPT_MAX },
	    err);
	return p->asker ? p : image_policy_free(p);
}

struct image_policy *image_policy_free(struct image_policy *p)
{
	if (p)
		webhook_asker_unref(p->asker);
	free(p);
	return NULL;
}

/* --- asking --- */

static void image_add(struct buf *b, const struct val *containers)
{
	VAL_EACH(containers, c) {
		buf_adds(b, b->p[b->n - 1] == '[' ? "{\"image\":" : ",{\"image\":");
		json_encode_str(b, val_get_str(c, F_image));
		buf_addc(b, '}');
	}
}

static struct sv image_question(const struct admission *a)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool ephemeral = a->subresource.n > 0, first = true;

	buf_adds(&b,
		 "{\"kind\":\"ImageReview\",\"apiVersion\":\"imagepolicy.k8s.io/v1alpha1\",\"metadata\":{},\"spec\":{"
		 "\"containers\":[");
	image_add(&b, val_get(a->doc, F_spec, ephemeral ? F_ephemeralContainers : F_containers));
	if (!ephemeral)
		image_add(&b, val_get(a->doc, F_spec, F_initContainers));
	buf_adds(&b, "],\"annotations\":{");
	VAL_EACH_MEMBER(val_get(a->doc, F_metadata, F_annotations), m) {
		if (sv_find_sv(m.key, SV(".image-policy.k8s.io/")) < 0)
			continue;
		buf_adds(&b, first ? "" : ",");
		first = false;
		json_encode_str(&b, m.key);
		buf_addc(&b, ':');
		json_encode_str(&b, val_str(m.value));
	}
	buf_adds(&b, "},\"namespace\":");
	json_encode_str(&b, a->ns);
	buf_adds(&b, "},\"status\":{\"allowed\":false}}");
	return arena_sv(a->q->arena, buf_sv(&b));
}

/* Nobody has said anything of use. */
static int image_unanswered(const struct image_policy *p, const struct admission *a, const struct err *why,
			    struct err *err)
{
	if (!p->default_allow)
		return admission_forbid(a, err, "%s", err_msg(why));
	api_req_annotate(a->q, SV(AUDIT_PREFIX "failed-open"), SV("true"));
	return 0;
}

/* 0: *ret_status; -1: it is no answer. */
static int image_answer(struct arena *a, struct sv body, const struct val **ret_status, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc = webhook_answer_document(a, body, &values, err);

	if (!doc)
		return -1;
	if (!val_is(val_member_sv(doc, SV("kind")), "ImageReview"))
		return err_set(err, ERR_INTERNAL, "the webhook's answer is no ImageReview");
	*ret_status = val_member_sv(doc, SV("status"));
	return 0;
}

static int image_said(const struct admission *a, const struct val *status, struct err *err)
{
	struct sv why = sv_sub(val_str(val_member_sv(status, SV("reason"))), 0, REASON_MAX);
	size_t n = 0;

	VAL_EACH_MEMBER(val_member_sv(status, SV("auditAnnotations")), m)
		if (n++ < AUDIT_MAX && val_type(m.value) == VAL_STR)
			api_req_annotate(a->q, arena_svf(a->q->arena, AUDIT_PREFIX "%.*s", SV_ARG(m.key)),
					 val_str(m.value));
	if (val_bool(val_member_sv(status, SV("allowed"))))
		return 0;
	if (why.n)
		return admission_forbid(a, err, "image policy webhook backend denied one or more images: %.*s",
					SV_ARG(why));
	return admission_forbid(a, err, "one or more images rejected by webhook backend");
}

static int image_validate(const struct admission *a, struct err *err)
{
	struct image_policy *p = a->q->server->admission->image_policy;
	_cleanup_(err_release) struct err why = ERR_INIT;
	const struct val *status;
	struct webhook_asked *k = NULL;
	struct sv question, body;
	void *result;

	if (!p || a->res != RES(core_pods) || !a->doc || (a->op != ADMIT_CREATE && a->op != ADMIT_UPDATE) ||
	    (a->subresource.n && !sv_is(a->subresource, "ephemeralcontainers")))
		return 0;
	question = image_question(a);
	if (req_result(a->q, &result) && result) {
		k = result;
		if (webhook_asked_answer(k, &body, &why) < 0)
			return image_unanswered(p, a, &why, err);
	} else if (!webhook_ask_known(p->asker, a->q, question, &body)) {
		(void)webhook_ask_send(p->asker, a->q, question, ASK_NS, true);
		return REQ_LATER;
	}
	if (image_answer(a->q->arena, body, &status, &why) < 0)
		return image_unanswered(p, a, &why, err);
	if (k)
		webhook_ask_remember(k, val_bool(val_member_sv(status, SV("allowed"))) ? p->allow_ns : p->deny_ns);
	return image_said(a, status, err);
}

const struct admission_plugin admission_image_policy = { .name = "ImagePolicyWebhook",
							 .validate = image_validate,
							 .slow = true };
