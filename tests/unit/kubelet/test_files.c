/* What the kubelet writes for containers and reads from them. */
#include "costs.h"
#include "kit.h"

#include "codec/doc_items.h"
#include "codec/json.h"
#include "kubelet/atomic_writer.h"
#include "kubelet/bridge_repair.h"
#include "kubelet/cni.h"
#include "kubelet/containerd.h"
#include "kubelet/env_file.h"
#include "kubelet/env_vars.h"
#include "kubelet/etchosts.h"
#include "kubelet/field_ref.h"
#include "kubelet/fsutil.h"
#include "kubelet/image.h"
#include "kubelet/logs.h"
#include "kubelet/machine.h"
#include "kubelet/pod_spec.h"
#include "kubelet/subpath.h"
#include "kubelet/volumes/volumes.h"
#include "object/keep.h"
#include "pod/image_name.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena A;

#define OK(call)                                                 \
	do {                                                     \
		struct err e_ = ERR_INIT;                        \
		if ((call) < 0)                                  \
			fail_msg("%s: %s", #call, err_msg(&e_)); \
	} while (0)

/* --- logs --- */

static struct log_reader *open_log(const char *path, const struct log_opts *o)
{
	const char *slash = strrchr(path, '/');

	return log_reader_open(arena_printf(&A, "%.*s", (int)(slash - path), path), slash + 1, o, NULL);
}

static struct sv read_all(const char *path, struct log_opts o)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct log_reader *r = open_log(path, &o);

	assert_non_null(r);
	while (log_reader_read(r, &b, 64) == LOG_MORE)
		;
	log_reader_free(r);
	return arena_sv(&A, buf_sv(&b));
}

static void test_log_lines(void **state)
{
	static const char *const bad[] = { "",
					   " ",
					   "x",
					   "2026-01-02T03:04:05Z",
					   "2026-01-02T03:04:05Z stdout",
					   "nonsense stdout F x",
					   "2026-01-02T03:04:05Z stdin F x",
					   "2026-01-02T03:04:05Z stdout X x",
					   "2026-01-02T03:04:05Z stdout  x",
					   "2026-13-02T03:04:05Z stdout F x" };
	struct log_line l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(log_line_parse(sv_from(bad[i]), &l));
	assert_true(log_line_parse(SV("2026-01-02T03:04:05.123456789Z stderr P half "), &l));
	assert_true(l.is_stderr && l.partial);
	assert_sv(l.text, "half ");
	assert_int_equal(l.time_ns % NS_PER_SEC, 123456789);
	assert_true(log_line_parse(SV("2026-01-02T03:04:05+02:00 stdout F:tag "), &l));
	assert_sv(l.text, "");
	assert_true(log_line_parse(SV("2026-01-02T03:04:05Z stdout F"), &l));
	assert_sv(l.text, "");
}

static void test_log_reader(void **state)
{
	char *dir = temp_dir(&A), *path = arena_printf(&A, "%s/0.log", dir);
	struct log_opts all = { .tail = -1, .limit_bytes = -1 }, o;
	struct log_reader *r;
	_cleanup_(buf_release) struct buf b = BUF_INIT, big = BUF_INIT;

	(void)state;
	OK(fs_write(path,
		    SV("2026-01-02T03:04:01Z stdout F one\n"
		       "garbage \x01\xff line\n"
		       "2026-01-02T03:04:02Z stdout P tw\n"
		       "2026-01-02T03:04:02Z stderr F err\n"
		       "2026-01-02T03:04:02Z stdout F o\n"
		       "2026-01-02T03:04:03Z stdout F three\n"
		       "2026-01-02T03:04:04Z stdout F unfinis"),
		    0600, &e_));
	assert_sv(read_all(path, all), "one\ntwerr\no\nthree\n");
	o = all, o.no_stderr = true;
	assert_sv(read_all(path, o), "one\ntwo\nthree\n");
	o.timestamps = true;
	assert_sv(read_all(path, o),
		  "2026-01-02T03:04:01Z one\n2026-01-02T03:04:02Z two\n2026-01-02T03:04:03Z three\n");
	o = all, o.limit_bytes = 6;
	assert_sv(read_all(path, o), "one\ntw");
	o = all, o.tail = 2; /* the unfinished one is the last */
	assert_sv(read_all(path, o), "three\n");
	o.tail = 0;
	assert_sv(read_all(path, o), "");
	o.tail = 1000;
	assert_sv(read_all(path, o), "one\ntwerr\no\nthree\n");
	assert_true(sv_to_i64(SV("1767323043"), &o.since_ns)); /* 2026-01-02T03:04:03Z */
	o = all, o.since_ns = INT64_C(1767323043) * NS_PER_SEC;
	assert_sv(read_all(path, o), "three\n");

	/* Followed over a rotation: the old file to its end, which may come when the new one is there, then the new
	 * one. */
	r = open_log(path, &all);
	while (log_reader_read(r, &b, 1 << 20) == LOG_MORE)
		;
	buf_clear(&b);
	OK(rename(path, arena_printf(&A, "%s.1", path)));
	OK(fs_write(path, SV(""), 0600, &e_));
	assert_int_equal(log_reader_read(r, &b, 1 << 20), LOG_END);
	{
		int fd = open(arena_printf(&A, "%s.1", path), O_WRONLY | O_APPEND);

		assert_int_equal(write(fd, "hed\n", 4), 4);
		close(fd);
	}
	{
		int fd =
		    open(path, O_WRONLY | O_APPEND); /* as the runtime: the same file is there before its first line */

		assert_int_equal(write(fd, "2026-01-02T03:04:05Z stdout F new\n", 34), 34);
		close(fd);
	}
	while (log_reader_read(r, &b, 1 << 20) == LOG_MORE)
		;
	assert_sv(buf_sv(&b), "unfinished\nnew\n");
	log_reader_free(r);

	/* A "line" without end is no log, what follows it is. */
	buf_adds(&big, "2026-01-02T03:04:05Z stdout F ");
	for (int i = 0; i < 3 << 17; i++)
		buf_adds(&big, "xxxxxxxx");
	buf_adds(&big, "\n2026-01-02T03:04:06Z stdout F after\n");
	OK(fs_write(path, buf_sv(&big), 0600, &e_));
	assert_sv(read_all(path, all), "after\n");
	assert_null(open_log(arena_printf(&A, "%s/none", dir), &all));
	OK(tree_remove(dir, &e_));
}

