#include "kubelet/usage/usage_pages.h"

#include "base/metric.h"

/* What a sample is of. */
struct at {
	const struct usage_node *n;
	const struct usage_pod *p;	 /* NULL: the machine */
	const struct usage_container *c; /* NULL: all of the pod */
	const struct usage_link *l;
};

/* Of one subject: false when it has no such number. */
typedef bool value_fn(const struct at *at, double *ret);

struct page_row {
	struct metric_family f;
	value_fn *value;
};

static const struct cgroup_usage *use_of(const struct at *at)
{
	return at->c ? &at->c->use : at->p ? &at->p->use : &at->n->use;
}

#define USE(fn, has, expression)                           \
	static bool fn(const struct at *at, double *ret)   \
	{                                                  \
		const struct cgroup_usage *u = use_of(at); \
                                                           \
		*ret = (double)(expression);               \
		return u->has;                             \
	}

USE(cpu_seconds, has_cpu, (double)u->cpu_ns / 1e9)
USE(user_seconds, has_cpu, (double)u->user_ns / 1e9)
USE(system_seconds, has_cpu, (double)u->system_ns / 1e9)
USE(working_set, has_memory, u->working_set_bytes)
USE(memory_usage, has_memory, u->memory_bytes)
USE(memory_rss, has_memory, u->rss_bytes)
USE(memory_cache, has_memory, u->cache_bytes)
USE(memory_mapped, has_memory, u->mapped_bytes)
USE(memory_kernel, has_memory, u->kernel_bytes)
USE(memory_max, has_memory, u->max_bytes)
USE(memory_failcnt, has_memory, u->hits_of_limit)
USE(memory_limit, has_memory, u->limit_bytes)
USE(oom_events, has_memory, u->oom_kills)
USE(swap_bytes, has_swap, u->swap_bytes)
USE(processes, has_pids, u->pids)

static bool throttle_periods(const struct at *at, double *ret)
{
	*ret = (double)use_of(at)->periods;
	return use_of(at)->periods > 0;
}

static bool throttled_periods(const struct at *at, double *ret)
{
	*ret = (double)use_of(at)->throttled_periods;
	return use_of(at)->periods > 0;
}

static bool throttled_seconds(const struct at *at, double *ret)
{
	*ret = (double)use_of(at)->throttled_ns / 1e9;
	return use_of(at)->periods > 0;
}

static bool usage_started(const struct at *at, double *ret)
{
	*ret = (double)(at->c ? at->c->started_s : at->p ? at->p->started_s : at->n->machine.started_s);
	return *ret > 0;
}

static bool usage_last_seen(const struct at *at, double *ret)
{
	*ret = (double)(at->n->now_ns / NS_PER_SEC);
	return true;
}

static bool rootfs_usage(const struct at *at, double *ret)
{
	*ret = at->c ? (double)at->c->rootfs_bytes : 0;
	return at->c && at->c->has_files;
}

#define LINK(fn, member)                                 \
	static bool fn(const struct at *at, double *ret) \
	{                                                \
		*ret = (double)at->l->member;            \
		return true;                             \
	}

LINK(rx_bytes, rx_bytes)
LINK(rx_packets, rx_packets)
LINK(rx_errors, rx_errors)
LINK(rx_dropped, rx_dropped)
LINK(tx_bytes, tx_bytes)
LINK(tx_packets, tx_packets)
LINK(tx_errors, tx_errors)
LINK(tx_dropped, tx_dropped)

static void sample(struct buf *b, const struct page_row *row, const struct at *at, const char *labels)
{
	double v;

	if (!row->value(at, &v))
		return;
	buf_printf(b, "%s%s%s%s %.17g %" PRId64 "\n", row->f.name, *labels ? "{" : "", labels, *labels ? "}" : "", v,
		   at->n->now_ns / NS_PER_MS);
}

/* --- /metrics/resource --- */

