/* Flags from a table: what the command line says, else the environment, else the configuration file, else the default.
 */
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/upstream_flags.h"
#include "codec/doc.h"
#include "codec/yaml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CONFIG_MAX ((size_t)1 << 20)

void string_list_release(struct string_list *l)
{
	vec_release(&l->list);
}

void string_list_join(struct buf *b, const struct string_list *l)
{
	for (const char *const *s = l->list.p; s && *s; s++) {
		if (b->n)
			buf_addc(b, ',');
		buf_adds(b, *s);
	}
}

/* k3s says etcd for its store where we say nothing. */
static struct sv options_of_k3s(struct sv name)
{
	if (sv_is(name, "etcd-disable-snapshots"))
		return SV("disable-snapshots");
	if (sv_starts(name, SV("etcd-snapshot-")) || sv_starts(name, SV("etcd-s3")))
		return sv_sub(name, 5, name.n);
	return SV("");
}

static const struct option *options_find(const struct option *table, size_t n, struct sv name)
{
	struct sv other = options_of_k3s(name);

	for (size_t i = 0; i < n; i++)
		if (sv_is(name, table[i].name) || sv_is(other, table[i].name))
			return &table[i];
	return NULL;
}

static const struct option *find_letter(const struct option *table, size_t n, char letter)
{
	for (size_t i = 0; i < n; i++)
		if (table[i].letter && table[i].letter == letter)
			return &table[i];
	return NULL;
}

static int options_set(struct arena *a, const struct option *o, struct sv value, struct err *err)
{
	int64_t v;

	switch (o->kind) {
	case OPT_BOOL:
		if (sv_is(value, "true") || sv_is(value, "1"))
			*(bool *)o->value = true;
		else if (sv_is(value, "false") || sv_is(value, "0"))
			*(bool *)o->value = false;
		else
			return err_set(err, ERR_INVALID, "--%s is true or false, not '%.*s'", o->name, SV_ARG(value));
		return 0;
	case OPT_STRING:
		*(const char **)o->value = arena_cstr(a, value);
		return 0;
	case OPT_INT:
		if (!sv_to_i64(value, &v) || v < INT32_MIN || v > INT32_MAX)
			return err_set(err, ERR_INVALID, "--%s takes a number, not '%.*s'", o->name, SV_ARG(value));
		*(int *)o->value = (int)v;
		return 0;
	case OPT_LIST: {
		struct string_list *l = o->value;
		struct sv rest = value, item;

		while (sv_split(&rest, ',', &item))
			if (item.n)
				vec_push(&l->list, arena_cstr(a, item));
		return 0;
	}
	case OPT_ARGS:
		if (value.n)
			vec_push(&((struct string_list *)o->value)->list, arena_cstr(a, value));
		return 0;
	}
	return 0;
}

static struct sv scalar_text(struct arena *a, const struct val *v)
{
	if (val_type(v) == VAL_BOOL)
		return val_bool(v) ? SV("true") : SV("false");
	if (val_type(v) == VAL_INT)
		return arena_svf(a, "%" PRId64, val_int_or(v, 0));
	return val_str(v);
}

/* Letters to put in, leave out or change to make the one of the other; of names that no flag has, too many. */
#define MISTYPED_MAX 2
static size_t options_distance(struct sv a, struct sv b)
{
	size_t row[64];

	if (a.n >= ARRAY_LEN(row) || b.n >= ARRAY_LEN(row))
		return MISTYPED_MAX + 1;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t before = row[0]; /* of the row above, one to the left */

		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t above = row[j];

			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, before + (a.p[i - 1] != b.p[j - 1]));
			before = above;
		}
	}
	return row[b.n];
}

/* A name that is none; what was written, and more that is said when nobody knows it. */
static int options_unknown(const struct option *table, size_t n, struct sv name, const char *what, const char *more,
			   struct err *err)
{
	const char *instead = k3s_flag_instead(name), *near = NULL;
	size_t best = MISTYPED_MAX + 1;

	if (instead)
		return err_set(err, ERR_INVALID, "--%.*s is not taken: %s", SV_ARG(name), instead);
	for (size_t i = 0; i < n; i++) {
		size_t d = options_distance(name, sv_from(table[i].name));

		if (d < best && d * 3 <= name.n) {
			best = d;
			near = table[i].name;
		}
	}
	return err_set(err, ERR_INVALID, "%s%s%s%s%s", what, near ? ": did you mean '" : "", near ? near : "",
		       near ? "'?" : "", more);
}

