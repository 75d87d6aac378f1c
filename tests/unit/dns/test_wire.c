/* What is read of clients' and servers' bytes, and what is refused. */
#include "dns_kit.h"

#include <stdio.h>

#define QUESTION "\3web\2ns\3svc\7cluster\5local\0\0\1\0\1"
#define OPT(size, version, flags) "\0\0\51" size "\0" version flags "\0\0"

static enum dns_rcode Rcode;
static struct dns_query Q;

/* Of a literal: header flags, counts, and the rest. */
#define READ(head, rest) dns_query_read(SV("\x12\x34" head rest), false, &Q, &Rcode)
#define COUNTS(additional) "\0\1\0\0\0\0\0" additional

static void test_queries(void **state)
{
	(void)state;
	assert_int_equal(READ("\1\0" COUNTS("\0"), QUESTION), DNS_READ_OK);
	assert_int_equal(Q.id, 0x1234);
	assert_int_equal(Q.name.n, 26);
	assert_true(Q.rd && !Q.edns && Q.udp_max == 512 && Q.type == DNS_A);
	assert_int_equal(READ("\1\20" COUNTS("\1"), QUESTION OPT("\20\0", "\0", "\200\0")), DNS_READ_OK);
	assert_true(Q.edns && Q.want_dnssec && Q.cd && Q.udp_max == 4096);
	/* A size below what everybody takes means that. */
	assert_int_equal(READ("\1\0" COUNTS("\1"), QUESTION OPT("\0\1", "\0", "\0\0")), DNS_READ_OK);
	assert_int_equal(Q.udp_max, 512);
}

static void test_dropped(void **state)
{
	(void)state;
	assert_int_equal(dns_query_read(SV(""), false, &Q, &Rcode), DNS_READ_DROP);
	assert_int_equal(dns_query_read(SV("\x12\x34\1\0\0\1\0\0\0\0\0"), false, &Q, &Rcode), DNS_READ_DROP);
	assert_int_equal(READ("\x81\0" COUNTS("\0"), QUESTION), DNS_READ_DROP); /* a response */
}

#define REFUSED(code, head, rest)                                    \
	do {                                                         \
		assert_int_equal(READ(head, rest), DNS_READ_REFUSE); \
		assert_int_equal(Rcode, code);                       \
	} while (0)

static void test_refused(void **state)
{
	uint8_t out[512];

	(void)state;
	for (unsigned op = 1; op < 16; op++) {
		uint8_t m[64] = { 0x12, 0x34, (uint8_t)(op << 3), 0, 0, 1 };

		memcpy(m + 12, QUESTION, sizeof(QUESTION) - 1);
		assert_int_equal(dns_query_read(sv_make((char *)m, 12 + sizeof(QUESTION) - 1), false, &Q, &Rcode),
				 DNS_READ_REFUSE);
		assert_int_equal(Rcode, DNS_NOTIMP);
		assert_string_equal(kit_text(out, dns_answer_code(&Q, Rcode, out, sizeof(out))), "NOTIMPL");
	}
	REFUSED(DNS_FORMERR, "\1\0\0\0\0\0\0\0\0\0", "");		 /* no question */
	REFUSED(DNS_FORMERR, "\1\0\0\2\0\0\0\0\0\0", QUESTION QUESTION); /* two */
	REFUSED(DNS_FORMERR, "\1\0\0\1\0\1\0\0\0\0", QUESTION QUESTION); /* an answer */
	REFUSED(DNS_FORMERR, "\1\0\0\1\0\0\0\0\377\377", QUESTION);	 /* more than comes */
	REFUSED(DNS_FORMERR, "\1\0" COUNTS("\0"), "\3web");		 /* cut */
	REFUSED(DNS_FORMERR, "\1\0" COUNTS("\0"), "\300\14\0\1\0\1");	 /* a name that is itself */
	REFUSED(DNS_FORMERR, "\1\0" COUNTS("\0"), "\1a\300\14\0\1\0\1"); /* or contains itself */
	REFUSED(DNS_FORMERR, "\1\0" COUNTS("\0"), "\300\0\0\1\0\1");	 /* the header as a name */
	REFUSED(DNS_FORMERR, "\1\0" COUNTS("\0"), "\100abc\0\0\1\0\1");	 /* a label of a kind that is none */
	REFUSED(DNS_FORMERR, "\1\0" COUNTS("\0"), QUESTION "x");	 /* more behind it */
	REFUSED(DNS_FORMERR, "\1\0" COUNTS("\2"),
		QUESTION OPT("\2\0", "\0", "\0\0") OPT("\2\0", "\0", "\0\0"));		/* EDNS twice */
	REFUSED(DNS_FORMERR, "\1\0" COUNTS("\1"), QUESTION "\1x\0\51\2\0\0\0\0\0\0\0"); /* of a name */
	REFUSED(DNS_BADVERS, "\1\0" COUNTS("\1"), QUESTION OPT("\20\0", "\1", "\0\0"));
	assert_string_equal(kit_text(out, dns_answer_code(&Q, Rcode, out, sizeof(out))), "NOERROR ext=1");
	REFUSED(DNS_REFUSED, "\1\0" COUNTS("\0"), "\3web\0\0\1\0\3"); /* CHAOS */
	REFUSED(DNS_REFUSED, "\1\0" COUNTS("\0"), "\3web\0\0\1\0\377");
	REFUSED(DNS_REFUSED, "\1\0" COUNTS("\0"), "\3web\0\0\374\0\1"); /* AXFR */
	REFUSED(DNS_REFUSED, "\1\0" COUNTS("\0"), "\3web\0\0\373\0\1"); /* IXFR */
	assert_string_equal(kit_text(out, dns_answer_code(&Q, Rcode, out, sizeof(out))), "REFUSED");
	REFUSED(DNS_NOTIMP, "\1\0" COUNTS("\0"), "\3web\0\0\51\0\1"); /* OPT */
	REFUSED(DNS_NOTIMP, "\1\0" COUNTS("\0"), "\3web\0\0\0\0\1");
}

