#include "apiserver/authn/token_file.h"
#include "apiserver/api_req.h"
#include "base/file.h"
#include "base/log.h"
#include "base/vec.h"
#include "net/digest.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define FILE_MAX ((size_t)1 << 20)
#define FIELDS 4
#define TOKENS_MAX 1000 /* each is compared with every token that is presented */

struct static_token {
	struct sv token;
	struct user_info user;
};

struct token_file {
	atomic_int refs;
	struct arena arena;
	VEC(struct static_token) tokens;
};

/* The next field of a line: bare, or in quotes with "" for one. false: the line is over, or not well formed. */
static bool next_field(struct arena *a, struct sv *line, struct sv *ret, bool *bad)
{
	char *out;
	size_t i = 1, n = 0;

	if (!line->p)
		return false;
	if (line->n == 0 || line->p[0] != '"') {
		ssize_t comma = sv_find(*line, ',');

		*ret = sv_trim(comma < 0 ? *line : sv_sub(*line, 0, (size_t)comma));
		*line = comma < 0 ? SV_NULL : sv_sub(*line, (size_t)comma + 1, line->n);
		*bad = *bad || sv_find(*ret, '"') >= 0;
		return !*bad;
	}
	out = arena_alloc(a, line->n);
	for (; i < line->n; i++) {
		if (line->p[i] == '"' && (i + 1 == line->n || line->p[i + 1] != '"'))
			break;
		if (line->p[i] == '"')
			i++;
		out[n++] = line->p[i];
	}
	*ret = sv_make(out, n);
	*bad = i >= line->n || (i + 1 < line->n && line->p[i + 1] != ',');
	*line = i + 1 < line->n ? sv_sub(*line, i + 2, line->n) : SV_NULL;
	return !*bad;
}

static void set_groups(struct arena *a, struct user_info *u, struct sv list)
{
	size_t max = 2;
	struct sv one;

	for (size_t i = 0; i < list.n; i++)
		max += list.p[i] == ',';
	u->groups = ARENA_ARRAY(a, struct sv, max);
	while (list.n && sv_split(&list, ',', &one))
		if (sv_trim(one).n)
			u->groups[u->n_groups++] = sv_trim(one);
	user_is_authenticated(u);
}

static int add_line(struct token_file *f, struct sv line, size_t number, struct err *err)
{
	struct sv field[FIELDS] = { 0 }, one;
	struct static_token t = { 0 };
	bool bad = false;
	size_t n = 0;

	while (next_field(&f->arena, &line, &one, &bad)) {
		if (n < FIELDS)
			field[n] = one;
		n++;
	}
	if (bad)
		return err_set(err, ERR_INVALID, "line %zu: a quote is missing or too many", number);
	if (n < 3)
		return err_set(err, ERR_INVALID, "line %zu: wants at least a token, a user name and a uid", number);
	if (field[0].n == 0)
		return err_set(err, ERR_INVALID, "line %zu: the token is empty", number);
	if (field[1].n == 0)
		return err_set(err, ERR_INVALID, "line %zu: the user name is empty", number);
	for (size_t i = 0; i < f->tokens.n; i++)
		if (secret_equal(f->tokens.p[i].token, field[0]))
			return err_set(err, ERR_INVALID, "line %zu: this token has been given already", number);
	if (f->tokens.n >= TOKENS_MAX)
		return err_set(err, ERR_INVALID, "line %zu: more than %d tokens", number, TOKENS_MAX);
	t.token = arena_sv(&f->arena, field[0]);
	t.user.name = arena_sv(&f->arena, field[1]);
	t.user.uid = arena_sv(&f->arena, field[2]);
	set_groups(&f->arena, &t.user, field[3].n ? arena_sv(&f->arena, field[3]) : SV(""));
	vec_push(&f->tokens, t);
	return 0;
}

struct token_file *token_file_parse(struct sv text, struct err *err)
{
	struct token_file *f = xcalloc(1, sizeof(*f));
	size_t number = 0;
	struct sv line;

	atomic_init(&f->refs, 1);
	while (text.n && sv_split(&text, '\n', &line)) {
		number++;
		line = sv_trim(line);
		if (line.n && line.p[0] != '#' && add_line(f, line, number, err) < 0)
			return token_file_free(f);
	}
	return f;
}

struct token_file *token_file_free(struct token_file *f)
{
	if (!f || atomic_fetch_sub(&f->refs, 1) != 1)
		return NULL;
	vec_release(&f->tokens);
	arena_release(&f->arena);
	free(f);
	return NULL;
}

bool token_file_find(const struct token_file *f, struct arena *a, struct sv token, struct user_info *ret)
{
	const struct static_token *found = NULL;

	for (size_t i = 0; f && i < f->tokens.n; i++)
		if (secret_equal(f->tokens.p[i].token, token))
			found = &f->tokens.p[i];
	if (found)
		user_copy(a, ret, &found->user);
	return found;
}

/* --- the file --- */

struct token_store {
	const char *path; /* borrowed for the server's life */
	pthread_mutex_t lock;
	struct token_file *now; /* under the lock */
	struct buf text;	/* of the file as it counts; the reloader's, */
	bool told;		/* as is whether a wrong one was told of */
};

/* 1: the file is as it was. */
static int store_read(struct token_store *s, struct token_file **ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text;

	if (file_read(&a, s->path, FILE_MAX, &text, err) < 0)
		return err_wrap(err, "--token-auth-file '%s'", s->path);
	if (s->now && sv_eq(text, buf_sv(&s->text)))
		return 1;
	if (!(*ret = token_file_parse(text, err)))
		return err_wrap(err, "--token-auth-file '%s'", s->path);
	buf_clear(&s->text);
	buf_addsv(&s->text, text);
	return 0;
}

struct token_store *token_store_new(const char *path, struct err *err)
{
	struct token_store *s = xcalloc(1, sizeof(*s));

	s->path = path;
	pthread_mutex_init(&s->lock, NULL);
	return store_read(s, &s->now, err) < 0 ? token_store_free(s) : s;
}

struct token_store *token_store_free(struct token_store *s)
{
	if (!s)
		return NULL;
	token_file_free(s->now);
	buf_release(&s->text);
	pthread_mutex_destroy(&s->lock);
	free(s);
	return NULL;
}

void token_store_reload(struct token_store *s)
{
	struct token_file *now = NULL, *old;
	struct err err = ERR_INIT;
	int rc = s ? store_read(s, &now, &err) : 1;

	if (rc < 0 && !s->told)
		log_warn("authn", "the file of tokens is wrong: those before count on", "error", "%s", err_msg(&err));
	err_release(&err);
	if (s)
		s->told = rc < 0;
	if (rc)
		return;
	pthread_mutex_lock(&s->lock);
	old = s->now;
	s->now = now;
	pthread_mutex_unlock(&s->lock);
	token_file_free(old);
	log_info("authn", "the file of tokens has changed", "file", "%s", s->path);
}

bool token_store_find(struct token_store *s, struct arena *a, struct sv token, struct user_info *ret)
{
	struct token_file *f;
	bool found;

	if (!s)
		return false;
	pthread_mutex_lock(&s->lock);
	f = s->now;
	atomic_fetch_add(&f->refs, 1);
	pthread_mutex_unlock(&s->lock);
	found = token_file_find(f, a, token, ret);
	token_file_free(f);
	return found;
}
