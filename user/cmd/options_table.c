/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

#define AT(field) offsetof(struct options, field)
#define PROBES (COMMAND_RUN | COMMAND_AGENT)
#define SERVES (COMMAND_RUN | COMMAND_AGENT | COMMAND_CORE)
#define ACTS (COMMAND_RUN | COMMAND_CORE)
#define DECIDES (ACTS | COMMAND_SIMULATE)
#define PAUSES (COMMAND_CORE_PAUSE | COMMAND_CORE_RESUME)
#define CLOUDS (ACTS | COMMAND_DOCTOR | PAUSES)
#define FETCHES (CLOUDS | COMMAND_PLAN)
#define WIRES (COMMAND_AGENT | COMMAND_CORE | COMMAND_LAB_SWARM)
#define EVERY (~0U)
#define HOUR_NS (3600 * NS_PER_S)

const struct option_spec option_specs[] = {
	{"config", "DIR", OPTION_TEXT, AT(config), DECIDES | COMMAND_DOCTOR | COMMAND_PLAN,
	 .help = "Read policies, pools and classes from all *.yaml and *.yml files of DIR. Without "
		 "it only signals are shown."},
	{"mode", "MODE", OPTION_CHOICE, AT(mode), ACTS, "observe", .choices = "observe|act",
	 .help = "observe decides and explains, and launches nothing; act launches and "
		 "terminates instances."},
	{"listen", "ADDRESS", OPTION_TEXT, AT(listen), SERVES | COMMAND_STATUS, "127.0.0.1:9910",
	 .help = "Serve /metrics, /healthz, /readyz and /v1/ there (\":9910\" is every address; "
		 "port 0 takes a free one); \"none\" serves nothing. forerun status asks there "
		 "unless --url says where."},
	{"state-dir", "DIR", OPTION_TEXT, AT(state_dir),
	 ACTS | PAUSES | COMMAND_EXPLAIN | COMMAND_DOCTOR | COMMAND_PLAN, "/var/lib/forerun",
	 .help = "Keep the journal of decisions, and what was fetched of instance types and "
		 "prices, in DIR."},
	{"interval", "DURATION", OPTION_DURATION, AT(interval_ns), PROBES, "100ms", 10 * NS_PER_MS,
	 10 * NS_PER_S,
	 .help = "Read all listeners this often; a queue that crosses its threshold is seen at "
		 "once all the same."},
	{"edge-depth", "N", OPTION_COUNT_NUMBER, AT(edge_depth), PROBES, "4", 1, 1 << 20,
	 .help = "Connections waiting in a listener that make an edge where no policy has a "
		 "target for it."},
	{"listeners-max", "N", OPTION_COUNT_NUMBER, AT(listeners_max), PROBES, "1024", 1, 1 << 16,
	 .help = "Size of the listener table; those beyond are counted as refused."},
	{"connections-max", "N", OPTION_COUNT_NUMBER, AT(connections_max), PROBES, "262144", 1,
	 1 << 24, .help = "Connections followed at once; those beyond are counted as refused."},
	{"rescan", "DURATION", OPTION_DURATION, AT(rescan_ns), PROBES, "30s", NS_PER_S, HOUR_NS,
	 .help = "Search this often for listeners and connections that were missed."},
	{"pin", "PATH", OPTION_TEXT, AT(pin), PROBES,
	 .help = "Pin programs and maps below this bpffs directory, so that a restart loses no "
		 "count. Without it everything goes with the process."},
	{"region", "REGION", OPTION_TEXT, AT(region), FETCHES,
	 .help = "AWS region. Without it: AWS_REGION, AWS_DEFAULT_REGION, the profile, the "
		 "instance's own."},
	{"cluster-version", "VERSION", OPTION_TEXT, AT(cluster_version), CLOUDS,
	 .help = "Take the EKS-optimised image of that Kubernetes version (\"1.34\") for "
		 "al2023@... aliases. Without it, and outside of a cluster: plain Amazon Linux."},
	{"cluster-name", "NAME", OPTION_TEXT, AT(cluster_name), CLOUDS,
	 .help = "Nodes join this cluster: user data of AL2023, AL2 and Bottlerocket gets what "
		 "they need for it, and their pool's labels and taints. Without it they join "
		 "none."},
	{"cluster-endpoint", "URL", OPTION_TEXT, AT(cluster_endpoint), CLOUDS,
	 .help = "Its API server, for nodes (`aws eks describe-cluster --name NAME` shows this and "
		 "the next three)."},
	{"cluster-ca", "BASE64", OPTION_TEXT, AT(cluster_ca), CLOUDS,
	 .help = "Its certificate authority, for nodes."},
	{"cluster-cidr", "CIDR", OPTION_TEXT, AT(cluster_cidr), CLOUDS,
	 .help = "The addresses of its services, for nodes (AL2023 needs them)."},
	{"cluster-dns", "ADDRESS", OPTION_TEXT, AT(cluster_dns), CLOUDS,
	 .help = "Its DNS server, for nodes whose class has no spec.kubelet.clusterDNS. Without it "
		 "each image finds it in its own way."},
	{"name", "NAME", OPTION_TEXT, AT(name), CLOUDS, "default",
	 .help = "Marks what this installation owns (tag forerun.dev/owner): two with different "
		 "names never touch each other's instances."},
	{"max-launches-per-minute", "N", OPTION_COUNT_NUMBER, AT(launches_per_minute), DECIDES,
	 "20", 0, 100000, .help = "Launch at most so many instances in any minute."},
	{"max-usd-per-hour", "USD", OPTION_AMOUNT, AT(usd_per_hour), DECIDES,
	 .help = "Launch nothing that would make all instances of forerun together cost more. "
		 "Without it there is no such limit."},
	{"max-usd-per-day", "USD", OPTION_AMOUNT, AT(usd_per_day), DECIDES,
	 .help = "Launch nothing that would make all instances of forerun together cost more "
		 "in 24 hours. Without it there is no such limit."},
	{"max-surge", "N", OPTION_COUNT_NUMBER, AT(surge), DECIDES, "100", 1, 10000,
	 .help = "Launch at most so many instances on one decision."},
	{"spot-to-spot", NULL, OPTION_SWITCH, AT(spot_to_spot), DECIDES,
	 .help = "Replace spot instances by cheaper spot ones too, out of at least 15 cheaper "
		 "types "
		 "(Karpenter's feature gate SpotToSpotConsolidation)."},
	{"visible-within", "DURATION", OPTION_DURATION, AT(visible_within_ns), ACTS, "5m", NS_PER_S,
	 24 * HOUR_NS,
	 .help = "Where a launch may have happened that is not known here, wait so long for its "
		 "instances to be seen before the next one."},
	{"host-replicas-max", "N", OPTION_COUNT_NUMBER, AT(host_replicas), COMMAND_CORE, "10", 1,
	 10000, .help = "The signals of one host ask for at most so many replicas."},
	{"freeze-silent-share", "SHARE", OPTION_SHARE, AT(silent_share), COMMAND_CORE, "0.2",
	 .help = "Scale nothing down while a larger share of a service's hosts is silent."},
	{"pause-file", "FILE", OPTION_TEXT, AT(pause_file), ACTS | PAUSES,
	 .help = "While FILE exists nothing is launched or terminated; its first line says why. "
		 "Default: pause in the state directory."},
	{"stale-after", "DURATION", OPTION_DURATION, AT(stale_ns), DECIDES, "3s", 100 * NS_PER_MS,
	 HOUR_NS, .help = "Leave out signals older than this."},
	{"lead-time", "DURATION", OPTION_DURATION, AT(lead_time_ns), DECIDES, "40s", 0, HOUR_NS,
	 .help = "Time from a launch to its capacity serving, for the forecast, until it was "
		 "learned from launches."},
	{"serving-after", "DURATION", OPTION_DURATION, AT(serving_after_ns), DECIDES, "20s", 0,
	 HOUR_NS, .help = "An instance that runs for so long counts as serving."},
	{"interruption-queue", "NAME", OPTION_TEXT, AT(interruption_queue), ACTS,
	 .help = "Read this SQS queue (its name or URL) for what EC2 says of instances: spot "
		 "interruptions, rebalance recommendations, scheduled changes, states. For "
		 "nodes whose agent is gone. Without it agents tell alone."},
	{"drain-most", "DURATION", OPTION_DURATION, AT(drain_most_ns), DECIDES, "5m", 0,
	 24 * HOUR_NS,
	 .help = "An instance that goes is terminated after so long, whatever is still open on "
		 "it, where its NodePool has no terminationGracePeriod."},
	{"drain-blind", "DURATION", OPTION_DURATION, AT(drain_blind_ns), DECIDES, "30s", 0, HOUR_NS,
	 .help = "And after so long where neither its agent nor a target group tells what is "
		 "open."},
	{"check", NULL, OPTION_SWITCH, AT(check), ACTS,
	 .help = "Check everything that can be checked without launching (documents, "
		 "references, credentials, images, subnets), print each problem with its place, "
		 "and exit: 0 clean, 1 problems."},
	{"expand-env", NULL, OPTION_SWITCH, AT(expand_env), DECIDES | COMMAND_DOCTOR | COMMAND_PLAN,
	 .help = "Replace ${VAR} in the documents by the environment's value. Without it a ${VAR} "
		 "is an error."},
	{"record", "FILE", OPTION_TEXT, AT(record), PROBES,
	 .help = "Write every sample to FILE, for forerun simulate --replay."},
	{"format", "FORMAT", OPTION_CHOICE, AT(format), SERVES, "auto",
	 .choices = "auto|table|json|none",
	 .help = "table is drawn in place; json is one object a line, at every decision and once "
		 "a second; none prints nothing; auto is table on a terminal, else json."},
	{"duration", "DURATION", OPTION_DURATION, AT(duration_ns),
	 SERVES | COMMAND_SIMULATE | COMMAND_LAB_SWARM, NULL, NS_PER_MS, 365 * 24 * HOUR_NS,
	 .help = "Stop after this long. Without it it goes on until it is told to stop, and "
		 "simulate generates 120s."},
	{"log-level", "LEVEL", OPTION_CHOICE, AT(log_level), EVERY, "info",
	 .choices = "error|warning|info|debug", .help = "Write log lines down to this level."},
	{"core", "HOST:PORT", OPTION_LIST, AT(core), COMMAND_AGENT | COMMAND_LAB_SWARM,
	 .help = "Report to this core; to several with a comma between (port 9911 where none is "
		 "given)."},
	{"service", "NAME", OPTION_LIST, AT(service), COMMAND_AGENT | COMMAND_LAB_SWARM,
	 .help = "This host runs these services, with a comma between. Without it: the "
		 "instance's tag forerun.dev/service."},
	{"host", "NAME", OPTION_TEXT, AT(host), COMMAND_AGENT | COMMAND_LAB_SWARM,
	 .help = "Report under this name, which a certificate must hold. Default: the host's "
		 "name; of simulated agents the first part, \"swarm\"."},
	{"report-every", "DURATION", OPTION_DURATION, AT(report_ns), COMMAND_AGENT, "1s",
	 100 * NS_PER_MS, 60 * NS_PER_S,
	 .help = "Report to the cores this often, more often than their --stale-after; a queue "
		 "that crosses its threshold is reported at once."},
	{"listen-agents", "ADDRESS", OPTION_TEXT, AT(listen_agents), COMMAND_CORE, ":9911",
	 .help = "Take connections of agents there (port 0 takes a free one)."},
	{"ca", "FILE", OPTION_TEXT, AT(ca), WIRES,
	 .help = "Certificates (PEM) of the authority that agents and cores are known by."},
	{"cert", "FILE", OPTION_TEXT, AT(certificate), WIRES,
	 .help = "The own certificate (PEM), with --key."},
	{"key", "FILE", OPTION_TEXT, AT(key), WIRES, .help = "The private key (PEM) of --cert."},
	{"shared-key", "FILE", OPTION_TEXT, AT(shared_key), WIRES,
	 .help = "The key that all agents and cores of a small site share, instead of "
		 "certificates."},
	{"identity-certificates", "FILE", OPTION_TEXT, AT(identity_certificates), COMMAND_CORE,
	 .help = "AWS' certificates (PEM) for instance identity documents: then an agent is "
		 "taken only with the signed document of its instance."},
	{"lock-table", "TABLE", OPTION_TEXT, AT(lock_table), COMMAND_CORE | PAUSES,
	 .help = "Of several cores only the one that holds the lease in this DynamoDB table "
		 "acts. Without it this core is the only one."},
	{"lease", "DURATION", OPTION_DURATION, AT(lease_ns), COMMAND_CORE, "5s", NS_PER_S,
	 60 * NS_PER_S, .help = "After so long without a sign of the leader another core leads."},
	{"dir", "DIR", OPTION_TEXT, AT(dir), COMMAND_CORE_INIT, "/etc/forerun/keys",
	 .only_flag = true, .help = "Put keys and certificates there."},
	{"mtls", NULL, OPTION_SWITCH, AT(mtls), COMMAND_CORE_INIT, .only_flag = true,
	 .help = "Make an authority, or take the one in DIR, and certificates."},
	{"core-name", "NAME", OPTION_LIST, AT(core_name), COMMAND_CORE_INIT, .only_flag = true,
	 .help = "Make the cores' certificate for these names or addresses, by which agents "
		 "reach them."},
	{"agent", "NAME", OPTION_LIST, AT(agent), COMMAND_CORE_INIT, .only_flag = true,
	 .help = "Make a certificate for the agent of the host with this name; may be given "
		 "again, also later."},
	{"days", "N", OPTION_COUNT_NUMBER, AT(days), COMMAND_CORE_INIT, "365", 1, 3650,
	 .only_flag = true, .help = "Certificates are valid for so many days."},
	{"shared-key", NULL, OPTION_SWITCH, AT(make_shared_key), COMMAND_CORE_INIT,
	 .only_flag = true, .help = "Make one key for all agents and cores of a small site."},
	{"reason", "TEXT", OPTION_TEXT, AT(reason), COMMAND_CORE_PAUSE, .only_flag = true,
	 .help = "Why, for those who look at it later."},
	{"agents", "N", OPTION_COUNT_NUMBER, AT(agents), COMMAND_LAB_SWARM, "10", 0, 100000,
	 .help = "Simulate so many agents from the start."},
	{"listeners", "N", OPTION_COUNT_NUMBER, AT(listeners), COMMAND_LAB_SWARM, "20", 1, 16384,
	 .help = "Listeners of each simulated agent."},
	{"rate", "N", OPTION_NUMBER, AT(rate), COMMAND_LAB_SWARM, "1",
	 .help = "Frames per second of each simulated agent."},
	{"edges", "N", OPTION_NUMBER, AT(edges), COMMAND_LAB_SWARM, "0",
	 .help = "Edges per second of each simulated agent."},
	{"depth", "N", OPTION_COUNT_NUMBER, AT(depth), COMMAND_LAB_SWARM, "0", 0, 1 << 20,
	 .help = "Connections waiting in the first listener of each simulated agent."},
	{"port", "N", OPTION_COUNT_NUMBER, AT(port), COMMAND_LAB_SWARM, "80", 1, 65535,
	 .help = "Port of the first listener; the others have the next ones."},
	{"instance-id", "ID", OPTION_TEXT, AT(instance_id), COMMAND_LAB_SWARM,
	 .help = "Instance id of the first simulated agent; the others count on from it."},
	{"ca-key", "FILE", OPTION_TEXT, AT(ca_key), COMMAND_LAB_SWARM,
	 .help = "The private key of --ca: certificates of simulated agents are issued with it."},
	{"last", NULL, OPTION_SWITCH, AT(last), COMMAND_EXPLAIN,
	 .help = "Explain the newest decision."},
	{"json", NULL, OPTION_SWITCH, AT(json), COMMAND_EXPLAIN | COMMAND_SIMULATE | COMMAND_STATUS,
	 .help = "Print JSON instead of text."},
	{"replay", "FILE", OPTION_TEXT, AT(replay), COMMAND_SIMULATE,
	 .help = "Replay a recording of forerun run --record."},
	{"shape", "SHAPE", OPTION_TEXT, AT(shape), COMMAND_SIMULATE,
	 .help = "Generate a load, such as step:at=10s,from=50,to=400,capacity=100 (requests/s "
		 "arriving, and what one replica serves)."},
	{"boot", "DURATION", OPTION_DURATION, AT(boot_ns), COMMAND_SIMULATE, "30s", 0, HOUR_NS,
	 .help = "Simulated time from the call to a running instance."},
	{"serve", "DURATION", OPTION_DURATION, AT(serve_ns), COMMAND_SIMULATE, "10s", 0, HOUR_NS,
	 .help = "Simulated time from running to serving."},
	{"price", "USD", OPTION_AMOUNT, AT(price), COMMAND_SIMULATE,
	 .help = "What an hour of every simulated instance costs; without it as the shipped "
		 "prices of us-east-1 say."},
	{"pods", "FILE", OPTION_LIST, AT(pods), COMMAND_PLAN,
	 .help = "Plan for the pods and workloads of FILE (YAML or JSON as kubectl prints it; - is "
		 "standard input); may be given again. Without it: for the replicas of the "
		 "policies "
		 "in --config, by their annotation forerun.dev/replica."},
	{"nodes", "FILE", OPTION_TEXT, AT(nodes), COMMAND_PLAN,
	 .help = "Use the room of the nodes in FILE first: a List of Nodes, and of Pods that run "
		 "on them, as kubectl get nodes,pods -A -o json prints it."},
	{"catalog", "FILE", OPTION_TEXT, AT(catalog), COMMAND_PLAN,
	 .help = "Take instance types and prices from FILE instead of what was fetched last, or "
		 "what forerun ships."},
	{"refresh", NULL, OPTION_SWITCH, AT(fetch), COMMAND_PLAN, .only_flag = true,
	 .help = "Fetch instance types and prices from AWS first."},
	{"output", "FORMAT", OPTION_CHOICE, AT(output), COMMAND_PLAN, "table",
	 .choices = "table|json", .help = "Print a table to read, or one JSON object."},
	{"options-file", "FILE", OPTION_TEXT, AT(options_file), EVERY, "/etc/forerun/forerun.yaml",
	 .help = "Read options from FILE, where each key is an option's name without the dashes."},
	{"url", "URL", OPTION_TEXT, AT(url), COMMAND_TOP | COMMAND_STATUS, "http://127.0.0.1:9910",
	 .help = "Ask the forerun that serves there (its --listen)."},
	{"refresh", "DURATION", OPTION_DURATION, AT(refresh_ns), COMMAND_TOP, "1s", 100 * NS_PER_MS,
	 60 * NS_PER_S, .help = "Ask and draw this often."},
	{"help", NULL, OPTION_SWITCH, AT(help), EVERY, .only_flag = true,
	 .help = "Show this help."},
};

const size_t option_specs_count = ARRAY_SIZE(option_specs);

_Static_assert(ARRAY_SIZE(option_specs) <= ARRAY_SIZE(((struct options *)0)->sources),
	       "each option needs room for its source");
