"""How fast a configuration of 64 nodes is read and written, compared with zeek-client's own codec.

python bench/codec.py
"""

from __future__ import annotations

from measuring import seconds_per_call, show
from zeekclient import brokertypes, events, types

from zeekfleet.broker import topics
from zeekfleet.broker.messages import decode_data, decode_event, encode_event


def configuration(nodes: int) -> types.Configuration:
    """Workers spread over four instances, with every field in use."""
    made = types.Configuration()
    for number in range(4):
        made.instances.append(types.Instance(f"agent-{number}", f"10.0.0.{number}", 2151))
    for number in range(nodes):
        made.nodes.append(
            types.Node(
                f"worker-{number:02}",
                f"agent-{number % 4}",
                types.ClusterRole.WORKER,
                port=5000 + number,
                scripts=["local.zeek", "site/more"],
                interface="eth0",
                cpu_affinity=number,
                env={"A": "b", "C": "d"},
                metrics_port=9000 + number,
            )
        )
    return made


def main() -> None:
    """Measure and print."""
    theirs = configuration(64)

    def message() -> brokertypes.DataMessage:
        request = events.StageConfigurationRequest("reqid", theirs.to_brokertype())
        return brokertypes.DataMessage(topics.CONTROLLER, request.to_brokertype())

    built = message()
    frame = built.serialize().encode()
    event, _ = decode_event(decode_data(frame))

    def read_typed() -> object:
        read = brokertypes.ZeekEvent.from_vector(brokertypes.unserialize(frame).data)
        request = events.Registry.make_event(read.name, *read.args)
        return types.Configuration.from_brokertype(request.config)

    read = seconds_per_call(lambda: decode_event(decode_data(frame)))
    written = seconds_per_call(lambda: encode_event(topics.CONTROLLER, event))
    print(f"a configuration of 64 nodes, {len(frame)} bytes as zeek-client writes it")
    print(f"{'':<58} {'zeekfleet':>12} {'zeek-client':>12}")
    show("bytes -> records / brokertypes alone", read, seconds_per_call(lambda: brokertypes.unserialize(frame)), 5)
    show("bytes -> records / brokertypes and zeek-client's types", read, seconds_per_call(read_typed), 5)
    show("records -> bytes / brokertypes alone", written, seconds_per_call(built.serialize), 10)
    typed = seconds_per_call(lambda: message().serialize())
    show("records -> bytes / zeek-client's types and brokertypes", written, typed, 10)


if __name__ == "__main__":
    main()
