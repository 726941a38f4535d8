set -euo pipefail
# Functions fail as loudly as the rest.
set -o errtrace

# Empty on a machine; tests put everything below a folder of their own.
ROOT="${IONROLLER_BOOT_ROOT:-}"

# A machine that is set up by half must not pass its health check: then the load
# balancer would send it traffic.
failed() {
  echo "ionroller: the boot script failed at line $1" >&2
  systemctl disable --now ionroller-app.service >/dev/null 2>&1 || true
}
trap 'failed "$LINENO"' ERR

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
