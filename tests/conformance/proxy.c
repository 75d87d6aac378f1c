/* The proxy against the kernel: real rules, real connections, in network namespaces of the test's own.
 *
 *	 outside ──(192.0.2.0/24)── node ──bridge (10.42.0.0/24)── pods a, b, c
 *
 * "node" is where the test runs; a and b are endpoints, c is a client. Every pod and the outside run a TCP
 * server that answers with its name and the address it sees, and a UDP one that answers every datagram with its
 * name. Sockets stay in the namespace they were made in, so one thread serves all of them.
 */
#include "unit.h"

#include "base/log.h"
#include "ev/ev.h"
#include "proxy/proxy.h"
#include "proxy/proxy_kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum place { NODE, POD_A, POD_B, POD_C, OUTSIDE, N_PLACES };

static const struct {
	const char *name, *ip;
} places[N_PLACES] = { [NODE] = { "node", "10.42.0.1" },
		       [POD_A] = { "a", "10.42.0.2" },
		       [POD_B] = { "b", "10.42.0.3" },
		       [POD_C] = { "c", "10.42.0.4" },
		       [OUTSIDE] = { "outside", "192.0.2.2" } };

#define NODE_IP "192.0.2.1"
#define OUTSIDE_IP "192.0.2.2"
#define PATIENCE_MS 10000 /* for what must come; what must not is waited for much shorter */
#define SILENCE_MS 300

static int netns[N_PLACES]; /* descriptors */
static int tcp_server[N_PLACES], udp_server[N_PLACES];
static struct env *env;
static struct kit kit;
static const char *settings_file; /* where the next backend keeps the host's settings */
static struct proxy *proxy;

static void sh(const char *cmd)
{
	if (system(cmd) != 0)
		fail_msg("failed: %s", cmd);
}

static int socket_in(enum place p, int type)
{
	int fd;

	assert_int_equal(setns(netns[p], CLONE_NEWNET), 0);
	fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(netns[NODE], CLONE_NEWNET), 0);
	assert_true(fd >= 0);
	return fd;
}

static struct sockaddr_in address(const char *ip, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };

	assert_int_equal(inet_pton(AF_INET, ip, &sa.sin_addr), 1);
	return sa;
}

/* --- servers --- */

static void serve(_unused_ void *ctx)
{
	for (;;) {
		struct pollfd fds[2 * N_PLACES];
		struct sockaddr_in sa;
		socklen_t len = sizeof(sa);
		char text[64], from[32];

		for (int i = 0; i < N_PLACES; i++) {
			fds[2 * i] = (struct pollfd){ .fd = tcp_server[i], .events = POLLIN };
			fds[2 * i + 1] = (struct pollfd){ .fd = udp_server[i], .events = POLLIN };
		}
		if (poll(fds, 2 * N_PLACES, -1) < 0)
			continue;
		for (int i = 0; i < N_PLACES; i++) {
			if (fds[2 * i].revents) {
				int c = accept4(tcp_server[i], (struct sockaddr *)&sa, &len, SOCK_CLOEXEC);

				inet_ntop(AF_INET, &sa.sin_addr, from, sizeof(from));
				(void)snprintf(text, sizeof(text), "%s %s", places[i].name, from);
				if (c >= 0) {
					(void)!write(c, text, strlen(text));
					close(c);
				}
			}
			len = sizeof(sa);
			if (fds[2 * i + 1].revents &&
			    recvfrom(udp_server[i], text, sizeof(text), 0, (struct sockaddr *)&sa, &len) >= 0)
				(void)sendto(udp_server[i], places[i].name, strlen(places[i].name), 0,
					     (struct sockaddr *)&sa, len);
		}
	}
}

static void start_servers(void)
{
	pthread_t t;

	for (enum place p = NODE; p < N_PLACES; p++) {
		struct sockaddr_in sa = address("0.0.0.0", 8080);
		int one = 1;

		tcp_server[p] = socket_in(p, SOCK_STREAM);
		setsockopt(tcp_server[p], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		assert_int_equal(bind(tcp_server[p], (struct sockaddr *)&sa, sizeof(sa)), 0);
		assert_int_equal(listen(tcp_server[p], 128), 0);
		udp_server[p] = socket_in(p, SOCK_DGRAM);
		assert_int_equal(bind(udp_server[p], (struct sockaddr *)&sa, sizeof(sa)), 0);
	}
	assert_int_equal(pthread_create(&t, NULL, (void *(*)(void *))(void *)serve, NULL), 0);
	pthread_detach(t);
}

/* --- clients --- */

/* What a connection from p to ip:port says: "a 10.42.0.4", "refused", "timeout" or another error. Each answer
 * has its own of a few buffers. */
static const char *call_within(enum place p, const char *ip, uint16_t port, int ms)
{
	static char answers[8][64];
	static unsigned turn;
	char *out = answers[turn++ % ARRAY_LEN(answers)];
	struct sockaddr_in sa = address(ip, port);
	int fd = socket_in(p, SOCK_STREAM | SOCK_NONBLOCK), e = 0;
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(e);
	ssize_t n = 0;

	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS)
		e = errno;
	else if (poll(&pfd, 1, ms) == 0)
		e = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
	if (e == 0) {
		pfd.events = POLLIN;
		if (poll(&pfd, 1, ms) == 0)
			e = ETIMEDOUT;
		else if ((n = read(fd, out, 63)) < 0)
			e = errno;
	}
	close(fd);
	out[MAX(n, 0)] = '\0';
	if (e)
		(void)snprintf(out, 64, "%s", e == ECONNREFUSED ? "refused" : e == ETIMEDOUT ? "timeout" : strerror(e));
	return out;
}

