/* Lookups in the generated tables. Types are sorted by ref and a type's by_sym by symbol, so
 * both are binary searches; resources are few and told apart by their lengths almost always. */
#include "object/schema.h"

#include "codec/symbol.h"
#include "object/served.h"

#include <stdio.h>

const struct field *schema_field(const struct schema *s, enum sym name)
{
	size_t lo = 0, hi = s ? s->n_fields : 0;

	if (s && !s->by_sym) {
		for (size_t i = 0; i < hi; i++)
			if (s->fields[i].sym == name)
				return &s->fields[i];
		return NULL;
	}
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct field *f = &s->fields[s->by_sym[mid]];

		if (f->sym == name)
			return f;
		if (f->sym < name)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct field *schema_field_late(const struct schema *s, struct sv name)
{
	const struct field *f = schema_field(s, sym_find(name));
	size_t lo = 0, hi = s->n_by_text;

	while (!f && lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct field *at = &s->fields[s->by_text[mid]];
		int cmp = sv_cmp(name, sym_name(at->sym));

		if (cmp == 0)
			f = at;
		else if (cmp > 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return f;
}

const struct field *schema_field_named(const struct schema *s, struct sv name)
{
	return schema_member(s, sym_find(name), name);
}

/* The field that the member at node *at of map is, NULL when it is none; *at becomes its value's node. */
static const struct field *schema_field_at(const struct schema *s, const struct val *map, uint32_t *at)
{
	const struct val *m = &map->items[*at];
	const struct field *f;

	if (m->type == VAL_KEY) {
		++*at;
		return s->late ? schema_field_late(s, sv_make(m->s, m->n)) : NULL;
	}
	f = schema_field(s, (enum sym)m->sym);
	return f || !s->late ? f : schema_field_late(s, sym_name((enum sym)m->sym));
}

#define PLACES_MIN 32 /* nodes: fewer are searched as fast */

static const uint32_t *schema_places(struct arena *a, const struct schema *s, const struct val *map)
{
	uint32_t *places = ARENA_ARRAY(a, uint32_t, s->n_fields + 1u);

	for (uint32_t i = 0; i < map->n; i++) {
		const struct field *f = schema_field_at(s, map, &i);

		if (f)
			places[f - s->fields] = i + 1;
	}
	return places;
}

static struct in_order schema_look(const struct schema *s, const struct val *map)
{
	struct in_order it = { .map = map, .s = s, .n = val_type(map) == VAL_MAP ? map->n : 0 };
	uint32_t at = 0;

	for (size_t i = 0; at < it.n && i < s->n_fields; i++)
		at += map->items[at].sym == (uint32_t)s->fields[i].sym;
	it.ordered = at == it.n;
	return it;
}

struct in_order in_order(struct arena *a, const struct schema *s, const struct val *map)
{
	struct in_order it = schema_look(s, map);

	if (!it.ordered && it.n >= PLACES_MIN)
		it.places = schema_places(a, s, map);
	return it;
}

bool schema_slots(const struct schema *s, const struct val *map, const struct val **slots)
{
	struct in_order it = schema_look(s, map);
	bool all = true;

	if (it.ordered) {
		for (size_t i = 0; it.at < it.n; i++)
			slots[i] = in_order_next(&it, &s->fields[i]);
		return true;
	}
	for (uint32_t i = 0; i < it.n; i++) {
		const struct field *f = schema_field_at(s, map, &i);

		if (f)
			slots[f - s->fields] = &map->items[i];
		else
			all = false;
	}
	return all;
}

const struct schema *schema_find(struct sv ref)
{
	size_t lo = 0, hi = schema_count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int cmp = sv_cmp(ref, sv_from(schema_all[mid]->ref));

		if (cmp == 0)
			return schema_all[mid];
		if (cmp > 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const char *verb_name(enum verb v)
{
	static const char *const names[_VERB_MAX] = {
		[VERB_GET] = "get",	  [VERB_LIST] = "list",
		[VERB_WATCH] = "watch",	  [VERB_CREATE] = "create",
		[VERB_UPDATE] = "update", [VERB_PATCH] = "patch",
		[VERB_DELETE] = "delete", [VERB_DELETECOLLECTION] = "deletecollection",
	};

	return (unsigned)v < _VERB_MAX ? names[v] : "";
}

const struct resource *resource_find(struct sv group, struct sv version, struct sv plural)
{
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		if (sv_is(plural, r->plural) && sv_is(group, r->group) && sv_is(version, r->version) &&
		    resource_served(r))
			return r;
	}
	return NULL;
}

const struct resource *resource_find_kind(struct sv group, struct sv version, struct sv kind)
{
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *r = &resource_all[i];

		if (sv_is(kind, r->kind) && sv_is(group, r->group) && sv_is(version, r->version) && resource_served(r))
			return r;
	}
	return NULL;
}

const struct subresource *resource_subresource(const struct resource *r, struct sv name)
{
	for (size_t i = 0; r && i < r->n_subresources; i++)
		if (sv_is(name, r->subresources[i].name))
			return &r->subresources[i];
	return NULL;
}

bool api_version_split(struct sv api_version, struct sv *ret_group, struct sv *ret_version)
{
	ssize_t slash = sv_find(api_version, '/');
	struct sv version;

	if (slash < 0) {
		*ret_group = SV("");
		*ret_version = api_version;
		return api_version.n > 0;
	}
	version = sv_sub(api_version, (size_t)slash + 1, SIZE_MAX);
	if (slash == 0 || version.n == 0 || sv_find(version, '/') >= 0)
		return false;
	*ret_group = sv_sub(api_version, 0, (size_t)slash);
	*ret_version = version;
	return true;
}

struct sv api_group_package(struct sv group)
{
	ssize_t dot = sv_find(group, '.');

	if (!group.n)
		return SV("core");
	return dot < 0 ? group : sv_sub(group, 0, (size_t)dot);
}

const char *resource_api_version(const struct resource *r, char *out, size_t n)
{
	snprintf(out, n, "%s%s%s", r->group, *r->group ? "/" : "", r->version);
	return out;
}
