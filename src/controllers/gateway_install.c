#include "controllers/gateway_install.h"

#include "controllers/install.h"
#include "gateway/crds.h"
#include "gateway/gateway.h"

int gateway_install_kinds(struct client *c, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return install_kinds(c, described_crds(&a, gw_crds_json), err);
}

int gateway_install_class(struct client *c, const struct resource *r, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = val_new_map(&a);

	val_set_strf(&a, doc, F_apiVersion, GW_GROUP "/%s", r->version);
	val_set_cstr(&a, doc, F_kind, r->kind);
	val_set_cstr(&a, val_set_map(&a, doc, F_metadata), F_name, GW_CLASS);
	val_set_cstr(&a, val_set_map(&a, doc, F_spec), F_controllerName, GW_CONTROLLER);
	return install_object(c, r, doc, err);
}
