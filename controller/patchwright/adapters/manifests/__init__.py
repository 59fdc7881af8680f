"""Manifests from YAML and JSON files.

LAW: strict, bounded, all or nothing. What two YAML readers could read differently is refused and named with file and
line, never guessed; one fault anywhere means that nothing is taken. The operator, ``patchwright check`` and the sandbox
read through here and through nothing else, so that CI and the cluster agree.
"""

from patchwright.adapters.manifests.documents import Document as Document
from patchwright.adapters.manifests.documents import Json as Json
from patchwright.adapters.manifests.documents import YamlLimits as YamlLimits
from patchwright.adapters.manifests.documents import field_path as field_path
from patchwright.adapters.manifests.parse import Validate as Validate
from patchwright.adapters.manifests.parse import parse_manifests as parse_manifests
from patchwright.adapters.manifests.strict_yaml import load_documents as load_documents
