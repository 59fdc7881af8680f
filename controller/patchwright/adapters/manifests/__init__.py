"""Manifests from YAML and JSON files.

LAW: all or nothing; one fault anywhere means that nothing is taken. The operator, ``patchwright check`` and the sandbox
read through here and through nothing else, so that CI and the cluster agree.
"""

from patchwright.adapters.manifests.parse import Validate as Validate
from patchwright.adapters.manifests.parse import parse_manifests as parse_manifests
