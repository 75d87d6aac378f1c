#include "kubelet/field_ref.h"

#include "base/buf.h"
#include "codec/json.h"
#include "kubelet/pod_spec.h"
#include "object/quantity.h"

#include <stdlib.h>

static struct sv with_commas(struct arena *a, struct sv words)
{
	char *s = arena_cstr(a, words);

	for (char *c = s; *c; c++)
		if (*c == ' ')
			*c = ',';
	return sv_from(s);
}

/* key="escaped value" lines, sorted, as downward API volumes write maps. */
static struct sv map_text(struct arena *a, const struct val *map)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val_iter *list = ARENA_ARRAY(a, struct val_iter, val_len(map) + 1);
	size_t n = 0;

	VAL_EACH_MEMBER(map, m)
		list[n++] = m;
	qsort(list, n, sizeof(*list), val_iter_order);
	for (size_t i = 0; i < n; i++) {
		buf_printf(&b, "%s%.*s=", i ? "\n" : "", SV_ARG(list[i].key));
		json_encode_str(&b, val_str(list[i].value));
	}
	return arena_sv(a, buf_sv(&b));
}

int field_ref_text(struct arena *a, const struct val *pod, const struct field_ref_node *n, struct sv path,
		   struct sv *ret, struct err *err)
{
	const struct val *meta = val_member(pod, F_metadata);
	ssize_t bracket = sv_find(path, '[');
	struct sv hosts = n->host_ips;

	if (bracket > 0 && path.n > (size_t)bracket + 4 && sv_ends(path, SV("']"))) {
		struct sv key = sv_sub(path, (size_t)bracket + 2, path.n - (size_t)bracket - 4);
		struct sv map = sv_sub(path, 0, (size_t)bracket);

		if (sv_is(map, "metadata.labels")) {
			*ret = val_str(val_member_sv(val_member(meta, F_labels), key));
			return 0;
		}
		if (sv_is(map, "metadata.annotations")) {
			*ret = val_str(val_member_sv(val_member(meta, F_annotations), key));
			return 0;
		}
	}
	if (sv_is(path, "metadata.name"))
		*ret = val_get_str(meta, F_name);
	else if (sv_is(path, "metadata.namespace"))
		*ret = val_get_str(meta, F_namespace);
	else if (sv_is(path, "metadata.uid"))
		*ret = val_get_str(meta, F_uid);
	else if (sv_is(path, "metadata.labels"))
		*ret = map_text(a, val_member(meta, F_labels));
	else if (sv_is(path, "metadata.annotations"))
		*ret = map_text(a, val_member(meta, F_annotations));
	else if (sv_is(path, "spec.nodeName"))
		*ret = sv_from(n->node_name);
	else if (sv_is(path, "spec.serviceAccountName"))
		*ret = val_get_str(pod, F_spec, F_serviceAccountName);
	else if (sv_is(path, "status.hostIP"))
		sv_split(&hosts, ' ', ret);
	else if (sv_is(path, "status.hostIPs"))
		*ret = with_commas(a, n->host_ips);
	else if (sv_is(path, "status.podIP"))
		*ret = n->pod_ip;
	else if (sv_is(path, "status.podIPs"))
		*ret = with_commas(a, n->pod_ips);
	else
		return err_set(err, ERR_INVALID, "unsupported fieldPath: %.*s", SV_ARG(path));
	return 0;
}

int resource_ref_text(struct arena *a, const struct val *pod, const struct val *self, const struct field_ref_node *n,
		      const struct val *ref, struct sv *ret, struct err *err)
{
	struct sv name = val_get_str(ref, F_containerName), what = val_get_str(ref, F_resource), res;
	const struct val *c = name.n ? pod_container(pod, name, NULL) : self, *q;
	const struct val *divisor = val_member(ref, F_divisor);
	bool limits = sv_starts(what, SV("limits."));
	int64_t milli, div = quantity_milli_or(divisor, 0), value;

	if (!c)
		return err_set(err, ERR_INVALID, "container %.*s not found", SV_ARG(name));
	res = sv_sub(what, limits ? 7 : 9, what.n);
	if (!limits && !sv_starts(what, SV("requests.")))
		return err_set(err, ERR_INVALID, "unsupported container resource : %.*s", SV_ARG(what));
	q = val_member_sv(val_get(c, F_resources, limits ? F_limits : F_requests), res);
	if (!q && limits) /* what it may use is what the pod as a whole may */
		q = val_member_sv(val_get(pod, F_spec, F_resources, F_limits), res);
	if (sv_is(res, "cpu")) {
		milli = quantity_milli_or(q, limits ? n->cpu_milli : 0);
		if (div <= 0)
			div = 1000;
		value = milli / div + (milli % div > 0);
	} else {
		int64_t d = 1;

		if (val_type(q) == VAL_INT)
			value = q->i;
		else if (!quantity_value(val_str(q), &value))
			value = !limits				  ? 0
				: sv_is(res, "memory")		  ? n->memory_bytes
				: sv_is(res, "ephemeral-storage") ? n->storage_bytes
								  : 0;
		if (divisor && !quantity_value(val_str(divisor), &d))
			d = val_int_or(divisor, 1);
		if (d <= 0)
			d = 1;
		value = value / d + (value % d > 0);
	}
	*ret = arena_svf(a, "%" PRId64, value);
	return 0;
}
