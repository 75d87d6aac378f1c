/* What a change of a Pod needs of its node, and how Nodes say what they do. What Pods need from the beginning: the
 * tables of unit/scheduler/plugins. */
#include "unit.h"

#include "codec/json.h"
#include "object/feature.h"
#include "pod/node_features.h"

static const struct val *features_doc(struct arena *a, const char *text)
{
	char *s = arena_cstr(a, sv_from(text));

	for (char *c = s; *c; c++)
		if (*c == '\'')
			*c = '"';
	return json_decode(a, sv_from(s), NULL, NULL);
}

#define INIT(restart, cpu) "{'initContainers':[{'name':'i'" restart ",'resources':{'requests':{'cpu':'" cpu "'}}}]}"
#define VOLUME(name, medium, size) \
	"{'volumes':[{'name':'" name "','emptyDir':{'medium':'" medium "','sizeLimit':'" size "'}}]}"

static void test_changes(void **state)
{
	static const struct {
		const char *was, *is;
		unsigned need;
	} rows[] = {
		{ "{}", "{}", 0 },
		{ "{}", "{'resources':{'requests':{'cpu':'1'}}}", NODE_POD_LEVEL_RESIZE },
		{ "{'resources':{'limits':{'cpu':'1'}}}", "{}", NODE_POD_LEVEL_RESIZE },
		{ "{'resources':{'limits':{'cpu':'1'}}}", "{'resources':{'limits':{'cpu':'1000m'}}}", 0 },
		{ "{'resources':{'limits':{'cpu':'1'}}}", "{'resources':{'limits':{'memory':'1'}}}",
		  NODE_POD_LEVEL_RESIZE },
		{ "{'containers':[{'resources':{'requests':{'cpu':'1'}}}]}",
		  "{'containers':[{'resources':{'requests':{'cpu':'2'}}}]}", 0 },
		{ INIT("", "1"), INIT("", "1"), 0 },
		{ INIT("", "1"), INIT("", "2"), NODE_INIT_RESIZE },
		{ INIT(",'restartPolicy':'Always'", "1"), INIT(",'restartPolicy':'Always'", "2"), 0 },
		{ VOLUME("v", "Memory", "1Mi"), VOLUME("v", "Memory", "1Mi"), 0 },
		{ VOLUME("v", "Memory", "1Mi"), VOLUME("v", "Memory", "2Mi"), NODE_MEMORY_VOLUME_RESIZE },
		{ VOLUME("v", "", "1Mi"), VOLUME("v", "", "2Mi"), 0 },
		{ VOLUME("v", "Memory", "1Mi"), VOLUME("w", "Memory", "2Mi"), 0 },
		{ VOLUME("v", "Memory", "1Mi"), "{'volumes':[{'name':'v','emptyDir':{'medium':'Memory'}}]}",
		  NODE_MEMORY_VOLUME_RESIZE },
		{ VOLUME("v", "Memory", "1Mi"), "{}", 0 },
		{ INIT("", "1"), "{}", NODE_INIT_RESIZE }, /* refused elsewhere; nothing is read behind the end */
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(pod_features_of_change(features_doc(&a, rows[i].was), features_doc(&a, rows[i].is)),
				 rows[i].need);
}

static void test_declared(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const unsigned both = NODE_POD_LEVEL_RESIZE | NODE_INIT_RESIZE;
	struct val *st = val_new_map(&a);

	(void)state;
	node_features_write(&a, 0, st);
	assert_null(val_member(st, F_declaredFeatures));
	node_features_write(&a, both, st);
	assert_int_equal(node_features_declared(st), both);
	node_features_text(both, &b);
	assert_string_equal(buf_cstr(&b),
			    "InPlacePodLevelResourcesVerticalScaling, InPlacePodVerticalScalingInitContainers");
	/* What is switched off is not declared. */
	assert_int_equal(features_set(SV("InPlacePodVerticalScalingInitContainers=false"), &err), 0);
	st = val_new_map(&a);
	node_features_write(&a, both, st);
	assert_int_equal(node_features_declared(st), NODE_POD_LEVEL_RESIZE);
	features_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_declared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
