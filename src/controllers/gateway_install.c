#include "controllers/gateway_install.h"

#include "controllers/status.h"
#include "gateway/crds.h"
#include "gateway/gateway.h"

static int install_one(struct client *c, const struct resource *r, const struct val *doc, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (client_create(c, r, SV(""), doc, NULL, NULL, &why) < 0 && why.reason != ERR_ALREADY_EXISTS)
		return err_move(err, &why);
	return 0;
}

int gateway_install_kinds(struct client *c, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *all = gw_crds(&a);

	VAL_EACH(all, crd) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		const struct resource *r = RES(apiextensions_customresourcedefinitions);
		_cleanup_obj_ struct obj *there = NULL;

		/* Reading is less work than being told that it is there. */
		if (client_get(c, r, SV(""), val_get_str(crd, F_metadata, F_name), &there, &why) < 0 &&
		    why.reason != ERR_NOT_FOUND)
			return err_move(err, &why);
		if (!there && install_one(c, r, crd, err) < 0)
			return err_wrap(err, "creating the kind '%.*s'", SV_ARG(val_get_str(crd, F_metadata, F_name)));
	}
	return 0;
}

int gateway_install_class(struct client *c, const struct resource *r, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct val *doc = val_new_map(&a);

	val_set_strf(&a, doc, F_apiVersion, GW_GROUP "/%s", r->version);
	val_set_cstr(&a, doc, F_kind, r->kind);
	val_set_cstr(&a, val_set_map(&a, doc, F_metadata), F_name, GW_CLASS);
	val_set_cstr(&a, val_set_map(&a, doc, F_spec), F_controllerName, GW_CONTROLLER);
	return install_one(c, r, doc, err);
}
