#!/usr/bin/env python3
"""Ways to one server, which can die apart: forwarder.py LISTEN-PORT TO-HOST TO-PORT. Killed, its connections are reset; stopped
(SIGSTOP), they hang as with a machine that lost its power."""
import asyncio
import contextlib
import sys


async def pump(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(reader, writer):
    try:
        far_reader, far_writer = await asyncio.open_connection(sys.argv[2], int(sys.argv[3]))
    except OSError:
        writer.close()
        return
    await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


async def main():
    server = await asyncio.start_server(serve, "0.0.0.0", int(sys.argv[1]), reuse_address=True)
    print("forwards", flush=True)
    async with server:
        await server.serve_forever()

asyncio.run(main())
