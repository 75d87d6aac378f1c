#include "cli/cluster_reset.h"

#include "base/file.h"
#include "base/log.h"
#include "cli/to_etcd-internal.h"
#include "kubelet/local/local_tree.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYS "server"
#define COPY "reset-from" /* below DIR/etcd */
#define DONE "reset"	  /* a file there: no server has started since */
#define LEAP 1000000
#define PAUSE_NS (250 * NS_PER_MS)
#define LOCK_TRIES 12

struct reset {
	struct arena a;
	const struct etcd_member_opts *o;
	struct etcd_member_id id;
	const char *dir, *made, *kept; /* DIR/etcd, .reset, .before-reset */
};

static void reset_paths(struct reset *r, const char *data_dir)
{
	r->dir = arena_printf(&r->a, "%s/etcd", data_dir);
	r->made = arena_printf(&r->a, "%s/etcd.reset", data_dir);
	r->kept = arena_printf(&r->a, "%s/etcd.before-reset", data_dir);
}

static bool reset_has(struct reset *r, const char *dir, const char *name)
{
	return access(arena_printf(&r->a, "%s/%s", dir, name), F_OK) == 0;
}

int cluster_reset_finish(const char *data_dir, struct err *err)
{
	struct reset r = { .a = ARENA_INIT };
	int rc = 0;

	reset_paths(&r, data_dir);
	if (access(r.dir, F_OK) < 0 && reset_has(&r, r.made, "data/member")) {
		log_info(SYS, "a reset of the cluster that was interrupted is finished", "data_dir", "%s", data_dir);
		rc = to_etcd_rename(r.made, r.dir, data_dir, err);
	}
	arena_release(&r.a);
	return rc;
}

void cluster_reset_used(const char *data_dir)
{
	_cleanup_free_ char *path = xasprintf("%s/etcd/" DONE, data_dir);

	(void)unlink(path);
}

/* An etcd has its database locked as long as it runs; that of a server which was just killed is ending. */
static int reset_lock(struct reset *r, struct err *err)
{
	const char *path = arena_printf(&r->a, "%s/data/member/snap/db", r->dir);
	int fd = open(path, O_RDWR | O_CLOEXEC), why = 0;

	if (fd < 0)
		return err_set_errno(err, errno, "cannot open '%s'", path);
	for (int i = 0; i == 0 || (why == EWOULDBLOCK && i < LOCK_TRIES && daemon_pause(PAUSE_NS)); i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		why = errno;
	}
	if (why == EWOULDBLOCK)
		err_set(err, ERR_ALREADY_EXISTS, "a server runs on '%s': stop it first", r->o->data_dir);
	else
		err_set_errno(err, why, "locking '%s'", path);
	close(fd);
	return -1;
}

static int reset_tidy(struct reset *r, struct err *err)
{
	return tree_remove(r->made, err) < 0 ||
		       tree_remove(arena_printf(&r->a, "%s/" TO_ETCD_MOVING, r->dir), err) < 0 ||
		       tree_remove(arena_printf(&r->a, "%s/" COPY, r->dir), err) < 0
		   ? -1
		   : 0;
}

static int reset_copy(struct reset *r, struct err *err)
{
	const char *from = arena_printf(&r->a, "%s/data", r->dir), *to = arena_printf(&r->a, "%s/" COPY, r->dir);
	_cleanup_close_ int in = -1, out = -1;

	if (mkdir(to, 0700) < 0)
		return err_set_errno(err, errno, "cannot make '%s'", to);
	in = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	out = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (in < 0 || out < 0)
		return err_set_errno(err, errno, "cannot open '%s'", in < 0 ? from : to);
	return local_tree_copy(in, out, 0, NULL, err) < 0 ? err_wrap(err, "copying '%s'", from) : 0;
}

