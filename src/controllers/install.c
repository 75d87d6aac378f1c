#include "controllers/install.h"

/* In kubectl's name and way, so that a bundle that is applied by it takes all of ours over: other managers would be
 * told of conflicts, and what only ours has would stay. */
static int install_kind(struct client *c, const struct resource *r, const struct val *crd, struct err *err)
{
	return client_patch(c, r, SV(""), val_get_str(crd, F_metadata, F_name), PATCH_APPLY, crd,
			    &(struct client_write_opts){ .field_manager = "kubectl" }, NULL, err);
}

/* Asked for before: a creation that finds it there is validated first, with all that rules need. */
int install_object(struct client *c, const struct resource *r, const struct val *doc, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *there = NULL;

	if (client_get(c, r, SV(""), val_get_str(doc, F_metadata, F_name), &there, &why) == 0)
		return 0;
	err_release(&why);
	if (client_create(c, r, SV(""), doc, NULL, NULL, &why) < 0 && why.reason != ERR_ALREADY_EXISTS)
		return err_move(err, &why);
	return 0;
}

int install_kinds(struct client *c, const struct val *crds, struct err *err)
{
	const struct resource *r = RES(apiextensions_customresourcedefinitions);

	VAL_EACH(crds, crd) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		_cleanup_obj_ struct obj *there = NULL;
		struct sv name = val_get_str(crd, F_metadata, F_name);

		if (client_get(c, r, SV(""), name, &there, &why) == 0)
			continue;
		if (why.reason == ERR_NOT_FOUND) {
			err_release(&why);
			if (install_kind(c, r, crd, &why) == 0)
				continue;
		}
		if (err->reason == ERR_NONE) {
			(void)err_move(err, &why);
			(void)err_wrap(err, "making the kind '%.*s'", SV_ARG(name));
		}
	}
	return err->reason == ERR_NONE ? 0 : -1;
}
