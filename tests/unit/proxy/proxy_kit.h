/* proxy_kit.h - a client whose cluster is what the test says, for tests of the proxy.
 *
 * Objects are written as JSON with ' for ". kit_put() and kit_del() reach the informers as watch events. */
#pragma once

#include "unit.h"

#include "base/vec.h"
#include "client/client.h"
#include "codec/json.h"

#include <pthread.h>
#include <stdlib.h>

struct kit_watch {
	struct client_watch_cb cb;
	void *ctx;
	const struct resource *r;
	struct keep *keep;
};

struct kit {
	struct client c;
	pthread_mutex_t lock; /* for the lists; events are sent by the test's thread only */
	struct obj *items[256];
	size_t n;
	int64_t rev;
	struct kit_watch *watches[8];
	bool down;   /* get fails */
	size_t gets; /* how often somebody asked */
};

static bool kit_is(const struct obj *o, const struct resource *r)
{
	return val_is(obj_get(o, F_kind), r->kind);
}

/* Where it is in the list; k->n: nowhere. */
static size_t kit_find(const struct kit *k, struct sv kind, struct sv ns, struct sv name)
{
	for (size_t i = 0; i < k->n; i++) {
		const struct obj *o = k->items[i];

		if (sv_eq(val_str(obj_get(o, F_kind)), kind) && sv_eq(obj_ns(o), ns) && sv_eq(obj_name(o), name))
			return i;
	}
	return k->n;
}

/* The object as a transport of its own gives it to who keeps some fields. */
static struct obj *kit_kept(struct obj *o, const struct keep *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return k ? obj_new_lean(keep_copy(&a, k, obj_root(o))) : obj_ref(o);
}

static int kit_list(struct client *c, const struct resource *r, _unused_ struct sv ns, const struct client_list_opts *o,
		    struct obj_list *ret, _unused_ struct err *err)
{
	struct kit *k = (struct kit *)c;

	pthread_mutex_lock(&k->lock);
	ret->items = xcalloc(k->n + 1, sizeof(*ret->items));
	ret->n = 0;
	for (size_t i = 0; i < k->n; i++) {
		if (kit_is(k->items[i], r))
			ret->items[ret->n++] = kit_kept(k->items[i], o ? o->keep : NULL);
	}
	ret->rev = k->rev;
	pthread_mutex_unlock(&k->lock);
	return 0;
}

static int kit_watch_start(struct client *c, const struct resource *r, _unused_ struct sv ns,
			   const struct client_list_opts *o, const struct client_watch_cb *cb, void *ctx,
			   struct client_watch **ret, _unused_ struct err *err)
{
	struct kit *k = (struct kit *)c;
	struct kit_watch *w = xcalloc(1, sizeof(*w));

	w->cb = *cb;
	w->ctx = ctx;
	w->r = r;
	w->keep = keep_ref(o->keep);
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < ARRAY_LEN(k->watches); i++) {
		if (!k->watches[i]) {
			k->watches[i] = w;
			break;
		}
	}
	pthread_mutex_unlock(&k->lock);
	*ret = (struct client_watch *)w;
	return 0;
}

static void kit_unwatch(struct client *c, struct client_watch *w)
{
	struct kit *k = (struct kit *)c;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < ARRAY_LEN(k->watches); i++) {
		if (k->watches[i] == (struct kit_watch *)w)
			k->watches[i] = NULL;
	}
	pthread_mutex_unlock(&k->lock);
	keep_unref(((struct kit_watch *)w)->keep);
	free(w);
}

static int kit_get(struct client *c, const struct resource *r, struct sv ns, struct sv name, struct obj **ret,
		   struct err *err)
{
	struct kit *k = (struct kit *)c;
	bool found;
	size_t at;

	pthread_mutex_lock(&k->lock);
	k->gets++;
	pthread_mutex_unlock(&k->lock);
	if (k->down)
		return err_set(err, ERR_UNAVAILABLE, "the API is away");
	pthread_mutex_lock(&k->lock);
	at = kit_find(k, sv_from(r->kind), ns, name);
	found = at < k->n;
	if (found)
		*ret = obj_ref(k->items[at]);
	pthread_mutex_unlock(&k->lock);
	return found ? 0 : err_set(err, ERR_NOT_FOUND, "not found");
}

