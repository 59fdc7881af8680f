"""``patchwright operator``: run the controller."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from pathlib import Path

import click

from patchwright.handlers.operator import Operator
from patchwright.handlers.settings import Settings

_DEFAULT = Settings()


@click.command("operator")
@click.option("--namespace", envvar="POD_NAMESPACE", default=_DEFAULT.namespace, help="Where the operator lives.")
@click.option("--node-name", envvar="NODE_NAME", default="", help="The node it runs on, which is patched last.")
@click.option("--identity", envvar="POD_NAME", default=None, help="This replica's name in the Lease, and its pod's.")
@click.option("--kubeconfig", envvar="KUBECONFIG", type=click.Path(path_type=Path), default=None)
@click.option("--opa-url", envvar="PATCHWRIGHT_OPA_URL", default=_DEFAULT.opa_url, help="Where OPA answers.")
@click.option("--opa-token", envvar="PATCHWRIGHT_OPA_TOKEN", default=None, help="OPA's bearer token.")
@click.option(
    "--opa-binary", envvar="PATCHWRIGHT_OPA_BINARY", type=click.Path(path_type=Path), default=_DEFAULT.opa_binary
)
@click.option("--bundle-host", envvar="PATCHWRIGHT_BUNDLE_HOST", default=_DEFAULT.bundle_host)
@click.option("--bundle-port", envvar="PATCHWRIGHT_BUNDLE_PORT", type=int, default=_DEFAULT.bundle_port)
@click.option("--http-host", envvar="PATCHWRIGHT_HTTP_HOST", default=_DEFAULT.http_host)
@click.option("--http-port", envvar="PATCHWRIGHT_HTTP_PORT", type=int, default=_DEFAULT.http_port)
@click.option("--hook-token", envvar="PATCHWRIGHT_HOOK_TOKEN", default="", help="Bearer token of the webhook.")
@click.option("--git-cache", envvar="PATCHWRIGHT_GIT_CACHE", type=click.Path(path_type=Path), default=None)
@click.option("--leader-election/--no-leader-election", default=True)
@click.option(
    "--lease-seconds", type=float, default=_DEFAULT.lease_seconds, help="How long a dead leader's place holds."
)
@click.option(
    "--plain-http-registry", "plain_http_registries", multiple=True, help="A registry (host:port) asked without TLS."
)
@click.option(
    "--registry-address",
    "registry_addresses",
    type=(str, str),
    multiple=True,
    help="A registry (host:port) and the URL at which the operator reaches it.",
)
@click.option("--verbose", "-v", is_flag=True, help="Log what is decided, not only what goes wrong.")
def operator(*, verbose: bool, **options: object) -> None:
    """Run the controller until SIGTERM; exits with 1 when its lease was lost."""
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # kopf tells of every event that a handler took; with 5,000 nodes that is all a log would hold.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    given = {name: value for name, value in options.items() if value is not None}
    settings = Settings(**given)  # type: ignore[arg-type]  # click has checked each option's type
    # What was imported stays; each full collection would hold the loop for 50 ms to find that out anew.
    gc.freeze()
    sys.exit(0 if asyncio.run(Operator(settings).run()) else 1)
