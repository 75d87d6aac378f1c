/* Why nodes cannot do, counted over a cycle and told in upstream's words. */
#include "base/buf.h"
#include "scheduler/framework.h"

#include <stdlib.h>

void cycle_count_reason(struct cycle_state *cs, const char *text, uint32_t nodes)
{
	for (unsigned i = 0; i < cs->n_reasons; i++)
		if (cs->reasons[i].text == text || strcmp(cs->reasons[i].text, text) == 0) {
			cs->reasons[i].nodes += nodes;
			return;
		}
	if (cs->n_reasons < REASONS_MAX)
		cs->reasons[cs->n_reasons++] = (struct reason){ text, nodes };
}

void cycle_count_reasons(struct cycle_state *cs, uint32_t nodes)
{
	for (unsigned i = 0; i < cs->n_why; i++)
		cycle_count_reason(cs, cs->why[i], nodes);
}

static int reason_by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct sv cycle_message(struct cycle_state *cs)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char **lines = ARENA_ARRAY(cs->arena, char *, cs->n_reasons);
	size_t n_nodes;

	cache_order(cs->cache, &n_nodes);
	if (n_nodes == 0)
		return SV("no nodes available to schedule pods");
	for (unsigned i = 0; i < cs->n_reasons; i++)
		lines[i] = arena_printf(cs->arena, "%u %s", cs->reasons[i].nodes, cs->reasons[i].text);
	if (cs->no_node_because.n)
		return arena_svf(cs->arena, "0/%zu nodes are available: %.*s.", n_nodes, SV_ARG(cs->no_node_because));
	qsort(lines, cs->n_reasons, sizeof(*lines), reason_by_text);
	buf_printf(&b, "0/%zu nodes are available:", n_nodes);
	for (unsigned i = 0; i < cs->n_reasons; i++)
		buf_printf(&b, "%s %s", i ? "," : "", lines[i]);
	if (cs->n_reasons)
		buf_addc(&b, '.');
	return arena_sv(cs->arena, buf_sv(&b));
}
