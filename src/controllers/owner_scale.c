/* See owner_scale.h. */
#include "controllers/owner_scale.h"
#include "base/buf.h"
#include "base/percent.h"

int scale_read(struct client *c, struct arena *a, const struct resource *res, struct sv ns, struct sv name,
	       const struct val **ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "%s%s/%s/namespaces/", *res->group ? "/apis/" : "/api", res->group, res->version);
	percent_encode(&b, ns, PERCENT_UNRESERVED);
	buf_printf(&b, "/%s/", res->plural);
	percent_encode(&b, name, PERCENT_UNRESERVED);
	buf_adds(&b, "/scale");
	return client_get_doc(c, a, buf_cstr(&b), ret, err);
}

static int ask_scale(struct client *c, const struct resource *res, struct arena *a, struct sv ns, const struct val *ref,
		     int64_t *ret_replicas, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv name = val_get_str(ref, F_name);
	const struct val *scale = NULL;

	if (!resource_subresource(res, SV("scale")))
		return err_set(err, ERR_INVALID, "%s%s%s does not implement the scale subresource", res->plural,
			       *res->group ? "." : "", res->group);
	/* What the owner is called is whatever the pod's author wrote. */
	if (!res->namespaced || !percent_segment_fine(name))
		return 1;
	if (scale_read(c, a, res, ns, name, &scale, &why) < 0)
		return why.reason == ERR_NOT_FOUND ? 1 : err_move(err, &why);
	if (!sv_eq(val_get_str(scale, F_metadata, F_uid), val_get_str(ref, F_uid)))
		return 1; /* a namesake */
	*ret_replicas = val_get_int(scale, 0, F_spec, F_replicas);
	return 0;
}

int owner_scale(struct client *c, struct api_current *kinds, struct arena *a, struct sv ns, const struct val *ref,
		int64_t *ret_replicas, struct err *err)
{
	const struct api_set *api;
	const struct resource *res;
	struct sv group, version;
	int rc = 1;

	if (!api_version_split(val_get_str(ref, F_apiVersion), &group, &version))
		return 1;
	api = api_current_get(kinds);
	res = api_find_kind(api, group, version, val_get_str(ref, F_kind));
	if (res)
		rc = ask_scale(c, res, a, ns, ref, ret_replicas, err);
	api_set_unref(api);
	return rc;
}
