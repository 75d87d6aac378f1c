/* FlowSchemas and PriorityLevelConfigurations: what is missing is made, what differs is set right.
 *
 * Of the mandatory ones always; of the suggested ones as their annotation apf.kubernetes.io/autoupdate-spec says, and
 * without one that can be read as long as nobody has changed their spec. One that has the annotation and is none of
 * ours any more goes, when that says true. */
#include "apiserver/bootstrap/bootstrap-internal.h"
#include "apiserver/flow/defaults.h"
#include "apiserver/watchcache.h"
#include "base/vec.h"
#include "object/annotation.h"

#define MANAGER "api-priority-and-fairness-config-producer-v1"

/* 1, 0, or -1: it says neither. */
static int flow_autoupdate(const struct val *doc)
{
	struct sv v = annotation_of(doc, FLOW_AUTOUPDATE);

	if (sv_is(v, "true") || sv_is(v, "1") || sv_is(v, "t") || sv_is(v, "T") || sv_is(v, "TRUE") || sv_is(v, "True"))
		return 1;
	if (sv_is(v, "false") || sv_is(v, "0") || sv_is(v, "f") || sv_is(v, "F") || sv_is(v, "FALSE") ||
	    sv_is(v, "False"))
		return 0;
	return -1;
}

static bool flow_kept_up(const struct val *doc, bool mandatory)
{
	int said = flow_autoupdate(doc);

	return mandatory || said == 1 || (said < 0 && val_get_int(doc, 0, F_metadata, F_generation) == 1);
}

/* What the exempt level lends is its owner's to say. */
static const struct val *flow_spec_wanted(struct arena *a, const struct val *have, const struct val *spec)
{
	const struct val *exempt = val_get(have, F_spec, F_exempt);
	struct val *own;

	if (!exempt || !val_member(spec, F_exempt))
		return spec;
	own = val_clone_nodes(a, spec);
	val_set(a, own, F_exempt, exempt);
	return own;
}

/* Equal but for empty and absent fields, which defaults may have filled in. */
static bool flow_has_spec(const struct val *have, const struct val *want)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return val_same(val_member(have, F_spec), flow_spec_wanted(&a, have, want));
}

static bool flow_is_mandatory(const struct val *doc)
{
	struct sv name = val_get_str(doc, F_metadata, F_name);

	return sv_is(name, "exempt") || sv_is(name, "catch-all");
}

static int flow_set_right(struct api_req *q, const struct val *old, struct val *doc, void *ctx, struct err *err)
{
	const struct val *wanted = ((struct write *)ctx)->wanted, *spec = val_member(wanted, F_spec);
	bool up = flow_kept_up(doc, flow_is_mandatory(wanted)), changed = false;

	(void)old;
	(void)err;
	if (flow_autoupdate(doc) != up) {
		struct val *m = val_ensure_map(q->arena, val_ensure_map(q->arena, doc, F_metadata), F_annotations);

		val_set_str_sv(q->arena, m, SV(FLOW_AUTOUPDATE), up ? SV("true") : SV("false"));
		changed = true;
	}
	if (up && !flow_has_spec(doc, spec)) {
		val_set(q->arena, doc, F_spec, flow_spec_wanted(q->arena, doc, spec));
		changed = true;
	}
	return !changed;
}

static void flow_ensure(struct batch *b, const struct resource *r, struct val *doc)
{
	struct sv name = val_get_str(doc, F_metadata, F_name);
	_cleanup_obj_ struct obj *have = wc_get(b->server->wc, r, SV(""), name);
	bool up;

	if (!have) {
		bootstrap_create(b, r, SV(""), doc);
		return;
	}
	up = flow_kept_up(obj_root(have), flow_is_mandatory(doc));
	if (flow_autoupdate(obj_root(have)) != up || (up && !flow_has_spec(obj_root(have), val_member(doc, F_spec))))
		bootstrap_update(b, r, SV(""), name, flow_set_right, doc);
}

/* --- those of an older server --- */

struct flow_removal {
	struct val *(*nth)(struct arena *a, size_t i);
	VEC(struct obj *) gone;
};

static int flow_find_gone(struct obj *o, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct flow_removal *r = ctx;
	struct val *doc;

	if (flow_autoupdate(obj_root(o)) != 1)
		return 0;
	for (size_t i = 0; (doc = r->nth(&a, i)); i++)
		if (sv_eq(val_get_str(doc, F_metadata, F_name), obj_name(o)))
			return 0;
	vec_push(&r->gone, obj_ref(o));
	return 0;
}

static void flow_remove(struct batch *b, const struct resource *r, struct val *(*nth)(struct arena *a, size_t i))
{
	static const char *const masters[] = { "system:masters", NULL };
	struct flow_removal gone = { nth, VEC_INIT };
	struct client *c = NULL;

	wc_each(b->server->wc, r, SV(""), flow_find_gone, &gone);
	for (size_t i = 0; i < gone.gone.n; i++) {
		struct client_delete_opts opts = CLIENT_DELETE_OPTS;
		struct obj *o = gone.gone.p[i];

		if (!c)
			c = apiserver_client(b->server, MANAGER, "system:apiserver", masters);
		opts.precondition_rev = obj_rev(o);
		(void)client_delete(c, r, SV(""), obj_name(o), &opts, NULL); /* the next minute tries again */
		obj_unref(o);
	}
	vec_release(&gone.gone);
	client_free(c);
}

void bootstrap_flow(struct batch *b)
{
	static const struct resource *const schemas = RES(flowcontrol_flowschemas);
	static const struct resource *const levels = RES(flowcontrol_prioritylevelconfigurations);
	struct val *doc;

	for (size_t i = 0; (doc = flow_default_level(&b->arena, i)); i++)
		flow_ensure(b, levels, doc);
	for (size_t i = 0; (doc = flow_default_schema(&b->arena, i)); i++)
		flow_ensure(b, schemas, doc);
	if (!atomic_load(&b->server->ready))
		return;
	flow_remove(b, schemas, flow_default_schema);
	flow_remove(b, levels, flow_default_level);
}
