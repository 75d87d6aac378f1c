/* Which checks a level has in a version of the standard, and what they say together. */
#include "apiserver/admission/pod_security.h"

static void ps_ask(const struct ps_pod *p, const struct ps_check *checks, bool details, struct buf *said)
{
	for (const struct ps_check *c = checks; c->id; c++) {
		_cleanup_(buf_release) struct buf detail = BUF_INIT;
		const char *why;

		if (p->minor < c->since || (c->until && p->minor > c->until) ||
		    (p->level == PS_RESTRICTED && c->stricter >= 0 && p->minor >= c->stricter))
			continue;
		why = c->fn(p, &detail);
		if (!why)
			continue;
		buf_printf(said, "%s%s", said->n ? ", " : "", why);
		if (details && detail.n)
			buf_printf(said, " (%.*s)", SV_ARG(buf_sv(&detail)));
	}
}

struct sv ps_judge(struct arena *a, struct ps_rule r, const struct val *meta, const struct val *spec, bool details)
{
	_cleanup_(buf_release) struct buf said = BUF_INIT;
	const int64_t minor = MIN(r.minor, PS_NEWEST);
	const struct val *users = val_get(spec, F_hostUsers);
	const struct ps_pod p = {
		.meta = meta,
		.spec = spec,
		.arena = a,
		.minor = minor,
		.level = r.level,
		.own_users = minor >= 35 && val_type(users) == VAL_BOOL && !users->b,
		.windows = minor >= 25 && val_is(val_get(spec, F_os, F_name), "windows"),
	};

	if (r.level == PS_PRIVILEGED)
		return SV("");
	ps_ask(&p, ps_baseline, details, &said);
	if (r.level == PS_RESTRICTED)
		ps_ask(&p, ps_restricted, details, &said);
	return said.n ? arena_sv(a, buf_sv(&said)) : SV("");
}
