#include "kubelet/podnet.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "client/informer.h"
#include "kubelet/bridge_repair.h"
#include "kubelet/cni.h"
#include "kubelet/containerd.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define CNI_RESULTS "/var/lib/cni/results" /* where libcni keeps what plugins answered */
#define FORWARDING "/proc/sys/net/ipv4/ip_forward"

struct podnet {
	struct informer_factory *informers;
	struct runtime *runtime;
	char *conf_dir, *state_dir;
	char bridge[16], run_dir[40];
	int (*mtu_of)(const struct obj *node, void *ctx);
	void *mtu_ctx;
	pthread_mutex_t lock; /* covers: */
	char *cidr;	      /* as written; NULL: not yet */
	int mtu;
	struct obj *node; /* as last seen */
};

/* spec.podCIDRs joined by commas, or podCIDR. */
static void pod_cidr(const struct obj *node, struct buf *b)
{
	VAL_EACH(obj_get(node, F_spec, F_podCIDRs), c) {
		if (b->n)
			buf_addc(b, ',');
		buf_addsv(b, val_str(c));
	}
	if (!b->n)
		buf_addsv(b, val_str(obj_get(node, F_spec, F_podCIDR)));
}

static int podnet_mtu(struct podnet *p, const struct obj *node)
{
	return p->mtu_of ? p->mtu_of(node, p->mtu_ctx) : 0;
}

static int write_config(struct podnet *p, const char *cidr, int mtu, struct err *err)
{
	return cni_write(
	    &(struct cni_opts){
		.conf_dir = p->conf_dir,
		.state_dir = p->state_dir,
		.bridge = p->bridge,
		.pod_cidr = cidr,
		.mtu = mtu,
	    },
	    err);
}

static void apply(struct obj *node, void *ctx)
{
	struct podnet *p = ctx;
	struct obj *old;
	bool same;
	int mtu;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	pod_cidr(node, &b);
	if (!b.n)
		return;
	mtu = podnet_mtu(p, node);
	pthread_mutex_lock(&p->lock);
	mtu = mtu ? mtu : p->mtu; /* its address is gone for a moment */
	same = p->cidr && strcmp(p->cidr, buf_cstr(&b)) == 0 && p->mtu == mtu;
	old = p->node;
	p->node = obj_ref(node);
	pthread_mutex_unlock(&p->lock);
	obj_unref(old);
	if (same)
		return;
	if (write_config(p, buf_cstr(&b), mtu, &err) < 0) {
		log_error("podnet", "cannot write the CNI configuration; pods get no network until it works", "error",
			  "%s", err_msg(&err));
		return;
	}
	log_info("podnet", "pod network configured", "cidr", "%s, mtu %d", buf_cstr(&b), mtu);
	if (p->runtime->ops->update_pod_cidr)
		(void)p->runtime->ops->update_pod_cidr(p->runtime, buf_sv(&b), NULL);
	pthread_mutex_lock(&p->lock);
	free(p->cidr);
	p->cidr = buf_detach(&b);
	p->mtu = mtu;
	pthread_mutex_unlock(&p->lock);
}

static void podnet_changed(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	apply(neu, ctx);
}

/* The bridge plugin turned it on; without it no packet leaves the machine or comes to a pod. */
static int repair_forwarding(struct buf *said)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_close_ int fd = -1;
	struct sv now;
	bool ok;

	if (file_read(&a, FORWARDING, 64, &now, NULL) < 0 || !sv_is(sv_trim(now), "0"))
		return 0;
	fd = open(FORWARDING, O_WRONLY | O_CLOEXEC);
	ok = fd >= 0 && write(fd, "1\n", 2) == 2;
	buf_printf(said, "%s%s", said->n ? "; " : "", ok ? "turned on forwarding" : "forwarding is off");
	return ok ? 1 : -1;
}

struct sandbox_look {
	struct runtime *runtime;
	bool silent;
};

/* A sandbox is no longer ready before its network is taken down, so one that is has lost it to somebody else. A runtime
 * that does not answer is asked once: each question may take half a minute. */
static bool sandbox_lives(struct sv id, void *ctx)
{
	struct sandbox_look *l = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct rt_sandbox *s;
	size_t n;

	l->silent = l->silent || l->runtime->ops->list_sandboxes(l->runtime, &a, SV(""), &s, &n, NULL) < 0;
	if (l->silent)
		return false;
	for (size_t i = 0; i < n; i++)
		if (sv_eq(s[i].id, id))
			return s[i].ready;
	return false;
}

int podnet_repair(struct podnet *p, struct buf *said)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_free_ char *file = xasprintf("%s/10-caravel.conflist", p->conf_dir);
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sandbox_look look = { .runtime = p->runtime };
	const char *cidr = NULL;
	int n = 0, rc, forwarding, mtu = 0;
	struct obj *node = NULL;

	pthread_mutex_lock(&p->lock);
	if (p->cidr) {
		cidr = arena_strdup(&a, p->cidr);
		node = obj_link(&a, obj_ref(p->node));
	}
	pthread_mutex_unlock(&p->lock);
	if (!cidr)
		return 0;
	apply(node, p); /* its MTU may be another one */
	pthread_mutex_lock(&p->lock);
	mtu = p->mtu;
	pthread_mutex_unlock(&p->lock);
	if (access(file, F_OK) < 0) {
		if (write_config(p, cidr, mtu, &err) < 0) {
			buf_printf(said, "the CNI configuration is gone: %s", err_msg(&err));
			return -1;
		}
		buf_adds(said, "wrote the CNI configuration");
		n++;
	}
	rc = bridge_repair(CNI_RESULTS, p->run_dir, p->bridge, sandbox_lives, &look, said);
	forwarding = repair_forwarding(said);
	return rc < 0 || forwarding < 0 ? -1 : n + rc + forwarding;
}

struct podnet *podnet_start(const struct podnet_opts *o, struct err *err)
{
	static const struct informer_handler handler = { .add = apply, .update = podnet_changed };
	_cleanup_free_ char *selector = xasprintf("metadata.name=%s", o->node_name);
	struct podnet *p = xcalloc(1, sizeof(*p));

	p->runtime = o->runtime;
	p->mtu_of = o->mtu;
	p->mtu_ctx = o->mtu_ctx;
	p->conf_dir = xasprintf("%s/cni/net.d", o->data_dir);
	p->state_dir = xasprintf("%s/cni/state", o->data_dir);
	cni_bridge_name(o->data_dir, p->bridge);
	containerd_run_dir(o->data_dir, p->run_dir);
	pthread_mutex_init(&p->lock, NULL);
	if (dir_make(p->conf_dir, 0700, err) < 0 || dir_make(p->state_dir, 0700, err) < 0)
		return podnet_stop(p);
	p->informers = informer_factory_new(o->client);
	informer_add_handler(informer_get(p->informers, RES(core_nodes), NULL, NULL, selector), &handler, p);
	informer_factory_start(p->informers);
	return p;
}

struct podnet *podnet_stop(struct podnet *p)
{
	if (!p)
		return NULL;
	informer_factory_free(p->informers);
	free(p->conf_dir);
	free(p->state_dir);
	free(p->cidr);
	obj_unref(p->node);
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}
