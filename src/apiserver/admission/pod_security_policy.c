/* What a namespace asks for, and what holds where it does not. */
#include "apiserver/admission/pod_security.h"
#include "base/go_quote.h"

#include <stdio.h>
#include <stdlib.h>

#define LABEL "pod-security.kubernetes.io/"
#define EXEMPT_MAX 10000 /* of a file that is read once */
#define NO_LEVEL "must be one of privileged, baseline, restricted"
#define NO_VERSION "must be \"latest\" or \"v1.x\""

const char *const ps_modes[3] = { "enforce", "audit", "warn" };
static const char *const levels[_PS_LEVEL_MAX] = { "privileged", "baseline", "restricted" };

static struct ps_rule *rule_of(struct ps_policy *p, size_t mode)
{
	struct ps_rule *const of[] = { &p->enforce, &p->audit, &p->warn };

	return of[mode];
}

static bool level_from(struct sv s, enum ps_level *ret)
{
	for (unsigned i = 0; i < _PS_LEVEL_MAX; i++)
		if (sv_is(s, levels[i])) {
			*ret = (enum ps_level)i;
			return true;
		}
	return false;
}

static bool version_from(struct sv s, int64_t *ret)
{
	struct sv digits = sv_sub(s, 3, s.n);

	if (sv_is(s, "latest")) {
		*ret = PS_LATEST;
		return true;
	}
	if (!sv_starts(s, SV("v1.")) || !digits.n || (digits.p[0] == '0' && digits.n > 1))
		return false;
	for (size_t i = 0; i < digits.n; i++)
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return false;
	return sv_to_i64(digits, ret) && *ret < PS_LATEST;
}

const char *ps_rule_text(struct arena *a, struct ps_rule r)
{
	return r.minor == PS_LATEST ? arena_printf(a, "%s:latest", levels[r.level])
				    : arena_printf(a, "%s:v1.%" PRId64, levels[r.level], r.minor);
}

static void label_wrong(struct field_errs *fe, struct sv key, const struct val *v, const char *why)
{
	const struct fpath meta = FPATH_ROOT(F_metadata), labels = FPATH(&meta, F_labels), at = FPATH_KEY(&labels, key);

	if (fe)
		fe_invalid(fe, &at, v, why);
}

/* Every Pod asks, and of most namespaces none of the labels is one of ours. */
static bool ps_says(const struct val *labels)
{
	VAL_EACH_MEMBER(labels, m)
		if (sv_starts(m.key, SV(LABEL)))
			return true;
	return false;
}

struct ps_policy ps_policy_of(const struct ps_config *c, const struct val *labels, struct field_errs *fe)
{
	struct ps_policy p = c->defaults;
	bool enforced = false, warns = false, warns_version = false;

	if (!ps_says(labels))
		return p;
	for (size_t i = 0; i < ARRAY_LEN(ps_modes); i++) {
		struct ps_rule *r = rule_of(&p, i);
		char level_key[64], version_key[64];
		const struct val *level, *version;

		snprintf(level_key, sizeof(level_key), LABEL "%s", ps_modes[i]);
		snprintf(version_key, sizeof(version_key), LABEL "%s-version", ps_modes[i]);
		level = val_member_sv(labels, sv_from(level_key));
		version = val_member_sv(labels, sv_from(version_key));
		if (level && !level_from(val_str(level), &r->level)) {
			r->level = i ? PS_PRIVILEGED : PS_RESTRICTED;
			label_wrong(fe, sv_from(level_key), level, NO_LEVEL);
		} else if (level && i == 0) {
			enforced = true;
		}
		if (version && !version_from(val_str(version), &r->minor)) {
			r->minor = PS_LATEST;
			label_wrong(fe, sv_from(version_key), version, NO_VERSION);
		}
		warns = warns || (i == 2 && level);
		warns_version = warns_version || (i == 2 && version);
	}
	/* Who is refused pods hears it of what makes them, unless the namespace says otherwise. */
	if (enforced && !warns && p.enforce.level > p.warn.level) {
		p.warn.level = p.enforce.level;
		if (!warns_version)
			p.warn.minor = p.enforce.minor;
	}
	return p;
}

