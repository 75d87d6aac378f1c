/* /metrics/slis: what checks of health said, for who measures how well the server serves. */
#include "apiserver/metrics.h"
#include "base/metric_page.h"

void health_counted(struct apiserver *s, const char *check, const char *page, bool ok)
{
	const struct sv values[] = { sv_from(check), sv_from(page) };
	const struct sv counted[] = { sv_from(check), ok ? SV("success") : SV("error"), sv_from(page) };

	metric_gauge(s->slis, API_METRIC(HEALTH), values, ok);
	metric_add(s->slis, API_METRIC(HEALTH_TOTAL), counted, 1);
}

void slis_serve(struct api_req *q)
{
	struct buf b = BUF_INIT;
	size_t n, off;

	metric_set_write(q->server->slis, &b);
	metric_page_finish(&b, q->server->o.metric_rules, &n, &off);
	metrics_answer(q, &b);
}
