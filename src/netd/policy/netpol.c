/* Informers mark what changed; one reconcile key, "policies", folds the marks into transactions. The kubelet's question
 * is answered by its own transaction, at once and on its own thread: both hold `state` for it. */
#include "netd/policy/netpol.h"

#include "base/log.h"
#include "base/retry.h"
#include "base/strmap.h"
#include "client/informer.h"
#include "client/workq.h"
#include "netd/model.h"
#include "netd/policy/track.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define INFORMER_POLL_NS (10 * NS_PER_MS)
#define CHECK_NS NS_PER_SEC	  /* a number of the kernel's, while it is the same: what was shut is open until then */
#define IDLE_NS (10 * NS_PER_SEC) /* between two looks where there is no table */
#define ASK_AGAIN_NS NS_PER_SEC
#define FORGET_NS NS_PER_SEC /* between two looks at what the kernel remembers, but for those before a pod's start */
#define FORGET_SHARE 10	     /* of one core they take a tenth at most, however much it remembers */
#define SYS "netpol"

static const struct retry_policy netpol_retry = { .first_ns = NS_PER_SEC, .max_ns = 30 * NS_PER_SEC };
static const struct sv netpol_key = { "policies", 8 };

/* "ns/name" each, Namespaces and Nodes "name". */
struct netpol_marks {
	struct strmap namespaces, pods, policies, nodes;
};

struct netpol {
	struct env *env;
	struct client *client;
	struct netpol_backend *backend;
	struct informer_factory *factory, *peers_factory; /* the latter when there is a policy */
	struct informer *policies, *namespaces, *pods, *nodes;
	struct workq *q;
	char *node_name, *table, *bridge;
	_Atomic bool synced;
	_Atomic bool peers; /* peers_factory, namespaces, pods and nodes are there */

	pthread_mutex_t lock; /* covers: */
	struct netpol_marks marks;
	bool stopping;

	pthread_mutex_t state; /* covers, across a transaction: */
	struct netpol_track *track;
	struct netpol_left left;
	bool left_read, left_failed, denied, first_done, prepared, bridged;
	struct retry failed; /* pause_ns 0: the last transaction went well */
	int64_t forget_ns;   /* the next look for flows that are nobody's any more */

	/* Used by the reconciler only. */
	int64_t rest_until_ns, check_ns;
};

void netpol_left_release(struct netpol_left *l)
{
	vec_release(&l->ingress);
	vec_release(&l->egress);
}

static void netpol_marks_release(struct netpol_marks *m)
{
	strmap_release(&m->namespaces);
	strmap_release(&m->pods);
	strmap_release(&m->policies);
	strmap_release(&m->nodes);
}

/* --- marking --- */

static void netpol_mark(struct netpol *n, struct strmap *m, const struct obj *o, bool wake)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct sv name = obj_ns(o).n ? obj_path(&key, obj_ns(o), obj_name(o)) : obj_name(o);

	pthread_mutex_lock(&n->lock);
	strmap_set(m, name, n);
	if (wake && !n->stopping)
		workq_add(n->q, netpol_key);
	pthread_mutex_unlock(&n->lock);
}

static void netpol_wake(struct netpol *n)
{
	pthread_mutex_lock(&n->lock);
	if (!n->stopping)
		workq_add(n->q, netpol_key);
	pthread_mutex_unlock(&n->lock);
}

static void netpol_on_policy(struct obj *o, void *ctx)
{
	struct netpol *n = ctx;

	netpol_mark(n, &n->marks.policies, o, true);
}

static void netpol_on_policy_update(_unused_ struct obj *old, struct obj *neu, void *ctx)
{
	netpol_on_policy(neu, ctx);
}

static void netpol_on_namespace(struct obj *o, void *ctx)
{
	struct netpol *n = ctx;

	netpol_mark(n, &n->marks.namespaces, o, true);
}

static void netpol_on_namespace_update(struct obj *old, struct obj *neu, void *ctx)
{
	struct netpol *n = ctx;

	netpol_mark(n, &n->marks.namespaces, neu, !val_equal(obj_labels(old), obj_labels(neu)));
}

static void netpol_on_node(struct obj *o, void *ctx)
{
	struct netpol *n = ctx;

	netpol_mark(n, &n->marks.nodes, o, true);
}

