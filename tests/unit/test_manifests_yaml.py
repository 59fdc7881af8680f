"""Strict YAML: what is refused, with which words, on which line."""

from __future__ import annotations

import time

import pytest

from patchwright.adapters.strictyaml import YamlLimits, field_path, load_documents
from patchwright.errors import Fault, InvalidInput


def faults_of(text: str | bytes, limits: YamlLimits | None = None) -> list[str]:
    content = text.encode() if isinstance(text, str) else text
    with pytest.raises(InvalidInput) as caught:
        load_documents("a.yaml", content, limits)
    assert caught.value.reason == "BuildFailed"
    return [str(fault) for fault in caught.value.faults]


def value_of(text: str) -> object:
    (document,) = load_documents("a.yaml", text.encode())
    return document.value


def test_plain_words_have_the_values_of_the_core_schema() -> None:
    text = "{a: 1, b: -2, c: 0x1F, d: 1.5, e: 1e3, f: true, g: False, h: null, i: ~, j: text, k: 1.2.3, l: '', m: .5}"
    assert value_of(text) == {
        "a": 1, "b": -2, "c": 31, "d": 1.5, "e": 1000.0, "f": True, "g": False, "h": None, "i": None,
        "j": "text", "k": "1.2.3", "l": "", "m": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    "word",
    ["yes", "No", "ON", "off", "y", "N", "0777", "0o17", "0b11", "1_000", "12:30:45", "22:00", "-1:30", "2026-11-23",
     "2026-11-23T10:00:00Z", "2026-1-2 3:04:05", ".inf", "-.INF", ".NaN", "=", "08", "99999999999999999999", "1e999",
     "0x1_0", "-0x10"],
)  # fmt: skip
def test_a_word_that_readers_disagree_on_must_be_quoted(word: str) -> None:
    (fault,) = faults_of(f"spec:\n  a: {word}\n")
    assert fault.startswith(f"a.yaml:2: spec.a: unquoted {word!r} is ")
    assert fault.endswith("; quote it")
    assert value_of(f"a: '{word}'") == {"a": word}
    assert value_of(f'a: "{word}"') == {"a": word}
    assert value_of(f"a: |-\n  {word}") == {"a": word}
    assert value_of(f"a: >-\n  {word}") == {"a": word}


@pytest.mark.parametrize("word", ["nginx:1.27", "1.2.3", "0 2 * * *", "10m", "v1", "1.x", "2h30m", "a<<b", "100%"])
def test_everyday_words_need_no_quotes(word: str) -> None:
    assert value_of(f"a: {word}") == {"a": word}


def test_a_number_of_a_megabyte_costs_no_time() -> None:
    started = time.perf_counter()
    faults_of("a: " + "9" * 1_000_000)
    assert time.perf_counter() - started < 2


def test_every_fault_is_told_at_once_with_file_and_line() -> None:
    text = """\
a: &anchor [1]
b: *anchor
a: 2
on: off
0777: x
? [c]
: d
<<: {e: f}
z: !!python/object x
s: !!str 5
"""
    assert faults_of(text) == [
        "a.yaml:1: a: anchors and aliases are not accepted; write the value out",
        "a.yaml:2: b: anchors and aliases are not accepted; write the value out",
        "a.yaml:3: a: the key is given twice, first on line 1",
        "a.yaml:4: unquoted 'on' is a boolean to some readers; quote it",
        "a.yaml:4: on: unquoted 'off' is a boolean to some readers; quote it",
        "a.yaml:5: unquoted '0777' is an octal number to some readers; quote it",
        "a.yaml:6: a key must be a string",
        "a.yaml:8: merge keys (<<) are not accepted; write the fields out",
        "a.yaml:9: z: the tag 'tag:yaml.org,2002:python/object' is not accepted; remove it",
        "a.yaml:10: s: the tag 'tag:yaml.org,2002:str' is not accepted; remove it",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: \xff", "a.yaml:1: the file is not UTF-8 text"),
        ("a: b\nc: ü".encode("latin-1"), "a.yaml:2: the file is not UTF-8 text"),
        ("a: b".encode("utf-16"), "a.yaml:1: the file is not UTF-8 text"),
        (b"a: b\n\0", "a.yaml:2: the file is binary, not text"),
        (b"a: b\n\x01", "a.yaml:2: not YAML: a control character"),
        (b"a: b: c", "a.yaml:1: not YAML: mapping values are not allowed in this context"),
        (b"a: [1\nb: 2", "a.yaml:2: not YAML: did not find expected ',' or ']'"),
        (b"%YAML 1.1\n---\na: 1", "a.yaml:1: directives (%YAML, %TAG) are not accepted; remove them"),
        (b"1: a", "a.yaml:1: the key '1' is not a string; quote it"),
        (b"null: a", "a.yaml:1: the key 'null' is not a string; quote it"),
        (b"---\na: b\n---\nc: [yes]", "a.yaml:4: c[0]: unquoted 'yes' is a boolean to some readers; quote it"),
    ],
)
def test_a_fault_in_the_text_names_its_line(content: bytes, said: str) -> None:
    assert faults_of(content) == [said]


