/* containers.c - containers of a pod: names, ports, mounts, probes, resources. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"
#include "codec/val_index.h"
#include "object/quantity.h"

enum role { ROLE_INIT, ROLE_MAIN, ROLE_EPHEMERAL };

/* --- resources --- */

/* The general rule of names of resources, then that of containers: upstream says both. */
void check_container_resource_name(struct field_errs *fe, const struct fpath *at, struct sv name)
{
	static const char *const of_containers[] = { "cpu", "memory", "ephemeral-storage" };

	check_resource_name(fe, at, name);
	if (sv_find(name, '/') >= 0) {
		/* requests.example.com/x would collide with quota's own names. */
		if (sv_find_sv(name, SV("kubernetes.io/")) < 0 && sv_starts(name, SV("requests.")))
			fe_format(fe, at, name, "doesn't follow extended resource name standard");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(of_containers); i++)
		if (sv_is(name, of_containers[i]))
			return;
	if (!sv_starts(name, SV("hugepages-")))
		fe_format(fe, at, name, "must be a standard resource for containers");
}

/* Native resources but huge pages may be promised more often than they exist. */
static bool overcommit_ok(struct sv name)
{
	bool native = sv_find(name, '/') < 0 || sv_find_sv(name, SV("kubernetes.io/")) >= 0;

	return native && !sv_starts(name, SV("hugepages-"));
}

/* Of pages of a size there are whole ones. */
static void whole_pages(struct field_errs *fe, const struct fpath *at, struct sv name, const struct val *v)
{
	struct sv size = sv_sub(name, strlen("hugepages-"), name.n);
	int64_t page, amount;

	if (!quantity_milli(size, &page) || page <= 0 || !quantity_milli(val_str(v), &amount))
		return;
	if (amount <= 0 || amount % page)
		fe_add(fe, FE_INVALID, at, v, "%.*s is not positive integer multiple of %.*s", SV_ARG(val_str(v)),
		       SV_ARG(name));
}

void validate_resource_list(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	VAL_EACH_MEMBER(list, m) {
		struct fpath here = FPATH_KEY(at, m.key);
		int64_t milli;

		check_container_resource_name(fe, &here, m.key);
		if (!quantity_milli(val_str(m.value), &milli))
			continue;
		if (milli < 0)
			fe_invalid(fe, &here, m.value, MSG_NONNEGATIVE);
		if (!overcommit_ok(m.key) && !sv_starts(m.key, SV("hugepages-")) && milli % 1000)
			fe_invalid(fe, &here, m.value, "must be an integer");
		if (sv_starts(m.key, SV("hugepages-")))
			whole_pages(fe, &here, m.key, m.value);
	}
}

/* Huge pages come on top of something. */
static void huge_pages(struct field_errs *fe, const struct val *res, const struct fpath *at)
{
	static const enum sym lists[] = { F_limits, F_requests };
	bool huge = false, usual = false;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH_MEMBER(val_member(res, lists[i]), m) {
			huge |= sv_starts(m.key, SV("hugepages-"));
			usual |= sv_is(m.key, "cpu") || sv_is(m.key, "memory");
		}
	if (huge && !usual)
		fe_forbidden(fe, at, "HugePages require cpu or memory");
}

void validate_requirements(struct field_errs *fe, const struct val *res, const struct fpath *at)
{
	const struct val *limits = val_member(res, F_limits), *requests = val_member(res, F_requests);
	struct fpath lim_at = FPATH(at, F_limits), req_at = FPATH(at, F_requests);
	_cleanup_(val_index_release) struct val_index limit_of = val_index_of(limits);

	validate_resource_list(fe, limits, &lim_at);
	validate_resource_list(fe, requests, &req_at);
	VAL_EACH_MEMBER(requests, m) {
		const struct val *limit = val_index_get(&limit_of, m.key);
		int cmp;

		if (!limit) {
			if (!overcommit_ok(m.key))
				fe_required_why(fe, &lim_at, "Limit must be set for non overcommitable resources");
			continue;
		}
		cmp = quantity_cmp(val_str(m.value), val_str(limit));
		if (cmp && !overcommit_ok(m.key))
			fe_add(fe, FE_INVALID, &req_at, m.value, "must be equal to %.*s limit of %.*s", SV_ARG(m.key),
			       SV_ARG(val_str(limit)));
		else if (cmp > 0)
			fe_add(fe, FE_INVALID, &req_at, m.value, "must be less than or equal to %.*s limit of %.*s",
			       SV_ARG(m.key), SV_ARG(val_str(limit)));
	}
	huge_pages(fe, res, at);
}

