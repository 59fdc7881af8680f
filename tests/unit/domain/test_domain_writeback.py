"""Where files set an image's version, what is edited, what is refused, and the way back."""

from __future__ import annotations

import pytest

from patchwright.adapters import yamltree
from patchwright.domain.writeback import edits, places
from patchwright.domain.writeback.edits import Plan, Swap
from patchwright.domain.writeback.places import Scope
from patchwright.domain.writeback.tree import File
from patchwright.domain.writeback.versions import Version

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
WEB = Scope("ghcr.io/acme/web")
SWAP = Swap(WEB, was=Version("1.2", OLD), to=Version("1.3", NEW))
PINNED = f"1.3@{NEW}"

DEPLOYMENT = """\
# our shop
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    spec:
      initContainers:
        - {name: migrate, image: "ghcr.io/acme/web:1.2"}  # same image
      containers:
        - name: web
          image:   ghcr.io/acme/web:1.2   # keep this
        - name: proxy
          image: docker.io/library/envoy:1.2
      volumes:
        - name: data
          image: {reference: 'ghcr.io/acme/web:1.2'}
        - name: none
          emptyDir: {}
"""


def read(**files: str) -> list[File]:
    return [
        yamltree.read(name.replace("__", "/").replace("_yaml", ".yaml"), text.encode()) for name, text in files.items()
    ]


def planned(swap: Swap = SWAP, **files: str) -> Plan:
    return edits.plan(read(**files), swap)


def changed(swap: Swap = SWAP, **files: str) -> str:
    """Give the one file as the change leaves it, having seen that it can be taken back."""
    before = read(**files)
    plan = edits.plan(before, swap)
    assert plan.fault is None
    (after,) = edits.apply(before, plan.edits).values()
    undoing = edits.undo_all([yamltree.read(before[0].path, after)], plan.edits, [swap])
    assert undoing.fault is None
    assert edits.apply([yamltree.read(before[0].path, after)], undoing.edits) == {before[0].path: before[0].content}
    return after.decode()


def fault(swap: Swap = SWAP, **files: str) -> tuple[str, str]:
    found = planned(swap, **files).fault
    assert found is not None
    return found


def test_a_pod_templates_images_change_and_nothing_else_does() -> None:
    assert changed(web_yaml=DEPLOYMENT) == DEPLOYMENT.replace("acme/web:1.2", f"acme/web:{PINNED}")


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [("StatefulSet", "", ""), ("DaemonSet", "", ""), ("Rollout", "", ""), ("CronJob", "jobTemplate: {spec: {", "}}")],
)
def test_every_kind_that_is_patched_is_read(kind: str, before: str, after: str) -> None:
    text = (
        f"kind: {kind}\nmetadata: {{name: web}}\nspec: {{{before or ''}"
        f"template: {{spec: {{containers: [{{name: web, image: ghcr.io/acme/web:1.2}}]}}}}{after}}}\n"
    )
    assert changed(web_yaml=text) == text.replace("web:1.2", f"web:{PINNED}")


def test_kinds_that_are_never_patched_are_never_edited() -> None:
    text = "kind: Job\nmetadata: {name: web}\nspec: {template: {spec: {containers: [{image: ghcr.io/acme/web:1.2}]}}}\n"
    assert fault(web_yaml=text) == ("ImageNotFound", "no file sets its version")


def test_pod_templates_of_other_workloads_are_left_when_workloads_are_named() -> None:
    other = DEPLOYMENT.replace("  name: web\nspec", "  name: shop\nspec")
    only = Swap(Scope(WEB.repository, frozenset({("Deployment", "web")})), was=SWAP.was, to=SWAP.to)
    assert {edit.path for edit in planned(only, web_yaml=DEPLOYMENT, shop_yaml=other).edits} == {"web.yaml"}


def test_items_of_a_list_and_further_documents_are_read() -> None:
    item = "kind: Deployment\n    spec: {template: {spec: {containers: [{image: ghcr.io/acme/web:1.2}, just text]}}}\n"
    text = f"# first\n--- \njust text\n---\nkind: List\nitems:\n  - text\n  - metadata: {{name: x}}\n    {item}...\n"
    assert changed(all_yaml=text) == text.replace("web:1.2", f"web:{PINNED}")


