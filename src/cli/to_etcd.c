#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/daemon.h"
#include "cli/to_etcd-internal.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SYS "server"
#define COUNTED_MAX INT64_C(20000000) /* revisions: 2,500 a second on a small machine */
#define PAUSE_NS (250 * NS_PER_MS)

int to_etcd_rename(const char *from, const char *to, const char *dir, struct err *err)
{
	_cleanup_close_ int fd = -1;

	if (rename(from, to) < 0)
		return err_set_errno(err, errno, "renaming '%s' to '%s'", from, to);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return err_set_errno(err, errno, "syncing '%s'", dir);
	return 0;
}

int to_etcd_sync(const char *dir, struct err *err)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || syncfs(fd) < 0 ? err_set_errno(err, errno, "syncing '%s'", dir) : 0;
}

struct store *to_etcd_open(struct arena *a, const struct etcd_member_opts *o, const struct etcd_member_id *id,
			   unsigned tries, struct err *err)
{
	struct datastore_opts d = { .compact = "0s" };
	struct err why = ERR_INIT;
	struct store *s;

	etcd_member_datastore(a, o, id, id->client, false, &d);
	while (!(s = datastore_etcd(o->env, a, &d, &why))) {
		if ((why.reason != ERR_UNAVAILABLE && why.reason != ERR_TIMEOUT) || (tries && --tries == 0) ||
		    !daemon_pause(PAUSE_NS)) {
			err_move(err, &why);
			return NULL;
		}
		err_release(&why);
	}
	return s;
}

int to_etcd_look(struct arena *a, const struct etcd_member_opts *o, const struct etcd_member_id *id, int64_t rev,
		 struct err *err)
{
	struct etcd_member *m = etcd_member_start(o, id, NULL, err);
	struct store *s = m ? to_etcd_open(a, o, id, TO_ETCD_TRIES, err) : NULL;
	struct store_stats stats = { 0 };
	int rc = s ? 0 : -1;

	if (s)
		store_stats(s, &stats);
	if (s && stats.rev != rev)
		rc =
		    err_set(err, ERR_INTERNAL, "it is at the revision %" PRId64 " instead of %" PRId64, stats.rev, rev);
	store_close(s);
	etcd_member_stop(m, false);
	return rc;
}

/* What a write for each revision would take hours for is not begun. */
static int move_may_count(struct store *from, const char *why, struct err *err)
{
	struct store_stats stats;

	store_stats(from, &stats);
	if (stats.rev > COUNTED_MAX)
		return err_set(err, ERR_NOT_FOUND, "%s; and a write for each of %" PRId64 " revisions would take hours",
			       why, stats.rev);
	log_warn(SYS, "the move into etcd takes a write for each revision", "why", "%s", why);
	return 0;
}

/* 1; 0: it is to be tried another way, and nothing is there. */
static int move_by_file(struct arena *a, const struct etcd_member_opts *o, const struct etcd_member_id *id,
			struct store *from, const char *moving, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	uint64_t keys = 0;
	int64_t rev = 0;
	int rc = to_etcd_file(o, id, from, NULL, &keys, &rev, &why);

	if (rc == 0)
		err_set(&why, ERR_NOT_FOUND,
			"neither etcdutl nor etcdctl is in PATH, which make an etcd of a file: "
			"apt-get install etcd-client");
	if (rc > 0)
		log_info(SYS, "an etcd was made of a file; it starts, to say how far it is", "keys", "%" PRIu64, keys);
	if (rc > 0 && to_etcd_look(a, o, id, rev, &why) < 0)
		rc = -1;
	if (rc > 0) {
		log_info(SYS, "all is in etcd", "keys", "%" PRIu64 ", revision %" PRId64, keys, rev);
		return 1;
	}
	if (daemon_is_to_end())
		return err_move(err, &why);
	if (move_may_count(from, err_msg(&why), err) < 0)
		return -1;
	return access(moving, F_OK) == 0 ? tree_remove(moving, err) : 0;
}

static int move_one_by_one(struct arena *a, const struct etcd_member_opts *o, const struct etcd_member_id *id,
			   struct store *from, struct err *err)
{
	struct etcd_member *m = etcd_member_start(o, id, NULL, err);
	struct store *to = m ? to_etcd_open(a, o, id, 0, err) : NULL;
	int64_t rev = 0;
	size_t keys = 0;
	int rc = to ? to_etcd_copy(from, to, &keys, &rev, err) : -1;

	store_close(to);
	etcd_member_stop(m, false);
	if (rc == 0)
		log_info(SYS, "all is in etcd", "keys", "%zu, revision %" PRId64, keys, rev);
	return rc;
}

static int move_all(struct arena *a, const struct etcd_member_opts *o, const struct etcd_member_id *id, const char *db,
		    const char *moving, struct err *err)
{
	struct etcd_member_opts into = *o;
	struct store *from = store_disk_open(o->env, db, STORE_DISK_MAX, err);
	int rc;

	if (!from)
		return -1;
	into.into = TO_ETCD_MOVING;
	log_info(SYS, "the objects of the database move into etcd", "from", "%s", db);
	rc = move_by_file(a, &into, id, from, moving, err);
	if (rc == 0)
		rc = move_one_by_one(a, &into, id, from, err);
	store_close(from);
	return rc < 0 ? -1 : 0;
}

void to_etcd_forget(const char *data_dir)
{
	static const char *const left[] = { "snapshot", "values", "log" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	for (size_t i = 0; i < ARRAY_LEN(left); i++)
		(void)unlink(arena_printf(&a, "%s/etcd/" TO_ETCD_MOVING ".%s", data_dir, left[i]));
}

int to_etcd(const struct etcd_member_opts *o, const struct etcd_member_id *id, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *db = arena_printf(&a, "%s/db", o->data_dir),
		   *kept = arena_printf(&a, "%s/db.before-etcd", o->data_dir);
	const char *dir = arena_printf(&a, "%s/etcd", o->data_dir),
		   *moving = arena_printf(&a, "%s/" TO_ETCD_MOVING, dir);

	if (access(arena_printf(&a, "%s/manifest", db), F_OK) < 0)
		return 0;
	if (access(kept, F_OK) == 0)
		return err_set(
		    err, ERR_ALREADY_EXISTS,
		    "'%s' is there, and so is '%s': an earlier database that has moved into etcd. Move it away "
		    "if this one shall, too",
		    kept, db);
	if (!etcd_member_there(o->data_dir)) {
		if (access(moving, F_OK) == 0 && tree_remove(moving, err) < 0)
			return -1;
		if (move_all(&a, o, id, db, moving, err) < 0)
			return err_wrap(err, "moving '%s' into etcd (it is as it was)", db);
		if (to_etcd_sync(dir, err) < 0 ||
		    to_etcd_rename(moving, arena_printf(&a, "%s/data", dir), dir, err) < 0)
			return -1;
	}
	return to_etcd_rename(db, kept, o->data_dir, err);
}
