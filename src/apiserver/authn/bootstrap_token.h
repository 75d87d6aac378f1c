/* bootstrap_token.h - bearer tokens of machines that join (client/bootstrap_token.h), by upstream's rules. */
#pragma once

#include "apiserver/authn.h"

/* 1: it is one and good; ret is arena-owned. 0: it has not the form of one. -1: it has, and is refused; *err says why
 * (never shown to the client). */
int bootstrap_token_verify(struct apiserver *s, struct arena *a, struct sv token, struct user_info *ret,
			   struct err *err);
