/* lazylib.h - a shared library that is loaded when it is first needed.
 *
 * Linking a library costs every process its loading, relocations and the libraries behind it, also those that never
 * call it: libarchive and libnftables with their eight or nine were half of what `caravel` did before main(), and most
 * of the pages. What only some commands need is therefore named here and bound at the first use. Headers still come
 * from the library, so that pointers are declared with typeof() and the compiler checks calls:
 *
 *	static typeof(nft_ctx_new) *sym_nft_ctx_new;
 *	static const struct lazylib_sym syms[] = { { "nft_ctx_new", &sym_nft_ctx_new } };
 *	static struct lazylib lib = LAZYLIB("libnftables.so.1", syms);
 *
 * Threads: any. Once loaded a library stays.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

#include <pthread.h>

struct lazylib_sym {
	const char *name;
	void *pointer; /* to the function pointer that gets its address */
};

struct lazylib {
	const char *soname; /* with its version: that of the headers */
	const struct lazylib_sym *syms;
	size_t n_syms;
	pthread_mutex_t lock;
	bool loaded;
};

#define LAZYLIB(so, table)                                                                                      \
	{                                                                                                       \
		.soname = (so), .syms = (table), .n_syms = ARRAY_LEN(table), .lock = PTHREAD_MUTEX_INITIALIZER, \
	}

/* After 0 all pointers are set. A failure is tried again by the next call. */
int lazylib_need(struct lazylib *l, struct err *err);
