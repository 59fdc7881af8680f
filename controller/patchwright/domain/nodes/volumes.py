"""The volumes of pods that have gone: how long they keep a node that is being emptied.

A pod is gone from the API once its containers have ended; its volume may be mounted and attached for much longer, and a
node that is rebooted then leaves it attached to a machine that is away (longhorn#1958, cluster-api#4945).
VolumeAttachments say which are still there. A driver with ``attachRequired: false`` has none, so nothing is waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from patchwright.domain.nodes.view import ENDED, Attachment, PodList, VolumeList

# A cloud takes ten seconds and more to detach a volume, and each look lists the attachments of the whole cluster.
LOOK_AGAIN = timedelta(seconds=2)


def remember(known: frozenset[str] | None, pods: PodList) -> frozenset[str] | None:
    """Add the claims of the pods of one listing to those that were seen since the cordon.

    ``None`` stays: whoever was not there from the beginning cannot know which pods have gone before.
    """
    return None if known is None else known.union(*(pod.claims for pod in pods.pods))


def left(found: VolumeList, pods: PodList, known: frozenset[str] | None) -> tuple[Attachment, ...]:
    """Give the attachments that are waited for, once all that is left in ``pods`` may stay.

    Those of the pods that were seen to go; where that is not known (``None``: the operator was restarted) all but those
    of the pods that are still there. A pod that has ended holds no volume (the attach-detach controller's rule).
    """
    held = {claim for pod in pods.pods if pod.phase not in ENDED for claim in pod.claims}
    return tuple(
        each for each in found.attachments if each.claim not in held and (known is None or each.claim in known)
    )


def sentence(attachments: Sequence[Attachment]) -> str:
    """Tell which volume is waited for, and how many others there are."""
    first = attachments[0]
    claim = f"claim {first.claim}, " if first.claim else ""
    more = f" (and {len(attachments) - 1} more)" if len(attachments) > 1 else ""
    why = f": {first.error}" if first.error else ""
    where = f"{claim}driver {first.driver}, VolumeAttachment {first.name}"
    return f"volume {first.volume} ({where}) is still attached{more}{why}"
