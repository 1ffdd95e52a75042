"""Runs the HTTP gateway that TensorZero's wheel starts for patched OpenAI clients, and prints where it listens."""

import asyncio
import sys

from tensorzero.tensorzero import _start_http_gateway


async def main() -> None:
    gateway = await _start_http_gateway(
        config_file=sys.argv[1],
        clickhouse_url=None,
        postgres_url=None,
        valkey_url=None,
        async_setup=True,
    )
    print(f"listening on {gateway.base_url}", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
