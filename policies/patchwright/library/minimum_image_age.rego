# METADATA
# title: Minimum image age
# description: >-
#   An image rests for some days before it is rolled out, so that others find its faults and a stolen publisher's account
#   is noticed. Counted from when it is proven to have been there: its signature's time, or the rollout that names it.
#   Off until `days` is set; the refusal is temporary.
# custom:
#   severity: medium
#   category: Supply chain
# related_resources:
# - ref: https://docs.renovatebot.com/key-concepts/minimum-release-age/
#   description: The same rule for releases, in Renovate
package patchwright.library.minimum_image_age

parameters := object.get(data.patchwright.parameters, ["minimumImageAge"], {})

days := object.get(parameters, "days", 0)

day_ns := ((24 * 60) * 60) * 1000000000

urgent if {
	some pattern in parameters.exceptAdvisories
	some advisory in input.rollout.advisories
	glob.match(pattern, null, advisory)
}

exempt(image) if {
	some pattern in parameters.except
	glob.match(pattern, null, image.image)
}

# METADATA
# title: The image is too young
# description: Refuses an image that has been there for less than `days`, until it is old enough.
# custom:
#   severity: medium
#   category: Supply chain
deny contains violation if {
	days > 0
	not urgent
	some image in input.rollout.change.images
	not exempt(image)
	ready_ns := time.parse_rfc3339_ns(image.since) + (days * day_ns)
	time.parse_rfc3339_ns(input.now) < ready_ns
	until := time.format([ready_ns, "UTC", "RFC3339"])
	violation := {
		"msg": sprintf("image %s has been there since %s (%s) and must be %v days old; %s/%s goes on by itself at %s", [
			image.image,
			image.since,
			image.ageSource,
			days,
			input.rollout.namespace,
			input.rollout.name,
			until,
		]),
		"severity": "medium",
		"details": {"image": image.image, "since": image.since, "days": days, "until": until},
		"remediation": "Wait, or list the advisory that makes it urgent in minimumImageAge.exceptAdvisories.",
	}
}
