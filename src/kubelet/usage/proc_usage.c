#include "kubelet/usage/proc_usage.h"

#include "kubelet/machine.h"
#include "kubelet/usage/usage_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Blanks stand between the words of a line, any number of them. */
static bool next_word(struct sv *rest, struct sv *ret)
{
	while (rest->n && (*rest->p == ' ' || *rest->p == '\t'))
		*rest = sv_sub(*rest, 1, rest->n);
	if (!rest->n)
		return false;
	for (size_t i = 0;; i++)
		if (i == rest->n || rest->p[i] == ' ' || rest->p[i] == '\t') {
			*ret = sv_sub(*rest, 0, i);
			*rest = sv_sub(*rest, i, rest->n);
			return true;
		}
}

/* "NAME: rx bytes packets errs drop fifo frame compressed multicast tx bytes packets errs drop ..." */
static bool link_line(struct sv line, struct usage_link *ret)
{
	ssize_t colon = sv_find(line, ':');
	uint64_t v[12] = { 0 };
	struct sv rest, word;

	if (colon < 0)
		return false;
	ret->name = sv_trim(sv_sub(line, 0, (size_t)colon));
	rest = sv_sub(line, (size_t)colon + 1, line.n);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		if (!next_word(&rest, &word))
			return false;
		v[i] = usage_number(word);
	}
	ret->rx_bytes = v[0];
	ret->rx_packets = v[1];
	ret->rx_errors = v[2];
	ret->rx_dropped = v[3];
	ret->tx_bytes = v[8];
	ret->tx_packets = v[9];
	ret->tx_errors = v[10];
	ret->tx_dropped = v[11];
	return !sv_is(ret->name, "lo");
}

/* Of /proc/PID/net/route: the first line to 00000000. */
static struct sv default_link(struct arena *a, const char *pid)
{
	struct usage_text t;
	struct sv rest, line, name, to;

	usage_text_read(&t, "", arena_printf(a, "/proc/%s/net/route", pid));
	rest = t.text;
	while (sv_split(&rest, '\n', &line))
		if (next_word(&line, &name) && next_word(&line, &to) && sv_is(to, "00000000"))
			return arena_sv(a, name);
	return SV("");
}

struct usage_link *usage_links(struct arena *a, const char *pid, size_t *ret_n)
{
	struct usage_link *list = ARENA_ARRAY(a, struct usage_link, USAGE_LINKS_MAX);
	struct sv first = default_link(a, pid);
	_cleanup_free_ char *line = NULL;
	FILE *f = fopen(arena_printf(a, "/proc/%s/net/dev", pid), "re");
	size_t size = 0, n = 0;
	ssize_t got;

	while (f && n < USAGE_LINKS_MAX && (got = getline(&line, &size, f)) > 0) {
		if (!link_line(sv_trim(sv_make(line, (size_t)got)), &list[n]))
			continue;
		list[n].name = arena_sv(a, list[n].name);
		if (n && sv_eq(list[n].name, first)) {
			struct usage_link was = list[0];

			list[0] = list[n];
			list[n] = was;
		}
		n++;
	}
	if (f)
		fclose(f);
	*ret_n = n;
	return list;
}

/* "Name:   123 kB" */
static void meminfo_read(struct machine_usage *m)
{
	const struct {
		const char *name;
		uint64_t *to;
	} rows[] = { { "MemTotal", &m->memory_bytes },
		     { "MemAvailable", &m->available_bytes },
		     { "SwapTotal", &m->swap_bytes },
		     { "SwapFree", &m->swap_free_bytes } };
	struct usage_text t;
	struct sv rest, line;

	usage_text_read(&t, "/proc", "meminfo");
	rest = t.text;
	while (sv_split(&rest, '\n', &line)) {
		ssize_t colon = sv_find(line, ':');

		for (size_t i = 0; colon > 0 && i < ARRAY_LEN(rows); i++)
			if (sv_is(sv_sub(line, 0, (size_t)colon), rows[i].name))
				*rows[i].to = usage_number(sv_trim(sv_sub(line, (size_t)colon + 1, line.n))) * 1024;
	}
}

/* The first line of /proc/stat: "cpu user nice system idle iowait irq softirq steal", in ticks. The time of guests is
 * in user and nice already. */
static void stat_cpu(struct machine_usage *m)
{
	const uint64_t tick_ns = (uint64_t)(NS_PER_SEC / MAX(sysconf(_SC_CLK_TCK), 1));
	struct usage_text t;
	struct sv lines, rest, word;

	usage_text_read(&t, "/proc", "stat");
	lines = t.text;
	if (!sv_split(&lines, '\n', &rest))
		return;
	for (int i = 0; i < 9 && next_word(&rest, &word); i++)
		if (i > 0 && i != 4 && i != 5) /* neither idle nor waiting for a disk */
			m->cpu_ns += usage_number(word) * tick_ns;
}

static void stat_lines(struct machine_usage *m)
{
	_cleanup_free_ char *line = NULL;
	FILE *f = fopen("/proc/stat", "re");
	size_t size = 0;

	while (f && getline(&line, &size, f) > 0)
		if (!strncmp(line, "btime ", 6))
			m->started_s = (int64_t)usage_number(sv_from(line + 6));
	if (f)
		fclose(f);
	f = fopen("/proc/vmstat", "re");
	while (f && getline(&line, &size, f) > 0)
		if (!strncmp(line, "pgfault ", 8))
			m->faults = usage_number(sv_from(line + 8));
		else if (!strncmp(line, "pgmajfault ", 11))
			m->major_faults = usage_number(sv_from(line + 11));
	if (f)
		fclose(f);
}

/* "0.00 0.01 0.05 2/345 6789": the number behind the slash is that of all processes and threads. */
static void loadavg_read(struct machine_usage *m)
{
	struct usage_text t;
	ssize_t slash;

	usage_text_read(&t, "/proc", "loadavg");
	slash = sv_find(t.text, '/');
	if (slash >= 0)
		m->pids = (int64_t)usage_number(sv_sub(t.text, (size_t)slash + 1, t.text.n));
}

void machine_usage_read(struct machine_usage *ret)
{
	*ret = (struct machine_usage){ .pids_max = machine_pids(), .cores = (int)sysconf(_SC_NPROCESSORS_ONLN) };
	meminfo_read(ret);
	stat_cpu(ret);
	stat_lines(ret);
	loadavg_read(ret);
}
