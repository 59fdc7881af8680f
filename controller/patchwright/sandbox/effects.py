"""What a patch does in the sandbox, as kwok stages: rules and words become selectors and templates.

kwok runs nothing, so a Job's fate is declared by its own words and by rules (``effects.yaml`` explains both). All of it
is compiled into kwok's stages, because a benchmark of 1,000 nodes needs Jobs that cost two writes and no process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from patchwright.sandbox import errors

_HERE = Path(__file__).parent
_DURATION = re.compile(r"\d+(\.\d+)?(ms|s|m)")
_KEYS = frozenset({"duration", "rules", "crashes"})
# What stands for the expression in stages/pod.yaml.
_CRASHES = "$crashes"
_BAD = ":[^/]*bad"
# These change the node, and cost a third write.
_NODE_WORDS = ("--reboot", "--kernel", "--os-image", "--break-node", "--break-workloads", "--heal")
_IS_NODE_WORD = f"^({'|'.join(_NODE_WORDS)})(=|$)"


@dataclass(frozen=True, slots=True)
class Rule:
    """Jobs with a word that ``word`` matches as a whole get the words ``add``."""

    word: str
    add: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        """The expression for one whole word; RE2 in kwok, so nothing but plain expressions."""
        return f"^(?:{self.word})$"


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, how long a Job runs that does not say (a Go duration), and which images crash in pods of no Job.

    ``crashes`` is an expression that is found anywhere in an image without its digest.
    """

    rules: tuple[Rule, ...] = ()
    duration: str = "1s"
    crashes: str = _BAD


def load(path: Path | None = None) -> Rules:
    """Read a file of rules, the built-in one for None; raise SandboxError with the fault's place."""
    path = path or _HERE / "effects.yaml"
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as fault:
        raise errors.SandboxError(f"{path} cannot be read as sandbox effects: {fault}") from fault
    return parse(raw, str(path))


def parse(raw: object, source: str) -> Rules:
    """Check the content of a file of rules."""
    if not isinstance(raw, dict) or set(raw) - _KEYS:
        raise errors.SandboxError(f"{source}: sandbox effects are a mapping of `duration`, `rules` and `crashes`.")
    duration = raw.get("duration", "1s")
    if not isinstance(duration, str) or not _DURATION.fullmatch(duration):
        raise errors.SandboxError(f"{source}: duration: {duration!r} is no duration; write one such as 1s or 500ms.")
    crashes = raw.get("crashes", _BAD)
    if not isinstance(crashes, str):
        raise errors.SandboxError(f"{source}: crashes: {crashes!r} is no expression for images.")
    _check_expression(crashes, f"{source}: crashes")
    rules = tuple(_rule(each, f"{source}: rules[{i}]") for i, each in enumerate(raw.get("rules") or ()))
    return Rules(rules, duration, crashes)


def stages(rules: Rules) -> list[dict[str, object]]:
    """Give every kwok stage of the sandbox: the fixed ones under ``stages/``, and those that the rules make."""
    fixed = [
        document
        for name in ("node.yaml", "pod.yaml")
        for document in yaml.safe_load_all((_HERE / "stages" / name).read_text(encoding="utf-8"))
    ]
    for document in fixed:
        _fill_in(document, rules)
    return [*fixed, _job_ends(rules, touches_node=False), _job_ends(rules, touches_node=True)]


def _rule(raw: object, where: str) -> Rule:
    if not isinstance(raw, dict) or set(raw) - {"word", "add"} or not isinstance(raw.get("word"), str):
        raise errors.SandboxError(
            f"{where}: a rule is a mapping of `word` (an expression) and `add` (a list of words)."
        )
    add = raw.get("add") or []
    if not isinstance(add, list) or not all(isinstance(word, str) and word.startswith("--") for word in add):
        raise errors.SandboxError(f"{where}: add: {add!r} is no list of words that begin with `--`.")
    _check_expression(raw["word"], f"{where}: word")
    return Rule(raw["word"], tuple(add))


def _check_expression(text: str, where: str) -> None:
    try:
        re.compile(text)
    except re.error as fault:
        raise errors.SandboxError(f"{where}: {text!r} is no regular expression: {fault}.") from fault