#define ROW(name_, type_, stability_, help_, value_)                                                                   \
	{                                                                                                              \
		{ .name = (name_), .help = (help_), .type = METRIC_##type_, .stability = METRIC_##stability_ }, value_ \
	}

static const struct page_row resource_containers[] = {
	ROW("container_cpu_usage_seconds_total", COUNTER, STABLE,
	    "Cumulative cpu time consumed by the container in core-seconds", cpu_seconds),
	ROW("container_memory_working_set_bytes", GAUGE, STABLE, "Current working set of the container in bytes",
	    working_set),
	ROW("container_start_time_seconds", GAUGE, STABLE, "Start time of the container since unix epoch in seconds",
	    usage_started),
	ROW("container_swap_usage_bytes", GAUGE, ALPHA, "Current amount of the container swap usage in bytes",
	    swap_bytes),
};

static const struct page_row resource_node[] = {
	ROW("node_cpu_usage_seconds_total", COUNTER, STABLE, "Cumulative cpu time consumed by the node in core-seconds",
	    cpu_seconds),
	ROW("node_memory_working_set_bytes", GAUGE, STABLE, "Current working set of the node in bytes", working_set),
	ROW("node_swap_usage_bytes", GAUGE, ALPHA, "Current swap usage of the node in bytes", swap_bytes),
};

static const struct page_row resource_pods[] = {
	ROW("pod_cpu_usage_seconds_total", COUNTER, STABLE, "Cumulative cpu time consumed by the pod in core-seconds",
	    cpu_seconds),
	ROW("pod_memory_working_set_bytes", GAUGE, STABLE, "Current working set of the pod in bytes", working_set),
	ROW("pod_swap_usage_bytes", GAUGE, ALPHA, "Current amount of the pod swap usage in bytes", swap_bytes),
};

static bool no_error(const struct at *at, double *ret)
{
	*ret = 0;
	return at->n != NULL;
}

static const struct page_row resource_end[] = {
	ROW("resource_scrape_error", GAUGE, STABLE,
	    "1 if there was an error while getting container metrics, 0 otherwise", no_error),
};

static void labels_of(struct buf *l, const struct at *at)
{
	buf_clear(l);
	if (at->c)
		metric_label(l, "container", at->c->name);
	if (at->p) {
		metric_label(l, "namespace", at->p->ns);
		metric_label(l, "pod", at->p->name);
	}
}

static void resource_row(struct buf *b, struct buf *l, const struct page_row *row, const struct usage_node *n,
			 bool pods, bool containers)
{
	metric_head(b, &row->f);
	if (!pods)
		sample(b, row, &(struct at){ .n = n }, "");
	for (size_t i = 0; pods && i < n->n; i++) {
		const struct usage_pod *p = &n->pods[i];
		struct at at = { .n = n, .p = p };

		for (size_t j = 0; j < (containers ? p->n : 1); j++) {
			at.c = containers ? &p->containers[j] : NULL;
			labels_of(l, &at);
			sample(b, row, &at, buf_cstr(l));
		}
	}
}

void usage_resource_page(struct buf *b, const struct usage_node *n)
{
	_cleanup_(buf_release) struct buf l = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(resource_containers); i++)
		resource_row(b, &l, &resource_containers[i], n, true, true);
	for (size_t i = 0; i < ARRAY_LEN(resource_node); i++)
		resource_row(b, &l, &resource_node[i], n, false, false);
	for (size_t i = 0; i < ARRAY_LEN(resource_pods); i++)
		resource_row(b, &l, &resource_pods[i], n, true, false);
	resource_row(b, &l, &resource_end[0], n, false, false);
}

/* --- /metrics/cadvisor --- */

/* cAdvisor's families have no stability. */
static void cadvisor_head(struct buf *b, const struct metric_family *f)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name, metric_type_name(f->type));
}

