#!/bin/bash
# Serves one page on port 80, to begin with. Put your own service in its place.
set -euo pipefail

mkdir -p /srv/hello
echo "hello" >/srv/hello/index.html

cat >/etc/systemd/system/hello.service <<'UNIT'
[Unit]
After=network-online.target
Wants=network-online.target

[Service]
DynamicUser=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
WorkingDirectory=/srv/hello
ExecStart=/usr/bin/python3 -m http.server 80
Restart=always

[Install]
WantedBy=multi-user.target
UNIT

systemctl daemon-reload
systemctl enable --now hello.service