@pytest.mark.parametrize(
    ("entry", "after"),
    [
        ("newTag: '1.2'", f"newTag: '{PINNED}'"),
        ("newTag: v1 # x", None),
        (f"newTag: 1.2\n    digest: {OLD}", f'newTag: "1.3"\n    digest: {NEW}'),
        (f'newTag: "1.2"\n    digest: "{OLD}"', f'newTag: "1.3"\n    digest: "{NEW}"'),
        (f"digest: {OLD}", f"digest: {NEW}"),
        (f"newTag: 1.2@{OLD}", f"newTag: {PINNED}"),
    ],
)
def test_kustomizes_images_change_by_their_tag_and_digest(entry: str, after: str | None) -> None:
    text = f"images:\n  - name: web\n    newName: ghcr.io/acme/web\n    {entry}\n  - name: other\n    newTag: '1.2'\n"
    if after is None:
        where = "somebody else has changed it: app/kustomization.yaml:4 has v1"
        assert fault(app__kustomization_yaml=text) == ("WriteBackConflict", where)
    else:
        assert changed(app__kustomization_yaml=text) == text.replace(entry, after, 1)


def test_flux_kustomizations_and_post_renderers_have_kustomizes_images_too() -> None:
    images = "images: [{name: ghcr.io/acme/web, newTag: 1.2.0}, 7]"
    swap = Swap(WEB, was=Version("1.2.0"), to=Version("1.3.0", NEW))
    flux = f"apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec: {{{images}}}\n"
    assert changed(swap, kustomization_yaml=flux) == flux.replace("1.2.0", f"1.3.0@{NEW}")
    release = f"kind: HelmRelease\nspec:\n  postRenderers:\n    - kustomize: {{{images}}}\n"
    assert changed(swap, release_yaml=release) == release.replace("1.2.0", f"1.3.0@{NEW}")


@pytest.mark.parametrize(
    ("values", "after"),
    [
        ("image: {repository: ghcr.io/acme/web, tag: 1.2}", f"tag: {PINNED}"),
        ("image: {registry: ghcr.io, repository: acme/web, tag: '1.2'}", f"tag: '{PINNED}'"),
        ('a: [{image: ghcr.io/acme/web, tag: 1.2, digest: ""}]', f'tag: "1.3", digest: "{NEW}"'),
        (f"image: {{repository: ghcr.io/acme/web, digest: {OLD}}}", f"digest: {NEW}"),
        ("sidecarImage: ghcr.io/acme/web:1.2", f"ghcr.io/acme/web:{PINNED}"),
        ("image: ghcr.io/acme/web:1.2\ntag: of something else", f"ghcr.io/acme/web:{PINNED}"),
    ],
)
def test_helm_values_change_by_what_they_have(values: str, after: str) -> None:
    for text in (
        f"# values\n{values}\n",
        f"kind: HelmRelease\nspec:\n  values: {{{values}}}\n".replace("\ntag", ", tag"),
    ):
        found = changed(values_yaml=text)
        assert after in found
        assert found.count("1.2") == 0
        assert len(found.splitlines()) == len(text.splitlines())


def test_a_values_file_that_leaves_the_version_to_the_chart_is_told() -> None:
    text = "image: {repository: ghcr.io/acme/web, tag: ''}\n"
    reason, message = fault(values_yaml=text)
    assert reason == "WriteBackRefused"
    assert message == "no version is set: values.yaml:1 names it, and its chart fills in the version"
    assert fault(values_yaml="image: {repository: ghcr.io/acme/web}\n") == (reason, message)


def test_a_file_that_names_it_without_a_version_is_in_nobodys_way() -> None:
    plan = planned(base_yaml="image: {repository: ghcr.io/acme/web}\n", web_yaml=DEPLOYMENT)
    assert plan.fault is None
    assert len(plan.edits) == 3


