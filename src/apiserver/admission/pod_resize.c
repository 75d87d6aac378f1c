/* PodResizeValidator: what a pod on a node asks for in place is no more than the node has at all, and the node is one
 * whose pods can be resized. */
#include "apiserver/admission/plugins.h"
#include "pod/pod_resources.h"

static void resize_compare(struct buf *b, const struct res_list *asked, const struct val *has, struct sv name)
{
	int64_t want = res_list_get(asked, name), most = res_amount(name, val_member_sv(has, name));

	if (want > most)
		buf_printf(b, "%s%.*s, requested: %" PRId64 ", allocatable: %" PRId64, b->n ? "; " : "", SV_ARG(name),
			   want, most);
}

static int pod_resize_validate(const struct admission *a, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv node_name, os;
	struct res_list asked = RES_LIST_INIT;
	struct obj *node;

	if (a->res != RES(core_pods) || a->op != ADMIT_UPDATE || !sv_is(a->subresource, "resize"))
		return 0;
	node_name = val_get_str(a->doc, F_spec, F_nodeName);
	if (!node_name.n || val_same(val_member(a->doc, F_spec), val_member(a->old, F_spec)))
		return 0;
	if (registry_find(a->q, RES(core_nodes), SV(""), node_name, &node, err) < 0)
		return -1;
	if (!node)
		return admission_forbid(a, err, "node \"%.*s\" not found", SV_ARG(node_name));
	os = val_str(val_member_sv(obj_get(node, F_metadata, F_labels), SV("kubernetes.io/os")));
	if (os.n && !sv_is(os, "linux")) {
		admission_forbid(a, err, "pod resize is only supported on linux nodes, node \"%.*s\" is \"%.*s\"",
				 SV_ARG(node_name), SV_ARG(os));
		err_add_cause(err, "UnsupportedPlatform", SV_NULL, "%s", "");
		return -1;
	}
	pod_requests(val_member(a->doc, F_spec), RES_AS_WRITTEN, &asked);
	resize_compare(&b, &asked, obj_get(node, F_status, F_allocatable), SV("cpu"));
	resize_compare(&b, &asked, obj_get(node, F_status, F_allocatable), SV("memory"));
	res_list_release(&asked);
	if (!b.n)
		return 0;
	admission_forbid(a, err, "node didn't have enough allocatable resources: %s", buf_cstr(&b));
	err_add_cause(err, "NodeCapacity", SV_NULL, "%s", "");
	return -1;
}

const struct admission_plugin admission_pod_resize = { .name = "PodResizeValidator", .validate = pod_resize_validate };
