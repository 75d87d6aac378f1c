/* unit.h - what every unit test includes: cmocka behind the headers it wants first. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"

/* assert_sv(view, "text") */
#define assert_sv(view, text)                                      \
	do {                                                       \
		struct sv sv_ = (view);                            \
		char *copy_ = xstrndup(sv_.p ? sv_.p : "", sv_.n); \
		assert_string_equal(copy_, (text));                \
		free(copy_);                                       \
	} while (0)
