/* What a reader sees: one revision of the database, the generations after it, and its turn. */
#include "store/disk/disk-internal.h"

void gen_unref(struct gen *g)
{
	if (--g->refs == 0)
		gen_free(g);
}

void snap_open(struct disk_store *s, bool reader, struct snap *ret)
{
	*ret = (struct snap){ .reader = reader };
	while (reader && s->readers >= READERS_MAX)
		pthread_cond_wait(&s->changed, &s->mu);
	s->readers += reader;
	ret->set = db_set_ref(s->db.set);
	if (s->active)
		ret->gens[ret->n++] = s->active;
	for (struct list *l = s->frozen.prev; l != &s->frozen; l = l->prev) {
		BUG_ON(ret->n == WAL_SLOTS);
		ret->gens[ret->n++] = LIST_ENTRY(l, struct gen, link);
	}
	for (int i = 0; i < ret->n; i++)
		ret->gens[i]->refs++;
	ret->full = s->full;
	ret->growth_upto = s->growth_upto;
	ret->rev = s->rev;
	ret->compact_rev = s->compact_rev;
	ret->steps = s->ckpt_steps;
}

void snap_close(struct disk_store *s, struct snap *sn)
{
	table_hold_release(&sn->look);
	table_hold_release(&sn->kv);
	table_hold_release(&sn->prev);
	db_set_unref(sn->set);
	pthread_mutex_lock(&s->mu);
	for (int i = 0; i < sn->n; i++)
		gen_unref(sn->gens[i]);
	if (sn->reader) {
		s->readers--;
		pthread_cond_broadcast(&s->changed);
	}
	if (s->room_held)
		pthread_cond_signal(&s->ckpt_work);
	pthread_mutex_unlock(&s->mu);
}