/* --- environment --- */

static bool lookup(struct sv name, struct sv *ret, void *ctx)
{
	(void)ctx;
	*ret = SV("val");
	return sv_is(name, "A");
}

static void test_expand(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },	    { "$(A)", "val" },	     { "x$(A)y$(A)", "xvalyval" },
		{ "$(B)", "$(B)" }, { "$$(A)", "$(A)" },     { "$$$(A)", "$val" },
		{ "$", "$" },	    { "$A", "$A" },	     { "$(A", "$(A" },
		{ "a$", "a$" },	    { "$()", "$()" },	     { "$(A)$", "val$" },
		{ "$$$$", "$$" },   { "$(A$(A)", "$(A$(A)" }
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct sv out;

		OK(env_var_expand(&A, sv_from(cases[i][0]), NULL, lookup, NULL, &out, &e_));
		assert_sv(out, cases[i][1]);
	}
}

/* Twenty variables of ten references each stand for more than there is memory. */
static void test_expand_bomb(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct env_list l = { .a = &A, .expanded = BUDGET(env_expanded_limit) };
	const struct val *c;

	(void)state;
	buf_adds(&b, "{\"env\":[{\"name\":\"V0\",\"value\":\"0123456789\"}");
	for (int i = 1; i < 20; i++) {
		buf_printf(&b, ",{\"name\":\"V%d\",\"value\":\"", i);
		for (int k = 0; k < 10; k++)
			buf_printf(&b, "$(V%d)", i - 1);
		buf_adds(&b, "\"}");
	}
	buf_adds(&b, "]}");
	c = json_decode(&A, buf_sv(&b), NULL, &err);
	assert_int_equal(env_var_add_own(&l, c, NULL, &err), -1);
	assert_non_null(strstr(err_msg(&err), "larger than 4194304 bytes together"));
}

/* Each key of a large ConfigMap by a variable of its own. */
static const struct val *large;

static int get_large(void *ctx, struct arena *a, bool secret, struct sv name, const struct val **ret, struct err *err)
{
	(void)ctx;
	(void)a;
	(void)secret;
	(void)name;
	(void)err;
	*ret = large;
	return 0;
}

static void run_large(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct env_list l = { .a = &a };
	const struct env_source src = { .get = get_large };
	struct val *container = val_new_map(&a), *env = val_set_list(&a, container, F_env), *data = val_new_map(&a);
	struct val *config = val_new_map(&a), text = { .type = VAL_STR, .n = 1, .s = "v" };

	(void)arg;
	for (size_t i = 0; i < n; i++) {
		struct val *e = val_push(&a, env, val_new_map(&a));
		struct val *ref = val_set_map(&a, val_set_map(&a, e, F_valueFrom), F_configMapKeyRef);

		val_append_sv(&a, data, arena_svf(&a, "k%zu", i), &text);
		val_set_str(&a, ref, F_key, arena_svf(&a, "k%zu", n - 1 - i));
		val_set_str(&a, e, F_name, arena_svf(&a, "V%zu", i));
	}
	val_set(&a, config, F_data, data);
	large = config;
	cost_begin(c);
	OK(env_var_add_own(&l, container, &src, &e_));
	cost_end(c);
	assert_int_equal(l.n, n);
}

static void run_open(struct cost *c, size_t n, const void *arg)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv out;

	(void)arg;
	for (size_t i = 0; i < n; i++)
		buf_adds(&b, "$(");
	cost_begin(c);
	OK(env_var_expand(&A, buf_sv(&b), NULL, lookup, NULL, &out, &e_));
	cost_end(c);
	assert_int_equal(out.n, 2 * n);
}

static void test_growth(void **state)
{
	const struct cost_row rows[] = {
		{ "variables of a large ConfigMap", run_large, NULL, 0 },
		{ "references that never close", run_open, NULL, 3000 },
	};

	(void)state;
	expect_linear(rows, ARRAY_LEN(rows));
}

