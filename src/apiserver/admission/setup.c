/* Flags and the AdmissionConfiguration file, read once. */
#include "apiserver/admission/setup.h"
#include "apiserver/admission/event_rate.h"
#include "apiserver/admission/image_policy.h"
#include "apiserver/admission/quota_limited.h"
#include "base/budget.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/yaml.h"
#include "object/feature.h"

#include <stdlib.h>

#define CONFIG_MAX ((size_t)1 << 20)

/* All of upstream's, in its order: that of chain.c but for two that have nothing to do there, AlwaysAdmit and
 * JobValidation. */
static const struct known {
	const char *name;
	bool on;
} known[] = {
	{ "AlwaysAdmit", false },
	{ "NamespaceAutoProvision", false },
	{ "NamespaceLifecycle", true },
	{ "NamespaceExists", false },
	{ "LimitPodHardAntiAffinityTopology", false },
	{ "LimitRanger", true },
	{ "ServiceAccount", true },
	{ "NodeRestriction", true }, /* see setup.h */
	{ "TaintNodesByCondition", true },
	{ "AlwaysPullImages", false },
	{ "ImagePolicyWebhook", false },
	{ "PodSecurity", true },
	{ "PodNodeSelector", false },
	{ "Priority", true },
	{ "DefaultTolerationSeconds", true },
	{ "PodTolerationRestriction", false },
	{ "EventRateLimit", false },
	{ "ExtendedResourceToleration", false },
	{ "DefaultStorageClass", true },
	{ "StorageObjectInUseProtection", true },
	{ "PodGroupProtection", true },
	{ "OwnerReferencesPermissionEnforcement", false },
	{ "PersistentVolumeClaimResize", true },
	{ "RuntimeClass", true },
	{ "CertificateApproval", true },
	{ "CertificateSigning", true },
	{ "ClusterTrustBundleAttest", true },
	{ "CertificateSubjectRestriction", true },
	{ "DefaultIngressClass", true },
	{ "DenyServiceExternalIPs", false },
	{ "PodTopologyLabels", true },
	{ "PodGroupWorkloadExists", true },
	{ "NodeDeclaredFeatureValidator", true },
	{ "JobValidation", true },
	{ "PodResizeValidator", true },
	{ "MutatingAdmissionPolicy", true },
	{ "MutatingAdmissionWebhook", true },
	{ "ValidatingAdmissionPolicy", true },
	{ "ValidatingAdmissionWebhook", true },
	{ "ResourceQuota", true },
	{ "AlwaysDeny", false },
};

/* --- flags --- */

static const struct known *known_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(known[i].name, name) == 0)
			return &known[i];
	return NULL;
}

