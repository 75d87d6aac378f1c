#include "kubelet/restored.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "kubelet/kubelet-internal.h"

#include <inttypes.h>
#include <stdlib.h>

#define FILE_MAX ((size_t)64)

void restored_init(struct restored *r, const char *file, int64_t grace_ns)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text;
	uint64_t rev;

	*r = (struct restored){ .grace_ns = grace_ns, .until_ns = NEVER_NS };
	pthread_mutex_init(&r->lock, NULL);
	if (!file)
		return;
	r->file = xstrdup(file);
	if (file_read(&a, file, FILE_MAX, &text, NULL) == 0 && sv_to_u64(sv_trim(text), &rev) && rev <= INT64_MAX / 2)
		r->rev = r->filed = (int64_t)rev;
}

void restored_release(struct restored *r)
{
	free(r->file);
	strmap_release(&r->told);
	pthread_mutex_destroy(&r->lock);
}

/* Under the lock. Not synced: a machine that dies may have an older one, which is as far from a leap. */
static void restored_save(struct restored *r)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	r->filed = r->rev;
	if (r->file && file_write_again(r->file, arena_svf(&a, "%" PRId64 "\n", r->rev), 0600, &err) < 0)
		log_warn(SYS, "a restart of this agent will not notice a restore of the cluster", "why", "%s",
			 err_msg(&err));
}

bool restored_look(struct restored *r, int64_t rev, int64_t now_ns)
{
	bool found, first;

	if (rev <= 0)
		return false;
	pthread_mutex_lock(&r->lock);
	first = !r->rev;
	found = !first && r->grace_ns > 0 && (rev - r->rev >= RESTORED_LEAP || r->rev - rev >= RESTORED_FILE_EVERY);
	r->rev = found ? rev : MAX(rev, r->rev);
	if (found) {
		r->until_ns = now_ns + r->grace_ns;
	} else if (first || r->until_ns <= now_ns ||
		   (r->until_ns == NEVER_NS && rev - r->filed >= RESTORED_FILE_EVERY)) {
		r->until_ns = NEVER_NS;
		restored_save(r);
	}
	pthread_mutex_unlock(&r->lock);
	return found;
}

bool restored_holds(struct restored *r, int64_t now_ns)
{
	bool holds;

	pthread_mutex_lock(&r->lock);
	holds = r->until_ns != NEVER_NS && now_ns < r->until_ns;
	pthread_mutex_unlock(&r->lock);
	return holds;
}

bool restored_tell(struct restored *r, struct sv uid)
{
	bool first;

	pthread_mutex_lock(&r->lock);
	first = !strmap_has(&r->told, uid);
	if (first)
		strmap_set(&r->told, uid, r);
	pthread_mutex_unlock(&r->lock);
	return first;
}

bool restored_untell(struct restored *r, struct sv uid)
{
	bool was;

	pthread_mutex_lock(&r->lock);
	was = strmap_del(&r->told, uid) != NULL;
	pthread_mutex_unlock(&r->lock);
	return was;
}
