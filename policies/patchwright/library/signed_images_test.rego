package patchwright.library.signed_images_test

import data.patchwright.library.fixture_test as fixture
import data.patchwright.library.signed_images

found(facts, parameters) := denied if {
	denied := signed_images.deny with input as fixture.image(facts)
		with data.patchwright.parameters as {"signedImages": parameters}
}

unsigned := {"signed": false, "key": ""}

test_nodes_run_no_images_of_workloads if {
	count(signed_images.deny) == 0 with input as fixture.base with data.patchwright.parameters as {}
}

test_what_is_signed_passes if count(found({}, {"required": true})) == 0

test_what_is_not_signed_is_refused_where_the_policy_trusts_somebody if {
	some violation in found(unsigned, {})
	endswith(violation.msg, "whom policy nodes trusts: it has no signature")
	not violation.details.until
	count(found(object.union(unsigned, {"verify": false}), {})) == 0
}

test_it_says_what_is_wrong_with_the_signatures_that_there_are if {
	some violation in found(object.union(unsigned, {"error": "a signature is by none of the trusted keys"}), {})
	endswith(violation.msg, "trusts: a signature is by none of the trusted keys")
}

test_it_may_be_required_everywhere_and_nowhere if {
	some violation in found(object.union(unsigned, {"verify": false}), {"required": true})
	endswith(violation.msg, "no target.workloads.verify, so that nobody looked")
	count(found(unsigned, {"required": false})) == 0
}

test_images_may_be_excepted if {
	count(found(unsigned, {"except": ["ghcr.io/acme/*"]})) == 0
	count(found(unsigned, {"except": ["ghcr.io/other/*"]})) == 1
}

test_it_may_be_signed_for_some_minutes_after_the_rollout_was_made if {
	some violation in found(unsigned, {"graceMinutes": 45})
	contains(violation.msg, "trusts yet: it has no signature; it may be until 2026-12-03T10:45:00Z")
	violation.details.until == "2026-12-03T10:31:00Z"
	some last in found(unsigned, {"graceMinutes": 30.5})
	last.details.until == "2026-12-03T10:30:30Z"
	some refused in found(unsigned, {"graceMinutes": 30})
	not refused.details.until
}
