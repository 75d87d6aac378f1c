/* What an etcd answers, and what a flag says of where it is. The first byte says which. */
#include "store/etcd/link.h"
#include "store/etcd/wire.h"

#include <stdlib.h>

static size_t looked_at;

static void look(struct sv v)
{
	for (size_t i = 0; i < v.n; i++)
		looked_at += (unsigned char)v.p[i];
}

static int each_kv(const struct etcd_kv *kv, void *ctx)
{
	(void)ctx;
	if (!kv->key.n || kv->mod_rev <= 0)
		abort();
	look(kv->key);
	look(kv->value);
	return 0;
}

static int each_found(size_t i, const struct etcd_kv *kv, void *ctx)
{
	(void)i;
	return kv ? each_kv(kv, ctx) : 0;
}

static void watched(struct sv said)
{
	struct etcd_watch_said s;
	struct etcd_event *ev;

	if (!etcd_watch_read(said, &s))
		return;
	ev = calloc(s.n_events + 1, sizeof(*ev));
	if (etcd_watch_events(&s, ev)) {
		for (size_t i = 0; i < s.n_events; i++) {
			each_kv(&ev[i].kv, NULL);
			if (ev[i].has_prev)
				each_kv(&ev[i].prev, NULL);
		}
	}
	look(s.reason);
	free(ev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct link_endpoint e[LINK_ENDPOINTS_MAX];
	struct etcd_range_said range;
	struct etcd_txn_said txn;
	struct etcd_status_said status;
	static struct etcd_member members[ETCD_MEMBERS_MAX];
	struct sv said, value;
	int64_t id, ttl;
	size_t n;

	if (!size)
		return 0;
	said = sv_make((const char *)data + 1, size - 1);
	if (data[0] == 'r' && etcd_range_read(said, &range))
		(void)etcd_range_each(&range, each_kv, NULL);
	if (data[0] == 't' && etcd_txn_read(said, &txn)) {
		(void)etcd_txn_each_found(&txn, each_found, NULL);
		(void)etcd_txn_record_read(&txn, &value);
		look(value);
	}
	if (data[0] == 'w')
		watched(said);
	if (data[0] == 's')
		(void)etcd_status_read(said, &status);
	if (data[0] == 'l')
		(void)etcd_lease_read(said, &id, &ttl);
	if ((data[0] == 'a' || data[0] == 'A') && etcd_members_read(said, data[0] == 'A', members, &n))
		for (size_t i = 0; i < n; i++) {
			look(members[i].name);
			look(members[i].peer);
			look(members[i].client);
		}
	if (data[0] == 'e' && link_endpoints_read(said, e, &n, NULL) == 0) {
		if (n == 0 || n > LINK_ENDPOINTS_MAX)
			abort();
		link_endpoints_free(e, n);
	}
	if (data[0] == 'm') {
		ssize_t first = grpc_first(said, 100);
		char *text = grpc_message_read(said);

		if (first > 100 || (first >= 0 && (size_t)first + GRPC_PREFIX_N > said.n) || strlen(text) > said.n)
			abort();
		free(text);
		(void)grpc_code_read(said);
	}
	return 0;
}
