"""A file made of a template, read by a real nginx."""

from __future__ import annotations

import shutil
import signal
import subprocess
import urllib.request

import pytest
from haproxied import Stage, draining
from waiting import free_port, until

from procman.companions.balancer.haproxy import StepResult
from procman.companions.balancer.template import FileOutput, JinjaTemplate, TemplateFile

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not shutil.which("nginx"), reason="nginx is not installed"),
    pytest.mark.skipif(not shutil.which("haproxy"), reason="haproxy is not installed"),
]

CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/upstreams.conf;
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://web; }}
    }}
}}
"""

TEMPLATE = "upstream {{ type }} {\n{% for i in instances %}server {{ i.host }}:{{ i.port }};\n{% endfor %}}\n"


def test_nginx_follows_the_ready_instances(tmp_path):
    stage, port, now = Stage(tmp_path), free_port(), 0.0
    try:
        (tmp_path / "upstreams.j2").write_text(TEMPLATE)
        (tmp_path / "nginx.conf").write_text(CONFIG.format(folder=tmp_path, port=port))
        reload = f"test ! -s {tmp_path}/nginx.pid || kill -HUP $(cat {tmp_path}/nginx.pid)"
        output = FileOutput(path=str(tmp_path / "upstreams.conf"), reload=reload, gather=0.0)
        file = TemplateFile("web", JinjaTemplate(str(tmp_path / "upstreams.j2")), output)
        stage.start(1, 2)
        file.step(stage.instances(), now)
        until(lambda: file.step(stage.instances(), now) == StepResult(), "a file that is read")
        nginx = subprocess.Popen(["nginx", "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")])
        try:
            until(lambda: answers(port), "nginx")
            process, instance = stage.webs["web.1"]
            stage.webs["web.1"] = process, draining(instance)
            gone = (("web.1", 1),)
            until(lambda: file.step(stage.instances(), now).released == gone, "a file without it that is read")
            stage.crash(1)
            until(lambda: all(answers(port) for _ in range(20)), "that only the other is asked")
        finally:
            nginx.send_signal(signal.SIGTERM)
            nginx.wait(20)
    finally:
        stage.close()


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
            return response.status == 200
    except OSError:
        return False
