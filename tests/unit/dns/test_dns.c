/* The whole name server on a cluster that the test makes: what the API says is answered, the Node says where. */
#include "../proxy/proxy_kit.h"

#include "base/buf.h"
#include "base/retry.h"
#include "base/strmap.h"
#include "client/informer.h"
#include "dns/counts.h"
#include "dns/dns.h"
#include "dns/wire.h"
#include "ev/ev.h"

#include <arpa/inet.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct kit K;
static struct client Nodes; /* of the node: writes its annotation */
static pthread_mutex_t Lock = PTHREAD_MUTEX_INITIALIZER;
static char Patched[200];

static int nodes_patch(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
		       const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err)
{
	struct sv port = val_str(val_member_sv(val_get(patch, F_metadata, F_annotations), SV(DNS_PORT_ANNOTATION)));

	(void)c;
	(void)ns;
	(void)t;
	(void)o;
	(void)ret;
	(void)err;
	assert_ptr_equal(r, RES(core_nodes));
	pthread_mutex_lock(&Lock);
	(void)snprintf(Patched, sizeof(Patched), "%.*s %.*s", SV_ARG(name), SV_ARG(port));
	pthread_mutex_unlock(&Lock);
	return 0;
}

static const struct client_ops nodes_ops = { .patch = nodes_patch };

/* The code and the first address: "0 10.43.0.1" */
static const char *ask(int port, const char *name)
{
	static char text[64];
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval guard = { .tv_sec = 30 };
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct dns_name n;
	uint8_t p[2048];
	ssize_t got;

	assert_true(dns_name_parse(sv_from(name), &n));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &guard, sizeof(guard));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_true(send(fd, p, dns_ask_write(p, 1, &n, DNS_A, false, false, false), 0) > 0);
	got = recv(fd, p, sizeof(p), 0);
	assert_true(got > 12);
	(void)snprintf(text, sizeof(text), "%u", p[3] & 15);
	if (p[7])
		(void)snprintf(text, sizeof(text), "%u %u.%u.%u.%u", p[3] & 15, p[got - 4], p[got - 3], p[got - 2],
			       p[got - 1]);
	return text;
}

static void until(int port, const char *name, const char *wanted)
{
	for (int i = 0; i < 200000; i++) {
		if (strcmp(ask(port, name), wanted) == 0)
			return;
		sched_yield();
	}
	fail_msg("%s: %s, not %s", name, ask(port, name), wanted);
}

static void says(struct buf *b, const char *text)
{
	if (!strstr(buf_cstr(b), text))
		fail_msg("no %s in:\n%s", text, buf_cstr(b));
}

/* By informers that were there before, and are another's: it knows at once what they know. */
static void share(struct env *env)
{
	struct informer_factory *f = informer_factory_new(&K.c);
	struct informer *services;
	struct dns *d;

	kit_put(&K, KIT_SERVICE("early", "'clusterIP':'10.43.0.3'"));
	dns_keep(f);
	informer_factory_start(f);
	services = informer_get(f, RES(core_services), NULL, NULL, NULL);
	(void)informer_get(f, RES(discovery_endpointslices), NULL, "kubernetes.io/service-name", NULL);
	while (!informer_factory_synced(f))
		sched_yield();
	d = dns_start(&(struct dns_opts){ .env = env,
					  .client = &K.c,
					  .informers = f,
					  .node_client = &Nodes,
					  .node_name = "n1",
					  .domain = "cluster.local",
					  .cluster_cidr = "10.42.0.0/16",
					  .resolv_conf = "/dev/null" },
		      NULL);
	assert_non_null(d);
	assert_string_equal(ask(dns_port(d), "early.default.svc.cluster.local"), "0 10.43.0.3");
	kit_put(&K, KIT_SERVICE("peers", "'clusterIP':'None'"));
	kit_put(&K, KIT_SLICE("peers", "", KIT_EP("10.42.0.7")));
	until(dns_port(d), "peers.default.svc.cluster.local", "0 10.42.0.7");
	informer_factory_stop(f);
	kit_put(&K, KIT_SERVICE("late", "'clusterIP':'10.43.0.4'"));
	dns_stop(d);
	assert_int_equal(informer_count(services), 2);
	informer_factory_free(f);
}

