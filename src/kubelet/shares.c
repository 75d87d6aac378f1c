/* Two tables: namespaces, and owners in them. An owner has two lines for each kind, of what hung and of what did not,
 * so who is next is among the heads: one look at all owners. */
#include "kubelet/shares.h"

#include <stdlib.h>

struct share_space {
	char *name;
	int each[_SHARE_MAX], late[_SHARE_MAX];
	int owners;
};

struct share_owner {
	char *key, *of; /* "SPACE OF" */
	struct share_space *space;
	int each[_SHARE_MAX], hung[_SHARE_MAX];
	struct list lines[_SHARE_MAX][2]; /* by as_hung */
	int n;				  /* places, and those in line */
	bool nameless;
	int64_t late_ns[_SHARE_MAX]; /* when something hung last; 0: not for long */
	int64_t last_ns;	     /* of these */
	struct list remembered;	     /* in shares.remembered, or unlinked */
};

/* --- the tables --- */

static struct share_space *share_space_of(struct shares *s, struct sv name)
{
	void **slot = strmap_slot(&s->spaces, name);
	struct share_space *space = *slot;

	if (space)
		return space;
	*slot = space = xcalloc(1, sizeof(*space));
	space->name = xstrndup(name.p, name.n);
	return space;
}

static struct share_owner *share_owner_of(struct shares *s, struct share_who who)
{
	_cleanup_free_ char *key = xasprintf("%.*s %.*s", SV_ARG(who.space), SV_ARG(who.of));
	struct share_owner *o = strmap_get(&s->owners, sv_from(key));

	if (o)
		return o;
	o = xcalloc(1, sizeof(*o));
	o->of = xstrndup(who.of.p, who.of.n);
	o->space = share_space_of(s, who.space);
	o->space->owners++;
	o->nameless = who.nameless;
	for (int k = 0; k < _SHARE_MAX; k++)
		for (int h = 0; h < 2; h++)
			list_init(&o->lines[k][h]);
	list_init(&o->remembered);
	strmap_set(&s->owners, sv_from(key), o);
	o->key = TAKE(key);
	return o;
}

static void share_space_free(struct share_space *space)
{
	free(space->name);
	free(space);
}

static void share_owner_free(struct share_owner *o)
{
	free(o->key);
	free(o->of);
	free(o);
}

/* Nothing is under way of it, waits, or is remembered: it goes. */
static void share_owner_drop(struct shares *s, struct share_owner *o)
{
	struct share_space *space = o->space;

	if (o->n || !list_empty(&o->remembered))
		return;
	strmap_del(&s->owners, sv_from(o->key));
	share_owner_free(o);
	if (--space->owners)
		return;
	strmap_del(&s->spaces, sv_from(space->name));
	share_space_free(space);
}

/* --- what is remembered --- */

static void share_forget_one(struct shares *s, struct share_owner *o)
{
	memset(o->late_ns, 0, sizeof(o->late_ns));
	list_del(&o->remembered);
	s->n_remembered--;
	share_owner_drop(s, o);
}

static void share_remember(struct shares *s, struct share_owner *o, enum share_kind kind, int64_t now_ns)
{
	if (o->nameless || kind == SHARE_LOOKING)
		return;
	s->n_remembered += list_empty(&o->remembered);
	list_del(&o->remembered);
	list_add_tail(&s->remembered, &o->remembered);
	o->late_ns[kind] = o->last_ns = MAX(now_ns, 1);
	if (s->n_remembered > SHARES_LATE_MAX)
		share_forget_one(s, LIST_ENTRY(s->remembered.next, struct share_owner, remembered));
}

static bool share_is_late(const struct share_owner *o, enum share_kind kind, bool hung, int64_t now_ns)
{
	return hung || (o->late_ns[kind] && now_ns - o->late_ns[kind] < SHARES_LATE_NS);
}

void shares_forget(struct shares *s, struct sv of)
{
	if (!s->remembered.next)
		return;
	LIST_EACH(&s->remembered, it) {
		struct share_owner *o = LIST_ENTRY(it, struct share_owner, remembered);

		if (sv_is(of, o->of))
			share_forget_one(s, o);
	}
}

/* --- places --- */

static bool share_is_free(const struct shares *s, const struct share_owner *o, enum share_kind kind, bool hung,
			  bool late)
{
	const struct share_bounds *b = &s->bounds[kind];

	if (s->all[kind] >= b->all || o->space->each[kind] >= b->space || o->each[kind] >= b->each)
		return false;
	if (late && (s->late[kind] >= b->late_all || o->space->late[kind] >= b->late_space))
		return false;
	return !hung || o->hung[kind] < b->hung_each;
}

static void share_count(struct shares *s, const struct share_place *p, int by)
{
	struct share_owner *o = p->owner;

	s->all[p->kind] += by;
	o->each[p->kind] += by;
	o->space->each[p->kind] += by;
	if (p->as_late) {
		s->late[p->kind] += by;
		o->space->late[p->kind] += by;
	}
	if (p->as_hung)
		o->hung[p->kind] += by;
}

static void share_unlink(struct shares *s, struct share_place *p)
{
	list_del(&p->link);
	if (p->state == SHARE_WAITS)
		s->waiting[p->kind]--;
	else if (p->state != SHARE_OUT)
		share_count(s, p, -1);
}

/* Out, and no more. */
static void share_out(struct shares *s, struct share_place *p, int64_t now_ns)
{
	struct share_owner *o = p->owner;

	share_unlink(s, p);
	p->state = SHARE_OUT;
	p->since_ns = now_ns;
	p->owner = NULL;
	o->n--;
	share_owner_drop(s, o);
}

