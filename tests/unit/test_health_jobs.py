"""The Job of a health check: what it may do, and how long it stays."""

from __future__ import annotations

from typing import Any

from patchwright.adapters.health import jobs
from patchwright.domain.checks import JobCheck


def manifest(**probe: Any) -> dict[str, Any]:
    return jobs.manifest(JobCheck("smoke:1", **probe), name="smoke", seconds=120.9)


def test_it_runs_once_and_goes_by_itself() -> None:
    spec = manifest()["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (0, 120, 300)
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert jobs.manifest(JobCheck("smoke:1"), name="smoke", seconds=0.2)["spec"]["activeDeadlineSeconds"] == 1


def test_it_has_no_privilege_and_no_token_that_nobody_gave_it() -> None:
    pod = manifest()["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    [container] = pod["containers"]
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    named = manifest(service_account="smoke")["spec"]["template"]["spec"]
    assert (named["automountServiceAccountToken"], named["serviceAccountName"]) == (True, "smoke")


def test_what_is_left_out_is_the_image_s() -> None:
    [container] = manifest()["spec"]["template"]["spec"]["containers"]
    assert "command" not in container
    assert "args" not in container
    [container] = manifest(command=("a",), args=("b",), env=(("C", "d"),))["spec"]["template"]["spec"]["containers"]
    assert (container["command"], container["args"], container["env"]) == (["a"], ["b"], [{"name": "C", "value": "d"}])


def test_a_long_name_leaves_room_for_what_makes_it_unique() -> None:
    assert len(jobs.manifest(JobCheck("a"), name="n" * 63, seconds=1)["metadata"]["generateName"]) <= 58
