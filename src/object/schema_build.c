/* Types at run time. Each object with properties becomes a struct schema, anything that has no name in enum
 * field_kind a value of any form. Depth is that of a decoded document, so this may recurse along it. */
#include "object/schema_build.h"

#include "base/buf.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>

void schema_package(struct buf *b, struct sv group)
{
	struct sv rest = group;

	for (ssize_t dot; rest.n; rest = sv_sub(rest, 0, dot < 0 ? 0 : (size_t)dot)) {
		for (dot = (ssize_t)rest.n - 1; dot >= 0 && rest.p[dot] != '.'; dot--)
			;
		if (rest.n != group.n)
			buf_addc(b, '.');
		buf_addsv(b, sv_sub(rest, (size_t)(dot + 1), rest.n));
	}
}

static const struct schema *build_struct(struct schema_maker *m, const struct val *o, const char *name);

/* A typed kind reads what has unknown members as a value of any form. A custom kind reads by another schema
 * (structural.h): fields are there to tell whose they are, known ones beside unknown ones. */
static bool build_any_form(const struct schema_maker *m, const struct val *o)
{
	return val_type(o) != VAL_MAP || (!m->custom && (val_get_bool(o, F_x_kubernetes_preserve_unknown_fields) ||
							 val_get_bool(o, F_x_kubernetes_embedded_resource)));
}

static enum field_kind build_scalar(const struct val *o)
{
	struct sv type = val_get_str(o, F_type), format = val_get_str(o, F_format);

	if (val_get_bool(o, F_x_kubernetes_int_or_string))
		return FIELD_INT_OR_STRING;
	if (sv_is(type, "integer"))
		return sv_is(format, "int32") ? FIELD_INT32 : FIELD_INT64;
	if (sv_is(type, "number"))
		return FIELD_FLOAT64;
	if (sv_is(type, "boolean"))
		return FIELD_BOOL;
	return sv_is(type, "string") ? FIELD_STRING : FIELD_RAW;
}

static bool build_has_fields(const struct schema_maker *m, const struct val *o)
{
	if (build_any_form(m, o) || (!m->custom && !val_is(val_member(o, F_type), "object")))
		return false;
	return val_len(val_member(o, F_properties)) || val_get_bool(o, F_x_kubernetes_embedded_resource);
}

static void build_raw(struct field *f)
{
	f->kind = FIELD_RAW;
	f->card = CARD_ONE;
	f->topology = TOPO_DEFAULT;
	f->elem_topology = TOPO_GRANULAR;
	f->list_keys = NULL;
}

/* The kind of one value: of the field itself or of each element. False: it is of any form. */
static bool build_value(struct schema_maker *m, struct field *f, const struct val *o, const char *name)
{
	if (build_any_form(m, o))
		return false;
	if (build_has_fields(m, o)) {
		f->kind = FIELD_STRUCT;
		f->type = build_struct(m, o, name);
		if (f->type && f->type->atomic)
			f->elem_topology = TOPO_ATOMIC;
		return true;
	}
	f->kind = (uint8_t)build_scalar(o);
	return f->kind != FIELD_RAW;
}

static const enum sym *build_keys(struct schema_maker *m, const struct val *list)
{
	enum sym *keys = ARENA_ARRAY(m->a, enum sym, val_len(list) + 1);
	size_t n = 0;

	VAL_EACH(list, k) {
		keys[n] = sym_names_add(m->names, val_str(k));
		if (keys[n] == SYM_NONE)
			return NULL;
		n++;
	}
	return n ? keys : NULL;
}

static void build_list(struct schema_maker *m, struct field *f, const struct val *o, const char *name)
{
	struct sv how = val_get_str(o, F_x_kubernetes_list_type);

	f->card = CARD_LIST;
	if (!build_value(m, f, val_member(o, F_items), name)) {
		build_raw(f);
		return;
	}
	if (sv_is(how, "set"))
		f->topology = TOPO_SET;
	else if (sv_is(how, "map") && f->kind == FIELD_STRUCT)
		f->list_keys = build_keys(m, val_member(o, F_x_kubernetes_list_map_keys));
	else
		f->topology = TOPO_ATOMIC;
	if (f->list_keys)
		f->topology = TOPO_MAP;
}

