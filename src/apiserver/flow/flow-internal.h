/* flow-internal.h - what the files of src/apiserver/flow share; nobody else includes it.
 *
 * Lifetimes: a request holds the configuration it was matched in until its answer, a configuration holds its levels and
 * counts. So a level lives as long as a request that sits or waits in it, whatever became of its object.
 *
 * Locks, outer first: flow.lock (the table of levels and counts, the borrowing), a level's own (its seats and queues).
 * None is held while a request is resumed. */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "apiserver/flow/flow.h"
#include "base/current.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/strmap.h"

#define FLOW_UID_MAX 36
#define FLOW_WIDTH_MAX 10      /* seats of one request, as upstream */
#define FLOW_WAITING_MAX 16384 /* requests of a level, however its queues are configured */
#define FLOW_WAITING_BYTES ((size_t)64 << 20)
#define FLOW_BORROW_NS (10 * NS_PER_SEC)

/* --- configuration --- */

struct flow_names {
	bool any; /* "*" */
	size_t n;
	struct sv *p;
};

enum flow_subject_kind { FLOW_USER, FLOW_GROUP, FLOW_ACCOUNT };

struct flow_subject {
	enum flow_subject_kind kind;
	bool any;	/* any name; of an account any one of its namespace */
	struct sv name; /* of an account "system:serviceaccount:NS:" and, unless any, its name */
};

/* Requests for resources, or (urls) for other paths. */
struct flow_target {
	struct flow_names verbs, groups, resources, namespaces, urls;
	bool cluster;
};

struct flow_rule {
	struct flow_subject *subjects;
	struct flow_target *resources, *paths;
	size_t n_subjects, n_resources, n_paths;
};

enum flow_by { FLOW_BY_NOTHING, FLOW_BY_USER, FLOW_BY_NAMESPACE };

struct flow_schema {
	struct sv name, uid, level_uid;
	int64_t precedence;
	enum flow_by by;
	struct flow_rule *rules;
	size_t n_rules;
	struct flow_level *level;
	struct flow_counts *counts;
	uint64_t hash; /* of its name: flows of different schemas are different ones */
};

struct flow_config {
	struct current_ref ref; /* first */
	struct flow *flow;
	struct arena arena;
	struct flow_schema *schemas; /* in the order in which they are asked */
	size_t n_schemas;
	struct flow_level **levels; /* a reference of each */
	size_t n_levels;
};

/* What is counted of a schema at a level; in the level's table, a reference for each schema that uses it. It is the
 * level's, not its name's: a request that ends in a level that has gone is counted there, whoever has its name now. Of
 * a limited level guarded by its lock. */
enum flow_refusal { FLOW_QUEUE_FULL, FLOW_NO_SEAT, FLOW_TIME_OUT, FLOW_CANCELLED, _FLOW_REFUSAL_MAX };
#define FLOW_BUCKETS 13

struct flow_counts {
	unsigned refs;		       /* guarded by flow.lock */
	struct flow_level *level;      /* a reference */
	char *schema;		       /* owned */
	_Atomic uint64_t begun, ended; /* of an exempt level, where there is no lock */
	struct flow_numbers {
		uint64_t dispatched, rejected[_FLOW_REFUSAL_MAX];
		size_t executing, seats, waiting;
		uint64_t waits[2][FLOW_BUCKETS + 1]; /* of those that had to wait, by whether they were served */
		int64_t waited_ns[2];
	} n;
};
/* In s; the last one is +Inf. */
extern const double flow_bounds[FLOW_BUCKETS];

/* --- levels --- */

struct flow_queueing {
	uint32_t queues, hand, length; /* queues 0: none waits */
};

/* What a level asked for while somebody looked: seats in use and waited for. */
struct flow_demand {
	int64_t since_ns, at_ns;
	double area, area2; /* of demand, and of its square, over time in s */
	unsigned high;
	double smooth;
};

/* Those of some flows that wait; there as long as one does. Start-time fair queueing: a queue's tag is the virtual time
 * at which its first request would be served if all of them were served at once. */
struct flow_queue {
	size_t heap_index;
	uint32_t index;
	uint64_t seq;	     /* breaks ties */
	struct list waiting; /* struct flow_ticket, in their order */
	size_t n, bytes, seats;
	unsigned executing, seats_in_use; /* dispatched from here */
	double start;			  /* seconds of a seat */
};

