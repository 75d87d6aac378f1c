#include "apiserver/registry/continue.h"

#include "base/b64.h"
#include "base/buf.h"
#include "codec/json.h"
#include "store/store.h" /* STORE_KEY_MAX */

#define CONTINUE_VERSION "meta.k8s.io/v1"
#define INVALID "invalid continue token: continue key is not valid"

/* --- written --- */

static struct sv continue_make(struct arena *a, const struct resource *r, struct sv ns, int64_t rev, struct sv start)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (r->namespaced && ns.n && start.n > ns.n)
		start = sv_sub(start, ns.n + 1, start.n);
	buf_printf(&b, "{\"v\":\"" CONTINUE_VERSION "\",\"rv\":%" PRId64 ",\"start\":", rev);
	json_encode_str(&b, start.n ? start : SV("/")); /* the beginning, as there is no empty start */
	buf_adds(&b, "}\n");
	return b64url_encode(a, buf_sv(&b));
}

struct sv continue_behind(struct arena *a, const struct resource *r, struct sv ns, int64_t rev, struct sv key)
{
	char *start = arena_alloc(a, key.n + 1);

	/* The first key after `key`: that and a NUL. */
	memcpy(start, key.p, key.n);
	start[key.n] = '\0';
	return continue_make(a, r, ns, rev, sv_make(start, key.n + 1));
}

struct sv continue_now(struct arena *a, const struct resource *r, struct sv ns, struct sv start)
{
	return continue_make(a, r, ns, -1, start);
}

/* --- read --- */

/* The first byte that cannot be there, or -1: of base64url without padding, in which line breaks are passed over. */
static ssize_t continue_bad_byte(struct sv text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '\r' || c == '\n')
			continue;
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '_'))
			return (ssize_t)i;
		n++;
	}
	return n % 4 == 1 ? (ssize_t)text.n - 1 : -1;
}

/* As Go names what it found instead. */
static const char *continue_type(struct arena *a, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	switch (val_type(v)) {
	case VAL_STR:
		return "string";
	case VAL_BOOL:
		return "bool";
	case VAL_LIST:
		return "array";
	case VAL_MAP:
		return "object";
	default:
		json_encode(&b, v);
		return arena_printf(a, "number %s", buf_cstr(&b));
	}
}

/* A member is of that type, or null, or is not there. */
static int continue_is(struct arena *a, const struct val *t, const char *name, enum val_type type, struct err *err)
{
	const struct val *v = val_member_sv(t, sv_from(name));

	if (!v || val_type(v) == VAL_NULL || val_type(v) == type)
		return 0;
	return err_set(err, ERR_BAD_REQUEST,
		       INVALID ": json: cannot unmarshal %s into Go struct field continueToken.%s of type %s",
		       continue_type(a, v), name, type == VAL_STR ? "string" : "int64");
}

/* Is it made of so many names, none of which leads elsewhere? */
static bool continue_clean(struct sv start, size_t most)
{
	struct sv rest = start, part;
	size_t n = 0;

	if (start.n > STORE_KEY_MAX + 1 || start.p[start.n - 1] == '/')
		return false;
	while (sv_split(&rest, '/', &part))
		if (++n > most || !part.n || sv_is(part, ".") || sv_is(part, ".."))
			return false;
	return true;
}

/* "NAMESPACE/NAME"; the name ends with a NUL, mostly. */
static struct sv continue_in(struct arena *a, struct sv ns, struct sv start)
{
	char *p = arena_alloc(a, ns.n + 1 + start.n);

	memcpy(p, ns.p, ns.n);
	p[ns.n] = '/';
	memcpy(p + ns.n + 1, start.p, start.n);
	return sv_make(p, ns.n + 1 + start.n);
}

int continue_read(struct arena *a, const struct resource *r, struct sv ns, struct sv token, struct continue_at *ret,
		  struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	ssize_t bad = continue_bad_byte(token);
	struct sv json, start, given;
	const struct val *t;
	int64_t rev;

	if (bad >= 0 || !b64url_decode(a, token, &json))
		return err_set(err, ERR_BAD_REQUEST, INVALID ": illegal base64 data at input byte %zd", MAX(bad, 0));
	t = json_decode(a, json, NULL, &why);
	if (!t)
		return err_set(err, ERR_BAD_REQUEST, INVALID ": %s", err_msg(&why));
	if (val_type(t) != VAL_MAP && val_type(t) != VAL_NULL)
		return err_set(err, ERR_BAD_REQUEST,
			       INVALID ": json: cannot unmarshal %s into Go value of type storage.continueToken",
			       continue_type(a, t));
	if (continue_is(a, t, "v", VAL_STR, err) < 0 || continue_is(a, t, "rv", VAL_INT, err) < 0 ||
	    continue_is(a, t, "start", VAL_STR, err) < 0)
		return -1;
	if (!val_is(val_member_sv(t, SV("v")), CONTINUE_VERSION))
		return err_set(err, ERR_BAD_REQUEST, INVALID ": server does not recognize this encoded version %.*s",
			       SV_ARG(val_str(val_member_sv(t, SV("v")))));
	rev = val_int_or(val_member_sv(t, SV("rv")), 0);
	if (!rev)
		return err_set(err, ERR_BAD_REQUEST,
			       INVALID ": incorrect encoded start resourceVersion (version " CONTINUE_VERSION ")");
	given = start = val_str(val_member_sv(t, SV("start")));
	if (!start.n)
		return err_set(err, ERR_BAD_REQUEST,
			       INVALID ": encoded start key empty (version " CONTINUE_VERSION ")");
	if (start.p[0] == '/')
		start = sv_sub(start, 1, start.n);
	if (start.n && !continue_clean(start, r->namespaced && !ns.n ? 2 : 1))
		return err_set(err, ERR_BAD_REQUEST, INVALID ": %.*s", SV_ARG(given));
	*ret = (struct continue_at){ .rev = MAX(rev, 0), .start = start };
	if (r->namespaced && ns.n && start.n)
		ret->start = continue_in(a, ns, start);
	return 0;
}
