#include "store/etcd/wire.h"

#include "codec/pbwire.h"
#include "store/store-internal.h"

#include <errno.h>
#include <stdlib.h>

/* By field. */
enum { HEADER_REVISION = 3 };
enum { KV_KEY = 1, KV_CREATE, KV_MOD, KV_VERSION, KV_VALUE };
enum { RANGE_KEY = 1, RANGE_END, RANGE_LIMIT, RANGE_REV, RANGE_KEYS_ONLY = 8, RANGE_COUNT_ONLY };
enum { RANGED_HEADER = 1, RANGED_KVS, RANGED_MORE, RANGED_COUNT };
enum { PUT_KEY = 1, PUT_VALUE, PUT_LEASE };
enum { DELETE_KEY = 1 };
enum { OP_RANGE = 1, OP_PUT, OP_DELETE };
enum { COMPARE_RESULT = 1, COMPARE_TARGET, COMPARE_KEY, COMPARE_VERSION, COMPARE_CREATE, COMPARE_MOD };
enum { TXN_COMPARE = 1, TXN_SUCCESS, TXN_FAILURE };
enum { TXNED_HEADER = 1, TXNED_SUCCEEDED, TXNED_RESPONSES };
enum { WATCH_CREATE = 1 };
enum { CREATE_KEY = 1, CREATE_END, CREATE_START, CREATE_PREV = 6, CREATE_FRAGMENT = 8 };
enum {
	WATCHED_HEADER = 1,
	WATCHED_CREATED = 3,
	WATCHED_CANCELLED,
	WATCHED_COMPACT_REV,
	WATCHED_REASON,
	WATCHED_FRAGMENT,
	WATCHED_EVENTS = 11
};
enum { EVENT_TYPE = 1, EVENT_KV, EVENT_PREV };
enum { STATUS_BYTES = 3, STATUS_LEADER, STATUS_ERRORS = 8 };
enum { GRANT_TTL = 1, GRANT_ID };
enum { MEMBER_ID = 1, MEMBER_NAME, MEMBER_PEER, MEMBER_CLIENT, MEMBER_LEARNER };
enum { ADD_PEER = 1, ADD_LEARNER };
enum { UPDATE_ID = 1, UPDATE_PEER };
enum { LISTED_MEMBERS = 2, ADDED_MEMBERS };
enum { GRANTED_ID = 2, GRANTED_TTL };

enum { RESULT_EQUAL = 0, RESULT_GREATER = 1 };
enum { TARGET_VERSION = 0, TARGET_MOD = 2 };
enum { TYPE_DELETE = 1 };

static int64_t wire_rev(struct sv header)
{
	return (int64_t)pb_get_u64(header, HEADER_REVISION);
}

static bool wire_kv(struct sv m, struct etcd_kv *ret)
{
	struct pb_reader r = pb_reader(m);
	struct pb_field f;

	*ret = (struct etcd_kv){ .key = SV(""), .value = SV("") };
	while (pb_next(&r, &f)) {
		if (f.no == KV_KEY && f.wire == PB_BYTES)
			ret->key = f.bytes;
		else if (f.no == KV_VALUE && f.wire == PB_BYTES)
			ret->value = f.bytes;
		else if (f.no == KV_CREATE && f.wire == PB_VARINT)
			ret->create_rev = (int64_t)f.u;
		else if (f.no == KV_MOD && f.wire == PB_VARINT)
			ret->mod_rev = (int64_t)f.u;
	}
	return !r.bad && ret->key.n && ret->mod_rev > 0 && ret->create_rev >= 0;
}

/* --- ranges --- */

void etcd_range_write(struct buf *b, const struct etcd_range *r)
{
	pb_sv(b, RANGE_KEY, r->key);
	pb_sv(b, RANGE_END, r->end);
	pb_i64(b, RANGE_LIMIT, r->limit);
	pb_i64(b, RANGE_REV, r->rev);
	pb_bool(b, RANGE_KEYS_ONLY, r->keys_only);
	pb_bool(b, RANGE_COUNT_ONLY, r->count_only);
}

