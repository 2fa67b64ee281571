"""Tornado: `python -m bench.competitors.tornado_app PORT`."""

from __future__ import annotations

import asyncio
import logging
import sys

from tornado.web import Application, RequestHandler

from bench.answers import JSON, LIST, OK, TEXT


class Answer(RequestHandler):
    body = OK
    content_type = TEXT

    def compute_etag(self) -> None:
        """None: hashing each body is no part of the answer that the others give."""

    def get(self) -> None:
        self.set_header("Content-Type", self.content_type)
        self.write(self.body)


class List(Answer):
    body = LIST
    content_type = JSON


async def main(port: int) -> None:
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    application = Application([("/ok", Answer), ("/get-list", List)])
    application.listen(port, "127.0.0.1", idle_connection_timeout=3600, backlog=4096)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
