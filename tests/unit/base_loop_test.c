/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/vec.h"

struct tick {
	struct world *world;
	int id, times;
	struct loop_timer *timer;
	uint64_t again_at_ns;
	struct tick *kills;
};

struct pipe_end {
	struct world *world;
	int fd, calls;
	struct pipe_end *removes, *replaces;
};

struct world {
	struct loop *loop;
	VEC(int) order;
	int signals[65];
	struct pipe_end fresh;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	*state = world;
	return loop_new(&world->loop);
}

static int teardown(void **state)
{
	struct world *world = *state;

	loop_free(world->loop);
	vec_free(&world->order);
	free(world);
	return 0;
}

/* ---- timers ---- */

static void on_tick(void *arg, uint64_t now_ns)
{
	struct tick *tick = arg;

	assert_true(now_ns > 0);
	tick->times++;
	*vec_push(&tick->world->order) = tick->id;
	if (tick->again_at_ns)
		loop_timer_at(tick->timer, tick->again_at_ns);
	if (tick->kills) {
		loop_timer_free(TAKE(tick->kills->timer));
		tick->kills = NULL;
	}
}

static void timer_new(struct world *world, struct tick *tick, int id)
{
	tick->world = world;
	tick->id = id;
	assert_int_equal(loop_timer_new(world->loop, on_tick, tick, &tick->timer), 0);
}

static void timers_fire_in_the_order_of_their_deadlines(void **state)
{
	struct world *world = *state;
	struct tick ticks[200] = {0};
	unsigned seed = 7;

	for (int i = 0; i < 200; i++)
		timer_new(world, &ticks[i], 0);
	/* All in the past, set and set again in disorder; some stopped. */
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 200; i++) {
			seed = seed * 1103515245 + 12345;
			ticks[i].id = (int)(seed >> 16) % 1000;
			loop_timer_at(ticks[i].timer, 1 + (uint64_t)ticks[i].id);
		}
	for (int i = 0; i < 200; i += 4)
		loop_timer_stop(ticks[i].timer);
	assert_int_equal(loop_round(world->loop, 0), 0);
	assert_int_equal(world->order.count, 150);
	for (size_t i = 1; i < world->order.count; i++)
		assert_true(world->order.at[i - 1] <= world->order.at[i]);
	for (int i = 0; i < 200; i++) {
		assert_int_equal(ticks[i].times, i % 4 ? 1 : 0);
		loop_timer_free(ticks[i].timer);
	}
}

static void equal_deadlines_fire_in_the_order_they_were_set(void **state)
{
	struct world *world = *state;
	struct tick ticks[50] = {0};

	for (int i = 0; i < 50; i++) {
		timer_new(world, &ticks[i], i);
		loop_timer_at(ticks[i].timer, 1000);
	}
	assert_int_equal(loop_round(world->loop, 0), 0);
	assert_int_equal(world->order.count, 50);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(world->order.at[i], i);
		loop_timer_free(ticks[i].timer);
	}
}

static void a_timer_never_fires_early_and_fires_once(void **state)
{
	struct world *world = *state;
	struct tick tick = {0};
	uint64_t deadline_ns = time_mono_ns() + 3 * NS_PER_MS + 123456;

	timer_new(world, &tick, 1);
	loop_timer_at(tick.timer, deadline_ns);
	while (tick.times == 0) {
		assert_int_equal(loop_round(world->loop, -1), 0);
		if (tick.times)
			assert_true(time_mono_ns() >= deadline_ns);
	}
	for (int i = 0; i < 3; i++)
		loop_round(world->loop, 1);
	assert_int_equal(tick.times, 1);
	loop_timer_free(tick.timer);
}

static void a_timer_set_to_the_past_by_itself_waits_for_the_next_round(void **state)
{
	struct world *world = *state;
	struct tick tick = {.again_at_ns = 1};

	timer_new(world, &tick, 1);
	loop_timer_at(tick.timer, 0);
	for (int i = 1; i <= 5; i++) {
		assert_int_equal(loop_round(world->loop, -1), 0);
		assert_int_equal(tick.times, i);
	}
	loop_timer_free(tick.timer);
}

static void a_timer_may_free_itself_and_another_that_is_due(void **state)
{
	struct world *world = *state;
	struct tick first = {0}, second = {0}, self = {0};

	timer_new(world, &first, 1);
	timer_new(world, &second, 2);
	timer_new(world, &self, 3);
	first.kills = &second;
	self.kills = &self;
	loop_timer_at(first.timer, 1);
	loop_timer_at(second.timer, 2);
	loop_timer_at(self.timer, 3);
	assert_int_equal(loop_round(world->loop, 0), 0);
	assert_int_equal(first.times, 1);
	assert_int_equal(second.times, 0);
	assert_int_equal(self.times, 1);
	loop_timer_free(first.timer);
}

static void a_timer_may_outlive_its_loop(void **state)
{
	struct loop *loop;
	struct loop_timer *armed, *idle;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(loop_timer_new(loop, on_tick, NULL, &armed), 0);
	assert_int_equal(loop_timer_new(loop, on_tick, NULL, &idle), 0);
	loop_timer_at(armed, UINT64_MAX);
	loop_free(loop);
	loop_timer_free(armed);
	loop_timer_free(idle);
}

/* ---- descriptors ---- */

static void on_other(void *arg, int fd, uint32_t events)
{
	(void)fd;
	(void)events;
	((struct pipe_end *)arg)->calls++;
}

