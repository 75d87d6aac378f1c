#include "base/quarantine.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/vec.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define LIST_MAX ((size_t)1 << 20)

struct entry {
	struct sv key;
	bool dropped; /* its text stays: it was handed out */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static VEC(struct entry) list;
static atomic_size_t live;
static char *path;

void quarantine_load(const char *dir)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, line;

	free(path);
	path = xasprintf("%s/quarantine", dir);
	for (size_t i = 0; i < list.n; i++)
		free((char *)(uintptr_t)list.p[i].key.p);
	vec_release(&list);
	atomic_store(&live, 0);
	if (file_read(&a, path, LIST_MAX, &text, NULL) < 0)
		return;
	while (sv_split(&text, '\n', &line)) {
		line = sv_trim(line);
		if (!line.n || quarantine_has(line))
			continue;
		vec_push(&list, ((struct entry){ .key = { xstrndup(line.p, line.n), line.n } }));
		atomic_fetch_add(&live, 1);
	}
}

static struct entry *quarantine_find(struct sv key) /* under the lock */
{
	for (size_t i = 0; i < list.n; i++)
		if (!list.p[i].dropped && sv_eq(list.p[i].key, key))
			return &list.p[i];
	return NULL;
}

bool quarantine_has(struct sv key)
{
	bool has;

	if (!atomic_load_explicit(&live, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&lock);
	has = quarantine_find(key) != NULL;
	pthread_mutex_unlock(&lock);
	return has;
}

size_t quarantine_count(void)
{
	return atomic_load(&live);
}

bool quarantine_at(size_t i, struct sv *ret_key)
{
	bool found = false;

	pthread_mutex_lock(&lock);
	for (size_t k = 0; k < list.n && !found; k++) {
		if (list.p[k].dropped || i-- > 0)
			continue;
		*ret_key = list.p[k].key;
		found = true;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

void quarantine_drop(struct sv key)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct entry *e;

	if (!quarantine_has(key))
		return;
	pthread_mutex_lock(&lock);
	e = quarantine_find(key);
	if (e) {
		e->dropped = true;
		atomic_fetch_sub(&live, 1);
		for (size_t i = 0; i < list.n; i++)
			if (!list.p[i].dropped)
				buf_printf(&b, "%.*s\n", SV_ARG(list.p[i].key));
		(void)file_write(path, buf_sv(&b), 0600, NULL);
	}
	pthread_mutex_unlock(&lock);
}

int quarantine_add(const char *dir, struct sv key, struct err *err)
{
	_cleanup_free_ char *file = xasprintf("%s/quarantine", dir), *line = xasprintf("%.*s\n", SV_ARG(key));
	_cleanup_close_ int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t)strlen(line) || fdatasync(fd) < 0)
		return err_set_errno(err, errno, "writing '%s'", file);
	return 0;
}
