package patchwright.library.protected_nodes_test

import data.patchwright.library.fixture_test as fixture
import data.patchwright.library.protected_nodes

found(document, parameters) := denied if {
	denied := protected_nodes.deny with input as document
		with data.patchwright.parameters as {"protectedNodes": parameters}
}

selection := fixture.but({"fleet": {"protected": ["db-1.eu", "db-2.eu"], "protectedTotal": 2}})

test_no_protected_target_refuses_nothing if count(found(fixture.base, {})) == 0

test_a_selection_with_protected_targets_is_refused if {
	some violation in found(selection, {})
	violation.details == {"protected": ["db-1.eu", "db-2.eu"], "total": 2}
	startswith(violation.msg, "the selection of patchwright/openssl holds the protected db-1.eu, db-2.eu;")
}

test_listed_targets_pass if {
	count(found(selection, {"allow": ["db-*"]})) == 0
	some violation in found(selection, {"allow": ["db-1.eu"]})
	violation.details.protected == ["db-2.eu"]
}

test_a_step_is_judged_by_its_own_targets if {
	count(found(fixture.step("wave-1", ["web-1"], []), {})) == 0
	some violation in found(fixture.step("wave-1", ["db-1.eu"], ["db-1.eu"]), {})
	startswith(violation.msg, "wave-1 of patchwright/openssl holds the protected db-1.eu;")
}

test_what_was_cut_from_the_list_is_not_taken_as_allowed if {
	document := fixture.but({"fleet": {"protected": ["db-1.eu"], "protectedTotal": 201}})
	some violation in found(document, {"allow": ["*"]})
	violation.details == {"checked": 1, "total": 201}
}
