#!/bin/sh
# Riak's health: it answers, and its bucket types are active. Those that are not there are made.
set -eu

riak=/usr/sbin/riak

# need_type NAME ALLOW_MULT
need_type() {
    case $($riak admin bucket-type status "$1" || true) in
        *"$1 is active"*) return ;;
    esac
    $riak admin bucket-type create "$1" "{\"props\":{\"allow_mult\":$2,\"last_write_wins\":false}}" || true # it may be there, inactive
    $riak admin bucket-type activate "$1"
}

[ "$($riak ping)" = pong ]
need_type changeover false         # target.ordering = "merge"
need_type changeover-siblings true # target.ordering = "siblings"
