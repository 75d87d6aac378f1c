/* apply_kubectl.c - the way from client-side to server-side apply, for the manager "kubectl" alone.
 *
 * Client-side apply keeps the configuration in an annotation. Who goes on with `kubectl apply --server-side` meets
 * fields that the same tool set and another manager owns ("kubectl-client-side-apply"): what the annotation says and
 * the object still has may be taken over without force. And while the annotation is there it is renewed, so that the
 * way back works, too. */
#include "object/apply-internal.h"

#include "base/buf.h"
#include "codec/json.h"
#include "object/annotation.h"

#define ANNOTATIONS_MAX ((size_t)256 * 1024)
#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"

const struct fset *kubectl_may_take(struct arena *a, struct ftype t, const struct val *live)
{
	struct sv text = annotation_of(live, LAST_APPLIED);
	const struct val *was = text.n ? json_decode(a, text, NULL, NULL) : NULL;
	struct comparison c;

	/* Of another version its fields would be named after the wrong schema. */
	if (val_type(was) != VAL_MAP || !val_same(val_member(was, F_apiVersion), val_member(live, F_apiVersion)) ||
	    typed_check(a, t.schema, was, NULL) < 0)
		return NULL;
	/* What somebody changed since is not kubectl's any more. */
	c = typed_compare(a, t, was, live);
	return fset_difference(a, fset_difference(a, fset_difference(a, typed_fields(a, t, was), c.modified), c.added),
			       c.removed);
}

/* The configuration as client-side apply writes it: without the annotation itself, and a line end behind. */
static struct sv configuration_text(struct arena *a, const struct val *config)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *copy = val_sorted(a, config), *annotations = val_get_mut(copy, F_metadata, F_annotations);

	if (annotations)
		(void)val_del_sv(annotations, SV(LAST_APPLIED));
	json_encode(&b, copy);
	buf_addc(&b, '\n');
	return arena_sv(a, buf_sv(&b));
}

void kubectl_renew(struct arena *a, const struct val *config, struct val *doc)
{
	struct val *meta, *annotations;
	size_t bytes = 0;

	if (!annotation_of(doc, LAST_APPLIED).n)
		return;
	/* The document shares its nodes with the live object. */
	meta = val_clone_nodes(a, val_member(doc, F_metadata));
	annotations = val_member_mut(meta, F_annotations);
	val_set_str_sv(a, annotations, SV(LAST_APPLIED), configuration_text(a, config));
	VAL_EACH_MEMBER(annotations, m)
		bytes += m.key.n + val_str(m.value).n;
	if (bytes > ANNOTATIONS_MAX)
		(void)val_del_sv(annotations, SV(LAST_APPLIED));
	val_set(a, doc, F_metadata, meta);
}
