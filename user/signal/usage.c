/* SPDX-License-Identifier: Apache-2.0 */
/* From the owner's counters to cores and shares of time. */
#include "signal/private.h"

/* Growth per nanosecond; NaN when it is not known in both readings or the counter started anew. */
static double growth(bool known, uint64_t now, uint64_t before, uint64_t ns)
{
	if (!known || !ns || now < before)
		return NAN;
	return (double)(now - before) / (double)ns;
}

static double share(double ratio)
{
	return ratio > 1 ? 1 : ratio;
}

static void cpu_update(const struct signal_config *config, struct listener *l,
		       const struct usage *now, uint64_t ns)
{
	const struct usage *before = &l->usage;
	double limit = now->cpu_limit_known ? now->cpu_limit_cores : config->host_cpus;

	l->cpu_cores = growth(now->cpu_known && before->cpu_known, now->cpu_ns, before->cpu_ns, ns);
	l->cpu_utilization = limit > 0 ? l->cpu_cores / limit : NAN;
	/* The kernel adds up the CPUs that were held: several make more than the time there was. */
	l->throttled = share(growth(now->throttle_known && before->throttle_known,
				    now->throttled_ns, before->throttled_ns, ns));
}

static void pressure_update(struct listener *l, const struct usage *now, uint64_t ns)
{
	const struct usage *before = &l->usage;
	bool known = now->psi_known && before->psi_known;

	l->cpu_pressure = share(growth(known, now->psi_cpu_some_ns, before->psi_cpu_some_ns, ns));
	l->memory_pressure =
		share(growth(known, now->psi_memory_some_ns, before->psi_memory_some_ns, ns));
}

static uint64_t since(uint64_t now_ns, uint64_t before_ns)
{
	return before_ns && now_ns > before_ns ? now_ns - before_ns : 0;
}

void usage_update(const struct signal_config *config, struct listener *l, const struct usage *usage,
		  bool rebase, uint64_t time_ns)
{
	struct usage now = *usage;

	/* Who does not say when the figures were read means now. */
	if (!now.time_ns && (now.cpu_known || now.psi_known))
		now.time_ns = time_ns;
	if (!now.psi_time_ns)
		now.psi_time_ns = now.time_ns;
	if (rebase)
		l->usage = (struct usage){.time_ns = UINT64_MAX, .psi_time_ns = UINT64_MAX};
	if (now.time_ns != l->usage.time_ns)
		cpu_update(config, l, &now, since(now.time_ns, l->usage.time_ns));
	if (now.psi_time_ns != l->usage.psi_time_ns)
		pressure_update(l, &now, since(now.psi_time_ns, l->usage.psi_time_ns));
	l->usage = now;
}