/* A heartbeat says nothing of it. */
static void netpol_on_node_update(struct obj *old, struct obj *neu, void *ctx)
{
	struct netd_node was, is;

	netd_node_read(old, &was);
	netd_node_read(neu, &is);
	if (!netd_node_same(&was, &is))
		netpol_on_node(neu, ctx);
}

static void netpol_on_pod(struct obj *o, void *ctx)
{
	struct netpol *n = ctx;

	netpol_mark(n, &n->marks.pods, o, true);
}

/* Most updates say nothing new to us: they are taken along with what does, so that old versions are let go. */
static void netpol_on_pod_update(struct obj *old, struct obj *neu, void *ctx)
{
	struct netpol *n = ctx;

	netpol_mark(n, &n->marks.pods, neu, !netpol_pod_same(old, neu));
}

/* --- one transaction; state is locked --- */

/* Known is known: informers do not become unsynced. */
static bool netpol_informed(const struct netpol *n)
{
	return informer_factory_synced(n->factory) && (!n->peers || informer_factory_synced(n->peers_factory));
}

static struct netpol_marks netpol_take_marks(struct netpol *n)
{
	struct netpol_marks m;

	pthread_mutex_lock(&n->lock);
	m = n->marks;
	n->marks = (struct netpol_marks){ 0 };
	pthread_mutex_unlock(&n->lock);
	return m;
}

static void netpol_remark_policy(struct netpol *n, struct sv key)
{
	pthread_mutex_lock(&n->lock);
	strmap_set(&n->marks.policies, key, n);
	pthread_mutex_unlock(&n->lock);
}

/* answers: for a policy that is gone, whether its namespace is going; one without an answer stays marked, and counts.
 */
static void netpol_take_policy(struct netpol *n, struct sv key, const struct strmap *answers)
{
	struct sv ns, name;
	struct obj *o;

	workq_key_split(key, &ns, &name);
	o = informer_lookup(n->policies, ns, name);
	if (o || !netpol_track_has_pods(n->track, ns))
		netpol_track_policy(n->track, ns, name, o, false);
	else if (answers && strmap_has(answers, key))
		netpol_track_policy(n->track, ns, name, NULL, strmap_get(answers, key) != NULL);
	else
		netpol_remark_policy(n, key);
	obj_unref(o);
}

static void netpol_take_all(struct netpol *n, const struct strmap *answers)
{
	_cleanup_(netpol_marks_release) struct netpol_marks m = netpol_take_marks(n);
	struct sv ns, name;

	STRMAP_EACH(&m.namespaces, e) {
		struct sv key = sv_make(e->key, e->key_n);
		_cleanup_obj_ struct obj *o = informer_lookup(n->namespaces, SV(""), key);

		netpol_track_namespace(n->track, key, o);
	}
	STRMAP_EACH(&m.nodes, e) {
		struct sv key = sv_make(e->key, e->key_n);
		_cleanup_obj_ struct obj *o = informer_lookup(n->nodes, SV(""), key);

		if (netpol_track_node(n->track, key, o))
			netpol_track_reset(n->track); /* rules do not change: all of them are written anew */
	}
	STRMAP_EACH(&m.pods, e) {
		struct obj *o;

		workq_key_split(sv_make(e->key, e->key_n), &ns, &name);
		o = informer_lookup(n->pods, ns, name);
		netpol_track_pod(n->track, ns, name, o);
		obj_unref(o);
	}
	STRMAP_EACH(&m.policies, e)
		netpol_take_policy(n, sv_make(e->key, e->key_n), answers);
	if (!n->denied)
		netpol_track_deny(n->track, &n->left);
	n->denied = true;
}

/* Again, too: somebody may have loaded the module meanwhile, or turned the settings back. */
static void netpol_prepare(struct netpol *n)
{
	bool was = n->bridged || !n->prepared;

	n->prepared = true;
	n->bridged = n->backend->prepare(n->backend);
	if (!n->bridged && was)
		log_error(SYS, "packets between pods of this node pass no rules, as the kernel has no br_netfilter",
			  "effect", "pods that a NetworkPolicy selects are not started; modprobe br_netfilter");
}

/* Writes what is wanted by all that was taken. A failure leaves the kernel as it was, and everything is written the
 * next time. */
