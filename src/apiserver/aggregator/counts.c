/* Metrics: which remote APIServices are not available, and how often they turned that. */
#include "apiserver/aggregator/aggregator-internal.h"

const char *const agg_reasons[AGG_REASONS] = { "ServiceNotFound",  "ServicePortError",	   "EndpointsNotFound",
					       "MissingEndpoints", "FailedDiscoveryCheck", "BuiltIn" };

void aggregator_metrics(struct apiserver *s, struct buf *b)
{
	struct aggregator *g = s->aggregator;

	if (!atomic_load(&g->n_remote))
		return;
	pthread_mutex_lock(&g->lock);
	buf_adds(b, "# HELP aggregator_unavailable_apiservice APIServices that are not available, by name.\n"
		    "# TYPE aggregator_unavailable_apiservice gauge\n");
	for (size_t i = 0; i < g->list.n; i++)
		buf_printf(b, "aggregator_unavailable_apiservice{name=\"%s\"} %d\n", g->list.p[i]->name,
			   !g->list.p[i]->available);
	buf_adds(b, "# HELP aggregator_unavailable_apiservice_total How often APIServices turned unavailable, by name "
		    "and reason.\n# TYPE aggregator_unavailable_apiservice_total counter\n");
	for (size_t i = 0; i < g->list.n; i++)
		for (size_t k = 0; k < AGG_REASONS; k++)
			if (g->list.p[i]->unavailable[k])
				buf_printf(b,
					   "aggregator_unavailable_apiservice_total{name=\"%s\",reason=\"%s\"} %" PRIu64
					   "\n",
					   g->list.p[i]->name, agg_reasons[k], g->list.p[i]->unavailable[k]);
	pthread_mutex_unlock(&g->lock);
}
