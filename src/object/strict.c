/* What strict field validation has to say about a document, in the order of its text.
 *
 * Decoding only notices that there is something: it walks in the schema's order, and upstream
 * (whose decoder meets members as they come) lists unknown and repeated fields mixed, as they
 * stand in the body. So this is a walk of its own, for documents that are not clean. */
#include "object/decode.h"

#include "base/buf.h"
#include "codec/json.h"

#include <stdlib.h>

struct step {
	const struct step *up;
	struct sv name;
	ssize_t index; /* of a list step, else -1 */
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

static void say(struct walk *w, const char *what, struct sv path)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (said_enough(w))
		return;
	buf_printf(&b, "%s field ", what);
	json_encode_str(&b, path);
	w->bytes += b.n;
	vec_push(&w->report->strict, arena_sv(w->a, buf_sv(&b)));
}

static bool is_repeated(const struct decode_report *r, struct sv path)
{
	for (size_t i = 0; i < r->n_repeated; i++)
		if (sv_eq(r->repeated[i], path))
			return true;
	return false;
}

static int by_name(const void *a, const void *b)
{
	return sv_cmp(((const struct val_iter *)a)->key, ((const struct val_iter *)b)->key);
}

static void walk_struct(struct walk *w, const struct schema *s, const struct val *raw, const struct step *at);

static void walk_values(struct walk *w, const struct field *f, const struct val *v, const struct step *at)
{
	struct step step = { .up = at, .index = -1 };

	if (f->kind == FIELD_STRUCT && f->card == CARD_ONE) {
		walk_struct(w, f->type, v, at);
	} else if (f->card == CARD_LIST && f->kind == FIELD_STRUCT) {
		VAL_EACH(v, e) {
			step.index++;
			walk_struct(w, f->type, e, &step);
		}
	} else if (f->card == CARD_MAP) {
		VAL_EACH_MEMBER(v, m) {
			_cleanup_(buf_release) struct buf path = BUF_INIT;

			step.name = m.key;
			if (f->kind == FIELD_STRUCT)
				walk_struct(w, f->type, m.value, &step);
			if (!w->report->n_repeated || said_enough(w))
				continue;
			add_path(&path, &step);
			if (is_repeated(w->report, buf_sv(&path)))
				say(w, "duplicate", buf_sv(&path));
		}
	}
}

static void walk_member(struct walk *w, const struct schema *s, struct val_iter m, const struct step *at)
{
	const struct field *f = m.sym ? schema_field(s, m.sym) : NULL;
	struct step step = { .up = at, .name = m.key, .index = -1 };
	_cleanup_(buf_release) struct buf path = BUF_INIT;

	if (said_enough(w))
		return;
	add_path(&path, &step);
	if (!f || f->flags & FF_HIDDEN) {
		say(w, "unknown", buf_sv(&path));
		return;
	}
	walk_values(w, f, m.value, &step);
	if (is_repeated(w->report, buf_sv(&path)))
		say(w, "duplicate", buf_sv(&path));
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
	qsort(all, n, sizeof(*all), by_name);
	for (size_t i = 0; i < n; i++)
		walk_member(w, s, all[i], at);
}

void strict_report(struct arena *a, const struct schema *s, const struct val *raw, struct decode_report *report)
{
	struct walk w = { .a = a, .report = report };

	walk_struct(&w, s, raw, NULL);
}
