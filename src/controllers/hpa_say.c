/* What an autoscaler says: its events and conditions. */
#include "controllers/hpa-internal.h"
#include "controllers/status.h"

void hpa_event(struct hrun *r, const char *type, const char *reason, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	recorder_event_v(r->c->ctx->recorder, RES(autoscaling_horizontalpodautoscalers), obj_root(r->hpa), type, reason,
			 fmt, ap);
	va_end(ap);
}

void hpa_condition(struct hrun *r, const char *type, const char *status, const char *reason, struct sv message)
{
	condition_set(r->a, r->st,
		      &(struct condition){ .type = type, .status = status, .reason = reason, .message = message },
		      env_now_ns(r->c->ctx->env));
}
