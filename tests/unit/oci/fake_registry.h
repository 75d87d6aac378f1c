/* fake_registry.h - a registry on loopback for tests: one thread, answers by path, and remembers what it was asked. */
#pragma once

#include "base/base.h"

struct fake_answer {
	const char *path;	   /* as it is asked for, with its query; compared from its beginning */
	const char *authorization; /* must be sent, or it is 401 with `challenge`; NULL: whoever asks */
	const char *challenge;
	int status;	  /* 200 */
	const char *more; /* further header lines, each with its "\r\n", or NULL */
	const char *body;
	size_t n;	/* bytes of body; 0: strlen() */
	size_t cut;	/* of a first answer only so much is sent, then the connection ends; 0: all */
	bool hang;	/* nothing is answered, until the registry stops */
	size_t endless; /* so many times body, without a length; 0: once */
};

struct fake_registry;
/* rows live as long as it does, and are looked at from the first. */
struct fake_registry *fake_registry_start(const struct fake_answer *rows, size_t n);
struct fake_registry *fake_registry_stop(struct fake_registry *f);
int fake_registry_port(const struct fake_registry *f);
/* The heads of all requests so far. */
const char *fake_registry_heard(struct fake_registry *f);
