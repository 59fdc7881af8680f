"""What may be said of a wanted image, on the real API server: it judges as the models do, in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from patchwright import errors
from patchwright.sandbox import client, controlplane
from support import api_images
from support.api_images import Case

pytestmark = pytest.mark.controlplane

_CRD = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{api_images.PLURAL}.{api_images.GROUP}"
_DRY = {"dryRun": "All", "fieldValidation": "Strict"}


@pytest.fixture(scope="module")
def api(sandbox: controlplane.ControlPlane) -> client.Client:
    """A client of a server that knows a list of 64 wanted images: past the cost budget of CEL it would refuse them."""
    sandbox.api.apply(_CRD, api_images.definition(), manager="test-images")
    sandbox.api.wait(_CRD, lambda found: {"Established", "NamesAccepted"} <= _true(found))
    sandbox.api.wait(f"/apis/{api_images.GROUP}/v1", lambda found: bool(found.get("resources")))
    return sandbox.api


def _true(found: Any) -> set[str]:
    conditions = found.get("status", {}).get("conditions") or ()
    return {each["type"] for each in conditions if each["status"] == "True"}


def refusal(api: client.Client, spec: Mapping[str, Any]) -> str:
    """Give what the server says against a spec, without creating anything; empty when it takes it."""
    path = f"/apis/{api_images.GROUP}/v1/namespaces/default/{api_images.PLURAL}"
    try:
        api.request("POST", path, api_images.manifest(spec), query=_DRY)
    except errors.Denied as error:
        return str(error)
    return ""


def test_the_api_server_has_nothing_against_the_schema(api: client.Client) -> None:
    assert "NonStructuralSchema" not in _true(api.get(_CRD))


@pytest.mark.parametrize("case", api_images.WRONG, ids=str)
def test_what_is_wrong_is_refused_in_the_words_of_the_model(api: client.Client, case: Case) -> None:
    said = refusal(api, case.spec)
    if case.told_by_server is None:
        assert said == ""
    else:
        assert case.told_by_server in said


@pytest.mark.parametrize("case", api_images.RULES, ids=str)
def test_a_broken_rule_is_told_at_the_path_of_the_model(api: client.Client, case: Case) -> None:
    assert f"{case.blamed}: Invalid value" in refusal(api, case.spec)


@pytest.mark.parametrize("case", api_images.RIGHT, ids=str)
def test_what_is_right_is_taken(api: client.Client, case: Case) -> None:
    assert refusal(api, case.spec) == ""


def test_whole_entries_are_taken(api: client.Client) -> None:
    assert refusal(api, {"images": [*api_images.ENTRIES.values()]}) == ""
