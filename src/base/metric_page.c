/* A section is what stands from one "# HELP" to the next; its samples all begin with the family's name. */
#include "base/metric_page.h"

#include "base/strmap.h"
#include "base/vec.h"

#include <stdlib.h>

struct metric_allowed {
	char *label;
	char *values; /* ",v1,v2," */
};

struct metric_rules {
	struct strmap disabled; /* by name: the rules themselves */
	struct strmap allowed;	/* by name: struct metric_allowed_list */
};

struct metric_allowed_list {
	VEC(struct metric_allowed) list;
};

struct metric_section {
	struct sv name, head, samples;
	size_t at; /* in the page: sections of one family stay in order */
};

/* --- rules --- */

static void metric_allowed_free(void *p)
{
	struct metric_allowed_list *l = p;

	for (size_t i = 0; i < l->list.n; i++) {
		free(l->list.p[i].label);
		free(l->list.p[i].values);
	}
	vec_release(&l->list);
	free(l);
}

int metric_rules_allow(struct metric_rules *r, struct sv metric_label, struct sv values, struct err *err)
{
	struct sv rest = metric_label, metric = SV_NULL, label;
	struct metric_allowed_list *l;
	struct metric_allowed a;
	void **slot;

	(void)sv_split(&rest, ',', &metric);
	metric = sv_trim(metric);
	label = sv_trim(rest);
	if (!metric.n || !label.n || sv_find(label, ',') >= 0)
		return err_set(err, ERR_INVALID, "'%.*s' is no METRIC,LABEL", SV_ARG(metric_label));
	slot = strmap_slot(&r->allowed, metric);
	if (!*slot)
		*slot = xcalloc(1, sizeof(struct metric_allowed_list));
	l = *slot;
	for (size_t i = 0; i < l->list.n; i++)
		if (sv_is(label, l->list.p[i].label))
			return 0;
	a.label = xstrndup(label.p, label.n);
	a.values = xasprintf(",%.*s,", SV_ARG(values));
	vec_push(&l->list, a);
	return 0;
}

/* METRIC,LABEL='v1,v2': the list of values has commas, and flags that are lists are parted at these. */
static int metric_allow_flags(struct metric_rules *r, const char *const *allow, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv rest;

	for (; allow && *allow; allow++) {
		if (b.n)
			buf_addc(&b, ',');
		buf_adds(&b, *allow);
	}
	rest = buf_sv(&b);
	while (rest.n) {
		ssize_t eq = sv_find(rest, '=');
		struct sv key = eq < 0 ? rest : sv_sub(rest, 0, (size_t)eq), values;
		ssize_t end;

		if (eq < 0)
			return err_set(err, ERR_INVALID, "'%.*s' is no METRIC,LABEL='VALUE,...'", SV_ARG(rest));
		rest = sv_sub(rest, (size_t)eq + 1, rest.n);
		if (rest.n && rest.p[0] == '\'') {
			rest = sv_sub(rest, 1, rest.n);
			end = sv_find(rest, '\'');
		} else {
			end = sv_find(rest, ',');
			if (end < 0)
				end = (ssize_t)rest.n;
		}
		if (end < 0)
			return err_set(err, ERR_INVALID, "the values of '%.*s' have no end", SV_ARG(key));
		values = sv_sub(rest, 0, (size_t)end);
		rest = sv_sub(rest, MIN((size_t)end + 1, rest.n), rest.n);
		if (rest.n && rest.p[0] == ',')
			rest = sv_sub(rest, 1, rest.n);
		if (metric_rules_allow(r, key, values, err) < 0)
			return -1;
	}
	return 0;
}

struct metric_rules *metric_rules_new(const char *const *disabled, const char *const *allow, struct err *err)
{
	struct metric_rules *r = xcalloc(1, sizeof(*r));

	for (; disabled && *disabled; disabled++)
		strmap_set(&r->disabled, sv_from(*disabled), r);
	return metric_allow_flags(r, allow, err) < 0 ? metric_rules_free(r) : r;
}

struct metric_rules *metric_rules_free(struct metric_rules *r)
{
	if (!r)
		return NULL;
	strmap_release(&r->disabled);
	strmap_release_with(&r->allowed, metric_allowed_free);
	free(r);
	return NULL;
}

/* --- a section's labels, bounded --- */

static bool metric_is_allowed(const struct metric_allowed *a, struct sv value)
{
	_cleanup_free_ char *one = xasprintf(",%.*s,", SV_ARG(value));

	return strstr(a->values, one) != NULL;
}

/* Behind the closing quote of a value that begins at i. */
static size_t metric_value_end(struct sv s, size_t i)
{
	while (i < s.n && s.p[i] != '"')
		i += s.p[i] == '\\' ? 2 : 1;
	return MIN(i, s.n);
}

