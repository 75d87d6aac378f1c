/* node_status.h - registers the Node, then keeps its status and its Lease fresh. Threads: any. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct kubelet;
struct node_status;

struct node_status *node_status_new(struct kubelet *k, struct err *err);
void node_status_hurry(struct kubelet *k); /* it is to be written now */
/* About the Node, once it is registered. */
void node_status_event(struct kubelet *k, const char *type, const char *reason, const char *fmt, ...) _printf_(4, 5);
struct node_status *node_status_free(struct node_status *n);
/* Can pods be given a network? False with why ("" before the first look) in the arena; pods are kicked when it can. */
bool node_network_ready(struct kubelet *k, struct arena *a, struct sv *ret_why);
