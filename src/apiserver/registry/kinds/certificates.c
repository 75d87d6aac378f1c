/* CertificateSigningRequests: who asks is written down by the server; what is asked for never changes; approval and
 * certificate each have an endpoint of their own. */
#include "apiserver/registry/kinds/kinds.h"
#include "base/strmap.h"
#include "base/timefmt.h"

static void csr_create(struct api_req *q, struct val *doc)
{
	static const enum sym about[] = { F_username, F_uid, F_groups, F_extra };
	struct val *spec = val_ensure_map(q->arena, doc, F_spec);

	for (size_t i = 0; i < ARRAY_LEN(about); i++)
		val_del(spec, about[i]);
	user_describe(q->arena, spec, &q->user);
}

/* The i-th condition of type; NULL: there are not so many. */
static const struct val *certificates_condition(const struct val *doc, const char *type, size_t i)
{
	VAL_EACH(val_get(doc, F_status, F_conditions), c)
		if (val_is(val_member(c, F_type), type) && i-- == 0)
			return c;
	return NULL;
}

/* What was decided is not changed by a signer. Where some are more or fewer, validation says so. */
static void csr_keep_decision(struct arena *a, const struct val *old, struct val *doc, const char *type)
{
	struct val *list = val_get_mut(doc, F_status, F_conditions);
	size_t n = 0, seen = 0;

	while (certificates_condition(old, type, n))
		n++;
	if (n == 0 || certificates_condition(doc, type, n) || !certificates_condition(doc, type, n - 1))
		return;
	for (size_t i = 0; i < val_len(list); i++)
		if (val_is(val_member(val_at(list, i), F_type), type))
			*val_at_mut(list, i) = *val_clone_nodes(a, certificates_condition(old, type, seen++));
}

/* When a condition got the status that it has; now, unless the stored one has it already. */
static struct sv csr_since(const struct strmap *was, const struct val *condition, struct sv now)
{
	const struct val *c = strmap_get(was, val_get_str(condition, F_type));
	struct sv since = val_get_str(c, F_lastTransitionTime);

	return since.n && val_equal(val_member(c, F_status), val_member(condition, F_status)) ? since : now;
}

static void csr_set_times(struct api_req *q, const struct val *old, struct val *doc)
{
	_cleanup_(strmap_release) struct strmap was = STRMAP_INIT;
	struct val *list = val_get_mut(doc, F_status, F_conditions);
	char text[TIME_TEXT_MAX];
	struct sv now = time_format(env_now_ns(q->server->env), false, text);

	VAL_EACH(val_get(old, F_status, F_conditions), c)
		strmap_set(&was, val_get_str(c, F_type), (void *)c);
	for (size_t i = 0; i < val_len(list); i++) {
		struct val *c = val_at_mut(list, i);

		if (!val_get_str(c, F_lastUpdateTime).n)
			val_set_str(q->arena, c, F_lastUpdateTime, now);
		if (!val_get_str(c, F_lastTransitionTime).n)
			val_set_str(q->arena, c, F_lastTransitionTime, csr_since(&was, c, now));
	}
}

static void csr_update(struct api_req *q, const struct val *old, struct val *doc)
{
	if (!q->subresource.n)
		return;
	if (sv_is(q->subresource, "status")) {
		csr_keep_decision(q->arena, old, doc, "Approved");
		csr_keep_decision(q->arena, old, doc, "Denied");
	}
	csr_set_times(q, old, doc);
}

static const struct kept_on csr_kept[] = {
	{ "", (const char *const[]){ "spec", "status", NULL } },
	{ "approval", (const char *const[]){ "spec", "status.certificate", NULL } },
	{ "status", (const char *const[]){ "spec", NULL } },
	{ NULL, NULL },
};

const struct strategy csr_strategy = {
	.res = RES(certificates_certificatesigningrequests),
	.name_check = fmt_path_segment, /* upstream asks for no more */
	.unconditional_update = true,
	.no_generation = true,
	.kept = csr_kept,
	.prepare_create = csr_create,
	.prepare_update = csr_update,
};
