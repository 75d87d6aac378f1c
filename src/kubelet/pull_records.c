#include "kubelet/pull_records.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strmap.h"
#include "base/vec.h"
#include "codec/json.h"

#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define SYS "kubelet"
#define RECORD_MAX (1 << 20)
/* In the map's values: a pull of an agent before us did not end; each of ours that is under way adds one. */
#define PULLING_LEFT 1
#define PULLING_ONE 2
#define KEEP_NS (3600 * NS_PER_SEC)

struct pull_name {
	char *image; /* without tag and digest */
	bool everybody;
	VEC(char *) digests; /* oldest first */
};

struct pull_record {
	char *ref;
	int64_t written_ns; /* mono; 0: by an agent before us */
	VEC(struct pull_name) names;
};

struct pull_records {
	struct env *env;
	char *dir;
	pthread_mutex_t lock;
	struct strmap by_ref;  /* id -> struct pull_record */
	struct strmap pulling; /* digest of the image's name -> PULLING_* */
};

static void pull_record_free(struct pull_record *e)
{
	for (size_t i = 0; i < e->names.n; i++) {
		for (size_t j = 0; j < e->names.p[i].digests.n; j++)
			free(e->names.p[i].digests.p[j]);
		vec_release(&e->names.p[i].digests);
		free(e->names.p[i].image);
	}
	vec_release(&e->names);
	free(e->ref);
	free(e);
}

/* "registry/name:tag@sha256:..." without what comes after the name. */
static struct sv pull_base(struct sv image)
{
	ssize_t at = sv_find(image, '@'), slash, colon;

	if (at >= 0)
		image = sv_sub(image, 0, (size_t)at);
	for (slash = (ssize_t)image.n - 1; slash >= 0 && image.p[slash] != '/';)
		slash--;
	colon = sv_find(sv_sub(image, (size_t)(slash + 1), image.n), ':');
	return colon < 0 ? image : sv_sub(image, 0, (size_t)(slash + 1 + colon));
}

static struct pull_name *pull_name_find(struct pull_record *e, struct sv base)
{
	for (size_t i = 0; i < e->names.n; i++)
		if (sv_is(base, e->names.p[i].image))
			return &e->names.p[i];
	return NULL;
}

static void pull_name_add(struct pull_name *n, struct sv digest)
{
	for (size_t i = 0; i < n->digests.n; i++)
		if (sv_is(digest, n->digests.p[i]))
			return;
	if (n->digests.n == PULL_DIGESTS_MAX) {
		free(n->digests.p[0]);
		vec_remove(&n->digests, 0);
	}
	vec_push(&n->digests, xstrndup(digest.p, digest.n));
}

static struct pull_name *pull_name_ensure(struct pull_record *e, struct sv base)
{
	struct pull_name *n = pull_name_find(e, base);

	if (n)
		return n;
	vec_push(&e->names, ((struct pull_name){ .image = xstrndup(base.p, base.n) }));
	return &vec_last(&e->names);
}

/* --- on disk --- */

static char *pull_file(struct arena *a, struct pull_records *r, const char *sub, struct sv what)
{
	char hex[SHA256_HEX];

	sha256_hex(what, hex);
	return arena_printf(a, "%s/%s/%s", r->dir, sub, hex);
}

static int pull_save(struct pull_records *r, const struct pull_record *e, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *doc = val_new_map(&a), *map = val_new_map(&a);

	if (!r->dir)
		return 0;
	val_set_str_sv(&a, doc, SV("imageRef"), sv_from(e->ref));
	for (size_t i = 0; i < e->names.n; i++) {
		const struct pull_name *n = &e->names.p[i];
		struct val *one = val_new_map(&a), *list = val_new_list(&a);

		if (n->everybody)
			val_set_sv(&a, one, SV("nodePodsAccessible"), val_new_bool(&a, true));
		for (size_t j = 0; j < n->digests.n; j++)
			val_push(&a, list, val_new_str(&a, sv_from(n->digests.p[j])));
		val_set_sv(&a, one, SV("credentialHashes"), list);
		val_set_sv(&a, map, sv_from(n->image), one);
	}
	val_set_sv(&a, doc, SV("credentialMapping"), map);
	json_encode(&b, doc);
	return file_write(pull_file(&a, r, "pulled", sv_from(e->ref)), buf_sv(&b), 0600, err);
}

static void pull_load(struct pull_records *r, const char *path)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *doc = NULL;
	struct pull_record *e;
	struct sv text, ref;

	if (file_read(&a, path, RECORD_MAX, &text, &err) == 0)
		doc = json_decode(&a, text, NULL, &err);
	ref = val_str(val_member_sv(doc, SV("imageRef")));
	if (!ref.n) {
		log_warn(SYS, "a record of a pulled image cannot be read: its pods' credentials are not known", "file",
			 "%s: %s", path, err_msg(&err));
		return;
	}
	e = xcalloc(1, sizeof(*e));
	e->ref = xstrndup(ref.p, ref.n);
	VAL_EACH_MEMBER(val_member_sv(doc, SV("credentialMapping")), m) {
		struct pull_name *n = pull_name_ensure(e, m.key);

		n->everybody = val_bool(val_member_sv(m.value, SV("nodePodsAccessible")));
		VAL_EACH(val_member_sv(m.value, SV("credentialHashes")), d)
			pull_name_add(n, val_str(d));
	}
	strmap_set(&r->by_ref, ref, e);
}

static void pull_each_file(struct pull_records *r, const char *sub,
			   void (*fn)(struct pull_records *r, const char *path, const char *name))
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *dir = arena_printf(&a, "%s/%s", r->dir, sub);
	DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));)
		if (strlen(e->d_name) == SHA256_HEX - 1)
			fn(r, arena_printf(&a, "%s/%s", dir, e->d_name), e->d_name);
	closedir(d);
}

