# METADATA
# title: Protected nodes
# description: >-
#   Targets labelled `patchwright.dev/protected=true` are patched only when protectedNodes.allow names them. Said before
#   the start when the selection holds one, and again for the very targets of each step.
# custom:
#   severity: high
#   category: Blast radius
# related_resources:
# - ref: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
#   description: Labels
package patchwright.library.protected_nodes

parameters := object.get(data.patchwright.parameters, ["protectedNodes"], {})

patterns := object.get(parameters, "allow", [])

group := object.union({"where": "the selection"}, input.fleet) if input.stage == "start"

group := object.union({"where": input.wave.name}, input.wave) if input.stage != "start"

refused contains name if {
	some name in group.protected
	not allowed(name)
}

allowed(name) if {
	some pattern in patterns
	glob.match(pattern, null, name)
}

# METADATA
# title: A protected target would be patched
# description: Refuses protected targets that protectedNodes.allow does not name.
# custom:
#   severity: high
#   category: Blast radius
deny contains violation if {
	count(refused) > 0
	violation := {
		"msg": sprintf(
			"%s of %s/%s holds the protected %s; take them out of the selector or list them in protectedNodes.allow",
			[group.where, input.rollout.namespace, input.rollout.name, concat(", ", first)],
		),
		"severity": "high",
		"details": {"protected": sort(refused), "total": group.protectedTotal},
		"remediation": "Narrow the PatchPolicy's selector, or list the targets in protectedNodes.allow.",
	}
}

# METADATA
# title: More protected targets than can be looked at
# description: Refuses when the list of protected targets was cut, because those past the cut cannot be checked.
# custom:
#   severity: high
#   category: Blast radius
deny contains violation if {
	group.protectedTotal > count(group.protected)
	violation := {
		"msg": sprintf(
			"%s of %s/%s holds %d protected targets, of which only %d can be checked; narrow the selector",
			[group.where, input.rollout.namespace, input.rollout.name, group.protectedTotal, count(group.protected)],
		),
		"severity": "high",
		"details": {"checked": count(group.protected), "total": group.protectedTotal},
		"remediation": "Narrow the PatchPolicy's selector.",
	}
}

first := array.slice(sort(refused), 0, 5)
