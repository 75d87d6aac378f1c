/* Each FlowSchema says in its status whether the level that it names is there. */
#include "apiserver/flow/flow-internal.h"
#include "apiserver/watchcache.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "base/vec.h"
#include "object/condition.h"

#define SAYINGS_MAX 200 /* in a minute, of all: somebody else may insist on another status */

struct dangling_look {
	struct flow *f;
	VEC(struct obj *) wrong;
};

static struct sv dangling_names(const struct obj *o)
{
	return val_get_str(obj_root(o), F_spec, F_priorityLevelConfiguration, F_name);
}

static bool dangling_found(struct flow *f, const struct obj *o)
{
	_cleanup_obj_ struct obj *level =
	    wc_get(f->s->wc, RES(flowcontrol_prioritylevelconfigurations), SV(""), dangling_names(o));

	return level != NULL;
}

static const struct val *dangling_condition(const struct val *doc)
{
	return condition_find(val_get(doc, F_status, F_conditions), "Dangling");
}

static struct sv dangling_message(struct arena *a, struct sv level, bool found)
{
	return arena_svf(a, "This FlowSchema references the PriorityLevelConfiguration object named \"%.*s\" %s",
			 SV_ARG(level), found ? "and it exists" : "but there is no such object");
}

static bool dangling_is_said(struct arena *a, const struct obj *o, bool found)
{
	const struct val *c = dangling_condition(obj_root(o));

	return c && val_is(val_member(c, F_status), found ? "False" : "True") &&
	       val_is(val_member(c, F_reason), found ? "Found" : "NotFound") &&
	       sv_eq(val_str(val_member(c, F_message)), dangling_message(a, dangling_names(o), found));
}

static int dangling_each(struct obj *o, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct dangling_look *l = ctx;

	if (!obj_deleting(o) && !dangling_is_said(&a, o, dangling_found(l->f, o)))
		vec_push(&l->wrong, obj_ref(o));
	return 0;
}

static void dangling_say(struct flow *f, struct client *c, const struct obj *o)
{
	static const char *const type = "Dangling";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	bool found = dangling_found(f, o);
	const struct val *was = dangling_condition(obj_root(o));
	struct val *doc = val_clone_nodes(&a, obj_root(o)), *status, *list, *said = val_new_map(&a);
	char text[TIME_TEXT_MAX];
	const char *now = found ? "False" : "True";

	val_set_cstr(&a, said, F_type, type);
	val_set_cstr(&a, said, F_status, now);
	if (was && val_is(val_member(was, F_status), now) && val_member(was, F_lastTransitionTime))
		val_set(&a, said, F_lastTransitionTime, val_member(was, F_lastTransitionTime));
	else
		val_set_str(&a, said, F_lastTransitionTime, time_format(env_now_ns(f->s->env), false, text));
	val_set_cstr(&a, said, F_reason, found ? "Found" : "NotFound");
	val_set(&a, said, F_message, val_new_str(&a, dangling_message(&a, dangling_names(o), found)));
	list = val_new_list(&a);
	VAL_EACH(val_get(doc, F_status, F_conditions), other)
		if (!val_is(val_member(other, F_type), type))
			val_push(&a, list, other);
	val_push(&a, list, said);
	status = val_ensure_map(&a, doc, F_status);
	val_set(&a, status, F_conditions, list);
	/* Another one who writes it at the same time brings us back here. */
	if (client_update_status(c, RES(flowcontrol_flowschemas), doc, NULL, &err) < 0 && err.reason != ERR_CONFLICT &&
	    err.reason != ERR_NOT_FOUND && !atomic_load(&f->s->stopping))
		log_warn("apiserver", "the status of a FlowSchema cannot be written", "error", "%s", err_msg(&err));
}

void flow_say_dangling(struct flow *f)
{
	static const char *const masters[] = { "system:masters", NULL };
	struct dangling_look l = { f, VEC_INIT };
	int64_t now = env_mono_ns(f->s->env);
	struct client *c = NULL;

	if (!f->said_since_ns || now - f->said_since_ns > 60 * NS_PER_SEC) {
		f->said_since_ns = now;
		f->said = 0;
	}
	wc_each(f->s->wc, RES(flowcontrol_flowschemas), SV(""), dangling_each, &l);
	for (size_t i = 0; i < l.wrong.n; i++) {
		if (f->said < SAYINGS_MAX && !atomic_load(&f->s->stopping)) {
			if (!c)
				c = apiserver_client(f->s, "api-priority-and-fairness-config-consumer-v1",
						     "system:apiserver", masters);
			f->said++;
			dangling_say(f, c, l.wrong.p[i]);
		}
		obj_unref(l.wrong.p[i]);
	}
	vec_release(&l.wrong);
	client_free(c);
}