static struct sv var(struct env_list *l, const char *name)
{
	struct sv v;

	return env_var_lookup(sv_from(name), &v, l) ? v : SV("(none)");
}

static void test_service_variables(void **state)
{
	struct env_list l = { .a = &A };
	struct keep *kept = keep_new(); /* as the informer's objects are */

	(void)state;
	keep_add(kept, env_service_paths);
	env_var_add_service(&l,
			    keep_copy(&A, kept,
				      doc(&A, "{'metadata':{'name':'my-db'},'spec':{'clusterIP':'10.0.0.1','ports':["
					      "{'name':'pg-sql','port':5432,'protocol':'TCP'},"
					      "{'port':53,'protocol':'UDP'}]}}")));
	keep_unref(kept);
	env_var_add_service(&l,
			    doc(&A, "{'metadata':{'name':'none'},'spec':{'clusterIP':'None','ports':[{'port':1}]}}"));
	assert_sv(var(&l, "MY_DB_SERVICE_HOST"), "10.0.0.1");
	assert_sv(var(&l, "MY_DB_SERVICE_PORT"), "5432");
	assert_sv(var(&l, "MY_DB_SERVICE_PORT_PG_SQL"), "5432");
	assert_sv(var(&l, "MY_DB_PORT"), "tcp://10.0.0.1:5432");
	assert_sv(var(&l, "MY_DB_PORT_53_UDP"), "udp://10.0.0.1:53");
	assert_sv(var(&l, "MY_DB_PORT_53_UDP_PROTO"), "udp");
	assert_sv(var(&l, "MY_DB_PORT_5432_TCP_ADDR"), "10.0.0.1");
	assert_sv(var(&l, "NONE_SERVICE_HOST"), "(none)");
}

static int source_get(void *ctx, struct arena *a, bool secret, struct sv name, const struct val **ret, struct err *err)
{
	(void)ctx;
	if (!sv_is(name, "there"))
		return err_set(err, ERR_NOT_FOUND, "no %.*s", SV_ARG(name));
	*ret = secret ? doc(a, "{'data':{'S':'aHVzaA==','bad':'%%%%'}}") : doc(a, "{'data':{'K':'v','in valid':'x'}}");
	return 0;
}

static int source_field(void *ctx, struct arena *a, const struct val *from, struct sv *ret, struct err *err)
{
	(void)ctx, (void)a, (void)from, (void)err;
	*ret = SV("field");
	return 0;
}

static void test_env_sources(void **state)
{
	struct env_source src = { .get = source_get, .field = source_field };
	struct env_list l = { .a = &A };
	struct val *c = doc(
	    &A, "{'envFrom':[{'prefix':'P_','configMapRef':{'name':'there'}},{'secretRef':{'name':'there'}},"
		"{'secretRef':{'name':'gone','optional':true}}],'env':[{'name':'X','value':'$(P_K)-$(Y)'},"
		"{'name':'Y','valueFrom':{'secretKeyRef':{'name':'there','key':'S'}}},{'name':'Z','value':'$(Y)'},"
		"{'name':'F','valueFrom':{'fieldRef':{'fieldPath':'x'}}},{'name':'N','valueFrom':{'configMapKeyRef':"
		"{'name':'there','key':'absent','optional':true}}}]}");
	struct err err = ERR_INIT;

	(void)state;
	OK(env_var_add_from(&l, c, &src, &e_));
	OK(env_var_add_own(&l, c, &src, &e_));
	assert_sv(var(&l, "P_K"), "v");
	assert_sv(var(&l, "P_in valid"), "(none)");
	assert_sv(var(&l, "S"), "hush");
	assert_sv(var(&l, "X"), "v-$(Y)"); /* only what stands before is known */
	assert_sv(var(&l, "Z"), "hush");
	assert_sv(var(&l, "F"), "field");
	assert_sv(var(&l, "N"), "(none)");
	assert_int_equal(
	    env_var_add_own(
		&l, doc(&A, "{'env':[{'name':'N','valueFrom':{'configMapKeyRef':{'name':'there','key':'absent'}}}]}"),
		&src, &err),
	    -1);
	assert_true(sv_starts(sv_from(err_msg(&err)), SV("couldn't find key absent in ConfigMap")));
	err_release(&err);
}

