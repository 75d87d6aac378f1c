/* orphans.h - pods of the runtime that the API does not know, left over from before the agent's start. Some at a time
 * are ended and removed, as pods' syncs beside them are; the relist adds what it sees. */
#pragma once

struct kubelet;

struct workq *orphans_new(struct kubelet *k);
