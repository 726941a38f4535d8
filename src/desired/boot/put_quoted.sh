
# put NAME VALUE: a line that a shell and systemd's EnvironmentFile= read alike.
put() {
  printf '%s="' "$1"
  printf '%s' "$2" | sed 's/[\\"$`]/\\&/g'
  printf '"\n'
}
