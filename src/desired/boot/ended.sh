set -euo pipefail

# A machine whose container has once run for five minutes is never powered off: when what
# the service depends on is away, all its machines may fail at once.
STATE="${IONROLLER_BOOT_ROOT:-}/var/lib/ionroller"
if [ -e "$STATE/served" ]; then exit 0; fi
mkdir -p "$STATE"
if [ -n "$(find "$STATE" -name started -mmin +5)" ]; then
  touch "$STATE/served"
  exit 0
fi
rm -f "$STATE/started"

# Somebody stopped it, or it was done.
if [ "${SERVICE_RESULT:-}" = success ]; then exit 0; fi
# Not while the machine reboots.
if [ "$(systemctl is-system-running || true)" = stopping ]; then exit 0; fi
printf . >>"$STATE/failures"
read -r failures <"$STATE/failures" || true
if [ "${#failures}" -lt 5 ]; then exit 0; fi
why="ionroller: the container failed ${#failures} times and never ran for five minutes: this machine is powered off, and its group replaces it"
echo "$why" >&2
# The journal goes with the machine; AWS keeps what the console showed.
console="${IONROLLER_BOOT_ROOT:-}/dev/console"
if [ -w "$console" ]; then echo "$why" >"$console" || true; fi
systemctl --no-block poweroff
