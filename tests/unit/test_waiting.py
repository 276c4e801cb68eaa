"""Waiting for several things at once."""

from __future__ import annotations

import asyncio

import pytest

from zeekfleet.waiting import Backoff, Signal, first_of, in_parallel


async def never() -> None:
    await asyncio.Event().wait()


async def result(value: int) -> int:
    return value


async def failing() -> int:
    raise LookupError


async def test_the_result_of_the_work_or_none_if_the_end_comes_first() -> None:
    assert await first_of(result(5), never()) == 5
    assert await first_of(never(), result(5)) is None


async def test_errors_of_both_are_raised() -> None:
    with pytest.raises(LookupError):
        await first_of(failing(), never())
    with pytest.raises(LookupError):
        await first_of(never(), failing())


async def test_an_error_of_the_works_end_is_raised() -> None:
    async def fails_to_end() -> None:
        try:
            await never()
        finally:
            raise LookupError

    with pytest.raises(LookupError):
        await first_of(fails_to_end(), asyncio.sleep(0))


@pytest.mark.parametrize("cancelled", [False, True])
async def test_both_have_ended_on_return(cancelled: bool) -> None:
    ended = []

    began = asyncio.Semaphore(0)

    async def slow_to_end(name: str) -> None:
        try:
            began.release()
            await never()
        finally:
            await asyncio.sleep(0)
            ended.append(name)

    if not cancelled:
        assert await first_of(slow_to_end("work"), result(1)) is None
        assert ended == ["work"]
        return
    task = asyncio.create_task(first_of(slow_to_end("work"), slow_to_end("end")))
    await began.acquire()
    await began.acquire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == ["end", "work"]


async def test_a_signal_wakes_all_who_wait() -> None:
    signal = Signal()
    waiting = [asyncio.create_task(signal.next()) for _ in range(3)]
    await asyncio.sleep(0)
    signal.notify()
    await asyncio.gather(*waiting)


async def test_steps_are_taken_at_once() -> None:
    met = asyncio.Barrier(3)

    async def step() -> None:
        await met.wait()

    await asyncio.wait_for(in_parallel(step() for _ in range(3)), 10)


def test_pauses_double_up_to_the_cap_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(0.1, 5.0, part=lambda: 1.0)
    assert [backoff.next() for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    backoff.reset()
    assert backoff.next() == 0.1
    assert Backoff(1000.0, 5.0, part=lambda: 1.0).next() == 5.0


def test_each_pause_is_a_random_part() -> None:
    backoff = Backoff(1.0, 1.0)
    pauses = {backoff.next() for _ in range(100)}
    assert len(pauses) > 50
    assert all(0.0 <= pause <= 1.0 for pause in pauses)
