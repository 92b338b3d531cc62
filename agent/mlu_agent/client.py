"""The subscriber of the distribution mlu-client, under the name by which programs beside the agent know it."""

from __future__ import annotations

from mlu_client.subscriber import Counters, Subscriber, topic_prefixes

__all__ = ["Counters", "Subscriber", "topic_prefixes"]
