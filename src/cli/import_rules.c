#include "cli/import_rules.h"

#include "kubelet/local_path.h"

#define K3S_PROVISIONER "rancher.io/local-path"
/* As long as ours: so a stored document, JSON or protobuf, gets the other name without being taken apart. */
_Static_assert(sizeof(K3S_PROVISIONER) == sizeof(LOCAL_PATH_PROVISIONER), "one name takes the other's place");

static const struct {
	const char *group, *plural; /* plural NULL: all of the group */
	int rank;
} ranks[] = {
	{ "", "namespaces", 0 },
	{ "apiextensions.k8s.io", "customresourcedefinitions", 1 },
	{ "scheduling.k8s.io", "priorityclasses", 10 },
	{ "node.k8s.io", "runtimeclasses", 10 },
	{ "storage.k8s.io", "storageclasses", 10 },
	{ "storage.k8s.io", "csidrivers", 10 },
	{ "networking.k8s.io", "ingressclasses", 10 },
	{ "", "serviceaccounts", 20 },
	{ "", "secrets", 21 },
	{ "", "configmaps", 21 },
	{ "rbac.authorization.k8s.io", "clusterroles", 22 },
	{ "rbac.authorization.k8s.io", "roles", 22 },
	{ "rbac.authorization.k8s.io", "clusterrolebindings", 23 },
	{ "rbac.authorization.k8s.io", "rolebindings", 23 },
	{ "", "limitranges", 24 },
	{ "", "resourcequotas", 24 },
	{ "", "persistentvolumes", 30 },
	{ "", "persistentvolumeclaims", 31 },
	{ "", "services", 40 },
	/* Those that people made: whether a Service has a selector is known by then. */
	{ "", "endpoints", 41 },
	{ "discovery.k8s.io", "endpointslices", 41 },
	{ "", "pods", 60 },
	{ "apps", NULL, 60 },
	{ "batch", NULL, 60 },
	/* Custom resources are 70. Who judges or changes what comes, comes last. */
	{ "admissionregistration.k8s.io", NULL, 90 },
	{ "apiregistration.k8s.io", "apiservices", 95 },
	/* Made by the cluster itself. */
	{ "", "bindings", -1 },
	{ "", "componentstatuses", -1 },
	{ "", "events", -1 },
	{ "", "nodes", -1 },
	{ "apps", "controllerrevisions", -1 },
	{ "certificates.k8s.io", "certificatesigningrequests", -1 },
	{ "coordination.k8s.io", NULL, -1 },
	{ "discovery.k8s.io", NULL, -1 },
	{ "events.k8s.io", NULL, -1 },
	{ "internal.apiserver.k8s.io", NULL, -1 },
	{ "metrics.k8s.io", NULL, -1 },
	{ "networking.k8s.io", "ipaddresses", -1 },
	{ "networking.k8s.io", "servicecidrs", -1 },
	{ "storage.k8s.io", "csinodes", -1 },
	{ "storage.k8s.io", "csistoragecapacities", -1 },
	{ "storage.k8s.io", "volumeattachments", -1 },
};

int import_rank(struct sv group, struct sv plural)
{
	/* The group's own line is behind those of its resources where they differ. */
	int rank = sv_ends(group, SV(".k8s.io")) || sv_find(group, '.') < 0 ? 50 : 70;

	for (size_t i = 0; i < ARRAY_LEN(ranks); i++)
		if (sv_is(group, ranks[i].group) && (!ranks[i].plural || sv_is(plural, ranks[i].plural))) {
			rank = ranks[i].rank;
			if (ranks[i].plural || rank < 0)
				return rank;
		}
	return rank;
}

static const struct val *rule_meta(const struct val *o, struct sv name)
{
	return val_member_sv(val_member_sv(o, SV("metadata")), name);
}

static bool rule_marked(const struct val *o, struct sv where, struct sv key, const char *value)
{
	return val_is(val_member_sv(rule_meta(o, where), key), value);
}

static bool job_finished(const struct val *o)
{
	const struct val *conditions = val_member_sv(val_member_sv(o, SV("status")), SV("conditions"));

	VAL_EACH(conditions, c)
		if ((val_is(val_member_sv(c, SV("type")), "Complete") ||
		     val_is(val_member_sv(c, SV("type")), "Failed")) &&
		    val_is(val_member_sv(c, SV("status")), "True"))
			return true;
	return false;
}

