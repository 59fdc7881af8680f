# METADATA
# title: Pinned versions only
# description: >-
#   What passed on the canary must be what the last wave gets. A tag that moves (`latest`, no tag at all) or a version
#   range can give each target something else.
# custom:
#   severity: critical
#   category: Supply chain
# related_resources:
# - ref: https://kubernetes.io/docs/concepts/containers/images/#image-names
#   description: Tags and digests
package patchwright.library.pinned_versions

parameters := object.get(data.patchwright.parameters, ["pinnedVersions"], {})

change := input.rollout.change

moving := {"", "latest", "stable", "edge", "main", "master", "nightly", "current"}

range_marks := {"*", "^", ">", "<", "=", "|", ",", " "}

# METADATA
# title: The version is not one version
# description: Refuses a version that moves or that is a range.
# custom:
#   severity: critical
#   category: Supply chain
deny contains violation if {
	# Images are pinned by digest, which the API demands; their version is a name for people.
	change.kind != "images"
	not pinned(change.version)
	violation := {
		"msg": sprintf(
			"%s/%s asks for version %q, which can mean another thing tomorrow; name one exact version",
			[input.rollout.namespace, input.rollout.name, change.version],
		),
		"severity": "critical",
		"details": {"version": change.version},
		"remediation": "Write the exact version into spec.change of the PatchRollout.",
	}
}

# METADATA
# title: The image is not pinned
# description: Refuses an image without a digest whose tag moves or is missing.
# custom:
#   severity: critical
#   category: Supply chain
deny contains violation if {
	image := change.image
	image != null
	not has_digest
	not pinned(tag(image))
	violation := {
		"msg": sprintf(
			"%s/%s runs the image %q, whose tag can move; pin it by digest or by a version tag",
			[input.rollout.namespace, input.rollout.name, image],
		),
		"severity": "critical",
		"details": {"image": image},
		"remediation": "Append @sha256:… to the image, or use a version tag.",
	}
}

# METADATA
# title: The image has no digest
# description: With requireDigest, refuses an image without a digest, whatever its tag.
# custom:
#   severity: high
#   category: Supply chain
deny contains violation if {
	parameters.requireDigest
	image := change.image
	image != null
	not has_digest
	violation := {
		"msg": sprintf(
			"%s/%s runs the image %q without a digest, and this cluster requires one; append @sha256:… to it",
			[input.rollout.namespace, input.rollout.name, image],
		),
		"severity": "high",
		"details": {"image": image},
		"remediation": "Append @sha256:… to the image.",
	}
}

has_digest if is_string(change.digest)

# A `~` in front is a range; inside, `~` and `+` belong to Debian versions (2.36-9+deb12u4~rc1).
pinned(version) if {
	not lower(version) in moving
	not is_range(version)
}

is_range(version) if {
	some mark in range_marks
	contains(version, mark)
}

is_range(version) if startswith(version, "~")

is_range(version) if regex.match(`(^|\.)[xX](\.|$)`, version)

# The part after the last colon behind the last slash: a registry's port is no tag.
tag(image) := parts[1] if {
	path := split(image, "/")
	parts := split(path[count(path) - 1], ":")
	count(parts) == 2
} else := ""
