/* The pages of what is used. A rate needs two readings: who asks first waits half a second for it. */
#include "codec/json.h"
#include "kubelet/probes.h"
#include "kubelet/server.h"
#include "kubelet/usage/summary.h"
#include "kubelet/usage/usage_pages.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

static void summary_answer(struct http_req *r, struct kubelet *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool only = http_query_flag(r, "only_cpu_and_memory");
	struct usage_node n;

	usage_take(k, &a, !only, &n);
	json_encode(&b, usage_summary(k, &a, &n, only));
	server_answer(r, 200, "application/json", buf_sv(&b));
}

static void summary_page(struct http_req *r, struct kubelet *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct usage_node n;

	if (usage_has_rates(k)) {
		summary_answer(r, k);
		return;
	}
	usage_take(k, &a, false, &n);
	server_task_later(r, k, RATES_STEP_NS + NS_PER_MS, summary_answer);
}

static void usage_metrics(struct http_req *r, struct kubelet *k, bool files,
			  void (*write)(struct buf *b, const struct usage_node *n))
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct usage_node n;

	usage_take(k, &a, files, &n);
	write(&b, &n);
	server_answer(r, 200, METRICS_TYPE, buf_sv(&b));
}

static void resource_page(struct http_req *r, struct kubelet *k)
{
	usage_metrics(r, k, false, usage_resource_page);
}

static void cadvisor_page(struct http_req *r, struct kubelet *k)
{
	usage_metrics(r, k, true, usage_cadvisor_page);
}

static void probed_page(struct http_req *r, struct kubelet *k)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	probes_page(k, &b);
	server_answer(r, 200, METRICS_TYPE, buf_sv(&b));
}

bool server_usage(struct http_req *r, struct kserver *s, struct sv dir, struct sv page)
{
	static const struct {
		const char *dir, *page;
		void (*fn)(struct http_req *r, struct kubelet *k);
	} pages[] = {
		{ "stats", "summary", summary_page },
		{ "metrics", "resource", resource_page },
		{ "metrics", "cadvisor", cadvisor_page },
		{ "metrics", "probes", probed_page },
	};

	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (sv_is(dir, pages[i].dir) && sv_is(page, pages[i].page)) {
			server_task(r, s, NULL, pages[i].fn);
			return true;
		}
	return false;
}
