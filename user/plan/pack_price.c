/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dual prices: the covering problem "least cost of types whose sum has at least what is wanted of
 * each resource, and a node for each pod that must be alone of its kind", cut at will, by the
 * revised simplex method. It has as many rows as resources, so its basis is a handful of numbers.
 */
#include <math.h>

#include "plan/pack.h"

#define ROWS_MAX (RESOURCES_MAX + 1)
#define ROUNDS_MAX 200
#define ARTIFICIAL 1e7

struct column {
	double usd, of[ROWS_MAX];
};

struct covering {
	size_t rows, of[ROWS_MAX]; /* resources; RESOURCES_MAX: nodes */
	double wanted[ROWS_MAX];
	VEC(struct column) columns;
	double inverse[ROWS_MAX][ROWS_MAX]; /* of the basis */
	double solution[ROWS_MAX], usd[ROWS_MAX]; /* of what is in the basis */
	double dual[ROWS_MAX];
};

static void start(struct covering *c)
{
	for (size_t i = 0; i < c->rows; i++) {
		for (size_t j = 0; j < c->rows; j++)
			c->inverse[i][j] = i == j;
		c->solution[i] = 1; /* rows are scaled by what is wanted */
		c->usd[i] = ARTIFICIAL;
	}
}

static void find_dual(struct covering *c)
{
	for (size_t j = 0; j < c->rows; j++) {
		c->dual[j] = 0;
		for (size_t i = 0; i < c->rows; i++)
			c->dual[j] += c->usd[i] * c->inverse[i][j];
	}
}

/* The column that lowers the cost the most for its price; too much of a row is one as well. */
static bool find_entering(const struct covering *c, struct column *out)
{
	double best = 1e-9;
	bool found = false;

	vec_for_each (column, &c->columns) {
		double worth = 0;

		for (size_t i = 0; i < c->rows; i++)
			worth += c->dual[i] * column->of[i];
		if (worth - column->usd > best * fmax(column->usd, 1e-12)) {
			best = (worth - column->usd) / fmax(column->usd, 1e-12);
			*out = *column;
			found = true;
		}
	}
	for (size_t i = 0; i < c->rows && !found; i++)
		if (c->dual[i] < -1e-9) {
			*out = (struct column){0};
			out->of[i] = -1;
			found = true;
		}
	return found;
}

static bool enter(struct covering *c, const struct column *column)
{
	double direction[ROWS_MAX], least = INFINITY;
	size_t leaving = c->rows;

	for (size_t i = 0; i < c->rows; i++) {
		direction[i] = 0;
		for (size_t j = 0; j < c->rows; j++)
			direction[i] += c->inverse[i][j] * column->of[j];
		if (direction[i] > 1e-12 && c->solution[i] / direction[i] < least) {
			least = c->solution[i] / direction[i];
			leaving = i;
		}
	}
	if (leaving == c->rows)
		return false;
	for (size_t j = 0; j < c->rows; j++)
		c->inverse[leaving][j] /= direction[leaving];
	for (size_t i = 0; i < c->rows; i++) {
		if (i == leaving)
			continue;
		for (size_t j = 0; j < c->rows; j++)
			c->inverse[i][j] -= direction[i] * c->inverse[leaving][j];
		c->solution[i] -= least * direction[i];
	}
	c->solution[leaving] = least;
	c->usd[leaving] = column->usd;
	return true;
}

static void solve(struct covering *c)
{
	struct column column;

	start(c);
	for (int round = 0; round < ROUNDS_MAX; round++) {
		find_dual(c);
		if (!find_entering(c, &column) || !enter(c, &column))
			break;
	}
}

/* ---- what is wanted, and what can be had ---- */

/* How many nodes the most demanding rule on hosts asks for, and which counter it is on. */
static double nodes_wanted(const struct planner *planner, uint32_t *counter)
{
	_cleanup_free_ double *of = calloc(planner->counters.count + 1, sizeof(*of));
	double most = 0;

	if (!of)
		abort();
	vec_for_each (item, &planner->items)
		vec_for_each (rule, &item->class->hosts) {
			if (item->failed || !rule->self || rule->kind == RULE_AFFINITY)
				continue;
			of[rule->counter] += (double)item->count /
					     (rule->kind == RULE_SPREAD ? rule->max_skew : 1);
			if (of[rule->counter] > most) {
				most = of[rule->counter];
				*counter = rule->counter;
			}
		}
	return most;
}

