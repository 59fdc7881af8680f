"""An operator that starts with its CRDs: kopf looks for kinds once, so they have to be told of before it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from patchwright import errors
from patchwright.adapters.kube import client, prime
from support.fault_proxy import Fault, FaultProxy
from support.operator_stage import Stage

pytestmark = pytest.mark.controlplane

NO_GROUPS = {"kind": "APIGroupList", "groups": []}
NO_KINDS = {"kind": "APIResourceList", "resources": [{"name": "patchpolicies"}, {"name": "patchpolicies/status"}]}


@pytest.mark.parametrize(
    ("path", "body", "missing"),
    [
        ("/apis$", NO_GROUPS, "patchpolicies, patchrollouts, policyrepositories"),
        ("/apis/patchwright.dev/v1alpha1$", NO_KINDS, "patchrollouts, policyrepositories"),
    ],
    ids=["group", "kinds"],
)
async def test_kinds_that_discovery_does_not_name_yet_are_waited_for(
    stage: Stage, tmp_path: Path, path: str, body: object, missing: str
) -> None:
    async with FaultProxy(stage.plane.kubeconfig) as proxy:
        kube = await client.connect(proxy.kubeconfig(tmp_path / "kubeconfig"))
        proxy.inject(Fault(path, status=200, body=body, times=1))
        with pytest.raises(
            errors.ClusterUnavailable, match=f"does not list {missing} of patchwright.dev yet"
        ) as raised:
            await prime.discovered(kube)
        assert raised.value.retry_after == 0.5
        await prime.discovered(kube)
        await kube.close()
