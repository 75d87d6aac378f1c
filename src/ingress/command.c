#include "ingress/command.h"

#include <stdlib.h>

#define STEP_MAX 8000 /* bytes; HAProxy reads a command and its payload into one buffer of 16 kB */

struct command {
	struct arena *a;
	VEC(struct ing_step) steps;
};

/* A ';' at the end would begin one more command. */
static void command_servers_add(struct command *c, struct buf *text)
{
	text->p[text->n - 1] = '\n';
	vec_push(&c->steps, ((struct ing_step){ arena_sv(c->a, buf_sv(text)), ING_ANSWER_SERVER }));
	buf_clear(text);
}

static void command_add(struct command *c, enum ing_answer answer, const struct buf *text)
{
	vec_push(&c->steps, ((struct ing_step){ arena_sv(c->a, buf_sv(text)), answer }));
}

static void command_addf(struct command *c, enum ing_answer answer, const char *fmt, ...) _printf_(3, 4);
static void command_addf(struct command *c, enum ing_answer answer, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	command_add(c, answer, &b);
}

/* Lines of a map, under the command that adds them. A payload ends at an empty line; no line of ours is empty. */
struct payload {
	struct command *c;
	struct sv head;
	struct buf b;
};

static void payload_end(struct payload *p)
{
	if (p->b.n) {
		buf_addc(&p->b, '\n');
		command_add(p->c, ING_ANSWER_EMPTY, &p->b);
		buf_clear(&p->b);
	}
}

static bool payload_add(struct payload *p, struct sv line)
{
	if (line.n > STEP_MAX / 2)
		return false;
	if (p->b.n + line.n > STEP_MAX)
		payload_end(p);
	if (!p->b.n)
		buf_addsv(&p->b, p->head);
	buf_addsv(&p->b, line);
	buf_addc(&p->b, '\n');
	return true;
}

static bool command_line(struct sv *lines, struct sv *ret)
{
	return lines->n && sv_split(lines, '\n', ret) && ret->n;
}

/* Lines that only came, among those that stayed: both are sorted. False: a line went, or is too long. */
static bool command_map_more(struct command *c, const char *map, struct sv was, struct sv is)
{
	struct payload p = { .c = c, .head = arena_svf(c->a, "add map %s <<\n", map) };
	struct sv old, line;
	bool has = command_line(&was, &old), ok = true;
	size_t n = c->steps.n;

	while (ok && command_line(&is, &line)) {
		if (has && sv_eq(old, line))
			has = command_line(&was, &old);
		else
			ok = payload_add(&p, line);
	}
	payload_end(&p);
	buf_release(&p.b);
	ok &= !has;
	if (!ok)
		c->steps.n = n;
	return ok;
}

static bool command_map(struct command *c, const char *map, struct sv lines)
{
	struct payload p = { .c = c, .head = arena_svf(c->a, "add map @%c %s <<\n", ING_VERSION, map) };
	struct sv line;
	bool ok = true;

	command_addf(c, ING_ANSWER_VERSION, "prepare map %s\n", map);
	while (ok && command_line(&lines, &line))
		ok = payload_add(&p, line);
	payload_end(&p);
	buf_release(&p.b);
	command_addf(c, ING_ANSWER_EMPTY, "commit map @%c %s\n", ING_VERSION, map);
	return ok;
}

/* An address changes only while nobody is sent there. */
static void command_slot(struct buf *b, struct sv section, size_t i, const struct ing_endpoint *was,
			 const struct ing_endpoint *is)
{
	bool moved = ing_endpoint_cmp(was, is) != 0;
	int weight = is->draining ? 0 : 1;

	if (moved && was->port)
		buf_printf(b, "set server %.*s/e%zu state maint;", SV_ARG(section), i);
	if (moved && is->port)
		buf_printf(b,
			   "set server %.*s/e%zu addr %s port %d;set server %.*s/e%zu weight %d;set server %.*s/e%zu "
			   "state ready;",
			   SV_ARG(section), i, ip_text(is->ip).s, is->port, SV_ARG(section), i, weight, SV_ARG(section),
			   i);
	if (!moved && was->draining != is->draining)
		buf_printf(b, "set server %.*s/e%zu weight %d;", SV_ARG(section), i, weight);
}

