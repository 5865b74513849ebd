/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "place/place.h"

#define ID "3f2a9c1b7d4e5f60718293a4b5c6d7e8f90123456789abcdef0123456789abcd"
#define ID2 "aaaaaaaaaaaabbbbbbbbbbbbccccccccccccddddddddddddeeeeeeeeeeeeffff"
#define POD "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
#define POD_ "0a1b2c3d_4e5f_6071_8293_a4b5c6d7e8f9"
#define STATIC_POD "5f0d3b1f6b7c8d9e0a1b2c3d4e5f6071"
#define KUBE "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_ ".slice/"

struct path_case {
	const char *path;
	enum owner_kind kind;
	const char *name, *unit, *container_id, *pod_uid;
};

static const struct path_case cases[] = {
	{"/", OWNER_PROCESS, "", "", "", ""},
	{"", OWNER_PROCESS, "", "", "", ""},
	{"/mine/deeper", OWNER_PROCESS, "", "", "", ""},
	/* systemd */
	{"/system.slice/nginx.service", OWNER_UNIT, "nginx.service", "nginx.service", "", ""},
	{"/system.slice/nginx.service/worker/1", OWNER_UNIT, "nginx.service", "nginx.service", "",
	 ""},
	{"/system.slice/system-postgresql.slice/postgresql@15-main.service", OWNER_UNIT,
	 "postgresql@15-main.service", "postgresql@15-main.service", "", ""},
	{"/user.slice/user-1000.slice/session-3.scope", OWNER_UNIT, "session-3.scope",
	 "session-3.scope", "", ""},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/web.service/x", OWNER_UNIT,
	 "web.service", "web.service", "", ""},
	{"/user.slice/user-1000.slice/user@1000.service/init.scope", OWNER_UNIT, "init.scope",
	 "init.scope", "", ""},
	{"/user.slice/user-1000.slice/user@1000.service", OWNER_UNIT, "user@1000.service",
	 "user@1000.service", "", ""},
	{"/user.slice", OWNER_UNIT, "user.slice", "user.slice", "", ""},
	{"/system.slice/_cpu.service", OWNER_UNIT, "cpu.service", "cpu.service", "", ""},
	{"/machine.slice/systemd-nspawn@box.service/payload/system.slice/nginx.service", OWNER_UNIT,
	 "systemd-nspawn@box.service", "systemd-nspawn@box.service", "", ""},
	/* Docker */
	{"/system.slice/docker-" ID ".scope", OWNER_CONTAINER, "3f2a9c1b7d4e", "", ID, ""},
	{"/docker/" ID, OWNER_CONTAINER, "3f2a9c1b7d4e", "", ID, ""},
	{"/docker/" ID "/system.slice/nginx.service", OWNER_CONTAINER, "3f2a9c1b7d4e", "", ID, ""},
	{"/docker/" ID "/docker/" ID2, OWNER_CONTAINER, "aaaaaaaaaaaa", "", ID2, ""},
	{"/system.slice/docker.service", OWNER_UNIT, "docker.service", "docker.service", "", ""},
	/* Podman */
	{"/machine.slice/libpod-" ID ".scope/container", OWNER_CONTAINER, "3f2a9c1b7d4e", "", ID,
	 ""},
	{"/system.slice/web.service/libpod-payload-" ID, OWNER_CONTAINER, "3f2a9c1b7d4e",
	 "web.service", ID, ""},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope",
	 OWNER_CONTAINER, "3f2a9c1b7d4e", "user@1000.service", ID, ""},
	{"/machine.slice/libpod-conmon-" ID ".scope", OWNER_UNIT, "libpod-conmon-" ID ".",
	 "libpod-conmon-" ID ".", "", ""}, /* cut */
	{"/machine.slice/machine-libpod_pod_" ID2 ".slice/libpod-" ID ".scope", OWNER_CONTAINER,
	 "3f2a9c1b7d4e", "", ID, ""},
	/* Kubernetes, systemd driver */
	{KUBE "cri-containerd-" ID ".scope", OWNER_POD, POD, "", ID, POD},
	{KUBE "crio-" ID ".scope", OWNER_POD, POD, "", ID, POD},
	{KUBE "crio-" ID ".scope/container", OWNER_POD, POD, "", ID, POD},
	{KUBE "crio-conmon-" ID ".scope", OWNER_POD, POD, "", "", POD},
	{KUBE "docker-" ID ".scope", OWNER_POD, POD, "", ID, POD},
	{KUBE, OWNER_POD, POD, "", "", POD},
	{"/kubepods.slice/kubepods-pod" POD_ ".slice/cri-containerd-" ID ".scope", OWNER_POD, POD,
	 "", ID, POD},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" STATIC_POD
	 ".slice/cri-containerd-" ID ".scope",
	 OWNER_POD, STATIC_POD, "", ID, STATIC_POD},
	/* Kubernetes, cgroupfs driver */
	{"/kubepods/burstable/pod" POD "/" ID, OWNER_POD, POD, "", ID, POD},
	{"/kubepods/pod" POD "/" ID, OWNER_POD, POD, "", ID, POD},
	{"/kubepods/besteffort/pod" POD "/crio-" ID, OWNER_POD, POD, "", ID, POD},
	/* containerd told of systemd paths while it runs with cgroupfs */
	{"/system.slice/containerd.service/kubepods-burstable-pod" POD_ ".slice:cri-containerd:" ID,
	 OWNER_POD, POD, "containerd.service", ID, POD},
	/* a node in a container (kind) */
	{"/docker/" ID2 "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
	 "kubelet-kubepods-burstable-pod" POD_ ".slice/cri-containerd-" ID ".scope",
	 OWNER_POD, POD, "", ID, POD},
	/* ECS on EC2 */
	{"/ecs/0123456789abcdef0123456789abcdef/" ID, OWNER_CONTAINER, "3f2a9c1b7d4e", "", ID, ""},
	/* nearly */
	{"/docker/3f2a9c1b7d4e", OWNER_PROCESS, "", "", "", ""},
	{"/docker/" ID "0", OWNER_PROCESS, "", "", "", ""},
	{"/x/pod0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8fZ", OWNER_PROCESS, "", "", "", ""},
	{"/x/tripod" POD, OWNER_PROCESS, "", "", "", ""},
	{"/.service/.scope", OWNER_PROCESS, "", "", "", ""},
};

