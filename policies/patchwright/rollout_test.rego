package patchwright.rollout_test

import data.patchwright.library.fixture_test as fixture
import data.patchwright.rollout

test_a_careful_rollout_is_allowed_by_every_rule if {
	rollout.deny_blast_radius == set() with input as fixture.base
	rollout.deny_canary_required == set() with input as fixture.base
	rollout.deny_freeze_window == set() with input as fixture.base
	rollout.deny_minimum_release_age == set() with input as fixture.base
	rollout.deny_pinned_versions == set() with input as fixture.base
	rollout.deny_protected_namespaces == set() with input as fixture.base
	rollout.deny_protected_nodes == set() with input as fixture.base
	rollout.deny_allowed_registries == set() with input as fixture.base
	rollout.deny_minimum_image_age == set() with input as fixture.base
	rollout.deny_required_attestations == set() with input as fixture.base
	rollout.deny_signed_images == set() with input as fixture.base
}

test_a_careful_rollout_of_images_is_allowed_by_every_rule if {
	rollout.deny_blast_radius == set() with input as fixture.images
	rollout.deny_canary_required == set() with input as fixture.images
	rollout.deny_freeze_window == set() with input as fixture.images
	rollout.deny_minimum_release_age == set() with input as fixture.images
	rollout.deny_pinned_versions == set() with input as fixture.images
	rollout.deny_protected_namespaces == set() with input as fixture.images
	rollout.deny_protected_nodes == set() with input as fixture.images
	rollout.deny_allowed_registries == set() with input as fixture.images
	rollout.deny_minimum_image_age == set() with input as fixture.images
	rollout.deny_required_attestations == set() with input as fixture.images
	rollout.deny_signed_images == set() with input as fixture.images
}

test_each_rule_of_the_library_is_in_force if {
	bad := fixture.but({
		"plan": [{"name": "wave-1", "size": 20}],
		"rollout": {"change": {"version": "latest"}},
		"fleet": {"maxUnavailable": 20, "protected": ["db-1"], "protectedTotal": 1, "namespaces": {"kube-system": 1}},
	})
	parameters := {
		"minimumReleaseAge": {"days": 30},
		"freezeWindows": [{"name": "now", "start": "2026-12-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}],
	}
	count(rollout.deny_blast_radius) == 1 with input as bad with data.patchwright.parameters as parameters
	count(rollout.deny_canary_required) == 1 with input as bad with data.patchwright.parameters as parameters
	count(rollout.deny_freeze_window) == 1 with input as bad with data.patchwright.parameters as parameters
	count(rollout.deny_minimum_release_age) == 1 with input as bad with data.patchwright.parameters as parameters
	count(rollout.deny_pinned_versions) == 1 with input as bad with data.patchwright.parameters as parameters
	count(rollout.deny_protected_namespaces) == 1 with input as bad with data.patchwright.parameters as parameters
	count(rollout.deny_protected_nodes) == 1 with input as bad with data.patchwright.parameters as parameters
}

test_each_rule_about_images_is_in_force if {
	bad := fixture.image({"signed": false, "attestations": [], "since": "2026-12-03T10:00:00Z"})
	parameters := {
		"allowedRegistries": {"names": ["registry.example"]},
		"minimumImageAge": {"days": 3},
		"requiredAttestations": {"predicateTypes": ["https://slsa.dev/provenance/*"]},
	}
	count(rollout.deny_allowed_registries) == 1 with input as bad with data.patchwright.parameters as parameters
	count(rollout.deny_minimum_image_age) == 1 with input as bad with data.patchwright.parameters as parameters
	count(rollout.deny_required_attestations) == 1 with input as bad with data.patchwright.parameters as parameters
	count(rollout.deny_signed_images) == 1 with input as bad with data.patchwright.parameters as parameters
}
