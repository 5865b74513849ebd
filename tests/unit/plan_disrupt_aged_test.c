/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that have drifted or are too old: what is put in their place, and what stands in the way.
 */
#include "plan_disrupt.h"

#define NEVER "consolidateAfter: Never, budgets: [{nodes: \"100%\"}]"
#define NEVER_ONE "consolidateAfter: Never, budgets: [{nodes: \"1\"}]"
#define BIG .cpu = "1500m"

static const struct scenario DRIFT[] = {
	{.name = "what drifted is replaced by the cheapest that will do",
	 .pools = {{"a", NEVER}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60}},
	 .pods = {{"a1", BIG}},
	 .commands = "drifted a1 => a:c6a.large/on-demand"},
	{.name = "by a dearer one where it must",
	 .pools = {{"a", NEVER,
		    "{key: node.kubernetes.io/instance-type, operator: In, values: "
		    "[m5.2xlarge]}, {key: karpenter.sh/capacity-type, operator: In, "
		    "values: [on-demand]}"}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60}},
	 .pods = {{"a1"}},
	 .commands = "drifted a1 => a:m5.2xlarge/on-demand"},
	{.name = "nothing is bought where its pods have room elsewhere",
	 .pools = {{"a", NEVER}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60}, {"b1", "m5.xlarge"}},
	 .pods = {{"a1"}, {"b1"}},
	 .commands = "drifted a1"},
	{.name = "the one that drifted first goes first",
	 .pools = {{"a", NEVER_ONE}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60}, {"b1", "m5.large", .drifted_s = 90}},
	 .pods = {{"a1", BIG}, {"b1", BIG}},
	 .commands = "drifted b1 => a:c6a.large/on-demand",
	 .held = "a1 drifted budget; a1 underutilized policy"},
	{.name = "an empty one goes before",
	 .pools = {{"a", NEVER_ONE}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60}, {"b1", "m5.large", .drifted_s = 90}},
	 .pods = {{"b1", BIG}},
	 .commands = "drifted a1"},
	{.name = "all of them within the budget",
	 .pools = {{"a", "consolidateAfter: Never, budgets: [{nodes: \"2\"}]"}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 61},
		   {"b1", "m5.large", .drifted_s = 63},
		   {"c1", "m5.large", .drifted_s = 62}},
	 .pods = {{"a1", BIG}, {"b1", BIG}, {"c1", BIG}},
	 .commands = "drifted b1 => a:c6a.large/on-demand; drifted c1 => a:c6a.large/on-demand"},
	{.name = "a pod without a place holds it",
	 .pools = {{"a", NEVER}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60}},
	 .pods = {{"a1", .spec = "nodeSelector: {made-by: hand}"}},
	 .held = "a1 drifted no-place; a1 underutilized policy"},
	{.name = "what runs on it may become several nodes",
	 .pools = {{"a", NEVER,
		    "{key: karpenter.k8s.aws/instance-cpu, operator: Lt, values: "
		    "[\"3\"]}, {key: karpenter.sh/capacity-type, operator: In, "
		    "values: [on-demand]}"}},
	 .nodes = {{"a1", "m5.xlarge", .drifted_s = 60}},
	 .pods = {{"a1", BIG}, {"a1", BIG}},
	 .commands = "drifted a1 => a:c6a.large/on-demand => a:c6a.large/on-demand"},
	{.name = "do-not-disrupt of a pod holds it",
	 .pools = {{"a", NEVER}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60, .pods_blocked = "pod default/p0"}},
	 .pods = {{"a1"}},
	 .held = "a1 drifted do-not-disrupt; a1 underutilized do-not-disrupt"},
	{.name = "but not for ever where the pool has a terminationGracePeriod",
	 .pools = {{"a", NEVER, .template_ = "terminationGracePeriod: 1h"}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60, .pods_blocked = "pod default/p0"}},
	 .pods = {{"a1", BIG}},
	 .commands = "drifted a1 => a:c6a.large/on-demand"},
	{.name = "do-not-disrupt of the node holds it even then",
	 .pools = {{"a", NEVER, .template_ = "terminationGracePeriod: 1h"}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60, .blocked = "the node"}},
	 .pods = {{"a1"}},
	 .held = "a1 drifted do-not-disrupt; a1 underutilized do-not-disrupt"},
	{.name = "a budget of drift",
	 .pools = {{"a", "consolidateAfter: 0s, budgets: [{nodes: \"0\", reasons: [Drifted]}, "
			 "{nodes: \"100%\"}]"}},
	 .nodes = {{"a1", "m5.2xlarge", .drifted_s = 60}},
	 .pods = {{"a1", BIG}},
	 .commands = "underutilized a1 => a:c6a.large/on-demand",
	 .held = "a1 drifted budget"},
	{.name = "the zone of a volume is kept",
	 .pools = {{"a", NEVER}},
	 .nodes = {{"a1", "m5.large", "us-east-1b", .drifted_s = 60}, {"b1", "m5.xlarge"}},
	 .pods = {{"a1", .cpu = "500m",
		   .spec = "nodeSelector: {topology.kubernetes.io/zone: us-east-1b}"}},
	 .commands = "drifted a1 => a:c6a.large/on-demand"},
	{.name = "pods of nodes that leave have the room first",
	 .pools = {{"a", NEVER}},
	 .nodes = {{"a1", "m5.large", .leaving = true},
		   {"b1", "m5.large", .drifted_s = 60},
		   {"c1", "m5.xlarge"}},
	 .pods = {{"a1", BIG}, {"b1", BIG}, {"c1", .cpu = "1500m"}},
	 .commands = "drifted b1 => a:c6a.large/on-demand"},
};

