"""Whatever a file looks like: only the bytes of the image's scalars change, and the way back gives every byte back."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from patchwright.adapters import yamltree
from patchwright.domain.writeback import edits
from patchwright.domain.writeback.edits import Plan, Swap
from patchwright.domain.writeback.places import Scope
from patchwright.domain.writeback.tree import File
from patchwright.domain.writeback.versions import Version

IMAGE = "ghcr.io/acme/web"
DIGESTS = st.sampled_from(["sha256:" + digit * 64 for digit in "abcdef"])
TAGS = st.from_regex(r"[0-9A-Za-z_][0-9A-Za-z_.-]{0,6}", fullmatch=True)
VERSIONS = st.builds(Version, TAGS, st.one_of(st.just(""), DIGESTS))
QUOTES = st.sampled_from(["", "'", '"'])
BREAKS = st.sampled_from(["\n", "\r\n"])
COMMENTS = st.sampled_from(["", "  # keep", " # ümläut ☃", ' # {"$imagepolicy": "flux-system:web"}', "\t#x"])
NOISE = st.sampled_from(
    [
        "",
        "# comment: ghcr.io/acme/web:1.2",
        "# é 漢 𝄞",
        "note: &n [1, 'zwei', \"dr\\u00e9i\"]\nagain: *n",
        "text: |\n  image: x",
    ]
)


@st.composite
def places(draw: st.DrawFn, version: Version) -> str:
    """Give one line (or two) of values that sets a version of the image, in one of the ways there are."""
    quote, comment, pad = draw(QUOTES), draw(COMMENTS), " " * draw(st.integers(1, 3))
    tag = quote or ("'" if yaml.load(version.tag, Loader=yaml.CSafeLoader) != version.tag else "")
    if draw(st.booleans()):
        return f"image:{pad}{quote}{IMAGE}{version.suffix}{quote}{comment}"
    if version.digest and draw(st.booleans()):
        parts = f"tag:{pad}{tag}{version.tag}{tag}{comment}\n  digest: {quote}{version.digest}{quote}"
    else:
        both = str(version)
        tag = tag if "@" not in both else quote
        parts = f"tag:{pad}{tag}{both}{tag}{comment}"
    return f"image:\n  repository: {IMAGE}\n  {parts}"


@st.composite
def files(draw: st.DrawFn, version: Version) -> File:
    """Give a file of several documents, some of which set the version."""
    documents = []
    for _ in range(draw(st.integers(1, 4))):
        lines = [draw(NOISE), draw(st.one_of(places(version), st.just("other: {image: docker.io/library/nginx:1}")))]
        documents.append("\n".join(line for line in lines if line))
    text = draw(st.sampled_from(["", "\ufeff"])) + "\n---\n".join([draw(places(version)), *documents]) + "\n"
    return yamltree.read("values.yaml", text.replace("\n", draw(BREAKS)).encode())


def tokens(content: bytes) -> list[Any]:
    """Give what a reader takes from a file, but for the image."""
    return list(yaml.load_all(content.decode("utf-8-sig"), Loader=yaml.CSafeLoader))


def outside(file: File, plan: Plan, *, new: bool) -> list[bytes]:
    """Cut a file at its edits and give what is between."""
    content = edits.apply([file], plan.edits)[file.path] if new else file.content
    found, start, grown = [], 0, 0
    for edit in sorted(plan.edits, key=lambda edit: edit.start):
        at = edit.start + (grown if new else 0)
        found.append(content[start:at])
        start = at + len(edit.new if new else edit.old)
        grown += len(edit.new) - len(edit.old)
    return [*found, content[start:]]


@st.composite
def cases(draw: st.DrawFn) -> tuple[File, Swap]:
    was, to = draw(VERSIONS), draw(VERSIONS)
    return draw(files(was)), Swap(Scope(IMAGE), was=was, to=to)


@given(cases())
def test_only_the_bytes_of_the_images_scalars_change(case: tuple[File, Swap]) -> None:
    file, swap = case
    plan = edits.plan([file], swap)
    if plan.fault or not plan.edits:
        return
    assert outside(file, plan, new=False) == outside(file, plan, new=True)


@given(cases())
def test_a_reader_finds_the_new_version_and_everything_else_as_it_was(case: tuple[File, Swap]) -> None:
    file, swap = case
    plan = edits.plan([file], swap)
    if plan.fault or not plan.edits:
        return
    after = edits.apply([file], plan.edits)[file.path]
    again = edits.plan([yamltree.read(file.path, after)], swap)
    assert again.edits == ()
    assert len(again.there) == len(plan.there) + len(
        {edit.where.removesuffix(".tag").removesuffix(".digest") for edit in plan.edits}
    )
    before, found = tokens(file.content), tokens(after)
    assert [_without(document) for document in found] == [_without(document) for document in before]


def _without(document: Any) -> Any:
    """Give a document without the image's version, which must be a text wherever it stands."""
    if not isinstance(document, dict) or "image" not in document:
        return document
    image = document["image"]
    texts = image.values() if isinstance(image, dict) else [image]
    assert all(isinstance(text, str) for text in texts)
    return {key: value for key, value in document.items() if key != "image"}


@given(cases())
def test_an_edit_and_its_way_back_are_each_others_inverse_byte_by_byte(case: tuple[File, Swap]) -> None:
    file, swap = case
    plan = edits.plan([file], swap)
    if plan.fault or not plan.edits:
        return
    after = yamltree.read(file.path, edits.apply([file], plan.edits)[file.path])
    undoing = edits.undo_all([after], plan.edits, [swap])
    assert undoing.fault is None
    assert edits.apply([after], undoing.edits) == {file.path: file.content}
    # And forward again, as after a rollback that somebody asked to be tried once more.
    assert edits.plan([file], swap) == plan


@given(st.binary(max_size=200))
def test_no_file_breaks_the_reader(content: bytes) -> None:
    file = yamltree.read("a.yaml", content)
    swap = Swap(Scope(IMAGE), was=Version("1"), to=Version("2"))
    assert edits.plan([file], swap).edits == ()