static void validate_claims(struct field_errs *fe, const struct pod_ctx *pc, const struct val *res,
			    const struct fpath *at)
{
	struct fpath claims_at = FPATH(at, F_claims);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	VAL_EACH(val_member(res, F_claims), c) {
		struct fpath item = FPATH_AT(&claims_at, i++);
		struct sv id =
		    arena_svf(fe->a, "%.*s/%.*s", SV_ARG(val_get_str(c, F_name)), SV_ARG(val_get_str(c, F_request)));

		check_required(fe, c, &item, F_name);
		if (strmap_set(&seen, id, fe))
			fe_duplicate(fe, &item, val_member(c, F_name));
		if (val_get_str(c, F_name).n && !strmap_has(&pc->claims_by_name, val_get_str(c, F_name)))
			fe_not_found(fe, &item, val_member(c, F_name));
	}
}

/* --- probes and hooks --- */

static void handler(struct field_errs *fe, const struct schema_union *u, const struct val *h, const struct fpath *at)
{
	const struct val *http = val_member(h, F_httpGet);
	struct fpath http_at = FPATH(at, F_httpGet), tcp_at = FPATH(at, F_tcpSocket), grpc_at = FPATH(at, F_grpc);
	struct fpath http_port = FPATH(&http_at, F_port), tcp_port = FPATH(&tcp_at, F_port);
	struct fpath grpc_port = FPATH(&grpc_at, F_port), headers_at = FPATH(&http_at, F_httpHeaders);
	size_t i = 0;

	check_union(fe, u, h, at);
	if (http) {
		check_port_or_name(fe, val_member(http, F_port), &http_port);
		VAL_EACH(val_member(http, F_httpHeaders), hd) {
			struct fpath item = FPATH_AT(&headers_at, i++), name_at = FPATH(&item, F_name);

			fe_check(fe, &name_at, val_get_str(hd, F_name), fmt_http_header);
		}
	}
	if (val_member(h, F_tcpSocket))
		check_port_or_name(fe, val_get(h, F_tcpSocket, F_port), &tcp_port);
	if (val_member(h, F_grpc))
		check_range(fe, val_get(h, F_grpc, F_port), &grpc_port, 1, 65535);
}

/* A hook may also just wait, for less than the pod has to end. */
static void hook(struct field_errs *fe, const struct pod_ctx *pc, const struct val *h, const struct fpath *at)
{
	const struct val *secs = val_get(h, F_sleep, F_seconds);
	int64_t grace = val_get_int(pc->spec, 30, F_terminationGracePeriodSeconds);
	struct fpath sleep_at = FPATH(at, F_sleep);

	handler(fe, &U_core_LifecycleHandler, h, at);
	if (val_member(h, F_sleep) && (val_int_or(secs, 0) < 0 || val_int_or(secs, 0) > grace))
		fe_add(fe, FE_INVALID, &sleep_at, secs,
		       "must be non-negative and less than terminationGracePeriodSeconds (%" PRId64 ")", grace);
}

static void probe(struct field_errs *fe, const struct val *c, const struct fpath *up, enum sym name)
{
	const struct val *p = val_member(c, name), *grace = val_member(p, F_terminationGracePeriodSeconds);
	struct fpath at = FPATH(up, name), success_at = FPATH(&at, F_successThreshold);
	struct fpath grace_at = FPATH(&at, F_terminationGracePeriodSeconds);

	if (!p)
		return;
	handler(fe, &U_core_ProbeHandler, p, &at);
	CHECK_NONNEGATIVE(fe, p, &at, F_initialDelaySeconds, F_timeoutSeconds, F_periodSeconds, F_successThreshold,
			  F_failureThreshold);
	if (grace && val_int_or(grace, 0) <= 0)
		fe_invalid(fe, &grace_at, grace, "must be greater than 0");
	if (name == F_readinessProbe) {
		if (grace)
			fe_invalid(fe, &grace_at, grace, "must not be set for readinessProbes");
	} else if (val_get_int(p, 1, F_successThreshold) != 1) {
		fe_invalid(fe, &success_at, val_member(p, F_successThreshold), "must be 1");
	}
}

