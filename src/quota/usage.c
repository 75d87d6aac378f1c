/* What objects use: every kind by number, Services and claims by what they take besides. */
#include "quota/quota.h"

#include "object/quantity.h"

#define ONE SV("1")
#define ANN_CLASS "volume.beta.kubernetes.io/storage-class"

static void usage_service(struct arena *a, const struct val *svc, struct quota_list *ret)
{
	const struct val *spec = val_member(svc, F_spec), *ports = val_get(spec, F_ports);
	const struct val *allocate = val_get(spec, F_allocateLoadBalancerNodePorts);
	bool balancer = val_is(val_get(spec, F_type), "LoadBalancer");
	size_t n = 0;

	if (!balancer && !val_is(val_get(spec, F_type), "NodePort"))
		return;
	if (balancer)
		quota_list_add(a, ret, SV("services.loadbalancers"), ONE);
	/* Without ports of the server's own choice only those count that were asked for. */
	VAL_EACH(ports, p)
		n += !balancer || val_type(allocate) != VAL_BOOL || val_bool(allocate) ||
		     val_get_int(p, 0, F_nodePort) != 0;
	quota_list_add(a, ret, SV("services.nodeports"), arena_svf(a, "%zu", n));
}

/* Whole bytes, or quotas could not say it. */
static struct sv usage_bytes(struct arena *a, struct sv amount)
{
	int64_t bytes, milli;

	if (!quantity_milli(amount, &milli) || milli % 1000 == 0 || !quantity_value(amount, &bytes))
		return amount;
	return quantity_from_milli(a, bytes > INT64_MAX / 1000 ? INT64_MAX / 1000 * 1000 : bytes * 1000);
}

static void usage_claim(struct arena *a, const struct val *claim, struct quota_list *ret)
{
	const struct val *request = val_member_sv(val_get(claim, F_spec, F_resources, F_requests), SV("storage"));
	const struct val *allocated = val_member_sv(val_get(claim, F_status, F_allocatedResources), SV("storage"));
	const struct val *old = val_member_sv(val_get(claim, F_metadata, F_annotations), SV(ANN_CLASS));
	struct sv class = old ? val_str(old) : val_get_str(claim, F_spec, F_storageClassName), bytes;

	if (class.n)
		quota_list_add(a, ret,
			       arena_svf(a, "%.*s.storageclass.storage.k8s.io/persistentvolumeclaims", SV_ARG(class)),
			       ONE);
	if (!request)
		return;
	bytes = val_str(request);
	if (allocated && quantity_cmp(val_str(allocated), bytes) > 0)
		bytes = val_str(allocated);
	bytes = usage_bytes(a, bytes);
	quota_list_add(a, ret, SV("requests.storage"), bytes);
	if (class.n)
		quota_list_add(a, ret, arena_svf(a, "%.*s.storageclass.storage.k8s.io/requests.storage", SV_ARG(class)),
			       bytes);
}

void quota_usage(struct arena *a, const struct resource *r, const struct val *obj, int64_t now_ns,
		 struct quota_list *ret)
{
	quota_list_add(a, ret, quota_count_name(a, r), ONE);
	if (quota_old_name(r))
		quota_list_add(a, ret, sv_from(quota_old_name(r)), ONE);
	switch (quota_kind_of(r)) {
	case QUOTA_PODS:
		quota_usage_pod(a, obj, now_ns, ret);
		break;
	case QUOTA_SERVICES:
		usage_service(a, obj, ret);
		break;
	case QUOTA_CLAIMS:
		usage_claim(a, obj, ret);
		break;
	case QUOTA_OBJECTS:
		break;
	}
}
