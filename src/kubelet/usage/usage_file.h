/* usage_file.h - small files of the kernel, read into a fixed buffer; what does not fit is cut. */
#pragma once

#include "base/base.h"

struct usage_text {
	struct sv text;
	char bytes[8192];
};

/* dir "": file is a whole path. False, and "" as text: it cannot be read. */
bool usage_text_read(struct usage_text *t, const char *dir, const char *file);
/* The digits at the beginning; 0 without any, UINT64_MAX for more than that. */
uint64_t usage_number(struct sv text);
double usage_decimal(struct sv text); /* "12.34"; 0 without digits */
