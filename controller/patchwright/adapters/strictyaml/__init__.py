"""YAML (and JSON, which is YAML) as data: PyYAML and nobody else's business.

LAW: strict and bounded. What two YAML readers could read differently is refused and named with file and line, never
guessed. Manifests and the data of policies are read through here and through nothing else.
"""

from patchwright.adapters.strictyaml.documents import Document as Document
from patchwright.adapters.strictyaml.documents import Json as Json
from patchwright.adapters.strictyaml.documents import YamlLimits as YamlLimits
from patchwright.adapters.strictyaml.documents import field_path as field_path
from patchwright.adapters.strictyaml.documents import join as join
from patchwright.adapters.strictyaml.reader import load_documents as load_documents