static void test_env_file(void **state)
{
	static const struct {
		const char *text, *key, *value; /* value NULL: not set, or the error in key's place */
		const char *error;
	} cases[] = {
		{ "K='from file'\n", "K", "from file", NULL },
		{ "# one\n\n  A='1' # two\nK='a\nb'\t#x\nZ='3'", "Z", "3", NULL },
		{ "A='1'\nK='a\nb'", "K", "a\nb", NULL },
		{ "K='$A \"\\n#'\r\n", "K", "$A \"\\n#", NULL },
		{ "K='1'\nK='2'\n", "K", "1", NULL },
		{ "K= 'x'\n", "K", "", NULL },
		{ "A= 'x'\nK='y'\n", "K", "y", NULL },
		{ "A='1'\n", "K", NULL, NULL },
		{ "", "K", NULL, NULL },
		{ "A='1'\nnothing\nK='1'", "K", NULL, "invalid environment variable format at line 2: missing '='" },
		{ "='1'", "K", NULL, "invalid environment variable format at line 1: empty variable name" },
		{ "K ='1'", "K", NULL, "invalid environment variable format at line 1: whitespace before '='" },
		{ "K=1", "K", NULL,
		  "invalid environment variable format at line 1: value must be enclosed in single quotes" },
		{ "K=\"1\"", "K", NULL,
		  "invalid environment variable format at line 1: value must be enclosed in single quotes" },
		{ "K=\n", "K", NULL,
		  "invalid environment variable format at line 1: value must be enclosed in single quotes" },
		{ "A='\n\n'x\n", "K", NULL,
		  "invalid environment variable format at line 3: unexpected content after closing quote" },
		{ "\nA='1\n", "K", NULL,
		  "invalid environment variable format starting at line 2: unclosed single quote" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err err = ERR_INIT;
		struct sv v = SV("");
		bool found = false;
		int rc = env_file_find(sv_from(cases[i].text), sv_from(cases[i].key), &found, &v, &err);

		if (cases[i].error) {
			assert_int_equal(rc, -1);
			assert_string_equal(err_msg(&err), cases[i].error);
		} else {
			assert_int_equal(rc, 0);
			assert_int_equal(found, cases[i].value != NULL);
			if (found)
				assert_sv(v, cases[i].value);
		}
		err_release(&err);
	}
}

/* What a container puts there is read only when it is a file inside the volume. */
static void test_env_file_reading(void **state)
{
	char *dir = temp_dir(&A), *root = arena_printf(&A, "%s/v", dir);
	static const struct {
		const char *path;
		enum err_reason reason; /* ERR_NONE: read */
	} cases[] = { { "a.env", ERR_NONE },	 { "sub/../a.env", ERR_NONE }, { "absolute", ERR_NONE },
		      { "gone", ERR_NOT_FOUND }, { "out", ERR_NOT_FOUND },     { "../secret", ERR_NOT_FOUND },
		      { "pipe", ERR_INVALID },	 { "sub", ERR_INVALID },       { "large", ERR_INVALID } };

	(void)state;
	OK(fs_mkdir_p(arena_printf(&A, "%s/sub", root), 0755, &e_));
	OK(fs_write(arena_printf(&A, "%s/secret", dir), SV("K='secret'"), 0644, &e_));
	OK(fs_write(arena_printf(&A, "%s/a.env", root), SV("K='v'"), 0644, &e_));
	assert_int_equal(symlink("/a.env", arena_printf(&A, "%s/absolute", root)), 0); /* of the container's root */
	assert_int_equal(symlink("../secret", arena_printf(&A, "%s/out", root)), 0);
	assert_int_equal(mkfifo(arena_printf(&A, "%s/pipe", root), 0666), 0);
	OK(fs_write(arena_printf(&A, "%s/large", root), sv_make(arena_zalloc(&A, ENV_FILE_MAX + 1), ENV_FILE_MAX + 1),
		    0644, &e_));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf b = BUF_INIT;
		struct err err = ERR_INIT;
		int rc = env_file_read(root, cases[i].path, &b, &err);

		if (rc != (cases[i].reason == ERR_NONE ? 0 : -1) || err.reason != cases[i].reason)
			fail_msg("%s: %d %s", cases[i].path, rc, err_msg(&err));
		if (rc == 0)
			assert_sv(buf_sv(&b), "K='v'");
		buf_release(&b);
		err_release(&err);
	}
	tree_remove(dir, NULL);
}

/* A pod's own word of what it may use bounds its cgroup and containers that say nothing. */
static void test_pod_level(void **state)
{
	struct val *pod =
	    doc(&A, "{'spec':{'resources':{'requests':{'cpu':'100m','memory':'20Mi'},'limits':{'cpu':'500m',"
		    "'memory':'40Mi'}},'overhead':{'memory':'1Mi'},'containers':[{'name':'c'},{'name':'d',"
		    "'resources':{'requests':{'memory':'4Mi'},'limits':{'memory':'10Mi'}}}]}}");
	const struct val *c = val_at(val_get(pod, F_spec, F_containers), 0),
			 *d = val_at(val_get(pod, F_spec, F_containers), 1);
	struct field_ref_node n = { .cpu_milli = 4000, .memory_bytes = 1 << 30 };
	struct cgroup_limits l;
	struct sv t;

	(void)state;
	assert_int_equal(pod_qos(pod), QOS_BURSTABLE);
	pod_cgroup_limits(pod, &l);
	assert_int_equal(l.cpu_milli_request, 100);
	assert_int_equal(l.cpu_milli_limit, 500);
	assert_int_equal(l.memory_limit_bytes, 41 << 20);
	assert_int_equal(container_limit(pod, c, SV("memory")), 40 << 20);
	assert_int_equal(container_limit(pod, c, SV("cpu")), 500);
	assert_int_equal(container_limit(pod, d, SV("memory")), 10 << 20);
	/* 16 Mi are left over for two: of 1 Gi, 8 and 12 Mi. */
	assert_int_equal(container_oom_score_adj(pod, c, 1 << 30), 1000 - 7);
	assert_int_equal(container_oom_score_adj(pod, d, 1 << 30), 1000 - 11);
	OK(resource_ref_text(&A, pod, c, &n, doc(&A, "{'resource':'limits.memory'}"), &t, &e_));
	assert_sv(t, "41943040");
	OK(resource_ref_text(&A, pod, d, &n, doc(&A, "{'resource':'limits.cpu','divisor':'1m'}"), &t, &e_));
	assert_sv(t, "500");
}

