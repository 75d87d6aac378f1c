/* The annotations of a v1 HorizontalPodAutoscaler: input is the text of one of them, or of all. What was made of it is
 * of its type, and made v1 again it stays what it is. */
#include "codec/json.h"
#include "object/annotation.h"
#include "object/autoscaler.h"
#include "object/decode.h"
#include "resources.h"

static const struct val *typed(struct arena *a, const struct resource *r, const struct val *v)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *out = decode_typed(a, r->schema, v, NULL, &err);

	BUG_ON(!out);
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { AUTOSCALER_METRICS, AUTOSCALER_BEHAVIOR, AUTOSCALER_CURRENT_METRICS,
					     AUTOSCALER_CONDITIONS };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct resource *v1 = RES(autoscaling_horizontalpodautoscalers_v1),
			      *v2 = RES(autoscaling_horizontalpodautoscalers);
	struct val *doc =
	    json_decode(&a, SV("{\"spec\":{\"maxReplicas\":3,\"targetCPUUtilizationPercentage\":5}}"), NULL, NULL);
	const struct val *one, *again;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		annotation_set(&a, doc, names[i], sv_make((const char *)data, size));
	one = typed(&a, v2, autoscaler_to_v2(&a, typed(&a, v1, doc)));
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		BUG_ON(annotation_of(one, names[i]).n);
	one = typed(&a, v1, autoscaler_to_v1(&a, one));
	again = typed(&a, v1, autoscaler_to_v1(&a, typed(&a, v2, autoscaler_to_v2(&a, one))));
	BUG_ON(!val_equal(one, again));
	return 0;
}
