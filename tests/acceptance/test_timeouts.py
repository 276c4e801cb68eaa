"""test-timeout both ways, and a controller that is not there."""

from __future__ import annotations

from fleet import Fleet

from support.ports import free_ports


def test_with_state_the_controller_answers_when_it_times_out(blank: Fleet) -> None:
    answer = blank.client("test-timeout", "--with-state")
    assert answer.code == 0
    assert answer.json == {"error": "request timed out", "success": False}


def test_without_state_there_is_silence(blank: Fleet) -> None:
    answer = blank.client("test-timeout", settings=["client.request_timeout_secs=2"])
    assert (answer.code, answer.out) == (1, "")
    assert "timed out" in answer.err


def test_with_state_the_answer_does_not_come_before_the_time_out(fleet: Fleet) -> None:
    # The controller's time-out is 10 s.
    answer = fleet.client("test-timeout", "--with-state", settings=["client.request_timeout_secs=1"])
    assert (answer.code, answer.out) == (1, "")


def test_no_controller(new_fleet) -> None:
    fleet: Fleet = new_fleet()
    [fleet.client_port] = free_ports()
    settings = ["client.peering_attempts=1", "client.peering_retry_delay_secs=0.1"]
    for words in (["get-nodes"], ["deploy"], ["get-instances"], ["restart"]):
        answer = fleet.client(*words, settings=settings)
        assert (answer.code, answer.out) == (1, "")