/* A flag of upstream's that is no option of ours. */
static int options_upstream(const struct upstream_flag *f, struct sv value, struct err *err)
{
	if (f->how == UPSTREAM_REFUSED)
		return err_set(err, ERR_INVALID, "--%s is not taken: %s", f->name, f->why);
	if (f->how == UPSTREAM_LACKS)
		return err_set(err, ERR_INVALID, "--%s is an option of 'caravel server' alone: %s", f->name, f->why);
	/* Of lists upstream has KEY=VALUE for some: kube=1.37. */
	if (f->how == UPSTREAM_ONLY && !sv_is(value, f->only) &&
	    !(sv_starts(value, SV("kube=")) && sv_is(sv_sub(value, 5, value.n), f->only)))
		return err_set(err, ERR_INVALID, "--%s is '%s' here and cannot be '%.*s': %s", f->name, f->only,
			       SV_ARG(value), f->why);
	if (f->how == UPSTREAM_NO_MEANING)
		log_kv(LVL_WARN, "options", "a flag changes nothing here", "flag", f->name, "because", f->why, NULL);
	return 0;
}

static const struct upstream_flag *options_upstream_of(const char *command, struct sv name)
{
	return strcmp(command, "server") == 0 || strstr(command, "kube-apiserver") ? upstream_flag_find(name) : NULL;
}

static int from_file(const char *command, struct arena *a, const struct option *table, size_t n, const char *path,
		     bool required, struct err *err)
{
	struct err why = ERR_INIT;
	struct sv text;
	struct val *doc;

	if (file_read_once(a, path, CONFIG_MAX, &text, &why) < 0) {
		if (!required && why.errnum == ENOENT) {
			err_release(&why);
			return 0;
		}
		return err_move(err, &why);
	}
	doc = yaml_decode_opts(a, text, &(struct yaml_opts){ .alone = true }, err);
	if (!doc)
		return err_wrap(err, "reading '%s'", path);
	VAL_EACH_MEMBER(doc, m) {
		const struct option *o = options_find(table, n, m.key);
		const struct upstream_flag *f = o ? NULL : options_upstream_of(command, m.key);

		if (f) {
			if (options_upstream(f, scalar_text(a, m.value), err) < 0)
				return err_wrap(err, "reading '%s'", path);
			continue;
		}
		if (!o)
			return options_unknown(
			    table, n, m.key,
			    arena_printf(a, "'%s' sets '%.*s', which is no option", path, SV_ARG(m.key)), "", err);
		if (val_type(m.value) == VAL_LIST) {
			VAL_EACH(m.value, item)
				if (options_set(a, o, scalar_text(a, item), err) < 0)
					return err_wrap(err, "reading '%s'", path);
			continue;
		}

		if (options_set(a, o, scalar_text(a, m.value), err) < 0)
			return err_wrap(err, "reading '%s'", path);
	}
	return 0;
}

static int from_environment(struct arena *a, const struct option *table, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		char *name = arena_printf(a, "CARAVEL_%s", table[i].name);
		const char *value;

		for (char *c = name; *c; c++)
			*c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - ('a' - 'A')) : *c;
		value = getenv(name);
		if (value && options_set(a, &table[i], sv_from(value), err) < 0)
			return err_wrap(err, "from the environment variable %s", name);
	}
	return 0;
}

bool cli_option_secret(const struct option *o)
{
	static const char *const names[] = { "token", "new-token", "s3-secret-key", "s3-session-token" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(o->name, names[i]) == 0)
			return o->kind == OPT_STRING;
	return false;
}

/* One flag at argv[*i]; moves *i past a value that stands apart. */
static int from_flag(struct arena *a, const struct option *table, size_t n, int argc, char **argv, int *i,
		     struct err *err)
{
	struct sv arg = sv_from(argv[*i]), name, value = SV_NULL;
	const struct upstream_flag *f;
	const struct option *o;
	ssize_t eq;

	if (sv_starts(arg, SV("--"))) {
		name = sv_sub(arg, 2, arg.n);
		eq = sv_find(name, '=');
		if (eq >= 0) {
			value = sv_sub(name, (size_t)eq + 1, name.n);
			name = sv_sub(name, 0, (size_t)eq);
		}
		o = options_find(table, n, name);
	} else {
		name = sv_sub(arg, 1, 1);
		o = find_letter(table, n, name.n ? name.p[0] : '\0');
		if (arg.n > 2)
			value = sv_sub(arg, arg.p[2] == '=' ? 3 : 2, arg.n);
	}
	f = o ? NULL : options_upstream_of(argv[0], name);
	if (f) {
		if (!value.p && !f->is_switch && *i + 1 < argc)
			value = sv_from(argv[++*i]);
		else if (!value.p)
			value = SV("true");
		return options_upstream(f, value, err);
	}
	if (!o)
		return options_unknown(table, n, name, arena_printf(a, "unknown flag '%s'", argv[*i]),
				       arena_printf(a, "; 'caravel help %s' lists them", argv[0]), err);
	if (!value.p && o->kind == OPT_BOOL)
		value = SV("true");
	if (!value.p) {
		if (*i + 1 >= argc)
			return err_set(err, ERR_INVALID, "--%s needs a value: %s", o->name, o->arg);
		value = sv_from(argv[++*i]);
	}
	if (options_set(a, o, value, err) < 0)
		return -1;
	if (cli_option_secret(o)) /* set is a copy; what ps shows of this process is argv as it is from now on */
		memset(argv[*i] + (value.p - argv[*i]), 'x', value.n);
	return 0;
}

