/* What a run writes to the deployment itself: its conditions and its status. */
#include "controllers/deployment-internal.h"
#include "controllers/status.h"

bool deployment_condition(struct drun *r, struct val *status, const char *type, const char *value, const char *reason,
			  struct sv message)
{
	return condition_set(r->a, status,
			     &(struct condition){ .type = type,
						  .status = value,
						  .reason = reason,
						  .message = message,
						  .also_time = F_lastUpdateTime,
						  .keep_message = true },
			     env_now_ns(r->c->ctx->env));
}

bool deployment_progressing(struct drun *r, struct val *status, const char *value, const char *reason,
			    struct sv message)
{
	return deployment_condition(r, status, "Progressing", value, reason, message);
}

int deployment_write_status(struct drun *r, struct err *err)
{
	struct obj *after;

	if (client_update_status(r->c->ctx->client, RES(apps_deployments), r->doc, &after, err) < 0)
		return -1;
	r->d = obj_link(r->a, after);
	r->doc = obj_edit(r->a, after);
	return 0;
}
