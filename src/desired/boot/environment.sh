set -euo pipefail

ROOT="${IONROLLER_BOOT_ROOT:-}"
FILE="$ROOT/run/ionroller/env"

# Once in the life of /run: what runs stays as it is until the next boot.
if [ -e "$FILE" ]; then exit 0; fi
mkdir -p "$ROOT/run/ionroller"
chmod 0700 "$ROOT/run/ionroller"
umask 077

region=""
find_region() {
  local imds="http://169.254.169.254/latest" token
  token="$(curl --silent --show-error --fail --retry 5 --max-time 10 --request PUT \
    --header "X-aws-ec2-metadata-token-ttl-seconds: 60" "$imds/api/token")"
  region="$(curl --silent --show-error --fail --retry 5 --max-time 10 \
    --header @- "$imds/meta-data/placement/region" <<<"X-aws-ec2-metadata-token: $token")"
}

# secret NAME COMMAND...: fetches a value and puts it. The value goes through a pipe and
# builtins alone: it is never an argument, and it is never printed.
secret() {
  local name="$1" value try
  shift
  for try in 1 2 3 4 5; do
    if value="$("$@" --region "$region" --output text)"; then
      # What the AWS CLI prints for no text at all, such as a binary secret.
      if [ "$value" = None ]; then break; fi
      put "$name" "$value"
      return
    fi
    echo "ionroller: try $try of 5 to fetch $name failed" >&2
    sleep $((try * 2))
  done
  echo "ionroller: no value for $name" >&2
  exit 1
}