def _fill_in(stage: dict[str, Any], rules: Rules) -> None:
    for each in stage["spec"]["selector"]["matchExpressions"]:
        each["jq"]["key"] = each["jq"]["key"].replace(_CRASHES, json.dumps(rules.crashes))


def _job_ends(rules: Rules, *, touches_node: bool) -> dict[str, object]:
    words = words_query(rules.rules)
    steps: list[dict[str, object]] = [_patch(_pod_status(rules.rules))]
    if touches_node:
        # After the pod's end, as on a real machine: whoever acts on the Job's success at once still sees the old node.
        apply = {"subresource": "status", "type": "strategic", "template": _node_status(rules.rules)}
        steps.append({"apply": apply})
    expressions = [
        _jq(".metadata.deletionTimestamp", "DoesNotExist"),
        _jq(".status.phase", "In", "Running"),
        _jq('[.metadata.ownerReferences[]?.kind] | index("Job") != null', "In", "true"),
        # A crash-looping pod runs too, and never ends by itself.
        _jq("[.status.containerStatuses[]?.state.waiting // empty] | length", "In", "0"),
        _jq(f'{words} | any($words[]; . == "--hang")', "In", "false"),
        _jq(f"{words} | any($words[]; test({json.dumps(_IS_NODE_WORD)}))", "In", str(touches_node).lower()),
    ]
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": "job-changes-its-node" if touches_node else "job-ends"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": expressions},
            "delay": {"durationFrom": {"jq": {"expression": _duration_query(words, rules.duration)}}},
            "steps": steps,
        },
    }


def words_query(rules: Sequence[Rule]) -> str:
    """Give the jq that binds ``$words``: a Job pod's own words and those of the first rule that fits."""
    own = (
        '[(.spec.containers[0] | (.command // [])[], (.args // [])[], ((.env // [])[] | .name + "=" + (.value // "")),'
        ' .image), ((.metadata.labels // {}) | to_entries[] | .key + "=" + .value) | splits("\\\\s+")]'
    )
    added = "[]"
    for rule in reversed(rules):
        words = json.dumps(list(rule.add))
        added = f"(if any($own[]; test({json.dumps(rule.pattern)})) then {words} else {added} end)"
    return f"{own} as $own | ($own + {added}) as $words"


def _duration_query(words: str, default: str) -> str:
    return f'{words} | ([$words[] | select(startswith("--duration=")) | ltrimstr("--duration=")] + ["{default}"])[0]'


def _jq(key: str, operator: str, *values: str) -> dict[str, object]:
    return {"jq": {"key": key, "operator": operator, **({"values": list(values)} if values else {})}}


def _patch(template: str) -> dict[str, object]:
    return {"patch": {"subresource": "status", "root": "status", "type": "strategic", "template": template}}


def _words_template(rules: Sequence[Rule]) -> str:
    """Give the template that sets ``$words`` to the same words as ``words_query``, each between blanks."""
    return (
        "{{ $now := Now | Quote }}{{ $c := index .spec.containers 0 }}{{ $words := list }}"
        "{{ range $c.command }}{{ $words = append $words . }}{{ end }}"
        "{{ range $c.args }}{{ $words = append $words . }}{{ end }}"
        '{{ range $c.env }}{{ $words = append $words (printf "%s=%s" .name (or .value "")) }}{{ end }}'
        "{{ $words = append $words $c.image }}"
        '{{ range $k, $v := .metadata.labels }}{{ $words = append $words (printf "%s=%s" $k $v) }}{{ end }}'
        '{{ $words = regexSplit "\\\\s+" (join " " $words) -1 }}{{ $decided := false }}'
        + "".join(_rule_template(rule) for rule in rules)
        # Two blanks, so that neighbouring words never share one.
        + '{{ $words = printf "  %s  " (join "  " $words) }}'
        f"{{{{ $version := {_value('--version', '[A-Z_]*VERSION')} }}}}{{{{ $reboot := {_has('--reboot')} }}}}"
    )


