/* csrcleaner: requests go an hour after they were decided (approved, issued or not; denied; failed), pending ones after
 * a day, and issued ones with their certificate. */
#include "controllers/csr.h"

#include "base/b64.h"
#include "base/timefmt.h"

#define DECIDED_NS (3600 * NS_PER_SEC)
#define PENDING_NS (24 * 3600 * NS_PER_SEC)

/* *end becomes time + after when that is earlier. */
static void cleaner_earlier(int64_t *end, const struct val *time, int64_t after_ns)
{
	int64_t t;

	if (time_parse(val_str(time), &t))
		*end = MIN(*end, t + after_ns);
}

static int64_t cleaner_end(const struct obj *o)
{
	static const char *const decided[] = { "Approved", "Denied", "Failed" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t end = INT64_MAX, from, to;
	struct sv pem;

	for (size_t i = 0; i < ARRAY_LEN(decided); i++)
		cleaner_earlier(&end, val_member(csr_condition(o, decided[i]), F_lastUpdateTime), DECIDED_NS);
	if (!val_len(obj_get(o, F_status, F_conditions)))
		cleaner_earlier(&end, obj_get(o, F_metadata, F_creationTimestamp), PENDING_NS);
	if (csr_condition(o, "Approved") && csr_issued(o) &&
	    b64_decode(&a, val_str(obj_get(o, F_status, F_certificate)), &pem) &&
	    cert_validity(pem, &from, &to, NULL) == 0)
		end = MIN(end, to);
	return end;
}

static int cleaner_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct csr_controller *c = ctx;
	_cleanup_obj_ struct obj *o = informer_lookup(c->requests, SV(""), key);
	struct client_delete_opts opts = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t now = env_now_ns(c->ctx->env), end;

	if (!o || obj_deleting(o))
		return 0;
	end = cleaner_end(o);
	if (end == INT64_MAX)
		return 0;
	if (end > now) {
		ret->after_ns = end - now;
		return 0;
	}
	/* Not if it was decided meanwhile. */
	opts.precondition_uid = obj_uid(o);
	opts.precondition_rev = obj_rev(o);
	if (client_delete(c->ctx->client, RES(certificates_certificatesigningrequests), SV(""), key, &opts, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND && why.reason != ERR_CONFLICT)
		return err_move(err, &why);
	return 0;
}

static void *cleaner_start(struct controller_ctx *ctx)
{
	return csr_controller_start(ctx, "csr-cleaner", false, cleaner_reconcile);
}

const struct controller_ops csr_cleaner_controller = { "certificatesigningrequest-cleaner-controller",
						       "certificate-controller", cleaner_start, csr_controller_stop };
