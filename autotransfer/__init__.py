"""Everything behind the scripts, one room per file; imports point one way, from the top of this list down.

state_text  state_json  manifest   what is recorded: in words, as JSON, as a list of all delivered paths
state  state_path  verdict  the query room of status.py and every report: facts, where one path stands, what it comes to
folder_state  reader        what is recorded of one folder and below it; reading that never holds up a run
notify  telling  metrics    who else hears how a run ended, and what of it is news to them (ping: a program)
run                         one run: orders the rooms, decides nothing alone
settle  plan  submit        the acts of a run: ask what became of tasks; scan and compare; post
reset  checks               the work of set_time.py and of test_config.py (with ends, permissions, needs)
hosting                     the acts of timer.py: consents, timers one by one, their last tasks
feed                        what a change feed names, and what is kept for the next one
globus/  store              the service; the datastore: what is on the shelf, of what format, about which route
history  shelf              what is kept of ended tasks; the shelf `datastore`: plain values in one table on SQLite
timer_options               what a person writes of a timer, read (intervals, items_file)
timer_documents  jobs       what is asked of Timers; what its answers mean
changes  batches  outcomes  scan against trie; changes to tasks; what an ended task means for its paths
plain  forms                the datastore's values: read without becoming code; the form each must have
ledger  summary             tasks prepared, in flight, ended; what a run counted
scan  trie  settings        walk a tree; what was last transferred, per path; config.py checked and frozen
own_files                   our own files: opened owner-only, never through a link
errors  times  paths  words  exit statuses and problems; moments; names and how they are shown; amounts and tables

Only `globus/` imports globus_sdk, only `shelf` and `store` touch sqlite3, only `shelf` shelve. Nothing here
prints, asks or exits.
"""