/* Those that the number of nodes follows from, if it bears on the price at all. */
static void mark_tight(struct planner *planner, uint32_t counter)
{
	planner->tight = planner->lambda[RESOURCES_MAX] > 0;
	vec_for_each (item, &planner->items) {
		item->tight = 0;
		vec_for_each (rule, &item->class->hosts)
			if (planner->tight && rule->self && rule->counter == counter &&
			    rule->kind != RULE_AFFINITY)
				item->tight =
					rule->kind == RULE_SPREAD ? (uint32_t)rule->max_skew : 1;
	}
}

static void add_columns(const struct planner *planner, struct covering *c, struct shape *shape)
{
	const struct pool_table *pool = &planner->pools[shape->pool];

	shape_front(planner, shape);
	for (size_t i = 0; i < shape->front_count; i++) {
		struct column *column = vec_push(&c->columns);
		const struct amounts *has = &pool->free[shape->front[i].type];

		column->usd = shape->front[i].usd;
		for (size_t r = 0; r < c->rows; r++)
			column->of[r] =
				(c->of[r] == RESOURCES_MAX ? 1
							   : fmax((double)has->of[c->of[r]], 0)) /
				c->wanted[r];
	}
}

/* Rows are the resources that are wanted and that some type has, and nodes where rules on hosts ask
 * for them. */
static void make_rows(struct planner *planner, struct covering *c, uint32_t *counter)
{
	double nodes;

	for (size_t r = 0; r < planner->resources; r++) {
		double sum = 0;

		vec_for_each (item, &planner->items)
			sum += item->failed ? 0 : (double)item->class->need.of[r] * item->count;
		if (sum <= 0 || !planner->sold[r])
			continue;
		c->of[c->rows] = r;
		c->wanted[c->rows++] = sum;
	}
	nodes = nodes_wanted(planner, counter);
	if (nodes > 0) {
		c->of[c->rows] = RESOURCES_MAX;
		c->wanted[c->rows++] = nodes;
	}
}

/* Resources of which there is more than enough are worth next to nothing, but not nothing: they
 * still tell a larger pod from a smaller one. */
#define LEAST_SHARE 0.01

static void take_prices(struct planner *planner, const struct covering *c)
{
	double total = 0;

	for (size_t i = 0; i < c->rows; i++)
		total += fmax(c->dual[i], 0);
	planner->bound = total;
	planner->priced = 0;
	for (size_t i = 0; i < c->rows; i++) {
		double dual = fmax(c->dual[i], 0);

		if (c->of[i] == RESOURCES_MAX) {
			planner->lambda[RESOURCES_MAX] =
				dual > 1e-6 * total ? dual / c->wanted[i] : 0;
			continue;
		}
		planner->lambda[c->of[i]] =
			fmax(dual, LEAST_SHARE * total / (double)c->rows) / c->wanted[i];
		planner->priced_at[planner->priced++] = c->of[i];
	}
}

/* What nothing sells is still told apart by size. */
static void price_unsold(struct planner *planner)
{
	for (size_t r = 0; r < planner->resources; r++) {
		double sum = 0;

		vec_for_each (item, &planner->items)
			sum += (double)item->class->need.of[r] * item->count;
		if (sum <= 0 || planner->lambda[r] > 0)
			continue;
		planner->lambda[r] = 1e-6 / sum;
		planner->priced_at[planner->priced++] = r;
	}
}

void price_resources(struct planner *planner)
{
	struct covering c = {0};
	uint32_t counter = UINT32_MAX;

	memset(planner->lambda, 0, sizeof(planner->lambda));
	make_rows(planner, &c, &counter);
	for (uint32_t p = 0; p < planner->pools_count; p++) {
		const struct pool_table *pool = &planner->pools[p];
		struct shape *all =
			shape_intern(planner, p, pool->zones, pool->capacity_types, pool->types);

		if (all)
			add_columns(planner, &c, all);
	}
	solve(&c);
	take_prices(planner, &c);
	price_unsold(planner);
	vec_free(&c.columns);
	mark_tight(planner, counter);
}

double value_of(const struct planner *planner, const struct amounts *amounts)
{
	double value = 0;

	for (size_t r = 0; r < planner->resources; r++)
		value += planner->lambda[r] * (double)amounts->of[r];
	return value;
}