static void pull_on_pulled(struct pull_records *r, const char *path, const char *name)
{
	(void)name;
	pull_load(r, path);
}

static void pull_on_pulling(struct pull_records *r, const char *path, const char *name)
{
	(void)path;
	strmap_set(&r->pulling, sv_from(name), (void *)(uintptr_t)PULLING_LEFT);
}

struct pull_records *pull_records_new(struct env *env, const char *dir)
{
	struct pull_records *r = xcalloc(1, sizeof(*r));
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	r->env = env;
	pthread_mutex_init(&r->lock, NULL);
	if (!dir)
		return r;
	r->dir = xstrdup(dir);
	if (dir_make(arena_printf(&a, "%s/pulling", dir), 0700, &err) < 0 ||
	    dir_make(arena_printf(&a, "%s/pulled", dir), 0700, &err) < 0)
		log_warn(SYS, "who pulled which image cannot be remembered", "why", "%s", err_msg(&err));
	pull_each_file(r, "pulled", pull_on_pulled);
	pull_each_file(r, "pulling", pull_on_pulling);
	return r;
}

struct pull_records *pull_records_free(struct pull_records *r)
{
	if (!r)
		return NULL;
	STRMAP_EACH(&r->by_ref, e)
		pull_record_free(e->value);
	strmap_release(&r->by_ref);
	strmap_release(&r->pulling);
	pthread_mutex_destroy(&r->lock);
	free(r->dir);
	free(r);
	return NULL;
}

/* --- asking and telling --- */

bool pull_records_allow(struct pull_records *r, struct sv image, struct sv ref, const char (*digests)[SHA256_HEX],
			size_t n)
{
	char hex[SHA256_HEX];
	struct pull_record *e;
	struct pull_name *name;
	bool ok = false;

	sha256_hex(image, hex);
	pthread_mutex_lock(&r->lock);
	e = strmap_get(&r->by_ref, ref);
	if (!e) {
		ok = !strmap_has(&r->pulling, sv_from(hex));
	} else if ((name = pull_name_find(e, pull_base(image)))) {
		ok = name->everybody;
		for (size_t i = 0; i < n && !ok; i++)
			for (size_t j = 0; j < name->digests.n && !ok; j++)
				ok = !strcmp(name->digests.p[j], digests[i]);
	}
	pthread_mutex_unlock(&r->lock);
	return ok;
}

int pull_records_begin(struct pull_records *r, struct sv image, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char hex[SHA256_HEX];
	void **slot;
	bool first;

	sha256_hex(image, hex);
	pthread_mutex_lock(&r->lock);
	slot = strmap_slot(&r->pulling, sv_from(hex));
	first = !*slot;
	*slot = (void *)((uintptr_t)*slot + PULLING_ONE);
	pthread_mutex_unlock(&r->lock);
	return first && r->dir ? file_write(pull_file(&a, r, "pulling", image), image, 0600, err) : 0;
}

int pull_records_end(struct pull_records *r, struct sv image, struct sv ref, const char *digest, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char hex[SHA256_HEX];
	struct pull_record *e;
	struct pull_name *n;
	void **slot;
	int rc = 0;

	sha256_hex(image, hex);
	pthread_mutex_lock(&r->lock);
	if (ref.n) {
		slot = strmap_slot(&r->by_ref, ref);
		if (!*slot) {
			e = xcalloc(1, sizeof(*e));
			e->ref = xstrndup(ref.p, ref.n);
			*slot = e;
		}
		e = *slot;
		e->written_ns = env_mono_ns(r->env);
		n = pull_name_ensure(e, pull_base(image));
		if (digest)
			pull_name_add(n, sv_from(digest));
		else
			n->everybody = true;
		rc = pull_save(r, e, err);
	}
	/* What the pull of an earlier agent has brought is not known until one of ours succeeds. */
	slot = strmap_slot(&r->pulling, sv_from(hex));
	*slot = (void *)((uintptr_t)*slot - PULLING_ONE);
	if (rc == 0 && (!*slot || ((uintptr_t)*slot == PULLING_LEFT && ref.n))) {
		strmap_del(&r->pulling, sv_from(hex));
		if (r->dir)
			unlink(pull_file(&a, r, "pulling", image));
	}
	pthread_mutex_unlock(&r->lock);
	return rc;
}

bool pull_records_many(struct pull_records *r)
{
	bool many;

	pthread_mutex_lock(&r->lock);
	many = r->by_ref.n > PULL_RECORDS_PRUNE_AT;
	pthread_mutex_unlock(&r->lock);
	return many;
}

void pull_records_prune(struct pull_records *r, const struct rt_image *present, size_t n)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct strmap there = STRMAP_INIT;
	VEC(struct pull_record *) gone = VEC_INIT;

	for (size_t i = 0; i < n; i++)
		strmap_set(&there, present[i].id, r);
	pthread_mutex_lock(&r->lock);
	STRMAP_EACH(&r->by_ref, e) {
		struct pull_record *rec = e->value;

		if (!strmap_has(&there, sv_from(rec->ref)) && env_mono_ns(r->env) - rec->written_ns > KEEP_NS)
			vec_push(&gone, rec);
	}
	for (size_t i = 0; i < gone.n; i++) {
		strmap_del(&r->by_ref, sv_from(gone.p[i]->ref));
		if (r->dir)
			unlink(pull_file(&a, r, "pulled", sv_from(gone.p[i]->ref)));
		pull_record_free(gone.p[i]);
	}
	pthread_mutex_unlock(&r->lock);
	vec_release(&gone);
	strmap_release(&there);
}
