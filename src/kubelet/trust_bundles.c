#include "kubelet/trust_bundles.h"

#include "client/informer_lazy.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_table.h"
#include "net/cert_pem.h"
#include "object/selector.h"

#include <stdlib.h>

#define SELECTOR_MAX ((size_t)100 * 1024) /* bytes, as text; upstream's */

struct trust_bundles {
	struct kubelet *k;
	struct informer_lazy bundles;
};

/* --- what changed --- */

static bool bundles_used(const struct val *pod)
{
	VAL_EACH(val_get(pod, F_spec, F_volumes), v)
		VAL_EACH(val_get(v, F_projected, F_sources), src)
			if (val_member(src, F_clusterTrustBundle))
				return true;
	return false;
}

static void bundles_on_any(struct obj *o, void *ctx)
{
	(void)o;
	kubelet_refresh(((struct trust_bundles *)ctx)->k, bundles_used);
}

static void bundles_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (obj_rev(old) != obj_rev(neu)) /* not told anew after a re-list */
		bundles_on_any(neu, ctx);
}

/* --- what a source selects --- */

static struct informer *bundles_informer(struct trust_bundles *t)
{
	static const struct informer_handler handler = { .add = bundles_on_any,
							 .update = bundles_on_update,
							 .del = bundles_on_any };

	return informer_lazy_get(&t->bundles, t->k->client, RES(certificates_clustertrustbundles), NULL, &handler, t);
}

static void bundles_add(struct cert_pem *c, struct obj *o)
{
	cert_pem_add(c, val_str(obj_get(o, F_spec, F_trustBundle)));
}

static int bundles_by_name(struct informer *i, struct cert_pem *c, struct sv name, struct err *err)
{
	struct obj *o = informer_lookup(i, SV(""), name);

	if (!o)
		return err_set(
		    err, ERR_NOT_FOUND,
		    "while getting ClusterTrustBundle: clustertrustbundle.certificates.k8s.io \"%.*s\" not found",
		    SV_ARG(name));
	bundles_add(c, o);
	obj_unref(o);
	return 0;
}

/* No selector selects none, an empty one all. */
static int bundles_by_signer(struct informer *i, struct cert_pem *c, const struct val *src, struct err *err)
{
	struct sv signer = val_get_str(src, F_signerName);
	const struct val *labels = val_member(src, F_labelSelector);
	const struct selector *sel = labels ? selector_from_label_selector(c->a, labels, err) : NULL;
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct obj **list;
	bool any = false;
	size_t n;

	if (labels && !sel)
		return err_wrap(err, "while parsing label selector");
	if (sel)
		selector_format(&text, sel);
	if (text.n > SELECTOR_MAX)
		return err_set(err, ERR_INVALID, "label selector length (%zu) is larger than %zu", text.n,
			       SELECTOR_MAX);
	list = informer_list(i, c->a, SV(""), &n);
	for (size_t k = 0; sel && k < n; k++) {
		if (!sv_eq(val_str(obj_get(list[k], F_spec, F_signerName)), signer) ||
		    !selector_matches(sel, obj_labels(list[k])))
			continue;
		bundles_add(c, list[k]);
		any = true;
	}
	if (!any)
		return err_set(err, ERR_NOT_FOUND,
			       "combination of signerName and labelSelector matched zero ClusterTrustBundles");
	return 0;
}

int trust_bundles_get(struct trust_bundles *t, struct arena *a, const struct val *src, struct sv *ret, struct err *err)
{
	_cleanup_(cert_pem_release) struct cert_pem c = { .a = a };
	const struct val *name = val_member(src, F_name);
	struct informer *i = bundles_informer(t);
	struct err e = ERR_INIT;

	*ret = SV("");
	if (!informer_synced(i))
		return err_set(err, ERR_UNAVAILABLE, "ClusterTrustBundle informer has not yet synced");
	if (name ? bundles_by_name(i, &c, val_str(name), &e) < 0 : bundles_by_signer(i, &c, src, &e) < 0) {
		if (e.reason != ERR_NOT_FOUND || !val_get_bool(src, F_optional))
			return err_move(err, &e);
		err_release(&e);
		return 0;
	}
	cert_pem_once(&c);
	*ret = cert_pem_text(&c);
	return 0;
}

struct trust_bundles *trust_bundles_new(struct kubelet *k)
{
	struct trust_bundles *t = xcalloc(1, sizeof(*t));

	t->k = k;
	informer_lazy_init(&t->bundles);
	return t;
}

struct trust_bundles *trust_bundles_free(struct trust_bundles *t)
{
	if (!t)
		return NULL;
	informer_lazy_release(&t->bundles);
	free(t);
	return NULL;
}
