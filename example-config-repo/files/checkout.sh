#!/bin/bash
# Runs once, as root, after the container was started. Its content is part of the
# release: a change here means fresh machines.
set -euo pipefail

# The container writes its cache as this user.
chown 1000:1000 /var/cache/checkout

# Swap keeps a small machine alive through a peak of memory.
fallocate --length 1G /swapfile
chmod 0600 /swapfile
mkswap /swapfile
swapon /swapfile
