/* What there is when a watch begins, told in slices.
 *
 * A slice is taken when the reader has read all that came before, from where the last one ended. Changes to what lies
 * before that place are queued, those behind it are not: the slice that gets there has them. So a watch over any number
 * of objects holds one slice, and whoever reads slowly or not at all keeps no old versions alive; opening one over many
 * objects holds neither the resource's lock nor the reader's thread for long.
 *
 * What is told stays in order of revisions as far as that has a meaning: changes that were queued when a slice is taken
 * come before it, those after it behind it, and the bookmark at the end has the last slice's revision. */
#include "apiserver/watchcache-internal.h"

#include <stdlib.h>

#define SLICE_OBJECTS ((size_t)1000)	 /* looked at */
#define SLICE_BYTES ((size_t)256 * 1024) /* of objects that are told; the last one may lie above it */

static struct objtree_pos initial_from(struct wc_watch *w)
{
	const struct objtree *t = &w->in->tree;
	struct obj *upto = w->initial->upto;
	const struct objtree_entry *e;
	struct objtree_pos p;

	if (!upto)
		return objtree_seek(t, w->ns, SV(""));
	p = objtree_seek(t, obj_ns(upto), obj_name(upto));
	e = objtree_at(t, p);
	return e && objtree_cmp(upto, obj_ns(e->o), obj_name(e->o)) == 0 ? objtree_next(t, p) : p;
}

/* One object by name. */
static bool initial_pinned(struct wc_watch *w)
{
	const struct selection *sel = w->sel;
	struct wc_initial *in = w->initial;
	struct obj *o;

	if (!sel || !sel->pinned_name.p || (!w->ns.n && w->in->res->namespaced))
		return false;
	o = objtree_get(&w->in->tree, w->ns, sel->pinned_name);
	if (o && selection_matches(sel, o)) {
		in->slice.objs = ARENA_ARRAY(&in->arena, struct obj *, 1);
		in->slice.objs[in->slice.n++] = obj_ref(o);
	}
	return true;
}

void wc_initial_begin(struct wc_watch *w, bool bookmark)
{
	w->initial = xcalloc(1, sizeof(*w->initial));
	w->initial->bookmark_due = bookmark;
	w->filling = true;
}

bool wc_initial_slice(struct wc_watch *w)
{
	struct wc_resource *r = w->in;
	struct wc_initial *in;
	const struct objtree_entry *e = NULL;
	struct obj *last = NULL;
	size_t looked = 0, bytes = 0;
	struct objtree_pos p;
	bool found;

	pthread_mutex_lock(&w->lock);
	if (w->ended) { /* meanwhile: nothing says that this was all */
		wc_initial_release(w);
		pthread_mutex_unlock(&w->lock);
		return true;
	}
	in = w->initial;
	in->slice = (struct wc_list){ .rev = wc_resource_rev(r), .remaining = -1 };
	in->at = 0;
	in->behind = w->n;
	if (!initial_pinned(w)) {
		in->slice.objs = ARENA_ARRAY(&in->arena, struct obj *, MIN(r->tree.count, SLICE_OBJECTS) + 1);
		for (p = initial_from(w); (e = objtree_at(&r->tree, p)); p = objtree_next(&r->tree, p)) {
			if (w->ns.n && !sv_eq(sv_make(e->ns, e->ns_n), w->ns)) {
				e = NULL;
				break;
			}
			if (looked == SLICE_OBJECTS || bytes >= SLICE_BYTES)
				break;
			looked++;
			last = e->o;
			if (!selection_matches(w->sel, e->o))
				continue;
			in->slice.objs[in->slice.n++] = obj_ref(e->o);
			bytes += obj_bytes(e->o);
		}
	}
	obj_unref(in->upto);
	w->filling = e;
	in->upto = e ? obj_ref(last) : NULL;
	if (!in->slice.n)
		arena_release(&in->arena);
	found = in->slice.n || !w->filling;
	pthread_mutex_unlock(&w->lock);
	return found;
}

bool wc_initial_step(struct wc_watch *w)
{
	bool found;

	pthread_rwlock_rdlock(&w->in->lock);
	found = wc_initial_slice(w);
	pthread_rwlock_unlock(&w->in->lock);
	if (!found)
		w->wake(w->ctx);
	return found;
}

bool wc_initial_waiting(const struct wc_watch *w)
{
	const struct wc_initial *in = w->initial;

	return in && (w->filling || in->bookmark_due || in->at < in->slice.n);
}

bool wc_initial_beyond(const struct wc_watch *w, const struct obj *o)
{
	return w->filling && objtree_cmp(o, obj_ns(w->initial->upto), obj_name(w->initial->upto)) > 0;
}

static void initial_free(struct wc_watch *w)
{
	obj_unref(w->initial->upto);
	arena_release(&w->initial->arena);
	free(w->initial);
	w->initial = NULL;
}

bool wc_initial_next(struct wc_watch *w, struct wc_event *ret)
{
	struct wc_initial *in = w->initial;

	if (!in)
		return false;
	if (!wc_initial_waiting(w)) {
		initial_free(w);
		return false;
	}
	if (in->behind)
		return false;
	if (in->at < in->slice.n) {
		ret->type = WATCH_ADDED;
		ret->was_there = true;
		ret->o = in->slice.objs[in->at++];
		ret->rev = obj_rev(ret->o);
		if (in->at == in->slice.n) {
			in->slice.n = in->at = 0;
			arena_release(&in->arena); /* nobody knows when the next one is asked for */
		}
		w->taken++;
		return true;
	}
	if (w->filling)
		return false;
	ret->type = WATCH_BOOKMARK;
	ret->rev = in->slice.rev;
	ret->initial_end = true;
	in->bookmark_due = false;
	return true;
}

void wc_initial_release(struct wc_watch *w)
{
	struct wc_initial *in = w->initial;

	w->filling = false;
	if (!in)
		return;
	for (size_t i = in->at; i < in->slice.n; i++)
		obj_unref(in->slice.objs[i]);
	initial_free(w);
}
