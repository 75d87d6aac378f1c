/* Configurations of webhooks, compiled. The store's thread only says that there was a change; whoever asks next makes
 * the set anew, outside of all locks but the one that keeps two from doing so at once. */
#include "apiserver/admission/setup.h"
#include "apiserver/admission/webhooks.h"
#include "apiserver/watchcache.h"

#include <stdlib.h>

struct hook_sets {
	pthread_mutex_t lock;
	struct {
		atomic_uint changes;  /* of the configurations */
		atomic_uint none_at;  /* when there were none behind the change before this number; 0: there are, or it
					 is  not known */
		struct hook_set *set; /* under lock */
	} of[2];		      /* validating, mutating */
};

struct hook_sets *hook_sets_new(void)
{
	struct hook_sets *h = xcalloc(1, sizeof(*h));

	pthread_mutex_init(&h->lock, NULL);
	for (size_t i = 0; i < ARRAY_LEN(h->of); i++) {
		atomic_init(&h->of[i].changes, 1);
		atomic_init(&h->of[i].none_at, 0);
	}
	return h;
}

struct hook_sets *hook_sets_free(struct hook_sets *h)
{
	if (!h)
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(h->of); i++)
		hook_set_unref(h->of[i].set);
	pthread_mutex_destroy(&h->lock);
	free(h);
	return NULL;
}

struct hook_set *hook_set_unref(struct hook_set *h)
{
	if (!h || atomic_fetch_sub(&h->refs, 1) != 1)
		return NULL;
	for (size_t i = 0; i < h->n; i++) {
		webhook_target_unref(h->hooks[i].target);
		hook_conditions_release(h->hooks[i].conditions, h->hooks[i].n_conditions);
		err_release(&h->hooks[i].scope.wrong);
	}
	arena_release(&h->arena);
	free(h);
	return NULL;
}

void admission_webhooks_changed(struct apiserver *s, bool mutating)
{
	if (s->hook_sets)
		atomic_fetch_add(&s->hook_sets->of[mutating].changes, 1);
}

/* The first of those it takes that is known here, as upstream looks for it. */
static const char *hook_review_version(const struct val *versions)
{
	VAL_EACH(versions, v) {
		if (val_is(v, "v1"))
			return "admission.k8s.io/v1";
		if (val_is(v, "v1beta1"))
			return "admission.k8s.io/v1beta1";
	}
	return NULL;
}

static void hook_compile(struct hook_set *set, struct hook *h, const struct obj *config, const struct val *w)
{
	struct sv effects = val_get_str(w, F_sideEffects);

	h->name = val_get_str(w, F_name);
	h->config = obj_name(config);
	h->target = webhook_target_new(val_get(w, F_clientConfig));
	hook_scope_compile(&set->arena, w, val_get(w, F_rules), NULL, &h->scope);
	if (val_len(val_get(w, F_matchConditions)))
		hook_conditions_compile(&set->arena, val_get(w, F_matchConditions), &h->conditions, &h->n_conditions);
	h->ignore = val_is(val_get(w, F_failurePolicy), "Ignore");
	h->again = val_is(val_get(w, F_reinvocationPolicy), "IfNeeded");
	h->dry = sv_is(effects, "None") || sv_is(effects, "NoneOnDryRun");
	h->timeout_s = (int)val_get_int(w, HOOK_TIMEOUT_S, F_timeoutSeconds);
	if (h->timeout_s < 1 || h->timeout_s > 30)
		h->timeout_s = HOOK_TIMEOUT_S;
	h->review = hook_review_version(val_get(w, F_admissionReviewVersions));
}

static void hook_config_compile(struct hook_set *set, struct obj *o)
{
	(void)obj_link(&set->arena, obj_ref(o));
	VAL_EACH(obj_get(o, F_webhooks), w)
		hook_compile(set, &set->hooks[set->n++], o, w);
}

static struct hook_set *hook_set_make(struct apiserver *s, bool mutating, unsigned made_of)
{
	const struct resource *r = mutating ? RES(admissionregistration_mutatingwebhookconfigurations)
					    : RES(admissionregistration_validatingwebhookconfigurations);
	struct manifest_set *files =
	    manifests_get(s->admission->manifests[mutating ? MANIFESTS_MUTATING_HOOKS : MANIFESTS_VALIDATING_HOOKS]);
	struct hook_set *set = xcalloc(1, sizeof(*set));
	struct wc_list list = { 0 };
	size_t n = 0;

	atomic_init(&set->refs, 1);
	set->made_of = made_of;
	(void)wc_list(s->wc, r, SV(""), NULL, SV_NULL, 0, 0, &set->arena, &list);
	for (size_t i = 0; i < list.n; i++)
		n += val_len(obj_get(list.objs[i], F_webhooks));
	for (size_t i = 0; files && i < files->n_main; i++)
		n += val_len(obj_get(files->main[i], F_webhooks));
	set->hooks = ARENA_ARRAY(&set->arena, struct hook, n + 1);
	for (size_t i = 0; files && i < files->n_main; i++)
		hook_config_compile(set, files->main[i]);
	set->n_files = set->n;
	manifest_set_unref(files);
	/* In the order of keys, which is that of names. */
	for (size_t i = 0; i < list.n; i++)
		hook_config_compile(set, list.objs[i]);
	wc_list_unref(&list);
	return set;
}

struct hook_set *hook_set_get(struct apiserver *s, bool mutating)
{
	struct hook_sets *h = s->hook_sets;
	unsigned now = atomic_load(&h->of[mutating].changes);
	struct hook_set *set;

	if (atomic_load(&h->of[mutating].none_at) == now)
		return NULL;
	pthread_mutex_lock(&h->lock);
	now = atomic_load(&h->of[mutating].changes);
	set = h->of[mutating].set;
	if (!set || set->made_of != now) {
		hook_set_unref(set);
		set = h->of[mutating].set = hook_set_make(s, mutating, now);
		atomic_store(&h->of[mutating].none_at, set->n ? 0 : now);
	}
	if (set->n)
		atomic_fetch_add(&set->refs, 1);
	else
		set = NULL;
	pthread_mutex_unlock(&h->lock);
	return set;
}

bool hook_set_any(struct apiserver *s)
{
	bool any = false;

	for (int mutating = 0; mutating < 2; mutating++) {
		struct hook_set *set = hook_set_get(s, mutating);

		any |= set != NULL;
		hook_set_unref(set);
	}
	return any;
}