bool etcd_range_read(struct sv answer, struct etcd_range_said *ret)
{
	struct pb_reader r = pb_reader(answer);
	struct pb_field f;
	struct etcd_kv kv;

	*ret = (struct etcd_range_said){ .message = answer };
	while (pb_next(&r, &f)) {
		if (f.no == RANGED_HEADER && f.wire == PB_BYTES)
			ret->rev = wire_rev(f.bytes);
		else if (f.no == RANGED_MORE && f.wire == PB_VARINT)
			ret->more = f.u != 0;
		else if (f.no == RANGED_COUNT && f.wire == PB_VARINT)
			ret->count = (int64_t)f.u;
		else if (f.no == RANGED_KVS && (f.wire != PB_BYTES || !wire_kv(f.bytes, &kv)))
			return false;
	}
	return !r.bad && ret->rev > 0;
}

int etcd_range_each(const struct etcd_range_said *s, etcd_kv_fn *fn, void *ctx)
{
	PB_EACH(s->message, r, f) {
		struct etcd_kv kv;
		int rc;

		if (f.no != RANGED_KVS || f.wire != PB_BYTES || !wire_kv(f.bytes, &kv))
			continue;
		rc = fn(&kv, ctx);
		if (rc)
			return rc;
	}
	return 0;
}

/* --- transactions --- */

/* result and value as they are: an absent key's revision and version are 0. */
static void txn_compare(struct buf *b, struct sv key, uint64_t result, uint64_t target, uint32_t field, int64_t value)
{
	size_t m = pb_open(b, TXN_COMPARE);

	pb_u64(b, COMPARE_RESULT, result);
	pb_u64(b, COMPARE_TARGET, target);
	pb_sv(b, COMPARE_KEY, key);
	pb_tag(b, field, PB_VARINT);
	pb_varint(b, (uint64_t)value);
	pb_close(b, m);
}

static void txn_expect(struct buf *b, const struct store_write *w, bool beside)
{
	if (w->tombstone && w->expect_rev == STORE_ANY_REV) {
		if (!beside) /* which has to find something */
			txn_compare(b, w->key, RESULT_GREATER, TARGET_MOD, COMPARE_MOD, 0);
	} else if (w->tombstone && w->expect_rev == 0) {
		txn_compare(b, w->key, RESULT_EQUAL, TARGET_MOD, COMPARE_MOD, -1); /* it never holds */
	} else if (w->expect_rev != STORE_ANY_REV) {
		txn_compare(b, w->key, RESULT_EQUAL, TARGET_MOD, COMPARE_MOD, w->expect_rev);
	}
}

static void txn_put(struct buf *b, struct sv key, struct sv value, int64_t lease)
{
	size_t op = pb_open(b, TXN_SUCCESS), m = pb_open(b, OP_PUT);

	pb_sv(b, PUT_KEY, key);
	pb_sv(b, PUT_VALUE, value);
	pb_i64(b, PUT_LEASE, lease);
	pb_close(b, m);
	pb_close(b, op);
}

static void txn_do(struct buf *b, const struct store_write *w)
{
	size_t op, m;

	if (w->guard)
		return;
	if (!w->tombstone) {
		txn_put(b, w->key, w->value, w->lease);
		return;
	}
	op = pb_open(b, TXN_SUCCESS);
	m = pb_open(b, OP_DELETE);
	pb_sv(b, DELETE_KEY, w->key);
	pb_close(b, m);
	pb_close(b, op);
}

static void txn_look(struct buf *b, struct sv key)
{
	size_t op = pb_open(b, TXN_FAILURE), m = pb_open(b, OP_RANGE);

	pb_sv(b, RANGE_KEY, key);
	pb_close(b, m);
	pb_close(b, op);
}

void etcd_txn_write(struct buf *b, const struct store_write *w)
{
	txn_expect(b, w, false);
	for (size_t i = 0; i < w->n_also; i++)
		txn_expect(b, &w->also[i], true);
	for (size_t i = 0; i < w->n_also; i++)
		txn_do(b, &w->also[i]);
	txn_do(b, w);
	txn_look(b, w->key);
	for (size_t i = 0; i < w->n_also; i++)
		txn_look(b, w->also[i].key);
}

