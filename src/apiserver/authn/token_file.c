#include "apiserver/authn/token_file.h"
#include "apiserver/api_req.h"
#include "apiserver/watched_file.h"
#include "base/vec.h"
#include "net/digest.h"

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
	struct watched_file *file; /* of struct token_file */
	/* Of what counts: */
	bool any;  /* it has tokens */
	bool ends; /* with the end of a line */
};

/* A file that is written anew is empty first, and half written for a while; what it held stays good until it is whole.
 * The half of a line could be another group's name. */
static int token_file_whole(const struct token_store *s, struct sv text, struct err *err)
{
	if (s->any && !sv_trim(text).n)
		return err_set(err, ERR_INVALID,
			       "is empty: a comment (#) alone would say that there are no tokens any more");
	if (s->any && s->ends && !sv_ends(text, SV("\n")))
		return err_set(err, ERR_INVALID, "its last line has no end: it may be half written");
	return 0;
}

static void *token_file_made(void *ctx, struct sv text, struct err *err)
{
	struct token_store *s = ctx;
	struct token_file *f = token_file_parse(text, err);

	if (!f || token_file_whole(s, text, err) < 0)
		return token_file_free(f);
	s->any = f->tokens.n > 0;
	s->ends = sv_ends(text, SV("\n"));
	return f;
}

static void *token_file_kept(void *value)
{
	struct token_file *f = value;

	atomic_fetch_add(&f->refs, 1);
	return f;
}

static void *token_file_left(void *value)
{
	return token_file_free(value);
}

struct token_store *token_store_new(const char *path, struct err *err)
{
	struct token_store *s = xcalloc(1, sizeof(*s));

	s->file = watched_file_new(&(struct watched_file_opts){ .area = "authn",
								.what = "the file of tokens",
								.flag = "--token-auth-file",
								.path = path,
								.max = FILE_MAX,
								.make = token_file_made,
								.ref = token_file_kept,
								.unref = token_file_left,
								.ctx = s },
				   err);
	return s->file ? s : token_store_free(s);
}

struct token_store *token_store_free(struct token_store *s)
{
	if (s)
		watched_file_free(s->file);
	free(s);
	return NULL;
}

void token_store_reload(struct token_store *s)
{
	if (s)
		(void)watched_file_look(s->file);
}

bool token_store_find(struct token_store *s, struct arena *a, struct sv token, struct user_info *ret)
{
	struct token_file *f;
	bool found;

	if (!s)
		return false;
	f = watched_file_get(s->file);
	found = token_file_find(f, a, token, ret);
	token_file_free(f);
	return found;
}