static const char *call(enum place p, const char *ip, uint16_t port)
{
	return call_within(p, ip, port, PATIENCE_MS);
}

/* --- the cluster --- */

static struct proxy_backend *make_backend(void)
{
	struct err err = ERR_INIT;
	struct proxy_backend *b = proxy_backend_nft_new("caravel", settings_file, &err);

	if (!b)
		fail_msg("%s", err_msg(&err));
	return b;
}

/* A transaction that the kernel refuses is retried as a whole new table: services would work, but late. */
static atomic_uint refused;

/* The proxy's backend, counting: so that a test knows when a change has reached the kernel. */
static struct proxy_backend *inner;
static atomic_uint applied;

static int counted_apply(_unused_ struct proxy_backend *b, struct sv commands, struct err *err)
{
	int rc = inner->apply(inner, commands, err);

	if (rc == 0)
		applied++;
	return rc;
}

static void counted_prepare(_unused_ struct proxy_backend *b, bool v6, bool *ret)
{
	inner->prepare(inner, v6, ret);
}

static bool counted_intact(_unused_ struct proxy_backend *b)
{
	return inner->intact(inner);
}

static bool counted_serves(_unused_ struct proxy_backend *b, const char *table)
{
	return inner->serves(inner, table);
}

static int counted_forget(_unused_ struct proxy_backend *b, struct flow_frontend *u, size_t n, struct err *err)
{
	return inner->forget_flows(inner, u, n, err);
}

static void counted_clients(_unused_ struct proxy_backend *b, const char *table, const char *set,
			    void (*fn)(struct ip_addr a, uint64_t ms, void *ctx), void *ctx)
{
	inner->clients(inner, table, set, fn, ctx);
}

static void counted_restore(_unused_ struct proxy_backend *b)
{
	inner->restore(inner);
}

static void counted_free(_unused_ struct proxy_backend *b)
{
	inner->free(inner);
}

static struct proxy_backend counted = { counted_prepare, counted_apply,	  counted_intact,  counted_serves,
					counted_forget,	 counted_clients, counted_restore, counted_free };

static void await(bool (*done)(void *), void *ctx, const char *what)
{
	for (int i = 0; i < PATIENCE_MS; i++) {
		if (done(ctx))
			return;
		poll(NULL, 0, 1);
	}
	fail_msg("not within %d ms: %s", PATIENCE_MS, what);
}

static bool is_synced(_unused_ void *ctx)
{
	return proxy_synced(proxy);
}

static bool applied_more(void *ctx)
{
	return applied > *(unsigned *)ctx;
}

static void start_proxy(void)
{
	struct proxy_opts o = { .env = env, .client = &kit.c, .node_name = "n1", .cluster_cidr = "10.42.0.0/16" };
	struct err err = ERR_INIT;

	inner = make_backend();
	o.pod_client = &kit.c;
	o.backend = &counted;
	proxy = proxy_new(&o, &err);
	if (!proxy)
		fail_msg("%s", err_msg(&err));
	await(is_synced, NULL, "first sync");
}

/* Puts an object that changes rules, and waits until it has. */
static void put(const char *text)
{
	unsigned before = applied;

	kit_put(&kit, text);
	await(applied_more, &before, text);
}

static void del(const char *kind, const char *name)
{
	unsigned before = applied;

	kit_del(&kit, kind, name);
	await(applied_more, &before, name);
}

#define TCP "{'port':8080,'protocol':'TCP'}"
#define A KIT_EP("10.42.0.2")
#define B KIT_EP("10.42.0.3")
#define FAR_B KIT_EP_ON("10.42.0.3", "n2")

static int setup(_unused_ void **state)
{
	kit_put(&kit, KIT_NODE);
	start_proxy();
	return 0;
}

static int teardown(_unused_ void **state)
{
	assert_int_equal(refused, 0);
	proxy = proxy_free(proxy, true);
	while (kit.n) {
		struct sv name = obj_name(kit.items[0]), kind = val_str(obj_get(kit.items[0], F_kind));
		_cleanup_free_ char *n = xstrndup(name.p, name.n), *k = xstrndup(kind.p, kind.n);

		kit_del(&kit, k, n);
	}
	return 0;
}

/* --- tests --- */

