/* symbol_tables.h - the generated symbol tables, for symbol.c alone.
 *
 * symbol.h and doc.h have the lookups everybody uses.
 */
#pragma once

#include <stdint.h>

#include "symbols.h"

extern const char symbol_text[];		  /* all names, a NUL behind each; SYM_NONE's is empty */
extern const uint16_t symbol_offset[SYM_MAX + 1]; /* where a symbol's name begins; the last is the end */
extern const uint32_t symbol_hash_mask;		  /* slots - 1 */
extern const uint16_t symbol_hash[];		  /* open addressing, linear probing, 0 is free */
