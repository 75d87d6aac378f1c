/* everything.h - for tests of all of the API: every version is served, every gate that may be on is on. Before anything
 * asks what is served. */
#pragma once

#include "object/feature.h"
#include "object/served.h"

static inline void everything_on(void)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (features_set(SV("AllAlpha=true,AllBeta=true"), &err) < 0 || served_set(SV("api/all=true"), &err) < 0)
		fail_msg("%s", err_msg(&err));
}
