"""The settings of one route. The first six must be filled in; the rest may stay as they are.

docs/configuration.md says more about each; `python test_config.py` checks them all.
"""

# ---- required ----------------------------------------------------------------------------------------------------

# The directory to keep delivered, as an absolute path on this machine.
SRC_DIR = ""

# Where its contents go: an absolute path on the destination collection, ending in the name of SRC_DIR itself.
DST_DIR = ""

# The UUID of the collection that SRC_DIR is on.
SRC_ID = ""

# The UUID of the collection that receives.
DST_ID = ""

# The UUID of your Globus application (https://app.globus.org/settings/developers).
CLIENT_ID = ""

# The absolute path of a folder of this tool's own: datastore, log and login are kept there (this folder will do).
CODE_PATH = ""

# ---- where things are --------------------------------------------------------------------------------------------

# SRC_DIR as the source collection shows it, where that differs (guest collections, Globus Connect Personal).
SRC_PATH = ""

# A file that holds the secret of a service account's CLIENT_ID; empty: a person signs in.
CLIENT_SECRET_FILE = ""

# ---- what is sent ------------------------------------------------------------------------------------------------

# Names of files and folders to leave out, as patterns: ["*.tmp", ".DS_Store", "scratch_[0-9]"].
EXCLUDE = []

# Seconds that a file must have been left alone before it is sent.
SETTLE_SECONDS = 10

# "ignore": symlinks are left out; "follow": links to files are sent as the files they point to.
SYMLINKS = "ignore"

# ---- how it is sent ----------------------------------------------------------------------------------------------

# What makes Globus copy an ordinary change: "exists", "size", "mtime" or "checksum".
SYNC_LEVEL = "mtime"

# Give the copies the modification times of their sources.
PRESERVE_TIMESTAMP = True

# Read every copy back and compare checksums.
VERIFY_CHECKSUM = True

# Encrypt the data on its way.
ENCRYPT_DATA = True

# Let a task go on past files that are missing or unreadable at the source; they are reported and tried again.
SKIP_SOURCE_ERRORS = True

# Let a task fail at once when the destination's quota is full, instead of trying until its deadline.
FAIL_ON_QUOTA_ERRORS = False

# The tasks that Globus e-mails you about: any of "succeeded", "failed", "inactive".
NOTIFY = []

# Hours after which Globus gives a task up; 0: its own rule (a day without progress).
DEADLINE_HOURS = 0

# Hours without progress after which a task with faults is canceled and its files are sent again.
STUCK_HOURS = 24

# The first words of every task's label; empty: the name of SRC_DIR's own folder.
LABEL = ""

# The most items in one task.
MAX_ITEMS_PER_TASK = 10000

# The most tasks open at a time; what is left over waits for the next run.
MAX_TASKS_IN_FLIGHT = 20

# ---- the scan ----------------------------------------------------------------------------------------------------

# "full": look at every file; "quick": leave out unchanged folders, which does not see files rewritten in place.
SCAN = "full"

# How often a quick scan is made full: 12h, 1d, 1w. `main.py --full` does it at once.
FULL_SCAN_EVERY = "1d"

# How many processes scan a large tree; 0: one a processor (two where calls are slow), up to 8.
SCAN_WORKERS = 0

# Where else to scan: "dask:ADDRESS" of a Dask scheduler; "": on this machine.
SCAN_EXECUTOR = ""

# ---- the log -----------------------------------------------------------------------------------------------------

# "DEBUG", "INFO", "WARNING" or "ERROR".
LOG_LEVEL = "INFO"

# The size at which the log is set aside as log.1 and begun anew.
LOG_MAX_BYTES = 10000000

# ---- being noticed -----------------------------------------------------------------------------------------------

# Hours after which a problem that was told and still lasts is told again; 0: it is told with every run.
REMIND_HOURS = 168

# A file of metrics for Prometheus, in the folder that node_exporter's textfile collector reads; it ends in ".prom".
METRICS_FILE = ""

# The URL of a check at healthchecks.io or the like, which notices when runs stop; keep it to yourself.
PING_URL = ""

# A command that is given each new problem on its standard input: ["/usr/bin/logger", "-t", "transfer"].
ON_PROBLEM = []

# A page that each run renews, for a browser: an absolute path that ends in .html; empty: none (extra [report]).
REPORT_FILE = ""
