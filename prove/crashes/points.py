"""The system calls at which scripts are killed."""

from __future__ import annotations

# The calls to die at, each with how often a run makes it at most, as far as one cares.
KINDS: dict[str, int] = {
    "create lock": 1,
    "open lock": 1,
    "flock lock": 1,
    "ftruncate lock": 1,
    "pwrite lock": 1,
    "open log": 1,
    "rename log": 1,
    "write log": 4,
    "create datastore": 1,
    "open datastore": 2,
    "open tree": 12,
    "create datastore-journal": 6,
    "pwrite datastore-journal": 60,
    "sync datastore-journal": 12,
    "sync .": 12,
    "pwrite datastore": 20,
    "sync datastore": 6,
    "unlink datastore-journal": 6,
    "connect socket": 6,
    "send POST:/v2/oauth2/token:body": 1,
    "recv POST:/v2/oauth2/token": 1,
    "send GET:/v0.10/endpoint/*": 2,
    "send GET:/v0.10/submission_id": 3,
    "recv GET:/v0.10/submission_id": 3,
    "send POST:/v0.10/transfer": 3,
    "send POST:/v0.10/transfer:body": 3,
    "recv POST:/v0.10/transfer": 3,
    "send GET:/v0.10/task/*": 3,
    "recv GET:/v0.10/task/*": 3,
    "recv GET:/v0.10/task/*/skipped_errors": 1,
    "recv GET:/v0.10/task/*/successful_transfers": 1,
}
# What only a first run does.
FIRST = ("create lock", "create datastore")
# What a run does only after a task that went wrong, or when there is something to send.
AFTER_TROUBLE = ("recv GET:/v0.10/task/*/skipped_errors", "recv GET:/v0.10/task/*/successful_transfers")
WHEN_SENDING = tuple(kind for kind in KINDS if "endpoint" in kind or "submission_id" in kind or "/transfer" in kind)
