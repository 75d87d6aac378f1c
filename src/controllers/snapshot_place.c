/* Where a claim is filled from a snapshot of local-path: on the node that has its data.
 *
 * The scheduler knows claims and volumes, and no snapshots; so the node is written to the claim (ANN_SOURCE_NODE). A
 * node that was chosen before that was known, and is another one, is taken back: the pod is placed anew. */
#include "controllers/snapshot-internal.h"
#include "object/annotation.h"
#include "pod/volume_match.h"

/* Which node; "": none in particular, or it is not known yet. */
static struct sv source_node(struct snapshots *c, struct arena *a, const struct obj *claim)
{
	struct obj *class = informer_lookup(c->storage_classes, SV(""), storage_class_name(claim));
	struct obj *snapshot =
	    informer_lookup(snapshots_known(c, VOLSNAP_SNAPSHOTS), obj_ns(claim), volsnap_source_of(claim));
	struct obj *content;

	if (class)
		obj_link(a, class);
	if (!snapshot)
		return SV("");
	obj_link(a, snapshot);
	content = informer_lookup(snapshots_known(c, VOLSNAP_CONTENTS), SV(""), volsnap_content_of(a, snapshot));
	if (!content)
		return SV("");
	obj_link(a, content);
	return volsnap_bound(snapshot, content) && volsnap_ready(snapshot) &&
		       val_is(obj_get(content, F_spec, F_driver), LOCAL_PATH_PROVISIONER) &&
		       val_is(obj_get(class, F_provisioner), LOCAL_PATH_PROVISIONER)
		   ? volsnap_node(obj_root(content))
		   : SV("");
}

int snapshot_place(struct snapshots *c, struct sv ns, struct sv name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *claim = informer_lookup(c->claims, ns, name);
	struct sv node, chosen;
	struct val *doc;

	if (!claim || obj_deleting(claim) || val_str(obj_get(claim, F_spec, F_volumeName)).n)
		return 0;
	node = source_node(c, &a, claim);
	chosen = annotation_of(obj_root(claim), ANN_SELECTED_NODE);
	if (!node.n ||
	    (sv_eq(annotation_of(obj_root(claim), ANN_SOURCE_NODE), node) && (!chosen.n || sv_eq(chosen, node))))
		return 0;
	doc = obj_edit(&a, claim);
	annotation_set(&a, doc, ANN_SOURCE_NODE, node);
	if (chosen.n && !sv_eq(chosen, node))
		(void)val_del_sv(val_get_mut(doc, F_metadata, F_annotations), SV(ANN_SELECTED_NODE));
	if (client_update(c->ctx->client, RES(core_persistentvolumeclaims), doc, NULL, NULL, &why) == 0 ||
	    why.reason == ERR_NOT_FOUND)
		return 0;
	return err_move(err, &why);
}
