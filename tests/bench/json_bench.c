/* json_bench - throughput of the JSON codec and of publishing, on one Pod. Prints a table; asserts
 * nothing. Run it on an otherwise idle machine. */
#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"
#include "object/obj.h"
#include "../unit/object/sample_pod.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 20000

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void report(const char *what, double start, size_t bytes)
{
	double s = now() - start;

	printf("%-24s %8.0f MB/s  %7.0f ns each\n", what, (double)bytes * ROUNDS / s / 1e6, s * 1e9 / ROUNDS);
}

int main(void)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT, keep = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv text = sv_from(pod_json), big;
	struct json_opts borrow = { .borrow_text = true };
	struct val *v = json_decode(&keep, text, NULL, NULL), *plain;
	char *chars = xmalloc(64 * 1024);
	double start;

	BUG_ON(!v);
	printf("one Pod of %zu bytes\n", text.n);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		arena_reset(&a);
		BUG_ON(!json_decode(&a, text, NULL, NULL));
	}
	report("decode", start, text.n);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		arena_reset(&a);
		BUG_ON(!json_decode(&a, text, &borrow, NULL));
	}
	report("decode, borrowing", start, text.n);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		buf_clear(&b);
		json_encode(&b, v);
	}
	report("encode", start, b.n);
	start = now();
	for (int i = 0; i < ROUNDS; i++)
		obj_unref(obj_new(v, 12345));
	report("obj_new", start, text.n);

	memset(chars, 'x', 64 * 1024);
	big = sv_make(chars, 64 * 1024);
	plain = val_new_str_ref(&keep, big);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		buf_clear(&b);
		json_encode(&b, plain);
	}
	report("encode 64 KiB string", start, big.n);
	start = now();
	for (int i = 0; i < ROUNDS; i++) {
		arena_reset(&a);
		BUG_ON(!json_decode(&a, buf_sv(&b), &borrow, NULL));
	}
	report("decode 64 KiB string", start, big.n);
	free(chars);
	return 0;
}
