"""How a function wants to be called: decided once, from its signature, when its route is declared.

    def login(headers="guest", body="anonymous")    the names say what they are to be given
    def login(request)                              the first parameter may have any name: it is the request
    def login(request, body)    login(request, response)    login()    login(**anything)
    def greet(name)                                 of the path "/user/{name}"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, TypeAlias

from reactor.http.message import Request
from reactor.results import Draft


class FieldDict(dict[str, str]):
    """The fields of a head as a dict: names in lower case, looked up in any, and `get` gives None for what is not
    there. Several lines of one name are one value, joined with ", ".
    """

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __setitem__(self, name: str, value: str) -> None:
        super().__setitem__(name.lower(), value)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """The value of `name`, or `default`."""
        return super().get(name.lower(), default)


class Asked:
    """A request as the handlers of a WeApRous application have it: text, whole, and safe to read in another thread.

    * `url`: as it was sent, with the query; `path`: in normal form, without it
    * `body`: text, of UTF-8 (what is none is replaced by U+FFFD); `data`: the bytes
    * `client`: the address the request came from; `user`: who a guard has found it to be from, or None
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.method, self.path, self.url = request.method, request.path, request.head.target
        self.params, self.query = request.params, request.query
        self.client, self.user = request.client, request.user
        self.data = request.body

    @cached_property
    def headers(self) -> FieldDict:
        """One for each request: changing it changes nothing else."""
        return FieldDict(self._request.headers.index)

    @cached_property
    def body(self) -> str:
        """See above."""
        return self.data.decode("utf-8", "replace")

    @property
    def cookies(self) -> Mapping[str, str]:
        """Name -> value."""
        return self._request.cookies

    def form(self) -> dict[str, str]:
        """The body as a form, name -> first value; {} if its Content-Type says that it is none."""
        return self._request.form()

    def json(self) -> Any:
        """The body as JSON, whatever its Content-Type; HTTPError 400 if it is none."""
        return self._request.json()

    def __repr__(self) -> str:
        return repr(self._request)


Value: TypeAlias = Callable[[Asked, Draft], object]

_request: Value = lambda asked, draft: asked  # noqa: E731 - entries of the table below
_draft: Value = lambda asked, draft: draft  # noqa: E731
VALUES: Mapping[str, Value] = {
    "headers": lambda asked, draft: asked.headers,
    "body": lambda asked, draft: asked.body,
    **dict.fromkeys(("request", "req"), _request),
    **dict.fromkeys(("response", "resp", "res", "rsp"), _draft),
}
# What a function with **anything gets: as all handlers of the original are called.
ORIGINAL = ("headers", "body")

_BY_POSITION = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Shape:
    """Made of a function and the names of its path's parameters. TypeError, in words, if nobody could call it."""

    def __init__(self, function: Callable[..., Any], path_names: Iterable[str] = ()) -> None:
        self._function = function
        self._name = getattr(function, "__qualname__", repr(function))
        self._path_names = tuple(path_names)
        self._by_position: list[Value] = []
        self._by_name: dict[str, Value] = {}
        parameters = list(self._signature().parameters.values())
        known = {parameter.name for parameter in parameters}
        for parameter in parameters:
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                self._by_name.update((name, VALUES[name]) for name in ORIGINAL if name not in known)
            elif parameter.kind is not inspect.Parameter.VAR_POSITIONAL:
                self._fill(parameter, self._value(parameter, is_first=parameter is parameters[0]))

    def _signature(self) -> inspect.Signature:
        """Of the outermost function, unless that passes on whatever it is given (`*args`, `**kwargs`)."""
        try:
            outermost = inspect.signature(self._function, follow_wrapped=False)
            passes_on = any(parameter.kind not in _FIXED for parameter in outermost.parameters.values())
            return inspect.signature(self._function) if passes_on else outermost
        except (TypeError, ValueError):
            raise TypeError(f"{self._name} cannot handle requests: nothing tells how to call it") from None

    def _fill(self, parameter: inspect.Parameter, value: Value) -> None:
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            self._by_position.append(value)
        else:
            self._by_name[parameter.name] = value

    def _value(self, parameter: inspect.Parameter, *, is_first: bool) -> Value:
        name, default = parameter.name, parameter.default
        if name in self._path_names:
            return lambda asked, draft: asked.params[name]
        if name in VALUES:
            return VALUES[name]
        if default is not inspect.Parameter.empty:
            return lambda asked, draft: default
        if is_first and parameter.kind in _BY_POSITION and name not in ("self", "cls"):  # no method yet: of nobody
            return _request
        raise TypeError(
            f"{self._name} cannot handle requests: nobody can give it {name!r}. A handler takes headers, body, request "
            f"and response, or what its path names" + "".join(f", {{{name}}}" for name in self._path_names)
        )

    def call(self, asked: Asked, draft: Draft) -> Any:
        """What the function gives, or raises."""
        by_position = [value(asked, draft) for value in self._by_position]
        by_name = {name: value(asked, draft) for name, value in self._by_name.items()}
        return self._function(*by_position, **by_name)


_FIXED = (*_BY_POSITION, inspect.Parameter.KEYWORD_ONLY)
