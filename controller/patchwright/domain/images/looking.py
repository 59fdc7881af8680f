"""What to ask a registry: the list of tags, and of a few tags what they mean; each question costs somebody something.

Only tags that could be chosen are asked for, best first, and only of the one that would be chosen (or where what runs
cannot be placed otherwise) is it asked what is in it: Docker Hub counts that as a pull.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from patchwright.domain.images import choice, knowledge, ordering
from patchwright.domain.images.facts import Running, Scan
from patchwright.domain.images.failures import Failures
from patchwright.domain.images.imagepolicy import ImagePolicy
from patchwright.domain.images.knowledge import Knowledge, Look

SHORT: Final = 3
"""So many of the newest tags are asked for at each look, and further ones only while none of them can be chosen."""
LONGEST: Final = 12
# What stands in the way of one tag may not stand in the way of an older one.
_PASSED_OVER: Final = frozenset({"TooYoung", "AgeUnknown", "FailedBefore", "PlatformMissing"})
_NEED_CONTENTS: Final = frozenset({"RunningUnordered", "PlatformsUnknown"})

Memory = Callable[[Scan], Failures]


@dataclass(frozen=True, slots=True)
class Questions:
    """The tags whose digests are asked for next, and the digests of which it is asked what is in them."""

    tags: frozenset[str] = frozenset()
    contents: frozenset[str] = frozenset()


def questions(
    known: Knowledge,
    look: Look,
    running: Iterable[Running],
    *,
    policy: ImagePolicy,
    memory: Memory,
    now: datetime,
) -> Questions:
    """Say what else has to be asked before it can be chosen what comes after ``running``; nothing when it can be.

    ``memory`` gives what is remembered of the images that a scan names.
    """
    after = knowledge.learn(known, look)
    found = [_asked(after, look, each, policy=policy, memory=memory, now=now) for each in running]
    tags = frozenset[str]().union(*(each.tags for each in found))
    return Questions(tags) if tags else Questions(contents=frozenset[str]().union(*(each.contents for each in found)))


def _asked(
    known: Knowledge, look: Look, running: Running, *, policy: ImagePolicy, memory: Memory, now: datetime
) -> Questions:
    try:
        if fresh := _unasked(look, running, policy, reach=SHORT):
            return Questions(fresh)
    except ValueError:
        # The choice says what cannot be read in the policy.
        return Questions()
    scan = knowledge.facts(known, "")
    assert scan is not None, "a look was learnt from"
    found = choice.choose(scan, running, policy=policy, memory=memory(scan), now=now)
    if found.candidate is not None and found.candidate.tag not in look.digests:
        # It was asked for when it was newer than it is now; it may have moved since.
        return Questions(frozenset({found.candidate.tag}))
    if found.candidate is not None:
        return Questions(contents=frozenset({found.candidate.digest}) - known.contents.keys())
    if found.reason in _NEED_CONTENTS:
        return Questions(contents=frozenset(look.digests.values()) - known.contents.keys())
    return Questions(_further(look, running, policy) if found.reason in _PASSED_OVER else frozenset())


def _further(look: Look, running: Running, policy: ImagePolicy) -> frozenset[str]:
    reaches = range(2 * SHORT, LONGEST + 1, SHORT)
    return next((fresh for reach in reaches if (fresh := _unasked(look, running, policy, reach=reach))), frozenset())


def _unasked(look: Look, running: Running, policy: ImagePolicy, *, reach: int) -> frozenset[str]:
    return frozenset(ordering.shortlist(look.tags, running, policy, limit=reach)) - look.digests.keys()
