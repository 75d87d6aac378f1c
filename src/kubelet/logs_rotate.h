/* logs_rotate.h - containers' logs are kept small: those that run are turned over when they have grown. */
#pragma once

struct kubelet;

void logs_rotate_start(struct kubelet *k); /* a timer of the kubelet's */