static void test_dns(void **state)
{
	struct env *env = env_real_new(0);
	_cleanup_(buf_release) struct buf told = BUF_INIT;
	struct err err = ERR_INIT;
	struct dns *d;
	int port;

	(void)state;
	kit_init(&K, env);
	Nodes = (struct client){ .ops = &nodes_ops, .env = env, .name = "kubelet" };
	kit_put(&K, KIT_SERVICE("web", "'clusterIP':'10.43.0.1'"));
	d = dns_start(&(struct dns_opts){ .env = env,
					  .client = &K.c,
					  .node_client = &Nodes,
					  .node_name = "n1",
					  .domain = "cluster.local",
					  .cluster_dns = "10.43.0.10",
					  .cluster_cidr = "10.42.0.0/16",
					  .service_cidr = "10.43.0.0/16",
					  .resolv_conf = "/dev/null" },
		      &err);
	if (!d)
		fail_msg("%s", err_msg(&err));
	port = dns_port(d);
	/* What was asked before names are known is answered then. */
	assert_string_equal(ask(port, "web.default.svc.cluster.local"), "0 10.43.0.1");
	kit_put(&K, KIT_NODE);
	for (bool there = false; !there; sched_yield()) {
		char wanted[64];

		(void)snprintf(wanted, sizeof(wanted), "n1 %d", port);
		pthread_mutex_lock(&Lock);
		there = strcmp(Patched, wanted) == 0;
		pthread_mutex_unlock(&Lock);
	}
	/* Changes are followed, of Services and of what is behind them. */
	kit_put(&K, KIT_SERVICE("web", "'clusterIP':'10.43.0.2'"));
	until(port, "web.default.svc.cluster.local", "0 10.43.0.2");
	kit_put(&K, KIT_SERVICE("peers", "'clusterIP':'None'"));
	kit_put(&K, KIT_SLICE("peers", "", KIT_EP("10.42.0.7")));
	until(port, "peers.default.svc.cluster.local", "0 10.42.0.7");
	kit_put(&K, KIT_SLICE("peers", "", KIT_EP("10.42.0.8")));
	until(port, "peers.default.svc.cluster.local", "0 10.42.0.8");
	kit_del(&K, "EndpointSlice", "peers");
	until(port, "peers.default.svc.cluster.local", "3");
	kit_del(&K, "Service", "web");
	until(port, "web.default.svc.cluster.local", "3");
	/* Nobody to ask for other names: that is said at once. */
	assert_string_equal(ask(port, "example.org"), "2");
	/* Under the names that dashboards know. */
	dns_metrics(d, &told);
	says(&told, "coredns_dns_requests_total{server=\"dns://"
		    ":53\",zone=\".\",view=\"\",proto=\"udp\",family=\"1\",type=\"A\"} ");
	says(&told,
	     "coredns_dns_responses_total{server=\"dns://:53\",zone=\".\",view=\"\",rcode=\"NXDOMAIN\",plugin=\"\"} ");
	says(&told, "coredns_dns_responses_total{server=\"dns://"
		    ":53\",zone=\".\",view=\"\",rcode=\"SERVFAIL\",plugin=\"\"} 1\n");
	says(&told, "coredns_cache_misses_total{server=\"dns://:53\",zones=\".\",view=\"\"} 1\n");
	/* A change waits for its batch, and for nothing else: names are there before the rules of the proxy may be. */
	assert_true(DNS_REST_NS <= RETRY_REST_MAX_NS);
	dns_stop(d);
	share(env);
	/* Two beside each other: the second one finds a port, and a domain that is none is refused. */
	d = dns_start(
	    &(struct dns_opts){ .env = env, .client = &K.c, .node_client = &Nodes, .node_name = "n1", .domain = "." },
	    &err);
	assert_null(d);
	assert_non_null(strstr(err_msg(&err), "'.' cannot be the domain"));
	err_release(&err);
	env_real_free(env);
	kit_release(&K);
}

/* Whatever code an upstream server thinks of: no series is there twice, which would spoil the whole page. */
static void test_counts_of_all_codes(_unused_ void **state)
{
	static struct dns_counts c;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(strmap_release) struct strmap series = STRMAP_INIT;
	struct sv rest, line, name;
	size_t codes = 0;

	for (uint8_t code = 0; code < 16; code++) {
		const uint8_t header[12] = { [3] = (uint8_t)(0x80 | code) };

		dns_count_response(&c, header, sizeof(header));
	}
	dns_count_response(&c, (const uint8_t[]){ 0, 0, 0 }, 3);
	dns_counts_write(&c, &b);
	rest = buf_sv(&b);
	while (sv_split(&rest, '\n', &line)) {
		if (!line.n || line.p[0] == '#')
			continue;
		assert_true(sv_split(&line, ' ', &name));
		assert_null(strmap_set(&series, name, &c));
		codes += sv_starts(name, SV("coredns_dns_responses_total{"));
	}
	assert_int_equal(codes, 16);
	says(&b, "rcode=\"NOTZONE\",plugin=\"\"} 1\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_counts_of_all_codes), cmocka_unit_test(test_dns) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