static void test_field_refs(void **state)
{
	struct val *pod = doc(
	    &A, "{'metadata':{'name':'p','labels':{'b':'2','a':'1\\n'}},'spec':{'containers':[{'name':'c','resources':"
		"{'limits':{'cpu':'1500m','memory':'64Mi'}}},{'name':'d'}]}}");
	struct field_ref_node n = { .node_name = "n",
				    .host_ips = SV("h h6"),
				    .pod_ip = SV("ip"),
				    .cpu_milli = 4000,
				    .memory_bytes = 1 << 30,
				    .storage_bytes = 9000 };
	const struct val *c = val_at(val_get(pod, F_spec, F_containers), 0),
			 *d = val_at(val_get(pod, F_spec, F_containers), 1);
	struct err err = ERR_INIT;
	struct sv t;

	(void)state;
	OK(field_ref_text(&A, pod, &n, SV("metadata.labels['b']"), &t, &e_));
	assert_sv(t, "2");
	OK(field_ref_text(&A, pod, &n, SV("metadata.labels"), &t, &e_));
	assert_sv(t, "a=\"1\\n\"\nb=\"2\"");
	OK(field_ref_text(&A, pod, &n, SV("status.podIP"), &t, &e_));
	assert_sv(t, "ip");
	OK(field_ref_text(&A, pod, &n, SV("status.hostIP"), &t, &e_));
	assert_sv(t, "h");
	OK(field_ref_text(&A, pod, &n, SV("status.hostIPs"), &t, &e_));
	assert_sv(t, "h,h6");
	assert_int_equal(field_ref_text(&A, pod, &n, SV("spec.tolerations"), &t, &err), -1);
	err_release(&err);
	OK(resource_ref_text(&A, pod, c, &n, doc(&A, "{'resource':'limits.cpu'}"), &t, &e_));
	assert_sv(t, "2");
	OK(resource_ref_text(&A, pod, c, &n, doc(&A, "{'resource':'limits.cpu','divisor':'1m'}"), &t, &e_));
	assert_sv(t, "1500");
	OK(resource_ref_text(&A, pod, c, &n, doc(&A, "{'resource':'limits.memory','divisor':'1Mi'}"), &t, &e_));
	assert_sv(t, "64");
	OK(resource_ref_text(&A, pod, d, &n, doc(&A, "{'resource':'limits.cpu'}"), &t, &e_));
	assert_sv(t, "4"); /* no limit: the node's */
	OK(resource_ref_text(&A, pod, d, &n, doc(&A, "{'resource':'limits.ephemeral-storage'}"), &t, &e_));
	assert_sv(t, "9000");
	OK(resource_ref_text(&A, pod, d, &n, doc(&A, "{'resource':'requests.ephemeral-storage'}"), &t, &e_));
	assert_sv(t, "0");
}

/* --- volumes --- */

/* What is so already is left alone, be it on a full disk. */
static void check_write_again(void)
{
	const char *in = temp_dir(&A), *path = arena_printf(&A, "%s/again", in),
		   *link = arena_printf(&A, "%s/link", in);
	struct stat first, st;
	struct sv is;

	OK(fs_write(path, SV("one"), 0640, &e_));
	assert_int_equal(stat(path, &first), 0);
	OK(fs_write(path, SV("one"), 0640, &e_));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_ino, first.st_ino);
	OK(fs_write(path, SV("two"), 0640, &e_));
	OK(file_read(&A, path, 100, &is, &e_));
	assert_sv(is, "two");
	OK(fs_write(path, SV("two"), 0600, &e_));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* Not through a link: that is another file. */
	assert_int_equal(symlink(path, link), 0);
	OK(fs_write(link, SV("two"), 0600, &e_));
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	OK(fs_write(path, SV(""), 0600, &e_));
	OK(fs_write(path, SV(""), 0600, &e_));
	OK(file_read(&A, path, 100, &is, &e_));
	assert_sv(is, "");
}

