"""What the agent takes from mlu-client, under the agent's names."""

from __future__ import annotations

import mlu_agent.client
import mlu_agent.errors
import mlu_client.errors
import mlu_client.subscriber


def test_the_documented_import_is_the_clients_own_subscriber():
    """Not a second one: programs written against either meet the same class."""
    assert mlu_agent.client.Subscriber is mlu_client.subscriber.Subscriber
    assert mlu_agent.client.Counters is mlu_client.subscriber.Counters


def test_the_exceptions_of_both_are_one_tree():
    """``except MluAgentError`` of either package catches all that the other raises on purpose."""
    trunk = {"MluAgentError", "UserError", "DataError"}
    assert all(getattr(mlu_agent.errors, name) is getattr(mlu_client.errors, name) for name in trunk)
    ours = {"NotSupportedError", "RuntimeFailure", "DeviceLost", "CannotUnpack", "StandinError"}
    assert trunk | ours == set(mlu_agent.errors.__all__)
    assert all(
        issubclass(getattr(mlu_agent.errors, name), mlu_client.errors.MluAgentError)
        for name in mlu_agent.errors.__all__
    )
