# METADATA
# title: Minimum release age
# description: >-
#   A release rests for some days before it is rolled out, so that others find its faults and a stolen publisher's
#   account is noticed. Off until `days` is set. The refusal is temporary when the date is known.
# custom:
#   severity: medium
#   category: Supply chain
# related_resources:
# - ref: https://docs.renovatebot.com/key-concepts/minimum-release-age/
#   description: The same rule, by the same name, in Renovate
package patchwright.library.minimum_release_age

parameters := object.get(data.patchwright.parameters, ["minimumReleaseAge"], {})

days := object.get(parameters, "days", 0)

day_ns := ((24 * 60) * 60) * 1000000000

due if {
	days > 0
	not exempt
}

exempt if {
	some pattern in parameters.exceptAdvisories
	some advisory in input.rollout.advisories
	glob.match(pattern, null, advisory)
}

# METADATA
# title: The release is too young
# description: Refuses a release younger than `days`, until it is old enough.
# custom:
#   severity: medium
#   category: Supply chain
deny contains violation if {
	due
	published_at := input.release.publishedAt
	is_string(published_at)
	ready_ns := time.parse_rfc3339_ns(published_at) + (days * day_ns)
	time.parse_rfc3339_ns(input.now) < ready_ns
	until := time.format([ready_ns, "UTC", "RFC3339"])
	violation := {
		"msg": sprintf(
			"version %s was published at %s and must be %v days old; %s/%s goes on by itself at %s",
			[input.rollout.change.version, published_at, days, input.rollout.namespace, input.rollout.name, until],
		),
		"severity": "medium",
		"details": {"publishedAt": published_at, "days": days, "until": until},
		"remediation": "Wait, or list the advisory that makes it urgent in minimumReleaseAge.exceptAdvisories.",
	}
}

# METADATA
# title: Nobody knows how old the release is
# description: Refuses a release without a date, because unknown is not old enough.
# custom:
#   severity: medium
#   category: Supply chain
deny contains violation if {
	due
	input.release.publishedAt == null
	violation := {
		"msg": sprintf(
			"version %s has no release date, and releases must be %v days old; set spec.releasedAt of PatchRollout %s/%s",
			[input.rollout.change.version, days, input.rollout.namespace, input.rollout.name],
		),
		"severity": "medium",
		"details": {"publishedAt": null, "days": days},
		"remediation": "Name the date in spec.releasedAt of the PatchRollout.",
	}
}
