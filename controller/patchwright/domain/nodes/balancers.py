"""Out of the Service load balancers with the cordon, and back with the uncordon.

Since Kubernetes 1.19 a cordon alone takes no node out of them (kubernetes#90823): traffic goes on to a node whose pods
are being moved and which reboots a moment later. The label goes where our cordon goes, in the same patch, and the
record says that it is ours; under a person's cordon there is none of ours, and a person's label stays as it was (L5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from patchwright.domain.actions import Cordon
from patchwright.domain.model import Drain
from patchwright.domain.nodes import labels as own
from patchwright.domain.nodes.record import Record
from patchwright.domain.nodes.view import Claim, NodeView
from patchwright.domain.targets import Brief


def usable(*, ready: bool, unschedulable: bool, labels: Mapping[str, str]) -> bool:
    """Tell whether a load balancer may use a node, as far as the node says: Ready, schedulable, without the label.

    Cloud providers ask for more or for less (hcloud-cloud-controller-manager#272 passes over the label).
    """
    return ready and not unschedulable and own.EXCLUDE not in labels


def cordon(node: NodeView, record: Record, brief: Brief) -> Cordon:
    """Cordon a node that is to be emptied, and keep load balancers away from it where the policy says so.

    What the record claims already is not written again: a person who took the label away meanwhile meant it.
    """
    exclude = not record.excluded and _asked(node, brief)
    return Cordon(node.ref, replace(record, excluded=record.excluded or exclude), exclude=exclude)


def _asked(node: NodeView, brief: Brief) -> bool:
    """Tell whether the label is to be put, by us.

    One with our value that no record claims was left by us: a person uncordoned a quarantined node and forgot it.
    """
    if not brief.policy.drain.exclude_from_load_balancers or brief.backends == {node.uid}:
        # A start is held where it is the last one; the way back is not: rather a rough rollback than none.
        return False
    return node.labels.get(own.EXCLUDE, own.EXCLUDED_BY_US) == own.EXCLUDED_BY_US


def ours(node: NodeView | Claim, record: Record) -> bool:
    """Tell whether the label on a node is ours to remove: the record says so, and nobody has written another value."""
    return record.excluded and node.labels.get(own.EXCLUDE) == own.EXCLUDED_BY_US


def left_at(record: Record, options: Drain) -> datetime:
    """Give the moment from which the node may be emptied: load balancers have had their time."""
    return record.started_at + (options.load_balancer_wait if record.excluded else timedelta(0))