static void test_cluster_ip(_unused_ void **state)
{
	int hits[2] = { 0 };

	put(KIT_SERVICE("web", "'clusterIP':'10.43.0.1','ports':[{'port':80}]"));
	assert_string_equal(call(POD_C, "10.43.0.1", 80), "refused");
	assert_string_equal(call(NODE, "10.43.0.1", 80), "refused");
	put(KIT_SLICE("web", TCP, A));
	/* From a pod with its own address, from the node, and from outside with the node's. */
	assert_string_equal(call(POD_C, "10.43.0.1", 80), "a 10.42.0.4");
	assert_string_equal(call(NODE, "10.43.0.1", 80), "a 10.42.0.1");
	assert_string_equal(call(OUTSIDE, "10.43.0.1", 80), "a 10.42.0.1");
	/* Itself through the service. */
	assert_string_equal(call(POD_A, "10.43.0.1", 80), "a 10.42.0.1");
	assert_string_equal(call(POD_C, "10.43.0.1", 81), "refused");

	put(KIT_SLICE("web", TCP, A "," B));
	for (int i = 0; i < 64; i++)
		hits[call(POD_C, "10.43.0.1", 80)[0] == 'b']++;
	assert_true(hits[0] > 0 && hits[1] > 0);
	put(KIT_SLICE("web", TCP, B));
	for (int i = 0; i < 8; i++)
		assert_string_equal(call(POD_C, "10.43.0.1", 80), "b 10.42.0.4");
	del("EndpointSlice", "web");
	assert_string_equal(call(POD_C, "10.43.0.1", 80), "refused");
}

static void test_node_port(_unused_ void **state)
{
	put(KIT_SERVICE("np", "'clusterIP':'10.43.0.2','type':'NodePort','ports':[{'port':80,'nodePort':30080}]"));
	assert_string_equal(call(OUTSIDE, NODE_IP, 30080), "refused");
	assert_string_equal(call(NODE, "127.0.0.1", 30080), "refused");
	put(KIT_SLICE("np", TCP, A));
	assert_string_equal(call(OUTSIDE, NODE_IP, 30080), "a 10.42.0.1");
	assert_string_equal(call(NODE, NODE_IP, 30080), "a 10.42.0.1");
	assert_string_equal(call(NODE, "127.0.0.1", 30080), "a 10.42.0.1");
	assert_string_equal(call(NODE, "10.42.0.1", 30080), "a 10.42.0.1");
	assert_string_equal(call(POD_C, NODE_IP, 30080), "a 10.42.0.1");
	assert_string_equal(call(POD_A, NODE_IP, 30080), "a 10.42.0.1");
	/* Other ports of the node are its own. */
	assert_string_equal(call(POD_C, NODE_IP, 8080), "node 10.42.0.4");
}

static void test_host_port(_unused_ void **state)
{
	put(KIT_POD(
	    "p", "10.42.0.2",
	    "{'containerPort':8080,'hostPort':9000},{'containerPort':8080,'hostPort':9001,'hostIP':'127.0.0.1'},"
	    "{'containerPort':8080,'hostPort':9002,'hostIP':'192.0.2.1'},"
	    "{'containerPort':8080,'hostPort':9003,'hostIP':'198.51.100.7'}"));
	/* The pod sees who calls; the node itself by the address that a reply reaches. */
	assert_string_equal(call(OUTSIDE, NODE_IP, 9000), "a 192.0.2.2");
	assert_string_equal(call(POD_C, NODE_IP, 9000), "a 10.42.0.4");
	assert_string_equal(call(POD_C, "10.42.0.1", 9000), "a 10.42.0.4");
	assert_string_equal(call(NODE, NODE_IP, 9000), "a 192.0.2.1");
	assert_string_equal(call(NODE, "10.42.0.1", 9000), "a 10.42.0.1");
	assert_string_equal(call(NODE, "127.0.0.1", 9000), "a 10.42.0.1");
	assert_string_equal(call(NODE, "127.0.0.77", 9000), "a 10.42.0.1");
	assert_string_equal(call(POD_A, NODE_IP, 9000), "a 10.42.0.1"); /* itself */
	/* One address only. */
	assert_string_equal(call(NODE, "127.0.0.1", 9001), "a 10.42.0.1");
	assert_string_equal(call(NODE, NODE_IP, 9001), "refused");
	assert_string_equal(call(OUTSIDE, NODE_IP, 9001), "refused");
	assert_string_equal(call(OUTSIDE, NODE_IP, 9002), "a 192.0.2.2");
	assert_string_equal(call(POD_A, NODE_IP, 9002), "a 10.42.0.1");
	assert_string_equal(call(NODE, "127.0.0.1", 9002), "refused");
	/* An address that is not this node's: traffic to it passes by, until it is. */
	assert_string_equal(call_within(POD_C, "198.51.100.7", 9003, SILENCE_MS), "timeout");
	sh("ip addr add 198.51.100.7/32 dev lo");
	assert_string_equal(call(POD_C, "198.51.100.7", 9003), "a 10.42.0.4");
	sh("ip addr del 198.51.100.7/32 dev lo");

	/* Another address of the pod, and its end. */
	put(KIT_POD("p", "10.42.0.3", "{'containerPort':8080,'hostPort':9000}"));
	assert_string_equal(call(OUTSIDE, NODE_IP, 9000), "b 192.0.2.2");
	assert_string_equal(call(NODE, "127.0.0.1", 9002), "refused");
	del("Pod", "p");
	assert_string_equal(call(OUTSIDE, NODE_IP, 9000), "refused");
	assert_string_equal(call(NODE, "127.0.0.1", 9000), "refused");
}

