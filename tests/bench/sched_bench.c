/* sched_bench - Pods scheduled per second, end to end: created through the in-process API, bound
 * through it, on simulated nodes.
 *
 *	sched_bench [-n nodes] [-p pods] [-z zones] [-w workers] [-k kind]
 *
 * Without -w everything runs on one thread in a virtual environment (total CPU time is what is
 * measured); with -w on the real one with that many workers, as in `caravel server`. kind of
 * Pods: "basic" (default), "owned" (one ReplicaSet's), "spread" (hard over zones), "anti" (preferred apart).
 * Prints Pods/s from the first create to the last binding seen. */
#include "apiserver/apiserver.h"
#include "client/informer.h"
#include "codec/json.h"
#include "ev/ev.h"
#include "scheduler/scheduler.h"
#include "sim/env_sim.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct bench {
	struct env *env;
	bool real;
	struct apiserver *server;
	struct client *client;
	struct scheduler *sched;
	long pods;
	atomic_long bound;
	atomic_bool created;
	const char *kind;
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void create(struct bench *b, const struct resource *r, const char *ns, const char *text)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *doc = json_decode(&a, sv_from(text), NULL, &err);

	if (!doc || client_create(b->client, r, sv_from(ns), doc, NULL, NULL, &err) < 0) {
		fprintf(stderr, "%s: %s\n", r->plural, err_msg(&err));
		exit(1);
	}
}

/* A Node is born with the taint not-ready, which the node lifecycle controller would remove. */
static void untaint(struct bench *b, const char *node)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *patch = json_decode(&a, SV("{\"spec\":{\"taints\":null}}"), NULL, NULL);

	if (client_patch(b->client, RES(core_nodes), SV(""), sv_from(node), PATCH_MERGE, patch, NULL, NULL, &err) < 0)
		fprintf(stderr, "%s\n", err_msg(&err));
}

static const char *extra(const char *kind)
{
	if (strcmp(kind, "spread") == 0)
		return ",\"topologySpreadConstraints\":[{\"maxSkew\":1,\"topologyKey\":\"topology.kubernetes.io/zone\","
		       "\"whenUnsatisfiable\":\"DoNotSchedule\",\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}}}"
		       "]";
	if (strcmp(kind, "anti") == 0)
		return ",\"affinity\":{\"podAntiAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{"
		       "\"weight\":100,\"podAffinityTerm\":{\"topologyKey\":\"kubernetes.io/hostname\","
		       "\"labelSelector\":{\"matchLabels\":{\"app\":\"web\"}}}}]}}";
	return "";
}

static void create_pods(void *ctx)
{
	struct bench *b = ctx;
	char text[2048];

	for (long i = 0; i < b->pods; i++) {
		snprintf(
		    text, sizeof(text),
		    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-%ld\",\"labels\":{\"app\":"
		    "\"web\"}%s},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"web:1\",\"resources\":{"
		    "\"requests\":{\"cpu\":\"100m\",\"memory\":\"128Mi\"}}}]%s}}",
		    i,
		    strcmp(b->kind, "owned") == 0
			? ",\"ownerReferences\":[{\"apiVersion\":\"apps/v1\",\"kind\":"
			  "\"ReplicaSet\",\"name\":\"web\",\"uid\":\"6f1d\",\"controller\":true}]"
			: "",
		    extra(b->kind));
		create(b, RES(core_pods), "default", text);
	}
	b->created = true;
}

static void on_update(struct obj *old, struct obj *neu, void *ctx)
{
	struct bench *b = ctx;

	if (val_str(obj_get(old, F_spec, F_nodeName)).n == 0 && val_str(obj_get(neu, F_spec, F_nodeName)).n)
		b->bound++;
}

static void on_add(struct obj *o, void *ctx)
{
	struct bench *b = ctx;

	if (val_str(obj_get(o, F_spec, F_nodeName)).n)
		b->bound++;
}

static bool all_bound(void *ctx)
{
	struct bench *b = ctx;

	return b->bound >= b->pods;
}

static bool ready(void *ctx)
{
	return scheduler_synced(((struct bench *)ctx)->sched);
}

