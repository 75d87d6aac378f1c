/* store_bench - durable creates per second on the embedded store.
 *
 *	store_bench [-n writes] [-c in-flight] [-s value-bytes] [-r] [-d directory]
 *
 * Keeps `in-flight` creates going from the completions, as a loop thread does, and prints the
 * rate, the latency distribution and what it cost in memory and disk. -r spreads the keys
 * randomly instead of in sequence, the worst case for the index. */
#include "store_kit.h"

#include <sys/resource.h>

struct bench {
	struct store *s;
	pthread_mutex_t mu;
	pthread_cond_t cond;
	long total, started, done, failed;
	bool random;
	struct sv value;
	int64_t *latency_ns;
};

struct bench_op {
	struct bench *b;
	int64_t at_ns;
};

static void bench_next(struct bench_op *op);

static void bench_done(const struct store_result *r, void *ctx)
{
	struct bench_op *op = ctx;
	struct bench *b = op->b;
	bool more;

	pthread_mutex_lock(&b->mu);
	b->failed += r->outcome != STORE_OK;
	b->latency_ns[b->done++] = env_mono_ns(&thread_env) - op->at_ns;
	more = b->started < b->total;
	if (b->done == b->total)
		pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->mu);
	if (more)
		bench_next(op);
}

static void bench_next(struct bench_op *op)
{
	struct bench *b = op->b;
	struct store_write w = { .value = b->value };
	char key[64];
	uint64_t n;

	pthread_mutex_lock(&b->mu);
	n = (uint64_t)b->started++;
	pthread_mutex_unlock(&b->mu);
	/* An odd multiplier permutes 64 bits: random places, no duplicates. */
	if (b->random)
		n = n * UINT64_C(0x9e3779b97f4a7c15);
	w.key = sv_make(key, (size_t)snprintf(key, sizeof(key), "/registry/pods/default/pod-%016" PRIx64, n));
	op->at_ns = env_mono_ns(&thread_env);
	store_commit(b->s, &w, bench_done, op);
}

static int cmp_i64(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void print_rss(const char *when)
{
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "VmRSS", 5) == 0 || strncmp(line, "RssAnon", 7) == 0)
			printf("%s %s", when, line);
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	struct bench b = { .mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .total = 200000 };
	long in_flight = 200, value_bytes = 2048;
	struct err err = ERR_INIT;
	struct store_stats st;
	struct bench_op *ops;
	char dir[64] = "";
	int64_t t0, t1;
	char *value;
	int opt;

	while ((opt = getopt(argc, argv, "n:c:s:rd:")) != -1) {
		switch (opt) {
		case 'n':
			b.total = atol(optarg);
			break;
		case 'c':
			in_flight = atol(optarg);
			break;
		case 's':
			value_bytes = atol(optarg);
			break;
		case 'r':
			b.random = true;
			break;
		case 'd':
			snprintf(dir, sizeof(dir), "%s", optarg);
			break;
		default:
			return 2;
		}
	}
	if (b.total < 1 || in_flight < 1 || in_flight > b.total || value_bytes < 0 || value_bytes > 1000000)
		return 2;
	if (!dir[0])
		kit_mkdir(dir);
	value = xmalloc((size_t)value_bytes + 1);
	for (long i = 0; i < value_bytes; i++)
		value[i] = (char)(i * 7);
	b.value = sv_make(value, (size_t)value_bytes);
	b.latency_ns = xcalloc((size_t)b.total, sizeof(*b.latency_ns));
	ops = xcalloc((size_t)in_flight, sizeof(*ops));

	t0 = env_mono_ns(&thread_env);
	b.s = store_disk_open(&thread_env, dir, (size_t)8 << 30, &err);
	if (!b.s) {
		fprintf(stderr, "store_bench: %s\n", err_msg(&err));
		return 1;
	}
	printf("open            %.2f ms\n", (double)(env_mono_ns(&thread_env) - t0) / 1e6);
	print_rss("opened  ");
	t0 = env_mono_ns(&thread_env);
	for (long i = 0; i < in_flight; i++) {
		ops[i].b = &b;
		bench_next(&ops[i]);
	}
	pthread_mutex_lock(&b.mu);
	while (b.done < b.total)
		pthread_cond_wait(&b.cond, &b.mu);
	pthread_mutex_unlock(&b.mu);
	t1 = env_mono_ns(&thread_env);
	qsort(b.latency_ns, (size_t)b.total, sizeof(*b.latency_ns), cmp_i64);
	printf("durable creates %.0f/s (%ld of %ld bytes, %ld in flight, %s keys, %ld failed)\n",
	       (double)b.total * 1e9 / (double)(t1 - t0), b.total, value_bytes, in_flight,
	       b.random ? "random" : "sequential", b.failed);
	printf("latency         p50 %.2f ms, p99 %.2f ms, max %.2f ms\n", (double)b.latency_ns[b.total / 2] / 1e6,
	       (double)b.latency_ns[b.total * 99 / 100] / 1e6, (double)b.latency_ns[b.total - 1] / 1e6);
	print_rss("loaded  ");
	usleep(300000);
	print_rss("settled ");
	store_stats(b.s, &st);
	printf("disk            %.0f MB\n", (double)st.bytes / 1e6);
	t0 = env_mono_ns(&thread_env);
	store_close(b.s);
	printf("close           %.2f ms\n", (double)(env_mono_ns(&thread_env) - t0) / 1e6);
	kit_rmdir(dir);
	free(b.latency_ns);
	free(ops);
	free(value);
	return b.failed != 0;
}
