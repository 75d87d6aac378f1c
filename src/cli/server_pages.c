/* What a server says of itself beside the API: metrics of its parts, and its flags. */
#include "cli/server-internal.h"

#include "base/buf.h"
#include "cli/control.h"
#include "client/zpages.h"

#include <stdlib.h>
#include <string.h>

/* Of the components beside the API server, as they come and go. */
void server_metrics(void *ctx, struct buf *b)
{
	struct server *s = ctx;

	pthread_mutex_lock(&s->parts);
	if (s->control)
		control_metrics(s->control, b);
	pthread_mutex_unlock(&s->parts);
	if (s->snapshots_on)
		snapshot_schedule_metrics(&s->snapshots, b);
}

void server_resource_metrics(void *ctx, struct buf *b)
{
	struct server *s = ctx;

	pthread_mutex_lock(&s->parts);
	if (s->control)
		control_resource_metrics(s->control, b);
	pthread_mutex_unlock(&s->parts);
}

static int flag_order(const void *a, const void *b)
{
	return strcmp(((const struct zpage_flag *)a)->name, ((const struct zpage_flag *)b)->name);
}

/* For /flagz: what is an option, as it is. */
const struct zpage_flag *server_flags(void *ctx, struct arena *a, size_t *ret_n)
{
	const struct server *s = ctx;
	struct zpage_flag *flags = ARENA_ARRAY(a, struct zpage_flag, s->n_table);

	for (size_t i = 0; i < s->n_table; i++)
		flags[i] = (struct zpage_flag){ .name = s->table[i].name,
						.value = cli_option_text(a, &s->table[i]),
						.secret = cli_option_secret(&s->table[i]) };
	qsort(flags, s->n_table, sizeof(*flags), flag_order);
	*ret_n = s->n_table;
	return flags;
}