static void share_grant(struct shares *s, struct share_place *p, int64_t now_ns)
{
	share_unlink(s, p);
	p->state = SHARE_GRANTED;
	p->since_ns = now_ns;
	p->as_late = share_is_late(p->owner, p->kind, p->as_hung, now_ns);
	share_count(s, p, 1);
	list_add_tail(&s->granted, &p->link);
}

/* --- who is next --- */

static bool share_before(const struct share_place *a, const struct share_place *b)
{
	int has_a = a->owner->space->each[a->kind], has_b = b->owner->space->each[b->kind];

	if (has_a != has_b)
		return has_a < has_b;
	if (a->as_hung != b->as_hung)
		return b->as_hung;
	return a->number < b->number;
}

static struct share_place *share_next(struct shares *s, enum share_kind kind, int64_t now_ns)
{
	struct share_place *first = NULL;

	STRMAP_EACH(&s->owners, e) {
		struct share_owner *o = e->value;

		for (int hung = 0; hung < 2; hung++) {
			struct list *line = &o->lines[kind][hung];
			struct share_place *p;

			if (list_empty(line) || !share_is_free(s, o, kind, hung, share_is_late(o, kind, hung, now_ns)))
				continue;
			p = LIST_ENTRY(line->next, struct share_place, link);
			if (!first || share_before(p, first))
				first = p;
		}
	}
	return first;
}

/* What is free goes to who is next. */
static void shares_hand_out(struct shares *s, enum share_kind kind, const struct share_place *asks, int64_t now_ns)
{
	struct share_place *p;

	while (s->waiting[kind] && s->all[kind] < s->bounds[kind].all && (p = share_next(s, kind, now_ns))) {
		share_grant(s, p, now_ns);
		if (p != asks && s->told)
			s->told(p, s->ctx);
	}
}

/* What time has ended: grants that nobody came for, and what was remembered. */
static void shares_pass_time(struct shares *s, int64_t now_ns)
{
	bool freed[_SHARE_MAX] = { false };

	if (!s->granted.next) {
		list_init(&s->granted);
		list_init(&s->remembered);
	}
	LIST_EACH(&s->granted, it) {
		struct share_place *p = LIST_ENTRY(it, struct share_place, link);

		if (now_ns - p->since_ns < SHARES_GRANT_NS)
			break;
		freed[p->kind] = true;
		share_out(s, p, now_ns);
	}
	LIST_EACH(&s->remembered, it) {
		struct share_owner *o = LIST_ENTRY(it, struct share_owner, remembered);

		if (now_ns - o->last_ns < SHARES_LATE_NS)
			break;
		share_forget_one(s, o);
	}
	for (int k = 0; k < _SHARE_MAX; k++)
		if (freed[k])
			shares_hand_out(s, k, NULL, now_ns);
}

/* --- asking --- */

static bool share_is_for(const struct share_place *p, enum share_kind kind, const struct share_owner *o)
{
	return p->owner == o && p->kind == kind && p->as_hung == p->hung;
}

/* Where it is, or at the end of its line; with the number it had, when it stood in another. */
static void share_line_up(struct shares *s, struct share_place *p, enum share_kind kind, struct share_owner *o,
			  int64_t now_ns)
{
	bool waited = p->state == SHARE_WAITS;

	if (waited && share_is_for(p, kind, o))
		return;
	o->n++; /* before it leaves: it must not go with the other */
	if (p->state == SHARE_OUT)
		list_init(&p->link);
	else
		share_out(s, p, waited ? p->since_ns : now_ns);
	p->state = SHARE_WAITS;
	p->since_ns = waited ? p->since_ns : now_ns;
	p->number = waited ? p->number : ++s->line;
	p->owner = o;
	p->kind = kind;
	p->as_hung = p->hung;
	list_add_tail(&o->lines[kind][p->as_hung], &p->link);
	s->waiting[kind]++;
}

bool share_take(struct shares *s, struct share_place *p, enum share_kind kind, struct share_who who, int64_t now_ns)
{
	struct share_owner *o;

	shares_pass_time(s, now_ns);
	o = share_owner_of(s, who);
	if (p->state != SHARE_GRANTED || !share_is_for(p, kind, o)) {
		enum share_kind had = p->kind;
		bool gave = p->state > SHARE_WAITS;

		share_line_up(s, p, kind, o, now_ns);
		if (gave && had != kind)
			shares_hand_out(s, had, NULL, now_ns);
		shares_hand_out(s, kind, p, now_ns);
	}
	if (p->state != SHARE_GRANTED)
		return false;
	list_del(&p->link);
	p->state = SHARE_HAS;
	p->since_ns = now_ns;
	return true;
}

bool share_try(struct shares *s, struct share_place *p, enum share_kind kind, struct share_who who, int64_t now_ns)
{
	if (share_take(s, p, kind, who, now_ns))
		return true;
	share_out(s, p, now_ns);
	return false;
}

void share_give(struct shares *s, struct share_place *p, int64_t now_ns)
{
	enum share_kind kind = p->kind;

	if (p->state == SHARE_OUT)
		return;
	if (p->state == SHARE_HAS) {
		p->hung = now_ns - p->since_ns >= SHARES_HUNG_NS;
		if (p->hung)
			share_remember(s, p->owner, kind, now_ns);
	}
	share_out(s, p, now_ns);
	shares_pass_time(s, now_ns);
	shares_hand_out(s, kind, NULL, now_ns);
}

void shares_release(struct shares *s)
{
	STRMAP_EACH(&s->owners, e)
		share_owner_free(e->value);
	STRMAP_EACH(&s->spaces, e)
		share_space_free(e->value);
	strmap_release(&s->owners);
	strmap_release(&s->spaces);
}
