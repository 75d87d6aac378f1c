/* The name server on its own thread, asked by real sockets on loopback: datagrams, TCP with many messages, upstream
 * servers, changes while it answers. */
#include "dns_kit.h"

#include "dns/serve.h"
#include "net/framed.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

static struct env *Env;
static struct ev_loop *Loop;
static struct dns_serve *Serve;
static pthread_t Thread;
static sem_t Applied;
static _Atomic int Looks;
static int Upstream_fd, Upstream_port, Port;

static void *run_loop(void *ctx)
{
	ev_loop_run(ctx);
	return NULL;
}

static void look(void *ctx)
{
	(void)ctx;
	Looks++;
}

static void apply(void *p)
{
	dns_serve_update(Serve, p);
	sem_post(&Applied);
}

static void post(struct dns_update *u)
{
	ev_loop_post(Loop, apply, u);
	while (sem_wait(&Applied) < 0)
		;
}

static void close_all(void *p)
{
	(void)p;
	Serve = dns_serve_free(Serve);
}

/* One Service more (or gone, ip NULL). */
static void change(const char *name, const char *ip, bool complete)
{
	struct dns_update *u = xcalloc(1, sizeof(*u));
	struct dns_name_change c = { 0 };
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	_cleanup_free_ char *json =
	    xasprintf("{'kind':'Service','metadata':{'name':'%s','namespace':'ns'},'spec':{'clusterIP':'%s'}}", name,
		      ip ? ip : "");

	assert_true(zone_key(SV("ns"), sv_from(name), &key));
	c.entry = ip ? kit_entry(json, NULL, NULL) : NULL;
	c.key_n = key.n;
	c.key = buf_detach(&key);
	vec_push(&u->names, c);
	u->complete = complete;
	post(u);
}

static void configure(void)
{
	struct dns_update *u = xcalloc(1, sizeof(*u));
	_cleanup_(buf_release) struct buf said = BUF_INIT;
	_cleanup_free_ char *text = xasprintf(". {\n forward . 127.0.0.1:%d\n}\n", Upstream_port);

	u->cfg = dns_config_new(SV("cluster.local"));
	u->clients = dns_clients_new(NULL, 0);
	u->cfg->log_errors = false;
	dns_config_corefile(u->cfg, sv_from(text), NULL, &said);
	post(u);
}

static int any_port_udp(int *ret_port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, n), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
	*ret_port = ntohs(in.sin_port);
	return fd;
}

static int Kept; /* by somebody, of the server before; 0: nothing is */

static int serve_setup(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	sem_init(&Applied, 0, 0);
	Env = env_real_new(0);
	Loop = ev_loop_new(&err);
	Serve =
	    dns_serve_new(&(struct dns_serve_opts){ .env = Env, .loop = Loop, .fd = Kept, .look_at_host = look }, &err);
	if (!Serve)
		fail_msg("%s", err_msg(&err));
	Kept = 0;
	Port = dns_serve_port(Serve);
	Looks = 0;
	Upstream_fd = any_port_udp(&Upstream_port);
	pthread_create(&Thread, NULL, run_loop, Loop);
	configure();
	return 0;
}

static int serve_teardown(void **state)
{
	(void)state;
	ev_loop_post(Loop, close_all, NULL);
	ev_loop_stop(Loop);
	pthread_join(Thread, NULL);
	ev_loop_free(Loop);
	env_real_free(Env);
	close(Upstream_fd);
	return 0;
}

static int client(int type)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)Port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval guard = { .tv_sec = 30 }; /* against hanging */
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &guard, sizeof(guard));
	return fd;
}

static size_t question(uint8_t *p, const char *name, uint16_t id)
{
	struct dns_name n = kit_name(name);

	return dns_ask_write(p, id, &n, DNS_A, false, false, false);
}

/* The same behind its length, as TCP has it. */
static size_t framed_question(uint8_t *p, const char *name, uint16_t id)
{
	size_t n = question(p + 2, name, id);

	p[0] = (uint8_t)(n >> 8);
	p[1] = (uint8_t)n;
	return n + 2;
}

static const char *ask_udp(const char *name)
{
	uint8_t out[512], in[2048];
	size_t n = question(out, name, 7);
	_cleanup_close_ int fd = client(SOCK_DGRAM);
	ssize_t got;

	assert_int_equal(send(fd, out, n, 0), n);
	got = recv(fd, in, sizeof(in), 0);
	return got < 0 ? "nothing" : kit_text(in, (size_t)got);
}

