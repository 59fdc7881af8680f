"""Policy decisions by OPA, and the bundles that OPA decides with.

One commit is one bundle is one revision; every question names the revision that must answer it (policy-and-git.md of
the design notes: check-to-use races). A repository's Rego is compiled by ``BundleBuilder`` (checked, type-checked,
tested, packed), served by ``BundleServer`` over HTTP with long polling, and asked through ``OpaPolicyEngine``.

Law: nothing of opa_client or aiohttp leaves this folder; errors leave as ``patchwright.errors.Policy*``, faults in
somebody's Rego as ``InvalidInput``.
"""

from patchwright.adapters.opa.builder import BundleBuilder
from patchwright.adapters.opa.bundle import Bundle
from patchwright.adapters.opa.config import BUNDLE_NAME, authorization_module, opa_arguments, opa_config
from patchwright.adapters.opa.engine import OpaPolicyEngine
from patchwright.adapters.opa.library import BUILTIN_REVISION
from patchwright.adapters.opa.server import BundleServer

__all__ = [
    "BUILTIN_REVISION",
    "BUNDLE_NAME",
    "Bundle",
    "BundleBuilder",
    "BundleServer",
    "OpaPolicyEngine",
    "authorization_module",
    "opa_arguments",
    "opa_config",
]
