#include "kubelet/podnet.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "client/informer.h"
#include "kubelet/cni.h"

#include <stdlib.h>

struct podnet {
	struct informer_factory *informers;
	struct runtime *runtime;
	char *conf_dir, *state_dir, *cidr;
	char bridge[16];
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

static void apply(struct obj *node, void *ctx)
{
	struct podnet *p = ctx;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	pod_cidr(node, &b);
	if (!b.n || (p->cidr && strcmp(p->cidr, buf_cstr(&b)) == 0))
		return;
	if (cni_write(
		&(struct cni_opts){
		    .conf_dir = p->conf_dir,
		    .state_dir = p->state_dir,
		    .bridge = p->bridge,
		    .pod_cidr = buf_cstr(&b),
		},
		&err) < 0) {
		log_error("podnet", "cannot write the CNI configuration; pods get no network until it works", "error",
			  "%s", err_msg(&err));
		return;
	}
	free(p->cidr);
	p->cidr = buf_detach(&b);
	log_info("podnet", "pod network configured", "cidr", "%s", p->cidr);
	if (p->runtime->ops->update_pod_cidr)
		(void)p->runtime->ops->update_pod_cidr(p->runtime, sv_from(p->cidr), NULL);
}

static void changed(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	apply(neu, ctx);
}

struct podnet *podnet_start(struct client *c, const char *data_dir, const char *node_name, struct runtime *rt,
			    struct err *err)
{
	static const struct informer_handler handler = { .add = apply, .update = changed };
	_cleanup_free_ char *selector = xasprintf("metadata.name=%s", node_name);
	struct podnet *p = xcalloc(1, sizeof(*p));

	p->runtime = rt;
	p->conf_dir = xasprintf("%s/cni/net.d", data_dir);
	p->state_dir = xasprintf("%s/cni/state", data_dir);
	cni_bridge_name(data_dir, p->bridge);
	if (dir_make(p->conf_dir, 0700, err) < 0 || dir_make(p->state_dir, 0700, err) < 0)
		return podnet_stop(p);
	p->informers = informer_factory_new(c);
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
	free(p);
	return NULL;
}