static int netpol_write(struct netpol *n, size_t *ret_written, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	*ret_written = 0;
	if (!n->bridged && netpol_track_policies(n->track) > 0)
		netpol_prepare(n);
	netpol_track_commit(n->track, &b);
	if (b.n && n->backend->apply(n->backend, buf_sv(&b), err) < 0) {
		netpol_track_reset(n->track);
		retry_failed(&netpol_retry, &n->failed, env_mono_ns(n->env));
		return -1;
	}
	*ret_written = b.n;
	retry_forget(&n->failed);
	n->first_done = true;
	netpol_left_release(&n->left);
	if (!atomic_exchange(&n->synced, true))
		log_info(SYS, "network policies are in force", "policies", "%zu", netpol_track_policies(n->track));
	return 0;
}

/* Flows of pods that are gone; what is established passes without a question. */
static int netpol_forget(struct netpol *n, struct err *err)
{
	struct strmap *left = netpol_track_left(n->track);
	int64_t began = env_mono_ns(n->env), end;
	int rc;

	if (left->n == 0)
		return 0;
	rc = n->backend->forget(n->backend, left, err);
	if (rc == 0)
		strmap_release(left);
	end = env_mono_ns(n->env);
	n->forget_ns = end + MAX(FORGET_NS, (end - began) * (FORGET_SHARE - 1));
	return rc;
}

/* When it is time; how long until then, 0: there is nothing to forget. */
static int64_t netpol_forget_now_and_then(struct netpol *n, int64_t now)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (now >= n->forget_ns && netpol_forget(n, &err) < 0)
		log_warn(SYS, "connections of pods that are gone are not forgotten, will retry", "error", "%s",
			 err_msg(&err));
	return netpol_track_left(n->track)->n ? MAX(n->forget_ns - now, 1) : 0;
}

/* What an earlier run left is asked once: it decides whether more has to be known. */
static bool netpol_read_left(struct netpol *n)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	int rc;

	if (n->left_read)
		return true;
	rc = n->backend->left(n->backend, &n->left, &err);
	if (rc < 0 && !n->left_failed)
		log_error(SYS, "the rules of an earlier run cannot be read, will retry", "error", "%s", err_msg(&err));
	n->left_failed = rc < 0;
	n->left_read = rc >= 0;
	if (rc == 0)
		netpol_track_none(n->track);
	return n->left_read;
}

static void netpol_watch_peers(struct netpol *n);

/* Everything is known that a transaction needs? */
static bool netpol_may_write(struct netpol *n)
{
	if (!informer_factory_synced(n->factory) || !netpol_read_left(n))
		return false;
	if (!n->peers && (informer_count(n->policies) > 0 || n->left.ingress.n > 0 || n->left.egress.n > 0))
		netpol_watch_peers(n);
	return netpol_informed(n);
}

/* --- syncing --- */

/* 1: it is going, or gone; 0: it is not; -1: nobody says so. */
static int netpol_ask_namespace(struct netpol *n, struct sv ns, struct err *err)
{
	_cleanup_obj_ struct obj *o = NULL;

	if (client_get(n->client, RES(core_namespaces), SV(""), ns, &o, err) == 0)
		return obj_deleting(o);
	return err->reason == ERR_NOT_FOUND ? 1 : -1;
}

/* Whether the namespaces of policies that are gone are going; without an answer: asked again later. Each once, and
 * after a request to which nobody answers no more: the look at the table waits for it. */
static void netpol_ask(struct netpol *n, struct strmap *answers, bool *ret_all)
{
	_cleanup_(strmap_release) struct strmap marked = STRMAP_INIT, gone = STRMAP_INIT, asked = STRMAP_INIT;
	bool nobody = false;

	pthread_mutex_lock(&n->lock);
	STRMAP_EACH(&n->marks.policies, e)
		strmap_set(&marked, sv_make(e->key, e->key_n), n);
	pthread_mutex_unlock(&n->lock);
	pthread_mutex_lock(&n->state);
	STRMAP_EACH(&marked, e) {
		struct sv ns, name, key = sv_make(e->key, e->key_n);
		struct obj *o;

		workq_key_split(key, &ns, &name);
		o = informer_lookup(n->policies, ns, name);
		if (!o && netpol_track_has_pods(n->track, ns))
			strmap_set(&gone, key, n);
		obj_unref(o);
	}
	pthread_mutex_unlock(&n->state);
	*ret_all = true;
	STRMAP_EACH(&gone, e) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct sv ns, name, key = sv_make(e->key, e->key_n);
		void **said;

		workq_key_split(key, &ns, &name);
		said = strmap_slot(&asked, ns); /* netpol_ask_namespace() + 2; NULL: it was not asked for */
		if (!*said && !nobody) {
			*said = (void *)(intptr_t)(netpol_ask_namespace(n, ns, &err) + 2);
			nobody = err.reason == ERR_UNAVAILABLE || err.reason == ERR_TIMEOUT;
		}
		if ((intptr_t)*said > 1)
			strmap_set(answers, key, (intptr_t)*said == 3 ? n : NULL);
		else
			*ret_all = false;
	}
}

