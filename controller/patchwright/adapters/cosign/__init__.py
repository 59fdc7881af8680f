"""Verifies what cosign attaches to images: by keys here, by identities with sigstore-python. Asks no network.

The registry's part, finding it, is ``adapters.registry.attached``. What verifies is imported when there is something to
verify: sigstore alone takes two seconds and 45 MiB, a fifth of what the operator may have.
"""

from __future__ import annotations

from patchwright.adapters.cosign.verifier import CosignVerifier

__all__ = ["CosignVerifier"]
