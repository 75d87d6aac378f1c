/* Upstream servers as a script on a virtual clock: who is asked when, what counts as an answer, what is remembered. */
#include "dns_kit.h"

#include "dns/forward.h"

#define MS NS_PER_MS
#define S NS_PER_SEC

/* What was sent and not ended. */
struct sent {
	struct dns_try *t;
	struct ip_addr addr;
	bool tcp, over;
	uint8_t bytes[512];
	size_t n;
};

static struct {
	int64_t now, wake;
	uint64_t chance;
	struct sent sent[4000];
	size_t n;
	int unreachable; /* last byte of an address to which nothing can be sent */
} W;

static struct dns_forwarder *F;
static struct dns_config *C;
static struct dns_key K;

static int64_t w_now(void *ctx)
{
	(void)ctx;
	return W.now;
}

static void w_random(void *ctx, void *p, size_t n)
{
	(void)ctx;
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] =
		    (uint8_t)(W.chance = W.chance * 6364136223846793005u + 1442695040888963407u, W.chance >> 56);
}

static bool w_send(void *ctx, struct dns_try *t, struct ip_addr addr, uint16_t port, bool tcp, struct sv bytes,
		   void **ret_call)
{
	struct sent *s = &W.sent[W.n];

	(void)ctx;
	assert_int_equal(port, 53);
	if (addr.b[15] == W.unreachable)
		return false;
	assert_true(W.n < ARRAY_LEN(W.sent));
	*s = (struct sent){ .t = t, .addr = addr, .tcp = tcp, .n = bytes.n };
	memcpy(s->bytes, bytes.p, bytes.n);
	W.n++;
	*ret_call = s;
	return true;
}

static void w_end(void *ctx, void *call)
{
	(void)ctx;
	assert_false(((struct sent *)call)->over);
	((struct sent *)call)->over = true;
}

static void w_wake_at(void *ctx, int64_t at_ns)
{
	(void)ctx;
	W.wake = at_ns;
}

static int forward_setup(void **state)
{
	const struct dns_transport t = { w_now, w_random, w_send, w_end, w_wake_at, NULL };
	struct ip_addr servers[] = { ip_v4(0x0a000001), ip_v4(0x0a000002) };

	(void)state;
	assert_int_equal(dns_wire_need(NULL), 0);
	memset(&W, 0, sizeof(W));
	W.now = 1000 * S;
	C = dns_config_new(SV("cluster.local"));
	dns_config_host(C, servers, 2);
	F = dns_forwarder_new(&t, 100000);
	dns_forwarder_use(F, C);
	K = (struct dns_key){ .name = kit_name("example.org"), .type = DNS_A };
	return 0;
}

static int forward_teardown(void **state)
{
	(void)state;
	F = dns_forwarder_free(F);
	C = dns_config_free(C);
	for (size_t i = 0; i < W.n; i++)
		assert_true(W.sent[i].over);
	return 0;
}

/* What somebody was told: "", or text; with "stale". */
struct told {
	char text[300];
	int times;
};

static void w_done(void *ctx, struct dns_msg *m, uint32_t age_s, bool stale)
{
	struct told *to = ctx;
	struct dns_query q = kit_query("example.org", DNS_A);
	uint8_t out[512];

	to->times++;
	q.name = q.lower = K.name;
	(void)snprintf(to->text, sizeof(to->text), "%s%s", stale ? "stale " : "",
		       m ? kit_text(out, dns_msg_write(m, &q, age_s, 1000, out, sizeof(out))) : "nobody");
}

static void ask(struct told *to)
{
	memset(to, 0, sizeof(*to));
	dns_forward_ask(F, &K, ip_v4(0x0a2a0001), w_done, to);
}

/* Lets the clock go, with the ticks that were asked for. */
static void go(int64_t ns)
{
	int64_t end = W.now + ns;

	while (W.wake && W.wake <= end) {
		W.now = MAX(W.now, W.wake);
		W.wake = 0;
		dns_forward_tick(F);
	}
	W.now = end;
}

