
# put NAME VALUE: a line of the file that docker reads, which knows no quotes.
put() {
  case "$2" in
    *$'\n'* | *$'\r')
      echo "ionroller: the value of $1 has several lines, which docker can't take; store it as base64" >&2
      exit 1
      ;;
  esac
  printf '%s=%s\n' "$1" "$2"
}
