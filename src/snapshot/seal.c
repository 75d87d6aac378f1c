#include "snapshot/seal.h"

#include "net/sealed.h"

#include <endian.h>
#include <openssl/crypto.h>

_Static_assert(ARCHIVE_FILES_BYTES <= SEALED_TEXT_MAX, "they are one text");

static void wipe(struct buf *b)
{
	if (b->p)
		OPENSSL_cleanse(b->p, b->cap);
	buf_release(b);
}

static void seal_word(struct buf *b, size_t n)
{
	uint32_t word = htole32((uint32_t)n);

	buf_add(b, &word, sizeof(word));
}

int seal_files(struct env *env, struct sv secret, struct sv bound, const struct archive_file *f, size_t n,
	       struct buf *out, struct err *err)
{
	_cleanup_(wipe) struct buf plain = BUF_INIT;

	plain.limit = ARCHIVE_FILES_BYTES;
	for (size_t i = 0; i < n; i++) {
		seal_word(&plain, f[i].name.n);
		seal_word(&plain, f[i].data.n);
		buf_addsv(&plain, f[i].name);
		buf_addsv(&plain, f[i].data);
	}
	if (plain.overflow || n > ARCHIVE_FILES_MAX)
		return err_set(err, ERR_TOO_LARGE, "keys and certificates are more than %zu MiB",
			       ARCHIVE_FILES_BYTES >> 20);
	return sealed_make(env, secret, bound, buf_sv(&plain), out, err);
}

/* A path that leads nowhere but below. */
static bool seal_name_good(struct sv name)
{
	struct sv part;

	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] > '~')
			return false;
	if (!name.n || name.n > 255)
		return false;
	while (sv_split(&name, '/', &part))
		if (!part.n || part.p[0] == '.')
			return false;
	return true;
}

static int seal_parse(struct arena *a, struct sv plain, struct archive_file **ret, size_t *ret_n, struct err *err)
{
	struct archive_file *f = ARENA_ARRAY(a, struct archive_file, ARCHIVE_FILES_MAX);
	uint32_t words[2];
	size_t n = 0;

	while (plain.n) {
		size_t name_n, data_n;

		if (plain.n < sizeof(words) || n == ARCHIVE_FILES_MAX)
			break;
		memcpy(words, plain.p, sizeof(words));
		plain = sv_sub(plain, sizeof(words), plain.n);
		name_n = le32toh(words[0]);
		data_n = le32toh(words[1]);
		if (name_n > plain.n || data_n > plain.n - name_n || !seal_name_good(sv_sub(plain, 0, name_n)))
			break;
		f[n++] = (struct archive_file){ arena_sv(a, sv_sub(plain, 0, name_n)),
						arena_sv(a, sv_sub(plain, name_n, data_n)) };
		plain = sv_sub(plain, name_n + data_n, plain.n);
	}
	if (plain.n)
		return err_set(err, ERR_INVALID, "what is sealed in it are no files");
	*ret = f;
	*ret_n = n;
	return 0;
}

int seal_open(struct arena *a, struct sv secret, struct sv bound, struct sv sealed, struct archive_file **ret,
	      size_t *ret_n, struct err *err)
{
	_cleanup_(wipe) struct buf plain = BUF_INIT;
	struct err why = ERR_INIT;

	if (sealed_open(secret, bound, sealed, &plain, &why) == 0)
		return seal_parse(a, buf_sv(&plain), ret, ret_n, err);
	if (why.reason != ERR_UNAUTHORIZED)
		return err_wrap(&why, "its keys"), err_move(err, &why);
	err_release(&why);
	return err_set(err, ERR_UNAUTHORIZED,
		       "its keys are sealed with another token: --token takes what was in DIR/server/token then");
}