static void test_policies(_unused_ void **state)
{
#define LOCAL_SVC                                                                                       \
	KIT_SERVICE("loc", "'clusterIP':'10.43.0.3','type':'NodePort','externalTrafficPolicy':'Local'," \
			   "'ports':[{'port':80,'nodePort':30081}]")
	put(LOCAL_SVC);
	put(KIT_SLICE("loc", TCP, A "," FAR_B));
	/* From outside only to this node's endpoint, which sees the client. */
	for (int i = 0; i < 16; i++)
		assert_string_equal(call(OUTSIDE, NODE_IP, 30081), "a 192.0.2.2");
	put(KIT_SLICE("loc", TCP, FAR_B));
	assert_string_equal(call_within(OUTSIDE, NODE_IP, 30081, SILENCE_MS), "timeout");
	/* Pods and the node itself reach the far one. */
	assert_string_equal(call(POD_C, NODE_IP, 30081), "b 10.42.0.4");
	assert_string_equal(call(NODE, NODE_IP, 30081), "b 10.42.0.1");
	assert_string_equal(call(NODE, "127.0.0.1", 30081), "b 10.42.0.1");

	put(KIT_SERVICE("in", "'clusterIP':'10.43.0.4','internalTrafficPolicy':'Local','ports':[{'port':80}]"));
	put(KIT_SLICE("in", TCP, A "," FAR_B));
	for (int i = 0; i < 16; i++)
		assert_string_equal(call(POD_C, "10.43.0.4", 80), "a 10.42.0.4");
	put(KIT_SLICE("in", TCP, FAR_B));
	assert_string_equal(call_within(POD_C, "10.43.0.4", 80, SILENCE_MS), "timeout");
}

static void test_external_ips(_unused_ void **state)
{
	put("{'kind':'Service','metadata':{'name':'lb','namespace':'default'},'spec':{'type':'LoadBalancer',"
	    "'clusterIP':'10.43.0.5','externalIPs':['198.51.100.1'],'ports':[{'port':80}],"
	    "'loadBalancerSourceRanges':['203.0.113.0/24']},"
	    "'status':{'loadBalancer':{'ingress':[{'ip':'198.51.100.2'}]}}}");
	put(KIT_SLICE("lb", TCP, A));
	assert_string_equal(call(OUTSIDE, "198.51.100.1", 80), "a 10.42.0.1");
	assert_string_equal(call_within(OUTSIDE, "198.51.100.2", 80, SILENCE_MS), "timeout");
	put("{'kind':'Service','metadata':{'name':'lb','namespace':'default'},'spec':{'type':'LoadBalancer',"
	    "'clusterIP':'10.43.0.5','externalIPs':['198.51.100.1'],'ports':[{'port':80}],"
	    "'loadBalancerSourceRanges':['203.0.113.0/24','192.0.2.0/24']},"
	    "'status':{'loadBalancer':{'ingress':[{'ip':'198.51.100.2'}]}}}");
	assert_string_equal(call(OUTSIDE, "198.51.100.2", 80), "a 10.42.0.1");
}

static void test_affinity(_unused_ void **state)
{
	char first;

#define STICKY                                                                                                  \
	"'clusterIP':'10.43.0.6','type':'NodePort','sessionAffinity':'ClientIP','ports':[{'port':80,'nodePort'" \
	":30082}]"
	put(KIT_SERVICE("sticky", STICKY));
	put(KIT_SLICE("sticky", TCP, A "," B));
	first = call(POD_C, "10.43.0.6", 80)[0];
	for (int i = 0; i < 24; i++)
		assert_int_equal(call(POD_C, "10.43.0.6", 80)[0], first);
	/* Somebody else's coming does not move the client; its endpoint's going does. */
	put(KIT_SLICE("sticky", TCP, A "," B "," KIT_EP("10.42.0.4")));
	for (int i = 0; i < 24; i++)
		assert_int_equal(call(POD_C, "10.43.0.6", 80)[0], first);
	put(first == 'a' ? KIT_SLICE("sticky", TCP, B) : KIT_SLICE("sticky", TCP, A));
	assert_int_equal(call(POD_C, "10.43.0.6", 80)[0], first == 'a' ? 'b' : 'a');
	assert_int_equal(call(OUTSIDE, NODE_IP, 30082)[0], first == 'a' ? 'b' : 'a');
	/* Another timeout; then none of it. */
	put(KIT_SERVICE("sticky", STICKY ",'sessionAffinityConfig':{'clientIP':{'timeoutSeconds':5}}"));
	assert_int_equal(call(POD_C, "10.43.0.6", 80)[0], first == 'a' ? 'b' : 'a');
	put(KIT_SERVICE("sticky", "'clusterIP':'10.43.0.6','ports':[{'port':80}]"));
	assert_int_equal(call(POD_C, "10.43.0.6", 80)[0], first == 'a' ? 'b' : 'a');
}

static void test_pods_reach_outside(_unused_ void **state)
{
	assert_string_equal(call(POD_C, "192.0.2.2", 8080), "outside 192.0.2.1");
	assert_string_equal(call(POD_C, "10.42.0.2", 8080), "a 10.42.0.4");
	assert_string_equal(call(NODE, "192.0.2.2", 8080), "outside 192.0.2.1");
	/* Nobody outside gets at what listens on the node's loopback only. */
	assert_string_equal(call_within(POD_C, "127.0.0.1", 30099, SILENCE_MS), "refused"); /* its own */
}

/* Asks until the answer is want: flows are dropped a moment after the rules have changed. */
static bool udp_says(int fd, const char *want)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char text[16];
	ssize_t n;

	for (int ms = 0; ms < PATIENCE_MS; ms += 10) {
		if (send(fd, "?", 1, 0) < 0 || poll(&pfd, 1, 10) == 0)
			continue;
		n = recv(fd, text, sizeof(text), 0);
		if (n > 0 && sv_is(sv_make(text, (size_t)n), want))
			return true;
		poll(NULL, 0, 10);
	}
	return false;
}

