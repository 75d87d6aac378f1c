/* node_repair.h - what the node has made of its machine, every ten seconds and a second after links changed: put back,
 * and said. After it had something to put back it waits ten seconds in any case: its own changes are links', too, and
 * a pod that takes its network away again and again keeps nobody busy. */
#pragma once

struct kubelet;

void node_limit_pids(struct kubelet *k); /* of all pods together */
void node_repair_start(struct kubelet *k);
void node_repair_soon(void *k); /* any thread */