bool etcd_txn_read(struct sv answer, struct etcd_txn_said *ret)
{
	struct pb_reader r = pb_reader(answer);
	struct pb_field f;

	*ret = (struct etcd_txn_said){ .message = answer };
	while (pb_next(&r, &f)) {
		if (f.no == TXNED_HEADER && f.wire == PB_BYTES)
			ret->rev = wire_rev(f.bytes);
		else if (f.no == TXNED_SUCCEEDED && f.wire == PB_VARINT)
			ret->applied = f.u != 0;
	}
	return !r.bad && ret->rev > 0;
}

int etcd_txn_each_found(const struct etcd_txn_said *s, etcd_found_fn *fn, void *ctx)
{
	size_t i = 0;

	PB_EACH(s->message, r, f) {
		struct pb_field kvs;
		struct etcd_kv kv;
		int rc;

		if (f.no != TXNED_RESPONSES || f.wire != PB_BYTES)
			continue;
		rc = pb_find(pb_get_sv(f.bytes, OP_RANGE), RANGED_KVS, &kvs) && kvs.wire == PB_BYTES &&
			     wire_kv(kvs.bytes, &kv)
			 ? fn(i, &kv, ctx)
			 : fn(i, NULL, ctx);
		if (rc)
			return rc;
		i++;
	}
	return 0;
}

void etcd_txn_record_write(struct buf *b, struct sv key, int64_t version, struct sv value)
{
	txn_compare(b, key, RESULT_EQUAL, TARGET_VERSION, COMPARE_VERSION, version);
	txn_put(b, key, value, 0);
	txn_look(b, key);
}

int64_t etcd_txn_record_read(const struct etcd_txn_said *s, struct sv *ret_value)
{
	struct sv op = pb_get_sv(s->message, TXNED_RESPONSES), kv = pb_get_sv(pb_get_sv(op, OP_RANGE), RANGED_KVS);

	*ret_value = pb_get_sv(kv, KV_VALUE);
	return (int64_t)pb_get_u64(kv, KV_VERSION);
}

/* --- watches --- */

void etcd_watch_write(struct buf *b, int64_t from)
{
	size_t m = pb_open(b, WATCH_CREATE);

	pb_sv(b, CREATE_KEY, ETCD_FIRST_KEY);
	pb_sv(b, CREATE_END, ETCD_FIRST_KEY);
	pb_i64(b, CREATE_START, from);
	pb_bool(b, CREATE_PREV, true);
	pb_bool(b, CREATE_FRAGMENT, true);
	pb_close(b, m);
}

bool etcd_watch_read(struct sv answer, struct etcd_watch_said *ret)
{
	struct pb_reader r = pb_reader(answer);
	struct pb_field f;

	*ret = (struct etcd_watch_said){ .message = answer, .reason = SV("") };
	while (pb_next(&r, &f)) {
		if (f.wire == PB_BYTES) {
			if (f.no == WATCHED_HEADER)
				ret->rev = wire_rev(f.bytes);
			else if (f.no == WATCHED_REASON)
				ret->reason = f.bytes;
			else if (f.no == WATCHED_EVENTS)
				ret->n_events++;
		} else if (f.wire == PB_VARINT) {
			if (f.no == WATCHED_CREATED)
				ret->created = f.u != 0;
			else if (f.no == WATCHED_CANCELLED)
				ret->cancelled = f.u != 0;
			else if (f.no == WATCHED_COMPACT_REV)
				ret->compact_rev = (int64_t)f.u;
			else if (f.no == WATCHED_FRAGMENT)
				ret->fragment = f.u != 0;
		}
	}
	return !r.bad;
}

static bool wire_event(struct sv m, struct etcd_event *ret)
{
	struct pb_reader r = pb_reader(m);
	bool deleted = false, has_kv = false;
	struct pb_field f;

	*ret = (struct etcd_event){ .has_prev = false };
	while (pb_next(&r, &f)) {
		if (f.no == EVENT_TYPE && f.wire == PB_VARINT) {
			deleted = f.u == TYPE_DELETE;
		} else if (f.no == EVENT_KV && f.wire == PB_BYTES) {
			if (!wire_kv(f.bytes, &ret->kv))
				return false;
			has_kv = true;
		} else if (f.no == EVENT_PREV && f.wire == PB_BYTES) {
			ret->has_prev = wire_kv(f.bytes, &ret->prev);
		}
	}
	if (deleted)
		ret->kv.create_rev = 0;
	return !r.bad && has_kv && (deleted || ret->kv.create_rev > 0);
}

