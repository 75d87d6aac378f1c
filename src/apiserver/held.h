/* held.h - memory of answers that are made and not taken yet.
 *
 * An answer that is an object's own JSON costs a reference. What is made for one request alone (YAML, indented or
 * compressed text, Tables, objects of the past) stays until its reader has taken it, and a reader may take nothing for
 * a minute, on hundreds of streams; the selectors of a watch, which are as long as its URL, stay with it. So such bytes
 * are counted for each user, and a user who holds too much is refused before more is made for him.
 *
 * A user may hold as much as he leaves free of HELD_MAX; what is being made when that is reached comes on top: one
 * answer for each of his runners (run_queue.h).
 *
 * Threads: any.
 */
#pragma once

#include "apiserver/api_req.h"

#define HELD_MAX ((size_t)256 * 1024 * 1024)
#define HELD_SMALL ((size_t)16 * 1024) /* is not counted: a request of its own costs as much */

struct held_set;
struct held;

struct held_set *held_new(void);
struct held_set *held_free(struct held_set *set); /* what is held may be given back later */
/* -1 with err: q's user has to take first what he has asked for. */
int held_room(const struct api_req *q, struct err *err);
/* n bytes that q's answer holds alone, until they are given back. */
struct held *held_take(const struct api_req *q, size_t n);
void held_give(void *held); /* NULL: nothing */
/* A piece of q's answer, counted until it is sent; text is from malloc. */
struct http_chunk held_chunk(const struct api_req *q, char *text_take, size_t n);
size_t held_bytes(const struct apiserver *s); /* of all users */
