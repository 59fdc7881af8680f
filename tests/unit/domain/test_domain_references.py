"""Image references: what kubelet would pull, name by name (the cases of distribution/reference, and ours)."""

from __future__ import annotations

import pytest

from patchwright.domain.images import reference
from patchwright.domain.images.reference import InvalidReference, Reference

SHA = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("nginx", "docker.io", "library/nginx", None, None),
        ("nginx:1.27-alpine", "docker.io", "library/nginx", "1.27-alpine", None),
        ("acme/api", "docker.io", "acme/api", None, None),
        ("docker.io/nginx:1", "docker.io", "library/nginx", "1", None),
        ("index.docker.io/acme/api", "docker.io", "acme/api", None, None),
        ("ghcr.io/acme/api:v1", "ghcr.io", "acme/api", "v1", None),
        ("ghcr.io/nginx", "ghcr.io", "nginx", None, None),
        (f"ghcr.io/acme/api:v1@{SHA}", "ghcr.io", "acme/api", "v1", SHA),
        (f"nginx@{SHA}", "docker.io", "library/nginx", None, SHA),
        (f"nginx@sha512:{'0' * 128}", "docker.io", "library/nginx", None, f"sha512:{'0' * 128}"),
        ("localhost/x", "localhost", "x", None, None),
        ("localhost:5000/x:y", "localhost:5000", "x", "y", None),
        ("[::1]:5000/x", "[::1]:5000", "x", None, None),
        ("UPPER/x", "UPPER", "x", None, None),
        ("192.168.1.1:5000", "docker.io", "library/192.168.1.1", "5000", None),
        (f"docker.io/{'f' * 64}", "docker.io", f"library/{'f' * 64}", None, None),
    ],
)
def test_a_reference_is_read_as_kubelet_reads_it(
    text: str, registry: str, repository: str, tag: str | None, digest: str | None
) -> None:
    found = reference.parse(text)
    assert found == Reference(registry, repository, tag=tag, digest=digest)
    assert reference.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no image reference: the repository '' is empty; correct it."),
        (":1", "is empty"),
        (f"@{SHA}", "is empty"),
        ("acme/Api", "the repository 'acme/Api' holds capital letters"),
        ("acme//api", "is no path of lower-case words"),
        ("https://ghcr.io/acme/api", "it begins with a scheme; leave that out."),
        ("nginx:", "the tag '' is no tag"),
        ("nginx:-x", "the tag '-x' is no tag"),
        (f"nginx:{'t' * 129}", "is no tag"),
        ("nginx:é", "is no tag"),
        ("nginx@sha256:abc", "the digest 'sha256:abc' is no digest"),
        (f"nginx@sha256:{'A' * 64}", "is no digest"),
        (f"nginx@md5:{'a' * 32}", "is no digest"),
        ("nginx\n", "is no path"),
        ("nginx:1\n", "is no tag"),
        ("foo_bar.com/x", "the registry 'foo_bar.com' is no host name with an optional port"),
        ("[fe80::1%eth0]:5000/x", "is no host name"),
        ("f" * 64, "is an image's ID; name the image as repository@sha256:<digest>."),
        (f"ghcr.io/{'x' * 256}", "is longer than 255 characters"),
        ("x" * 1025, "is longer than 1024 characters"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_part_that_is_wrong(text: str, why: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        reference.parse(text)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 300


def test_what_a_registry_is_asked_for_is_the_digest_then_the_tag_then_latest() -> None:
    bare = reference.parse("ghcr.io/acme/api")
    assert bare.version == "latest"
    assert bare.tagged("v2").version == "v2"
    assert bare.tagged("v2").pinned(SHA).version == SHA
    assert str(bare.tagged("v2").pinned(SHA)) == f"ghcr.io/acme/api:v2@{SHA}"


def test_another_tag_has_another_digest() -> None:
    assert reference.parse(f"acme/api:v1@{SHA}").tagged("v2").digest is None


def test_nobody_can_make_a_reference_that_is_none() -> None:
    with pytest.raises(InvalidReference, match="is no tag"):
        reference.parse("nginx").tagged("a b")