static void test_atomic_writer(void **state)
{
	char *dir = temp_dir(&A), first[256] = "", second[256] = "";
	struct atomic_file one[] = { { SV("a"), SV("1"), 0644 }, { SV("d/b"), SV("2"), 0400 } };
	struct atomic_file two[] = { { SV("a"), SV("1!"), 0644 } };
	static const char *const bad[] = { "", "/a", "../a", "a/../b", "..data", "a//b" };
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct sv t;
	bool changed;

	(void)state;
	check_write_again();
	OK(atomic_write(fd, one, 2, -1, 0, &changed, &e_));
	assert_true(changed);
	OK(file_read(&A, arena_printf(&A, "%s/d/b", dir), 99, &t, &e_));
	assert_sv(t, "2");
	assert_true(readlink(arena_printf(&A, "%s/..data", dir), first, 255) > 0);
	OK(atomic_write(fd, one, 2, -1, 0, &changed, &e_));
	assert_false(changed);
	OK(atomic_write(fd, two, 1, -1, 0, &changed, &e_));
	assert_true(changed);
	assert_true(readlink(arena_printf(&A, "%s/..data", dir), second, 255) > 0);
	assert_string_not_equal(first, second);
	assert_int_equal(access(arena_printf(&A, "%s/%s", dir, first), F_OK), -1); /* the old one is gone */
	assert_int_equal(access(arena_printf(&A, "%s/d", dir), F_OK), -1);
	OK(file_read(&A, arena_printf(&A, "%s/a", dir), 99, &t, &e_));
	assert_sv(t, "1!");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct atomic_file f = { sv_from(bad[i]), SV("x"), 0644 };

		assert_int_equal(atomic_write(fd, &f, 1, -1, 0, NULL, NULL), -1);
	}
	close(fd);
	OK(tree_remove(dir, &e_));
}

static void test_subpath_stays_inside(void **state)
{
	char *dir = temp_dir(&A), *vol = arena_printf(&A, "%s/vol", dir), *out = arena_printf(&A, "%s/out", dir);
	static const char *const bad[] = { "/etc", "..", "a/../../x", "link", "link/new", "abs" };
	struct stat x, y;
	int fd;

	(void)state;
	OK(fs_mkdir_p(vol, 0755, &e_));
	OK(fs_mkdir_p(out, 0755, &e_));
	OK(symlink("../out", arena_printf(&A, "%s/link", vol)));
	OK(symlink("/etc", arena_printf(&A, "%s/abs", vol)));
	OK(symlink("a", arena_printf(&A, "%s/inside", vol)));
	OK(chmod(vol, 02777));
	OK(fd = subpath_open(vol, SV("a/b"), &e_));
	OK(fstat(fd, &x));
	OK(stat(arena_printf(&A, "%s/a/b", vol), &y));
	assert_true(x.st_ino == y.st_ino);
	assert_int_equal(x.st_mode & 07777, 02777); /* the volume's: whoever may write there may write here */
	close(fd);
	OK(fd = subpath_open(vol, SV("inside/b"), &e_)); /* a link that stays in is fine */
	close(fd);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(subpath_open(vol, sv_from(bad[i]), NULL), -1);
	assert_int_equal(access(arena_printf(&A, "%s/new", out), F_OK), -1);
	OK(tree_remove(dir, &e_));
	assert_int_equal(access("/etc/passwd", F_OK), 0);
}

static void test_hosts_file(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	(void)state;
	etchosts_text(&b, SV("10.0.0.2 fd00::2"), SV("web-0"), SV("web.ns.svc.cluster.local"),
		      doc(&A, "[{'ip':'1.2.3.4','hostnames':['a','b']}]"));
	assert_true(sv_starts(buf_sv(&b), SV("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n")));
	assert_true(sv_ends(buf_sv(&b), SV("10.0.0.2\tweb-0.web.ns.svc.cluster.local\tweb-0\n"
					   "fd00::2\tweb-0.web.ns.svc.cluster.local\tweb-0\n"
					   "\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n")));
}

/* --- the runtime's surroundings --- */

static void test_configurations(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *v;
	char name[16];

	(void)state;
	cni_conflist(&b, &(struct cni_opts){
			     .bridge = "cvl0", .pod_cidr = "10.42.0.0/24,fd00::/64", .state_dir = "/s", .mtu = 1450 });
	v = doc(&A, buf_cstr(&b)); /* valid JSON */
	v = val_member_sv(v, SV("plugins"));
	assert_int_equal(val_len(v), 1);
	assert_sv(val_str(val_member_sv(val_at(v, 0), SV("bridge"))), "cvl0");
	assert_int_equal(val_len(val_member_sv(val_member_sv(val_at(v, 0), SV("ipam")), SV("ranges"))), 2);
	assert_false(val_bool(val_member_sv(val_at(v, 0), SV("ipMasq"))));
	cni_bridge_name("/var/lib/caravel", name);
	assert_true(strlen(name) == 11 && !strncmp(name, "cvl", 3));
	buf_clear(&b);
	containerd_config(&b, &(struct containerd_conf){ .root = "/r",
							 .state = "/s",
							 .socket = "/sock",
							 .sandbox_image = "p:1",
							 .cni_conf_dir = "/c",
							 .cni_bin_dir = "/b",
							 .runc_root = "/rr",
							 .opt_dir = "/o",
							 .restrict_oom_score_adj = true });
	assert_true(sv_find_sv(buf_sv(&b), SV("restrict_oom_score_adj = true\n")) > 0);
	assert_true(sv_find_sv(buf_sv(&b), SV("snapshotter = \"native\"\n")) > 0);
	assert_true(sv_find_sv(buf_sv(&b), SV("SystemdCgroup = false\n")) > 0);
	assert_true(sv_find_sv(buf_sv(&b), SV("address = \"/sock\"\n")) > 0);
	assert_true(sv_find_sv(buf_sv(&b), SV("config_path")) < 0);
	buf_clear(&b);
	containerd_config(&b,
			  &(struct containerd_conf){ .root = "/r", .registry_config_dir = "/etc/containerd/certs.d" });
	assert_true(sv_find_sv(buf_sv(&b), SV(".registry]\n  config_path = \"/etc/containerd/certs.d\"\n")) > 0);
}

