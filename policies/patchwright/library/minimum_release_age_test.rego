package patchwright.library.minimum_release_age_test

import data.patchwright.library.fixture_test as fixture
import data.patchwright.library.minimum_release_age

found(document, parameters) := denied if {
	denied := minimum_release_age.deny with input as document
		with data.patchwright.parameters as {"minimumReleaseAge": parameters}
}

test_it_is_off_by_default if count(found(fixture.but({"release": {"publishedAt": null}}), {})) == 0

test_a_young_release_waits_until_it_is_old_enough if {
	some violation in found(fixture.base, {"days": 3})
	violation.details.until == "2026-12-04T00:00:00Z"
	count(found(fixture.but({"now": "2026-12-03T23:59:59Z"}), {"days": 3})) == 1
	count(found(fixture.but({"now": "2026-12-04T00:00:00Z"}), {"days": 3})) == 0
}

test_an_unknown_age_is_not_old_enough if {
	some violation in found(fixture.but({"release": {"publishedAt": null}}), {"days": 3})
	not violation.details.until
}

test_a_listed_advisory_passes if {
	count(found(fixture.base, {"days": 3, "exceptAdvisories": ["DSA-5532-*"]})) == 0
	count(found(fixture.base, {"days": 3, "exceptAdvisories": ["CVE-*"]})) == 1
}
