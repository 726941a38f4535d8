set -uo pipefail

ROOT="${IONROLLER_BOOT_ROOT:-}"
MARK="$ROOT/var/lib/ionroller/ready-for"

imds() {
  local imds="http://169.254.169.254/latest" token
  token="$(curl --silent --show-error --fail --retry 5 --max-time 10 --request PUT \
    --header "X-aws-ec2-metadata-token-ttl-seconds: 60" "$imds/api/token")" || return
  curl --silent --show-error --fail --retry 5 --max-time 10 \
    --header @- "$imds/meta-data/$1" <<<"X-aws-ec2-metadata-token: $token"
}

# Seconds since the machine started, which is about when its group began to wait.
age() {
  local up
  read -r up _ <"$ROOT/proc/uptime"
  echo "${up%%.*}"
}

# complete RESULT TRIES: ends the wait of this machine in the hook, where it waits.
complete() {
  local try id region found state group said
  for ((try = 1; try <= $2; try++)); do
    if ((try > 1)); then sleep 5; fi
    if ! id="$(imds instance-id)" || ! region="$(imds placement/region)"; then continue; fi
    if ! found="$(aws autoscaling describe-auto-scaling-instances --region "$region" --instance-ids "$id" \
      --query 'AutoScalingInstances[0].[LifecycleState,AutoScalingGroupName]' --output text)"; then continue; fi
    read -r state group <<<"$found"
    case "$state" in
      # Its wait has not begun.
      Pending | Warmed:Pending) ;;
      *Pending:Wait)
        if said="$(aws autoscaling complete-lifecycle-action --region "$region" --instance-id "$id" \
          --auto-scaling-group-name "$group" --lifecycle-hook-name "$HOOK" \
          --lifecycle-action-result "$1" 2>&1)"; then return 0; fi
        echo "ionroller: try $try of $2 to say $1 failed: $said" >&2
        # It was said before, and it waits for another hook.
        case "$said" in *"No active Lifecycle Action"*) return 0 ;; esac
        ;;
      # In service, on its way out, or in no group: nothing waits for it.
      *) return 0 ;;
    esac
  done
  echo "ionroller: the hook $HOOK could not be told $1" >&2
  return 1
}

case "$1" in
  mark)
    mkdir -p "${MARK%/*}"
    imds instance-id >"$MARK"
    exit
    ;;
  abandon)
    complete ABANDON 3
    exit
    ;;
  # At a later boot. A machine from an image of this one has another boot script, which says it.
  again) if [ "$(cat "$MARK" 2>/dev/null)" != "$(imds instance-id)" ]; then exit 0; fi ;;
esac
until why="$(check 2>&1)"; do
  if [ "$(age)" -ge "$TIMEOUT" ]; then
    echo "ionroller: not ready within $TIMEOUT s of its start: ${why:0:300}" >&2
    if [ "$1" = again ]; then complete ABANDON 3; fi
    exit 1
  fi
  sleep 5
done
complete CONTINUE 60
