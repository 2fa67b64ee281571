"""The proxies that are compared, each with one worker, connections to the server behind kept, and logs off."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Final, NamedTuple

_NGINX = Template("""\
daemon off;
worker_processes 1;
$user
pid $folder/nginx-proxy.pid;
error_log stderr crit;
events { worker_connections 19000; }
http {
    access_log off;
    keepalive_timeout 3600;
    keepalive_requests 1000000000;
    client_body_temp_path $folder/p1;
    proxy_temp_path $folder/p2;
    fastcgi_temp_path $folder/p3;
    uwsgi_temp_path $folder/p4;
    scgi_temp_path $folder/p5;
    upstream behind { server 127.0.0.1:$behind; keepalive 1024; keepalive_requests 1000000000; }
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / {
            proxy_pass http://behind;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $$http_host;
            proxy_set_header X-Forwarded-For $$proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $$scheme;
            proxy_max_temp_file_size 0;
        }
    }
}
""")

_HAPROXY = Template("""\
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    option forwardfor
    http-reuse always
frontend in
    bind 127.0.0.1:$port backlog 4096
    default_backend behind
backend behind
    server one 127.0.0.1:$behind
""")

_REACTOR = Template("""\
[server]
listen = 127.0.0.1:$port
backlog = 4096
[plugin:proxy]
max_connections = 4096
[proxy:all]
host = 127.0.0.1
to = http://127.0.0.1:$behind
""")


class Contender(NamedTuple):
    """`command(folder, port, behind)` starts it; it may write into the folder first."""

    name: str
    command: Callable[[Path, int, int], list[str]]
    needs: str = ""  # a program
    module: str = ""  # or a module


def _nginx(folder: Path, port: int, behind: int) -> list[str]:
    config = folder / "nginx-proxy.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(_NGINX.substitute(folder=folder, port=port, behind=behind, user=user))
    return [shutil.which("nginx") or "/usr/sbin/nginx", "-e", "stderr", "-c", str(config)]


def _haproxy(folder: Path, port: int, behind: int) -> list[str]:
    config = folder / "haproxy.cfg"
    config.write_text(_HAPROXY.substitute(port=port, behind=behind))
    return [shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-q", "-f", str(config)]


def _reactor(folder: Path, port: int, behind: int) -> list[str]:
    config = folder / "proxy.ini"
    config.write_text(_REACTOR.substitute(port=port, behind=behind))
    return [sys.executable, "-m", "reactor", "-c", str(config)]


def _aiohttp(folder: Path, port: int, behind: int) -> list[str]:
    return [sys.executable, "-m", "bench.proxies.aiohttp_proxy", str(port), str(behind)]


_PROXY_PY = Template("""\
from proxy.http.server import ReverseProxyBasePlugin
from proxy.http.url import Url


class Behind(ReverseProxyBasePlugin):
    def routes(self):
        return ["/.*"]

    def handle_route(self, request, pattern):
        return Url.from_bytes(b"http://127.0.0.1:$behind" + request.path)
""")


def _proxy_py(folder: Path, port: int, behind: int) -> list[str]:
    """With a thread for each client: its event loop (2.4.10) ends at the second request on a connection."""
    (folder / "behind_plugin.py").write_text(_PROXY_PY.substitute(behind=behind))
    options = ["--hostname", "127.0.0.1", "--port", str(port), "--num-acceptors", "1", "--threaded",
               "--enable-reverse-proxy", "--plugins", "behind_plugin.Behind", "--log-level", "CRITICAL",
               "--data-dir", str(folder)]  # fmt: skip
    start = f"import sys; sys.path.insert(0, {str(folder)!r}); import proxy; proxy.main()"
    return [sys.executable, "-c", start, *options]


CONTENDERS: Final = (
    Contender("nginx", _nginx, needs="nginx"),
    Contender("haproxy", _haproxy, needs="haproxy"),
    Contender("reactor", _reactor),
    Contender("aiohttp", _aiohttp, module="aiohttp"),
    Contender("proxy.py", _proxy_py, module="proxy"),
)
