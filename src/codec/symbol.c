#include "codec/doc.h"
#include "codec/symbol.h"

/* The generator filled the table with the same function: FNV-1a, folded. At most a quarter of
 * the slots are taken, so a probe sequence is short for names that are no symbol, too. */
enum sym sym_find(struct sv name)
{
	uint64_t h = sv_hash(name);

	for (uint32_t slot = (uint32_t)(h ^ h >> 32) & symbol_hash_mask; symbol_hash[slot];
	     slot = (slot + 1) & symbol_hash_mask) {
		enum sym s = (enum sym)symbol_hash[slot];

		if (sv_eq(name, sym_name(s)))
			return s;
	}
	return SYM_NONE;
}

struct sv sym_name(enum sym s)
{
	if ((unsigned)s >= SYM_MAX)
		return SV("");
	return sv_make(symbol_text + symbol_offset[s], symbol_offset[s + 1] - symbol_offset[s] - 1u);
}