def test_the_limits_hold_for_bytes_depth_documents_and_values() -> None:
    limits = YamlLimits(file_bytes=1000, depth=4, documents=3, nodes=50)
    assert faults_of("#" * 1001, limits) == ["a.yaml: the file has 1001 bytes, more than 1000"]
    assert faults_of("[[[[[]]]]]", limits) == ["a.yaml:1: nested more than 4 levels deep"]
    assert faults_of("---\na: b\n" * 4, limits) == ["a.yaml:7: more than 3 documents"]
    assert faults_of("[" + "1," * 60 + "]", limits) == ["a.yaml:1: more than 50 values"]
    assert load_documents("a.yaml", b"[[[]]]", limits)[0].value == [[[]]]


@pytest.mark.parametrize("bomb", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "? " * 100_000])
def test_brackets_without_end_are_refused_at_once(bomb: str) -> None:
    started = time.perf_counter()
    assert len(faults_of(bomb)) == 1
    assert time.perf_counter() - started < 2


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    started = time.perf_counter()
    assert all("anchors and aliases" in fault for fault in faults_of("\n".join(lines)))
    assert time.perf_counter() - started < 1


def test_the_number_of_faults_is_bounded() -> None:
    assert len(faults_of("".join(f"k{n}: yes\n" for n in range(1000)))) == 50


def test_empty_documents_are_left_out_and_the_others_know_their_lines() -> None:
    head = "---\n# only a comment\n---\na: 1\n---\n\n---\n"
    text = head + "metadata:\n  annotations:\n    x.dev/y: z\nspec:\n  waves:\n  - size: 1\n"
    first, second = load_documents("f.yaml", text.encode())
    assert (first.source(), second.source()) == ("f.yaml:4", "f.yaml:8")
    assert second.source("metadata.annotations[x.dev/y]") == "f.yaml:10"
    assert second.source("spec.waves[0].size") == "f.yaml:13"
    assert second.source("spec.waves[0].soak.more") == "f.yaml:13"
    assert second.source("spec.waves[3]") == "f.yaml:12"
    assert second.source("spec.drain.timeout") == "f.yaml:11"
    assert second.source("status") == "f.yaml:8"
    assert second.located(Fault("spec.waves[0].size", "wrong")).source == "f.yaml:13"
    assert second.located(Fault("a", "wrong", "elsewhere:1")).source == "elsewhere:1"


def test_json_is_read_too_with_tabs_and_a_byte_order_mark() -> None:
    assert load_documents("a.json", b'\xef\xbb\xbf{\n\t"a": [1, "on", true, null]\n}')[0].value == {
        "a": [1, "on", True, None]
    }


def test_a_field_path_is_rendered_as_kubernetes_does() -> None:
    assert field_path(["spec", "waves", 0, "size"]) == "spec.waves[0].size"
    assert field_path(["metadata", "labels", "app.kubernetes.io/name"]) == "metadata.labels[app.kubernetes.io/name]"
