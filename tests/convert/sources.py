"""One file of each kind that `procman init --from` reads, as people write them."""

from __future__ import annotations

COMPOSE = """\
services:
  db:
    image: postgres:16
    restart: always
    shm_size: 256mb
    ports: ["127.0.0.1:5432:5432"]
    environment:
      - POSTGRES_PASSWORD=secret
    healthcheck:
      test: ["CMD", "pg_isready", "-U", "postgres"]
  web:
    build: .
    command: bundle exec puma -C config/puma.rb
    restart: unless-stopped
    env_file: .env
    environment: &env
      RAILS_ENV: production
      DATABASE_URL: postgres://${DB_USER:-me}@localhost/x
    ports: ["3000:3000"]
    volumes: [".:/app"]
    depends_on: [db]
  sidekiq:
    build: .
    command: ["sh", "-c", "exec sidekiq -c $$THREADS"]
    environment:
      <<: *env
      QUEUE: mail
    deploy: {replicas: 2}
    stop_grace_period: 1m30s
    stop_signal: SIGINT
    depends_on:
      db: {condition: service_healthy}
      migrate: {condition: service_completed_successfully}
  migrate:
    build: .
    command: rails db:migrate
    restart: "no"
  docs:
    build: ./docs
    profiles: [docs]
networks:
  inner:
"""

SUPERVISORD = """\
[supervisord]
nodaemon=true
environment=A="1",B=two ; for all
[unix_http_server]
file=/tmp/s.sock
[program:app]
command=/usr/bin/gunicorn app:app -b 0.0.0.0:8000 --access-logfile '-'
directory=/srv/app
user=www
autorestart=unexpected
exitcodes=0,2
stopsignal=INT
stopwaitsecs=30
stopasgroup=true
environment=PORT="8000",KEY="va,l%%ue",PLACE="%(ENV_HOME)s/x"
stdout_logfile=/dev/stdout
stderr_logfile=/var/log/x.err
numprocs=2
process_name=%(program_name)s_%(process_num)02d
[program:worker.one]
command=celery -A proj worker
 -n "w%(process_num)d@%%h"
autostart=false
[group:all]
programs=app,worker
"""

PROCESS_COMPOSE = """\
version: "0.5"
environment: ['ABC=222']
processes:
  db:
    command: "postgres -D data -p 5433"
    shutdown: {signal: 2, timeout_seconds: 15}
    readiness_probe:
      exec: {command: "pg_isready -p 5433"}
      period_seconds: 2
  migrate:
    command: |
      set -e
      for i in 1 2; do
        echo $i
      done
    depends_on: {db: {condition: process_healthy}}
  api:
    command: ./api --port ${PORT}
    working_dir: services/api
    replicas: 2
    availability: {restart: always, backoff_seconds: 2, max_restarts: 5}
    environment: ["X=1", "Y=${ABC}/z"]
    liveness_probe:
      http_get: {host: 127.0.0.1, path: /health, port: 8080}
      failure_threshold: 3
    depends_on: {migrate: {condition: process_completed_successfully}}
    is_daemon: true
  shell:
    command: bash
    is_tty: true
    disabled: true
"""

MPROCS = """\
procs:
  server:
    shell: GIT_SHA=main cargo watch -x run
  css:
    cmd: [npx, tailwindcss, --watch, "a b"]
    autostart: true
    stop: SIGINT
    env: {A: b, GONE: null}
  docs: cargo doc
  vim: [vim, a file]
  all:
    shell: ls
    autostart: false
    stop: {send-keys: ["q"]}
"""

PITCHFORK = """\
[daemons.redis]
run = "redis-server --port 7777"
ready_port = 7777

[daemons.api]
run = "npm run server"
dir = "api"
depends = ["redis"]
watch = ["src/**/*.ts"]
ready_http = "http://localhost:3000/health"
auto = ["start", "stop"]
retry = 5
env = { NODE_ENV = "development", PORT = "3000" }
memory_limit = "1GiB"

[daemons.api.hooks]
on_fail = "./mail"

[daemons.once]
run = "./once"
retry = false
ready = { type = "output", pattern = "ready" }
"""

PM2 = """\
module.exports = {
  apps: [
    {
      name: 'prod',
      script: 'dist/server.js',
      exec_mode: 'cluster',
      instances: 2,
      max_memory_restart: '1G',
      env: { PORT: 4000, NODE_ENV: 'production' },
      env_staging: { A: 1 },
      kill_timeout: 5000,
      restart_delay: 3000,
    },
    { name: 'dev', script: 'npm', args: 'start -- --x "a b"', watch: true, instances: 'max' },
    { script: './tick.py', autorestart: false, node_args: [] },
  ],
  deploy: { production: {} },
};
"""

PM2_PRINTED = """\
{"apps": [
 {"name": "prod", "script": "dist/server.js", "exec_mode": "cluster", "instances": 2, "max_memory_restart": "1G",
  "env": {"PORT": 4000, "NODE_ENV": "production"}, "env_staging": {"A": 1}, "kill_timeout": 5000, "restart_delay": 3000},
 {"name": "dev", "script": "npm", "args": "start -- --x \\"a b\\"", "watch": true, "instances": "max"},
 {"script": "./tick.py", "autorestart": false, "node_args": []}],
 "deploy": {"production": {}}}
"""

SYSTEMD = """\
[Unit]
Description=The jobs of the shop
After=network.target

[Service]
Type=notify
User=shop
WorkingDirectory=/srv/shop
Environment="RAILS_ENV=production" DB_POOL=25
Environment="ARENA=2"
ExecStartPre=-/bin/mkdir -p /run/x
ExecStart=/usr/bin/bundle exec sidekiq -c ${DB_POOL} \\
  -e "a b"
ExecReload=/bin/kill -TSTP $MAINPID
ExecStop=/bin/kill -s QUIT $MAINPID
TimeoutSec=1min 30s
Restart=always
RestartSec=500ms
SuccessExitStatus=0 143
ProtectSystem=strict

[Install]
WantedBy=multi-user.target
"""
