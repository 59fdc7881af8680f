# METADATA
# title: Signed images
# description: >-
#   An image is signed by a key or an identity that the PatchPolicy trusts (target.workloads.verify). Holds wherever a
#   PatchPolicy has verify; with `required: true` everywhere, with `required: false` nowhere.
# custom:
#   severity: critical
#   category: Supply chain
# related_resources:
# - ref: https://docs.sigstore.dev/cosign/verifying/verify/
#   description: What cosign verifies
package patchwright.library.signed_images

parameters := object.get(data.patchwright.parameters, ["signedImages"], {})

minute_ns := 60 * 1000000000

grace_ns := object.get(parameters, "graceMinutes", 10) * minute_ns

# Whoever pushes an image signs it afterwards: an automatic rollout may have seen it in between.
signed_by_ns := time.parse_rfc3339_ns(input.rollout.createdAt) + grace_ns

now_ns := time.parse_rfc3339_ns(input.now)

waits if now_ns < signed_by_ns

unsigned contains image if {
	some image in input.rollout.change.images
	not image.signed
	due(image)
	not exempt(image)
}

due(image) if object.get(parameters, "required", image.verify)

exempt(image) if {
	some pattern in parameters.except
	glob.match(pattern, null, image.image)
}

why(image) := "the policy has no target.workloads.verify, so that nobody looked" if not image.verify

why(image) := "it has no signature" if {
	image.verify
	image.error == ""
}

why(image) := image.error if {
	image.verify
	image.error != ""
}

# METADATA
# title: The image is not signed yet
# description: Holds an image back that is not signed, as long as it may still be signed by whoever pushed it.
# custom:
#   severity: critical
#   category: Supply chain
deny contains violation if {
	waits
	some image in unsigned
	until := time.format([min([signed_by_ns, now_ns + minute_ns]), "UTC", "RFC3339"])
	violation := {
		"msg": sprintf("image %s is not signed by anybody whom policy %s trusts yet: %s; it may be until %s", [
			image.image,
			input.policy.name,
			why(image),
			time.format([signed_by_ns, "UTC", "RFC3339"]),
		]),
		"severity": "critical",
		"details": {"image": image.image, "digest": image.digest, "error": image.error, "until": until},
		"remediation": "Sign the digest (cosign sign).",
	}
}

# METADATA
# title: The image is not signed
# description: Refuses an image that is not signed by a trusted key or identity.
# custom:
#   severity: critical
#   category: Supply chain
deny contains violation if {
	not waits
	some image in unsigned
	violation := {
		"msg": sprintf("image %s is not signed by anybody whom policy %s trusts: %s", [
			image.image,
			input.policy.name,
			why(image),
		]),
		"severity": "critical",
		"details": {"image": image.image, "digest": image.digest, "error": image.error},
		"remediation": "Sign the digest (cosign sign), trust its signer in target.workloads.verify, or list it in signedImages.except.",
	}
}