def test_fluxs_markers_tell_places_that_nothing_else_tells() -> None:
    text = f"""\
kind: Shop
spec:
  engine: ghcr.io/acme/web:1.2 # {{"$imagepolicy": "flux-system:web"}}
  apart:
    repo: ghcr.io/acme/web # {{"$imagepolicy": "flux-system:web:name"}}
    version: 1.2 # {{"$imagepolicy": "flux-system:web:tag"}}
    sum: {OLD} # {{"$imagepolicy": "flux-system:web:digest"}}
  alone:
    version: "1.2" # {{"$imagepolicy": "flux-system:web:tag"}}
  pinned:
    sum: {OLD} # {{ "$imagepolicy" : "flux-system:web:digest" }}
  foreign:
    version: 1.2 # {{"$imagepolicy": "flux-system:shop:tag"}}
"""
    after = changed(shop_yaml=text)
    lines = [line.split(" #")[0].strip() for line in after.splitlines()]
    assert lines[2] == f"engine: ghcr.io/acme/web:{PINNED}"
    assert lines[4:7] == ["repo: ghcr.io/acme/web", 'version: "1.3"', f"sum: {NEW}"]
    assert (lines[8], lines[10], lines[12]) == (f'version: "{PINNED}"', f"sum: {NEW}", "version: 1.2")


def test_a_place_that_a_marker_tells_too_is_changed_once() -> None:
    text = 'tag: v\n---\nimage: ghcr.io/acme/web:1.2 # {"$imagepolicy": "a:web"}\n--- # list\n[a]\n'
    assert changed(values_yaml=text) == text.replace("web:1.2", f"web:{PINNED}")


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("image: &i ghcr.io/acme/web:1.2\nother: *i\n", 1, "is shared by the anchor &i"),
        ("base: &b {image: ghcr.io/acme/web:1.2}\nweb:\n  <<: *b\n", 1, "is shared by the anchor &b"),
        ("image: |\n  ghcr.io/acme/web:1.2\n", 1, "is a block of text (|)"),
        ("image: >-\n  ghcr.io/acme/web:1.2\n", 1, "is a block of text (>)"),
        ('\nimage: "ghcr.io\\/acme/web:1.2"\n', 2, "is spelled with escapes, or over several lines"),
        ('image: "ghcr.io/acme/web:{{ .tag }}"\n', 1, "is filled in by a template"),
        ("image: ghcr.io/acme/web:${TAG}\n", 1, "is filled in by a template"),
        ("image: {repository: ghcr.io/acme/web, tag: $(TAG)}\n", 1, "is filled in by a template"),
        (f"image: ghcr.io/acme/web:1.2@sha512:{'a' * 128}\n", 1, "has a version that cannot be read"),
        (
            "spec:\n  image: ghcr.io/acme/web:{{ .Values.tag }}\n  {{ if }}\n",
            2,
            "names it in a file that cannot be read (it is not YAML: could not find expected ':')",
        ),
    ],
)
def test_what_cannot_be_edited_safely_is_refused_with_its_line_and_reason(text: str, line: int, why: str) -> None:
    reason, message = fault(app__values_yaml=text)
    assert reason == "WriteBackRefused"
    assert message.startswith(f"app/values.yaml:{line} {why}"), message


def test_a_file_that_is_no_yaml_and_names_other_images_only_is_passed_over() -> None:
    template = "# image: ghcr.io/acme/web:1\nimage: x\nname: ghcr.io/acme/web\n{{ if }}\n"
    assert planned(a_yaml=template, web_yaml=DEPLOYMENT).fault is None


def test_an_anchor_that_nobody_uses_is_no_obstacle() -> None:
    text = "image: &i !!str ghcr.io/acme/web:1.2\n"
    assert changed(values_yaml=text) == f"image: &i !!str ghcr.io/acme/web:{PINNED}\n"


def test_a_version_that_somebody_else_has_set_is_named_and_not_overwritten() -> None:
    where = "somebody else has changed it: web.yaml:10 has 1.4, web.yaml:13 has 1.4, web.yaml:18 has 1.4"
    assert fault(web_yaml=DEPLOYMENT.replace("web:1.2", "web:1.4")) == ("WriteBackConflict", where)