/* All that the copy has becomes DIR/etcd/moving. */
static int reset_make(struct reset *r, uint64_t *ret_keys, int64_t *ret_rev, struct err *err)
{
	const struct to_etcd_anew anew = { .cluster =
					       arena_printf(&r->a, "caravel-%016" PRIx64, env_random_u64(r->o->env)),
					   .leap = LEAP };
	struct etcd_member_opts from = *r->o;
	struct etcd_member *m;
	struct store *s;
	int rc = -1;

	from.into = COPY;
	from.alone = true;
	m = etcd_member_start(&from, &r->id, NULL, err);
	s = m ? to_etcd_open(&r->a, &from, &r->id, TO_ETCD_TRIES, err) : NULL;
	if (s)
		rc = to_etcd_file(r->o, &r->id, s, &anew, ret_keys, ret_rev, err);
	if (rc == 0)
		err_set(err, ERR_NOT_FOUND,
			"neither etcdutl nor etcdctl is in PATH, which make an etcd of a file: apt-get install "
			"etcd-client");
	store_close(s);
	etcd_member_stop(m, true);
	return rc > 0 ? 0 : -1;
}

static int reset_exchange(struct reset *r, struct err *err)
{
	const char *data_dir = r->o->data_dir;

	if (dir_make(r->made, 0700, err) < 0 ||
	    file_write(arena_printf(&r->a, "%s/name", r->made), sv_from(r->id.name), 0600, err) < 0 ||
	    file_write(arena_printf(&r->a, "%s/" DONE, r->made), SV("no server has started on it yet\n"), 0600, err) <
		0 ||
	    to_etcd_sync(r->dir, err) < 0 ||
	    to_etcd_rename(arena_printf(&r->a, "%s/" TO_ETCD_MOVING, r->dir), arena_printf(&r->a, "%s/data", r->made),
			   r->made, err) < 0)
		return -1;
	return to_etcd_rename(r->dir, r->kept, data_dir, err) < 0 || to_etcd_rename(r->made, r->dir, data_dir, err) < 0
		   ? -1
		   : 0;
}

static int reset_all(struct reset *r, struct err *err)
{
	struct etcd_member_opts made = *r->o;
	uint64_t keys = 0;
	int64_t rev = 0;

	made.into = TO_ETCD_MOVING;
	if (etcd_member_identify(&r->a, r->o, &r->id, err) < 0 || etcd_member_can_listen(r->o, err) < 0 ||
	    reset_tidy(r, err) < 0 || reset_copy(r, err) < 0)
		return -1;
	log_info(SYS, "a cluster of this server alone is made of what its etcd has", "from", "%s/data", r->dir);
	if (reset_make(r, &keys, &rev, err) < 0 || to_etcd_look(&r->a, &made, &r->id, rev, err) < 0 ||
	    tree_remove(arena_printf(&r->a, "%s/" COPY, r->dir), err) < 0 || reset_exchange(r, err) < 0)
		return -1;
	log_info(SYS, "all is in it", "keys", "%" PRIu64 ", revision %" PRId64, keys, rev);
	return 1;
}

static int reset_begin(struct reset *r, struct err *err)
{
	_cleanup_close_ int lock = -1;
	int rc;

	if (cluster_reset_finish(r->o->data_dir, err) < 0)
		return -1;
	if (!etcd_member_there(r->o->data_dir))
		return err_set(err, ERR_NOT_FOUND,
			       "'%s' has no etcd of several servers (DIR/etcd): there is no cluster to reset",
			       r->o->data_dir);
	if (reset_has(r, r->dir, DONE))
		return 0;
	if (access(r->kept, F_OK) == 0)
		return err_set(err, ERR_ALREADY_EXISTS,
			       "'%s' is there, from an earlier reset: move it away if this cluster shall be reset, too",
			       r->kept);
	if (etcd_member_check(err) < 0 || (lock = reset_lock(r, err)) < 0)
		return -1;
	rc = reset_all(r, err);
	return rc < 0 ? err_wrap(err, "resetting the cluster of '%s'", r->o->data_dir) : rc;
}

int cluster_reset(const struct etcd_member_opts *o, struct err *err)
{
	struct reset r = { .a = ARENA_INIT, .o = o };
	int rc;

	reset_paths(&r, o->data_dir);
	rc = reset_begin(&r, err);
	arena_release(&r.a);
	return rc;
}
