/* EventRateLimit. A bucket that lets qps pass a second, and burst at once, is a clock that each event puts forward by a
 * qps-th of a second; one that is burst of these ahead of now is empty. */
#include "apiserver/admission/event_rate.h"
#include "apiserver/admission/setup.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/strmap.h"

#include <stdlib.h>

#define LIMITS_MAX 16
#define CACHE_USUAL 4096
#define CACHE_MAX 1000000
#define KEY_MAX 256 /* bytes: of longer ones the beginning and a hash */

static struct lock_site event_rate_lock = { .name = "event rate" };

static const char *const event_types[] = { "Server", "Namespace", "User", "SourceAndObject" };
enum event_type { EVENT_SERVER, EVENT_NAMESPACE, EVENT_USER, EVENT_SOURCE, _EVENT_TYPE_MAX };

struct event_bucket {
	struct list used; /* the last used one first */
	struct sv key;	  /* owned */
	int64_t ahead_ns;
};

struct event_limit {
	enum event_type type;
	int64_t each_ns, most_ns; /* what an event costs; how far ahead the clock may be before one */
	size_t room;
	pthread_mutex_t lock;
	struct strmap by_key; /* struct event_bucket */
	struct list used;
};

struct event_limits {
	size_t n;
	struct event_limit at[LIMITS_MAX];
};

/* --- the configuration --- */

static int event_limit_read(struct event_limit *l, const struct val *entry, size_t i, struct err *err)
{
	int64_t qps = val_int_or(val_member_sv(entry, SV("qps")), 0), burst, room;
	struct sv type = val_get_str(entry, F_type);
	unsigned t = 0;

	burst = val_int_or(val_member_sv(entry, SV("burst")), 0);
	room = val_int_or(val_member_sv(entry, SV("cacheSize")), 0);
	while (t < _EVENT_TYPE_MAX && !sv_is(type, event_types[t]))
		t++;
	if (t == _EVENT_TYPE_MAX)
		return err_set(
		    err, ERR_INVALID,
		    "limits[%zu].type: Unsupported value: \"%.*s\": supported values: \"Server\", \"Namespace\", "
		    "\"User\", \"SourceAndObject\"",
		    i, SV_ARG(type));
	if (burst <= 0 || burst > INT32_MAX)
		return err_set(err, ERR_INVALID, "limits[%zu].burst: Invalid value: %" PRId64 ": must be positive", i,
			       burst);
	if (qps <= 0 || qps > INT32_MAX)
		return err_set(err, ERR_INVALID, "limits[%zu].qps: Invalid value: %" PRId64 ": must be positive", i,
			       qps);
	if (room < 0 || room > CACHE_MAX)
		return err_set(err, ERR_INVALID,
			       "limits[%zu].cacheSize: Invalid value: %" PRId64 ": must not be negative, nor above %d",
			       i, room, CACHE_MAX);
	l->type = (enum event_type)t;
	l->each_ns = MAX(NS_PER_SEC / qps, INT64_C(1));
	l->most_ns = (burst - 1) * l->each_ns;
	l->room = t == EVENT_SERVER ? 1 : room ? (size_t)room : CACHE_USUAL;
	return 0;
}

struct event_limits *event_limits_new(const struct val *config, struct err *err)
{
	const struct val *limits = val_member_sv(config, SV("limits"));
	struct event_limits *l;

	if (!val_is(val_get(config, F_kind), "Configuration") ||
	    !val_is(val_get(config, F_apiVersion), "eventratelimit.admission.k8s.io/v1alpha1")) {
		err_set(err, ERR_INVALID, "it is no Configuration of eventratelimit.admission.k8s.io/v1alpha1");
		return NULL;
	}
	if (!val_len(limits) || val_len(limits) > LIMITS_MAX) {
		err_set(err, ERR_INVALID, "limits: must not be empty, nor more than %d", LIMITS_MAX);
		return NULL;
	}
	l = xcalloc(1, sizeof(*l));
	VAL_EACH(limits, entry) {
		struct event_limit *at = &l->at[l->n];

		pthread_mutex_init(&at->lock, NULL);
		list_init(&at->used);
		l->n++;
		if (event_limit_read(at, entry, l->n - 1, err) < 0)
			return event_limits_free(l);
	}
	return l;
}

static void event_bucket_free(struct event_limit *l, struct event_bucket *b)
{
	(void)strmap_del(&l->by_key, b->key);
	list_del(&b->used);
	free((char *)b->key.p);
	free(b);
}

