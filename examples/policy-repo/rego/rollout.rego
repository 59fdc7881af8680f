# METADATA
# title: What may be rolled out to our fleet
# description: >-
#   The rules of Patchwright's library, with the parameters of parameters.yaml. Rules of our own are in files beside this
#   one, in the same package.
package patchwright.rollout

import data.patchwright.library

deny_blast_radius contains violation if some violation in library.blast_radius.deny

deny_canary_required contains violation if some violation in library.canary_required.deny

deny_freeze_window contains violation if some violation in library.freeze_windows.deny

deny_minimum_release_age contains violation if some violation in library.minimum_release_age.deny

deny_pinned_versions contains violation if some violation in library.pinned_versions.deny

deny_protected_nodes contains violation if some violation in library.protected_nodes.deny