static bool admission_listed(const char *const *list, const char *name)
{
	for (; list && *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

int apiserver_check_admission(const char *const *enable, const char *const *disable, struct err *err)
{
	for (const char *const *n = enable; n && *n; n++) {
		if (!known_named(*n))
			return err_set(err, ERR_INVALID, "enable-admission-plugins plugin \"%s\" is unknown", *n);
		if (admission_listed(disable, *n))
			return err_set(err, ERR_INVALID,
				       "[%s] in enable-admission-plugins and disable-admission-plugins overlapped", *n);
	}
	for (const char *const *n = disable; n && *n; n++)
		if (!known_named(*n))
			return err_set(err, ERR_INVALID, "disable-admission-plugins plugin \"%s\" is unknown", *n);
	return 0;
}

static uint64_t flags_on(const struct apiserver_opts *o)
{
	uint64_t on = 0;

	for (unsigned i = 0; admission_chain[i]; i++) {
		const struct known *k = known_named(admission_chain[i]->name);

		if (!k || (k->on && !admission_listed(o->disable_admission, k->name)) ||
		    admission_listed(o->enable_admission, k->name))
			on |= UINT64_C(1) << i;
	}
	return on;
}

/* --- the file --- */

static struct val *document_read(struct arena *a, const char *path, struct err *err)
{
	struct budget values = BUDGET(doc_values_limit);
	struct val *doc;
	struct sv text;

	if (file_read(a, path, CONFIG_MAX, &text, err) < 0)
		return NULL;
	doc = yaml_decode_opts(a, text, &(struct yaml_opts){ .values = &values, .alone = true }, err);
	if (!doc)
		err_wrap(err, "'%s'", path);
	return doc;
}

static const char *setup_dir(struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? arena_strndup(a, path, MAX((size_t)(slash - path), (size_t)1)) : ".";
}

static const char *setup_path(struct arena *a, const char *dir, struct sv path)
{
	return path.p[0] == '/' ? arena_cstr(a, path) : arena_printf(a, "%s/%.*s", dir, SV_ARG(path));
}

/* --- what plugins are told --- */

static int set_pod_security(struct admission_set *s, const struct val *config, const char *dir, struct err *err)
{
	(void)dir;
	return ps_config_read(&s->arena, &s->pod_security, config, err);
}

static int set_event_rate(struct admission_set *s, const struct val *config, const char *dir, struct err *err)
{
	(void)dir;
	event_limits_free(s->event_limits);
	s->event_limits = event_limits_new(config, err);
	return s->event_limits ? 0 : -1;
}

static int set_node_selector(struct admission_set *s, const struct val *config, const char *dir, struct err *err)
{
	(void)dir;
	(void)err;
	s->node_selectors = val_member_sv(config, SV("podNodeSelectorPluginConfig"));
	return 0;
}

static int set_tolerations(struct admission_set *s, const struct val *config, const char *dir, struct err *err)
{
	(void)dir;
	(void)err;
	s->tolerations_usual = val_member_sv(config, SV("default"));
	s->tolerations_allowed = val_member_sv(config, SV("whitelist"));
	return 0;
}

static int set_quota(struct admission_set *s, const struct val *config, const char *dir, struct err *err)
{
	(void)dir;
	if (!val_len(config))
		return 0;
	quota_limited_free(s->quota_limited);
	s->quota_limited = quota_limited_new(config, err);
	return s->quota_limited ? 0 : -1;
}

static int set_image_policy(struct admission_set *s, const struct val *config, const char *dir, struct err *err)
{
	image_policy_free(s->image_policy);
	s->image_policy = image_policy_new(config, dir, err);
	return s->image_policy ? 0 : -1;
}

static int set_manifests(struct admission_set *s, enum manifests_of of, const struct val *config, struct err *err)
{
	struct sv dir = val_str(val_member_sv(config, SV("staticManifestsDir")));

	if (!dir.n)
		return 0;
	if (!feature_on(FG_ManifestBasedAdmissionControlConfig))
		return err_set(err, ERR_INVALID,
			       "staticManifestsDir needs the feature gate ManifestBasedAdmissionControlConfig");
	if (s->manifests[of])
		return err_set(err, ERR_INVALID, "it is configured twice");
	s->manifests[of] = manifests_new(of, arena_cstr(&s->arena, dir), err);
	return s->manifests[of] ? 0 : -1;
}

static int set_policies(struct admission_set *s, enum manifests_of of, const char *kind, const struct val *config,
			struct err *err)
{
	if (val_len(config) && !val_is(val_get(config, F_kind), kind))
		return err_set(err, ERR_INVALID, "it is no %s", kind);
	return set_manifests(s, of, config, err);
}

static int set_validating(struct admission_set *s, const struct val *config, const char *dir, struct err *err)
{
	(void)dir;
	return set_policies(s, MANIFESTS_VALIDATING, "ValidatingAdmissionPolicyConfiguration", config, err);
}

static int set_mutating(struct admission_set *s, const struct val *config, const char *dir, struct err *err)
{
	(void)dir;
	return set_policies(s, MANIFESTS_MUTATING, "MutatingAdmissionPolicyConfiguration", config, err);
}

static int set_hooks(struct admission_set *s, enum manifests_of of, const struct val *config, const char *dir,
		     struct err *err)
{
	struct sv file = val_str(val_member_sv(config, SV("kubeConfigFile")));
	size_t n = 0;

	if (val_len(config) && !val_is(val_get(config, F_kind), "WebhookAdmissionConfiguration") &&
	    !val_is(val_get(config, F_kind), "WebhookAdmission"))
		return err_set(err, ERR_INVALID, "it is no WebhookAdmissionConfiguration");
	while (s->hook_kubeconfigs[n])
		n++;
	if (file.n && n < ARRAY_LEN(s->hook_kubeconfigs) - 1)
		s->hook_kubeconfigs[n] = setup_path(&s->arena, dir, file);
	return set_manifests(s, of, config, err);
}

static int set_validating_hooks(struct admission_set *s, const struct val *config, const char *dir, struct err *err)
{
	return set_hooks(s, MANIFESTS_VALIDATING_HOOKS, config, dir, err);
}

static int set_mutating_hooks(struct admission_set *s, const struct val *config, const char *dir, struct err *err)
{
	return set_hooks(s, MANIFESTS_MUTATING_HOOKS, config, dir, err);
}

static const struct {
	const char *name;
	int (*set)(struct admission_set *s, const struct val *config, const char *dir, struct err *err);
} setup_plugins[] = {
	{ "EventRateLimit", set_event_rate },
	{ "ImagePolicyWebhook", set_image_policy },
	{ "MutatingAdmissionPolicy", set_mutating },
	{ "MutatingAdmissionWebhook", set_mutating_hooks },
	{ "PodNodeSelector", set_node_selector },
	{ "PodSecurity", set_pod_security },
	{ "PodTolerationRestriction", set_tolerations },
	{ "ResourceQuota", set_quota },
	{ "ValidatingAdmissionPolicy", set_validating },
	{ "ValidatingAdmissionWebhook", set_validating_hooks },
};

int admission_set_configure(struct admission_set *s, struct sv name, const struct val *config, const char *dir,
			    struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(setup_plugins); i++)
		if (sv_is(name, setup_plugins[i].name))
			return setup_plugins[i].set(s, config, dir, err);
	log_warn("admission", "this plugin has no configuration here: what the file says of it is passed over",
		 "plugin", "%.*s", SV_ARG(name));
	return 0;
}

static int setup_entry(struct admission_set *s, const struct val *entry, const char *dir, struct err *err)
{
	struct sv name = val_get_str(entry, F_name), path = val_str(val_member_sv(entry, SV("path")));
	const struct val *config = val_member_sv(entry, SV("configuration"));

	if (!config && path.n) {
		const char *file = setup_path(&s->arena, dir, path);

		config = document_read(&s->arena, file, err);
		if (!config)
			return -1;
		dir = setup_dir(&s->arena, file);
	}
	if (!config)
		config = val_new_map(&s->arena);
	return admission_set_configure(s, name, config, dir, err) < 0 ? err_wrap(err, "plugin '%.*s'", SV_ARG(name))
								      : 0;
}

static int file_apply(struct admission_set *s, const char *path, struct err *err)
{
	const struct val *doc = document_read(&s->arena, path, err);
	int rc = doc ? 0 : -1;

	if (doc && !val_is(val_get(doc, F_kind), "AdmissionConfiguration"))
		rc = err_set(err, ERR_INVALID, "'%s': it is no AdmissionConfiguration", path);
	VAL_EACH(val_member_sv(doc, SV("plugins")), entry)
		if (rc == 0)
			rc = setup_entry(s, entry, setup_dir(&s->arena, path), err);
	return rc < 0 ? err_wrap(err, "--admission-control-config-file") : 0;
}

struct admission_set *admission_set_new(const struct apiserver_opts *o, struct err *err)
{
	struct admission_set *s = xcalloc(1, sizeof(*s));

	ps_config_default(&s->pod_security);
	if (apiserver_check_admission(o->enable_admission, o->disable_admission, err) < 0 ||
	    (o->admission_config && file_apply(s, o->admission_config, err) < 0))
		return admission_set_free(s);
	s->on = flags_on(o);
	if (admission_listed(o->enable_admission, "EventRateLimit") && !s->event_limits) {
		err_set(err, ERR_INVALID,
			"enable-admission-plugins plugin \"EventRateLimit\" needs its limits: give them in "
			"--admission-control-config-file");
		return admission_set_free(s);
	}
	if (admission_listed(o->enable_admission, "ImagePolicyWebhook") && !s->image_policy) {
		err_set(err, ERR_INVALID,
			"enable-admission-plugins plugin \"ImagePolicyWebhook\" needs to know whom to ask: say it in "
			"--admission-control-config-file");
		return admission_set_free(s);
	}
	return s;
}

struct admission_set *admission_set_free(struct admission_set *s)
{
	if (!s)
		return NULL;
	event_limits_free(s->event_limits);
	image_policy_free(s->image_policy);
	quota_limited_free(s->quota_limited);
	for (size_t i = 0; i < ARRAY_LEN(s->manifests); i++)
		manifests_free(s->manifests[i]);
	arena_release(&s->arena);
	free(s);
	return NULL;
}

void admission_reload(struct apiserver *s)
{
	struct manifests *const *m = s->admission->manifests;

	for (int mutating = 0; mutating < 2; mutating++) {
		if (manifests_reload(m[mutating ? MANIFESTS_MUTATING : MANIFESTS_VALIDATING]))
			admission_policies_changed(s, mutating);
		if (manifests_reload(m[mutating ? MANIFESTS_MUTATING_HOOKS : MANIFESTS_VALIDATING_HOOKS]))
			admission_webhooks_changed(s, mutating);
	}
}