static void build_map(struct schema_maker *m, struct field *f, const struct val *o, const char *name)
{
	f->card = CARD_MAP;
	if (!build_value(m, f, val_member(o, F_additionalProperties), name))
		build_raw(f);
	else if (val_is(val_member(o, F_x_kubernetes_map_type), "atomic"))
		f->topology = TOPO_ATOMIC;
}

static const char *const *build_enum(struct schema_maker *m, const struct val *list)
{
	const char **values = ARENA_ARRAY(m->a, const char *, val_len(list) + 1);
	size_t n = 0;

	VAL_EACH(list, v) {
		if (v->type != VAL_STR)
			return NULL;
		values[n++] = arena_cstr(m->a, val_str(v));
	}
	return n ? values : NULL;
}

static const char *build_default(struct schema_maker *m, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!v || v->type == VAL_NULL)
		return NULL;
	json_encode(&b, v);
	return arena_cstr(m->a, buf_sv(&b));
}

static int build_field(struct schema_maker *m, struct field *f, struct sv key, const struct val *o, const char *in)
{
	/* Only errors show it. Cut, as every level below repeats it. */
	char name[200];

	snprintf(name, sizeof(name), "%.128s_%.*s", in, (int)MIN(key.n, 64), key.p);
	*f = (struct field){ .sym = sym_names_add(m->names, key), .flags = FF_POINTER | FF_OMITEMPTY };
	if (f->sym == SYM_NONE)
		return err_set(m->err, key.n ? ERR_UNAVAILABLE : ERR_BAD_REQUEST,
			       key.n ? "too many different names of fields are in use: remove kinds that are not needed"
				     : "a property of %s has no name",
			       in);
	if (val_is(val_member(o, F_type), "array") && !build_any_form(m, o))
		build_list(m, f, o, name);
	else if (val_type(val_member(o, F_additionalProperties)) == VAL_MAP && !build_any_form(m, o))
		build_map(m, f, o, name);
	else if (!build_value(m, f, o, name))
		build_raw(f);
	if (f->kind == FIELD_RAW && m->custom && val_is(val_member(o, F_x_kubernetes_map_type), "atomic"))
		f->elem_topology = TOPO_ATOMIC;
	if (f->kind == FIELD_STRUCT && !f->type)
		return -1;
	if (f->kind == FIELD_STRING && f->card == CARD_ONE)
		f->enum_values = build_enum(m, val_member(o, F_enum));
	if (f->enum_values)
		f->flags |= FF_ENUM;
	f->json_default = build_default(m, val_member(o, F_default));
	return 0;
}

static int by_sym_cmp(const void *x, const void *y, void *fields)
{
	const struct field *f = fields;
	enum sym a = f[*(const uint16_t *)x].sym, b = f[*(const uint16_t *)y].sym;

	return a < b ? -1 : a > b;
}

static int by_text_cmp(const void *x, const void *y, void *fields)
{
	const struct field *f = fields;

	return sv_cmp(sym_name(f[*(const uint16_t *)x].sym), sym_name(f[*(const uint16_t *)y].sym));
}

static void build_indexes(struct schema_maker *m, struct schema *s)
{
	uint16_t *by_sym = ARENA_ARRAY(m->a, uint16_t, s->n_fields + 1u);
	uint16_t *by_text = ARENA_ARRAY(m->a, uint16_t, s->n_fields + 1u);

	for (uint16_t i = 0; i < s->n_fields; i++) {
		by_sym[i] = i;
		if (sym_owned(s->fields[i].sym))
			by_text[s->n_by_text++] = i;
	}
	qsort_r(by_sym, s->n_fields, sizeof(*by_sym), by_sym_cmp, (void *)(uintptr_t)s->fields);
	qsort_r(by_text, s->n_by_text, sizeof(*by_text), by_text_cmp, (void *)(uintptr_t)s->fields);
	s->by_sym = by_sym;
	s->by_text = by_text;
}

