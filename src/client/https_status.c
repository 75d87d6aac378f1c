/* Failures as servers tell them: Status objects, or whatever a proxy in between says. */
#include "client/https-internal.h"
#include "base/utf8.h"
#include "codec/json.h"

#include <stdlib.h>

/* What a bare status code means; 409 depends on the method, as in apimachinery. */
static enum err_reason https_status_reason_of(int code, const char *method)
{
	switch (code) {
	case 400:
		return ERR_BAD_REQUEST;
	case 409:
		return method && strcmp(method, "POST") == 0 ? ERR_ALREADY_EXISTS : ERR_CONFLICT;
	case 500:
		return ERR_INTERNAL;
	}
	for (int r = ERR_NONE + 1; r < _ERR_REASON_MAX; r++)
		if (err_reason_code((enum err_reason)r) == code)
			return (enum err_reason)r;
	if (code == 502)
		return ERR_UNAVAILABLE;
	return code >= 500 || code < 400 ? ERR_INTERNAL : ERR_BAD_REQUEST;
}

static int int_of(const struct val *v)
{
	int64_t i = val_int_or(v, 0);

	return i > 0 && i <= INT_MAX ? (int)i : 0;
}

static int https_status_fill(struct err *err, const struct val *st, int code, const char *method)
{
	const struct val *details = val_get(st, F_details);
	struct sv msg = val_get_str(st, F_message), name = val_get_str(st, F_reason);
	enum err_reason reason = err_reason_from(name);
	struct sv uid = val_get_str(details, F_uid);

	if (!err)
		return -1;
	if (reason == ERR_NONE)
		reason = https_status_reason_of(code, method);
	if (msg.n)
		err_set(err, reason, "%.*s", SV_ARG(msg));
	else
		err_set(err, reason, "the server answered %d %.*s", code, SV_ARG(name));
	if (code != err_reason_code(reason))
		err->code = code;
	VAL_EACH(val_get(details, F_causes), c) {
		_cleanup_free_ char *why = xstrndup(val_get_str(c, F_reason).p, val_get_str(c, F_reason).n);

		err_add_cause(err, why, val_get_str(c, F_field), "%.*s", SV_ARG(val_get_str(c, F_message)));
	}
	if (details)
		err_set_object(err, val_get_str(details, F_group), val_get_str(details, F_kind),
			       val_get_str(details, F_name));
	if (uid.n && !err->uid)
		err->uid = xstrndup(uid.p, uid.n);
	err->retry_after_s = int_of(val_get(details, F_retryAfterSeconds));
	return -1;
}

int https_status_failure(struct err *err, const struct val *status, int code)
{
	int own = int_of(val_get(status, F_code));

	return https_status_fill(err, status, own ? own : code, NULL);
}

int https_failure(struct err *err, const char *method, const struct http_response *r)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv retry = http_response_header(r, "retry-after");
	const struct val *v = json_decode(&a, r->body, &(struct json_opts){ .borrow_text = true }, NULL);
	int64_t s;

	if (val_is(val_get(v, F_kind), "Status")) {
		https_status_fill(err, v, r->status, method);
	} else {
		struct sv text = sv_trim(utf8_cut(r->body, 512));
		ssize_t nl = sv_find(text, '\n');

		if (nl >= 0)
			text.n = (size_t)nl;
		err_set(err, https_status_reason_of(r->status, method), "the server answered %d%s%.*s", r->status,
			text.n ? ": " : "", SV_ARG(text));
		if (err && r->status != err_reason_code(err->reason))
			err->code = r->status;
	}
	if (err && !err->retry_after_s && sv_to_i64(retry, &s) && s > 0 && s <= INT_MAX)
		err->retry_after_s = (int)s;
	return -1;
}
