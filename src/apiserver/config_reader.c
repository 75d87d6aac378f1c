/* Reading configurations that people write. */
#include "apiserver/config_reader.h"
#include "base/budget.h"
#include "base/file.h"
#include "codec/yaml.h"

#define WRONG_SHOWN_MAX 100		/* errors that are told */
#define CONF_FILE_MAX ((size_t)1 << 20) /* bytes */

void conf_release(struct conf *c)
{
	buf_release(&c->wrong);
}

int conf_end(struct conf *c, struct err *err)
{
	if (!c->n)
		return 0;
	return err_set(err, ERR_INVALID, "%s%.*s%s", c->n > 1 ? "[" : "", SV_ARG(buf_sv(&c->wrong)),
		       c->n > 1 ? "]" : "");
}

void conf_wrong(struct conf *c, struct sv path, const char *fmt, ...)
{
	va_list ap;

	if (c->n++ >= WRONG_SHOWN_MAX)
		return;
	if (c->n > 1)
		buf_adds(&c->wrong, ", ");
	buf_printf(&c->wrong, "%.*s: ", SV_ARG(path));
	va_start(ap, fmt);
	buf_vprintf(&c->wrong, fmt, ap);
	va_end(ap);
}

void conf_invalid(struct conf *c, struct sv path, struct sv value, const char *why)
{
	conf_wrong(c, path, "Invalid value: \"%.*s\": %s", SV_ARG(value), why);
}

struct sv conf_at(struct conf *c, struct sv path, const char *member)
{
	return arena_svf(c->a, "%.*s%s%s", SV_ARG(path), path.n ? "." : "", member);
}

struct sv conf_item(struct conf *c, struct sv path, size_t i)
{
	return arena_svf(c->a, "%.*s[%zu]", SV_ARG(path), i);
}

const struct val *conf_member(const struct val *v, const char *name)
{
	const struct val *m = val_member_sv(v, sv_from(name));

	return val_type(m) == VAL_NULL ? NULL : m;
}

static bool conf_is(char letter, enum val_type type)
{
	return type == VAL_NULL || (letter == 's' && type == VAL_STR) || (letter == 'b' && type == VAL_BOOL) ||
	       (letter == 'm' && type == VAL_MAP) || (letter == 'l' && type == VAL_LIST);
}

void conf_shape(struct conf *c, const struct val *v, struct sv path, const char *const *members)
{
	if (!v || val_type(v) == VAL_NULL)
		return;
	if (val_type(v) != VAL_MAP) {
		conf_wrong(c, path, "Invalid value: must be an object");
		return;
	}
	VAL_EACH_MEMBER(v, it) {
		const char *const *m = members;

		while (*m && !sv_is(it.key, *m + 1))
			m++;
		if (!*m)
			conf_wrong(c, path.n ? path : sv_from(c->kind), "strict decoding error: unknown field \"%.*s\"",
				   SV_ARG(it.key));
		else if (!conf_is(**m, val_type(it.value)))
			conf_wrong(c, conf_at(c, path, *m + 1), "Invalid value: it is of type %s",
				   val_type_name(val_type(it.value)));
	}
}

struct sv conf_text(struct conf *c, const struct val *v, const char *name)
{
	return arena_sv(c->a, val_str(conf_member(v, name)));
}

struct cel_program *conf_compile(struct conf *c, struct sv path, const struct cel_env *env, struct sv text, bool rule)
{
	struct cel_issues issues = CEL_ISSUES(c->a);
	struct cel_program *p;

	if (text.n > CEL_TEXT_MAX) {
		conf_wrong(c, path, "Too long: may not be more than %d bytes", CEL_TEXT_MAX);
		return NULL;
	}
	p = cel_compile(env, text, &issues);
	if (!p)
		conf_wrong(c, path, "Invalid value: \"%.*s\": compilation failed: %.*s", SV_ARG(text),
			   SV_ARG(cel_issues_text(c->a, &issues, text)));
	else if (rule && cel_program_kind(p) != CEL_BOOL)
		conf_invalid(c, path, text, "must evaluate to bool");
	return p;
}

const struct val *conf_file(struct arena *a, const char *path, const char *kind, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc;
	struct sv text;

	if (file_read(a, path, CONF_FILE_MAX, &text, err) < 0)
		return NULL;
	doc = yaml_decode_opts(a, text, &(struct yaml_opts){ .values = &values, .alone = true }, err);
	if (doc && !val_is(val_get(doc, F_kind), kind)) {
		err_set(err, ERR_INVALID, "it is no %s", kind);
		doc = NULL;
	}
	if (!doc)
		err_wrap(err, "'%s'", path);
	return doc;
}

const struct val *conf_document(struct conf *c, struct arena *a, struct sv text, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	const struct val *doc = yaml_decode_opts(a, text, &(struct yaml_opts){ .values = &values, .alone = true }, err);

	if (!doc)
		return NULL;
	if (val_is(conf_member(doc, "kind"), c->kind) &&
	    (val_is(conf_member(doc, "apiVersion"), "apiserver.config.k8s.io/v1") ||
	     val_is(conf_member(doc, "apiVersion"), "apiserver.config.k8s.io/v1beta1")))
		return doc;
	err_set(err, ERR_INVALID,
		"no kind \"%.*s\" is registered for version \"%.*s\": it must be an %s of apiserver.config.k8s.io/v1",
		SV_ARG(val_str(conf_member(doc, "kind"))), SV_ARG(val_str(conf_member(doc, "apiVersion"))), c->kind);
	return NULL;
}
