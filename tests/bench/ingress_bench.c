/* What Ingresses cost a node before HAProxy has a word: from objects to commands.
 *
 *	ingress_bench [Ingresses [paths of each]]
 *
 * Each has a host, a Service with two endpoints and filters of its own. Printed: the first run, and runs after one
 * endpoint changed, after one Ingress came, and after nothing did; milliseconds of CPU. */
#include "base/strmap.h"
#include "base/vec.h"
#include "codec/json.h"
#include "ingress/command.h"
#include "ingress/from_ingress.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct bench {
	struct arena a;
	VEC(struct obj *) ingresses;
	struct strmap services, slices;
	struct ingress_classes classes;
	struct ing_names names;
	struct obj *slice[1];
};

static double bench_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static struct obj *bench_object(struct bench *b, const char *json)
{
	struct val *v = json_decode(&b->a, sv_from(json), NULL, NULL);

	BUG_ON(!v);
	return obj_link(&b->a, obj_new(v, 1));
}

static void bench_slice(struct bench *b, int i, int last)
{
	strmap_set(
	    &b->slices, arena_svf(&b->a, "s%d", i),
	    bench_object(
		b, arena_printf(&b->a,
				"{\"metadata\":{\"namespace\":\"d\",\"name\":\"s%d-1\"},\"addressType\":"
				"\"IPv4\",\"ports\":[{\"name\":\"w\",\"port\":80}],\"endpoints\":[{\"addresses\":["
				"\"10.0.%d.1\"]},{\"addresses\":[\"10.0.%d.%d\"]}]}",
				i, i % 250, i % 250, last)));
}

static void bench_ingress(struct bench *b, int i, int paths)
{
	struct buf t = BUF_INIT;

	buf_printf(
	    &t,
	    "{\"metadata\":{\"namespace\":\"d\",\"name\":\"i%d\",\"uid\":\"%d\",\"annotations\":{\"nginx.ingress."
	    "kubernetes."
	    "io/"
	    "proxy-body-size\":\"8m\"}},\"spec\":{\"ingressClassName\":\"caravel\",\"rules\":[{\"host\":\"h%d.example."
	    "org\",\"http\":{\"paths\":[",
	    i, i, i);
	for (int p = 0; p < paths; p++)
		buf_printf(
		    &t,
		    "%s{\"path\":\"/p%d\",\"pathType\":\"Prefix\",\"backend\":{\"service\":{\"name\":\"s%d\",\"port\":{"
		    "\"number\":80}}}}",
		    p ? "," : "", p, i);
	buf_adds(&t, "]}}]}}");
	vec_push(&b->ingresses, bench_object(b, buf_cstr(&t)));
	buf_release(&t);
	strmap_set(
	    &b->services, arena_svf(&b->a, "s%d", i),
	    bench_object(b, arena_printf(&b->a,
					 "{\"metadata\":{\"namespace\":\"d\",\"name\":\"s%d\"},\"spec\":{\"ports\":[{"
					 "\"name\":\"w\",\"port\":80}]}}",
					 i)));
	bench_slice(b, i, 2);
}

static struct obj *bench_service(void *ctx, _unused_ struct sv ns, struct sv name)
{
	return strmap_get(&((struct bench *)ctx)->services, name);
}

static struct obj *bench_secret(_unused_ void *ctx, _unused_ struct sv ns, _unused_ struct sv name)
{
	return NULL;
}

static struct obj **bench_slices(void *ctx, _unused_ struct arena *a, _unused_ struct sv ns, struct sv service,
				 size_t *ret_n)
{
	struct bench *b = ctx;

	b->slice[0] = strmap_get(&b->slices, service);
	*ret_n = 1;
	return b->slice;
}

static void bench_say(_unused_ void *ctx, _unused_ const struct obj *o, _unused_ const char *reason,
		      _unused_ const char *message)
{
}

static void bench_uses(_unused_ void *ctx, _unused_ struct sv ns, _unused_ struct sv name)
{
}

