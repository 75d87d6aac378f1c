#include "apiserver/node_usage.h"

#include "apiserver/kubelet_client.h"
#include "apiserver/webhook/webhook.h"
#include "base/list.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <stdlib.h>

/* Where an answer does not say: how long the kubelet of upstream waits between two readings. */
#define WINDOW_MAX_NS (3600 * NS_PER_SEC)
#define WINDOW_NS (10 * NS_PER_SEC)

/* A request that waits for nodes. */
struct usage_wait {
	size_t left; /* nodes that have not answered; guarded by the lock */
	struct req_ticket *ticket;
};

struct usage_entry {
	struct node_usages *u;
	char *node;
	struct node_usage *said; /* last, or NULL */
	int64_t tried_ns;	 /* monotonic, when the last call ended; 0: none has */
	bool asking;
	bool silent;	    /* the last call brought nothing; said once. Of the call alone */
	struct list queued; /* for its call */
	VEC(struct usage_wait *) waits;
};

struct node_usages {
	struct apiserver *s;
	pthread_mutex_t lock;
	struct strmap by_node; /* -> struct usage_entry * */
	struct list queue;     /* of entries that are to be asked when there is room */
	size_t calls;
	bool calling; /* somebody works the queue off */
	int64_t swept_ns;
};

/* --- what a node says --- */

static void used_pod_free(void *p)
{
	struct used_pod *pod = p;

	for (size_t i = 0; i < pod->containers.n; i++)
		free(pod->containers.p[i].name);
	vec_release(&pod->containers);
	free(pod);
}

void node_usage_unref(struct node_usage *u)
{
	if (!u || atomic_fetch_sub(&u->refs, 1) != 1)
		return;
	strmap_release_with(&u->pods, used_pod_free);
	free(u);
}

static const struct val *usage_in(const struct val *v, const char *a, const char *b)
{
	return val_member_sv(val_member_sv(v, sv_from(a)), sv_from(b));
}

/* Of what has processors and memory. False: one of them is not known (yet). */
static bool usage_read(const struct val *v, struct used *ret)
{
	const struct val *cores = usage_in(v, "cpu", "usageNanoCores"),
			 *bytes = usage_in(v, "memory", "workingSetBytes");
	int64_t window = val_int_or(usage_in(v, "cpu", "usageWindowNanoSeconds"), WINDOW_NS);

	if (val_int_or(cores, -1) < 0 || val_int_or(bytes, -1) < 0 ||
	    !time_parse(val_str(usage_in(v, "cpu", "time")), &ret->at_ns))
		return false;
	ret->nano_cores = (uint64_t)val_int_or(cores, 0);
	ret->bytes = (uint64_t)val_int_or(bytes, 0);
	ret->window_ns = window > 0 ? MIN(window, WINDOW_MAX_NS) : WINDOW_NS;
	return true;
}

static struct used_pod *usage_read_pod(const struct val *pod)
{
	struct used_pod *p = xcalloc(1, sizeof(*p));

	VAL_EACH(val_member_sv(pod, SV("containers")), c) {
		struct used_container one = { 0 };
		struct sv name = val_str(val_member_sv(c, SV("name")));

		if (!usage_read(c, &one.used)) { /* a part of it would read as if it were all */
			used_pod_free(p);
			return NULL;
		}
		one.name = xstrndup(name.p, name.n);
		vec_push(&p->containers, one);
	}
	return p;
}

struct node_usage *node_usage_parse(struct sv body, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *doc = json_decode(&a, body, NULL, err);
	struct node_usage *u;

	if (!doc)
		return NULL;
	u = xcalloc(1, sizeof(*u));
	atomic_init(&u->refs, 1);
	u->known = usage_read(val_member_sv(doc, SV("node")), &u->node);
	VAL_EACH(val_member_sv(doc, SV("pods")), pod) {
		struct sv uid = val_str(usage_in(pod, "podRef", "uid"));
		struct used_pod *p = uid.n ? usage_read_pod(pod) : NULL;

		p = p ? strmap_set(&u->pods, uid, p) : NULL;
		if (p) /* it named one twice: the last counts */
			used_pod_free(p);
	}
	return u;
}

/* --- asking --- */

typedef VEC(struct req_ticket *) tickets;

/* The lock is held: whoever waited for it last is ready. */
static void usage_entry_tell(struct usage_entry *e, tickets *ready)
{
	for (size_t i = 0; i < e->waits.n; i++) {
		struct usage_wait *w = e->waits.p[i];

		if (--w->left)
			continue;
		vec_push(ready, w->ticket);
		free(w);
	}
	vec_release(&e->waits);
}

/* Without the lock: a request may go on at once. */
static void usage_resume(tickets *ready)
{
	for (size_t i = 0; i < ready->n; i++)
		(void)req_resume(ready->p[i], NULL, NULL);
	vec_release(ready);
}

static void usage_ask_some(struct node_usages *u);

static void usage_answered(struct webhook_answer *answer_take, void *ctx)
{
	struct usage_entry *e = ctx;
	struct node_usages *u = e->u;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct node_usage *said = NULL, *was;
	tickets ready = VEC_INIT;

	if (answer_take->err.reason == ERR_NONE)
		said = node_usage_parse(buf_sv(&answer_take->body), &why);
	if (!said && !e->silent)
		log_info("apiserver", "a node does not say what it uses", "node", "%s: %s", e->node,
			 err_msg(answer_take->err.reason == ERR_NONE ? &why : &answer_take->err));
	e->silent = !said;
	webhook_answer_free(answer_take);
	pthread_mutex_lock(&u->lock);
	was = e->said;
	e->said = said;
	e->asking = false;
	e->tried_ns = env_mono_ns(u->s->env);
	u->calls--;
	usage_entry_tell(e, &ready);
	pthread_mutex_unlock(&u->lock);
	node_usage_unref(was);
	usage_resume(&ready);
	usage_ask_some(u);
}