/* --- ports and mounts --- */

static void containers_ports(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c,
			     const struct fpath *up, enum role role, struct strmap *host_ports)
{
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT;
	struct fpath at = FPATH(up, F_ports);
	/* Upstream looks at the main containers only. */
	bool on_host = role == ROLE_MAIN && val_get_bool(pc->spec, F_hostNetwork);
	size_t i = 0;

	VAL_EACH(val_member(c, F_ports), p) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_name),
			     host_at = FPATH(&item, F_hostPort);
		struct fpath port_at = FPATH(&item, F_containerPort);
		const struct val *host = val_member(p, F_hostPort), *name = val_member(p, F_name);
		struct sv id;

		if (val_str(name).n) {
			if (fmt_port_name(val_str(name)))
				fe_check(fe, &name_at, val_str(name), fmt_port_name);
			else if (strmap_set(&names, val_str(name), fe))
				fe_duplicate(fe, &name_at, name);
		}
		if (val_get_int(p, 0, F_containerPort) == 0)
			fe_required(fe, &port_at);
		else
			check_range(fe, val_member(p, F_containerPort), &port_at, 1, 65535);
		if (on_host && (pc->place == POD || val_int_or(host, 0)) &&
		    val_int_or(host, 0) != val_get_int(p, 0, F_containerPort))
			fe_invalid(fe, &host_at, host ? host : val_new_int(fe->a, 0),
				   "must match `containerPort` when `hostNetwork` is true");
		if (val_int_or(host, 0) == 0)
			continue;
		check_range(fe, host, &host_at, 1, 65535);
		id = arena_svf(fe->a, "%.*s/%.*s/%" PRId64, SV_ARG(val_get_str(p, F_protocol)),
			       SV_ARG(val_get_str(p, F_hostIP)), val_int_or(host, 0));
		if (strmap_set(host_ports, id, fe))
			fe_duplicate(fe, &host_at, val_new_str(fe->a, id));
	}
}

static void recursive(struct field_errs *fe, const struct val *m, const struct fpath *up)
{
	const struct val *v = val_member(m, F_recursiveReadOnly), *prop = val_member(m, F_mountPropagation);
	struct fpath at = FPATH(up, F_recursiveReadOnly);

	CHECK_ONE_OF(fe, v, &at, "Disabled", "Enabled", "IfPossible");
	if (val_is(v, "Disabled"))
		return;
	if (!val_get_bool(m, F_readOnly))
		fe_forbidden(fe, &at, "may only be specified when readOnly is true");
	if (prop && !val_is(prop, "None"))
		fe_forbidden(fe, &at, "may only be specified when mountPropagation is None or not specified");
}

static void names_and_paths(struct field_errs *fe, const struct val *list, enum sym path, struct strmap *names,
			    struct strmap *paths)
{
	VAL_EACH(list, v) {
		strmap_set(names, val_get_str(v, F_name), fe);
		strmap_set(paths, val_str(val_member(v, path)), fe);
	}
}

static void mounts(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c, const struct fpath *up,
		   enum role role)
{
	_cleanup_(strmap_release) struct strmap paths = STRMAP_INIT, dev_names = STRMAP_INIT, dev_paths = STRMAP_INIT;
	struct fpath at = FPATH(up, F_volumeMounts);
	bool privileged = val_get_bool(c, F_securityContext, F_privileged);
	size_t i = 0;

