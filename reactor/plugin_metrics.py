"""The metrics of one plugin: their names begin with its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reactor.metrics import CONTENT_TYPE, Keep, Metrics

if TYPE_CHECKING:
    from reactor.generation import Generation


class PluginMetrics(Metrics):
    """See `Metrics`; and for who shows them, `text` of all that the server and its plugins have."""

    content_type: Final = CONTENT_TYPE

    def __init__(self, owner: str, generation: Generation, keep: Keep) -> None:
        super().__init__(owner, keep)
        self._generation = generation

    def count_requests(self) -> None:
        """Let requests be counted from now on. Without a plugin that asks for it they are not, and cost nothing."""
        self._generation.counts_requests = True

    def text(self) -> str:
        """All metrics, the server's and all plugins', in the text format of Prometheus (`content_type`)."""
        return self._generation.host.observer.text()