static const struct client_ops kit_ops = {
	.get = kit_get, .list = kit_list, .watch = kit_watch_start, .unwatch = kit_unwatch
};

static _unused_ void kit_init(struct kit *k, struct env *env)
{
	*k = (struct kit){ .c = { .ops = &kit_ops, .env = env, .name = "kube-proxy" }, .rev = 1 };
	pthread_mutex_init(&k->lock, NULL);
}

static _unused_ void kit_release(struct kit *k)
{
	for (size_t i = 0; i < k->n; i++)
		obj_unref(k->items[i]);
	k->n = 0;
	pthread_mutex_destroy(&k->lock);
}

static struct obj *kit_obj(const char *text, int64_t rev)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_free_ char *json = xstrdup(text);
	struct err err = ERR_INIT;
	struct val *v;

	for (char *p = json; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	v = json_decode(&a, sv_from(json), NULL, &err);
	if (!v)
		fail_msg("%s: %s", err_msg(&err), json);
	return obj_new(v, rev);
}

static void kit_send(struct kit *k, enum watch_type t, struct obj *o)
{
	for (size_t i = 0; i < ARRAY_LEN(k->watches); i++) {
		struct kit_watch *w;

		pthread_mutex_lock(&k->lock);
		w = k->watches[i];
		pthread_mutex_unlock(&k->lock);
		if (w && kit_is(o, w->r)) {
			struct obj *kept = kit_kept(o, w->keep);

			w->cb.event(t, kept, w->ctx);
			obj_unref(kept);
		}
	}
}

static _unused_ void kit_put(struct kit *k, const char *text)
{
	struct obj *o = kit_obj(text, k->rev + 1);
	enum watch_type t = WATCH_MODIFIED;
	size_t at;

	pthread_mutex_lock(&k->lock);
	at = kit_find(k, val_str(obj_get(o, F_kind)), obj_ns(o), obj_name(o));
	k->rev++;
	if (at == k->n) {
		assert_true(k->n < ARRAY_LEN(k->items));
		t = WATCH_ADDED;
		k->n++;
	} else {
		obj_unref(k->items[at]);
	}
	k->items[at] = obj_ref(o);
	pthread_mutex_unlock(&k->lock);
	kit_send(k, t, o);
	obj_unref(o);
}

static _unused_ void kit_del(struct kit *k, const char *kind, const char *name)
{
	struct obj *o = NULL;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->n && !o; i++) {
		if (!val_is(obj_get(k->items[i], F_kind), kind) || !sv_is(obj_name(k->items[i]), name))
			continue;
		o = k->items[i];
		k->n--;
		k->items[i] = k->items[k->n];
		k->rev++;
	}
	pthread_mutex_unlock(&k->lock);
	assert_non_null(o);
	kit_send(k, WATCH_DELETED, o);
	obj_unref(o);
}

#define KIT_POD(name, ip, ports)                                                                                   \
	"{'kind':'Pod','metadata':{'name':'" name "','namespace':'default'},'spec':{'nodeName':'n1','containers':" \
	"[{'name':'c','ports':[" ports "]}]},'status':{'podIPs':[{'ip':'" ip "'}]}}"

/* The short forms: everything is in namespace default, slices are named after their Service. */
#define KIT_NODE                                                                                 \
	"{'kind':'Node','metadata':{'name':'n1','labels':{'topology.kubernetes.io/zone':'za'}}," \
	"'spec':{'podCIDR':'10.42.0.0/24','podCIDRs':['10.42.0.0/24']}}"
#define KIT_SERVICE(name, spec) \
	"{'kind':'Service','metadata':{'name':'" name "','namespace':'default'},'spec':{" spec "}}"
#define KIT_SLICE(name, ports, eps)                                                                     \
	"{'kind':'EndpointSlice','metadata':{'name':'" name "','namespace':'default',"                  \
	"'labels':{'kubernetes.io/service-name':'" name "'}},'addressType':'IPv4','ports':[" ports "]," \
	"'endpoints':[" eps "]}"
#define KIT_EP(ip) "{'addresses':['" ip "'],'nodeName':'n1','conditions':{'ready':true}}"
#define KIT_EP_ON(ip, node) "{'addresses':['" ip "'],'nodeName':'" node "','conditions':{'ready':true}}"