	names_and_paths(fe, val_member(c, F_volumeDevices), F_devicePath, &dev_names, &dev_paths);
	VAL_EACH(val_member(c, F_volumeMounts), m) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_name),
			     path_at = FPATH(&item, F_mountPath);
		struct fpath sub_at = FPATH(&item, F_subPath), expr_at = FPATH(&item, F_subPathExpr);
		/* Upstream leaves the index out of these. */
		struct fpath prop_at = FPATH(&at, F_mountPropagation), sub_path_at = FPATH(&at, F_subPath),
			     sub_expr_at = FPATH(&at, F_subPathExpr);
		const struct val *sub = val_member(m, F_subPath), *expr = val_member(m, F_subPathExpr);
		const struct val *vol = pod_volume_named(pc, val_get_str(m, F_name));

		if (!vol && pc->place != TEMPLATE_WITH_CLAIMS)
			fe_not_found(fe, &name_at,
				     val_member(m, F_name) ? val_member(m, F_name) : val_new_str(fe->a, SV("")));
		if (strmap_set(&paths, val_get_str(m, F_mountPath), fe))
			fe_invalid(fe, &path_at, val_member(m, F_mountPath), "must be unique");
		if (strmap_get(&dev_names, val_get_str(m, F_name)))
			fe_invalid(fe, &name_at, val_member(m, F_name), "must not already exist in volumeDevices");
		if (strmap_get(&dev_paths, val_get_str(m, F_mountPath)))
			fe_invalid(fe, &path_at, val_member(m, F_mountPath),
				   "must not already exist as a path in volumeDevices");
		if (role == ROLE_EPHEMERAL) {
			if (val_str(sub).n)
				fe_forbidden(fe, &sub_at, "cannot be set for an Ephemeral Container");
			if (val_str(expr).n)
				fe_forbidden(fe, &expr_at, "cannot be set for an Ephemeral Container");
		}
		if (val_str(sub).n)
			check_rel_path(fe, sub, &sub_path_at);
		if (val_str(expr).n) {
			if (val_str(sub).n)
				fe_invalid(fe, &expr_at, expr, "subPathExpr and subPath are mutually exclusive");
			check_rel_path(fe, expr, &sub_expr_at);
		}
		CHECK_ONE_OF(fe, val_member(m, F_mountPropagation), &prop_at, "Bidirectional", "HostToContainer",
			     "None");
		if (val_is(val_member(m, F_mountPropagation), "Bidirectional") && !privileged)
			fe_forbidden(fe, &prop_at,
				     "Bidirectional mount propagation is available only to privileged containers");
		if (val_member(m, F_recursiveReadOnly))
			recursive(fe, m, &at);
	}
}

/* Volumes as devices: of claims, no name or path twice, not even as a mount. */
static void devices(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c, const struct fpath *up)
{
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT, paths = STRMAP_INIT, mount_names = STRMAP_INIT,
						mount_paths = STRMAP_INIT;
	struct fpath at = FPATH(up, F_volumeDevices);
	size_t i = 0;

	names_and_paths(fe, val_member(c, F_volumeMounts), F_mountPath, &mount_names, &mount_paths);
	VAL_EACH(val_member(c, F_volumeDevices), d) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_name);
		struct fpath path_at = FPATH(&item, F_devicePath);
		const struct val *name = val_member(d, F_name), *path = val_member(d, F_devicePath);
		const struct val *vol = pod_volume_named(pc, val_str(name));

		if (val_str(name).n && strmap_set(&names, val_str(name), fe))
			fe_invalid(fe, &name_at, name, "must be unique");
		if (!vol && pc->place != TEMPLATE_WITH_CLAIMS)
			fe_not_found(fe, &name_at, name ? name : val_new_str(fe->a, SV("")));
		else if (vol && !val_member(vol, F_persistentVolumeClaim) && !val_member(vol, F_ephemeral))
			fe_invalid(
			    fe, &name_at, name,
			    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
		if (has_dotdot(val_str(path)))
			fe_invalid(fe, &path_at, path, "can not contain backsteps ('..')");
		else if (val_str(path).n && strmap_set(&paths, val_str(path), fe))
			fe_invalid(fe, &path_at, path, "must be unique");
		if (strmap_get(&mount_names, val_str(name)))
			fe_invalid(fe, &name_at, name, "must not already exist in volumeMounts");
		if (strmap_get(&mount_paths, val_str(path)))
			fe_invalid(fe, &path_at, path, "must not already exist as a path in volumeMounts");
	}
}

