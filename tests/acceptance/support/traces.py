"""Traces made by hand: whole TCP conversations in the classic pcap format."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

SYN, ACK, FIN = 0x02, 0x10, 0x01
_FIRST_SECOND = 1_700_000_000


def _sum16(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packet(
    source: str, destination: str, ports: tuple[int, int], numbers: tuple[int, int], flags: int, load: bytes
) -> bytes:
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    tcp = struct.pack("!HHIIBBHHH", *ports, *numbers, 5 << 4, flags, 65535, 0, 0)
    pseudo = ends + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(tcp) + len(load))
    tcp = tcp[:16] + struct.pack("!H", _sum16(pseudo + tcp + load)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(load), 0, 0, 64, socket.IPPROTO_TCP, 0) + ends
    ip = ip[:10] + struct.pack("!H", _sum16(ip)) + ip[12:]
    return b"\x02\0\0\0\0\x01" + b"\x02\0\0\0\0\x02" + b"\x08\0" + ip + tcp + load


def write_trace(path: Path, conversations: int, server: str = "192.0.2.80") -> None:
    """HTTP-like conversations, one after the other: from 10.0.x.y to port 80 of the server, each of another length.

    Both sides say which software they are.
    """
    web = 80
    packets: list[bytes] = []
    for number in range(conversations):
        client, port = f"10.0.{number // 250}.{number % 250 + 1}", 20_000 + number
        ask = f"GET /{number} HTTP/1.1\r\nHost: example.com\r\nUser-Agent: curl/8.5.0\r\n\r\n".encode()
        body = b"x" * (number % 700)
        answer = f"HTTP/1.1 200 OK\r\nServer: nginx/1.24.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        there, back = (port, web), (web, port)
        asked, answered = 1 + len(ask), 1 + len(answer)
        packets += [
            _packet(client, server, there, (0, 0), SYN, b""),
            _packet(server, client, back, (0, 1), SYN | ACK, b""),
            _packet(client, server, there, (1, 1), ACK, b""),
            _packet(client, server, there, (1, 1), ACK, ask),
            _packet(server, client, back, (1, asked), ACK, answer),
            _packet(client, server, there, (asked, answered), ACK | FIN, b""),
            _packet(server, client, back, (answered, asked + 1), ACK | FIN, b""),
            _packet(client, server, there, (asked + 1, answered + 1), ACK, b""),
        ]
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for place, packet in enumerate(packets):
            second, microsecond = divmod(place * 1000, 1_000_000)
            file.write(struct.pack("<IIII", _FIRST_SECOND + second, microsecond, len(packet), len(packet)))
            file.write(packet)
