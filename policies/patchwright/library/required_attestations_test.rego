package patchwright.library.required_attestations_test

import data.patchwright.library.fixture_test as fixture
import data.patchwright.library.required_attestations

found(parameters) := denied if {
	denied := required_attestations.deny with input as fixture.images
		with data.patchwright.parameters as {"requiredAttestations": parameters}
}

test_none_is_required_until_one_is_named if count(found({})) == 0

test_an_attestation_that_is_there_passes if {
	count(found({"predicateTypes": ["https://slsa.dev/provenance/*"]})) == 0
}

test_each_one_that_is_not_there_is_refused if {
	some violation in found({"predicateTypes": ["https://slsa.dev/provenance/v1", "https://spdx.dev/Document*"]})
	violation.details.predicateType == "https://spdx.dev/Document*"
	contains(violation.msg, "image ghcr.io/acme/api has no attestation https://spdx.dev/Document* by anybody")
}

test_images_may_be_excepted if {
	count(found({"predicateTypes": ["x"], "except": ["ghcr.io/acme/*"]})) == 0
	count(found({"predicateTypes": ["x"], "except": ["quay.io/*"]})) == 1
}