static void containers_security(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c,
				const struct fpath *up)
{
	const struct val *sc = val_member(c, F_securityContext), *esc = val_member(sc, F_allowPrivilegeEscalation);
	struct fpath at = FPATH(up, F_securityContext), user_at = FPATH(&at, F_runAsUser),
		     group_at = FPATH(&at, F_runAsGroup), proc_at = FPATH(&at, F_procMount);
	const struct val *users = val_member(pc->spec, F_hostUsers);

	if (!sc)
		return;
	validate_security_profiles(fe, sc, &at);
	if (val_is(val_member(sc, F_procMount), "Unmasked") && (!users || val_bool(users)))
		fe_invalid(fe, &proc_at, val_member(sc, F_procMount), "`hostUsers` must be false to use `Unmasked`");
	if (val_type(val_member(sc, F_runAsUser)) == VAL_INT)
		check_range(fe, val_member(sc, F_runAsUser), &user_at, 0, INT32_MAX);
	check_range(fe, val_member(sc, F_runAsGroup), &group_at, 0, INT32_MAX);
	if (!esc || val_bool(esc))
		return;
	if (val_get_bool(sc, F_privileged))
		fe_invalid(fe, &at, sc, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
	VAL_EACH(val_get(sc, F_capabilities, F_add), cap)
		if (val_is(cap, "CAP_SYS_ADMIN"))
			fe_invalid(
			    fe, &at, sc,
			    "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
}

/* --- a container --- */

static void resize_policy(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c, const struct fpath *up)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_resizePolicy);
	size_t i = 0;

	VAL_EACH(val_member(c, F_resizePolicy), p) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_resourceName),
			     policy_at = FPATH(&item, F_restartPolicy);
		const struct val *policy = val_member(p, F_restartPolicy);

		CHECK_ONE_OF(fe, val_member(p, F_resourceName), &name_at, "cpu", "memory");
		if (strmap_set(&seen, val_get_str(p, F_resourceName), fe))
			fe_duplicate(fe, &item, val_member(p, F_resourceName));
		CHECK_ONE_OF(fe, policy, &policy_at, "NotRequired", "RestartContainer");
		if (val_is(val_member(pc->spec, F_restartPolicy), "Never") && val_is(policy, "RestartContainer"))
			fe_invalid(fe, &policy_at, policy, "must be 'NotRequired' when `restartPolicy` is 'Never'");
	}
}

/* A container's own policy, and by exit code (KEP-5307). */
static void restart_policy(struct field_errs *fe, const struct val *c, const struct fpath *up)
{
	const struct val *policy = val_member(c, F_restartPolicy), *rules = val_member(c, F_restartPolicyRules);
	struct fpath at = FPATH(up, F_restartPolicy), rules_at = FPATH(up, F_restartPolicyRules);
	size_t i = 0;

	CHECK_ONE_OF(fe, policy, &at, "Always", "Never", "OnFailure");
	if (!policy && val_len(rules))
		fe_required_why(fe, &at, "must specify restartPolicy when restart rules are used");
	if (val_len(rules) > 20)
		fe_too_many(fe, &rules_at, val_len(rules), 20);
	VAL_EACH(rules, r) {
		struct fpath item = FPATH_AT(&rules_at, i++), action_at = FPATH(&item, F_action);
		struct fpath codes_at = FPATH(&item, F_exitCodes), op_at = FPATH(&codes_at, F_operator);
		struct fpath values_at = FPATH(&codes_at, F_values);
		const struct val *codes = val_member(r, F_exitCodes);

		CHECK_ONE_OF(fe, val_member(r, F_action), &action_at, "Restart", "RestartAllContainers");
		if (!codes) {
			fe_required_why(fe, &codes_at, "must be specified");
			continue;
		}
		CHECK_ONE_OF(fe, val_member(codes, F_operator), &op_at, "In", "NotIn");
		if (val_len(val_member(codes, F_values)) > 255)
			fe_too_many(fe, &values_at, val_len(val_member(codes, F_values)), 255);
	}
}

