/* pod_security.h - Pod Security Standards: what a pod may ask of its node, by the level that its namespace is given.
 *
 *	labels of the namespace, defaults ─▶ struct ps_policy ─▶ enforce: refused
 *	                                                       ─▶ audit: noted       (pods, and templates of workloads)
 *	                                                       ─▶ warn: said         (the same)
 *
 * A level is a set of checks (pod_security_baseline.c, pod_security_restricted.c), and a version of the standard says
 * which of them, and in which form: a namespace that names v1.N keeps what it had then. restricted is all of baseline,
 * but for checks that stricter ones stand for, and more. Levels, labels, checks, versions and words are upstream's
 * (KEP-2579); src/apiserver/admission/README.md says what calls what.
 *
 * Memory: texts are in the arena that is given. A check costs as much as the pod is large.
 *
 * Threads: nothing here is changed after the start; any thread. For pod_security*.c and setup.c only.
 */
#pragma once

#include "apiserver/admission/plugins.h"
#include "object/validate.h"

enum ps_level { PS_PRIVILEGED, PS_BASELINE, PS_RESTRICTED, _PS_LEVEL_MAX };

#define PS_LATEST INT64_MAX
#define PS_NEWEST 37 /* v1.37: no check knows of a later one */

struct ps_rule {
	enum ps_level level;
	int64_t minor; /* of v1.N; PS_LATEST */
};
struct ps_policy {
	struct ps_rule enforce, audit, warn;
};

/* PodSecurityConfiguration: what holds where a namespace says nothing, and who is not asked. All zero but for the
 * versions (ps_config_default()) when there is none. Lists are sorted. */
struct ps_config {
	struct ps_policy defaults;
	struct ps_exempt {
		struct sv *names;
		size_t n;
	} namespaces, usernames, runtime_classes;
};

/* --- pod_security_policy.c --- */

void ps_config_default(struct ps_config *c);
/* Of a configuration file; -1 with upstream's words. Texts are copied into the arena. */
int ps_config_read(struct arena *a, struct ps_config *c, const struct val *doc, struct err *err);
bool ps_exempt(const struct ps_exempt *e, struct sv name);
/* What the labels of a namespace ask for; wrong ones are named in fe, which may be NULL: what should be enforced is
 * restricted then, what should be told of is not. */
struct ps_policy ps_policy_of(const struct ps_config *c, const struct val *labels, struct field_errs *fe);
const char *ps_rule_text(struct arena *a, struct ps_rule r); /* "baseline:v1.28" */
static inline bool ps_rule_same(struct ps_rule a, struct ps_rule b)
{
	return a.level == b.level && a.minor == b.minor;
}
extern const char *const ps_modes[3]; /* "enforce", "audit", "warn" */

/* --- pod_security_namespace.c --- */

/* Of a namespace that is made or changed: labels that mean nothing refuse it; of its pods it warns. */
int ps_namespace(const struct admission *a, const struct ps_config *c, struct err *err);

/* --- pod_security_check.c --- */

struct ps_pod {
	const struct val *meta, *spec;
	struct arena *arena;
	int64_t minor;
	enum ps_level level;
	bool own_users; /* it has a user namespace, and this version of the standard cares */
	bool windows;	/* the same of its system */
};

/* NULL: the pod may have that; else the reason, and in detail what of it. */
typedef const char *ps_check_fn(const struct ps_pod *p, struct buf *detail);
struct ps_check {
	const char *id;		    /* rows are sorted by it, which is the order in which they are told of */
	int since, until, stricter; /* minors: first, last (0: open), and from when on a check of restricted replaces it
				       there (-1: never) */
	ps_check_fn *fn;
};
extern const struct ps_check ps_baseline[], ps_restricted[]; /* ended by one without an id */

/* "": it may run; else "REASON (DETAIL), REASON (DETAIL)", or the reasons alone. In the arena. */
struct sv ps_judge(struct arena *a, struct ps_rule r, const struct val *meta, const struct val *spec, bool details);

/* --- for checks: pod_security_words.c --- */

struct ps_names {
	struct sv *p;
	size_t n, room;
};
void ps_add(const struct ps_pod *p, struct ps_names *l, struct sv name);
void ps_sort(struct ps_names *l); /* each once */
void ps_quoted(struct buf *b, const struct ps_names *l);
/* `container "a"`, `containers "a", "b"`: one is `noun`, more are with an s. */
void ps_nouns(struct buf *b, const char *noun, const struct ps_names *l);
/* `pod and container "c"`; false: neither. */
bool ps_setters(struct buf *b, bool pod, const struct ps_names *containers);

/* Init containers, containers and ephemeral ones: PS_EACH_CONTAINER(p, c) use(c); */
const struct val *ps_next_container(const struct ps_pod *p, const struct val *c); /* c NULL: the first */
#define PS_EACH_CONTAINER(pod, c) \
	for (const struct val *c = ps_next_container((pod), NULL); c; c = ps_next_container((pod), c))

/* Is what stands there one of these, NULL-terminated? */
bool ps_one_of(struct sv s, const char *const *allowed);
/* Of both levels: of baseline, too, where the pod is Windows'. */
ps_check_fn ps_seccomp_baseline, ps_proc_mount;
bool ps_seccomp_fine(const struct val *profile);
