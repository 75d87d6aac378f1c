/* The lexer: one token at a time, without memory. */
#include "object/cel/lex.h"

#include <ctype.h>

static const char *const lex_reserved[] = { "as",	 "break",  "const",  "continue", "else", "for",
					    "function",	 "if",	   "import", "let",	 "loop", "package",
					    "namespace", "return", "var",    "void",	 "while" };

static bool lex_word_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool lex_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lex_peek(const struct lexer *l, size_t ahead)
{
	return l->at + ahead < l->c->text.n ? l->c->text.p[l->at + ahead] : '\0';
}

static void lex_skip_space(struct lexer *l)
{
	for (;;) {
		char c = lex_peek(l, 0);

		if (l->at >= l->c->text.n)
			return;
		if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
			l->at++;
			l->rune++;
		} else if (c == '/' && lex_peek(l, 1) == '/') {
			while (l->at < l->c->text.n && lex_peek(l, 0) != '\n') {
				l->rune += ((unsigned char)lex_peek(l, 0) & 0xc0) != 0x80;
				l->at++;
			}
		} else {
			return;
		}
	}
}

/* Takes n bytes, which may hold characters of several. */
static void lex_take(struct lexer *l, enum tok tok, size_t n)
{
	l->tok = tok;
	l->text = sv_sub(l->c->text, l->at, n);
	l->at += n;
	l->rune += (uint32_t)cel_runes(l->text);
}

static void lex_number(struct lexer *l)
{
	size_t n = 0;

	if (lex_peek(l, 0) == '0' && (lex_peek(l, 1) == 'x' || lex_peek(l, 1) == 'X') &&
	    hex_value(lex_peek(l, 2)) >= 0) {
		for (n = 2; hex_value(lex_peek(l, n)) >= 0;)
			n++;
	} else {
		size_t exp;
		bool real = false;

		while (lex_digit(lex_peek(l, n)))
			n++;
		if (lex_peek(l, n) == '.' && lex_digit(lex_peek(l, n + 1))) {
			real = true;
			for (n++; lex_digit(lex_peek(l, n));)
				n++;
		}
		exp = n + (lex_peek(l, n + 1) == '+' || lex_peek(l, n + 1) == '-' ? 2 : 1);
		if ((lex_peek(l, n) == 'e' || lex_peek(l, n) == 'E') && lex_digit(lex_peek(l, exp))) {
			real = true;
			for (n = exp; lex_digit(lex_peek(l, n));)
				n++;
		}
		if (real) {
			lex_take(l, TOK_FLOAT, n);
			return;
		}
	}
	if (lex_peek(l, n) == 'u' || lex_peek(l, n) == 'U')
		lex_take(l, TOK_UINT, n + 1);
	else
		lex_take(l, TOK_INT, n);
}

/* Length of the string that begins at byte `from` with a quote; 0: it has no end. */
static size_t lex_string_end(const struct lexer *l, size_t from, bool raw)
{
	char q = lex_peek(l, from);
	bool triple = lex_peek(l, from + 1) == q && lex_peek(l, from + 2) == q;
	size_t n = from + (triple ? 3 : 1);

	while (l->at + n < l->c->text.n) {
		char c = lex_peek(l, n);

		if (c == '\\' && !raw) {
			n += 2;
		} else if (!triple && (c == '\n' || c == '\r')) {
			return 0;
		} else if (c != q) {
			n++;
		} else if (!triple) {
			return n + 1;
		} else if (lex_peek(l, n + 1) == q && lex_peek(l, n + 2) == q) {
			return n + 3;
		} else {
			n++;
		}
	}
	return 0;
}

/* A string with its prefix; false when this is none. */
static bool lex_string(struct lexer *l)
{
	size_t from = 0, n;
	bool raw = false, bytes = false;

	for (; from < 2; from++) {
		char c = lex_peek(l, from);

		if ((c == 'r' || c == 'R') && !raw)
			raw = true;
		else if ((c == 'b' || c == 'B') && !bytes)
			bytes = true;
		else
			break;
	}
	if (lex_peek(l, from) != '"' && lex_peek(l, from) != '\'')
		return false;
	n = lex_string_end(l, from, raw);
	if (n == 0 || n > l->c->text.n - l->at)
		return false;
	lex_take(l, bytes ? TOK_BYTES : TOK_STRING, n);
	return true;
}

