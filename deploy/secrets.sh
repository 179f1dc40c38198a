#!/bin/sh
# Writes .env with a random secret for each variable that docker-compose.yml requires. One that is there stays as it is.
set -eu

[ ! -e .env ] || exit 0
umask 077
grep -oE '\$\{[A-Z0-9_]+:\?' docker-compose.yml | sed 's/..\(.*\)../\1/' | sort -u | while read -r name; do
  printf '%s=%s\n' "$name" "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
done >.env.new
mv .env.new .env
echo "Wrote .env with random passwords. Keep it: the servers are set up with them."