/* One socket, which never opens a new flow by itself, follows the endpoints. */
static void test_udp(_unused_ void **state)
{
	struct sockaddr_in vip = address("10.43.0.7", 53), port = address("127.0.0.1", 30053);
	int fd = socket_in(POD_C, SOCK_DGRAM), local = socket_in(NODE, SOCK_DGRAM);

#define UDP "{'port':8080,'protocol':'UDP'}"
	put(KIT_SERVICE("dns", "'clusterIP':'10.43.0.7','type':'NodePort','ports':[{'port':53,'protocol':'UDP',"
			       "'nodePort':30053}]"));
	put(KIT_SLICE("dns", UDP, A));
	assert_int_equal(connect(fd, (struct sockaddr *)&vip, sizeof(vip)), 0);
	assert_int_equal(connect(local, (struct sockaddr *)&port, sizeof(port)), 0);
	assert_true(udp_says(fd, "a"));
	assert_true(udp_says(local, "a"));
	put(KIT_SLICE("dns", UDP, B));
	assert_true(udp_says(fd, "b"));
	assert_true(udp_says(local, "b"));
	close(fd);
	close(local);
}

#define ENDING(ip, serving)                                                                                        \
	"{'addresses':['" ip "'],'nodeName':'n1','conditions':{'ready':false,'serving':" serving ",'terminating':" \
	"true}}"

/* Nobody is ready: who serves while it terminates is as good, for every policy. Nobody serves: refused. */
static void test_terminating(_unused_ void **state)
{
	put(KIT_SERVICE("last", "'clusterIP':'10.43.0.8','type':'NodePort','internalTrafficPolicy':'Local',"
				"'externalTrafficPolicy':'Local','ports':[{'port':80,'nodePort':30083}]"));
	put(KIT_SLICE("last", TCP, A));
	assert_string_equal(call(POD_C, "10.43.0.8", 80), "a 10.42.0.4");
	kit_put(&kit, KIT_SLICE("last", TCP, ENDING("10.42.0.2", "true"))); /* changes no rule */
	put(KIT_SERVICE("mark", "'clusterIP':'10.43.0.9','ports':[{'port':80}]"));
	assert_string_equal(call(POD_C, "10.43.0.8", 80), "a 10.42.0.4");
	assert_string_equal(call(OUTSIDE, NODE_IP, 30083), "a 192.0.2.2");
	put(KIT_SLICE("last", TCP, ENDING("10.42.0.2", "true") "," B));
	for (int i = 0; i < 8; i++)
		assert_string_equal(call(POD_C, "10.43.0.8", 80), "b 10.42.0.4");
	put(KIT_SLICE("last", TCP, ENDING("10.42.0.2", "false")));
	assert_string_equal(call(POD_C, "10.43.0.8", 80), "refused");
	assert_string_equal(call(OUTSIDE, NODE_IP, 30083), "refused");
}

/* A flow stays with an endpoint that terminates as long as that serves; new ones go to the ready. */
static void test_udp_terminating(_unused_ void **state)
{
	struct sockaddr_in vip = address("10.43.0.7", 53);
	int old = socket_in(POD_C, SOCK_DGRAM), fresh = socket_in(POD_C, SOCK_DGRAM);

	put(KIT_SERVICE("dns", "'clusterIP':'10.43.0.7','ports':[{'port':53,'protocol':'UDP'}]"));
	put(KIT_SLICE("dns", UDP, A));
	assert_int_equal(connect(old, (struct sockaddr *)&vip, sizeof(vip)), 0);
	assert_int_equal(connect(fresh, (struct sockaddr *)&vip, sizeof(vip)), 0);
	assert_true(udp_says(old, "a"));
	put(KIT_SLICE("dns", UDP, ENDING("10.42.0.2", "true") "," B));
	assert_true(udp_says(fresh, "b"));
	put(KIT_SERVICE("mark", "'clusterIP':'10.43.0.9','ports':[{'port':80}]")); /* flows were looked at before */
	assert_true(udp_says(old, "a"));
	kit_put(&kit, KIT_SLICE("dns", UDP, ENDING("10.42.0.2", "false") "," B)); /* changes no rule */
	assert_true(udp_says(old, "b"));
	assert_true(udp_says(fresh, "b"));
	close(old);
	close(fresh);
}

/* A sender that was there before the pod, and one that stays when it goes. */
static void test_host_port_udp(_unused_ void **state)
{
	struct sockaddr_in to_node = address(NODE_IP, 8080), to_loopback = address("127.0.0.1", 8080);
	int out = socket_in(OUTSIDE, SOCK_DGRAM), local = socket_in(NODE, SOCK_DGRAM);

	assert_int_equal(connect(out, (struct sockaddr *)&to_node, sizeof(to_node)), 0);
	assert_int_equal(connect(local, (struct sockaddr *)&to_loopback, sizeof(to_loopback)), 0);
	assert_true(udp_says(out, "node")); /* its own server has the port */
	assert_true(udp_says(local, "node"));
	put(KIT_POD("u", "10.42.0.2", "{'containerPort':8080,'hostPort':8080,'protocol':'UDP'}"));
	assert_true(udp_says(out, "a"));
	assert_true(udp_says(local, "a"));
	put(KIT_POD("u", "10.42.0.3", "{'containerPort':8080,'hostPort':8080,'protocol':'UDP'}"));
	assert_true(udp_says(out, "b"));
	assert_true(udp_says(local, "b"));
	del("Pod", "u");
	assert_true(udp_says(out, "node"));
	assert_true(udp_says(local, "node"));
	close(out);
	close(local);
}