static bool rule_owned(const struct val *o)
{
	VAL_EACH(rule_meta(o, SV("ownerReferences")), r)
		if (val_bool(val_member_sv(r, SV("controller"))))
			return true;
	return false;
}

/* Made by each cluster for itself, by name. */
static bool rule_own_name(struct sv plural, const struct val *o)
{
	struct sv name = val_str(rule_meta(o, SV("name"))), ns = val_str(rule_meta(o, SV("namespace")));

	if (sv_is(plural, "configmaps"))
		return sv_is(name, "kube-root-ca.crt");
	if (sv_is(plural, "serviceaccounts"))
		return sv_is(name, "default");
	if (sv_is(plural, "services") || sv_is(plural, "endpoints") || sv_is(plural, "endpointslices"))
		return sv_is(name, "kubernetes") && sv_is(ns, "default");
	if (sv_is(plural, "namespaces"))
		return import_own_namespace(name) || sv_is(name, "default");
	return sv_is(plural, "priorityclasses") && sv_starts(name, SV("system-"));
}

/* Of the endpoints of a Service, by what its controllers write on them; before 1.33 they wrote nothing on Endpoints. */
static bool rule_found_endpoints(struct sv group, struct sv plural, const struct val *o)
{
	static const char *const managers[] = { "endpointslice-controller.k8s.io",
						"endpointslicemirroring-controller.k8s.io", "cluster-dns.caravel.io" };
	struct sv labels = SV("labels");

	if (!group.n && sv_is(plural, "endpoints"))
		return rule_marked(o, labels, SV("endpoints.kubernetes.io/managed-by"), "endpoint-controller");
	if (sv_is(group, "discovery.k8s.io"))
		for (size_t i = 0; i < ARRAY_LEN(managers); i++)
			if (rule_marked(o, labels, SV("endpointslice.kubernetes.io/managed-by"), managers[i]))
				return true;
	return false;
}

bool import_selects(struct sv group, struct sv plural, const struct val *o)
{
	return !group.n && sv_is(plural, "services") &&
	       val_len(val_member_sv(val_member_sv(o, SV("spec")), SV("selector"))) > 0;
}

bool import_own_namespace(struct sv ns)
{
	return sv_is(ns, "kube-system") || sv_is(ns, "kube-public") || sv_is(ns, "kube-node-lease");
}

const char *import_left_out(struct sv group, struct sv plural, const struct val *o)
{
	if (rule_meta(o, SV("deletionTimestamp")))
		return "being deleted";
	if (rule_owned(o))
		return "owned by others, which make them anew";
	if (rule_own_name(plural, o) ||
	    rule_marked(o, SV("labels"), SV("kubernetes.io/bootstrapping"), "rbac-defaults") ||
	    rule_marked(o, SV("annotations"), SV("apf.kubernetes.io/autoupdate-spec"), "true"))
		return "each cluster's own";
	if (rule_found_endpoints(group, plural, o))
		return IMPORT_FOUND;
	if (!group.n && sv_is(plural, "endpoints") &&
	    val_member_sv(rule_meta(o, SV("annotations")), SV("control-plane.alpha.kubernetes.io/leader")))
		return "each cluster's own";
	if (sv_is(group, "apiregistration.k8s.io") && !val_member_sv(val_member_sv(o, SV("spec")), SV("service")))
		return "each cluster's own";
	if (sv_is(plural, "clustertrustbundles") &&
	    sv_starts(val_str(val_member_sv(val_member_sv(o, SV("spec")), SV("signerName"))), SV("kubernetes.io/")))
		return "each cluster's own";
	if (sv_is(plural, "secrets") && val_is(val_member_sv(o, SV("type")), "bootstrap.kubernetes.io/token"))
		return "tokens for joining";
	if (sv_is(group, "batch") && sv_is(plural, "jobs") && job_finished(o))
		return "finished Jobs";
	if (!group.n && sv_is(plural, "pods") &&
	    (val_is(val_member_sv(val_member_sv(o, SV("status")), SV("phase")), "Succeeded") ||
	     val_is(val_member_sv(val_member_sv(o, SV("status")), SV("phase")), "Failed")))
		return "ended Pods";
	if (rule_meta(o, SV("annotations")) &&
	    val_member_sv(rule_meta(o, SV("annotations")), SV("kubernetes.io/config.mirror")))
		return "of static Pods";
	return NULL;
}