def test_what_is_there_already_is_no_edit_and_no_fault() -> None:
    plan = planned(web_yaml=DEPLOYMENT.replace("web:1.2", f"web:{PINNED}"))
    assert (plan.fault, plan.edits, len(plan.there)) == (None, (), 3)


def test_the_same_tag_by_another_digest_is_another_version() -> None:
    swap = Swap(WEB, was=Version("1.2", OLD), to=Version("1.2", NEW))
    assert changed(swap, values_yaml=f"image: ghcr.io/acme/web:1.2@{OLD}\n") == f"image: ghcr.io/acme/web:1.2@{NEW}\n"
    assert changed(swap, values_yaml="image: ghcr.io/acme/web:1.2\n") == f"image: ghcr.io/acme/web:1.2@{NEW}\n"
    other = "sha256:" + "c" * 64
    assert fault(swap, values_yaml=f"image: ghcr.io/acme/web:1.2@{other}\n")[0] == "WriteBackConflict"


def test_an_image_without_a_tag_changes_when_that_is_what_runs() -> None:
    swap = Swap(Scope("docker.io/library/nginx"), was=Version(), to=Version("1.27", NEW))
    assert changed(swap, values_yaml="image: nginx\n") == f"image: nginx:1.27@{NEW}\n"
    assert fault(SWAP, values_yaml="image: ghcr.io/acme/web\n")[1].endswith("values.yaml:1 has no tag")


@pytest.mark.parametrize(
    ("to", "text"),
    [
        (Version(digest=NEW), "image: {repository: ghcr.io/acme/web, tag: 1.2}\n"),
        (Version(digest=NEW), f"image: {{repository: ghcr.io/acme/web, tag: 1.2, digest: {OLD}}}\n"),
        (Version("1.3"), f"image: {{repository: ghcr.io/acme/web, digest: {OLD}}}\n"),
        (Version("1.3"), f"image: {{repository: ghcr.io/acme/web, tag: 1.2, digest: {OLD}}}\n"),
    ],
)
def test_a_version_that_the_place_cannot_say_is_refused(to: Version, text: str) -> None:
    reason, message = fault(Swap(WEB, was=SWAP.was, to=to), values_yaml=text)
    assert reason == "WriteBackRefused"
    assert message.startswith(f"values.yaml:1 has no place for {to}: it is written as ")


@pytest.mark.parametrize(
    ("tag", "spelled"),
    [
        ("1.10", '"1.10"'), ("1.10.0", "1.10.0"), ("v1.10", "v1.10"), ("on", '"on"'), ("1e3", '"1e3"'),
        ("0x1f", '"0x1f"'), ("2026-01-01", '"2026-01-01"'), ("1.25-alpine", "1.25-alpine"), ("Null", '"Null"'),
        ("7", '"7"'), ("nan", '"nan"'), ("_x", "_x"),
    ],
)  # fmt: skip
def test_a_plain_tag_is_quoted_only_where_a_reader_would_take_it_for_something_else(tag: str, spelled: str) -> None:
    swap = Swap(WEB, was=Version("a"), to=Version(tag))
    assert changed(swap, kustomization_yaml="images: [{name: ghcr.io/acme/web, newTag: a}]\n").endswith(
        f" {spelled}}}]\n"
    )


def test_the_way_back_is_found_again_when_lines_have_moved_and_lists_were_reordered() -> None:
    plan = planned(web_yaml=DEPLOYMENT)
    after = edits.apply(read(web_yaml=DEPLOYMENT), plan.edits)["web.yaml"].decode()
    moved = after.replace("# our shop\n", "# our shop\n# another line\n")
    proxy = "        - name: proxy\n          image: docker.io/library/envoy:1.2\n"
    moved = moved.replace(proxy, "").replace("      containers:\n", f"      containers:\n{proxy}")
    undoing = edits.undo_all(read(web_yaml=moved), plan.edits, [SWAP])
    assert undoing.fault is None
    assert len(undoing.edits) == 3
    back = edits.apply(read(web_yaml=moved), undoing.edits)["web.yaml"].decode()
    assert back == moved.replace(f"web:{PINNED}", "web:1.2")


