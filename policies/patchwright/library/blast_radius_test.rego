package patchwright.library.blast_radius_test

import data.patchwright.library.blast_radius
import data.patchwright.library.fixture_test as fixture

found(document, parameters) := denied if {
	denied := blast_radius.deny with input as document with data.patchwright.parameters as {"blastRadius": parameters}
}

test_the_defaults_allow_a_careful_rollout if count(found(fixture.base, {})) == 0

test_every_planned_step_is_held_to_the_share if {
	denied := found(fixture.base, {"maxWavePercent": 30})
	{violation.details.step | some violation in denied} == {"wave-1", "wave-2"}
	"wave-1 of patchwright/openssl would touch 8 of 20 targets, more than the allowed 30%; split it into smaller waves" in {violation.msg | some violation in denied}
}

test_one_target_is_always_allowed if {
	small := fixture.but({"plan": [{"name": "canary", "size": 1}], "fleet": {"selected": 1, "maxUnavailable": 1}})
	count(found(small, {"maxWavePercent": 1, "maxUnavailablePercent": 1})) == 0
}

test_every_planned_step_is_held_to_the_count if {
	{violation.details.step | some violation in found(fixture.base, {"maxWaveCount": 9})} == {"wave-2"}
}

test_a_later_step_is_held_as_it_is_and_not_as_it_was_planned if {
	document := fixture.step("wave-1", ["n1", "n2", "n3"], [])
	{violation.details.step | some violation in found(document, {"maxWaveCount": 2})} == {"wave-1"}
	count(found(document, {"maxWaveCount": 3})) == 0
}

test_half_of_the_fleet_is_the_most_that_may_be_away_by_default if {
	count(found(fixture.but({"fleet": {"maxUnavailable": 10}}), {})) == 0
	some violation in found(fixture.but({"fleet": {"maxUnavailable": 11}}), {})
	violation.details == {"maxUnavailable": 11, "selected": 20, "maxUnavailablePercent": 50}
}
