package patchwright.rollout

# METADATA
# title: Reboots belong into the slow lane
# description: >-
#   Refuses a change that reboots nodes unless its policy is one of custom.rebootPolicies. In March a kernel went through
#   the fast lane: thirty nodes rebooted within an hour, and the databases followed them.
# custom:
#   severity: high
#   category: Change management
deny_reboot contains violation if {
	input.rollout.change.reboot != "Never"
	not input.policy.name in reboot_policies
	violation := {
		"msg": sprintf("%s/%s would reboot nodes (reboot: %s), which policy %s may not", [
			input.rollout.namespace,
			input.rollout.name,
			input.rollout.change.reboot,
			input.policy.name,
		]),
		"severity": "high",
		"details": {"reboot": input.rollout.change.reboot, "policy": input.policy.name},
		"remediation": sprintf(
			"Set spec.policyRef.name to a policy that may reboot nodes: %s.",
			[concat(" or ", reboot_policies)],
		),
	}
}

reboot_policies := data.patchwright.parameters.custom.rebootPolicies
