/* statefulset_pods: making, deleting and repairing the pods of a StatefulSet, with the events that upstream writes. */
#include "codec/json.h"
#include "controllers/podutil.h"
#include "controllers/statefulset-internal.h"
#include "controllers/template.h"

#define LABEL_POD_NAME "statefulset.kubernetes.io/pod-name"
#define LABEL_POD_INDEX "apps.kubernetes.io/pod-index"
#define LABEL_VALUE_MAX 63
#define RECHECK_NS (10 * NS_PER_SEC) /* of a claim that goes under a pod that stays */

bool sts_available(struct srun *r, const struct obj *pod)
{
	return pod && val_is(obj_get(pod, F_status, F_phase), "Running") && !obj_deleting(pod) &&
	       pod_is_available(pod, r->min_ready, env_now_ns(r->ctx->env), &r->wait_ns);
}

bool sts_runs(const struct srun *r, const struct obj *pod, struct sv name)
{
	struct sv label = label_of(obj_root(pod), LABEL_REVISION);

	return sv_eq(label, name) || (label.n && sv_ends(name, label) && name.n == obj_name(r->set).n + 1 + label.n);
}

void sts_wait(struct srun *r, int64_t ns)
{
	if (r->wait_ns == 0 || ns < r->wait_ns)
		r->wait_ns = ns;
}

/* why: what went wrong; NULL: nothing. */
static void pod_event(struct srun *r, const char *reason, const char *verb, struct sv pod, const struct err *why)
{
	recorder_event(r->ctx->recorder, RES(apps_statefulsets), obj_root(r->set), why ? "Warning" : "Normal", reason,
		       "%s Pod %.*s in StatefulSet %.*s %s%s", verb, SV_ARG(pod), SV_ARG(obj_name(r->set)),
		       why ? "failed error: " : "successful", why ? err_msg(why) : "");
}

/* What a pod of revision `name` is labelled with: the name, which operators compare with the set's status; its
 * hash alone where the name is too long for a label. */
static struct sv revision_label(const struct srun *r, struct sv name)
{
	return name.n <= LABEL_VALUE_MAX ? name : sv_sub(name, obj_name(r->set).n + 1, name.n);
}

/* The template of an older revision, or the current one when that is not known any more. */
static const struct val *template_of(struct srun *r, struct sv name)
{
	_cleanup_obj_ struct obj *rev = NULL;
	const struct val *data, *tmpl;

	if (sv_eq(name, r->update))
		return obj_get(r->set, F_spec, F_template);
	rev = informer_lookup(r->revisions, obj_ns(r->set), name);
	data = obj_get(rev, F_data);
	if (val_type(data) == VAL_RAW)
		data = json_decode(r->a, val_raw(data), NULL, NULL);
	tmpl = val_get(data, F_spec, F_template);
	if (val_type(tmpl) != VAL_MAP)
		return obj_get(r->set, F_spec, F_template);
	return val_clone(r->a, tmpl);
}

static void name_labels(struct srun *r, struct val *labels, struct sv pod)
{
	val_set_str_sv(r->a, labels, SV(LABEL_POD_NAME), pod);
	val_set_str_sv(r->a, labels, SV(LABEL_POD_INDEX), sv_sub(pod, obj_name(r->set).n + 1, pod.n));
}

static struct val *new_pod(struct srun *r, int64_t n, struct sv name)
{
	struct arena *a = r->a;
	/* Below the partition pods stay what they were before the update. */
	struct sv rev = n < r->partition && r->current.n ? r->current : r->update;
	struct val *pod = pod_from_template(a, RES(apps_statefulsets), obj_root(r->set), template_of(r, rev));
	struct val *meta = val_ensure_map(a, pod, F_metadata), *spec, *labels;

	val_del(meta, F_generateName);
	val_set_str(a, meta, F_name, name);
	labels = val_ensure_map(a, meta, F_labels);
	name_labels(r, labels, name);
	val_set_str_sv(a, labels, SV(LABEL_REVISION), revision_label(r, rev));
	spec = val_ensure_map(a, pod, F_spec);
	val_set_str(a, spec, F_hostname, name);
	val_set_str(a, spec, F_subdomain, val_str(obj_get(r->set, F_spec, F_serviceName)));
	val_set(a, spec, F_volumes, claims_volumes(&r->claims, val_member(spec, F_volumes), name));
	return pod;
}

int sts_create(struct srun *r, int64_t n, struct err *err)
{
	struct sv name = arena_svf(r->a, "%.*s-%" PRId64, SV_ARG(obj_name(r->set)), r->first + n);
	_cleanup_(err_release) struct err why = ERR_INIT;
	int rc = claims_make(&r->claims, name, &why);

	if (rc > 0) {
		sts_wait(r, NS_PER_SEC);
		return 0;
	}
	if (rc == 0)
		rc = client_create(r->ctx->client, RES(core_pods), obj_ns(r->set), new_pod(r, n, name), NULL, NULL,
				   &why);
	if (rc < 0 && err_namespace_terminating(&why))
		return 0;
	if (rc < 0 && why.reason == ERR_ALREADY_EXISTS)
		return err_set(err, ERR_CONFLICT, "pod '%.*s' is there already", SV_ARG(name));
	pod_event(r, rc < 0 ? "FailedCreate" : "SuccessfulCreate", "create", name, rc < 0 ? &why : NULL);
	return rc < 0 ? err_move(err, &why) : 0;
}

int sts_remove(struct srun *r, struct obj *pod, struct err *err)
{
	struct client_delete_opts o = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err why = ERR_INIT;
	int rc;

	if (obj_deleting(pod))
		return 0;
	o.precondition_uid = obj_uid(pod); /* its namesake, made meanwhile, stays */
	rc = client_delete(r->ctx->client, RES(core_pods), obj_ns(pod), obj_name(pod), &o, &why);
	if (rc < 0 && why.reason == ERR_NOT_FOUND)
		return 0;
	pod_event(r, rc < 0 ? "FailedDelete" : "SuccessfulDelete", "delete", obj_name(pod), rc < 0 ? &why : NULL);
	return rc < 0 ? err_move(err, &why) : 0;
}

static bool sts_named(const struct srun *r, const struct obj *pod)
{
	struct sv name = obj_name(pod);

	return sv_eq(label_of(obj_root(pod), LABEL_POD_NAME), name) &&
	       sv_eq(label_of(obj_root(pod), LABEL_POD_INDEX), sv_sub(name, obj_name(r->set).n + 1, name.n));
}

int sts_repair(struct srun *r, struct obj *pod, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *doc;
	int rc;

	if (obj_deleting(pod))
		return 0;
	if (val_is(obj_get(pod, F_status, F_phase), "Pending")) {
		rc = claims_make(&r->claims, obj_name(pod), &why);
		if (rc < 0)
			return err_namespace_terminating(&why) ? 0 : err_move(err, &why);
		if (rc > 0)
			sts_wait(r, RECHECK_NS);
	}
	if (sts_named(r, pod))
		return 0;
	doc = obj_edit(r->a, pod);
	name_labels(r, val_ensure_map(r->a, val_ensure_map(r->a, doc, F_metadata), F_labels), obj_name(pod));
	rc = client_update(r->ctx->client, RES(core_pods), doc, NULL, NULL, &why);
	if (rc < 0 && (why.reason == ERR_NOT_FOUND || why.reason == ERR_CONFLICT))
		return 0; /* it is seen again as it is now */
	pod_event(r, rc < 0 ? "FailedUpdate" : "SuccessfulUpdate", "update", obj_name(pod), rc < 0 ? &why : NULL);
	return rc < 0 ? err_move(err, &why) : 0;
}