/* As many of those that wait for a call as there is room for. An entry that is asked is not removed. A call may be
 * answered before it returns, which comes back to here: who is at it already looks again, so that the queue is no depth
 * of the stack. */
static void usage_ask_some(struct node_usages *u)
{
	pthread_mutex_lock(&u->lock);
	if (u->calling) {
		pthread_mutex_unlock(&u->lock);
		return;
	}
	u->calling = true;
	pthread_mutex_unlock(&u->lock);
	for (;;) {
		struct webhook_call_opts o = { .get = "/stats/summary?only_cpu_and_memory=true",
					       .timeout_ns = USAGE_TIMEOUT_NS,
					       .answer_max = USAGE_ANSWER_MAX,
					       .done = usage_answered };
		struct usage_entry *e = NULL;

		pthread_mutex_lock(&u->lock);
		if (u->calls < USAGE_CALLS_MAX && !list_empty(&u->queue)) {
			e = CONTAINER_OF(u->queue.next, struct usage_entry, queued);
			list_del(&e->queued);
			u->calls++;
		}
		u->calling = e != NULL;
		pthread_mutex_unlock(&u->lock);
		if (!e)
			return;
		o.ctx = e;
		o.target = webhook_target_own(sv_from(e->node), kubelet_endpoint);
		webhook_call_unref(webhook_call(u->s, &o));
		webhook_target_unref(o.target);
	}
}

static void usage_entry_free(void *p)
{
	struct usage_entry *e = p;

	node_usage_unref(e->said);
	vec_release(&e->waits);
	free(e->node);
	free(e);
}

/* The lock is held. Nodes that nobody has asked about for a while, or that are gone. */
static void usage_sweep(struct node_usages *u, int64_t mono_ns)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	VEC(struct sv) old = VEC_INIT;

	if (mono_ns - u->swept_ns < 12 * USAGE_KEEP_NS)
		return;
	u->swept_ns = mono_ns;
	STRMAP_EACH(&u->by_node, m) {
		const struct usage_entry *e = m->value;

		if (!e->asking && mono_ns - e->tried_ns > 6 * USAGE_KEEP_NS)
			vec_push(&old, arena_sv(&a, sv_make(m->key, m->key_n)));
	}
	for (size_t i = 0; i < old.n; i++)
		usage_entry_free(strmap_del(&u->by_node, old.p[i]));
	vec_release(&old);
}

/* The lock is held. */
static struct usage_entry *usage_entry(struct node_usages *u, struct sv node)
{
	void **slot = strmap_slot(&u->by_node, node);
	struct usage_entry *e = *slot;

	if (!e) {
		e = *slot = xcalloc(1, sizeof(*e));
		e->u = u;
		e->node = xstrndup(node.p, node.n);
		list_init(&e->queued);
	}
	return e;
}

int node_usage_wait(struct api_req *q, const struct sv *nodes, size_t n, bool *waited)
{
	struct node_usages *u = q->server->usages;
	int64_t mono_ns = env_mono_ns(u->s->env);
	struct usage_wait *w;
	size_t left;

	if (*waited)
		return 0;
	w = xcalloc(1, sizeof(*w));
	pthread_mutex_lock(&u->lock);
	usage_sweep(u, mono_ns);
	for (size_t i = 0; i < n; i++) {
		struct usage_entry *e = usage_entry(u, nodes[i]);

		if (!e->asking) {
			if (e->tried_ns && mono_ns - e->tried_ns < USAGE_KEEP_NS)
				continue;
			e->asking = true;
			list_add_tail(&u->queue, &e->queued);
		}
		vec_push(&e->waits, w);
		w->left++;
	}
	left = w->left;
	if (left)
		w->ticket = req_suspend(q, "the kubelets", NULL, NULL);
	pthread_mutex_unlock(&u->lock);
	if (!left) {
		free(w);
		return 0;
	}
	*waited = true;
	usage_ask_some(u);
	return REQ_LATER;
}

struct node_usage *node_usage_get(struct apiserver *s, struct sv node)
{
	struct node_usages *u = s->usages;
	const struct usage_entry *e;
	struct node_usage *said;

	pthread_mutex_lock(&u->lock);
	e = strmap_get(&u->by_node, node);
	said = e ? e->said : NULL;
	if (said)
		atomic_fetch_add(&said->refs, 1);
	pthread_mutex_unlock(&u->lock);
	return said;
}

struct node_usages *node_usages_new(struct apiserver *s)
{
	struct node_usages *u = xcalloc(1, sizeof(*u));

	u->s = s;
	pthread_mutex_init(&u->lock, NULL);
	list_init(&u->queue);
	return u;
}

struct node_usages *node_usages_free(struct node_usages *u)
{
	tickets left = VEC_INIT;

	if (!u)
		return NULL;
	STRMAP_EACH(&u->by_node, m)
		usage_entry_tell(m->value, &left); /* of calls that were never made: those requests have ended */
	usage_resume(&left);
	strmap_release_with(&u->by_node, usage_entry_free);
	pthread_mutex_destroy(&u->lock);
	free(u);
	return NULL;
}
