# METADATA
# title: Required attestations
# description: >-
#   An image has attestations of the predicate types that requiredAttestations.predicateTypes means, such as a provenance,
#   each by a key or an identity that the PatchPolicy trusts. Off until it is set.
# custom:
#   severity: high
#   category: Supply chain
# related_resources:
# - ref: https://github.com/in-toto/attestation/tree/main/spec/predicates
#   description: Predicate types
package patchwright.library.required_attestations

parameters := object.get(data.patchwright.parameters, ["requiredAttestations"], {})

exempt(image) if {
	some pattern in parameters.except
	glob.match(pattern, null, image.image)
}

has(image, pattern) if {
	some predicate in image.attestations
	glob.match(pattern, null, predicate)
}

# METADATA
# title: The image lacks an attestation
# description: Refuses an image without a trusted attestation of a predicate type that is required.
# custom:
#   severity: high
#   category: Supply chain
deny contains violation if {
	some pattern in parameters.predicateTypes
	some image in input.rollout.change.images
	not exempt(image)
	not has(image, pattern)
	violation := {
		"msg": sprintf("image %s has no attestation %s by anybody whom policy %s trusts", [
			image.image,
			pattern,
			input.policy.name,
		]),
		"severity": "high",
		"details": {"image": image.image, "digest": image.digest, "predicateType": pattern, "error": image.error},
		"remediation": "Attach it (cosign attest), or list the image in requiredAttestations.except.",
	}
}