/* The series of one sample, with what is not allowed replaced. */
static void metric_bound_series(struct sv series, const struct metric_allowed_list *l, struct buf *out)
{
	ssize_t open = sv_find(series, '{');
	size_t i;

	if (open < 0) {
		buf_addsv(out, series);
		return;
	}
	i = (size_t)open + 1;
	buf_add(out, series.p, i);
	while (i < series.n && series.p[i] != '}') {
		ssize_t eq = sv_find(sv_sub(series, i, series.n), '=');
		size_t from, end;
		struct sv name, value;

		if (eq < 0)
			break;
		name = sv_sub(series, i, (size_t)eq);
		if (name.n && name.p[0] == ',')
			name = sv_sub(name, 1, name.n);
		from = i + (size_t)eq + 2;
		end = metric_value_end(series, from);
		value = sv_sub(series, from, end - MIN(from, end));
		buf_add(out, series.p + i, MIN(from, series.n) - i);
		for (size_t k = 0; k < l->list.n; k++)
			if (sv_is(name, l->list.p[k].label) && !metric_is_allowed(&l->list.p[k], value))
				value = SV("unexpected");
		buf_addsv(out, value);
		buf_addc(out, '"');
		i = end + 1;
	}
	buf_addc(out, '}');
}

/* Samples that read the same now are one: their sum. */
static void metric_bound(struct sv samples, const struct metric_allowed_list *l, struct buf *out)
{
	struct strmap sums = STRMAP_INIT;
	struct sv line;

	while (sv_split(&samples, '\n', &line)) {
		_cleanup_(buf_release) struct buf series = BUF_INIT;
		double *sum;
		void **slot;
		size_t at = line.n;

		while (at && line.p[at - 1] != ' ')
			at--;
		if (!at)
			continue;
		metric_bound_series(sv_sub(line, 0, at - 1), l, &series);
		slot = strmap_slot(&sums, buf_sv(&series));
		if (!*slot)
			*slot = xcalloc(1, sizeof(double));
		sum = *slot;
		*sum += strtod(line.p + at, NULL);
	}
	STRMAP_EACH(&sums, e)
		buf_printf(out, "%s %.15g\n", e->key, *(double *)e->value);
	strmap_release_with(&sums, free);
}

/* --- a page --- */

static int metric_section_order(const void *a, const void *b)
{
	const struct metric_section *x = a, *y = b;
	int c = sv_cmp(x->name, y->name);

	return c ? c : (x->at > y->at) - (x->at < y->at);
}

/* The lines that begin with # and those behind them. */
static struct metric_section metric_section_of(struct sv text, size_t at)
{
	struct metric_section s = { .at = at };
	struct sv rest = sv_sub(text, strlen("# HELP "), text.n), line;
	size_t head = 0;

	(void)sv_split(&rest, ' ', &s.name);
	rest = text;
	while (rest.n && rest.p[0] == '#' && sv_split(&rest, '\n', &line))
		head = (size_t)(rest.n ? rest.p - text.p : (ptrdiff_t)text.n);
	s.head = sv_sub(text, 0, head);
	s.samples = sv_sub(text, head, text.n);
	return s;
}

void metric_page_finish(struct buf *b, const struct metric_rules *r, size_t *ret_families, size_t *ret_disabled)
{
	VEC(struct metric_section) sections = { 0 };
	struct buf out = BUF_INIT;
	struct sv text = buf_sv(b);
	struct sv last = SV_NULL;
	size_t n = 0, off = 0;

	for (size_t at = 0; at < text.n;) {
		ssize_t next = sv_find_sv(sv_sub(text, at + 1, text.n), SV("\n# HELP "));
		size_t end = next < 0 ? text.n : at + 2 + (size_t)next;

		if (sv_starts(sv_sub(text, at, end - at), SV("# HELP ")))
			vec_push(&sections, metric_section_of(sv_sub(text, at, end - at), at));
		at = end;
	}
	if (sections.n)
		qsort(sections.p, sections.n, sizeof(*sections.p), metric_section_order);
	buf_reserve(&out, text.n);
	for (size_t i = 0; i < sections.n; i++) {
		const struct metric_section *s = &sections.p[i];
		bool again = last.p && sv_eq(last, s->name);
		const struct metric_allowed_list *l = r ? strmap_get(&r->allowed, s->name) : NULL;

		last = s->name;
		if (r && strmap_has(&r->disabled, s->name)) {
			off += !again;
			continue;
		}
		n += !again;
		if (!again)
			buf_addsv(&out, s->head);
		if (l)
			metric_bound(s->samples, l, &out);
		else
			buf_addsv(&out, s->samples);
	}
	vec_release(&sections);
	buf_release(b);
	*b = out;
	*ret_families = n;
	*ret_disabled = off;
}