/* The file named by -c or --config on the command line, else the usual place. */
static const char *config_path(struct arena *a, int argc, char **argv, const char *usual, bool *ret_required)
{
	*ret_required = true;
	for (int i = 1; i < argc; i++) {
		struct sv arg = sv_from(argv[i]);

		if ((sv_is(arg, "-c") || sv_is(arg, "--config")) && i + 1 < argc)
			return argv[i + 1];
		if (sv_starts(arg, SV("--config=")))
			return arena_cstr(a, sv_sub(arg, 9, arg.n));
	}
	*ret_required = false;
	return usual;
}

static void print_flag(char letter, const char *name, const char *arg, const char *help)
{
	_cleanup_free_ char *flag = xasprintf("--%s%s%s", name, arg ? " " : "", arg ? arg : "");

	if (letter)
		printf("  -%c, %-34s %s\n", letter, flag, help);
	else
		printf("      %-34s %s\n", flag, help);
}

static void print_help(const struct option *table, size_t n, const char *config_file)
{
	if (config_file) {
		_cleanup_free_ char *help = xasprintf("these flags as YAML (%s, if it is there)", config_file);

		print_flag('c', "config", "FILE", help);
	}
	for (size_t i = 0; i < n; i++)
		print_flag(table[i].letter, table[i].name, table[i].arg, table[i].help);
}

/* For completion.c. */
static void print_names(const struct option *table, size_t n, const char *config_file)
{
	if (config_file)
		puts("--config");
	for (size_t i = 0; i < n; i++)
		printf("--%s\n", table[i].name);
}

const char *cli_option_text(struct arena *a, const struct option *o)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *text;

	switch (o->kind) {
	case OPT_BOOL:
		return *(bool *)o->value ? "true" : "false";
	case OPT_INT:
		return arena_printf(a, "%d", *(int *)o->value);
	case OPT_STRING:
		text = *(const char **)o->value;
		return text ? text : "";
	case OPT_LIST:
	case OPT_ARGS:
		buf_addc(&b, '[');
		for (const char *const *s = ((struct string_list *)o->value)->list.p; s && *s; s++)
			buf_printf(&b, "%s%s", b.n > 1 ? "," : "", *s);
		buf_addc(&b, ']');
		return arena_cstr(a, buf_sv(&b));
	}
	return "";
}

bool cli_asks_for_help(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

int cli_options_parse(struct arena *a, const struct option *table, size_t n, int argc, char **argv,
		      const char *config_file, struct string_list *rest, struct err *err)
{
	bool required = false;
	const char *path = config_file ? config_path(a, argc, argv, config_file, &required) : NULL;

	if (cli_asks_for_help(argc - 1, argv + 1)) {
		print_help(table, n, config_file);
		return 1;
	}
	if (argc == 2 && strcmp(argv[1], CLI_LIST_FLAGS) == 0) {
		print_names(table, n, config_file);
		return 1;
	}
	if ((path && from_file(argv[0], a, table, n, path, required, err) < 0) ||
	    from_environment(a, table, n, err) < 0)
		return -1;
	for (int i = 1; i < argc; i++) {
		if (config_file && (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0)) {
			i++;
			continue;
		}
		if (config_file && strncmp(argv[i], "--config=", 9) == 0)
			continue;
		if (argv[i][0] == '-' && argv[i][1]) {
			if (from_flag(a, table, n, argc, argv, &i, err) < 0)
				return -1;
		} else if (rest) {
			vec_push(&rest->list, argv[i]);
		} else {
			return err_set(err, ERR_INVALID,
				       "unexpected argument '%s'; 'caravel help %s' says what it takes", argv[i],
				       argv[0]);
		}
	}
	for (size_t i = 0; i < n; i++)
		if (table[i].kind == OPT_LIST || table[i].kind == OPT_ARGS) {
			struct string_list *l = table[i].value;

			vec_push(&l->list, NULL);
		}
	if (rest)
		vec_push(&rest->list, NULL);
	return 0;
}

/* They are in it in the order in which they stand in argv. */
void cli_words_hide(struct arena *a, char **argv, struct string_list *words)
{
	for (size_t i = 0; words->list.p && words->list.p[i]; i++) {
		while (*argv && *argv != words->list.p[i])
			argv++;
		words->list.p[i] = arena_cstr(a, sv_from(words->list.p[i]));
		if (*argv)
			memset(*argv, 'x', strlen(*argv));
	}
}

void cli_options_release(const struct option *table, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (table[i].kind == OPT_LIST || table[i].kind == OPT_ARGS)
			string_list_release(table[i].value);
}
