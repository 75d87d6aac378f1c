/* docs.h - shorthand of the tests on documents: JSON text in, JSON text out, all in one arena. */
#pragma once

#include "unit.h"

#include "base/buf.h"
#include "codec/json.h"

/* JSON written with ' for ". */
static inline _unused_ const char *unquote(struct arena *a, const char *text)
{
	char *copy = arena_strdup(a, text);

	for (char *p = copy; *p; p++)
		if (*p == '\'')
			*p = '"';
	return copy;
}

static inline _unused_ struct val *doc(struct arena *a, const char *text)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *v = json_decode(a, sv_from(unquote(a, text)), NULL, &err);

	if (!v)
		fail_msg("%s: %s", text, err_msg(&err));
	return v;
}

static inline _unused_ const char *json(struct arena *a, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, v);
	return arena_strdup(a, buf_cstr(&b));
}

/* Equal as documents; says both texts when not. Order of list items counts, of members not. */
#define assert_doc(a, got, want)                                                         \
	do {                                                                             \
		const struct val *got_ = (got), *want_ = doc((a), (want));               \
		if (!val_equal(got_, want_))                                             \
			fail_msg("got  %s\nwant %s", json((a), got_), json((a), want_)); \
	} while (0)
