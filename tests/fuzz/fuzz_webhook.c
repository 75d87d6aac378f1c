/* What webhooks answer: any bytes are read as an AdmissionReview or a ConversionReview, or refused with a reason; what
 * is believed of them is what was asked for. And the users of a kubeconfig: no header gets a line break from them. */
#include "apiserver/admission/webhooks.h"
#include "apiserver/webhook/conversion.h"
#include "apiserver/webhook/credentials.h"
#include "codec/json.h"
#include "codec/yaml.h"
#include "object/patch.h"

#define UID "9a3a8b1e-0000-4000-8000-000000000001"

static const struct resource *webhook_pods;

static void webhook_admission(struct sv text, const char *review, bool mutating)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT, no = ERR_INIT;
	struct hook h = { .name = SV("hook.example.com") };
	struct hook_verdict v;

	if (hook_review_read(&a, text, review, UID, mutating, &v, &err) < 0) {
		BUG_ON(!*err_msg(&err) || err.reason == ERR_NONE);
		return;
	}
	BUG_ON(!mutating && v.patch);
	if (v.patch) {
		struct val *doc =
		    json_decode(&a, SV("{\"kind\":\"Pod\",\"metadata\":{\"labels\":{\"a\":\"b\"}}}"), NULL, NULL);
		struct sv why = SV_NULL;

		(void)patch_json_why(&a, doc, v.patch, &why, &err);
	}
	if (!v.allowed) {
		(void)hook_refusal(&h, v.status, &no);
		BUG_ON(err_code(&no) < 400 || err_code(&no) > 599);
	}
}

static void webhook_conversions(struct sv text)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *doc =
	    json_decode(&a, SV("{\"metadata\":{\"name\":\"x\",\"namespace\":\"n\",\"uid\":\"u\"}}"), NULL, NULL);
	const struct val *docs[2] = { doc, doc }, *out[2] = { NULL, NULL };
	struct version_leg leg = {
		.a = &a, .from = webhook_pods, .to = webhook_pods, .docs = docs, .n = 2, .out = out
	};

	if (webhook_conversion_read(&leg, text, "apiextensions.k8s.io/v1", UID, &err) < 0) {
		BUG_ON(!*err_msg(&err));
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(out); i++)
		BUG_ON(!val_is(val_get(out[i], F_metadata, F_name), "x") || !val_is(val_get(out[i], F_kind), "Pod"));
}

static void webhook_users(struct sv text)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct webhook_credentials *c = webhook_credentials_new();
	const struct val *doc = yaml_decode(&a, text, NULL);
	const struct webhook_credential *w;

	if (webhook_credentials_add(c, doc, NULL, &err) < 0)
		BUG_ON(!*err_msg(&err));
	w = webhook_credentials_for(c, SV("a.b.svc"), 443);
	for (size_t i = 0; w && i < w->authorization.n; i++)
		BUG_ON((unsigned char)w->authorization.p[i] < ' ');
	webhook_credentials_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sv text = sv_make((const char *)data, n);

	webhook_pods = RES(core_pods);
	webhook_admission(text, "admission.k8s.io/v1", true);
	webhook_admission(text, "admission.k8s.io/v1", false);
	webhook_admission(text, "admission.k8s.io/v1beta1", true);
	webhook_conversions(text);
	webhook_users(text);
	return 0;
}
