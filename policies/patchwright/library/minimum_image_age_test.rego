package patchwright.library.minimum_image_age_test

import data.patchwright.library.fixture_test as fixture
import data.patchwright.library.minimum_image_age

found(parameters) := denied if {
	denied := minimum_image_age.deny with input as fixture.image({"since": "2026-12-01T10:00:00Z", "ageDays": 2})
		with data.patchwright.parameters as {"minimumImageAge": parameters}
}

test_it_is_off_until_it_is_set if count(found({})) == 0

test_a_young_image_waits_until_it_is_old_enough if {
	some violation in found({"days": 3})
	violation.details.until == "2026-12-04T10:00:00Z"
	contains(violation.msg, "since 2026-12-01T10:00:00Z (Signature)")
	count(found({"days": 2})) == 0
}

test_images_and_advisories_may_be_excepted if {
	count(found({"days": 3, "except": ["ghcr.io/acme/*"]})) == 0
	count(found({"days": 3, "exceptAdvisories": ["DSA-*"]})) == 0
	count(found({"days": 3, "except": ["quay.io/*"], "exceptAdvisories": ["CVE-*"]})) == 1
}
