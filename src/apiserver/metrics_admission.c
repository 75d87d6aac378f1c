/* How long plugins of admission take: cells by plugin, kind of question, operation and whether it refused, made when
 * there is something to count. */
#include "apiserver/metrics.h"
#include "apiserver/admission/admission.h"

#include <stdlib.h>

#define PLUGINS_MAX 64
#define OPERATIONS (ADMIT_CONNECT + 1)

typedef _Atomic(struct metric_cell *) admission_slot;

struct admission_cells {
	admission_slot step[2][OPERATIONS][2];
	struct {
		_Atomic(const char *) name; /* NULL: nothing is counted of it */
		admission_slot of[2][OPERATIONS][2];
	} plugin[PLUGINS_MAX];
};

static const char *const admission_operations[OPERATIONS] = { "CREATE", "UPDATE", "DELETE", "CONNECT" };

static struct admission_cells *admission_cells_of(struct apiserver *s)
{
	struct admission_cells *c = atomic_load_explicit(&s->admission_cells, memory_order_acquire), *none = NULL;

	if (c)
		return c;
	c = xcalloc(1, sizeof(*c));
	if (atomic_compare_exchange_strong(&s->admission_cells, &none, c))
		return c;
	free(c);
	return none;
}

static void admission_slots_free(admission_slot (*slots)[OPERATIONS][2])
{
	for (unsigned i = 0; i < 2 * OPERATIONS * 2; i++)
		free(atomic_load(&slots[i / 2 / OPERATIONS][i / 2 % OPERATIONS][i & 1]));
}

struct admission_cells *admission_cells_free(struct admission_cells *c)
{
	if (!c)
		return NULL;
	admission_slots_free(c->step);
	for (size_t i = 0; i < PLUGINS_MAX; i++)
		admission_slots_free(c->plugin[i].of);
	free(c);
	return NULL;
}

void admission_counted(const struct admission *a, unsigned place, const char *name, bool validating, bool refused,
		       int64_t ns)
{
	struct admission_cells *c = admission_cells_of(a->q->server);

	atomic_store_explicit(&c->plugin[place].name, name, memory_order_relaxed);
	metric_cell_observe(
	    metric_cell_at(&c->plugin[place].of[validating][a->op][refused], API_METRIC(ADMISSION_PLUGIN)),
	    API_METRIC(ADMISSION_PLUGIN), ns);
}

void admission_step_counted(const struct admission *a, bool validating, bool refused, int64_t ns)
{
	metric_cell_observe(metric_cell_at(&admission_cells_of(a->q->server)->step[validating][a->op][refused],
					   API_METRIC(ADMISSION_STEP)),
			    API_METRIC(ADMISSION_STEP), ns);
}

static void admission_write(struct buf *b, const struct metric_family *f, const char *name,
			    admission_slot (*slots)[OPERATIONS][2])
{
	for (unsigned i = 0; i < 2 * OPERATIONS * 2; i++) {
		bool refused = i & 1, validating = i / 2 / OPERATIONS;
		unsigned op = i / 2 % OPERATIONS;
		const struct metric_cell *c = atomic_load(&slots[validating][op][refused]);
		_cleanup_(buf_release) struct buf labels = BUF_INIT;

		if (!c)
			continue;
		if (name)
			metric_label(&labels, "name", sv_from(name));
		metric_label(&labels, "operation", sv_from(admission_operations[op]));
		metric_label(&labels, "rejected", refused ? SV("true") : SV("false"));
		metric_label(&labels, "type", validating ? SV("validate") : SV("admit"));
		metric_cell_write(b, f, buf_cstr(&labels), c, false);
	}
}

void admission_metrics(struct apiserver *s, struct buf *b)
{
	struct admission_cells *c = atomic_load(&s->admission_cells);

	if (!c)
		return;
	metric_head(b, API_METRIC(ADMISSION_STEP));
	admission_write(b, API_METRIC(ADMISSION_STEP), NULL, c->step);
	metric_head(b, API_METRIC(ADMISSION_PLUGIN));
	for (unsigned i = 0; i < PLUGINS_MAX; i++) {
		const char *name = atomic_load(&c->plugin[i].name);

		if (name)
			admission_write(b, API_METRIC(ADMISSION_PLUGIN), name, c->plugin[i].of);
	}
}