static bool command_servers(struct command *c, const struct ing_conf *was, const struct ing_conf *is)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (was->n_sections != is->n_sections)
		return false;
	for (size_t i = 0; i < is->n_sections; i++) {
		const struct ing_section *x = &was->sections[i], *y = &is->sections[i];

		if (!sv_eq(x->name, y->name) || x->n_slots != y->n_slots)
			return false;
		for (size_t k = 0; k < y->n_slots; k++) {
			command_slot(&b, y->name, k + 1, &x->slots[k], &y->slots[k]);
			if (b.n > STEP_MAX / 2)
				command_servers_add(c, &b);
		}
	}
	if (b.n)
		command_servers_add(c, &b);
	return true;
}

/* "b9" before "b10", as sections are sorted. */
static int section_cmp(struct sv x, struct sv y)
{
	return x.n != y.n ? (x.n < y.n ? -1 : 1) : sv_cmp(x, y);
}

static void steps_take(struct command *c, struct ing_steps *ret)
{
	ret->n = c->steps.n;
	ret->p = ARENA_ARRAY(c->a, struct ing_step, c->steps.n);
	if (c->steps.n)
		memcpy(ret->p, c->steps.p, c->steps.n * sizeof(*c->steps.p));
	vec_release(&c->steps);
}

void ing_steps_endpoints(struct arena *a, struct ing_conf *was, const struct ing_conf *is, struct ing_steps *ret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct command c = { .a = a };

	for (size_t i = 0, k = 0; i < was->n_sections; i++) {
		struct ing_section *x = &was->sections[i];
		const struct ing_section *y;

		while (k < is->n_sections && section_cmp(is->sections[k].name, x->name) < 0)
			k++;
		if (k == is->n_sections || !sv_eq(is->sections[k].name, x->name))
			continue;
		y = &is->sections[k];
		for (size_t s = 0; s < x->n_slots && s < y->n_slots; s++) {
			command_slot(&b, x->name, s + 1, &x->slots[s], &y->slots[s]);
			x->slots[s] = y->slots[s];
			if (b.n > STEP_MAX / 2)
				command_servers_add(&c, &b);
		}
	}
	if (b.n)
		command_servers_add(&c, &b);
	steps_take(&c, ret);
}

static bool listed_same(const struct ing_pem *x, const struct ing_pem *y)
{
	bool same = x->n_listed == y->n_listed;

	for (size_t i = 0; same && i < x->n_listed; i++)
		same = x->listed[i].list == y->listed[i].list && x->listed[i].first == y->listed[i].first &&
		       sv_eq(x->listed[i].hosts, y->listed[i].hosts);
	return same;
}

static bool lists_same(const struct ing_conf *x, const struct ing_conf *y, bool texts)
{
	bool same = x->n_lists == y->n_lists;

	for (size_t i = 0; same && i < x->n_lists; i++)
		same =
		    sv_eq(x->lists[i].file, y->lists[i].file) && (!texts || sv_eq(x->lists[i].text, y->lists[i].text));
	return same;
}

bool ing_lists_same(const struct ing_conf *x, const struct ing_conf *y)
{
	return lists_same(x, y, true);
}

/* First what goes: a host may move from one to another. The first of a list stays until all is read anew. */
static bool command_pems_gone(struct command *c, const struct ing_conf *was, const struct ing_conf *is)
{
	for (size_t i = 0; i < was->n_pems; i++) {
		const struct ing_pem *x = &was->pems[i], *y = ing_conf_pem(is, x->file);

		if (y && listed_same(x, y))
			continue;
		for (size_t k = 0; k < x->n_listed; k++) {
			if (x->listed[k].first)
				return false;
			command_addf(c, ING_ANSWER_SUCCESS, "del ssl crt-list %.*s %.*s\n",
				     SV_ARG(is->lists[x->listed[k].list].file), SV_ARG(x->file));
		}
		if (!y)
			command_addf(c, ING_ANSWER_SUCCESS, "del ssl cert %.*s\n", SV_ARG(x->file));
	}
	return true;
}