static void test_long_names(void **state)
{
	uint8_t m[400] = { 0x12, 0x34, 1, 0, 0, 1 };
	size_t n = 12;

	(void)state;
	/* 4 labels of 62, 3 of 63: 255 bytes with the empty one. */
	for (int i = 0; i < 4; i++) {
		m[n] = i < 3 ? 63 : 61;
		memset(m + n + 1, 'a', m[n]);
		n += 1u + m[n];
	}
	m[n++] = 0;
	assert_int_equal(n - 12, 255);
	m[n + 1] = 1;
	m[n + 3] = 1;
	assert_int_equal(dns_query_read(sv_make((char *)m, n + 4), false, &Q, &Rcode), DNS_READ_OK);
	assert_int_equal(Q.name.n, 255);
	/* One more is none. */
	memmove(m + n, m + n - 1, 5);
	m[n - 1] = 1;
	m[n] = 'b';
	m[n + 1] = 0;
	m[n + 3] = 1;
	m[n + 5] = 1;
	assert_int_equal(dns_query_read(sv_make((char *)m, n + 6), false, &Q, &Rcode), DNS_READ_REFUSE);
}

/* The whole answer, byte by byte. */
static void test_bytes(void **state)
{
	static const char asked[] = "\x12\x34\1\0\0\1\0\0\0\0\0\1\3WEB\2ns\3svc\7cluster\5local\0\0\1\0\1"
				    "\0\0\51\20\0\0\0\0\0\0\0";
	static const char wanted[] = "\x12\x34\x85\x80\0\1\0\1\0\0\0\1\3WEB\2ns\3svc\7cluster\5local\0\0\1\0\1"
				     "\300\14\0\1\0\1\0\0\0\5\0\4\12\53\0\1\0\0\51\4\320\0\0\0\0\0\0";
	struct dns_config *c = dns_config_new(SV("cluster.local"));
	struct zone_table *t = zone_table_new();
	struct dns_view v = { .zone = t, .cfg = c };
	struct dns_name target;
	uint8_t out[512];
	size_t n;

	(void)state;
	kit_put(t, kit_entry(KIT_SERVICE("web", "'clusterIP':'10.43.0.1'"), NULL, NULL));
	assert_int_equal(dns_query_read(sv_make(asked, sizeof(asked) - 1), false, &Q, &Rcode), DNS_READ_OK);
	assert_int_equal(dns_answer(&v, &Q, out, sizeof(out), &n, &target), DNS_ANSWERED);
	assert_int_equal(n, sizeof(wanted) - 1);
	assert_memory_equal(out, wanted, n);
	zone_table_free(t);
	dns_config_free(c);
}

/* --- responses --- */

#define ANSWER(ttl, ip) "\300\14\0\1\0\1" ttl "\0\4" ip
#define EXAMPLE "\7example\3org\0\0\1\0\1"
#define SOA_RECORD "\300\14\0\6\0\1\0\0\2\0\0\32\1a\300\14\300\14\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\144"

static struct dns_msg *response(const char *bytes, size_t n, bool *tc)
{
	struct dns_name name = kit_name("EXAMPLE.org");

	return dns_msg_read(sv_make(bytes, n), 0x1234, &name, DNS_A, tc);
}

#define RESPONSE(bytes, tc) response(bytes, sizeof(bytes) - 1, tc)

