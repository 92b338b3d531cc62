#!/bin/sh
# Installs what the tests take from Debian's packages, and only for what does not work: each need is tried (tests/needs.py),
# so that a half-installed tool counts as missing and its whole group of packages is installed. Then all is tried again.
# What cannot be installed (not root, no apt-get, no network) is said by name; the tests that need it skip themselves.
set -u
python=${PYTHON:-python3}
needs=$(dirname "$0")/needs.py

missing=$("$python" "$needs" missing)
if [ -z "$missing" ]; then
    exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    printf 'system packages: not installed (needs root and apt-get); the tests that need these are skipped:\n%s\n' "$missing"
    exit 0
fi

log=$(mktemp)
install() { # install PACKAGE...
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >>"$log" 2>&1 </dev/null
}
groups=$("$python" "$needs" packages)
printf 'system packages: installing for what does not work:\n%s\n' "$missing"
apt-get update -qq >"$log" 2>&1 </dev/null
# shellcheck disable=SC2086 # lists of names
if ! install $groups; then # one name that this release does not have must not cost the other groups
    printf '%s\n' "$groups" | while read -r group; do install $group; done
fi

missing=$("$python" "$needs" missing)
if [ -n "$missing" ]; then
    tail -n 5 "$log"
    printf "system packages: still not working (apt-get's log: %s); the tests that need these are skipped:\n%s\n" "$log" "$missing"
    exit 0
fi
rm -f "$log"
