/* A connection a call: they are few, and whoever listened there the last time may be another one now. */
#include "kubelet/csi/csi-internal.h"
#include "kubelet/volume_metrics.h"
#include "net/grpc.h"

const struct retry_policy csi_retry = { .first_ns = NS_PER_SEC / 2, .max_ns = 122 * NS_PER_SEC };

static int csi_ask_grpc(struct arena *a, const char *socket, const char *method, struct sv request, int64_t timeout_ns,
			int stop_fd, struct sv *ret, struct err *err)
{
	_cleanup_free_ char *target = xasprintf("unix:%s", socket);
	struct grpc_channel *ch = grpc_channel_new(target);
	int rc;

	grpc_channel_outside(ch, GRPC_ANSWER_MAX, false);
	grpc_channel_say_codes(ch);
	rc = grpc_call_until(ch, a, method, request, timeout_ns, stop_fd, ret, err);
	grpc_channel_free(ch);
	return rc;
}

int csi_call(struct csi *c, struct arena *a, const char *driver, const char *socket, const char *method,
	     struct buf *request, int64_t timeout_ns, struct sv *ret, struct err *err)
{
	int64_t began = env_mono_ns(c->o.env);
	struct err why = ERR_INIT;
	struct sv answer;
	int rc = c->o.ask
		     ? c->o.ask(c->o.ask_ctx, a, socket, method, buf_sv(request), timeout_ns, c->stop_fd, &answer, &why)
		     : csi_ask_grpc(a, socket, method, buf_sv(request), timeout_ns, c->stop_fd, &answer, &why);

	buf_release(request);
	if (driver)
		volume_csi_call_counted(c->o.counted, driver, method, rc < 0 ? &why : NULL,
					env_mono_ns(c->o.env) - began);
	if (rc < 0)
		return err_move(err, &why);
	if (ret)
		*ret = answer;
	return 0;
}
