/* Events are told once and forgotten after --event-ttl: by the store, where keys go by themselves, else by a sweep
 * every minute. That goes over the former, too, for Events that were written without a time (by a version before, or
 * into an embedded store that was moved to an etcd since), and leaves alone what the store is about to take itself. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/watchcache.h"
#include "base/timefmt.h"
#include "base/vec.h"

#include <stdlib.h>

#define SWEEP_MAX 5000 /* the rest waits for the next minute */
/* A store with times of its own has this much more of it: a minute is the longest that it adds, the rest for it to do
 * so, and for clocks of servers that differ. */
#define STORE_FIRST_NS (5 * 60 * NS_PER_SEC)

struct sweep {
	int64_t before_ns;
	VEC(struct obj *) expired;
};

/* The last write whose time is known: what a client says of an Event may be older than its writing. */
static int64_t last_written(const struct obj *o)
{
	const struct val *owners = obj_get(o, F_metadata, F_managedFields);
	int64_t latest = INT64_MIN, t;

	for (size_t i = 0; i < val_len(owners); i++)
		if (time_parse(val_str(val_get(val_at(owners, i), F_time)), &t) && t > latest)
			latest = t;
	return latest;
}

/* When it was last heard of: repeated events move their time forward. */
static int64_t last_seen(const struct obj *o)
{
	int64_t latest = last_written(o), t;
	const struct val *const times[] = { obj_get(o, F_series, F_lastObservedTime), obj_get(o, F_lastTimestamp),
					    obj_get(o, F_eventTime), obj_get(o, F_metadata, F_creationTimestamp) };

	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (time_parse(val_str(times[i]), &t) && t > latest)
			latest = t;
	return latest == INT64_MIN ? INT64_MAX : latest;
}

static int event_ttl_collect(struct obj *o, void *ctx)
{
	struct sweep *s = ctx;

	if (last_seen(o) < s->before_ns)
		vec_push(&s->expired, obj_ref(o));
	return s->expired.n >= SWEEP_MAX;
}

void event_ttl_sweep(struct apiserver *s)
{
	static const char *const masters[] = { "system:masters", NULL };
	struct sweep sweep = { .before_ns = env_now_ns(s->env) - s->o.event_ttl_ns, .expired = VEC_INIT };
	struct client *c = apiserver_client(s, "kube-apiserver", "system:apiserver", masters);

	if (store_has_ttl(s->store))
		sweep.before_ns -= STORE_FIRST_NS;
	wc_each(s->wc, RES(core_events), SV(""), event_ttl_collect, &sweep);
	for (size_t i = 0; i < sweep.expired.n; i++) {
		struct obj *o = sweep.expired.p[i];
		struct client_delete_opts opts = CLIENT_DELETE_OPTS;

		/* Only this version: it may have been repeated meanwhile. */
		opts.precondition_rev = obj_rev(o);
		(void)client_delete(c, RES(core_events), obj_ns(o), obj_name(o), &opts, NULL);
		obj_unref(o);
	}
	vec_release(&sweep.expired);
	client_free(c);
}
