# METADATA
# title: Blast radius
# description: >-
#   How much one step may touch, and how much may be away at once. Looked at over the whole plan before the start, so
#   that a pull request is told of its fourth wave before the first one ran.
# custom:
#   severity: high
#   category: Blast radius
# related_resources:
# - ref: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-unavailable
#   description: maxUnavailable, and how percentages round
package patchwright.library.blast_radius

parameters := object.get(data.patchwright.parameters, ["blastRadius"], {})

max_unavailable_percent := object.get(parameters, "maxUnavailablePercent", 50)

# At the start every planned step; later the step that is about to start, whose size may have changed since.
steps contains step if {
	input.stage == "start"
	some step in input.plan
}

steps contains {"name": input.wave.name, "size": input.wave.size} if input.stage != "start"

percent(size) := (100 * size) / input.fleet.selected

# METADATA
# title: A step touches too large a share
# description: Refuses a step of more than maxWavePercent of the selected targets; one target is always allowed.
# custom:
#   severity: high
#   category: Blast radius
deny contains violation if {
	limit := parameters.maxWavePercent
	some step in steps
	step.size > 1
	percent(step.size) > limit
	violation := {
		"msg": sprintf(
			"%s of %s/%s would touch %d of %d targets, more than the allowed %v%%; split it into smaller waves",
			[step.name, input.rollout.namespace, input.rollout.name, step.size, input.fleet.selected, limit],
		),
		"severity": "high",
		"details": {"step": step.name, "size": step.size, "selected": input.fleet.selected, "maxWavePercent": limit},
		"remediation": "Lower the size of this wave in the PatchPolicy's spec.strategy.waves.",
	}
}

# METADATA
# title: A step touches too many
# description: Refuses a step of more than maxWaveCount targets.
# custom:
#   severity: high
#   category: Blast radius
deny contains violation if {
	limit := parameters.maxWaveCount
	some step in steps
	step.size > limit
	violation := {
		"msg": sprintf(
			"%s of %s/%s would touch %d targets, more than the allowed %d; split it into smaller waves",
			[step.name, input.rollout.namespace, input.rollout.name, step.size, limit],
		),
		"severity": "high",
		"details": {"step": step.name, "size": step.size, "maxWaveCount": limit},
		"remediation": "Lower the size of this wave in the PatchPolicy's spec.strategy.waves.",
	}
}

# METADATA
# title: Too many may be unavailable at once
# description: Refuses a budget of more than maxUnavailablePercent (50) of the selected targets; one is always allowed.
# custom:
#   severity: high
#   category: Blast radius
deny contains violation if {
	input.fleet.maxUnavailable > 1
	percent(input.fleet.maxUnavailable) > max_unavailable_percent
	violation := {
		"msg": sprintf(
			"%s/%s may have %d of %d targets unavailable at once, more than the allowed %v%%; lower maxUnavailable",
			[
				input.policy.namespace,
				input.policy.name,
				input.fleet.maxUnavailable,
				input.fleet.selected,
				max_unavailable_percent,
			],
		),
		"severity": "high",
		"details": {
			"maxUnavailable": input.fleet.maxUnavailable,
			"selected": input.fleet.selected,
			"maxUnavailablePercent": max_unavailable_percent,
		},
		"remediation": "Lower spec.strategy.maxUnavailable of the PatchPolicy.",
	}
}
