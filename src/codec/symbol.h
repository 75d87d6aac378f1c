/* symbol.h - names of fields that are not known at build time.
 *
 * A symbol is a number that stands for a name. There are three sorts, told apart by the number:
 *
 *	built in	below SYM_MAX: enum constants (F_spec), generated from the api folder. A document has
 *			such a key as its number, always.
 *	interned	made at run time for the fields of kinds that come while the process runs. Nothing is
 *			ever taken back: a number and its text are good for the life of the process. A document
 *			has such a key as its number or as text (it may be older than the symbol); both are the
 *			same key to every function of doc.h.
 *	owned		what had no room among the interned ones, or whose text a JSON encoder would escape.
 *			Good as long as their owner, and only in tables of fields: in a document such a key is
 *			text, and compared as text.
 *
 * So who walks a schema uses sym_name(), val_member(), val_set() and val_append() with any sort of symbol, and only
 * code of this folder may take symbol 0 of a member to mean that it is no field: see schema_member().
 *
 * Threads: all functions may be called by any thread at any time. Lookups take no lock. A thread that got a document
 * or a schema from another one in a proper way (lock, acquire) finds the names in it.
 */
#pragma once

#include "codec/doc.h"

enum {
	SYM_INTERN_MAX = 32 * 1024,    /* interned names of a process */
	SYM_INTERN_FIRST = 2 * 1024,   /* of them: those that are found in a small table */
	SYM_INTERN_BYTES = 512 * 1024, /* of their texts, a NUL behind each */
	SYM_OWNED_MAX = 64 * 1024,     /* owned names at one time, of all owners */
};

/* Not built in: members by it may be there as text. */
static inline bool sym_late(enum sym s)
{
	return (uint32_t)s >= SYM_MAX;
}

static inline bool sym_owned(enum sym s)
{
	return (uint32_t)s >= (uint32_t)SYM_MAX + SYM_INTERN_MAX;
}

/* The symbol of name, made when there is none; SYM_NONE when there is no room, and for what is more
 * than printable ASCII without a character that an encoder escapes. */
enum sym sym_intern(struct sv name);

/* One more than the highest number that sym_find() answers now. A decoder asks once, at its beginning, and then takes
 * only lower ones (sym_find_below()): so that a key which repeats in its text is the same sort of key each time. */
uint32_t sym_end(void);
enum sym sym_find_below(struct sv name, uint32_t end);

/* Names of one owner, who keeps them while anybody looks into its tables. */
struct sym_names;

struct sym_names *sym_names_new(void);
struct sym_names *sym_names_free(struct sym_names *n); /* NULL is fine; returns NULL */
/* A built-in or interned symbol where there is one or room for one, else an owned one; the same for the same name.
 * SYM_NONE when name is empty or SYM_OWNED_MAX are owned. One thread at a time. */
enum sym sym_names_add(struct sym_names *n, struct sv name);
