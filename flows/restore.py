"""The restoration: all that was asked for on a base is withdrawn, so the base itself takes the edited model's place."""

from __future__ import annotations

from expunge.tasks.core.settings import Settings
from expunge.tasks.core.work_order import Order
from expunge.tasks.publish import publish_task
from expunge.tasks.restore import base_bundle_task, record_base_task


def restore(order: Order, settings: Settings) -> str:
    """Publish the base of a work order that erases nothing; returns the order's key."""
    bundle = base_bundle_task(order)
    release = publish_task(order, settings, bundle)
    record_base_task(order, settings, release)
    return order.key
