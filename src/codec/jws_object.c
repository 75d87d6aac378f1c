/* The JSON in a token or a key: an object, in UTF-8, with each member once at every depth. */
#include "base/utf8.h"
#include "codec/json.h"
#include "codec/jws-internal.h"

static bool jws_note_duplicate(struct sv path, void *ctx)
{
	(void)path;
	*(bool *)ctx = true;
	return false; /* one is enough */
}

const struct val *jws_object(struct arena *a, struct sv text)
{
	bool repeated = false;
	const struct val *doc =
	    utf8_valid(text)
		? json_decode(a, text, &(struct json_opts){ .duplicate = jws_note_duplicate, .ctx = &repeated }, NULL)
		: NULL;

	return val_type(doc) == VAL_MAP && !repeated ? doc : NULL;
}
