/* kit.h - what the kubelet's unit tests share. */
#pragma once

#include "unit.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/tree.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A document from text with ' for ". */
static inline _unused_ struct val *doc(struct arena *a, const char *text)
{
	char *t = arena_strdup(a, text);
	struct err err = ERR_INIT;
	struct val *v;

	for (char *p = t; *p; p++)
		if (*p == '\'')
			*p = '"';
	v = json_decode(a, sv_from(t), NULL, &err);
	if (!v)
		fail_msg("%s: %s", err_msg(&err), t);
	return v;
}

static char temp_dirs[32][32];
static size_t n_temp_dirs;
static pid_t temp_dirs_of; /* children that end are not who made them */

static inline _unused_ void temp_dirs_remove(void)
{
	struct err err = ERR_INIT;

	for (size_t i = 0; getpid() == temp_dirs_of && i < n_temp_dirs; i++)
		if (tree_remove(temp_dirs[i], &err) < 0)
			err_release(&err);
}

/* A fresh directory below /tmp, in the arena; it goes with the program. */
static inline _unused_ char *temp_dir(struct arena *a)
{
	char *d = arena_strdup(a, "/tmp/kubelet-unit.XXXXXX");

	if (!mkdtemp(d) || n_temp_dirs == ARRAY_LEN(temp_dirs))
		fail_msg("no temporary directory");
	if (n_temp_dirs == 0)
		atexit(temp_dirs_remove);
	temp_dirs_of = getpid();
	memcpy(temp_dirs[n_temp_dirs++], d, strlen(d) + 1);
	return d;
}
