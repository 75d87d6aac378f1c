/* workdir.h - the directory in which HAProxy runs: what it reads at its start. Root's alone, but for an empty one that
 * is its root when it serves. What is in it is made again at every start. */
#pragma once

#include "base/err.h"
#include "base/strmap.h"
#include "ingress/render.h"

#define ING_CONFIG "haproxy.cfg"

struct ing_workdir {
	char *dir, *config; /* owned */
	uid_t uid;	    /* as whom HAProxy serves */
	gid_t gid;
	size_t lists;	     /* of certificates, in the state that was written last */
	struct strmap there; /* file -> hash of what was written into it; as numbers */
};

/* Makes it, with what does not depend on Ingresses. After a failure it is released like another. */
int ing_workdir_open(struct ing_workdir *w, const char *data_dir, int64_t now_ns, struct err *err);
void ing_workdir_release(struct ing_workdir *w);
/* A state, of which is written what is not there already, by whichever state that was: one that HAProxy did not take,
 * too.
 */
int ing_workdir_write(struct ing_workdir *w, const struct ing_conf *c, struct err *err);
void ing_workdir_forget(struct ing_workdir *w); /* all is written next time, whatever was done to it meanwhile */
/* Keys whose Secrets are gone do not stay on the disk: all go but those of c (NULL: none). One that runs has read them.
 */
void ing_workdir_drop_pems(struct ing_workdir *w, const struct ing_conf *c);
