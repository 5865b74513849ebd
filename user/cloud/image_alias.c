/* SPDX-License-Identifier: Apache-2.0 */
/* Which parameters of SSM hold the images of an alias, as Karpenter's amifamily: for a cluster
 * those that are made for its version of Kubernetes, else the plain ones of Amazon Linux. */
#include "cloud/private.h"

struct alias {
	const char *version; /* of Kubernetes; NULL: no cluster */
	const char *release; /* "v20250101"; NULL: the latest */
};

static void add(struct resolver *resolver, enum architecture architecture,
		enum image_variant variant, enum image_variant second, const char *format, ...)
	_printf_(5, 6);
static void add(struct resolver *resolver, enum architecture architecture,
		enum image_variant variant, enum image_variant second, const char *format, ...)
{
	struct image_parameter parameter = {.architecture = architecture,
					    .variants = {variant, second}};
	va_list args;

	if (!class_wants(resolver->cloud, resolver->class, LABEL_OS, "linux") ||
	    !class_wants(resolver->cloud, resolver->class, LABEL_ARCH,
			 architecture_text(architecture)))
		return;
	/* A variant that no instance needs costs a call and templates. */
	if (!class_needs_image(resolver, architecture, variant) &&
	    !(second && class_needs_image(resolver, architecture, second)))
		return;
	va_start(args, format);
	if (vasprintf(&parameter.name, format, args) < 0)
		abort();
	va_end(args);
	*vec_push(&resolver->parameters) = parameter;
}

static const char *aws_architecture(enum architecture architecture)
{
	return architecture == ARCH_ARM64 ? "arm64" : "x86_64";
}

static void add_al2023(struct resolver *resolver, const struct alias *alias, int arch)
{
	static const struct {
		const char *name;
		enum image_variant variant;
	} VARIANTS[] = {
		{"standard", IMAGE_STANDARD}, {"nvidia", IMAGE_NVIDIA}, {"neuron", IMAGE_NEURON}};
	const char *machine = aws_architecture((enum architecture)arch);

	if (!alias->version) {
		add(resolver, (enum architecture)arch, IMAGE_ANY, IMAGE_ANY,
		    "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-%s", machine);
		return;
	}
	for (size_t i = 0; i < (arch == ARCH_ARM64 ? 2 : ARRAY_SIZE(VARIANTS)); i++) {
		_cleanup_free_ char *release =
			alias->release
				? str_printf("amazon-eks-node-al2023-%s-%s-%s-%s", machine,
					     VARIANTS[i].name, alias->version, alias->release)
				: strdup("recommended");

		add(resolver, (enum architecture)arch, VARIANTS[i].variant, IMAGE_ANY,
		    "/aws/service/eks/optimized-ami/%s/amazon-linux-2023/%s/%s/%s/image_id",
		    alias->version, machine, VARIANTS[i].name, release);
	}
}

static void add_eks_al2(struct resolver *resolver, const struct alias *alias,
			enum architecture architecture, enum image_variant variant,
			enum image_variant second, const char *folder, const char *name)
{
	_cleanup_free_ char *release = alias->release ? str_printf("amazon-eks-%s-%s-%s", name,
								   alias->version, alias->release)
						      : strdup("recommended");

	add(resolver, architecture, variant, second,
	    "/aws/service/eks/optimized-ami/%s/%s/%s/image_id", alias->version, folder, release);
}

static void add_al2(struct resolver *resolver, const struct alias *alias, int arch)
{
	bool arm = arch == ARCH_ARM64;

	if (!alias->version) {
		add(resolver, (enum architecture)arch, IMAGE_ANY, IMAGE_ANY,
		    "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-%s-gp2",
		    aws_architecture((enum architecture)arch));
		return;
	}
	add_eks_al2(resolver, alias, (enum architecture)arch, IMAGE_STANDARD, IMAGE_ANY,
		    arm ? "amazon-linux-2-arm64" : "amazon-linux-2", arm ? "arm64-node" : "node");
	if (!arm)
		add_eks_al2(resolver, alias, ARCH_AMD64, IMAGE_NEURON, IMAGE_NVIDIA,
			    "amazon-linux-2-gpu", "gpu-node");
}

/* Its releases have no "v" there. */
static void add_bottlerocket(struct resolver *resolver, const struct alias *alias, int arch)
{
	const char *release = alias->release ? alias->release : "latest";
	const char *machine = aws_architecture((enum architecture)arch);

	release += *release == 'v';
	add(resolver, (enum architecture)arch, IMAGE_STANDARD,
	    arch == ARCH_ARM64 ? IMAGE_ANY : IMAGE_NEURON,
	    "/aws/service/bottlerocket/aws-k8s-%s/%s/%s/image_id", alias->version, machine,
	    release);
	add(resolver, (enum architecture)arch, IMAGE_NVIDIA, IMAGE_ANY,
	    "/aws/service/bottlerocket/aws-k8s-%s-nvidia/%s/%s/image_id", alias->version, machine,
	    release);
}

static unsigned minor_of(const char *version)
{
	const char *dot = version ? strchr(version, '.') : NULL;
	unsigned minor = 0;

	for (dot = dot ? dot + 1 : ""; *dot >= '0' && *dot <= '9' && minor < 1000; dot++)
		minor = minor * 10 + (unsigned)(*dot - '0');
	return minor;
}

/* What can be said without asking. */
static const char *unknown(enum ami_family family, const struct alias *alias)
{
	if (family >= AMI_WINDOWS2019)
		return "forerun reads the Linux kernel and launches no Windows nodes";
	if (family == AMI_BOTTLEROCKET && !alias->version)
		return "Bottlerocket's images are made for a version of Kubernetes: give "
		       "--cluster-version, or select an image by id, name or tags";
	if (!alias->version && alias->release)
		return "a pinned version is only published for EKS: give --cluster-version, take "
		       "@latest, or select the image by id, name or tags";
	if (family == AMI_AL2 && minor_of(alias->version) >= 33)
		return "EKS publishes no AL2 images for Kubernetes 1.33 and newer: take al2023";
	return NULL;
}

static enum ami_family family_of(const char *alias)
{
	static const struct {
		const char *name;
		enum ami_family family;
	} FAMILIES[] = {
		{"al2@", AMI_AL2}, {"al2023@", AMI_AL2023}, {"bottlerocket@", AMI_BOTTLEROCKET}};

	for (size_t i = 0; i < ARRAY_SIZE(FAMILIES); i++)
		if (str_starts(alias, FAMILIES[i].name))
			return FAMILIES[i].family;
	return AMI_WINDOWS2022;
}

int alias_parameters(struct resolver *resolver, const char *name, char problem[CLOUD_TEXT_SIZE])
{
	const char *at = strchr(name, '@');
	enum ami_family family = family_of(name);
	struct alias alias = {.version = resolver->cloud->config.cluster_version};
	const char *why;

	if (at && strcmp(at, "@latest") != 0)
		alias.release = at + 1;
	why = unknown(family, &alias);
	if (why) {
		snprintf(problem, CLOUD_TEXT_SIZE, "%s", why);
		return -EINVAL;
	}
	for (int arch = ARCH_AMD64; arch <= ARCH_ARM64; arch++) {
		if (family == AMI_AL2023)
			add_al2023(resolver, &alias, arch);
		else if (family == AMI_AL2)
			add_al2(resolver, &alias, arch);
		else
			add_bottlerocket(resolver, &alias, arch);
	}
	return 0;
}