static void test_every_runtime_and_driver_is_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct path_case *c = &cases[i];
		struct owner owner;

		owner_from_cgroup_path(c->path, &owner);
		if (owner.kind != c->kind)
			fail_msg("%s: %s", c->path, owner_kind_text(owner.kind));
		assert_string_equal(owner.name, c->name);
		assert_string_equal(owner.unit, c->unit);
		assert_string_equal(owner.container_id, c->container_id);
		assert_string_equal(owner.pod_uid, c->pod_uid);
		if (strlen(c->path) < sizeof(owner.cgroup_path))
			assert_string_equal(owner.cgroup_path, c->path);
	}
}

static void test_long_paths_keep_their_end(void **state)
{
	char path[2000];
	struct owner owner;

	(void)state;
	memset(path, 'a', sizeof(path));
	for (size_t i = 0; i < sizeof(path); i += 100)
		path[i] = '/';
	strcpy(path + 1900, "/the-end.service");
	owner_from_cgroup_path(path, &owner);
	assert_int_equal(strlen(owner.cgroup_path), sizeof(owner.cgroup_path) - 1);
	assert_memory_equal(owner.cgroup_path, "...", 3);
	assert_true(str_ends(owner.cgroup_path, "/the-end.service"));
	assert_string_equal(owner.name, "the-end.service");
}

static void test_long_names_are_cut(void **state)
{
	char path[300] = "/system.slice/";
	struct owner owner;

	(void)state;
	memset(path + strlen(path), 'u', 200);
	strcat(path, ".service");
	owner_from_cgroup_path(path, &owner);
	assert_int_equal(owner.kind, OWNER_UNIT);
	assert_int_equal(strlen(owner.name), sizeof(owner.name) - 1);
}

static void test_bytes_that_cannot_be_printed_are_replaced(void **state)
{
	struct owner owner;

	(void)state;
	owner_from_cgroup_path("/system.slice/a\x1b[31m\xff\x7f\x01.service", &owner);
	assert_string_equal(owner.name, "a?[31m???.service");
	assert_string_equal(owner.cgroup_path, "/system.slice/a?[31m???.service");
}

static void test_random_paths_do_no_harm(void **state)
{
	static const char *const pieces[] = {
		"/",	"//", "kubepods", ".slice", ".scope", "pod",	"-",	    ":",
		ID,	POD,  POD_,	  "docker", "crio-",  "conmon", ".service", "user@1",
		"\xff", "_",  ".slice:",  "a",	    "..",     ".",	"libpod-",  STATIC_POD,
	};
	uint64_t seed = 88172645463325252ULL;
	char path[4096];

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct owner owner;
		size_t count;

		path[0] = '\0';
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		count = (seed >> 33) % 30;
		for (size_t i = 0; i < count; i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			strcat(path, pieces[(seed >> 33) % ARRAY_SIZE(pieces)]);
		}
		owner_from_cgroup_path(path, &owner);
		assert_true(owner.kind != OWNER_UNKNOWN);
		assert_int_equal(owner.kind == OWNER_POD, owner.pod_uid[0] != '\0');
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_runtime_and_driver_is_understood),
		cmocka_unit_test(test_long_paths_keep_their_end),
		cmocka_unit_test(test_long_names_are_cut),
		cmocka_unit_test(test_bytes_that_cannot_be_printed_are_replaced),
		cmocka_unit_test(test_random_paths_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
