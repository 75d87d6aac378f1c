/* NodeDeclaredFeatureValidator: what becomes of a pod that is on a node needs nothing that the node does not declare.
 */
#include "apiserver/admission/plugins.h"
#include "pod/node_features.h"

static int node_features_validate(const struct admission *a, struct err *err)
{
	_cleanup_(buf_release) struct buf missing = BUF_INIT;
	const struct val *spec, *old;
	struct sv node_name;
	struct obj *node;
	unsigned need;

	if (a->res != RES(core_pods) || a->op != ADMIT_UPDATE || (a->subresource.n && !sv_is(a->subresource, "resize")))
		return 0;
	spec = val_member(a->doc, F_spec);
	old = val_member(a->old, F_spec);
	node_name = val_get_str(spec, F_nodeName);
	if (!node_name.n || val_same(spec, old))
		return 0;
	need = pod_features_of_change(old, spec);
	if (!need)
		return 0;
	if (registry_find(a->q, RES(core_nodes), SV(""), node_name, &node, err) < 0)
		return -1;
	if (!node)
		return admission_forbid(a, err, "node \"%.*s\" not found", SV_ARG(node_name));
	need &= ~node_features_declared(obj_get(node, F_status));
	if (!need)
		return 0;
	node_features_text(need, &missing);
	return admission_forbid(a, err, "pod update requires features %s which are not available on node \"%.*s\"",
				buf_cstr(&missing), SV_ARG(node_name));
}

const struct admission_plugin admission_node_features = { .name = "NodeDeclaredFeatureValidator",
							  .validate = node_features_validate };
