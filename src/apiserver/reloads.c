#include "apiserver/reloads.h"
#include "apiserver/apiserver-internal.h"
#include "net/digest.h"

void reloads_note(struct reloads *r, const struct apiserver *s, bool good)
{
	atomic_fetch_add(good ? &r->good : &r->bad, 1);
	atomic_store(good ? &r->good_ns : &r->bad_ns, env_now_ns(s->env));
}

/* Which of several servers it is. */
static void reloads_server(const struct apiserver *s, char ret[SHA256_HEX])
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "%s:%d", s->o.advertise_address ? s->o.advertise_address : "", s->o.advertise_port);
	sha256_hex(buf_sv(&b), ret);
}

void reloads_metrics(const struct reloads *r, const struct apiserver *s, const char *what, struct buf *b)
{
	const struct {
		const char *status;
		uint64_t n;
		int64_t last_ns;
	} rows[] = { { "success", atomic_load(&r->good), atomic_load(&r->good_ns) },
		     { "failure", atomic_load(&r->bad), atomic_load(&r->bad_ns) } };
	char server[SHA256_HEX];

	if (!rows[0].n && !rows[1].n)
		return;
	reloads_server(s, server);
	buf_printf(
	    b,
	    "# HELP apiserver_%s_config_controller_automatic_reloads_total How often the file was taken up again, "
	    "or could not be.\n"
	    "# TYPE apiserver_%s_config_controller_automatic_reloads_total counter\n",
	    what, what);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].n)
			buf_printf(
			    b,
			    "apiserver_%s_config_controller_automatic_reloads_total{apiserver_id_hash=\"sha256:%s\","
			    "status=\"%s\"} %" PRIu64 "\n",
			    what, server, rows[i].status, rows[i].n);
	buf_printf(b,
		   "# HELP apiserver_%s_config_controller_automatic_reload_last_timestamp_seconds When that was last.\n"
		   "# TYPE apiserver_%s_config_controller_automatic_reload_last_timestamp_seconds gauge\n",
		   what, what);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].n)
			buf_printf(b,
				   "apiserver_%s_config_controller_automatic_reload_last_timestamp_seconds{"
				   "apiserver_id_hash=\"sha256:%s\",status=\"%s\"} %.3f\n",
				   what, server, rows[i].status, (double)rows[i].last_ns / (double)NS_PER_SEC);
}
