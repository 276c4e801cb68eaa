from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from zeekfleet.lifecycle.reconcile import reconcile
from zeekfleet.lifecycle.revival import Revival
from zeekfleet.model.enums import ClusterRole
from zeekfleet.model.launch import RevivalSettings
from zeekfleet.model.supervisor import ClusterEndpoint, NodeConfig
from zeekfleet.model.types import NO_PORT, Address

names = st.sampled_from("abcdefgh")


@st.composite
def nodes(draw: st.DrawFn) -> dict[str, NodeConfig]:
    result = {}
    for name in draw(st.sets(names)):
        role = draw(st.sampled_from(ClusterRole))
        cluster = {name: ClusterEndpoint(role, Address("127.0.0.1"), NO_PORT)}
        result[name] = NodeConfig(name=name, cluster=cluster, env=draw(st.sampled_from([{}, {"A": "1"}])))
    return result


@given(desired=nodes(), actual=nodes(), force=st.booleans())
def test_reconcile_leads_to_the_desired_and_touches_each_node_once(
    desired: dict[str, NodeConfig], actual: dict[str, NodeConfig], force: bool
) -> None:
    actions = reconcile(desired, actual, force)
    result = dict(actual)
    for config in actions.destroy:
        del result[config.name]
    for config in actions.replace:
        assert config.name in result
        result[config.name] = config
    for config in actions.create:
        assert config.name not in result
        result[config.name] = config
    assert result == desired
    touched = [config.name for config in (*actions.destroy, *actions.replace, *actions.create)]
    assert len(touched) == len(set(touched))
    if not force:
        assert all(actual[config.name] != config for config in actions.replace)
    assert not reconcile(desired, result)


settings = st.builds(
    RevivalSettings,
    enabled=st.booleans(),
    initial_delay=st.floats(0, 10),
    factor=st.floats(1, 10),
    max_delay=st.floats(0, 100),
    jitter=st.floats(0, 1),
    stable_after=st.floats(0, 100),
    loop_limit=st.integers(0, 10),
    loop_window=st.floats(0, 100),
    retry_delay=st.floats(0, 100),
)
lives = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.booleans()), max_size=400)


@given(settings=settings, lives=lives, drawn=st.floats(0, 1, exclude_max=True))
def test_delays_are_within_bounds_and_only_a_loop_or_a_missing_program_fails(
    settings: RevivalSettings, lives: list[tuple[float, float, bool]], drawn: float
) -> None:
    revival, now = Revival(settings, lambda: drawn), 0.0
    longest = max(settings.max_delay, settings.retry_delay) * (1 + settings.jitter)
    for number, (pause, life, ran) in enumerate(lives, 1):
        now += pause + life
        decision = revival.ended(now - life, now, was_running=ran)
        if decision.delay is not None:
            assert settings.enabled
            assert 0 <= decision.delay <= longest + 1e-9
        if decision.failed and settings.enabled:
            assert number > settings.loop_limit
