"""Everything behind the scripts, one room per file; imports point one way, from the top of this list down.

run                         one run: orders the rooms, decides nothing alone
settle  plan  submit        the acts of a run: ask what became of tasks; scan and compare; post
reset  checks               the work of set_time.py and of test_config.py (with ends, permissions)
hosting                     the acts of timer.py: consents, timers one by one, their last tasks
globus/  store              the service; the shelf `datastore`
timer_options               what a person writes of a timer, read (intervals, items_file)
timer_documents  jobs       what is asked of Timers; what its answers mean
changes  batches  outcomes  scan against trie; changes to tasks; what an ended task means for its paths
plain  forms                the datastore's values: read without becoming code; the form each must have
ledger  summary             tasks prepared, in flight, ended; what a run counted
scan  trie  settings        walk a tree; what was last transferred, per path; config.py checked and frozen
own_files                   our own files: opened owner-only, never through a link
errors  times  paths        exit statuses and problems; moments and ages; names and how they are shown

Only `globus/` imports globus_sdk, only `store` touches sqlite3 and shelve, and nothing here prints, asks or exits.
"""
