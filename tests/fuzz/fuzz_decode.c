/* The first byte chooses a type, the rest is a request body. What decodes must encode to text
 * that decodes to the same text again, and defaults set twice are defaults set once. */
#include "codec/json.h"
#include "object/decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const refs[] = {
	"core/v1.Pod",		 "apps/v1.Deployment",
	"core/v1.Secret",	 "core/v1.Event",
	"meta/v1.ObjectMeta",	 "apiextensions.k8s.io/v1.CustomResourceDefinition",
	"core/v1.Service",	 "coordination.k8s.io/v1.Lease",
	"meta/v1.DeleteOptions", "authentication.k8s.io/v1.TokenReview",
};

static struct sv round_trip(struct arena *a, const struct schema *s, struct sv text, bool must)
{
	struct buf b = BUF_INIT;
	struct decode_report report = { 0 };
	struct val *raw = json_decode(a, text, NULL, NULL), *v = NULL;
	struct sv out = SV_NULL;

	if (raw)
		v = decode_typed(a, s, raw, &report, NULL);
	BUG_ON(must && (!v || report.strict.n));
	if (v) {
		default_typed(a, s, v);
		json_encode(&b, v);
		out = arena_sv(a, buf_sv(&b));
	}
	vec_release(&report.strict);
	buf_release(&b);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	const struct schema *s;
	struct sv first;

	if (size < 1)
		return 0;
	s = schema_find(sv_from(refs[data[0] % ARRAY_LEN(refs)]));
	first = round_trip(&a, s, sv_make((const char *)data + 1, size - 1), false);
	if (first.p)
		BUG_ON(!sv_eq(first, round_trip(&a, s, first, true)));
	arena_release(&a);
	return 0;
}
