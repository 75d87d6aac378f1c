#include "base/env.h"

const char *env_class_name(enum env_class c)
{
	static const char *const names[] = {
		[ENV_CONTROL] = "control",   [ENV_NODE] = "node", [ENV_SLOW] = "slow",
		[ENV_REQUESTS] = "requests", [ENV_KEYS] = "keys", [ENV_VOLUMES] = "volumes",
		[ENV_TIMERS] = "timers"
	};

	BUG_ON(c >= ARRAY_LEN(names));
	return names[c];
}

uint64_t env_random_u64(struct env *e)
{
	uint64_t v;

	env_random(e, &v, sizeof(v));
	return v;
}

uint64_t env_random_below(struct env *e, uint64_t bound)
{
	uint64_t limit, v;

	BUG_ON(bound == 0);
	limit = UINT64_MAX - UINT64_MAX % bound;
	do
		v = env_random_u64(e);
	while (v >= limit);
	return v % bound;
}

int64_t env_jitter(struct env *e, int64_t d, int64_t fraction_milli)
{
	int64_t room;

	if (d <= 0 || fraction_milli <= 0)
		return d;
	if (__builtin_mul_overflow(d, fraction_milli, &room))
		return d;
	return d + (int64_t)env_random_below(e, (uint64_t)(room / 1000) + 1);
}

void env_uuid(struct env *e, char ret[37])
{
	static const char hex[] = "0123456789abcdef";
	unsigned char b[16];
	char *at = ret;

	env_random(e, b, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = hex[b[i] >> 4];
		*at++ = hex[b[i] & 15];
	}
	*at = '\0';
}