static bool netpol_intact(struct netpol *n, int64_t now)
{
	if (now - n->check_ns < CHECK_NS)
		return true;
	n->check_ns = now;
	if (!netpol_track_there(n->track))
		return true;
	netpol_prepare(n);
	if (n->backend->intact(n->backend))
		return true;
	log_warn(SYS, "the rules of network policies were changed by somebody else, putting them back", "table", "%s",
		 n->table);
	return false;
}

static int netpol_reconcile(void *ctx, _unused_ struct sv key, struct reconcile_result *ret, _unused_ struct err *err)
{
	_cleanup_(strmap_release) struct strmap answers = STRMAP_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct netpol *n = ctx;
	int64_t now = env_mono_ns(n->env), again = 0, forget = 0;
	size_t written = 0;
	bool all, may, there;

	pthread_mutex_lock(&n->state);
	may = netpol_may_write(n);
	pthread_mutex_unlock(&n->state);
	if (!may || n->rest_until_ns > now) {
		ret->after_ns = may ? n->rest_until_ns - now : n->left_failed ? ASK_AGAIN_NS : INFORMER_POLL_NS;
		return 0;
	}
	netpol_ask(n, &answers, &all);
	pthread_mutex_lock(&n->state);
	again = retry_left_ns(&netpol_retry, &n->failed, n->failed.failed_ns, now);
	if (again == 0) {
		if (!netpol_intact(n, now))
			netpol_track_reset(n->track);
		netpol_take_all(n, &answers);
		if (netpol_write(n, &written, &why) < 0) {
			log_error(SYS, "rules of network policies not written, will retry", "error", "%s",
				  err_msg(&why));
			again = n->failed.pause_ns;
		} else {
			forget = netpol_forget_now_and_then(n, now);
		}
	}
	there = netpol_track_there(n->track);
	pthread_mutex_unlock(&n->state);
	if (written) {
		int64_t end = env_mono_ns(n->env);

		n->rest_until_ns = end + retry_rest_ns(end - now);
	}
	ret->after_ns = again > 0 ? again
			: all	  ? MAX(n->check_ns + (there ? CHECK_NS : IDLE_NS) - now, 1)
				  : ASK_AGAIN_NS;
	if (forget > 0)
		ret->after_ns = MIN(ret->after_ns, forget);
	return 0;
}

/* --- the kubelet's questions --- */

static int netpol_ready_locked(struct netpol *n, struct obj *pod, const struct ip_addr *ips, size_t k, struct err *err)
{
	size_t written;

	if (!netpol_may_write(n))
		return err_set(err, ERR_UNAVAILABLE, "NetworkPolicies are not known yet");
	netpol_take_all(n, NULL);
	netpol_track_ready(n->track, pod, ips, k);
	/* Who is not restricted needs no rule; what others have, or are missing, of this pod is tried again. */
	if (netpol_write(n, &written, err) < 0) {
		if (netpol_track_isolates(n->track, pod))
			return err_wrap(err, "the rules of NetworkPolicies cannot be written");
		err_release(err);
		*err = ERR_INIT;
		return 0;
	}
	/* After the rules: nothing new gets by them meanwhile. */
	if (netpol_forget(n, err) < 0 && netpol_track_isolates(n->track, pod))
		return err_wrap(err, "connections of the pod that had its address before cannot be forgotten");
	err_release(err);
	if (n->prepared && !n->bridged && netpol_track_isolates(n->track, pod))
		return err_set(err, ERR_UNAVAILABLE,
			       "a NetworkPolicy selects the pod, and this node cannot enforce it: "
			       "the kernel module br_netfilter is missing (modprobe br_netfilter)");
	return 0;
}

