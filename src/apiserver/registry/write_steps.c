/* The steps of a write that all verbs have: its struct, defaults, ownership, admission, validation, its end. */
#include "apiserver/metrics.h"
#include "apiserver/registry/registry.h"
#include "apiserver/registry/validate/validate_kinds.h"
#include "object/decode.h"
#include "object/structural.h"

struct sv resource_gv(struct arena *a, const struct resource *r)
{
	return *r->group ? arena_svf(a, "%s/%s", r->group, r->version) : sv_from(r->version);
}

void registry_adopt(struct api_req *q, const struct resource *r, struct sv ns, struct sv name, enum verb verb)
{
	if (q->res)
		return;
	q->res = r;
	q->resource_request = true;
	q->verb = verb;
	q->group = sv_from(r->group);
	q->version = sv_from(r->version);
	q->plural = sv_from(r->plural);
	q->ns = r->namespaced ? ns : SV("");
	q->name = name;
	q->options_ok = true;
}

struct write_op *write_op_new(struct api_req *q, const struct resource *r, struct sv ns, struct sv name)
{
	struct write_op *op = ARENA_NEW(q->arena, struct write_op);

	op->q = q;
	op->a = q->arena;
	op->res = r;
	op->strat = strategy_for(r);
	op->ns = r->namespaced ? ns : SV("");
	op->name = name;
	op->sub = SV("");
	op->code = 200;
	if (op->strat->versions)
		write_versions_new(op);
	return op;
}

void write_finish(struct write_op *op, struct obj *o, struct err *err)
{
	if (op->done) {
		op->done(op, o, err);
		if (err)
			err_release(err);
	} else if (err) {
		api_req_fail(op->q, err);
	} else {
		answer_object(op->q, op->code, o);
	}
}

void write_fail(struct write_op *op, struct err *err)
{
	write_finish(op, NULL, err);
}

int write_defaults(struct write_op *op, struct err *err)
{
	const struct structural *custom = op->res->schema->custom;

	if (custom)
		return structural_default(custom, op->a, op->doc, err);
	/* Put in order once all that add something have done so: write_validate(). */
	default_members(op->a, op->res->schema, op->doc);
	if (op->strat->set_defaults)
		op->strat->set_defaults(op->q, op->doc);
	return 0;
}

void apply_opts_of(struct write_op *op, struct apply_opts *ret)
{
	*ret = (struct apply_opts){
		.manager = field_manager_of(op->q),
		.subresource = op->managed_sub.n ? op->managed_sub : op->sub,
		.api_version = resource_gv(op->a, op->res),
		.now_ns = env_now_ns(op->q->server->env),
		.force = op->q->force,
		.reset_fields = kept_fields(op->res, op->sub),
		.versions = op->versions ? write_versions_owners(op) : NULL,
	};
}

int write_managed(struct write_op *op, const struct val *old, struct err *err)
{
	struct apply_opts o;
	struct val *doc;

	if (op->applied || op->unowned)
		return 0;
	apply_opts_of(op, &o);
	doc = managed_update(op->a, op->res->schema, old, op->doc, &o, err);
	if (!doc)
		return write_versions_waits(op) ? REQ_LATER : -1;
	op->doc = doc;
	/* Who sent an empty list owns it; everywhere else it is as none. */
	if (op->q->has_empty)
		empty_to_null(op->a, op->res->schema, op->doc);
	return 0;
}

int write_admit(struct write_op *op, bool mutate, enum admission_op kind, struct err *err)
{
	struct admission ad = {
		.q = op->q,
		.op = kind,
		.res = op->res,
		.subresource = op->sub,
		.ns = op->ns,
		.name = op->name,
		.doc = kind == ADMIT_DELETE ? NULL : op->doc,
		.old = op->old ? obj_root(op->old) : NULL,
		.del = op->del,
		.generated = op->generated_name,
	};

	return mutate ? admission_mutate(&ad, err) : admission_validate(&ad, err);
}

/* The rest of a custom kind's rules, with how long its expressions take. */
static void write_validate_rest(struct write_op *op, struct field_errs *fe, const struct val *old)
{
	const struct structural *custom = op->res->schema->custom;
	struct apiserver *s = op->q->server;
	int64_t since_ns = env_mono_ns(s->env), now;

	if (!structural_has_rules(custom)) {
		structural_validate_rest(custom, fe, op->doc, old, NULL);
		return;
	}
	if (structural_compile_rules(custom)) {
		now = env_mono_ns(s->env);
		metric_observe_ns(s->counted, API_METRIC(CEL_COMPILATION), NULL, now - since_ns);
		since_ns = now;
	}
	structural_validate_rest(custom, fe, op->doc, old, NULL);
	metric_observe_ns(s->counted, API_METRIC(CEL_EVALUATION), NULL, env_mono_ns(s->env) - since_ns);
}

int write_validate(struct write_op *op, const struct val *old, struct err *err)
{
	validate_kind_fn *kind_rules = validate_kind_for(op->res);
	struct field_errs fe, rules;
	const char *sub = op->sub.n ? arena_cstr(op->a, op->sub) : NULL;

	/* Defaults and admission added members; rules that go along the type's fields search for none when they are
	 * in order. */
	val_thaw(op->a, op->doc);
	order_typed(op->a, op->res->schema, op->doc);
	op->ordered = op->thawed = true;
	field_errs_init(&fe, op->a);
	field_errs_init(&rules, op->a);
	rules.now_ns = fe.now_ns = env_now_ns(op->q->server->env);
	validate_object_meta(&fe, op->res, val_member(op->doc, F_metadata), old ? val_member(old, F_metadata) : NULL,
			     op->strat->name_check ? op->strat->name_check : fmt_dns_subdomain);
	if (op->res->schema->custom)
		structural_validate(op->res->schema->custom, &fe, op->doc, old);
	else
		validate_ordered(&fe, op->res->schema, op->doc, old);
	if (kind_rules)
		kind_rules(&rules, op->doc, old, sub);
	if (op->res->schema->custom)
		custom_scale_validate(&rules, op->res, op->doc, sub);
	if (op->strat->validate)
		op->strat->validate(&rules, op->doc, old, sub);
	field_errs_merge(&fe, &rules);
	if (op->res->schema->custom)
		write_validate_rest(op, &fe, old);
	if (old && !sub && fe.list.n)
		causes_repeat(&fe, op->res);
	/* An Event is core's, whatever group it comes by. */
	if (field_errs_to_err(&fe, resource_storage(op->res), op->name, err) < 0)
		return -1;
	if (op->strat->warn && !op->sub.n)
		op->strat->warn(op->q, op->doc, old);
	return 0;
}

/* What is added here is nobody's: ownership is recorded before. */
void write_complete(struct write_op *op)
{
	_cleanup_(err_release) struct err too_large = ERR_INIT;

	/* Defaults of what was taken away meanwhile (the status of a new object): reading what is stored gives them.
	 * What grows too large by them is refused by its size. */
	if (op->res->schema->custom)
		(void)structural_default(op->res->schema->custom, op->a, op->doc, &too_large);
	if (op->ordered ? zero_ordered(op->a, op->res->schema, op->doc)
			: (zero_typed(op->a, op->res->schema, op->doc), true))
		order_typed(op->a, op->res->schema, op->doc);
	op->ordered = op->completed = true;
}

bool object_finalized(const struct resource *r, const struct val *doc)
{
	const struct strategy *st = strategy_for(r);

	if (val_len(val_get(doc, F_metadata, F_finalizers)))
		return false;
	return !st->finalized || st->finalized(doc);
}
