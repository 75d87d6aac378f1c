/* etcd's messages, byte by byte, as its own programs write and read them. */
#include "unit.h"

#include "store/etcd/link.h"
#include "store/etcd/wire.h"

#include <errno.h>

#define assert_bytes(b, text)                                  \
	do {                                                   \
		struct sv want_ = SV(text);                    \
		assert_int_equal((b)->n, want_.n);             \
		assert_memory_equal((b)->p, want_.p, want_.n); \
		buf_release(b);                                \
	} while (0)

static void test_range_question(_unused_ void **state)
{
	struct buf b = BUF_INIT;

	etcd_range_write(&b, &(struct etcd_range){ .key = SV("a"), .end = SV("b"), .limit = 5, .rev = 300 });
	assert_bytes(&b, "\x0a\x01"
			 "a"
			 "\x12\x01"
			 "b"
			 "\x18\x05"
			 "\x20\xac\x02");
	etcd_range_write(&b, &(struct etcd_range){ .key = ETCD_FIRST_KEY, .end = ETCD_FIRST_KEY, .count_only = true });
	assert_bytes(&b, "\x0a\x01\x00"
			 "\x12\x01\x00"
			 "\x48\x01");
}

static void test_look(_unused_ void **state)
{
	struct buf b = BUF_INIT;

	etcd_look_write(&b, 0);
	assert_bytes(&b, "\x0a\x06health\x48\x01");
	etcd_look_write(&b, 300);
	assert_bytes(&b, "\x0a\x06health\x20\xac\x02\x48\x01");
}

static void test_change(_unused_ void **state)
{
	struct etcd_event made = { .kv = { .key = SV("k"), .value = SV("v"), .create_rev = 4, .mod_rev = 4 } },
			  changed = { .kv = { .key = SV("k"), .value = SV("w"), .create_rev = 4, .mod_rev = 5 },
				      .prev = made.kv,
				      .has_prev = true },
			  gone = { .kv = { .key = SV("k"), .value = SV(""), .mod_rev = 6 },
				   .prev = changed.kv,
				   .has_prev = true };
	struct store_change c;
	struct store_kv prev;

	assert_true(etcd_change(&made, &prev, &c));
	assert_null(c.prev);
	assert_false(c.kv.deleted);
	assert_true(etcd_change(&changed, &prev, &c));
	assert_ptr_equal(c.prev, &prev);
	assert_sv(prev.value, "v");
	assert_int_equal(c.kv.mod_rev, 5);
	assert_true(etcd_change(&gone, &prev, &c));
	assert_true(c.kv.deleted);
	assert_sv(prev.value, "w");
	/* Compacted on its way. */
	changed.has_prev = gone.has_prev = false;
	assert_false(etcd_change(&changed, &prev, &c));
	assert_false(etcd_change(&gone, &prev, &c));
}

static void test_txn_question(_unused_ void **state)
{
	struct store_write also[] = { { .key = SV("g"), .expect_rev = 9, .guard = true },
				      { .key = SV("d"), .expect_rev = STORE_ANY_REV, .tombstone = true } };
	struct store_write w = {
		.key = SV("k"), .value = SV("v"), .expect_rev = 7, .lease = 5, .also = also, .n_also = 2
	};
	struct buf b = BUF_INIT;

	/* compare mod(k) = 7, mod(g) = 9; delete d, put k; else get k, g, d */
	etcd_txn_write(&b, &w);
	assert_bytes(&b, "\x0a\x07"
			 "\x10\x02"
			 "\x1a\x01"
			 "k"
			 "\x30\x07"
			 "\x0a\x07"
			 "\x10\x02"
			 "\x1a\x01"
			 "g"
			 "\x30\x09"
			 "\x12\x05"
			 "\x1a\x03"
			 "\x0a\x01"
			 "d"
			 "\x12\x0a"
			 "\x12\x08"
			 "\x0a\x01"
			 "k"
			 "\x12\x01"
			 "v"
			 "\x18\x05"
			 "\x1a\x05"
			 "\x0a\x03"
			 "\x0a\x01"
			 "k"
			 "\x1a\x05"
			 "\x0a\x03"
			 "\x0a\x01"
			 "g"
			 "\x1a\x05"
			 "\x0a\x03"
			 "\x0a\x01"
			 "d");
	/* A key that must not be there: its revision is 0, which is said. */
	etcd_txn_write(&b, &(struct store_write){ .key = SV("k") });
	assert_bytes(&b, "\x0a\x07"
			 "\x10\x02"
			 "\x1a\x01"
			 "k"
			 "\x30\x00"
			 "\x12\x05"
			 "\x12\x03"
			 "\x0a\x01"
			 "k"
			 "\x1a\x05"
			 "\x0a\x03"
			 "\x0a\x01"
			 "k");
	/* Whatever is there goes, but something must be: its revision is greater than 0. */
	etcd_txn_write(&b, &(struct store_write){ .key = SV("k"), .expect_rev = STORE_ANY_REV, .tombstone = true });
	assert_bytes(&b, "\x0a\x09"
			 "\x08\x01"
			 "\x10\x02"
			 "\x1a\x01"
			 "k"
			 "\x30\x00"
			 "\x12\x05"
			 "\x1a\x03"
			 "\x0a\x01"
			 "k"
			 "\x1a\x05"
			 "\x0a\x03"
			 "\x0a\x01"
			 "k");
}

