#include "cli/snapshot_s3.h"

#include "snapshot/shelf.h"

#include <stdio.h>
#include <stdlib.h>

int snapshot_s3_settle(struct snapshot_s3 *s, struct err *err)
{
	if (!s->on)
		return 0;
	if (!s->o.access_key && !s->o.secret_key) {
		s->o.access_key = getenv("AWS_ACCESS_KEY_ID");
		s->o.secret_key = getenv("AWS_SECRET_ACCESS_KEY");
		if (!s->o.session_token)
			s->o.session_token = getenv("AWS_SESSION_TOKEN");
	}
	return s3_opts_check(&s->o, err);
}

int snapshot_s3_ls(const struct snapshot_s3 *s, struct arena *a, struct err *err)
{
	struct s3_object *o = NULL;
	size_t n = 0;
	int width = sizeof("NAME");

	if (s3_list(&s->o, a, &o, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		width = MAX(width, (int)MIN(o[i].name.n, 100));
	printf("%-*s %12s  %s\n", width, "NAME", "BYTES", "UPLOADED");
	for (size_t i = 0; i < n; i++)
		if (sv_ends(o[i].name, SV(SHELF_SUFFIX)))
			cli_print("%-*.*s %12" PRId64 "  %.*s\n", width, SV_ARG(o[i].name), o[i].bytes,
				  SV_ARG(o[i].time));
	return 0;
}

int snapshot_s3_prune(const struct snapshot_s3 *s, const char *name, size_t keep, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct s3_object *o = NULL;
	size_t n = 0, own = 0;
	struct err why = ERR_INIT;
	int rc = 0;

	if (s3_list(&s->o, &a, &o, &n, err) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		own += shelf_is_name(o[i].name, sv_from(name));
	for (size_t i = 0; i < n && own > keep; i++) {
		if (!shelf_is_name(o[i].name, sv_from(name)))
			continue;
		own--;
		if (s3_delete(&s->o, arena_cstr(&a, o[i].name), &why) == 0)
			cli_print("removed %.*s from bucket %s\n", SV_ARG(o[i].name), s->o.bucket);
		else if (rc == 0) /* the others go all the same, if there is somebody to ask */
			rc = err_move(err, &why);
		err_release(&why);
		if (rc < 0 && err && (err->reason == ERR_TIMEOUT || err->reason == ERR_UNAVAILABLE))
			break;
	}
	return rc;
}
