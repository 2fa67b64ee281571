"""WebSockets beside a bare loop of `send`, the server of the `websockets` package, and aiohttp.

    python -m bench.websockets
"""