static int one_kv(const struct etcd_kv *kv, void *ctx)
{
	*(struct etcd_kv *)ctx = *kv;
	return 0;
}

static void test_range_answer(_unused_ void **state)
{
	struct etcd_range_said s;
	struct etcd_kv kv = { .mod_rev = 0 };
	struct sv good = SV("\x0a\x06\x08\x01\x18\x96\x01\x20\x02" /* header: cluster, revision 150, term */
			    "\x12\x0c\x0a\x01k\x10\x03\x18\x07\x20\x02\x2a\x01v"
			    "\x18\x01"
			    "\x20\x05");

	assert_true(etcd_range_read(SV("\x0a\x05\x18\x96\x01\x20\x02"), &s)); /* nothing there */
	assert_int_equal(s.rev, 150);
	assert_false(s.more);
	good = SV("\x0a\x05\x18\x96\x01\x20\x02"
		  "\x12\x0c\x0a\x01k\x10\x03\x18\x07\x20\x02\x2a\x01v"
		  "\x18\x01"
		  "\x20\x05");
	assert_true(etcd_range_read(good, &s));
	assert_int_equal(s.count, 5);
	assert_true(s.more);
	assert_int_equal(etcd_range_each(&s, one_kv, &kv), 0);
	assert_sv(kv.key, "k");
	assert_sv(kv.value, "v");
	assert_int_equal(kv.create_rev, 3);
	assert_int_equal(kv.mod_rev, 7);
	for (size_t n = 0; n < good.n; n++) { /* every cut: refused, or shorter, but never read beyond */
		struct sv cut = sv_sub(good, 0, n);

		if (etcd_range_read(cut, &s))
			(void)etcd_range_each(&s, one_kv, &kv);
	}
	assert_false(etcd_range_read(SV(""), &s));
	assert_false(etcd_range_read(SV("\x0a\x03\x18\x96\x01\x12\x03\x0a\x01k"), &s)); /* a key of no revision */
}

struct found {
	size_t n;
	int64_t revs[4];
};

static int one_found(size_t i, const struct etcd_kv *kv, void *ctx)
{
	struct found *f = ctx;

	assert_int_equal(i, f->n);
	f->revs[f->n++] = kv ? kv->mod_rev : 0;
	return 0;
}

static void test_txn_answer(_unused_ void **state)
{
	struct etcd_txn_said s;
	struct found f = { .n = 0 };

	assert_true(etcd_txn_read(SV("\x0a\x02\x18\x09"
				     "\x10\x01"
				     "\x1a\x06\x12\x04\x0a\x02\x18\x09"),
				  &s));
	assert_true(s.applied);
	assert_int_equal(s.rev, 9);
	/* Not applied: the first key is at 4, the second is not there. */
	assert_true(etcd_txn_read(SV("\x0a\x02\x18\x09"
				     "\x1a\x0b\x0a\x09\x12\x07\x0a\x01k\x10\x04\x18\x04"
				     "\x1a\x02\x0a\x00"),
				  &s));
	assert_false(s.applied);
	assert_int_equal(etcd_txn_each_found(&s, one_found, &f), 0);
	assert_int_equal(f.n, 2);
	assert_int_equal(f.revs[0], 4);
	assert_int_equal(f.revs[1], 0);
	assert_false(etcd_txn_read(SV("\x10\x01"), &s)); /* of no revision */
}