static size_t read_all(int fd, uint8_t *p, size_t n)
{
	size_t have = 0;

	while (have < n) {
		ssize_t got = recv(fd, p + have, n - have, 0);

		if (got <= 0)
			break;
		have += (size_t)got;
	}
	return have;
}

/* What the upstream server is asked next, answered with an address (or truncated). */
static void upstream_answers(uint8_t last, bool tc)
{
	uint8_t p[600];
	struct sockaddr_in from;
	socklen_t from_n = sizeof(from);
	ssize_t n = recvfrom(Upstream_fd, p, 512, 0, (struct sockaddr *)&from, &from_n);
	uint8_t rr[16] = { 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, last };

	assert_true(n > 12);
	n -= 11; /* the query's EDNS */
	p[2] = tc ? 0x83 : 0x81;
	p[3] = 0x80;
	p[7] = tc ? 0 : 1;
	p[11] = 0;
	memcpy(p + n, rr, sizeof(rr));
	assert_true(sendto(Upstream_fd, p, (size_t)n + (tc ? 0 : sizeof(rr)), 0, (struct sockaddr *)&from, from_n) > 0);
}

#define WEB "NOERROR aa; web.ns.svc.cluster.local. 5 IN A 10.43.0.1"

static void test_datagrams(void **state)
{
	(void)state;
	change("web", "10.43.0.1", true);
	assert_string_equal(ask_udp("web.ns.svc.cluster.local"), WEB);
	change("web", NULL, true);
	assert_true(strncmp(ask_udp("web.ns.svc.cluster.local"), "NXDOMAIN", 8) == 0);
}

/* Until names are known nothing is said: what was asked meanwhile is answered then. */
static void test_waits_for_names(void **state)
{
	uint8_t out[512], in[2048];
	size_t n = question(out, "web.ns.svc.cluster.local", 7);
	_cleanup_close_ int fd = client(SOCK_DGRAM);
	ssize_t got;

	(void)state;
	assert_int_equal(send(fd, out, n, 0), n);
	change("web", "10.43.0.1", true);
	got = recv(fd, in, sizeof(in), 0);
	assert_true(got > 0);
	assert_string_equal(kit_text(in, (size_t)got), WEB);
}

static void test_many_messages(void **state)
{
	uint8_t out[514], head[2];
	_cleanup_(buf_release) struct buf all = BUF_INIT;
	_cleanup_close_ int fd = client(SOCK_STREAM);
	bool seen[300] = { 0 };

	(void)state;
	change("web", "10.43.0.1", true);
	for (uint16_t i = 0; i < 300; i++) {
		size_t n = framed_question(out, "web.ns.svc.cluster.local", i);

		buf_add(&all, out, n);
	}
	/* In two pieces, cut within a message. */
	assert_int_equal(send(fd, all.p, 1001, 0), 1001);
	assert_int_equal(send(fd, all.p + 1001, all.n - 1001, 0), all.n - 1001);
	for (int i = 0; i < 300; i++) {
		uint8_t in[512];
		size_t n;

		assert_int_equal(read_all(fd, head, 2), 2);
		n = (size_t)(head[0] << 8 | head[1]);
		assert_int_equal(read_all(fd, in, n), n);
		seen[in[0] << 8 | in[1]] = true;
		assert_string_equal(kit_text(in, n), WEB);
	}
	for (int i = 0; i < 300; i++)
		assert_true(seen[i]);
	/* A length of nothing is no message. */
	assert_int_equal(send(fd, "\0\0", 2, 0), 2);
	assert_int_equal(read_all(fd, head, 1), 0);
}

/* A client that has said all gets what it asked for; one that asks for nothing does not hurt. */
static void test_half_closed(void **state)
{
	uint8_t out[514], in[600];
	size_t n = framed_question(out, "elsewhere.test", 7);
	_cleanup_close_ int fd = client(SOCK_STREAM);

	(void)state;
	change("web", "10.43.0.1", true);
	assert_int_equal(send(fd, out, n, 0), n);
	shutdown(fd, SHUT_WR);
	upstream_answers(9, false);
	n = read_all(fd, in, sizeof(in));
	assert_true(n > 2);
	assert_string_equal(kit_text(in + 2, n - 2), "NOERROR; elsewhere.test. 60 IN A 192.0.2.9");
}