static bool command_pems(struct command *c, const struct ing_conf *was, const struct ing_conf *is)
{
	if (MAX(was->n_pems, is->n_pems) > ING_PEMS_SEARCHED)
		return lists_same(was, is, true);
	if (!lists_same(was, is, false) || !command_pems_gone(c, was, is))
		return false;
	for (size_t i = 0; i < is->n_pems; i++) {
		const struct ing_pem *y = &is->pems[i], *x = ing_conf_pem(was, y->file);
		bool listed = x && listed_same(x, y);

		if (y->pem.n > STEP_MAX)
			return false;
		if (!x)
			command_addf(c, ING_ANSWER_SUCCESS, "new ssl cert %.*s\n", SV_ARG(y->file));
		if (!x || !sv_eq(x->pem, y->pem)) {
			command_addf(c, ING_ANSWER_SUCCESS, "set ssl cert %.*s <<\n%.*s\n", SV_ARG(y->file),
				     SV_ARG(y->pem));
			command_addf(c, ING_ANSWER_SUCCESS, "commit ssl cert %.*s\n", SV_ARG(y->file));
		}
		for (size_t k = 0; !listed && k < y->n_listed; k++) {
			if (y->listed[k].first || y->listed[k].hosts.n > STEP_MAX)
				return false;
			command_addf(c, ING_ANSWER_SUCCESS, "add ssl crt-list %.*s <<\n%.*s%.*s\n\n",
				     SV_ARG(is->lists[y->listed[k].list].file), SV_ARG(y->file),
				     SV_ARG(y->listed[k].hosts));
		}
	}
	return true;
}

bool ing_steps_between(struct arena *a, const struct ing_conf *was, const struct ing_conf *is, struct ing_steps *ret)
{
	/* Texts before what leads to them, and servers first of all. */
	static const int order[] = { ING_MAP_VALUES, ING_MAP_EXACT, ING_MAP_PREFIX, ING_MAP_GATES };
	_Static_assert(ARRAY_LEN(order) == ING_MAPS, "each map is told");
	struct command c = { .a = a };
	bool ok = sv_eq(was->shape, is->shape) && command_servers(&c, was, is) && command_pems(&c, was, is);

	for (size_t i = 0; ok && i < ARRAY_LEN(order); i++)
		if (!sv_eq(was->maps[order[i]], is->maps[order[i]]))
			ok = command_map_more(&c, ing_map_names[order[i]], was->maps[order[i]], is->maps[order[i]]) ||
			     command_map(&c, ing_map_names[order[i]], is->maps[order[i]]);
	steps_take(&c, ret);
	return ok;
}

static bool answer_server(struct sv answer)
{
	struct sv line;

	while (sv_split(&answer, '\n', &line)) {
		line = sv_trim(line);
		if (line.n && sv_find_sv(line, SV("changed from")) < 0 && sv_find_sv(line, SV("no need to change")) < 0)
			return false;
	}
	return true;
}

bool ing_step_answered(const struct ing_step *s, struct sv answer, uint64_t *version)
{
	static const struct sv begin = { "New version created:", 20 };

	answer = sv_trim(answer);
	switch (s->answer) {
	case ING_ANSWER_EMPTY:
		return !answer.n;
	case ING_ANSWER_SERVER:
		return answer_server(answer);
	case ING_ANSWER_VERSION:
		return sv_starts(answer, begin) && sv_to_u64(sv_trim(sv_sub(answer, begin.n, answer.n)), version);
	case ING_ANSWER_SUCCESS:
		return sv_ends(answer, SV("Success!")) || sv_starts(answer, SV("New empty certificate store")) ||
		       sv_starts(answer, SV("Transaction created for")) ||
		       sv_starts(answer, SV("Transaction updated for")) ||
		       (sv_starts(answer, SV("Entry ")) && sv_find_sv(answer, SV("deleted in crtlist")) > 0) ||
		       (sv_starts(answer, SV("Certificate ")) && sv_ends(answer, SV("deleted!")));
	}
	return false;
}

struct sv ing_step_text(struct arena *a, const struct ing_step *s, uint64_t version)
{
	ssize_t at = sv_find(s->text, ING_VERSION);

	return at < 0 ? s->text
		      : arena_svf(a, "%.*s%" PRIu64 "%.*s", (int)at, s->text.p, version,
				  (int)(s->text.n - (size_t)at - 1), s->text.p + at + 1);
}
