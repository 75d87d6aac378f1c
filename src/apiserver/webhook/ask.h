/* ask.h - a program that is asked the same kind of question again and again: about tokens, about rights.
 *
 *	webhook_ask_known() ─ yes ─▶ its answer
 *	        └ no ─▶ webhook_ask_send() ─▶ REQ_LATER ─▶ webhook_asked_answer() ─▶ webhook_ask_remember()
 *
 * A request waits without a thread (steps.h), one question at a time. What came counts for as long as its reader says,
 * for whoever asks the same text. Answers are bounded, and so are they that are remembered: a full memory starts over,
 * and long questions and answers are asked for each time.
 *
 * A call that failed as one does that may go well the next time (429, 500, 504, a connection that was reset) is made
 * again, WEBHOOK_ASK_TRIES times in all, half a second later and each time half as much more, as upstream does.
 *
 * Threads: any. An asker is reference-counted: questions under way hold one.
 */
#pragma once

#include "apiserver/api_req.h"
#include "apiserver/webhook/webhook.h"

#define WEBHOOK_ASK_TRIES 5

struct webhook_asker; /* opaque, as is: */
struct webhook_asked; /* one question of one request */

struct webhook_asker_opts {
	const char *kubeconfig;		   /* read at once */
	const char *what;		   /* for people, of who waits; constant */
	size_t answer_max;		   /* bytes of an answer */
	size_t known_max;		   /* answers that are remembered, */
	size_t question_kept, answer_kept; /* of no more bytes than these */
};

struct webhook_asker *webhook_asker_new(const struct webhook_asker_opts *o, struct err *err);
struct webhook_asker *webhook_asker_unref(struct webhook_asker *w); /* NULL is fine; returns NULL */

/* What it said about that, while it counts; in q's arena. */
bool webhook_ask_known(struct webhook_asker *w, struct api_req *q, struct sv question, struct sv *ret_body);
/* q is suspended, and its step returns REQ_LATER. in_result: what is returned here it then finds in req_result(), for
 * steps in which nobody else waits for something of his own. It lives as long as q's arena. */
struct webhook_asked *webhook_ask_send(struct webhook_asker *w, struct api_req *q, struct sv question,
				       int64_t timeout_ns, bool in_result);
/* It is that question, and is answered. */
bool webhook_asked_is(const struct webhook_asked *k, const struct webhook_asker *w, struct sv question);
/* Of one that is answered: the body, as long as k; or -1 with what went wrong. */
int webhook_asked_answer(const struct webhook_asked *k, struct sv *ret_body, struct err *err);
/* The answer counts for so long from now on, for others; the first time it is said. 0: not at all. */
void webhook_ask_remember(struct webhook_asked *k, int64_t life_ns);