struct flow_level {
	unsigned refs;	      /* guarded by flow.lock; */
	bool removed;	      /* these, too: its object is gone; */
	bool kept;	      /* by the configuration that is being made; */
	struct sv uid;	      /* in whose arena this is */
	char *name;	      /* owned */
	struct strmap counts; /* by schema; guarded by flow.lock, too */
	bool exempt;
	pthread_mutex_t lock;
	/* Guarded by it. */
	struct flow_queueing q;
	unsigned shares, lendable_percent, borrow_percent; /* borrow_percent UINT_MAX: as much as there is */
	unsigned nominal, min, max, limit;
	_Atomic unsigned width_max; /* of one request; read without the lock */
	unsigned in_use;	    /* seats */
	size_t executing, waiting, waiting_bytes, waiting_seats;
	struct heap active;   /* queues with somebody waiting, the next one first */
	struct strmap queues; /* by index */
	uint64_t seq;
	double now; /* virtual time: the tag of who was let in last */
	bool observed;
	bool pressed; /* somebody had to wait or was refused since the last look */
	struct flow_demand demand;
	/* Retry-After: longer while many are refused. */
	int64_t refused_since_ns;
	unsigned refused, refused_before, retry_s;
};

enum flow_state { FLOW_SEATED = 1, FLOW_WAITING, FLOW_OPEN /* exempt */, FLOW_COUNTED /* max_inflight.c */, FLOW_DONE };

struct flow_ticket {
	struct list link; /* in its queue, while waiting */
	struct api_req *q;
	struct flow_config *config; /* a reference, until it is done */
	const struct flow_schema *schema;
	enum flow_state state;
	unsigned seats;
	struct flow_queue *queue; /* where it waits, or has waited; NULL: nowhere */
	struct req_ticket *wait;
	void (*stop)(void *ticket); /* its wait has ended otherwise than by a seat */
	int64_t arrived_ns, seated_ns;
	uint8_t uid_n[2];
	char uids[2][FLOW_UID_MAX];
};

struct flow {
	struct apiserver *s;
	struct current config;
	uint64_t seed; /* of the flows' hands */
	pthread_mutex_t lock;
	pthread_cond_t cond;
	/* Guarded by it. */
	struct strmap levels; /* by name, those of the current configuration: struct flow_level */
	bool started, dirty, posted, stopping;
	struct env_timer *follow; /* what is posted */
	struct env_timer *timer;  /* of the borrowing */
	bool armed;
	unsigned calm; /* looks since somebody last waited */
	/* The task's own: has it run, and status updates of the last minute (dangling.c). */
	bool followed;
	int64_t said_since_ns;
	unsigned said;
	atomic_bool borrowing; /* somebody waited or was refused lately: limits move */
	/* All there is without priority and fairness: requests being served that read and that change something. */
	bool off;
	atomic_int served[2];
};

extern struct lock_site flow_lock;

/* config.c */
/* The configuration that the stored objects make; fields of levels that are kept change with it. Lock not held. */
struct flow_config *flow_config_make(struct flow *f);
/* match.c */
const struct flow_schema *flow_match(const struct flow_config *c, const struct api_req *q);
struct sv flow_distinguisher(const struct flow_schema *s, const struct api_req *q);
/* width.c */
unsigned flow_width(struct api_req *q, const struct flow_level *l);

/* level.c */
struct flow_level *flow_level_new(struct sv name, bool exempt);
void flow_level_unref(struct flow *f, struct flow_level *l); /* flow.lock held */
/* A seat, a place in a queue, or neither: FLOW_SEATED, FLOW_WAITING (t->wait is made), 0 with *ret_why. */
enum flow_state flow_level_enter(struct flow_level *l, struct flow_ticket *t, uint64_t hash, enum flow_refusal *ret_why,
				 unsigned *ret_retry_s);
void flow_level_leave(struct flow_level *l, struct flow_ticket *t);
/* It waits no more; false: it was let in meanwhile, or is about to be. */
bool flow_level_give_up(struct flow_level *l, struct flow_ticket *t);
/* Those who wait may fit now. flow.lock not held. */
void flow_level_fill(struct flow_level *l, struct env *env);
/* Lock held. */
void flow_demand_note(struct flow_level *l, int64_t now_ns);

/* hand.c */
/* Which of n queues a flow may wait in: hand different ones of them, at most n and FLOW_HAND_MAX; ret has room for as
 * many. */
void flow_hand(uint64_t hash, uint32_t n, uint32_t hand, uint32_t *ret);
#define FLOW_HAND_MAX 64 /* more than validation allows */

/* shares.c */
/* Nominal limits and their bounds of all levels, and limits within those. flow.lock held; flow_fill_all() next. */
void flow_limits(struct flow *f);
/* Those who wait and fit since limits changed. flow.lock not held. */
void flow_fill_all(struct flow *f);
/* Somebody had to wait, or was refused: limits follow what is asked for, from now on until nobody waits any more. */
void flow_borrow_begin(struct flow *f);
void flow_borrow_stop(struct flow *f);
/* One level in the division of seats: at least least, at most most, as its target is to the others'. */
struct flow_part {
	double target, least, most, ret;
};
void flow_divide(struct flow_part *parts, size_t n, double seats);

/* max_inflight.c */
int flow_max_inflight(struct api_req *q, struct flow_ticket *t, struct err *err);
void flow_max_inflight_end(struct api_req *q);

/* dangling.c */
void flow_say_dangling(struct flow *f);