static void build_required(const struct schema *s, const struct val *o)
{
	VAL_EACH(val_member(o, F_required), r) {
		struct field *f = (struct field *)schema_field_named(s, val_str(r));

		if (f)
			f->flags |= FF_REQUIRED;
	}
}

static void build_names(struct schema_maker *m, const char *name, const char **ref, const char **openapi)
{
	_cleanup_(buf_release) struct buf package = BUF_INIT;

	schema_package(&package, sv_from(m->group));
	*ref = arena_printf(m->a, "%s/%s.%s", m->group, m->version, name);
	*openapi = arena_printf(m->a, "%s.%s.%s", buf_cstr(&package), m->version, name);
}

/* fields has room behind the first n for the properties; those n are what every object has. */
static struct schema *build_type(struct schema_maker *m, const struct val *o, struct field *fields, size_t n,
				 const char *name, bool root)
{
	struct schema *s = ARENA_NEW(m->a, struct schema);
	const char *ref = m->ref, *openapi = m->openapi;
	bool open = m->open, given = n > 0;

	/* Once unknown members are kept, they are in all that is below. */
	m->open |= m->custom && val_get_bool(o, F_x_kubernetes_preserve_unknown_fields);
	VAL_EACH_MEMBER(val_member(o, F_properties), p) {
		if (given && (p.sym == F_kind || p.sym == F_apiVersion || p.sym == F_metadata))
			continue;
		if (build_field(m, &fields[n++], p.key, p.value, name) < 0)
			return NULL;
	}
	/* Nobody asks for the names of types within a custom kind, which are as long as the way to them. */
	if (!root && !m->custom)
		build_names(m, name, &ref, &openapi);
	*s = (struct schema){ .ref = ref,
			      .openapi = openapi,
			      .fields = fields,
			      .n_fields = (uint16_t)n,
			      .root = root,
			      .atomic = val_is(val_member(o, F_x_kubernetes_map_type), "atomic"),
			      .open = m->open,
			      .late = true,
			      .custom = root ? m->custom : NULL };
	m->open = open;
	for (size_t i = 0; i < n; i++)
		s->defaults |= fields[i].json_default || (fields[i].type && fields[i].type->defaults);
	build_indexes(m, s);
	build_required(s, o);
	return s;
}

static struct field *build_room(struct schema_maker *m, const struct val *o, size_t more, const char *name)
{
	size_t n = val_len(val_member(o, F_properties)) + more;

	if (n <= UINT16_MAX)
		return ARENA_ARRAY(m->a, struct field, n);
	err_set(m->err, ERR_BAD_REQUEST, "%s has more than %u properties", name, UINT16_MAX);
	return NULL;
}

/* Kind, apiVersion and metadata, as every object has them. Returns how many. */
static size_t build_every(struct field *fields)
{
	static const enum sym every[] = { F_kind, F_apiVersion, F_metadata };
	const struct schema *like = RES(core_configmaps)->schema;

	for (size_t i = 0; i < ARRAY_LEN(every); i++)
		fields[i] = *schema_field(like, every[i]);
	return ARRAY_LEN(every);
}

#define EVERY 3

static const struct schema *build_struct(struct schema_maker *m, const struct val *o, const char *name)
{
	bool embedded = m->custom && val_get_bool(o, F_x_kubernetes_embedded_resource);
	struct field *fields = build_room(m, o, embedded ? EVERY : 0, name);

	return fields ? build_type(m, o, fields, embedded ? build_every(fields) : 0, name, false) : NULL;
}

const struct schema *schema_build(struct schema_maker *m, const struct val *openapi)
{
	static const enum sym any[] = { F_spec, F_status };
	struct field *fields = build_room(m, openapi, EVERY + ARRAY_LEN(any), m->kind);
	size_t n;

	if (!fields)
		return NULL;
	n = build_every(fields);
	for (size_t i = 0; !openapi && i < ARRAY_LEN(any); i++) {
		fields[n] = (struct field){ .sym = any[i], .flags = FF_POINTER | FF_OMITEMPTY };
		build_raw(&fields[n++]);
	}
	build_names(m, m->kind, &m->ref, &m->openapi);
	return build_type(m, openapi, fields, n, m->kind, true);
}
