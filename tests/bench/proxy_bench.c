/* What Services cost: from frontends to rules in the kernel, and on the way of packets. In a network namespace of its
 * own; needs root and ip(8).
 *
 *	proxy_bench [services [endpoints of each]]
 *
 * Both families take turns: every other Service is of IPv6. */
#include "packets.h"
#include "proxy/proxy.h"

#include <malloc.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define TABLE "bench"
#define PORT 8080
#define ROUNDS 50
#define PART_ELEMENTS 2048 /* of src/proxy/proxy.c */

static struct proxy_backend *backend;
static struct change_tracker *tracker;

static struct ip_addr bench_addr(bool v6, uint32_t v4_base, uint8_t net, uint32_t n)
{
	struct ip_addr six = { { 0xfd, net } };

	return v6 ? ip_add(six, n + 1) : ip_v4(v4_base + n);
}

/* --- rules --- */

struct bench_service {
	char key[32];
	struct frontend f;
	struct endpoint eps[64];
};

static void make_service(struct bench_service *s, unsigned i, unsigned n)
{
	bool v6 = i % 2;

	*s = (struct bench_service){
		.f = { .key = { .addr = bench_addr(v6, 0x0a600001, 0x43, i), .port = 80, .proto = IPPROTO_TCP },
		       .cluster_ip = true,
		       .masq = MASQ_OUTSIDE }
	};
	(void)snprintf(s->key, sizeof(s->key), "bench/s%u", i);
	for (unsigned k = 0; k < n; k++)
		s->eps[k] =
		    (struct endpoint){ .addr = bench_addr(v6, 0x0a2a0002, 0x42, (i * n + k) % 60000), .port = PORT };
	s->f.outer = (struct endpoints){ s->eps, n };
}

/* Writes these in one transaction; the milliseconds that took. */
static double write_services(struct bench_service *s, size_t n)
{
	_cleanup_(changes_release) struct changes c = { 0 };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct service_update *u = xcalloc(n, sizeof(*u));
	double began = packets_now_ms();

	for (size_t i = 0; i < n; i++)
		u[i] = (struct service_update){ sv_from(s[i].key), &s[i].f, s[i].f.outer.n > 0 };
	change_update(tracker, u, n, NULL, &c);
	if (backend->apply(backend, buf_sv(&c.commands), &err) < 0) {
		(void)fprintf(stderr, "%s\n", err_msg(&err));
		exit(1);
	}
	free(u);
	return packets_now_ms() - began;
}

/* As the proxy does it: in parts, which serve when all are there. */
static double write_all(struct bench_service *s, size_t n, unsigned each)
{
	_cleanup_(changes_release) struct changes c = { 0 };
	_cleanup_(err_release) struct err err = ERR_INIT;
	double began = packets_now_ms();
	size_t part = MAX(PART_ELEMENTS / (each + 3), 1U);

	change_reset(tracker, true);
	for (size_t i = 0; i < n; i += part)
		(void)write_services(s + i, MIN(part, n - i));
	change_serve(tracker, &c);
	if (backend->apply(backend, buf_sv(&c.commands), &err) < 0) {
		(void)fprintf(stderr, "%s\n", err_msg(&err));
		exit(1);
	}
	return packets_now_ms() - began;
}

static double set_service(unsigned i, unsigned n)
{
	struct bench_service s;

	make_service(&s, i, n);
	return write_services(&s, 1);
}

static double resident_mb(const char *field)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");
	double kb = 0;

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, field, strlen(field)) == 0)
			kb = atof(line + strlen(field) + 1);
	if (f)
		(void)fclose(f);
	return kb / 1024;
}

/* --- packets --- */

static void packets(const char *what, const char *address, int port)
{
	struct packets_took t = packets_measure(address, port);

	printf("%-25s %8.1f us first packet, %7.0f connections/s, %6.1f Gbit/s\n", what, t.first_us, t.per_s, t.gbit);
}

/* --- */

int main(int argc, char **argv)
{
	unsigned services = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
	unsigned eps = argc > 2 ? MIN((unsigned)atoi(argv[2]), 60U) : 5;
	struct render_cfg cfg = { .table = TABLE,
				  .cluster = { .net = { { ip_v4(0x0a2a0000), 112 }, { { { 0xfd, 0x42 } }, 16 } },
					       .has = { true, true } } };
	_cleanup_(err_release) struct err err = ERR_INIT;
	double add = 0, grow = 0, del = 0, worst = 0, first, empty;
	struct bench_service *all = xcalloc(services + 1, sizeof(*all)), probe;
	pid_t server;

	if (unshare(CLONE_NEWNET) < 0 || !(backend = proxy_backend_nft_new(TABLE, NULL, &err))) {
		(void)fprintf(stderr, "cannot run here: %s\n", err_msg(&err));
		return 77;
	}
	if (system("ip link set lo up && ip addr add 10.97.0.1/32 dev lo && ip route add 10.96.0.0/16 dev lo src "
		   "10.97.0.1") != 0)
		return 77;
	server = packets_serve(PORT);
	tracker = change_tracker_new(&cfg);
	/* One that leads to the server, among none. */
	make_service(&probe, 60000, 1);
	probe.eps[0].addr = ip_v4(0x0a610001);
	probe.f.key.addr = ip_v4(0x0a60fff0);
	(void)write_services(&probe, 1);
	packets("directly", "10.97.0.1", PORT);
	packets("through one Service", "10.96.255.240", 80);

	for (unsigned i = 0; i < services; i++)
		make_service(&all[i], i, eps);
	(void)malloc_trim(0);
	empty = resident_mb("VmRSS:");
	first = write_all(all, services, eps);
	printf("first sync of %-5u       %8.0f ms, %.0f MB at its height, %.0f MB more afterwards\n", services, first,
	       resident_mb("VmHWM:"), (malloc_trim(0), resident_mb("VmRSS:") - empty));
	(void)write_services(&probe, 1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		double took = set_service(services + i, eps);

		add += took;
		worst = MAX(worst, took);
		grow += set_service(services + i, eps + 1);
		del += set_service(services + i, 0);
	}
	printf("one more                 %8.2f ms (%.2f at worst)\n", add / ROUNDS, worst);
	printf("one more endpoint        %8.2f ms\n", grow / ROUNDS);
	printf("one less                 %8.2f ms\n", del / ROUNDS);
	packets("through one of them", "10.96.255.240", 80);
	(void)kill(server, SIGKILL);
	(void)waitpid(server, NULL, 0);
	change_tracker_free(tracker);
	backend->free(backend);
	free(all);
	return 0;
}
