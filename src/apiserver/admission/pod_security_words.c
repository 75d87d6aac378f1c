/* The parts that the words of checks have in common. */
#include "apiserver/admission/pod_security.h"

#include <stdlib.h>

void ps_add(const struct ps_pod *p, struct ps_names *l, struct sv name)
{
	if (l->n == l->room) {
		struct sv *more = ARENA_ARRAY(p->arena, struct sv, l->room ? l->room * 2 : 4);

		if (l->n)
			memcpy(more, l->p, l->n * sizeof(*more));
		l->room = l->room ? l->room * 2 : 4;
		l->p = more;
	}
	l->p[l->n++] = name;
}

void ps_sort(struct ps_names *l)
{
	size_t n = 0;

	if (l->n)
		qsort(l->p, l->n, sizeof(*l->p), sv_order);
	for (size_t i = 0; i < l->n; i++)
		if (!n || !sv_eq(l->p[n - 1], l->p[i]))
			l->p[n++] = l->p[i];
	l->n = n;
}

void ps_quoted(struct buf *b, const struct ps_names *l)
{
	for (size_t i = 0; i < l->n; i++)
		buf_printf(b, "%s\"%.*s\"", i ? ", " : "", SV_ARG(l->p[i]));
}

void ps_nouns(struct buf *b, const char *noun, const struct ps_names *l)
{
	buf_printf(b, "%s%s ", noun, l->n == 1 ? "" : "s");
	ps_quoted(b, l);
}

bool ps_setters(struct buf *b, bool pod, const struct ps_names *containers)
{
	if (pod)
		buf_adds(b, "pod");
	if (containers->n) {
		buf_adds(b, pod ? " and " : "");
		ps_nouns(b, "container", containers);
	}
	return pod || containers->n;
}

/* The lists are arrays: where c stands says which comes behind it. */
const struct val *ps_next_container(const struct ps_pod *p, const struct val *c)
{
	static const enum sym lists[] = { F_initContainers, F_containers, F_ephemeralContainers };
	bool passed = !c;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const struct val *list = val_member(p->spec, lists[i]);
		size_t n = val_type(list) == VAL_LIST ? list->n : 0;
		uintptr_t first = n ? (uintptr_t)list->items : 0, at = (uintptr_t)c;

		if (n && passed)
			return list->items;
		if (!n || at < first || at >= (uintptr_t)(list->items + n))
			continue;
		if (c + 1 < list->items + n)
			return c + 1;
		passed = true;
	}
	return NULL;
}

bool ps_one_of(struct sv s, const char *const *allowed)
{
	for (; *allowed; allowed++)
		if (sv_is(s, *allowed))
			return true;
	return false;
}
