/* local_path.h - volumes that are directories or devices of this node: the provisioner of the StorageClass local-path.
 *
 * Each node provisions for itself, as an external provisioner would: a claim of the class whose first Pod was placed
 * here (annotation volume.kubernetes.io/selected-node) gets files below `dir` (local/README.md) and a PersistentVolume
 * that only this node can use; a volume of ours that is released, or deleted, loses its files, and then itself; one
 * whose claim asks for more grows while it is used. VolumeSnapshots of them are taken, kept and removed here, too, and
 * a claim may be filled from one, or from another claim, of this node. There are no Pods for it.
 *
 * The name of the class is the one in k3s users' charts. Parameters of a class (any class of this provisioner):
 *
 *	enforcement	auto	     the first of the next two that this node can do, else none, and a Warning says why
 *			projectQuota a limit of the file system
 *			image	     an ext4 of that size in a file, mounted by a loop device
 *			none	     what was asked for is not held as a limit
 *	archiveOnDelete	true	     what is deleted is kept as archived-NAME
 */
#pragma once

#include "client/client.h"
#include "pod/volume_match.h" /* LOCAL_PATH_CLASS, ..._PROVISIONER */

struct local_machine;
struct local_path;

struct local_path_opts {
	struct env *env;
	/* Its own identity, ServiceAccount kube-system/local-path-provisioner, or the node's, of which admission
	 * believes only what it makes on itself (apiserver/admission/node_volumes.c). */
	struct client *client;
	const char *node_name;
	const char *dir;		     /* absolute; made when it is not there */
	const struct local_machine *machine; /* NULL: the real one */
};

/* Makes the class, too, if there is none of that name. NULL with *err: the directory cannot be made. */
struct local_path *local_path_start(const struct local_path_opts *o, struct err *err);
struct local_path *local_path_stop(struct local_path *l); /* volumes stay. NULL is fine; returns NULL */