static void test_connections_bound(void **state)
{
	int fds[40];
	uint8_t out[514], in[2];
	size_t n = framed_question(out, "web.ns.svc.cluster.local", 7), answered = 0;

	(void)state;
	change("web", "10.43.0.1", true);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		fds[i] = client(SOCK_STREAM);
		(void)send(fds[i], out, n, MSG_NOSIGNAL);
		answered += read_all(fds[i], in, 2) == 2;
	}
	assert_int_equal(answered, 16); /* of one address */
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
	assert_string_equal(ask_udp("web.ns.svc.cluster.local"), WEB);
}

/* The other family, at the same port: the answer leaves from the address that was asked. */
static void test_ipv6(void **state)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6,
				   .sin6_port = htons((uint16_t)Port),
				   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct timeval guard = { .tv_sec = 30 };
	uint8_t out[514], in[600];
	size_t n = framed_question(out, "web.ns.svc.cluster.local", 7);

	(void)state;
	change("web", "10.43.0.1", true);
	for (int tcp = 0; tcp <= 1; tcp++) {
		_cleanup_close_ int fd = socket(AF_INET6, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
		ssize_t got;

		if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
			skip(); /* a machine without IPv6 */
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &guard, sizeof(guard));
		assert_true((tcp ? send(fd, out, n, 0) : send(fd, out + 2, n - 2, 0)) > 0);
		got = recv(fd, in, sizeof(in), 0);
		assert_true(got > 12);
		assert_string_equal(kit_text(in + 2 * tcp, (size_t)got - 2 * (size_t)tcp), WEB);
	}
}

static void *asks_elsewhere(void *ret)
{
	*(char **)ret = xstrdup(ask_udp("elsewhere.test"));
	return NULL;
}

/* A name of somebody else's waits for its server; one of the cluster does not. */
static void test_forwarded(void **state)
{
	_cleanup_free_ char *got = NULL;
	pthread_t t;

	(void)state;
	change("web", "10.43.0.1", true);
	pthread_create(&t, NULL, asks_elsewhere, &got);
	upstream_answers(9, false);
	pthread_join(t, NULL);
	assert_string_equal(got, "NOERROR; elsewhere.test. 60 IN A 192.0.2.9");
	assert_string_equal(ask_udp("web.ns.svc.cluster.local"), WEB);
	/* From memory: nobody is asked. */
	assert_string_equal(ask_udp("elsewhere.test"), "NOERROR; elsewhere.test. 60 IN A 192.0.2.9");
	assert_int_equal(Looks, 1);
}

/* Answers under way when all ends: nobody hears of them, and nothing is left. */
static void test_end(void **state)
{
	uint8_t out[514];
	size_t n = framed_question(out, "elsewhere.test", 7);
	_cleanup_close_ int udp = client(SOCK_DGRAM), tcp = client(SOCK_STREAM);
	char p[512];

	change("web", "10.43.0.1", true);
	assert_int_equal(send(udp, out + 2, n - 2, 0), n - 2);
	assert_int_equal(send(tcp, out, n, 0), n);
	assert_true(recv(Upstream_fd, p, sizeof(p), 0) > 0);
	(void)serve_teardown(state);
	(void)serve_setup(state);
}

/* The server after one that died: at its port, and what was asked meanwhile is answered. */
static void test_next_one(void **state)
{
	uint8_t out[512], in[2048];
	size_t n = question(out, "web.ns.svc.cluster.local", 7);
	_cleanup_close_ int fd = client(SOCK_DGRAM);
	int port = Port;
	ssize_t got;

	Kept = dup(dns_serve_fd(Serve));
	(void)serve_teardown(state);
	assert_int_equal(send(fd, out, n, 0), n); /* twice: a refusal would come with the second */
	assert_int_equal(send(fd, out, n, 0), n);
	(void)serve_setup(state);
	assert_int_equal(Port, port);
	change("web", "10.43.0.1", true);
	got = recv(fd, in, sizeof(in), 0);
	assert_true(got > 0);
	assert_string_equal(kit_text(in, (size_t)got), WEB);
	/* what is kept is of no use */
	(void)serve_teardown(state);
	Kept = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)serve_setup(state);
	change("web", "10.43.0.1", true);
	assert_string_equal(ask_udp("web.ns.svc.cluster.local"), WEB);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, serve_setup, serve_teardown)
	const struct CMUnitTest tests[] = {
		T(test_datagrams),	   T(test_waits_for_names),
		T(test_many_messages),	   T(test_half_closed),
		T(test_forwarded),	   T(test_ipv6),
		T(test_connections_bound), T(test_end),
		T(test_next_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
