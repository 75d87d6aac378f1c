/* Compression, by libzstd, which only a process that makes or reads a snapshot loads. */
#include "base/lazylib.h"
#include "snapshot/archive-internal.h"

#include <zstd.h>

#define LEVEL 3

static typeof(ZSTD_compress) *sym_compress;
static typeof(ZSTD_compressBound) *sym_bound;
static typeof(ZSTD_decompress) *sym_decompress;
static typeof(ZSTD_isError) *sym_is_error;
static const struct lazylib_sym zstd_syms[] = { { "ZSTD_compress", &sym_compress },
						{ "ZSTD_compressBound", &sym_bound },
						{ "ZSTD_decompress", &sym_decompress },
						{ "ZSTD_isError", &sym_is_error } };
static struct lazylib zstd_lib = LAZYLIB("libzstd.so.1", zstd_syms);

int archive_pack_ready(struct err *err)
{
	return lazylib_need(&zstd_lib, err) < 0 ? err_wrap(err, "snapshots need Debian's libzstd1") : 0;
}

int archive_pack(struct sv raw, struct buf *out, struct err *err)
{
	size_t room, n;

	if (archive_pack_ready(err) < 0)
		return -1;
	room = sym_bound(raw.n);
	buf_reserve(out, room);
	n = sym_compress(out->p + out->n, room, raw.p, raw.n, LEVEL);
	if (sym_is_error(n))
		return err_set(err, ERR_INTERNAL, "zstd cannot compress %zu bytes", raw.n);
	out->n += n;
	return 0;
}

bool archive_unpack(struct sv packed, size_t raw_n, char *to)
{
	size_t n = sym_decompress(to, raw_n, packed.p, packed.n);

	return !sym_is_error(n) && n == raw_n;
}