static void test_watch(_unused_ void **state)
{
	struct buf b = BUF_INIT;
	struct etcd_watch_said s;
	struct etcd_event ev[2];

	etcd_watch_write(&b, 12);
	assert_bytes(&b, "\x0a\x0c"
			 "\x0a\x01\x00"
			 "\x12\x01\x00"
			 "\x18\x0c"
			 "\x30\x01"
			 "\x40\x01");
	assert_true(etcd_watch_read(SV("\x0a\x02\x18\x09"
				       "\x18\x01"),
				    &s));
	assert_true(s.created);
	assert_int_equal(s.n_events, 0);
	assert_true(etcd_watch_read(SV("\x20\x01"
				       "\x28\x28"
				       "\x32\x01x"),
				    &s));
	assert_true(s.cancelled);
	assert_int_equal(s.compact_rev, 40);
	assert_sv(s.reason, "x");
	/* A put over what was there, and a deletion. */
	assert_true(etcd_watch_read(
	    SV("\x0a\x02\x18\x0a"
	       "\x5a\x18\x12\x0a\x0a\x01k\x10\x03\x18\x09\x2a\x01w\x1a\x0a\x0a\x01k\x10\x03\x18\x04\x2a\x01v"
	       "\x5a\x09\x08\x01\x12\x05\x0a\x01k\x18\x0a"
	       "\x38\x01"),
	    &s));
	assert_int_equal(s.n_events, 2);
	assert_true(s.fragment);
	assert_true(etcd_watch_events(&s, ev));
	assert_int_equal(ev[0].kv.mod_rev, 9);
	assert_true(ev[0].has_prev);
	assert_int_equal(ev[0].prev.mod_rev, 4);
	assert_sv(ev[0].prev.value, "v");
	assert_int_equal(ev[1].kv.create_rev, 0);
	assert_int_equal(ev[1].kv.mod_rev, 10);
	assert_false(ev[1].has_prev);
	/* An event of nothing. */
	assert_true(etcd_watch_read(SV("\x5a\x02\x08\x01"), &s));
	assert_false(etcd_watch_events(&s, ev));
}

static void test_status(_unused_ void **state)
{
	struct etcd_status_said s;

	assert_true(etcd_status_read(SV("\x18\x80\x01"
					"\x20\x07"
					"\x42\x19memberID:1 alarm:NOSPACE "),
				     &s));
	assert_int_equal(s.bytes, 128);
	assert_true(s.no_space);
	assert_true(s.has_leader);
	assert_true(etcd_status_read(SV("\x18\x80\x01"), &s));
	assert_false(s.no_space);
	assert_false(s.has_leader);
	assert_false(etcd_status_read(SV("\x42\x19member"), &s));
}

static void test_members(_unused_ void **state)
{
	static struct etcd_member m[ETCD_MEMBERS_MAX];
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t n;

	etcd_member_add_write(&b, SV("https://a:1"), true);
	assert_true(sv_eq(buf_sv(&b), SV("\x0a\x0bhttps://a:1\x10\x01")));
	buf_clear(&b);
	etcd_member_id_write(&b, 300);
	assert_true(sv_eq(buf_sv(&b), SV("\x08\xac\x02")));
	buf_clear(&b);
	etcd_member_update_write(&b, 1, SV("p"));
	assert_true(sv_eq(buf_sv(&b), SV("\x08\x01\x12\x01p")));
	/* One that has started, with two URLs of a kind, and a learner that has not. */
	assert_true(etcd_members_read(SV("\x12\x0e\x08\x07\x12\x01n\x1a\x01p\x1a\x01q\x22\x01"
					 "c"
					 "\x12\x07\x08\x08\x1a\x01r\x28\x01"),
				      false, m, &n));
	assert_int_equal(n, 2);
	assert_int_equal(m[0].id, 7);
	assert_sv(m[0].name, "n");
	assert_sv(m[0].peer, "p");
	assert_sv(m[0].client, "c");
	assert_false(m[0].learner);
	assert_int_equal(m[1].id, 8);
	assert_sv(m[1].name, "");
	assert_true(m[1].learner);
	/* Of an addition they are in another place. */
	assert_true(etcd_members_read(SV("\x12\x02\x08\x07\x1a\x02\x08\x07\x1a\x02\x08\x09"), true, m, &n));
	assert_int_equal(n, 2);
	assert_false(etcd_members_read(SV("\x12\x00"), false, m, &n)); /* nobody */
	assert_false(etcd_members_read(SV("\x12\x09\x08\x07"), false, m, &n));
	buf_clear(&b);
	for (int i = 0; i <= ETCD_MEMBERS_MAX; i++)
		buf_addsv(&b, SV("\x12\x02\x08\x07"));
	assert_false(etcd_members_read(buf_sv(&b), false, m, &n));
}

