/* test_plane.h - the three names of a test control plane.
 *
 * Links named `etcd`, `kube-apiserver` and `kubectl` to this program stand in for the files that controller-runtime's
 * envtest starts, with the flags that it gives them:
 *
 *	etcd            answers /health where it is told to listen, holds --data-dir, and stores nothing itself
 *	  ▲ GET /caravel
 *	kube-apiserver  asks it where that directory is, and has its own database in it; the API, and the controllers of
 *	                namespaces and garbage inside, so that what is deleted goes
 *	kubectl         becomes the one that is found on the PATH
 *
 * So the objects of a test are where its etcd's data are: they outlive a restart of both, and go with the directory.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* Where an `etcd` of ours says its directory is, and what follows of its flags. */
#define TEST_PLANE_PATH "/caravel"
#define TEST_PLANE_DIR "caravel" /* below that directory */
struct test_plane {
	const char *data_dir; /* absolute; in the arena that etcd_ask() got */
	bool no_sync;	      /* --unsafe-no-fsync */
};

/* Asks the etcd at the first of a list of URLs, and waits some seconds for it to be there. ret->data_dir NULL: it is no
 * etcd of ours, but one that stores. -1: nobody answers, or something that is neither; *err says what to do. */
int etcd_ask(struct arena *a, const char *servers, struct test_plane *ret, struct err *err);
