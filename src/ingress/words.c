#include "ingress/words.h"

#include "client/events.h"

#define WORDS_MAX 8192 /* that are remembered as said */
#define ALL_MAX 100    /* Ingresses that are told what holds for all */

void ing_words_release(struct ing_words *w)
{
	vec_release(&w->now);
	strmap_release(&w->said);
}

void ing_words_begin(struct ing_words *w)
{
	vec_clear(&w->now);
}

void ing_words_add(struct ing_words *w, const struct obj *ingress, const char *reason, const char *message)
{
	if (w->now.n < WORDS_MAX)
		vec_push(&w->now, ((struct ing_word){ ingress, reason, message, false }));
}

void ing_words_add_all(struct ing_words *w, const struct ing_source *s, const char *reason, const char *message)
{
	size_t told = 0;

	for (size_t i = 0; i < s->n_ingresses && told < ALL_MAX; i++)
		if (ingress_is_ours(s->classes, obj_root(s->ingresses[i]))) {
			vec_push(&w->now, ((struct ing_word){ s->ingresses[i], reason, message, true }));
			told++;
		}
}

void ing_words_tell(struct ing_words *w, struct arena *a, struct recorder *r, bool tells)
{
	struct strmap saying = STRMAP_INIT;

	for (size_t i = 0; i < w->now.n; i++) {
		const struct ing_word *word = &w->now.p[i];
		struct sv key = arena_svf(a, "%.*s %s", SV_ARG(obj_uid(word->ingress)), word->message);

		if (!word->own && !tells)
			continue;
		if (!strmap_set(&saying, key, w) && !strmap_has(&w->said, key))
			recorder_event(r, RES(networking_ingresses), obj_root(word->ingress), "Warning", word->reason,
				       "%s", word->message);
	}
	strmap_release(&w->said);
	w->said = saying;
}