/* To the kernel what comes back in a flow that a program of the node began is a reply, which nothing translates. */
static void test_host_port_udp_begun_by_the_node(_unused_ void **state)
{
	struct sockaddr_in on_node = address(NODE_IP, 8090), on_outside = address(OUTSIDE_IP, 8091);
	int program = socket_in(NODE, SOCK_DGRAM), out = socket_in(OUTSIDE, SOCK_DGRAM);
	char text[8];

	assert_int_equal(bind(program, (struct sockaddr *)&on_node, sizeof(on_node)), 0);
	assert_int_equal(bind(out, (struct sockaddr *)&on_outside, sizeof(on_outside)), 0);
	assert_int_equal(connect(out, (struct sockaddr *)&on_node, sizeof(on_node)), 0);
	assert_int_equal(sendto(program, "hi", 2, 0, (struct sockaddr *)&on_outside, sizeof(on_outside)), 2);
	assert_int_equal(recv(out, text, sizeof(text), 0), 2);
	put(KIT_POD("u", "10.42.0.2", "{'containerPort':8080,'hostPort':8090,'protocol':'UDP'}"));
	assert_true(udp_says(out, "a"));
	del("Pod", "u");
	close(program);
	close(out);
}

/* --- under traffic --- */

static atomic_bool stop_traffic;
static atomic_int good, bad;
static char first_bad[64];

static void *traffic(_unused_ void *ctx)
{
	while (!stop_traffic) {
		const char *answer = call(POD_C, "10.43.0.8", 80);

		if (answer[0] == 'a' || answer[0] == 'b')
			good++;
		else if (bad++ == 0)
			(void)snprintf(first_bad, sizeof(first_bad), "%s", answer);
	}
	return NULL;
}

static bool some_more(void *ctx)
{
	return good + bad > *(int *)ctx + 5;
}

static void let_flow(void)
{
	int now = good + bad;

	await(some_more, &now, "traffic");
}

/* No connection fails while endpoints change, other Services come and go, and the proxy is replaced by one that
 * finds the table of its predecessor. */
static void test_changes_under_traffic(_unused_ void **state)
{
	pthread_t t;

	put(KIT_SERVICE("busy", "'clusterIP':'10.43.0.8','ports':[{'port':80}]"));
	put(KIT_SLICE("busy", TCP, A "," B));
	stop_traffic = false;
	good = bad = 0;
	assert_int_equal(pthread_create(&t, NULL, traffic, NULL), 0);
	for (int i = 0; i < 10; i++) {
		put(KIT_SLICE("busy", TCP, B));
		put(KIT_SERVICE("other", "'clusterIP':'10.43.0.9','ports':[{'port':80}]"));
		let_flow();
		put(KIT_SLICE("busy", TCP, A "," B));
		del("Service", "other");
		let_flow();
	}
	proxy = proxy_free(proxy, false);
	let_flow();
	start_proxy();
	let_flow();
	stop_traffic = true;
	pthread_join(t, NULL);
	if (bad)
		fail_msg("%d of %d failed, the first with: %s", bad, good + bad, first_bad);
}

/* The same with so many endpoints that the next proxy writes its table in parts: through another table, which is gone
 * afterwards, and the clients that the first one remembered are remembered. */
static void test_replaced_in_parts_under_traffic(_unused_ void **state)
{
	pthread_t t;
	unsigned before;
	char first;

	put(KIT_SERVICE("busy", "'clusterIP':'10.43.0.8','ports':[{'port':80}]"));
	put(KIT_SLICE("busy", TCP, A "," B));
	put(KIT_SERVICE("sticky", STICKY));
	put(KIT_SLICE("sticky", TCP, A "," B));
	first = call(POD_C, "10.43.0.6", 80)[0];
	for (unsigned i = 0; i < 60; i++) {
		_cleanup_(buf_release) struct buf eps = BUF_INIT;
		_cleanup_free_ char *svc =
		    xasprintf(KIT_SERVICE("s%u", "'clusterIP':'10.43.1.%u','ports':[{'port':80}]"), i, i + 1);
		_cleanup_free_ char *slice = NULL;

		for (unsigned k = 0; k < 100; k++)
			buf_printf(&eps, "%s{'addresses':['10.42.7.%u']}", k ? "," : "", k + 2);
		slice = xasprintf(KIT_SLICE("s%u", TCP, "%s"), i, i, buf_cstr(&eps));
		kit_put(&kit, svc);
		kit_put(&kit, slice);
	}
	put(KIT_SERVICE("last", "'clusterIP':'10.43.2.1','ports':[{'port':80}]"));
	stop_traffic = false;
	good = bad = 0;
	assert_int_equal(pthread_create(&t, NULL, traffic, NULL), 0);
	for (int i = 0; i < 4; i++) {
		proxy = proxy_free(proxy, false);
		let_flow();
		before = applied;
		start_proxy();
		assert_in_range(applied - before, 8, 10); /* both tables, in three parts and an end each */
		let_flow();
		sh("! nft list table inet caravel-spare >/dev/null 2>&1");
		assert_true(inner->intact(inner));
	}
	stop_traffic = true;
	pthread_join(t, NULL);
	if (bad)
		fail_msg("%d of %d failed, the first with: %s", bad, good + bad, first_bad);
	for (int i = 0; i < 24; i++)
		assert_int_equal(call(POD_C, "10.43.0.6", 80)[0], first);
}

