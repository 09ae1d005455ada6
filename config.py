"""All settings with their defaults. Set yours in config_local.py beside this file, which `git pull` never changes.

A line there, such as SRC_DIR = "/data/run7", wins over the line of the same name here. The first six are required.
`python test_config.py` checks them all; docs/configuration.md says more about each.
"""

# ---- required --------------------------------------------------------------------------------------------------------

# The source directory, as an absolute path on this machine.
SRC_DIR = ""

# The destination: an absolute path on its collection, ending in the name of SRC_DIR itself.
DST_DIR = ""

# The UUID of the collection that SRC_DIR is on.
SRC_ID = ""

# The UUID of the destination collection.
DST_ID = ""

# The UUID of your Globus application (https://app.globus.org/settings/developers).
CLIENT_ID = ""

# The absolute path of a folder for the datastore, the log and the login (this folder will do).
CODE_PATH = ""

# ---- where things are ------------------------------------------------------------------------------------------------

# SRC_DIR as the source collection shows it, where that differs (guest collections, Globus Connect Personal).
SRC_PATH = ""

# A file that holds the secret of a service account's CLIENT_ID; empty: a person signs in.
CLIENT_SECRET_FILE = ""

# ---- what is sent ----------------------------------------------------------------------------------------------------

# Names of files and folders to skip, as patterns: ["*.tmp", ".DS_Store", "scratch_[0-9]"].
EXCLUDE = []

# What shows a modification: "mtime" (and size); "ctime": also a ctime that moved, as when times are put back.
COMPARE = "mtime"

# How many seconds a file must have been unchanged before it is sent.
SETTLE_SECONDS = 10

# "ignore": symlinks are skipped; "follow": links to files are sent as the files they point to.
SYMLINKS = "ignore"

# ---- how it is sent --------------------------------------------------------------------------------------------------

# What makes Globus copy an ordinary change: "exists", "size", "mtime" or "checksum".
SYNC_LEVEL = "mtime"

# Give the copies the modification times of their sources.
PRESERVE_TIMESTAMP = True

# Read every copy back and compare checksums.
VERIFY_CHECKSUM = True

# Encrypt the data in transit.
ENCRYPT_DATA = True

# Let a task go on past files that are missing or unreadable at the source; they are reported and retried.
SKIP_SOURCE_ERRORS = True

# Let a task fail at once when the destination's quota is full, instead of retrying until its deadline.
FAIL_ON_QUOTA_ERRORS = False

# The tasks that Globus e-mails you about: any of "succeeded", "failed", "inactive".
NOTIFY = []

# Hours after which Globus cancels a task; 0: its own rule (one to three days without progress).
DEADLINE_HOURS = 0

# Hours after which a task that has faults and no progress, or is not shown, is canceled and its files retried.
STUCK_HOURS = 24

# The first words of every task's label; empty: the last folder of SRC_DIR.
LABEL = ""

# The most items in one task.
MAX_ITEMS_PER_TASK = 10000

# The most tasks open at a time; further changes wait for the next run.
MAX_TASKS_IN_FLIGHT = 20

# ---- what counts -----------------------------------------------------------------------------------------------------

# What is enough for `status.py --path` to end with 0, beside what is verified or equal.
ACCEPT = []

# ---- the scan --------------------------------------------------------------------------------------------------------

# "full": check every file; "quick": skip unchanged folders, which misses files rewritten in place.
SCAN = "full"

# How often a quick scan is made full: 12h, 1d, 1w. `main.py --full` does it at once.
FULL_SCAN_EVERY = "1d"

# How many processes scan a large tree; 0: one per processor (two where calls are slow), up to 8.
SCAN_WORKERS = 0

# Where else to scan: "dask:ADDRESS" of a Dask scheduler; "": on this machine.
SCAN_EXECUTOR = ""

# ---- the log ---------------------------------------------------------------------------------------------------------

# "DEBUG", "INFO", "WARNING" or "ERROR".
LOG_LEVEL = "INFO"

# The size at which the log is renamed to log.1 and begun anew.
LOG_MAX_BYTES = 10000000

# ---- monitoring ------------------------------------------------------------------------------------------------------

# Hours after which a problem that lasts is reported again; 0: with every run.
REMIND_HOURS = 168

# A file of metrics for Prometheus, in the folder of node_exporter's textfile collector; it ends in ".prom".
METRICS_FILE = ""

# The URL of a check at healthchecks.io or the like, which notices when runs stop; keep it secret.
PING_URL = ""

# A command that gets each new problem on its standard input: ["/usr/bin/logger", "-t", "transfer"].
ON_PROBLEM = []

# A page for a browser that each run renews: an absolute path that ends in .html (extra [report]); empty: none.
REPORT_FILE = ""
