/* What the references of a pod mean on this node. */
#include "kubelet/pod_source.h"

#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_spec.h"

#include <sys/statvfs.h>
#include <unistd.h>

int pod_get_config(struct kubelet *k, struct arena *a, struct sv ns, bool secret, struct sv name,
		   const struct val **ret, struct err *err)
{
	struct obj *o;

	if (client_get(k->client, secret ? RES(core_secrets) : RES(core_configmaps), ns, name, &o, err) < 0)
		return -1;
	*ret = obj_root(obj_link(a, o));
	return 0;
}

void pod_field_node(struct kpod *p, struct arena *a, const struct val *pod, struct field_ref_node *ret)
{
	const char *node = p->k->node_ips;
	const char *own = pod_host_network(pod) ? node : p->ips; /* on the node's network: the node's */
	struct sv ips = sv_from(own ? own : ""), rest = ips, first = SV("");
	struct statvfs fs;

	sv_split(&rest, ' ', &first);
	*ret = (struct field_ref_node){
		.node_name = p->k->node_name,
		.host_ips = sv_from(node),
		.pod_ip = arena_sv(a, first),
		.pod_ips = ips,
		.cpu_milli = sysconf(_SC_NPROCESSORS_ONLN) * 1000,
		.memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE),
	};
	if (p->k->files && statvfs(p->k->root_dir, &fs) == 0)
		ret->storage_bytes = (int64_t)(fs.f_blocks * fs.f_frsize) / 10 * 9; /* as machine_status() says */
}