static void on_pipe(void *arg, int fd, uint32_t events)
{
	struct pipe_end *end = arg;

	assert_int_equal(fd, end->fd);
	assert_true(events & EPOLLIN);
	end->calls++;
	if (end->removes)
		loop_fd_remove(end->world->loop, end->removes->fd);
	if (end->replaces) { /* the same number, another handler, in the same round */
		loop_fd_remove(end->world->loop, end->replaces->fd);
		assert_int_equal(loop_fd_add(end->world->loop, end->replaces->fd, 0, on_other,
					     &end->world->fresh),
				 0);
	}
}

static void two_readable_pipes(struct world *world, struct pipe_end ends[2], int writers[2])
{
	for (int i = 0; i < 2; i++) {
		int fds[2];

		assert_int_equal(pipe(fds), 0);
		ends[i] = (struct pipe_end){.world = world, .fd = fds[0]};
		writers[i] = fds[1];
		assert_int_equal(write(fds[1], "x", 1), 1);
		assert_int_equal(loop_fd_add(world->loop, fds[0], EPOLLIN, on_pipe, &ends[i]), 0);
	}
}

static void close_pipes(struct world *world, struct pipe_end ends[2], int writers[2])
{
	for (int i = 0; i < 2; i++) {
		loop_fd_remove(world->loop, ends[i].fd);
		close(ends[i].fd);
		close(writers[i]);
	}
}

static void a_handler_removed_in_the_round_is_not_called(void **state)
{
	struct world *world = *state;
	struct pipe_end ends[2];
	int writers[2];

	two_readable_pipes(world, ends, writers);
	ends[0].removes = &ends[1];
	ends[1].removes = &ends[0];
	assert_int_equal(loop_round(world->loop, 100), 0);
	assert_int_equal(ends[0].calls + ends[1].calls, 1);
	close_pipes(world, ends, writers);
}

static void an_old_event_does_not_reach_a_new_handler_of_the_number(void **state)
{
	struct world *world = *state;
	struct pipe_end ends[2];
	int writers[2];

	two_readable_pipes(world, ends, writers);
	ends[0].replaces = &ends[1];
	ends[1].replaces = &ends[0];
	assert_int_equal(loop_round(world->loop, 100), 0);
	assert_int_equal(ends[0].calls + ends[1].calls, 1);
	assert_int_equal(world->fresh.calls, 0);
	close_pipes(world, ends, writers);
}

static void events_of_interest_can_change(void **state)
{
	struct world *world = *state;
	struct pipe_end ends[2];
	int writers[2];

	two_readable_pipes(world, ends, writers);
	assert_int_equal(loop_fd_modify(world->loop, ends[0].fd, 0), 0);
	assert_int_equal(loop_round(world->loop, 0), 0);
	assert_int_equal(ends[0].calls, 0);
	assert_int_equal(ends[1].calls, 1);
	assert_int_equal(loop_fd_modify(world->loop, ends[0].fd, EPOLLIN), 0);
	assert_int_equal(loop_round(world->loop, 0), 0);
	assert_int_equal(ends[0].calls, 1);
	close_pipes(world, ends, writers);
}

static void wrong_descriptors_are_errors(void **state)
{
	struct world *world = *state;
	int fds[2];

	assert_int_equal(loop_fd_add(world->loop, -1, EPOLLIN, on_other, NULL), -EBADF);
	assert_int_equal(loop_fd_modify(world->loop, 1000, EPOLLIN), -ENOENT);
	loop_fd_remove(world->loop, 1000);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(loop_fd_add(world->loop, fds[0], EPOLLIN, on_other, NULL), 0);
	assert_int_equal(loop_fd_add(world->loop, fds[0], EPOLLIN, on_other, NULL), -EEXIST);
	loop_fd_remove(world->loop, fds[0]);
	close(fds[0]);
	assert_int_equal(loop_fd_add(world->loop, fds[0], EPOLLIN, on_other, NULL), -EBADF);
	close(fds[1]);
}

/* ---- signals and running ---- */

static void on_signal(void *arg, int signo)
{
	struct world *world = arg;

	world->signals[signo]++;
	loop_quit(world->loop, signo);
}

static void signals_arrive_in_the_loop_and_it_can_run_again(void **state)
{
	struct world *world = *state;

	assert_int_equal(loop_signal(world->loop, SIGUSR1, on_signal, world), 0);
	assert_int_equal(loop_signal(world->loop, SIGUSR2, on_signal, world), 0);
	assert_int_equal(loop_signal(world->loop, 0, on_signal, world), -EINVAL);
	raise(SIGUSR2);
	assert_int_equal(world->signals[SIGUSR2], 0);
	assert_int_equal(loop_run(world->loop), SIGUSR2);
	raise(SIGUSR1);
	assert_int_equal(loop_run(world->loop), SIGUSR1);
	assert_int_equal(world->signals[SIGUSR1], 1);
	assert_int_equal(world->signals[SIGUSR2], 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timers_fire_in_the_order_of_their_deadlines),
		TEST(equal_deadlines_fire_in_the_order_they_were_set),
		TEST(a_timer_never_fires_early_and_fires_once),
		TEST(a_timer_set_to_the_past_by_itself_waits_for_the_next_round),
		TEST(a_timer_may_free_itself_and_another_that_is_due),
		TEST(a_timer_may_outlive_its_loop),
		TEST(a_handler_removed_in_the_round_is_not_called),
		TEST(an_old_event_does_not_reach_a_new_handler_of_the_number),
		TEST(events_of_interest_can_change),
		TEST(wrong_descriptors_are_errors),
		TEST(signals_arrive_in_the_loop_and_it_can_run_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
