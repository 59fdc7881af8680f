# METADATA
# title: The default policy for rollouts
# description: >-
#   Every rule of the library, with the parameters of the repository. It is in force for a repository that brings no
#   package patchwright.rollout of its own; one that does repeats the lines it wants.
# custom:
#   severity: high
#   category: Change management
package patchwright.rollout

import data.patchwright.library

deny_allowed_registries contains violation if some violation in library.allowed_registries.deny

deny_blast_radius contains violation if some violation in library.blast_radius.deny

deny_canary_required contains violation if some violation in library.canary_required.deny

deny_freeze_window contains violation if some violation in library.freeze_windows.deny

deny_minimum_image_age contains violation if some violation in library.minimum_image_age.deny

deny_minimum_release_age contains violation if some violation in library.minimum_release_age.deny

deny_pinned_versions contains violation if some violation in library.pinned_versions.deny

deny_protected_namespaces contains violation if some violation in library.protected_namespaces.deny

deny_protected_nodes contains violation if some violation in library.protected_nodes.deny

deny_required_attestations contains violation if some violation in library.required_attestations.deny

deny_signed_images contains violation if some violation in library.signed_images.deny