static void test_image_archive(void **state)
{
	struct archive *ar = archive_read_new();
	struct archive_entry *e;
	struct sv tar, again;
	size_t layers = 0, manifests = 0;

	(void)state;
	OK(image_build_pause(&A, &tar, &e_));
	OK(image_build_pause(&A, &again, &e_));
	assert_true(sv_eq(tar, again)); /* reproducible */
	archive_read_support_format_tar(ar);
	assert_int_equal(archive_read_open_memory(ar, tar.p, tar.n), ARCHIVE_OK);
	while (archive_read_next_header(ar, &e) == ARCHIVE_OK) {
		const char *name = archive_entry_pathname(e);
		char text[1024] = "";

		layers += !!strstr(name, "/layer.tar");
		if (strcmp(name, "manifest.json") != 0)
			continue;
		manifests++;
		assert_true(archive_read_data(ar, text, sizeof(text) - 1) > 0);
		assert_sv(val_str(val_at(val_member_sv(val_at(doc(&A, text), 0), SV("RepoTags")), 0)), PAUSE_IMAGE);
	}
	assert_int_equal(layers, 1);
	assert_int_equal(manifests, 1);
	archive_read_free(ar);
}

/* What the network plugins remember of a sandbox tells how to put its network back; others' files are passed over. */
static void test_bridge_results(void **state)
{
	static const char good[] =
	    "{'kind':'cniCacheV1','result':{'interfaces':[{'name':'cvl1','mac':'0a:00:00:00:00:01'},"
	    "{'name':'veth12','mac':'0a:00:00:00:00:02'},{'name':'eth0','sandbox':'/run/caravel-1/netns/cni-1'}],"
	    "'ips':[{'address':'10.42.0.7/24','gateway':'10.42.0.1'},{'address':'fd00::7/64','gateway':'fd00::1'}]}}";
	static const char *const bad[] = {
		"",
		"/run/caravel-1/ no JSON",
		"{'result':{'interfaces':[{'name':'cvl2'},{'name':'veth1'},{'sandbox':'/run/caravel-1/x'}]}}",
		"{'result':{'interfaces':[{'name':'cvl1'},{'name':'veth1'},{'sandbox':'/run/caravel-10/x'}]}}",
		"{'result':{'interfaces':[{'name':'cvl1'},{'name':'../../etc'},{'sandbox':'/run/caravel-1/x'}]}}",
		"{'result':{'interfaces':[{'name':'cvl1'},{'name':'-option'},{'sandbox':'/run/caravel-1/x'}]}}",
		"{'result':{'interfaces':[{'name':'cvl1'},{'name':'sixteen-letters-'},{'sandbox':'/run/caravel-1/'}]}}",
	};
	struct bridge_need need = { 0 };
	char veth[16], text[600];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad) + 1; i++) {
		snprintf(text, sizeof(text), "%s", i < ARRAY_LEN(bad) ? bad[i] : good);
		for (char *p = text; *p; p++)
			if (*p == '\'')
				*p = '"';
		assert_int_equal(bridge_read_result(sv_from(text), "/run/caravel-1", "cvl1", &need, veth),
				 i == ARRAY_LEN(bad));
	}
	assert_string_equal(veth, "veth12");
	assert_string_equal(need.mac, "0a:00:00:00:00:01");
	assert_int_equal(need.n_gateways, 2);
	assert_string_equal(need.gateway[0], "10.42.0.1/24");
	assert_string_equal(need.gateway[1], "fd00::1/64");
}

