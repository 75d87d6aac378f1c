/* A resource's strategy, for whoever does something with resources: which there are, strategies.c says. */
#include "apiserver/registry/strategy.h"

static const struct strategy *strategies;

void strategies_are(const struct strategy *by_id)
{
	strategies = by_id;
}

const struct strategy *strategy_for(const struct resource *r)
{
	return &strategies[r->id];
}
