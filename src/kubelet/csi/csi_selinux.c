/* SELinux: a volume is mounted with the label that its pod's files have (-o context=), at once for all of them, where
 * the node has SELinux and CSIDriver.spec.seLinuxMount says that the driver takes it. A mount has one label: pods with
 * others cannot have it at the same time.
 *
 * The label is made as runtimes make that of the container (user and level as the pod says, the rest as the node's
 * policy has it for containers' files), so that one may read what the other was given. Without a level runtimes choose
 * one for each container, which nobody can know before: then no label is given. */
#include "kubelet/csi/csi-internal.h"

#include "base/file.h"

#include <unistd.h>

#define SELINUX_THERE "/sys/fs/selinux/enforce"
#define SELINUX_CONFIG "/etc/selinux/config"
#define SELINUX_TEXT_MAX (64 * 1024)
#define SELINUX_WORD_MAX 1024

/* --- the node's --- */

static const char *selinux_path(const struct csi_run *r, const char *path)
{
	return arena_printf(r->a, "%s%s", r->c->o.host_dir ? r->c->o.host_dir : "", path);
}

/* KEY=value or key = "value", of whole lines; "": it is not there. */
static struct sv selinux_setting(struct sv text, const char *key)
{
	struct sv line, name;

	while (sv_split(&text, '\n', &line)) {
		if (!sv_split(&line, '=', &name) || !sv_is(sv_trim(name), key))
			continue;
		line = sv_trim(line);
		if (line.n >= 2 && line.p[0] == '"' && line.p[line.n - 1] == '"')
			line = sv_sub(line, 1, line.n - 1);
		return line;
	}
	return SV("");
}

/* What the policy has for files of containers: "system_u:object_r:container_file_t:s0". "": there is no such thing. */
static struct sv selinux_files(const struct csi_run *r)
{
	struct sv text, policy;

	if (access(selinux_path(r, SELINUX_THERE), F_OK) < 0 ||
	    file_read(r->a, selinux_path(r, SELINUX_CONFIG), SELINUX_TEXT_MAX, &text, NULL) < 0)
		return SV("");
	policy = selinux_setting(text, "SELINUXTYPE");
	if (!policy.n || sv_find(policy, '/') >= 0 || policy.p[0] == '.' ||
	    file_read(r->a,
		      selinux_path(r, arena_printf(r->a, "/etc/selinux/%.*s/contexts/lxc_contexts", SV_ARG(policy))),
		      SELINUX_TEXT_MAX, &text, NULL) < 0)
		return SV("");
	return selinux_setting(text, "file");
}

/* --- the pod's --- */

/* What a pod says ends up among the options of a mount: nothing there may end the label. */
static bool selinux_word_ok(struct sv word)
{
	for (size_t i = 0; i < word.n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:,-", word.p[i]) ||
		    !word.p[i])
			return false;
	return word.n <= SELINUX_WORD_MAX;
}

/* NULL: the pod's part is none. Of a label's parts, the first three end with a colon; the level may have more of them.
 */
static const char *selinux_label(const struct csi_run *r, struct sv files, const struct val *options, struct err *err)
{
	struct sv level = val_get_str(options, F_level), user = val_get_str(options, F_user), part[3], rest = files;

	for (size_t i = 0; i < ARRAY_LEN(part); i++)
		if (!sv_split(&rest, ':', &part[i]))
			return "";
	if (!level.n)
		return "";
	if (!selinux_word_ok(level) || !selinux_word_ok(user)) {
		(void)err_set(err, ERR_INVALID, "the pod's seLinuxOptions are no SELinux label");
		return NULL;
	}
	return arena_printf(r->a, "%.*s:%.*s:%.*s:%.*s", SV_ARG(user.n ? user : part[0]), SV_ARG(part[1]),
			    SV_ARG(part[2]), SV_ARG(level));
}

static bool selinux_mounts(const struct val *container, const char *volume)
{
	VAL_EACH(val_member(container, F_volumeMounts), m)
		if (val_is(val_member(m, F_name), volume))
			return true;
	return false;
}

/* In the arena; "": none. NULL: its containers have several, or what is none. */
static const char *selinux_of(const struct csi_run *r, const struct csi_run_use *u, struct sv files, struct err *err)
{
	static const enum sym lists[] = { F_initContainers, F_containers };
	const struct val *of_pod = obj_get(u->pod, F_spec, F_securityContext, F_seLinuxOptions);
	const char *label = NULL;

	if (val_is(obj_get(u->pod, F_spec, F_securityContext, F_seLinuxChangePolicy), "Recursive"))
		return "";
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(obj_get(u->pod, F_spec, lists[i]), c) {
			const struct val *own = val_get(c, F_securityContext, F_seLinuxOptions);
			const char *one;

			if (!selinux_mounts(c, u->volume))
				continue;
			one = selinux_label(r, files, own ? own : of_pod, err);
			if (!one)
				return NULL;
			if (label && strcmp(label, one) != 0) {
				(void)err_set(err, ERR_INVALID, "multiple SELinux labels found: %s,%s", label, one);
				return NULL;
			}
			label = one;
		}
	return label ? label : "";
}

static bool selinux_is_for(const struct csi_run *r, const struct csi_run_use *u)
{
	return r->driver && val_bool(obj_get(r->driver, F_spec, F_seLinuxMount)) && !r->v->block && u->source &&
	       u->pod && val_len(obj_get(u->source, F_spec, F_accessModes)) == 1;
}

/* Those that have it already, and those before it: who came first has it. */
static int selinux_alone(const struct csi_run *r, const struct csi_run_use *u, struct sv files, const char *label,
			 struct err *err)
{
	for (const struct csi_run_use *o = r->uses; o < r->uses + r->n_uses; o++) {
		const char *other;

		if (o == u || !o->pod || (o->state != CSI_READY && (o > u || o->state == CSI_GOING)))
			continue;
		other = selinux_of(r, o, files, NULL);
		if (other && strcmp(other, label) != 0)
			return err_set(err, ERR_UNAVAILABLE,
				       "conflicting SELinux labels of volume %s: \"%s\" and \"%s\"", u->spec_name,
				       other, label);
	}
	return 0;
}

int csi_selinux(struct csi_run *r, const struct csi_run_use *u, struct csi_mount *m, struct err *err)
{
	struct sv files = selinux_is_for(r, u) ? selinux_files(r) : SV("");
	const char *label;
	struct val *options;

	if (!files.n)
		return 0;
	label = selinux_of(r, u, files, err);
	if (!label || selinux_alone(r, u, files, label, err) < 0)
		return -1;
	if (!*label)
		return 0;
	options = val_new_list(r->a);
	VAL_EACH(m->cap.mount_options, o)
		val_push(r->a, options, val_new_str(r->a, val_str(o)));
	val_push(r->a, options, val_new_str(r->a, arena_svf(r->a, "context=\"%s\"", label))); /* it has commas */
	m->cap.mount_options = options;
	return 0;
}
