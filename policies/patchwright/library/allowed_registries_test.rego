package patchwright.library.allowed_registries_test

import data.patchwright.library.allowed_registries
import data.patchwright.library.fixture_test as fixture

found(parameters) := denied if {
	denied := allowed_registries.deny with input as fixture.images
		with data.patchwright.parameters as {"allowedRegistries": parameters}
}

test_every_registry_is_allowed_until_some_are_named if count(found({})) == 0

test_a_registry_or_a_repository_is_allowed_by_name if {
	count(found({"names": ["ghcr.io"]})) == 0
	count(found({"names": ["ghcr.io/acme/*"]})) == 0
	count(found({"names": ["*.io"]})) == 0
}

test_another_registry_is_refused if {
	some violation in found({"names": ["registry.example", "ghcr.io/other/*"]})
	violation.msg == "image ghcr.io/acme/api is from registry ghcr.io, and only these are allowed: registry.example, ghcr.io/other/*"
	count(found({"names": []})) == 1
}
