/* kit.h - what the kubelet's unit tests share. */
#pragma once

#include "unit.h"

#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"

#include <stdio.h>
#include <stdlib.h>

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

/* A fresh directory below /tmp, in the arena. */
static inline _unused_ char *temp_dir(struct arena *a)
{
	char *d = arena_strdup(a, "/tmp/kubelet-unit.XXXXXX");

	if (!mkdtemp(d))
		fail_msg("no temporary directory");
	return d;
}
