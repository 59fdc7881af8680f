# METADATA
# title: Canary required
# description: >-
#   A rollout to more than a few targets begins with a canary that is smaller than the fleet and is watched for long
#   enough to mean something.
# custom:
#   severity: high
#   category: Blast radius
# related_resources:
# - ref: https://sre.google/workbook/canarying-releases/
#   description: Why a canary, and how long
package patchwright.library.canary_required

parameters := object.get(data.patchwright.parameters, ["canaryRequired"], {})

# A fleet of one target is its own canary.
from_targets := object.get(parameters, "fromTargets", 2)

minimum_soak := object.get(parameters, "minimumSoakSeconds", 0)

due if input.fleet.selected >= from_targets

canary_size := sum([step.size | some step in input.plan; step.name == "canary"])

# METADATA
# title: There is no canary
# description: Refuses a plan without a canary for fromTargets (2) targets or more.
# custom:
#   severity: high
#   category: Blast radius
deny contains violation if {
	due
	canary_size == 0
	violation := {
		"msg": sprintf(
			"%s/%s would patch %d targets without a canary; set spec.strategy.canary in PatchPolicy %s",
			[input.rollout.namespace, input.rollout.name, input.fleet.selected, input.policy.name],
		),
		"severity": "high",
		"details": {"selected": input.fleet.selected, "canary": 0},
		"remediation": "Set spec.strategy.canary.count of the PatchPolicy to 1 or more.",
	}
}

# METADATA
# title: The canary is the whole fleet
# description: Refuses a canary that leaves nobody to protect.
# custom:
#   severity: high
#   category: Blast radius
deny contains violation if {
	due
	input.fleet.selected > 1
	canary_size >= input.fleet.selected
	violation := {
		"msg": sprintf(
			"the canary of %s/%s is all %d targets, so it protects none; lower spec.strategy.canary.count in PatchPolicy %s",
			[input.rollout.namespace, input.rollout.name, input.fleet.selected, input.policy.name],
		),
		"severity": "high",
		"details": {"selected": input.fleet.selected, "canary": canary_size},
		"remediation": "Lower spec.strategy.canary.count of the PatchPolicy.",
	}
}

# METADATA
# title: The canary is not watched long enough
# description: Refuses a canary soak under minimumSoakSeconds (0).
# custom:
#   severity: medium
#   category: Blast radius
deny contains violation if {
	due
	soak := input.policy.strategy.canary.soakSeconds
	soak < minimum_soak
	violation := {
		"msg": sprintf(
			"the canary of %s/%s soaks for %d s, less than the required %d s; raise spec.strategy.canary.soak in PatchPolicy %s",
			[input.rollout.namespace, input.rollout.name, soak, minimum_soak, input.policy.name],
		),
		"severity": "medium",
		"details": {"soakSeconds": soak, "minimumSoakSeconds": minimum_soak},
		"remediation": "Raise spec.strategy.canary.soak of the PatchPolicy.",
	}
}
