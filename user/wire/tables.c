/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/tables.h"

#include "wire/message.h"

#define SIZE_OF(type, member) sizeof(((type *)0)->member)
#define NUMBER(tag_, type_, struct_, member)                                        \
	{                                                                           \
		.tag = (tag_), .type = (type_), .offset = offsetof(struct_, member) \
	}
#define SIZED(tag_, type_, struct_, member)                                          \
	{                                                                            \
		.tag = (tag_), .type = (type_), .offset = offsetof(struct_, member), \
		.limit = SIZE_OF(struct_, member)                                    \
	}
#define ENUM(tag_, struct_, member, count)                                              \
	{                                                                               \
		.tag = (tag_), .type = FIELD_ENUM, .offset = offsetof(struct_, member), \
		.limit = (count)                                                        \
	}
#define RECORD(tag_, struct_, member, table_)                                             \
	{                                                                                 \
		.tag = (tag_), .type = FIELD_RECORD, .offset = offsetof(struct_, member), \
		.table = &(table_)                                                        \
	}
#define TABLE(name_, fields_)                                                      \
	{                                                                          \
		.name = (name_), .fields = (fields_), .count = ARRAY_SIZE(fields_) \
	}

static const struct field usage_fields[] = {
	NUMBER(1, FIELD_U64, struct usage, time_ns),
	NUMBER(2, FIELD_U64, struct usage, psi_time_ns),
	NUMBER(3, FIELD_BOOL, struct usage, cpu_known),
	NUMBER(4, FIELD_BOOL, struct usage, throttle_known),
	NUMBER(5, FIELD_BOOL, struct usage, cpu_limit_known),
	NUMBER(6, FIELD_BOOL, struct usage, psi_known),
	NUMBER(7, FIELD_U64, struct usage, cpu_ns),
	NUMBER(8, FIELD_U64, struct usage, throttled_ns),
	NUMBER(9, FIELD_U64, struct usage, throttled_periods),
	NUMBER(10, FIELD_U64, struct usage, periods),
	NUMBER(11, FIELD_F64, struct usage, cpu_limit_cores),
	NUMBER(12, FIELD_U64, struct usage, psi_cpu_some_ns),
	NUMBER(13, FIELD_U64, struct usage, psi_memory_some_ns),
	NUMBER(14, FIELD_U64, struct usage, psi_memory_full_ns),
};

const struct table usage_table = TABLE("usage", usage_fields);

static const struct field owner_fields[] = {
	ENUM(1, struct owner, kind, OWNER_POD + 1),
	NUMBER(2, FIELD_U64, struct owner, cgroup_id),
	SIZED(3, FIELD_STRING, struct owner, name),
	SIZED(4, FIELD_STRING, struct owner, unit),
	SIZED(5, FIELD_STRING, struct owner, container_id),
	SIZED(6, FIELD_STRING, struct owner, pod_uid),
	SIZED(7, FIELD_STRING, struct owner, process),
	SIZED(8, FIELD_STRING, struct owner, cgroup_path),
	SIZED(9, FIELD_STRING, struct owner, socket_path),
};

static const struct table owner_table = TABLE("owner", owner_fields);

static const struct field indicator_fields[] = {
	NUMBER(1, FIELD_U64, struct indicator, id),
	NUMBER(2, FIELD_U32, struct indicator, slot),
	NUMBER(3, FIELD_U32, struct indicator, netns),
	NUMBER(4, FIELD_U16, struct indicator, family),
	NUMBER(5, FIELD_U16, struct indicator, port),
	SIZED(6, FIELD_BYTES, struct indicator, address),
	NUMBER(7, FIELD_U32, struct indicator, sockets),
	NUMBER(8, FIELD_U32, struct indicator, queue_limit),
	RECORD(9, struct indicator, owner, owner_table),
	NUMBER(10, FIELD_U64, struct indicator, time_ns),
	NUMBER(11, FIELD_U64, struct indicator, first_seen_ns),
	NUMBER(12, FIELD_F64, struct indicator, capacity_per_second),
	ENUM(13, struct indicator, diagnosis, DIAGNOSIS_COUNT),
	SIZED(14, FIELD_STRING, struct indicator, reason),
	NUMBER(15, FIELD_U64, struct indicator, requests),
	NUMBER(16, FIELD_U64, struct indicator, responses),
	NUMBER(17, FIELD_U64, struct indicator, established),
	NUMBER(18, FIELD_U64, struct indicator, accepted),
	NUMBER(19, FIELD_U64, struct indicator, closed),
	NUMBER(20, FIELD_U64, struct indicator, drops),
	NUMBER(21, FIELD_U64, struct indicator, overflows),
	NUMBER(22, FIELD_U64, struct indicator, syns),
	NUMBER(23, FIELD_U64, struct indicator, response_ns),
};

const struct table indicator_table = TABLE("indicator", indicator_fields);

static const struct field notice_fields[] = {
	NUMBER(1, FIELD_U32, struct notice, kind),
	SIZED(2, FIELD_STRING, struct notice, what),
	NUMBER(3, FIELD_U64, struct notice, when_wall_ms),
	NUMBER(4, FIELD_U64, struct notice, age_ns),
};

const struct table notice_table = TABLE("notice", notice_fields);

static const struct field frame_fields[] = {
	SIZED(1, FIELD_STRING, struct frame, host),
	NUMBER(2, FIELD_U64, struct frame, sequence),
	NUMBER(3, FIELD_U64, struct frame, age_ns),
	NUMBER(4, FIELD_U64, struct frame, edge_ns),
	RECORD(5, struct frame, host_usage, usage_table),
	NUMBER(6, FIELD_F64, struct frame, host_cpu_cores),
	NUMBER(7, FIELD_F64, struct frame, host_cpus),
	SIZED(8, FIELD_STRING, struct frame, instance_id),
	SIZED(9, FIELD_STRING, struct frame, services),
};

const struct table frame_table = TABLE("frame", frame_fields);

static const struct field hello_fields[] = {
	NUMBER(1, FIELD_U16, struct hello, major),
	NUMBER(2, FIELD_U16, struct hello, minor),
	SIZED(3, FIELD_STRING, struct hello, host),
	SIZED(4, FIELD_STRING, struct hello, version),
	SIZED(5, FIELD_STRING, struct hello, instance_id),
	SIZED(6, FIELD_STRING, struct hello, identity_document),
	SIZED(7, FIELD_STRING, struct hello, identity_pkcs7),
};

const struct table hello_table = TABLE("hello", hello_fields);

static const struct field welcome_fields[] = {
	NUMBER(1, FIELD_U16, struct welcome, major),
	NUMBER(2, FIELD_U16, struct welcome, minor),
	SIZED(3, FIELD_STRING, struct welcome, version),
	NUMBER(4, FIELD_U32, struct welcome, speak_within_ms),
	NUMBER(5, FIELD_U32, struct welcome, silent_after_ms),
};

const struct table welcome_table = TABLE("welcome", welcome_fields);

static const struct field bye_fields[] = {
	SIZED(1, FIELD_STRING, struct bye, reason),
};

const struct table bye_table = TABLE("bye", bye_fields);