struct event_limits *event_limits_free(struct event_limits *l)
{
	if (!l)
		return NULL;
	for (size_t i = 0; i < l->n; i++) {
		struct event_limit *at = &l->at[i];

		while (!list_empty(&at->used))
			event_bucket_free(at, LIST_ENTRY(at->used.next, struct event_bucket, used));
		strmap_release(&at->by_key);
		pthread_mutex_destroy(&at->lock);
	}
	free(l);
	return NULL;
}

/* --- events --- */

/* The bucket of key, the last used one from now on; another one makes room for it. */
static struct event_bucket *event_bucket_of(struct event_limit *l, struct sv key)
{
	struct event_bucket *b = strmap_get(&l->by_key, key);
	char *copy;

	if (b) {
		list_del(&b->used);
		list_add_head(&l->used, &b->used);
		return b;
	}
	if (l->by_key.n >= l->room)
		event_bucket_free(l, LIST_ENTRY(l->used.prev, struct event_bucket, used));
	b = xcalloc(1, sizeof(*b));
	copy = xcalloc(1, key.n + 1);
	if (key.n)
		memcpy(copy, key.p, key.n);
	b->key = sv_make(copy, key.n);
	(void)strmap_set(&l->by_key, b->key, b);
	list_add_head(&l->used, &b->used);
	return b;
}

bool event_limits_take(struct event_limits *l, size_t limit, struct sv key, int64_t now_ns)
{
	struct event_limit *at = &l->at[limit];
	struct event_bucket *b;
	bool may;

	lock_mutex(&at->lock, &event_rate_lock);
	b = event_bucket_of(at, key);
	b->ahead_ns = MAX(b->ahead_ns, now_ns);
	may = b->ahead_ns - now_ns <= at->most_ns;
	if (may)
		b->ahead_ns += at->each_ns;
	pthread_mutex_unlock(&at->lock);
	return may;
}

/* In either group's words. */
static struct sv event_source_key(const struct admission *a)
{
	const struct val *about = val_get(a->doc, F_involvedObject), *source = val_get(a->doc, F_source);
	struct sv component, host;

	about = about ? about : val_get(a->doc, F_regarding);
	component = source ? val_get_str(source, F_component) : val_get_str(a->doc, F_reportingController);
	host = source ? val_get_str(source, F_host) : val_get_str(a->doc, F_reportingInstance);
	return arena_svf(a->q->arena, "%.*s%.*s%.*s%.*s%.*s%.*s%.*s", SV_ARG(component), SV_ARG(host),
			 SV_ARG(val_get_str(about, F_kind)), SV_ARG(val_get_str(about, F_namespace)),
			 SV_ARG(val_get_str(about, F_name)), SV_ARG(val_get_str(about, F_uid)),
			 SV_ARG(val_get_str(about, F_apiVersion)));
}

static int event_rate_validate(const struct admission *a, struct err *err)
{
	struct event_limits *l = a->q->server->admission->event_limits;
	int64_t now_ns;
	ssize_t full = -1;
	struct sv keys[_EVENT_TYPE_MAX];

	if ((a->res != RES(core_events) && a->res != RES(events_events)) || !l || !a->doc ||
	    (a->op != ADMIT_CREATE && a->op != ADMIT_UPDATE))
		return 0;
	now_ns = env_mono_ns(a->q->server->env);
	keys[EVENT_SERVER] = SV("");
	keys[EVENT_NAMESPACE] = a->ns;
	keys[EVENT_USER] = a->q->user.name;
	keys[EVENT_SOURCE] = event_source_key(a);
	/* What is remembered is bounded in bytes. */
	for (size_t i = 0; i < _EVENT_TYPE_MAX; i++)
		if (keys[i].n > KEY_MAX)
			keys[i] =
			    arena_svf(a->q->arena, "%.*s...%016" PRIx64, KEY_MAX - 32, keys[i].p, strmap_hash(keys[i]));
	/* All of them count it; the last one that is full is named. */
	for (size_t i = 0; i < l->n; i++)
		if (!event_limits_take(l, i, keys[l->at[i].type], now_ns))
			full = (ssize_t)i;
	if (full < 0)
		return 0;
	return err_set(err, ERR_TOO_MANY_REQUESTS, "limit reached on type %s for key %.*s",
		       event_types[l->at[full].type], SV_ARG(keys[l->at[full].type]));
}

const struct admission_plugin admission_event_rate = { .name = "EventRateLimit", .validate = event_rate_validate };
