/* etcd_others.h - who else is a member of this server's etcd, and does not answer: for the line that a server says
 * while it waits for a majority, which cannot be asked who they are. What its own database says is read (bucket
 * "members"), beside the etcd that runs on it; each is asked at its own address (GET /version). */
#pragma once

#include "base/arena.h"

/* "NAME at URL, ..."; "" when all answer, or it cannot be known. own: the name of this server's. Blocking, two seconds
 * a member. */
const char *etcd_others_silent(struct arena *a, const char *data_dir, const char *own);