static void init_only(struct field_errs *fe, const struct val *c, const struct fpath *at)
{
	static const enum sym later[] = { F_lifecycle, F_livenessProbe, F_readinessProbe, F_startupProbe };
	const struct val *policy = val_member(c, F_restartPolicy);

	if (val_is(policy, "Always"))
		return;
	for (size_t i = 0; i < ARRAY_LEN(later); i++) {
		struct fpath here = FPATH(at, later[i]);

		if (val_member(c, later[i]))
			fe_forbidden(fe, &here, "may not be set for init containers without restartPolicy=Always");
	}
}

static void ephemeral_only(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c, const struct fpath *at)
{
	static const enum sym never[] = { F_ports,	  F_lifecycle,	  F_livenessProbe, F_readinessProbe,
					  F_startupProbe, F_resizePolicy, F_restartPolicy, F_restartPolicyRules };
	struct fpath target_at = FPATH(at, F_targetContainerName), res_at = FPATH(at, F_resources);
	struct sv target = val_get_str(c, F_targetContainerName);

	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		struct fpath here = FPATH(at, never[i]);

		if (val_member(c, never[i]))
			fe_forbidden(fe, &here, "cannot be set for an Ephemeral Container");
	}
	if (val_len(val_member(c, F_resources)))
		fe_forbidden(fe, &res_at, "cannot be set for an Ephemeral Container");
	if (target.n && !strmap_has(&pc->targets_by_name, target))
		fe_not_found(fe, &target_at, val_member(c, F_targetContainerName));
}

static void container(struct field_errs *fe, const struct pod_ctx *pc, const struct val *c, const struct fpath *at,
		      enum role role, struct strmap *names, struct strmap *host_ports)
{
	struct fpath name_at = FPATH(at, F_name), image_at = FPATH(at, F_image), res_at = FPATH(at, F_resources);
	struct fpath hooks_at = FPATH(at, F_lifecycle), start_at = FPATH(&hooks_at, F_postStart);
	struct fpath stop_at = FPATH(&hooks_at, F_preStop);
	struct sv image = val_get_str(c, F_image);

	if (val_get_str(c, F_name).n && strmap_set(names, val_get_str(c, F_name), fe))
		fe_duplicate(fe, &name_at, val_member(c, F_name));
	if (pc->place == POD && sv_trim(image).n != image.n)
		fe_invalid(fe, &image_at, val_member(c, F_image), "must not have leading or trailing whitespace");
	if (val_get(c, F_lifecycle, F_postStart))
		hook(fe, pc, val_get(c, F_lifecycle, F_postStart), &start_at);
	if (val_get(c, F_lifecycle, F_preStop))
		hook(fe, pc, val_get(c, F_lifecycle, F_preStop), &stop_at);
	probe(fe, c, at, F_livenessProbe);
	probe(fe, c, at, F_readinessProbe);
	probe(fe, c, at, F_startupProbe);
	containers_ports(fe, pc, c, at, role, host_ports);
	validate_container_env(fe, pc, c, at);
	mounts(fe, pc, c, at, role);
	devices(fe, pc, c, at);
	validate_requirements(fe, val_member(c, F_resources), &res_at);
	validate_claims(fe, pc, val_member(c, F_resources), &res_at);
	containers_security(fe, pc, c, at);
	resize_policy(fe, pc, c, at);
	if (role != ROLE_EPHEMERAL)
		restart_policy(fe, c, at);
	if (role == ROLE_INIT)
		init_only(fe, c, at);
	if (role == ROLE_EPHEMERAL)
		ephemeral_only(fe, pc, c, at);
}

void validate_containers(struct field_errs *fe, const struct pod_ctx *pc, const struct fpath *at)
{
	static const enum sym lists[] = { F_containers, F_initContainers, F_ephemeralContainers };
	static const enum role roles[] = { ROLE_MAIN, ROLE_INIT, ROLE_EPHEMERAL };
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT, host_ports = STRMAP_INIT;

	/* Names are unique over all three; host ports too, but init containers are done by then. */
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct fpath list_at = FPATH(at, lists[k]);
		_cleanup_(strmap_release) struct strmap alone = STRMAP_INIT;
		size_t i = 0;

		VAL_EACH(val_member(pc->spec, lists[k]), c) {
			struct fpath item = FPATH_AT(&list_at, i++);

			container(fe, pc, c, &item, roles[k], &names, roles[k] == ROLE_INIT ? &alone : &host_ports);
		}
	}
}