bool etcd_watch_events(const struct etcd_watch_said *s, struct etcd_event *ret)
{
	size_t n = 0;

	PB_EACH(s->message, r, f) {
		if (f.no != WATCHED_EVENTS || f.wire != PB_BYTES)
			continue;
		if (n == s->n_events || !wire_event(f.bytes, &ret[n]))
			return false;
		n++;
	}
	return n == s->n_events;
}

/* --- the rest --- */

bool etcd_change(const struct etcd_event *ev, struct store_kv *prev, struct store_change *c)
{
	*prev = (struct store_kv){ ev->prev.key, ev->prev.value, ev->prev.create_rev, ev->prev.mod_rev, false, NULL };
	*c = (struct store_change){ .prev = ev->has_prev ? prev : NULL };
	c->kv =
	    (struct store_kv){ ev->kv.key, ev->kv.value, ev->kv.create_rev, ev->kv.mod_rev, !ev->kv.create_rev, NULL };
	return !etcd_event_lacks(ev);
}

void etcd_look_write(struct buf *b, int64_t rev)
{
	etcd_range_write(b, &(struct etcd_range){ .key = SV("health"), .rev = rev, .count_only = true });
}

void etcd_compact_write(struct buf *b, int64_t rev)
{
	pb_i64(b, 1, rev);
}

bool etcd_status_read(struct sv answer, struct etcd_status_said *ret)
{
	struct pb_reader r = pb_reader(answer);
	struct pb_field f;

	*ret = (struct etcd_status_said){ .bytes = 0 };
	while (pb_next(&r, &f)) {
		if (f.no == STATUS_BYTES && f.wire == PB_VARINT)
			ret->bytes = f.u;
		else if (f.no == STATUS_LEADER && f.wire == PB_VARINT)
			ret->has_leader = f.u != 0;
		else if (f.no == STATUS_ERRORS && f.wire == PB_BYTES && sv_find_sv(f.bytes, SV("NOSPACE")) >= 0)
			ret->no_space = true;
		else if (f.no == STATUS_ERRORS && f.wire == PB_BYTES && sv_find_sv(f.bytes, SV("CORRUPT")) >= 0)
			ret->corrupt = true;
	}
	return !r.bad;
}

void etcd_lease_write(struct buf *b, int64_t ttl_s, int64_t id)
{
	pb_i64(b, GRANT_TTL, ttl_s);
	pb_i64(b, GRANT_ID, id);
}

void etcd_lease_id_write(struct buf *b, int64_t id)
{
	pb_i64(b, 1, id);
}

bool etcd_lease_read(struct sv answer, int64_t *ret_id, int64_t *ret_ttl_s)
{
	*ret_id = (int64_t)pb_get_u64(answer, GRANTED_ID);
	*ret_ttl_s = (int64_t)pb_get_u64(answer, GRANTED_TTL);
	return pb_valid(answer);
}

/* --- members --- */

void etcd_member_add_write(struct buf *b, struct sv peer, bool learner)
{
	pb_sv_elem(b, ADD_PEER, peer);
	pb_bool(b, ADD_LEARNER, learner);
}

void etcd_member_id_write(struct buf *b, uint64_t id)
{
	pb_u64(b, MEMBER_ID, id);
}

void etcd_member_update_write(struct buf *b, uint64_t id, struct sv peer)
{
	pb_u64(b, UPDATE_ID, id);
	pb_sv_elem(b, UPDATE_PEER, peer);
}

