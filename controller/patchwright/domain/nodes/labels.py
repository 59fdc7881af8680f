"""The marks on Jobs, pods and nodes by which everybody finds them again."""

from __future__ import annotations

import hashlib
from typing import Final

ROLLOUT: Final = "patchwright.dev/rollout"
NODE: Final = "patchwright.dev/node"
STEP: Final = "patchwright.dev/step"
NODE_UID: Final = "patchwright.dev/node-uid"
DRAIN: Final = "patchwright.dev/drain"
DISABLED: Final = "disabled"
FINALIZER: Final = "patchwright.dev/rollout"
# A node that has it is left out of the load balancers of Services, whatever its value. Ours says who put it there, as
# Karpenter's value "karpenter" does, so that nobody else's is ever taken away (L5).
EXCLUDE: Final = "node.kubernetes.io/exclude-from-external-load-balancers"
EXCLUDED_BY_US: Final = "patchwright"

_LABEL_LIMIT = 63


def value(text: str) -> str:
    """Give ``text`` as a label value: as it is, or shortened with a digest where it is longer than 63 characters.

    A node's name may have 253 characters, which are legal in a label otherwise.
    """
    if len(text) <= _LABEL_LIMIT:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return f"{text[: _LABEL_LIMIT - 11].rstrip('.-')}-{digest}"