/* The i-th message that was sent is answered with that code and, for NOERROR, an address that lives ttl seconds. */
static void answer_as(size_t i, unsigned flags, unsigned ttl, const char *mark)
{
	struct sent *s = &W.sent[i];
	size_t q_n = 12 + (size_t)K.name.n + 4, n = q_n;
	uint8_t out[600];

	assert_true(i < W.n);
	memcpy(out, s->bytes, q_n);
	out[2] = (uint8_t)(flags >> 8);
	out[3] = (uint8_t)flags;
	memset(out + 6, 0, 6);
	if ((flags & 15) == 0 && ttl) {
		uint8_t rr[] = { 0xc0,		12, 0, 1, 0, 1, 0, 0, (uint8_t)(ttl >> 8), (uint8_t)ttl, 0, 4, 1, 2, 3,
				 (uint8_t)*mark };

		out[7] = 1;
		memcpy(out + n, rr, sizeof(rr));
		n += sizeof(rr);
	}
	dns_forward_got(F, s->t, sv_make((const char *)out, n));
}

static void answer(size_t i)
{
	answer_as(i, 0x8180, 60, "\4");
}

#define ANSWERED "NOERROR; example.org. 60 IN A 1.2.3.4"

static void test_cached(void **state)
{
	struct told a, b;

	(void)state;
	ask(&a);
	assert_int_equal(W.n, 1);
	assert_int_equal(W.sent[0].addr.b[15], 1); /* in their order */
	answer(0);
	assert_string_equal(a.text, ANSWERED);
	go(20 * S);
	ask(&b);
	assert_string_equal(b.text, "NOERROR; example.org. 40 IN A 1.2.3.4");
	assert_int_equal(W.n, 1);
	go(40 * S);
	ask(&b);
	assert_int_equal(W.n, 2); /* no longer than it says */
	answer(1);
	assert_int_equal(a.times, 1);
}

static void test_single_flight(void **state)
{
	struct told t[20];

	(void)state;
	for (size_t i = 0; i < 20; i++)
		ask(&t[i]);
	assert_int_equal(W.n, 1);
	answer(0);
	for (size_t i = 0; i < 20; i++)
		assert_string_equal(t[i].text, ANSWERED);
}

static void test_slow_server(void **state)
{
	struct told a;

	(void)state;
	ask(&a);
	go(499 * MS);
	assert_int_equal(W.n, 1);
	go(2 * MS);
	assert_int_equal(W.n, 2); /* the next one, too */
	assert_int_equal(W.sent[1].addr.b[15], 2);
	answer(0); /* and the first is still listened to */
	assert_string_equal(a.text, ANSWERED);
}

/* Nobody answers, ever: an end, and no more messages than a few. */
static void test_dead(void **state)
{
	struct told a;

	(void)state;
	ask(&a);
	go(4900 * MS);
	assert_int_equal(a.times, 0);
	assert_true(W.n >= 4 && W.n <= 5);
	go(200 * MS);
	assert_string_equal(a.text, "nobody");
	assert_int_equal(dns_forward_stats(F).flights, 0);
	assert_int_equal(dns_forward_stats(F).waiters, 0);
}

/* One that is dead is asked last, and is asked again when it may be back. */
static void test_aside(void **state)
{
	struct told a;
	size_t from;

	(void)state;
	for (int i = 0; i < 2; i++) {
		K.name = kit_name(i ? "b.org" : "a.org");
		from = W.n;
		ask(&a);
		go(600 * MS);
		assert_int_equal(W.n, from + 2);
		answer(from + 1);
	}
	assert_int_equal(dns_forward_stats(F).aside, 1);
	K.name = kit_name("c.org");
	from = W.n;
	ask(&a);
	assert_int_equal(W.n, from + 1);
	assert_int_equal(W.sent[from].addr.b[15], 2);
	answer(from);
	go(2 * S);
	K.name = kit_name("d.org");
	from = W.n;
	ask(&a);
	assert_int_equal(W.n, from + 2); /* the good one, and a look at the other */
	assert_int_equal(W.sent[from].addr.b[15], 2);
	assert_int_equal(W.sent[from + 1].addr.b[15], 1);
	answer(from);
	assert_true(strncmp(a.text, "NOERROR", 7) == 0);
	go(100 * MS);
	answer(from + 1); /* which answers after nobody waits any more */
	assert_int_equal(dns_forward_stats(F).aside, 0);
	K.name = kit_name("e.org");
	from = W.n;
	ask(&a);
	assert_int_equal(W.sent[from].addr.b[15], 1);
	answer(from);
}

