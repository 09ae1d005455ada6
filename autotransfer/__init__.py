"""Everything behind the scripts, one room per file; imports point one way, from the top of this list down.

run                         the run itself: orders the rooms, decides nothing alone
globus/  store              the service; the shelf `datastore`
changes  batches  outcomes  scan against trie; changes to tasks; what an ended task means for its paths
ledger                      tasks prepared, in flight, ended
scan  trie  settings        walk a tree; what was last transferred, per path; config.py checked and frozen
errors  times  paths        exit statuses and problems; moments and ages; names and how they are shown

Only `globus/` imports globus_sdk, only `store` touches sqlite3 and shelve, and nothing here prints, asks or exits.
"""
