/* Labels of mounts on a node with SELinux, whose files are the test's. */
#include "kit.h"

#include "base/file.h"
#include "codec/json.h"
#include "kubelet/csi/csi-internal.h"

#include <sys/stat.h>

#define TWO                                                                                                            \
	"{\"name\":\"c\",\"volumeMounts\":[{\"name\":\"v\"}]%s},{\"name\":\"d\",\"volumeMounts\":[{\"name\":\"%s\"}]%" \
	"s}"
#define LEVEL(l) "{\"level\":\"" l "\"}"
#define LABEL "system_u:object_r:container_file_t:"

static struct arena A;
static struct csi C;
static struct csi_volume V;
static struct csi_run R;
static struct csi_run_use uses[2];
static struct csi_mount M;

static void put(const char *path, const char *text)
{
	const char *at = arena_printf(&A, "%s%s", C.o.host_dir, path);
	char *dir = arena_strdup(&A, at);

	for (char *slash = dir + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		(void)mkdir(dir, 0700);
	}
	assert_int_equal(file_write_again(at, sv_from(text), 0600, NULL), 0);
}

static struct obj *object(const char *json)
{
	const struct val *doc = json_decode(&A, sv_from(json), NULL, NULL);

	assert_non_null(doc);
	return obj_link(&A, obj_new(doc, 0));
}

/* options: of the pod; first, second: what its two containers have beside, second mounts `mounts`. */
static struct obj *pod(const char *options, const char *first, const char *mounts, const char *second)
{
	return object(arena_printf(&A, "{\"spec\":{\"securityContext\":%s,\"containers\":[" TWO "]}}", options, first,
				   mounts, second));
}

static struct obj *pod_level(const char *level)
{
	return pod(arena_printf(&A, "{\"seLinuxOptions\":{\"level\":\"%s\"}}", level), "", "v", "");
}

static void volume_is(const char *modes)
{
	uses[0].source = uses[1].source = object(arena_printf(
	    &A, "{\"spec\":{\"accessModes\":[%s],\"mountOptions\":[\"noatime\"],\"csi\":{\"driver\":\"d\"}}}", modes));
}

static int set_up(_unused_ void **state)
{
	memset(&C, 0, sizeof(C));
	C.o.host_dir = temp_dir(&A);
	V = (struct csi_volume){ .driver = (char *)(uintptr_t) "d" };
	R = (struct csi_run){ .c = &C, .a = &A, .v = &V, .uses = uses, .n_uses = 1 };
	R.driver = object("{\"spec\":{\"seLinuxMount\":true}}");
	memset(uses, 0, sizeof(uses));
	for (int i = 0; i < 2; i++) {
		uses[i].state = CSI_WANTED;
		uses[i].volume = "v";
		uses[i].spec_name = "pv";
		uses[i].pod = pod_level("s0:c1,c2");
	}
	volume_is("\"ReadWriteOncePod\"");
	put("/sys/fs/selinux/enforce", "1");
	put("/etc/selinux/config", "# of the node\nSELINUX=enforcing\nSELINUXTYPE=targeted\n");
	put("/etc/selinux/targeted/contexts/lxc_contexts",
	    "process = \"system_u:system_r:container_t:s0\"\nfile = \"" LABEL "s0\"\n");
	return 0;
}

static int tear_down(_unused_ void **state)
{
	arena_reset(&A);
	return 0;
}

/* What the mount has beside its own options; "": nothing, NULL: it is refused. */
static const char *label(int use)
{
	const struct val *o;

	M = (struct csi_mount){ .cap.mount_options = obj_get(uses[use].source, F_spec, F_mountOptions) };
	if (csi_selinux(&R, &uses[use], &M, NULL) < 0)
		return NULL;
	o = M.cap.mount_options;
	assert_true(val_is(val_at(o, 0), "noatime"));
	return val_len(o) == 1 ? "" : arena_cstr(&A, val_str(val_at(o, 1)));
}

static const char *refused(int use)
{
	struct err err = ERR_INIT;
	const char *why;

	M = (struct csi_mount){ 0 };
	assert_int_equal(csi_selinux(&R, &uses[use], &M, &err), -1);
	why = arena_strdup(&A, err_msg(&err));
	err_release(&err);
	return why;
}

