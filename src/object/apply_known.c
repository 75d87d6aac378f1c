/* apply_known.c - what the creator owns of documents of one form.
 *
 * Most objects that are made have the form of one made just before: Pods of one template, Events, Leases. Which fields
 * their creator owns follows from the form alone: from which members are there, from the keys of maps and the
 * identities of items, and of other values from whether they are what Go prints of nothing. So the form is written down
 * (known_form()), and the text of the fields is kept with it. What is asked for is compared as a whole: whatever the
 * form does not say, the text does not depend on.
 *
 * The table is small and one for all threads. Nobody waits for it: who finds another there does without. */
#include "object/apply-internal.h"

#include "base/strmap.h"

#include <stdatomic.h>
#include <stdlib.h>

#define KNOWN 16      /* forms, each at the place of its hash */
#define TEXT_MAX 2048 /* bytes */

static struct known {
	uint64_t hash;
	char *both;	       /* owned: the form, then the text; NULL: nothing is known here */
	size_t form_n, text_n; /* bytes */
} known[KNOWN];
static atomic_flag known_taken = ATOMIC_FLAG_INIT;

static bool known_enter(void)
{
	return !atomic_flag_test_and_set_explicit(&known_taken, memory_order_acquire);
}

static void known_leave(void)
{
	atomic_flag_clear_explicit(&known_taken, memory_order_release);
}

/* --- the form --- */

static bool form_add(struct known_form *f, const void *p, size_t n)
{
	if (n > sizeof(f->p) - f->n)
		return false;
	if (n)
		memcpy(f->p + f->n, p, n);
	f->n += n;
	return true;
}

static bool form_text(struct known_form *f, struct sv s)
{
	uint32_t n = (uint32_t)s.n;

	return s.n <= sizeof(f->p) && form_add(f, &n, sizeof(n)) && form_add(f, s.p, s.n);
}

/* A value that is part of an identity. */
static bool form_scalar(struct known_form *f, const struct val *v)
{
	char type = (char)val_type(v);

	if (!form_add(f, &type, 1))
		return false;
	switch (val_type(v)) {
	case VAL_NULL: /* or absent: both are the default */
		return true;
	case VAL_BOOL:
		type = v->b;
		return form_add(f, &type, 1);
	case VAL_INT:
		return form_add(f, &v->i, sizeof(v->i));
	case VAL_STR:
		return form_text(f, val_str(v));
	default:
		return false;
	}
}

/* What is compared as a whole: only with what Go prints of nothing. */
static bool form_leaf(struct known_form *f, const struct val *v)
{
	char what[2] = { (char)v->type, 0 };

	switch ((enum val_type)v->type) {
	case VAL_BOOL:
		what[1] = v->b;
		break;
	case VAL_INT:
		what[1] = v->i != 0;
		break;
	case VAL_STR:
		what[1] = (char)(val_is(v, "0") ? 2 : v->n != 0);
		break;
	case VAL_NULL:
	case VAL_LIST:
	case VAL_MAP:
		what[1] = v->n != 0;
		break;
	default: /* a fraction, or text that was not read */
		return false;
	}
	return form_add(f, what, sizeof(what));
}

static bool form_of(struct known_form *f, struct ftype t, const struct val *v);

static bool form_items(struct known_form *f, struct ftype t, const struct val *list)
{
	VAL_EACH(list, it) {
		if (t.shape == SHAPE_KEYED && it->type != VAL_MAP)
			return false;
		if (t.shape == SHAPE_SET && !form_scalar(f, it))
			return false;
		for (size_t i = 0; t.shape == SHAPE_KEYED && t.field->list_keys[i]; i++)
			if (!form_scalar(f, val_member(it, t.field->list_keys[i])))
				return false;
		if (!form_of(f, ftype_item(t), it))
			return false;
	}
	return true;
}

static bool form_members(struct known_form *f, struct ftype t, const struct val *map)
{
	VAL_EACH_MEMBER(map, m) {
		uint32_t sym = m.sym;

		if (!form_add(f, &sym, sizeof(sym)) || (!sym && (t.shape == SHAPE_STRUCT || !form_text(f, m.key))))
			return false;
		if (!form_of(f, ftype_member(t, m.sym, m.key), m.value))
			return false;
	}
	return true;
}

static bool form_of(struct known_form *f, struct ftype t, const struct val *v)
{
	char begin = '{', end = '}';

	if (t.shape == SHAPE_DEDUCED || (t.schema && t.schema->late))
		return false;
	if (!ftype_is_container(t, v))
		return form_leaf(f, v);
	return form_add(f, &begin, 1) && (ftype_is_list(t) ? form_items(f, t, v) : form_members(f, t, v)) &&
	       form_add(f, &end, 1);
}

bool known_form(struct known_form *ret, const struct schema *s, const struct val *doc, const char *const *reset_fields)
{
	ret->n = 0;
	if (!s || !form_add(ret, &s, sizeof(s)))
		return false;
	for (size_t i = 0; reset_fields && reset_fields[i]; i++)
		if (!form_text(ret, sv_from(reset_fields[i])))
			return false;
	return form_of(ret, ftype_root(s), doc);
}

/* --- the table --- */

static uint64_t form_hash(const struct known_form *f)
{
	return strmap_hash(sv_make(f->p, f->n));
}

bool known_find(struct arena *a, const struct known_form *form, struct sv *ret)
{
	uint64_t hash = form_hash(form);
	const struct known *k = &known[hash % KNOWN];
	bool found;

	if (!known_enter())
		return false;
	found = k->both && k->hash == hash && k->form_n == form->n && memcmp(k->both, form->p, form->n) == 0;
	if (found)
		*ret = arena_sv(a, sv_make(k->both + k->form_n, k->text_n));
	known_leave();
	return found;
}

void known_keep(const struct known_form *form, struct sv text)
{
	uint64_t hash = form_hash(form);
	struct known *k = &known[hash % KNOWN];

	if (text.n > TEXT_MAX || !known_enter())
		return;
	if (!k->both || k->form_n + k->text_n != form->n + text.n) {
		free(k->both);
		k->both = xmalloc(form->n + text.n + 1);
	}
	k->hash = hash;
	k->form_n = form->n;
	memcpy(k->both, form->p, form->n);
	k->text_n = text.n;
	memcpy(k->both + form->n, text.p, text.n);
	known_leave();
}
