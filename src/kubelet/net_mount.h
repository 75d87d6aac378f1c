/* net_mount.h - mounts of file servers (NFS), which may hang for as long as a server is away.
 *
 * Nothing of ours ever waits for a server: whatever could (mounting, unmounting, asking how full it is) is a program of
 * its own, which is started, looked after and, when it takes too long, killed. The mount table says what is mounted;
 * what is remembered is only who is at work, and what the last one said.
 *
 *	net_mount()	mount.nfs; killed after two minutes
 *	net_unmount()	umount; then -f: what waits for the server fails; then -l: out of the tree. Ten seconds each
 *	net_room()	stat -f; what is told is what was known last
 *
 * Of each of these a namespace has a few at once (shares.h), more of them stand in line, so that one whose servers hang
 * holds up itself. How full something is, is asked for a few of each pod.
 *
 * Threads: any; no call waits. The pod that is given is kicked when its program ended, or may begin.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"

#define NET_LOOK_NS (2 * NS_PER_SEC) /* who was told "under way" looks again by then: does it take too long? */

struct kpod;
struct net_mounts;

/* What of this only a real machine has; the seam for tests. Programs: names in PATH, or paths. */
struct net_machine {
	const char *mount, *umount, *stat;
	bool (*mounted)(const char *at);
};
extern const struct net_machine net_machine_real;

struct net_source {
	const char *what;    /* "SERVER:/PATH" */
	const char *options; /* "ro,hard"; NULL: none */
};

struct net_room {
	int64_t bytes, available_bytes, used_bytes, inodes, inodes_free;
};

struct net_mounts *net_mounts_new(struct env *e, const struct net_machine *m); /* m NULL: the real one */
/* What mounts and unmounts took is counted there, from before the first one on. */
struct metric_set;
void net_mounts_counted(struct net_mounts *n, struct metric_set *counted);
/* Programs that run are killed; nobody waits for their end. NULL is fine. */
struct net_mounts *net_mounts_free(struct net_mounts *n);

/* 0: it is mounted at that absolute path, whose directory is made when missing. 1: under way. -1: why the last try
 * failed, told once: the next call begins anew; or that it is taking long. p NULL: nobody is kicked. */
int net_mount(struct net_mounts *n, struct kpod *p, const char *at, const struct net_source *s, struct err *err);
/* 0: nothing is mounted there. 1: under way. -1: it cannot be taken away. */
int net_unmount(struct net_mounts *n, struct kpod *p, const char *at, struct err *err);
/* Nothing is to be mounted below that directory any more: what is at work on it is killed, what is remembered
 * forgotten. 0: nobody is; 1: somebody still is, ask again. What is mounted stays. */
int net_leave(struct net_mounts *n, const char *dir);
/* False: it is not known, or was so long ago that it means nothing. */
bool net_room(struct net_mounts *n, const char *at, struct net_room *ret);