static void rule_drop(struct val *map, const char *const *names)
{
	for (; map && *names; names++)
		(void)val_del_sv(map, sv_from(*names));
}

static struct val *import_rule_in(struct val *o, const char *a, const char *b)
{
	return val_member_sv_mut(val_member_sv_mut(o, sv_from(a)), sv_from(b));
}

/* What the job controller puts in says by which uid a Job finds its Pods. */
static void prepare_job(struct val *o)
{
	static const char *const labels[] = { "controller-uid", "batch.kubernetes.io/controller-uid", "job-name",
					      "batch.kubernetes.io/job-name", NULL };
	struct val *spec = val_member_sv_mut(o, SV("spec"));

	if (val_bool(val_member_sv(spec, SV("manualSelector"))))
		return;
	(void)val_del_sv(spec, SV("selector"));
	rule_drop(import_rule_in(o, "metadata", "labels"), labels);
	rule_drop(import_rule_in(val_member_sv_mut(spec, SV("template")), "metadata", "labels"), labels);
}

static void prepare_secret(struct val *o)
{
	static const char *const uid[] = { "kubernetes.io/service-account.uid", NULL };

	if (!val_is(val_member_sv(o, SV("type")), "kubernetes.io/service-account-token"))
		return;
	/* Signed by the old cluster: the new one fills in its own. */
	(void)val_del_sv(o, SV("data"));
	rule_drop(import_rule_in(o, "metadata", "annotations"), uid);
}

/* k3s' own provisioner is of kube-system and stays behind: its classes are served by ours, which makes the same. */
static void prepare_class(struct arena *a, struct val *o)
{
	if (val_is(val_member_sv(o, SV("provisioner")), K3S_PROVISIONER))
		val_set_str_sv(a, o, SV("provisioner"), SV(LOCAL_PATH_PROVISIONER));
}

void import_prepare(struct arena *a, struct sv group, struct sv plural, struct val *o)
{
	static const char *const meta[] = { "uid",	     "resourceVersion", "creationTimestamp", "generation",
					    "managedFields", "selfLink",	"ownerReferences",   NULL };
	static const char *const bound[] = { "pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller",
					     "volume.kubernetes.io/selected-node", NULL };
	static const char *const claim[] = { "uid", "resourceVersion", NULL };

	val_thaw(a, o);
	(void)val_del_sv(o, SV("status"));
	rule_drop(val_member_sv_mut(o, SV("metadata")), meta);
	if (!group.n && (sv_is(plural, "persistentvolumeclaims") || sv_is(plural, "persistentvolumes")))
		rule_drop(import_rule_in(o, "metadata", "annotations"), bound);
	if (!group.n && sv_is(plural, "persistentvolumes"))
		rule_drop(import_rule_in(o, "spec", "claimRef"), claim);
	if (!group.n && sv_is(plural, "pods"))
		(void)val_del_sv(val_member_sv_mut(o, SV("spec")), SV("nodeName"));
	if (!group.n && sv_is(plural, "serviceaccounts"))
		(void)val_del_sv(o, SV("secrets"));
	if (!group.n && sv_is(plural, "secrets"))
		prepare_secret(o);
	if (sv_is(group, "batch") && sv_is(plural, "jobs"))
		prepare_job(o);
	if (sv_is(plural, "storageclasses"))
		prepare_class(a, o);
	if (!group.n && sv_is(plural, "namespaces"))
		(void)val_del_sv(o, SV("spec"));
}

bool import_stored_class(struct arena *a, struct sv key, struct sv *value)
{
	const struct sv theirs = SV(K3S_PROVISIONER);
	bool found = false;
	char *copy = NULL;
	ssize_t at;

	if (!sv_starts(key, SV("/registry/storageclasses/")))
		return false;
	for (size_t from = 0; (at = sv_find_sv(sv_sub(*value, from, value->n), theirs)) >= 0; found = true) {
		if (!copy)
			copy = arena_cstr(a, *value);
		memcpy(copy + from + (size_t)at, LOCAL_PATH_PROVISIONER, theirs.n);
		from += (size_t)at + theirs.n;
	}
	if (found)
		*value = sv_make(copy, value->n);
	return found;
}
