#!/bin/sh
# A change feed from ZFS snapshots: passes the names of what differs from the last snapshot to main.py. From cron:
#
#     */10 * * * * /opt/transfer/samples/zfs-feed.sh tank/data /opt/transfer/.venv/bin/python /opt/transfer/main.py
#
# It takes a snapshot DATASET@transfer-TIME. It removes the previous one only when main.py has ended with 0 or 3. After any
# other status, the next comparison starts from the older snapshot again, so no name is lost. The first time, it names all
# of SRC_DIR. DATASET must be mounted and contain SRC_DIR. The user needs
# `zfs allow USER diff,snapshot,destroy,mount DATASET`.
set -eu

dataset=$1
shift
tab=$(printf '\t')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The names in the output of `zfs diff -FH`, each followed by NUL. zfs writes spaces, backslashes, control characters and
# anything that is not ASCII as \0ooo, which printf's %b reads.
names() {
  while IFS=$tab read -r change kind path new_path; do
    case $change$kind in
      M/) ;; # entries of this folder were added or removed; each has its own line
      R?) printf '%b\0%b\0' "$path" "$new_path" ;;
      *) printf '%b\0' "$path" ;;
    esac
  done
}

ours() {
  zfs list -H -t snapshot -o name -s creation -d 1 "$dataset" | grep "^$dataset@transfer-" || true
}

ours >"$work/before"
oldest=$(head -n 1 "$work/before")
now=$dataset@transfer-$(date -u +%Y%m%dT%H%M%SZ)
zfs snapshot "$now"
if [ -n "$oldest" ]; then
  zfs diff -FH "$oldest" "$now" >"$work/diff"
  names <"$work/diff" >"$work/names"
else
  printf '.\0' >"$work/names"
fi

status=0
"$@" --paths-from "$work/names" || status=$?
case $status in
  0 | 3 | 8) while read -r snapshot; do zfs destroy "$snapshot"; done <"$work/before" ;;
  *) zfs destroy "$now" ;;
esac
exit "$status"
