#include "netd/policy/backend_recorder.h"

#include "base/strmap.h"

#include <stdlib.h>

struct netpol_recorder {
	struct netpol_backend b;
	struct netpol_record r;
};

static struct netpol_record *netpol_rec(struct netpol_backend *b)
{
	return &CONTAINER_OF(b, struct netpol_recorder, b)->r;
}

static bool netpol_rec_prepare(struct netpol_backend *b)
{
	return !netpol_rec(b)->no_bridge_nf;
}

static int netpol_rec_apply(struct netpol_backend *b, struct sv commands, struct err *err)
{
	struct netpol_record *r = netpol_rec(b);

	if (r->fail_next > 0) {
		r->fail_next--;
		r->refused++;
		return err_set(err, ERR_INTERNAL, "told to fail");
	}
	buf_clear(&r->last);
	buf_addsv(&r->last, commands);
	r->applied++;
	r->intact = true;
	return 0;
}

static bool netpol_rec_intact(struct netpol_backend *b)
{
	return netpol_rec(b)->intact;
}

static int netpol_rec_left(struct netpol_backend *b, struct netpol_left *ret, _unused_ struct err *err)
{
	struct netpol_record *r = netpol_rec(b);

	*ret = r->left;
	r->left = (struct netpol_left){ .ingress = VEC_INIT };
	return r->table_left;
}

static int netpol_rec_forget(struct netpol_backend *b, const struct strmap *ips, struct err *err)
{
	struct netpol_record *r = netpol_rec(b);

	if (r->fail_forgets > 0) {
		r->fail_forgets--;
		return err_set(err, ERR_INTERNAL, "told to fail");
	}
	r->forgets++;
	STRMAP_EACH(ips, e) {
		struct ip_addr ip;

		memcpy(ip.b, e->key, sizeof(ip.b));
		buf_printf(&r->forgotten, "%s ", ip_text(ip).s);
	}
	return 0;
}

static void netpol_rec_free(struct netpol_backend *b)
{
	struct netpol_record *r = netpol_rec(b);

	buf_release(&r->last);
	buf_release(&r->forgotten);
	netpol_left_release(&r->left);
	free(CONTAINER_OF(b, struct netpol_recorder, b));
}

struct netpol_backend *netpol_backend_recorder_new(struct netpol_record **ret_record)
{
	struct netpol_recorder *r = xcalloc(1, sizeof(*r));

	r->b = (struct netpol_backend){ .prepare = netpol_rec_prepare,
					.apply = netpol_rec_apply,
					.intact = netpol_rec_intact,
					.left = netpol_rec_left,
					.forget = netpol_rec_forget,
					.free = netpol_rec_free };
	*ret_record = &r->r;
	return &r->b;
}
