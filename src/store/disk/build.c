#include "store/disk/build.h"

#include "store/disk/db-internal.h"
#include "store/disk/wal-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define PART_BYTES ((uint64_t)32 << 20)

struct store_build {
	struct db d;
	struct db_meta meta;
	db_parts parts;
	struct table_out out;
	bool open;
	struct buf record; /* of store_build_add() */
};

struct store_build *store_build_new(struct env *env, const char *dir, int64_t rev, struct err *err)
{
	struct store_build *b;

	if (mkdir(dir, 0700) < 0) {
		err_set_errno(err, errno, "cannot make '%s'", dir);
		return NULL;
	}
	b = xcalloc(1, sizeof(*b));
	b->d = (struct db){ .env = env, .dir = xstrdup(dir), .path = xasprintf("%s/manifest", dir), .next_number = 1 };
	b->meta = (struct db_meta){ .format = DB_FORMAT, .store_id = env_random_u64(env), .rev = (uint64_t)rev };
	b->meta.compact_rev = b->meta.full_rev = b->meta.rev;
	return b;
}

static int build_part_end(struct store_build *b, struct err *err)
{
	struct db_part part = { .age = 1 };

	if (!b->open)
		return 0;
	b->open = false;
	part.t = table_out_open(&b->out, b->d.dir, err);
	if (!part.t)
		return -1;
	vec_push(&b->parts, part);
	return 0;
}

int store_build_add_raw(struct store_build *b, const void *raw, size_t n, struct err *err)
{
	if (!b->open) {
		struct table_head h = { .store_id = b->meta.store_id,
					.number = b->d.next_number++,
					.salt = env_random_u64(b->d.env),
					.first_rev = 1,
					.last_rev = b->meta.rev,
					.hist_rev = b->meta.rev };

		if (table_out_begin(&b->out, b->d.dir, &h, err) < 0) {
			table_out_abort(&b->out);
			return -1;
		}
		b->open = true;
	}
	if (table_out_add(&b->out, raw, n, err) < 0)
		return -1;
	b->meta.live++;
	b->meta.live_bytes += (n + 7) & ~(size_t)7;
	return table_out_bytes(&b->out) >= PART_BYTES ? build_part_end(b, err) : 0;
}

int store_build_add(struct store_build *b, const struct store_kv *kv, struct err *err)
{
	struct wal_record h = { .rev = (uint64_t)kv->mod_rev,
				.create_rev = (uint64_t)kv->create_rev,
				.key_n = (uint32_t)kv->key.n,
				.value_n = (uint32_t)kv->value.n };

	if (!kv->key.n || kv->key.n > STORE_KEY_MAX || kv->value.n > STORE_VALUE_MAX || kv->deleted ||
	    h.rev > b->meta.rev)
		return err_set(err, ERR_INVALID, "'%.*s' is nothing that a store has", SV_ARG(kv->key));
	buf_clear(&b->record);
	buf_addsv(&b->record, kv->key);
	buf_addsv(&b->record, kv->value);
	wal_record_seal(&h, crc32c(0, b->record.p, b->record.n));
	buf_clear(&b->record);
	buf_add(&b->record, &h, sizeof(h));
	buf_addsv(&b->record, kv->key);
	buf_addsv(&b->record, kv->value);
	return store_build_add_raw(b, b->record.p, b->record.n, err);
}

static int build_note(struct store_build *b, struct err *err)
{
	struct wal w;
	int r;

	wal_init(&w, b->d.dir, b->meta.store_id);
	r = wal_note_open(&w, true, err);
	wal_release(&w);
	return r;
}

int store_build_end(struct store_build *b, uint64_t *ret_keys, struct err *err)
{
	struct db_set *made = NULL;

	if (build_part_end(b, err) < 0 || build_note(b, err) < 0 ||
	    db_commit(&b->d, &b->parts, NULL, &b->meta, &made, err) < 0)
		return -1;
	db_set_unref(made);
	if (ret_keys)
		*ret_keys = b->meta.live;
	return 0;
}

void store_build_free(struct store_build *b)
{
	if (!b)
		return;
	if (b->open)
		table_out_abort(&b->out);
	for (size_t i = 0; i < b->parts.n; i++)
		table_unref(b->parts.p[i].t);
	vec_release(&b->parts);
	buf_release(&b->record);
	free(b->d.dir);
	free(b->d.path);
	free(b);
}