/* --- the configuration file --- */

void ps_config_default(struct ps_config *c)
{
	*c = (struct ps_config){ .defaults = {
				     .enforce = { PS_PRIVILEGED, PS_LATEST },
				     .audit = { PS_PRIVILEGED, PS_LATEST },
				     .warn = { PS_PRIVILEGED, PS_LATEST },
				 } };
}

static int ps_config_wrong(struct err *err, const char *field, struct sv value, const char *why)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	go_quote(&b, value);
	return err_set(err, ERR_INVALID, "%s: Invalid value: %s: %s", field, buf_cstr(&b), why);
}

static int exempt_read(struct arena *a, struct ps_exempt *e, const struct val *list, const char *what, struct err *err)
{
	size_t n = val_len(list);

	if (list && val_type(list) != VAL_LIST && val_type(list) != VAL_NULL)
		return err_set(err, ERR_INVALID, "exemptions.%s: it is no list", what);
	if (n > EXEMPT_MAX)
		return err_set(err, ERR_INVALID, "exemptions.%s: more than %d entries", what, EXEMPT_MAX);
	e->names = ARENA_ARRAY(a, struct sv, n + 1);
	VAL_EACH(list, v) {
		if (!val_str(v).n)
			return err_set(err, ERR_INVALID, "exemptions.%s: an entry is empty, or no text", what);
		e->names[e->n++] = arena_sv(a, val_str(v));
	}
	qsort(e->names, e->n, sizeof(*e->names), sv_order);
	for (size_t i = 1; i < e->n; i++)
		if (sv_eq(e->names[i - 1], e->names[i]))
			return err_set(err, ERR_INVALID, "exemptions.%s: Duplicate value: \"%.*s\"", what,
				       SV_ARG(e->names[i]));
	return 0;
}

static int defaults_read(struct ps_policy *p, const struct val *defaults, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(ps_modes); i++) {
		struct ps_rule *r = rule_of(p, i);
		char name[32], field[48];
		struct sv level, version;

		snprintf(name, sizeof(name), "%s-version", ps_modes[i]);
		level = val_str(val_member_sv(defaults, sv_from(ps_modes[i])));
		version = val_str(val_member_sv(defaults, sv_from(name)));
		if (level.n && !level_from(level, &r->level)) {
			snprintf(field, sizeof(field), "defaults.%s", ps_modes[i]);
			return ps_config_wrong(err, field, level, NO_LEVEL);
		}
		if (version.n && !version_from(version, &r->minor)) {
			snprintf(field, sizeof(field), "defaults.%s", name);
			return ps_config_wrong(err, field, version, NO_VERSION);
		}
	}
	return 0;
}

int ps_config_read(struct arena *a, struct ps_config *c, const struct val *doc, struct err *err)
{
	const struct val *exempt = val_member_sv(doc, SV("exemptions"));
	struct sv version = val_get_str(doc, F_apiVersion), group;

	if (!val_is(val_get(doc, F_kind), "PodSecurityConfiguration") || !sv_split(&version, '/', &group) ||
	    !sv_is(group, "pod-security.admission.config.k8s.io") ||
	    (!sv_is(version, "v1") && !sv_is(version, "v1beta1") && !sv_is(version, "v1alpha1")))
		return err_set(err, ERR_INVALID,
			       "it is no PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1");
	if (defaults_read(&c->defaults, val_member_sv(doc, SV("defaults")), err) < 0 ||
	    exempt_read(a, &c->namespaces, val_member_sv(exempt, SV("namespaces")), "namespaces", err) < 0 ||
	    exempt_read(a, &c->usernames, val_member_sv(exempt, SV("usernames")), "usernames", err) < 0)
		return -1;
	return exempt_read(a, &c->runtime_classes, val_member_sv(exempt, SV("runtimeClasses")), "runtimeClasses", err);
}

bool ps_exempt(const struct ps_exempt *e, struct sv name)
{
	return name.n && e->n && bsearch(&name, e->names, e->n, sizeof(name), sv_order);
}
