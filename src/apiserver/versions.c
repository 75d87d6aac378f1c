/* Conversions: legs to and from the hub, and what of their results is believed. */
#include "apiserver/versions.h"
#include "apiserver/apiserver-internal.h"
#include "object/decode.h"

bool version_is(const struct resource *r, const struct val *doc)
{
	struct sv av = val_get_str(doc, F_apiVersion), group = sv_from(r->group);

	if (group.n) {
		if (!sv_starts(av, group) || av.n <= group.n || av.p[group.n] != '/')
			return false;
		av = sv_sub(av, group.n + 1, av.n);
	}
	return sv_is(av, r->version) && val_is(val_member(doc, F_kind), r->kind);
}

const struct resource *versions_form(const struct versions *v, const struct val *doc)
{
	for (size_t i = 0; i < v->n; i++)
		if (version_is(v->all[i].res, doc))
			return v->all[i].res;
	return NULL;
}

const struct resource *versions_named(const struct versions *v, struct sv api_version)
{
	char av[160];

	for (size_t i = 0; i < v->n; i++)
		if (sv_is(api_version, resource_api_version(v->all[i].res, av, sizeof(av))))
			return v->all[i].res;
	return NULL;
}

struct sv version_stored_label(const struct resource *r, struct sv label)
{
	const struct versions *v = versions_of(r);

	for (size_t i = 0; v && i < v->n; i++) {
		const struct version_label *l = v->all[i].res == r ? v->all[i].labels : NULL;

		for (; l && l->label; l++)
			if (sv_is(label, l->label))
				return sv_from(l->stored);
	}
	return label;
}

static void version_put(struct arena *a, struct val *to, const struct val_iter *m)
{
	if (m->sym)
		val_set(a, to, m->sym, m->value);
	else
		val_set_sv(a, to, m->key, m->value);
}

/* The same members under another name. */
static struct val *version_renamed(struct arena *a, const struct val *doc, const struct resource *to)
{
	struct val *out = val_new_map(a);
	char av[160];

	val_set_cstr(a, out, F_kind, to->kind);
	val_set_cstr(a, out, F_apiVersion, resource_api_version(to, av, sizeof(av)));
	VAL_EACH_MEMBER(doc, m)
		if (m.sym != F_kind && m.sym != F_apiVersion)
			version_put(a, out, &m);
	return out;
}

/* The metadata of `from` with the labels and annotations of `made`. */
static struct val *version_metadata(struct arena *a, const struct val *from, const struct val *made)
{
	static const enum sym theirs[] = { F_labels, F_annotations };
	struct val *meta = val_new_map(a);

	VAL_EACH_MEMBER(val_member(from, F_metadata), m)
		if (m.sym != F_labels && m.sym != F_annotations)
			version_put(a, meta, &m);
	for (size_t i = 0; i < ARRAY_LEN(theirs); i++) {
		const struct val *v = val_get(made, F_metadata, theirs[i]);

		if (v)
			val_set(a, meta, theirs[i], v);
	}
	return meta;
}

/* What a conversion made of doc, as far as it is believed. */
static struct val *version_judge(struct arena *a, const struct val *doc, const struct val *made,
				 const struct resource *to, struct err *err)
{
	static const enum sym same[] = { F_name, F_namespace, F_uid };
	struct val *out;

	if (!version_is(to, made)) {
		err_set(err, ERR_INTERNAL, "it is no %s of version %s", to->kind, to->version);
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_LEN(same); i++) {
		if (val_same(val_get(doc, F_metadata, same[i]), val_get(made, F_metadata, same[i])))
			continue;
		err_set(err, ERR_INTERNAL, "it has another metadata.%.*s", SV_ARG(sym_name(same[i])));
		return NULL;
	}
	out = val_new_map(a);
	VAL_EACH_MEMBER(made, m)
		version_put(a, out, &m);
	val_set(a, out, F_metadata, version_metadata(a, doc, made));
	return decode_typed(a, to->schema, out, NULL, err);
}

static int version_fail(const struct version_leg *leg, const struct val *doc, struct err *err)
{
	struct sv name = val_get_str(doc, F_metadata, F_name);
	_cleanup_(err_release) struct err why = ERR_INIT;
	char from[160], to[160];

	(void)err_move(&why, err);
	return err_set(err, ERR_INTERNAL, "conversion of %s \"%.*s\" from %s to %s: %s", leg->from->kind, SV_ARG(name),
		       resource_api_version(leg->from, from, sizeof(from)),
		       resource_api_version(leg->to, to, sizeof(to)), err_msg(&why));
}

static int conversion_leg(struct conversion *c, const struct resource *from, const struct resource *to,
			  const struct val *const *docs, struct val **out, struct err *err)
{
	const struct val **made = ARENA_ARRAY(c->a, const struct val *, c->n + 1);
	struct version_leg leg = { c->q, c->a, from, to, docs, c->n, made, c->of->ctx };
	int rc = 0;

	for (size_t i = 0; !c->of->convert && i < c->n; i++)
		made[i] = version_renamed(c->a, docs[i], to);
	if (c->of->convert)
		rc = c->of->convert(&leg, err);
	if (rc < 0 && !c->of->waits)
		return version_fail(&leg, docs[0], err);
	if (rc)
		return rc;
	if (c->q)
		c->q->has_result = false; /* the next leg has not waited */
	for (size_t i = 0; i < c->n; i++) {
		out[i] = version_judge(c->a, docs[i], made[i], to, err);
		if (!out[i])
			return version_fail(&leg, docs[i], err);
	}
	return 0;
}

int conversion_run(struct conversion *c, struct err *err)
{
	const struct resource *hub = c->of->hub;

	if (!c->half && c->from != hub && c->to != hub) {
		struct val **half = ARENA_ARRAY(c->a, struct val *, c->n + 1);
		int rc = conversion_leg(c, c->from, hub, c->docs, half, err);

		if (rc)
			return rc;
		c->half = (const struct val *const *)half;
	}
	if (c->half)
		return conversion_leg(c, hub, c->to, c->half, c->out, err);
	return conversion_leg(c, c->from, c->to, c->docs, c->out, err);
}
