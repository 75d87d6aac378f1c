#include "netd/backend_recorder.h"

#include <stdio.h>
#include <stdlib.h>

struct recording {
	struct netd_backend b;
	struct netd_record r;
};

static struct netd_record *netd_record_of(struct netd_backend *b)
{
	return &CONTAINER_OF(b, struct recording, b)->r;
}

static int recorder_look(struct netd_backend *b, enum netd_kind kind, const struct ip_addr own[NETD_FAMILIES],
			 struct netd_machine *ret, struct err *err)
{
	struct netd_record *r = netd_record_of(b);

	(void)err;
	(void)kind;
	r->looks++;
	*ret = (struct netd_machine){ .mtu = { 0 } };
	for (size_t i = 0; i < r->machine.addrs.n; i++)
		vec_push(&ret->addrs, r->machine.addrs.p[i]);
	for (size_t i = 0; i < r->machine.onlink.n; i++)
		vec_push(&ret->onlink, r->machine.onlink.p[i]);
	for (int f = 0; f < NETD_FAMILIES; f++) {
		bool here = !ip_is_none(own[f]) && netd_machine_has(&r->machine, own[f]);

		ret->mtu[f] = here ? r->machine.mtu[f] : 0;
		ret->link[f] = here ? r->machine.link[f] : 0;
	}
	return 0;
}

static int recorder_read(struct netd_backend *b, struct netd_have *ret, struct err *err)
{
	struct netd_record *r = netd_record_of(b);

	(void)err;
	r->reads++;
	*ret = r->have;
	ret->entries.p = NULL;
	ret->entries.n = ret->entries.cap = 0;
	for (size_t i = 0; i < r->have.entries.n; i++)
		vec_push(&ret->entries, r->have.entries.p[i]);
	return 0;
}

static void recorder_prepare(struct netd_backend *b, const struct netd_node *self, const int link[NETD_FAMILIES])
{
	(void)self;
	(void)link;
	netd_record_of(b)->prepared++;
}

/* A new one has nothing on it. */
static int recorder_device(struct netd_backend *b, const struct netd_have *have, const struct netd_device *want,
			   struct err *err)
{
	struct netd_record *r = netd_record_of(b);

	if (r->no_device)
		return err_set(err, ERR_INTERNAL, "told to fail");
	r->devices++;
	if (!have->present || !want->wanted || !have->right || !ip_eq(have->device.local, want->local))
		r->have.entries.n = 0;
	r->have.present = r->have.right = r->have.up = want->wanted;
	r->have.device = *want;
	return 0;
}

static size_t recorder_apply(struct netd_backend *b, struct net_change *c, size_t n, struct err *err)
{
	struct netd_record *r = netd_record_of(b);
	size_t failed = 0;

	for (size_t i = 0; i < n; i++) {
		struct net_entry *at = NULL;

		if (r->fail_next > 0) {
			r->fail_next--;
			c[i].failed = true;
			if (!failed++)
				err_set(err, ERR_INTERNAL, "told to fail");
			continue;
		}
		r->changes++;
		for (size_t k = 0; k < r->have.entries.n && !at; k++)
			if (memcmp(&r->have.entries.p[k].key, &c[i].key, sizeof(c[i].key)) == 0)
				at = &r->have.entries.p[k];
		if (!c[i].want) {
			if (at)
				*at = vec_pop(&r->have.entries);
		} else if (at) {
			at->value = c[i].be;
		} else {
			vec_push(&r->have.entries, ((struct net_entry){ c[i].key, c[i].be }));
		}
	}
	return failed;
}

static void recorder_watch(struct netd_backend *b, struct env *env, void (*changed)(void *ctx), void *ctx)
{
	struct netd_record *r = netd_record_of(b);

	(void)env;
	r->changed = changed;
	r->ctx = ctx;
}

static void recorder_unwatch(struct netd_backend *b)
{
	netd_record_of(b)->changed = NULL;
}

static void netd_recorder_free(struct netd_backend *b)
{
	struct netd_record *r = netd_record_of(b);

	netd_machine_release(&r->machine);
	netd_have_release(&r->have);
	free(CONTAINER_OF(b, struct recording, b));
}

static bool recorder_drops(struct netd_backend *b, bool v6, char ret[NFNL_CHAIN_BYTES])
{
	const char *chain = netd_record_of(b)->drops;

	if (!chain || v6)
		return false;
	(void)snprintf(ret, NFNL_CHAIN_BYTES, "%s", chain);
	return true;
}

struct netd_backend *netd_backend_recorder_new(struct netd_record **ret_record)
{
	struct recording *r = xcalloc(1, sizeof(*r));

	r->b = (struct netd_backend){ .look = recorder_look,
				      .read = recorder_read,
				      .prepare = recorder_prepare,
				      .device = recorder_device,
				      .apply = recorder_apply,
				      .watch = recorder_watch,
				      .unwatch = recorder_unwatch,
				      .drops = recorder_drops,
				      .free = netd_recorder_free };
	*ret_record = &r->r;
	return &r->b;
}
