/* Maps of which only named members were kept (doc_items.h). A set of names is interned for good: there are as many as
 * lists of paths in the program have places where they part. */
#include "codec/doc_items.h"

#ifdef CARAVEL_KEPT_CHECKED

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SETS_MAX 1024

/* A number is given out when its set is there, and objects reach other threads by locks. */
static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER; /* covers the making of: */
static char *kept_sets[SETS_MAX];
static uint32_t kept_n = 1;

uint32_t val_kept_names(struct sv names)
{
	uint32_t i = 1;

	pthread_mutex_lock(&kept_lock);
	while (i < kept_n && !sv_is(names, kept_sets[i]))
		i++;
	if (i == SETS_MAX)
		i = 0;
	else if (i == kept_n)
		kept_sets[kept_n++] = xstrndup(names.p, names.n);
	pthread_mutex_unlock(&kept_lock);
	return i;
}

void val_kept_mark(struct val *map, uint32_t kept)
{
	struct val_items *it = val_items_of(map);

	if (it)
		it->kept = kept & VAL_KEPT_MAX;
}

void val_kept_missed(uint32_t kept, struct sv key)
{
	const char *names = kept_sets[kept];
	_cleanup_free_ char *line = xasprintf("\n%.*s\n", SV_ARG(key)), *what = NULL;

	if (strstr(names, line))
		return;
	what = xasprintf("'%.*s' is read of an object of which the keep (object/keep.h) does not name it", SV_ARG(key));
	bug_abort(__FILE__, __LINE__, what);
}

#else

uint32_t val_kept_names(_unused_ struct sv names)
{
	return 0;
}

void val_kept_mark(_unused_ struct val *map, _unused_ uint32_t kept)
{
}

void val_kept_missed(_unused_ uint32_t kept, _unused_ struct sv key)
{
}

#endif
