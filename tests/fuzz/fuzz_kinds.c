/* A kind made of what an OpenAPI schema says, and a document of it: input is both, as members of one object. */
#include "codec/json.h"
#include "object/api_kind.h"
#include "object/decode.h"
#include "object/obj.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What comes out of it, in a; SV_NULL: it is refused. */
static struct sv made(struct arena *a, const struct schema *s, const struct val *doc)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct val *v = decode_typed(a, s, doc, NULL, &err);
	struct obj *o;
	struct sv text;

	if ((v == NULL) != (err.reason != ERR_NONE))
		abort();
	if (!v)
		return SV_NULL;
	default_typed(a, s, v);
	order_typed(a, s, v);
	o = obj_new(v, 0);
	if (!val_equal(obj_root(o), v))
		abort();
	text = arena_sv(a, obj_json(o));
	obj_unref(o);
	return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv text = sv_make((const char *)data, size), before, after;
	const struct val *in, *again;
	struct api_kind *k;
	const struct schema *s;

	if (size > 65536)
		return 0;
	in = json_decode(&a, text, NULL, NULL);
	k = api_kind_new(&(struct api_kind_def){ .group = "fuzz.example.com",
						 .version = "v1",
						 .plural = "things",
						 .kind = "Thing",
						 .status = true,
						 .schema = val_member_sv(in, SV("schema")) },
			 &err);
	if ((k == NULL) != (err.reason != ERR_NONE))
		abort();
	if (!k)
		return 0;
	/* The same from a document that is older than the names and from one that is younger. */
	s = api_kind_resource(k)->schema;
	again = json_decode(&a, text, NULL, NULL);
	before = made(&a, s, val_member_sv(in, SV("doc")));
	after = made(&a, s, val_member_sv(again, SV("doc")));
	if (!before.p != !after.p || !sv_eq(before, after))
		abort();
	api_kind_unref(k);
	return 0;
}
