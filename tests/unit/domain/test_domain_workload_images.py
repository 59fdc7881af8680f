"""Which images a change is about, how they are compared, and what they are put back to."""

from __future__ import annotations

import pytest

from patchwright.domain import changes
from patchwright.domain.images import reference
from patchwright.domain.images.reference import Reference
from patchwright.domain.model import ImagePin, ImagesChange, NodeTarget
from patchwright.domain.workloads import images
from patchwright.domain.workloads.view import ImageField
from support import builders
from support.image_builders import NEW, OLD, PIN, REPOSITORY, TAGGED, policy


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nginx", Reference("docker.io", "library/nginx")),
        ("nginx:1.25", Reference("docker.io", "library/nginx", "1.25")),
        ("docker.io/nginx", Reference("docker.io", "library/nginx")),
        ("acme/web:1", Reference("docker.io", "acme/web", "1")),
        (f"ghcr.io/acme/web:1.0@{OLD}", Reference("ghcr.io", "acme/web", "1.0", OLD)),
        ("localhost/web", Reference("localhost", "web")),
        ("registry:5000/team/web", Reference("registry:5000", "team/web")),
        ("[2001:db8::1]:5000/web:1", Reference("[2001:db8::1]:5000", "web", "1")),
    ],
)
def test_a_reference_is_read_as_container_runtimes_read_it(text: str, found: Reference) -> None:
    assert reference.parse(text) == found


@pytest.mark.parametrize("text", ["", "acme/Web", "web:", "a//b", "-x"])
def test_what_is_no_reference_is_refused_with_the_text(text: str) -> None:
    with pytest.raises(ValueError, match="is no image reference"):
        reference.parse(text)


def test_a_broken_image_belongs_to_no_repository() -> None:
    assert images.repository("Not An Image") == ""
    assert not images.covers(("ghcr.io/acme/*",), "Not An Image")
    assert images.pin_of(ImagesChange((ImagePin("Broken!", NEW),)), "Not An Image") is None


@pytest.mark.parametrize(
    ("name", "image", "covered"),
    [
        (REPOSITORY, TAGGED, True),
        ("nginx", "docker.io/library/nginx:1.2", True),
        ("ghcr.io/acme/*", TAGGED, True),
        ("ghcr.io/acme/*", "ghcr.io/acme/team/web", True),
        ("ghcr.io/acme/*", "ghcr.io/acme2/web", False),
        ("ghcr.io/acme/*", "ghcr.io/acme", False),
        ("ghcr.io/acme/web2", TAGGED, False),
        ("BAD/*", TAGGED, False),
    ],
)
def test_a_policy_covers_a_repository_or_all_below(name: str, image: str, covered: bool) -> None:
    assert images.covers((name,), image) is covered


def field(image: str, name: str = "web") -> ImageField:
    return ImageField("containers", 0, name, image)


def test_a_change_concerns_a_workload_that_runs_its_repository_whatever_the_tag() -> None:
    change = ImagesChange((PIN,))
    assert images.concerns(change, (field("nginx:1"), field(f"{REPOSITORY}:9@{NEW}")))
    assert not images.concerns(change, (field("nginx:1"),))


def test_the_same_digest_by_another_tag_is_no_news() -> None:
    change, there = ImagesChange((PIN,)), (field(f"{REPOSITORY}:9@{NEW}"),)
    assert images.outdated(change, there) == ()
    assert images.current(change, there)
    assert not images.current(change, (field(TAGGED), field("other:1")))


@pytest.mark.parametrize(
    ("replaces", "image", "due"),
    [
        ((), TAGGED, True),
        (("1.0",), TAGGED, True),
        (("1.0",), f"{TAGGED}@{OLD}", True),
        ((OLD,), f"{TAGGED}@{OLD}", True),
        (("0.9", "1.0"), TAGGED, True),
        (("0.9",), TAGGED, False),
        ((OLD,), TAGGED, False),
        (("latest",), REPOSITORY, True),
        (("latest",), f"{REPOSITORY}@{OLD}", False),
    ],
)
def test_only_what_is_to_be_replaced_is_replaced(replaces: tuple[str, ...], image: str, due: bool) -> None:
    pin = ImagePin(REPOSITORY, NEW, replaces=replaces)
    assert bool(images.outdated(ImagesChange((pin,)), (field(image),))) is due


def test_an_image_goes_back_to_its_string_pinned_to_what_ran() -> None:
    assert images.pinned(TAGGED, OLD) == f"{TAGGED}@{OLD}"
    assert images.pinned(f"{TAGGED}@{OLD}", NEW) == f"{TAGGED}@{OLD}"
    assert images.pinned(TAGGED, "") == TAGGED


@pytest.mark.parametrize(
    ("image_id", "digest"),
    [
        (f"ghcr.io/acme/web@{OLD}", OLD),
        (f"docker-pullable://ghcr.io/acme/web@{OLD}", OLD),
        (OLD, ""),
        (f"docker://{OLD}", ""),
        ("", ""),
    ],
)
def test_the_digest_of_a_configuration_is_none_that_a_registry_knows(image_id: str, digest: str) -> None:
    assert images.digest(image_id) == digest


def test_what_most_pods_run_is_what_ran() -> None:
    assert images.most_run([OLD, NEW, NEW, ""]) == NEW
    assert images.most_run([NEW, OLD]) == OLD
    assert images.most_run(["", ""]) == ""


def test_a_bad_digest_is_as_bad_under_another_tag_or_name() -> None:
    def known(*pins: ImagePin) -> str:
        return changes.change_id(ImagesChange(pins))

    one, two = ImagePin("nginx", NEW, tag="1"), ImagePin("docker.io/library/nginx", NEW, tag="2", replaces=("0.9",))
    assert known(one) == known(two)
    assert known(one, PIN) == known(PIN, two)
    assert known(one) != known(ImagePin("nginx", OLD, tag="1"))


def test_a_policy_that_was_edited_to_target_workloads_has_the_defaults_for_nodes() -> None:
    assert policy().nodes == NodeTarget()
    assert builders.policy().nodes == NodeTarget()


def test_a_change_of_images_is_named_for_people_by_one_word() -> None:
    bare = ImagePin("docker.io/library/nginx", NEW)
    assert bare.wanted == f"docker.io/library/nginx@{NEW}"
    assert ImagesChange((PIN, bare)).version == "web:1.1+nginx@sha256:111111111111"
    assert len(ImagesChange((ImagePin("a" * 200, NEW, tag="b" * 100),)).version) == 128
