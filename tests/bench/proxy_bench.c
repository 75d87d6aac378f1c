/* How long one more Service takes among many: from its frontends to rules in the kernel. In a network namespace
 * of its own; needs root.
 *
 *	proxy_bench [services [endpoints of each]]
 */
#include "proxy/proxy.h"

#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static struct proxy_backend *backend;
static struct change_tracker *tracker;

/* Makes service i have n endpoints (0: removes it) and returns the milliseconds that took. */
static double set_service(unsigned i, unsigned n)
{
	_cleanup_(changes_release) struct changes c = { 0 };
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_free_ char *key = xasprintf("bench/s%u", i);
	struct endpoint *eps = xcalloc(n + 1, sizeof(*eps));
	struct frontend f = { .key = { .addr = ip_v4(0x0a600001 + i), .port = 80, .proto = IPPROTO_TCP },
			      .cluster_ip = true,
			      .masq = MASQ_OUTSIDE,
			      .outer = { eps, n } };
	struct service_update u = { sv_from(key), &f, n > 0 };
	double began = now_ms();

	for (unsigned k = 0; k < n; k++)
		eps[k] = (struct endpoint){ .addr = ip_v4(0x0a2a0002 + (i * n + k) % 60000), .port = 8080 };
	change_update(tracker, &u, 1, NULL, &c);
	if (backend->apply(backend, buf_sv(&c.commands), &err) < 0) {
		(void)fprintf(stderr, "%s\n", err_msg(&err));
		exit(1);
	}
	free(eps);
	return now_ms() - began;
}

int main(int argc, char **argv)
{
	unsigned services = argc > 1 ? (unsigned)atoi(argv[1]) : 10000, eps = argc > 2 ? (unsigned)atoi(argv[2]) : 2;
	struct render_cfg cfg = { .table = "bench",
				  .cluster = { .net = { { ip_v4(0x0a2a0000), 112 } }, .has = { true, false } } };
	_cleanup_(err_release) struct err err = ERR_INIT;
	double add = 0, grow = 0, del = 0, began;
	enum { ROUNDS = 50 };

	if (unshare(CLONE_NEWNET) < 0 || !(backend = proxy_backend_nft_new("bench", NULL, &err))) {
		(void)fprintf(stderr, "cannot run here: %s\n", err_msg(&err));
		return 77;
	}
	tracker = change_tracker_new(&cfg);
	began = now_ms();
	for (unsigned i = 0; i < services; i++)
		(void)set_service(i, eps);
	printf("%u services one by one   %8.0f ms\n", services, now_ms() - began);
	for (unsigned i = 0; i < ROUNDS; i++) {
		add += set_service(services + i, eps);
		grow += set_service(services + i, eps + 1);
		del += set_service(services + i, 0);
	}
	printf("one more                 %8.2f ms\n", add / ROUNDS);
	printf("one more endpoint        %8.2f ms\n", grow / ROUNDS);
	printf("one less                 %8.2f ms\n", del / ROUNDS);
	change_tracker_free(tracker);
	backend->free(backend);
	return 0;
}
