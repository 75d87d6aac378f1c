#include "snapshot/keys.h"

#include "base/file.h"
#include "net/digest.h"

#include <errno.h>
#include <unistd.h>

#define KEY_FILE_MAX ((size_t)1 << 20)

static const struct {
	const char *name;
	bool needed;
} keys_files[] = {
	{ "pki/ca.crt", true },
	{ "pki/ca.key", true },
	{ "pki/sa.key", true },
	{ "pki/front-proxy-ca.crt", false },
	{ "pki/front-proxy-ca.key", false },
	{ "server/node-token", false },
	{ "server/token", false },
	{ "cidrs", false },
};

bool keys_known(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(keys_files); i++)
		if (sv_is(name, keys_files[i].name))
			return true;
	return sv_is(name, KEYS_ENCRYPTION);
}

static int keys_read_one(struct arena *a, const char *path, bool needed, struct sv *ret, struct err *err)
{
	struct err why = ERR_INIT;

	if (file_read(a, path, KEY_FILE_MAX, ret, &why) == 0)
		return 1;
	if (!needed && why.errnum == ENOENT) {
		err_release(&why);
		return 0;
	}
	return err_move(err, &why);
}

int keys_read(struct arena *a, const char *data_dir, const char *encryption_config, struct archive_file **ret,
	      size_t *ret_n, struct err *err)
{
	struct archive_file *f = ARENA_ARRAY(a, struct archive_file, ARRAY_LEN(keys_files) + 1);
	size_t n = 0;
	int r;

	*ret = f;
	*ret_n = 0;
	if (access(arena_printf(a, "%s/pki/ca.crt", data_dir), F_OK) < 0 && errno == ENOENT)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(keys_files); i++) {
		f[n].name = sv_from(keys_files[i].name);
		r = keys_read_one(a, arena_printf(a, "%s/%s", data_dir, keys_files[i].name), keys_files[i].needed,
				  &f[n].data, err);
		if (r < 0)
			return -1;
		n += (size_t)r;
	}
	if (encryption_config) {
		f[n].name = SV(KEYS_ENCRYPTION);
		if (keys_read_one(a, encryption_config, true, &f[n].data, err) < 0)
			return -1;
		n++;
	}
	*ret_n = n;
	return 1;
}

bool keys_told(struct sv key, struct sv word)
{
	struct sv start = SV("/registry/secrets/kube-system/bootstrap-token-"), id = SV("");

	(void)sv_split(&word, '.', &id);
	return id.n && sv_starts(key, start) && sv_eq(sv_sub(key, start.n, key.n), id);
}

struct sv keys_cluster(struct arena *a, const struct archive_file *f, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sv_is(f[i].name, "pki/ca.crt")) {
			char hex[SHA256_HEX];

			sha256_hex(f[i].data, hex);
			return arena_sv(a, sv_from(hex));
		}
	return SV("");
}