static void test_tampering(_unused_ void **state)
{
	put(KIT_SERVICE("web", "'clusterIP':'10.43.0.1','ports':[{'port':80}]"));
	assert_true(inner->intact(inner));
	assert_true(inner->intact(inner));
	sh("nft add table inet foreign");
	assert_true(inner->intact(inner));
	sh("nft flush chain inet caravel services");
	assert_false(inner->intact(inner));
	sh("nft flush ruleset");
	assert_false(inner->intact(inner));
}

static char setting(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c = 0;

	assert_true(fd >= 0 && read(fd, &c, 1) == 1);
	close(fd);
	return c;
}

static void test_removal(_unused_ void **state)
{
	struct err err = ERR_INIT;

	/* As on a host that does not forward; an earlier proxy may have left without giving back. */
	proxy = proxy_free(proxy, true);
	sh("echo 0 >/proc/sys/net/ipv4/ip_forward && echo 0 >/proc/sys/net/ipv4/conf/all/route_localnet");
	start_proxy();
	assert_int_equal(setting("/proc/sys/net/ipv4/ip_forward"), '1');
	assert_int_equal(setting("/proc/sys/net/ipv4/conf/all/route_localnet"), '1');
	sh("nft add table inet foreign");
	proxy = proxy_free(proxy, true);
	assert_int_equal(setting("/proc/sys/net/ipv4/ip_forward"), '0');
	assert_int_equal(setting("/proc/sys/net/ipv4/conf/all/route_localnet"), '0');
	sh("! nft list table inet caravel 2>/dev/null");
	sh("nft list table inet foreign >/dev/null");
	sh("nft add table inet caravel");
	assert_int_equal(proxy_cleanup("caravel", NULL, NULL, &err), 1);
	assert_int_equal(proxy_cleanup("caravel", NULL, NULL, &err), 0);
	sh("! nft list table inet caravel 2>/dev/null");
	sh("nft list table inet foreign >/dev/null");
	start_proxy();
}

static bool missing(const char *path)
{
	return access(path, F_OK) < 0;
}

/* A proxy that was killed gave nothing back: whoever cleans up does, from the file, unless another cluster of this
 * machine is left that needs the settings; then that one's cleanup does. */
static void test_settings_outlive_a_crash(_unused_ void **state)
{
	static const char *const forward = "/proc/sys/net/ipv4/ip_forward";
	const char *heirs = "/run/netns/cv-*/node";
	struct err err = ERR_INIT;

	proxy = proxy_free(proxy, true);
	sh("echo 0 >/proc/sys/net/ipv4/ip_forward && echo 0 >/proc/sys/net/ipv4/conf/all/route_localnet");
	sh("mkdir /run/netns/cv-a");
	settings_file = "/run/netns/cv-a/settings";
	start_proxy();
	assert_int_equal(setting(forward), '1');
	proxy = proxy_free(proxy, false); /* what a kill leaves */
	start_proxy();			  /* a second life finds nothing to change, and must not forget */
	proxy = proxy_free(proxy, false);
	sh("grep -qx 'net/ipv4/ip_forward 0' /run/netns/cv-a/settings");

	sh("mkdir /run/netns/cv-b; for d in a b; do echo pid 1 netns $(stat -L -c %i /proc/self/ns/net) "
	   ">/run/netns/cv-$d/node; done");
	assert_int_equal(proxy_cleanup("caravel", settings_file, heirs, &err), 1);
	assert_int_equal(setting(forward), '1');
	assert_true(missing(settings_file));
	assert_int_equal(proxy_cleanup("caravel", "/run/netns/cv-b/settings", "/run/netns/cv-b*/node", &err), 0);
	assert_int_equal(setting(forward), '0');
	assert_int_equal(setting("/proc/sys/net/ipv4/conf/all/route_localnet"), '0');
	assert_true(missing("/run/netns/cv-b/settings"));
	sh("rm -r /run/netns/cv-a /run/netns/cv-b");
	settings_file = NULL;
	start_proxy();
}

/* Random histories, with affinity, shared addresses and everything else, are text the kernel takes, and lead
 * to the table a fresh start makes. */
