# METADATA
# title: Protected namespaces
# description: >-
#   Workloads in namespaces that protectedNamespaces.names means (kube-system, unless something else is said) are not
#   patched. Said before the start, for everything that is selected.
# custom:
#   severity: high
#   category: Blast radius
# related_resources:
# - ref: https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
#   description: Namespaces
package patchwright.library.protected_namespaces

parameters := object.get(data.patchwright.parameters, ["protectedNamespaces"], {})

patterns := object.get(parameters, "names", ["kube-system"])

refused contains name if {
	some name, _ in input.fleet.namespaces
	some pattern in patterns
	glob.match(pattern, null, name)
}

# METADATA
# title: Workloads of a protected namespace would be patched
# description: Refuses a selection with workloads in namespaces that protectedNamespaces.names means.
# custom:
#   severity: high
#   category: Blast radius
deny contains violation if {
	count(refused) > 0
	violation := {
		"msg": sprintf(
			"%s/%s selects workloads in the protected namespace %s; take it out of the namespaceSelector of PatchPolicy %s",
			[input.rollout.namespace, input.rollout.name, concat(", ", sort(refused)), input.policy.name],
		),
		"severity": "high",
		"details": {"namespaces": sort(refused)},
		"remediation": "Narrow target.workloads.namespaceSelector, or change protectedNamespaces.names.",
	}
}
