/* store_tests.h - the tests of the store suite that live beside store.c. */
#pragma once

void test_watch_basic(void **state);
void test_watch_many(void **state);
void test_watch_order(void **state);
void test_watch_cookie(void **state);
void test_watch_old(void **state);
void test_changes(void **state);
void test_changes_meanwhile(void **state);
void test_watch_future(void **state);
void test_watch_meanwhile(void **state);
void test_unwatch(void **state);
void test_compact(void **state);
void test_compact_tombstones(void **state);
void test_compact_lagging_watch(void **state);
void test_model(void **state);
void test_also(void **state);
void test_also_mismatch(void **state);
void test_also_limits(void **state);
void test_also_guards(void **state);
void test_also_threads(void **state);