def test_a_value_that_somebody_has_changed_since_is_not_put_back_and_named() -> None:
    plan = planned(web_yaml=DEPLOYMENT)
    after = edits.apply(read(web_yaml=DEPLOYMENT), plan.edits)["web.yaml"].decode()
    theirs = after.replace(f"  ghcr.io/acme/web:{PINNED}", "  ghcr.io/acme/web:1.4")
    found = edits.undo_all(read(web_yaml=theirs), plan.edits, [SWAP]).fault
    where = "Deployment web: spec.template.spec.containers[web].image"
    assert found == (
        "RollbackConflict",
        f"somebody else has changed it since: web.yaml has ghcr.io/acme/web:1.4 at {where}",
    )
    gone = edits.undo_all([], plan.edits, [SWAP]).fault
    assert gone is not None
    assert "web.yaml has nothing at " in gone[1]


def test_what_is_back_already_is_no_edit() -> None:
    plan = planned(web_yaml=DEPLOYMENT)
    undoing = edits.undo_all(read(web_yaml=DEPLOYMENT), plan.edits, [SWAP])
    assert (undoing.fault, undoing.edits) == (None, ())


def test_a_place_that_two_workloads_share_is_edited_once_for_both() -> None:
    swaps = [Swap(Scope(WEB.repository, frozenset({("Deployment", name)})), was=SWAP.was, to=SWAP.to) for name in "ab"]
    files = read(kustomization_yaml="images: [{name: ghcr.io/acme/web, newTag: '1.2'}]\n")
    planned_edits = edits.plan_all(files, swaps).edits
    assert len(planned_edits) == 1
    after = read(kustomization_yaml=edits.apply(files, planned_edits)["kustomization.yaml"].decode())
    assert len(edits.undo_all(after, planned_edits, swaps).edits) == 1
    swaps[1] = Swap(swaps[1].scope, was=SWAP.was, to=Version("1.4"))
    why = "kustomization.yaml:1 is wanted in two versions at once"
    assert edits.plan_all(files, swaps).fault == ("WriteBackRefused", why)
    assert edits.plan_all([], swaps).fault == ("ImageNotFound", "no file sets its version")


def test_fields_of_one_name_are_each_put_back_once() -> None:
    text = DEPLOYMENT + "---\n" + DEPLOYMENT
    assert changed(web_yaml=text) == text.replace("acme/web:1.2", f"acme/web:{PINNED}")
    plan = planned(web_yaml=text)
    after = read(web_yaml=edits.apply(read(web_yaml=text), plan.edits)["web.yaml"].decode())
    assert len(edits.undo_all(after, plan.edits, [SWAP, SWAP]).edits) == 6


def test_a_swap_and_its_way_back_are_named_in_words() -> None:
    assert str(SWAP) == f"ghcr.io/acme/web from 1.2@{OLD} to {PINNED}"
    assert str(SWAP.back) == f"ghcr.io/acme/web from {PINNED} to 1.2@{OLD}"
    assert str(planned(web_yaml=DEPLOYMENT).edits[0]) == "web.yaml:10"


def test_more_than_five_places_are_counted() -> None:
    text = "".join(f"a{n}: {{image: ghcr.io/acme/web:9}}\n" for n in range(7))
    assert fault(values_yaml=text)[1].endswith("values.yaml:5 has 9 and 2 more")


def test_an_alias_within_itself_and_a_key_that_is_given_twice_are_faults() -> None:
    twice = "image: ghcr.io/acme/web:1.2\nimage: ghcr.io/acme/web:1.3\n"
    assert fault(a_yaml=twice)[1].startswith(
        "a.yaml:1 names it in a file that cannot be read (the key 'image' is given"
    )
    loop = yamltree.read("a.yaml", b"a: &a [*a]\n")
    assert (loop.fault, loop.fault_line) == ("the alias *a is inside of what it means", 1)


def test_places_are_told_by_file_and_line() -> None:
    assert [str(place) for place in places.find(read(web_yaml=DEPLOYMENT), WEB)] == [
        "web.yaml:10", "web.yaml:13", "web.yaml:18",
    ]  # fmt: skip
