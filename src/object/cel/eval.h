/* eval.h - one run of a program. For eval*.c and std_*.c alone.
 *
 * An error is a value of kind CEL_ERRTYPE, its words in s and n: && and || may do without it, a comprehension carries
 * it. What ends the run (limits, interruption, waiting) sets stop; from then on every value is such an error and nobody
 * works any more.
 */
#pragma once

#include "object/cel/program.h"
#include "object/cel/value_internal.h"

/* Steps of comparing, hashing and copying: far more than any cost limit lets through by honest means. */
#define EVAL_WORK_MAX 20000000

struct eval_gather { /* a list or map that grows in place while a comprehension runs */
	struct cel_value *p;
	uint32_t n, cap;
	uint32_t *slots; /* of maps, as in struct cel_map */
	uint32_t n_slots;
};

struct eval_index;

struct cel_eval {
	const struct cel_program *p;
	struct cel_run *run;
	struct arena *arena;
	struct cel_call call;
	struct cel_value *locals;    /* slots from n_vars on */
	struct eval_gather *gathers; /* by slot, as locals */
	uint64_t cost, limit;
	bool budget_bound; /* the limit is what is left of the budget */
	size_t work;
	unsigned rounds;
	bool stop;
	enum cel_outcome outcome;
	struct sv why;
	struct eval_index *indices; /* of large maps of documents: by address */
	size_t n_indices, indices_cap;
};

void eval_node(struct cel_eval *e, uint32_t node, struct cel_value *ret);
void eval_field(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret);
void eval_index(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret);
void eval_has(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret);
void eval_fold(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret);
void eval_append(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret);
void eval_insert(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret);

static inline bool eval_bad(const struct cel_value *v)
{
	return v->kind == CEL_ERRTYPE;
}
static inline const struct cel_node *eval_kid(const struct cel_eval *e, const struct cel_node *n, uint32_t i)
{
	return &e->p->nodes[e->p->kids[n->a + i]];
}
static inline void eval_part(struct cel_eval *e, const struct cel_node *n, uint32_t i, struct cel_value *ret)
{
	eval_node(e, e->p->kids[n->a + i], ret);
}

void eval_pay(struct cel_eval *e, uint64_t cost);
void eval_work(struct cel_eval *e, size_t steps);
void eval_stop(struct cel_eval *e, enum cel_outcome outcome, struct sv why);
struct cel_value eval_error(struct cel_eval *e, const char *fmt, ...) _printf_(2, 3);
/* Of map or object m; false: it has none. Large documents are indexed. */
bool eval_member(struct cel_eval *e, const struct cel_value *m, const struct cel_value *key, struct cel_value *ret);
void eval_indices_release(struct cel_eval *e);
