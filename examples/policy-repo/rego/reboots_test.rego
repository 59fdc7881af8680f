package patchwright.rollout_test

import data.patchwright.rollout

# Tests bring their own parameters, so that `opa test` runs on a laptop and does not change with parameters.yaml.
slow_lanes := ["kernel"]

document(policy, reboot) := {
	"policy": {"name": policy},
	"rollout": {"namespace": "patchwright-system", "name": "linux", "change": {"reboot": reboot}},
}

test_a_reboot_in_the_fast_lane_is_refused if {
	some violation in rollout.deny_reboot with input as document("security-updates", "Always")
		with data.patchwright.parameters.custom.rebootPolicies as slow_lanes
	violation.severity == "high"
	contains(violation.remediation, "may reboot nodes: kernel")
}

test_a_reboot_that_only_may_happen_is_refused_too if {
	count(rollout.deny_reboot) == 1 with input as document("security-updates", "WhenRequested")
		with data.patchwright.parameters.custom.rebootPolicies as slow_lanes
}

test_a_reboot_in_the_slow_lane_is_allowed if {
	count(rollout.deny_reboot) == 0 with input as document("kernel", "Always")
		with data.patchwright.parameters.custom.rebootPolicies as slow_lanes
}

test_what_does_not_reboot_is_none_of_its_business if {
	count(rollout.deny_reboot) == 0 with input as document("security-updates", "Never")
		with data.patchwright.parameters.custom.rebootPolicies as slow_lanes
}
