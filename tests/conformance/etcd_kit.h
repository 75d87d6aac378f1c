/* etcd_kit.h - members of etcd for tests: processes of ours on ports of the loopback interface, gone with the test. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#define ETCD_PROCESSES_MAX 3
/* For stores (store_etcd_opts) that have nobody to go to: a member that a loaded machine keeps from running for half a
 * minute is waited for, or a test sees writes that are in doubt. */
#define ETCD_PATIENCE 30

struct etcd_process {
	pid_t pid; /* 0: it does not run */
	int client_port, peer_port;
	char dir[96];
};

struct etcd_cluster {
	struct etcd_process m[ETCD_PROCESSES_MAX];
	int n;
	const char *cert, *key, *ca; /* files: TLS for clients, who show a certificate of ca; NULL: none */
	const char *more[8];	     /* further flags */
	char endpoints[256];
};

bool etcd_installed(void); /* the program is there; false: say so, and skip */
/* Members 0 to n - 1 with directories under dir; fills endpoints. c's other fields are set before, or zero. */
void etcd_cluster_start(struct etcd_cluster *c, int n, const char *dir);
void etcd_member_start(struct etcd_cluster *c, int i); /* again, with what it has */
void etcd_member_kill(struct etcd_process *m);
/* Stopped (SIGSTOP) it does nothing more when this returns. */
void etcd_member_signal(struct etcd_process *m, int signum);
void etcd_cluster_stop(struct etcd_cluster *c);