static void test_responses(void **state)
{
	struct dns_query q = kit_query("Example.ORG", DNS_A);
	uint8_t out[512];
	struct dns_msg *m;
	bool tc;

	(void)state;
	m = RESPONSE("\x12\x34\x81\x80\0\1\0\2\0\0\0\1" EXAMPLE ANSWER("\0\0\1\0", "\1\2\3\4")
			 ANSWER("\0\0\0\20", "\1\2\3\5") OPT("\20\0", "\0", "\0\0"),
		     &tc);
	assert_non_null(m);
	assert_int_equal(dns_msg_life(m), 16);
	assert_false(dns_msg_negative(m));
	/* As old as it is, in the case of whoever asks, and without the server's EDNS. */
	assert_string_equal(kit_text(out, dns_msg_write(m, &q, 6, 100, out, sizeof(out))),
			    "NOERROR; Example.ORG. 94 IN A 1.2.3.4; Example.ORG. 10 IN A 1.2.3.5");
	dns_msg_unref(m);
	m = RESPONSE("\x12\x34\x81\x83\0\1\0\0\0\1\0\0" EXAMPLE SOA_RECORD, &tc);
	assert_non_null(m);
	assert_true(dns_msg_negative(m));
	assert_int_equal(dns_msg_life(m), 100); /* the SOA's last number, RFC 2308 */
	dns_msg_unref(m);
	m = RESPONSE("\x12\x34\x81\x83\0\1\0\0\0\0\0\0" EXAMPLE, &tc);
	assert_int_equal(dns_msg_life(m), 0);
	dns_msg_unref(m);
	/* A time to live with the sign bit is none (RFC 2181). */
	m = RESPONSE("\x12\x34\x81\x80\0\1\0\1\0\0\0\0" EXAMPLE ANSWER("\200\0\0\1", "\1\2\3\4"), &tc);
	assert_int_equal(dns_msg_life(m), 0);
	dns_msg_unref(m);
	assert_null(RESPONSE("\x12\x34\x83\x80\0\1\0\1\0\0\0\0" EXAMPLE, &tc));
	assert_true(tc);
}

static void test_lies(void **state)
{
	bool tc;

	(void)state;
	assert_null(RESPONSE("\x12\x35\x81\x80\0\1\0\1\0\0\0\0" EXAMPLE ANSWER("\0\0\1\0", "\1\2\3\4"), &tc));
	assert_null(RESPONSE("\x12\x34\1\0\0\1\0\1\0\0\0\0" EXAMPLE ANSWER("\0\0\1\0", "\1\2\3\4"), &tc));
	assert_null(
	    RESPONSE("\x12\x34\x81\x80\0\1\0\1\0\0\0\0\7exbmple\3org\0\0\1\0\1" ANSWER("\0\0\1\0", "\1\2\3\4"), &tc));
	assert_null(
	    RESPONSE("\x12\x34\x81\x80\0\1\0\1\0\0\0\0\7example\3org\0\0\34\0\1" ANSWER("\0\0\1\0", "\1\2\3\4"), &tc));
	assert_null(RESPONSE("\x12\x34\x81\x80\0\0\0\1\0\0\0\0" ANSWER("\0\0\1\0", "\1\2\3\4"), &tc));
	assert_null(RESPONSE("\x12\x34\x81\x80\0\1\0\2\0\0\0\0" EXAMPLE ANSWER("\0\0\1\0", "\1\2\3\4"), &tc));
	assert_null(RESPONSE("\x12\x34\x81\x80\0\1\377\377\0\0\0\0" EXAMPLE ANSWER("\0\0\1\0", "\1\2\3\4"), &tc));
	/* Names that refer to themselves, or forward. */
	assert_null(RESPONSE("\x12\x34\x81\x80\0\1\0\1\0\0\0\0" EXAMPLE "\300\35\0\1\0\1\0\0\0\1\0\4\1\2\3\4", &tc));
	assert_null(RESPONSE("\x12\x34\x81\x80\0\1\0\1\0\0\0\0" EXAMPLE "\300\14\0\5\0\1\0\0\0\1\0\2\300\51", &tc));
	/* Data of another length than it says. */
	assert_null(RESPONSE("\x12\x34\x81\x80\0\1\0\1\0\0\0\0" EXAMPLE "\300\14\0\1\0\1\0\0\0\1\0\5\1\2\3\4", &tc));
}

/* A message that is more than the client takes: whole records, and TC. */
static void test_cut(void **state)
{
	struct dns_query q = kit_query("example.org", DNS_A);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct dns_name name = kit_name("example.org");
	uint8_t out[2048];
	struct dns_msg *m;
	size_t n;
	bool tc;

	(void)state;
	buf_add(&b, "\x12\x34\x81\x80\0\1\0\100\0\0\0\0" EXAMPLE, 12 + sizeof(EXAMPLE) - 1);
	for (int i = 0; i < 64; i++)
		buf_add(&b, ANSWER("\0\0\1\0", "\1\2\3\4"), 16);
	m = dns_msg_read(buf_sv(&b), 0x1234, &name, DNS_A, &tc);
	assert_non_null(m);
	n = dns_msg_write(m, &q, 0, 100, out, sizeof(out));
	assert_true(n <= 512 && n > 496);
	assert_non_null(strstr(kit_text(out, n), " tc"));
	q.udp_max = 1232;
	assert_null(strstr(kit_text(out, dns_msg_write(m, &q, 0, 100, out, sizeof(out))), " tc"));
	dns_msg_unref(m);
}

static int wire_setup(void **state)
{
	(void)state;
	return dns_wire_need(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queries),	   cmocka_unit_test(test_dropped), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_long_names), cmocka_unit_test(test_bytes),   cmocka_unit_test(test_responses),
		cmocka_unit_test(test_lies),	   cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, wire_setup, NULL);
}