static void test_faults(_unused_ void **state)
{
	static const struct {
		struct grpc_end e;
		enum err_reason reason;
		int errnum;
		bool passes;
	} rows[] = {
		{ { GRPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted", true, true },
		  ERR_EXPIRED,
		  0,
		  false },
		{ { GRPC_OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision", true, true },
		  ERR_BAD_REQUEST,
		  0,
		  false },
		{ { GRPC_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded", true, true },
		  ERR_UNAVAILABLE,
		  ENOSPC,
		  false },
		{ { GRPC_INVALID_ARGUMENT, "etcdserver: request is too large", true, true }, ERR_TOO_LARGE, 0, false },
		{ { GRPC_INVALID_ARGUMENT, "etcdserver: too many operations in txn request", true, true },
		  ERR_TOO_LARGE,
		  0,
		  false },
		{ { GRPC_NOT_FOUND, "etcdserver: requested lease not found", true, true }, ERR_NOT_FOUND, 0, false },
		{ { GRPC_UNAVAILABLE, "etcdserver: unhealthy cluster", true, true }, ERR_UNAVAILABLE, 0, false },
		{ { GRPC_UNAVAILABLE, "etcdserver: no leader", true, true }, ERR_UNAVAILABLE, 0, true },
		{ { GRPC_UNAVAILABLE, "etcdserver: request timed out", true, true }, ERR_TIMEOUT, ETIMEDOUT, true },
		{ { GRPC_DEADLINE_EXCEEDED, "deadline exceeded", true, false }, ERR_TIMEOUT, ETIMEDOUT, true },
		/* Of one that waited for the others until then; 2 is no code at all. */
		{ { 2, "context deadline exceeded", true, true }, ERR_TIMEOUT, ETIMEDOUT, true },
		{ { GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests", true, true },
		  ERR_TOO_MANY_REQUESTS,
		  0,
		  true },
		{ { GRPC_UNAUTHENTICATED, "etcdserver: invalid auth token", true, true }, ERR_INTERNAL, 0, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(etcd_fault(&rows[i].e, &err), -1);
		assert_int_equal(err.reason, rows[i].reason);
		assert_int_equal(err.errnum, rows[i].errnum);
		assert_int_equal(etcd_fault_passes(&rows[i].e), rows[i].passes);
		err_release(&err);
	}
}

static void test_endpoints(_unused_ void **state)
{
	static const struct {
		const char *text, *host;
		int port;
		bool tls;
	} good[] = {
		{ "http://10.0.0.1:2379", "10.0.0.1", 2379, false },
		{ "10.0.0.1", "10.0.0.1", 2379, false },
		{ "https://db.example:1/", "db.example", 1, true },
		{ "http://[::1]:23", "::1", 23, false },
		{ "https://[::1]", "::1", 2379, true },
		{ "unix:///run/etcd.sock", "unix:/run/etcd.sock", 0, false },
	};
	static const char *const bad[] = {
		"",	      ",",	    "mysql://root@tcp(x:3306)/k",
		"http://",    "http://x:0", "http://x:65536",
		"http://x:y", "http://x/y", "unix:",
	};
	struct link_endpoint e[LINK_ENDPOINTS_MAX];
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_int_equal(link_endpoints_read(sv_from(good[i].text), e, &n, NULL), 0);
		assert_int_equal(n, 1);
		assert_string_equal(e[0].host, good[i].host);
		assert_int_equal(e[0].port, good[i].port);
		assert_int_equal(e[0].tls, good[i].tls);
		link_endpoints_free(e, n);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(link_endpoints_read(sv_from(bad[i]), e, &n, &err), -1);
		assert_int_equal(err.reason, ERR_INVALID);
		err_release(&err);
	}
	assert_int_equal(link_endpoints_read(SV("a, b ,http://c"), e, &n, NULL), 0);
	assert_int_equal(n, 3);
	link_endpoints_free(e, n);
	assert_int_equal(link_endpoints_read(SV("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"), e, &n, NULL), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_range_question), cmocka_unit_test(test_txn_question),
		cmocka_unit_test(test_range_answer),   cmocka_unit_test(test_txn_answer),
		cmocka_unit_test(test_watch),	       cmocka_unit_test(test_status),
		cmocka_unit_test(test_members),	       cmocka_unit_test(test_look),
		cmocka_unit_test(test_change),	       cmocka_unit_test(test_faults),
		cmocka_unit_test(test_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
