#!/bin/sh
# One schema and one user for each service, with rights on its own schema only: the server refuses the rest.
#
#   grants.sh print    print the SQL
#   grants.sh apply    run it on DB_HOST as root, whose password is DB_ROOT_PASSWORD; may be run again
#
#   grants.sh print application, grants.sh apply application
#                      the same for the user <prefix>_application, who reads the table of videos and nothing else;
#                      its password is APPLICATION_DB_PASSWORD. The gateway's schema must be migrated before.
#
# Passwords come from STORYBOARD_DB_PASSWORD, SCENE_RENDER_DB_PASSWORD, COMPOSER_DB_PASSWORD and GATEWAY_DB_PASSWORD;
# SCHEMA_PREFIX (multishot) begins the names of schemas and users.
set -eu

statements() {
  prefix=${SCHEMA_PREFIX:-multishot}
  for service in storyboard scene_render composer gateway; do
    variable=$(printf %s "$service" | tr '[:lower:]' '[:upper:]')_DB_PASSWORD
    eval "password=\${$variable:?$variable is not set}"
    case $password in *[\'\\]*) echo "$variable must not hold quotes or backslashes" >&2; exit 1 ;; esac
    name=${prefix}_${service}
    cat <<SQL
CREATE DATABASE IF NOT EXISTS $name CHARACTER SET utf8mb4;
CREATE USER IF NOT EXISTS '$name'@'%' IDENTIFIED BY '$password';
ALTER USER '$name'@'%' IDENTIFIED BY '$password';
GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES ON $name.* TO '$name'@'%';
SQL
  done
}

application() {
  prefix=${SCHEMA_PREFIX:-multishot}
  password=${APPLICATION_DB_PASSWORD:?APPLICATION_DB_PASSWORD is not set}
  case $password in *[\'\\]*) echo "APPLICATION_DB_PASSWORD must not hold quotes or backslashes" >&2; exit 1 ;; esac
  cat <<SQL
CREATE USER IF NOT EXISTS '${prefix}_application'@'%' IDENTIFIED BY '$password';
ALTER USER '${prefix}_application'@'%' IDENTIFIED BY '$password';
GRANT SELECT ON ${prefix}_gateway.videos TO '${prefix}_application'@'%';
SQL
}

case ${2:-services} in
  services) wanted=statements ;;
  application) wanted=application ;;
  *) wanted=; set -- ;;
esac

case ${1:-} in
  print) $wanted ;;
  apply)
    client=$(command -v mariadb || command -v mysql)
    sql=$($wanted)
    # By the environment: everybody on the machine can read a command line.
    printf '%s\n' "$sql" | MYSQL_PWD="${DB_ROOT_PASSWORD:?DB_ROOT_PASSWORD is not set}" "$client" --host="${DB_HOST:-127.0.0.1}" --user=root
    ;;
  *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
