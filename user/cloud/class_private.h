/* SPDX-License-Identifier: Apache-2.0 */
/* EC2NodeClasses on their way to launch templates: class.c, classes.c, image*.c, reservation.c,
 * profile.c, template*.c. Included by cloud/private.h. */
#ifndef FORERUN_CLOUD_CLASS_PRIVATE_H
#define FORERUN_CLOUD_CLASS_PRIVATE_H

#include "cloud/cloud.h"

#include "base/text.h"
#include "base/vec.h"

struct answer;
struct cloud;
typedef void (*call_fn)(void *arg, const struct answer *answer);

struct image {
	char id[CLOUD_NAME_SIZE];
	enum architecture architecture;
	enum image_variant variant;
	char created[32], name[128];
	bool deprecated;
	bool usable; /* of an architecture that is known here */
};

/* A parameter of SSM that holds an image of an alias. */
struct image_parameter {
	char *name;
	enum architecture architecture;
	enum image_variant variants[2]; /* that it is for; the second may be IMAGE_ANY: one alone */
};

struct resolver;
typedef void (*resolver_step)(struct resolver *resolver);

/* One EC2NodeClass being looked up, step after step. */
struct resolver {
	struct cloud *cloud;
	const struct node_class *class;
	bool check; /* only looks: templates by DryRun */
	unsigned flags; /* of its calls */
	bool busy, again;
	bool named_only; /* templates were not made: another one leads */
	size_t term, image_at, template_at; /* positions in the lists it works through */
	size_t found_before, images_seen;
	unsigned variants; /* that were looked up: class_variants() */
	VEC(struct subnet) subnets;
	VEC(char *) groups;
	VEC(struct image_parameter) parameters;
	VEC(char *) image_ids;
	VEC(struct image) images;
	VEC(struct capacity_reservation) reservations;
	VEC(struct launch_template) wanted; /* without their names */
	VEC(struct launch_template) templates;
	VEC(char *) made; /* names of templates known to exist */
	char profile[160];
	struct subnet subnet; /* being read */
	struct image image;
	struct capacity_reservation reservation;
	char field[64]; /* of the first problem: "subnetSelectorTerms" */
	char problem[CLOUD_TEXT_SIZE];
	int problem_error; /* of the answer; 0: what was found is not enough */
	struct launch_template template;
	void (*done)(struct resolver *resolver); /* problem is "" when it is whole */
	void *arg;
	/* of the standing ones */
	struct loop_timer *timer;
	uint32_t failures;
	struct class_view view;
	VEC(struct subnet) view_subnets;
	VEC(struct launch_template) view_templates;
	VEC(struct capacity_reservation) view_reservations;
	VEC(char *) view_groups;
};

void resolver_init(struct resolver *resolver, struct cloud *cloud, const struct node_class *class);
void resolver_free(struct resolver *resolver);
void resolver_run(struct resolver *resolver);
/* Ends the run with a problem of that field of spec. */
void resolver_fail(struct resolver *resolver, const char *field, int error, const char *format, ...)
	_printf_(4, 5);
void resolve_images(struct resolver *resolver); /* goes on with resolve_reservations */
void resolve_image_terms(struct resolver *resolver); /* those without an alias */
void resolve_reservations(struct resolver *resolver); /* goes on with resolve_profile */
void resolve_profile(struct resolver *resolver); /* goes on with resolve_templates */
void resolve_templates(struct resolver *resolver); /* ends */
void resolver_finish(struct resolver *resolver);
const char *class_alias(const struct node_class *class); /* NULL: it has none */
/* The parameters of an alias that the class' pools may use. -EINVAL with problem. */
int alias_parameters(struct resolver *resolver, const char *name, char problem[CLOUD_TEXT_SIZE]);
/* Bits of architecture and variant that some pool of the class has types for, as far as the catalog
 * knows; the plain image is always one. */
unsigned class_variants(const struct cloud *cloud, const struct node_class *class);
bool class_needs_image(const struct resolver *resolver, enum architecture architecture,
		       enum image_variant variant);
void image_add(struct resolver *resolver, const struct image *image); /* the better one stays */
bool is_image_id(const char *text);
void parameter_image(const struct answer *answer, char id[CLOUD_NAME_SIZE]);
void parameter_ask(struct resolver *resolver, const char *name, call_fn done);
void reservation_request(const struct reservation_term *term, struct text *query);
/* CreateLaunchTemplate of what was resolved: the body, and template's name. -EINVAL with problem:
 * its user data does not merge. */
int template_request(const struct resolver *resolver, struct launch_template *template,
		     bool dry_run, struct text *out, char problem[CLOUD_TEXT_SIZE]);
/* All templates that the class' pools may launch from, without their names. */
void templates_list(struct resolver *resolver);
/* Whether its releases have to be told which directories go to the instance store. */
bool bottlerocket_binds_by_name(const struct node_class *class, const char *image_name);
/* Whether a pool of that class may buy it. */
bool class_wants(const struct cloud *cloud, const struct node_class *class, const char *label,
		 const char *value);

int classes_init(struct cloud *cloud);
void classes_free(struct cloud *cloud);
void classes_start(struct cloud *cloud);
bool classes_ready(const struct cloud *cloud);
void classes_lead(struct cloud *cloud); /* from now on this process may act */
void class_publish(struct resolver *resolver);
/* An element of DescribeSubnets below subnetSet/item. */
void subnet_element(struct subnet *subnet, const char *path, const char *text);
void classes_catalog_changed(struct cloud *cloud); /* other variants may be needed */
void classes_template_lost(struct cloud *cloud); /* EC2 does not know one of ours: make them anew */

/* ---- templates that are of no use any more (template_old.c) ---- */

struct old_template {
	char id[32], name[128];
	uint64_t created_wall_ns;
};
struct old_templates {
	VEC(struct old_template) found;
	struct old_template item; /* being read */
	uint64_t working_since_ns;
	size_t at;
	bool busy;
	struct loop_timer *timer;
};
int old_templates_init(struct cloud *cloud);
void old_templates_free(struct cloud *cloud);
void old_templates_start(struct cloud *cloud);
/* Whether it may go: a day old, and neither launched from now nor the one of an instance. */
bool template_is_old(const struct cloud *cloud, const struct old_template *template,
		     uint64_t now_wall_ns);

#endif
