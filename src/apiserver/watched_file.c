#include "apiserver/watched_file.h"
#include "base/file.h"
#include "base/log.h"
#include "net/digest.h"

#include <pthread.h>
#include <stdlib.h>

struct watched_file {
	struct watched_file_opts o;
	/* Of who looks. */
	char digest[SHA256_HEX]; /* of the text that counts */
	char *told;		 /* what was wrong when that was last told; NULL: nothing is */
	pthread_mutex_t mu;
	void *value; /* under mu */
};

static int watched_read(struct watched_file *w, struct arena *a, struct sv *ret, struct err *err)
{
	return w->o.read ? w->o.read(w->o.ctx, a, ret, err) : file_read(a, w->o.path, w->o.max, ret, err);
}

static int watched_wrong(const struct watched_file *w, struct err *err)
{
	if (w->o.flag && w->o.path)
		return err_wrap(err, "%s '%s'", w->o.flag, w->o.path);
	return w->o.flag ? err_wrap(err, "%s", w->o.flag) : -1;
}

/* 1: *ret is another value than counts; 0: the text is what it was. */
static int watched_make(struct watched_file *w, void **ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char digest[SHA256_HEX];
	struct sv text;
	bool same;

	*ret = NULL;
	if (watched_read(w, &a, &text, err) < 0)
		return watched_wrong(w, err);
	sha256_hex(text, digest);
	same = strcmp(digest, w->digest) == 0;
	if (!same)
		*ret = w->o.make(w->o.ctx, text, err);
	if (text.n)
		explicit_bzero((void *)(uintptr_t)text.p, text.n);
	if (same)
		return 0;
	if (!*ret)
		return watched_wrong(w, err);
	memcpy(w->digest, digest, sizeof(digest));
	return 1;
}

struct watched_file *watched_file_fixed(const struct watched_file_opts *o, void *value_take)
{
	struct watched_file *w = xcalloc(1, sizeof(*w));

	w->o = *o;
	w->o.path = NULL;
	w->o.read = NULL;
	w->value = value_take;
	pthread_mutex_init(&w->mu, NULL);
	return w;
}

struct watched_file *watched_file_new(const struct watched_file_opts *o, struct err *err)
{
	struct watched_file *w = watched_file_fixed(o, NULL);

	w->o = *o;
	return watched_make(w, &w->value, err) < 0 ? watched_file_free(w) : w;
}

struct watched_file *watched_file_free(struct watched_file *w)
{
	if (!w)
		return NULL;
	if (w->value)
		(void)w->o.unref(w->value);
	pthread_mutex_destroy(&w->mu);
	free(w->told);
	free(w);
	return NULL;
}

void *watched_file_get(struct watched_file *w)
{
	void *value;

	pthread_mutex_lock(&w->mu);
	value = w->o.ref(w->value);
	pthread_mutex_unlock(&w->mu);
	return value;
}

static void watched_tell(struct watched_file *w, const struct err *err)
{
	const char *why = err_msg(err);

	if (!w->told || strcmp(w->told, why) != 0)
		log_kv(LVL_WARN, w->o.area, "what a file says now is wrong: what it said before counts on", "file",
		       w->o.what, "error", why, NULL);
	free(w->told);
	w->told = xstrdup(why);
}

int watched_file_look(struct watched_file *w)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	void *fresh = NULL, *old;
	int rc;

	if (!w || (!w->o.path && !w->o.read))
		return 0;
	rc = watched_make(w, &fresh, &err);
	if (rc && w->o.looked)
		w->o.looked(w->o.ctx, rc > 0);
	if (rc < 0) {
		watched_tell(w, &err);
		return rc;
	}
	free(w->told);
	w->told = NULL;
	if (rc == 0)
		return 0;
	pthread_mutex_lock(&w->mu);
	old = w->value;
	w->value = fresh;
	pthread_mutex_unlock(&w->mu);
	(void)w->o.unref(old);
	log_info(w->o.area, "what a file says has changed, and counts now", "file", "%s", w->o.what);
	return 1;
}