#define CROW(name_, type_, help_, value_)                                            \
	{                                                                            \
		{ .name = (name_), .help = (help_), .type = METRIC_##type_ }, value_ \
	}

static const struct page_row cadvisor_rows[] = {
	CROW("container_cpu_cfs_periods_total", COUNTER, "Number of elapsed enforcement period intervals.",
	     throttle_periods),
	CROW("container_cpu_cfs_throttled_periods_total", COUNTER, "Number of throttled period intervals.",
	     throttled_periods),
	CROW("container_cpu_cfs_throttled_seconds_total", COUNTER,
	     "Total time duration the container has been throttled.", throttled_seconds),
	CROW("container_cpu_system_seconds_total", COUNTER, "Cumulative system cpu time consumed in seconds.",
	     system_seconds),
	CROW("container_cpu_usage_seconds_total", COUNTER, "Cumulative cpu time consumed in seconds.", cpu_seconds),
	CROW("container_cpu_user_seconds_total", COUNTER, "Cumulative user cpu time consumed in seconds.",
	     user_seconds),
	CROW("container_fs_usage_bytes", GAUGE,
	     "Number of bytes that are consumed by the container on this filesystem.", rootfs_usage),
	CROW("container_last_seen", GAUGE, "Last time a container was seen by the exporter", usage_last_seen),
	CROW("container_memory_cache", GAUGE, "Number of bytes of page cache memory.", memory_cache),
	CROW("container_memory_failcnt", COUNTER, "Number of memory usage hits limits", memory_failcnt),
	CROW("container_memory_kernel_usage", GAUGE, "Size of kernel memory allocated in bytes.", memory_kernel),
	CROW("container_memory_mapped_file", GAUGE, "Size of memory mapped files in bytes.", memory_mapped),
	CROW("container_memory_max_usage_bytes", GAUGE, "Maximum memory usage recorded in bytes", memory_max),
	CROW("container_memory_rss", GAUGE, "Size of RSS in bytes.", memory_rss),
	CROW("container_memory_swap", GAUGE, "Container swap usage in bytes.", swap_bytes),
	CROW("container_memory_usage_bytes", GAUGE,
	     "Current memory usage in bytes, including all memory regardless of when it was accessed", memory_usage),
	CROW("container_memory_working_set_bytes", GAUGE, "Current working set in bytes.", working_set),
	CROW("container_oom_events_total", COUNTER, "Count of out of memory events observed for the container",
	     oom_events),
	CROW("container_processes", GAUGE, "Number of processes running inside the container.", processes),
	CROW("container_spec_memory_limit_bytes", GAUGE, "Memory limit for the container.", memory_limit),
	CROW("container_start_time_seconds", GAUGE, "Start time of the container since unix epoch in seconds.",
	     usage_started),
};

static const struct page_row cadvisor_links[] = {
	CROW("container_network_receive_bytes_total", COUNTER, "Cumulative count of bytes received", rx_bytes),
	CROW("container_network_receive_errors_total", COUNTER,
	     "Cumulative count of errors encountered while receiving", rx_errors),
	CROW("container_network_receive_packets_dropped_total", COUNTER,
	     "Cumulative count of packets dropped while receiving", rx_dropped),
	CROW("container_network_receive_packets_total", COUNTER, "Cumulative count of packets received", rx_packets),
	CROW("container_network_transmit_bytes_total", COUNTER, "Cumulative count of bytes transmitted", tx_bytes),
	CROW("container_network_transmit_errors_total", COUNTER,
	     "Cumulative count of errors encountered while transmitting", tx_errors),
	CROW("container_network_transmit_packets_dropped_total", COUNTER,
	     "Cumulative count of packets dropped while transmitting", tx_dropped),
	CROW("container_network_transmit_packets_total", COUNTER, "Cumulative count of packets transmitted",
	     tx_packets),
};

/* All of cAdvisor's labels, empty ones too, as its own page has them. more: one with a constant value. */
static void cadvisor_labels(struct buf *l, const struct at *at, const char *more, struct sv value)
{
	buf_clear(l);
	metric_label(l, "container", at->c ? at->c->name : SV(""));
	if (more && *more < 'i')
		metric_label(l, more, value);
	metric_label(l, "id", at->c ? at->c->cgroup : at->p ? at->p->cgroup : SV("/"));
	metric_label(l, "image", at->c ? at->c->image : SV(""));
	if (more && *more >= 'i')
		metric_label(l, more, value);
	metric_label(l, "name", at->c ? at->c->id : SV(""));
	metric_label(l, "namespace", at->p ? at->p->ns : SV(""));
	metric_label(l, "pod", at->p ? at->p->name : SV(""));
}

static void cadvisor_row(struct buf *b, struct buf *l, const struct page_row *row, const struct usage_node *n)
{
	const char *more = row->value == cpu_seconds ? "cpu" : row->value == rootfs_usage ? "device" : NULL;
	struct sv value = row->value == cpu_seconds ? SV("total") : SV("");
	struct at at = { .n = n };

	cadvisor_head(b, &row->f);
	cadvisor_labels(l, &at, more, value);
	sample(b, row, &at, buf_cstr(l));
	for (size_t i = 0; i < n->n; i++) {
		at.p = &n->pods[i];
		for (size_t j = 0; j <= at.p->n; j++) {
			at.c = j ? &at.p->containers[j - 1] : NULL;
			cadvisor_labels(l, &at, more, value);
			sample(b, row, &at, buf_cstr(l));
		}
	}
}

static void link_samples(struct buf *b, struct buf *l, const struct page_row *row, const struct at *of,
			 const struct usage_link *links, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct at at = *of;

		at.l = &links[i];
		cadvisor_labels(l, &at, "interface", links[i].name);
		sample(b, row, &at, buf_cstr(l));
	}
}

static void link_row(struct buf *b, struct buf *l, const struct page_row *row, const struct usage_node *n)
{
	struct at at = { .n = n };

	cadvisor_head(b, &row->f);
	link_samples(b, l, row, &at, n->links, n->n_links);
	for (size_t i = 0; i < n->n; i++) {
		at.p = &n->pods[i];
		link_samples(b, l, row, &at, n->pods[i].links, n->pods[i].n_links);
	}
}

static void machine_rows(struct buf *b, const struct usage_node *n)
{
	static const struct metric_family cores = { .name = "machine_cpu_cores",
						    .help = "Number of logical CPU cores.",
						    .type = METRIC_GAUGE },
					  memory = { .name = "machine_memory_bytes",
						     .help = "Amount of memory installed on the machine.",
						     .type = METRIC_GAUGE },
					  swap = { .name = "machine_swap_bytes",
						   .help = "Amount of swap memory available on the machine.",
						   .type = METRIC_GAUGE };

	cadvisor_head(b, &cores);
	metric_sample(b, &cores, "", n->machine.cores);
	cadvisor_head(b, &memory);
	metric_sample(b, &memory, "", (double)n->machine.memory_bytes);
	cadvisor_head(b, &swap);
	metric_sample(b, &swap, "", (double)n->machine.swap_bytes);
}

void usage_cadvisor_page(struct buf *b, const struct usage_node *n)
{
	_cleanup_(buf_release) struct buf l = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(cadvisor_rows); i++)
		cadvisor_row(b, &l, &cadvisor_rows[i], n);
	for (size_t i = 0; i < ARRAY_LEN(cadvisor_links); i++)
		link_row(b, &l, &cadvisor_links[i], n);
	machine_rows(b, n);
}
