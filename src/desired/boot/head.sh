set -euo pipefail
# Functions fail as loudly as the rest.
set -o errtrace

# Empty on a machine; tests put everything below a folder of their own.
ROOT="${IONROLLER_BOOT_ROOT:-}"

# A machine that is set up by half must not pass for a good one: it has no traffic to lose,
# so it is powered off, and its group replaces it. The reason is in its console output.
line=""
trap 'line="$LINENO"' ERR
ended() {
  if [ "$1" = 0 ]; then return; fi
  # A script that reboots the machine is killed by that.
  if [ "$(systemctl is-system-running || true)" = stopping ]; then return; fi
  echo "ionroller: the boot script failed${line:+ at line $line}: this machine is powered off, and its group replaces it" >&2
  systemctl disable --now ionroller-app.service >/dev/null 2>&1 || true
  systemctl --no-block poweroff || true
}
trap 'ended "$?"' EXIT

# place MODE PATH: writes standard input to a file.
place() {
  mkdir -p "$ROOT${2%/*}"
  install -m "$1" /dev/stdin "$ROOT$2"
}

# retry COMMAND...: five tries, because mirrors and the network settle late.
retry() {
  local try
  for try in 1 2 3 4; do
    "$@" && return
    echo "ionroller: try $try of 5 failed: $1" >&2
    sleep $((try * 5))
  done
  "$@"
}
