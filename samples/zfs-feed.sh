#!/bin/sh
# A change feed from ZFS snapshots: gives main.py the names of what differs from the last snapshot. From cron:
#
#     */10 * * * * /opt/transfer/samples/zfs-feed.sh tank/data /opt/transfer/.venv/bin/python /opt/transfer/main.py
#
# It takes a snapshot DATASET@transfer-TIME, and removes the one before it only when main.py has ended with 0 or 3; after
# any other end the next difference begins at the older one again, so no name is lost. The first time all of SRC_DIR is
# named. DATASET must be mounted, and SRC_DIR be in it. The user needs `zfs allow USER diff,snapshot,destroy,mount DATASET`.
set -eu

dataset=$1
shift
tab=$(printf '\t')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The names in the output of `zfs diff -FH`, each ended by NUL. zfs writes blanks, backslashes, control characters and
# what is not ASCII as \0ooo, which is what printf's %b reads.
names() {
  while IFS=$tab read -r change kind path new_path; do
    case $change$kind in
      M/) ;; # entries came or went in this folder; each of them has a line of its own
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
  0 | 3) while read -r snapshot; do zfs destroy "$snapshot"; done <"$work/before" ;;
  *) zfs destroy "$now" ;;
esac
exit "$status"