int netpol_ready(struct netpol *n, struct obj *pod, const struct sv *ips, size_t n_ips, struct err *err)
{
	VEC(struct ip_addr) list = VEC_INIT;
	bool again;
	int rc;

	for (size_t i = 0; i < n_ips; i++) {
		struct ip_addr ip;

		if (ip_parse(ips[i], &ip))
			vec_push(&list, ip);
	}
	pthread_mutex_lock(&n->state);
	rc = netpol_ready_locked(n, pod, list.p, list.n, err);
	again = rc < 0 || n->failed.pause_ns > 0;
	pthread_mutex_unlock(&n->state);
	vec_release(&list);
	if (again)
		netpol_wake(n);
	return rc;
}

void netpol_gone(struct netpol *n, struct obj *pod)
{
	pthread_mutex_lock(&n->state);
	netpol_track_gone(n->track, obj_uid(pod));
	/* Of a pod that the watch has not brought, or brings no more, nobody else would say so. */
	if (n->peers)
		netpol_mark(n, &n->marks.pods, pod, false);
	else
		netpol_track_pod(n->track, obj_ns(pod), obj_name(pod), NULL);
	pthread_mutex_unlock(&n->state);
	netpol_wake(n);
}

/* --- life --- */

static const struct informer_handler netpol_policy_handler = { netpol_on_policy, netpol_on_policy_update,
							       netpol_on_policy };
static const struct informer_handler netpol_namespace_handler = { netpol_on_namespace, netpol_on_namespace_update,
								  netpol_on_namespace };
static const struct informer_handler netpol_node_handler = { netpol_on_node, netpol_on_node_update, netpol_on_node };
static const struct informer_handler netpol_pod_handler = { netpol_on_pod, netpol_on_pod_update, netpol_on_pod };

static void netpol_watch_peers(struct netpol *n)
{
	n->peers_factory = informer_factory_new(n->client);
	informer_factory_keep(n->peers_factory, RES(core_namespaces), netpol_namespace_paths);
	informer_factory_keep(n->peers_factory, RES(core_pods), netpol_pod_paths);
	n->namespaces = informer_get(n->peers_factory, RES(core_namespaces), NULL, NULL, NULL);
	n->pods = informer_get(n->peers_factory, RES(core_pods), NULL, NULL, NULL);
	n->nodes = informer_get(n->peers_factory, RES(core_nodes), NULL, NULL, NULL);
	informer_add_handler(n->namespaces, &netpol_namespace_handler, n);
	informer_add_handler(n->pods, &netpol_pod_handler, n);
	informer_add_handler(n->nodes, &netpol_node_handler, n);
	informer_factory_start(n->peers_factory);
	n->peers = true;
}

struct netpol *netpol_new(const struct netpol_opts *o, _unused_ struct err *err)
{
	struct netpol *n = xcalloc(1, sizeof(*n));

	n->env = o->env;
	n->client = o->client;
	n->backend = o->backend;
	n->node_name = xstrdup(o->node_name);
	n->table = xstrdup(o->table);
	n->bridge = o->bridge ? xstrdup(o->bridge) : NULL;
	pthread_mutex_init(&n->lock, NULL);
	pthread_mutex_init(&n->state, NULL);
	n->track = netpol_track_new(n->table, n->node_name, n->bridge);
	n->factory = informer_factory_new(o->client);
	n->q = workq_new(
	    n->env, &(struct workq_opts){
			.name = "netpol", .class = ENV_NODE, .workers = 1, .reconcile = netpol_reconcile, .ctx = n });
	n->policies = informer_get(n->factory, RES(networking_networkpolicies), NULL, NULL, NULL);
	informer_add_handler(n->policies, &netpol_policy_handler, n);
	informer_factory_start(n->factory);
	workq_add(n->q, netpol_key);
	return n;
}

bool netpol_synced(struct netpol *n)
{
	return n->synced;
}

struct netpol *netpol_free(struct netpol *n)
{
	if (!n)
		return NULL;
	pthread_mutex_lock(&n->lock);
	n->stopping = true;
	pthread_mutex_unlock(&n->lock);
	n->q = workq_free(n->q);
	n->factory = informer_factory_free(n->factory);
	n->peers_factory = n->peers_factory ? informer_factory_free(n->peers_factory) : NULL;
	n->backend->free(n->backend);
	netpol_track_free(n->track);
	netpol_left_release(&n->left);
	netpol_marks_release(&n->marks);
	pthread_mutex_destroy(&n->lock);
	pthread_mutex_destroy(&n->state);
	free(n->node_name);
	free(n->table);
	free(n->bridge);
	free(n);
	return NULL;
}

const char *netpol_table(struct arena *a, const char *tag)
{
	return arena_printf(a, "%s-policy", tag);
}
