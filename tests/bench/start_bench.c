/* start_bench - how long an API server needs from opening its store to answering, with many small objects in it.
 *
 *	start_bench [-n objects] [-s value-bytes] [-d directory]
 *
 * Makes the objects first, unless the directory has them from an earlier run, closes, and starts again. */
#include "store_kit.h"

#include "apiserver/apiserver.h"
#include "ev/ev.h"

#include <sys/stat.h>

static double seconds(struct env *env, int64_t since_ns)
{
	return (double)(env_mono_ns(env) - since_ns) / 1e9;
}

static void fill(struct store *s, long n, const char *pad)
{
	struct flight f = FLIGHT_INIT;
	char key[128];

	for (long i = 0; i < n; i++) {
		struct buf b = BUF_INIT;
		struct store_write w = { .expect_rev = STORE_ANY_REV };

		buf_printf(
		    &b,
		    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"cm-%07ld\",\"namespace\":"
		    "\"ns-%ld\","
		    "\"uid\":\"00000000-0000-4000-8000-%012ld\",\"creationTimestamp\":\"2026-01-01T00:00:00Z\","
		    "\"labels\":{\"app\":\"bench\"},\"managedFields\":[{\"manager\":\"bench\",\"operation\":\"Update\","
		    "\"apiVersion\":\"v1\",\"time\":\"2026-01-01T00:00:00Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":"
		    "{\"f:data\":{\".\":{},\"f:k\":{}}}}]},\"data\":{\"k\":\"%s\"}}",
		    i, i % 100, i, pad);
		w.key = sv_make(key,
				(size_t)snprintf(key, sizeof(key), "/registry/configmaps/ns-%ld/cm-%07ld", i % 100, i));
		w.value = buf_sv(&b);
		flight_commit(&f, s, &w);
		buf_release(&b);
		if (i % 2000 == 0)
			flight_wait(&f, 1000);
	}
	flight_wait(&f, 0);
}

static void print_rss(void)
{
	char line[128];
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "RssAnon", 7) == 0)
			printf("started         %s", line);
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	struct env *env = env_real_new(4);
	char dir[64] = "", db[80], *pad;
	long n = 1000000, bytes = 500;
	struct err err = ERR_INIT;
	struct store_stats st;
	struct apiserver *s;
	struct store *store;
	bool keep = false;
	int64_t t0;
	int opt;

	while ((opt = getopt(argc, argv, "n:s:d:")) != -1) {
		if (opt == 'n')
			n = atol(optarg);
		else if (opt == 's')
			bytes = atol(optarg);
		else if (opt == 'd')
			keep = snprintf(dir, sizeof(dir), "%s", optarg) > 0;
		else
			return 2;
	}
	if (n < 1 || bytes < 0 || bytes > 100000)
		return 2;
	if (!keep)
		kit_mkdir(dir);
	snprintf(db, sizeof(db), "%s/db", dir);
	pad = xmalloc((size_t)bytes + 1);
	memset(pad, 'x', (size_t)bytes);
	pad[bytes] = '\0';

	store = store_disk_open(env, db, STORE_DISK_MAX, &err);
	BUG_ON(!store);
	store_stats(store, &st);
	if (st.keys < (uint64_t)n) {
		t0 = env_mono_ns(env);
		fill(store, n, pad);
		printf("fill            %.2f s\n", seconds(env, t0));
	}
	store_close(store);

	t0 = env_mono_ns(env);
	store = store_disk_open(env, db, STORE_DISK_MAX, &err);
	BUG_ON(!store);
	printf("open            %.2f s\n", seconds(env, t0));
	s = apiserver_new(&(struct apiserver_opts){ .env = env, .store = store }, &err);
	if (!s) {
		fprintf(stderr, "start_bench: %s\n", err_msg(&err));
		return 1;
	}
	printf("start           %.2f s of %ld objects\n", seconds(env, t0), n);
	print_rss();
	store_stats(store, &st);
	printf("disk            %.0f MB\n", (double)st.bytes / 1e6);
	fflush(stdout);
	apiserver_shutdown(s);
	apiserver_free(s);
	store_close(store);
	if (!keep)
		kit_rmdir(dir);
	free(pad);
	env_real_free(env);
	return 0;
}
