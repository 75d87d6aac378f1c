/* What drivers answer: refused when it is no message, or too much of one; and what they are asked. */
#include "unit.h"

#include "codec/pbwire.h"
#include "kubelet/csi/csi_message.h"

static void test_malformed(void **state)
{
	static const char bad[] = "\x0a\x7fxx", unended[] = "\x0a\x80";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct sv all[] = { sv_make(bad, sizeof(bad) - 1), sv_make(unended, sizeof(unended) - 1) };
	struct csi_plugin_info plugin;
	struct csi_node_info node;
	struct csi_stats stats;
	unsigned can;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(csi_get_plugin_info(all[i], &plugin, &err), -1);
		assert_string_equal(err_msg(&err), "PluginInfo is no protobuf message");
		assert_int_equal(csi_get_node_info(&a, all[i], &node, NULL), -1);
		assert_int_equal(csi_get_capabilities(all[i], &can, NULL), -1);
		assert_int_equal(csi_get_stats(all[i], &stats, NULL), -1);
		assert_int_equal(csi_get_expanded(all[i]), 0);
	}
}

static void test_too_much(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT, topology = BUF_INIT;
	struct csi_plugin_info plugin;
	struct csi_node_info node;
	size_t m;

	(void)state;
	m = pb_open(&topology, 3);
	for (int i = 0; i <= CSI_VERSIONS_MAX; i++) {
		pb_sv_elem(&b, 4, SV("1.0.0"));
		pb_map_entry(&topology, 1, arena_svf(&a, "k%d", i), SV("v"));
	}
	pb_close(&topology, m);
	assert_int_equal(csi_get_plugin_info(buf_sv(&b), &plugin, NULL), -1);
	assert_int_equal(csi_get_node_info(&a, buf_sv(&topology), &node, NULL), -1);
}

static uint64_t mode_said(const char *mode, unsigned can)
{
	struct csi_mount m = { .handle = SV("h"),
			       .staging = "/s",
			       .cap = { .access_mode = sv_from(mode), .can = can } };
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	csi_put_stage(&b, &m);
	return pb_get_u64(pb_get_sv(pb_get_sv(buf_sv(&b), 4), 3), 1);
}

static void test_access_modes(void **state)
{
	(void)state;
	assert_int_equal(mode_said("ReadWriteOnce", 0), 1);
	assert_int_equal(mode_said("ReadWriteOncePod", 0), 1);
	assert_int_equal(mode_said("ReadOnlyMany", 0), 3);
	assert_int_equal(mode_said("ReadWriteMany", 0), 5);
	assert_int_equal(mode_said("ReadWriteOncePod", CSI_CAN_SINGLE_NODE), 6);
	assert_int_equal(mode_said("ReadWriteOnce", CSI_CAN_SINGLE_NODE), 7);
}

static void test_publish(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *secrets = val_new_map(&a), *options = val_new_list(&a);
	struct csi_mount m = { .handle = SV("h"),
			       .staging = "/s",
			       .target = "/t",
			       .readonly = true,
			       .secrets = secrets,
			       .cap = { .fs_type = SV("ext4"), .group = SV("7"), .mount_options = options } };
	struct sv cap, said;

	(void)state;
	val_set_str_sv(&a, secrets, SV("key"), SV("x"));
	val_push(&a, options, val_new_str(&a, SV("noatime")));
	csi_put_publish(&b, &m);
	said = buf_sv(&b);
	assert_sv(pb_get_sv(said, 1), "h");
	assert_sv(pb_get_sv(said, 3), "/s");
	assert_sv(pb_get_sv(said, 4), "/t");
	assert_int_equal(pb_get_u64(said, 6), 1);
	assert_sv(pb_get_sv(pb_get_sv(said, 7), 1), "key");
	cap = pb_get_sv(pb_get_sv(said, 5), 2);
	assert_sv(pb_get_sv(cap, 1), "ext4");
	assert_sv(pb_get_sv(cap, 2), "noatime");
	assert_sv(pb_get_sv(cap, 3), "7");
	/* A device has neither. */
	buf_clear(&b);
	m.cap.block = true;
	csi_put_publish(&b, &m);
	assert_sv(pb_get_sv(pb_get_sv(buf_sv(&b), 5), 2), "");
}

static void test_stats(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct csi_stats stats;
	size_t m = pb_open(&b, 1);

	(void)state;
	pb_i64(&b, 1, 4);
	pb_i64(&b, 2, 10);
	pb_i64(&b, 3, 6);
	pb_u64(&b, 4, 1);
	pb_close(&b, m);
	m = pb_open(&b, 2);
	pb_bool(&b, 1, true);
	pb_sv(&b, 2, SV("bad"));
	pb_close(&b, m);
	assert_int_equal(csi_get_stats(buf_sv(&b), &stats, NULL), 0);
	assert_int_equal(stats.bytes.available, 4);
	assert_int_equal(stats.bytes.total, 10);
	assert_int_equal(stats.bytes.used, 6);
	assert_int_equal(stats.inodes.total, -1);
	assert_true(stats.condition && stats.abnormal);
	assert_sv(stats.message, "bad");
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_malformed), cmocka_unit_test(test_too_much),
						   cmocka_unit_test(test_access_modes), cmocka_unit_test(test_publish),
						   cmocka_unit_test(test_stats) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
