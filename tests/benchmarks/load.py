"""Asks a server all the time; `python -m tests.benchmarks.load PORT PATH CONNECTIONS SECONDS < BODY` prints JSON."""

import asyncio
import json
import sys
import time

import uvloop


async def ask(port: int, request: bytes, until: float, told: list[tuple[float, int]]) -> None:
    """One connection that is kept: seconds and status of each answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (began := time.perf_counter()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lowered = head.lower()
        at = lowered.index(b"content-length:") + 15
        await reader.readexactly(int(lowered[at : lowered.index(b"\r\n", at)]))
        told.append((time.perf_counter() - began, int(head[9:12])))
    writer.close()


async def main(port: int, path: str, connections: int, seconds: float, body: bytes) -> None:
    """Ask, and print the figures."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    told: list[tuple[float, int]] = []
    began = time.perf_counter()
    await asyncio.gather(*(ask(port, request, began + seconds, told) for _ in range(connections)))
    took = time.perf_counter() - began
    times = sorted(one for one, _ in told)
    print(
        json.dumps(
            {
                "rate": len(told) / took,
                "p50": times[len(times) // 2],
                "p99": times[int(len(times) * 0.99)],
                "errors": sum(status != 200 for _, status in told),
            }
        )
    )


if __name__ == "__main__":
    given = sys.argv[1:]
    uvloop.run(main(int(given[0]), given[1], int(given[2]), float(given[3]), sys.stdin.buffer.read()))
