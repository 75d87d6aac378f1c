/* served.h - which of the built-in resources this process serves.
 *
 * Every resource of v1.37 is in the tables (schema.h). Served by default are those of versions that are not opt-in;
 * --runtime-config turns versions and resources on and off, and a resource that has a gate is served only while its
 * feature is on (feature.h). What is not served is in no discovery or OpenAPI document, and is not found under any
 * path; its tables stay, because what is stored may be of a version that nobody can ask for (apiserver/versions.h).
 *
 * Set once, before anything is served and after the gates. resource_find() and what is built on it know only what is
 * served; who goes through resource_all by himself asks resource_served().
 */
#pragma once

#include "base/err.h"
#include "object/schema.h"

bool resource_served(const struct resource *r); /* of one made at run time: true */
/* Of the built-in resources that show the same objects in several versions: is r the first that is served? */
bool resource_served_first(const struct resource *r);
bool group_version_served(struct sv group, struct sv version); /* among the built-in ones: any resource of it */

/* The value of --runtime-config: KEY=true or KEY=false, parted by commas (KEY alone: true), where KEY is, from the
 * weakest to the strongest, api/all, api/ga, api/beta, api/alpha, GROUP/VERSION, GROUP/VERSION/RESOURCE. Errors are
 * upstream's; beyond them it is one when something asked for by its name can never be served, because its gate is off,
 * and when a gate that was named is on whose resources are served in no version. All of it or nothing. */
int served_set(struct sv runtime_config, struct err *err);
void served_reset(void); /* as if nothing had been set: for tests */