static void test_refusals_go_on(void **state)
{
	struct told a;

	(void)state;
	ask(&a);
	answer_as(0, 0x8182, 0, ""); /* SERVFAIL */
	assert_int_equal(W.n, 2);
	answer_as(1, 0x8185, 0, ""); /* REFUSED */
	assert_string_equal(a.text, "REFUSED");
	ask(&a);
	assert_int_equal(W.n, 3);		  /* that is not kept */
	dns_forward_got(F, W.sent[2].t, SV_NULL); /* nobody is there */
	answer(3);
	assert_string_equal(a.text, ANSWERED);
}

static void test_lies(void **state)
{
	struct told a;
	uint8_t out[512];
	size_t n;

	(void)state;
	ask(&a);
	n = W.sent[0].n;
	/* Another id, another question, rubbish, our own question. */
	for (int i = 0; i < 5; i++) {
		memcpy(out, W.sent[0].bytes, n);
		out[2] = 0x81;
		if (i == 0)
			out[0] ^= 1;
		if (i == 1)
			out[14] ^= 1;
		if (i == 2)
			memset(out, 0xff, n);
		if (i == 3)
			out[2] = 0x01;
		dns_forward_got(F, W.sent[0].t, sv_make((char *)out, i == 4 ? 3 : n));
		assert_int_equal(a.times, 0);
	}
	answer(0);
	assert_string_equal(a.text, ANSWERED);
	/* Somebody who guesses: then TCP, where guessing is hard. */
	K.name = kit_name("b.org");
	ask(&a);
	for (int i = 0; i < 16; i++)
		dns_forward_got(F, W.sent[1].t, SV("x"));
	assert_int_equal(W.n, 3);
	assert_true(W.sent[2].tcp);
	assert_int_equal(W.sent[2].addr.b[15], 1);
	dns_forward_got(F, W.sent[2].t, SV("x"));
	assert_int_equal(W.n, 4);
	answer(3);
	assert_int_equal(a.times, 1);
}

/* Ids do not repeat in a way that one could foresee. */
static void test_ids(void **state)
{
	struct told a;
	size_t same = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		char name[20];

		(void)snprintf(name, sizeof(name), "n%d.org", i);
		K.name = kit_name(name);
		ask(&a);
		answer(W.n - 1);
		if (W.n > 1)
			same += memcmp(W.sent[W.n - 1].bytes, W.sent[W.n - 2].bytes, 2) == 0;
	}
	assert_true(same < 3);
}

static void test_truncated(void **state)
{
	struct told a;

	(void)state;
	ask(&a);
	answer_as(0, 0x8380, 0, "");
	assert_int_equal(W.n, 2);
	assert_true(W.sent[1].tcp);
	answer(1);
	assert_string_equal(a.text, ANSWERED);
}

static void test_no_edns(void **state)
{
	struct told a;

	(void)state;
	ask(&a);
	assert_int_equal(W.sent[0].bytes[11], 1);
	answer_as(0, 0x8181, 0, ""); /* FORMERR */
	assert_int_equal(W.sent[1].bytes[11], 0);
	assert_int_equal(W.sent[1].addr.b[15], 1);
	answer(1);
	assert_string_equal(a.text, ANSWERED);
	K.name = kit_name("b.org");
	ask(&a);
	assert_int_equal(W.sent[2].bytes[11], 0); /* that is remembered */
	answer(2);
}

static void test_stale(void **state)
{
	struct told a, b;

	(void)state;
	ask(&a);
	answer(0);
	go(100 * S);
	ask(&a);
	go(1700 * MS);
	assert_int_equal(a.times, 0);
	go(200 * MS);
	assert_string_equal(a.text, "stale " ANSWERED);
	/* Who comes now does not wait; and who answers late is heard. */
	ask(&b);
	assert_string_equal(b.text, "stale " ANSWERED);
	answer_as(W.n - 1, 0x8180, 60, "\5");
	ask(&b);
	assert_string_equal(b.text, "NOERROR; example.org. 60 IN A 1.2.3.5");
	/* Each says that it fails: at once. */
	go(100 * S);
	ask(&a);
	answer_as(W.n - 1, 0x8182, 0, "");
	answer_as(W.n - 1, 0x8182, 0, "");
	assert_string_equal(a.text, "stale NOERROR; example.org. 60 IN A 1.2.3.5");
	/* All are dead for a while: nobody waits any more. */
	for (int i = 0; i < 3; i++) {
		ask(&a);
		go(6 * S);
	}
	assert_int_equal(dns_forward_stats(F).aside, 2);
	ask(&a);
	assert_int_equal(a.times, 1);
	assert_string_equal(a.text, "stale NOERROR; example.org. 60 IN A 1.2.3.5");
	/* Not for ever. */
	go(4000 * S);
	ask(&a);
	go(6 * S);
	assert_string_equal(a.text, "nobody");
}

