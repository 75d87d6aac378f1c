/* What strict field validation has to say about a document, in the order of its text.
 *
 * Decoding only notices that there is something: it walks in the schema's order, and upstream
 * (whose decoder meets members as they come) lists unknown and repeated fields mixed, as they
 * stand in the body. So this is a walk of its own, for documents that are not clean. */
#include "object/decode.h"

#include "base/buf.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>

struct step {
	const struct step *up;
	struct sv name;
	ssize_t index; /* of a list step, else -1 */
	size_t n;      /* bytes of the whole path as text */
};

struct walk {
	struct arena *a;
	struct decode_report *report;
	size_t bytes; /* said so far */
};

static bool said_enough(const struct walk *w)
{
	return w->report->strict.n >= STRICT_MAX || w->bytes > STRICT_BYTES_MAX;
}

static void add_path(struct buf *b, const struct step *at)
{
	if (!at)
		return;
	add_path(b, at->up);
	if (at->index >= 0) {
		buf_printf(b, "[%zd]", at->index);
		return;
	}
	if (b->n)
		buf_addc(b, '.');
	buf_addsv(b, at->name);
}

/* The steps' own texts, cut off the end of the path one by one: what is not the path differs near its end, so that a
 * long name costs nothing for each small thing below it. */
static bool path_is(const struct step *at, struct sv path)
{
	for (; at; at = at->up) {
		size_t before = at->up ? at->up->n : 0;
		char number[32];
		struct sv own = at->name;

		if (path.n != at->n)
			return false;
		if (at->index >= 0)
			own = sv_make(number, (size_t)snprintf(number, sizeof(number), "[%zd]", at->index));
		if (!sv_ends(path, own))
			return false;
		path.n -= own.n;
		if (path.n > before && path.p[--path.n] != '.')
			return false;
	}
	return path.n == 0;
}

static struct step step_to_name(const struct step *up, struct sv name)
{
	size_t before = up ? up->n : 0;

	return (struct step){ .up = up, .name = name, .index = -1, .n = before + (before > 0) + name.n };
}

static struct step step_to_index(const struct step *up, size_t i)
{
	char number[32];
	int n = snprintf(number, sizeof(number), "[%zu]", i);

	return (struct step){ .up = up, .index = (ssize_t)i, .n = (up ? up->n : 0) + (size_t)n };
}

static void say(struct walk *w, const char *what, const struct step *at)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, path = BUF_INIT;

	if (said_enough(w))
		return;
	add_path(&path, at);
	buf_printf(&b, "%s field ", what);
	json_encode_str(&b, buf_sv(&path));
	w->bytes += b.n;
	vec_push(&w->report->strict, arena_sv(w->a, buf_sv(&b)));
}

static bool is_repeated(const struct decode_report *r, const struct step *at)
{
	for (size_t i = 0; i < r->n_repeated; i++)
		if (path_is(at, r->repeated[i]))
			return true;
	return false;
}

static int strict_by_name(const void *a, const void *b)
{
	return sv_cmp(((const struct val_iter *)a)->key, ((const struct val_iter *)b)->key);
}

static void walk_struct(struct walk *w, const struct schema *s, const struct val *raw, const struct step *at);

static void walk_values(struct walk *w, const struct field *f, const struct val *v, const struct step *at)
{
	size_t i = 0;

	if (f->kind == FIELD_STRUCT && f->card == CARD_ONE) {
		walk_struct(w, f->type, v, at);
	} else if (f->card == CARD_LIST && f->kind == FIELD_STRUCT) {
		VAL_EACH(v, e) {
			struct step step = step_to_index(at, i++);

			walk_struct(w, f->type, e, &step);
		}
	} else if (f->card == CARD_MAP) {
		VAL_EACH_MEMBER(v, m) {
			struct step step = step_to_name(at, m.key);

			if (f->kind == FIELD_STRUCT)
				walk_struct(w, f->type, m.value, &step);
			if (!said_enough(w) && is_repeated(w->report, &step))
				say(w, "duplicate", &step);
		}
	}
}

static void walk_member(struct walk *w, const struct schema *s, struct val_iter m, const struct step *at)
{
	const struct field *f = schema_member(s, m.sym, m.key);
	struct step step = step_to_name(at, m.key);

	if (said_enough(w))
		return;
	if (!f || f->flags & FF_HIDDEN) {
		say(w, "unknown", &step);
		return;
	}
	walk_values(w, f, m.value, &step);
	if (is_repeated(w->report, &step))
		say(w, "duplicate", &step);
}

static void walk_struct(struct walk *w, const struct schema *s, const struct val *raw, const struct step *at)
{
	size_t n = 0;

	if (!w->report->sorted) {
		VAL_EACH_MEMBER(raw, m)
			walk_member(w, s, m, at);
		return;
	}

	struct val_iter *all = ARENA_ARRAY(w->a, struct val_iter, val_len(raw) + 1);

	VAL_EACH_MEMBER(raw, m)
		all[n++] = m;
	qsort(all, n, sizeof(*all), strict_by_name);
	for (size_t i = 0; i < n; i++)
		walk_member(w, s, all[i], at);
}

void strict_report(struct arena *a, const struct schema *s, const struct val *raw, struct decode_report *report)
{
	struct walk w = { .a = a, .report = report };

	walk_struct(&w, s, raw, NULL);
}
