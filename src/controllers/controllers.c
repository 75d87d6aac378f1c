/* Lifecycle: one informer factory for all, so that ten controllers on pods cost one watch, and a
 * recorder per controller. Stopping goes the other way round: first no handler runs any more,
 * then each controller waits for its runs, then the informers they read go. */
#include "controllers/ctrl_metrics.h"
#include "controllers/controllers-internal.h"

#include "base/vec.h"

#include <stdlib.h>

const struct controller_ops *const controller_table[] = {
	&attach_detach_controller,
	&bootstrap_signer_controller,
	&cluster_dns_controller,
	&clusterrole_aggregation_controller,
	&cronjob_controller,
	&csr_approving_controller,
	&csr_cleaner_controller,
	&csr_signing_controller,
	&daemonset_controller,
	&deployment_controller,
	&disruption_controller,
	&hpa_controller,
	&endpoints_controller,
	&endpointslice_controller,
	&endpointslice_mirroring_controller,
	&ephemeral_volumes_controller,
	&gateway_controller,
	&gc_controller,
	&ingress_controller,
	&job_controller,
	&legacy_token_cleaner_controller,
	&namespace_controller,
	&node_ipam_controller,
	&node_lifecycle_controller,
	&node_role_controller,
	&node_ttl_controller,
	&pod_certificates_controller,
	&podgc_controller,
	&policy_status_controller,
	&pv_binder_controller,
	&pv_protection_controller,
	&pvc_protection_controller,
	&replicaset_controller,
	&replicationcontroller_controller,
	&resourcequota_controller,
	&root_ca_controller,
	&service_cidrs_controller,
	&service_lb_controller,
	&serviceaccount_controller,
	&snapshot_controller,
	&statefulset_controller,
	&storage_migration_controller,
	&taint_eviction_controller,
	&token_cleaner_controller,
	&token_secrets_controller,
	&trust_bundle_controller,
	&ttl_after_finished_controller,
	&vac_protection_controller,
	&volume_expand_controller,
	NULL,
};

struct running {
	const struct controller_ops *ops;
	void *controller;
	struct controller_ctx ctx;
	struct client *own; /* NULL: that of all */
};

struct controllers {
	struct controllers_opts opts;
	struct informer_factory *informers;
	VEC(struct running *) running;
	struct metric_set *counted;
};

static bool disabled(const struct controllers_opts *o, const char *name)
{
	for (const char *const *d = o->disable; d && *d; d++)
		if (strcmp(*d, name) == 0)
			return true;
	return false;
}

/* The first word that names it counts; without any, whether all are meant. */
static bool among(const char *const *which, const char *name)
{
	bool all = !which || !*which;

	for (; which && *which; which++) {
		if (strcmp(*which, name) == 0)
			return true;
		if (**which == '-' && strcmp(*which + 1, name) == 0)
			return false;
		all |= strcmp(*which, "*") == 0;
	}
	return all;
}

int controllers_check(const char *const *which, struct err *err)
{
	for (; which && *which; which++) {
		const char *name = *which + (**which == '-');
		bool known = strcmp(*which, "*") == 0;

		for (const struct controller_ops *const *t = controller_table; *t; t++)
			known |= strcmp((*t)->name, name) == 0;
		if (!known)
			return err_set(err, ERR_INVALID, "\"%s\" is not in the list of known controllers", name);
	}
	return 0;
}

struct controllers *controllers_new(const struct controllers_opts *o)
{
	struct controllers *c = xcalloc(1, sizeof(*c));

	c->opts = *o;
	c->informers = informer_factory_new(o->client);
	c->counted = metric_set_new(ctrl_families, _CM_MAX);
	for (const struct controller_ops *const *t = controller_table; *t; t++) {
		struct running *r;

		if (disabled(o, (*t)->name) || !among(o->which, (*t)->name))
			continue;
		r = xcalloc(1, sizeof(*r));
		r->ops = *t;
		if (o->client_as && r->ops->account)
			r->own = o->client_as(o->client_ctx, r->ops->account);
		r->ctx = (struct controller_ctx){
			.env = o->env,
			.client = r->own ? r->own : o->client,
			.informers = c->informers,
			.recorder = recorder_new(r->own ? r->own : o->client, (*t)->name, ""),
			.counted = c->counted,
			.opts = &c->opts,
		};
		r->controller = r->ops->start(&r->ctx);
		metric_gauge(c->counted, CTRL_METRIC(RUNNING),
			     (const struct sv[]){ SV("kube-controller-manager"), sv_from((*t)->name) }, 1);
		vec_push(&c->running, r);
	}
	informer_factory_start(c->informers);
	return c;
}

void controllers_metrics(struct controllers *c, struct buf *b)
{
	metric_set_write(c->counted, b);
}

bool controllers_synced(struct controllers *c)
{
	return informer_factory_synced(c->informers);
}

struct controllers *controllers_free(struct controllers *c)
{
	if (!c)
		return NULL;
	/* Whoever follows the kinds asks for no informers after this. */
	api_current_change(c->opts.kinds);
	informer_factory_stop(c->informers);
	api_current_done(c->opts.kinds);
	for (size_t i = c->running.n; i-- > 0;) {
		struct running *r = c->running.p[i];

		r->ops->stop(r->controller);
		recorder_free(r->ctx.recorder);
		if (r->own)
			client_free(r->own);
		free(r);
	}
	vec_release(&c->running);
	informer_factory_free(c->informers);
	metric_set_free(c->counted);
	free(c);
	return NULL;
}
