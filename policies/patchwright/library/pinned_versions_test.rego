package patchwright.library.pinned_versions_test

import data.patchwright.library.fixture_test as fixture
import data.patchwright.library.pinned_versions

found(change, parameters) := denied if {
	denied := pinned_versions.deny with input as fixture.but({"rollout": {"change": change}})
		with data.patchwright.parameters as {"pinnedVersions": parameters}
}

test_exact_versions_pass if {
	versions := {"1.2.3", "v1.31.4+k3s1", "2:3.0.15-1~deb12u1", "6.1.0-28-amd64", "20261101", "1.2.3-xenial", "matrix"}
	every version in versions {
		count(found({"version": version}, {})) == 0
	}
}

test_versions_that_move_are_refused if {
	every version in {"", "latest", "LATEST", "*", "^1.2", "~1.2", ">=1.2", "1.x", "1.2.X", "1.2 || 1.3", "1.2,1.3"} {
		count(found({"version": version}, {})) == 1
	}
}

test_tags_that_move_are_refused if {
	every image in {"patch", "registry.example:5000/patch", "registry.example/patch:latest"} {
		some violation in found({"image": image}, {})
		violation.details == {"image": image}
	}
}

test_a_digest_pins_whatever_the_tag if {
	count(found({"image": "registry.example/patch:latest@sha256:12", "digest": "sha256:12"}, {"requireDigest": true})) == 0
}

test_a_change_without_an_image_has_none_to_pin if count(found({"image": null}, {"requireDigest": true})) == 0

test_a_digest_can_be_required if {
	count(found({}, {"requireDigest": true})) == 1
	count(found({}, {"requireDigest": false})) == 0
}

test_images_are_pinned_by_digest_whatever_their_tag_is_called if {
	document := object.union(fixture.images, {"rollout": {"change": {"version": "api:1.x", "image": "ghcr.io/acme/api:1.x@sha256:12"}}})
	count(pinned_versions.deny) == 0 with input as document with data.patchwright.parameters as {}
}
