"""YAML as it is written: trees whose scalars know the bytes that spell them (``domain.writeback.tree``).

LAW: it reads and never writes. Where PyYAML and the bytes of the file do not say the same, a scalar is held:
nobody changes bytes that were not understood. ``adapters.strictyaml`` reads what people ask of us; here are files of
other tools, with their anchors, merge keys and tags, of which nothing is refused that does not have to be changed.
"""

from patchwright.adapters.yamltree.reader import read as read
