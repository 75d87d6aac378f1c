/* net/sealed.h: who has not the word, the place and every byte reads nothing. */
#include "unit.h"

#include "ev/ev.h"
#include "net/sealed.h"

#define HEAD_N ((size_t)17)

static void refused(struct sv word, struct sv what, struct sv sealed, enum err_reason reason)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	assert_int_equal(sealed_open(word, what, sealed, &b, &err), -1);
	assert_int_equal(err.reason, reason);
	assert_int_equal(b.n, 0);
}

static void others_read_nothing(void **state)
{
	struct env *env = env_real_new(1);
	_cleanup_(buf_release) struct buf b = BUF_INIT, again = BUF_INIT, text = BUF_INIT;
	struct sv secret = SV("-----BEGIN PRIVATE KEY-----");

	(void)state;
	assert_int_equal(sealed_make(env, SV("word"), SV("/a"), secret, &b, NULL), 0);
	refused(SV("Word"), SV("/a"), buf_sv(&b), ERR_UNAUTHORIZED);
	refused(SV(""), SV("/a"), buf_sv(&b), ERR_UNAUTHORIZED);
	refused(SV("word"), SV("/b"), buf_sv(&b), ERR_INVALID);
	refused(SV("word"), SV("/a"), sv_make(b.p, b.n - 1), ERR_INVALID);
	assert_true(sv_find_sv(buf_sv(&b), secret) < 0);
	for (size_t i = HEAD_N + 3; i < b.n; i++) { /* costs are below; then the salt and the check */
		b.p[i] ^= 1;
		if (i % 9 == 0 || i + 20 > b.n)
			refused(SV("word"), SV("/a"), buf_sv(&b), i < HEAD_N + 3 + 32 ? ERR_UNAUTHORIZED : ERR_INVALID);
		b.p[i] ^= 1;
	}
	assert_int_equal(sealed_open(SV("word"), SV("/a"), buf_sv(&b), &text, NULL), 0);
	assert_sv(buf_sv(&text), "-----BEGIN PRIVATE KEY-----");
	/* The same twice is not the same text. */
	assert_int_equal(sealed_make(env, SV("word"), SV("/a"), secret, &again, NULL), 0);
	assert_int_equal(again.n, b.n);
	assert_memory_not_equal(again.p + HEAD_N + 3, b.p + HEAD_N + 3, 16);
	env_real_free(env);
}

static void what_is_none(void **state)
{
	struct env *env = env_real_new(1);
	_cleanup_(buf_release) struct buf b = BUF_INIT, text = BUF_INIT;
	static const struct {
		size_t at;
		char to;
	} costs[] = { { 0, 9 }, { 0, 18 }, { 0, 64 }, { 0, (char)255 }, { 1, 0 }, { 1, 17 }, { 2, 0 }, { 2, 5 } };

	(void)state;
	refused(SV("w"), SV(""), SV(""), ERR_INVALID);
	refused(SV("w"), SV(""), SV("caravel sealed 1\n"), ERR_INVALID);
	refused(SV("w"), SV(""), SV("caravel sealed 2\nand then"), ERR_INVALID);
	refused(SV("w"), SV(""), SV("{}"), ERR_INVALID);
	assert_int_equal(sealed_make(env, SV("w"), SV(""), SV(""), &b, NULL), 0);
	for (size_t n = 0; n < b.n; n++)
		refused(SV("w"), SV(""), sv_make(b.p, n), ERR_INVALID);
	for (size_t i = 0; i < ARRAY_LEN(costs); i++) {
		char was = b.p[HEAD_N + costs[i].at];

		b.p[HEAD_N + costs[i].at] = costs[i].to;
		refused(SV("w"), SV(""), buf_sv(&b), ERR_INVALID);
		b.p[HEAD_N + costs[i].at] = was;
	}
	b.p[HEAD_N] = 10; /* cheaper, and so another key and another text */
	refused(SV("w"), SV(""), buf_sv(&b), ERR_UNAUTHORIZED);
	b.p[HEAD_N] = 15;
	assert_int_equal(sealed_open(SV("w"), SV(""), buf_sv(&b), &text, NULL), 0);
	assert_int_equal(text.n, 0);
	env_real_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(others_read_nothing),
		cmocka_unit_test(what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