static bool wire_member(struct sv m, struct etcd_member *ret)
{
	struct pb_reader r = pb_reader(m);
	struct pb_field f;

	*ret = (struct etcd_member){ .name = SV(""), .peer = SV(""), .client = SV("") };
	while (pb_next(&r, &f)) {
		if (f.no == MEMBER_ID && f.wire == PB_VARINT)
			ret->id = f.u;
		else if (f.no == MEMBER_NAME && f.wire == PB_BYTES)
			ret->name = f.bytes;
		else if (f.no == MEMBER_PEER && f.wire == PB_BYTES && !ret->peer.n)
			ret->peer = f.bytes;
		else if (f.no == MEMBER_CLIENT && f.wire == PB_BYTES && !ret->client.n)
			ret->client = f.bytes;
		else if (f.no == MEMBER_LEARNER && f.wire == PB_VARINT)
			ret->learner = f.u != 0;
	}
	return !r.bad && ret->id != 0;
}

bool etcd_members_read(struct sv answer, bool added, struct etcd_member *ret, size_t *ret_n)
{
	struct pb_reader r = pb_reader(answer);
	struct pb_field f;

	*ret_n = 0;
	while (pb_next(&r, &f)) {
		if (f.no != (added ? ADDED_MEMBERS : LISTED_MEMBERS) || f.wire != PB_BYTES)
			continue;
		if (*ret_n == ETCD_MEMBERS_MAX || !wire_member(f.bytes, &ret[*ret_n]))
			return false;
		++*ret_n;
	}
	return !r.bad;
}

/* --- failures --- */

/* A member that has waited for the others until our time was up says so without a code. */
#define DEADLINE "context deadline exceeded"

int etcd_fault(const struct grpc_end *e, struct err *err)
{
	static const struct {
		const char *words;
		enum err_reason reason;
		int errnum;
	} known[] = {
		{ "required revision has been compacted", ERR_EXPIRED, 0 },
		{ "required revision is a future revision", ERR_BAD_REQUEST, 0 },
		{ "database space exceeded", ERR_UNAVAILABLE, ENOSPC },
		{ "request is too large", ERR_TOO_LARGE, 0 },
		{ "message larger than max", ERR_TOO_LARGE, 0 },
		{ "compressed or too large", ERR_TOO_LARGE, 0 }, /* ours, of an answer */
		{ "too many operations in txn request", ERR_TOO_LARGE, 0 },
		{ "lease not found", ERR_NOT_FOUND, 0 },
		{ "lease already exists", ERR_ALREADY_EXISTS, 0 },
		{ "request timed out", ERR_TIMEOUT, ETIMEDOUT },
		{ DEADLINE, ERR_TIMEOUT, ETIMEDOUT },
		{ "too many requests", ERR_TOO_MANY_REQUESTS, 0 },
		/* Of members: in a moment. */
		{ "too many learner members", ERR_UNAVAILABLE, 0 },
		{ "unhealthy cluster", ERR_UNAVAILABLE, 0 },
		{ "not enough started members", ERR_UNAVAILABLE, 0 },
	};
	enum err_reason reason = e->code == GRPC_UNAVAILABLE	     ? ERR_UNAVAILABLE
				 : e->code == GRPC_DEADLINE_EXCEEDED ? ERR_TIMEOUT
				 : e->code == GRPC_NOT_FOUND	     ? ERR_NOT_FOUND
								     : ERR_INTERNAL;
	int errnum = reason == ERR_TIMEOUT ? ETIMEDOUT : 0;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (sv_find_sv(sv_from(e->message), sv_from(known[i].words)) >= 0) {
			reason = known[i].reason;
			errnum = known[i].errnum;
			break;
		}
	}
	err_set(err, reason, "%s%s", strncmp(e->message, "etcdserver: ", 12) == 0 ? "" : "etcd: ",
		*e->message ? e->message : "it failed without a word");
	if (err)
		err->errnum = errnum;
	return -1;
}

bool etcd_fault_passes(const struct grpc_end *e)
{
	/* Members stay as they are while one is down: true of all of them, and for as long as that lasts. */
	if (sv_find_sv(sv_from(e->message), SV("unhealthy cluster")) >= 0)
		return false;
	return e->code == GRPC_UNAVAILABLE || e->code == GRPC_DEADLINE_EXCEEDED ||
	       sv_find_sv(sv_from(e->message), SV(DEADLINE)) >= 0 ||
	       (e->code == GRPC_RESOURCE_EXHAUSTED && sv_find_sv(sv_from(e->message), SV("too many requests")) >= 0);
}