static void test_labelled(_unused_ void **state)
{
	assert_string_equal(label(0), "context=\"" LABEL "s0:c1,c2\"");
	uses[0].pod =
	    pod("{\"seLinuxOptions\":{\"level\":\"s0\",\"user\":\"staff_u\",\"type\":\"spc_t\",\"role\":\"x\"}}", "",
		"v", "");
	assert_string_equal(label(0), "context=\"staff_u:object_r:container_file_t:s0\"");
	/* The container's own, also where the pod has one. */
	uses[0].pod = pod("{\"seLinuxOptions\":" LEVEL("s0") "}",
			  ",\"securityContext\":{\"seLinuxOptions\":" LEVEL("s0:c7") "}", "another", "");
	assert_string_equal(label(0), "context=\"" LABEL "s0:c7\"");
	/* Of any mode, but of one. */
	volume_is("\"ReadWriteMany\"");
	assert_string_equal(label(0), "context=\"" LABEL "s0:c7\"");
	volume_is("\"ReadWriteOnce\",\"ReadOnlyMany\"");
	assert_string_equal(label(0), "");
}

static void test_without_a_label(_unused_ void **state)
{
	uses[0].pod = pod("{}", "", "v", "");
	assert_string_equal(label(0), "");
	uses[0].pod = pod("{\"seLinuxOptions\":{\"type\":\"spc_t\"}}", "", "v", ""); /* the runtime chooses its level */
	assert_string_equal(label(0), "");
	uses[0].pod = pod("{\"seLinuxChangePolicy\":\"Recursive\",\"seLinuxOptions\":" LEVEL("s0") "}", "", "v", "");
	assert_string_equal(label(0), "");
	uses[0].pod = pod_level("s0");
	V.block = true;
	assert_string_equal(label(0), "");
	V.block = false;
	R.driver = object("{\"spec\":{\"seLinuxMount\":false}}");
	assert_string_equal(label(0), "");
	R.driver = NULL;
	assert_string_equal(label(0), "");
}

static void test_node_without_selinux(_unused_ void **state)
{
	put("/etc/selinux/targeted/contexts/lxc_contexts", "file = \"odd\"\n");
	assert_string_equal(label(0), "");
	put("/etc/selinux/config", "SELINUXTYPE=../targeted\n");
	assert_string_equal(label(0), "");
	put("/etc/selinux/config", "SELINUXTYPE=targeted\n");
	put("/etc/selinux/targeted/contexts/lxc_contexts", "file = \"" LABEL "s0\"\n");
	assert_string_not_equal(label(0), "");
	assert_int_equal(unlink(arena_printf(&A, "%s/sys/fs/selinux/enforce", C.o.host_dir)), 0);
	assert_string_equal(label(0), "");
}

static void test_several(_unused_ void **state)
{
	uses[0].pod = pod("{\"seLinuxOptions\":" LEVEL("s0") "}",
			  ",\"securityContext\":{\"seLinuxOptions\":" LEVEL("s0:c7") "}", "v", "");
	assert_string_equal(refused(0), "multiple SELinux labels found: " LABEL "s0:c7," LABEL "s0");
}

/* Options of a mount are an admin's to choose. */
static void test_options_in_a_label(_unused_ void **state)
{
	static const char *const bad[] = { "s0\\\",suid,dev,x=\\\"", "s0 c1", "s0\\u0000", "s0\\n", "s0=x", "s0\\\\" };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uses[0].pod = pod_level(bad[i]);
		assert_non_null(strstr(refused(0), "are no SELinux label"));
	}
	uses[0].pod = pod("{\"seLinuxOptions\":{\"level\":\"s0\",\"user\":\"a,b\\\"\"}}", "", "v", "");
	assert_non_null(strstr(refused(0), "are no SELinux label"));
}

static void test_pods_with_others(_unused_ void **state)
{
	R.n_uses = 2;
	volume_is("\"ReadWriteMany\"");
	uses[0].state = CSI_READY;
	assert_string_not_equal(label(1), ""); /* the same */
	uses[1].pod = pod_level("s0:c9");
	assert_string_equal(refused(1),
			    "conflicting SELinux labels of volume pv: \"" LABEL "s0:c1,c2\" and \"" LABEL "s0:c9\"");
	uses[1].pod = pod("{}", "", "v", "");
	assert_non_null(strstr(refused(1), "and \"\""));
	/* Who has it goes on; of two that begin it is the first. */
	assert_string_not_equal(label(0), "");
	uses[0].state = CSI_WANTED;
	assert_string_not_equal(label(0), "");
	assert_null(label(1));
	uses[0].state = CSI_GOING;
	assert_string_equal(label(1), "");
	uses[0] = (struct csi_run_use){ .state = CSI_FOUND }; /* of an agent before */
	assert_string_equal(label(1), "");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		T(test_labelled), T(test_without_a_label),    T(test_node_without_selinux),
		T(test_several),  T(test_options_in_a_label), T(test_pods_with_others)
	};
	int rc = cmocka_run_group_tests_name("kubelet/csi_selinux", tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
