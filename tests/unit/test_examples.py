"""The example repository is valid as it stands, and as the demo shortens it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from patchwright.adapters import opa
from patchwright.adapters.git.tree import Ignore
from patchwright.adapters.manifests.parse import parse_manifests
from patchwright.api import parse
from patchwright.demo import attendant, cluster, examples, owned, pace, publisher, releases
from patchwright.domain import changes, tenancy
from patchwright.domain.model import PatchPolicy, Trigger
from patchwright.domain.targets import Brief
from patchwright.domain.workloads.procedure import WorkloadKind
from patchwright.errors import InvalidInput
from support import opa_server

NAMESPACE = "patchwright-system"
REPOSITORY = examples.directory() / "policy-repo"
REGISTRY = "127.0.0.1:40124"
APPLICATION = "http://127.0.0.1:40123/checkout.git"
PULL_REQUESTS = sorted((examples.directory() / "pull-requests").iterdir())


def below(folder: str, files: Mapping[str, str]) -> dict[str, bytes]:
    """Give the files of one folder, as the operator would read them."""
    hidden = Ignore((), "")
    found = {name: text for name, text in files.items() if name.startswith(f"{folder}/") and name not in hidden}
    return {name.removeprefix(f"{folder}/"): text.encode() for name, text in found.items()}


def shortened(files: Mapping[str, str]) -> dict[str, str]:
    return pace.shortened(files, registry=REGISTRY, application=APPLICATION)


def in_the_demo() -> dict[str, str]:
    return {**examples.repository(), **shortened(examples.repository())}


@pytest.mark.parametrize("files", [examples.repository(), in_the_demo()], ids=["as it stands", "in the demo"])
def test_every_manifest_is_valid(files: dict[str, str]) -> None:
    found = parse_manifests(below("fleet", files), namespace=NAMESPACE, validate=parse.validate)
    assert sorted(str(each.key) for each in found) == [
        f"PatchPolicy {NAMESPACE}/checkout",
        f"PatchPolicy {NAMESPACE}/kernel",
        f"PatchPolicy {NAMESPACE}/security-updates",
        f"PatchPolicy {NAMESPACE}/storefront",
        f"PatchRollout {NAMESPACE}/openssl-3.0.17-1-deb12u3",
    ]


@pytest.mark.parametrize("files", [examples.repository(), in_the_demo()], ids=["as it stands", "in the demo"])
async def test_the_rego_becomes_a_bundle_with_its_tests_passed(files: dict[str, str]) -> None:
    bundle = await opa.BundleBuilder(opa_server.opa_path()).build(below("rego", files), "main@sha1:0")
    assert bundle.packages == ("patchwright.rollout",)


def test_the_rego_is_formatted_and_its_tests_run_on_a_laptop() -> None:
    for words in (["fmt", "--list", "--fail", "rego"], ["test", "--fail-on-empty", "rego"]):
        done = subprocess.run(
            [opa_server.opa_path(), *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


async def test_a_broken_rule_of_the_example_is_caught_by_its_own_tests() -> None:
    files = below("rego", examples.repository())
    files["reboots.rego"] = files["reboots.rego"].replace(b'!= "Never"', b'== "Always"')
    with pytest.raises(InvalidInput) as refused:
        await opa.BundleBuilder(opa_server.opa_path()).build(files, "main@sha1:0")
    assert "test_a_reboot_that_only_may_happen_is_refused_too" in str(refused.value.faults[0])


@pytest.mark.parametrize("path", PULL_REQUESTS, ids=lambda path: path.name)
def test_every_pull_request_of_the_demo_is_a_valid_rollout_of_a_policy_that_is_there(path: Path) -> None:
    (found,) = parse_manifests({path.name: path.read_bytes()}, namespace=NAMESPACE, validate=parse.validate)
    rollout = parse.parse_rollout(found.document)
    assert (REPOSITORY / "fleet" / "policies" / f"{rollout.policy_name}.yaml").exists()
    assert rollout.script.rollback is not None, "its policy has rollback enabled"


def test_the_second_attempt_is_the_same_change_under_another_name() -> None:
    one, other = (
        parse.parse_rollout({"metadata": {"name": "x"}, **yaml.safe_load(examples.pull_request(name))})
        for name in ("acme-cni-1.9.0.yaml", "acme-cni-1.9.0-once-more.yaml")
    )
    assert one.key != other.key
    assert changes.change_id(one.change) == changes.change_id(other.change)


def test_what_is_applied_by_hand_at_the_beginning_is_valid() -> None:
    document = yaml.safe_load((REPOSITORY / "bootstrap" / "policyrepository.yaml").read_text())
    assert parse.validate(document, kinds=frozenset(parse.SPECS)) == []
    account, role, binding = yaml.safe_load_all((REPOSITORY / "bootstrap" / "access.yaml").read_text())
    assert document["spec"]["serviceAccountName"] == account["metadata"]["name"]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"][0]["name"] == account["metadata"]["name"]
    assert [rule["apiGroups"] for rule in role["rules"]] == [["patchwright.dev"]], "nothing but our own kinds"


def test_the_folders_that_the_repository_follows_are_there() -> None:
    spec = yaml.safe_load((REPOSITORY / "bootstrap" / "policyrepository.yaml").read_text())["spec"]
    assert (REPOSITORY / spec["path"] / "policies").is_dir()
    assert (REPOSITORY / spec["rego"]["path"] / "parameters.yaml").is_file()


def test_the_demo_shortens_times_and_names_its_registry_and_changes_nothing_else() -> None:
    before = examples.repository()
    for name, text in shortened(before).items():
        lines = zip(before[name].splitlines(), text.splitlines(), strict=True)
        changed = [(old, new) for old, new in lines if old != new]
        assert changed
        for old, new in changed:
            words = ("soak", "Soak", "start", "end", "interval", "timeout", "days", "minimumReleaseAge")
            moved = old.replace("registry.example.com/", f"{REGISTRY}/")
            moved = moved.replace("https://git.example.com/checkout/deploy.git", APPLICATION)
            assert any(word in old for word in words) or new == moved, f"{old} became {new}"


def test_an_example_that_no_longer_fits_the_demo_is_noticed() -> None:
    files = examples.repository()
    files["rego/parameters.yaml"] = files["rego/parameters.yaml"].replace("1800", "3600")
    with pytest.raises(ValueError, match=r"rego/parameters\.yaml has 'minimumSoakSeconds: 1800' 0 times and not 1"):
        shortened(files)


@pytest.mark.parametrize(
    ("name", "image"), [(releases.POLICY, publisher.REPOSITORY), (owned.POLICY, publisher.APPLICATION)]
)
def test_each_policy_over_images_follows_what_the_demo_pushes_and_may_target_another_namespace(
    name: str, image: str
) -> None:
    policy = policy_of(name, in_the_demo())
    assert policy.trigger is Trigger.AUTOMATIC
    assert [each.name for each in policy.followed] == [publisher.Publisher(f"http://{REGISTRY}").image(image)]
    assert tenancy.fault(policy, operator_namespace=NAMESPACE) == ""


def policy_of(name: str, files: Mapping[str, str]) -> PatchPolicy:
    found = parse_manifests(below("fleet", files), namespace=NAMESPACE, validate=parse.validate)
    (document,) = [each.document for each in found if (each.key.kind, each.key.name) == ("PatchPolicy", name)]
    return parse.parse_policy(document)


def test_the_application_of_the_demo_has_the_image_that_its_policy_writes_once_in_each_manifest() -> None:
    image = f"{REGISTRY}/{publisher.APPLICATION}:2.4.0@sha256:{'a' * 64}"
    before, after = examples.application(), pace.application(examples.application(), image=image)
    git = policy_of(owned.POLICY, in_the_demo()).write.git
    assert git is not None
    assert (git.url, git.path) == (APPLICATION, attendant.FOLDER)
    manifests = sorted(name for name in after if name.startswith(f"{git.path}/"))
    assert (
        sorted(name for name in after if after[name] != before[name])
        == manifests
        == ["deploy/api.yaml", "deploy/worker.yaml"]
    )
    for name in manifests:
        (deployment,) = yaml.safe_load_all(after[name])
        assert [one["image"] for one in deployment["spec"]["template"]["spec"]["containers"]] == [image]
        assert deployment["metadata"]["namespace"] == cluster.CHECKOUT
        assert "#" in after[name], "what people wrote beside it is there to be kept"


def test_the_automatic_example_follows_every_image_that_it_covers() -> None:
    file = examples.directory() / "images" / "automatic.yaml"
    (found,) = parse_manifests({file.name: file.read_bytes()}, namespace="shop", validate=parse.validate)
    policy = parse.parse_policy(found.document)
    assert policy.trigger is Trigger.AUTOMATIC
    assert [each.name for each in policy.followed] == [
        "ghcr.io/acme/web",
        "ghcr.io/acme/sidecars/*",
        "docker.io/library/nginx",
    ]
    assert tenancy.fault(policy, operator_namespace=NAMESPACE) == ""


def test_the_images_example_is_a_policy_and_a_rollout_that_it_covers() -> None:
    file = examples.directory() / "images" / "api.yaml"
    found = parse_manifests({file.name: file.read_bytes()}, namespace="shop", validate=parse.validate)
    policy, rollout = parse.parse_policy(found[0].document), parse.parse_rollout(found[1].document)
    brief = Brief(datetime(2026, 12, 3, tzinfo=UTC), rollout, policy)
    assert WorkloadKind().refusal(brief) is None
    assert tenancy.fault(policy, operator_namespace=NAMESPACE) == ""