def _rule_template(rule: Rule) -> str:
    added = " ".join(_go(word) for word in rule.add)
    return (
        f"{{{{ if not $decided }}}}{{{{ range $words }}}}{{{{ if regexMatch {_go(rule.pattern)} . }}}}"
        "{{ $decided = true }}{{ end }}{{ end }}"
        f"{{{{ if $decided }}}}{{{{ $words = concat $words (list {added}) }}}}{{{{ end }}}}{{{{ end }}}}"
    )


def _pod_status(rules: Sequence[Rule]) -> str:
    return (
        _words_template(rules)
        + "{{ $code := "
        + _value("--exit-code")
        + " }}{{ if not $code }}{{ $code = ternary 1 0 ("
        + _has("--fail")
        + ") }}{{ end }}{{ $code = int $code }}{{ $message := "
        + _value("--message")
        + """ }}
{{ if not $message }}
{{ $told := dict "rebootRequired" $reboot }}
{{ if $version }}{{ $_ := set $told "version" $version }}{{ end }}
{{ $message = toJson $told }}
{{ end }}
phase: {{ ternary "Succeeded" "Failed" (eq $code 0) }}
conditions:
- {type: Ready, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now }}}
- {type: ContainersReady, status: "False", reason: PodCompleted, lastTransitionTime: {{ $now }}}
containerStatuses:
{{ range $i, $each := .spec.containers }}
- name: {{ $each.name }}
  image: {{ $each.image | Quote }}
  imageID: {{ $each.image | Quote }}
  ready: false
  started: false
  restartCount: 0
  state:
    running: null
    terminated:
      exitCode: {{ $code }}
      reason: {{ ternary "Completed" "Error" (eq $code 0) }}
      message: {{ $message | toJson }}
      startedAt: {{ $.status.startTime | Quote }}
      finishedAt: {{ $now }}
{{ end }}
"""
    )


def _node_status(rules: Sequence[Rule]) -> str:
    return (
        _words_template(rules)
        + """
apiVersion: v1
kind: Node
metadata:
  name: {{ .spec.nodeName }}
status:
"""
        + f"""
  {{{{ $kernel := {_value("--kernel")} }}}}{{{{ $image := {_value("--os-image")} }}}}
  {{{{ $breaks := {_has("--break-node")} }}}}{{{{ $crashes := {_has("--break-workloads")} }}}}
  {{{{ $heals := {_has("--heal")} }}}}
  {{{{ $down := or ({_value("--reboot")}) "3s" }}}}{{{{ $after := or ({_value("--break-node")}) "0s" }}}}
"""
        + """
  {{ if or $kernel $image }}
  nodeInfo:
    {{ if $kernel }}kernelVersion: {{ $kernel | Quote }}{{ end }}
    {{ if $image }}osImage: {{ $image | replace "_" " " | Quote }}{{ end }}
  {{ end }}
  {{ if or $reboot $breaks $crashes $heals }}
  conditions:
  {{ end }}
  {{ if $reboot }}
  - {type: SandboxReboot, status: "True", reason: Asked, message: {{ $down | Quote }}, lastTransitionTime: {{ $now }}}
  {{ end }}
  {{ if or $breaks $heals }}
  - type: SandboxBroken
    status: {{ ternary "True" "False" $breaks | Quote }}
    reason: Patched
    message: {{ $after | Quote }}
    lastTransitionTime: {{ $now }}
  {{ end }}
  {{ if or $crashes $heals }}
  - type: SandboxWorkloadsBroken
    status: {{ ternary "True" "False" $crashes | Quote }}
    reason: Patched
    lastTransitionTime: {{ $now }}
  {{ end }}
"""
    )


def _has(word: str) -> str:
    return f"(regexMatch {_go(f' {word}(=[^ ]*)? ')} $words)"


def _value(*words: str) -> str:
    pattern = _go(f" (?:{'|'.join(words)})=[^ ]+")
    return f'(index (splitn "=" 2 (regexFind {pattern} $words)) "_1")'


def _go(text: str) -> str:
    """Quote a string for a Go template: JSON's escapes are a part of Go's."""
    return json.dumps(text)
