/* fieldsV1 in and out, and an update and an apply over an object whose managedFields are hostile. */
#include "codec/json.h"
#include "object/apply.h"
#include "object/fieldset.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct apply_opts o = {
		.manager = SV("m"), .api_version = SV("v1"), .now_ns = NS_PER_SEC, .force = true
	};
	const struct schema *s = schema_find(SV("core/v1.Pod"));
	const struct fset *set, *again;
	const struct val *fields;
	struct val *live, *list, *entry;

	if (size > 65536)
		return 0;
	fields = json_decode(&a, sv_make((const char *)data, size), NULL, NULL);
	if (!fields)
		return 0;
	set = fset_from_json(&a, fields, NULL);
	if (!set)
		return 0;
	fset_to_json(&b, set);
	again = fset_from_json(&a, val_new_raw(&a, buf_sv(&b)), NULL);
	if (!again || !fset_equal(set, again))
		abort();

	live = json_decode(
	    &a,
	    SV("{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"labels\":{\"a\":\"1\"}},"
	       "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"),
	    NULL, NULL);
	entry = json_decode(
	    &a, SV("{\"manager\":\"m\",\"operation\":\"Apply\",\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\"}"),
	    NULL, NULL);
	val_set(&a, entry, F_fieldsV1, fields);
	list = val_new_list(&a);
	val_push(&a, list, entry);
	val_set(&a, val_get_mut(live, F_metadata), F_managedFields, list);
	managed_update(&a, s, live,
		       json_decode(&a, SV("{\"metadata\":{\"name\":\"p\",\"labels\":{\"b\":\"1\"}}}"), NULL, NULL), &o,
		       NULL);
	if (!managed_apply(
		&a, s, live,
		json_decode(&a, SV("{\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\"},\"spec\":{}}"), NULL, NULL),
		&o, NULL))
		abort();
	return 0;
}
