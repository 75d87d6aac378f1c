/* A resource's strategy, for whoever does something with resources: which there are, strategies.c says. */
#include "apiserver/registry/strategy.h"
#include "apiserver/late_kind.h"

static const struct strategy *strategies;

void strategies_are(const struct strategy *by_id)
{
	strategies = by_id;
}

const struct strategy *strategy_for(const struct resource *r)
{
	static const struct strategy plain = { 0 };
	const struct late_kind *late;

	if (!resource_late(r))
		return &strategies[r->id];
	late = late_kind_of(r);
	return late ? &late->strategy : &plain;
}
