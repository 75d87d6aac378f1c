/* Events: one object in two groups. The store keeps core/v1; events.k8s.io/v1 is the same with other names (KEP-383),
 * so what one group writes the other reads, lists and watches. */
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/versions.h"

/* The members whose names differ; all others are the same in both. */
static const struct {
	enum sym core, events;
} names[] = {
	{ F_involvedObject, F_regarding },
	{ F_message, F_note },
	{ F_reportingComponent, F_reportingController },
	{ F_source, F_deprecatedSource },
	{ F_firstTimestamp, F_deprecatedFirstTimestamp },
	{ F_lastTimestamp, F_deprecatedLastTimestamp },
	{ F_count, F_deprecatedCount },
};

static struct val *events_renamed(struct arena *a, const struct val *doc, const struct resource *to)
{
	bool to_core = to == RES(core_events);
	struct val *out = val_new_map(a);

	val_set_str(a, out, F_kind, sv_from(to->kind));
	val_set_str(a, out, F_apiVersion, resource_gv(a, to));
	VAL_EACH_MEMBER(doc, m) {
		enum sym name = m.sym;

		if (name == F_kind || name == F_apiVersion)
			continue;
		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (name && name == (to_core ? names[i].events : names[i].core))
				name = to_core ? names[i].core : names[i].events;
		if (name)
			val_set(a, out, name, m.value);
	}
	return out;
}

static int events_convert(const struct version_leg *leg, struct err *err)
{
	(void)err;
	for (size_t i = 0; i < leg->n; i++)
		leg->out[i] = events_renamed(leg->a, leg->docs[i], leg->to);
	return 0;
}

static const struct version_label labels[] = {
	{ "regarding.kind", "involvedObject.kind" },
	{ "regarding.namespace", "involvedObject.namespace" },
	{ "regarding.name", "involvedObject.name" },
	{ "regarding.uid", "involvedObject.uid" },
	{ "regarding.apiVersion", "involvedObject.apiVersion" },
	{ "regarding.resourceVersion", "involvedObject.resourceVersion" },
	{ "regarding.fieldPath", "involvedObject.fieldPath" },
	{ "reportingController", "reportingComponent" },
	{ NULL, NULL },
};
static const struct version both[] = { { RES(core_events), NULL }, { RES(events_events), labels } };
static const struct versions events_versions = { .storage = RES(core_events),
						 .hub = RES(core_events),
						 .all = both,
						 .n = ARRAY_LEN(both),
						 .convert = events_convert };

/* The component that reports, under either of its names. */
static bool event_field(const struct val *e, struct sv label, struct sv *ret)
{
	if (!sv_is(label, "source"))
		return false;
	*ret = val_get_str(e, F_source, F_component);
	if (!ret->n)
		*ret = val_get_str(e, F_reportingComponent);
	return true;
}

const struct strategy event_strategy = {
	.res = RES(core_events),
	.name_check = fmt_path_segment, /* upstream asks for no more */
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.forgotten = true,
	.field_label = event_field,
	.versions = &events_versions,
};

const struct strategy events_event_strategy = {
	.res = RES(events_events),
	.create_on_update = true,
	.unconditional_update = true,
	.no_generation = true,
	.forgotten = true,
	.versions = &events_versions,
};