static const struct scenario STATIC[] = {
	{.name = "a static pool's are replaced one for one, whatever runs on them",
	 .pools = {{"a", NEVER, .spec = "replicas: 2"}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60}, {"b1", "m5.large"}},
	 .commands = "drifted a1 => a"},
	{.name = "not while it shrinks",
	 .pools = {{"a", NEVER, .spec = "replicas: 1"}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60}, {"b1", "m5.large"}},
	 .held = "a1 drifted limit"},
	{.name = "not beyond limits.nodes",
	 .pools = {{"a", NEVER, .spec = "replicas: 3, limits: {nodes: 4}"}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60},
		   {"b1", "m5.large", .drifted_s = 70},
		   {"c1", "m5.large"}},
	 .commands = "drifted b1 => a",
	 .held = "a1 drifted limit"},
	{.name = "before those that are not static",
	 .pools = {{"a", NEVER}, {"b", NEVER, .spec = "replicas: 1"}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 90},
		   {"b1", "m5.large", .pool = "b", .drifted_s = 60}},
	 .pods = {{"a1", BIG}},
	 .commands = "drifted b1 => b; drifted a1 => a:c6a.large/on-demand"},
};

static const struct scenario EXPIRED[] = {
	{.name = "too old is replaced",
	 .pools = {{"a", NEVER, .template_ = "expireAfter: 24h"}},
	 .nodes = {{"a1", "m5.large", .age_s = 86400}, {"b1", "m5.large", .age_s = 86399}},
	 .pods = {{"a1", BIG}, {"b1", BIG}},
	 .commands = "expired a1 => a:c6a.large/on-demand"},
	{.name = "expireAfter Never",
	 .pools = {{"a", NEVER, .template_ = "expireAfter: Never"}},
	 .nodes = {{"a1", "m5.large", .age_s = 100 * 86400}},
	 .pods = {{"a1", BIG}},
	 .held = "a1 underutilized policy"},
	{.name = "Karpenter's default is thirty days",
	 .pools = {{"a", NEVER}},
	 .nodes = {{"a1", "m5.large", .age_s = 30 * 86400},
		   {"b1", "m5.large", .age_s = 29 * 86400}},
	 .pods = {{"a1", BIG}, {"b1", BIG}},
	 .commands = "expired a1 => a:c6a.large/on-demand"},
	{.name = "the oldest first, within the budget",
	 .pools = {{"a", NEVER_ONE, .template_ = "expireAfter: 1h"}},
	 .nodes = {{"a1", "m5.large", .age_s = 4000}, {"b1", "m5.large", .age_s = 5000}},
	 .pods = {{"a1", BIG}, {"b1", BIG}},
	 .commands = "expired b1 => a:c6a.large/on-demand"},
	{.name = "a budget of named reasons is not for expiry",
	 .pools = {{"a",
		    "consolidateAfter: Never, budgets: [{nodes: \"0\", reasons: [Drifted, Empty]}]",
		    .template_ = "expireAfter: 1h"}},
	 .nodes = {{"a1", "m5.large", .drifted_s = 60}},
	 .pods = {{"a1", BIG}},
	 .commands = "expired a1 => a:c6a.large/on-demand"},
	{.name = "before drift, however long it has drifted",
	 .pools = {{"a", NEVER_ONE, .template_ = "expireAfter: 24h"}},
	 .nodes = {{"a1", "m5.large", .age_s = 80000, .drifted_s = 70000}, {"b1", "m5.large"}},
	 .pods = {{"a1", BIG}, {"b1", BIG}},
	 .commands = "expired b1 => a:c6a.large/on-demand"},
	{.name = "a static pool's too",
	 .pools = {{"a", NEVER, .spec = "replicas: 1", .template_ = "expireAfter: 1h"}},
	 .nodes = {{"a1", "m5.large"}},
	 .commands = "expired a1 => a"},
};

