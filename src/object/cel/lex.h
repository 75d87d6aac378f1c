/* lex.h - an expression's text as tokens, one after the other. For this folder alone.
 *
 * What begins no token is reported and passed over, as upstream's lexer does: up to the character with which it is none
 * any more, and that one, too. The parser goes on without it.
 */
#pragma once

#include "object/cel/ast.h"

enum tok {
	TOK_END,
	TOK_IDENT,
	TOK_QUOTED_IDENT, /* `a.b`: fields only */
	TOK_INT,
	TOK_UINT,
	TOK_FLOAT,
	TOK_STRING,
	TOK_BYTES,
	TOK_TRUE,
	TOK_FALSE,
	TOK_NULL,
	TOK_IN,
	TOK_RESERVED, /* a word that is no identifier */
	TOK_EQ,	      /* == */
	TOK_NE,
	TOK_LE,
	TOK_LT,
	TOK_GE,
	TOK_GT,
	TOK_AND,
	TOK_OR,
	TOK_NOT,
	TOK_PLUS,
	TOK_MINUS,
	TOK_STAR,
	TOK_SLASH,
	TOK_PERCENT,
	TOK_QUESTION,
	TOK_COLON,
	TOK_DOT,
	TOK_COMMA,
	TOK_LPAREN,
	TOK_RPAREN,
	TOK_LBRACKET,
	TOK_RBRACKET,
	TOK_LBRACE,
	TOK_RBRACE
};

struct lexer {
	struct cel_compile *c;
	size_t at;     /* bytes */
	uint32_t rune; /* code points, of at */
	enum tok tok;  /* the current one */
	struct sv text;
	uint32_t pos; /* code points */
	bool quiet;   /* looks ahead: what is no token is told when it is come to */
};

void lex_next(struct lexer *l);
/* The token behind the current one. */
enum tok lex_behind(const struct lexer *l);