/* ... and the pod's own end of it. What goes onto a command line is what it should be, or nothing is put back. */
static void test_bridge_pod_end(void **state)
{
	static const char form[] =
	    "{'containerId':'4711','result':{'interfaces':[{'name':'cvl1'},{'name':'veth12'},"
	    "{'name':'eth0','mac':'%s','sandbox':'/run/caravel-1/netns/cni-1'}],"
	    "'ips':[{'address':'%s','gateway':'10.42.0.1'},{'address':'fd00::7/64','gateway':'fd00::1'}],"
	    "'routes':[{'dst':'0.0.0.0/0'},{'dst':'%s'}]}}";
	static const char *const values[][3] = {
		{ "0a:00:00:00:00:02", "10.42.0.7/24", "::/0" },
		{ "0a:00:00:00:00:02 up", "10.42.0.7/24", "::/0" },
		{ "0a:00:00:00:00:02", "-4", "::/0" },
		{ "0a:00:00:00:00:02", "10.42.0.7/24", "default" },
		{ "", "10.42.0.7/24", "::/0" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		char *text = arena_printf(&a, form, values[i][0], values[i][1], values[i][2]);
		struct bridge_pod_end e;

		for (char *p = text; *p; p++)
			if (*p == '\'')
				*p = '"';
		assert_int_equal(bridge_read_pod_end(&a, sv_from(text), &e), i == 0);
		if (i)
			continue;
		assert_sv(e.sandbox, "4711");
		assert_string_equal(e.netns, "/run/caravel-1/netns/cni-1");
		assert_string_equal(e.name, "eth0");
		assert_int_equal(e.n_ips, 2);
		assert_string_equal(e.ip[1].gateway, "fd00::1");
		assert_int_equal(e.n_routes, 2);
		assert_string_equal(e.route[1], "::/0");
	}
}

/* One pod cannot take what the machine or the other pods need. */
static void test_pids(void **state)
{
	static const int64_t machines[] = { 1024, 32768, 190000, 4194304 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(machines); i++) {
		int64_t all = machine_pids_allocatable(machines[i]), pod = machine_pod_pids(machines[i]);

		assert_true(pod > 0 && pod <= 4096 && pod <= machines[i] / 4);
		assert_true(all >= pod && all <= machines[i] - 256);
	}
	assert_int_equal(machine_pod_pids(0), 0); /* not known: no limit */
	assert_int_equal(machine_pids_allocatable(0), 0);
	assert_true(machine_pids() > 0);
}

static void test_image_names(void **state)
{
	static const char *const good[][2] = {
		{ "nginx", "docker.io/library/nginx:latest" },
		{ "nginx:1.2", "docker.io/library/nginx:1.2" },
		{ "a/b", "docker.io/a/b:latest" },
		{ "localhost/x", "localhost/x:latest" },
		{ "reg:5000/x/y:t", "reg:5000/x/y:t" },
		{ "Reg/x", "Reg/x:latest" },
		{ "[2001:db8::1]:5000/x", "[2001:db8::1]:5000/x:latest" },
		{ "a__b/c---d.e_f", "docker.io/a__b/c---d.e_f:latest" },
		{ "index.docker.io/library/x:1", "docker.io/library/x:1" },
		{ "r.io/x@sha256:0000000000000000000000000000000000000000000000000000000000000000",
		  "r.io/x@sha256:0000000000000000000000000000000000000000000000000000000000000000" },
	};
	static const char *const bad[] = {
		"",
		"UPPER",
		"a b",
		"x:",
		"x@sha256:1",
		"/x",
		"x/",
		"x:-t",
		"r.io/",
		"a//b",
		" x ",
		"a..b",
		"a___b",
		"-a",
		"a-",
		"_/x",
		":5/x",
		"r.io:p/x",
		"-r.io/x",
		"0123456789012345678901234567890123456789012345678901234567890123",
		"repo.example/<project>/app",
		"r.io/x@sha256:00000000000000000000000000000000000000000000000000000000000000zz",
	};
	struct sv s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		OK(image_normalize(&A, sv_from(good[i][0]), &s, &e_));
		assert_sv(s, good[i][1]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (image_normalize(&A, sv_from(bad[i]), &s, NULL) == 0)
			fail_msg("'%s' is no image name", bad[i]);
	assert_true(image_is_latest(SV("docker.io/library/x:latest")));
	assert_false(image_is_latest(SV("docker.io/library/x:1")));
}

static int done(void **state)
{
	(void)state;
	arena_release(&A);
	return 0;
}

/* Many small items that each name the same large key: refused before it is in memory as often. */
static void test_volume_of_one_key_often(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	static char megabyte[1024 * 1024];
	struct volume v = { .a = &A };
	struct file_list l = { 0 };
	size_t n = 0;

	(void)state;
	while (n < 1000 && volume_file_add(&v, &l, SV("p"), sv_make(megabyte, sizeof(megabyte)), 0644, &err) == 0)
		n++;
	assert_int_equal(n, VOLUME_FILES_MAX / sizeof(megabyte));
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	assert_string_equal(
	    err_msg(&err),
	    "its files are more than 256 MiB together, the most that a volume of this kind may hold: name each "
	    "key once, or move some into a volume of their own");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_volume_of_one_key_often),
		cmocka_unit_test(test_log_lines),
		cmocka_unit_test(test_log_reader),
		cmocka_unit_test(test_expand),
		cmocka_unit_test(test_expand_bomb),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_service_variables),
		cmocka_unit_test(test_env_sources),
		cmocka_unit_test(test_env_file),
		cmocka_unit_test(test_env_file_reading),
		cmocka_unit_test(test_pod_level),
		cmocka_unit_test(test_field_refs),
		cmocka_unit_test(test_atomic_writer),
		cmocka_unit_test(test_subpath_stays_inside),
		cmocka_unit_test(test_hosts_file),
		cmocka_unit_test(test_configurations),
		cmocka_unit_test(test_image_archive),
		cmocka_unit_test(test_bridge_results),
		cmocka_unit_test(test_bridge_pod_end),
		cmocka_unit_test(test_pids),
		cmocka_unit_test(test_image_names),
	};

	return cmocka_run_group_tests(tests, NULL, done);
}
