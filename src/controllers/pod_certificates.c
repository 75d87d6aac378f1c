/* podcertificaterequestcleaner: requests for certificates of pods go a quarter of an hour after they were made,
 * whatever became of them. A kubelet makes one when it needs a certificate and has long read the answer then. */
#include "base/timefmt.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"

#include <stdlib.h>

#define REQUEST_LIFE_NS (15 * 60 * NS_PER_SEC)

struct pod_certificates {
	struct controller_ctx *ctx;
	struct informer *requests;
	struct workq *q;
};

static int pod_certificates_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct pod_certificates *c = ctx;
	struct sv rest = key, ns = SV("");
	_cleanup_obj_ struct obj *o = NULL;
	struct client_delete_opts opts = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t made, now = env_now_ns(c->ctx->env);

	(void)sv_split(&rest, '/', &ns);
	o = informer_lookup(c->requests, ns, rest);
	if (!o || obj_deleting(o) || !time_parse(val_str(obj_get(o, F_metadata, F_creationTimestamp)), &made))
		return 0;
	if (now < made + REQUEST_LIFE_NS) {
		ret->after_ns = made + REQUEST_LIFE_NS - now;
		return 0;
	}
	opts.precondition_uid = obj_uid(o);
	if (client_delete(c->ctx->client, RES(certificates_podcertificaterequests), ns, rest, &opts, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND && why.reason != ERR_CONFLICT)
		return err_move(err, &why);
	return 0;
}

static void pod_certificates_added(struct obj *o, void *ctx)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	workq_add(((struct pod_certificates *)ctx)->q, obj_path(&b, obj_ns(o), obj_name(o)));
}

static bool pod_certificates_ready(void *ctx)
{
	return informer_synced(((struct pod_certificates *)ctx)->requests);
}

static void *pod_certificates_start(struct controller_ctx *ctx)
{
	struct pod_certificates *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->requests = informer_get(ctx->informers, RES(certificates_podcertificaterequests), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "podcertificaterequestcleaner",
							 .workers = 1,
							 .reconcile = pod_certificates_reconcile,
							 .ctx = c,
							 .ready = pod_certificates_ready });
	informer_add_handler(c->requests, &(struct informer_handler){ .add = pod_certificates_added }, c);
	return c;
}

static void pod_certificates_stop(void *controller)
{
	struct pod_certificates *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops pod_certificates_controller = { "podcertificaterequest-cleaner-controller",
							    "podcertificaterequestcleaner", pod_certificates_start,
							    pod_certificates_stop };
