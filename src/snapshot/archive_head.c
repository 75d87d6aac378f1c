/* The text at the head of an archive, and checksums of chunks. */
#include "base/timefmt.h"
#include "net/digest.h"
#include "snapshot/archive-internal.h"
#include "store/disk/crc32c.h"

uint32_t chunk_crc(const struct chunk_head *h, const void *p)
{
	struct chunk_head plain = *h;

	plain.crc = 0;
	return crc32c(crc32c(0, &plain, sizeof(plain)), p, le32toh(h->bytes));
}

void archive_head_text(struct buf *b, const struct archive_head *h)
{
	char tmp[TIME_TEXT_MAX];

	if (h->cluster.n)
		buf_printf(b, "cluster %.*s\n", SV_ARG(h->cluster));
	buf_printf(b, "revision %" PRId64 "\ntime %.*s\nversion %.*s\nkubernetes %.*s\n", h->rev,
		   SV_ARG(time_format(h->time_ns, false, tmp)), SV_ARG(h->version), SV_ARG(h->kubernetes));
}

/* Lines are shown on terminals. */
static bool head_printable(struct sv text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < ' ' || (unsigned char)text.p[i] > '~')
			return false;
	return true;
}

bool archive_head_parse(struct sv text, struct archive_head *ret)
{
	struct sv line, name;
	bool good = true;

	*ret = (struct archive_head){ .time_ns = INT64_MIN };
	while (good && sv_split(&text, '\n', &line)) {
		struct sv value = line;

		good = head_printable(line);
		if (!sv_split(&value, ' ', &name))
			continue;
		if (sv_is(name, "cluster"))
			ret->cluster = value;
		else if (sv_is(name, "version"))
			ret->version = value;
		else if (sv_is(name, "kubernetes"))
			ret->kubernetes = value;
		else if (sv_is(name, "revision"))
			good = good && sv_to_i64(value, &ret->rev);
		else if (sv_is(name, "time"))
			good = good && time_parse(value, &ret->time_ns);
	}
	if (ret->cluster.n && ret->cluster.n != SHA256_HEX - 1)
		good = false;
	return good && ret->rev > 0 && ret->rev <= INT64_MAX / 2 && ret->time_ns != INT64_MIN;
}
