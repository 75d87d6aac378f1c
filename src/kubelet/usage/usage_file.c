#include "kubelet/usage/usage_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

bool usage_text_read(struct usage_text *t, const char *dir, const char *file)
{
	char path[1400];
	int n = snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", file);
	_cleanup_close_ int fd = n > 0 && (size_t)n < sizeof(path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t got = 0;
	size_t have = 0;

	while (fd >= 0 && have < sizeof(t->bytes) && (got = read(fd, t->bytes + have, sizeof(t->bytes) - have)) > 0)
		have += (size_t)got;
	t->text = sv_make(t->bytes, have);
	return fd >= 0 && got >= 0;
}

uint64_t usage_number(struct sv text)
{
	uint64_t v = 0;

	for (size_t i = 0; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(text.p[i] - '0'), &v))
			return UINT64_MAX;
	return v;
}

double usage_decimal(struct sv text)
{
	ssize_t dot = sv_find(text, '.');
	struct sv after = dot < 0 ? SV("") : sv_sub(text, (size_t)dot + 1, text.n);
	double v = (double)usage_number(text), part = 0.1;

	for (size_t i = 0; i < after.n && after.p[i] >= '0' && after.p[i] <= '9'; i++, part /= 10)
		v += part * (after.p[i] - '0');
	return v;
}
