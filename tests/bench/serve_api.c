/* The API server alone, on the embedded store and TLS, for h2load and kubectl:
 *
 *	serve_api DIR PORT [THREADS]
 *
 * writes DIR/kubeconfig and serves until SIGTERM; the token is "bench".
 */
#include "apiserver/apiserver.h"
#include "base/file.h"
#include "ev/ev.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static void *run(void *loop)
{
	ev_loop_run(loop);
	return NULL;
}

int main(int argc, char **argv)
{
	struct ev_loop *loops[8];
	pthread_t threads[8];
	size_t n = argc > 3 ? (size_t)atoi(argv[3]) : 2;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct http_server *http;
	struct apiserver *api;
	struct store *store;
	struct env *env;
	const char *tokens;
	struct sv yaml;
	sigset_t set;
	int got;
	FILE *f;

	if (argc < 3 || n < 1 || n > ARRAY_LEN(loops))
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	env = env_real_new(8);
	store = store_disk_open(env, arena_printf(&a, "%s/db", argv[1]), (size_t)8 << 30, &err);
	if (!store)
		goto failed;
	tokens = arena_printf(&a, "%s/tokens.csv", argv[1]);
	if (file_write_again(tokens, SV("bench,admin,,system:masters\n"), 0600, &err) < 0)
		goto failed;
	api = apiserver_new(
	    &(struct apiserver_opts){
		.env = env, .store = store, .data_dir = argv[1], .token_auth_file = tokens, .anonymous_auth = true },
	    &err);
	if (!api)
		goto failed;
	for (size_t i = 0; i < n; i++)
		loops[i] = ev_loop_new(NULL);
	http = http_server_start(loops, n,
				 &(struct http_server_opts){
				     .bind_address = "127.0.0.1",
				     .port = atoi(argv[2]),
				     .tls = apiserver_tls(api),
				     .max_body = (size_t)3 << 20,
				     .max_connections = 1000,
				     .handler = apiserver_http,
				     .streams = apiserver_http_streams,
				     .too_large = apiserver_http_too_large,
				     .ctx = api,
				 },
				 &err);
	if (!http)
		goto failed;
	for (size_t i = 0; i < n; i++)
		pthread_create(&threads[i], NULL, run, loops[i]);
	if (apiserver_admin_kubeconfig(api, &a, arena_printf(&a, "https://127.0.0.1:%d", http_server_port(http)), &yaml,
				       &err) < 0)
		goto failed;
	f = fopen(arena_printf(&a, "%s/kubeconfig", argv[1]), "we");
	if (f) {
		(void)fwrite(yaml.p, 1, yaml.n, f);
		(void)fclose(f);
	}
	printf("ready on %d\n", http_server_port(http));
	(void)fflush(stdout);
	sigwait(&set, &got);
	apiserver_shutdown(api);
	http_server_stop(http, NS_PER_SEC);
	for (size_t i = 0; i < n; i++) {
		ev_loop_stop(loops[i]);
		pthread_join(threads[i], NULL);
	}
	apiserver_free(api);
	for (size_t i = 0; i < n; i++)
		ev_loop_free(loops[i]);
	store_close(store);
	env_real_free(env);
	return 0;
failed:
	fprintf(stderr, "%s\n", err_msg(&err));
	return 1;
}