static void test_unreachable(void **state)
{
	struct told a;

	(void)state;
	W.unreachable = 1;
	ask(&a);
	assert_int_equal(W.n, 1);
	assert_int_equal(W.sent[0].addr.b[15], 2);
	answer(0);
	assert_string_equal(a.text, ANSWERED);
}

static void test_bounds(void **state)
{
	static struct told t[DNS_PEER_WAITERS_MAX + 1];

	(void)state;
	for (size_t i = 0; i < DNS_PEER_WAITERS_MAX; i++) {
		ask(&t[i]);
		assert_int_equal(t[i].times, 0);
	}
	ask(&t[DNS_PEER_WAITERS_MAX]);
	assert_string_equal(t[DNS_PEER_WAITERS_MAX].text, "nobody");
	dns_forward_ask(F, &K, ip_v4(0x0a2a0002), w_done, &t[0]); /* another one may */
	answer(0);
	assert_string_equal(t[1].text, ANSWERED);
	assert_int_equal(dns_forward_stats(F).waiters, 0);
}

static void test_no_servers(void **state)
{
	struct dns_config *none = dns_config_new(SV("cluster.local"));
	struct told a;

	(void)state;
	dns_forwarder_use(F, none);
	ask(&a);
	assert_string_equal(a.text, "nobody");
	dns_forwarder_use(F, C);
	dns_config_free(none);
}

static void test_end_with_waiters(void **state)
{
	struct told a;

	ask(&a);
	(void)forward_teardown(state);
	assert_string_equal(a.text, "nobody");
	(void)forward_setup(state);
}

/* Bounded in bytes; what was used last stays. */
static void test_cache_bound(void **state)
{
	struct dns_cache *c = dns_cache_new(10000);
	struct dns_key k = { .type = DNS_A };
	struct dns_msg *m, *got;
	uint32_t age;
	bool tc;

	(void)state;
	k.name = kit_name("example.org");
	m = dns_msg_read(
	    SV("\x12\x34\x81\x80\0\1\0\1\0\0\0\0\7example\3org\0\0\1\0\1\300\14\0\1\0\1\0\0\0\20\0\4\1\2\3\4"), 0x1234,
	    &k.name, DNS_A, &tc);
	assert_non_null(m);
	for (int i = 0; i < 1000; i++) {
		k.name = kit_name("keep.org");
		if (i == 0)
			dns_cache_put(c, &k, m, 100, 0, 0);
		assert_int_equal(dns_cache_get(c, &k, S, &got, &age), DNS_CACHE_FRESH);
		k.name.b[1] = (uint8_t)i;
		k.name.b[2] = (uint8_t)(i >> 8);
		dns_cache_put(c, &k, m, 100, 0, 0);
		assert_true(dns_cache_bytes(c) <= 10000);
	}
	assert_true(dns_cache_count(c) > 10);
	k.name = kit_name("keep.org");
	k.want_dnssec = true; /* is another question */
	assert_int_equal(dns_cache_get(c, &k, S, &got, &age), DNS_CACHE_NONE);
	dns_cache_free(c);
	dns_msg_unref(m);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, forward_setup, forward_teardown)
	const struct CMUnitTest tests[] = {
		T(test_cached),		T(test_single_flight), T(test_slow_server),
		T(test_dead),		T(test_aside),	       T(test_lies),
		T(test_refusals_go_on), T(test_ids),	       T(test_truncated),
		T(test_no_edns),	T(test_stale),	       T(test_unreachable),
		T(test_bounds),		T(test_no_servers),    T(test_end_with_waiters),
		T(test_cache_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
