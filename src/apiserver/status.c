/* Failures as Status objects, and the sentences that clients match on. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/storekey.h"
#include "apiserver/watchcache.h"

#include <stdio.h>
#include <stdlib.h>

static struct val *status_new(struct arena *a, const char *outcome)
{
	struct val *st = val_new_map(a);

	val_set_cstr(a, st, F_kind, "Status");
	val_set_cstr(a, st, F_apiVersion, "v1");
	val_set_map(a, st, F_metadata);
	val_set_cstr(a, st, F_status, outcome);
	return st;
}

static void set_if(struct arena *a, struct val *map, enum sym key, const char *s)
{
	if (s && *s)
		val_set_cstr(a, map, key, s);
}

struct val *status_failure(struct arena *a, const struct err *err)
{
	struct val *st = status_new(a, "Failure"), *details = val_new_map(a);

	val_set_cstr(a, st, F_message, err_msg(err));
	set_if(a, st, F_reason, err->reason_text ? err->reason_text : err_reason_name(err->reason));
	set_if(a, details, F_name, err->name);
	set_if(a, details, F_group, err->group);
	set_if(a, details, F_kind, err->kind);
	set_if(a, details, F_uid, err->uid);
	if (err->n_causes) {
		struct val *causes = val_new_list(a);

		for (size_t i = 0; i < err->n_causes; i++) {
			struct val *c = val_new_map(a);

			set_if(a, c, F_reason, err->causes[i].reason);
			set_if(a, c, F_message, err->causes[i].message);
			set_if(a, c, F_field, err->causes[i].field);
			val_push(a, causes, c);
		}
		val_set(a, details, F_causes, causes);
	}
	if (err->retry_after_s)
		val_set_int(a, details, F_retryAfterSeconds, err->retry_after_s);
	/* These always have them, if empty. */
	if (val_len(details) || err->reason == ERR_INVALID || err->reason == ERR_NOT_FOUND ||
	    err->reason == ERR_METHOD_NOT_ALLOWED)
		val_set(a, st, F_details, details);
	val_set_int(a, st, F_code, err_code(err));
	return st;
}

struct val *status_success(struct arena *a, const struct resource *r, struct sv name, struct sv uid)
{
	struct val *st = status_new(a, "Success"), *details = val_new_map(a);

	if (name.n)
		val_set_str(a, details, F_name, name);
	set_if(a, details, F_group, r->group);
	val_set_cstr(a, details, F_kind, r->plural);
	if (uid.n)
		val_set_str(a, details, F_uid, uid);
	val_set(a, st, F_details, details);
	return st;
}

const char *resource_qualified(const struct resource *r, char *out, size_t n)
{
	(void)snprintf(out, n, "%s%s%s", r->plural, *r->group ? "." : "", r->group);
	return out;
}

static int about(struct err *err, const struct resource *r, struct sv name)
{
	return err_set_object(err, sv_from(r->group), sv_from(r->plural), name);
}

int err_not_found(struct err *err, const struct resource *r, struct sv name)
{
	char q[256];

	err_set(err, ERR_NOT_FOUND, "%s \"%.*s\" not found", resource_qualified(r, q, sizeof(q)), SV_ARG(name));
	return about(err, r, name);
}

int err_exists(struct err *err, const struct resource *r, struct sv name)
{
	char q[256];

	err_set(err, ERR_ALREADY_EXISTS, "%s \"%.*s\" already exists", resource_qualified(r, q, sizeof(q)),
		SV_ARG(name));
	return about(err, r, name);
}

int err_exists_deleting(struct err *err, const struct resource *r, struct sv name)
{
	char q[256];

	err_set(err, ERR_ALREADY_EXISTS, "object is being deleted: %s \"%.*s\" already exists",
		resource_qualified(r, q, sizeof(q)), SV_ARG(name));
	return about(err, r, name);
}

int err_conflict(struct err *err, const struct resource *r, struct sv name, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf why = BUF_INIT;
	va_list ap;
	char q[256];

	va_start(ap, fmt);
	buf_vprintf(&why, fmt, ap);
	va_end(ap);
	err_set(err, ERR_CONFLICT, "Operation cannot be fulfilled on %s \"%.*s\": %s",
		resource_qualified(r, q, sizeof(q)), SV_ARG(name), buf_cstr(&why));
	return about(err, r, name);
}

int err_wrong_uid(struct err *err, const struct resource *r, struct sv ns, struct sv name, struct sv asked,
		  struct sv actual)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return err_conflict(
	    err, r, name,
	    "StorageError: invalid object, Code: 4, Key: %.*s, ResourceVersion: 0, "
	    "AdditionalErrorMsg: Precondition failed: UID in precondition: %.*s, UID in object meta: %.*s",
	    SV_ARG(storekey(&a, r, ns, name)), SV_ARG(asked), SV_ARG(actual));
}

int err_modified(struct err *err, const struct resource *r, struct sv name)
{
	return err_conflict(err, r, name,
			    "the object has been modified; please apply your changes to the latest version and try "
			    "again");
}

int err_too_old(struct err *err, int64_t asked, int64_t oldest)
{
	return err_set(err, ERR_EXPIRED, "too old resource version: %" PRId64 " (%" PRId64 ")", asked, oldest);
}

int err_too_large_rev(struct err *err, int64_t asked, int64_t current)
{
	err_set(err, ERR_TIMEOUT, "Timeout: Too large resource version: %" PRId64 ", current: %" PRId64, asked,
		current);
	if (err)
		err->retry_after_s = 1;
	return err_add_cause(err, "ResourceVersionTooLarge", SV_NULL, "Too large resource version");
}

int err_options(struct err *err, const char *kind, const char *field, const char *cause, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	err_set(err, ERR_INVALID, "%s.meta.k8s.io \"\" is invalid: %s: %s", kind, field, buf_cstr(&text));
	err_add_cause(err, cause, sv_from(field), "%s", buf_cstr(&text));
	return err_set_object(err, SV("meta.k8s.io"), sv_from(kind), SV_NULL);
}
