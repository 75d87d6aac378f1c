/* restore-internal.h - the journal of a restore. For restore.c and restore_journal.c, nobody else. */
#pragma once

#include "base/arena.h"
#include "snapshot/restore.h"

#define RESTORE_STAGE "restore.new"
#define RESTORE_KEPT ".before-restore-"
#define RESTORE_ENTRIES_MAX 8

struct restore_entry {
	const char *name; /* in the data directory */
	bool staged;	  /* there is a new one; else the old one only goes */
};

struct restore_journal {
	int64_t time_s;
	size_t n;
	struct restore_entry e[RESTORE_ENTRIES_MAX];
	bool with_files; /* not written */
};

/* One restore a directory: the descriptor that holds the lock, or -1. make: its file, too; without, -1 and no error
 * when there never was a restore. */
int restore_lock(const char *data_dir, bool make, struct err *err);
int restore_journal_write(struct arena *a, const char *data_dir, const struct restore_journal *j, struct err *err);
/* Texts in a. 1: read; 0: there is none; -1. */
int restore_journal_read(struct arena *a, const char *data_dir, struct restore_journal *ret, struct err *err);
/* Under the lock. Does what the journal says, as far as it is not done. 1, 0: there is none; -1. */
int restore_roll_forward(const char *data_dir, void (*step)(const char *what, void *ctx), void *ctx, struct err *err);
int restore_sync_dir(const char *path, struct err *err); /* a file, too */
