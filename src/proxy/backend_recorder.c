#include "proxy/backend_recorder.h"

#include <stdlib.h>

struct recorder {
	struct proxy_backend b;
	struct proxy_record r;
};

static struct proxy_record *rec_record(struct proxy_backend *b)
{
	return &CONTAINER_OF(b, struct recorder, b)->r;
}

static void rec_prepare(struct proxy_backend *b, bool v6, bool *ret_bridge_nf)
{
	rec_record(b)->v6 = v6;
	*ret_bridge_nf = !rec_record(b)->no_bridge_nf;
}

static int rec_apply(struct proxy_backend *b, struct sv commands, struct err *err)
{
	struct proxy_record *r = rec_record(b);

	if (r->fail_next > 0) {
		r->fail_next--;
		return err_set(err, ERR_INTERNAL, "told to fail");
	}
	buf_clear(&r->last);
	buf_addsv(&r->last, commands);
	r->longest = MAX(r->longest, commands.n);
	if (r->all)
		buf_addsv(r->all, commands);
	r->applied++;
	r->intact = true;
	return 0;
}

static bool rec_intact(struct proxy_backend *b)
{
	return rec_record(b)->intact;
}

static int rec_forget_flows(struct proxy_backend *b, struct flow_frontend *u, size_t n, struct err *err)
{
	(void)u;
	(void)err;
	rec_record(b)->flows_forgotten += n;
	return 0;
}

static bool rec_serves(struct proxy_backend *b, const char *table)
{
	return rec_record(b)->serves && strcmp(rec_record(b)->serves, table) == 0;
}

static void rec_clients(struct proxy_backend *b, const char *table, const char *set,
			void (*fn)(struct ip_addr a, uint64_t ms, void *ctx), void *ctx)
{
	struct ip_addr a;

	(void)table;
	(void)set;
	if (rec_record(b)->client && ip_parse(sv_from(rec_record(b)->client), &a))
		fn(a, 1500, ctx);
}

static void rec_restore(struct proxy_backend *b)
{
	rec_record(b)->restored++;
}

static void rec_backend_free(struct proxy_backend *b)
{
	buf_release(&rec_record(b)->last);
	free(CONTAINER_OF(b, struct recorder, b));
}

struct proxy_backend *proxy_backend_recorder_new(struct proxy_record **ret_record)
{
	struct recorder *r = xcalloc(1, sizeof(*r));

	r->b = (struct proxy_backend){ .prepare = rec_prepare,
				       .apply = rec_apply,
				       .intact = rec_intact,
				       .serves = rec_serves,
				       .forget_flows = rec_forget_flows,
				       .clients = rec_clients,
				       .restore = rec_restore,
				       .free = rec_backend_free };
	*ret_record = &r->r;
	return &r->b;
}
