/* mute.h - a transformer that has no key for now: what was written cannot be read. Only for tests. */
#pragma once

#include "base/err.h"
#include "store/transform.h"

static void mute_in(_unused_ struct store_transform *t, _unused_ struct sv key, struct sv value, store_value_fn *done,
		    void *ctx)
{
	done(value, NULL, ctx);
}

static void mute_out(_unused_ struct store_transform *t, _unused_ struct sv key, _unused_ struct sv value,
		     store_value_fn *done, void *ctx)
{
	struct err err = ERR_INIT;

	err_set(&err, ERR_UNAVAILABLE, "no key");
	done(SV_NULL, &err, ctx);
	err_release(&err);
}

#define MUTE_TRANSFORM            \
	{                         \
		mute_in, mute_out \
	}
