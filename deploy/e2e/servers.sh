#!/bin/sh
# Sees to it that tests have a RabbitMQ and a MariaDB: leaves alone what is named in the environment or listens already;
# where Docker answers, tests start containers themselves; else, as root on Debian or Ubuntu, installs both. RabbitMQ is
# started here; tests start a MariaDB of their own, in memory.
# Node.js and Chromium, with which tests use the gateway as its clients do, are installed the same way.
set -eu

listens() { python3 -c "import socket, sys; s = socket.socket(); s.settimeout(1); sys.exit(s.connect_ex(('127.0.0.1', $1)))"; }
wanted() { # variable port
  eval "[ -z \"\${$1:-}\" ]" && ! listens "$2"
}

wait_for() { # command, for a minute
  n=0
  until "$@" >/dev/null 2>&1; do n=$((n + 1)); [ $n -lt 60 ] || { echo "In vain: $*" >&2; exit 1; }; sleep 1; done
}

# Tests have vhosts of their own, whose queues reserve more files than the 1,024 that many systems allow a process.
allow_files() {
  [ "$(id -u)" = 0 ] && [ -z "${TEST_BROKER_URL:-}" ] || return 0
  pid=$(pgrep -o -u rabbitmq beam.smp) && command -v setpriv prlimit >/dev/null || return 0
  setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups prlimit --pid "$pid" --nofile=20000:20000 2>/dev/null || return 0
  rabbitmqctl -q eval 'file_handle_cache:set_limit(18000).' >/dev/null 2>&1 || true # newer ones keep no such limit
}

packages=
wanted TEST_BROKER_URL 5672 && packages="$packages rabbitmq-server"
wanted TEST_DATABASE_URL 3306 && [ ! -x /usr/sbin/mariadbd ] && packages="$packages mariadb-server"
if [ -n "$packages" ] && command -v docker >/dev/null && docker info >/dev/null 2>&1; then packages=; fi
command -v npm >/dev/null || packages="$packages nodejs npm"
command -v chromium >/dev/null || command -v google-chrome >/dev/null || packages="$packages chromium"
[ -n "$packages" ] || { allow_files; exit 0; }
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "No$packages here: tests that need them are skipped (as root on Debian they would be installed)."
  exit 0
fi

echo "Installing$packages ..."
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # a list
apt-get install -y -qq --no-install-recommends $packages procps >/dev/null
case $packages in *rabbitmq-server*)
  if ! listens 5672; then
    rabbitmq-server -detached
    # The node takes a moment before it can even be asked.
    wait_for rabbitmqctl -q await_startup --timeout 60
  fi ;;
esac
allow_files
