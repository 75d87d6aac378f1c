/* format.dns1123Label().validate(name): what a name may be, with the words of the API's own validation. */
#include "object/cel/lib-internal.h"

#include "object/oas_format.h"
#include "object/url.h"
#include "object/validate.h"

struct lib_format {
	const char *name;	   /* as expressions write it */
	const char *shown;	   /* as messages do */
	unsigned pattern;	   /* length of the expression that upstream pays for */
	fmt_fn *fmt;		   /* a name's; or NULL */
	bool prefix;		   /* a name is made of it: a dash at its end is fine */
	const char *oas, *refusal; /* a format of schemas, and the words when it is not; or NULL */
};

static const struct lib_format named_formats[] = {
	{ "dns1123Label", "DNS1123Label", 30, fmt_dns_label, false, NULL, NULL },
	{ "dns1123Subdomain", "DNS1123Subdomain", 60, fmt_dns_subdomain, false, NULL, NULL },
	{ "dns1035Label", "DNS1035Label", 30, fmt_dns1035_label, false, NULL, NULL },
	{ "qualifiedName", "QualifiedName", 60, fmt_qualified_name, false, NULL, NULL },
	{ "dns1123LabelPrefix", "DNS1123LabelPrefix", 30, fmt_dns_label, true, NULL, NULL },
	{ "dns1123SubdomainPrefix", "DNS1123SubdomainPrefix", 60, fmt_dns_subdomain, true, NULL, NULL },
	{ "dns1035LabelPrefix", "DNS1035LabelPrefix", 30, fmt_dns1035_label, true, NULL, NULL },
	{ "labelValue", "LabelValue", 40, fmt_label_value, false, NULL, NULL },
	{ "uri", "URI", 1103, NULL, false, NULL, NULL },
	{ "uuid", "uuid", 70, NULL, false, "uuid", "does not match the UUID format" },
	{ "byte", "byte", 84, NULL, false, "byte", "invalid base64" },
	{ "date", "date", 71, NULL, false, "date", "invalid date" },
	{ "datetime", "datetime", 71, NULL, false, "datetime", "invalid datetime" },
};

static struct sv named_format_text(struct arena *a, const void *p)
{
	(void)a;
	return sv_from(((const struct lib_format *)p)->shown);
}

static bool named_format_equal(const void *a, const void *b)
{
	return a == b;
}

static const struct cel_opaque named_format_type = {
	.type = { .kind = CEL_OPAQUE, .name = { "kubernetes.NamedFormat", 22 }, .opaque = &named_format_type },
	.equal = named_format_equal,
	.text = named_format_text,
};

static int named_format_find(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = cel_none();
	for (size_t i = 0; i < ARRAY_LEN(named_formats); i++)
		if (sv_is(cel_text(&args[0]), named_formats[i].name))
			*ret = cel_some(c->arena, cel_opaque(&named_format_type, &named_formats[i]));
	return 0;
}

#define NAMED_FORMAT(index)                                                                         \
	static int named_format_##index(struct cel_call *c, const struct cel_value *args, size_t n, \
					struct cel_value *ret)                                      \
	{                                                                                           \
		(void)c;                                                                            \
		(void)args;                                                                         \
		(void)n;                                                                            \
		*ret = cel_opaque(&named_format_type, &named_formats[index]);                       \
		return 0;                                                                           \
	}
NAMED_FORMAT(0)
NAMED_FORMAT(1)
NAMED_FORMAT(2)
NAMED_FORMAT(3)
NAMED_FORMAT(4)
NAMED_FORMAT(5)
NAMED_FORMAT(6)
NAMED_FORMAT(7)
NAMED_FORMAT(8)
NAMED_FORMAT(9)
NAMED_FORMAT(10)
NAMED_FORMAT(11)
NAMED_FORMAT(12)

/* What is against s; how many. Texts live in the arena, or are constant. */
static size_t named_format_judge(struct arena *a, const struct lib_format *f, struct sv s, struct sv ret[FMT_MSGS_MAX])
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const char *msgs[FMT_MSGS_MAX];
	struct url u;
	size_t n;

	if (f->fmt) {
		/* Upstream puts a letter for the last two characters. */
		if (f->prefix && s.n > 1 && s.p[s.n - 1] == '-')
			s = arena_svf(a, "%.*sa", SV_ARG(sv_sub(s, 0, s.n - 2)));
		n = fmt_all(f->fmt, s, msgs);
		for (size_t i = 0; i < n; i++)
			ret[i] = sv_from(msgs[i]);
		return n;
	}
	if (f->oas) {
		ret[0] = sv_from(f->refusal);
		return !oas_format_valid(oas_format_find(sv_from(f->oas)), s);
	}
	if (url_parse_request(a, s, &u, &err))
		return 0;
	ret[0] = arena_sv(a, sv_from(err_msg(&err)));
	return 1;
}

static int named_format_validate(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv msgs[FMT_MSGS_MAX];

	n = named_format_judge(c->arena, args[0].p, cel_text(&args[1]), msgs);
	*ret = n ? cel_some(c->arena, lib_strings(c->arena, msgs, n)) : cel_none();
	return 0;
}

static uint64_t named_format_cost(struct cel_call *c, const struct cel_value *args, size_t n,
				  const struct cel_value *ret)
{
	(void)c;
	(void)n;
	(void)ret;
	return cel_regex_cost(cel_size(&args[1]), ((const struct lib_format *)args[0].p)->pattern);
}

static void named_format_est(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->cost = cel_range_factor(cel_range_factor(args[1].size, 0.1), LIB_PATTERN_MAX * 0.25);
}

#define FORMAT "kubernetes.NamedFormat"
#define NAMED_FORMAT_FUNC(index, name)                                                       \
	{                                                                                    \
		"format." name, "() " FORMAT, CEL_V(1, 31), named_format_##index, NULL, NULL \
	}

static const struct cel_func named_format_funcs[] = {
	NAMED_FORMAT_FUNC(0, "dns1123Label"),
	NAMED_FORMAT_FUNC(1, "dns1123Subdomain"),
	NAMED_FORMAT_FUNC(2, "dns1035Label"),
	NAMED_FORMAT_FUNC(3, "qualifiedName"),
	NAMED_FORMAT_FUNC(4, "dns1123LabelPrefix"),
	NAMED_FORMAT_FUNC(5, "dns1123SubdomainPrefix"),
	NAMED_FORMAT_FUNC(6, "dns1035LabelPrefix"),
	NAMED_FORMAT_FUNC(7, "labelValue"),
	NAMED_FORMAT_FUNC(8, "uri"),
	NAMED_FORMAT_FUNC(9, "uuid"),
	NAMED_FORMAT_FUNC(10, "byte"),
	NAMED_FORMAT_FUNC(11, "date"),
	NAMED_FORMAT_FUNC(12, "datetime"),
	{ "format.named", "(string) optional<" FORMAT ">", CEL_V(1, 31), named_format_find, NULL, NULL },
	{ "validate", FORMAT ".(string) optional<list<string>>", CEL_V(1, 31), named_format_validate, named_format_cost,
	  named_format_est },
};
const struct cel_lib cel_lib_format = {
	"kubernetes.format", named_format_funcs, ARRAY_LEN(named_format_funcs), { &named_format_type }
};
