"""Everything behind the scripts. A run scans, plans and transfers; the datastore lies below, globus beside.

run           one run: reconcile, scan, plan, submit, wait
scan/         what is on disk
plan/         what is to be sent, and in which tasks
transfer/     tasks: submitted, and reconciled with what Globus says of them
datastore/    what is recorded, in one file
globus/       the service; the only package that imports globus_sdk
status/       what has arrived and what has not: text, JSON, manifest, page
monitoring/   who is notified of how a run ended
timers/       recurring transfers hosted by Globus (timer.py)
checks/       the checks of test_config.py
common/       what every package uses: errors, settings, paths, times, text, files, the summary

tests/test_layers.py has the table of who may import whom. Nothing here prints, asks or exits.
"""
