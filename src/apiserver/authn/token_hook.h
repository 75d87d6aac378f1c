/* token_hook.h - a webhook that knows tokens: --authentication-token-webhook-config-file. It is asked last, with a
 * TokenReview, about tokens that nothing else knows; what it said counts for a time.
 *
 * A request waits for it without a thread (steps.h). Answers are bounded, and so are they that are remembered. An
 * answer that names no audience is for the API server alone.
 *
 * Threads: any.
 */
#pragma once

#include "apiserver/api_req.h"

struct token_hook; /* opaque */
struct token_question;
struct sa_accounts;

/* By the server's options; NULL without err: none was asked for. */
struct token_hook *token_hook_new(struct apiserver *s, struct err *err);
struct token_hook *token_hook_free(struct token_hook *h);
/* 0: ret; 1: not known there; -1: err says why; REQ_LATER. */
int token_hook_ask(struct token_hook *h, struct api_req *q, struct token_question *t, struct user_info *ret,
		   struct err *err);
/* What an answer says, as above; of what the token is for it knows by own, where t does not ask. Strings are in a. */
int token_hook_read(struct arena *a, const struct sa_accounts *own, struct sv body, struct token_question *t,
		    struct user_info *ret, struct err *err);