static void test_kernel_takes_any_history(_unused_ void **state)
{
	struct render_cfg cfg = { .table = "caravel", .cluster = families_parse(SV("10.42.0.0/16")) };
	struct proxy_backend *b = make_backend();
	struct change_tracker *t = change_tracker_new(&cfg);
	uint64_t x = 88172645463325252;
	struct err err = ERR_INIT;

	for (int step = 0; step < 400; step++) {
		struct endpoint eps[2][8];
		struct frontend f[2];
		struct service_update u[2];
		char key[2][16];
		struct changes c;

		for (unsigned i = 0; i < 2; i++) {
			size_t n = 0, inside = 0;

			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			for (unsigned k = 0; k < 8; k++)
				if (x >> (16 + k) & 1)
					eps[i][n++] = (struct endpoint){ ip_v4(0x0a2a0002 + k), 8080, k & 1 };
			inside = n / 2;
			f[i] = (struct frontend){ .key = { .addr = x >> 30 & 1 ? IP_NONE
									       : ip_v4(0xc0000200 + (uint32_t)(x % 4)),
							   .port = (uint16_t)(80 + x % 3),
							   .proto = x >> 31 & 1 ? IPPROTO_TCP : IPPROTO_UDP },
						  .cluster_ip = x >> 32 & 1,
						  .split = x >> 33 & 1,
						  .masq = (enum masq_mode)(x >> 34 & 3),
						  .own_address = x >> 41 & 1,
						  .affinity_s = x >> 36 & 3 ? 0 : 5 + (uint32_t)(x >> 38 & 1),
						  .outer = { eps[i], n } };
			if (f[i].split)
				f[i].inside = (struct endpoints){ eps[i] + inside, n - inside };
			if (ip_is_none(f[i].key.addr))
				f[i].cluster_ip = f[i].own_address = false;
			(void)snprintf(key[i], sizeof(key[i]), "d/s%u", (unsigned)(x >> 40 & 7) * 2 + i);
			u[i] = (struct service_update){ sv_from(key[i]), &f[i], (x >> 50 & 3) != 0 };
		}
		change_update(t, u, 2, NULL, &c);
		if (c.commands.n && b->apply(b, buf_sv(&c.commands), &err) < 0)
			fail_msg("step %d: %s in\n%s", step, err_msg(&err), buf_cstr(&c.commands));
		changes_release(&c);
	}
	change_tracker_free(t);
	b->free(b);
	assert_int_equal(proxy_cleanup("caravel", NULL, NULL, NULL), 1);
}

/* --- the network --- */

static void make_network(void)
{
	sh("ip link set lo up");
	sh("echo 0 >/proc/sys/net/ipv4/ip_forward && echo 0 >/proc/sys/net/ipv4/conf/all/route_localnet");
	sh("ip link add cvl0 type bridge && ip addr add 10.42.0.1/24 dev cvl0 && ip link set cvl0 up");
	netns[NODE] = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (enum place p = POD_A; p < N_PLACES; p++) {
		_cleanup_free_ char *path = xasprintf("/run/netns/%s", places[p].name);
		_cleanup_free_ char *plug =
		    p == OUTSIDE
			? xstrdup("ip addr add " NODE_IP "/24 dev voutside")
			: xasprintf("ip link set v%1$s master cvl0 && ip link set v%1$s type bridge_slave hairpin on",
				    places[p].name);
		_cleanup_free_ char *cmd =
		    xasprintf("ip netns add %1$s && ip link add v%1$s type veth peer name eth0 netns %1$s && "
			      "ip -n %1$s link set lo up && ip -n %1$s addr add %2$s/24 dev eth0 && "
			      "ip -n %1$s link set eth0 up && ip link set v%1$s up && %3$s && "
			      "ip -n %1$s route add default via %4$s",
			      places[p].name, places[p].ip, plug, p == OUTSIDE ? NODE_IP : places[NODE].ip);

		sh(cmd);
		netns[p] = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(netns[p] >= 0);
	}
	sh("ip route add default via 192.0.2.2");
}

static int skip_all(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
	(void)fprintf(stderr, "proxy conformance skipped: %s\n", why);
	return 77;
}

static void listen_to_log(struct sv line, _unused_ void *ctx)
{
	refused += sv_find_sv(line, SV("rules not written")) >= 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
		cmocka_unit_test(test_kernel_takes_any_history),
		T(test_cluster_ip),
		T(test_node_port),
		T(test_host_port),
		T(test_policies),
		T(test_external_ips),
		T(test_affinity),
		T(test_pods_reach_outside),
		T(test_udp),
		T(test_terminating),
		T(test_udp_terminating),
		T(test_host_port_udp),
		T(test_host_port_udp_begun_by_the_node),
		T(test_changes_under_traffic),
		T(test_replaced_in_parts_under_traffic),
		T(test_tampering),
		T(test_removal),
		T(test_settings_outlive_a_crash),
	};
	struct err err = ERR_INIT;
	struct proxy_backend *b;
	int failed;

	if (geteuid() != 0)
		return skip_all("needs root, for network namespaces of its own");
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0)
		return skip_all("no network namespaces here");
	if (system("ip -V >/dev/null 2>&1 && nft -v >/dev/null 2>&1") != 0)
		return skip_all("needs the ip and nft programs (iproute2, nftables)");
	b = proxy_backend_nft_new("caravel", settings_file, &err);
	if (!b)
		return skip_all(err_msg(&err));
	b->free(b);
	/* Named namespaces of our own, gone with the mount namespace. */
	(void)mkdir("/run/netns", 0755);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("none", "/run/netns", "tmpfs", 0, NULL) < 0)
		return skip_all("cannot mount");
	make_network();
	start_servers();
	log_set_sink(listen_to_log, NULL);
	env = env_real_new(2);
	kit_init(&kit, env);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	env_real_free(env);
	kit_release(&kit);
	return failed;
}