/* a: of this run. */
static void bench_run(struct bench *b, struct arena *a, const char *what, const struct ing_conf *was,
		      struct ing_conf *ret)
{
	static const struct ing_listen listen = {
		.http_port = 80, .https_port = 443, .threads = 2, .max_connections = 4096
	};
	struct ing_source s = { .ingresses = b->ingresses.p,
				.n_ingresses = b->ingresses.n,
				.classes = &b->classes,
				.service = bench_service,
				.secret = bench_secret,
				.slices = bench_slices,
				.say = bench_say,
				.uses = bench_uses,
				.ctx = b };
	double t0 = bench_ms(), t1, t2, t3;
	struct ing_steps steps = { .n = 0 };
	size_t bytes = 0;
	struct ing_model m;

	ing_from_ingresses(a, &s, &m);
	t1 = bench_ms();
	ing_render(a, &b->names, &m, &listen, ret);
	t2 = bench_ms();
	if (was && !ing_steps_between(a, was, ret, &steps))
		what = arena_printf(a, "%s (read anew)", what);
	t3 = bench_ms();
	for (size_t i = 0; i < steps.n; i++)
		bytes += steps.p[i].text.n;
	printf("%-34s model %6.2f ms, rendered %6.2f ms, told %6.2f ms: %zu commands, %zu bytes\n", what, t1 - t0,
	       t2 - t1, t3 - t2, steps.n, bytes);
}

int main(int argc, char **argv)
{
	int n = argc > 1 ? atoi(argv[1]) : 1000, paths = argc > 2 ? atoi(argv[2]) : 10;
	struct arena runs[6] = { { 0 } };
	struct ing_conf conf[6];
	struct bench b = { .names = { .next = 0 } };
	struct obj *class;

	class = bench_object(&b, "{\"metadata\":{\"name\":\"caravel\"},\"spec\":{\"controller\":\"" INGRESS_CONTROLLER
				 "\"}}");
	ingress_classes_of(&class, 1, &b.classes);
	for (int i = 0; i < n; i++)
		bench_ingress(&b, i, paths);
	bench_run(&b, &runs[0], "first", NULL, &conf[0]);
	printf("configuration %zu bytes, maps %zu and %zu\n", conf[0].config.n, conf[0].maps[0].n, conf[0].maps[1].n);
	bench_run(&b, &runs[1], "nothing changed", &conf[0], &conf[1]);
	bench_slice(&b, n / 2, 3);
	bench_run(&b, &runs[2], "an endpoint changed", &conf[1], &conf[2]);
	bench_ingress(&b, n, paths);
	bench_run(&b, &runs[3], "an Ingress came", &conf[2], &conf[3]);
	b.ingresses.n--;
	bench_run(&b, &runs[4], "and went", &conf[3], &conf[4]);
	vec_push(&b.ingresses,
		 bench_object(&b, "{\"metadata\":{\"namespace\":\"d\",\"name\":\"x\",\"annotations\":{\"nginx.ingress."
				  "kubernetes.io/proxy-body-size\":\"8m\"}},\"spec\":{\"ingressClassName\":"
				  "\"caravel\",\"rules\":[{\"host\":\"x.org\",\"http\":{\"paths\":[{\"path\":\"/\","
				  "\"pathType\":\"Prefix\",\"backend\":{\"service\":{\"name\":\"s1\",\"port\":{"
				  "\"number\":80}}}}]}}]}}"));
	bench_run(&b, &runs[5], "a host more of a known Service", &conf[4], &conf[5]);
	for (size_t i = 0; i < ARRAY_LEN(runs); i++)
		arena_release(&runs[i]);
	ing_names_release(&b.names);
	ingress_classes_release(&b.classes);
	strmap_release(&b.services);
	strmap_release(&b.slices);
	vec_release(&b.ingresses);
	arena_release(&b.a);
	return 0;
}
