package patchwright.library.canary_required_test

import data.patchwright.library.canary_required
import data.patchwright.library.fixture_test as fixture

found(document, parameters) := denied if {
	denied := canary_required.deny with input as document
		with data.patchwright.parameters as {"canaryRequired": parameters}
}

test_a_canary_that_leaves_others_is_enough if count(found(fixture.base, {})) == 0

test_no_canary_is_refused if {
	some violation in found(fixture.but({"plan": [{"name": "wave-1", "size": 20}]}), {})
	violation.details == {"selected": 20, "canary": 0}
}

test_a_single_target_needs_no_canary if {
	count(found(fixture.but({"plan": [{"name": "wave-1", "size": 1}], "fleet": {"selected": 1}}), {})) == 0
}

test_a_small_fleet_can_be_let_off if {
	count(found(fixture.but({"plan": [{"name": "wave-1", "size": 20}]}), {"fromTargets": 21})) == 0
}

test_a_canary_of_everybody_is_none if {
	some violation in found(fixture.but({"plan": [{"name": "canary", "size": 20}]}), {})
	contains(violation.msg, "is all 20 targets")
}

test_one_target_is_its_own_canary_even_when_canaries_are_due_from_one if {
	document := fixture.but({"plan": [{"name": "canary", "size": 1}], "fleet": {"selected": 1}})
	count(found(document, {"fromTargets": 1})) == 0
}

test_a_soak_that_is_too_short_is_refused if {
	some violation in found(fixture.base, {"minimumSoakSeconds": 301})
	violation.details == {"soakSeconds": 300, "minimumSoakSeconds": 301}
	count(found(fixture.base, {"minimumSoakSeconds": 300})) == 0
}
