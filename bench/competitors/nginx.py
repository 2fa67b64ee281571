"""nginx, the ceiling outside Python: the config of a server in the foreground with one worker."""

from __future__ import annotations

import os
from pathlib import Path
from string import Template

from bench.answers import JSON, LIST, OK, TEXT

_CONFIG = Template("""\
daemon off;
worker_processes 1;
$user
pid $folder/nginx.pid;
error_log stderr crit;
events { worker_connections 19000; }
http {
    access_log off;
    server_tokens off;
    keepalive_timeout 3600;
    keepalive_requests 1000000000;
    sendfile on;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$port backlog=4096;
        location = /ok { default_type "$text"; return 200 "$ok"; }
        location = /get-list { default_type "$json"; return 200 '$list'; }
        location = /count { stub_status; }
        location /files/ { alias $files/; open_file_cache max=100; }
    }
}
""")


def write_config(folder: Path, port: int, files: Path) -> None:
    """`folder`/nginx.conf. As root, nginx would give its worker away to a user who may not read our folder."""
    text = _CONFIG.substitute(
        user="user root;" if os.geteuid() == 0 else "", folder=folder, port=port, files=files,
        text=TEXT, ok=OK.decode(), json=JSON, list=LIST.decode(),
    )  # fmt: skip
    (folder / "nginx.conf").write_text(text)
