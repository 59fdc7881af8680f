package patchwright.library.protected_namespaces_test

import data.patchwright.library.fixture_test as fixture
import data.patchwright.library.protected_namespaces

found(namespaces, parameters) := denied if {
	document := object.union(fixture.images, {"fleet": {"namespaces": namespaces}})
	denied := protected_namespaces.deny with input as document
		with data.patchwright.parameters as {"protectedNamespaces": parameters}
}

test_nodes_have_no_namespace if {
	count(protected_namespaces.deny) == 0 with input as fixture.base with data.patchwright.parameters as {}
}

test_other_namespaces_pass if count(found({}, {})) == 0

test_kube_system_is_protected_unless_said_otherwise if {
	some violation in found({"kube-system": 1}, {})
	violation.details == {"namespaces": ["kube-system"]}
	count(found({"kube-system": 1}, {"names": []})) == 0
}

test_names_may_be_globs if {
	some violation in found({"pay-eu": 1, "pay-us": 2}, {"names": ["pay-*"]})
	violation.details == {"namespaces": ["pay-eu", "pay-us"]}
}
