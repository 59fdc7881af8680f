# METADATA
# title: Allowed registries
# description: Images come from registries and repositories that allowedRegistries.names means. Off until it is set.
# custom:
#   severity: high
#   category: Supply chain
# related_resources:
# - ref: https://kubernetes.io/docs/concepts/containers/images/
#   description: Names of images
package patchwright.library.allowed_registries

parameters := object.get(data.patchwright.parameters, ["allowedRegistries"], {})

allowed(image) if {
	some pattern in parameters.names
	some name in {image.registry, image.image}
	glob.match(pattern, null, name)
}

# METADATA
# title: The image is from another registry
# description: Refuses an image from a registry and a repository that allowedRegistries.names does not mean.
# custom:
#   severity: high
#   category: Supply chain
deny contains violation if {
	parameters.names
	some image in input.rollout.change.images
	not allowed(image)
	violation := {
		"msg": sprintf("image %s is from registry %s, and only these are allowed: %s", [
			image.image,
			image.registry,
			concat(", ", parameters.names),
		]),
		"severity": "high",
		"details": {"image": image.image, "registry": image.registry},
		"remediation": "Mirror the image into an allowed registry, or add it to allowedRegistries.names.",
	}
}
