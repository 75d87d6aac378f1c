/* How many cluster names a core answers, by real datagrams on loopback, and what that many Services cost.
 *
 *	dns_bench [services [seconds]]
 *
 * The server is the real one (dns/serve.h) on its own thread, whose processor time counts; who asks has another thread.
 * Prints lines of "NAME VALUE".
 */
#include "codec/json.h"
#include "dns/serve.h"
#include "object/obj.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64

static struct ev_loop *loop;
static struct dns_serve *serve;

static void no_look(void *ctx)
{
	(void)ctx;
}

static void *run_loop(void *ctx)
{
	ev_loop_run(ctx);
	return NULL;
}

static struct zone_entry *bench_entry(unsigned i)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_free_ char *json = xasprintf(
	    "{\"kind\":\"Service\",\"metadata\":{\"name\":\"service-%u\",\"namespace\":\"namespace-%u\"},\"spec\":{"
	    "\"clusterIP\":"
	    "\"10.43.%u.%u\",\"ports\":[{\"name\":\"http\",\"port\":80},{\"name\":\"metrics\",\"port\":9090}]}}",
	    i, i % 100, i >> 8 & 255, i & 255);
	struct err err = ERR_INIT;
	struct val *doc = json_decode(&a, sv_from(json), NULL, &err);
	struct obj *svc = obj_new(doc, 1);
	struct zone_entry *e = zone_entry_new(svc, NULL, 0);

	obj_unref(svc);
	return e;
}

static void bench_add(struct dns_update *u, unsigned i)
{
	struct zone_entry *e = bench_entry(i);
	struct sv key = zone_entry_key(e);

	vec_push(&u->names, ((struct dns_name_change){ xmemdup(key.p, key.n), key.n, e }));
}

static void apply(void *p)
{
	dns_serve_update(serve, p);
}

static double clock_s(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static size_t bench_query(uint8_t *p, unsigned i)
{
	struct dns_name name;
	char text[100];

	(void)snprintf(text, sizeof(text), "service-%u.namespace-%u.svc.cluster.local", i, i % 100);
	(void)dns_name_parse(sv_from(text), &name);
	return dns_ask_write(p, (uint16_t)i, &name, DNS_A, false, false, true);
}

/* Asks in batches until the time is over; returns how many were answered. */
static size_t bench_ask(int port, unsigned services, double seconds)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	static uint8_t out[BATCH][512], in[BATCH][2048];
	struct iovec out_iov[BATCH], in_iov[BATCH];
	struct mmsghdr out_m[BATCH] = { 0 }, in_m[BATCH] = { 0 };
	struct timeval patience = { .tv_usec = 200000 };
	double end = clock_s(CLOCK_MONOTONIC) + seconds;
	size_t answered = 0;
	unsigned at = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		exit(1);
	while (clock_s(CLOCK_MONOTONIC) < end) {
		int sent, got = 0;

		for (int i = 0; i < BATCH; i++) {
			out_iov[i] = (struct iovec){ out[i], bench_query(out[i], at++ % services) };
			out_m[i].msg_hdr = (struct msghdr){ .msg_iov = &out_iov[i], .msg_iovlen = 1 };
			in_iov[i] = (struct iovec){ in[i], sizeof(in[i]) };
			in_m[i].msg_hdr = (struct msghdr){ .msg_iov = &in_iov[i], .msg_iovlen = 1 };
		}
		sent = sendmmsg(fd, out_m, BATCH, 0);
		while (got < sent) {
			int n = recvmmsg(fd, in_m, (unsigned)(sent - got), 0, NULL);

			if (n <= 0)
				break;
			for (int i = 0; i < n; i++)
				answered += (in[i][3] & 15) == DNS_NOERROR && in[i][7] == 1;
			got += n;
		}
	}
	return answered;
}

int main(int argc, char **argv)
{
	unsigned services = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
	double seconds = argc > 2 ? atof(argv[2]) : 3, cpu;
	struct env *env = env_real_new(0);
	struct err err = ERR_INIT;
	struct dns_update *u = xcalloc(1, sizeof(*u));
	struct mallinfo2 before, after;
	pthread_t thread;
	clockid_t id;
	size_t n;

	loop = ev_loop_new(&err);
	serve = dns_serve_new(&(struct dns_serve_opts){ .env = env, .loop = loop, .look_at_host = no_look }, &err);
	if (!serve) {
		(void)fprintf(stderr, "%s\n", err_msg(&err));
		return 1;
	}
	before = mallinfo2();
	for (unsigned i = 0; i < services; i++)
		bench_add(u, i);
	u->complete = true;
	apply(u);
	after = mallinfo2();
	printf("bytes %zu\n", after.uordblks - before.uordblks);
	pthread_create(&thread, NULL, run_loop, loop);
	pthread_getcpuclockid(thread, &id);
	cpu = clock_s(id);
	n = bench_ask(dns_serve_port(serve), services, seconds);
	cpu = clock_s(id) - cpu;
	printf("queries %.0f\n", (double)n / cpu);
	u = xcalloc(1, sizeof(*u));
	bench_add(u, services);
	ev_loop_stop(loop);
	pthread_join(thread, NULL);
	cpu = clock_s(CLOCK_MONOTONIC);
	apply(u);
	printf("change_us %.1f\n", (clock_s(CLOCK_MONOTONIC) - cpu) * 1e6);
	dns_serve_free(serve);
	ev_loop_free(loop);
	env_real_free(env);
	return 0;
}