static void lex_word(struct lexer *l)
{
	size_t n = 1;

	while (lex_word_start(lex_peek(l, n)) || lex_digit(lex_peek(l, n)))
		n++;
	lex_take(l, TOK_IDENT, n);
	if (sv_is(l->text, "true"))
		l->tok = TOK_TRUE;
	else if (sv_is(l->text, "false"))
		l->tok = TOK_FALSE;
	else if (sv_is(l->text, "null"))
		l->tok = TOK_NULL;
	else if (sv_is(l->text, "in"))
		l->tok = TOK_IN;
	for (size_t i = 0; i < ARRAY_LEN(lex_reserved); i++)
		if (sv_is(l->text, lex_reserved[i]))
			l->tok = TOK_RESERVED;
}

static bool lex_quoted_ident(struct lexer *l)
{
	size_t n = 1;
	char c;

	for (;; n++) {
		c = lex_peek(l, n);
		if (!lex_word_start(c) && !lex_digit(c) && c != '.' && c != '-' && c != '/' && c != ' ')
			break;
	}
	if (c != '`' || n == 1)
		return false;
	lex_take(l, TOK_QUOTED_IDENT, n + 1);
	l->text = sv_sub(l->text, 1, n - 1);
	return true;
}

static const struct {
	char text[3];
	uint8_t tok;
} lex_signs[] = {
	{ "==", TOK_EQ },      { "!=", TOK_NE },      { "<=", TOK_LE },	   { ">=", TOK_GE },	 { "&&", TOK_AND },
	{ "||", TOK_OR },      { "<", TOK_LT },	      { ">", TOK_GT },	   { "!", TOK_NOT },	 { "+", TOK_PLUS },
	{ "-", TOK_MINUS },    { "*", TOK_STAR },     { "/", TOK_SLASH },  { "%", TOK_PERCENT }, { "?", TOK_QUESTION },
	{ ":", TOK_COLON },    { ".", TOK_DOT },      { ",", TOK_COMMA },  { "(", TOK_LPAREN },	 { ")", TOK_RPAREN },
	{ "[", TOK_LBRACKET }, { "]", TOK_RBRACKET }, { "{", TOK_LBRACE }, { "}", TOK_RBRACE },
};

static bool lex_sign(struct lexer *l)
{
	for (size_t i = 0; i < ARRAY_LEN(lex_signs); i++) {
		size_t n = strlen(lex_signs[i].text);

		if (lex_peek(l, 0) == lex_signs[i].text[0] && (n == 1 || lex_peek(l, 1) == lex_signs[i].text[1])) {
			lex_take(l, lex_signs[i].tok, n);
			return true;
		}
	}
	return false;
}

/* How far a string, a name in backquotes or half of an operator goes until it is none, in bytes. */
static size_t lex_broken(const struct lexer *l)
{
	char c = lex_peek(l, 0);
	size_t n = 0, end = l->c->text.n - l->at;

	if (c == '"' || c == '\'') {
		for (n = 1; n < end && !strchr("\n\r", lex_peek(l, n));)
			n += lex_peek(l, n) == '\\' && n + 1 < end ? 2 : 1;
	} else if (c == '`') {
		for (n = 1; n < end && (lex_word_start(lex_peek(l, n)) || lex_digit(lex_peek(l, n)) ||
					strchr(".-/ ", lex_peek(l, n)));)
			n++;
	} else if (c == '=' || c == '&' || c == '|') {
		n = 1;
	}
	if (n < end)
		n++;
	while (n < end && ((unsigned char)lex_peek(l, n) & 0xc0) == 0x80)
		n++;
	return MIN(n, end);
}

void lex_next(struct lexer *l)
{
	for (;;) {
		char c;
		size_t n = 1;

		lex_skip_space(l);
		l->pos = l->rune;
		if (l->at >= l->c->text.n) {
			lex_take(l, TOK_END, 0);
			return;
		}
		c = lex_peek(l, 0);
		if (lex_digit(c) || (c == '.' && lex_digit(lex_peek(l, 1)))) {
			if (c != '.') {
				lex_number(l);
				return;
			}
			for (n = 2; lex_digit(lex_peek(l, n));)
				n++;
			lex_take(l, TOK_FLOAT, n);
			return;
		}
		if (lex_string(l))
			return;
		if (lex_word_start(c)) {
			lex_word(l);
			return;
		}
		if ((c == '`' && lex_quoted_ident(l)) || lex_sign(l))
			return;
		n = lex_broken(l);
		if (!l->quiet)
			cel_issue(l->c, l->pos, "Syntax error: token recognition error at: '%.*s'", (int)n,
				  l->c->text.p + l->at);
		lex_take(l, TOK_END, n);
	}
}

enum tok lex_behind(const struct lexer *l)
{
	struct lexer ahead = *l;

	ahead.quiet = true;
	lex_next(&ahead);
	return ahead.tok;
}
