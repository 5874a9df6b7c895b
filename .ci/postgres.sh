#!/usr/bin/env bash
# A throw-away PostgreSQL for the tests, on a socket in a temporary folder: prints its URL.
#
#   OLRSEARCH_TEST_POSTGRES="$(bash .ci/postgres.sh)"     installed and started where it is not
#   bash .ci/postgres.sh stop                             stopped and removed
#
# Works as root on a bare Debian (the server then runs as the user postgres) and as any user
# where PostgreSQL is installed. A second call finds the running server. Nothing is durable.
set -euo pipefail

base="${TMPDIR:-/tmp}/olrsearch-postgres-$(id -u)"
data="$base/data"

programs() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; }

as_server() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

bin="$(programs)"
if [ "${1:-}" = stop ]; then
    if [ -d "$data" ]; then
        (cd / && as_server "$bin/pg_ctl" -D "$data" -m immediate -w stop) >&2 || true
        rm -rf "$base"
    fi
    exit 0
fi

if [ -z "$bin" ]; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql; } >&2
    bin="$(programs)"
fi

if ! "$bin/pg_isready" -q -h "$base"; then
    rm -rf "$base"
    mkdir -p "$base"
    [ "$(id -u)" != 0 ] || chown postgres "$base"
    cd / # the server's user need not be able to read the folder this was called from
    {
        as_server "$bin/initdb" -D "$data" -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync
        as_server "$bin/pg_ctl" -D "$data" -l "$base/log" -w start \
            -o "-k $base -c listen_addresses='' -c fsync=off -c full_page_writes=off -c max_connections=50"
    } >"$base.start" 2>&1 || { cat "$base.start" >&2; exit 1; }
    rm -f "$base.start"
fi

echo "postgresql://postgres@/postgres?host=$base"