static void wait_for(struct bench *b, bool (*done)(void *))
{
	struct timespec nap = { 0, 200000 };

	if (!b->real) {
		if (!env_sim_run_until(b->env, 600 * NS_PER_SEC, done, b)) {
			fprintf(stderr, "not done after 10 virtual minutes: %ld of %ld bound\n", (long)b->bound,
				b->pods);
			exit(1);
		}
		return;
	}
	while (!done(b))
		nanosleep(&nap, NULL);
}

int main(int argc, char **argv)
{
	static const char *const masters[] = { "system:masters", NULL };
	struct bench b = { .pods = 5000, .kind = "basic" };
	long nodes = 1000, zones = 3;
	int workers = 0, opt;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct informer_factory *informers;
	static const struct informer_handler handler = { .add = on_add, .update = on_update };
	struct client *sched_client;
	struct store *store;
	struct rusage ru;
	char text[1024];
	double t0, t1;

	while ((opt = getopt(argc, argv, "n:p:z:w:k:")) >= 0) {
		switch (opt) {
		case 'n':
			nodes = atol(optarg);
			break;
		case 'p':
			b.pods = atol(optarg);
			break;
		case 'z':
			zones = atol(optarg);
			break;
		case 'w':
			workers = atoi(optarg);
			break;
		case 'k':
			b.kind = optarg;
			break;
		default:
			return 2;
		}
	}
	b.real = workers > 0;
	b.env = b.real ? env_real_new(workers) : env_sim_new(1, INT64_C(1767225600) * NS_PER_SEC, false);
	store = store_mem_new(b.env);
	b.server = apiserver_new(&(struct apiserver_opts){ .env = b.env,
							   .store = store,
							   .service_cidr = "10.43.0.0/16",
							   .cluster_cidr = "10.42.0.0/16",
							   .node_port_range = "30000-32767",
							   .cluster_domain = "cluster.local",
							   .advertise_address = "10.0.0.1",
							   .advertise_port = 6443,
							   .insecure_in_memory = true },
				 &err);
	if (!b.server) {
		fprintf(stderr, "%s\n", err_msg(&err));
		return 1;
	}
	b.client = apiserver_client(b.server, "bench", "admin", masters);
	sched_client = apiserver_client(b.server, "kube-scheduler", "system:kube-scheduler", NULL);
	create(&b, RES(core_serviceaccounts), "default",
	       "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"default\"}}");
	for (long i = 0; i < nodes; i++) {
		snprintf(text, sizeof(text),
			 "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"node-%ld\",\"labels\":{"
			 "\"kubernetes.io/hostname\":\"node-%ld\",\"topology.kubernetes.io/zone\":\"zone-%ld\"}},"
			 "\"status\":{\"allocatable\":{\"cpu\":\"8\",\"memory\":\"32Gi\",\"pods\":\"110\"},"
			 "\"capacity\":{\"cpu\":\"8\",\"memory\":\"32Gi\",\"pods\":\"110\"}}}",
			 i, i, i % zones);
		create(&b, RES(core_nodes), "", text);
		snprintf(text, sizeof(text), "node-%ld", i);
		untaint(&b, text);
	}
	informers = informer_factory_new(b.client);
	informer_add_handler(informer_get(informers, RES(core_pods), NULL, NULL, NULL), &handler, &b);
	informer_factory_start(informers);
	b.sched = scheduler_new(&(struct scheduler_opts){ .env = b.env, .client = sched_client });
	wait_for(&b, ready);

	t0 = seconds();
	env_post(b.env, ENV_CONTROL, create_pods, &b);
	wait_for(&b, all_bound);
	t1 = seconds();

	getrusage(RUSAGE_SELF, &ru);
	printf("%ld %s pods on %ld nodes: %.2f s, %.0f pods/s, peak memory %ld MB\n", b.pods, b.kind, nodes, t1 - t0,
	       (double)b.pods / (t1 - t0), ru.ru_maxrss / 1024);
	b.sched = scheduler_free(b.sched);
	informer_factory_free(informers);
	client_free(sched_client);
	client_free(b.client);
	apiserver_shutdown(b.server);
	apiserver_free(b.server);
	store_close(store);
	if (b.real)
		env_real_free(b.env);
	else
		env_sim_free(b.env);
	return 0;
}
