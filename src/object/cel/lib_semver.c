#include "object/cel/lib-internal.h"
#include "object/cel/lib_semver.h"

static bool lib_semver_equal(const void *a, const void *b)
{
	return semver_cmp(a, b) == 0;
}

static const struct cel_opaque lib_semver_type = {
	.type = { .kind = CEL_OPAQUE, .name = { "kubernetes.Semver", 17 }, .opaque = &lib_semver_type },
	.equal = lib_semver_equal,
};
const struct cel_type *const cel_t_semver = &lib_semver_type.type;

struct cel_value cel_semver(struct arena *a, const struct semver *v)
{
	struct semver *p = ARENA_NEW(a, struct semver);

	*p = *v;
	return cel_opaque(&lib_semver_type, p);
}

static bool lib_semver_read(struct arena *a, const struct cel_value *args, size_t n, struct semver *ret,
			    struct err *err)
{
	struct sv s = cel_text(&args[0]);

	return n > 1 && args[1].b ? semver_parse_loosely(a, s, ret, err) : semver_parse(s, ret, err);
}

static int lib_semver_parse(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct semver v;

	if (!lib_semver_read(c->arena, args, n, &v, &err))
		return cel_fail(c, "%s", err_msg(&err));
	*ret = cel_semver(c->arena, &v);
	return 0;
}

static int lib_semver_is(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct semver v;

	*ret = cel_bool(lib_semver_read(c->arena, args, n, &v, NULL));
	return 0;
}

static int lib_semver_greater(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_bool(semver_cmp(args[0].p, args[1].p) > 0);
	return 0;
}

static int lib_semver_less(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_bool(semver_cmp(args[0].p, args[1].p) < 0);
	return 0;
}

static int lib_semver_compare(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_int(semver_cmp(args[0].p, args[1].p));
	return 0;
}

static int lib_semver_major(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_int((int64_t)((const struct semver *)args[0].p)->major);
	return 0;
}

static int lib_semver_minor(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_int((int64_t)((const struct semver *)args[0].p)->minor);
	return 0;
}

static int lib_semver_patch(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c;
	(void)n;
	*ret = cel_int((int64_t)((const struct semver *)args[0].p)->patch);
	return 0;
}

#define SEMVER "kubernetes.Semver"

static const struct cel_func semver_funcs[] = {
	{ "semver", "(string) " SEMVER, CEL_V(1, 33), lib_semver_parse, cel_cost_str0, lib_est_read },
	{ "semver", "(string, bool) " SEMVER, CEL_V(1, 33), lib_semver_parse, cel_cost_str0, lib_est_read },
	{ "isSemver", "(string) bool", CEL_V(1, 33), lib_semver_is, cel_cost_str0, lib_est_read },
	{ "isSemver", "(string, bool) bool", CEL_V(1, 33), lib_semver_is, cel_cost_str0, lib_est_read },
	{ "isGreaterThan", SEMVER ".(" SEMVER ") bool", CEL_V(1, 33), lib_semver_greater, NULL, NULL },
	{ "isLessThan", SEMVER ".(" SEMVER ") bool", CEL_V(1, 33), lib_semver_less, NULL, NULL },
	{ "compareTo", SEMVER ".(" SEMVER ") int", CEL_V(1, 33), lib_semver_compare, NULL, NULL },
	{ "major", SEMVER ".() int", CEL_V(1, 33), lib_semver_major, NULL, NULL },
	{ "minor", SEMVER ".() int", CEL_V(1, 33), lib_semver_minor, NULL, NULL },
	{ "patch", SEMVER ".() int", CEL_V(1, 33), lib_semver_patch, NULL, NULL },
};
const struct cel_lib cel_lib_semver = {
	"kubernetes.Semver", semver_funcs, ARRAY_LEN(semver_funcs), { &lib_semver_type }
};