static void what_drifted_is_replaced(void **state)
{
	(void)state;
	run_scenarios(DRIFT, ARRAY_SIZE(DRIFT));
}

static void static_pools_keep_their_number(void **state)
{
	(void)state;
	run_scenarios(STATIC, ARRAY_SIZE(STATIC));
}

static void what_is_too_old_is_replaced(void **state)
{
	(void)state;
	run_scenarios(EXPIRED, ARRAY_SIZE(EXPIRED));
}

/* ---- drift ---- */

struct drift_case {
	struct disrupt_launched launched;
	const char *why; /* NULL: it has not drifted */
};

static void drift_is_what_karpenter_calls_so(void **state)
{
	static const char *const images[] = {"ami-2", "ami-3"}, *const subnets[] = {"subnet-1"};
	const struct offering *fits = offering_of("m5.large", "us-east-1a", CAPACITY_ON_DEMAND);
	const struct offering *spot = offering_of("m5.large", "us-east-1a", CAPACITY_SPOT);
	const struct drift_case cases[] = {
		{{"c", "p", "ami-3", "subnet-1", 7, fits}, NULL},
		{{0}, NULL},
		{{"", "", "", "", 0, NULL}, NULL},
		{{"c", "p", "ami-1", "subnet-1", 7, fits}, "image ami-1, today it would be ami-2"},
		{{"c", "p", "ami-2", "subnet-9", 7, fits},
		 "subnet subnet-9 is none of its class any more"},
		{{"c", "p", "ami-2", "subnet-1", 8, fits},
		 "its security groups are not those of its class"},
		{{"x", "p", "ami-1", "subnet-9", 8, fits},
		 "its EC2NodeClass has changed since it was launched"},
		{{"x", "x", "ami-1", "subnet-1", 8, spot},
		 "NodePool a has changed since it was launched"},
		{{"c", "p", "ami-2", "subnet-1", 7, spot},
		 "it does not meet the requirement on karpenter.sh/capacity-type any more"},
	};
	struct scenario empty = {.name = "drift"};
	struct case_world world;

	(void)state;
	case_new(&world, &empty);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct disrupt_wanted wanted = {world.pools[0], "c", "p", images,
						      subnets,	      2,   1,	7};
		char why[DISRUPT_TEXT_SIZE];
		bool drifted = disrupt_drifted(&cases[i].launched, &wanted, why);

		assert_int_equal(drifted, cases[i].why != NULL);
		if (drifted)
			assert_string_equal(why, cases[i].why);
	}
	case_free(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_drifted_is_replaced),
		cmocka_unit_test(static_pools_keep_their_number),
		cmocka_unit_test(what_is_too_old_is_replaced),
		cmocka_unit_test(drift_is_what_karpenter_calls_so),
	};

	return cmocka_run_group_tests(tests, catalog_setup, catalog_teardown);
}
